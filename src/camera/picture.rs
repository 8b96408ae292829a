//! Whether a camera still shows anything: pictures that are frozen, black or blown out.
//!
//! A camera may give frames on time that show nothing any more: its encoder repeats one picture, its lens is covered, its exposure
//! stuck open. A [`PictureWatch`] looks at a sample of each frame and says so; what is done about it is others' business, frames go
//! on as they are.
//!
//! *Frozen*: the sample is the same to the bit, frame after frame. No sensor gives the same picture twice: some thousands of pixels
//! with a grain of a level never agree. An encoder that leaves out all that hardly changes can make a denoised night look frozen
//! until its next key frame, so the time that it takes is longer than those are apart. A drawing (a test picture) is frozen, and
//! that is right.
//! *Black* and *blown out*: nearly all parts of the picture are as dark (or as light) as can be and like each other. A dark road with a lamp
//! has contrast and is neither. A road at night that a short exposure shows as nothing at all is black, and told: nobody can
//! tell it from a covered lens. Captions that cameras write along the upper and lower edge don't count.
//!
//! Runs on the capture thread: at full HD some ten microseconds a frame. Allocates when size or layout change only.

use std::time::Duration;

use crate::clock::MonoTime;
use crate::frame::colour::STRETCHED;
use crate::frame::mask::Mask;
use crate::frame::{Frame, Layout, Pixels};
use crate::geometry::Rect;

/// What is wrong with a camera's picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureFault {
    /// Frames come, but all show the same.
    Frozen,
    /// Nothing but black.
    Black,
    /// Nothing but white.
    BlownOut,
}

impl PictureFault {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Frozen, Self::Black, Self::BlownOut];

    /// As it stands in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Frozen => "frozen",
            Self::Black => "black",
            Self::BlownOut => "blown_out",
        }
    }
}

/// When a picture is at fault. Times count only as far as frames come: a pause between two of them counts as [`LONGEST_STEP`] at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PictureOptions {
    /// Identical for so long is frozen. Default 10 s: encoders send a key frame at least every few seconds.
    pub frozen_after: Duration,
    /// Black or white for so long is a fault. Default 5 s: a tunnel of exposure, or a lorry before the lens, is over by then.
    pub blind_after: Duration,
    /// Good for so long is good again. Default 2 s.
    pub clear_after: Duration,
    /// A part is black up to this grey, 0 to 255. Default 24: black with a sensor's offset and grain.
    pub black: u8,
    /// A part is white from this grey. Default 240.
    pub white: u8,
    /// Parts that differ by more than this, grey levels, make contrast. Default 6.
    pub contrast: u8,
}

impl Default for PictureOptions {
    fn default() -> Self {
        Self {
            frozen_after: Duration::from_secs(10),
            blind_after: Duration::from_secs(5),
            clear_after: Duration::from_secs(2),
            black: 24,
            white: 240,
            contrast: 6,
        }
    }
}

/// Longest pause between two frames that is counted in full.
pub const LONGEST_STEP: Duration = Duration::from_secs(1);
/// Bytes of a frame that are compared: a whole row of so many that this is not exceeded, every pixel of it.
const SAMPLE_BYTES: usize = 1 << 18;
/// While a picture changes, what it is compared with is taken anew so often at most.
const FRESH: Duration = Duration::from_millis(500);
/// Black and white are looked for so often at most.
const TONES_EVERY: Duration = Duration::from_millis(200);
/// Pixels beside each other whose mean is a part's grey: grain is gone in it.
const PART_PX: usize = 32;
/// The part of the rows, above and below, where captions stand.
const CAPTION_SHARE: usize = 10;
/// One of so many parts may be otherwise: pixels that are stuck.
const EXCEPTIONS: usize = 2000;

/// Watches the picture of one camera.
#[derive(Clone, Debug)]
pub struct PictureWatch {
    options: PictureOptions,
    /// Layout and size that all else is about.
    shape: Option<(Layout, usize, usize)>,
    /// When the last frame was taken.
    last: Option<MonoTime>,
    /// What frames are compared with, and since when; empty while there is none.
    sample: Vec<u8>,
    sampled: Option<MonoTime>,
    frozen: Held,
    /// When tones were last looked at, and time that went by since.
    waited: Duration,
    black: Held,
    blown_out: Held,
}

/// How long something has been so, or has not.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    so: Duration,
    not_so: Duration,
    is_fault: bool,
}

impl Held {
    fn step(&mut self, is_so: bool, step: Duration, after: Duration, clear_after: Duration) {
        if is_so {
            (self.so, self.not_so) = (self.so + step, Duration::ZERO);
            self.is_fault |= self.so >= after;
        } else {
            (self.so, self.not_so) = (Duration::ZERO, self.not_so + step);
            self.is_fault &= self.not_so < clear_after;
        }
    }
}

