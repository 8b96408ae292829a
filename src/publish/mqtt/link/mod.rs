//! One connection to a broker, whichever MQTT is spoken on it: the client library's words become ours here, and nowhere else.
//!
//! `five.rs` and `three.rs` are the two protocols, `words.rs` what went wrong in words for people. A link lives for one epoch and
//! remembers nothing beyond it. Runs in whichever async task calls it.

mod five;
mod three;
mod words;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::{NetworkOptions, TlsConfiguration};

use super::options::{BrokerOptions, Place, Presence, Version};
use super::tls::Identity;
use super::{Received, Token};
use crate::outbox::Qos;
use crate::publish::wire::Frame;

/// Media type of all live messages.
pub(super) const CONTENT_TYPE: &str = "application/json";
/// Time to reach the broker and be accepted.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests that the client can hold besides the window: fleeting messages, the subscription, the disconnect.
pub(super) const SPARE_REQUESTS: u16 = 32;

/// The protocol of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Five,
    ThreeOneOne,
}

impl Protocol {
    /// Its number, as people write it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Five => "5",
            Self::ThreeOneOne => "3.1.1",
        }
    }
}

/// Which protocol the next try to a broker speaks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tongue {
    wanted: Version,
    older: bool,
}

impl Tongue {
    pub(super) const fn new(wanted: Version) -> Self {
        Self { wanted, older: false }
    }

    pub(super) const fn protocol(self) -> Protocol {
        match (self.wanted, self.older) {
            (Version::ThreeOneOne, _) | (Version::Auto, true) => Protocol::ThreeOneOne,
            _ => Protocol::Five,
        }
    }

    /// A connection ended, or did not come up. True when it is worth trying the same broker at once in the other protocol. Each
    /// time MQTT 5 is tried first: a hiccup must not leave us with the older one for good.
    pub(super) fn ended(&mut self, unknown_protocol: bool) -> bool {
        let was = self.protocol();
        self.older = self.wanted == Version::Auto && was == Protocol::Five && unknown_protocol;
        self.older
    }
}

/// What a link is made of.
#[derive(Clone, Copy)]
pub(super) struct LinkOptions<'a> {
    pub(super) broker: &'a BrokerOptions,
    pub(super) place: &'a Place,
    pub(super) protocol: Protocol,
    pub(super) tls: Option<&'a Identity>,
    /// Messages in flight at once, at most.
    pub(super) window: u16,
    pub(super) will: Option<&'a Presence>,
    /// The broker keeps the session for so long, and messages are acknowledged by [`Link::acknowledge`] only.
    pub(super) session_expiry_s: Option<u32>,
    pub(super) receive_maximum: Option<u16>,
}

impl LinkOptions<'_> {
    /// Requests that the client's queue has to have room for.
    fn requests(&self) -> usize {
        let acknowledgements = if self.session_expiry_s.is_some() { self.receive_maximum.unwrap_or(u16::MAX) } else { 0 };
        usize::from(self.window) + usize::from(SPARE_REQUESTS) + usize::from(acknowledgements)
    }

    /// The host as the client library wants it: it puts host and port together itself.
    fn host(&self) -> String {
        let host = &self.place.host;
        // With TLS the same text is the name that the certificate must bear.
        if host.contains(':') && self.tls.is_none() { format!("[{host}]") } else { host.clone() }
    }

    fn keep_alive(&self) -> Duration {
        self.broker.keep_alive.max(Duration::from_secs(5))
    }

    fn network() -> NetworkOptions {
        let mut network = NetworkOptions::new();
        network.set_connection_timeout(CONNECT_TIMEOUT.as_secs());
        network.set_tcp_nodelay(true); // an alert is one small packet
        network
    }

    fn transport(&self) -> rumqttc::Transport {
        self.tls
            .map_or(rumqttc::Transport::Tcp, |tls| rumqttc::Transport::Tls(TlsConfiguration::Rustls(Arc::clone(tls.config()))))
    }
}

/// What the broker said when it accepted us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    /// Messages that it takes unacknowledged.
    pub(super) receive_max: u16,
    /// The largest packet that it takes, bytes.
    pub(super) max_packet: usize,
    pub(super) retains: bool,
    /// Whether it offers QoS 1 at all.
    pub(super) acknowledges: bool,
    /// The time between pings, settled between both.
    pub(super) keep_alive: Duration,
}

