//! The `capture-<camera>` thread: keeps a source going, gives frames their number and time, watches how old the newest is.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::arrival::Timeline;
use super::picture::{PictureFault, PictureOptions, PictureWatch};
use super::slot::Slots;
use super::state::{AtEnd, CameraEvent, CameraPhase, CaptureStats, Pace, Patience};
use super::{CameraError, Grab, Grabbed, Source, When};
use crate::clock::{Backoff, CaptureTime, Clock, MonoTime, SimClock, UtcTime};
use crate::frame::mask::Mask;
use crate::frame::{Frame, FramePool};
use crate::ident::{CameraId, FrameSeq};

/// What a capture thread needs.
pub struct Capture {
    /// The camera's name.
    pub camera: CameraId,
    /// Where its frames come from.
    pub source: Box<dyn Source>,
    /// Its buffers.
    pub pool: FramePool,
    /// Where its frames go, and as which slot.
    pub slots: Arc<Slots>,
    /// Its place in `slots`.
    pub slot: usize,
    /// How fast a clip is played.
    pub pace: Pace,
    /// What happens at a clip's end.
    pub at_end: AtEnd,
    /// How long a live camera is waited for.
    pub patience: Patience,
    /// What of its pictures nobody is to see.
    pub mask: Option<Mask>,
    /// UTC given to a clip's first frame; none means the moment it is opened.
    pub clip_start: Option<UtcTime>,
    /// The clock for live frames and states.
    pub clock: Arc<dyn Clock>,
    /// Set when the thread shall end.
    pub stop: Arc<AtomicBool>,
    /// Counters for health.
    pub stats: Arc<CaptureStats>,
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").field("camera", &self.camera).field("source", &self.source).finish_non_exhaustive()
    }
}

/// How one attempt came to its end without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The clip is over.
    End,
    /// The thread was told to stop.
    Stopped,
}

/// What goes on from one attempt to the next.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    /// Number of the next frame.
    next_seq: u64,
    /// Where the present showing of a clip starts: a repeated clip goes on in time, never back.
    offset: Duration,
    /// Position of the newest frame within the present showing.
    position: Duration,
    /// UTC when it was first opened.
    opened: Option<UtcTime>,
    /// Width and height of the newest frame.
    size_px: Option<(usize, usize)>,
    /// Frames since the rate was last told, and when that was.
    rate: (u64, MonoTime),
}

/// Longest pause between two looks at the stop flag.
const NAP: Duration = Duration::from_millis(2);
/// The frame rate is told over this long.
pub(super) const RATE_OVER: Duration = Duration::from_secs(4);
/// A state that goes on is told again after this long, with its figures as they are now.
const TELL_AGAIN: Duration = Duration::from_mins(1);
/// A camera that has streamed for this long is well: when it fails it is tried again at once.
const SETTLED: Duration = Duration::from_secs(10);
/// Longest wait between two attempts.
const MOST_BACKOFF: Duration = Duration::from_secs(15);

/// What a state is told by, and what was told last.
struct Teller<R> {
    report: R,
    /// Since when it is in the phase that was told, and when that was told last.
    told: Option<(CameraPhase, CaptureTime, MonoTime)>,
    reason: Option<String>,
    /// Whether the frame rate was known when streaming was told.
    rated: bool,
    picture: Option<PictureFault>,
    size_px: Option<(usize, usize)>,
}

impl<R: FnMut(CameraEvent)> Teller<R> {
    /// Tells a phase when it is new, has a reason, looks another way, or was told long ago: a clip on repeat would otherwise
    /// publish a state at each showing.
    fn tell(&mut self, capture: &Capture, phase: CameraPhase, reason: Option<String>, size_px: Option<(usize, usize)>) {
        let (now, picture) = (capture.clock.now(), capture.stats.picture());
        let same = self.told.filter(|(before, ..)| *before == phase);
        let rated = capture.stats.frames_per_1000_s.load(Ordering::Relaxed) > 0;
        let changed =
            phase == CameraPhase::Streaming && ((picture, size_px) != (self.picture, self.size_px) || (rated && !self.rated));
        let other = phase != CameraPhase::Streaming && reason != self.reason;
        if !changed && !other && same.is_some_and(|(_, _, at)| now.mono.since(at) < TELL_AGAIN) {
            return;
        }
        let reason = if phase == CameraPhase::Streaming { capture.source.about() } else { reason };
        self.reason.clone_from(&reason);
        let since = same.map_or(now, |(_, since, _)| since);
        self.told = Some((phase, since, now.mono));
        (self.picture, self.size_px, self.rated) = (picture, size_px, rated);
        let stats = &capture.stats;
        stats.set_phase(phase);
        (self.report)(CameraEvent {
            camera: capture.camera.clone(),
            phase,
            reason,
            since,
            size_px,
            frames_per_s: if phase == CameraPhase::Streaming { stats.frames_per_s(now.mono) } else { 0.0 },
            frame_age: stats.frame_age(now.mono),
            drift_ms: stats.drift_ms(),
            picture,
        });
    }
}

