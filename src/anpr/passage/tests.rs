//! What the tracker and the fusion promise: order does not matter, passages do not mix, parts do not shorten.

use std::time::Duration;

use proptest::prelude::*;

use super::fusion::{Fusion, Weighed};
use super::*;
use crate::anpr::decode::DecodeOptions;
use crate::anpr::read::Slot;
use crate::anpr::syntax::Grammar;
use crate::anpr::vrm::{GLYPHS, Glyph};
use crate::clock::{SimClock, UtcTime};
use crate::geometry::{Quad, Rect};

fn decoder() -> Decoder {
    Decoder::new(Grammar::new(UtcTime::parse("2026-11-22").unwrap()), DecodeOptions::default())
}

/// A read of `text` whose slots hold the true glyph with `p`, a wrong one (by `noise`) with most of the rest.
fn noisy(text: &str, p: &[f32], noise: u64) -> PlateRead {
    PlateRead::from_slots(text.chars().zip(p).enumerate().map(|(i, (c, p))| {
        let mut weights = [(1.0 - p) * 0.2 / 36.0; GLYPHS];
        weights[Glyph::from_char(c).unwrap().index()] += p;
        weights[usize::try_from((noise >> (i * 5)) % 36).unwrap()] += (1.0 - p) * 0.8;
        Slot::new(weights, 0.99)
    }))
}

/// Most reads kept, in these tests.
const MOST: usize = 24;

fn add(fusion: &mut Fusion, decoder: &mut Decoder, read: &PlateRead, weight: f64, clipped: bool, frame: u64) {
    let text = key_of(decoder, read);
    fusion.add(Weighed { read, text, weight, clipped, frame: FrameSeq(frame) }, MOST);
}

fn key_of(decoder: &mut Decoder, read: &PlateRead) -> Option<VrmKey> {
    decoder.decode(read).map(|d| d.vrm.key())
}

#[test]
fn one_read_alone_fuses_to_itself() {
    let mut decoder = decoder();
    let read = noisy("AB12CDE", &[0.9, 0.8, 0.95, 0.9, 0.7, 0.99, 0.9], 0x1234_5678);
    let mut fusion = Fusion::new(MOST);
    add(&mut fusion, &mut decoder, &read, 0.37, false, 0);
    let alone = decoder.decode(&read).unwrap();
    let fused = fusion.decode(&mut decoder, 0.5).unwrap();
    assert_eq!((fused.decoded.vrm, fused.decoded.raw, fused.agreeing), (alone.vrm, alone.raw, 1));
    assert!((fused.decoded.confidence - alone.confidence).abs() < 0.02);
}

#[test]
fn reads_that_agree_make_a_surer_mark_but_never_a_certain_one() {
    let mut decoder = decoder();
    let mut fusion = Fusion::new(MOST);
    let mut last = 0.0;
    for n in 0..200u64 {
        let read = noisy("AB12CDE", &[0.8; 7], n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20);
        add(&mut fusion, &mut decoder, &read, 1.0, false, n);
        if n == 0 || n == 3 || n == 199 {
            let confidence = fusion.decode(&mut decoder, 0.5).unwrap().decoded.confidence;
            assert!(confidence >= last, "{n}: {confidence} {last}");
            last = confidence;
        }
    }
    assert!(last > 0.8 && last < 1.0, "{last}");
}

#[test]
fn a_clipped_read_never_shortens_a_mark() {
    let mut decoder = decoder();
    let (whole, cut) = (noisy("AE51ABC", &[0.7; 7], 0x1357_9bdf), noisy("E51ABC", &[0.999; 6], 0));
    for whole_at in 0..10 {
        let mut fusion = Fusion::new(MOST);
        for n in 0..10 {
            if n == whole_at {
                add(&mut fusion, &mut decoder, &whole, 0.05, false, n);
            } else {
                add(&mut fusion, &mut decoder, &cut, 1.0, true, n);
            }
        }
        let fused = fusion.decode(&mut decoder, 0.5).unwrap();
        assert_eq!((fused.decoded.vrm.len(), fused.only_clipped, fusion.reads()), (7, false, 1));
    }
}

