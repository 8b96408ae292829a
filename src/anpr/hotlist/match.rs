//! Whether a mark is wanted: exact first, then marks that look the same on the plate.
//!
//! No fuzzy and no wildcard matching here: one character off is another person's car.

use std::sync::Arc;

use super::entry::HotlistEntry;
use super::index::Hotlist;
use crate::anpr::vrm::Vrm;
use crate::clock::UtcTime;

/// How a read matched an entry. In order of worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HitClass {
    /// All characters the same.
    Exact,
    /// The same but for O/0 or I/1.
    LookAlike,
}

impl HitClass {
    /// The word used in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::LookAlike => "look_alike",
        }
    }
}

/// A read that matches an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// How.
    pub class: HitClass,
    /// The list's id.
    pub list: String,
    /// The entry.
    pub entry: Arc<HotlistEntry>,
    /// In words, why this is a hit.
    pub explanation: String,
}

impl Hotlist {
    /// Adds the entries that `read` matches at moment `at` to `hits`: exact ones before look-alikes, in each class the more
    /// urgent action first, then the more urgent priority, then the order of the list. Nothing is allocated for no hit.
    pub fn lookup(&self, read: &Vrm, at: UtcTime, hits: &mut Vec<Hit>) {
        let from = hits.len();
        hits.extend(self.with_key(read.key()).filter(|e| e.is_in_force(at)).map(|entry| Hit {
            class: if entry.vrm == *read { HitClass::Exact } else { HitClass::LookAlike },
            list: self.version().list.clone(),
            entry: Arc::clone(entry),
            explanation: explain(read, &entry.vrm),
        }));
        hits[from..].sort_by_key(|h| (h.class, h.entry.action, h.entry.priority));
    }
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
        HotlistEntry {
            vrm: Vrm::parse(vrm).unwrap(),
            action,
            priority: Priority::new(priority).unwrap(),
            reason: String::new(),
            valid_from: from.map(|t| UtcTime::parse(t).unwrap()),
            valid_until: until.map(|t| UtcTime::parse(t).unwrap()),
        }
    }

    #[test]
    fn exact_comes_first_then_the_urgent_and_nothing_out_of_date() {
        let hotlist = Hotlist::new(
            HotlistVersion { list: "l".into(), version: "v".into() },
            vec![
                entry("AB12CDO", Action::Silent, 3, None, None),
                entry("AB12CD0", Action::Stop, 0, None, None),
                entry("AB12CDO", Action::Silent, 1, None, None),
                entry("AB12CDO", Action::Assess, 3, Some("2026-11-22"), Some("2026-11-23")),
                entry("AB12CDE", Action::Stop, 0, None, None),
            ],
        );
        let found = |read: &str, at: &str| {
            let mut hits = Vec::new();
            hotlist.lookup(&Vrm::parse(read).unwrap(), UtcTime::parse(at).unwrap(), &mut hits);
            hits.iter().map(|h| (h.class.as_str(), h.entry.action, h.entry.priority.number())).collect::<Vec<_>>()
        };
        let [exact, alike] = ["exact", "look_alike"];
        let standing = [(exact, Action::Silent, 1), (exact, Action::Silent, 3), (alike, Action::Stop, 0)];
        let full = [&[(exact, Action::Assess, 3)], &standing[..]].concat();
        for (at, expected) in [
            ("2026-11-21T23:59:59.999Z", &standing[..]),
            ("2026-11-22", &full),
            ("2026-11-22T23:59:59.999Z", &full),
            ("2026-11-23", &standing),
        ] {
            assert_eq!(found("AB12CDO", at), expected, "{at}");
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
