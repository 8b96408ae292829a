//! Frames in: sources, and the thread that keeps one going.
//!
//! A [`Source`] is anything that gives frames one after another: a clip or a folder of stills today, live cameras
//! behind the same trait later. [`run`] keeps a source going on its own `capture-<camera>` thread: it opens, captures
//! into a [`slot::Slots`], and after a failure waits (capped, jittered) and starts over; [`run_once`] is one honest attempt.
//! This room has never heard of a detector: what frames show is nobody's business here.

pub mod clip;
mod opencv;
pub mod slot;
pub mod stills;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use self::slot::Slots;
use crate::clock::{Backoff, CaptureTime, Clock, SimClock, UtcTime};
use crate::frame::{Frame, FramePool, Lease, MAX_SIDE_PX};
use crate::ident::{CameraId, FrameSeq};

/// Why a source gives no (more) frames.
#[derive(Debug, thiserror::Error)]
pub enum CameraError {
    /// The file is missing or can't be read.
    #[error("{path}: {why}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// The file is there, but it is no picture or clip that we can decode.
    #[error("{path}: {why}")]
    Undecodable {
        /// The file.
        path: PathBuf,
        /// What the decoder said, or what we found.
        why: String,
    },
    /// A clip that stops before its own header says it does.
    #[error("{path}: it ends after {got} of {expected} frames; the file is cut off or damaged, copy it again")]
    Truncated {
        /// The clip.
        path: PathBuf,
        /// Frames that could be decoded.
        got: u64,
        /// Frames that its header promises.
        expected: u64,
    },
    /// A picture larger than any camera's.
    #[error("{path}: {width} x {height} pixels; at most {MAX_SIDE_PX} a side are taken, scale it down")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Pixels a row.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// All frame buffers are on loan: this frame is lost, and counted.
    #[error("no free frame buffer")]
    NoBuffer,
}

/// A captured frame before it has its number and its time.
#[derive(Debug)]
pub struct Grabbed {
    /// The pixels.
    pub lease: Lease,
    /// Where in the clip it is; none for a live source, whose time is the moment of arrival.
    pub position: Option<Duration>,
}

/// Anything that gives frames one after another.
pub trait Source: fmt::Debug + Send {
    /// Opens it, or opens it again from the start.
    ///
    /// # Errors
    /// When it isn't there or can't be decoded.
    fn open(&mut self) -> Result<(), CameraError>;

    /// The next frame, into a buffer of `pool`; none at the end.
    ///
    /// # Errors
    /// [`CameraError::NoBuffer`] when the pool is empty (the frame is not lost yet: call again), anything else ends this attempt.
    fn grab(&mut self, pool: &FramePool) -> Result<Option<Grabbed>, CameraError>;

    /// How many frames it will give, where that is known: for progress bars.
    fn frames(&self) -> Option<u64>;

    /// Time from one frame to the next, once open: kept between two showings of a clip as well.
    fn period(&self) -> Duration;
}

/// What to do when a clip or folder has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtEnd {
    /// Stay silent from then on.
    Stop,
    /// Start over: a demonstration box.
    Repeat,
}

/// How fast the frames of a clip come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As fast as they are taken; none is ever dropped.
    Lossless,
    /// As they were filmed; a frame that comes while the reader is busy replaces the one that waits.
    RealTime,
}

/// What a camera's thread is doing, as told on its state topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CameraPhase {
    /// Opening for the first time, or again.
    Opening,
    /// Giving frames.
    Streaming,
    /// Failed; waiting to try again.
    Lost,
    /// A clip that came to its end.
    Ended,
}

/// A change of phase.
#[derive(Clone, Debug)]
pub struct CameraEvent {
    /// Which camera.
    pub camera: CameraId,
    /// What it does now.
    pub phase: CameraPhase,
    /// Why, when it is lost.
    pub reason: Option<String>,
    /// Since when.
    pub since: CaptureTime,
    /// Width and height of its frames, pixels, once known.
    pub size_px: Option<(usize, usize)>,
}

/// Counters that the capture thread keeps for health.
#[derive(Debug, Default)]
pub struct CaptureStats {
    /// Frames captured.
    pub captured: AtomicU64,
    /// Frames lost because every buffer was on loan.
    pub no_buffer: AtomicU64,
    /// Attempts that ended in an error.
    pub failures: AtomicU64,
}

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
#[derive(Clone, Copy, Debug, Default)]
pub struct Tape {
    /// Number of the next frame.
    next_seq: u64,
    /// Where the present showing of a clip starts: a repeated clip goes on in time, never back.
    offset: Duration,
    /// Position of the newest frame within the present showing.
    position: Duration,
    /// UTC when it was first opened.
    opened: Option<UtcTime>,
}

