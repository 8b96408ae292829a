//! Decoding allocates nothing, nor do the motion gate and what the capture thread does to each frame. A binary of its own, because the allocator that counts is the whole program's.
//!
//! Only the thread that does the work is counted, so other tests and the harness may do as they like.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use kerbside::anpr::decode::{DecodeOptions, Decoded, Decoder};
use kerbside::anpr::read::{PlateRead, Slot};
use kerbside::anpr::syntax::Grammar;
use kerbside::anpr::vrm::{GLYPHS, Glyph};
use kerbside::camera::picture::{PictureOptions, PictureWatch};
use kerbside::clock::{SimClock, UtcTime};
use kerbside::frame::mask::Mask;
use kerbside::frame::{self, Frame, FramePool};
use kerbside::geometry::Point;
use kerbside::ident::{CameraId, FrameSeq};
use kerbside::vision::motion::{MotionGate, MotionOptions};

/// The system's allocator, which counts what each thread asks of it.
#[derive(Debug)]
struct Counting;

thread_local! {
    // Set at compile time and without a destructor: reading it allocates nothing and works as long as the thread does.
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    ASKED.set(ASKED.get() + 1);
}

// JUSTIFICATION: nothing but a global allocator sees every allocation, and its trait is unsafe.
// SAFETY: every call is handed to the system's allocator as it came; counting touches a thread-local number only.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(ptr, layout, new_size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on. Giving back is not counted: what is given back was asked for.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Numbers that look random and are the same on every run (xorshift64*, Marsaglia 2003 and Vigna 2016).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(high).expect("31 bits") % n
    }

    /// From 0 to 1 in steps of a thousandth.
    fn share(&mut self) -> f32 {
        f32::from(u16::try_from(self.below(1001)).expect("at most 1000")) / 1000.0
    }
}

const MARKS: [&str; 8] = ["AB12CDE", "GO10OLO", "A1Z1234", "P100ODE", "B84EEE", "101X211", "WA56660", "1"];

/// A read of one of the marks, from sharp to hopeless: rivals at every glyph, and slots that may be empty.
fn read(dice: &mut Dice) -> PlateRead {
    let mark = MARKS[dice.below(MARKS.len())];
    let mut slots = Vec::new();
    for c in mark.chars() {
        let mut weights = [0.0; GLYPHS];
        weights[Glyph::from_char(c).expect("a glyph").index()] = 0.2 + dice.share();
        for _ in 0..dice.below(6) {
            weights[dice.below(GLYPHS)] += dice.share();
        }
        slots.push(Slot::new(weights, 0.5 + dice.share() / 2.0));
        if dice.below(4) == 0 {
            slots.push(Slot::new([1.0; GLYPHS], dice.share()));
        }
    }
    PlateRead::from_slots(slots)
}

#[test]
fn decoding_allocates_nothing() {
    let mut dice = Dice(20_261_122);
    let reads: Vec<PlateRead> = (0..400).map(|_| read(&mut dice)).collect();
    let grammar = Grammar::new(UtcTime::parse("2026-11-22").expect("a date"));
    let mut decoder = Decoder::new(grammar, DecodeOptions::default());
    let mut decoded: Vec<Option<Decoded>> = Vec::with_capacity(reads.len());
    // Nothing warms up: what decoding needs is there from the start.
    let before = ASKED.get();
    decoded.extend(reads.iter().map(|read| decoder.decode(read)));
    let asked = ASKED.get() - before;
    assert_eq!(asked, 0, "allocations in {} reads", reads.len());
    // It was work: nearly all were decoded, with rivals, and the counter counts.
    assert!(decoded.iter().flatten().count() > 350);
    assert!(decoded.iter().flatten().filter(|d| d.alternatives[3].is_some()).count() > 200);
    drop(vec![0u8; 100]);
    assert!(ASKED.get() > before, "the counter is dead");
}

#[test]
fn the_motion_gate_allocates_nothing_after_its_first_frames() {
    let (pool, camera) = (FramePool::new(4), CameraId::new("road").expect("an id"));
    let frames: Vec<Frame> = (0..4u8)
        .map(|n| {
            let mut lease = pool.lease(320, 180).expect("a buffer");
            lease.bgr_mut().fill(50 * (n / 2));
            lease.bgr_mut()[..960 * 40].fill(200);
            let at = SimClock::at(UtcTime::default(), Duration::from_secs(n.into()));
            Frame::new(lease, camera.clone(), FrameSeq(n.into()), at)
        })
        .collect();
    let mut gate =
        MotionGate::new(MotionOptions { scan_every: Duration::MAX, seek_every: Duration::ZERO, ..MotionOptions::default() });
    let mut handle = |frame: &Frame| {
        let still = gate.is_still(frame, frame.bounds());
        if !still {
            gate.looked(frame.at().mono, false);
        }
        still
    };
    // Both buffers grow to what the size needs: the frame at hand, and the one that was looked at.
    assert_eq!([&frames[0], &frames[1], &frames[2]].map(&mut handle), [false, true, false]);
    let before = ASKED.get();
    assert!(handle(&frames[3]));
    assert_eq!(ASKED.get() - before, 0);
}

#[test]
fn masking_and_watching_frames_allocates_nothing_after_the_first() {
    let (pool, camera) = (FramePool::new(1), CameraId::new("road").expect("an id"));
    let corners = [(10.0, 10.0), (200.0, 30.0), (90.0, 170.0)].map(|(x, y)| Point::new(x, y));
    let mut mask = Mask::new(vec![corners.into()], (320.0, 180.0));
    let mut watch = PictureWatch::new(PictureOptions::default());
    let mut take = |n: u8| {
        let before = ASKED.get();
        let mut lease = pool.lease_as(frame::Layout::I420 { full_range: false }, 320, 180).expect("a buffer");
        lease.bytes_mut().fill(40 + n % 2);
        let own = ASKED.get();
        mask.apply(&mut lease);
        let masked = ASKED.get() - own;
        let at = SimClock::at(UtcTime::default(), Duration::from_secs(n.into()));
        let frame = Frame::new(lease, camera.clone(), FrameSeq(n.into()), at);
        let own = ASKED.get();
        watch.look(&frame);
        assert!(own > before, "a frame has a handle, so the counter lives");
        masked + ASKED.get() - own
    };
    assert!(take(0) > 0 && take(1) > 0, "strokes take room with the first frame, samples with the second");
    assert_eq!((2..100).map(take).sum::<u64>(), 0);
}
