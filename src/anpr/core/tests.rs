//! What the core does with whole passages: alerts in their phases, records, order, bounds.

mod lists;
mod seen_again;

use std::time::Duration;

use super::*;
use crate::anpr::hotlist::{Action, Hotlist, HotlistEntry, HotlistVersion, MatchOptions, Priority, Wanted};
use crate::anpr::read::{PlateRead, Slot};
use crate::anpr::record::{AlertPhase, UnreadReason};
use crate::anpr::vrm::{GLYPHS, Glyph, Vrm};
use crate::clock::SimClock;
use crate::geometry::{Quad, Rect};

/// A road with one camera, told in words: `see` a plate, `wait`, look at what came out.
struct Road {
    core: Core,
    camera: CameraId,
    ms: u64,
    seq: u64,
    effects: Vec<Effect>,
}

fn read(text: &str, p: f32) -> PlateRead {
    read_each(text, &vec![p; text.len()])
}

fn read_each(text: &str, p: &[f32]) -> PlateRead {
    PlateRead::from_slots(text.chars().zip(p).map(|(c, &p)| {
        let mut weights = [(1.0 - p) / 35.0; GLYPHS];
        weights[Glyph::from_char(c).unwrap().index()] = p;
        Slot::new(weights, 0.999)
    }))
}

fn plate(text: &str, p: f32, x: f32, width: f32) -> Sighting {
    let quad = Quad::from(Rect::new(x, 300.0, x + width, 300.0 + width * 0.21));
    Sighting { quad, detector_score: 0.9, clipped: false, legibility: None, read: Some(read(text, p)) }
}

fn entry(vrm: &str, action: Action, priority: u8) -> HotlistEntry {
    let priority = Priority::new(priority).unwrap();
    HotlistEntry::new(Wanted::Mark(Vrm::parse(vrm).unwrap()), action, priority)
}

fn list(entries: Vec<HotlistEntry>) -> Event<'static> {
    let version = HotlistVersion { list: "local".into(), version: "1".into() };
    let list = Arc::new(Hotlist::new(version, &entries).unwrap());
    Event::Hotlists(Arc::new(Hotlists::new(vec![list], MatchOptions::default())))
}

impl Road {
    fn new(options: CoreOptions) -> Self {
        let core = Core::new(options, Grammar::new(UtcTime::parse("2026-11-22").unwrap()), 7);
        Self { core, camera: CameraId::new("c1").unwrap(), ms: 0, seq: 0, effects: Vec::new() }
    }

    fn at(&self) -> CaptureTime {
        SimClock::at(UtcTime::parse("2026-11-22T12:00:00Z").unwrap(), Duration::from_millis(self.ms))
    }

    /// One frame, 40 ms after the last.
    fn see(&mut self, sightings: &[Sighting]) {
        self.ms += 40;
        self.seq += 1;
        let at = self.at();
        self.core.apply(Event::Frame { camera: &self.camera, seq: FrameSeq(self.seq), at, sightings }, &mut self.effects);
    }

    fn wait(&mut self, ms: u64) {
        self.ms += ms;
        let now = self.at();
        self.core.apply(Event::Tick { now }, &mut self.effects);
    }

    fn drive(&mut self, text: &str, p: f32, frames: u8) {
        for n in 0..frames {
            self.see(&[plate(text, p, 400.0 + 20.0 * f32::from(n), 140.0 + 5.0 * f32::from(n))]);
        }
    }

    /// What came out since last time, one word each; evidence left out.
    fn told(&mut self) -> Vec<String> {
        let words = self.effects.drain(..).filter_map(|effect| match effect {
            Effect::Keep { .. } => None,
            Effect::Alert(a) => Some(format!("{} {} {}", a.phase.as_str(), a.decoded.vrm, a.hits.len())),
            Effect::Record(r) => Some(format!("record {} {}", r.decoded.vrm, r.hits.len())),
            Effect::Unread(u) => Some(format!("unread {}", u.reason.as_str())),
            Effect::Dropped { .. } => Some("dropped".into()),
        });
        words.collect()
    }
}