#[test]
fn rival_lengths_share_the_belief() {
    let mut decoder = decoder();
    let mut fusion = Fusion::new(MOST);
    for (text, n) in [("AB12CDE", 3), ("AB12CF", 1)] {
        for _ in 0..n {
            let read = noisy(text, &[0.98; 7], 0);
            add(&mut fusion, &mut decoder, &read, 1.0, false, 0);
        }
    }
    let fused = fusion.decode(&mut decoder, 0.5).unwrap();
    assert_eq!((fused.decoded.vrm.to_string().as_str(), fused.agreeing), ("AB12CDE", 3));
    assert!(fused.decoded.confidence <= 0.75);
    assert_eq!(fused.decoded.alternatives[0].unwrap().vrm.to_string(), "AB12CF");
}

/// Drives plates past a tracker; returns for each closed passage the texts of the plates that joined it.
fn track(frames: &[(u64, Vec<(usize, Sighting)>)]) -> Vec<Vec<usize>> {
    let (options, mut decoder) = (PassageOptions::default(), decoder());
    let mut tracker = Tracker::new(&options);
    let mut members: Vec<(PassageId, Vec<usize>)> = Vec::new();
    let mut next = 0u64;
    for (ms, plates) in frames {
        let at = SimClock::at(UtcTime::default(), Duration::from_millis(*ms));
        while let Some((due, _)) = tracker.due(at.mono, &options) {
            let gone = tracker.remove(due);
            tracker.recycle(gone);
        }
        let sightings: Vec<_> = plates.iter().map(|(_, s)| s.clone()).collect();
        tracker.pair(at, &sightings, &mut decoder, &options);
        let joined = tracker
            .join(at, FrameSeq(*ms), &sightings, &options, || {
                next += 1;
                PassageId::new(next, [0; 10])
            })
            .to_vec();
        for join in joined {
            let (id, who) = (tracker.open()[join.passage].id, plates[join.sighting].0);
            match members.iter_mut().find(|(i, _)| *i == id) {
                Some((_, list)) => list.push(who),
                None => members.push((id, vec![who])),
            }
        }
    }
    members.into_iter().map(|(_, list)| list).collect()
}

fn at_place(x: f32, y: f32, width: f32, read: Option<PlateRead>) -> Sighting {
    let quad = Quad::from(Rect::new(x, y, x + width, y + width * 0.21));
    Sighting { quad, detector_score: 0.8, clipped: false, legibility: None, read }
}

#[test]
fn the_same_text_joins_over_a_gap_that_position_alone_would_not() {
    for (texts, passages) in [(["AB12CDE", "AB12CDE"], 1), (["AB12CDE", "XY63FGH"], 2)] {
        let frames: Vec<_> = [(0, 100.0), (40, 110.0), (440, 1000.0), (480, 1010.0)]
            .into_iter()
            .zip([texts[0], texts[0], texts[1], texts[1]])
            .map(|((ms, x), text)| (ms, vec![(0, at_place(x, 300.0, 120.0, Some(noisy(text, &[0.99; 7], 0))))]))
            .collect();
        assert_eq!(track(&frames).len(), passages, "{texts:?}");
    }
}

#[test]
fn a_plate_partly_hidden_is_no_second_vehicle() {
    let frames: Vec<_> = ["YD68RN", "YD68RN", "YD68RNE", "YD68RNE", "YD68R"]
        .into_iter()
        .zip([0, 40, 80, 120, 160])
        .map(|(text, ms)| (ms, vec![(0, at_place(300.0, 300.0, 140.0, Some(noisy(text, &[0.999; 7], 0))))]))
        .collect();
    assert_eq!(track(&frames).len(), 1);
}

