//! What lists promise, on lists and reads that are made to collide: the same hits as a naive scan, the same rows as went in.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::anpr::odds::GlyphOdds;
use crate::anpr::vrm::{Glyph, Vrm};
use crate::clock::UtcTime;

fn version(list: &str) -> HotlistVersion {
    HotlistVersion { list: list.into(), version: "1".into() }
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

/// Moments few enough that dates begin, end and meet.
fn moment() -> impl Strategy<Value = UtcTime> {
    (0i64..6).prop_map(|n| UtcTime::from_micros(n * 43_200_000_000))
}

/// Marks of few shapes, short, so that most have neighbours.
fn mark() -> impl Strategy<Value = Vrm> {
    prop_oneof![
        4 => prop::sample::select(vec!["A8O1", "AB01", "4BOI", "A81", "AB0I1", "ABO", "8B01", "AL01", "AD01", "ADL1", "B", "AAB", "ABB"]).prop_map(str::to_owned),
        3 => "[AB][48B][0OD][1IL]{0,2}",
        1 => "[AB48O0DI1L]{1,4}",
        1 => "[AB]{11}[0O8B]?",
    ]
    .prop_map(|text| Vrm::parse(&text).unwrap())
}

fn wanted() -> impl Strategy<Value = Wanted> {
    prop_oneof![
        15 => mark().prop_map(Wanted::Mark),
        1 => prop::sample::select(vec!["A*1", "?B01", "*B?", "A8?*", "*O1"]).prop_map(|p| Wanted::Pattern(Pattern::parse(p).unwrap())),
    ]
}

/// Texts that are shared, unique, empty, long, or not ASCII.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just(String::new()),
        3 => prop::sample::select(vec!["FORD", "stolen", "ë", "BLUE"]).prop_map(str::to_owned),
        2 => "\\PC{0,12}",
        1 => (200usize..400).prop_map(|n| "long ".repeat(n)),
    ]
}

fn entry() -> impl Strategy<Value = HotlistEntry> {
    let dates = (prop::option::weighted(0.2, moment()), prop::option::weighted(0.2, moment()));
    (wanted(), 0usize..4, 0u8..4, dates).prop_map(|(wanted, action, priority, dates)| HotlistEntry {
        valid_from: dates.0,
        valid_until: dates.1,
        ..HotlistEntry::new(wanted, Action::ALL[action], Priority::new(priority).unwrap())
    })
}

/// An entry with something in any of its fields.
fn full_entry() -> impl Strategy<Value = HotlistEntry> {
    let markers = prop::collection::vec("[A-Z]{2}".prop_map(|code| Marker::parse(&code).unwrap()), 0..4);
    let dates = (prop::option::of(any::<i64>()), prop::option::of(moment()));
    (entry(), markers, text(), dates, prop::collection::vec(text(), Detail::COUNT)).prop_map(
        |(mut entry, markers, reason, dates, texts)| {
            (entry.markers, entry.reason) = (markers, reason);
            (entry.valid_from, entry.valid_until) = (dates.0.map(UtcTime::from_micros), dates.1);
            Detail::ALL.into_iter().zip(texts).for_each(|(detail, text)| entry.details.set(detail, text));
            entry
        },
    )
}

/// Odds that are powers of two, so that a product is the same in any order. Some shapes twice, some the read's own, some places
/// past the end of the mark.
fn odds() -> impl Strategy<Value = GlyphOdds> {
    let glyph = || prop::sample::select(vec!['A', '4', '8', 'B', '0', 'O', 'D', '1', 'L', 'I']);
    let power = || (-7i32..2).prop_map(|n| 2.0f32.powi(n));
    let others = prop::collection::vec((0usize..5, glyph(), power()), 0..14);
    let absent = prop::collection::vec((0usize..5, power()), 0..4);
    let extra = prop::collection::vec((0u8..6, glyph(), power()), 0..4);
    (others, absent, extra).prop_map(|(others, absent, extra)| {
        let mut odds = GlyphOdds::default();
        let shape = |c| Glyph::from_char(c).unwrap();
        others.into_iter().for_each(|(place, c, p)| odds.add_other(place, shape(c), p));
        absent.into_iter().for_each(|(place, p)| odds.set_absent(place, p));
        extra.into_iter().for_each(|(after, c, p)| odds.add_extra(after, shape(c), p));
        odds
    })
}

fn options() -> impl Strategy<Value = MatchOptions> {
    let substitutions = prop::sample::select(vec![Substitutions::LookAlike, Substitutions::Any]);
    (0u8..=2, substitutions, 0u8..=1, prop::sample::select(vec![0.0, 0.02, 0.125, 0.5, 1.0])).prop_map(
        |(max_substitutions, substitutions, max_edits, min_likelihood_ratio)| MatchOptions {
            max_substitutions,
            substitutions,
            max_edits,
            min_likelihood_ratio,
        },
    )
}

