//! The other side of the wire, for `kerbside listen` and the demo: subscribes, reconnects with a backoff, hands messages on.
//! Keeps no session at the broker: what was published while it was away, and not retained, it never sees. Runs in whichever
//! async task calls it.

use std::collections::VecDeque;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Filter;
use rumqttc::v5::{AsyncClient, Event, EventLoop, Incoming};

use super::client::{client_options, received};
use super::{BrokerOptions, Received};
use crate::clock::Backoff;
use crate::outbox::Qos;

/// What to listen to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriberOptions {
    /// The broker.
    pub broker: BrokerOptions,
    /// Topic filters.
    pub filters: Vec<String>,
    /// QoS asked for.
    pub qos: Qos,
}

/// One subscriber. Nothing happens unless one of its methods is being awaited.
#[derive(Debug)]
pub struct Subscriber {
    options: SubscriberOptions,
    backoff: Backoff,
    link: Option<Link>,
    ready: VecDeque<Received>,
    connections: u64,
    last_error: Option<String>,
}

struct Link {
    client: AsyncClient,
    eventloop: EventLoop,
    subscribed: bool,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("subscribed", &self.subscribed).finish_non_exhaustive()
    }
}

impl Subscriber {
    /// Connects at the first [`Self::next`].
    pub fn new(options: SubscriberOptions) -> Self {
        Self { backoff: options.broker.backoff(), options, link: None, ready: VecDeque::new(), connections: 0, last_error: None }
    }

    /// How often it has subscribed at a broker.
    pub const fn connections(&self) -> u64 {
        self.connections
    }

    /// The last thing that went wrong, in words.
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// Whether the broker has confirmed the filters on the present connection, as far as known.
    pub fn is_subscribed(&self) -> bool {
        self.link.as_ref().is_some_and(|l| l.subscribed)
    }

    /// The next message; waits for ever, through any number of connections. Dropping the future loses no message that had
    /// arrived.
    pub async fn next(&mut self) -> Received {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return message;
            }
            self.step().await;
        }
    }

    /// Waits until the broker has confirmed the filters: what is published from then on will be seen.
    pub async fn subscribed(&mut self) {
        while !self.is_subscribed() {
            self.step().await;
        }
    }

    async fn step(&mut self) {
        let options = &self.options;
        let link = self.link.get_or_insert_with(|| {
            let (client, eventloop) = AsyncClient::new(client_options(&options.broker), 16);
            Link { client, eventloop, subscribed: false }
        });
        match link.eventloop.poll().await {
            Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                let qos = if options.qos == Qos::AtMostOnce { QoS::AtMostOnce } else { QoS::AtLeastOnce };
                let filters = options.filters.iter().map(|f| Filter::new(f.as_str(), qos));
                if link.client.try_subscribe_many(filters).is_err() {
                    self.last_error = Some("a topic filter is not allowed".into());
                    tracing::error!("a topic filter is not allowed");
                }
            }
            Ok(Event::Incoming(Incoming::SubAck(_))) => {
                link.subscribed = true;
                self.connections += 1;
                self.backoff.reset();
            }
            Ok(event) => self.ready.extend(message(event)),
            Err(error) => {
                tracing::warn!(%error, "connection to the broker ended");
                self.last_error = Some(error.to_string());
                // Messages read from the socket before the end are still in the client.
                self.ready.extend(link.eventloop.state.events.drain(..).filter_map(message));
                self.link = None;
                tokio::time::sleep(self.backoff.next_wait()).await;
            }
        }
    }
}

fn message(event: Event) -> Option<Received> {
    match event {
        Event::Incoming(Incoming::Publish(publish)) => Some(received(&publish)),
        _ => None,
    }
}
