//! Whether a mark is wanted, how it matches, and why.

use std::cmp::Ordering;
use std::sync::Arc;

use super::entry::{HotlistEntry, Wanted};
use super::explain::{self, Likelihood, differences};
use super::fuzzy::Edit;
use super::index::Hotlist;
use super::packed::Packed;
use crate::anpr::odds::GlyphOdds;
use crate::anpr::vrm::{Glyph, Vrm};
use crate::clock::UtcTime;

/// How a read matched an entry. In order of worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HitClass {
    /// All characters the same.
    Exact,
    /// The same but for O/0 or I/1.
    LookAlike,
    /// Another mark, that explains the read nearly as well.
    Fuzzy,
    /// A pattern that the mark fits.
    Wildcard,
}

impl HitClass {
    /// The word used in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::LookAlike => "look_alike",
            Self::Fuzzy => "fuzzy",
            Self::Wildcard => "wildcard",
        }
    }
}

/// Which characters a fuzzy match may take for one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Substitutions {
    /// Those that are mistaken for one another as a rule: 8 and B, 5 and S.
    LookAlike,
    /// Any that the eye finds likely enough.
    Any,
}

/// How far a match may go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatchOptions {
    /// Characters that may differ, 0..=2 (beyond O/0 and I/1, which always may). Default 1.
    pub max_substitutions: u8,
    /// Which. Default [`Substitutions::LookAlike`].
    pub substitutions: Substitutions,
    /// Characters that may be missing or too many, 0..=1, beside the substitutions: both may be used up. Default 0.
    pub max_edits: u8,
    /// A fuzzy match needs at least this likelihood ratio, the product of the odds of all that differs. Default 0.02.
    pub min_likelihood_ratio: f32,
}

impl Default for MatchOptions {
    fn default() -> Self {
        Self { max_substitutions: 1, substitutions: Substitutions::LookAlike, max_edits: 0, min_likelihood_ratio: 0.02 }
    }
}

/// What is held against lists: a mark, and what else its characters could be.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// The mark.
    pub vrm: &'a Vrm,
    /// What else it could be.
    pub odds: &'a GlyphOdds,
}

/// A character in which a read and an entry differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Place in the read's mark, counted from 0; for a missing character, that of the one behind it.
    pub place: u8,
    /// What was read; none when the entry has a character more.
    pub read: Option<Glyph>,
    /// What is listed; none when the read has a character more.
    pub listed: Option<Glyph>,
}

/// A read that matches an entry. An entry makes at most one hit of a read: the best way to it counts, and one that matches exactly or
/// as a look-alike is not told as fuzzy too.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// How.
    pub class: HitClass,
    /// The list's id.
    pub list: Arc<str>,
    /// The entry.
    pub entry: Arc<HotlistEntry>,
    /// Where they differ, characters that are drawn alike included; empty for an exact match and for a wildcard.
    pub differs: Vec<Difference>,
    /// How well the listed mark explains what the eye saw, against the mark that was read: 1 for the very mark (and for
    /// look-alikes, which are one drawing, and for wildcards), 0.1 when the read is ten times likelier to be what it was read as.
    /// Above 1 only where grammar overruled the eye.
    pub likelihood_ratio: f32,
    /// In words, why this is a hit.
    pub explanation: String,
}

impl Hotlist {
    /// Adds the entries that the read matches at moment `at` to `hits`, unranked (see [`rank`]). Nothing is allocated for no hit.
    /// It is never earlier than the moment that the list's owner signed it: a clock that says so is wrong.
    pub fn lookup(&self, reading: Reading<'_>, at: UtcTime, options: &MatchOptions, hits: &mut Vec<Hit>) {
        if self.expires().is_some_and(|expires| at >= expires) {
            return;
        }
        let at = self.created().map_or(at, |created| at.max(created));
        for row in self.with_key(Packed::of(reading.vrm)) {
            if self.head(row).is_in_force(at) {
                hits.push(self.hit(row, reading.vrm, Edit::None, Likelihood::Is(1.0)));
            }
        }
        for found in self.fuzzy(reading, at, options) {
            for row in self.with_key(found.key).filter(|row| self.head(*row).is_in_force(at)) {
                hits.push(self.hit(row, reading.vrm, found.edit, Likelihood::Is(found.ratio)));
            }
        }
        for pattern in self.patterns().iter().filter(|p| p.is_in_force(at)) {
            hits.extend(self.wildcard_hit(pattern, reading.vrm));
        }
    }

    /// What a row that matches says.
    pub(super) fn hit(&self, row: usize, read: &Vrm, edit: Edit, likelihood: Likelihood) -> Hit {
        let entry = self.entry(row);
        let key = self.rows().key(row);
        let listed = key.vrm(self.head(row).letters);
        let class = match listed == *read {
            true => HitClass::Exact,
            false if key == Packed::of(read) => HitClass::LookAlike,
            false => HitClass::Fuzzy,
        };
        let differs = differences(read, &listed, edit);
        let explanation = explain::of_marks(read, &listed, class, &differs, likelihood);
        let (Likelihood::Is(ratio) | Likelihood::MustBe(ratio)) = likelihood;
        Hit { class, list: self.id().clone(), entry: Arc::new(entry), differs, likelihood_ratio: ratio, explanation }
    }

