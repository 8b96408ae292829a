//! What the reader says of one plate patch: glyph probabilities at every position, never only a text.
//!
//! A read has up to [`PlateRead::MAX`] slots. A slot holds how likely each glyph is *given that a character stands
//! there*, and `presence`, how likely it is that one stands there at all (a bolt or a border can look like a thin
//! character; a shadow can hide a real one).

use super::vrm::{GLYPHS, Glyph, Vrm};

/// Presence from which a slot counts as a character.
const PRESENT: f32 = 0.5;

/// What a look that sees no character at a place says of one there.
const UNSEEN_PRESENCE: f32 = 0.03;

/// What a look rounds to zero must not be impossible.
const FLOOR: f32 = 1e-6;

/// The probability whose odds are the geometric mean of those of two.
fn even_odds(a: f32, b: f32) -> f32 {
    let (for_it, against) = ((a.max(FLOOR) * b.max(FLOOR)).sqrt(), ((1.0 - a).max(FLOOR) * (1.0 - b).max(FLOOR)).sqrt());
    for_it / (for_it + against)
}

/// One character position of a read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot {
    /// Probability of each glyph if a character stands here; sums to 1.
    pub glyphs: [f32; GLYPHS],
    /// Probability that a character stands here, 0..=1.
    pub presence: f32,
}

impl Slot {
    /// From any non-negative weights; they are made to sum to 1. All zero becomes uniform.
    pub fn new(mut weights: [f32; GLYPHS], presence: f32) -> Self {
        let sum: f32 = weights.iter().sum();
        if sum > 0.0 && sum.is_finite() {
            weights.iter_mut().for_each(|w| *w /= sum);
        } else {
            weights = [1.0 / 36.0; GLYPHS];
        }
        Self { glyphs: weights, presence: presence.clamp(0.0, 1.0) }
    }

    /// The geometric mean of two looks at one character: of the glyphs' probabilities, and of the odds of presence.
    #[must_use]
    pub fn blended(&self, other: &Self) -> Self {
        let mut glyphs = [0.0; GLYPHS];
        for (into, (a, b)) in glyphs.iter_mut().zip(self.glyphs.iter().zip(&other.glyphs)) {
            *into = (a.max(FLOOR) * b.max(FLOOR)).sqrt();
        }
        Self::new(glyphs, even_odds(self.presence, other.presence))
    }

    /// The likeliest glyph and its probability (the first of equals).
    pub fn best(&self) -> (Glyph, f32) {
        let mut best = (0, self.glyphs[0]);
        for (i, p) in self.glyphs.iter().enumerate().skip(1) {
            if *p > best.1 {
                best = (i, *p);
            }
        }
        // Invariant: `best.0` indexes an array of GLYPHS, which is just what `from_index` takes.
        (Glyph::from_index(best.0).expect("slot index is a glyph index"), best.1)
    }
}

/// The reader's whole answer for one patch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlateRead {
    slots: [Slot; PlateRead::MAX],
    len: u8,
}

impl PlateRead {
    /// Most slots a read can have: the longest mark plus room for a few false ones.
    pub const MAX: usize = 14;

    /// From slots in reading order; those beyond [`Self::MAX`] are dropped (no plate has them).
    pub fn from_slots(slots: impl IntoIterator<Item = Slot>) -> Self {
        let mut read = Self { slots: [Slot { glyphs: [0.0; GLYPHS], presence: 0.0 }; Self::MAX], len: 0 };
        for (into, slot) in read.slots.iter_mut().zip(slots) {
            *into = slot;
            read.len += 1;
        }
        read
    }

    /// The slots, in reading order.
    pub fn slots(&self) -> &[Slot] {
        &self.slots[..usize::from(self.len)]
    }

    /// The likeliest glyph of every slot where a character more likely stands than not: what the eye alone says.
    /// None when no slot is left, or more than a mark can have.
    pub fn raw(&self) -> Option<Vrm> {
        Vrm::from_glyphs(self.present().map(|s| s.best().0))
    }

    /// The smallest probability among the characters of [`Self::raw`]; 0 when there are none.
    pub fn weakest(&self) -> f32 {
        self.present().map(|s| s.best().1 * s.presence).reduce(f32::min).unwrap_or(0.0)
    }

    /// Mean natural logarithm of the probabilities of the characters of [`Self::raw`]: which of two reads of one plate is the surer.
    pub fn mean_ln(&self) -> f32 {
        let (mut sum, mut n) = (0.0, 0.0f32);
        for slot in self.present() {
            sum += (slot.best().1 * slot.presence).max(1e-6).ln();
            n += 1.0;
        }
        if n > 0.0 { sum / n } else { f32::NEG_INFINITY }
    }

