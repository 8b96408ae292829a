//! Carries envelopes from the outbox to the broker, and what the broker has for us to whoever asked for it. The only folder
//! that names `rumqttc`.
//!
//! **One connection is one epoch.** The client library loses accepted messages and credits the wrong ones once a session is
//! gone, so its memory is never trusted: each connection gets a fresh client with a clean start, and on any error all of it is
//! dropped, packet numbers and all, and sending starts again from the oldest row in the outbox. A row is released only on an
//! acknowledgement that this code matched to it and whose reason is a success. `session.rs` is one epoch; `desk.rs` is what
//! outlives epochs; this file is the loop around them and the words that the rest of the program uses.
//!
//! It refuses to keep messages of its own: what is not in the outbox (`Live`) is the newest of its kind or nothing.
//! Runs on the net thread, in one current-thread tokio runtime; it calls SQLite there, for a small transaction at a time.

mod client;
mod desk;
mod retain;
mod session;
mod stats;
mod subscriber;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};

use crate::clock::{Backoff, Clock};
use crate::outbox::{Outlet, Seq};

pub use retain::{RetainError, Retained, retain};
pub use stats::{MqttCounters, MqttStats};
pub use subscriber::{NotSent, Outbound, Subscriber, SubscriberOptions};

/// The largest window: mosquitto's own receive maximum is 20.
pub const MAX_WINDOW: u16 = 16;

/// How bytes get to the broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// TCP in clear. For a broker on the same box or behind a tunnel; TLS will be a variant of its own with its certificates.
    #[default]
    Plain,
}

/// What the broker knows us by.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password; never shown.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Where the broker is and how to reach it; shared by publisher and subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerOptions {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Client id, unique at the broker: a second client with the same one throws the first out.
    pub client_id: String,
    /// User name and password, where the broker wants them.
    pub credentials: Option<Credentials>,
    /// How bytes get there.
    pub transport: Transport,
    /// A ping this often; an unanswered one ends the connection when the next is due. Less than 5 s counts as 5 s.
    pub keep_alive: Duration,
    /// Largest packet taken from the broker, bytes.
    pub max_incoming_bytes: u32,
    /// Wait after the first failure.
    pub backoff_floor: Duration,
    /// Longest wait.
    pub backoff_ceiling: Duration,
    /// Sets the jitter of the waits; the device's own number will do.
    pub seed: u64,
}

impl BrokerOptions {
    /// A broker with the usual settings: keep-alive 30 s, incoming packets up to 1 MiB, waits from 0.5 s to 30 s.
    pub fn new(host: &str, port: u16, client_id: &str) -> Self {
        Self {
            host: host.to_owned(),
            port,
            client_id: client_id.to_owned(),
            credentials: None,
            transport: Transport::Plain,
            keep_alive: Duration::from_secs(30),
            max_incoming_bytes: 1 << 20,
            backoff_floor: Duration::from_millis(500),
            backoff_ceiling: Duration::from_secs(30),
            seed: 1,
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(self.backoff_floor, self.backoff_ceiling, self.seed)
    }
}

/// What to do with a row that the broker took but had no subscriber for (reason 0x10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NoSubscriber {
    /// It is delivered: the broker answers for it. The default.
    #[default]
    Deliver,
    /// It is kept and tried again: for a set-up whose only consumer may come back later than we do.
    Hold,
}

/// The retained message that says whether this box is online.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Its topic.
    pub topic: String,
    /// Name and version of its schema.
    pub schema: String,
    /// Published, retained, at the beginning of each epoch (until a [`Live`] on the same topic replaces it).
    pub online: Vec<u8>,
    /// The will, and what is published on a clean stop.
    pub offline: Vec<u8>,
}

/// How to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttOptions {
    /// The broker.
    pub broker: BrokerOptions,
    /// Online or offline.
    pub presence: Presence,
    /// Messages in flight, 1..=[`MAX_WINDOW`]; the broker's receive maximum may make it smaller.
    pub window: u16,
    /// Of these, pictures: a picture already in the socket is all that can ever stand before an alert.
    pub images_in_flight: u16,
    /// A row unacknowledged for so long ends the epoch: the broker accepts and forgets.
    pub ack_timeout: Duration,
    /// What to do when the broker has no subscriber for a row.
    pub no_subscriber: NoSubscriber,
    /// First wait before a row that was refused is tried again; doubles up to 32 times that.
    pub refused_wait: Duration,
    /// Time for acknowledgements still due at a clean stop.
    pub drain: Duration,
}

impl MqttOptions {
    /// The usual settings: window 16, one picture in flight, acknowledgements within 120 s, refused rows again after 2 s,
    /// 3 s to drain.
    pub const fn new(broker: BrokerOptions, presence: Presence) -> Self {
        Self {
            broker,
            presence,
            window: MAX_WINDOW,
            images_in_flight: 1,
            ack_timeout: Duration::from_secs(120),
            no_subscriber: NoSubscriber::Deliver,
            refused_wait: Duration::from_secs(2),
            drain: Duration::from_secs(3),
        }
    }
}

