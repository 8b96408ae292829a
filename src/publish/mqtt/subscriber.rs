//! The other side of the wire, for `kerbside listen` and the demo: subscribes, reconnects with a backoff, hands messages on.
//!
//! By default it keeps no session at the broker: what was published while it was away, and not retained, it never sees. With
//! [`SubscriberOptions::session_expiry_s`] the broker keeps its place, and each message until [`Subscriber::acknowledge`] was
//! called for it: a receiver acknowledges what it has on disk. Runs in whichever async task calls it.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::Received;
use super::link::{CONTENT_TYPE, Link, LinkError, LinkEvent, LinkOptions, Message};
use super::options::{BrokerOptions, Transport};
use super::route::{Next, Route};
use super::tls::Identity;
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
    route: Route,
    current: Option<Current>,
    ready: VecDeque<Received>,
    /// Connections begun, successful or not: what messages are told apart by.
    begun: u64,
    connections: u64,
    last_error: Option<String>,
}

#[derive(Debug)]
struct Current {
    link: Link,
    accepted: bool,
    subscribed: bool,
    leaving: bool,
    /// Handed to the client, packet id not known yet.
    queued: usize,
    by_packet: BTreeSet<u16>,
}

impl Subscriber {
    /// Connects at the first [`Self::next`].
    pub fn new(options: SubscriberOptions) -> Self {
        Self {
            backoff: options.broker.backoff(),
            route: Route::new(&options.broker),
            options,
            current: None,
            ready: VecDeque::new(),
            begun: 0,
            connections: 0,
            last_error: None,
        }
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
        self.current.as_ref().is_some_and(|c| c.subscribed)
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
        let Some(current) = &self.current else { return false };
        message.token.is_some_and(|token| current.link.acknowledge(token).is_ok())
    }

    /// Hands a message to the present connection; it goes out while [`Self::next`] is awaited, and is lost with the connection.
    ///
    /// # Errors
    /// When the connection does not take it; nothing is kept then.
    pub fn publish(&mut self, message: Outbound) -> Result<(), NotSent> {
        let waiting = self.unacknowledged();
        let current = self.current.as_mut().filter(|c| c.subscribed && waiting < usize::from(SENDING)).ok_or(NotSent)?;
        let prepared = current.link.prepare(Message {
            topic: message.topic,
            acknowledged: true,
            retain: message.retain,
            payload: message.payload,
            schema: message.schema,
            content_type: CONTENT_TYPE.to_owned(),
            response_topic: message.response_topic,
            correlation: message.correlation,
            ..Message::default()
        });
        current.link.publish(prepared).map_err(|_| NotSent)?;
        current.queued += 1;
        Ok(())
    }

    /// Messages published on this connection that the broker has not acknowledged yet.
    pub fn unacknowledged(&self) -> usize {
        self.current.as_ref().map_or(0, |c| c.queued + c.by_packet.len())
    }

    /// Says goodbye, after what was handed over before, and waits until the broker has read it all; a second at most. What had come
    /// is still in [`Self::next`]; waiting for more connects again.
    pub async fn close(&mut self) {
        let Some(current) = &mut self.current else { return };
        if current.link.disconnect().is_ok() {
            current.leaving = true;
            let gone = async {
                while self.current.is_some() {
                    self.step().await;
                }
            };
            drop(tokio::time::timeout(Duration::from_secs(1), gone).await);
        }
        self.current = None;
    }

    /// Begins a connection; says what is wrong when it can't.
    fn begin(&mut self) -> Result<(), LinkError> {
        self.begun += 1;
        let options = &self.options;
        let tls = match &options.broker.transport {
            Transport::Plain => Ok(None),
            Transport::Tls(files) => Identity::load(files).map(Some),
        };
        let tls = tls.map_err(|fault| LinkError::ours(fault.to_string()))?;
        let link = Link::new(
            &LinkOptions {
                broker: &options.broker,
                place: self.route.place(),
                protocol: self.route.tongue().protocol(),
                tls: tls.as_ref(),
                window: SENDING,
                will: None,
                session_expiry_s: options.session_expiry_s,
                receive_maximum: Some(options.receive_maximum.unwrap_or(RECEIVE_MAXIMUM).max(1)),
            },
            self.begun,
        );
        self.current =
            Some(Current { link, accepted: false, subscribed: false, leaving: false, queued: 0, by_packet: BTreeSet::new() });
        Ok(())
    }

    async fn step(&mut self) {
        let begun = if self.current.is_none() { self.begin() } else { Ok(()) };
        let event = match (begun, &mut self.current) {
            (Ok(()), Some(current)) => current.link.next().await,
            (Err(error), _) => Err(error),
            (Ok(()), None) => return,
        };
        match event {
            Ok(event) => self.take(event),
            Err(error) => self.failed(error).await,
        }
    }

    async fn failed(&mut self, error: LinkError) {
        // Messages read from the socket before the end are as good as those before.
        let rest = self.current.as_mut().map(|c| c.link.rest()).unwrap_or_default();
        rest.into_iter().for_each(|event| self.take(event));
        let ended = self.current.take();
        if ended.as_ref().is_some_and(|c| c.leaving) {
            return;
        }
        let (accepted, settled) = ended.map_or((false, false), |c| (c.accepted, c.subscribed));
        tracing::warn!(broker = %self.route.place(), reason = %error.words, "no connection to the broker");
        self.last_error = Some(error.words);
        if self.route.failed(settled, error.unknown_protocol && !accepted) == Next::Wait {
            tokio::time::sleep(self.backoff.next_wait()).await;
        }
    }

    fn take(&mut self, event: LinkEvent) {
        let Some(current) = &mut self.current else { return };
        match event {
            LinkEvent::Accepted(_) => {
                current.accepted = true;
                if current.link.subscribe(&self.options.filters, self.options.qos).is_err() {
                    self.last_error = Some("a topic filter is not allowed".into());
                    tracing::error!("a topic filter is not allowed");
                }
            }
            LinkEvent::Subscribed => {
                current.subscribed = true;
                self.connections += 1;
                self.backoff.reset();
            }
            LinkEvent::Message(message) => self.ready.push_back(*message),
            LinkEvent::Numbered(packet) => {
                current.queued = current.queued.saturating_sub(1);
                current.by_packet.insert(packet);
            }
            LinkEvent::Acknowledged { packet, .. } => {
                current.by_packet.remove(&packet);
            }
            LinkEvent::Taken(_) | LinkEvent::Disconnected | LinkEvent::Alive | LinkEvent::Other => {}
        }
    }
}