/// Longest pause between two looks at the stop flag.
const NAP: Duration = Duration::from_millis(2);

/// Keeps a source going until it ends for good or is told to stop. Runs on the `capture-<camera>` thread; never fatal to others.
pub fn run(mut capture: Capture, mut report: impl FnMut(CameraEvent)) {
    let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(15), seed(&capture.camera));
    let mut tape = Tape::default();
    // Only changes are told: a clip on repeat would otherwise publish a state at each showing.
    let mut told = None;
    let mut tell = |capture: &Capture, phase, reason: Option<String>, size_px| {
        if told.replace(phase) != Some(phase) || reason.is_some() {
            report(CameraEvent { camera: capture.camera.clone(), phase, reason, since: capture.clock.now(), size_px });
        }
    };
    tell(&capture, CameraPhase::Opening, None, None);
    while !capture.stop.load(Ordering::Relaxed) {
        let before = tape.next_seq;
        let outcome = run_once(&mut capture, &mut tape, |capture, size| tell(capture, CameraPhase::Streaming, None, Some(size)));
        let gave_frames = tape.next_seq > before;
        let finish = match outcome {
            // What there was of it has been shown; showing it again would give the same vehicles once more.
            Err(e @ CameraError::Truncated { .. }) if gave_frames => {
                tracing::warn!(camera = %capture.camera, "{e}");
                Ok(Finish::End)
            }
            outcome => outcome,
        };
        let wait = match finish {
            Ok(Finish::Stopped) => break,
            Ok(Finish::End) if capture.at_end == AtEnd::Stop => {
                tell(&capture, CameraPhase::Ended, None, None);
                break;
            }
            Ok(Finish::End) if gave_frames => {
                backoff.reset();
                if capture.pace == Pace::RealTime { capture.source.period() } else { Duration::ZERO }
            }
            Ok(Finish::End) => lost(&capture, "it gave no frames", &mut backoff, &mut tell),
            Err(e) => {
                if gave_frames {
                    backoff.reset();
                }
                lost(&capture, &e.to_string(), &mut backoff, &mut tell)
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
fn lost(
    capture: &Capture,
    why: &str,
    backoff: &mut Backoff,
    tell: &mut impl FnMut(&Capture, CameraPhase, Option<String>, Option<(usize, usize)>),
) -> Duration {
    capture.stats.failures.fetch_add(1, Ordering::Relaxed);
    tracing::warn!(camera = %capture.camera, "lost: {why}");
    tell(capture, CameraPhase::Lost, Some(why.to_owned()), None);
    backoff.next_wait()
}

/// One attempt: open, then capture until the end, an error, or the stop flag.
///
/// # Errors
/// Whatever the source failed with.
pub fn run_once(
    capture: &mut Capture,
    tape: &mut Tape,
    mut first_frame: impl FnMut(&Capture, (usize, usize)),
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
    let mut streaming = false;
    loop {
        if capture.stop.load(Ordering::Relaxed) {
            return Ok(Finish::Stopped);
        }
        let grabbed = match capture.source.grab(&capture.pool) {
            Ok(Some(grabbed)) => grabbed,
            Ok(None) => return Ok(Finish::End),
            Err(CameraError::NoBuffer) => {
                if capture.pace == Pace::RealTime {
                    capture.stats.no_buffer.fetch_add(1, Ordering::Relaxed);
                }
                std::thread::sleep(NAP);
                continue;
            }
            Err(e) => return Err(e),
        };
        let at = match (grabbed.position, capture.pace) {
            (Some(position), Pace::Lossless) => {
                tape.position = position;
                SimClock::at(clip_start, tape.offset + position)
            }
            (Some(position), Pace::RealTime) => {
                let due = opened.mono.plus(position);
                while capture.clock.now().mono < due && !capture.stop.load(Ordering::Relaxed) {
                    std::thread::sleep(NAP);
                }
                capture.clock.now()
            }
            (None, _) => capture.clock.now(),
        };
        let frame = Frame::new(grabbed.lease, capture.camera.clone(), FrameSeq(tape.next_seq), at);
        tape.next_seq += 1;
        capture.stats.captured.fetch_add(1, Ordering::Relaxed);
        if !streaming {
            streaming = true;
            first_frame(capture, (frame.width(), frame.height()));
        }
        match capture.pace {
            Pace::Lossless => {
                if !capture.slots.put_and_wait(capture.slot, frame, &capture.stop) {
                    return Ok(Finish::Stopped);
                }
            }
            Pace::RealTime => capture.slots.put_latest(capture.slot, frame),
        }
    }
}

/// A number of the camera's own for its jitter: FNV-1a of its name.
fn seed(camera: &CameraId) -> u64 {
    camera.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}
