//! Delivery that the back office confirms: rows stay until its watermark passes them, whatever the broker says. The back office
//! says it on a retained message of its own; until it does, rows are sent again, in each epoch and, when nothing moves, within
//! one. Net thread; small transactions, a slice at a time.

use std::time::Duration;

use tokio::time::Instant;

use super::super::Received;
use super::super::options::{BackOffice, Confirm};
use super::super::stats::count;
use super::Epoch;
use crate::outbox::{OutboxError, Seq};
use crate::publish::wire::{AckMessage, Message};

/// Rows taken out at a time, so that the connection is never kept waiting for long.
const SLICE: usize = 256;
/// The wait for the back office doubles up to so many times.
const MOST_PATIENCE: u32 = 16;

/// What an epoch remembers of it.
#[derive(Debug)]
pub(super) struct Confirming {
    /// Rows up to here are being taken out.
    releasing: Option<Seq>,
    /// When to look whether the back office moves.
    pub(super) look_at: Instant,
    /// The lowest row that is stored, which the broker has taken, and since when it is that.
    stuck: Option<(Seq, Instant)>,
    patience: u32,
}

impl Confirming {
    /// `confirmed`: the watermark that was accepted before; what was to go then may not have gone yet.
    pub(super) fn new(confirm: &Confirm, confirmed: u64, now: Instant) -> Option<Self> {
        let Confirm::BackOffice(office) = confirm else { return None };
        Some(Self { releasing: Seq::new(confirmed), look_at: now + office.wait / 4, stuck: None, patience: 1 })
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
            Err(why) => {
                let stats = &self.desk.ports.stats;
                count(&stats.acks_refused);
                tracing::warn!(why, "an acknowledgement is not for what is stored here; nothing is deleted");
                stats.failed(format!("an acknowledgement was refused: {why}"));
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
    fn judge(&self, office: &BackOffice, message: &Received) -> Result<u64, String> {
        let outlet = &self.desk.ports.outlet;
        let ack = AckMessage::decode(&message.payload).map_err(|e| format!("it can't be read: {e}"))?;
        if ack.schema != AckMessage::SCHEMA {
            return Err(format!("its schema is {:?}", ack.schema));
        }
        if ack.device != office.device {
            return Err(format!("it is for the device {:?}", ack.device));
        }
        if ack.stream != outlet.stream().to_string() {
            return Err(format!("it is of the stream {:?}, ours is {}", ack.stream, outlet.stream()));
        }
        let last = outlet.last_seq().map_err(|e| e.to_string())?;
        if ack.watermark > last {
            return Err(format!("it confirms number {}, the last one given is {last}", ack.watermark));
        }
        Ok(ack.watermark)
    }

    /// What is to be done now: a slice of what was confirmed goes; if nothing moves, all is sent again.
    pub(super) fn confirm(&mut self, now: Instant) {
        let Some(through) = self.confirming.as_ref().map(|c| c.releasing) else { return };
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

    /// Rows that the broker has taken and that are stored still: the back office is behind, or they never reached it.
    fn look_for_progress(&mut self, now: Instant) -> Result<(), OutboxError> {
        let (Confirm::BackOffice(office), Some(confirming)) = (&self.desk.options.confirm, &mut self.confirming) else {
            return Ok(());
        };
        confirming.look_at = now + office.wait / 4;
        let lowest = self.desk.ports.outlet.lowest()?.filter(|(seq, lane)| {
            self.cursors.has_passed(*lane, *seq) && !self.flying.contains_key(seq) && !self.desk.is_put_off(*seq)
        });
        let Some((lowest, _)) = lowest else {
            confirming.stuck = None;
            return Ok(());
        };
        match confirming.stuck {
            Some((seq, since)) if seq == lowest => {
                if now.saturating_duration_since(since) >= office.wait * confirming.patience {
                    confirming.patience = (confirming.patience * 2).min(MOST_PATIENCE);
                    confirming.stuck = Some((lowest, now));
                    tracing::warn!(lowest = lowest.get(), "the back office confirms nothing; what is stored is sent again");
                    self.cursors.reset();
                    // What is sent again is not of the moment any more.
                    self.history = self.desk.ports.outlet.last_seq()?;
                    self.hungry = true;
                }
            }
            _ => confirming.stuck = Some((lowest, now)),
        }
        Ok(())
    }
}