    /// The hit of a pattern, if the mark fits.
    pub(super) fn wildcard_hit(&self, entry: &Arc<HotlistEntry>, read: &Vrm) -> Option<Hit> {
        let Wanted::Pattern(pattern) = entry.wanted else { return None };
        pattern.matches(read).then(|| Hit {
            class: HitClass::Wildcard,
            list: self.id().clone(),
            entry: entry.clone(),
            differs: Vec::new(),
            likelihood_ratio: 1.0,
            explanation: format!("{read} fits the listed pattern {pattern}"),
        })
    }
}

/// Most urgent first: by action, then by the most urgent marker, then by priority, then by class, then the likelier one.
pub fn rank(hits: &mut [Hit]) {
    hits.sort_by(compare);
}

/// The order of [`rank`].
pub(super) fn compare(a: &Hit, b: &Hit) -> Ordering {
    let key = |h: &Hit| (h.entry.action, h.entry.marker_urgency(), h.entry.priority, h.class);
    key(a).cmp(&key(b)).then(b.likelihood_ratio.total_cmp(&a.likelihood_ratio))
}

#[cfg(test)]
mod tests {
    use super::super::{Action, HotlistVersion, Priority};
    use super::*;

    fn entry(vrm: &str, action: Action, priority: u8, from: Option<&str>, until: Option<&str>) -> HotlistEntry {
        let wanted = Wanted::Mark(Vrm::parse(vrm).unwrap());
        HotlistEntry {
            valid_from: from.map(|t| UtcTime::parse(t).unwrap()),
            valid_until: until.map(|t| UtcTime::parse(t).unwrap()),
            ..HotlistEntry::new(wanted, action, Priority::new(priority).unwrap())
        }
    }

    #[test]
    fn it_is_never_earlier_than_the_list_and_nothing_of_an_expired_one_matches() {
        let time = |t| UtcTime::parse(t).unwrap();
        let rows = [
            entry("AB12CDE", Action::Stop, 0, None, Some("2026-11-20")),
            entry("AB12CDF", Action::Stop, 0, Some("2026-11-21"), None),
        ];
        let list = Hotlist::new(HotlistVersion { list: "l".into(), version: "7".into() }, &rows).unwrap();
        let list = list.dated(Some(time("2026-11-22")), Some(time("2026-12-20")));
        for (mark, at, hits) in [
            ("AB12CDE", "1970-01-01", 0), // weeded before the list was made: the clock is wrong, not the list
            ("AB12CDF", "1970-01-01", 1),
            ("AB12CDF", "2026-12-19T23:59:59Z", 1),
            ("AB12CDF", "2026-12-20", 0),
        ] {
            let mut found = Vec::new();
            let reading = Reading { vrm: &Vrm::parse(mark).unwrap(), odds: &GlyphOdds::default() };
            list.lookup(reading, time(at), &MatchOptions::default(), &mut found);
            assert_eq!(found.len(), hits, "{mark} at {at}");
        }
    }

    #[test]
    fn the_urgent_comes_first_and_nothing_out_of_date() {
        let hotlist = Hotlist::new(
            HotlistVersion { list: "l".into(), version: "v".into() },
            &[
                entry("AB12CDO", Action::Silent, 3, None, None),
                entry("AB12CD0", Action::Stop, 0, None, None),
                entry("AB12CDO", Action::Silent, 1, None, None),
                entry("AB12CDO", Action::Assess, 3, Some("2026-11-22"), Some("2026-11-23")),
                entry("AB12CDE", Action::Stop, 0, None, None),
            ],
        )
        .unwrap();
        let found = |read: &str, at: &str| {
            let mut hits = Vec::new();
            let reading = Reading { vrm: &Vrm::parse(read).unwrap(), odds: &GlyphOdds::default() };
            hotlist.lookup(reading, UtcTime::parse(at).unwrap(), &MatchOptions::default(), &mut hits);
            rank(&mut hits);
            hits.iter().map(|h| (h.class.as_str(), h.entry.action, h.entry.priority.number())).collect::<Vec<_>>()
        };
        let [exact, alike] = ["exact", "look_alike"];
        let (stop, assess) = ((alike, Action::Stop, 0), (exact, Action::Assess, 3));
        let silent = [(exact, Action::Silent, 1), (exact, Action::Silent, 3)];
        let standing = [&[stop], &silent[..]].concat();
        let full = [&[stop, assess], &silent[..]].concat();
        for (at, expected) in [
            ("2026-11-21T23:59:59.999Z", &standing),
            ("2026-11-22", &full),
            ("2026-11-22T23:59:59.999Z", &full),
            ("2026-11-23", &standing),
        ] {
            assert_eq!(&found("AB12CDO", at), expected, "{at}");
        }
        assert_eq!(found("AB12CDF", "2026-11-22"), []);
    }
}
