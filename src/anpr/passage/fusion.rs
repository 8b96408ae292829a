//! Many reads of one plate made one: weighted log-probabilities, slot by slot.
//!
//! The best reads of a passage are kept (by weight, at most `max_reads`), so the order in which they came can't matter and a
//! passage costs the same after a thousand reads as after a few dozen. Reads that claim the same number of characters are added slot
//! by slot; reads that disagree on the number are rival hypotheses, never forced onto each other. Each hypothesis then hears those
//! of another length too, where they can be laid beside it.
//!
//! A read that touches the frame's edge never speaks about the length: as long as there is no other it makes a guess, and once there
//! is one, only its inner characters count.

use super::likeness::{Shapes, align};
use crate::anpr::decode::{Candidate, Decoded, Decoder};
use crate::anpr::read::{PlateRead, Slot};
use crate::anpr::syntax::Grammar;
use crate::anpr::vrm::{GLYPHS, VrmKey};
use crate::ident::FrameSeq;

/// A slot likelier empty than this is not counted as a character claimed.
const CLAIMED: f32 = 0.02;

/// Probabilities are kept off zero by this much: one bad frame must not veto all the others.
const FLOOR: f32 = 1e-4;

/// Hypotheses with less than this share of the weight aren't decoded.
const LEAST_SHARE: f64 = 0.05;

/// How many different texts of single reads are told apart when counting agreement; later ones count as disagreeing.
const TEXTS: usize = 64;

/// A read that is kept, with its slots' logarithms.
#[derive(Clone, Debug)]
struct Kept {
    slots: [Logs; PlateRead::MAX],
    /// The same slots, ready to be laid beside others.
    shapes: Shapes,
    count: usize,
    weight: f64,
    clipped: bool,
    frame: FrameSeq,
}

/// Logarithms of one slot: each glyph, presence, absence.
#[derive(Clone, Copy, Debug)]
struct Logs {
    glyphs: [f32; GLYPHS],
    present: f32,
    absent: f32,
}

impl Logs {
    const NONE: Self = Self { glyphs: [0.0; GLYPHS], present: 0.0, absent: 0.0 };

    fn of(slot: &Slot) -> Self {
        let presence = slot.presence.clamp(FLOOR, 1.0 - FLOOR);
        Self { glyphs: slot.glyphs.map(|p| p.max(FLOOR).ln()), present: presence.ln(), absent: (1.0 - presence).ln() }
    }
}

/// Weighted sums of one slot of a hypothesis.
#[derive(Clone, Copy, Debug)]
struct Sums {
    glyphs: [f64; GLYPHS],
    present: f64,
    absent: f64,
    weight: f64,
    squares: f64,
}

impl Sums {
    const NONE: Self = Self { glyphs: [0.0; GLYPHS], present: 0.0, absent: 0.0, weight: 0.0, squares: 0.0 };

    fn add(&mut self, logs: &Logs, weight: f64) {
        for (sum, log) in self.glyphs.iter_mut().zip(&logs.glyphs) {
            *sum += weight * f64::from(*log);
        }
        self.present += weight * f64::from(logs.present);
        self.absent += weight * f64::from(logs.absent);
        self.weight += weight;
        self.squares += weight * weight;
    }

    /// The slot that the sums stand for. `correlation` says how alike the errors of two frames are.
    fn slot(&self, correlation: f64) -> Slot {
        // Kish's effective number of equally weighted reads, then what correlated ones are worth: 1/correlation at most.
        let reads = self.weight * self.weight / self.squares;
        let worth = reads / (1.0 + correlation * (reads - 1.0)) / self.weight;
        let top = self.glyphs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        #[allow(clippy::cast_possible_truncation)] // between 0 and 1
        let glyphs = self.glyphs.map(|sum| ((sum - top) * worth).exp() as f32);
        #[allow(clippy::cast_possible_truncation)]
        let presence = (1.0 / (1.0 + ((self.absent - self.present) * worth).exp())) as f32;
        Slot::new(glyphs, presence)
    }
}

/// What is kept of a passage's reads.
#[derive(Debug)]
pub(super) struct Fusion {
    kept: Vec<Kept>,
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

/// A read on its way into a passage.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weighed<'a> {
    pub(super) read: &'a PlateRead,
    /// What it says when decoded alone.
    pub(super) text: Option<VrmKey>,
    /// What it counts for, above 0.
    pub(super) weight: f64,
    /// It touches the frame's edge.
    pub(super) clipped: bool,
    pub(super) frame: FrameSeq,
}

