//! What the decoder promises: certain glyphs stand, confidence is a probability, junk stays junk.

use super::*;
use crate::anpr::read::Slot;
use crate::clock::UtcTime;
use proptest::prelude::*;

fn decoder() -> Decoder {
    Decoder::new(Grammar::new(UtcTime::parse("2026-11-22").unwrap()), DecodeOptions::default())
}

/// A slot from `glyph=probability` pairs; the rest is spread evenly.
fn slot(pairs: &[(char, f32)], presence: f32) -> Slot {
    let rest = 1.0 - pairs.iter().map(|(_, p)| p).sum::<f32>();
    let mut weights = [rest.max(0.0) / 36.0; GLYPHS];
    for (c, p) in pairs {
        weights[Glyph::from_char(*c).unwrap().index()] += p;
    }
    Slot::new(weights, presence)
}

/// Slots of a text, each glyph with probability `p`.
fn sharp(text: &str, p: f32) -> Vec<Slot> {
    text.chars().map(|c| slot(&[(c, p)], 0.9999)).collect()
}

fn decode(slots: Vec<Slot>) -> Decoded {
    decoder().decode(&PlateRead::from_slots(slots)).expect("something to decode")
}

#[test]
fn sharp_reads_decode_to_themselves_whatever_twin_the_reader_said() {
    for (seen, mark, syntax) in [
        ("AB12CDE", "AB12CDE", "gb_current"),
        ("0I12C0E", "OI12COE", "ro"), // no I in a GB memory tag
        ("0Y02ODE", "OY02ODE", "gb_current"),
        ("OYO2ODE", "OY02ODE", "gb_current"),
        ("ABI2CDE", "AB12CDE", "gb_current"),
        ("PI0O0DE", "P100ODE", "gb_prefix"),
        ("00OI23D", "OOO123D", "gb_suffix"),
        ("A1Z1234", "AIZ1234", "ni_ln"),
        ("I0IX2I1", "101X211", "diplomatic"),
        ("ZZZZZZZZZ", "ZZZZZZZZZ", "none"),
    ] {
        let decoded = decode(sharp(seen, 0.995));
        assert_eq!((decoded.vrm.to_string().as_str(), decoded.syntax.as_str()), (mark, syntax), "{seen}");
        assert_eq!((decoded.repaired, decoded.raw.to_string().as_str()), (0, seen));
        // A reader that contradicts the format on every twin makes it less sure, not other.
        let floor = if seen == mark { 0.9 } else { 0.5 };
        assert!(decoded.confidence > floor, "{seen}: {}", decoded.confidence);
    }
}

#[test]
fn grammar_tips_a_doubtful_glyph_and_says_so() {
    let mut slots = sharp("AB12CDE", 0.99);
    slots[0] = slot(&[('4', 0.6), ('A', 0.38)], 0.9999);
    let decoded = decode(slots);
    assert_eq!((decoded.vrm.to_string().as_str(), decoded.raw.to_string().as_str()), ("AB12CDE", "4B12CDE"));
    assert_eq!(decoded.repaired, 1);
    assert!(decoded.confidence < 0.9, "{}", decoded.confidence);
    assert_eq!(decoded.alternatives[0].unwrap().vrm.to_string(), "4B12CDE");
}

#[test]
fn where_a_shape_fits_two_formats_the_likelier_wins_and_the_reader_is_heard() {
    // GB first, whatever the reader says; but it is surer when the reader agrees than when it sees a Slovak or a suffix mark.
    for (agrees, differs, mark) in [("OY02ODE", "OY020DE", "OY02ODE"), ("AA02OOA", "AAO200A", "AA02OOA")] {
        let (sure, less) = (decode(sharp(agrees, 0.99)), decode(sharp(differs, 0.99)));
        assert_eq!((sure.vrm.to_string().as_str(), less.vrm.to_string().as_str()), (mark, mark));
        assert!(sure.confidence > 0.9 && less.confidence < sure.confidence, "{mark}: {} {}", sure.confidence, less.confidence);
    }
}

#[test]
fn a_bolt_is_passed_over_when_that_makes_a_mark() {
    let mut slots = sharp("AB12CDE", 0.98);
    slots.insert(4, slot(&[('I', 0.5), ('1', 0.4)], 0.4));
    let decoded = decode(slots);
    assert_eq!(decoded.vrm.to_string(), "AB12CDE");
    assert!(decoded.confidence > 0.5, "{}", decoded.confidence);

    let mut slots = sharp("AB12CDE", 0.98);
    slots[3] = slot(&[('2', 0.98)], 0.3);
    let decoded = decode(slots);
    assert_eq!((decoded.vrm.to_string().as_str(), decoded.repaired), ("AB12CDE", 0b1000));
}

