//! The motion gate: is there anything in a frame that was not in the last one that was looked at?
//!
//! A picture of an empty road says the same as the one before, and looking at it costs a hundred times what it costs to see
//! that. The gate keeps, of each camera, the mean brightness of coarse blocks of the last frame that was *looked at* (not of the
//! frame before: motion that creeps adds up until it shows) and calls a frame still when no block has changed. What all
//! blocks share is no motion: the median change is taken off, which is the camera's exposure at work, and the bound rises with
//! the grain that the blocks themselves show, up to a ceiling, so that a view where everything moves is looked at always.
//!
//! It never calls frames in a row still for longer than `scan_every` (`scan_idle` on an empty road), so a slow vehicle is seen
//! whatever the bound; nor for a moment after motion, so that its tail is read; nor the first frame of a camera, one after a gap, or
//! one of another size or region. It refuses to know what moves: leaves and rain open it as well. Allocates when the size changes
//! only. Runs on the reader thread.

use std::mem;
use std::time::Duration;

use super::floor_index;
use crate::clock::MonoTime;
use crate::frame::{Frame, Layout, Pixels};
use crate::geometry::{FramePx, Rect};

/// When a frame is passed over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MotionOptions {
    /// Whether frames are passed over at all. Default true.
    pub gate: bool,
    /// A block has changed when its brightness did by more than this, grey levels of 255, or by [`GRAIN_SIGMAS`] times the
    /// grain of all blocks where that is more, up to [`CEILING`] times this. Default 3: an edge of 50 levels that
    /// moves by a pixel makes 3, while blocks of a still picture differ by up to 2. (A still
    /// photograph with grain, through H.264 at 2 Mbit/s: with 2 levels a pixel all frames between scans are passed over, with
    /// 6 three quarters of them, with 12 none.)
    pub levels: f32,
    /// A frame is looked at when the last look is this long ago, whatever it shows. Default 250 ms: one look may miss a
    /// standing plate, and the next comes before its passage settles.
    pub scan_every: Duration,
    /// The same on an empty road: nothing has moved and no look has seen a candidate for this long. Default 1 s. By then every
    /// passage has settled but one that waits for a hidden plate, which what uncovers it brings back. And what comes is seen by its
    /// motion, which is measured against the last look: the longer ago that was, the more of a slow vehicle's way has added up.
    /// Only a plate that comes without changing any block, such as one of which light falls on the plate alone, is seen later. Where
    /// this is less than `scan_every`, that holds.
    pub scan_idle: Duration,
    /// While the last look saw no candidate, the next one is no sooner than this, however much moves: what moves is too far away, or
    /// has no plate. Default 60 ms: every second frame of 25 or 30 a second, so that a plate that comes into view is found one
    /// frame later at most, and from then on every frame is looked at. Zero: every frame.
    pub seek_every: Duration,
}

impl Default for MotionOptions {
    fn default() -> Self {
        Self {
            gate: true,
            levels: 3.0,
            scan_every: Duration::from_millis(250),
            scan_idle: Duration::from_secs(1),
            seek_every: Duration::from_millis(60),
        }
    }
}

/// Sides of a block, frame pixels: some three characters of the smallest plate that can be read.
const BLOCK_PX: usize = 16;
/// Every second row is summed up, all of its pixels: in all three channels, or in luma, which says as much for a third of the bytes.
const ROW_STEP: usize = 2;
/// What one grey level of 255 makes in a block's sum, whatever the layout: three channels of so many pixels.
const LEVEL: u32 = 384;
/// Grain counts up to this many of its standard deviations: of 8100 blocks, none strays further by chance.
pub const GRAIN_SIGMAS: f32 = 6.0;
/// The bound rises to this many times [`MotionOptions::levels`] at most.
pub const CEILING: f32 = 4.0;
/// Frames are looked at for this long after the last motion.
const HOLD: Duration = Duration::from_millis(200);

/// What of the frame is compared, pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Area {
    /// Pixels a row of the frame, and how they lie.
    stride: usize,
    layout: Layout,
    /// Left and top.
    at: (usize, usize),
    /// Width and height.
    size: (usize, usize),
}

impl Area {
    fn of(frame: &Frame, region: Rect<FramePx>) -> Self {
        let within = region.intersect(frame.bounds());
        let at = (floor_index(within.x0), floor_index(within.y0));
        let end = (floor_index(within.x1.ceil()), floor_index(within.y1.ceil()));
        Self { stride: frame.width(), layout: frame.layout(), at, size: (end.0.saturating_sub(at.0), end.1.saturating_sub(at.1)) }
    }

