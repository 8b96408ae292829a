//! Passages: which sightings are one vehicle (tracker), and what its reads say together (`fusion`). One camera's worth.
//!
//! A sighting joins the open passage it fits best, judged by where the plate should be by now (`motion`), its size and its
//! characters (`likeness`); reads of two marks never join, the same characters join over a longer way. A passage closes when it was
//! not seen for `settle_ms`; a vehicle that stays gets its record after `record_after_ms` and is silent from then on, and one that
//! is seen again soon gets no second one (`memory`). Everything is bounded: open passages, sightings a frame, reads kept, vehicles
//! remembered; what the bounds cost is counted.
//!
//! The tracker publishes nothing and knows no hotlist: `core` asks it what is due and says what becomes of it.

mod fusion;
mod likeness;
mod memory;
mod motion;
mod open;
mod reason;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub(super) use open::{Open, Outcome, Said};

use super::decode::{Decoded, Decoder};
use super::hotlist::Hit;
use super::read::PlateRead;
use super::record::PassageId;
use super::vrm::VrmKey;
use crate::clock::{CaptureTime, MonoTime};
use crate::geometry::{FramePx, Quad};
use crate::ident::FrameSeq;
use fusion::Fusion;
use memory::Memory;

/// How sightings become passages. Milliseconds, frame pixels and shares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PassageOptions {
    /// A passage closes when its plate was not seen for this long, milliseconds. Default 600: a lamp post or a wiper hides a
    /// plate for less.
    pub settle_ms: u64,
    /// A standing plate that is lost in mid-picture is hidden by another vehicle: it is waited for this long, milliseconds.
    /// Default 5 000.
    pub settle_hidden_ms: u64,
    /// A vehicle in view for longer gets its record now and none later, milliseconds. Default 30 000: traffic lights, queues and
    /// parked cars; alerts don't wait for it.
    pub record_after_ms: u64,
    /// The same mark seen again within this time is the same vehicle (its rear plate after its front plate), milliseconds.
    /// Default 3 000.
    pub same_vehicle_ms: u64,
    /// A vehicle that was hidden and comes out where it was lost within this time is the same one, milliseconds. Default 90 000.
    pub hidden_memory_ms: u64,
    /// Most passages open at one time, 1..=256. Default 32; one more closes the one unseen for longest, and is counted.
    pub max_open: usize,
    /// Most sightings taken from one frame. Default 32; the rest are passed over and counted.
    pub max_sightings: usize,
    /// Most reads kept of one passage: the best ones, by weight. Default 24.
    pub max_reads: usize,
    /// Passages seen in fewer frames are dropped, as most are no plates, unless their mark is sure and of a known format. Default
    /// 2; 1 for stills.
    pub min_frames: u32,
    /// A passage without any believable text is dropped when no detector score of it reached this, 0..=1. Default 0.5.
    pub plate_score: f32,
    /// A fused mark below this is published as unread, with the mark as a guess, 0..=1. Default 0.3.
    pub min_confidence: f32,
    /// The same for a mark of no known format: signs and stickers read well too, 0..=1. Default 0.6.
    pub min_confidence_unknown: f32,
    /// A single read with this confidence leaves no doubt: where the next plate in its place differs, even in one character, it is
    /// another vehicle's, 0..=1. Default 0.95.
    pub confident_text: f32,
    /// A plate narrower than this can't be read: it explains an unread passage and gives a read its least weight, frame
    /// pixels. Default 40.
    pub min_width_px: f32,
    /// A plate at least this wide gives its read full weight, frame pixels. Default 130: 18 pixels a character.
    pub full_width_px: f32,
    /// How alike the errors of two frames of one plate are, 0 (independent) ..= 1 (the second says nothing new). Default 0.7:
    /// however many frames, they are worth no more than one and a half independent ones, as the errors of a compressed clip's
    /// frames are copied from one to the next.
    pub frame_correlation: f32,
}

