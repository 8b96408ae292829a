//! What the net thread counts, for health. Written by the net thread, read by any.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::link::Protocol;
use super::options::Place;
use crate::clock::UtcTime;

/// Counters of the publisher, since the start of the process.
#[derive(Debug, Default)]
pub struct MqttStats {
    /// UTC microseconds of the CONNACK; zero while there is no connection.
    connected_us: AtomicI64,
    pub(super) epochs: AtomicU64,
    pub(super) published: AtomicU64,
    pub(super) acknowledged: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) resent: AtomicU64,
    pub(super) dead_lettered: AtomicU64,
    pub(super) live_dropped: AtomicU64,
    pub(super) downlink_dropped: AtomicU64,
    pub(super) acks_refused: AtomicU64,
    /// Zero while nothing was confirmed.
    confirmed: AtomicU64,
    last_error: Mutex<Option<String>>,
    /// Where we are connected, or were last.
    at: Mutex<Option<(usize, Place, Protocol)>>,
}

/// The counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MqttCounters {
    /// Since when there is a connection; none while there is not.
    pub connected_since: Option<UtcTime>,
    /// Connections that the broker accepted.
    pub epochs: u64,
    /// Rows handed to a connection, repeats included.
    pub published: u64,
    /// Rows that the broker acknowledged with success.
    pub acknowledged: u64,
    /// Rows that it refused (each refusal counts).
    pub refused: u64,
    /// Rows published again: a connection had ended over them, or the back office did not confirm them.
    pub resent: u64,
    /// Rows that were larger than the broker takes.
    pub dead_lettered: u64,
    /// Live messages dropped for want of a connection or room.
    pub live_dropped: u64,
    /// Messages from the broker dropped because their reader was behind.
    pub downlink_dropped: u64,
    /// The watermark of the back office, where rows wait for it; none before it has spoken since the start of the process.
    pub confirmed: Option<u64>,
    /// Acknowledgements that were not for what is stored here: of another device or stream, or beyond the last number.
    pub acks_refused: u64,
    /// The last thing that went wrong, in words.
    pub last_error: Option<String>,
    /// The broker that we are connected to, or were last: `host:port`.
    pub broker: Option<String>,
    /// Its place in the order of preference, from 0.
    pub broker_index: usize,
    /// What is spoken with it: `5`, or `3.1.1`, where refusals can't be seen.
    pub protocol: Option<&'static str>,
}

impl MqttStats {
    /// All counters. They are read one after the other, so sums may be off by what happened meanwhile.
    pub fn counters(&self) -> MqttCounters {
        let connected = self.connected_us.load(Relaxed);
        let at = self.at.lock().unwrap_or_else(PoisonError::into_inner).clone();
        MqttCounters {
            connected_since: (connected != 0).then(|| UtcTime::from_micros(connected)),
            epochs: self.epochs.load(Relaxed),
            published: self.published.load(Relaxed),
            acknowledged: self.acknowledged.load(Relaxed),
            refused: self.refused.load(Relaxed),
            resent: self.resent.load(Relaxed),
            dead_lettered: self.dead_lettered.load(Relaxed),
            live_dropped: self.live_dropped.load(Relaxed),
            downlink_dropped: self.downlink_dropped.load(Relaxed),
            confirmed: Some(self.confirmed.load(Relaxed)).filter(|n| *n > 0),
            acks_refused: self.acks_refused.load(Relaxed),
            last_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            broker_index: at.as_ref().map_or(0, |(index, ..)| *index),
            protocol: at.as_ref().map(|(.., protocol)| protocol.as_str()),
            broker: at.map(|(_, place, _)| place.to_string()),
        }
    }

    pub(super) fn connected(&self, now: UtcTime, index: usize, place: &Place, protocol: Protocol) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = Some((index, place.clone(), protocol));
        self.epochs.fetch_add(1, Relaxed);
        self.connected_us.store(now.as_micros(), Relaxed);
    }

    pub(super) fn disconnected(&self) {
        self.connected_us.store(0, Relaxed);
    }

    pub(super) fn confirmed(&self, watermark: u64) {
        self.confirmed.store(watermark, Relaxed);
    }

    pub(super) fn failed(&self, error: String) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

/// One more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
