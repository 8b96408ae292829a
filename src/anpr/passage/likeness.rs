//! Do two reads show one mark? Slots are laid side by side so that most agree, then it counts what contradicts.
//!
//! Reads of one plate differ by what was hidden, cut off or mistaken, reads of two vehicles by nearly everything, but for
//! look-alike marks, which text can't tell from a misread: where the plate was must decide there (`open`).

use crate::anpr::read::{PlateRead, Slot};
use crate::anpr::vrm::{GLYPHS, Glyph, VrmKey};

/// What two reads have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Likeness {
    /// Too little was seen to say.
    Unknown,
    /// The same characters, as far as they are sure.
    Same,
    /// The same characters, but one read has more of them.
    Part,
    /// All but a few sure characters.
    Near,
    /// Another mark.
    Other,
}

/// Score of a pair that agrees, and the worst one, as natural logarithms of odds against chance.
const BEST_PAIR: f32 = 3.5;
const WORST_PAIR: f32 = -3.0;
/// Score of a slot without a partner inside the other read, and beyond its ends.
const GAP: f32 = -1.5;
const END_GAP: f32 = -0.4;
/// Least score of two reads that have anything to do with each other: about three sure characters.
const RELATED: f32 = 8.0;
/// A character is sure from this probability on.
const SURE: f32 = 0.9;
/// Slots likelier filled than this are compared.
const PRESENT: f32 = 0.5;
/// Sure characters that a read needs before it can be called another mark.
const ENOUGH: usize = 3;

/// A slot made ready: twins folded into one shape.
#[derive(Clone, Copy, Debug)]
struct Shape {
    p: [f32; GLYPHS],
    best: usize,
    sure: bool,
}

impl Shape {
    fn of(slot: &Slot) -> Self {
        let mut p = slot.glyphs;
        for glyph in Glyph::all() {
            let into = glyph.folded().index();
            if into != glyph.index() {
                p[into] += p[glyph.index()];
                p[glyph.index()] = 0.0;
            }
        }
        let best = slot.best().0.folded().index();
        Self { p, best, sure: p[best] * slot.presence >= SURE }
    }

    /// The logarithm of how much likelier one character drew both than chance.
    fn pair(&self, other: &Self) -> f32 {
        let agree: f32 = self.p.iter().zip(&other.p).map(|(a, b)| a * b).sum();
        (agree * 36.0).max(1e-3).ln().clamp(WORST_PAIR, BEST_PAIR)
    }
}

/// The slots of a read, made ready to be compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shapes {
    slots: [Shape; PlateRead::MAX],
    len: usize,
}

impl Shapes {
    /// Of the slots that are likelier filled than `presence`.
    pub(super) fn of(slots: &[Slot], presence: f32) -> Self {
        let mut shapes = Self { slots: [Shape { p: [0.0; GLYPHS], best: 0, sure: false }; PlateRead::MAX], len: 0 };
        for (into, slot) in shapes.slots.iter_mut().zip(slots.iter().filter(|s| s.presence > presence)) {
            *into = Shape::of(slot);
            shapes.len += 1;
        }
        shapes
    }

    /// Of a text without any doubt.
    fn certain(text: &[Glyph]) -> Self {
        let mut shapes = Self::of(&[], PRESENT);
        for (into, glyph) in shapes.slots.iter_mut().zip(text) {
            let best = glyph.folded().index();
            (into.p[best], into.best, into.sure) = (1.0, best, true);
            shapes.len += 1;
        }
        shapes
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    fn sure(&self) -> usize {
        self.slots[..self.len].iter().filter(|s| s.sure).count()
    }
}

/// How alike two reads are.
pub(super) fn likeness(a: &PlateRead, b: &PlateRead) -> Likeness {
    compare(&Shapes::of(a.slots(), PRESENT), &Shapes::of(b.slots(), PRESENT))
}

/// Whether two marks may be one plate, misread in part or hidden in part.
pub(super) fn are_related(a: VrmKey, b: VrmKey) -> bool {
    let certain = |key: VrmKey| Shapes::certain(key.glyphs());
    matches!(compare(&certain(a), &certain(b)), Likeness::Same | Likeness::Part | Likeness::Near)
}

fn compare(left: &Shapes, right: &Shapes) -> Likeness {
    let alignment = align(left, right);
    if alignment.score < RELATED {
        return if left.sure().min(right.sure()) < ENOUGH { Likeness::Unknown } else { Likeness::Other };
    }
    let (mut alike, mut contradictions) = (0, 0);
    for (x, y) in alignment.pairs().map(|(i, j)| (&left.slots[i], &right.slots[j])) {
        alike += usize::from(x.best == y.best);
        contradictions += usize::from(x.best != y.best && x.sure && y.sure);
    }
    // Where both reads go on beyond the last pair, their ends contradict each other; where one does, the other is cut short.
    let (mut ends, mut overhang) = (0, 0);
    if let (Some((i, j)), Some((k, l))) = (alignment.pairs().last(), alignment.pairs().next()) {
        let (lead, trail) = (i.min(j), (left.len - 1 - k).min(right.len - 1 - l));
        let before = (0..lead).map(|n| (i - 1 - n, j - 1 - n));
        let after = (1..=trail).map(|n| (k + n, l + n));
        ends = lead + trail;
        overhang = before.chain(after).filter(|(x, y)| left.slots[*x].sure && right.slots[*y].sure).count();
    }
    contradictions += overhang;
    let alone = left.len + right.len - 2 * (alignment.len + ends);
    match (contradictions, alone) {
        (0, 0) => Likeness::Same,
        (0, _) => Likeness::Part,
        (c, _) if 2 * c <= alike => Likeness::Near,
        _ => Likeness::Other,
    }
}

/// Which slot of one read shows the character of which slot of another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alignment {
    /// Logarithm of the odds that both show one mark, against chance.
    score: f32,
    pairs: [(u8, u8); PlateRead::MAX],
    len: usize,
}

