//! An open passage: one vehicle while it is in view, and what is made of it when it has gone.

use std::time::Duration;

use super::fusion::{Fused, Fusion, Weighed, is_part};
use super::likeness::{Likeness, are_related, likeness};
use super::motion::Motion;
use super::reason::Causes;
use super::{Own, PassageOptions, Sighting};
use crate::anpr::alert::PassageAlerts;
use crate::anpr::decode::{Decoded, Decoder};
use crate::anpr::read::PlateRead;
use crate::anpr::record::{PassageId, Sightings, UnreadReason};
use crate::anpr::syntax::SyntaxId;
use crate::anpr::vrm::VrmKey;
use crate::clock::CaptureTime;
use crate::geometry::{FramePx, Point, Quad};
use crate::ident::{CameraId, FrameSeq};

/// How sure a mark must be when no two reads of several gave it, and when there is but one frame.
const PIECED_CONFIDENCE: f32 = 0.6;
const BRIEF_CONFIDENCE: f32 = 0.9;
/// After so many frames without any character a passage is taken to have none.
const BLANK_FRAMES: u32 = 3;
/// How far, as a share of the usual way, a sighting without characters may be from a passage with some, or the other way round.
const MISMATCHED_REACH: f32 = 0.4;
/// A guess of so few characters says nothing about the mark.
const MOST_SCRAPS: usize = 2;
/// Most passages remembered that were in view together with one.
const COMPANIONS: usize = 8;
/// How far from a passage's path a piece of it may lie, and from where it was lost a hidden vehicle may come out, plate widths.
pub(super) const NEAR_WIDTHS: f32 = 4.0;
/// Seconds within which no other vehicle can have taken a plate's place: a text that differs in a character or two is a misread.
const NO_TIME_TO_SWAP_S: f32 = 0.15;

/// One vehicle in view. Only the tracker changes it.
#[derive(Debug)]
pub(in crate::anpr) struct Open {
    pub(in crate::anpr) id: PassageId,
    pub(super) first: CaptureTime,
    pub(in crate::anpr) last: CaptureTime,
    best: Best,
    pub(in crate::anpr) frames: u32,
    motion: Motion,
    /// Where it was first and last.
    pub(super) entered: Quad<FramePx>,
    pub(super) left: Quad<FramePx>,
    left_clipped: bool,
    max_width: f32,
    max_score: f32,
    ever_whole: bool,
    /// The surest single read free of the edge, with what it says alone.
    surest: Option<(PlateRead, Own)>,
    causes: Causes,
    /// Passages whose plates were elsewhere in the same picture: other vehicles, whatever they read like.
    companions: [Option<PassageId>; COMPANIONS],
    pub(super) fusion: Fusion,
    /// What was told about it so far.
    pub(in crate::anpr) alerts: PassageAlerts,
    /// What was published about it while it is still in view.
    pub(in crate::anpr) said: Said,
}

#[derive(Clone, Copy, Debug)]
struct Best {
    quality: f64,
    at: CaptureTime,
    frame: FrameSeq,
    quad: Quad<FramePx>,
    read: Option<Decoded>,
}

