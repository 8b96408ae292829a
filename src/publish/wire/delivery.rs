//! Messages about delivery itself: what the back office has, what it will never get, what it asks of the box, and the answers. Pure.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::state::GapWire;
use super::{Message, Source};
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
