//! The reader thread: frames out of their slots, through the pipeline, outcomes to the recorder.
//!
//! It never waits for the disk while a camera is live. When the recorder's queue is full, outcomes first lose their
//! pictures (counted) and wait here as text, up to `BACKLOG`; beyond that the reader does wait, and frames are dropped in
//! their slots, counted there. With a lossless clip it waits at once: nothing about a clip is urgent.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::board::HotlistBoard;
use super::pipeline::{Handled, Outcome, Pipeline};
use super::snapshot::Snapshots;
use crate::anpr::core::CoreStats;
use crate::camera::slot::{Slots, Taken};
use crate::clock::{CaptureTime, Clock};
use crate::ident::CameraId;

/// Outcomes without pictures that may wait in the reader: at three thousand vehicles an hour, twenty minutes' worth.
const BACKLOG: usize = 1024;
/// Failed frames in a row after which the models are taken to be beyond help and the daemon ends, to be started afresh.
const MAX_FAILURES: u32 = 25;

/// Counters that a reader keeps for health.
#[derive(Debug, Default)]
pub struct ReaderStats {
    /// Frames processed, still ones among them.
    pub frames: AtomicU64,
    /// Frames passed over because nothing had moved.
    pub still: AtomicU64,
    /// Frames on which vision failed.
    pub failures: AtomicU64,
    /// CPU time seeing whether anything moved, microseconds.
    pub motion_us: AtomicU64,
    /// CPU time finding plates, microseconds.
    pub detect_us: AtomicU64,
    /// CPU time reading them, microseconds.
    pub read_us: AtomicU64,
    /// Outcomes that lost their pictures because the recorder was behind.
    pub evidence_dropped: AtomicU64,
    /// Moment of the last turn of its loop, nanoseconds of the monotonic clock: for the watchdog.
    pub beat_nanos: AtomicU64,
    /// Counters of the core as of the last frame.
    pub core: Mutex<CoreStats>,
    /// Why it gave up, if it did.
    pub fatal: Mutex<Option<String>>,
    /// Set when the thread has done its work: it has no beat to keep any more.
    pub done: AtomicBool,
    /// Outcomes lost at a stop, because the disk refused to the end.
    pub lost: AtomicU64,
}

/// What a reader thread needs.
#[derive(Debug)]
pub struct ReaderThread {
    /// Vision and core.
    pub pipeline: Pipeline,
    /// Where frames come from.
    pub slots: Arc<Slots>,
    /// Names of the cameras, slot by slot.
    pub cameras: Vec<CameraId>,
    /// Whether any of them is a lossless clip, whose time is not the clock's.
    pub lossless: bool,
    /// Where outcomes go.
    pub outcomes: SyncSender<Outcome>,
    /// The hotlist in force.
    pub board: Arc<HotlistBoard>,
    /// Where somebody may ask for a frame.
    pub snapshots: Arc<Snapshots>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Counters for health.
    pub stats: Arc<ReaderStats>,
    /// Set when waiting for a recorder that waits for a refusing disk must end.
    pub give_up: Arc<AtomicBool>,
}

