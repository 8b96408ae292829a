//! From domain values to messages, field by field. Pure.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{
    AlertMessage, AlternativeWire, ClockWire, DecodedWire, DifferenceWire, EvidenceWire, HitWire, HotlistWire, MAX_HITS,
    MAX_LISTS, MAX_MARKERS, MAX_TEXT_BYTES, Message, ModelsWire, NasWire, ReadMessage, SightingsWire, UnreadMessage, WeakestWire,
};
use crate::anpr::decode::Decoded;
use crate::anpr::hotlist::{Detail, Difference, Hit, HotlistVersion};
use crate::anpr::record::{Alert, CaptureRecord, Direction, Sightings, UnreadPassage};
use crate::anpr::vrm::Glyph;
use crate::clock::{CaptureTime, ClockQuality};
use crate::ident::CameraId;
use crate::publish::topic::Picture;

/// How long the words of hits may be, in bytes: free text of one kind, and one detail of an entry. The first that keeps the
/// message within its size is taken; JSON may double a text, or worse.
const WORDS_BYTES: [(usize, usize); 5] = [(256, 32), (128, 16), (64, 12), (32, 8), (16, 4)];
/// Longest model name, bytes.
const MAX_NAME_BYTES: usize = 64;

/// Names of the models in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Models {
    /// Name and version of the detector.
    pub detector: String,
    /// Name and version of the reader.
    pub reader: String,
}

/// Where a camera stands and what a national back office knows it by.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Site {
    /// Number of the organisation.
    pub feed_id: Option<u32>,
    /// Number of the system.
    pub source_id: Option<u32>,
    /// Number of the camera.
    pub camera_id: Option<u32>,
    /// Latitude and longitude, degrees, WGS 84.
    pub position: Option<(f64, f64)>,
}

/// Who speaks: constant for the life of the process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// The device's opaque id.
    pub device: String,
    /// Models in use.
    pub models: Models,
    /// By camera.
    pub sites: BTreeMap<CameraId, Site>,
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
        let message = Self {
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
            hotlists: hotlists(&record.hotlists),
            hits: Vec::new(),
            hits_total: total(&record.hits),
            nas: nas(source, &record.sightings, record.decoded.confidence),
            evidence: pictures(evidence),
            models: models(&source.models),
        };
        tell_hits(message, &record.hits, |m| &mut m.hits)
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
        let message = Self {
            schema: Self::SCHEMA.to_owned(),
            device: source.device.clone(),
            passage: alert.passage.to_string(),
            phase: alert.phase.as_str().to_owned(),
            late: alert.late,
            camera: alert.camera.as_str().to_owned(),
            at: alert.at.utc.to_string(),
            clock: clock(alert.at.quality),
            decoded: decoded(&alert.decoded),
            hotlists: hotlists(&alert.hotlists),
            hits: Vec::new(),
            hits_total: total(&alert.hits),
            models: models(&source.models),
        };
        tell_hits(message, &alert.hits, |m| &mut m.hits)
    }
}

fn nas(source: &Source, sightings: &Sightings, confidence: f32) -> NasWire {
    let site = source.sites.get(&sightings.camera).copied().unwrap_or_default();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a share of 100
    let percent = (confidence.clamp(0.0, 1.0) * 100.0).floor() as u8;
    NasWire {
        feed_id: site.feed_id,
        source_id: site.source_id,
        camera_id: site.camera_id,
        capture_date: sightings.best.utc.to_string(),
        latitude_deg: site.position.map(|(latitude, _)| latitude),
        longitude_deg: site.position.map(|(_, longitude)| longitude),
        confidence_percentage: percent,
        motion_toward_camera: match sightings.direction {
            Direction::Approaching => Some(true),
            Direction::Receding => Some(false),
            Direction::Unknown => None,
        },
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

/// Lists in force, by name and version.
pub(super) fn hotlists(versions: &[HotlistVersion]) -> Vec<HotlistWire> {
    let wire = |v: &HotlistVersion| HotlistWire { list: v.list.clone(), version: v.version.clone() };
    versions.iter().take(MAX_LISTS).map(wire).collect()
}

/// Puts hits into a message, in words as long as its size allows.
fn tell_hits<M: Message>(mut message: M, hits: &[Hit], into: fn(&mut M) -> &mut Vec<HitWire>) -> M {
    for limits in WORDS_BYTES {
        *into(&mut message) = self::hits(hits, limits);
        // What can't be encoded is found out, and said, where the message is sent.
        if hits.is_empty() || message.encode().is_ok_and(|json| json.len() < MAX_TEXT_BYTES) {
            break;
        }
    }
    message
}

fn hits(hits: &[Hit], (limit, details): (usize, usize)) -> Vec<HitWire> {
    let wire = |hit: &Hit| {
        let detail = |d: Detail| short(hit.entry.details.get(d), details);
        HitWire {
            list: hit.list.to_string(),
            class: hit.class.as_str().to_owned(),
            entry_vrm: hit.entry.wanted.to_string(),
            differs: hit.differs.iter().map(difference).collect(),
            likelihood_ratio: ratio(hit.likelihood_ratio),
            action: hit.entry.action.as_str().to_owned(),
            priority: hit.entry.priority.as_str().to_owned(),
            markers: hit.entry.markers.iter().take(MAX_MARKERS).map(ToString::to_string).collect(),
            make: detail(Detail::Make),
            model: detail(Detail::Model),
            colour: detail(Detail::Colour),
            source: detail(Detail::Source),
            force: detail(Detail::Force),
            pnc_id: detail(Detail::PncId),
            reason: short(&hit.entry.reason, limit),
            explanation: short(&hit.explanation, limit),
        }
    };
    hits.iter().take(MAX_HITS).map(wire).collect()
}

fn difference(of: &Difference) -> DifferenceWire {
    let text = |glyph: Option<Glyph>| glyph.map_or_else(String::new, |g| g.to_string());
    DifferenceWire { place: of.place, read: text(of.read), listed: text(of.listed) }
}

/// Three digits that mean something, however small it is.
fn ratio(ratio: f32) -> f64 {
    if !ratio.is_finite() {
        return 0.0;
    }
    format!("{ratio:.2e}").parse().unwrap_or(0.0)
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
    ModelsWire { detector: short(&from.detector, MAX_NAME_BYTES), reader: short(&from.reader, MAX_NAME_BYTES) }
}

/// Cuts a text at a character's end. Control characters become spaces: in JSON each would grow to six bytes.
pub fn short(text: &str, limit: usize) -> String {
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