#[test]
fn one_vehicle_one_record() {
    let mut road = Road::new(CoreOptions::default());
    road.drive("AB12CDE", 0.99, 8);
    assert_eq!(road.core.open_passages(), 1);
    road.wait(600);
    assert_eq!(road.core.open_passages(), 1, "600 ms unseen is not yet more than settle_ms");
    road.wait(1);
    let Some(Effect::Record(record)) = road.effects.last() else { panic!("{:?}", road.effects) };
    assert_eq!((record.decoded.vrm.to_string().as_str(), record.decoded.syntax.as_str()), ("AB12CDE", "gb_current"));
    assert_eq!((record.reads, record.agreeing, record.sightings.frames), (8, 8, 8));
    assert!(record.decoded.confidence > 0.95, "{}", record.decoded.confidence);
    assert_eq!(record.sightings.direction.as_str(), "approaching");
    assert_eq!(record.sightings.first.mono.as_nanos(), 40_000_000);
    assert_eq!(record.sightings.last.mono.as_nanos(), 320_000_000);
    assert!(matches!(road.effects[0], Effect::Keep { sighting: 0, .. }), "evidence from the first frame on");
    let stats = road.core.stats();
    assert_eq!((stats.frames, stats.sightings, stats.reads, stats.opened, stats.closed, stats.records), (8, 8, 8, 1, 1, 1));
}

#[test]
fn the_same_events_give_the_same_effects() {
    let run = || {
        let mut road = Road::new(CoreOptions::default());
        road.core.apply(list(vec![entry("AB12CDE", Action::Stop, 0)]), &mut Vec::new());
        road.drive("AB12CDE", 0.99, 5);
        road.drive("XY63ABC", 0.99, 5);
        road.wait(1000);
        road.effects
    };
    assert_eq!(run(), run());
}

#[test]
fn alerts_are_early_then_confirmed_before_the_record() {
    let mut road = Road::new(CoreOptions::default());
    road.core.apply(list(vec![entry("AB12CDE", Action::Stop, 0)]), &mut Vec::new());
    road.drive("AB12CDE", 0.99, 1);
    assert_eq!(road.told(), [""; 0], "one frame is not enough");
    road.drive("AB12CDE", 0.99, 4);
    assert_eq!(road.told(), ["early AB12CDE 1"]);
    road.wait(1000);
    assert_eq!(road.told(), ["confirmed AB12CDE 1", "record AB12CDE 1"]);
    // Seen again within the cool-down: the record names the hit, nobody is woken.
    road.wait(2_000);
    road.drive("AB12CDE", 0.99, 4);
    road.wait(1000);
    assert_eq!(road.told(), ["record AB12CDE 1"]);
    assert_eq!((road.core.stats().alerts, road.core.stats().alerts_silenced), (2, 1));
    road.wait(60_000);
    road.drive("AB12CDE", 0.99, 4);
    assert_eq!(road.told(), ["early AB12CDE 1"]);
}

#[test]
fn the_cool_down_hides_no_other_mark_action_or_higher_priority() {
    let mut road = Road::new(CoreOptions::default());
    let mut pass = |entries: Vec<HotlistEntry>, text: &str| {
        road.core.apply(list(entries), &mut Vec::new());
        road.drive(text, 0.99, 4);
        road.wait(4_000);
        road.told().iter().any(|w| w.starts_with("early"))
    };
    assert!(pass(vec![entry("AB12CDE", Action::Assess, 2)], "AB12CDE"));
    assert!(!pass(vec![entry("AB12CDE", Action::Assess, 2)], "AB12CDE"));
    assert!(!pass(vec![entry("AB12CDE", Action::Assess, 3)], "AB12CDE"), "less urgent is no news");
    assert!(pass(vec![entry("AB12CDE", Action::Assess, 1)], "AB12CDE"), "more urgent is");
    assert!(pass(vec![entry("AB12CDE", Action::Stop, 3)], "AB12CDE"), "another action is");
    assert!(pass(vec![entry("AB12CDF", Action::Assess, 3)], "AB12CDF"), "another mark is");
}

#[test]
fn an_early_alert_that_was_wrong_is_retracted() {
    let mut road = Road::new(CoreOptions::default());
    road.core.apply(list(vec![entry("AB12CDE", Action::Stop, 0)]), &mut Vec::new());
    // Far away an F looks like an E; near, it does not. (0.9 keeps the two texts from being two vehicles.)
    for n in 0u8..3 {
        road.see(&[plate("AB12CDE", 0.985, 400.0 + f32::from(n), 60.0)]);
    }
    let early = road.told();
    for n in 0u8..20 {
        let mut near = plate("AB12CDF", 0.985, 400.0 + f32::from(n), 75.0 + 5.0 * f32::from(n));
        near.read = Some(read("AB12CDF", 0.93));
        road.see(&[near]);
    }
    road.wait(6000);
    assert_eq!(early, ["early AB12CDE 1"]);
    assert_eq!(road.told(), ["retracted AB12CDF 1", "record AB12CDF 0"]);
}

