//! What outlives an epoch: the outlet, the newest live messages, and which rows have to wait. Net thread; no network here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::options::{Confirm, MqttOptions};
use super::stats::count;
use super::{Live, Ports, Received};
use crate::clock::Backoff;
use crate::outbox::{Cursors, GapReason, Lane, Seq};

/// With so many rows refused and waiting, the broker refuses everything: nothing new is sent until one of them is due.
const MAX_PUT_OFF: usize = 64;
/// Epochs that the broker closed over sent rows without acknowledging any, before rows go one at a time to find the culprit.
const BARREN_BEFORE_SINGLE: u32 = 2;

/// Rows remembered as sent before, for counting repeats.
const MAX_UNSETTLED: usize = 4096;
/// A refused row not tried again for so long after it was due has left the outbox.
const FORGET_AFTER: Duration = Duration::from_mins(10);

/// A refused row's wait.
#[derive(Debug)]
struct PutOff {
    until: Instant,
    backoff: Backoff,
}

/// The newest message of a retained topic.
#[derive(Debug)]
pub(super) struct Latest {
    pub(super) schema: String,
    pub(super) payload: Vec<u8>,
    /// Not yet published in this epoch.
    pub(super) dirty: bool,
}

/// An answer on its way.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) topic: String,
    pub(super) schema: String,
    pub(super) payload: Vec<u8>,
    pub(super) correlation: Option<Vec<u8>>,
}

/// State across epochs.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) options: MqttOptions,
    pub(super) ports: Ports,
    pub(super) latest: BTreeMap<String, Latest>,
    /// Fleeting messages of this epoch, not yet handed on.
    pub(super) fleeting: Vec<(String, String, Vec<u8>)>,
    /// Answers of this epoch, not yet handed on.
    pub(super) answers: VecDeque<Answer>,
    /// Rows that somebody asked for again.
    pub(super) resend: BTreeSet<Seq>,
    put_off: BTreeMap<Seq, PutOff>,
    /// Rows that were in flight when an epoch ended.
    unsettled: BTreeSet<Seq>,
    barren: u32,
    /// The back office's watermark, the highest that was accepted; 0 before it has spoken.
    pub(super) confirmed: u64,
    /// How far each lane was ever sent: where the back office confirms, what lies behind was sent before.
    sent: Cursors,
}

impl Desk {
    pub(super) fn new(options: MqttOptions, ports: Ports) -> Self {
        let presence = Latest { schema: options.presence.schema.clone(), payload: options.presence.online.clone(), dirty: true };
        let latest = BTreeMap::from([(options.presence.topic.clone(), presence)]);
        Self {
            options,
            ports,
            latest,
            fleeting: Vec::new(),
            answers: VecDeque::new(),
            resend: BTreeSet::new(),
            put_off: BTreeMap::new(),
            unsettled: BTreeSet::new(),
            barren: 0,
            confirmed: 0,
            sent: Cursors::default(),
        }
    }

    /// Keeps a live message, or drops it when it is of the moment and there is no connection.
    pub(super) fn take_live(&mut self, live: Live, connected: bool) {
        match live {
            Live::Latest { topic, schema, payload } => drop(self.latest.insert(topic, Latest { schema, payload, dirty: true })),
            Live::Fleeting { topic, schema, payload } if connected && self.fleeting.len() < 16 => {
                self.fleeting.push((topic, schema, payload));
            }
            Live::Answer { topic, schema, payload, correlation } if connected && self.answers.len() < 16 => {
                self.answers.push_back(Answer { topic, schema, payload, correlation });
            }
            Live::Resend { seqs } => self.resend.extend(seqs),
            Live::Fleeting { .. } | Live::Answer { .. } => count(&self.ports.stats.live_dropped),
        }
    }

    /// A message from the broker, to whoever it is for.
    pub(super) fn deliver(&self, message: Received) {
        let taken = match &self.ports.commands {
            Some((topics, commands)) if message.topic.starts_with(topics) => commands.try_send(message).is_ok(),
            _ => self.ports.downlink.as_ref().is_none_or(|downlink| downlink.try_send(message).is_ok()),
        };
        if !taken {
            count(&self.ports.stats.downlink_dropped);
        }
    }

    /// A new connection: everything live is to be told again. So is every row, which nobody has to ask for.
    pub(super) fn begin_epoch(&mut self) {
        self.latest.values_mut().for_each(|l| l.dirty = true);
        let late = self.fleeting.len() + self.answers.len();
        (0..late).for_each(|_| count(&self.ports.stats.live_dropped));
        self.fleeting.clear();
        self.answers.clear();
        self.resend.clear();
    }