#[test]
fn hidden_characters_never_shorten_a_mark_and_bolts_never_lengthen_one() {
    for (often, seldom, winner) in
        [("SN66LF", "SN66LFO", "SN66LFO"), ("D68RNE", "YD68RNE", "YD68RNE"), ("AB12CDE", "AB12CDE1", "AB12CDE")]
    {
        let (mut fusion, mut decoder) = (Fusion::new(MOST), decoder());
        for (text, times) in [(often, 9), (seldom, 3)] {
            let read = noisy(text, &[0.999; 8], 0);
            (0..times).for_each(|n| add(&mut fusion, &mut decoder, &read, 0.5, false, n));
        }
        let fused = fusion.decode(&mut decoder, 0.5).expect("a mark");
        assert_eq!(fused.decoded.vrm.to_string(), winner);
        assert!(fused.decoded.confidence > 0.7, "{winner}: {}", fused.decoded.confidence);
    }
}

#[test]
fn a_sure_text_that_changes_in_place_is_a_misread_at_once_and_another_vehicle_after_a_while() {
    for (gap_ms, passages) in [(40, 1), (400, 2)] {
        let frames: Vec<_> = ["AB12CDE", "AB12CDE", "AB12CDF", "AB12CDF"]
            .into_iter()
            .zip([0, 40, 40 + gap_ms, 80 + gap_ms])
            .map(|(text, ms)| (ms, vec![(0, at_place(300.0, 300.0, 140.0, Some(noisy(text, &[0.999; 7], 0))))]))
            .collect();
        assert_eq!(track(&frames).len(), passages, "{gap_ms} ms");
    }
}

#[test]
fn a_plate_that_comes_out_from_behind_another_vehicle_is_one_passage_from_its_first_character_on() {
    // Uncovered from the left, a character a frame: the box grows, its left edge and its height stay.
    let frames: Vec<_> = (3..=7u8)
        .map(|shown| {
            let width = 20.0 * f32::from(shown);
            let quad = Quad::from(Rect::new(300.0, 300.0, 300.0 + width, 330.0));
            let read = Some(noisy(&"AB12CDE"[..usize::from(shown)], &[0.97; 7], 0));
            let sighting = Sighting { quad, detector_score: 0.8, clipped: false, legibility: None, read };
            (u64::from(shown) * 40, vec![(0, sighting)])
        })
        .collect();
    assert_eq!(track(&frames).len(), 1);
}

#[test]
fn plates_that_cross_keep_their_passages() {
    // One overtakes the other: their plates pass within a third of a plate's width of each other, the farther one hidden meanwhile.
    let frames: Vec<_> = (0..30u8)
        .map(|n| {
            let t = f32::from(n);
            let near = at_place(100.0 + 30.0 * t, 400.0, 140.0, Some(noisy("AB12CDE", &[0.95; 7], 0)));
            let far = at_place(700.0 - 12.0 * t, 380.0, 110.0, Some(noisy("XY63FGH", &[0.95; 7], 0)));
            let hidden = (12..17).contains(&n);
            let plates = if hidden { vec![(0, near)] } else { vec![(1, far), (0, near)] };
            (u64::from(n) * 33, plates)
        })
        .collect();
    let passages = track(&frames);
    assert_eq!(passages.len(), 2, "{passages:?}");
    assert!(passages.iter().all(|p| p.iter().all(|who| *who == p[0])), "{passages:?}");
}

#[test]
fn look_alike_marks_nose_to_tail_are_two_passages() {
    // 6 m apart at 30 mph: the first leaves below as the second comes near, one look-alike character between them.
    let place = |metres: f32| (600.0, 100.0 + 16_500.0 / metres, 3000.0 * 0.52 / metres);
    let mut frames = Vec::new();
    for n in 0..60u8 {
        let gone = 13.4 * f32::from(n) * 0.04;
        let plates: Vec<_> = [("AB12CDE", 40.0, 0), ("A812CDE", 46.0, 1)]
            .into_iter()
            .map(|(text, from, who)| (text, from - gone, who))
            .filter(|(_, metres, _)| (13.0..41.0).contains(metres))
            .map(|(text, metres, who)| {
                let (x, y, width) = place(metres);
                (who, at_place(x - width / 2.0, y, width, Some(noisy(text, &[0.98; 7], 0))))
            })
            .collect();
        frames.push((u64::from(n) * 40, plates));
    }
    let passages = track(&frames);
    assert_eq!(passages.len(), 2, "{passages:?}");
    assert!(passages.iter().all(|p| p.iter().all(|who| *who == p[0])), "{passages:?}");
}

