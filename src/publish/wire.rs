//! The words on the wire: serde twins of domain values, converted by hand, so that the core never learns of JSON and a change
//! in the core never changes a message by accident.
//!
//! Every message is one JSON object in UTF-8 that opens with `schema`, a name and a version (`kerbside.read/1`). Within a
//! version fields are only added; readers pass over what they don't know, so nothing here denies unknown fields. Units stand
//! in field names. Times are RFC 3339 in UTC with milliseconds. Probabilities are 0 to 1, rounded to 4 digits. Pixels are
//! those of the camera's frame, x to the right and y down, rounded to 0.1. No place names anywhere: a camera is an opaque id.
//! A record's text stays under [`MAX_TEXT_BYTES`]; what is cut to get there is named in the field's doc.
//!
//! Pure: encodes and decodes, sends nothing. Recorder thread (records), net thread and supervisor (states, health).

mod convert;
mod delivery;
mod frame;
mod lists;
mod state;

#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use convert::{Evidence, Models, Site, Source, short};
pub use delivery::{
    AckMessage, AnswerMessage, CommandMessage, CommandResult, DoctorResult, GapMessage, MAX_GAPS_A_MESSAGE, PingResult,
    ReloadResult, ResendResult, SnapshotResult,
};
pub use frame::Frame;
pub use lists::{
    AuditEvent, AuditMessage, DisplayHitWire, DisplayMessage, HotlistStateMessage, IncomingWire, MAX_REASON_BYTES, RefusalWire,
};
pub use state::{
    CameraCondition, CameraHealth, CameraStateMessage, GapWire, HealthMessage, HotlistHealth, LaneHealth, LatencyHealth,
    MAX_GAPS, MqttHealth, OutboxHealth, PictureCondition, StatusMessage,
};

/// A record's text is smaller than this, bytes.
pub const MAX_TEXT_BYTES: usize = 4096;
/// Media type of every message here.
pub const CONTENT_TYPE: &str = "application/json";
/// Most hits named in one message; the most urgent come first, and `hits_total` counts all.
pub const MAX_HITS: usize = 4;

/// Most warning markers named for one hit.
pub const MAX_MARKERS: usize = 6;

/// Most hotlists named in one message. No more can be in force (`config` sees to it).
pub const MAX_LISTS: usize = 8;

/// Why a message can't be put into JSON or read from it.
pub type JsonError = serde_json::Error;

/// A message that knows its schema.
pub trait Message: Serialize + for<'de> Deserialize<'de> {
    /// Name and version of the schema.
    const SCHEMA: &'static str;

    /// The message as JSON.
    ///
    /// # Errors
    /// When a number in it is not finite; permanent, so the message is to be dropped and counted.
    fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Reads JSON of this schema.
    ///
    /// # Errors
    /// When it is not JSON or a field is missing or of another type.
    fn decode(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }
}

/// A moment and how far it can be trusted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClockWire {
    /// `system`, or `clip` when counted inside a recording.
    pub source: String,
    /// Whether the kernel called its clock synchronised.
    pub synchronised: bool,
    /// The kernel's estimate of the largest error, milliseconds; none when unknown.
    pub max_error_ms: Option<f64>,
}

/// A text with its probability.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AlternativeWire {
    /// The text, A–Z and 0–9.
    #[schemars(extend("pattern" = "^[A-Z0-9]*$"))]
    pub vrm: String,
    /// Share of the belief, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub confidence: f64,
}

/// The character that the eye is least sure of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WeakestWire {
    /// Its place in `vrm`, counted from 0.
    pub place: u8,
    /// What the eye gives to it, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub probability: f64,
}

/// What was read: the eye's word and grammar's word, side by side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DecodedWire {
    /// The winning text, A–Z and 0–9, no spaces.
    #[schemars(extend("pattern" = "^[A-Z0-9]*$"))]
    pub vrm: String,
    /// Belief that every character of it is right, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub confidence: f64,
    /// What the eye alone said.
    #[schemars(extend("pattern" = "^[A-Z0-9]*$"))]
    pub raw: String,
    /// The format that `vrm` fits, such as `gb_current`, or `none`.
    pub syntax: String,
    /// Places in `vrm`, counted from 0, that only grammar decided.
    pub repaired: Vec<u8>,
    /// The least sure character.
    pub weakest: WeakestWire,
    /// Runner-ups, likeliest first; up to 4.
    #[schemars(length(max = 4))]
    pub alternatives: Vec<AlternativeWire>,
}