    /// A connection ended with `flying` in the air. `blamed`: the broker itself closed it, after rows had been sent and none
    /// acknowledged. If this goes on, rows go one at a time, and the one that the broker hangs up on is put off.
    pub(super) fn end_epoch(&mut self, flying: impl Iterator<Item = Seq>, blamed: bool) {
        let flying: Vec<Seq> = flying.collect();
        if blamed {
            self.barren = self.barren.saturating_add(1);
            if let ([culprit], true) = (&flying[..], self.barren > BARREN_BEFORE_SINGLE) {
                tracing::warn!(seq = culprit.get(), "the broker hangs up on this row; trying others first");
                self.put_off(*culprit);
            }
        }
        if self.unsettled.len() > MAX_UNSETTLED {
            self.unsettled.clear(); // rows evicted meanwhile pile up here; only the count of repeats suffers
        }
        self.unsettled.extend(flying);
    }

    /// Rows that may fly at once, of `window`.
    pub(super) const fn row_window(&self, window: usize) -> usize {
        if self.barren >= BARREN_BEFORE_SINGLE { 1 } else { window }
    }

    /// Counts a row that goes out.
    pub(super) fn sent(&mut self, lane: Lane, seq: Seq) {
        count(&self.ports.stats.published);
        let again = match self.options.confirm {
            Confirm::Broker => self.unsettled.remove(&seq),
            Confirm::BackOffice(_) => self.sent.has_passed(lane, seq) && !self.put_off.contains_key(&seq),
        };
        self.sent.pass(lane, seq);
        if again {
            count(&self.ports.stats.resent);
        }
    }

    /// A row has arrived.
    pub(super) fn arrived(&mut self, seq: Seq) {
        count(&self.ports.stats.acknowledged);
        self.put_off.remove(&seq);
        self.barren = 0;
    }

    /// A row has to wait; longer each time.
    pub(super) fn put_off(&mut self, seq: Seq) {
        let floor = self.options.refused_wait;
        let new = || PutOff { until: Instant::now(), backoff: Backoff::new(floor, floor * 32, seq.get()) };
        // Rows evicted while they waited are never heard of again.
        let now = Instant::now();
        self.put_off.retain(|_, p| now.saturating_duration_since(p.until) < FORGET_AFTER);
        let entry = self.put_off.entry(seq).or_insert_with(new);
        entry.until = Instant::now() + entry.backoff.next_wait();
    }

    /// Whether the broker refuses so much that sending more makes no sense now.
    pub(super) fn is_choked(&self) -> bool {
        self.put_off.len() >= MAX_PUT_OFF && self.put_off.values().all(|p| p.until > Instant::now())
    }

    /// Whether a row was refused and has not arrived since.
    pub(super) fn is_put_off(&self, seq: Seq) -> bool {
        self.put_off.contains_key(&seq)
    }

    /// Rows up to this one have left.
    pub(super) fn confirmed_through(&mut self, through: Seq) {
        self.put_off.retain(|seq, _| *seq > through);
        self.resend.retain(|seq| *seq > through);
    }

    /// Rows that were asked for by number and are not stored any more: whatever they waited for, they have left.
    pub(super) fn gone(&mut self, seqs: impl Iterator<Item = Seq>) {
        for seq in seqs {
            self.put_off.remove(&seq);
            self.resend.remove(&seq);
        }
    }

    /// Rows that have to wait still.
    pub(super) fn waiting(&self) -> impl Iterator<Item = Seq> {
        let now = Instant::now();
        self.put_off.iter().filter(move |(_, p)| p.until > now).map(|(seq, _)| *seq)
    }

    /// Rows that have waited long enough.
    pub(super) fn due(&self) -> impl Iterator<Item = Seq> {
        let now = Instant::now();
        self.put_off.iter().filter(move |(_, p)| p.until <= now).map(|(seq, _)| *seq)
    }

    /// When the next of them is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let now = Instant::now();
        self.put_off.values().map(|p| p.until).filter(|t| *t > now).min()
    }

    /// A row that no packet of this broker can hold: out of the store, into the gap table.
    pub(super) fn dead_letter(&mut self, seq: Seq, topic: &str, bytes: usize, limit: usize) {
        tracing::error!(seq = seq.get(), topic, bytes, limit, "larger than the broker takes; noted as missing");
        count(&self.ports.stats.dead_lettered);
        self.ports.stats.failed(format!("row {seq} on {topic}: {bytes} bytes, the broker takes {limit}"));
        let now = self.ports.clock.now().utc;
        if let Err(error) = self.ports.outlet.lose(&[seq], GapReason::TooLarge, now) {
            self.storage_failed(&error.to_string());
            self.put_off(seq);
        }
    }

    /// The disk failed under us. Nothing is lost by that; it is said, and the next try may do better.
    pub(super) fn storage_failed(&self, error: &str) {
        tracing::error!(error, "the outbox did not answer");
        self.ports.stats.failed(error.to_owned());
    }
}
