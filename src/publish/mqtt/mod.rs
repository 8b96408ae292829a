//! Carries envelopes from the outbox to the broker, and what the broker has for us to whoever asked for it. The only folder
//! that names `rumqttc`.
//!
//! **One connection is one epoch.** The client library loses accepted messages and credits the wrong ones once a session is
//! gone, so its memory is never trusted: each connection gets a fresh client with a clean start, and on any error all of it is
//! dropped, packet numbers and all, and sending starts again from the oldest row in the outbox. A row is released only on an
//! acknowledgement that this code matched to it and whose reason is a success, or ([`Confirm::BackOffice`]) when the back office's
//! watermark has passed it. `link/` is one connection, of either protocol;
//! `session.rs` is one epoch; `desk.rs` is what outlives epochs; `route.rs` says which broker is next; this file is the loop around
//! them and the words that the rest of the program uses.
//!
//! It refuses to keep messages of its own: what is not in the outbox (`Live`) is the newest of its kind or nothing.
//! Runs on the net thread, in one current-thread tokio runtime; it calls SQLite there, for a small transaction at a time.

mod desk;
mod link;
mod options;
mod refused;
mod retain;
mod route;
mod session;
mod stats;
mod subscriber;
mod tls;

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{Notify, mpsc, watch};

use crate::clock::Clock;
use crate::outbox::{Outlet, Seq};
use route::{Next, Route};
use session::Parting;

pub use options::{
    BackOffice, BrokerOptions, Confirm, Credentials, MAX_WINDOW, MqttOptions, NoSubscriber, Place, Presence, TlsFiles, Transport,
    Version,
};
pub use retain::{RetainError, Retained, retain};
pub use stats::{MqttCounters, MqttStats};
pub use subscriber::{NotSent, Outbound, Subscriber, SubscriberOptions};
pub use tls::TlsFault;

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

/// Delivers until `shutdown` turns true (or its sender is gone): retries for ever, with a capped and jittered backoff, at each of
/// the brokers in turn. On shutdown it waits up to [`MqttOptions::drain`] for acknowledgements, says offline, and disconnects.
pub async fn run(options: MqttOptions, ports: Ports, mut shutdown: watch::Receiver<bool>) {
    let mut backoff = options.broker.backoff();
    let mut route = Route::new(&options.broker);
    let mut desk = desk::Desk::new(options, ports);
    while !*shutdown.borrow() {
        let ended = session::run_once(&mut desk, &route, &mut shutdown).await;
        desk.ports.stats.disconnected();
        let failure = match ended {
            Parting::Stopped => return,
            Parting::Renew => continue,
            Parting::Prefer(index) => {
                route.prefer(index);
                tracing::info!(broker = %route.place(), "a preferred broker answers again");
                continue;
            }
            Parting::Failed(failure) => failure,
        };
        let (broker, reason) = (route.place().clone(), failure.reason.clone());
        desk.ports.stats.failed(if route.index() == 0 { reason } else { format!("{broker}: {reason}") });
        if failure.connected {
            tracing::warn!(%broker, reason = %failure.reason, "connection to the broker ended");
        } else {
            tracing::warn!(%broker, reason = %failure.reason, "the broker can't be reached; records wait in the outbox");
        }
        if failure.settled {
            backoff.reset();
        }
        if route.failed(failure.settled, failure.unknown_protocol) == Next::AtOnce {
            continue;
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
