//! From domain values to messages, field by field. Pure.

use sha2::{Digest, Sha256};

use super::{
    AlertMessage, AlternativeWire, ClockWire, DecodedWire, EvidenceWire, HitWire, HotlistWire, MAX_HITS, Message, ModelsWire,
    ReadMessage, SightingsWire, UnreadMessage, WeakestWire,
};
use crate::anpr::decode::Decoded;
use crate::anpr::hotlist::{Hit, HotlistVersion};
use crate::anpr::record::{Alert, CaptureRecord, Sightings, UnreadPassage};
use crate::clock::{CaptureTime, ClockQuality};
use crate::publish::topic::Picture;

/// Longest free text that a hotlist's owner can put into a message, bytes.
const MAX_WORDS_BYTES: usize = 256;
/// Free text of one kind in all hits of a message together, bytes: it may double in JSON, and a record stays under 4 kB.
const ALL_WORDS_BYTES: usize = 320;
/// Longest model name, bytes.
const MAX_NAME_BYTES: usize = 64;

/// Names of the models in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Models {
    /// Name and version of the detector.
    pub detector: String,
    /// Name and version of the reader.
    pub reader: String,
}

/// Who speaks: constant for the life of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The device's opaque id.
    pub device: String,
    /// Models in use.
    pub models: Models,
}

/// A picture of a passage, named by what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    picture: Picture,
    sha256: String,
    size_bytes: u64,
}

impl Evidence {
    /// Names a JPEG by its hash and size.
    pub fn of(picture: Picture, jpeg: &[u8]) -> Self {
        let sha256 = Sha256::digest(jpeg).iter().map(|b| format!("{b:02x}")).collect();
        Self { picture, sha256, size_bytes: u64::try_from(jpeg.len()).unwrap_or(u64::MAX) }
    }
}

impl ReadMessage {
    /// The message for a capture record.
    pub fn new(source: &Source, record: &CaptureRecord, evidence: &[Evidence]) -> Self {
        Self {
            schema: Self::SCHEMA.to_owned(),
            device: source.device.clone(),
            passage: record.passage.to_string(),
            decoded: decoded(&record.decoded),
            sightings: sightings(&record.sightings),
            best_read: record
                .best_read
                .map(|d| AlternativeWire { vrm: d.vrm.to_string(), confidence: probability(d.confidence) }),
            reads: record.reads,
            agreeing: record.agreeing,
            hotlist: hotlist(record.hotlist.as_ref()),
            hits: hits(&record.hits),
            hits_total: total(&record.hits),
            evidence: pictures(evidence),
            models: models(&source.models),
        }
    }
}

impl UnreadMessage {
    /// The message for a passage that could not be read.
    pub fn new(source: &Source, unread: &UnreadPassage, evidence: &[Evidence]) -> Self {
        Self {
            schema: Self::SCHEMA.to_owned(),
            device: source.device.clone(),
            passage: unread.passage.to_string(),
            reason: unread.reason.as_str().to_owned(),
            guess: unread.guess.as_ref().map(decoded),
            sightings: sightings(&unread.sightings),
            evidence: pictures(evidence),
            models: models(&source.models),
        }
    }
}

impl AlertMessage {
    /// The message for one phase of an alert.
    pub fn new(source: &Source, alert: &Alert) -> Self {
        Self {
            schema: Self::SCHEMA.to_owned(),
            device: source.device.clone(),
            passage: alert.passage.to_string(),
            phase: alert.phase.as_str().to_owned(),
            camera: alert.camera.as_str().to_owned(),
            at: alert.at.utc.to_string(),
            clock: clock(alert.at.quality),
            decoded: decoded(&alert.decoded),
            hotlist: hotlist(alert.hotlist.as_ref()),
            hits: hits(&alert.hits),
            hits_total: total(&alert.hits),
            models: models(&source.models),
        }
    }
}

