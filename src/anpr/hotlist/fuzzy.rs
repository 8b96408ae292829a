//! Other marks that would explain a read nearly as well: which of them a list has, and how well they do.
//!
//! Candidates come from the odds that the eye gives ([`GlyphOdds`]), not from the list: some dozens by default, thousands at the
//! widest, each a few additions on a packed key and one look at the list's filter. A way from the read to another mark is at most
//! one edit (a character of the read that isn't there, or one that is and wasn't read) and, at places of the read that stay, as
//! many substitutions as the options allow; each bound holds for itself, so a way may use up both. Its likelihood ratio is the
//! product of the odds of its steps. Of several ways to one mark the likeliest counts.
//!
//! Only what the odds hold can be substituted or inserted: four shapes a place, four characters more.

use super::index::Hotlist;
use super::lookalike::are_alike;
use super::r#match::{MatchOptions, Reading, Substitutions};
use super::packed::{Packed, WEIGHTS, digit};
use crate::anpr::odds::GlyphOdds;
use crate::anpr::vrm::Vrm;
use crate::clock::UtcTime;

/// The edit of a way. A place counts the read's characters from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    /// None: as many characters in both.
    None,
    /// The read's character at this place is not in the listed mark.
    Absent(u8),
    /// The listed mark has one more, behind so many of the read's.
    Extra(u8),
}

/// A key that the list has and the read may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) key: Packed,
    pub(super) edit: Edit,
    pub(super) ratio: f32,
}

/// A shape that might stand in another one's place.
#[derive(Clone, Copy, Debug, Default)]
struct Substitution {
    place: usize,
    /// What it adds to the digit there.
    step: u64,
    odds: f32,
}

/// Everything that may be substituted in a read.
struct Substitutes {
    all: [Substitution; Vrm::MAX * GlyphOdds::OTHERS],
    len: usize,
}

impl Substitutes {
    fn of(reading: Reading<'_>, options: &MatchOptions) -> Self {
        let mut found = Self { all: [Substitution::default(); Vrm::MAX * GlyphOdds::OTHERS], len: 0 };
        if options.max_substitutions == 0 {
            return found;
        }
        for (place, read) in reading.vrm.glyphs().iter().enumerate() {
            for other in reading.odds.others(place) {
                let allowed = match options.substitutions {
                    Substitutions::LookAlike => are_alike(*read, other.shape),
                    Substitutions::Any => other.shape.folded() != read.folded(),
                };
                if allowed && is_odds(other.odds) {
                    // Below zero where the digit falls: sums of keys wrap around and back.
                    let step = digit(other.shape).wrapping_sub(digit(*read));
                    found.all[found.len] = Substitution { place, step, odds: other.odds };
                    found.len += 1;
                }
            }
        }
        found
    }

    fn all(&self) -> &[Substitution] {
        &self.all[..self.len]
    }
}

fn is_odds(odds: f32) -> bool {
    odds > 0.0 && odds.is_finite()
}

/// A key to begin from: the read's, or the read's with an edit.
#[derive(Clone, Copy)]
struct Base {
    key: u64,
    edit: Edit,
    ratio: f32,
}

impl Base {
    /// What one more in the digit of the read's place `place` adds to the key; none where the place is edited away.
    fn weight(&self, place: usize) -> Option<u64> {
        let at = match self.edit {
            Edit::Absent(absent) if usize::from(absent) == place => return None,
            Edit::Absent(absent) if place > usize::from(absent) => place - 1,
            Edit::Extra(after) if place >= usize::from(after) => place + 1,
            _ => place,
        };
        WEIGHTS.get(at).copied()
    }
}

impl Hotlist {
    /// The keys, other than the read's own, that the read may be and that have a row in force at `at`: each once, with its best
    /// ratio, likeliest first. Nothing is allocated when there is none.
    pub(super) fn fuzzy(&self, reading: Reading<'_>, at: UtcTime, options: &MatchOptions) -> Vec<Found> {
        let substitutes = Substitutes::of(reading, options);
        let mut found = Vec::new();
        let own = Packed::of(reading.vrm);
        let mut consider = |key: u64, base: &Base, ratio: f32| {
            let key = Packed(key);
            let enough = ratio >= options.min_likelihood_ratio && ratio > 0.0;
            if enough && key != own && self.with_key(key).any(|row| self.head(row).is_in_force(at)) {
                found.push(Found { key, edit: base.edit, ratio });
            }
        };
        for_each_base(reading, options, |base| {
            if base.edit != Edit::None {
                consider(base.key, &base, base.ratio);
            }
            for (n, one) in substitutes.all().iter().enumerate() {
                let Some(weight) = base.weight(one.place) else { continue };
                let (key, ratio) = (base.key.wrapping_add(one.step.wrapping_mul(weight)), base.ratio * one.odds);
                consider(key, &base, ratio);
                if options.max_substitutions < 2 {
                    continue;
                }
                for two in substitutes.all()[n + 1..].iter().filter(|two| two.place != one.place) {
                    let Some(weight) = base.weight(two.place) else { continue };
                    consider(key.wrapping_add(two.step.wrapping_mul(weight)), &base, ratio * two.odds);
                }
            }
        });
        // The likeliest way to each key, the first of equal ones (the sort is stable), then the likeliest key first.
        found.sort_by(|a, b| a.key.cmp(&b.key).then(b.ratio.total_cmp(&a.ratio)));
        found.dedup_by_key(|found| found.key);
        found.sort_by(|a, b| b.ratio.total_cmp(&a.ratio));
        found
    }
}

/// The read's key, and with edits allowed its key with each of them.
fn for_each_base(reading: Reading<'_>, options: &MatchOptions, mut each: impl FnMut(Base)) {
    let glyphs = reading.vrm.glyphs();
    each(Base { key: Packed::of(reading.vrm).0, edit: Edit::None, ratio: 1.0 });
    if options.max_edits == 0 {
        return;
    }
    for (place, absent) in (0u8..).zip(0..glyphs.len()) {
        let odds = reading.odds.absent(absent);
        if glyphs.len() > 1 && is_odds(odds) {
            let (before, behind) = (&glyphs[..absent], &glyphs[absent + 1..]);
            let key = Packed::of_glyphs(before.iter().chain(behind).copied()).0;
            each(Base { key, edit: Edit::Absent(place), ratio: odds });
        }
    }
    for extra in reading.odds.extra() {
        let after = usize::from(extra.after);
        if glyphs.len() < Vrm::MAX && after <= glyphs.len() && is_odds(extra.odds) {
            let (before, behind) = glyphs.split_at(after);
            let shapes = before.iter().copied().chain([extra.shape]).chain(behind.iter().copied());
            each(Base { key: Packed::of_glyphs(shapes).0, edit: Edit::Extra(extra.after), ratio: extra.odds });
        }
    }
}