/// What was published about a vehicle that is still in view.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::large_enum_variant)] // one an open passage, of which there are few; boxing it would allocate a passage
pub(in crate::anpr) enum Said {
    /// Nothing yet.
    Nothing,
    /// That there is one, unread (or not even that, where it may be no plate).
    Unread,
    /// Its record: from now on it is silent.
    Record(Decoded),
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
            motion: Motion::new(at.mono, &quad),
            entered: quad,
            left: quad,
            left_clipped: false,
            max_width: 0.0,
            max_score: 0.0,
            ever_whole: false,
            surest: None,
            causes: Causes::default(),
            companions: [None; COMPANIONS],
            fusion,
            alerts: PassageAlerts::default(),
            said: Said::Nothing,
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
        let width = sighting.quad.width().max(1.0);
        (self.left, self.left_clipped, self.last) = (sighting.quad, sighting.clipped, at);
        self.frames = self.frames.saturating_add(1);
        self.max_width = self.max_width.max(width);
        self.max_score = self.max_score.max(sighting.detector_score);
        if !sighting.clipped {
            self.ever_whole = true;
            self.motion.take(at.mono, &sighting.quad, at.mono.since(self.first.mono).as_secs_f64());
        }
        if width >= options.min_width_px {
            self.causes.add(sighting);
        }
        if let Some(read) = &sighting.read {
            let weight = options.weight_of(read, width, sighting.legibility);
            let text = own.map(|o| o.key);
            self.fusion.add(Weighed { read, text, weight, clipped: sighting.clipped, frame }, options.max_reads);
        }
        if let (Some(read), Some(own)) = (sighting.read, own)
            && !sighting.clipped
            && self.surest.is_none_or(|(_, surest)| own.confidence > surest.confidence)
        {
            self.surest = Some((read, own));
        }
        // A whole read beats a clipped one, any read beats none.
        let quality = match (&sighting.read, sighting.clipped) {
            (Some(read), false) => 2.0 + options.quality_of(read, width),
            (Some(read), true) => 1.0 + options.quality_of(read, width),
            (None, _) => f64::from(sighting.detector_score.clamp(0.0, 1.0) * (width / options.full_width_px).min(1.0)) * 0.99,
        };
        let better = quality > self.best.quality;
        if better {
            self.best = Best { quality, at, frame, quad: sighting.quad, read: own.map(|o| o.decoded) };
        }
        better
    }

    /// How ill a sighting fits, 0 and up (below 0 when the text says so); none when it can't be this vehicle.
    pub(super) fn cost(&self, sighting: &Sighting, at: CaptureTime, options: &PassageOptions) -> Option<f32> {
        let text = sighting.read.as_ref().filter(|read| read.raw().is_some());
        let like = match (text, &self.surest) {
            (Some(read), Some((surest, _))) => likeness(read, surest),
            _ => Likeness::Unknown,
        };
        // A grille beside a plate is found again and again, and never has any characters: the two are not to be mixed up.
        let mismatched = match (text, &self.surest) {
            (Some(_), None) => self.frames > BLANK_FRAMES,
            (None, Some(_)) => true,
            _ => false,
        };
        let expected = self.motion.expected(at.mono);
        // What comes after a longer gap must say by its characters that it is the plate that was waited for.
        let settle_s = Duration::from_millis(options.settle_ms).as_secs_f32();
        if expected.seconds > settle_s && !matches!(like, Likeness::Same | Likeness::Part) {
            return None;
        }
        let seconds = expected.seconds.min(settle_s);
        let (text_cost, partial) = match like {
            Likeness::Other => return None,
            // What stood here a moment ago was misread now or then; after a while it may be the next one in the queue.
            Likeness::Near if seconds > NO_TIME_TO_SWAP_S && self.sure_mark(options).is_some() => return None,
            Likeness::Near => (0.4, false),
            Likeness::Unknown => (0.2, true),
            Likeness::Part => (0.1, true),
            Likeness::Same => (-0.5, sighting.clipped),
        };
        // Plate widths and logarithms of size that may pass unseen. Without a rate a plate may move some 12 widths a second
        // (130 km/h across the view of a roadside camera); with one, only its change counts.
        let (reach, stretch) = match (like, expected.known_rate) {
            (Likeness::Same, _) => (8.0 + 20.0 * seconds, 0.8 + 2.0 * seconds),
            (_, false) => (1.0 + 12.0 * seconds, 0.35 + 1.5 * seconds),
            (_, true) => (1.0 + 5.0 * seconds, 0.35 + 1.5 * seconds),
        };
        let reach = if mismatched { reach * MISMATCHED_REACH } else { reach };
        let (centre, width, height) = (sighting.quad.centre(), sighting.quad.width().max(1.0), sighting.quad.height().max(1.0));
        let widths = f32::midpoint(width, expected.width);
        let (mut off, mut resized) = (expected.centre.distance(centre), (width / expected.width).ln().abs());
        if partial {
            // One side of it is hidden or cut off: the other sides are where they should be.
            let side = (expected.width - width) / 2.0;
            for shift in [-side, side] {
                off = off.min(Point::new(expected.centre.x + shift, expected.centre.y).distance(centre));
            }
            resized = resized.min((height / expected.height.max(1.0)).ln().abs());
        }
        let distance = off / widths;
        (distance <= reach && resized <= stretch).then(|| distance / reach + 0.5 * resized / stretch + text_cost)
    }

    /// Whether it began where an earlier, shorter passage was about to be: the same plate, lost for a moment while it was hard to
    /// read. `guess` is what the earlier one may have been.
    pub(super) fn takes_up(&self, earlier: &Self, guess: Option<VrmKey>, options: &PassageOptions) -> bool {
        let expected = earlier.motion.expected(self.first.mono);
        let widths = f32::midpoint(self.entered.width(), expected.width).max(1.0);
        let contradicts = match (guess, self.sure_mark(options)) {
            (Some(guess), Some(sure)) => guess.glyphs().len() > MOST_SCRAPS && !are_related(guess, sure),
            _ => false,
        };
        self.first.mono > earlier.last.mono
            && self.first.mono.since(earlier.last.mono) <= Duration::from_millis(options.settle_ms)
            && self.frames > 3 * earlier.frames
            && !contradicts
            && expected.centre.distance(self.entered.centre()) <= 1.5 * widths
            && (self.entered.width().max(1.0) / expected.width).ln().abs() <= 0.5
    }

    /// Whether a passage lies on its way, or at either end of it.
    pub(super) fn passes_by(&self, other: &Self) -> bool {
        near_path(&self.entered, &self.left, other)
    }

    /// Whether the two were seen in one picture in different places.
    pub(super) fn is_companion(&self, other: PassageId) -> bool {
        self.companions.contains(&Some(other))
    }

    /// Notes that another passage's plate was elsewhere in the same picture.
    pub(super) fn meet(&mut self, other: PassageId) {
        if !self.is_companion(other)
            && let Some(free) = self.companions.iter_mut().find(|c| c.is_none())
        {
            *free = Some(other);
        }
    }

    /// Its pixels were let go: the next sighting is the best again.
    pub(in crate::anpr) fn forget_best(&mut self) {
        self.best.quality = -1.0;
    }

    /// Its record was wrong: from now on it is a passage of another name, with all its reads.
    pub(in crate::anpr) fn begin_anew(&mut self, id: PassageId) {
        (self.id, self.first, self.said) = (id, self.last, Said::Nothing);
        self.alerts = PassageAlerts::default();
        self.forget_best();
    }

    /// Its mark, if a single read leaves no doubt.
    pub(super) fn sure_mark(&self, options: &PassageOptions) -> Option<VrmKey> {
        self.surest.filter(|(_, own)| own.confidence >= options.confident_text).map(|(_, own)| own.key)
    }

    /// Whether its plate, slow and whole, was lost in mid-picture: another vehicle hides it.
    pub(super) fn is_hidden(&self) -> bool {
        self.motion.is_slow() && !self.left_clipped
    }

    /// How long it may go unseen before it counts as gone: one that stood, and is hidden now, is waited for.
    pub(super) fn patience(&self, options: &PassageOptions) -> Duration {
        let hidden = self.frames >= options.min_frames && self.motion.stands() && !self.left_clipped;
        Duration::from_millis(if hidden { options.settle_ms.max(options.settle_hidden_ms) } else { options.settle_ms })
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
        let ever_believable = fused.is_some_and(|f| believed(&f.decoded))
            || self.surest.is_some_and(|(_, own)| own.confidence >= options.min_confidence);
        // A mark that no two reads gave is pieced together (half-hidden plates end so) or was seen once only. It must be all the surer.
        let least = if self.frames < options.min_frames { BRIEF_CONFIDENCE } else { PIECED_CONFIDENCE };
        let alone = |f: &Fused| f.agreeing < options.min_frames.min(2) && f.decoded.confidence < least;
        let brief = self.frames < options.min_frames
            && !fused.is_some_and(|f| !f.only_clipped && !alone(&f) && f.decoded.syntax != SyntaxId::NONE);
        if !told && (brief || (!ever_believable && self.max_score < options.plate_score)) {
            return Outcome::Dropped;
        }
        let guess = match fused {
            Some(f) if !f.only_clipped && believed(&f.decoded) && !alone(&f) => {
                return Outcome::Record { decoded: f.decoded, agreeing: f.agreeing };
            }
            fused => fused,
        };
        let agreed = guess.is_some_and(|f| self.reads() < 2 || f.agreeing * 2 >= self.reads());
        let reason = if !self.ever_whole || guess.is_some_and(|f| f.only_clipped) {
            UnreadReason::Clipped
        } else if self.max_width < options.min_width_px {
            UnreadReason::TooSmall
        } else if let Some(cause) = self.causes.main() {
            cause
        } else if hidden_in_part(self.fusion.texts(), self.reads()) {
            UnreadReason::Occluded
        } else if guess.is_some() && !agreed {
            UnreadReason::NoAgreement
        } else {
            UnreadReason::LowConfidence
        };
        Outcome::Unread { reason, guess: guess.map(|f| f.decoded) }
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
            direction: self.motion.direction(),
        }
    }
}

/// Whether a passage lies between where another one came in and where it was last, or within some plate widths of that.
pub(super) fn near_path(entered: &Quad<FramePx>, left: &Quad<FramePx>, other: &Open) -> bool {
    let (from, to) = (entered.centre(), left.centre());
    let reach = NEAR_WIDTHS * entered.width().max(left.width()).max(1.0);
    let near = |p: Point<FramePx>| {
        p.x >= from.x.min(to.x) - reach
            && p.x <= from.x.max(to.x) + reach
            && p.y >= from.y.min(to.y) - reach
            && p.y <= from.y.max(to.y) + reach
    };
    near(other.entered.centre()) && near(other.left.centre())
}

/// Whether most reads say parts of what others say whole.
fn hidden_in_part(texts: &[(VrmKey, u32)], reads: u32) -> bool {
    let parts = texts.iter().filter(|(part, _)| {
        texts.iter().any(|(whole, _)| whole.glyphs().len() > part.glyphs().len() && is_part(part.glyphs(), whole.glyphs()))
    });
    2 * parts.map(|(_, n)| n).sum::<u32>() >= reads.max(1)
}