    /// Where the blocks of one side begin. The last one ends at the edge, over its neighbour where the side is no multiple.
    fn starts(from: usize, length: usize) -> impl Iterator<Item = usize> {
        (0..length.div_ceil(BLOCK_PX)).map(move |i| from + (i * BLOCK_PX).min(length.saturating_sub(BLOCK_PX)))
    }

    /// Sums of all blocks, row by row, in place of what `sums` held.
    fn sum(&self, pixels: Pixels<'_>, sums: &mut Vec<u32>) {
        match pixels {
            Pixels::Bgr(bgr) => self.sum_bytes::<{ 3 * BLOCK_PX }>(bgr, sums),
            Pixels::I420 { luma, full_range, .. } => {
                self.sum_bytes::<BLOCK_PX>(luma, sums);
                // As three channels would sum up, which luma of limited range makes of 219 levels.
                let (times, of) = if full_range { (3, 1) } else { (3 * 255, 219) };
                sums.iter_mut().for_each(|sum| *sum = *sum * times / of);
            }
        }
    }

    /// The same of a plane with `BLOCK` bytes a block and row.
    fn sum_bytes<const BLOCK: usize>(&self, plane: &[u8], sums: &mut Vec<u32>) {
        sums.clear();
        let bytes = BLOCK / BLOCK_PX;
        for y in Self::starts(self.at.1, self.size.1) {
            let first = sums.len();
            sums.resize(first + self.size.0.div_ceil(BLOCK_PX), 0);
            for row in (y..y + BLOCK_PX).step_by(ROW_STEP) {
                let line = &plane[bytes * row * self.stride..];
                for (sum, x) in sums[first..].iter_mut().zip(Self::starts(self.at.0, self.size.0)) {
                    *sum += line[bytes * x..][..BLOCK].iter().map(|v| u32::from(*v)).sum::<u32>();
                }
            }
        }
    }
}

/// What is known since the last look.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// What is compared.
    area: Area,
    /// When it was.
    at: MonoTime,
    /// When anything last moved.
    moved: MonoTime,
    /// When anything last moved, or a look saw a candidate.
    busy: MonoTime,
    /// Whether this one saw a candidate.
    saw: bool,
}

/// The gate of one camera.
#[derive(Debug)]
pub struct MotionGate {
    options: MotionOptions,
    /// The last look; none before the first.
    looked: Option<Look>,
    /// Blocks of the frame that was looked at last.
    before: Vec<u32>,
    /// Blocks of the frame at hand, of what area, and whether something moved in it.
    now: Vec<u32>,
    at_hand: Option<(Area, bool)>,
    /// How often changes of each size occurred.
    counts: Vec<u32>,
}

impl MotionGate {
    /// That has seen nothing yet.
    pub const fn new(options: MotionOptions) -> Self {
        Self { options, looked: None, before: Vec::new(), now: Vec::new(), at_hand: None, counts: Vec::new() }
    }

    /// Whether `region` of a frame shows what it showed when it was last looked at, and need not be looked at again.
    pub fn is_still(&mut self, frame: &Frame, region: Rect<FramePx>) -> bool {
        let (area, now) = (Area::of(frame, region), frame.at().mono);
        if area.size.0 < BLOCK_PX || area.size.1 < BLOCK_PX {
            self.at_hand = None;
            return false;
        }
        let look = self.looked.filter(|look| look.area == area && look.at <= now);
        // Not even compared: whatever moves, it is not looked at yet.
        if look.is_some_and(|look| !look.saw && now.since(look.at) < self.options.seek_every) {
            return true;
        }
        area.sum(frame.pixels(), &mut self.now);
        let Some(look) = look else {
            self.at_hand = Some((area, true));
            return false;
        };
        let moves = self.moves();
        self.at_hand = Some((area, moves));
        let MotionOptions { scan_every, scan_idle, .. } = self.options;
        let is_idle = now.since(look.busy) >= scan_idle;
        let scan = if is_idle { scan_idle.max(scan_every) } else { scan_every };
        !moves && now.since(look.at) < scan && now.since(look.moved) >= HOLD
    }

