//! What holds of the core whatever a camera shows: bounds, one end a passage, one record a passage, the same again from the same.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::anpr::hotlist::{Action, Hotlist, HotlistEntry, HotlistVersion, MatchOptions, Priority, Wanted};
use crate::anpr::read::{PlateRead, Slot};
use crate::anpr::record::AlertPhase;
use crate::anpr::vrm::{GLYPHS, Glyph, Vrm};
use crate::clock::SimClock;
use crate::geometry::{Quad, Rect};

/// A plate somewhere in the picture, as drawn by chance.
#[derive(Clone, Debug)]
struct Chance {
    mark: usize,
    p: f32,
    x: f32,
    y: f32,
    width: f32,
    clipped: bool,
    read: bool,
}

const MARKS: [&str; 6] = ["AB12CDE", "AB12CDF", "B12CDE", "XY63FGH", "KL07MNP", "7"];

fn chance() -> impl Strategy<Value = Chance> {
    let place = (0.0f32..1800.0, 0.0f32..1000.0, 15.0f32..300.0);
    (0..MARKS.len(), 0.05f32..1.0, place, prop::bool::weighted(0.1), prop::bool::weighted(0.9))
        .prop_map(|(mark, p, (x, y, width), clipped, read)| Chance { mark, p, x, y, width, clipped, read })
}

impl Chance {
    fn sighting(&self) -> Sighting {
        let read = PlateRead::from_slots(MARKS[self.mark].chars().map(|c| {
            let mut weights = [(1.0 - self.p) / 35.0; GLYPHS];
            weights[Glyph::from_char(c).unwrap().index()] = self.p;
            Slot::new(weights, 0.999)
        }));
        Sighting {
            quad: Quad::from(Rect::new(self.x, self.y, self.x + self.width, self.y + 0.21 * self.width)),
            detector_score: self.p,
            clipped: self.clipped,
            legibility: Some(Legibility { sharpness: self.p, flare: 1.0 - self.p }),
            read: self.read.then_some(read),
        }
    }
}

fn listed(vrm: &str) -> HotlistEntry {
    HotlistEntry::new(Wanted::Mark(Vrm::parse(vrm).unwrap()), Action::Stop, Priority::P0)
}

fn run(frames: &[(u64, Vec<Chance>)], options: CoreOptions) -> (Vec<Effect>, CoreStats, usize) {
    let start = UtcTime::parse("2026-11-22T12:00:00Z").unwrap();
    let camera = CameraId::new("c1").unwrap();
    let mut core = Core::new(options, Grammar::new(start), 7);
    let (mut effects, mut ms, mut most) = (Vec::new(), 0, 0);
    let version = HotlistVersion { list: "local".into(), version: "1".into() };
    let hotlist = Arc::new(Hotlist::new(version, &[listed(MARKS[0]), listed(MARKS[3])]).unwrap());
    core.apply(Event::Hotlists(Arc::new(Hotlists::new(vec![hotlist], MatchOptions::default()))), &mut effects);
    for (seq, (step_ms, plates)) in (0..).zip(frames) {
        ms += step_ms;
        let at = SimClock::at(start, Duration::from_millis(ms));
        let sightings: Vec<_> = plates.iter().map(Chance::sighting).collect();
        core.apply(Event::Frame { camera: &camera, seq: FrameSeq(seq), at, sightings: &sightings }, &mut effects);
        most = most.max(core.open_passages());
    }
    core.apply(Event::End { camera: &camera, at: SimClock::at(start, Duration::from_millis(ms)) }, &mut effects);
    assert_eq!(core.open_passages(), 0);
    (effects, core.stats(), most)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn whatever_comes_every_passage_is_opened_once_told_at_most_once_and_ends(
        frames in prop::collection::vec((prop_oneof![30 => 20u64..60, 1 => 500u64..40_000], prop::collection::vec(chance(), 0..6)), 1..80),
        max_open in 1usize..8,
    ) {
        let passage = PassageOptions { max_open, max_sightings: 5, record_after_ms: 2000, ..PassageOptions::default() };
        let options = CoreOptions { passage, ..CoreOptions::default() };
        let (effects, stats, most) = run(&frames, options);
        prop_assert!(most <= max_open);
        prop_assert_eq!(stats.opened, stats.closed);
        let shown: usize = frames.iter().map(|(_, plates)| plates.len()).sum();
        prop_assert_eq!(stats.sightings + stats.sightings_over, counted(shown));
        let mut ends: BTreeMap<PassageId, [u32; 3]> = BTreeMap::new();
        for effect in &effects {
            let (id, kind) = match effect {
                Effect::Record(r) => (r.passage, 0),
                Effect::Unread(u) => (u.passage, 1),
                Effect::Dropped { passage } => (*passage, 2),
                Effect::Keep { .. } | Effect::Alert(_) => continue,
            };
            ends.entry(id).or_default()[kind] += 1;
        }
        prop_assert_eq!(counted(ends.len()), stats.opened, "every passage came to an end");
        for [records, unread, _] in ends.values() {
            prop_assert!(*records <= 1 && *unread <= 1);
        }
        let records: u64 = ends.values().map(|e| u64::from(e[0])).sum();
        prop_assert_eq!(records, stats.records);
        // Each hit told early has its last word, once: confirmed or taken back.
        let mut open: BTreeMap<(PassageId, String), i32> = BTreeMap::new();
        for alert in effects.iter().filter_map(|e| if let Effect::Alert(alert) = e { Some(alert) } else { None }) {
            for hit in &alert.hits {
                let words = open.entry((alert.passage, hit.entry.wanted.to_string())).or_default();
                match alert.phase {
                    AlertPhase::Early => *words += 1,
                    AlertPhase::Confirmed => *words = 0,
                    AlertPhase::Retracted => *words -= 1,
                }
                prop_assert!((0..=1).contains(words), "{:?} {}", alert.phase, hit.entry.wanted);
            }
        }
        prop_assert!(open.values().all(|words| *words == 0), "{:?}", open);
        prop_assert_eq!(run(&frames, options).0, effects, "the same again from the same");
    }
}