#[test]
fn odds_say_what_else_each_character_could_be() {
    let mut slots = sharp("AB12CDE", 0.999);
    slots[1] = slot(&[('B', 0.7), ('8', 0.2), ('R', 0.08)], 0.9);
    slots[4] = slot(&[('C', 0.6), ('O', 0.15), ('0', 0.1), ('G', 0.14)], 0.9999);
    slots.insert(4, slot(&[('I', 0.5), ('1', 0.4), ('L', 0.09)], 0.4));
    let decoded = decode(slots);
    assert_eq!(decoded.vrm.to_string(), "AB12CDE");
    let near = |a: f32, b: f32| (a / b - 1.0).abs() < 0.02;
    let others = |place: usize| decoded.odds.others(place).map(|o| (o.shape.as_char(), o.odds)).collect::<Vec<_>>();
    let [eight, r] = others(1)[..2] else { panic!("{:?}", others(1)) };
    assert!(eight.0 == '8' && near(eight.1, 0.2 / 0.7) && r.0 == 'R' && near(r.1, 0.08 / 0.7), "{:?}", others(1));
    // O and 0 are one shape, likelier than G.
    let [zero, g] = others(4)[..2] else { panic!("{:?}", others(4)) };
    assert!(zero.0 == '0' && near(zero.1, 0.25 / 0.6) && g.0 == 'G', "{:?}", others(4));
    assert!(near(decoded.odds.absent(1), 0.1 / (0.9 * 0.7)) && decoded.odds.absent(0) < 1.1e-4, "{:?}", decoded.odds);
    // The bolt may be a character after all.
    let extra: Vec<_> = decoded.odds.extra().map(|e| (e.after, e.shape.as_char(), e.odds)).collect();
    assert!(matches!(extra[..], [(4, '1', odds), (4, 'L', _), ..] if near(odds, 0.4 * 0.9 / 0.6)), "{extra:?}");
}

#[test]
fn truncated_marks_stay_what_the_eye_saw() {
    // Grammar must not invent the letter that the frame's edge cut off.
    for text in ["AB12CD", "B12CDE", "AB12"] {
        assert_eq!(decode(sharp(text, 0.99)).vrm.to_string(), text);
    }
}

#[test]
fn nothing_seen_is_nothing_decoded() {
    assert!(decoder().decode(&PlateRead::from_slots([])).is_none());
    assert!(decoder().decode(&PlateRead::from_slots([slot(&[('A', 0.9)], 0.2)])).is_none());
    assert!(decoder().decode(&PlateRead::from_slots(sharp("ABCDEFGHIJKLM", 0.9))).is_none());
}

fn any_slot() -> impl Strategy<Value = Slot> {
    (prop::collection::vec(0.0f32..1.0, 36), 0.5f32..40.0, 0.0f32..=1.0).prop_map(|(weights, sharpness, presence)| {
        let mut array = [0.0; GLYPHS];
        array.iter_mut().zip(weights).for_each(|(a, w)| *a = w.powf(sharpness));
        Slot::new(array, presence)
    })
}

fn any_valid_mark() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-HJ-PR-Y]{2}(0[2-9]|1[0-9]|2[0-6]|5[1-9]|6[0-9]|7[0-6])[A-HJ-PR-Z]{3}",
        "[A-HJ-NPR-TV-Y][1-9][0-9]{0,2}[A-HJ-PR-Y]{3}",
        "[A-HJ-PR-Y]{3}[1-9][0-9]{0,2}[A-HJ-NPR-TV-Y]",
    ]
}

