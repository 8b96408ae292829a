//! What a passage leaves behind: capture records, unread passages and alerts. Plain values, made by the core,
//! turned into messages at the boundary (`publish::wire`).

use std::fmt;

use super::decode::Decoded;
use super::hotlist::{Action, Hit, HotlistVersion};
use crate::clock::CaptureTime;
use crate::geometry::{FramePx, Quad};
use crate::ident::{CameraId, FrameSeq};

/// A passage's name from birth to the back office: a UUIDv7 (RFC 9562), so names sort by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PassageId(uuid::Uuid);

impl PassageId {
    /// From the moment of birth and 80 bits that no other passage shares.
    pub fn new(unix_millis: u64, unique: [u8; 10]) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(unix_millis, &unique).into_uuid())
    }

    /// Reads the usual hyphenated form.
    pub fn parse(text: &str) -> Option<Self> {
        uuid::Uuid::try_parse(text).ok().map(Self)
    }
}

impl fmt::Display for PassageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for PassageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PassageId({self})")
    }
}

/// Which way the vehicle went, judged by how the plate's size changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The plate grew: towards the camera.
    Approaching,
    /// The plate shrank: away from it.
    Receding,
    /// It stood, crossed, or was seen too briefly to say.
    Unknown,
}

impl Direction {
    /// The word used in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approaching => "approaching",
            Self::Receding => "receding",
            Self::Unknown => "unknown",
        }
    }
}

/// When and where the plate of a passage was seen; shared by read and unread passages.
#[derive(Clone, Debug, PartialEq)]
pub struct Sightings {
    /// The camera that saw it.
    pub camera: CameraId,
    /// Its first frame with the plate.
    pub first: CaptureTime,
    /// The frame that was read best: the evidence is of this one.
    pub best: CaptureTime,
    /// Its last frame with the plate.
    pub last: CaptureTime,
    /// Number of the frame that was read best.
    pub best_frame: FrameSeq,
    /// Where the plate was in that frame.
    pub best_quad: Quad<FramePx>,
    /// Frames in which the plate was seen.
    pub frames: u32,
    /// Which way it went.
    pub direction: Direction,
}

/// A closed passage that was read: one vehicle, one record.
#[derive(Clone, Debug, PartialEq)]
pub struct CaptureRecord {
    /// The passage's name.
    pub passage: PassageId,
    /// The winning mark with its confidence, runner-ups and syntax.
    pub decoded: Decoded,
    /// When and where.
    pub sightings: Sightings,
    /// What the frame that was read best says alone; none when it alone makes no mark.
    pub best_read: Option<Decoded>,
    /// Reads that were fused.
    pub reads: u32,
    /// Of these, the ones whose own text agrees with the winner (look-alikes folded).
    pub agreeing: u32,
    /// Hotlists in force when the passage closed.
    pub hotlists: Vec<HotlistVersion>,
    /// Entries that the winner matches, most urgent first.
    pub hits: Vec<Hit>,
}

/// Why a passage could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnreadReason {
    /// The plate was never wide enough for its characters to be told apart.
    TooSmall,
    /// Its strokes were smeared: by motion, by the lens, or by what the camera's encoder left of them.
    Blurred,
    /// It was burnt out: by a lamp, the sun or the camera's own infra-red.
    Flared,
    /// It touched the frame's edge whenever it was seen.
    Clipped,
    /// Something stood before it: characters were sharp, but never all of them in view.
    Occluded,
    /// Large, sharp and whole, yet no frame gave a text that could be believed.
    LowConfidence,
    /// Frames gave texts, but not the same one.
    NoAgreement,
}

impl UnreadReason {
    /// The word used in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooSmall => "too_small",
            Self::Blurred => "blurred",
            Self::Flared => "flared",
            Self::Clipped => "clipped",
            Self::Occluded => "occluded",
            Self::LowConfidence => "low_confidence",
            Self::NoAgreement => "no_agreement",
        }
    }
}

/// A closed passage that was not read, with the best guess kept for a person to look at.
#[derive(Clone, Debug, PartialEq)]
pub struct UnreadPassage {
    /// The passage's name.
    pub passage: PassageId,
    /// When and where.
    pub sightings: Sightings,
    /// Why.
    pub reason: UnreadReason,
    /// The best guess, if there was one at all; never matched against a hotlist.
    pub guess: Option<Decoded>,
    /// What the frame that was read best says alone; none when it alone makes no mark.
    pub best_read: Option<Decoded>,
}

/// How far an alert has come. All phases of one passage carry the same passage id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertPhase {
    /// While the vehicle is still in view: the fused reads already say so.
    Early,
    /// The passage closed and the winner is still a hit.
    Confirmed,
    /// The passage closed and it is not: an early alert was wrong.
    Retracted,
}

impl AlertPhase {
    /// The word used in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Early => "early",
            Self::Confirmed => "confirmed",
            Self::Retracted => "retracted",
        }
    }
}

/// A hit on its way to people.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// The passage it is about.
    pub passage: PassageId,
    /// How far it has come.
    pub phase: AlertPhase,
    /// The vehicle was gone when the entry came: a record of the last while, matched again.
    pub late: bool,
    /// Nothing of it that may be shown near the vehicle is news: it is for the back office alone.
    pub quiet: bool,
    /// The mark as fused so far.
    pub decoded: Decoded,
    /// The camera that sees it.
    pub camera: CameraId,
    /// Capture time of the frame that decided this phase.
    pub at: CaptureTime,
    /// Hotlists in force.
    pub hotlists: Vec<HotlistVersion>,
    /// Entries matched, most urgent first; for a retraction, the entries that the early alert named.
    pub hits: Vec<Hit>,
}

impl Alert {
    /// What of it may be shown, or made to sound, near the vehicle: everything but hits that are to be recorded only. None when nothing
    /// is left, or nothing of it is news: a display that says the same again tells a crew that there is something else.
    pub fn for_display(&self) -> Option<Self> {
        let hits: Vec<Hit> = self.hits.iter().filter(|hit| hit.entry.action != Action::Silent).cloned().collect();
        (!self.quiet && !hits.is_empty()).then(|| Self { hits, ..self.clone() })
    }
}