impl PictureWatch {
    /// That has seen nothing yet.
    pub const fn new(options: PictureOptions) -> Self {
        const NEW: Held = Held { so: Duration::ZERO, not_so: Duration::ZERO, is_fault: false };
        Self {
            options,
            shape: None,
            last: None,
            sample: Vec::new(),
            sampled: None,
            frozen: NEW,
            waited: Duration::ZERO,
            black: NEW,
            blown_out: NEW,
        }
    }

    /// Looks at the next frame; says what is wrong with the picture by now. One whose time has not advanced says nothing new.
    pub fn look(&mut self, frame: &Frame) -> Option<PictureFault> {
        self.look_around(frame, None)
    }

    /// The same for a frame that has been masked: what is painted over says nothing of light and shade. Where all of it is, it is black.
    pub fn look_around(&mut self, frame: &Frame, mask: Option<&mut Mask>) -> Option<PictureFault> {
        let shape = (frame.layout(), frame.width(), frame.height());
        if self.shape != Some(shape) {
            *self = Self { shape: Some(shape), sample: std::mem::take(&mut self.sample), ..Self::new(self.options) };
        }
        let now = frame.at().mono;
        let Some(last) = self.last.filter(|last| now >= *last) else {
            (self.last, self.waited, self.sampled) = (Some(now), TONES_EVERY, None);
            return self.fault();
        };
        if now > last {
            self.last = Some(now);
            let step = now.since(last).min(LONGEST_STEP);
            self.compare(frame, now, step);
            self.waited += step;
            if self.waited >= TONES_EVERY {
                let waited = std::mem::take(&mut self.waited);
                self.see_tones(frame, waited, mask);
            }
        }
        self.fault()
    }

    /// A picture without light is frozen too, but that it is black says more.
    fn fault(&self) -> Option<PictureFault> {
        let faults =
            [(self.black, PictureFault::Black), (self.blown_out, PictureFault::BlownOut), (self.frozen, PictureFault::Frozen)];
        faults.into_iter().find(|(held, _)| held.is_fault).map(|(_, fault)| fault)
    }

    /// Holds a frame against the sample.
    fn compare(&mut self, frame: &Frame, now: MonoTime, step: Duration) {
        // Where it changes, the first row says so.
        let same = self.sampled.is_some() && rows(frame).eq(self.sample.chunks_exact(row_bytes(frame)));
        self.frozen.step(same, step, self.options.frozen_after, self.options.clear_after);
        if same {
            return;
        }
        if self.sampled.is_none_or(|at| self.frozen.is_fault || now.since(at) >= FRESH) {
            self.sample.clear();
            for row in rows(frame) {
                self.sample.extend_from_slice(row);
            }
            self.sampled = Some(now);
        }
    }

    /// Sees whether there is light and shade.
    fn see_tones(&mut self, frame: &Frame, step: Duration, mut mask: Option<&mut Mask>) {
        let options = self.options;
        let (mut parts, mut counts) = (0usize, [0usize; 256]);
        let captions = frame.height() / CAPTION_SHARE;
        let (first, every) = (captions, (frame.height() / 64).max(1));
        let each = if frame.layout() == Layout::Bgr { 3 } else { 1 };
        let limited = matches!(frame.pixels(), Pixels::I420 { full_range: false, .. });
        for y in (first..frame.height() - captions).step_by(every) {
            for (i, part) in row(frame, y).chunks(each * PART_PX).enumerate() {
                #[allow(clippy::cast_precision_loss)] // sides are at most MAX_SIDE_PX
                let place = Rect::new((i * PART_PX) as f32, y as f32, ((i + 1) * PART_PX) as f32, (y + 1) as f32);
                if mask.as_mut().is_some_and(|mask| mask.touches(place, frame)) {
                    continue;
                }
                let sum: usize = part.iter().map(|v| usize::from(*v)).sum();
                let mean = sum / part.len();
                // The mean of bytes is one, and so is what it is stretched to.
                counts[if limited { usize::from(STRETCHED[mean]) } else { mean }] += 1;
                parts += 1;
            }
        }
        if parts == 0 {
            counts[0] = 1;
        }
        let exceptions = parts / EXCEPTIONS;
        let [darkest, lightest] = ends(&counts, exceptions);
        let is_even = lightest - darkest <= usize::from(options.contrast);
        let is_black = is_even && lightest <= usize::from(options.black);
        let is_white = is_even && darkest >= usize::from(options.white);
        self.black.step(is_black, step, options.blind_after, options.clear_after);
        self.blown_out.step(is_white, step, options.blind_after, options.clear_after);
    }
}

