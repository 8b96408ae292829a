//! Tables of examples for every format, and the templates against the `regex` crate.

use std::sync::LazyLock;

use super::*;
use proptest::prelude::*;

fn grammar() -> Grammar {
    Grammar::new(UtcTime::parse("2026-11-22").unwrap())
}

fn vrm(text: &str) -> Vrm {
    Vrm::parse(text).unwrap()
}

#[test]
fn every_format_knows_its_own_marks() {
    let grammar = grammar();
    for (name, marks) in [
        ("gb_current", "AB12CDE LC57XYZ BD02AAA HW76ZZZ"),
        ("gb_prefix", "A1ABC E51ABC P999XYY Y123OOO"),
        ("gb_q", "Q1ABC Q999XYY"),
        ("gb_suffix", "ABC123D OOO1A BAA99Y"),
        ("dateless_ln", "A1 AB1234 ABC1 ABC123 X999 AY1 J1 JSY1"), // the last three are the islands' too, but likelier GB's
        ("dateless_nl", "1A 1234AB 1ABC 999X"),
        ("ni_ln", "AIA1 AZ1234 IA1 YIZ9999 IW12"),
        ("ni_nl", "1AIA 1234AZ 12IL"),
        ("diplomatic", "101D234 999X400"),
        ("trade_2015", "00123 01234"),
        ("trade_old", "012Q 000IQZ"),
        ("iom_current", "BMN123A YMN1B"),
        ("iom_older", "MN1234 MAN1 BMN123 MAN123A A1MAN"),
        ("jersey", "J123456 E12345"),
        ("guernsey", "1 1234"),
        ("gibraltar", "G1234A G0123 G01Q"),
        ("ie_2013", "131D12345 241WX12345"),
        ("ie_1987", "87D12345 02WX12345 12TN12345"),
        ("fr_2009", "AA123AA WW999ZZ"),
        ("fr_old", "1234ABC75 12QQ2A"),
        ("de", "MAB1234H KÖ1"),
        ("es", "1234BCD"),
        ("nl", "12QQQ3 Q123QQ"),
        ("pl", "WI0123A PO1234A"),
        ("ro", "CJ99ABQ B999ABQ AB00CDE"),
        ("bg", "AY1234AB A1234AB"),
        ("lt", "QQI123"),
        ("hu", "AAAA123"),
        ("be", "1ABC234"),
        ("cz", "1A12345"),
        ("sk", "UQ123OI"),
        ("dk", "AB12345"),
        ("se", "QQQ12A"),
        ("ua", "AI1234BI"),
        ("none", "ZZZZZZZZZ 1A1A1A1A1A"),
    ] {
        for mark in marks.split(' ').filter(|m| m.is_ascii()) {
            assert_eq!(grammar.syntax_of(&vrm(mark)).as_str(), name, "{mark}");
        }
    }
}

#[test]
fn a_future_age_fits_no_current_format() {
    let (now, later) = (grammar(), Grammar::new(UtcTime::parse("2027-03-02").unwrap()));
    for (mark, today, then) in [
        ("AB26CDE", "gb_current", "gb_current"),
        ("AB76CDE", "gb_current", "gb_current"),
        ("AB27CDE", "ro", "gb_current"),
        ("AB77CDE", "ro", "ro"),
        ("AB50CDE", "ro", "ro"),
        ("AB01CDE", "ro", "ro"),
    ] {
        assert_eq!(now.syntax_of(&vrm(mark)).as_str(), today, "{mark}");
        assert_eq!(later.syntax_of(&vrm(mark)).as_str(), then, "{mark}");
    }
}

#[test]
fn canonical_settles_twins_by_the_likeliest_format() {
    let grammar = grammar();
    for (text, mark, syntax, undecided) in [
        ("0Y12ODE", "OY12ODE", "gb_current", 0),
        ("ABI2CD0", "AB12CDO", "gb_current", 0),
        ("ABO2CDE", "AB02CDE", "gb_current", 0),
        ("PIABC", "P1ABC", "gb_prefix", 0),
        ("00O10OA", "OOO100A", "gb_suffix", 0),
        ("A1Z1O00", "AIZ1000", "ni_ln", 0),
        ("I0ID234", "101D234", "diplomatic", 0),
        ("ZZZZZZ0I0Z", "ZZZZZZ0I0Z", "none", 0b1_1100_0000),
        ("WI0123A", "WI0123A", "pl", 0b1100),
    ] {
        let canonical = grammar.canonical(&vrm(text));
        assert_eq!(canonical, Canonical { vrm: vrm(mark), syntax: SyntaxId(syntax), undecided }, "{text}");
    }
}

