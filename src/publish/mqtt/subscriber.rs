//! The other side of the wire, for `kerbside listen` and the demo: subscribes, reconnects with a backoff, hands messages on.
//!
//! By default it keeps no session at the broker: what was published while it was away, and not retained, it never sees. With
//! [`SubscriberOptions::session_expiry_s`] the broker keeps its place, and each message until [`Subscriber::acknowledge`] was
//! called for it: a receiver acknowledges what it has on disk. Runs in whichever async task calls it.

use std::collections::{BTreeSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Publish, PublishProperties};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, Incoming};

use super::client::{CONTENT_TYPE, client_options, received};
use super::{BrokerOptions, Received, Token};
use crate::clock::Backoff;
use crate::outbox::Qos;

/// Messages that a subscriber can have on the way to the broker.
const SENDING: u16 = 64;
/// Messages that the broker may hand over unacknowledged when nothing else is said; mosquitto hands over 20.
const RECEIVE_MAXIMUM: u16 = 100;

/// What to listen to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriberOptions {
    /// The broker.
    pub broker: BrokerOptions,
    /// Topic filters.
    pub filters: Vec<String>,
    /// QoS asked for.
    pub qos: Qos,
    /// The broker keeps the session for so many seconds after the connection ended, and hands over again what was not
    /// acknowledged with [`Subscriber::acknowledge`]. None: no session, and messages are acknowledged by themselves.
    pub session_expiry_s: Option<u32>,
    /// Messages that the broker may hand over unacknowledged; none leaves it at 100.
    pub receive_maximum: Option<u16>,
}

impl SubscriberOptions {
    /// Without a session.
    pub const fn new(broker: BrokerOptions, filters: Vec<String>, qos: Qos) -> Self {
        Self { broker, filters, qos, session_expiry_s: None, receive_maximum: None }
    }
}

/// A message that a subscriber sends. QoS 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbound {
    /// Its topic.
    pub topic: String,
    /// Name and version of its schema.
    pub schema: String,
    /// JSON.
    pub payload: Vec<u8>,
    /// The broker keeps it for those who come later.
    pub retain: bool,
    /// Where an answer is wanted.
    pub response_topic: Option<String>,
    /// What the answer will be known by.
    pub correlation: Option<Vec<u8>>,
}

/// Why a message was not handed to the connection: there is none, it has too much on the way already, or MQTT does not allow the
/// topic. Remedy: later, when [`Subscriber::is_subscribed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no connection to the broker takes the message now")]
pub struct NotSent;

/// One subscriber. Nothing happens unless one of its methods is being awaited.
#[derive(Debug)]
pub struct Subscriber {
    options: SubscriberOptions,
    backoff: Backoff,
    link: Option<Link>,
    ready: VecDeque<Received>,
    /// Connections begun, successful or not: what tokens are told apart by.
    begun: u64,
    connections: u64,
    last_error: Option<String>,
}

/// The client library's next step, with the event loop inside: it may be writing a packet when the caller stops waiting for us,
/// so it is kept and finished.
type Step = Pin<Box<dyn Future<Output = (EventLoop, Result<Event, ConnectionError>)> + Send>>;

struct Link {
    client: AsyncClient,
    step: Step,
    subscribed: bool,
    /// Handed to the client, packet id not known yet.
    queued: usize,
    by_packet: BTreeSet<u16>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("subscribed", &self.subscribed).finish_non_exhaustive()
    }
}

impl Link {
    fn new(options: &SubscriberOptions) -> Self {
        let mut client = client_options(&options.broker);
        let receive = options.receive_maximum.unwrap_or(RECEIVE_MAXIMUM).max(1);
        client.set_receive_maximum(Some(receive));
        client.set_outgoing_inflight_upper_limit(SENDING);
        if let Some(expiry_s) = options.session_expiry_s {
            client.set_clean_start(false);
            client.set_session_expiry_interval(Some(expiry_s));
            client.set_manual_acks(true);
        }
        // Room for an acknowledgement of all that can be unacknowledged.
        let (client, eventloop) = AsyncClient::new(client, usize::from(receive) + usize::from(SENDING) + 4);
        Self { client, step: step(eventloop), subscribed: false, queued: 0, by_packet: BTreeSet::new() }
    }
}

fn step(mut eventloop: EventLoop) -> Step {
    Box::pin(async move {
        let event = eventloop.poll().await;
        (eventloop, event)
    })
}