impl Default for PassageOptions {
    fn default() -> Self {
        Self {
            settle_ms: 600,
            settle_hidden_ms: 5_000,
            record_after_ms: 30_000,
            same_vehicle_ms: 3_000,
            hidden_memory_ms: 90_000,
            max_open: 32,
            max_sightings: 32,
            max_reads: 24,
            min_frames: 2,
            plate_score: 0.5,
            min_confidence: 0.3,
            min_confidence_unknown: 0.6,
            confident_text: 0.95,
            min_width_px: 40.0,
            full_width_px: 130.0,
            frame_correlation: 0.7,
        }
    }
}

impl PassageOptions {
    /// What a read counts for, above 0 and at most 1: by the plate's width, linear between the two bounds, times the fourth power of
    /// the geometric mean of its characters' probabilities, times the root of how sharp it is. (Fitted to rendered clips of
    /// characters 10 to 12 pixels high; nothing but the first of them weighs much on larger ones.)
    fn weight_of(&self, read: &PlateRead, width_px: f32, legibility: Option<Legibility>) -> f64 {
        let clear = legibility.map_or(1.0, |l| (l.sharpness.clamp(0.1, 1.0) * (1.0 - l.flare).clamp(0.1, 1.0)).sqrt());
        f64::from(self.wide(width_px) * clear * (4.0 * read.mean_ln()).exp().clamp(1e-3, 1.0)).max(1e-4)
    }

    /// How good a read is as the best of its passage, above 0 and at most 1: the surest is, and among equally sure ones the
    /// largest.
    fn quality_of(&self, read: &PlateRead, width_px: f32) -> f64 {
        f64::from(self.wide(width_px).powf(0.3) * (5.0 * read.mean_ln()).exp()).max(1e-6)
    }

    /// How much of the width that makes a plate easy to read it has, 0.05..=1.
    fn wide(&self, width_px: f32) -> f32 {
        ((width_px - self.min_width_px) / (self.full_width_px - self.min_width_px).max(1.0)).clamp(0.05, 1.0)
    }
}

/// How far light and lens let a plate be read in one frame, as measured on its patch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Legibility {
    /// How steep the edges of its strokes are for their contrast, 0 (smeared) ..= 1 (crisp).
    pub sharpness: f32,
    /// Share of it that is burnt out, 0..=1.
    pub flare: f32,
}

/// One candidate plate in one frame, with what the reader said of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// Where it is.
    pub quad: Quad<FramePx>,
    /// How sure the detector is that it is a plate, 0..=1.
    pub detector_score: f32,
    /// It touches the frame's edge: characters may be missing.
    pub clipped: bool,
    /// How legible it is; none when nobody measured.
    pub legibility: Option<Legibility>,
    /// What the reader said; none when it was not asked (too small) or had nothing to say.
    pub read: Option<PlateRead>,
}

/// What a single read says when decoded alone.
#[derive(Clone, Copy, Debug)]
struct Own {
    key: VrmKey,
    confidence: f32,
    decoded: Decoded,
}

/// A sighting that found its passage.
#[derive(Clone, Copy, Debug)]
pub(super) struct Joined {
    /// Place of the sighting in its frame.
    pub(super) sighting: usize,
    /// Place of the passage among the open ones.
    pub(super) passage: usize,
    /// It is the passage's best so far.
    pub(super) is_best: bool,
}

/// Why something is to be said about a passage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// It is out of sight.
    Gone,
    /// It has been in view for long and may stay.
    Stays,
}

/// The open passages of one camera.
#[derive(Debug)]
pub(super) struct Tracker {
    open: Vec<Open>,
    /// When the last frame was looked at, or stood for by one that had not changed.
    looked: MonoTime,
    memory: Memory,
    /// Sums of closed passages, cleared for the next.
    spare: Vec<Fusion>,
    own: Vec<Option<Own>>,
    pairs: Vec<(f32, usize, usize)>,
    taken: Vec<Option<usize>>,
    joined: Vec<Joined>,
}