/// A message that is about the present moment only and never stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Live {
    /// Retained, QoS 1. The newest of each topic is kept and published again in each new epoch: camera, hotlist and
    /// presence states.
    Latest {
        /// Its topic.
        topic: String,
        /// Name and version of its schema.
        schema: String,
        /// JSON.
        payload: Vec<u8>,
    },
    /// QoS 1, not retained, dropped (and counted) when there is no connection: the answer to a command.
    Answer {
        /// Where the command wants it.
        topic: String,
        /// Name and version of its schema.
        schema: String,
        /// JSON.
        payload: Vec<u8>,
        /// What the command gave to know its answer by.
        correlation: Option<Vec<u8>>,
    },
    /// No message: stored rows to be sent once more, though they may have been acknowledged in this epoch.
    Resend {
        /// Their numbers.
        seqs: Vec<Seq>,
    },
    /// QoS 0, dropped (and counted) when there is no connection: health.
    Fleeting {
        /// Its topic.
        topic: String,
        /// Name and version of its schema.
        schema: String,
        /// JSON.
        payload: Vec<u8>,
    },
}

/// A message from the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Its topic.
    pub topic: String,
    /// Its bytes.
    pub payload: Vec<u8>,
    /// The sequence number it had in its device's outbox; none for live messages.
    pub seq: Option<u64>,
    /// Name and version of its schema.
    pub schema: Option<String>,
    /// Whether it was committed before the device's connection came up; none for live messages.
    pub historical: Option<bool>,
    /// Whether the broker had it in store for us.
    pub retained: bool,
    /// Media type.
    pub content_type: Option<String>,
    /// Seconds that it still was good for when the broker handed it on; none for ever.
    pub expiry_s: Option<u32>,
    /// The stream that `seq` is of, 16 hexadecimal digits; none for live messages.
    pub stream: Option<String>,
    /// The link of the envelope before it, 64 hexadecimal digits; none where nothing is signed.
    pub prev: Option<String>,
    /// The device's signature over its own link, base64.
    pub sig: Option<String>,
    /// The key that made it, 16 hexadecimal digits.
    pub key: Option<String>,
    /// Where its sender wants an answer.
    pub response_topic: Option<String>,
    /// What its sender knows the answer by.
    pub correlation: Option<Vec<u8>>,
    /// What an acknowledgement of it has to name.
    token: Option<Token>,
}

/// A message that the broker waits for a word on: which connection brought it, and under which packet id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Token {
    connection: u64,
    packet: u16,
}

/// What the net thread is connected to inside the program.
#[derive(Debug)]
pub struct Ports {
    /// Where rows come from.
    pub outlet: Outlet,
    /// Notified (`notify_one`) by the recorder after each commit.
    pub wake: Arc<Notify>,
    /// Messages that are not stored. Bounded; the sender drops when it is full.
    pub live: mpsc::Receiver<Live>,
    /// What to subscribe to, at QoS 1, at each moment; retained messages of a new filter come at once. What comes goes to
    /// [`Ports::downlink`].
    pub filters: watch::Receiver<BTreeSet<String>>,
    /// Where messages go that come; dropped and counted when it is full.
    pub downlink: Option<mpsc::Sender<Received>>,
    /// Where messages go whose topics begin like this: commands. The same holds when it is full.
    pub commands: Option<(String, mpsc::Sender<Received>)>,
    /// Counters for health.
    pub stats: Arc<MqttStats>,
    /// Tells the time for the gap table and the counters.
    pub clock: Arc<dyn Clock>,
}

/// Whether a text is a topic filter by MQTT's rules (`#` only at the end, wildcards alone in their level).
pub fn is_valid_filter(filter: &str) -> bool {
    !filter.is_empty() && rumqttc::valid_filter(filter)
}

/// Delivers until `shutdown` turns true (or its sender is gone): retries for ever, with a capped and jittered backoff. On
/// shutdown it waits up to [`MqttOptions::drain`] for acknowledgements, says offline, and disconnects.
pub async fn run(options: MqttOptions, ports: Ports, mut shutdown: watch::Receiver<bool>) {
    let mut backoff = options.broker.backoff();
    let mut desk = desk::Desk::new(options, ports);
    while !*shutdown.borrow() {
        let ended = session::run_once(&mut desk, &mut shutdown).await;
        desk.ports.stats.disconnected(ended.as_ref().err().map(|e| e.reason.clone()));
        let Err(failure) = ended else { return };
        let broker = &desk.options.broker;
        let address = format_args!("{}:{}", broker.host, broker.port);
        if failure.connected {
            tracing::warn!(broker = %address, reason = %failure.reason, "connection to the broker ended");
        } else {
            tracing::warn!(broker = %address, reason = %failure.reason, "the broker can't be reached; records wait in the outbox");
        }
        if failure.settled {
            backoff.reset();
        }
        let wait = tokio::time::sleep(backoff.next_wait());
        tokio::pin!(wait);
        loop {
            tokio::select! {
                () = &mut wait => break,
                changed = shutdown.changed() => if changed.is_err() || *shutdown.borrow() { return },
                Some(live) = desk.ports.live.recv() => desk.take_live(live, false),
            }
        }
    }
}