/// When and where the plate was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SightingsWire {
    /// The camera's opaque id.
    #[schemars(extend("pattern" = "^[a-z0-9_-]{1,32}$"))]
    pub camera: String,
    /// First frame with the plate, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub first: String,
    /// Frame that was read best, UTC: the evidence is of this one.
    #[schemars(extend("format" = "date-time"))]
    pub best: String,
    /// Last frame with the plate, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub last: String,
    /// The clock at the best frame.
    pub clock: ClockWire,
    /// Number of the best frame, counted per camera from 0, dropped frames included.
    pub best_frame: u64,
    /// Corners of the plate in the best frame, frame pixels `[x, y]`: top left, top right, bottom right, bottom left as read.
    pub corners_px: [[f64; 2]; 4],
    /// Frames with the plate.
    pub frames: u32,
    /// `approaching`, `receding` or `unknown`.
    pub direction: String,
}

/// Which hotlist was in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HotlistWire {
    /// The list's opaque id.
    #[schemars(extend("pattern" = "^[a-z0-9_-]{1,32}$"))]
    pub list: String,
    /// Its version.
    pub version: String,
}

/// A character in which a read and an entry differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DifferenceWire {
    /// Place in `vrm`, counted from 0; for a missing character, that of the one behind it.
    pub place: u8,
    /// What was read; empty when the entry has a character more.
    pub read: String,
    /// What is listed; empty when the read has a character more.
    pub listed: String,
}

/// A match with a hotlist entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HitWire {
    /// The list's opaque id.
    #[schemars(extend("pattern" = "^[a-z0-9_-]{1,32}$"))]
    pub list: String,
    /// `exact`, `look_alike`, `fuzzy` or `wildcard`.
    pub class: String,
    /// The mark on the list, or the pattern.
    pub entry_vrm: String,
    /// Where `vrm` and `entry_vrm` differ.
    pub differs: Vec<DifferenceWire>,
    /// How well the listed mark explains what the eye saw, against the mark that was read: 1 for the very mark.
    #[schemars(range(min = 0.0))]
    pub likelihood_ratio: f64,
    /// `stop`, `assess`, `intelligence` or `silent`. A `silent` hit must not reach anybody near the vehicle.
    pub action: String,
    /// `P0` (most urgent) to `P3`.
    pub priority: String,
    /// Warning markers: codes of two letters, at most [`MAX_MARKERS`].
    #[schemars(length(max = MAX_MARKERS))]
    pub markers: Vec<String>,
    /// Make of the vehicle as listed; like the following, cut at 32 bytes, or less where the
    /// message would grow too large, and empty where the list says nothing.
    pub make: String,
    /// Model.
    pub model: String,
    /// Colour.
    pub colour: String,
    /// Who wants it.
    pub source: String,
    /// Force and area.
    pub force: String,
    /// Id on the Police National Computer.
    pub pnc_id: String,
    /// Why it is on the list, in its owner's words; cut at 256 bytes, or less where the message would grow too large.
    pub reason: String,
    /// Why this is a hit, in words; cut likewise.
    pub explanation: String,
}

/// A picture sent under `image/{passage}/{kind}`; the hash ties it to the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EvidenceWire {
    /// `patch` or `overview`: the last level of its topic.
    pub kind: String,
    /// SHA-256 of the JPEG, 64 hexadecimal digits.
    #[schemars(extend("pattern" = "^[0-9a-f]{64}$"))]
    pub sha256: String,
    /// Size of the JPEG, bytes.
    pub size_bytes: u64,
}

/// A capture record's fields by the names that a back office of the British police's kind gives them (BOF2, the interface before the
/// National ANPR Service; its newer versions may differ). Ids and position are those of the configuration, and none where it has none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NasWire {
    /// Number of the organisation.
    pub feed_id: Option<u32>,
    /// Number of the system.
    pub source_id: Option<u32>,
    /// Number of the camera.
    pub camera_id: Option<u32>,
    /// Capture time of the frame that was read best, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub capture_date: String,
    /// Where the camera stands, WGS 84, degrees north.
    #[schemars(range(min = -90, max = 90))]
    pub latitude_deg: Option<f64>,
    /// Degrees east.
    #[schemars(range(min = -180, max = 180))]
    pub longitude_deg: Option<f64>,
    /// `confidence` in whole percent, rounded down.
    #[schemars(range(max = 100))]
    pub confidence_percentage: u8,
    /// The vehicle came toward the camera (its front plate); none when unknown.
    pub motion_toward_camera: Option<bool>,
}

