//! Messages about the box itself: status, camera states, health. Pure.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::convert::clock;
use super::{ClockWire, HotlistWire, Message, ModelsWire, Source};
use crate::anpr::hotlist::HotlistVersion;
use crate::clock::{ClockQuality, UtcTime};
use crate::ident::CameraId;
use crate::outbox::{Gap, Lane, Stats};
use crate::publish::mqtt::MqttCounters;

/// Most gaps named in one health message, oldest first; `missing` counts all.
pub const MAX_GAPS: usize = 16;

/// Whether the box is online. Topic `status`, retained; the will has the same session number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusMessage {
    /// `kerbside.status/1`.
    pub schema: String,
    /// The device's opaque id.
    #[schemars(extend("pattern" = "^[a-z0-9_-]{1,32}$"))]
    pub device: String,
    /// True in the message at the beginning of a connection, false in the will and at a clean stop.
    pub online: bool,
    /// Counts starts of the daemon, for the life of the device: an `offline` with a lower number than an `online` is stale.
    pub session: u64,
    /// Version of the program.
    pub version: String,
    /// The stream that sequence numbers are of: 16 hexadecimal digits. Another stream begins at 1 again.
    #[serde(default)]
    pub stream: String,
    /// Public half of the key that signs this box's records, PEM. Believe it as far as you believe the broker; an installer can
    /// compare it with `kerbside outbox key`.
    #[serde(default)]
    pub signing_key_pem: Option<String>,
    /// What is not as safe as it could be, in words, such as a broker that is reached in clear.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Models in use.
    pub models: ModelsWire,
    /// Hotlists in force, in the order of their ids.
    pub hotlists: Vec<HotlistWire>,
    /// When this was written, UTC. The will was written at the beginning of the session.
    #[schemars(extend("format" = "date-time"))]
    pub written: String,
}

impl StatusMessage {
    /// The message for one state of the box; the caller adds stream, key and warnings.
    pub fn new(source: &Source, online: bool, session: u64, hotlists: &[HotlistVersion], now: UtcTime) -> Self {
        Self {
            schema: Self::SCHEMA.to_owned(),
            device: source.device.clone(),
            online,
            session,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            stream: String::new(),
            signing_key_pem: None,
            warnings: Vec::new(),
            models: ModelsWire { detector: source.models.detector.clone(), reader: source.models.reader.clone() },
            hotlists: super::convert::hotlists(hotlists),
            written: now.to_string(),
        }
    }
}

/// How a camera is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CameraCondition {
    /// Being opened, for the first time or again.
    Opening,
    /// Frames come.
    Streaming,
    /// Connected, but no frame for too long.
    Stalled,
    /// Not connected.
    Lost,
    /// A clip that has come to its end.
    Ended,
}

impl CameraCondition {
    /// The word used in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Streaming => "streaming",
            Self::Stalled => "stalled",
            Self::Lost => "lost",
            Self::Ended => "ended",
        }
    }
}

/// How a camera is, and since when. Topic `camera/{cam}/state`, retained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CameraStateMessage {
    /// `kerbside.camera_state/1`.
    pub schema: String,
    /// The device's opaque id.
    #[schemars(extend("pattern" = "^[a-z0-9_-]{1,32}$"))]
    pub device: String,
    /// The camera's opaque id.
    #[schemars(extend("pattern" = "^[a-z0-9_-]{1,32}$"))]
    pub camera: String,
    /// `opening`, `streaming`, `stalled`, `lost` or `ended`.
    pub state: CameraCondition,
    /// Since when, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
    /// Frames a second, over the last reporting interval.
    pub frames_per_s: f64,
    /// Age of the newest frame, milliseconds; none when there was none.
    pub frame_age_ms: Option<u64>,
    /// What is wrong, or what was settled with the camera, in words; no address and no password of the camera.
    pub detail: Option<String>,
    /// Pixels a row of its frames, once known.
    #[serde(default)]
    pub width_px: Option<u32>,
    /// Rows of its frames, once known.
    #[serde(default)]
    pub height_px: Option<u32>,
    /// How far the camera's own clock has run away from the box's since it was opened, milliseconds; positive: it is slow.
    #[serde(default)]
    pub drift_ms: Option<f64>,
    /// What is wrong with the picture itself; none when nothing is.
    #[serde(default)]
    pub picture: Option<PictureCondition>,
}

/// A picture that shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PictureCondition {
    /// The same picture again and again: the camera's encoder hangs.
    Frozen,
    /// Nothing but black: covered, or without light.
    Black,
    /// Nothing but white: overexposed.
    BlownOut,
}