impl Fusion {
    /// With room for the `most` best reads.
    pub(super) fn new(most: usize) -> Self {
        Self { kept: Vec::with_capacity(most), texts: Vec::with_capacity(TEXTS), reads: 0, whole: false }
    }

    /// Empty again, buffers kept.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
        self.texts.clear();
        (self.reads, self.whole) = (0, false);
    }

    /// How many reads speak: the whole ones, or, if there are none, the clipped ones.
    pub(super) fn reads(&self) -> u32 {
        self.reads
    }

    /// Different texts of single reads, with how often each was read.
    pub(super) fn texts(&self) -> &[(VrmKey, u32)] {
        &self.texts
    }

    /// Adds a read; keeps it if it is among the `most` best. Whole ones are better than clipped ones, then the weight decides, then
    /// the earlier frame.
    pub(super) fn add(&mut self, new: Weighed<'_>, most: usize) {
        let shapes = Shapes::of(new.read.slots(), CLAIMED);
        if shapes.len() == 0 {
            return;
        }
        if !new.clipped && !self.whole {
            self.whole = true;
            self.reads = 0;
            self.texts.clear();
        }
        let better = |a: &Kept, b: &Kept| {
            (!a.clipped).cmp(&!b.clipped).then(a.weight.total_cmp(&b.weight)).then(b.frame.cmp(&a.frame)).is_gt()
        };
        let mut kept = Kept {
            slots: [Logs::NONE; PlateRead::MAX],
            count: shapes.len(),
            shapes,
            weight: new.weight,
            clipped: new.clipped,
            frame: new.frame,
        };
        let claimed = new.read.slots().iter().filter(|s| s.presence > CLAIMED);
        kept.slots.iter_mut().zip(claimed).for_each(|(into, slot)| *into = Logs::of(slot));
        if self.kept.len() < most.max(1) {
            self.kept.push(kept);
        } else if let Some(worst) = self.kept.iter_mut().reduce(|worst, other| if better(worst, other) { other } else { worst })
            && better(&kept, worst)
        {
            *worst = kept;
        }
        if new.clipped && self.whole {
            return;
        }
        self.reads += 1;
        if let Some(text) = new.text {
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
        let mut weights = [0.0; PlateRead::MAX + 1];
        for kept in self.kept.iter().filter(|k| k.clipped != self.whole) {
            weights[kept.count] += kept.weight;
        }
        let total: f64 = weights.iter().sum();
        let mut rivals: [Option<(Decoded, f64)>; PlateRead::MAX + 1] = [None; PlateRead::MAX + 1];
        for (count, weight) in weights.iter().enumerate().filter(|(_, w)| **w > LEAST_SHARE * total) {
            let Some(decoded) = decoder.decode(&self.hypothesis(count, correlation)) else { continue };
            let share = weight / total;
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

    /// The reads that claim `count` characters as one read, with what the others say of the same characters.
    fn hypothesis(&self, count: usize, correlation: f64) -> PlateRead {
        let mut sums = [Sums::NONE; PlateRead::MAX];
        let claims = |kept: &&Kept| kept.count == count && kept.clipped != self.whole;
        for kept in self.kept.iter().filter(claims) {
            for (sums, logs) in sums.iter_mut().zip(&kept.slots[..count]) {
                sums.add(logs, kept.weight);
            }
        }
        let alone = PlateRead::from_slots(sums[..count].iter().map(|s| s.slot(correlation)));
        let shapes = Shapes::of(alone.slots(), -1.0);
        for kept in self.kept.iter().filter(|k| !claims(k)) {
            let alignment = align(&shapes, &kept.shapes);
            if !alignment.is_related() {
                continue;
            }
            for (into, from) in alignment.pairs() {
                // At a cut, half a character is taken for another one.
                if !(kept.clipped && (from == 0 || from + 1 == kept.count)) {
                    sums[into].add(&kept.slots[from], kept.weight);
                }
            }
        }
        PlateRead::from_slots(sums[..count].iter().map(|s| s.slot(correlation)))
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
