//! Delivery that the back office confirms: rows stay until its watermark passes them, whatever the broker says. The back office
//! says it on a retained message of its own; until it does, rows are sent again, in each epoch and, when nothing moves, within
//! one. Net thread; small transactions, a slice at a time.

use std::time::Duration;

use tokio::time::Instant;

use super::super::Received;
use super::super::options::{BackOffice, Confirm};
use super::super::stats::count;
use super::Epoch;
use crate::outbox::{Lane, OutboxError, Seq};
use crate::publish::wire::{AckMessage, Message};

/// Rows taken out at a time, so that the connection is never kept waiting for long.
const SLICE: usize = 256;
/// Rows that the broker has taken are noted together, at the latest after so long.
const NOTE_EVERY: Duration = Duration::from_millis(20);
/// The wait for the back office doubles up to so many times.
const MOST_PATIENCE: u32 = 16;

/// What an epoch remembers of it.
#[derive(Debug)]
pub(super) struct Confirming {
    /// Rows up to here are being taken out.
    releasing: Option<Seq>,
    /// When to look whether the back office moves.
    look_at: Instant,
    /// The last number given when that was done last.
    seen: u64,
    /// The lowest row that is stored, which the broker has taken, and since when it is that.
    stuck: Option<(Seq, Instant)>,
    patience: u32,
    /// Rows of text that the broker has taken, not noted yet, and when they have to be.
    passed: Vec<Seq>,
    note_at: Option<Instant>,
}

impl Confirming {
    /// `confirmed`: the watermark that was accepted before; what was to go then may not have gone yet.
    pub(super) fn new(confirm: &Confirm, confirmed: u64, now: Instant) -> Option<Self> {
        let Confirm::BackOffice(office) = confirm else { return None };
        let look_at = now + office.wait / 4;
        let releasing = Seq::new(confirmed);
        Some(Self { releasing, look_at, seen: 0, stuck: None, patience: 1, passed: Vec::new(), note_at: None })
    }

    /// When there is something to do even if nothing happens.
    pub(super) fn due(&self) -> Instant {
        self.note_at.map_or(self.look_at, |at| at.min(self.look_at))
    }

    /// The broker has taken a row.
    pub(super) fn passed(&mut self, seq: Seq, lane: Lane) {
        if !lane.is_image() {
            self.passed.push(seq);
            self.note_at.get_or_insert_with(|| Instant::now() + NOTE_EVERY);
        }
    }
}

/// Why an acknowledgement is none for us.
struct Refusal {
    why: String,
    /// It is of our stream and confirms this number, which was never given.
    beyond: Option<u64>,
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self { why, beyond: None }
    }
}