impl CameraStateMessage {
    /// The message for one state; figures and words are filled in by the caller where there are any.
    pub fn new(source: &Source, camera: &CameraId, state: CameraCondition, since: UtcTime) -> Self {
        Self {
            schema: Self::SCHEMA.to_owned(),
            device: source.device.clone(),
            camera: camera.as_str().to_owned(),
            state,
            since: since.to_string(),
            frames_per_s: 0.0,
            frame_age_ms: None,
            detail: None,
            width_px: None,
            height_px: None,
            drift_ms: None,
            picture: None,
        }
    }
}

/// One lane of the outbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LaneHealth {
    /// Rows stored.
    pub rows: u64,
    /// Bytes charged.
    pub bytes: u64,
}

/// Sequence numbers that will never arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GapWire {
    /// First missing number.
    pub first_seq: u64,
    /// Last missing number.
    pub last_seq: u64,
    /// How many of these are missing.
    pub count: u64,
    /// `evicted`, `expired`, `purged`, `too_large`, `damaged` or `several`.
    pub reason: String,
    /// When it was noted, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub noted: String,
}

impl From<&Gap> for GapWire {
    fn from(gap: &Gap) -> Self {
        Self {
            first_seq: gap.first.get(),
            last_seq: gap.last.get(),
            count: gap.count,
            reason: gap.reason.as_str().to_owned(),
            noted: gap.noted.to_string(),
        }
    }
}

/// What waits to be delivered, and what never will be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutboxHealth {
    /// By lane: `alert`, `read`, `health`, `patch`, `overview`.
    pub lanes: BTreeMap<String, LaneHealth>,
    /// Age of the oldest row, seconds; none when nothing waits.
    pub oldest_age_s: Option<u64>,
    /// The number that the next row will get.
    pub next_seq: u64,
    /// Numbers missing in all, for whatever reason.
    pub missing: u64,
    /// Of these, the ones whose report has not reached the broker (or the back office, where it confirms) yet.
    #[serde(default)]
    pub undeclared: u64,
    /// The oldest gaps, at most [`MAX_GAPS`].
    #[schemars(length(max = MAX_GAPS))]
    pub gaps: Vec<GapWire>,
}

impl OutboxHealth {
    /// From the outbox's own figures.
    pub fn new(stats: &Stats, gaps: &[Gap], now: UtcTime) -> Self {
        let lane = |l: Lane| {
            let of = stats.lanes[l as usize];
            (l.as_str().to_owned(), LaneHealth { rows: of.rows, bytes: of.bytes })
        };
        Self {
            lanes: Lane::ALL.into_iter().map(lane).collect(),
            oldest_age_s: stats.oldest_age_s(now),
            next_seq: stats.next_seq,
            missing: stats.missing(),
            undeclared: stats.undeclared,
            gaps: gaps.iter().take(MAX_GAPS).map(GapWire::from).collect(),
        }
    }
}

/// The connection to the broker, counted since the start of the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MqttHealth {
    /// Since when there is a connection, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub connected_since: Option<String>,
    /// Connections so far.
    pub epochs: u64,
    /// Rows sent, repeats included.
    pub published: u64,
    /// Rows acknowledged.
    pub acknowledged: u64,
    /// Refusals.
    pub refused: u64,
    /// Rows sent again.
    pub resent: u64,
    /// Rows larger than the broker takes.
    pub dead_lettered: u64,
    /// Live messages dropped.
    pub live_dropped: u64,
    /// The back office's watermark, where rows wait for it; none before it has spoken since the start of the daemon.
    #[serde(default)]
    pub confirmed: Option<u64>,
    /// Acknowledgements of the back office that could not be meant for what is stored here.
    #[serde(default)]
    pub acks_refused: u64,
    /// The broker that the box is connected to, or was last: `host:port`.
    #[serde(default)]
    pub broker: Option<String>,
    /// What is spoken with it: `5` or `3.1.1`.
    #[serde(default)]
    pub protocol: Option<String>,
    /// The last thing that went wrong, in words.
    pub last_error: Option<String>,
}

impl From<&MqttCounters> for MqttHealth {
    fn from(c: &MqttCounters) -> Self {
        Self {
            connected_since: c.connected_since.map(|t| t.to_string()),
            epochs: c.epochs,
            published: c.published,
            acknowledged: c.acknowledged,
            refused: c.refused,
            resent: c.resent,
            dead_lettered: c.dead_lettered,
            live_dropped: c.live_dropped,
            confirmed: c.confirmed,
            acks_refused: c.acks_refused,
            broker: c.broker.clone(),
            protocol: c.protocol.map(str::to_owned),
            last_error: c.last_error.clone(),
        }
    }
}

/// A hotlist, in force or awaited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HotlistHealth {
    /// The list's opaque id.
    #[schemars(extend("pattern" = "^[a-z0-9_-]{1,32}$"))]
    pub list: String,
    /// Its version; empty while it is awaited.
    pub version: String,
    /// Entries in it.
    pub entries: u64,
    /// Rows left out because they were faulty.
    pub rejected: u64,
    /// Since its owner made it, seconds; for a list kept by hand, since it was put in force. Zero when none is in force.
    pub age_s: u64,
    /// It is older than allowed, or awaited and not there.
    pub stale: bool,
    /// It is past its expiry: nothing of it is matched.
    pub expired: bool,
    /// Why the newest attempt to replace it failed, in words.
    pub last_error: Option<String>,
}