impl Subscriber {
    /// Connects at the first [`Self::next`].
    pub fn new(options: SubscriberOptions) -> Self {
        let backoff = options.broker.backoff();
        Self { backoff, options, link: None, ready: VecDeque::new(), begun: 0, connections: 0, last_error: None }
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
    /// arrived, and nothing that was being sent.
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

    /// Tells the broker that a message is safe. Of use with a session only; goes out while [`Self::next`] is awaited. False when
    /// the connection that brought the message is gone: the broker will bring it again.
    pub fn acknowledge(&mut self, message: &Received) -> bool {
        let Some(token) = message.token.filter(|t| t.connection == self.begun) else { return false };
        let Some(link) = &self.link else { return false };
        let mut publish = Publish::new("", QoS::AtLeastOnce, Vec::new(), None);
        publish.pkid = token.packet;
        link.client.try_ack(&publish).is_ok()
    }

    /// Hands a message to the present connection; it goes out while [`Self::next`] is awaited, and is lost with the connection.
    ///
    /// # Errors
    /// When the connection does not take it; nothing is kept then.
    pub fn publish(&mut self, message: Outbound) -> Result<(), NotSent> {
        let waiting = self.unacknowledged();
        let link = self.link.as_mut().filter(|l| l.subscribed && waiting < usize::from(SENDING) / 2).ok_or(NotSent)?;
        let properties = PublishProperties {
            user_properties: vec![("schema".to_owned(), message.schema)],
            content_type: Some(CONTENT_TYPE.to_owned()),
            payload_format_indicator: Some(1),
            response_topic: message.response_topic,
            correlation_data: message.correlation.map(Into::into),
            ..PublishProperties::default()
        };
        let Outbound { topic, payload, retain, .. } = message;
        let sent = link.client.try_publish_with_properties(topic, QoS::AtLeastOnce, retain, payload, properties);
        sent.map_err(|_| NotSent)?;
        link.queued += 1;
        Ok(())
    }

    /// Messages published on this connection that the broker has not acknowledged yet.
    pub fn unacknowledged(&self) -> usize {
        self.link.as_ref().map_or(0, |l| l.queued + l.by_packet.len())
    }

    /// Says goodbye, after what was handed over before; waits a second at most. Messages that came meanwhile are in
    /// [`Self::next`]; waiting for more would connect again.
    pub async fn close(&mut self) {
        let Some(link) = &self.link else { return };
        if link.client.try_disconnect().is_ok() {
            let gone = async {
                while self.link.is_some() {
                    self.step().await;
                }
            };
            drop(tokio::time::timeout(Duration::from_secs(1), gone).await);
        }
        self.link = None;
    }

    async fn step(&mut self) {
        let options = &self.options;
        let begun = &mut self.begun;
        let link = self.link.get_or_insert_with(|| {
            *begun += 1;
            Link::new(options)
        });
        let (mut eventloop, event) = link.step.as_mut().await;
        let left = matches!(event, Ok(Event::Outgoing(Outgoing::Disconnect)));
        let ended = match event {
            Ok(event) => {
                self.take(event);
                left.then_some(None)
            }
            Err(error) => Some(Some(error)),
        };
        let Some(ended) = ended else {
            if let Some(link) = &mut self.link {
                link.step = step(eventloop);
            }
            return;
        };
        // Messages read from the socket before the end are still in the client.
        let rest: Vec<Event> = eventloop.state.events.drain(..).collect();
        rest.into_iter().for_each(|event| self.take(event));
        self.link = None;
        if let Some(error) = ended {
            tracing::warn!(%error, "connection to the broker ended");
            self.last_error = Some(error.to_string());
            tokio::time::sleep(self.backoff.next_wait()).await;
        }
    }

    fn take(&mut self, event: Event) {
        let Some(link) = &mut self.link else { return };
        match event {
            Event::Incoming(Incoming::ConnAck(_)) => {
                let qos = if self.options.qos == Qos::AtMostOnce { QoS::AtMostOnce } else { QoS::AtLeastOnce };
                let filters = self.options.filters.iter().map(|f| Filter::new(f.as_str(), qos));
                if link.client.try_subscribe_many(filters).is_err() {
                    self.last_error = Some("a topic filter is not allowed".into());
                    tracing::error!("a topic filter is not allowed");
                }
            }
            Event::Incoming(Incoming::SubAck(_)) => {
                link.subscribed = true;
                self.connections += 1;
                self.backoff.reset();
            }
            Event::Incoming(Incoming::Publish(publish)) => {
                let token = (publish.qos != QoS::AtMostOnce && self.options.session_expiry_s.is_some())
                    .then_some(Token { connection: self.begun, packet: publish.pkid });
                self.ready.push_back(Received { token, ..received(&publish) });
            }
            Event::Outgoing(Outgoing::Publish(packet)) => {
                link.queued = link.queued.saturating_sub(1);
                link.by_packet.insert(packet);
            }
            Event::Incoming(Incoming::PubAck(ack)) => {
                link.by_packet.remove(&ack.pkid);
            }
            _ => {}
        }
    }
}