/// The darkest and the lightest grey, when so many parts of either kind are passed over.
fn ends(counts: &[usize; 256], exceptions: usize) -> [usize; 2] {
    let (darkest, lightest) = (end(counts, 0..256, exceptions), end(counts, (0..256).rev(), exceptions));
    [darkest, lightest.max(darkest)]
}

fn end(counts: &[usize; 256], mut greys: impl Iterator<Item = usize>, exceptions: usize) -> usize {
    let mut so_far = 0;
    let beyond = greys.find(|grey| {
        so_far += counts[*grey];
        so_far > exceptions
    });
    beyond.unwrap_or(0)
}

/// The rows that are compared: of luma where there is luma, whole, and evenly spread.
fn rows(frame: &Frame) -> impl Iterator<Item = &[u8]> {
    let every = (frame.height() * row_bytes(frame)).div_ceil(SAMPLE_BYTES);
    (every / 2..frame.height()).step_by(every).map(|y| row(frame, y))
}

fn row(frame: &Frame, y: usize) -> &[u8] {
    let plane = match frame.pixels() {
        Pixels::Bgr(bgr) => bgr,
        Pixels::I420 { luma, .. } => luma,
    };
    &plane[y * row_bytes(frame)..][..row_bytes(frame)]
}

fn row_bytes(frame: &Frame) -> usize {
    if frame.layout() == Layout::Bgr { 3 * frame.width() } else { frame.width() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{SimClock, UtcTime};
    use crate::frame::FramePool;
    use crate::ident::{CameraId, FrameSeq};

    const LAYOUTS: [Layout; 3] = [Layout::Bgr, Layout::I420 { full_range: false }, Layout::I420 { full_range: true }];

    /// A frame of grey tones at a time, 320 x 180.
    fn frame(layout: Layout, at_ms: u64, tone: impl Fn(usize, usize) -> u8) -> Frame {
        let mut lease = FramePool::new(1).lease_as(layout, 320, 180).expect("a size");
        let each = if layout == Layout::Bgr { 3 } else { 1 };
        lease.bytes_mut().fill(128);
        for (i, pixel) in lease.bytes_mut().chunks_exact_mut(each).take(320 * 180).enumerate() {
            pixel.fill(layout.grey(tone(i % 320, i / 320)));
        }
        let at = SimClock::at(UtcTime::default(), Duration::from_millis(at_ms));
        Frame::new(lease, CameraId::new("t").expect("id"), FrameSeq(at_ms), at)
    }

    /// What is wrong at each of so many frames, `step_ms` apart, in every layout alike.
    fn faults(frames: usize, step_ms: u64, tone: impl Fn(usize, usize, usize) -> u8) -> Vec<Option<PictureFault>> {
        let of = |layout| {
            let mut watch = PictureWatch::new(PictureOptions::default());
            let look = |n: usize| watch.look(&frame(layout, step_ms * n as u64, |x, y| tone(n, x, y)));
            (0..frames).map(look).collect::<Vec<_>>()
        };
        let all = LAYOUTS.map(of);
        assert!(all[0] == all[1] && all[0] == all[2], "{all:?}");
        all[0].clone()
    }

    /// Grain that looks random and is the same on every run.
    fn grain(n: usize, x: usize, y: usize, levels: usize) -> u8 {
        let h = ((x * 73_856_093) ^ (y * 19_349_663) ^ (n * 83_492_791)).wrapping_mul(0x5bd1_e995_97f4_a7c1);
        u8::try_from((h >> 40) % levels).expect("few")
    }

    fn road(x: usize, y: usize) -> u8 {
        if (x / 40 + y / 30).is_multiple_of(2) { 90 } else { 120 }
    }

    #[test]
    fn a_picture_that_stays_is_frozen_until_it_changes_for_a_while() {
        // 100 ms apart: moving until 50, frozen to 250, one that jumps at 251, frozen again, moving from 300 on.
        let seen = faults(340, 100, |n, x, y| match n {
            50..=250 => road(x, y),
            252..300 => road(y, x),
            _ => road(x, y) + grain(n, x, y, 2),
        });
        let first = seen.iter().position(Option::is_some).expect("frozen");
        // Ten seconds after what it is compared with was taken, which may be half a second late.
        assert!((150..=157).contains(&first), "{first}");
        assert!(seen[first..315].iter().all(|f| *f == Some(PictureFault::Frozen)), "one change is none: {seen:?}");
        assert!(seen[325..].iter().all(Option::is_none), "{seen:?}");
    }

    #[test]
    fn the_least_grain_is_life_and_a_gap_is_no_proof() {
        // One pixel in a hundred, by one level.
        let alive = faults(200, 100, |n, x, y| road(x, y) + u8::from(grain(n, x, y, 100) == 0));
        assert!(alive.iter().all(Option::is_none));
        // Two pictures alike with a minute between them: the camera was away.
        let mut watch = PictureWatch::new(PictureOptions::default());
        for at_ms in [0, 40, 80, 60_000, 60_040, 60_040, 60_040] {
            assert_eq!(watch.look(&frame(Layout::Bgr, at_ms, road)), None, "{at_ms}");
        }
        // The same frame again and again, whose time stands: nothing new.
        for _ in 0..1000 {
            assert_eq!(watch.look(&frame(Layout::Bgr, 60_040, road)), None);
        }
        // Another size starts afresh.
        let small = FramePool::new(1).lease(64, 36).expect("a size");
        let at = SimClock::at(UtcTime::default(), Duration::from_secs(61));
        assert_eq!(watch.look(&Frame::new(small, CameraId::new("t").expect("id"), FrameSeq(0), at)), None);
    }

    #[test]
    fn black_and_white_are_told_and_night_and_snow_are_not() {
        let dark = |n: usize, x: usize, y: usize| 6 + grain(n, x, y, 10);
        let told = |tone: &dyn Fn(usize, usize, usize) -> u8| {
            let seen = faults(80, 100, tone);
            assert!(seen[..48].iter().all(Option::is_none), "{seen:?}");
            seen[79]
        };
        assert_eq!(told(&dark), Some(PictureFault::Black));
        assert_eq!(told(&|n, x, y| 246 + grain(n, x, y, 9)), Some(PictureFault::BlownOut));
        // A caption above and below, and pixels that are stuck.
        let caption =
            |n: usize, x: usize, y: usize| if !(16..=165).contains(&y) { 255 * u8::from(x % 9 > 4) } else { dark(n, x, y) };
        assert_eq!(told(&caption), Some(PictureFault::Black));
        // A lamp on a dark road; a road by starlight; a field of snow with a fence.
        assert_eq!(told(&|n, x, y| if (150..170).contains(&x) && (80..92).contains(&y) { 250 } else { dark(n, x, y) }), None);
        assert_eq!(told(&|n, x, y| dark(n, x, y) + if x > 200 { 9 } else { 0 }), None);
        assert_eq!(told(&|n, x, y| if y == 100 || y == 101 || y == 102 { 90 } else { 246 + grain(n, x, y, 9) }), None);
        assert_eq!(told(&|n, x, y| 120 + grain(n, x, y, 9)), None, "fog has no contrast either, and is grey");
    }

    #[test]
    fn a_picture_on_the_edge_does_not_flap() {
        // Black, with a flash of light every second.
        let seen = faults(300, 100, |n, x, y| if n > 100 && n.is_multiple_of(10) { road(x, y) } else { 6 + grain(n, x, y, 4) });
        let changes = seen.windows(2).filter(|w| w[0] != w[1]).count();
        assert_eq!((changes, seen[299]), (1, Some(PictureFault::Black)), "{seen:?}");
        // Lit half of the time before it is a fault: never one.
        let seen = faults(300, 100, |n, x, y| if n % 40 < 20 { road(x, y) + grain(n, x, y, 3) } else { 6 + grain(n, x, y, 4) });
        assert!(seen.iter().all(Option::is_none), "{seen:?}");
    }

    #[test]
    fn what_is_painted_over_says_nothing_of_light_and_shade() {
        let corner = |side: f32| {
            let corners = [(0.0, 0.0), (side, 0.0), (side, side), (0.0, side)];
            Mask::new(vec![corners.map(|(x, y)| crate::geometry::Point::new(x, y)).to_vec()], (320.0, 180.0))
        };
        for (side, found) in [(120.0, PictureFault::BlownOut), (320.0, PictureFault::Black)] {
            let (mut mask, mut watch) = (corner(side), PictureWatch::new(PictureOptions::default()));
            let mut last = None;
            for n in 0..250u64 {
                let mut lease = FramePool::new(1).lease_as(Layout::I420 { full_range: false }, 320, 180).expect("a size");
                // White with a little life in it, so that it is not frozen.
                lease.bytes_mut().fill(if n % 2 == 0 { 235 } else { 234 });
                mask.apply(&mut lease);
                let at = SimClock::at(UtcTime::default(), Duration::from_millis(40 * n));
                let frame = Frame::new(lease, CameraId::new("t").expect("id"), FrameSeq(n), at);
                last = watch.look_around(&frame, Some(&mut mask));
            }
            assert_eq!(last, Some(found), "{side}");
        }
    }
}