    /// The frame that was last asked about was looked at, and candidates were seen in it or not: from now on it is what others are
    /// compared with.
    pub fn looked(&mut self, at: MonoTime, saw: bool) {
        let Some((area, moves)) = self.at_hand.take() else {
            self.looked = None;
            return;
        };
        mem::swap(&mut self.before, &mut self.now);
        let before = self.looked.filter(|_| !moves);
        let moved = before.map_or(at, |look| look.moved);
        let busy = before.filter(|_| !saw).map_or(at, |look| look.busy);
        self.looked = Some(Look { area, at, moved, busy, saw });
    }

    /// Whether a block has changed that the others' change does not explain.
    #[allow(clippy::cast_precision_loss)] // sums of 384 bytes
    fn moves(&mut self) -> bool {
        let changes = || self.now.iter().zip(&self.before).map(|(now, before)| i64::from(*now) - i64::from(*before));
        let shared = median(changes(), &mut self.counts);
        let grain = 1.4826 * median(changes().map(|c| (c - shared).abs()), &mut self.counts) as f32;
        let least = self.options.levels * LEVEL as f32;
        let bound = (GRAIN_SIGMAS * grain).clamp(least, CEILING * least);
        changes().any(|c| (c - shared).abs() as f32 > bound)
    }
}

/// Changes are counted in bins of a quarter level; a change is at most 255 levels up or down.
const BIN: i64 = 96;
const BINS_UP: i64 = 4 * 255 + 1;

