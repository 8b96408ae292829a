//! Whether a mark is wanted, how it matches, and why.

use std::sync::Arc;

use super::entry::{HotlistEntry, Wanted};
use super::index::Hotlist;
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
    /// Characters that may be missing or too many, 0..=1. Default 0.
    pub max_edits: u8,
    /// A fuzzy match needs at least this likelihood ratio. Default 0.02.
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

/// A read that matches an entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// How.
    pub class: HitClass,
    /// The list's id.
    pub list: Arc<str>,
    /// The entry.
    pub entry: Arc<HotlistEntry>,
    /// Where they differ; empty for an exact match and for a wildcard.
    pub differs: Vec<Difference>,
    /// How well the listed mark explains what the eye saw, against the mark that was read: 1 for the very mark (and for
    /// look-alikes, which are one drawing), 0.1 when the read is ten times likelier to be what it was read as.
    pub likelihood_ratio: f32,
    /// In words, why this is a hit.
    pub explanation: String,
}

impl Hotlist {
    /// Adds the entries that the read matches at moment `at` to `hits`, unranked (see [`rank`]). Nothing is allocated for no hit.
    pub fn lookup(&self, reading: Reading<'_>, at: UtcTime, _options: &MatchOptions, hits: &mut Vec<Hit>) {
        if self.expires().is_some_and(|expires| at >= expires) {
            return;
        }
        let Reading { vrm: read, .. } = reading;
        for entry in self.with_key(read.key()).filter(|e| e.is_in_force(at)) {
            let Some(listed) = entry.wanted.mark().copied() else { continue };
            hits.push(Hit {
                class: if listed == *read { HitClass::Exact } else { HitClass::LookAlike },
                list: self.version().list.as_str().into(),
                entry: Arc::new(entry),
                differs: differences(read, &listed),
                likelihood_ratio: 1.0,
                explanation: explain(read, &listed),
            });
        }
        for entry in self.patterns().filter(|e| e.is_in_force(at)) {
            let Wanted::Pattern(pattern) = entry.wanted else { continue };
            if pattern.matches(read) {
                hits.push(Hit {
                    class: HitClass::Wildcard,
                    list: self.version().list.as_str().into(),
                    entry: Arc::new(entry),
                    differs: Vec::new(),
                    likelihood_ratio: 1.0,
                    explanation: format!("{read} fits the listed pattern {pattern}"),
                });
            }
        }
    }
}

/// Most urgent first: by action, then by the most urgent marker, then by priority, then by class, then the likelier one.
pub fn rank(hits: &mut [Hit]) {
    hits.sort_by(|a, b| {
        let key = |h: &Hit| (h.entry.action, h.entry.marker_urgency(), h.entry.priority, h.class);
        key(a).cmp(&key(b)).then(b.likelihood_ratio.total_cmp(&a.likelihood_ratio))
    });
}

fn differences(read: &Vrm, listed: &Vrm) -> Vec<Difference> {
    let pairs = (0u8..).zip(read.glyphs().iter().zip(listed.glyphs()));
    pairs.filter(|(_, (r, l))| r != l).map(|(place, (r, l))| Difference { place, read: Some(*r), listed: Some(*l) }).collect()
}

/// Why two marks with one key match. The words go to people who must decide whether to stop a car.
fn explain(read: &Vrm, listed: &Vrm) -> String {
    let differing = read.glyphs().iter().zip(listed.glyphs()).enumerate().filter(|(_, (r, l))| r != l);
    let places: Vec<_> = differing.map(|(i, (r, l))| format!("character {} read as {r}, listed as {l}", i + 1)).collect();
    if places.is_empty() {
        format!("{read} is the listed mark, character by character")
    } else {
        format!("{read} looks like the listed {listed}: {} (drawn alike on UK plates)", places.join("; "))
    }
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

    #[test]
    fn a_look_alike_names_the_characters() {
        let said = explain(&Vrm::parse("AI1O").unwrap(), &Vrm::parse("A110").unwrap());
        assert_eq!(
            said,
            "AI1O looks like the listed A110: character 2 read as I, listed as 1; character 4 read as O, listed as 0 (drawn alike on UK plates)"
        );
    }
}