#[test]
fn marks_are_judged_by_the_grammar_of_the_truth() {
    let grammar = grammar();
    for (truth, read, same) in [
        ("AB12CDO", "AB12CDO", true),
        ("AB12CDO", "AB12CD0", false),
        ("AB12CD0", "AB12CDO", true),       // the label was sloppy: grammar knows better
        ("ZZZZZZZZZ0", "ZZZZZZZZZO", true), // nobody can say
        ("AI1", "AI1", true),
        ("AI1", "A11", false),
        ("A11", "AI1", false),
        ("AB12CDE", "AB12CD", false),
        ("AB12CDE", "AB12CDF", false),
    ] {
        assert_eq!(grammar.same_mark(&vrm(truth), &vrm(read)), same, "{truth} {read}");
    }
}

#[test]
fn names_are_unique_and_weights_are_shares() {
    let grammar = grammar();
    let mut names: Vec<_> = grammar.formats().map(SyntaxId::as_str).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), rows().count());
    let sum: f64 = rows().map(|r| r.weight).sum();
    assert!((0.9..=1.0).contains(&sum), "{sum}");
    assert_eq!(grammar.country_of(SyntaxId("ni_ln")), Some(Country::NorthernIreland));
    assert_eq!(grammar.country_of(SyntaxId::NONE), None);
}

static GRAMMAR: LazyLock<Grammar> = LazyLock::new(grammar);

/// Every row as a regular expression and as templates.
static BOTH: LazyLock<Vec<(&'static Row, regex::Regex, Vec<Shape>)>> =
    LazyLock::new(|| rows().map(|r| (r, regex::Regex::new(r.pattern).unwrap(), template::expand(r.pattern).unwrap())).collect());

/// A text near a row's own language: one of its templates filled at random, then perhaps one glyph changed.
fn near_row() -> impl Strategy<Value = String> {
    (0..BOTH.len(), any::<u64>(), prop::option::of(("[A-Z0-9]", 0usize..12))).prop_map(|(row, mut noise, change)| {
        let shapes = &BOTH[row].2;
        let mut next = |n: usize| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(noise >> 33).unwrap() % n
        };
        let shape = &shapes[next(shapes.len())];
        let mut text: Vec<char> = shape
            .iter()
            .map(|set| {
                let glyphs: Vec<_> = Glyph::all().filter(|g| set >> g.index() & 1 == 1).collect();
                glyphs[next(glyphs.len())].as_char()
            })
            .collect();
        if let Some((c, at)) = change {
            let at = at % text.len();
            text[at] = c.chars().next().unwrap();
        }
        text.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn templates_and_regular_expressions_agree(near in near_row(), wild in "[A-Z0-9]{1,12}") {
        for text in [near, wild] {
            for (row, regex, shapes) in BOTH.iter() {
                let by_template = shapes.iter().any(|shape| {
                    shape.len() == text.len()
                        && shape.iter().zip(text.chars()).all(|(set, c)| set >> Glyph::from_char(c).unwrap().index() & 1 == 1)
                });
                prop_assert_eq!(regex.is_match(&text), by_template, "{} {}", row.name, text);
            }
        }
    }

    #[test]
    fn canonical_is_one_for_all_twins_and_settles_itself(text in near_row()) {
        let grammar = &*GRAMMAR;
        let mark = vrm(&text);
        let canonical = grammar.canonical(&mark);
        prop_assert_eq!(canonical.vrm.key(), mark.key());
        prop_assert_eq!(grammar.canonical(&canonical.vrm), canonical);
        prop_assert!(grammar.same_mark(&mark, &mark) || grammar.syntax_of(&mark) == SyntaxId::NONE);
    }
}
