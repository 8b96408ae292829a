//! What outlives an epoch: the outlet, the newest live messages, and which rows have to wait. Net thread; no network here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tokio::time::Instant;

use super::options::{Confirm, MqttOptions};
use super::refused::Refused;
use super::stats::count;
use super::{Live, Ports, Received};
use crate::outbox::{Cursors, GapReason, Lane, Seq};

/// Epochs that the broker closed over sent rows without acknowledging any, before rows go one at a time to find the culprit.
const BARREN_BEFORE_SINGLE: u32 = 2;

/// Rows remembered as sent before, for counting repeats.
const MAX_UNSETTLED: usize = 4096;

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
    pub(super) resend: BTreeMap<Seq, Lane>,
    pub(super) refused: Refused,
    /// Rows that were in flight when an epoch ended.
    unsettled: BTreeSet<Seq>,
    barren: u32,
    /// The back office's watermark, the highest that was accepted; 0 before it has spoken.
    pub(super) confirmed: u64,
    /// The highest number that the back office was heard to have and that was never given here; 0 when there was none.
    pub(super) beyond: u64,
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
            resend: BTreeMap::new(),
            refused: Refused::default(),
            unsettled: BTreeSet::new(),
            barren: 0,
            confirmed: 0,
            beyond: 0,
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
            Live::Resend { seqs } if connected => match self.ports.outlet.lanes(&seqs) {
                Ok(stored) => self.resend.extend(stored),
                Err(error) => self.storage_failed(&error.to_string()),
            },
            Live::Resend { .. } => {} // the next connection sends all there is
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
        self.refused.begin_epoch();
    }

    /// A connection ended with `flying` in the air. `blamed`: the broker itself closed it, after rows had been sent and none
    /// acknowledged. If this goes on, rows go one at a time, and the one that the broker hangs up on is put off.
    pub(super) fn end_epoch(&mut self, flying: impl Iterator<Item = (Seq, Lane)>, blamed: bool) {
        let flying: Vec<(Seq, Lane)> = flying.collect();
        if blamed {
            self.barren = self.barren.saturating_add(1);
            if let ([(culprit, lane)], true) = (&flying[..], self.barren > BARREN_BEFORE_SINGLE) {
                tracing::warn!(seq = culprit.get(), "the broker hangs up on this row; trying others first");
                self.put_off(*culprit, *lane);
            }
        }
        if self.unsettled.len() > MAX_UNSETTLED {
            self.unsettled.clear(); // rows evicted meanwhile pile up here; only the count of repeats suffers
        }
        self.unsettled.extend(flying.into_iter().map(|(seq, _)| seq));
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
            Confirm::BackOffice(_) => self.sent.has_passed(lane, seq) && !self.refused.contains(seq),
        };
        self.sent.pass(lane, seq);
        if again {
            count(&self.ports.stats.resent);
        }
    }

    /// A row has arrived.
    pub(super) fn arrived(&mut self, seq: Seq) {
        count(&self.ports.stats.acknowledged);
        self.refused.remove(seq);
        self.barren = 0;
    }

    /// A row has to wait; longer each time.
    pub(super) fn put_off(&mut self, seq: Seq, lane: Lane) {
        self.refused.put_off(seq, lane, self.options.refused_wait, Instant::now());
    }

    /// Rows that lie behind the cursors and are to be sent now, because they have waited long enough or somebody wants them again:
    /// pictures, or those that are none.
    pub(super) fn again(&self, images: bool) -> impl Iterator<Item = Seq> {
        // One that was refused is tried again when it is due, whoever wants it.
        let wanted = self.resend.iter().filter(move |(seq, lane)| lane.is_image() == images && !self.refused.contains(**seq));
        self.refused.due(images, Instant::now()).chain(wanted.map(|(seq, _)| *seq))
    }

    /// Whether a row that is sent now is of the past, though this epoch saw its commit.
    pub(super) fn is_late(&self, seq: Seq) -> bool {
        self.refused.contains(seq) || self.resend.contains_key(&seq)
    }

    /// Rows up to this one have left.
    pub(super) fn confirmed_through(&mut self, through: Seq) {
        self.refused.remove_through(through);
        self.resend.retain(|seq, _| *seq > through);
    }

    /// Rows that were asked for by number and are not stored any more: whatever they waited for, they have left.
    pub(super) fn gone(&mut self, seqs: impl Iterator<Item = Seq>) {
        for seq in seqs {
            self.refused.remove(seq);
            self.resend.remove(&seq);
        }
    }

    /// A row that no packet of this broker can hold: out of the store, into the gap table.
    pub(super) fn dead_letter(&mut self, (seq, lane): (Seq, Lane), topic: &str, bytes: usize, limit: usize) {
        tracing::error!(seq = seq.get(), topic, bytes, limit, "larger than the broker takes; noted as missing");
        count(&self.ports.stats.dead_lettered);
        self.ports.stats.failed(format!("row {seq} on {topic}: {bytes} bytes, the broker takes {limit}"));
        let now = self.ports.clock.now().utc;
        match self.ports.outlet.lose(&[seq], GapReason::TooLarge, now) {
            Ok(()) => self.gone(std::iter::once(seq)),
            Err(error) => {
                self.storage_failed(&error.to_string());
                self.put_off(seq, lane);
            }
        }
    }

    /// The disk failed under us. Nothing is lost by that; it is said, and the next try may do better.
    pub(super) fn storage_failed(&self, error: &str) {
        tracing::error!(error, "the outbox did not answer");
        self.ports.stats.failed(error.to_owned());
    }
}