/// What the broker said of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Taken,
    NoSubscriber,
    Refused(String),
}

/// What happened on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LinkEvent {
    Accepted(Accepted),
    /// The oldest message handed over has this packet id (0 for QoS 0) and is being written.
    Numbered(u16),
    Acknowledged {
        packet: u16,
        outcome: Outcome,
    },
    Message(Box<Received>),
    /// The filters are taken (or refused; nothing more comes of that).
    Subscribed,
    /// The client waits for a packet id that is in use.
    Taken(u16),
    /// Our goodbye is being written.
    Disconnected,
    /// Another sign of life from the broker.
    Alive,
    /// Something of our own that needs no notice.
    Other,
}

impl LinkEvent {
    /// Whether it shows that bytes came from the broker.
    pub(super) const fn is_heard(&self) -> bool {
        !matches!(self, Self::Numbered(_) | Self::Taken(_) | Self::Disconnected | Self::Other)
    }
}

/// Why a link ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LinkError {
    /// In words.
    pub(super) words: String,
    /// The broker ended it itself, as it does over a packet that it does not like.
    pub(super) hung_up: bool,
    /// The broker may not know the protocol that was tried.
    pub(super) unknown_protocol: bool,
}

impl LinkError {
    /// An end that we made ourselves.
    pub(super) const fn ours(words: String) -> Self {
        Self { words, hung_up: false, unknown_protocol: false }
    }
}

/// A message to be published, and what goes with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) topic: String,
    /// QoS 1, else 0.
    pub(super) acknowledged: bool,
    pub(super) retain: bool,
    pub(super) payload: Vec<u8>,
    /// Empty: none.
    pub(super) schema: String,
    pub(super) content_type: String,
    pub(super) expiry_s: Option<u32>,
    pub(super) row: Option<RowProperties>,
    pub(super) response_topic: Option<String>,
    pub(super) correlation: Option<Vec<u8>>,
}

/// What goes with a stored message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RowProperties {
    pub(super) seq: u64,
    pub(super) historical: bool,
    pub(super) stream: String,
    pub(super) prev: String,
    /// Signature and key.
    pub(super) proof: Option<(String, String)>,
}

/// A message in the form that the link's protocol sends.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The size on the wire, bytes. The packet id is not known yet but always takes two.
    pub(super) bytes: usize,
    packet: Packet,
}

#[derive(Debug)]
enum Packet {
    Five(Box<rumqttc::v5::mqttbytes::v5::Publish>),
    Three(Box<rumqttc::Publish>),
}

/// The client did not take it: its queue is full, or MQTT does not allow the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotTaken;

enum Client {
    Five(rumqttc::v5::AsyncClient),
    Three(rumqttc::AsyncClient),
}

/// What one step of the event loop came to: the loop for the next one, or how it ended.
struct Stepped {
    event: Result<LinkEvent, LinkError>,
    /// None when it ended.
    next: Option<Step>,
    /// What had been read from the socket before the end.
    rest: Vec<LinkEvent>,
}

/// The client library's next step, with the event loop inside: it may be writing a packet when the caller stops waiting for it,
/// so it is kept and finished.
type Step = Pin<Box<dyn Future<Output = Stepped> + Send>>;