#[test]
fn a_hit_too_unsure_for_an_early_alert_is_confirmed_at_the_close_or_left_to_the_record() {
    for (p, expected) in [
        (0.85, &["confirmed AB12CDE 1", "record AB12CDE 1"][..]),
        (0.7, &["record AB12CDE 1"]),
        (0.25, &["unread low_confidence"]),
    ] {
        let mut road = Road::new(CoreOptions::default());
        road.core.apply(list(vec![entry("AB12CDE", Action::Stop, 0)]), &mut Vec::new());
        road.drive("AB12CDE", p, 2);
        road.wait(1000);
        assert_eq!(road.told(), expected, "{p}");
    }
}

#[test]
fn a_swapped_list_takes_back_what_it_no_longer_holds() {
    let mut road = Road::new(CoreOptions::default());
    road.core.apply(list(vec![entry("AB12CDE", Action::Stop, 0)]), &mut Vec::new());
    road.drive("AB12CDE", 0.99, 4);
    road.core.apply(Event::Hotlists(Arc::default()), &mut Vec::new());
    road.wait(1000);
    assert_eq!(road.told(), ["early AB12CDE 1", "retracted AB12CDE 1", "record AB12CDE 0"]);
}

#[test]
fn what_is_no_plate_is_dropped_and_what_is_unread_says_why() {
    let blank = |width: f32, score: f32, clipped: bool| {
        let quad = Quad::from(Rect::new(400.0, 300.0, 400.0 + width, 300.0 + width * 0.21));
        Sighting { quad, detector_score: score, clipped, legibility: None, read: None }
    };
    let clipped_read = Sighting { clipped: true, ..plate("B12CDE", 0.99, 0.0, 120.0) };
    for (sighting, frames, expected) in [
        (plate("AB12CDE", 0.99, 400.0, 140.0), 1, "record AB12CDE 0"),
        (plate("AB12CDE", 0.8, 400.0, 140.0), 1, "dropped"),
        (plate("A1B2C3D", 0.99, 400.0, 140.0), 1, "dropped"),
        (blank(140.0, 0.4, false), 9, "dropped"),
        (blank(140.0, 0.9, false), 3, "unread low_confidence"),
        (blank(30.0, 0.9, false), 3, "unread too_small"),
        (blank(140.0, 0.9, true), 3, "unread clipped"),
        (clipped_read, 3, "unread clipped"),
    ] {
        let mut road = Road::new(CoreOptions::default());
        for _ in 0..frames {
            road.see(std::slice::from_ref(&sighting));
        }
        road.wait(6000);
        assert_eq!(road.told(), [expected]);
    }
    let mut road = Road::new(CoreOptions::default());
    for text in ["AB12CDE", "XY63FGH", "KL07MNP", "RS54TUV"] {
        road.see(&[plate(text, 0.6, 400.0, 140.0)]);
    }
    road.wait(6000);
    let Some(Effect::Unread(unread)) = road.effects.last() else { panic!("{:?}", road.effects) };
    assert_eq!(unread.reason, UnreadReason::NoAgreement);
}

#[test]
fn a_mark_that_no_read_gave_must_be_all_the_surer() {
    // Each read has another character wrong; together they spell AB12CDE.
    for (sure, expected) in [(0.6, "unread no_agreement"), (0.97, "record AB12CDE 0")] {
        let mut road = Road::new(CoreOptions::default());
        for (text, wrong) in [("XB12CDE", 0), ("AX12CDE", 1), ("AB12XDE", 4), ("AB12CDX", 6), ("AB12CXE", 5)] {
            let mut p = [sure; 7];
            p[wrong] = 0.4;
            road.see(&[Sighting { read: Some(read_each(text, &p)), ..plate(text, 0.9, 400.0, 140.0) }]);
        }
        road.wait(6000);
        assert_eq!(road.told(), [expected], "{sure}: {:?}", road.effects.last());
    }
}

