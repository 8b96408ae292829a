//! Many reads of one plate made one: weighted log-probabilities, kept apart by how many characters a read claims.
//!
//! Reads that claim the same number of characters are added slot by slot; reads that disagree on the number are rival
//! hypotheses, never forced onto each other. Nothing of a read stays but its part of the sums, so a passage costs the same after
//! a thousand reads as after one, and the order of reads doesn't matter.
//!
//! A read that touches the frame's edge counts only as long as there is no other: it can make a guess, never shorten a mark.

use crate::anpr::decode::{Candidate, Decoded, Decoder};
use crate::anpr::read::{PlateRead, Slot};
use crate::anpr::syntax::Grammar;
use crate::anpr::vrm::{GLYPHS, VrmKey};

/// Sums of one slot: each glyph, then presence, then absence.
const SUMS: usize = GLYPHS + 2;
const PRESENT: usize = GLYPHS;
const ABSENT: usize = GLYPHS + 1;

/// Slots of all hypotheses: 1 + 2 + … + MAX.
const ALL_SLOTS: usize = PlateRead::MAX * (PlateRead::MAX + 1) / 2;

/// A slot likelier empty than this is not counted as a character claimed.
const CLAIMED: f32 = 0.02;

/// Probabilities are kept off zero by this much: one bad frame must not veto all the others.
const FLOOR: f64 = 1e-4;

/// Hypotheses with less than this share of the weight aren't decoded.
const LEAST_SHARE: f64 = 0.05;

/// How many different texts of single reads are told apart when counting agreement; later ones count as disagreeing.
const TEXTS: usize = 64;

#[derive(Clone, Copy, Debug, Default)]
struct Weights {
    sum: f64,
    of_squares: f64,
}

/// The sums of one passage.
#[derive(Debug)]
pub(super) struct Fusion {
    sums: Vec<f64>,
    weights: [Weights; PlateRead::MAX + 1],
    texts: Vec<(VrmKey, u32)>,
    reads: u32,
    whole: bool,
}

/// What the reads of a passage say together.
#[derive(Clone, Copy, Debug)]
pub(in crate::anpr) struct Fused {
    pub(in crate::anpr) decoded: Decoded,
    /// Reads whose own text is the winner, look-alikes folded.
    pub(in crate::anpr) agreeing: u32,
    /// No read was free of the frame's edge.
    pub(in crate::anpr) only_clipped: bool,
}

impl Fusion {
    pub(super) fn new() -> Self {
        Self {
            sums: vec![0.0; ALL_SLOTS * SUMS],
            weights: [Weights::default(); PlateRead::MAX + 1],
            texts: Vec::with_capacity(TEXTS),
            reads: 0,
            whole: false,
        }
    }

    /// Empty again, buffers kept.
    pub(super) fn clear(&mut self) {
        self.sums.fill(0.0);
        self.weights = [Weights::default(); PlateRead::MAX + 1];
        self.texts.clear();
        (self.reads, self.whole) = (0, false);
    }

    /// How many reads are in the sums.
    pub(super) fn reads(&self) -> u32 {
        self.reads
    }

    /// Adds a read of weight `weight` > 0. `text` is what it says when decoded alone. A clipped read is passed over once there
    /// is a whole one; the first whole one throws out the clipped.
    pub(super) fn add(&mut self, read: &PlateRead, text: Option<VrmKey>, weight: f64, clipped: bool) {
        let claimed = || read.slots().iter().filter(|s| s.presence > CLAIMED);
        let count = claimed().count();
        if count == 0 || (clipped && self.whole) {
            return;
        }
        if !clipped && !self.whole {
            self.clear();
            self.whole = true;
        }
        self.reads += 1;
        self.weights[count].sum += weight;
        self.weights[count].of_squares += weight * weight;
        let from = first_slot(count) * SUMS;
        for (slot, sums) in claimed().zip(self.sums[from..].chunks_exact_mut(SUMS)) {
            for (p, sum) in slot.glyphs.iter().zip(&mut *sums) {
                *sum += weight * f64::from(*p).max(FLOOR).ln();
            }
            let presence = f64::from(slot.presence).clamp(FLOOR, 1.0 - FLOOR);
            sums[PRESENT] += weight * presence.ln();
            sums[ABSENT] += weight * (1.0 - presence).ln();
        }
        if let Some(text) = text {
            if let Some((_, count)) = self.texts.iter_mut().find(|(t, _)| *t == text) {
                *count += 1;
            } else if self.texts.len() < TEXTS {
                self.texts.push((text, 1));
            }
        }
    }