impl Tracker {
    pub(super) fn new(options: &PassageOptions) -> Self {
        let (open, sightings) = (options.max_open.clamp(1, 256), options.max_sightings);
        Self {
            open: Vec::with_capacity(open),
            looked: MonoTime::default(),
            memory: Memory::new(),
            spare: (0..open).map(|_| Fusion::new(options.max_reads)).collect(),
            own: Vec::with_capacity(sightings),
            pairs: Vec::with_capacity(open * sightings),
            taken: Vec::with_capacity(sightings),
            joined: Vec::with_capacity(sightings),
        }
    }

    /// The open passages.
    pub(super) fn open(&self) -> &[Open] {
        &self.open
    }

    /// What [`Self::join`] did last.
    pub(super) fn joined(&self) -> &[Joined] {
        &self.joined
    }

    pub(super) fn open_mut(&mut self, passage: usize) -> Option<&mut Open> {
        self.open.get_mut(passage)
    }

    /// Plates of the last frame stood still until `at`.
    pub(super) fn stay(&mut self, at: CaptureTime) {
        for passage in self.open.iter_mut().filter(|p| p.last.mono == self.looked) {
            passage.last = at;
        }
        self.looked = at.mono;
    }

    /// A passage about which something is due to be said at `now`. Oldest sighting first.
    pub(super) fn due(&self, now: MonoTime, options: &PassageOptions) -> Option<(usize, Due)> {
        let longest = Duration::from_millis(options.record_after_ms);
        let due = |p: &Open| match p.said {
            _ if now.since(p.last.mono) > p.patience(options) => Some(Due::Gone),
            Said::Nothing if now.since(p.first.mono) > longest => Some(Due::Stays),
            _ => None,
        };
        let all = self.open.iter().enumerate().filter_map(|(i, p)| Some((p.last.mono, i, due(p)?)));
        all.min_by_key(|(last, i, _)| (*last, *i)).map(|(_, i, due)| (i, due))
    }

    /// Whether a passage that reads as `mark` is a vehicle that has its record already; if so, the hits that were told about it.
    pub(super) fn knows(&self, passage: &Open, mark: VrmKey, options: &PassageOptions) -> Option<&[Hit]> {
        // A vehicle that stays is remembered while it is still in view: its mark elsewhere at the same time is on another vehicle.
        let carries = |p: &Open| matches!(p.said, Said::Record(decoded) if decoded.vrm.key() == mark);
        let beside = |p: &&Open| p.id != passage.id && p.first.mono < passage.first.mono && p.last.mono >= passage.first.mono;
        if self.open.iter().filter(beside).any(carries) {
            return None;
        }
        self.memory.knows(passage, mark, options)
    }

    /// Whether an unread passage, with its best guess, is what was seen too early, too late or too little of a vehicle that has its
    /// record or is in view.
    pub(super) fn explains(&self, passage: &Open, guess: Option<VrmKey>, options: &PassageOptions) -> bool {
        let related = |guess| {
            let mut in_view = self.open.iter().filter(|p| !passage.is_companion(p.id) && p.passes_by(passage));
            self.memory.explains(passage, guess, options)
                || in_view.any(|p| p.sure_mark(options).is_some_and(|sure| likeness::are_related(sure, guess)))
        };
        guess.is_some_and(related) || self.open.iter().any(|later| later.takes_up(passage, guess, options))
    }

    /// Remembers a vehicle that has its record.
    pub(super) fn remember(&mut self, passage: &Open, mark: VrmKey) {
        self.memory.remember(passage, mark);
    }

    /// Takes a passage out.
    pub(super) fn remove(&mut self, passage: usize) -> Open {
        self.open.remove(passage)
    }

    /// Puts a passage back in its place.
    pub(super) fn put_back(&mut self, n: usize, passage: Open) {
        self.open.insert(n, passage);
    }

