//! What the reader says of one plate patch: glyph probabilities at every position, never only a text.
//!
//! A read has up to [`PlateRead::MAX`] slots. A slot holds how likely each glyph is *given that a character stands
//! there*, and `presence`, how likely it is that one stands there at all (a bolt or a border can look like a thin
//! character; a shadow can hide a real one).

use super::vrm::{GLYPHS, Glyph, Vrm};

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

    fn present(&self) -> impl Iterator<Item = &Slot> {
        self.slots().iter().filter(|s| s.presence >= 0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