/// A read as drawn by chance: text, certainty of each character, noise, weight, whether it is clipped.
type Drawn<'a> = (&'a str, Vec<f32>, u64, f64, bool);

fn shuffled<T: Clone>(items: &[T], mut seed: u64) -> Vec<T> {
    let mut items = items.to_vec();
    for i in (1..items.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(i, usize::try_from(seed >> 33).unwrap() % (i + 1));
    }
    items
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn the_order_of_frames_does_not_change_the_winner(
        reads in prop::collection::vec(
            (prop_oneof![4 => Just("AB12CDE"), 1 => Just("AB12CD"), 1 => Just("AB12CDEI")], prop::collection::vec(0.2f32..1.0, 8), any::<u64>(), 0.01f64..1.0, prop::bool::weighted(0.2)),
            1..20,
        ),
        seed: u64,
    ) {
        let mut decoder = decoder();
        let numbered: Vec<_> = (0..).zip(reads).collect();
        let mut fuse = |reads: &[(u64, Drawn<'_>)]| {
            let mut fusion = Fusion::new(MOST);
            for (frame, (text, p, noise, weight, clipped)) in reads {
                let read = noisy(text, p, *noise);
                fusion.add(Weighed { read: &read, text: key_of(&mut decoder, &read), weight: *weight, clipped: *clipped, frame: FrameSeq(*frame) }, 8);
            }
            let fused = fusion.decode(&mut decoder, 0.5).map(|f| (f.decoded.vrm, f.decoded.confidence, f.agreeing));
            (fusion.reads(), fused)
        };
        let (count, forwards) = fuse(&numbered);
        let (count_2, mixed) = fuse(&shuffled(&numbered, seed));
        prop_assert_eq!(count, count_2);
        match (forwards, mixed) {
            (Some((a, p, n)), Some((b, q, m))) => {
                // Sums of floats in another order may differ in the last digits: a dead heat may fall either way.
                prop_assert!((p - q).abs() < 1e-3, "{} {}", p, q);
                prop_assert_eq!((a, n), (b, m));
            }
            (a, b) => prop_assert_eq!(a.is_none(), b.is_none()),
        }
    }

    #[test]
    fn two_interleaved_passages_do_not_mix(
        speed in prop::array::uniform2(-600.0f32..600.0),
        growth in prop::array::uniform2(0.98f32..1.03),
        jitter in prop::collection::vec(-3.0f32..3.0, 40),
        seen in prop::collection::vec(0u8..8, 20),
        with_text in any::<bool>(),
        swap in any::<bool>(),
    ) {
        // Two lanes, 40 ms a frame, each plate missed in one frame of four; a shared row of the picture 500 pixels apart.
        let texts = ["AB12CDE", "XY63FGH"];
        let mut frames = Vec::new();
        for (n, seen) in (0u8..20).zip(&seen) {
            let mut plates = Vec::new();
            for lane in [usize::from(swap), usize::from(!swap)] {
                if *seen == u8::try_from(lane).unwrap() + 6 && n > 1 {
                    continue;
                }
                let t = f32::from(n) * 0.04;
                let width = 110.0 * growth[lane].powi(i32::from(n));
                let x = 800.0 + speed[lane] * t + jitter[usize::from(n) * 2 + lane];
                let y = if lane == 0 { 200.0 } else { 700.0 };
                let read = with_text.then(|| noisy(texts[lane], &[0.9; 7], u64::from(n) * 0x1_2345_6789));
                plates.push((lane, at_place(x, y, width, read)));
            }
            frames.push((u64::from(n) * 40, plates));
        }
        let passages = track(&frames);
        prop_assert_eq!(passages.len(), 2, "{:?}", &passages);
        for passage in &passages {
            prop_assert!(passage.iter().all(|who| *who == passage[0]), "{:?}", &passages);
        }
    }
}