/// What a naive reader of the rules finds in an entry: by laying the two texts side by side in every way there is.
struct Naive<'a> {
    read: &'a [char],
    listed: &'a [char],
    odds: &'a GlyphOdds,
    any: bool,
}

impl Naive<'_> {
    /// The best product of odds over all ways from the read's `i`th and the listed `j`th character on.
    fn best(&self, i: usize, j: usize, substitutions: u8, edits: u8) -> Option<f32> {
        if i == self.read.len() && j == self.listed.len() {
            return Some(1.0);
        }
        let mut ways = Vec::new();
        if let (Some(read), Some(listed)) = (self.read.get(i), self.listed.get(j)) {
            if read == listed {
                ways.push(self.best(i + 1, j + 1, substitutions, edits));
            } else if substitutions > 0 && (self.any || often_mistaken(*read, *listed)) {
                for other in self.odds.others(i).filter(|o| o.shape.as_char() == *listed) {
                    ways.push(self.best(i + 1, j + 1, substitutions - 1, edits).map(|p| p * other.odds));
                }
            }
        }
        if edits > 0 {
            if i < self.read.len() && self.odds.absent(i) > 0.0 {
                ways.push(self.best(i + 1, j, substitutions, 0).map(|p| p * self.odds.absent(i)));
            }
            for extra in self.odds.extra().filter(|e| usize::from(e.after) == i && self.listed.get(j) == Some(&e.shape.as_char()))
            {
                ways.push(self.best(i, j + 1, substitutions, 0).map(|p| p * extra.odds));
            }
        }
        ways.into_iter().flatten().max_by(f32::total_cmp)
    }
}

fn often_mistaken(a: char, b: char) -> bool {
    let pairs = "2Z 5S 8B 6G 4A 7T 0D 0Q DQ BR CG EF KX MN MH HN UV VY PF 1L 1T 1J";
    pairs.split(' ').any(|pair| [format!("{a}{b}"), format!("{b}{a}")].iter().any(|p| p == pair))
}

/// O and 0, I and 1 as one.
fn drawn(text: &str) -> Vec<char> {
    text.chars().map(|c| if c == 'O' { '0' } else { c }).map(|c| if c == 'I' { '1' } else { c }).collect()
}

fn fits(pattern: &[char], text: &[char]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some(('*', rest)), _) => fits(rest, text) || text.split_first().is_some_and(|(_, t)| fits(pattern, t)),
        (Some((p, rest)), Some((t, text))) => (p == t || *p == '?') && fits(rest, text),
        _ => false,
    }
}

/// Class and ratio, if it is a hit.
fn naive(entry: &HotlistEntry, reading: Reading<'_>, at: UtcTime, options: &MatchOptions) -> Option<(HitClass, f32)> {
    let early = entry.valid_from.is_some_and(|from| at < from);
    if early || entry.valid_until.is_some_and(|until| at >= until) {
        return None;
    }
    let (read, listed) = (reading.vrm.to_string(), entry.wanted.to_string());
    let (read_drawn, listed_drawn) = (drawn(&read), drawn(&listed));
    if matches!(entry.wanted, Wanted::Pattern(_)) {
        return fits(&listed_drawn, &read_drawn).then_some((HitClass::Wildcard, 1.0));
    }
    if read_drawn == listed_drawn {
        return Some((if read == listed { HitClass::Exact } else { HitClass::LookAlike }, 1.0));
    }
    let any = options.substitutions == Substitutions::Any;
    let ways = Naive { read: &read_drawn, listed: &listed_drawn, odds: reading.odds, any };
    let ratio = ways.best(0, 0, options.max_substitutions, options.max_edits)?;
    (ratio >= options.min_likelihood_ratio).then_some((HitClass::Fuzzy, ratio))
}

/// The listed mark, from the read and what a hit says differs.
fn rebuilt(read: &Vrm, differs: &[Difference]) -> String {
    let mut text = String::new();
    for place in 0..=read.len() {
        let here = || differs.iter().filter(|d| usize::from(d.place) == place);
        text.extend(here().filter(|d| d.read.is_none()).filter_map(|d| d.listed).map(Glyph::as_char));
        let Some(glyph) = read.glyphs().get(place) else { continue };
        match here().find(|d| d.read.is_some()) {
            Some(differs) => {
                assert_eq!(differs.read, Some(*glyph));
                text.extend(differs.listed.map(Glyph::as_char));
            }
            None => text.push(glyph.as_char()),
        }
    }
    text
}

