//! An open passage: one vehicle while it is in view, and what is made of it when it has gone.

use super::fusion::{Fused, Fusion, is_part};
use super::{Own, PassageOptions, Sighting};
use crate::anpr::alert::PassageAlerts;
use crate::anpr::decode::{Decoded, Decoder};
use crate::anpr::record::{Direction, PassageId, Sightings, UnreadReason};
use crate::anpr::syntax::SyntaxId;
use crate::anpr::vrm::VrmKey;
use crate::clock::CaptureTime;
use crate::geometry::{FramePx, Point, Quad};
use crate::ident::{CameraId, FrameSeq};

/// Growth of the plate's width over a passage, as a natural logarithm, from which a direction is named: 12 %.
const TELLING_GROWTH: f64 = 0.12;
/// How sure the fused mark must be when no single read gave it.
const PIECED_CONFIDENCE: f32 = 0.9;

/// One vehicle in view. Only the tracker changes it.
#[derive(Debug)]
pub(in crate::anpr) struct Open {
    pub(in crate::anpr) id: PassageId,
    pub(super) first: CaptureTime,
    pub(in crate::anpr) last: CaptureTime,
    best: Best,
    pub(in crate::anpr) frames: u32,
    /// Where it was last, pixels; how fast, pixels a second; how wide, pixels.
    centre: Point<FramePx>,
    velocity: Option<(f32, f32)>,
    width: f32,
    max_width: f32,
    max_score: f32,
    ever_whole: bool,
    /// The surest text of a single read free of the edge.
    text: Option<(VrmKey, f32)>,
    growth: Growth,
    pub(super) fusion: Fusion,
    /// What was told about it so far.
    pub(in crate::anpr) alerts: PassageAlerts,
}

#[derive(Clone, Copy, Debug)]
struct Best {
    quality: f64,
    at: CaptureTime,
    frame: FrameSeq,
    quad: Quad<FramePx>,
    read: Option<Decoded>,
}

/// How a passage ended.
#[derive(Clone, Copy, Debug)]
pub(in crate::anpr) enum Outcome {
    Record { decoded: Decoded, agreeing: u32 },
    Unread { reason: UnreadReason, guess: Option<Decoded> },
    Dropped,
}

impl Open {
    /// Opened by its first sighting, which is yet to be [`Self::take`]n. `fusion` is empty.
    pub(super) fn new(id: PassageId, at: CaptureTime, frame: FrameSeq, quad: Quad<FramePx>, fusion: Fusion) -> Self {
        Self {
            id,
            first: at,
            last: at,
            best: Best { quality: -1.0, at, frame, quad, read: None },
            frames: 0,
            centre: quad.centre(),
            velocity: None,
            width: quad.width(),
            max_width: 0.0,
            max_score: 0.0,
            ever_whole: false,
            text: None,
            growth: Growth::default(),
            fusion,
            alerts: PassageAlerts::default(),
        }
    }

