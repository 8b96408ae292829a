//! Messages about hotlists: which version is in force, what was done and why, and what a screen in the vehicle may show. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::convert::short;
use super::{Message, Source};
use crate::anpr::hotlist::{Detail, Hit};
use crate::anpr::record::Alert;
use crate::clock::UtcTime;

/// Longest reason in words, bytes.
pub const MAX_REASON_BYTES: usize = 512;

/// A version that is on its way in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IncomingWire {
    /// Its number.
    pub version: String,
    /// Chunks that are here.
    pub chunks_here: u64,
    /// Chunks that are needed.
    pub chunks: u64,
}

/// Why something that came was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefusalWire {
    /// In words.
    pub reason: String,
    /// When, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
}

/// One hotlist on this box. Topic `hotlist/{list}/state`, retained; told at each change and every few minutes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HotlistStateMessage {
    /// `kerbside.hotlist_state/1`.
    pub schema: String,
    /// The device's opaque id.
    #[schemars(extend("pattern" = "^[a-z0-9_-]{1,32}$"))]
    pub device: String,
    /// The list's opaque id.
    #[schemars(extend("pattern" = "^[a-z0-9_-]{1,32}$"))]
    pub list: String,
    /// The version in force; none when there is none.
    pub version: Option<String>,
    /// SHA-256 of its content in canonical form, 64 hexadecimal digits; none for a list kept by hand, and when none is in force.
    #[schemars(extend("pattern" = "^[0-9a-f]{64}$"))]
    pub content_sha256: Option<String>,
    /// Entries in force or yet to come into force.
    pub entries: u64,
    /// Rows left out because they were faulty (lists kept by hand only: a sealed list is taken whole or not at all).
    pub rejected: u64,
    /// When its owner made it, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub created: Option<String>,
    /// From when on nothing of it is matched, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub expires: Option<String>,
    /// Since its owner made it, seconds, at `written`; none when none is in force.
    pub age_s: Option<u64>,
    /// It is older than `hotlist.stale_after_h` allows, or none is in force.
    pub stale: bool,
    /// It is past `expires`: nothing of it is matched.
    pub expired: bool,
    /// What is on its way in.
    pub incoming: Option<IncomingWire>,
    /// The last thing that was refused, until something is taken.
    pub refused: Option<RefusalWire>,
    /// When this was written, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub written: String,
}

impl HotlistStateMessage {
    /// The message with its frame filled in.
    pub fn new(source: &Source, list: &str, now: UtcTime) -> Self {
        Self {
            schema: Self::SCHEMA.to_owned(),
            device: source.device.clone(),
            list: list.to_owned(),
            written: now.to_string(),
            ..Self::default()
        }
    }
}

/// What happened to a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditEvent {
    /// A signed manifest came and is worth fetching, or a file was handed in.
    HotlistReceived,
    /// A version is in force.
    HotlistApplied,
    /// Something was not taken.
    HotlistRefused,
    /// A list in force passed its expiry: nothing of it is matched from now on.
    HotlistExpired,
    /// A command was carried out.
    CommandDone,
    /// A command was refused, or failed.
    CommandRefused,
}

/// An entry of the audit log. Topic `audit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditMessage {
    /// `kerbside.audit/1`.
    pub schema: String,
    /// The device's opaque id.
    #[schemars(extend("pattern" = "^[a-z0-9_-]{1,32}$"))]
    pub device: String,
    /// `hotlist_received`, `hotlist_applied`, `hotlist_refused`, `hotlist_expired`, `command_done` or `command_refused`.
    pub event: AuditEvent,
    /// When, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    /// The list's opaque id; none when what came did not say, or not believably.
    pub list: Option<String>,
    /// The version, as far as known.
    pub version: Option<String>,
    /// Entries of the version, as far as known.
    pub entries: Option<u64>,
    /// Id of the key that signed it, as far as known.
    pub key: Option<String>,
    /// How it came: `mqtt`, `file`, `start` (found on disk) or `reload`.
    pub way: String,
    /// Why, in words; for a refusal always.
    pub reason: Option<String>,
    /// The command.
    #[serde(default)]
    pub command: Option<String>,
    /// Who gave it, in their own words.
    #[serde(default)]
    pub by: Option<String>,
}