/// The median of changes, to a quarter of a level.
fn median(changes: impl Iterator<Item = i64>, counts: &mut Vec<u32>) -> i64 {
    counts.clear();
    counts.resize(usize::try_from(2 * BINS_UP + 1).unwrap_or(0), 0);
    let mut all = 0u32;
    for change in changes {
        let bin = (change + BIN / 2).div_euclid(BIN) + BINS_UP;
        // Within the bins by their making.
        if let Some(count) = usize::try_from(bin).ok().and_then(|bin| counts.get_mut(bin)) {
            *count += 1;
            all += 1;
        }
    }
    let mut so_far = 0;
    let middle = counts.iter().position(|n| {
        so_far += n;
        2 * so_far >= all
    });
    middle.and_then(|bin| i64::try_from(bin).ok()).map_or(0, |bin| (bin - BINS_UP) * BIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{SimClock, UtcTime};
    use crate::frame::FramePool;
    use crate::ident::{CameraId, FrameSeq};

    const SIZE: (usize, usize) = (640, 360);

    /// A road of stripes and patches, painted over by `tone`: where, and what the road is there.
    fn frame(at_ms: u64, size: (usize, usize), tone: impl Fn(usize, usize, f32) -> f32) -> Frame {
        let mut lease = FramePool::new(1).lease(size.0, size.1).expect("size");
        for (i, pixel) in lease.bgr_mut().chunks_exact_mut(3).enumerate() {
            let (x, y) = (i % size.0, i / size.0);
            let road = if (x / 40 + y / 30) % 2 == 0 { 90.0 } else { 120.0 };
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped
            pixel.fill(tone(x, y, road).clamp(0.0, 255.0) as u8);
        }
        let at = SimClock::at(UtcTime::default(), Duration::from_millis(at_ms));
        Frame::new(lease, CameraId::new("t").expect("id"), FrameSeq(at_ms), at)
    }

    /// Which of the frames, 40 ms apart, are looked at.
    fn looks(frames: usize, options: MotionOptions, tone: impl Fn(usize, usize, usize, f32) -> f32) -> Vec<bool> {
        looks_seeing(frames, MotionOptions { seek_every: Duration::ZERO, ..options }, |_| false, tone)
    }

    /// The same where some looks see a candidate.
    fn looks_seeing(
        frames: usize,
        options: MotionOptions,
        sees: impl Fn(usize) -> bool,
        tone: impl Fn(usize, usize, usize, f32) -> f32,
    ) -> Vec<bool> {
        let mut gate = MotionGate::new(options);
        (0..frames)
            .map(|n| {
                let frame = frame(40 * n as u64, SIZE, |x, y, road| tone(n, x, y, road));
                let still = gate.is_still(&frame, frame.bounds());
                if !still {
                    gate.looked(frame.at().mono, sees(n));
                }
                !still
            })
            .collect()
    }

    /// With scans so rare that only motion opens the gate.
    fn rare() -> MotionOptions {
        MotionOptions { scan_every: Duration::from_secs(3600), seek_every: Duration::ZERO, ..MotionOptions::default() }
    }

    fn count(looks: &[bool]) -> usize {
        looks.iter().filter(|l| **l).count()
    }

    /// Grain of about this many levels: noise that looks random and is the same on every run.
    fn grain(n: usize, x: usize, y: usize, sigma: f32) -> f32 {
        let hash = |seed: usize| {
            let mut h = (x * 73_856_093) ^ (y * 19_349_663) ^ (n * 83_492_791) ^ (seed * 2_654_435_761);
            h = (h ^ (h >> 13)).wrapping_mul(0x5bd1_e995_97f4_a7c1);
            ((h >> 40) & 0xffff) as f32 / 65_536.0 - 0.5
        };
        // The sum of four even ones has a standard deviation of 0.577.
        (0..4).map(hash).sum::<f32>() * sigma / 0.577
    }

    #[test]
    fn a_still_road_is_looked_at_for_a_moment_and_then_at_each_scan() {
        let seen = looks_seeing(60, MotionOptions::default(), |_| true, |_, _, _, road| road);
        assert_eq!(count(&seen[..5]), 5, "held open at the start: {seen:?}");
        let scans: Vec<usize> = (5..60).filter(|n| seen[*n]).collect();
        assert!(scans.len() > 5 && scans.windows(2).all(|w| w[1] - w[0] == 7), "every 250 ms, rounded up to frames: {scans:?}");
    }

    #[test]
    fn an_empty_road_is_looked_at_more_rarely_until_something_comes() {
        let lorry = |n: usize, x: usize, y: usize, road: f32| if n >= 180 && x > 500 && y > 100 { 60.0 } else { road };
        // The last candidate is seen at frame 39, which is a scan.
        let sees = |n: usize| n < 46;
        let seen = looks_seeing(240, MotionOptions::default(), sees, lorry);
        let scans: Vec<usize> = (5..180).filter(|n| seen[*n]).collect();
        let gaps: Vec<usize> = scans.windows(2).map(|w| w[1] - w[0]).collect();
        let (often, rarely) = gaps.split_at(gaps.iter().position(|gap| *gap > 7).expect("some are longer"));
        // The first that is passed over would have been the first more than a second after the last candidate.
        assert!(scans[often.len()] + 7 >= 39 + 25 && scans[often.len()] < 39 + 25, "{scans:?}");
        assert!(often.iter().all(|gap| *gap == 7) && rarely.len() >= 3, "{scans:?}");
        assert!(rarely.iter().all(|gap| *gap == 25), "every second: {scans:?}");
        assert!(seen[180], "what moves is seen at once");
        let after: Vec<usize> = (186..200).filter(|n| seen[*n]).collect();
        assert!(after.windows(2).all(|w| w[1] - w[0] <= 7) && after.len() >= 2, "and at the quick pace for a second: {after:?}");
    }

    #[test]
    fn a_plate_that_creeps_is_never_gated_out() {
        // 30 x 7 px, a pixel every fourth frame, from the 50th on: a tenth of walking pace on a car that is far off.
        let plate = |n: usize, x: usize, y: usize, road: f32| {
            let left = 300 + n.saturating_sub(50) / 4;
            if !(left..left + 30).contains(&x) || !(200..207).contains(&y) {
                return road + grain(n, x, y, 3.0);
            }
            (if ((x - left) / 2).is_multiple_of(2) { 40.0 } else { 200.0 }) + grain(n, x, y, 3.0)
        };
        let seen = looks(150, rare(), plate);
        assert_eq!(count(&seen[6..50]), 0, "it stands: {seen:?}");
        let longest = seen[60..].split(|l| *l).map(<[bool]>::len).max();
        // Three pixels: with the car around it, it would be one.
        assert!(longest.is_some_and(|n| n <= 12), "{longest:?} frames in a row: {seen:?}");
        let seen = looks(150, MotionOptions::default(), plate);
        // The road was empty, so looks were rare, until it had crept three pixels here too.
        let first = (50..62).find(|n| seen[*n]);
        let seen = &seen[first.expect("seen in half a second")..];
        assert!(seen.windows(7).all(|w| w.contains(&true)), "no longer than a scan: {seen:?}");
    }

    #[test]
    fn grain_and_changes_of_exposure_are_no_motion() {
        for sigma in [2.0, 6.0, 15.0] {
            let seen = looks(40, rare(), |n, x, y, road| road + grain(n, x, y, sigma));
            assert_eq!(count(&seen[6..]), 0, "grain of {sigma}: {seen:?}");
        }
        let seen = looks(40, rare(), |n, x, y, road| road + grain(n, x, y, 2.0) + if n < 20 { 0.0 } else { 25.0 });
        assert_eq!(count(&seen[6..]), 0, "the picture gets brighter: {seen:?}");
        // And a lorry that comes just then is seen.
        let seen = looks(40, rare(), |n, x, y, road| match n {
            0..20 => road,
            _ if x > 500 && y > 100 => 60.0,
            _ => road + 25.0,
        });
        assert!(count(&seen[6..20]) == 0 && seen[20], "{seen:?}");
    }

    #[test]
    fn while_no_plate_is_in_view_every_second_frame_is_looked_at_and_then_every_one() {
        // All moves all the time; from the 21st frame to the 30th there is a plate.
        let tone = |n: usize, x: usize, y: usize, _| 30.0 + 150.0 * (((x + 9 * n) / 23 + y / 31) % 2) as f32;
        let seen = looks_seeing(40, MotionOptions::default(), |n| (20..30).contains(&n), tone);
        assert_eq!((count(&seen[..20]), count(&seen[20..31]), count(&seen[32..])), (10, 11, 4), "{seen:?}");
    }

    #[test]
    fn a_view_where_everything_moves_is_always_looked_at() {
        assert_eq!(count(&looks(30, rare(), |n, x, y, _| 30.0 + 150.0 * (((x + 9 * n) / 23 + y / 31) % 2) as f32)), 30);
    }

    #[test]
    fn a_level_means_the_same_in_every_layout() {
        let limited = Layout::I420 { full_range: false };
        for (levels, still) in [(0, true), (2, true), (5, false)] {
            let mut gate = MotionGate::new(rare());
            for layout in [Layout::Bgr, limited, Layout::I420 { full_range: true }] {
                for n in 0..8u64 {
                    let mut lease = FramePool::new(1).lease_as(layout, 640, 360).expect("size");
                    let (bytes, each) = (lease.bytes_mut(), if layout == Layout::Bgr { 3 } else { 1 });
                    bytes.fill(layout.grey(100));
                    if n == 7 {
                        let rows = bytes.chunks_exact_mut(each * 640).skip(64).take(32);
                        rows.for_each(|row| row[each * 160..each * 192].fill(layout.grey(100 + levels)));
                    }
                    let at = SimClock::at(UtcTime::default(), Duration::from_millis(40 * n));
                    let frame = Frame::new(lease, CameraId::new("t").expect("id"), FrameSeq(n), at);
                    let found = gate.is_still(&frame, frame.bounds());
                    if !found {
                        gate.looked(frame.at().mono, false);
                    }
                    // Another layout is compared with nothing.
                    assert_eq!(found, n > 4 && (n < 7 || still), "{layout:?}, {levels}, {n}");
                }
            }
        }
    }

    #[test]
    fn motion_outside_the_region_is_none() {
        let mut gate = MotionGate::new(rare());
        let region = Rect::new(3.0, 101.5, 640.0, 360.0);
        for n in 0..20u64 {
            let frame = frame(40 * n, SIZE, |_, y, road| if y < 100 { (n * 10) as f32 } else { road });
            let still = gate.is_still(&frame, region);
            assert_eq!(still, n > 4, "{n}");
            if !still {
                gate.looked(frame.at().mono, false);
            }
        }
    }

    #[test]
    fn a_gap_another_size_or_a_failed_look_is_looked_at() {
        let mut gate = MotionGate::new(MotionOptions { seek_every: Duration::ZERO, ..MotionOptions::default() });
        let mut look = |at_ms: u64, size: (usize, usize), fails: bool| {
            let frame = frame(at_ms, size, |_, _, road| road);
            let still = gate.is_still(&frame, frame.bounds());
            if !still && !fails {
                gate.looked(frame.at().mono, false);
            }
            still
        };
        assert!((0..6).map(|n| look(40 * n, SIZE, false)).eq([false, false, false, false, false, true]));
        assert!(!look(10_000, SIZE, true) && !look(10_040, SIZE, false), "the gap, and again as the look failed");
        assert!(look(10_080, SIZE, false) && !look(10_120, (320, 180), false), "another size");
        assert!(!look(10_160, (8, 8), false) && !look(10_200, (8, 8), false), "smaller than a block");
        assert!(!look(5_000, SIZE, false), "time that runs back");
    }
}
