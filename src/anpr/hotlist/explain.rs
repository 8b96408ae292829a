//! Where a read and an entry differ, and why it is a hit all the same: words for people who must decide whether to stop a car.

use std::fmt;

use super::fuzzy::Edit;
use super::r#match::{Difference, HitClass};
use crate::anpr::vrm::{Glyph, Vrm};

/// Where two marks differ, laid side by side with at most one edit.
pub(super) fn differences(read: &Vrm, listed: &Vrm, edit: Edit) -> Vec<Difference> {
    let mut listed = listed.glyphs().iter().copied();
    let mut found = Vec::new();
    let extra = |place: u8, listed: Option<Glyph>| {
        let is_extra = edit == Edit::Extra(place);
        is_extra.then_some(Difference { place, read: None, listed }).filter(|d| d.listed.is_some())
    };
    let mut place = 0u8;
    for glyph in read.glyphs().iter().copied() {
        if edit == Edit::Extra(place) {
            found.extend(extra(place, listed.next()));
        }
        if edit == Edit::Absent(place) {
            found.push(Difference { place, read: Some(glyph), listed: None });
        } else if let Some(other) = listed.next().filter(|other| *other != glyph) {
            found.push(Difference { place, read: Some(glyph), listed: Some(other) });
        }
        place += 1;
    }
    found.extend(extra(place, listed.next()));
    found
}

/// How far the eye is from the listed mark.
#[derive(Clone, Copy, Debug)]
pub(super) enum Likelihood {
    /// As [`super::Hit::likelihood_ratio`].
    Is(f32),
    /// It would have to be at least so much.
    MustBe(f32),
}

impl fmt::Display for Likelihood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(ratio) if *ratio > 1.05 => write!(f, "the eye alone finds the listed mark {} times likelier", Times(*ratio)),
            Self::Is(ratio) if *ratio > 0.95 => f.write_str("both are as likely to be what was read"),
            Self::Is(ratio) => write!(f, "the read is {} times likelier to be what was read", Times(1.0 / ratio)),
            Self::MustBe(ratio) => {
                write!(f, "told when the read is at most {} times likelier to be what was read", Times(1.0 / ratio))
            }
        }
    }
}

/// A factor, with a decimal where it matters.
struct Times(f32);

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (self.0 * 10.0).round();
        if self.0 >= 9.95 || tenths % 10.0 == 0.0 { write!(f, "{:.0}", self.0) } else { write!(f, "{:.1}", self.0) }
    }
}

/// Why two marks match, each differing character by name.
pub(super) fn of_marks(read: &Vrm, listed: &Vrm, class: HitClass, differs: &[Difference], likelihood: Likelihood) -> String {
    let fuzzy = class == HitClass::Fuzzy;
    let places: Vec<_> = differs.iter().map(|d| Place { differs: d, len: read.len(), fuzzy }.to_string()).collect();
    let places = places.join("; ");
    match class {
        HitClass::Fuzzy => format!("{read} may be the listed {listed}: {places} ({likelihood})"),
        _ if differs.is_empty() => format!("{read} is the listed mark, character by character"),
        _ => format!("{read} looks like the listed {listed}: {places} (drawn alike on UK plates)"),
    }
}

/// A difference in words. Places count from 1.
struct Place<'a> {
    differs: &'a Difference,
    /// Characters of the read.
    len: usize,
    /// Whether to say of each difference that it is none on a plate.
    fuzzy: bool,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = usize::from(self.differs.place);
        match (self.differs.read, self.differs.listed) {
            (Some(read), Some(listed)) => {
                write!(f, "character {} read as {read}, listed as {listed}", place + 1)?;
                if self.fuzzy && read.folded() == listed.folded() { f.write_str(" (drawn alike)") } else { Ok(()) }
            }
            (Some(read), None) => write!(f, "character {} read as {read}, not in the listed mark", place + 1),
            (None, Some(listed)) if place == 0 => write!(f, "{listed} listed before character 1, not read"),
            (None, Some(listed)) if place >= self.len => write!(f, "{listed} listed behind character {place}, not read"),
            (None, Some(listed)) => write!(f, "{listed} listed between characters {place} and {}, not read", place + 1),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_says_what_a_person_needs() {
        use HitClass::{Exact, Fuzzy, LookAlike};
        for (read, listed, class, edit, ratio, says) in [
            ("AB12CDE", "AB12CDE", Exact, Edit::None, 1.0, "AB12CDE is the listed mark, character by character"),
            (
                "AI1O",
                "A110",
                LookAlike,
                Edit::None,
                1.0,
                "AI1O looks like the listed A110: character 2 read as I, listed as 1; character 4 read as O, listed as 0 \
                 (drawn alike on UK plates)",
            ),
            (
                "AB12CDE",
                "A812CDE",
                Fuzzy,
                Edit::None,
                1.0 / 9.0,
                "AB12CDE may be the listed A812CDE: character 2 read as B, listed as 8 \
                 (the read is 9 times likelier to be what was read)",
            ),
            (
                "AB12CO",
                "B12C0",
                Fuzzy,
                Edit::Absent(0),
                0.4,
                "AB12CO may be the listed B12C0: character 1 read as A, not in the listed mark; \
                 character 6 read as O, listed as 0 (drawn alike) (the read is 2.5 times likelier to be what was read)",
            ),
            (
                "A1",
                "LA1",
                Fuzzy,
                Edit::Extra(0),
                1.0,
                "A1 may be the listed LA1: L listed before character 1, not read (both are as likely to be what was read)",
            ),
            (
                "A1",
                "AL1",
                Fuzzy,
                Edit::Extra(1),
                3.0,
                "A1 may be the listed AL1: L listed between characters 1 and 2, not read (the eye alone finds the listed mark 3 times likelier)",
            ),
            (
                "A1",
                "A1L",
                Fuzzy,
                Edit::Extra(2),
                0.02,
                "A1 may be the listed A1L: L listed behind character 2, not read (the read is 50 times likelier to be what was read)",
            ),
        ] {
            let (read, listed) = (Vrm::parse(read).unwrap(), Vrm::parse(listed).unwrap());
            let differs = differences(&read, &listed, edit);
            assert_eq!(of_marks(&read, &listed, class, &differs, Likelihood::Is(ratio)), says);
        }
    }
}