/// One camera: counters since the start of the daemon, and how it is now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CameraHealth {
    /// Frames captured.
    pub frames: u64,
    /// Frames overwritten before a reader took them: it was busy, with this camera or with another one.
    pub dropped: u64,
    /// Times that the camera had to be opened again.
    pub reopened: u64,
    /// Frames lost because every buffer was on loan.
    #[serde(default)]
    pub no_buffer: u64,
    /// Times that it was connected and gave no frames for too long.
    #[serde(default)]
    pub stalls: u64,
    /// Decoders that hung and were left behind.
    #[serde(default)]
    pub abandoned: u64,
    /// Frames a second over the last seconds.
    #[serde(default)]
    pub frames_per_s: f64,
    /// Age of the newest frame, milliseconds; none when there was none.
    #[serde(default)]
    pub frame_age_ms: Option<u64>,
    /// Share of the frames that the camera gave since the last health message which a reader took, 0 to 1; none when there were none.
    #[serde(default)]
    pub keep_up: Option<f64>,
    /// As in the camera's state.
    #[serde(default)]
    pub drift_ms: Option<f64>,
    /// As in the camera's state.
    #[serde(default)]
    pub picture: Option<PictureCondition>,
}

/// How long something takes, over the last 256 of its kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyHealth {
    /// How many there were since the start of the daemon.
    pub count: u64,
    /// The median, milliseconds.
    pub p50_ms: f64,
    /// 99 in a hundred took no longer, milliseconds.
    pub p99_ms: f64,
    /// The longest, milliseconds.
    pub max_ms: f64,
}

/// How the box is. Topic `health`, QoS 0, not retained, every 10 s.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HealthMessage {
    /// `kerbside.health/1`.
    pub schema: String,
    /// The device's opaque id.
    #[schemars(extend("pattern" = "^[a-z0-9_-]{1,32}$"))]
    pub device: String,
    /// As in the status message.
    pub session: u64,
    /// When this was written, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub written: String,
    /// The clock now.
    pub clock: ClockWire,
    /// Since the daemon started, seconds.
    pub uptime_s: u64,
    /// By camera id.
    pub cameras: BTreeMap<String, CameraHealth>,
    /// Mean CPU time a frame since the daemon started, milliseconds, by stage: `motion`, `detect`, `read`. Still frames, counted
    /// as `frames_still`, are among them.
    pub cpu_ms_a_frame: BTreeMap<String, f64>,
    /// From a frame to the disk, by kind, as far as there were any: `alert_early`, from the frame that decided it to the
    /// alert's envelope in the outbox; `alert_at_close` and `record`, from the last frame with the plate, so that the
    /// time to settle (`passage.settle_ms`) is in it. Cameras on the system's clock only, not lossless clips.
    #[serde(default)]
    pub latencies: BTreeMap<String, LatencyHealth>,
    /// Everything else that is counted, by name, since the daemon started.
    pub counters: BTreeMap<String, u64>,
    /// What waits and what is missing.
    pub outbox: OutboxHealth,
    /// The connection.
    pub mqtt: MqttHealth,
    /// The hotlists, in the order of their ids, in force or awaited.
    pub hotlists: Vec<HotlistHealth>,
    /// By sensor, degrees Celsius.
    pub temperatures_c: BTreeMap<String, f64>,
    /// What is wrong just now, in words, most important first; empty when all is well.
    pub alarms: Vec<String>,
}

impl HealthMessage {
    /// The message with its frame filled in; the caller adds what it has counted.
    pub fn new(source: &Source, session: u64, now: UtcTime, quality: ClockQuality) -> Self {
        Self {
            schema: Self::SCHEMA.to_owned(),
            device: source.device.clone(),
            session,
            written: now.to_string(),
            clock: clock(quality),
            uptime_s: 0,
            cameras: BTreeMap::new(),
            cpu_ms_a_frame: BTreeMap::new(),
            latencies: BTreeMap::new(),
            counters: BTreeMap::new(),
            outbox: OutboxHealth::default(),
            mqtt: MqttHealth::default(),
            hotlists: Vec::new(),
            temperatures_c: BTreeMap::new(),
            alarms: Vec::new(),
        }
    }
}

impl Message for StatusMessage {
    const SCHEMA: &'static str = "kerbside.status/1";
}
impl Message for CameraStateMessage {
    const SCHEMA: &'static str = "kerbside.camera_state/1";
}
impl Message for HealthMessage {
    const SCHEMA: &'static str = "kerbside.health/1";
}