/// Keeps a source going until it ends for good or is told to stop. Runs on the `capture-<camera>` thread; never fatal to others.
pub fn run(mut capture: Capture, report: impl FnMut(CameraEvent)) {
    let mut backoff = Backoff::new(Duration::from_millis(250), MOST_BACKOFF, seed(&capture.camera));
    let mut tape = Tape::default();
    let mut teller = Teller { report, told: None, reason: None, rated: false, picture: None, size_px: None };
    capture.stats.set_drift(None);
    teller.tell(&capture, CameraPhase::Opening, None, None);
    while !capture.stop.load(Ordering::Relaxed) {
        let (before, began) = (tape.next_seq, capture.clock.now().mono);
        let outcome = run_once(&mut capture, &mut tape, |capture, phase, reason, size| teller.tell(capture, phase, reason, size));
        capture.source.close();
        let gave_frames = tape.next_seq > before;
        let finish = match outcome {
            // What there was of it has been shown; showing it again would give the same vehicles once more.
            Err(e @ CameraError::Truncated { .. }) if gave_frames => {
                tracing::warn!(camera = %capture.camera, "{e}");
                Ok(Finish::End)
            }
            outcome => outcome,
        };
        if capture.stop.load(Ordering::Relaxed) {
            break;
        }
        let wait = match finish {
            Ok(Finish::Stopped) => break,
            Ok(Finish::End) if capture.at_end == AtEnd::Stop => {
                teller.tell(&capture, CameraPhase::Ended, None, None);
                break;
            }
            Ok(Finish::End) if gave_frames => {
                backoff.reset();
                if capture.pace == Pace::RealTime { capture.source.period() } else { Duration::ZERO }
            }
            Ok(Finish::End) => lost(&capture, "it gave no frames", &mut backoff, &mut teller),
            Err(e) => {
                // One that gives a frame and hangs up, again and again, is waited for as one that gives none.
                if gave_frames && capture.clock.now().mono.since(began) >= SETTLED {
                    backoff.reset();
                }
                lost(&capture, &e.to_string(), &mut backoff, &mut teller)
            }
        };
        let until = capture.clock.now().mono.plus(wait);
        while capture.clock.now().mono < until && !capture.stop.load(Ordering::Relaxed) {
            std::thread::sleep(NAP);
        }
    }
    capture.slots.close(capture.slot);
}

/// Counts and tells a failure; gives the time to wait.
fn lost<R: FnMut(CameraEvent)>(capture: &Capture, why: &str, backoff: &mut Backoff, teller: &mut Teller<R>) -> Duration {
    capture.stats.failures.fetch_add(1, Ordering::Relaxed);
    capture.stats.set_picture(None);
    capture.stats.set_drift(None);
    // A camera that stays away would fill the journal with the same line.
    let known = teller.told.is_some_and(|(phase, ..)| phase == CameraPhase::Lost);
    if known {
        tracing::debug!(camera = %capture.camera, "still lost: {why}");
    } else {
        tracing::warn!(camera = %capture.camera, "lost: {why}");
    }
    teller.tell(capture, CameraPhase::Lost, Some(why.to_owned()), None);
    backoff.next_wait()
}