impl Epoch<'_> {
    /// Whether a message is the back office's word, which is for us alone.
    pub(super) fn is_acknowledgement(&self, message: &Received) -> bool {
        matches!(&self.desk.options.confirm, Confirm::BackOffice(office) if office.topic == message.topic)
    }

    /// Takes the back office at its word, if it can be its word.
    pub(super) fn take_acknowledgement(&mut self, message: &Received) {
        let Confirm::BackOffice(office) = &self.desk.options.confirm else { return };
        // An empty one takes a retained message back.
        if message.payload.is_empty() {
            return;
        }
        let watermark = match self.judge(office, message) {
            Ok(watermark) => watermark,
            Err(refusal) => {
                let why = refusal.why;
                let stats = &self.desk.ports.stats;
                count(&stats.acks_refused);
                tracing::warn!(why, "an acknowledgement is not for what is stored here; nothing is deleted");
                stats.failed(format!("an acknowledgement was refused: {why}"));
                if let Some(beyond) = refusal.beyond {
                    self.skip_beyond(beyond);
                }
                return;
            }
        };
        let Some(confirming) = &mut self.confirming else { return };
        confirming.patience = 1;
        confirming.stuck = None;
        if watermark > self.desk.confirmed {
            self.desk.confirmed = watermark;
            self.desk.ports.stats.confirmed(watermark);
            confirming.releasing = Seq::new(watermark);
        }
    }

    /// The watermark, or why it is none for us.
    fn judge(&self, office: &BackOffice, message: &Received) -> Result<u64, Refusal> {
        let outlet = &self.desk.ports.outlet;
        let ack = AckMessage::decode(&message.payload).map_err(|e| format!("it can't be read: {e}"))?;
        if ack.schema != AckMessage::SCHEMA {
            return Err(format!("its schema is {:?}", ack.schema).into());
        }
        if ack.device != office.device {
            return Err(format!("it is for the device {:?}", ack.device).into());
        }
        if ack.stream != outlet.stream().to_string() {
            return Err(format!("it is of the stream {:?}, ours is {}", ack.stream, outlet.stream()).into());
        }
        let last = outlet.last_seq().map_err(|e| e.to_string())?;
        if ack.watermark > last {
            let why = format!("it confirms number {}, the last one given is {last}", ack.watermark);
            return Err(Refusal { why, beyond: Some(ack.watermark) });
        }
        Ok(ack.watermark)
    }

    /// The back office has numbers of our own stream that were never given here: this store is older than what it sent. New rows
    /// under those numbers would be taken for repeats, so numbers go on beyond them.
    fn skip_beyond(&mut self, watermark: u64) {
        if watermark <= self.desk.beyond {
            return;
        }
        let now = self.desk.ports.clock.now().utc;
        let skipped = Seq::new(watermark).map_or(Ok(false), |given| self.desk.ports.outlet.skip_beyond(given, now));
        match skipped {
            Ok(true) => tracing::error!(
                watermark,
                "the back office has more of this stream than the outbox ever gave: the outbox was rolled back, as by a restored \
                 backup; numbers go on beyond, those between are declared damaged"
            ),
            Ok(false) => tracing::error!(
                watermark,
                "an acknowledgement is implausibly far beyond what the outbox ever gave; numbers go on as they were"
            ),
            Err(error) => return self.desk.storage_failed(&error.to_string()),
        }
        self.desk.beyond = watermark;
    }

    /// Notes what the broker has taken.
    pub(super) fn tell_passed(&mut self) {
        let Some(confirming) = &mut self.confirming else { return };
        confirming.note_at = None;
        let passed = std::mem::take(&mut confirming.passed);
        if !passed.is_empty()
            && let Err(error) = self.desk.ports.outlet.passed(&passed)
        {
            self.desk.storage_failed(&error.to_string()); // they are told of once more, no worse
        }
    }

    /// What is to be done now: a slice of what was confirmed goes; if nothing moves, all is sent again.
    pub(super) fn confirm(&mut self, now: Instant) {
        let Some(confirming) = &self.confirming else { return };
        let through = confirming.releasing;
        if confirming.note_at.is_some_and(|at| at <= now) || confirming.passed.len() >= self.window {
            self.tell_passed();
        }
        if let Some(through) = through {
            self.release_slice(through, now);
        } else if self.release_at.is_some_and(|at| at <= now) {
            self.release_at = None; // it was only to look again
        }
        if self.confirming.as_ref().is_some_and(|c| c.look_at <= now)
            && let Err(error) = self.look_for_progress(now)
        {
            self.desk.storage_failed(&error.to_string());
        }
    }

    fn release_slice(&mut self, through: Seq, now: Instant) {
        // After a failure of the disk a second passes before the next try.
        if self.release_at.is_some_and(|at| at > now) {
            return;
        }
        let released = self.desk.ports.outlet.release_through(through, SLICE);
        let Some(confirming) = &mut self.confirming else { return };
        match released {
            Ok(gone) => {
                self.release_at = (gone == SLICE).then_some(now);
                if gone < SLICE {
                    confirming.releasing = None;
                    self.desk.confirmed_through(through);
                }
            }
            Err(error) => {
                self.release_at = Some(now + Duration::from_secs(1));
                self.desk.storage_failed(&error.to_string());
            }
        }
    }

    /// Whether all that was stored at the last look has been sent once and answered for: before that, sending it again would only
    /// keep what comes last from ever being sent. What the broker refuses as a whole is not waited for.
    fn is_through(&mut self, now: Instant) -> Result<bool, OutboxError> {
        let Some(confirming) = &mut self.confirming else { return Ok(false) };
        let last = self.desk.ports.outlet.last_seq()?;
        let seen = std::mem::replace(&mut confirming.seen, last);
        if self.flying.keys().any(|seq| seq.get() <= seen) {
            return Ok(false);
        }
        let utc = self.desk.ports.clock.now().utc;
        for lane in Lane::ALL {
            if !self.desk.refused.is_choked(lane, now)
                && let Some(first) = self.desk.ports.outlet.next(&[lane], &self.cursors, 1, utc)?.first()
                && first.seq.get() <= seen
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Rows that the broker has taken and that are stored still: the back office is behind, or they never reached it.
    fn look_for_progress(&mut self, now: Instant) -> Result<(), OutboxError> {
        let (Confirm::BackOffice(office), Some(confirming)) = (&self.desk.options.confirm, &mut self.confirming) else {
            return Ok(());
        };
        let wait = office.wait;
        confirming.look_at = now + wait / 4;
        let is_through = self.is_through(now)?;
        let lowest = self.desk.ports.outlet.lowest()?.filter(|(seq, lane)| {
            self.cursors.has_passed(*lane, *seq) && !self.flying.contains_key(seq) && !self.desk.refused.contains(*seq)
        });
        let Some(confirming) = &mut self.confirming else { return Ok(()) };
        let Some((lowest, _)) = lowest.filter(|_| is_through) else {
            confirming.stuck = None;
            return Ok(());
        };
        match confirming.stuck {
            Some((seq, since)) if seq == lowest => {
                if now.saturating_duration_since(since) >= wait * confirming.patience {
                    confirming.patience = (confirming.patience * 2).min(MOST_PATIENCE);
                    confirming.stuck = Some((lowest, now));
                    tracing::warn!(lowest = lowest.get(), "the back office confirms nothing; what is stored is sent again");
                    self.start_over();
                }
            }
            _ => confirming.stuck = Some((lowest, now)),
        }
        Ok(())
    }
}