#[test]
fn the_end_closes_everything_of_that_camera_only() {
    let mut road = Road::new(CoreOptions::default());
    road.drive("AB12CDE", 0.99, 3);
    let other = CameraId::new("c2").unwrap();
    let at = road.at();
    for seq in 0..2 {
        let sightings = [plate("XY63ABC", 0.99, 400.0, 140.0)];
        road.core.apply(Event::Frame { camera: &other, seq: FrameSeq(seq), at, sightings: &sightings }, &mut road.effects);
    }
    let camera = road.camera.clone();
    road.core.apply(Event::End { camera: &camera, at }, &mut road.effects);
    assert_eq!(road.told(), ["record AB12CDE 0"]);
    assert_eq!(road.core.open_passages(), 1);
}

#[test]
fn state_is_bounded() {
    let options = PassageOptions { max_open: 4, max_sightings: 6, ..PassageOptions::default() };
    let mut road = Road::new(CoreOptions { passage: options, ..CoreOptions::default() });
    let marks = ["AB12CDE", "XY63FGH", "KL07MNP", "RS54TUV", "EF08GHJ", "LM19KLX", "PO66WER", "YT17RED"];
    for round in 0..50u8 {
        let row: Vec<_> =
            (0u8..8).map(|i| plate(marks[usize::from((i + round) % 8)], 0.99, 400.0 * f32::from(i), 60.0)).collect();
        road.see(&row);
        assert!(road.core.open_passages() <= 4);
    }
    road.wait(6000);
    let stats = road.core.stats();
    assert_eq!(stats.opened, stats.closed);
    assert_eq!(stats.closed, stats.records + stats.unread + stats.dropped + stats.repeated);
    assert_eq!(stats.sightings + stats.sightings_over, 400);
    assert!(stats.sightings_over > 0 && road.core.open_passages() == 0);
}

#[test]
fn every_passage_ends_once_and_ids_are_unique() {
    let mut road = Road::new(CoreOptions::default());
    for n in 0..40 {
        road.drive(["AB12CDE", "XY63FGH", "KL07MNP"][n % 3], 0.99, 2 + u8::try_from(n % 3).unwrap());
        road.wait(if n % 2 == 0 { 100 } else { 700 });
    }
    road.wait(1000);
    let mut ended: Vec<_> = road
        .effects
        .iter()
        .filter_map(|e| match e {
            Effect::Record(r) => Some(r.passage),
            Effect::Unread(u) => Some(u.passage),
            Effect::Dropped { passage } => Some(*passage),
            Effect::Keep { .. } | Effect::Alert(_) => None,
        })
        .collect();
    assert_eq!(ended.len(), 40);
    let in_order = ended.clone();
    ended.sort_unstable();
    assert_eq!(ended, in_order, "ids sort by birth");
    ended.dedup();
    assert_eq!(ended.len(), 40);
}

#[test]
fn alert_phases_share_the_passage_id() {
    let mut road = Road::new(CoreOptions::default());
    road.core.apply(list(vec![entry("AB12CD0", Action::Silent, 1)]), &mut Vec::new());
    road.drive("AB12CDO", 0.99, 4);
    road.wait(1000);
    let mut phases = Vec::new();
    let mut ids = Vec::new();
    for effect in &road.effects {
        match effect {
            Effect::Alert(a) => {
                phases.push(a.phase);
                ids.push(a.passage);
                assert!(a.hits[0].explanation.contains("character 7 read as O, listed as 0"), "{}", a.hits[0].explanation);
            }
            Effect::Record(r) => ids.push(r.passage),
            _ => {}
        }
    }
    assert_eq!(phases, [AlertPhase::Early, AlertPhase::Confirmed]);
    ids.dedup();
    assert_eq!(ids.len(), 1);
}

#[test]
fn a_plate_that_stands_in_a_picture_that_does_not_change_stays_in_view() {
    let mut road = Road::new(CoreOptions::default());
    road.drive("AB12CDE", 0.99, 4);
    for _ in 0..50 {
        road.ms += 40;
        let at = road.at();
        road.core.apply(Event::Still { camera: &road.camera, at }, &mut road.effects);
    }
    assert_eq!((road.core.open_passages(), road.told().len()), (1, 0), "two seconds without a look, and nothing closed");
    // The next look finds the place empty: what was passed over counts no more.
    road.see(&[]);
    road.wait(601);
    assert_eq!(road.told(), ["record AB12CDE 0"]);
    let still = road.at();
    road.core.apply(Event::Still { camera: &road.camera, at: still }, &mut road.effects);
    assert!(road.told().is_empty());
}