    /// Takes a sighting in; says whether it is the best so far.
    pub(super) fn take(
        &mut self,
        sighting: &Sighting,
        own: Option<Own>,
        at: CaptureTime,
        frame: FrameSeq,
        options: &PassageOptions,
    ) -> bool {
        let (centre, width) = (sighting.quad.centre(), sighting.quad.width().max(1.0));
        let seconds = at.mono.since(self.last.mono).as_secs_f32();
        if seconds > 0.0 && self.frames > 0 && !sighting.clipped {
            let now = ((centre.x - self.centre.x) / seconds, (centre.y - self.centre.y) / seconds);
            // Mostly the newest step: plates near the camera speed up in the picture.
            self.velocity = Some(self.velocity.map_or(now, |v| (0.4 * v.0 + 0.6 * now.0, 0.4 * v.1 + 0.6 * now.1)));
        }
        (self.centre, self.width, self.last) = (centre, width, at);
        self.frames = self.frames.saturating_add(1);
        self.max_width = self.max_width.max(width);
        self.max_score = self.max_score.max(sighting.detector_score);
        if !sighting.clipped {
            self.ever_whole = true;
            self.growth.add(at.mono.since(self.first.mono).as_secs_f64(), f64::from(width).ln());
        }
        let weight = sighting.read.as_ref().map(|read| options.weight_of(read, width));
        if let (Some(read), Some(weight)) = (&sighting.read, weight)
            && self.fusion.reads() < options.max_reads
        {
            self.fusion.add(read, own.map(|o| o.key), weight, sighting.clipped);
        }
        if let Some(own) = own
            && !sighting.clipped
            && self.text.is_none_or(|(_, confidence)| own.confidence > confidence)
        {
            self.text = Some((own.key, own.confidence));
        }
        // A whole read beats a clipped one, any read beats none.
        let quality = match (weight, sighting.clipped) {
            (Some(weight), false) => 2.0 + weight,
            (Some(weight), true) => 1.0 + weight,
            (None, _) => f64::from(sighting.detector_score.clamp(0.0, 1.0) * (width / options.full_width_px).min(1.0)) * 0.99,
        };
        let better = quality > self.best.quality;
        if better {
            self.best = Best { quality, at, frame, quad: sighting.quad, read: own.map(|o| o.decoded) };
        }
        better
    }

    /// How ill a sighting fits, 0 and up (below 0 when the text says so); none when it can't be this vehicle.
    pub(super) fn cost(&self, sighting: &Sighting, own: Option<Own>, at: CaptureTime, options: &PassageOptions) -> Option<f32> {
        let seconds = at.mono.since(self.last.mono).as_secs_f32();
        let (centre, width) = (sighting.quad.centre(), sighting.quad.width().max(1.0));
        let (vx, vy) = self.velocity.unwrap_or((0.0, 0.0));
        let predicted = Point::new(self.centre.x + vx * seconds, self.centre.y + vy * seconds);
        let distance = predicted.distance(centre) / f32::midpoint(width, self.width);
        let resized = (width / self.width).ln().abs();

        let (mut same_text, mut unlike) = (false, 0.0);
        if let (Some(own), Some((key, confidence))) = (own, self.text) {
            let sure = own.confidence.min(confidence);
            same_text = own.key == key && sure >= 0.5;
            if own.key != key && !sighting.clipped {
                // A part of the mark is what is left of it behind another vehicle or at the edge: no second vehicle.
                if is_part(own.key.glyphs(), key.glyphs()) {
                    unlike = 0.1;
                } else if sure >= options.confident_text {
                    return None;
                } else {
                    unlike = edit_distance(own.key.glyphs(), key.glyphs()) * sure;
                }
            }
        }
        // Plate widths and logarithms of size that may pass unseen. Without a velocity a plate may move some 12 widths a second
        // (130 km/h across the view of a roadside camera); with one, only its change counts.
        let (reach, stretch) = match (same_text, self.velocity) {
            (true, _) => (8.0 + 20.0 * seconds, 0.8 + 2.0 * seconds),
            (false, None) => (1.0 + 12.0 * seconds, 0.35 + 1.5 * seconds),
            (false, Some(_)) => (1.0 + 5.0 * seconds, 0.35 + 1.5 * seconds),
        };
        (distance <= reach && resized <= stretch)
            .then(|| distance / reach + 0.5 * resized / stretch + 1.5 * unlike - if same_text { 0.5 } else { 0.0 })
    }

    /// What its reads say together.
    pub(in crate::anpr) fn fused(&self, decoder: &mut Decoder, options: &PassageOptions) -> Option<Fused> {
        self.fusion.decode(decoder, f64::from(options.frame_correlation.clamp(0.0, 1.0)))
    }

    /// Reads fused so far.
    pub(in crate::anpr) fn reads(&self) -> u32 {
        self.fusion.reads()
    }

    /// What its best frame says alone.
    pub(in crate::anpr) fn best_read(&self) -> Option<Decoded> {
        self.best.read
    }