impl Alignment {
    /// Whether the reads have anything to do with each other.
    pub(super) fn is_related(&self) -> bool {
        self.score >= RELATED
    }

    /// Places of slots that belong together, from the last to the first.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        self.pairs[..self.len].iter().map(|(i, j)| (usize::from(*i), usize::from(*j)))
    }
}

/// Lays two reads side by side: the best of all alignments in order, with slots left alone where that is better.
pub(super) fn align(left: &Shapes, right: &Shapes) -> Alignment {
    let (n, m) = (left.len, right.len);
    let gap = |at_end: bool| if at_end { END_GAP } else { GAP };
    let mut scores = [[0.0f32; PlateRead::MAX + 1]; PlateRead::MAX + 1];
    let mut steps = [[Step::Left; PlateRead::MAX + 1]; PlateRead::MAX + 1];
    for i in 0..=n {
        for j in 0..=m {
            let mut best = if i == 0 && j == 0 { 0.0 } else { f32::NEG_INFINITY };
            let mut offer = |score: f32, step: Step| {
                if score > best {
                    best = score;
                    steps[i][j] = step;
                }
            };
            if i > 0 && j > 0 {
                offer(scores[i - 1][j - 1] + left.slots[i - 1].pair(&right.slots[j - 1]), Step::Pair);
            }
            if i > 0 {
                offer(scores[i - 1][j] + gap(j == 0 || j == m), Step::Left);
            }
            if j > 0 {
                offer(scores[i][j - 1] + gap(i == 0 || i == n), Step::Right);
            }
            scores[i][j] = best;
        }
    }
    let mut alignment = Alignment { score: scores[n][m], pairs: [(0, 0); PlateRead::MAX], len: 0 };
    let (mut i, mut j) = (n, m);
    while i > 0 && j > 0 {
        match steps[i][j] {
            Step::Pair => {
                (i, j) = (i - 1, j - 1);
                // Invariant: both are below PlateRead::MAX.
                alignment.pairs[alignment.len] = (u8::try_from(i).unwrap_or(0), u8::try_from(j).unwrap_or(0));
                alignment.len += 1;
            }
            Step::Left => i -= 1,
            Step::Right => j -= 1,
        }
    }
    alignment
}

/// How an alignment got where it is: by a pair, or by a slot of one side left alone.
#[derive(Clone, Copy)]
enum Step {
    Pair,
    Left,
    Right,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A read whose characters have probability `p` each, the rest spread evenly.
    fn read(text: &str, p: f32) -> PlateRead {
        PlateRead::from_slots(text.chars().map(|c| {
            let mut weights = [(1.0 - p) / 35.0; GLYPHS];
            weights[Glyph::from_char(c).expect("glyph").index()] = p;
            Slot::new(weights, 0.999)
        }))
    }

    #[test]
    fn reads_of_one_mark_are_told_from_reads_of_another() {
        use Likeness::{Near, Other, Part, Same, Unknown};
        for (a, b, p, expected) in [
            ("AB12CDE", "AB12CDE", 0.99, Same),
            ("AB12CDE", "AB12CDE", 0.5, Same),
            ("AB1OCDE", "ABI0CDE", 0.99, Same),
            ("AB12CDE", "AB12CD", 0.99, Part),
            ("AB12CDE", "12CDE", 0.99, Part),
            ("AB12CDE", "AB12CDE1", 0.99, Part),
            ("AB12CDE", "AB12CDF", 0.99, Near),
            ("AB12CDE", "AB12CDF", 0.7, Same),
            ("AB12CDE", "XY63FGH", 0.99, Other),
            ("AB12CDE", "XY63FGH", 0.3, Unknown),
            ("AB12CDE", "E", 0.99, Unknown),
            ("AB12CDE", "AB12FGH", 0.99, Other),
        ] {
            assert_eq!(likeness(&read(a, p), &read(b, p)), expected, "{a} {b} {p}");
            assert_eq!(likeness(&read(b, p), &read(a, p)), expected, "{b} {a} {p}");
        }
        assert_eq!(likeness(&read("", 0.9), &read("AB12CDE", 0.9)), Unknown);
    }

    #[test]
    fn marks_of_one_plate_are_related_however_it_was_misread() {
        let key = |text: &str| crate::anpr::vrm::Vrm::parse(text).expect("mark").key();
        for (a, b, related) in [
            ("EM18BDR", "EH18BT", true),
            ("EM18BDR", "EM18BD", true),
            ("EM18BDR", "EH18BDR", true),
            ("EM18BDR", "EM18", true),
            ("EM18BDR", "XY63FGH", false),
            ("EM18BDR", "E1", false),
        ] {
            assert_eq!(are_related(key(a), key(b)), related, "{a} {b}");
        }
    }
}