/// One attempt: open, then capture until the end, an error, or the stop flag. `tell` hears of phases, why, and the size of frames;
/// of `Streaming` at every frame.
///
/// # Errors
/// Whatever the source failed with; [`CameraError::Stalled`] when a live one gives no frames for too long.
pub fn run_once(
    capture: &mut Capture,
    tape: &mut Tape,
    mut tell: impl FnMut(&Capture, CameraPhase, Option<String>, Option<(usize, usize)>),
) -> Result<Finish, CameraError> {
    capture.source.open()?;
    if tape.next_seq > 0 {
        tape.offset += tape.position + capture.source.period();
        tape.position = Duration::ZERO;
    }
    let opened = capture.clock.now();
    // A clip's time is counted from its first showing, which `offset` goes on from.
    let first_opened = *tape.opened.get_or_insert(opened.utc);
    let clip_start = capture.clip_start.unwrap_or(first_opened);
    let (mut timeline, mut watch) = (Timeline::default(), PictureWatch::new(PictureOptions::default()));
    tape.rate = (0, opened.mono);
    capture.stats.frames_per_1000_s.store(0, Ordering::Relaxed);
    // Moment of the newest frame of this attempt, and whether there was one.
    let (mut newest, mut streaming, mut stalled) = (opened.mono, false, false);
    loop {
        if capture.stop.load(Ordering::Relaxed) {
            return Ok(Finish::Stopped);
        }
        let mut grabbed = match capture.source.grab(&capture.pool) {
            Ok(Grab::Frame(grabbed)) => grabbed,
            Ok(Grab::NotYet) => {
                let (age, patience) = (capture.clock.now().mono.since(newest), capture.patience);
                if !streaming && age > patience.open {
                    let seconds = patience.open.as_secs_f64();
                    return Err(CameraError::Lost(format!("the camera is connected and gives no frames ({seconds} s)")));
                }
                if streaming && age > patience.stall && !stalled {
                    stalled = true;
                    capture.stats.stalls.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(camera = %capture.camera, "stalled: no frame for {} ms", age.as_millis());
                    tell(capture, CameraPhase::Stalled, Some(CameraError::Stalled(patience.stall).to_string()), tape.size_px);
                }
                if streaming && age > patience.stall * 2 {
                    return Err(CameraError::Stalled(patience.stall * 2));
                }
                continue;
            }
            Ok(Grab::End) => return Ok(Finish::End),
            Err(CameraError::NoBuffer) => {
                if capture.pace == Pace::RealTime {
                    capture.stats.no_buffer.fetch_add(1, Ordering::Relaxed);
                }
                std::thread::sleep(NAP);
                continue;
            }
            Err(e) => return Err(e),
        };
        // Before anything else has the pixels.
        if let Some(mask) = &mut capture.mask {
            let size = grabbed.lease.size();
            if tape.size_px != Some(size) && !mask.fits(size) {
                tracing::warn!(camera = %capture.camera, "the picture has another shape than its masks were drawn for: all of it is hidden");
            }
            mask.apply(&mut grabbed.lease);
        }
        let Some(at) = time_of(&grabbed, capture, tape, &mut timeline, opened, clip_start) else { return Ok(Finish::Stopped) };
        newest = capture.clock.now().mono;
        (streaming, stalled) = (true, false);
        let frame = Frame::new(grabbed.lease, capture.camera.clone(), FrameSeq(tape.next_seq), at);
        tape.next_seq += 1;
        tape.size_px = Some((frame.width(), frame.height()));
        count(capture, tape, newest);
        if matches!(grabbed.when, When::Arrived { .. }) {
            capture.stats.set_drift(timeline.drift_us());
            let picture = watch.look_around(&frame, capture.mask.as_mut());
            report_picture(capture, picture);
        }
        tell(capture, CameraPhase::Streaming, None, tape.size_px);
        match (capture.pace, grabbed.when) {
            (Pace::Lossless, When::Position(_)) => {
                if !capture.slots.put_and_wait(capture.slot, frame, &capture.stop) {
                    return Ok(Finish::Stopped);
                }
            }
            _ => capture.slots.put_latest(capture.slot, frame),
        }
    }
}

/// Says in the log when a picture begins to show nothing, and when it shows something again; states and health have it too.
fn report_picture(capture: &Capture, fault: Option<PictureFault>) {
    if fault == capture.stats.picture() {
        return;
    }
    match fault {
        Some(fault) => tracing::warn!(camera = %capture.camera, "the picture is {}", fault.as_str().replace('_', " ")),
        None => tracing::info!(camera = %capture.camera, "the picture shows something again"),
    }
    capture.stats.set_picture(fault);
}

/// When a frame was taken. A clip in real time is waited for; none when told to stop meanwhile.
fn time_of(
    grabbed: &Grabbed,
    capture: &Capture,
    tape: &mut Tape,
    timeline: &mut Timeline,
    opened: CaptureTime,
    clip_start: UtcTime,
) -> Option<CaptureTime> {
    match (grabbed.when, capture.pace) {
        (When::Arrived { at, stream }, _) => Some(timeline.taken(at, stream)),
        (When::Position(position), Pace::Lossless) => {
            tape.position = position;
            Some(SimClock::at(clip_start, tape.offset + position))
        }
        (When::Position(position), Pace::RealTime) => {
            let due = opened.mono.plus(position);
            while capture.clock.now().mono < due {
                if capture.stop.load(Ordering::Relaxed) {
                    return None;
                }
                std::thread::sleep(NAP);
            }
            Some(capture.clock.now())
        }
    }
}

/// Counts a frame.
fn count(capture: &Capture, tape: &mut Tape, now: MonoTime) {
    let stats = &capture.stats;
    stats.captured.fetch_add(1, Ordering::Relaxed);
    stats.newest_nanos.store(now.as_nanos(), Ordering::Relaxed);
    let (frames, since) = &mut tape.rate;
    *frames += 1;
    let over = now.since(*since);
    // Early once: the state that says "streaming" is told again as soon as the rate is known.
    if over >= RATE_OVER || (stats.frames_per_1000_s.load(Ordering::Relaxed) == 0 && over >= RATE_OVER / 4) {
        let rate = u128::from(*frames) * 1_000_000 / over.as_millis().max(1);
        stats.frames_per_1000_s.store(u64::try_from(rate).unwrap_or(u64::MAX), Ordering::Relaxed);
        (*frames, *since) = (0, now);
    }
}

/// A number of the camera's own for its jitter: FNV-1a of its name.
fn seed(camera: &CameraId) -> u64 {
    camera.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}