    /// What has become of it, now that it is gone.
    pub(in crate::anpr) fn conclude(&self, decoder: &mut Decoder, options: &PassageOptions) -> Outcome {
        let fused = self.fused(decoder, options);
        let believed = |d: &Decoded| {
            let least = if d.syntax == SyntaxId::NONE { options.min_confidence_unknown } else { options.min_confidence };
            d.confidence >= least
        };
        let told = !self.alerts.is_empty();
        let ever_believable =
            fused.is_some_and(|f| believed(&f.decoded)) || self.text.is_some_and(|(_, c)| c >= options.min_confidence);
        if !told && (self.frames < options.min_frames || (!ever_believable && self.max_score < options.plate_score)) {
            return Outcome::Dropped;
        }
        let small = self.max_width < options.min_width_px;
        // A mark that not one of several reads gave is pieced together: half-hidden plates end so. It must be all the surer.
        let pieced = |f: &Fused| self.reads() >= 2 && f.agreeing == 0 && f.decoded.confidence < PIECED_CONFIDENCE;
        let (reason, guess) = match fused {
            Some(f) if !f.only_clipped && believed(&f.decoded) && !pieced(&f) => {
                return Outcome::Record { decoded: f.decoded, agreeing: f.agreeing };
            }
            Some(f) if f.only_clipped => (UnreadReason::Clipped, Some(f.decoded)),
            Some(f) if small => (UnreadReason::TooSmall, Some(f.decoded)),
            Some(f) if self.reads() >= 2 && f.agreeing * 2 < self.reads() => (UnreadReason::NoAgreement, Some(f.decoded)),
            Some(f) => (UnreadReason::LowConfidence, Some(f.decoded)),
            None if !self.ever_whole => (UnreadReason::Clipped, None),
            None if small => (UnreadReason::TooSmall, None),
            None => (UnreadReason::LowConfidence, None),
        };
        Outcome::Unread { reason, guess }
    }

    /// When and where it was seen.
    pub(in crate::anpr) fn sightings(&self, camera: &CameraId) -> Sightings {
        Sightings {
            camera: camera.clone(),
            first: self.first,
            best: self.best.at,
            last: self.last,
            best_frame: self.best.frame,
            best_quad: self.best.quad,
            frames: self.frames,
            direction: self.growth.direction(),
        }
    }
}

/// A straight line through the logarithm of the width over time, kept as sums.
#[derive(Clone, Copy, Debug, Default)]
struct Growth {
    n: f64,
    t: f64,
    tt: f64,
    w: f64,
    tw: f64,
    longest: f64,
}

impl Growth {
    fn add(&mut self, t: f64, w: f64) {
        self.n += 1.0;
        self.t += t;
        self.tt += t * t;
        self.w += w;
        self.tw += t * w;
        self.longest = self.longest.max(t);
    }

    fn direction(&self) -> Direction {
        let spread = self.n * self.tt - self.t * self.t;
        if spread <= 1e-9 {
            return Direction::Unknown;
        }
        match (self.n * self.tw - self.t * self.w) / spread * self.longest {
            g if g >= TELLING_GROWTH => Direction::Approaching,
            g if g <= -TELLING_GROWTH => Direction::Receding,
            _ => Direction::Unknown,
        }
    }
}

/// Changes that make one text the other, as a share of the longer one.
fn edit_distance<T: PartialEq>(a: &[T], b: &[T]) -> f32 {
    let mut row = [0.0f32; 16];
    for (j, cell) in (0u8..).zip(&mut row) {
        *cell = f32::from(j);
    }
    for x in a {
        let mut diagonal = row[0];
        row[0] += 1.0;
        for (j, y) in b.iter().enumerate().take(row.len() - 1) {
            let swap = diagonal + if x == y { 0.0 } else { 1.0 };
            diagonal = row[j + 1];
            row[j + 1] = swap.min(row[j] + 1.0).min(diagonal + 1.0);
        }
    }
    let longer = u8::try_from(a.len().max(b.len()).max(1)).unwrap_or(u8::MAX);
    row[b.len().min(row.len() - 1)] / f32::from(longer)
}
