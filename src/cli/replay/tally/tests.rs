//! What every figure counts, and that nothing is lost or counted twice.

use proptest::prelude::*;

use super::*;
use crate::anpr::decode::{Candidate, Decoded, Weakest};
use crate::anpr::odds::GlyphOdds;
use crate::anpr::record::{CaptureRecord, Direction, PassageId, Sightings, UnreadPassage, UnreadReason};
use crate::anpr::syntax::SyntaxId;
use crate::cli::replay::clip::Moment;
use crate::cli::replay::faults::{Kind, faults};
use crate::cli::replay::judge::tests::{seen, vehicle};
use crate::cli::replay::judge::{Seen, judge};
use crate::clock::{CaptureTime, SimClock};
use crate::ident::{CameraId, FrameSeq};
use std::time::Duration;

fn at(seconds: f64) -> CaptureTime {
    SimClock::at(UtcTime::default(), Duration::from_secs_f64(seconds))
}

pub(crate) fn decoded(mark: &str, confidence: f32) -> Decoded {
    let vrm = Vrm::parse(mark).expect("a mark");
    let alternative = Candidate { vrm, confidence: 0.01 };
    Decoded {
        vrm,
        confidence,
        syntax: SyntaxId::NONE,
        raw: vrm,
        repaired: 0,
        weakest: Weakest { place: 1, probability: confidence },
        alternatives: [Some(alternative), None, None, None],
        odds: GlyphOdds::default(),
    }
}

fn sightings(seen: &Seen) -> Sightings {
    Sightings {
        camera: CameraId::new("t").expect("an id"),
        first: at(seen.span.first_s),
        best: at(f64::midpoint(seen.span.first_s, seen.span.last_s)),
        last: at(seen.span.last_s),
        best_frame: FrameSeq(seen.best_frame),
        best_quad: seen.quad,
        frames: 9,
        direction: Direction::Unknown,
    }
}

/// A record that comes 0.6 s after its last sighting. `alone` is what its best frame says.
pub(crate) fn told(seen: &Seen, confidence: f32, alone: Option<&str>) -> Told {
    let mark = seen.mark.expect("a mark").to_string();
    let record = CaptureRecord {
        passage: PassageId::new(0, [seen.best_frame.to_le_bytes()[0]; 10]),
        decoded: decoded(&mark, confidence),
        sightings: sightings(seen),
        best_read: alone.map(|m| decoded(m, 0.5)),
        reads: 5,
        agreeing: 4,
        hotlists: Vec::new(),
        hits: Vec::new(),
    };
    Told { record, came: Moment { at_s: seen.span.last_s + 0.6, at_end: false } }
}

fn unread(seen: &Seen) -> UnreadPassage {
    let passage = PassageId::new(0, [255; 10]);
    UnreadPassage { passage, sightings: sightings(seen), reason: UnreadReason::Blurred, guess: None, best_read: None }
}

/// Counts a clip judged by time, and names its faults.
fn counted(vehicles: &[Vehicle], gathered: &Gathered) -> (Tally, Vec<Kind>) {
    let verdict = judge(vehicles, None, &gathered.seen_records(), &gathered.seen_unread());
    let judged = Judged { vehicles, gathered, verdict: &verdict, start: UtcTime::default() };
    // Of plates that nobody could read, misattributions are listed, though they are no vehicle's.
    let kinds = faults(judged).into_iter().filter(|f| !f.record.is_some_and(|i| judged.is_beyond(i)));
    (Tally::of(judged), kinds.map(|f| f.kind).collect())
}

fn rate(hits: u64, of: u64) -> Rate {
    Rate { hits, of }
}