/// The models that read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelsWire {
    /// Name and version of the detector.
    pub detector: String,
    /// Name and version of the reader.
    pub reader: String,
}

/// A capture record: one vehicle that went past one camera. Topic `read`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReadMessage {
    /// `kerbside.read/1`.
    pub schema: String,
    /// The device's opaque id.
    #[schemars(extend("pattern" = "^[a-z0-9_-]{1,32}$"))]
    pub device: String,
    /// The passage's id, a UUIDv7; consumers take duplicates out by it.
    #[schemars(extend("format" = "uuid"))]
    pub passage: String,
    /// What was read.
    #[serde(flatten)]
    pub decoded: DecodedWire,
    /// When and where.
    #[serde(flatten)]
    pub sightings: SightingsWire,
    /// What the best frame said alone; none when it alone made no mark.
    pub best_read: Option<AlternativeWire>,
    /// Reads that were fused.
    pub reads: u32,
    /// Of these, the ones whose own text agrees with the winner (O/0 and I/1 counted alike).
    pub agreeing: u32,
    /// Hotlists in force when the passage closed, in the order of their ids; at most [`MAX_LISTS`].
    #[schemars(length(max = MAX_LISTS))]
    pub hotlists: Vec<HotlistWire>,
    /// Matches, most urgent first; at most [`MAX_HITS`].
    #[schemars(length(max = MAX_HITS))]
    pub hits: Vec<HitWire>,
    /// Matches in all.
    pub hits_total: u32,
    /// The same facts by other names, for back offices that know only those.
    pub nas: NasWire,
    /// Pictures of the best frame.
    pub evidence: Vec<EvidenceWire>,
    /// Models in use.
    pub models: ModelsWire,
}

/// A passage that could not be read. Topic `unread`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UnreadMessage {
    /// `kerbside.unread/1`.
    pub schema: String,
    /// The device's opaque id.
    #[schemars(extend("pattern" = "^[a-z0-9_-]{1,32}$"))]
    pub device: String,
    /// The passage's id, a UUIDv7.
    #[schemars(extend("format" = "uuid"))]
    pub passage: String,
    /// `too_small`, `blurred`, `flared`, `clipped`, `occluded`, `low_confidence` or `no_agreement`.
    pub reason: String,
    /// The best guess, for people; never matched against a hotlist.
    pub guess: Option<DecodedWire>,
    /// When and where.
    #[serde(flatten)]
    pub sightings: SightingsWire,
    /// Pictures of the best frame.
    pub evidence: Vec<EvidenceWire>,
    /// Models in use.
    pub models: ModelsWire,
}

/// A hit on its way to people. Topic `alert`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AlertMessage {
    /// `kerbside.alert/1`.
    pub schema: String,
    /// The device's opaque id.
    #[schemars(extend("pattern" = "^[a-z0-9_-]{1,32}$"))]
    pub device: String,
    /// The passage's id, a UUIDv7; all phases of one alert share it.
    #[schemars(extend("format" = "uuid"))]
    pub passage: String,
    /// `early`, `confirmed` or `retracted`.
    pub phase: String,
    /// The vehicle had gone when its entry came: `at` is when it went past.
    pub late: bool,
    /// The camera's opaque id.
    #[schemars(extend("pattern" = "^[a-z0-9_-]{1,32}$"))]
    pub camera: String,
    /// Capture time of the frame that decided this phase, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    /// The clock at that frame.
    pub clock: ClockWire,
    /// The mark as fused so far.
    #[serde(flatten)]
    pub decoded: DecodedWire,
    /// Hotlists in force, in the order of their ids; at most [`MAX_LISTS`].
    #[schemars(length(max = MAX_LISTS))]
    pub hotlists: Vec<HotlistWire>,
    /// Matches, most urgent first; for a retraction, what the early alert named. At most [`MAX_HITS`].
    #[schemars(length(max = MAX_HITS))]
    pub hits: Vec<HitWire>,
    /// Matches in all.
    pub hits_total: u32,
    /// Models in use.
    pub models: ModelsWire,
}

impl Message for ReadMessage {
    const SCHEMA: &'static str = "kerbside.read/1";
}
impl Message for UnreadMessage {
    const SCHEMA: &'static str = "kerbside.unread/1";
}
impl Message for AlertMessage {
    const SCHEMA: &'static str = "kerbside.alert/1";
}