#[test]
fn no_usual_length_outbids_a_slot_that_the_eye_is_sure_of() {
    // Nine characters are rarer than eight, and some formats of eight fit what is left.
    let slots = [('O', 1.0), ('C', 1.0), ('0', 0.99), ('0', 0.99), ('2', 1.0), ('0', 0.99), ('O', 1.0), ('X', 1.0), ('A', 0.99)];
    let read = PlateRead::from_slots(slots.map(|(c, presence)| slot(&[(c, 0.991)], presence)));
    assert_eq!(decoder().decode(&read).unwrap().vrm.len(), 9);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn beliefs_are_shares(slots in prop::collection::vec(any_slot(), 1..=14)) {
        if let Some(decoded) = decoder().decode(&PlateRead::from_slots(slots)) {
            let all = std::iter::once(decoded.confidence).chain(decoded.alternatives.iter().flatten().map(|c| c.confidence));
            prop_assert!(all.clone().all(|c| (0.0..=1.0).contains(&c)));
            prop_assert!(all.sum::<f32>() <= 1.0 + 1e-4);
            let mut keys: Vec<_> = decoded.alternatives.iter().flatten().map(|c| c.vrm.key()).collect();
            keys.push(decoded.vrm.key());
            keys.sort_unstable();
            keys.dedup();
            prop_assert_eq!(keys.len(), 1 + decoded.alternatives.iter().flatten().count());
            prop_assert!(u32::from(decoded.repaired) < 1 << decoded.vrm.len());
            for place in 0..Vrm::MAX {
                let others: Vec<_> = decoded.odds.others(place).collect();
                prop_assert!(others.is_sorted_by(|a, b| a.odds >= b.odds) && others.iter().all(|o| o.odds >= 0.99e-4));
                // No shape twice, the winner's own not at all.
                let mut shapes: Vec<_> = decoded.vrm.glyphs().get(place).map(|g| g.folded()).into_iter().collect();
                prop_assert!(others.is_empty() || !shapes.is_empty());
                shapes.extend(others.iter().map(|o| o.shape));
                shapes.sort_unstable();
                prop_assert!(shapes.is_sorted_by(|a, b| a < b) && shapes.iter().all(|s| s.folded() == *s));
            }
            prop_assert!(decoded.odds.extra().all(|e| usize::from(e.after) <= decoded.vrm.len() && e.odds >= 0.99e-4));
        }
    }

    #[test]
    fn a_certain_glyph_is_never_changed(
        mut slots in prop::collection::vec(any_slot(), 1..=12),
        certain in prop::collection::vec((0usize..36, 0usize..12, 0.99f32..=1.0, 0.99f32..=1.0), 1..12),
    ) {
        slots.iter_mut().for_each(|s| s.presence = if s.presence < 0.5 { 0.0 } else { 1.0 });
        let n = slots.len();
        for (glyph, at, p, presence) in &certain {
            let glyph = Glyph::from_index(*glyph).unwrap();
            slots[at % n] = slot(&[(glyph.as_char(), p + (1.0 - p) * 0.1)], *presence);
        }
        let read = PlateRead::from_slots(slots.clone());
        let decoded = decoder().decode(&read).unwrap();
        // The certain glyphs stand in the winner, in order, at the places the filled slots give them.
        let filled: Vec<_> = slots.iter().filter(|s| s.presence >= 0.5).collect();
        prop_assert_eq!(filled.len(), decoded.vrm.len());
        for (i, slot) in filled.iter().enumerate() {
            if slot.best().1 >= 0.99 {
                prop_assert_eq!(slot.best().0.folded(), decoded.vrm.glyphs()[i].folded());
                prop_assert_eq!(decoded.repaired >> i & 1, 0);
            }
        }
    }

    #[test]
    fn the_mark_is_never_surer_than_its_least_sure_character(slots in prop::collection::vec(any_slot(), 1..=9)) {
        let read = PlateRead::from_slots(slots);
        if let Some(decoded) = decoder().decode(&read)
            && decoded.repaired == 0
            && decoded.vrm.key() == decoded.raw.key()
        {
            let least = read.slots().iter().filter(|s| s.presence >= 0.5).map(|s| {
                let best = s.best().0;
                s.presence * (s.best().1 + best.twin().map_or(0.0, |t| s.glyphs[t.index()]))
            }).fold(1.0f32, f32::min);
            prop_assert!(decoded.confidence <= least + 1e-4, "{} {}", decoded.confidence, least);
        }
    }

    #[test]
    fn junk_is_never_believed(weights in prop::collection::vec(prop::collection::vec(0.5f32..1.0, 36), 4..=12), presence in 0.5f32..=1.0) {
        let slots = weights.into_iter().map(|w| Slot::new(w.try_into().unwrap(), presence));
        let decoded = decoder().decode(&PlateRead::from_slots(slots)).unwrap();
        prop_assert!(decoded.confidence < 0.05, "{}", decoded.confidence);
    }

    #[test]
    fn a_sharp_valid_mark_decodes_to_itself(mark in any_valid_mark(), twins: u16, p in 0.97f32..=1.0) {
        let seen: String = mark.chars().enumerate().map(|(i, c)| {
            let glyph = Glyph::from_char(c).unwrap();
            if twins >> i & 1 == 1 { glyph.twin().unwrap_or(glyph).as_char() } else { c }
        }).collect();
        let mut decoder = decoder();
        let decoded = decoder.decode(&PlateRead::from_slots(sharp(&seen, p))).unwrap();
        let mark = Vrm::parse(&mark).unwrap();
        // A few shapes fit two formats (AA02OOA, AAO200A): the likelier one wins. For all others, canonical is the mark itself.
        let likeliest = decoder.grammar().canonical(&mark).vrm;
        prop_assert!(decoded.vrm == mark || decoded.vrm == likeliest, "{} {} {}", decoded.vrm, mark, likeliest);
        prop_assert_eq!(decoder.grammar().syntax_of(&decoded.vrm), decoded.syntax);
        prop_assert_eq!(decoded.repaired, 0);
    }
}
