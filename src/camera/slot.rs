//! Between capture and reader: one slot a camera, and a reader that waits on all of its slots at once.
//!
//! Which frames are read when there are more than the reader can do is decided here and nowhere else. Of each live camera the
//! newest [`WAITING`] frames wait, so that a moment's delay costs none; one more takes the place of the *oldest*, which is
//! counted as dropped: a camera that is behind for good is read at even steps, near the present. Between cameras turns are
//! taken: the next frame is that of the camera after the last one that has any, however much another one floods. A clip *waits*
//! until its slot is free, so every frame is processed, in order. A frame is never lost uncounted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::frame::Frame;

/// Frames of a live camera that wait at most: 120 ms of one with 25 a second.
pub const WAITING: usize = 3;

#[derive(Debug, Default)]
struct Slot {
    /// Oldest first.
    frames: VecDeque<Frame>,
    dropped: u64,
    closed: bool,
    /// The reader has been told that it is closed.
    told: bool,
}

/// The slots of one reader.
#[derive(Debug)]
pub struct Slots {
    slots: Mutex<Vec<Slot>>,
    changed: Condvar,
}

/// What a reader's wait came to.
#[derive(Debug)]
pub enum Taken {
    /// The next frame, and the slot it came from.
    Frame(usize, Frame),
    /// Nothing came in time.
    Timeout,
    /// The camera of this slot is done and its last frame was taken; told once.
    Ended(usize),
    /// Every camera is done, and that was told of each.
    Closed,
}

impl Slots {
    /// Slots for so many cameras.
    pub fn new(cameras: usize) -> Self {
        let slot = || Slot { frames: VecDeque::with_capacity(WAITING), ..Slot::default() };
        Self { slots: Mutex::new((0..cameras).map(|_| slot()).collect()), changed: Condvar::new() }
    }

    /// Puts a frame in its slot; where [`WAITING`] are there already the oldest is dropped and counted.
    pub fn put_latest(&self, slot: usize, frame: Frame) {
        let mut slots = self.lock();
        let slot = &mut slots[slot];
        if slot.frames.len() == WAITING {
            slot.frames.pop_front();
            slot.dropped += 1;
        }
        slot.frames.push_back(frame);
        self.changed.notify_all();
    }

    /// Waits until the slot is free, then puts the frame in. False when told to stop before.
    pub fn put_and_wait(&self, slot: usize, frame: Frame, stop: &AtomicBool) -> bool {
        let mut slots = self.lock();
        while !slots[slot].frames.is_empty() {
            if stop.load(Ordering::Relaxed) {
                return false;
            }
            slots = self.changed.wait_timeout(slots, Duration::from_millis(50)).unwrap_or_else(PoisonError::into_inner).0;
        }
        slots[slot].frames.push_back(frame);
        self.changed.notify_all();
        true
    }

    /// No more frames will come into this slot.
    pub fn close(&self, slot: usize) {
        self.lock()[slot].closed = true;
        self.changed.notify_all();
    }

    /// Takes the oldest frame that waits in the slot after `last` (round robin, so no camera starves another), or waits for one.
    pub fn take(&self, last: usize, timeout: Duration) -> Taken {
        let mut slots = self.lock();
        let mut waited = false;
        loop {
            let count = slots.len();
            let next = (1..=count).map(|step| (last + step) % count.max(1)).find(|i| !slots[*i].frames.is_empty());
            if let Some(i) = next
                && let Some(frame) = slots[i].frames.pop_front()
            {
                self.changed.notify_all();
                return Taken::Frame(i, frame);
            }
            if let Some(ended) = slots.iter().position(|s| s.closed && !s.told) {
                slots[ended].told = true;
                return Taken::Ended(ended);
            }
            if slots.iter().all(|s| s.closed) {
                return Taken::Closed;
            }
            if waited {
                return Taken::Timeout;
            }
            let (guard, result) = self.changed.wait_timeout(slots, timeout).unwrap_or_else(PoisonError::into_inner);
            slots = guard;
            waited = result.timed_out();
        }
    }

    /// Frames dropped so far, slot by slot.
    pub fn dropped(&self) -> Vec<u64> {
        self.lock().iter().map(|s| s.dropped).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Slot>> {
        // Every change is one assignment, so a poisoned lock guards a sound state.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{SimClock, UtcTime};
    use crate::frame::FramePool;
    use crate::ident::{CameraId, FrameSeq};
    use std::sync::Arc;

    fn frame(pool: &FramePool, seq: u64) -> Frame {
        let time = SimClock::at(UtcTime::default(), Duration::from_millis(seq));
        Frame::new(pool.lease(2, 2).expect("buffer"), CameraId::new("t").expect("id"), FrameSeq(seq), time)
    }

    #[test]
    fn a_live_slot_keeps_the_newest_frames_and_counts_the_rest() {
        let (slots, pool) = (Slots::new(1), FramePool::new(8));
        (0..7).for_each(|seq| slots.put_latest(0, frame(&pool, seq)));
        for seq in 4..7 {
            assert!(matches!(slots.take(0, Duration::ZERO), Taken::Frame(0, f) if f.seq() == FrameSeq(seq)));
        }
        assert_eq!(slots.dropped(), [4]);
        assert!(matches!(slots.take(0, Duration::ZERO), Taken::Timeout));
    }

    #[test]
    fn a_lossless_slot_hands_over_every_frame_in_order() {
        let slots = Arc::new(Slots::new(1));
        let writer = {
            let slots = Arc::clone(&slots);
            std::thread::spawn(move || {
                let pool = FramePool::new(200);
                for seq in 0..100 {
                    assert!(slots.put_and_wait(0, frame(&pool, seq), &AtomicBool::new(false)));
                }
                slots.close(0);
            })
        };
        let (mut seen, mut ended) = (Vec::new(), 0);
        loop {
            match slots.take(0, Duration::from_secs(5)) {
                Taken::Frame(_, f) => seen.push(f.seq().0),
                Taken::Ended(0) => ended += 1,
                Taken::Closed => break,
                other => panic!("{other:?}"),
            }
        }
        writer.join().expect("writer");
        assert_eq!(ended, 1, "an end is told once, after the last frame");
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_flood_on_one_slot_does_not_starve_another() {
        let (slots, pool) = (Slots::new(2), FramePool::new(8));
        let mut last = 1;
        let mut from = Vec::new();
        slots.put_latest(1, frame(&pool, 0));
        for seq in 0..3 {
            slots.put_latest(0, frame(&pool, seq));
            if let Taken::Frame(slot, _) = slots.take(last, Duration::ZERO) {
                from.push(slot);
                last = slot;
            }
        }
        assert_eq!(from, [0, 1, 0]);
    }
}