fn decoded(from: &Decoded) -> DecodedWire {
    let length = u8::try_from(from.vrm.len()).unwrap_or(u8::MAX);
    DecodedWire {
        vrm: from.vrm.to_string(),
        confidence: probability(from.confidence),
        raw: from.raw.to_string(),
        syntax: from.syntax.as_str().to_owned(),
        repaired: (0..length.min(16)).filter(|i| from.repaired >> i & 1 == 1).collect(),
        weakest: WeakestWire { place: from.weakest.place, probability: probability(from.weakest.probability) },
        alternatives: from
            .alternatives
            .iter()
            .flatten()
            .map(|c| AlternativeWire { vrm: c.vrm.to_string(), confidence: probability(c.confidence) })
            .collect(),
    }
}

fn sightings(from: &Sightings) -> SightingsWire {
    let utc = |t: CaptureTime| t.utc.to_string();
    SightingsWire {
        camera: from.camera.as_str().to_owned(),
        first: utc(from.first),
        best: utc(from.best),
        last: utc(from.last),
        clock: clock(from.best.quality),
        best_frame: from.best_frame.0,
        corners_px: from.best_quad.corners.map(|p| [rounded(p.x, 10.0), rounded(p.y, 10.0)]),
        frames: from.frames,
        direction: from.direction.as_str().to_owned(),
    }
}

/// The quality of a clock, in words.
pub(super) fn clock(quality: ClockQuality) -> ClockWire {
    ClockWire {
        source: quality.source.as_str().to_owned(),
        synchronised: quality.synchronised,
        max_error_ms: quality.max_error_ms.filter(|e| e.is_finite()).map(|e| (e * 1000.0).round() / 1000.0),
    }
}

fn hotlist(version: Option<&HotlistVersion>) -> Option<HotlistWire> {
    version.map(|v| HotlistWire { list: v.list.clone(), version: v.version.clone() })
}

fn hits(hits: &[Hit]) -> Vec<HitWire> {
    let limit = MAX_WORDS_BYTES.min(ALL_WORDS_BYTES / hits.len().clamp(1, MAX_HITS));
    let hit = |hit: &Hit| HitWire {
        list: hit.list.clone(),
        class: hit.class.as_str().to_owned(),
        entry_vrm: hit.entry.vrm.to_string(),
        action: hit.entry.action.as_str().to_owned(),
        priority: hit.entry.priority.as_str().to_owned(),
        reason: words(&hit.entry.reason, limit),
        explanation: words(&hit.explanation, limit),
    };
    hits.iter().take(MAX_HITS).map(hit).collect()
}

fn total(hits: &[Hit]) -> u32 {
    u32::try_from(hits.len()).unwrap_or(u32::MAX)
}

fn pictures(evidence: &[Evidence]) -> Vec<EvidenceWire> {
    let picture =
        |e: &Evidence| EvidenceWire { kind: e.picture.as_str().to_owned(), sha256: e.sha256.clone(), size_bytes: e.size_bytes };
    evidence.iter().map(picture).collect()
}

fn models(from: &Models) -> ModelsWire {
    ModelsWire { detector: words(&from.detector, MAX_NAME_BYTES), reader: words(&from.reader, MAX_NAME_BYTES) }
}

/// Cuts a text at a character's end. Control characters become spaces: in JSON each would grow to six bytes.
fn words(text: &str, limit: usize) -> String {
    let cut = text.floor_char_boundary(limit);
    text[..cut].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// 0 to 1 with 4 digits; a belief that is no number counts as none.
fn probability(p: f32) -> f64 {
    if p.is_finite() { rounded(p.clamp(0.0, 1.0), 10_000.0) } else { 0.0 }
}

/// Rounded to `1 / steps`, so that the JSON shows as many digits as mean something.
fn rounded(x: f32, steps: f64) -> f64 {
    if x.is_finite() { (f64::from(x) * steps).round() / steps } else { 0.0 }
}