/// One connection, from connecting to whatever ends it.
pub(super) struct Link {
    client: Client,
    step: Option<Step>,
    rest: Vec<LinkEvent>,
    number: u64,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Link {
    /// Connects at the first [`Self::next`]. `number` tells the links of one caller apart.
    pub(super) fn new(options: &LinkOptions<'_>, number: u64) -> Self {
        let (client, step) = match options.protocol {
            Protocol::Five => five::start(options, number),
            Protocol::ThreeOneOne => three::start(options, number),
        };
        Self { client, step: Some(step), rest: Vec::new(), number }
    }

    /// The next thing that happens. Dropping the future loses nothing. After an error there is no next.
    pub(super) async fn next(&mut self) -> Result<LinkEvent, LinkError> {
        let Some(step) = &mut self.step else { return std::future::pending().await };
        let Stepped { event, next, rest } = step.as_mut().await;
        self.step = next;
        self.rest = rest;
        event
    }

    /// After an error: what had been read from the socket before it is as good as before.
    pub(super) fn rest(&mut self) -> Vec<LinkEvent> {
        std::mem::take(&mut self.rest)
    }

    /// The message in this link's protocol.
    pub(super) fn prepare(&self, message: Message) -> Prepared {
        match self.client {
            Client::Five(_) => five::prepare(message),
            Client::Three(_) => three::prepare(message),
        }
    }

    /// Hands a message over; a [`LinkEvent::Numbered`] follows, in the order of the calls.
    pub(super) fn publish(&self, prepared: Prepared) -> Result<(), NotTaken> {
        match (&self.client, prepared.packet) {
            (Client::Five(client), Packet::Five(publish)) => five::publish(client, *publish),
            (Client::Three(client), Packet::Three(publish)) => three::publish(client, *publish),
            _ => Err(NotTaken), // prepared by another link
        }
    }

    /// Subscribes. Filters that MQTT does not allow must have been sorted out before.
    pub(super) fn subscribe(&self, filters: &[String], qos: Qos) -> Result<(), NotTaken> {
        match &self.client {
            Client::Five(client) => five::subscribe(client, filters, qos),
            Client::Three(client) => three::subscribe(client, filters, qos),
        }
    }

    pub(super) fn unsubscribe(&self, filter: &str) -> Result<(), NotTaken> {
        let filter = filter.to_owned();
        match &self.client {
            Client::Five(client) => client.try_unsubscribe(filter).map_err(|_| NotTaken),
            Client::Three(client) => client.try_unsubscribe(filter).map_err(|_| NotTaken),
        }
    }

    /// Tells the broker that a message is safe; see [`LinkOptions::session_expiry_s`].
    pub(super) fn acknowledge(&self, token: Token) -> Result<(), NotTaken> {
        if token.connection != self.number {
            return Err(NotTaken);
        }
        match &self.client {
            Client::Five(client) => five::acknowledge(client, token.packet),
            Client::Three(client) => three::acknowledge(client, token.packet),
        }
    }

    pub(super) fn disconnect(&self) -> Result<(), NotTaken> {
        match &self.client {
            Client::Five(client) => client.try_disconnect().map_err(|_| NotTaken),
            Client::Three(client) => client.try_disconnect().map_err(|_| NotTaken),
        }
    }
}

/// What stands before a message where there are no properties.
fn frame(message: &Message) -> Frame {
    let mut frame = Frame::default();
    frame.schema = Some(message.schema.clone()).filter(|s| !s.is_empty());
    frame.content_type = Some(message.content_type.clone());
    if let Some(row) = &message.row {
        frame.seq = Some(row.seq);
        frame.stream = Some(row.stream.clone());
        frame.historical = Some(u8::from(row.historical));
        frame.prev = Some(row.prev.clone());
        (frame.sig, frame.key) = row.proof.clone().unzip();
    }
    frame
}

/// A message that came without properties: the frame says what they would have said.
fn unframed(topic: String, payload: &[u8], retained: bool) -> Received {
    let (frame, payload) = Frame::unwrap(payload).unwrap_or_else(|| (Frame::default(), payload));
    Received {
        topic,
        payload: payload.to_vec(),
        seq: frame.seq,
        schema: frame.schema,
        historical: frame.historical.map(|h| h == 1),
        retained,
        content_type: frame.content_type,
        stream: frame.stream,
        prev: frame.prev,
        sig: frame.sig,
        key: frame.key,
        ..Received::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_protocol_is_tried_only_where_the_newer_is_unknown_and_never_for_good() {
        let mut auto = Tongue::new(Version::Auto);
        assert_eq!(auto.protocol(), Protocol::Five);
        assert!(!auto.ended(false));
        assert_eq!(auto.protocol(), Protocol::Five);
        assert!(auto.ended(true));
        assert_eq!(auto.protocol(), Protocol::ThreeOneOne);
        assert!(!auto.ended(true));
        assert_eq!(auto.protocol(), Protocol::Five);
        for (fixed, protocol) in [(Version::Five, Protocol::Five), (Version::ThreeOneOne, Protocol::ThreeOneOne)] {
            let mut fixed = Tongue::new(fixed);
            assert!(!fixed.ended(true));
            assert_eq!(fixed.protocol(), protocol);
        }
    }
}