/// How many times each row is there.
fn counted(rows: impl IntoIterator<Item = HotlistEntry>) -> HashMap<HotlistEntry, usize> {
    let mut counts = HashMap::new();
    rows.into_iter().for_each(|row| *counts.entry(row).or_insert(0) += 1);
    counts
}

/// Reads a set of lists is held against. With the cases below, 100,000 reads and sets of lists.
const READS: usize = 50;

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn the_hits_are_those_of_a_naive_scan(
        lists in prop::collection::vec((prop::collection::vec(entry(), 0..14), prop::option::weighted(0.2, moment())), 0..4),
        reads in prop::collection::vec((mark(), odds(), moment()), READS),
        options in options(),
    ) {
        // Each row has a number of its own, in a text that matching doesn't look at.
        let numbered: Vec<Vec<HotlistEntry>> = lists.iter().map(|(rows, _)| {
            let number = |(n, row): (usize, &HotlistEntry)| HotlistEntry { reason: n.to_string(), ..row.clone() };
            rows.iter().enumerate().map(number).collect()
        }).collect();
        let built = numbered.iter().zip(&lists).enumerate().map(|(n, (rows, (_, expires)))| {
            Arc::new(Hotlist::new(version(&n.to_string()), rows).unwrap().dated(None, *expires))
        });
        let hotlists = Hotlists::new(built.collect(), options);
        let mut hits = Vec::new();
        for (vrm, odds, at) in &reads {
            let (reading, at) = (Reading { vrm, odds }, *at);
            let mut expected = Vec::new();
            for (n, (rows, (_, expires))) in numbered.iter().zip(&lists).enumerate() {
                for row in rows.iter().filter(|_| expires.is_none_or(|expires| at < expires)) {
                    if let Some((class, ratio)) = naive(row, reading, at, &options) {
                        expected.push((n.to_string(), row.reason.clone(), class, ratio.to_bits()));
                    }
                }
            }
            expected.sort();
            hotlists.lookup(reading, at, &mut hits);
            let mut found: Vec<_> = hits.iter().map(|h| (h.list.to_string(), h.entry.reason.clone(), h.class, h.likelihood_ratio.to_bits())).collect();
            found.sort();
            prop_assert_eq!(found, expected, "{} {:?}", vrm, options);
            let order = |h: &Hit| (h.entry.action, h.entry.marker_urgency(), h.entry.priority, h.class);
            prop_assert!(hits.is_sorted_by(|a, b| order(a) < order(b) || order(a) == order(b) && a.likelihood_ratio >= b.likelihood_ratio));
            for hit in hits.iter().filter(|h| h.class != HitClass::Wildcard) {
                prop_assert_eq!(rebuilt(vrm, &hit.differs), hit.entry.wanted.to_string());
            }
            // What is told is possible.
            if let Some(hit) = hits.first() {
                let possible = hotlists.possible(vrm, at);
                prop_assert!(possible.iter().any(|p| p.in_force && p.hit.entry == hit.entry && p.hit.class == hit.class));
            }
        }
    }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn every_field_comes_back_and_the_order_of_arrival_does_not_matter(rows in prop::collection::vec(full_entry(), 0..40)) {
        let built = Hotlist::new(version("l"), &rows).unwrap();
        let mut sorted: Vec<_> = rows.iter().filter(|r| r.wanted.mark().is_some()).cloned().collect();
        sorted.sort_by_key(|row| row.wanted.mark().unwrap().key());
        sorted.extend(rows.iter().filter(|r| r.wanted.mark().is_none()).cloned());
        prop_assert_eq!(built.len(), rows.len());
        prop_assert_eq!(built.iter().collect::<Vec<_>>(), sorted.clone());
        let again = Hotlist::new(version("l"), &sorted).unwrap();
        prop_assert_eq!(again.iter().collect::<Vec<_>>(), sorted);
        prop_assert_eq!(again.is_empty(), rows.is_empty());
    }

    #[test]
    fn a_delta_makes_what_a_person_would_make(
        rows in prop::collection::vec(full_entry(), 0..24),
        twice in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        go in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        add in prop::collection::vec(full_entry(), 0..8),
        missing in prop::collection::vec(full_entry(), 0..2),
    ) {
        let mut rows = rows;
        if !rows.is_empty() {
            let copies: Vec<_> = twice.iter().map(|i| i.get(&rows).clone()).collect();
            rows.extend(copies);
        }
        let list = Hotlist::new(version("l"), &rows).unwrap();
        let mut left = counted(rows.clone());
        let go: Vec<_> = go.iter().filter(|_| !rows.is_empty()).map(|i| i.get(&rows).clone()).chain(missing).collect();
        let absent = go.iter().filter(|row| match left.get_mut(*row) {
            Some(count) if *count > 0 => { *count -= 1; false }
            _ => true,
        }).count();
        let delta = Delta { remove: go, add: add.clone() };
        match list.changed(&delta, version("m")) {
            Err(why) => {
                prop_assert!(absent > 0);
                prop_assert_eq!(why, DeltaError::NotThere(absent));
            }
            Ok(changed) => {
                prop_assert_eq!(absent, 0);
                add.into_iter().for_each(|row| *left.entry(row).or_insert(0) += 1);
                left.retain(|_, count| *count > 0);
                prop_assert_eq!(changed.len(), left.values().sum::<usize>());
                prop_assert_eq!(counted(changed.iter()), left);
                // As a list that was built whole has them, and found as there.
                let whole = Hotlist::new(version("m"), &changed.iter().collect::<Vec<_>>()).unwrap();
                prop_assert_eq!(whole.iter().collect::<Vec<_>>(), changed.iter().collect::<Vec<_>>());
                for row in changed.iter() {
                    if let Wanted::Mark(vrm) = row.wanted {
                        let at = row.valid_from.unwrap_or_default();
                        let (mut one, mut other) = (Vec::new(), Vec::new());
                        let reading = Reading { vrm: &vrm, odds: &GlyphOdds::default() };
                        changed.lookup(reading, at, &MatchOptions::default(), &mut one);
                        whole.lookup(reading, at, &MatchOptions::default(), &mut other);
                        prop_assert_eq!(one, other);
                    }
                }
            }
        }
    }

    #[test]
    fn deltas_that_are_joined_do_what_they_do_one_after_the_other(
        pool in prop::collection::vec(full_entry(), 1..6),
        start in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        steps in prop::collection::vec(
            (prop::collection::vec(any::<prop::sample::Index>(), 0..4), prop::collection::vec(any::<prop::sample::Index>(), 0..4)),
            0..7,
        ),
    ) {
        let of = |places: &[prop::sample::Index]| places.iter().map(|i| i.get(&pool).clone()).collect::<Vec<_>>();
        let first = Hotlist::new(version("l"), &of(&start)).unwrap();
        let (mut now, mut deltas) = (first.clone(), Vec::new());
        for (remove, add) in &steps {
            let delta = Delta { remove: of(remove), add: of(add) };
            // Only what can be done one after the other is held against the sum.
            if let Ok(next) = now.changed(&delta, version("l")) {
                now = next;
                deltas.push(delta);
            }
        }
        let mut folded = Delta::default();
        deltas.iter().for_each(|delta| folded.then(delta.clone()));
        for joined in [folded, Delta::of_steps(deltas)] {
            let at_once = first.changed(&joined, version("l")).unwrap();
            prop_assert_eq!(counted(at_once.iter()), counted(now.iter()));
        }
    }
}

