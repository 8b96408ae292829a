//! Retained messages, published and acknowledged: the back office's end of a hotlist. Not for the daemon, whose messages go through the
//! outbox.
//!
//! One call is one list of messages. It reconnects with a backoff and goes on with what was not acknowledged; publishing a retained
//! message twice does no harm. Runs in whichever async task calls it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::link::{Link, LinkError, LinkEvent, LinkOptions, Message, Outcome};
use super::options::{BrokerOptions, Transport};
use super::route::{Next, Route};
use super::tls::{Identity, TlsFault};

/// Messages in flight: with chunks of 256 KiB, 2 MiB on the way.
const WINDOW: u16 = 8;

/// A message to be retained; an empty one takes a retained message back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retained {
    /// Its topic.
    pub topic: String,
    /// Media type.
    pub content_type: String,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// Why messages could not be published.
#[derive(Debug, thiserror::Error)]
pub enum RetainError {
    /// The broker keeps nothing.
    #[error("the broker retains no messages; hotlists need one that does")]
    NotRetained,
    /// The broker takes only smaller ones.
    #[error("a message on {topic} has {bytes} bytes, the broker takes {most}; raise its packet limit")]
    TooLarge {
        /// Its topic.
        topic: String,
        /// Its size.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// The broker said no.
    #[error("the broker refused a message on {topic}: {reason}; its access rules must let this user publish there")]
    Refused {
        /// Its topic.
        topic: String,
        /// What it said.
        reason: String,
    },
    /// The files for TLS can't be used.
    #[error(transparent)]
    Tls(#[from] TlsFault),
    /// No connection, or none that lasted.
    #[error("nothing was acknowledged for {seconds} s: {last}; check --host, --port, --username and that the broker runs")]
    Stuck {
        /// For how long.
        seconds: u64,
        /// The last thing that went wrong.
        last: String,
    },
}

/// Publishes messages, retained, at QoS 1, and waits until the broker has acknowledged every one. `message` gives the one at a place
/// (so that a large file needn't be in memory), `progress` hears how many are done. Gives up after `patience` without an acknowledgement.
///
/// # Errors
/// See [`RetainError`]; what was acknowledged before stays published.
pub async fn retain(
    broker: &BrokerOptions,
    count: usize,
    mut message: impl FnMut(usize) -> Result<Retained, RetainError>,
    mut progress: impl FnMut(usize),
    patience: Duration,
) -> Result<(), RetainError> {
    let mut backoff = broker.backoff();
    let mut route = Route::new(broker);
    let tls = match &broker.transport {
        Transport::Plain => None,
        Transport::Tls(files) => Some(Identity::load(files)?),
    };
    let mut done = vec![false; count];
    let mut last_progress = Instant::now();
    let mut last_error = "it accepted the connection and said nothing".to_owned();
    while done.iter().any(|d| !d) {
        let mut link = Link::new(
            &LinkOptions {
                broker,
                place: route.place(),
                protocol: route.tongue().protocol(),
                tls: tls.as_ref(),
                window: WINDOW,
                will: None,
                session_expiry_s: None,
                receive_maximum: None,
            },
            0,
        );
        let mut waiting: VecDeque<usize> = (0..count).filter(|n| !done[*n]).collect();
        let (mut queued, mut flying) = (VecDeque::new(), BTreeMap::new());
        let mut most = None;
        let ended = loop {
            let Ok(event) = tokio::time::timeout_at(last_progress + patience, link.next()).await else {
                return Err(RetainError::Stuck { seconds: patience.as_secs(), last: last_error });
            };
            match event {
                Ok(LinkEvent::Accepted(accepted)) => {
                    if !accepted.retains {
                        return Err(RetainError::NotRetained);
                    }
                    most = Some(accepted.max_packet);
                }
                Ok(LinkEvent::Numbered(packet)) => {
                    if let Some(n) = queued.pop_front() {
                        flying.insert(packet, n);
                    }
                }
                Ok(LinkEvent::Acknowledged { packet, outcome }) => {
                    let Some(n) = flying.remove(&packet) else {
                        break LinkError::ours(format!("packet {packet} was never sent"));
                    };
                    if let Outcome::Refused(reason) = outcome {
                        return Err(RetainError::Refused { topic: message(n)?.topic, reason });
                    }
                    done[n] = true;
                    last_progress = Instant::now();
                    backoff.reset();
                    progress(done.iter().filter(|d| **d).count());
                    if done.iter().all(|d| *d) {
                        // A goodbye is good manners, not a condition.
                        if link.disconnect().is_ok() {
                            drop(tokio::time::timeout(Duration::from_secs(1), link.next()).await);
                        }
                        return Ok(());
                    }
                }
                Ok(_) => {}
                Err(error) => break error,
            }
            while let (Some(most), true) = (most, queued.len() + flying.len() < usize::from(WINDOW)) {
                let Some(n) = waiting.pop_front() else { break };
                let Retained { topic, content_type, payload } = message(n)?;
                let prepared = link.prepare(Message {
                    topic: topic.clone(),
                    acknowledged: true,
                    retain: true,
                    payload,
                    content_type,
                    ..Message::default()
                });
                let bytes = prepared.bytes;
                if bytes > most {
                    return Err(RetainError::TooLarge { topic, bytes, most });
                }
                if link.publish(prepared).is_err() {
                    waiting.push_front(n);
                    break;
                }
                queued.push_back(n);
            }
        };
        last_error = ended.words;
        if route.failed(most.is_some(), ended.unknown_protocol && most.is_none()) == Next::Wait {
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }
    Ok(())
}