#[test]
fn every_figure_counts_what_it_says() {
    let mut hidden = vehicle("QQ11QQQ", 70.0, 71.0);
    hidden.row.is_readable = false;
    let vehicles = [
        vehicle("AB12CDE", 1.0, 2.0),
        vehicle("FG34HJK", 11.0, 12.0),
        vehicle("GO10OLO", 21.0, 22.0),
        vehicle("LM56NPR", 31.0, 32.0),
        vehicle("ST78UVW", 41.0, 42.0),
        vehicle("XY90ZZZ", 51.0, 52.0),
        hidden,
    ];
    let of = |mark: &str, first_s: f64, confidence: f32, alone: Option<&str>| {
        told(&seen(mark, first_s, first_s + 1.0, 0.0), confidence, alone)
    };
    let mut gathered = Gathered {
        records: vec![
            of("AB12CDE", 1.1, 0.99, Some("AB12CDE")),
            // Right, and once more.
            of("FG34HJK", 11.0, 0.99, Some("FG34HJX")),
            of("FG34HJK", 11.5, 0.80, None),
            // Wrong by a twin only.
            of("G010OLO", 21.0, 0.97, Some("GO10OLO")),
            // Wrong and sure.
            of("LM56NPX", 31.0, 0.98, None),
            // Another's mark where nothing else was read.
            of("AB12CDE", 41.0, 0.70, Some("ST78UVW")),
            // Of nobody.
            of("KKK999K", 60.0, 0.60, None),
            // Of a plate that nobody could read.
            of("QQ11QQQ", 70.0, 0.90, None),
        ],
        unread: vec![unread(&seen("", 51.0, 52.0, 0.0)), unread(&seen("", 90.0, 91.0, 0.0))],
        ..Gathered::default()
    };
    gathered.records[7].came.at_end = true;
    gathered.early_s.insert(gathered.records[0].record.passage, 1.4);
    let (tally, kinds) = counted(&vehicles, &gathered);
    assert_eq!((tally.captured, tally.traced, tally.unreadable, tally.missed()), (rate(5, 6), rate(6, 6), 1, 1));
    assert_eq!((tally.right, tally.folded, tally.right_of_all), (rate(2, 5), rate(3, 5), rate(2, 6)));
    assert_eq!((tally.exactly_one, tally.misread), (rate(1, 6), rate(3, 5)));
    assert_eq!((tally.repeated, tally.further_records), (rate(1, 6), 1));
    assert_eq!((tally.misattributed, tally.strays, tally.beyond), (rate(1, 8), rate(1, 8), rate(1, 1)));
    assert_eq!(tally.wrong_but_sure, rate(2, 8));
    assert_eq!(tally.unread["blurred"], UnreadCount { all: 2, sole: 1 });
    assert_eq!((tally.best_frame_wrong, tally.best_frame_mute), (rate(3, 6), 2));
    assert_eq!(tally.fused_wrong, rate(4, 6));
    assert_eq!(kinds, [Kind::Missed, Kind::Misread, Kind::Misread, Kind::Misattributed, Kind::Duplicate, Kind::Stray]);
    let latencies = &tally.latencies;
    assert!((latencies.sighting.p95_s().expect("five") - 0.1).abs() < 1e-6 && latencies.sighting.sorted_s().len() == 5);
    assert!((latencies.record.median_s().expect("seven") - 0.6).abs() < 1e-6 && latencies.at_end == 1);
    // Passages are told by their best frames here, which two records share; the alert is the first one's all the same.
    assert!((latencies.alert.sorted_s()[0] - 0.4).abs() < 1e-6, "{latencies:?}");
}

#[test]
fn a_clip_without_records_has_rates_of_nothing() {
    let (tally, kinds) = counted(&[vehicle("AB12CDE", 1.0, 2.0)], &Gathered::default());
    assert_eq!((tally.captured, tally.right, kinds.as_slice()), (rate(0, 1), rate(0, 0), &[Kind::Missed][..]));
    let mut out = Vec::new();
    crate::cli::replay::summary::write(&mut out, &tally).expect("written");
    let text = String::from_utf8(out).expect("UTF-8");
    assert!(
        text.contains("capture rate")
            && !text.contains("mean confidence")
            && text.contains("read rate                    -")
            && !text.contains("NaN"),
        "{text}"
    );
}

proptest! {
    /// Whatever belongs to whom, no vehicle and no record is lost or counted twice.
    #[test]
    fn counts_add_up(
        cars in proptest::collection::vec((0usize..4, 0.0f64..20.0, any::<bool>()), 1..8),
        reads in proptest::collection::vec((0usize..5, 0.0f64..20.0, 0.0f32..1.0), 0..10),
        blurs in proptest::collection::vec(0.0f64..20.0, 0..4),
    ) {
        const MARKS: [&str; 5] = ["AB12CDE", "AB12CDF", "GO10OLO", "XY99ZZZ", "G010OLO"];
        let vehicles: Vec<Vehicle> = cars.iter().map(|(m, s, is_readable)| {
            let mut v = vehicle(MARKS[*m], *s, s + 1.0);
            v.row.is_readable = *is_readable;
            v
        }).collect();
        let records = reads.iter().map(|(m, s, c)| told(&seen(MARKS[*m], *s, s + 1.0, 0.0), *c, None)).collect();
        let unread = blurs.iter().map(|s| unread(&seen("", *s, s + 0.5, 0.0))).collect();
        let gathered = Gathered { records, unread, ..Gathered::default() };
        let (tally, kinds) = counted(&vehicles, &gathered);
        let (vehicles, records) = (number(vehicles.len()), number(gathered.records.len()));
        prop_assert_eq!(tally.captured.of + tally.unreadable, vehicles);
        prop_assert_eq!(tally.captured.hits + tally.missed(), tally.captured.of);
        prop_assert_eq!(tally.right.hits + tally.misread.hits, tally.captured.hits);
        prop_assert!(tally.right.hits <= tally.folded.hits && tally.exactly_one.hits <= tally.right_of_all.hits);
        prop_assert_eq!(tally.right.hits, tally.right_of_all.hits);
        prop_assert_eq!(tally.captured.hits + tally.further_records + tally.strays.hits + tally.beyond.of, records);
        prop_assert!(tally.captured.hits <= tally.traced.hits);
        for stratum in &tally.strata {
            prop_assert_eq!(stratum.classes.iter().map(|c| c.captured.hits).sum::<u64>(), tally.captured.hits);
            prop_assert_eq!(stratum.classes.iter().map(|c| c.right.of).sum::<u64>(), tally.captured.hits);
        }
        let of = |kind| number(kinds.iter().filter(|k| **k == kind).count());
        prop_assert_eq!((of(Kind::Missed), of(Kind::Stray)), (tally.missed(), tally.strays.hits));
        prop_assert_eq!(
            of(Kind::Misread) + of(Kind::Misattributed) + of(Kind::Duplicate),
            tally.misread.hits + tally.further_records
        );
    }
}