impl AuditMessage {
    /// An entry that says what happened, when and how; the caller adds what it knows.
    pub fn new(source: &Source, event: AuditEvent, way: &str, now: UtcTime) -> Self {
        Self {
            schema: Self::SCHEMA.to_owned(),
            device: source.device.clone(),
            event,
            at: now.to_string(),
            list: None,
            version: None,
            entries: None,
            key: None,
            way: way.to_owned(),
            reason: None,
            command: None,
            by: None,
        }
    }

    /// With the reason in words, cut to size.
    #[must_use]
    pub fn because(mut self, reason: &str) -> Self {
        self.reason = Some(short(reason, MAX_REASON_BYTES));
        self
    }
}

/// A hit as a screen may show it: codes, no free text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DisplayHitWire {
    /// `stop`, `assess` or `intelligence`; never `silent`.
    pub action: String,
    /// `P0` to `P3`.
    pub priority: String,
    /// `exact`, `look_alike`, `fuzzy` or `wildcard`: all but the first are grades of doubt to be shown as such.
    pub class: String,
    /// The list's opaque id.
    #[schemars(extend("pattern" = "^[a-z0-9_-]{1,32}$"))]
    pub list: String,
    /// Warning markers.
    #[schemars(length(max = super::MAX_MARKERS))]
    pub markers: Vec<String>,
    /// Make as listed, to be cut to fit the symbol.
    pub make: String,
    /// Model.
    pub model: String,
    /// Colour.
    pub colour: String,
}

/// An alert for a screen or a sounder in the vehicle. Topic `display`, QoS 0, never stored, never retained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DisplayMessage {
    /// `kerbside.display/1`.
    pub schema: String,
    /// The passage's id, as in the alert.
    #[schemars(extend("format" = "uuid"))]
    pub passage: String,
    /// `early`, `confirmed` or `retracted`.
    pub phase: String,
    /// The vehicle is gone already.
    pub late: bool,
    /// The camera's opaque id.
    #[schemars(extend("pattern" = "^[a-z0-9_-]{1,32}$"))]
    pub camera: String,
    /// When it was seen, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    /// The mark as read.
    #[schemars(extend("pattern" = "^[A-Z0-9]*$"))]
    pub vrm: String,
    /// What it matched, most urgent first.
    #[schemars(length(max = super::MAX_HITS))]
    pub hits: Vec<DisplayHitWire>,
}

impl DisplayMessage {
    /// What of an alert may be shown near the vehicle; none when that is nothing, as for a silent hit.
    pub fn new(alert: &Alert) -> Option<Self> {
        let shown = alert.for_display()?;
        Some(Self {
            schema: Self::SCHEMA.to_owned(),
            passage: shown.passage.to_string(),
            phase: shown.phase.as_str().to_owned(),
            late: shown.late,
            camera: shown.camera.as_str().to_owned(),
            at: shown.at.utc.to_string(),
            vrm: shown.decoded.vrm.to_string(),
            hits: shown.hits.iter().take(super::MAX_HITS).map(display_hit).collect(),
        })
    }
}

fn display_hit(hit: &Hit) -> DisplayHitWire {
    let detail = |d: Detail| short(hit.entry.details.get(d), 32);
    DisplayHitWire {
        action: hit.entry.action.as_str().to_owned(),
        priority: hit.entry.priority.as_str().to_owned(),
        class: hit.class.as_str().to_owned(),
        list: hit.list.to_string(),
        markers: hit.entry.markers.iter().take(super::MAX_MARKERS).map(ToString::to_string).collect(),
        make: detail(Detail::Make),
        model: detail(Detail::Model),
        colour: detail(Detail::Colour),
    }
}

impl Message for HotlistStateMessage {
    const SCHEMA: &'static str = "kerbside.hotlist_state/1";
}
impl Message for AuditMessage {
    const SCHEMA: &'static str = "kerbside.audit/1";
}
impl Message for DisplayMessage {
    const SCHEMA: &'static str = "kerbside.display/1";
}
