//! What else the characters of a mark could be: for each place, the shapes that the eye finds next likeliest, as odds against the
//! one that won. Enough to say how well another mark explains the same read, in a few hundred bytes and without the read.
//!
//! Shapes are folded glyphs: `O` and `0` are one, so are `I` and `1`.

use super::vrm::{Glyph, Vrm};

/// A shape that might stand at a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OtherShape {
    /// The shape, folded.
    pub shape: Glyph,
    /// How much likelier the eye finds it than the winner: below 1, unless grammar overruled the eye.
    pub odds: f32,
}

/// A character that might stand between two of the mark's (or before the first, or behind the last).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExtraShape {
    /// How many of the mark's characters come before it.
    pub after: u8,
    /// The shape, folded.
    pub shape: Glyph,
    /// How much likelier the eye finds it there than nothing.
    pub odds: f32,
}

/// A shape as it is kept: free where the odds are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Held {
    odds: f32,
    /// Its place in the alphabet.
    shape: u8,
    /// For an extra character, how many of the mark's come before it.
    after: u8,
}

/// The odds of a whole mark.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GlyphOdds {
    others: [[Held; GlyphOdds::OTHERS]; Vrm::MAX],
    absent: [f32; Vrm::MAX],
    extra: [Held; GlyphOdds::EXTRA],
}

impl GlyphOdds {
    /// Other shapes kept for a place, likeliest first.
    pub const OTHERS: usize = 4;
    /// Extra characters kept, likeliest first.
    pub const EXTRA: usize = 4;

    /// The other shapes of a place, likeliest first.
    pub fn others(&self, place: usize) -> impl Iterator<Item = OtherShape> + '_ {
        let held = self.others.get(place).into_iter().flatten().take_while(|held| held.odds > 0.0);
        held.filter_map(|held| Some(OtherShape { shape: Glyph::from_index(usize::from(held.shape))?, odds: held.odds }))
    }

    /// The odds that no character stands at a place.
    pub fn absent(&self, place: usize) -> f32 {
        self.absent.get(place).copied().unwrap_or(0.0)
    }

    /// Characters that the mark may have besides its own, likeliest first.
    pub fn extra(&self) -> impl Iterator<Item = ExtraShape> + '_ {
        let held = self.extra.iter().take_while(|held| held.odds > 0.0);
        held.filter_map(|held| {
            Some(ExtraShape { after: held.after, shape: Glyph::from_index(usize::from(held.shape))?, odds: held.odds })
        })
    }

    /// Notes another shape of a place (once each, twins together); the least likely falls off when there is no room.
    pub fn add_other(&mut self, place: usize, shape: Glyph, odds: f32) {
        if let Some(places) = self.others.get_mut(place) {
            insert(places, shape, 0, odds);
        }
    }

    /// Notes the odds that no character stands at a place.
    pub fn set_absent(&mut self, place: usize, odds: f32) {
        if let Some(into) = self.absent.get_mut(place) {
            *into = odds;
        }
    }

    /// Notes a character that may stand after `after` of the mark's own.
    pub fn add_extra(&mut self, after: u8, shape: Glyph, odds: f32) {
        insert(&mut self.extra, shape, after, odds);
    }
}

/// Keeps a short list sorted, likeliest first, and of equals the one that came first. What is not above zero is no odds.
fn insert(list: &mut [Held], shape: Glyph, after: u8, odds: f32) {
    let at = list.iter().position(|held| held.odds < odds).filter(|_| odds > 0.0);
    if let (Some(at), Ok(shape)) = (at, u8::try_from(shape.folded().index())) {
        list[at..].rotate_right(1);
        list[at] = Held { odds, shape, after };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_stay_in_order() {
        let (mut odds, shape) = (GlyphOdds::default(), |c| Glyph::from_char(c).unwrap());
        for (c, p) in [('B', 0.1), ('O', 0.5), ('R', 0.1), ('E', 0.01), ('F', 0.3), ('X', 0.001)] {
            odds.add_other(2, shape(c), p);
            odds.add_extra(7, shape(c), p);
        }
        odds.add_other(Vrm::MAX, shape('A'), 1.0);
        for nonsense in [0.0, -1.0, f32::NAN] {
            odds.add_other(3, shape('A'), nonsense);
        }
        odds.set_absent(Vrm::MAX, 1.0);
        let text: String = odds.others(2).map(|o| o.shape.as_char()).collect();
        assert_eq!((text.as_str(), odds.extra().map(|e| e.shape.as_char()).collect::<String>().as_str()), ("0FBR", "0FBR"));
        assert_eq!((odds.others(3).count(), odds.others(Vrm::MAX).count(), odds.absent(Vrm::MAX)), (0, 0, 0.0));
    }
}