impl ReaderThread {
    /// Reads until every camera is done.
    pub fn run(mut self) {
        let (mut last, mut failures, mut hotlist_version) = (0, 0, 0);
        let mut out = Vec::new();
        let mut backlog = VecDeque::new();
        let mut last_at = self.clock.now();
        loop {
            let now = self.clock.now();
            self.stats.beat_nanos.store(now.mono.as_nanos(), Ordering::Relaxed);
            let version = self.board.version();
            if version != hotlist_version {
                hotlist_version = version;
                self.pipeline.hotlists(self.board.get(), &mut out);
            }
            match self.slots.take(last, Duration::from_millis(100)) {
                Taken::Frame(slot, frame) => {
                    last = slot;
                    last_at = frame.at();
                    match self.pipeline.frame(&frame, &mut out) {
                        Ok(handled) => {
                            // A still frame says nothing of whether the models work.
                            failures = if handled.still { failures } else { 0 };
                            self.snapshots.offer(&frame, handled.still, now.mono, || self.pipeline.plates());
                            self.count(handled);
                        }
                        Err(e) => {
                            failures += 1;
                            self.stats.failures.fetch_add(1, Ordering::Relaxed);
                            // The first of a row tells the story; the rest only count.
                            if failures == 1 {
                                tracing::warn!(camera = %frame.camera(), frame = frame.seq().0, "frame dropped: {e}");
                            }
                            if failures >= MAX_FAILURES {
                                *self.stats.fatal.lock().unwrap_or_else(PoisonError::into_inner) =
                                    Some(format!("{failures} frames in a row failed, the last with: {e}"));
                                break;
                            }
                        }
                    }
                }
                Taken::Timeout if !self.lossless => self.pipeline.tick(now, &mut out),
                Taken::Timeout => {}
                Taken::Ended(slot) => self.end(slot, last_at, &mut out),
                Taken::Closed => break,
            }
            self.hand_over(&mut out, &mut backlog);
            *self.stats.core.lock().unwrap_or_else(PoisonError::into_inner) = self.pipeline.stats();
        }
        // All that is left goes out before the sender is dropped, which tells the recorder that this was it.
        for slot in 0..self.cameras.len() {
            self.end(slot, last_at, &mut out);
        }
        backlog.into_iter().chain(out).for_each(|outcome| self.send(outcome));
        self.stats.done.store(true, Ordering::Relaxed);
    }

    /// Waits for room in the queue, with a beat for the watchdog: a refusing disk is no reason to be killed.
    fn send(&self, mut outcome: Outcome) {
        loop {
            match self.outcomes.try_send(outcome) {
                Ok(()) => return,
                Err(TrySendError::Full(back)) if !self.give_up.load(Ordering::Relaxed) => outcome = back,
                Err(_) => {
                    self.stats.lost.fetch_add(1, Ordering::Relaxed);
                    return;
                }
            }
            self.stats.beat_nanos.store(self.clock.now().mono.as_nanos(), Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn end(&mut self, slot: usize, last_at: CaptureTime, out: &mut Vec<Outcome>) {
        let at = if self.lossless { last_at } else { self.clock.now() };
        self.pipeline.end(&self.cameras[slot], at, out);
    }

    fn count(&self, Handled { still, times }: Handled) {
        let us = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
        self.stats.frames.fetch_add(1, Ordering::Relaxed);
        self.stats.still.fetch_add(u64::from(still), Ordering::Relaxed);
        self.stats.motion_us.fetch_add(us(times.motion), Ordering::Relaxed);
        self.stats.detect_us.fetch_add(us(times.detect), Ordering::Relaxed);
        self.stats.read_us.fetch_add(us(times.read), Ordering::Relaxed);
    }

    fn hand_over(&self, out: &mut Vec<Outcome>, backlog: &mut VecDeque<Outcome>) {
        while let Some(outcome) = backlog.pop_front() {
            if let Err(TrySendError::Full(outcome)) = self.outcomes.try_send(outcome) {
                backlog.push_front(outcome);
                break;
            }
        }
        for outcome in out.drain(..) {
            if self.lossless || backlog.len() >= BACKLOG {
                backlog.drain(..).for_each(|waiting| self.send(waiting));
                self.send(outcome);
            } else if backlog.is_empty() {
                if let Err(TrySendError::Full(outcome)) = self.outcomes.try_send(outcome) {
                    backlog.push_back(self.without_pictures(outcome));
                }
            } else {
                backlog.push_back(self.without_pictures(outcome));
            }
        }
    }

    fn without_pictures(&self, outcome: Outcome) -> Outcome {
        let lost = |had: bool| {
            if had {
                self.stats.evidence_dropped.fetch_add(1, Ordering::Relaxed);
            }
        };
        match outcome {
            Outcome::Record(record, evidence) => {
                lost(evidence.is_some());
                Outcome::Record(record, None)
            }
            Outcome::Unread(unread, evidence) => {
                lost(evidence.is_some());
                Outcome::Unread(unread, None)
            }
            Outcome::Alert(alert) => Outcome::Alert(alert),
        }
    }
}
