//! What could ever match a mark: for people who ask why there was an alert, or why there was none.
//!
//! Nobody has read anything here, so there are no odds. Every shape that the options allow is taken to be likely enough, and the
//! whole list is walked through: some tens of milliseconds a million rows. Not for the reader's thread.

use super::explain::Likelihood;
use super::fuzzy::Edit;
use super::index::Hotlist;
use super::lookalike::are_alike;
use super::r#match::{Hit, MatchOptions, Substitutions, compare};
use super::packed::Packed;
use super::set::Hotlists;
use crate::anpr::vrm::{Glyph, Vrm};
use crate::clock::UtcTime;

/// A hit that a mark would make, or could.
#[derive(Clone, Debug, PartialEq)]
pub struct Possible {
    /// The hit. That of a fuzzy one has the least likelihood ratio with which it is told.
    pub hit: Hit,
    /// Whether the entry and its list are within their dates.
    pub in_force: bool,
}

impl Hotlists {
    /// All entries that a vehicle with this mark could ever be told as, under these options: those that its key names, those
    /// within reach of a fuzzy match, and patterns; out of date or not. Ranked as [`super::rank`] does, what is in force first among
    /// equals.
    pub fn possible(&self, vrm: &Vrm, at: UtcTime) -> Vec<Possible> {
        let mut found = Vec::new();
        for list in self.lists() {
            list.possible(vrm, at, self.options(), &mut found);
        }
        found.sort_by(|a, b| compare(&a.hit, &b.hit).then(b.in_force.cmp(&a.in_force)));
        found
    }
}

impl Hotlist {
    fn possible(&self, vrm: &Vrm, at: UtcTime, options: &MatchOptions, found: &mut Vec<Possible>) {
        let expired = self.expires().is_some_and(|expires| at >= expires);
        let own = Packed::of(vrm);
        let mut last = (own, Some(Edit::None));
        for row in 0..self.rows().len() {
            let key = self.rows().key(row);
            if key != last.0 {
                last = (key, reach(vrm, &key.vrm(0), options));
            }
            let Some(edit) = last.1 else { continue };
            let likelihood = if key == own { Likelihood::Is(1.0) } else { Likelihood::MustBe(options.min_likelihood_ratio) };
            let in_force = !expired && self.head(row).is_in_force(at);
            found.push(Possible { hit: self.hit(row, vrm, edit, likelihood), in_force });
        }
        for pattern in self.patterns() {
            let in_force = !expired && pattern.is_in_force(at);
            found.extend(self.wildcard_hit(pattern, vrm).map(|hit| Possible { hit, in_force }));
        }
    }
}

/// Whether the options let a mark be told as another one, and with which edit: the one that needs the fewest substitutions.
fn reach(read: &Vrm, listed: &Vrm, options: &MatchOptions) -> Option<Edit> {
    let (read, listed) = (read.glyphs(), listed.glyphs());
    let most = usize::from(options.max_substitutions.min(2));
    let may_edit = options.max_edits > 0;
    let with = |edit, cost: Option<usize>| cost.filter(|cost| *cost <= most).map(|cost| (cost, edit));
    // One long and one short: the long one's character at `place` stands alone.
    let without = |long: &[Glyph], short: &[Glyph], place: usize, edit| {
        let (before, behind) = (long.get(..place)?, long.get(place + 1..)?);
        let (first, second) = short.split_at_checked(place)?;
        with(edit, substitutions(before, first, options).zip(substitutions(behind, second, options)).map(|(a, b)| a + b))
    };
    let places = (0u8..).take(read.len().max(listed.len()));
    let best = match read.len().abs_diff(listed.len()) {
        0 => with(Edit::None, substitutions(read, listed, options)),
        1 if may_edit && read.len() > listed.len() => {
            places.filter_map(|p| without(read, listed, usize::from(p), Edit::Absent(p))).min_by_key(|(cost, _)| *cost)
        }
        1 if may_edit => {
            places.filter_map(|p| without(listed, read, usize::from(p), Edit::Extra(p))).min_by_key(|(cost, _)| *cost)
        }
        _ => None,
    };
    best.map(|(_, edit)| edit)
}

/// How many characters differ; none when one of them may not.
fn substitutions(read: &[Glyph], listed: &[Glyph], options: &MatchOptions) -> Option<usize> {
    let differing = || read.iter().zip(listed).filter(|(r, l)| r.folded() != l.folded());
    let allowed = options.substitutions == Substitutions::Any || differing().all(|(r, l)| are_alike(*r, *l));
    allowed.then(|| differing().count())
}

#[cfg(test)]
mod tests {
    use super::super::{Action, HitClass, HotlistEntry, HotlistVersion, Pattern, Priority, Wanted};
    use super::*;
    use std::sync::Arc;

    #[test]
    fn what_is_within_reach_is_told_in_date_or_not() {
        let mark = |text: &str| HotlistEntry::new(Wanted::Mark(Vrm::parse(text).unwrap()), Action::Stop, Priority::P0);
        let old = HotlistEntry { valid_until: UtcTime::parse("2020-01-01"), ..mark("AB12CDO") };
        let pattern = HotlistEntry::new(Wanted::Pattern(Pattern::parse("AB*").unwrap()), Action::Silent, Priority::P3);
        let rows =
            [mark("AB12CD0"), old, mark("A812CDO"), mark("A812CD8"), mark("AX12CDO"), mark("AB12C0"), mark("AB12CDOO"), pattern];
        let version = HotlistVersion { list: "l".into(), version: "1".into() };
        let list = Arc::new(Hotlist::new(version, &rows).unwrap());
        let told = |options: MatchOptions| {
            let lists = Hotlists::new(vec![list.clone()], options);
            let possible = lists.possible(&Vrm::parse("AB12CDO").unwrap(), UtcTime::parse("2026-11-22").unwrap());
            possible.iter().map(|p| format!("{} {} {}", p.hit.class.as_str(), p.hit.entry.wanted, p.in_force)).collect::<Vec<_>>()
        };
        let near = ["exact AB12CDO false", "look_alike AB12CD0 true", "fuzzy A812CDO true", "wildcard AB* true"];
        assert_eq!(told(MatchOptions::default()), near);
        let wide =
            MatchOptions { max_substitutions: 2, substitutions: Substitutions::Any, max_edits: 1, ..MatchOptions::default() };
        assert_eq!(told(wide).len(), 8);
        let none = MatchOptions { max_substitutions: 0, ..MatchOptions::default() };
        assert_eq!(told(none), [near[0], near[1], near[3]]);
        let lists = Hotlists::new(vec![list.clone()], MatchOptions::default());
        let fuzzy = lists
            .possible(&Vrm::parse("AB12CDO").unwrap(), UtcTime::default())
            .into_iter()
            .find(|p| p.hit.class == HitClass::Fuzzy);
        let hit = fuzzy.unwrap().hit;
        assert_eq!(
            (hit.likelihood_ratio, hit.explanation.as_str()),
            (
                0.02,
                "AB12CDO may be the listed A812CDO: character 2 read as B, listed as 8 \
                 (told when the read is at most 50 times likelier to be what was read)"
            )
        );
    }
}
