//! Frames in: sources, and the thread that keeps one going.
//!
//! ```text
//! clip, stills ------------------------------------------+
//!                                                        v
//! rtsp, v4l2, http: [grab-<camera>: decoder] --frame--> [capture-<camera>: time, masks, watch] --> [Slots] --> reader
//! ```
//!
//! A [`Source`] is anything that gives frames one after another. [`run`] keeps one going on its own `capture-<camera>` thread: it
//! opens, captures into a [`slot::Slots`], watches the age of the newest frame, and after a failure waits (capped, jittered)
//! and starts over; [`run_once`] is one honest attempt. A decoder of a live camera may hang for good, so it runs on a thread
//! of its own that can be left behind ([`live`]): nobody ever waits for it without a limit.
//!
//! This room has never heard of a detector: what frames show is nobody's business here, but for the three pictures that show
//! nothing at all ([`picture`]).

mod arrival;
mod capture;
pub mod clip;
pub mod credentials;
pub mod live;
mod opencv;
pub mod picture;
pub mod pipeline;
pub mod raw;
pub mod rtsp;
pub mod slot;
mod state;
pub mod stills;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use self::capture::{Capture, Finish, Tape, run, run_once};
pub use self::state::{AtEnd, CameraEvent, CameraPhase, CaptureStats, Pace, Patience};
use crate::clock::CaptureTime;
use crate::frame::{FramePool, Lease, MAX_SIDE_PX};

/// Why a source gives no (more) frames. Words about a live camera name neither its address nor its password.
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
    /// A live camera that can't be reached, refuses, or gives what we can't use: in words, with the mend.
    #[error("{0}")]
    Lost(String),
    /// A live camera that is connected and gives no frames.
    #[error("no frame for {} s", .0.as_secs_f64())]
    Stalled(Duration),
    /// All frame buffers are on loan: this frame is lost, and counted.
    #[error("no free frame buffer")]
    NoBuffer,
}

/// When a frame was taken, as far as its source knows.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// At this place of a clip.
    Position(Duration),
    /// A live camera's: when it arrived here, and the stream's own time, which counts from anywhere.
    Arrived {
        /// When the decoder gave it.
        at: CaptureTime,
        /// The stream's own time of it, where it has one.
        stream: Option<Duration>,
    },
}

/// A captured frame before it has its number and its time.
#[derive(Debug)]
pub struct Grabbed {
    /// The pixels.
    pub lease: Lease,
    /// When it was taken.
    pub when: When,
}

impl Grabbed {
    /// Where in the clip it is; zero for a live camera's.
    pub const fn position(&self) -> Duration {
        match self.when {
            When::Position(position) => position,
            When::Arrived { .. } => Duration::ZERO,
        }
    }
}

/// What asking a source for its next frame came to.
#[derive(Debug)]
pub enum Grab {
    /// Here it is.
    Frame(Grabbed),
    /// A live camera has none just now: ask again.
    NotYet,
    /// There will be no more.
    End,
}

impl Grab {
    /// The frame, if it is one.
    pub fn frame(self) -> Option<Grabbed> {
        if let Self::Frame(grabbed) = self { Some(grabbed) } else { None }
    }
}

/// Anything that gives frames one after another.
pub trait Source: fmt::Debug + Send {
    /// Opens it, or opens it again from the start.
    ///
    /// # Errors
    /// When it isn't there or can't be decoded.
    fn open(&mut self) -> Result<(), CameraError>;

    /// The next frame, into a buffer of `pool`. Returns within a fraction of a second, whatever a live camera does.
    ///
    /// # Errors
    /// [`CameraError::NoBuffer`] when the pool is empty (the frame of a clip is not lost yet: call again), anything else ends
    /// this attempt.
    fn grab(&mut self, pool: &FramePool) -> Result<Grab, CameraError>;

    /// Lets go of it; called at the end of each attempt. Returns within a second or so.
    fn close(&mut self) {}

    /// How many frames it will give, where that is known: for progress bars.
    fn frames(&self) -> Option<u64>;

    /// Time from one frame to the next, once open: kept between two showings of a clip as well.
    fn period(&self) -> Duration;

    /// What was settled with the camera, in a few words; none where there is nothing to say.
    fn about(&self) -> Option<String> {
        None
    }
}
