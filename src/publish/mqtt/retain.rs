//! Retained messages, published and acknowledged: the back office's end of a hotlist. Not for the daemon, whose messages go through the
//! outbox.
//!
//! One call is one list of messages. It reconnects with a backoff and goes on with what was not acknowledged; publishing a retained
//! message twice does no harm. Runs in whichever async task calls it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{PubAckReason, PublishProperties};
use rumqttc::v5::{AsyncClient, Event, Incoming};
use tokio::time::Instant;

use super::BrokerOptions;
use super::client::client_options;

/// Messages in flight: with chunks of 256 KiB, 2 MiB on the way.
const WINDOW: usize = 8;
/// Bytes that a packet has besides topic and payload, at most.
const OVERHEAD_BYTES: usize = 128;

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
        most: u32,
    },
    /// The broker said no.
    #[error("the broker refused a message on {topic}: {reason}; its access rules must let this user publish there")]
    Refused {
        /// Its topic.
        topic: String,
        /// What it said.
        reason: String,
    },
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
    let mut done = vec![false; count];
    let mut last_progress = Instant::now();
    let mut last_error = "it accepted the connection and said nothing".to_owned();
    while done.iter().any(|d| !d) {
        let (client, mut eventloop) = AsyncClient::new(client_options(broker), WINDOW * 2);
        let mut waiting: VecDeque<usize> = (0..count).filter(|n| !done[*n]).collect();
        let (mut queued, mut flying) = (VecDeque::new(), BTreeMap::new());
        let mut most = None;
        let ended = loop {
            let Ok(event) = tokio::time::timeout_at(last_progress + patience, eventloop.poll()).await else {
                return Err(RetainError::Stuck { seconds: patience.as_secs(), last: last_error });
            };
            match event {
                Ok(Event::Incoming(Incoming::ConnAck(connack))) => {
                    let says = connack.properties.as_ref();
                    if says.and_then(|p| p.retain_available) == Some(0) {
                        return Err(RetainError::NotRetained);
                    }
                    most = Some(says.and_then(|p| p.max_packet_size).unwrap_or(u32::MAX));
                }
                Ok(Event::Outgoing(Outgoing::Publish(packet))) => {
                    if let Some(n) = queued.pop_front() {
                        flying.insert(packet, n);
                    }
                }
                Ok(Event::Incoming(Incoming::PubAck(ack))) => {
                    let Some(n) = flying.remove(&ack.pkid) else { break format!("packet {} was never sent", ack.pkid) };
                    if !matches!(ack.reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers) {
                        return Err(RetainError::Refused { topic: message(n)?.topic, reason: format!("{:?}", ack.reason) });
                    }
                    done[n] = true;
                    last_progress = Instant::now();
                    backoff.reset();
                    progress(done.iter().filter(|d| **d).count());
                    if done.iter().all(|d| *d) {
                        // A goodbye is good manners, not a condition.
                        if client.try_disconnect().is_ok() {
                            drop(tokio::time::timeout(Duration::from_secs(1), eventloop.poll()).await);
                        }
                        return Ok(());
                    }
                }
                Ok(_) => {}
                Err(e) => break e.to_string(),
            }
            while let (Some(most), true) = (most, queued.len() + flying.len() < WINDOW) {
                let Some(n) = waiting.pop_front() else { break };
                let Retained { topic, content_type, payload } = message(n)?;
                let bytes = topic.len() + payload.len() + OVERHEAD_BYTES;
                if u32::try_from(bytes).unwrap_or(u32::MAX) > most {
                    return Err(RetainError::TooLarge { topic, bytes, most });
                }
                let properties = PublishProperties { content_type: Some(content_type), ..PublishProperties::default() };
                if client.try_publish_with_properties(topic, QoS::AtLeastOnce, true, payload, properties).is_err() {
                    waiting.push_front(n);
                    break;
                }
                queued.push_back(n);
            }
        };
        last_error = ended;
        tokio::time::sleep(backoff.next_wait()).await;
    }
    Ok(())
}
