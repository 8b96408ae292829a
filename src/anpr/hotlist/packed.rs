//! A mark's key in eight bytes: base 37, the first glyph the most significant, so that the numbers sort as the keys do.
//!
//! Changing the glyph of one place adds a number that depends on that place alone ([`WEIGHTS`]): candidates are made by adding.

use crate::anpr::vrm::{Glyph, Vrm};

/// What a glyph counts at each place. 37¹² is below 2⁶³: twelve glyphs and "none" fit, with room for a sign.
pub(super) const WEIGHTS: [u64; Vrm::MAX] = {
    let mut weights = [1; Vrm::MAX];
    let mut place = Vrm::MAX - 1;
    while place > 0 {
        weights[place - 1] = weights[place] * 37;
        place -= 1;
    }
    weights
};

/// A folded mark, packed. Greater than zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Packed(pub(super) u64);

/// What packing folds away: one bit a place, set where the letter (`O`, `I`) stands and not the digit.
pub(super) type Letters = u16;

/// A glyph's digit: its folded shape and one more, for zero means "no glyph".
pub(super) const fn digit(glyph: Glyph) -> u64 {
    glyph.folded().index() as u64 + 1
}

impl Packed {
    /// Packs a mark's key.
    pub(super) fn of(vrm: &Vrm) -> Self {
        Self::of_glyphs(vrm.glyphs().iter().copied())
    }

    /// Packs glyphs; those beyond [`Vrm::MAX`] are left out.
    pub(super) fn of_glyphs(glyphs: impl IntoIterator<Item = Glyph>) -> Self {
        Self(glyphs.into_iter().zip(WEIGHTS).map(|(glyph, weight)| digit(glyph) * weight).sum())
    }

    /// The mark that was packed, given which of its places held letters.
    pub(super) fn vrm(self, letters: Letters) -> Vrm {
        let digits = WEIGHTS.iter().map(|weight| usize::try_from(self.0 / weight % 37).unwrap_or(0));
        let shapes = digits.take_while(|digit| *digit > 0).filter_map(|digit| Glyph::from_index(digit - 1));
        let glyphs = shapes.enumerate().map(|(place, shape)| match shape.twin() {
            Some(letter) if letters >> place & 1 == 1 => letter,
            _ => shape,
        });
        // Invariant: `of` packs marks, and a mark has 1 to 12 glyphs.
        Vrm::from_glyphs(glyphs).expect("a packed mark is a mark")
    }
}

/// Where a mark has the letter of a pair that is drawn alike.
pub(super) fn letters(vrm: &Vrm) -> Letters {
    vrm.glyphs().iter().enumerate().filter(|(_, g)| g.folded() != **g).fold(0, |bits, (place, _)| bits | 1 << place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packing_keeps_the_mark_and_the_order(a in "[A-Z0-9]{1,12}", b in "[01OIA-C]{1,12}") {
            let (a, b) = (Vrm::parse(&a).unwrap(), Vrm::parse(&b).unwrap());
            for vrm in [a, b] {
                prop_assert_eq!(Packed::of(&vrm).vrm(letters(&vrm)), vrm);
            }
            prop_assert_eq!(Packed::of(&a).cmp(&Packed::of(&b)), a.key().cmp(&b.key()));
        }
    }
}