    /// Gives a closed passage's buffers back.
    pub(super) fn recycle(&mut self, passage: Open) {
        let mut fusion = passage.fusion;
        fusion.clear();
        self.spare.push(fusion);
    }

    /// Finds each sighting its passage, greedily, the best fit first; the rest are left over for [`Self::join`]. Returns how
    /// many reads were decoded.
    pub(super) fn pair(
        &mut self,
        at: CaptureTime,
        sightings: &[Sighting],
        decoder: &mut Decoder,
        options: &PassageOptions,
    ) -> u64 {
        self.looked = at.mono;
        self.own.clear();
        self.own.extend(sightings.iter().map(|s| {
            let decoded = decoder.decode(s.read.as_ref()?)?;
            Some(Own { key: decoded.vrm.key(), confidence: decoded.confidence, decoded })
        }));
        self.pairs.clear();
        for (s, sighting) in sightings.iter().enumerate() {
            for (p, passage) in self.open.iter().enumerate() {
                if let Some(cost) = passage.cost(sighting, at, options) {
                    self.pairs.push((cost, s, p));
                }
            }
        }
        self.pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        self.taken.clear();
        self.taken.resize(sightings.len(), None);
        for (_, s, p) in &self.pairs {
            if self.taken[*s].is_none() && !self.taken.contains(&Some(*p)) {
                self.taken[*s] = Some(*p);
            }
        }
        u64::try_from(sightings.iter().filter(|s| s.read.is_some()).count()).unwrap_or(0)
    }

    /// How many sightings of the frame just paired have no passage yet.
    pub(super) fn unpaired(&self) -> usize {
        self.taken.iter().filter(|t| t.is_none()).count()
    }

    /// An open passage that may be closed early to make room: unseen for longest, and not in the frame just paired.
    pub(super) fn least_recent(&self) -> Option<usize> {
        (0..self.open.len()).filter(|p| !self.taken.contains(&Some(*p))).min_by_key(|p| (self.open[*p].last.mono, *p))
    }

    /// Removes a passage between [`Self::pair`] and [`Self::join`], keeping the pairs right.
    pub(super) fn evict(&mut self, passage: usize) -> Open {
        for taken in self.taken.iter_mut().flatten().filter(|t| **t > passage) {
            *taken -= 1;
        }
        self.open.remove(passage)
    }

    /// Takes the paired sightings into their passages, and opens one for each left over while there is room. Returns what
    /// joined where, in the frame's order.
    pub(super) fn join(
        &mut self,
        at: CaptureTime,
        frame: FrameSeq,
        sightings: &[Sighting],
        options: &PassageOptions,
        mut new_id: impl FnMut() -> PassageId,
    ) -> &[Joined] {
        self.joined.clear();
        for (s, sighting) in sightings.iter().enumerate() {
            let p = match self.taken[s] {
                Some(p) => p,
                None if self.open.len() < options.max_open.clamp(1, 256) => {
                    let fusion = self.spare.pop().unwrap_or_else(|| Fusion::new(options.max_reads));
                    self.open.push(Open::new(new_id(), at, frame, sighting.quad, fusion));
                    self.open.len() - 1
                }
                None => continue,
            };
            let is_best = self.open[p].take(sighting, self.own[s], at, frame, options);
            self.joined.push(Joined { sighting: s, passage: p, is_best });
        }
        for (n, one) in self.joined.iter().enumerate() {
            for other in &self.joined[n + 1..] {
                let (a, b) = (&sightings[one.sighting].quad, &sightings[other.sighting].quad);
                if a.centre().distance(b.centre()) > f32::midpoint(a.width(), b.width()) {
                    let (one_id, other_id) = (self.open[one.passage].id, self.open[other.passage].id);
                    self.open[one.passage].meet(other_id);
                    self.open[other.passage].meet(one_id);
                }
            }
        }
        &self.joined
    }
}