#[test]
fn the_same_mark_ten_thousand_times_is_no_trouble() {
    let row = |n: usize| {
        let wanted = Wanted::Mark(Vrm::parse(if n.is_multiple_of(2) { "AB12CDO" } else { "AB12CD0" }).unwrap());
        HotlistEntry { reason: (n / 4).to_string(), ..HotlistEntry::new(wanted, Action::Stop, Priority::P0) }
    };
    let rows: Vec<_> = (0..10_000).map(row).collect();
    let list = Hotlist::new(version("l"), &rows).unwrap();
    assert!(list.iter().eq(rows.iter().cloned()), "in the order they came");
    let mut hits = Vec::new();
    let vrm = Vrm::parse("A812CDO").unwrap();
    let mut odds = GlyphOdds::default();
    odds.add_other(1, Glyph::from_char('B').unwrap(), 0.5);
    list.lookup(Reading { vrm: &vrm, odds: &odds }, UtcTime::default(), &MatchOptions::default(), &mut hits);
    assert_eq!(hits.len(), rows.len());
    let delta = Delta { remove: rows[..9_999].to_vec(), add: vec![rows[0].clone()] };
    assert_eq!(list.changed(&delta, version("l")).unwrap().len(), 2);
    let mut nothing = Delta { remove: Vec::new(), add: rows.clone() };
    nothing.then(Delta { remove: rows, add: Vec::new() });
    assert_eq!(nothing, Delta::default());
}

#[test]
fn a_list_that_says_it_is_huge_gets_no_memory_for_it() {
    for rows in [0, usize::MAX, 1 << 40] {
        let mut builder = HotlistBuilder::with_capacity(rows);
        builder.push(&HotlistEntry::new(Wanted::Mark(Vrm::parse("A1").unwrap()), Action::Stop, Priority::P0)).unwrap();
        let list = builder.finish(version("l"));
        assert!(list.size_bytes() < 2000, "{}", list.size_bytes());
    }
}