    /// The best hypothesis, decoded; none when no read makes a text. `correlation` says how alike the errors of two frames
    /// are, 0 (independent) ..= 1 (the second frame says nothing new).
    ///
    /// Rival counts share the belief by their weight: the winner's confidence is its own, times the share of the weight that
    /// stands behind its text.
    pub(super) fn decode(&self, decoder: &mut Decoder, correlation: f64) -> Option<Fused> {
        let total: f64 = self.weights.iter().map(|w| w.sum).sum();
        let mut rivals: [Option<(Decoded, f64)>; PlateRead::MAX + 1] = [None; PlateRead::MAX + 1];
        for (count, weights) in self.weights.iter().enumerate().filter(|(_, w)| w.sum > LEAST_SHARE * total) {
            let Some(decoded) = decoder.decode(&self.read_of(count, *weights, correlation)) else { continue };
            let share = weights.sum / total;
            let same = rivals.iter_mut().flatten().find(|(d, _)| d.vrm.key() == decoded.vrm.key());
            match same {
                Some((standing, sum)) => {
                    if decoded.confidence > standing.confidence {
                        *standing = decoded;
                    }
                    *sum += share;
                }
                None => rivals[count] = Some((decoded, share)),
            }
        }
        lend_to_whole(&mut rivals, decoder.grammar());
        let standing = |(d, share): &(Decoded, f64)| f64::from(d.confidence) * share;
        let best = rivals.iter().flatten().max_by(|a, b| standing(a).total_cmp(&standing(b)))?;
        let mut decoded = best.0;
        let scaled = |confidence: f32, share: f64| {
            #[allow(clippy::cast_possible_truncation)] // shares are at most 1
            let share = share.min(1.0) as f32;
            confidence * share
        };
        decoded.confidence = scaled(best.0.confidence, best.1);
        decoded.alternatives.iter_mut().flatten().for_each(|a| a.confidence = scaled(a.confidence, best.1));
        for (rival, share) in rivals.iter().flatten().filter(|(d, _)| d.vrm.key() != decoded.vrm.key()) {
            offer(&mut decoded.alternatives, Candidate { vrm: rival.vrm, confidence: scaled(rival.confidence, *share) });
        }
        let agreeing = self.texts.iter().find(|(t, _)| *t == decoded.vrm.key()).map_or(0, |(_, n)| *n);
        Some(Fused { decoded, agreeing, only_clipped: !self.whole })
    }

    /// The reads that claim `count` characters as one read.
    fn read_of(&self, count: usize, weights: Weights, correlation: f64) -> PlateRead {
        // Kish's effective number of equally weighted reads, then what correlated ones are worth: 1/correlation at most.
        let reads = weights.sum * weights.sum / weights.of_squares;
        let worth = reads / (1.0 + correlation * (reads - 1.0));
        let from = first_slot(count) * SUMS;
        PlateRead::from_slots(self.sums[from..].chunks_exact(SUMS).take(count).map(|sums| {
            let mean = |i: usize| sums[i] / weights.sum * worth;
            let top = (0..GLYPHS).map(mean).fold(f64::NEG_INFINITY, f64::max);
            let mut glyphs = [0.0f32; GLYPHS];
            #[allow(clippy::cast_possible_truncation)] // between 0 and 1
            for (i, glyph) in glyphs.iter_mut().enumerate() {
                *glyph = (mean(i) - top).exp() as f32;
            }
            #[allow(clippy::cast_possible_truncation)]
            let presence = (1.0 / (1.0 + (mean(ABSENT) - mean(PRESENT)).exp())) as f32;
            Slot::new(glyphs, presence)
        }))
    }
}

/// Least characters that a part of a mark must show to be taken for one: two are in too many marks.
const LEAST_PART: usize = 3;

/// Whether the shorter text stands whole inside the longer one.
pub(super) fn is_part<T: PartialEq>(a: &[T], b: &[T]) -> bool {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    short.len() >= LEAST_PART && short.len() < long.len() && long.windows(short.len()).any(|w| w == short)
}

/// Least share of the weight that a longer text needs of its own before shorter ones count as parts of it.
const WHOLE_SHARE: f64 = 0.05;
/// The same where both texts are of one format, as `KIB472` and `KIB4729`.
const SAME_FORMAT_SHARE: f64 = 0.25;

/// A text that is part of a longer one of a commoner format is that mark with characters hidden: its share of the belief goes
/// to the longer one, however often it was seen. A longer text of a rarer format, or of none, gets nothing: a bolt or a band
/// beside the mark makes such texts. Between two texts of one format the longer one must have been seen often itself.
fn lend_to_whole(rivals: &mut [Option<(Decoded, f64)>], grammar: &Grammar) {
    for short in 0..rivals.len() {
        let Some((part, share)) = rivals[short] else { continue };
        let whole = (0..rivals.len()).rev().find(|long| {
            rivals[*long].is_some_and(|(d, own)| {
                let (longer, shorter) = (grammar.share_of(d.syntax), grammar.share_of(part.syntax));
                d.vrm.len() > part.vrm.len()
                    && longer >= shorter
                    && own >= if longer > shorter { WHOLE_SHARE } else { SAME_FORMAT_SHARE }
                    && is_part(part.vrm.key().glyphs(), d.vrm.key().glyphs())
            })
        });
        if let Some((_, own)) = whole.and_then(|long| rivals[long].as_mut()) {
            *own += share;
            rivals[short] = None;
        }
    }
}

/// Puts a candidate among runner-ups, best first, if it is better than one of them or a place is free.
fn offer(alternatives: &mut [Option<Candidate>; 4], candidate: Candidate) {
    if let Some(same) = alternatives.iter_mut().flatten().find(|a| a.vrm.key() == candidate.vrm.key()) {
        same.confidence += candidate.confidence;
    } else if alternatives[3].is_none_or(|last| last.confidence < candidate.confidence) {
        alternatives[3] = Some(candidate);
    }
    alternatives.sort_by(|a, b| b.map_or(-1.0, |c| c.confidence).total_cmp(&a.map_or(-1.0, |c| c.confidence)));
}

/// Where the slots of the hypothesis "`count` characters" begin.
fn first_slot(count: usize) -> usize {
    count * count.saturating_sub(1) / 2
}