    /// Two looks at one plate as one read: slot by slot the geometric mean of what they say, so that a look which is sure
    /// outweighs one which is not, and two that contradict each other are less sure than either.
    ///
    /// Where one look sees a character more, that one is doubted by the other. Looks that see mostly different characters are
    /// rivals (one may have lost the first and taken the border for a last): the surer of them stands alone.
    #[must_use]
    pub fn blended(&self, other: &Self) -> Self {
        let (surer, second) = if other.mean_ln() > self.mean_ln() { (other, self) } else { (self, other) };
        let (count, seconds_count) = (surer.present().count(), second.present().count());
        let (long, short) = if seconds_count > count { (second, surer) } else { (surer, second) };
        let few = count.min(seconds_count);
        if count.abs_diff(seconds_count) > 1 {
            return *surer;
        }
        // How many characters agree when the long look's one at `extra` has no partner; at `few` none of equal counts is left out.
        let agreeing = |extra: usize| {
            let partners = long.present().enumerate().filter(|(i, _)| *i != extra).map(|(_, slot)| slot);
            partners.zip(short.present()).filter(|(a, b)| a.best().0.folded() == b.best().0.folded()).count()
        };
        let first = if count == seconds_count { few } else { 0 };
        let extra = (first..=few).max_by_key(|extra| agreeing(*extra)).unwrap_or(few);
        if 2 * agreeing(extra) <= few {
            return *surer;
        }
        let mut partners = short.present();
        let mut rank = 0;
        Self::from_slots(long.slots().iter().map(|slot| {
            if slot.presence < PRESENT {
                return *slot;
            }
            rank += 1;
            match (rank - 1 != extra).then(|| partners.next()).flatten() {
                Some(partner) => slot.blended(partner),
                // The other look may have doubted a character there, or seen none at all.
                None => match short.doubtful_after(rank - 1) {
                    Some(doubtful) => slot.blended(doubtful),
                    None => Slot { presence: even_odds(slot.presence, UNSEEN_PRESENCE), ..*slot },
                },
            }
        }))
    }

    /// The first doubtful slot that comes after so many characters and before the next.
    fn doubtful_after(&self, characters: usize) -> Option<&Slot> {
        let mut before = 0;
        self.slots().iter().find(|slot| {
            let present = slot.presence >= PRESENT;
            let here = !present && before == characters;
            before += usize::from(present);
            here
        })
    }

    fn present(&self) -> impl Iterator<Item = &Slot> {
        self.slots().iter().filter(|s| s.presence >= PRESENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slot that shows `c` with probability `p`, and `other` else.
    fn shows(c: char, p: f32, other: char, presence: f32) -> Slot {
        let mut w = [0.0; GLYPHS];
        w[Glyph::from_char(c).expect("glyph").index()] = p;
        w[Glyph::from_char(other).expect("glyph").index()] += 1.0 - p;
        Slot::new(w, presence)
    }

    #[test]
    fn two_looks_blend_slot_by_slot() {
        let sure = PlateRead::from_slots([
            shows('A', 0.99, 'B', 0.99),
            shows('K', 0.9, 'X', 0.9),
            shows('I', 0.9, 'J', 0.2),
            shows('7', 0.98, '1', 0.97),
        ]);
        let doubtful = PlateRead::from_slots([shows('B', 0.6, 'A', 0.9), shows('K', 0.9, 'X', 0.9), shows('7', 0.9, '1', 0.9)]);
        let both = doubtful.blended(&sure);
        assert_eq!(both.raw().expect("three characters").to_string(), "AK7", "the sure look outweighs the doubtful one");
        assert!(both.slots()[0].best().1 < 0.99, "a contradiction costs");
        assert_eq!(both.slots().len(), 4, "the surer look's doubtful slot stays");
        assert!((both.slots()[2].presence - 0.2).abs() < 1e-6);
        assert_eq!(both, sure.blended(&doubtful), "the order does not matter");
        let same = sure.blended(&sure);
        for (a, b) in same.slots().iter().zip(sure.slots()) {
            assert!((a.presence - b.presence).abs() < 1e-4 && (a.best().1 - b.best().1).abs() < 1e-4);
        }
    }

    #[test]
    fn looks_that_count_differently_are_rivals() {
        let three = PlateRead::from_slots(['A', 'B', 'C'].map(|c| shows(c, 0.9, '0', 0.9)));
        let two = PlateRead::from_slots(['A', 'B'].map(|c| shows(c, 0.99, '0', 0.99)));
        let doubted = three.blended(&two);
        assert_eq!(doubted, two.blended(&three));
        assert_eq!(doubted.raw().expect("two characters").to_string(), "AB", "the second look saw no third character");
        assert!((0.3..0.5).contains(&doubted.slots()[2].presence), "but it may be there: {}", doubted.slots()[2].presence);
        let unsure =
            PlateRead::from_slots([shows('A', 0.99, '0', 0.99), shows('B', 0.99, '0', 0.99), shows('C', 0.9, '0', 0.49)]);
        let less_doubted = three.blended(&unsure).slots()[2].presence;
        assert!((0.74..0.76).contains(&less_doubted), "what the second look half saw counts: {less_doubted}");
        let front = PlateRead::from_slots(['K', 'A', 'B'].map(|c| shows(c, 0.9, '0', 0.999)));
        assert_eq!(front.blended(&two).raw().expect("three characters").to_string(), "KAB", "one look was cut too narrow");
        let shifted = PlateRead::from_slots(['B', 'C', 'I'].map(|c| shows(c, 0.8, '0', 0.9)));
        assert_eq!(shifted.blended(&three), three, "one look lost the first character and read the border");
    }

    #[test]
    fn slots_that_are_probably_empty_are_not_in_the_raw_text() {
        let sure = |c: char, presence| {
            let mut w = [0.001; GLYPHS];
            w[Glyph::from_char(c).expect("glyph").index()] = 1.0;
            Slot::new(w, presence)
        };
        let read = PlateRead::from_slots([sure('A', 0.9), sure('I', 0.2), sure('7', 0.6)]);
        assert_eq!(read.raw().expect("two characters").to_string(), "A7");
        assert!(read.weakest() < 0.6 && read.weakest() > 0.5);
        assert_eq!(PlateRead::from_slots([sure('I', 0.2)]).raw(), None);
        assert_eq!(PlateRead::from_slots([]).mean_ln(), f32::NEG_INFINITY);
    }
}
