//! Messages about delivery itself: what the back office has, what it will never get, what it asks of the box, and the answers. Pure.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::lists::MAX_REASON_BYTES;
use super::state::{GapWire, HealthMessage};
use super::{JsonError, Message, Source, short};
use crate::clock::UtcTime;
use crate::outbox::chain::StreamId;
use crate::outbox::{Gap, Seq};

/// Most gaps named in one message, which keeps it under 4 kB.
pub const MAX_GAPS_A_MESSAGE: usize = 24;

/// Numbers of the stream that will never arrive, and why. Topic `gap`, through the outbox like a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GapMessage {
    /// `kerbside.gap/1`.
    pub schema: String,
    /// The device's opaque id.
    #[schemars(extend("pattern" = "^[a-z0-9_-]{1,32}$"))]
    pub device: String,
    /// What is missing, in the order of the numbers; at most [`MAX_GAPS_A_MESSAGE`].
    #[schemars(length(max = MAX_GAPS_A_MESSAGE))]
    pub gaps: Vec<GapWire>,
    /// When this was written, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub written: String,
}

impl GapMessage {
    /// The message for some gaps.
    pub fn new(source: &Source, gaps: &[Gap], now: UtcTime) -> Self {
        Self {
            schema: Self::SCHEMA.to_owned(),
            device: source.device.clone(),
            gaps: gaps.iter().take(MAX_GAPS_A_MESSAGE).map(GapWire::from).collect(),
            written: now.to_string(),
        }
    }
}

/// What the back office has stored. Topic `ack`, coming down, retained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AckMessage {
    /// `kerbside.ack/1`.
    pub schema: String,
    /// The device that it is for.
    #[schemars(extend("pattern" = "^[a-z0-9_-]{1,32}$"))]
    pub device: String,
    /// The stream that the numbers are of, as in the user property `stream`: 16 hexadecimal digits. An acknowledgement of another
    /// stream is passed over.
    #[schemars(extend("pattern" = "^[0-9a-f]{16}$"))]
    pub stream: String,
    /// Every number up to this one is stored at the back office, or declared missing; 0 when none is.
    pub watermark: u64,
    /// When this was written, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub written: String,
}

impl AckMessage {
    /// The acknowledgement of everything up to a number.
    pub fn new(device: &str, stream: StreamId, watermark: Option<Seq>, now: UtcTime) -> Self {
        Self {
            schema: Self::SCHEMA.to_owned(),
            device: device.to_owned(),
            stream: stream.to_string(),
            watermark: watermark.map_or(0, Seq::get),
            written: now.to_string(),
        }
    }
}

/// Something that the back office asks of the box. Topic `cmd/{verb}`, coming down, not retained; with MQTT 5's response topic and
/// correlation data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CommandMessage {
    /// `kerbside.command/1`.
    pub schema: String,
    /// When it was given, UTC, RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub issued: String,
    /// It is void so many seconds after `issued`; 30 when left out.
    #[serde(default = "valid_s")]
    pub valid_s: u32,
    /// Who gives it, in words for the audit log; at most 64 bytes.
    #[serde(default)]
    pub by: String,
    /// What the verb needs: `from` and `to` for `outbox.resend`, `camera` for `snapshot`.
    #[serde(default)]
    pub args: BTreeMap<String, Value>,
    /// Where the answer goes, for a client without MQTT 5's response topic.
    #[serde(default)]
    pub response_topic: Option<String>,
    /// What the answer repeats, for a client without MQTT 5's correlation data.
    #[serde(default)]
    pub correlation: Option<String>,
}

impl CommandMessage {
    /// An argument that is a whole number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.args.get(name).and_then(Value::as_u64)
    }

    /// An argument that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.args.get(name).and_then(Value::as_str)
    }
}

const fn valid_s() -> u32 {
    30
}

/// The answer to a command. On the response topic, QoS 1, with the command's correlation data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AnswerMessage {
    /// `kerbside.answer/1`.
    pub schema: String,
    /// The device's opaque id.
    #[schemars(extend("pattern" = "^[a-z0-9_-]{1,32}$"))]
    pub device: String,
    /// The command.
    pub verb: String,
    /// Whether it was carried out.
    pub ok: bool,
    /// Why not, and what would help; none when it was.
    pub error: Option<String>,
    /// What came of it, by the verb.
    pub result: Value,
    /// As in the command.
    pub correlation: Option<String>,
    /// When this was written, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub written: String,
}

/// What can come of a command.
pub trait CommandResult: Serialize {}

impl CommandResult for PingResult {}
impl CommandResult for ReloadResult {}
impl CommandResult for DoctorResult {}
impl CommandResult for ResendResult {}
impl CommandResult for SnapshotResult {}

impl AnswerMessage {
    /// The answer to `verb`: what came of it, or why nothing did.
    ///
    /// # Errors
    /// When a number in the result is not finite.
    pub fn new<R: CommandResult>(
        source: &Source,
        verb: &str,
        outcome: Result<&R, &str>,
        correlation: Option<String>,
        now: UtcTime,
    ) -> Result<Self, JsonError> {
        Ok(Self {
            schema: Self::SCHEMA.to_owned(),
            device: source.device.clone(),
            verb: verb.to_owned(),
            ok: outcome.is_ok(),
            error: outcome.err().map(|why| short(why, MAX_REASON_BYTES)),
            result: outcome.map_or(Ok(Value::Null), serde_json::to_value)?,
            correlation,
            written: now.to_string(),
        })
    }
}

/// What came of `ping`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PingResult {
    /// As in the status message.
    pub session: u64,
    /// Since the daemon started, seconds.
    pub uptime_s: u64,
    /// Version of the program.
    pub version: String,
}

/// What came of `reload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReloadResult {
    /// What was read again, in words.
    pub what: String,
}

/// What came of `doctor`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DoctorResult {
    /// What is wrong, in words, most important first; empty when all is well.
    pub alarms: Vec<String>,
    /// The figures behind it.
    pub health: HealthMessage,
}

/// What came of `outbox.resend`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResendResult {
    /// Numbers of the range that are still stored and are sent once more.
    pub resent: u64,
    /// Numbers that are not stored any more: the broker (or the back office, where it confirms) has acknowledged them.
    pub released: u64,
    /// Numbers that are missing, in gaps; the first [`MAX_GAPS_A_MESSAGE`] that touch the range.
    pub missing: Vec<GapWire>,
    /// Where to go on, if the range held more rows than are taken at one time.
    pub next: Option<u64>,
}

/// What came of `snapshot`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotResult {
    /// The camera's opaque id.
    pub camera: String,
    /// When the frame was captured, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    /// Width of the camera's frame, pixels (the picture may be smaller).
    pub width_px: u32,
    /// Height of the camera's frame, pixels.
    pub height_px: u32,
    /// Plates that are outlined in it.
    pub plates: u32,
    /// The picture, JPEG in base64.
    pub jpeg_base64: String,
}

impl Message for GapMessage {
    const SCHEMA: &'static str = "kerbside.gap/1";
}
impl Message for AckMessage {
    const SCHEMA: &'static str = "kerbside.ack/1";
}
impl Message for CommandMessage {
    const SCHEMA: &'static str = "kerbside.command/1";
}
impl Message for AnswerMessage {
    const SCHEMA: &'static str = "kerbside.answer/1";
}
