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

/// The odds of a whole mark.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GlyphOdds {
    others: [[Option<OtherShape>; GlyphOdds::OTHERS]; Vrm::MAX],
    absent: [f32; Vrm::MAX],
    extra: [Option<ExtraShape>; GlyphOdds::EXTRA],
}

impl GlyphOdds {
    /// Other shapes kept for a place, likeliest first.
    pub const OTHERS: usize = 4;
    /// Extra characters kept, likeliest first.
    pub const EXTRA: usize = 4;

    /// The other shapes of a place, likeliest first.
    pub fn others(&self, place: usize) -> impl Iterator<Item = OtherShape> + '_ {
        self.others.get(place).into_iter().flatten().flatten().copied()
    }

    /// The odds that no character stands at a place.
    pub fn absent(&self, place: usize) -> f32 {
        self.absent.get(place).copied().unwrap_or(0.0)
    }

    /// Characters that the mark may have besides its own, likeliest first.
    pub fn extra(&self) -> impl Iterator<Item = ExtraShape> + '_ {
        self.extra.iter().flatten().copied()
    }

    /// Notes another shape of a place (once each, twins together); the least likely falls off when there is no room.
    pub fn add_other(&mut self, place: usize, shape: Glyph, odds: f32) {
        let Some(places) = self.others.get_mut(place) else { return };
        insert(places, OtherShape { shape: shape.folded(), odds }, |o| o.odds);
    }

    /// Notes the odds that no character stands at a place.
    pub fn set_absent(&mut self, place: usize, odds: f32) {
        if let Some(into) = self.absent.get_mut(place) {
            *into = odds;
        }
    }

    /// Notes a character that may stand after `after` of the mark's own.
    pub fn add_extra(&mut self, after: u8, shape: Glyph, odds: f32) {
        insert(&mut self.extra, ExtraShape { after, shape: shape.folded(), odds }, |e| e.odds);
    }
}

/// Keeps a short list sorted, likeliest first, and of equals the one that came first.
fn insert<T: Copy>(list: &mut [Option<T>], new: T, odds: fn(&T) -> f32) {
    let at = list.iter().position(|held| held.as_ref().is_none_or(|h| odds(h) < odds(&new)));
    if let Some(at) = at {
        list[at..].rotate_right(1);
        list[at] = Some(new);
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
        odds.set_absent(Vrm::MAX, 1.0);
        let text: String = odds.others(2).map(|o| o.shape.as_char()).collect();
        assert_eq!((text.as_str(), odds.extra().map(|e| e.shape.as_char()).collect::<String>().as_str()), ("0FBR", "0FBR"));
        assert_eq!((odds.others(3).count(), odds.others(Vrm::MAX).count(), odds.absent(Vrm::MAX)), (0, 0, 0.0));
    }
}
