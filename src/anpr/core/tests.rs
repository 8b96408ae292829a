//! What the core does with whole passages: alerts in their phases, records, order, bounds.

use std::time::Duration;

use super::*;
use crate::anpr::hotlist::{Action, HotlistEntry, HotlistVersion, Priority};
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
    HotlistEntry { vrm: Vrm::parse(vrm).unwrap(), action, priority, reason: String::new(), valid_from: None, valid_until: None }
}

fn list(entries: Vec<HotlistEntry>) -> Event<'static> {
    let version = HotlistVersion { list: "local".into(), version: "1".into() };
    Event::Hotlist(Some(Arc::new(Hotlist::new(version, entries))))
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
    road.core.apply(Event::Hotlist(None), &mut Vec::new());
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

#[test]
fn a_vehicle_that_stays_gets_one_record_and_is_matched_again_when_the_list_changes() {
    let mut road = Road::new(CoreOptions::default());
    let parked = plate("AB12CDE", 0.99, 400.0, 140.0);
    let stand = |road: &mut Road, seconds: u32| (0..seconds * 25).for_each(|_| road.see(std::slice::from_ref(&parked)));
    stand(&mut road, 31);
    assert_eq!(road.told(), ["record AB12CDE 0"], "its record doesn't wait for it to drive off");
    stand(&mut road, 120);
    assert_eq!(road.told(), [""; 0]);
    road.core.apply(list(vec![entry("AB12CDE", Action::Stop, 0), entry("XY63FGH", Action::Stop, 0)]), &mut road.effects);
    let Some(Effect::Alert(alert)) = road.effects.last() else { panic!("{:?}", road.effects) };
    assert_eq!(alert.at.mono, road.at().mono, "of the last frame that showed it");
    assert_eq!(road.told(), ["confirmed AB12CDE 1"]);
    road.core.apply(list(vec![entry("AB12CDE", Action::Stop, 0)]), &mut road.effects);
    stand(&mut road, 120);
    assert_eq!(road.told(), [""; 0], "what was told is no news");
    // Hidden for a minute by a lorry, there again, then gone.
    road.wait(60_000);
    stand(&mut road, 10);
    road.wait(10_000);
    assert_eq!(road.told(), ["dropped", "dropped"], "two passages ended without another word");
    let stats = road.core.stats();
    assert_eq!((stats.records, stats.repeated, stats.opened, stats.closed), (1, 1, 2, 2));
}

#[test]
fn the_rear_plate_after_the_front_plate_is_the_same_vehicle_a_return_is_not() {
    for (away_ms, records) in [(1500, 1), (6000, 2)] {
        let mut road = Road::new(CoreOptions::default());
        road.drive("AB12CDE", 0.99, 8);
        road.wait(away_ms);
        for n in 0..8u8 {
            road.see(&[plate("AB12CDE", 0.99, 900.0 + 20.0 * f32::from(n), 180.0 - 5.0 * f32::from(n))]);
        }
        road.wait(1000);
        assert_eq!(road.told().iter().filter(|w| w.starts_with("record")).count(), records, "{away_ms} ms");
    }
}

#[test]
fn one_mark_in_two_places_at_one_time_is_two_vehicles() {
    let mut road = Road::new(CoreOptions::default());
    for n in 0..8u8 {
        let x = 20.0 * f32::from(n);
        road.see(&[plate("AB12CDE", 0.99, 100.0 + x, 140.0), plate("AB12CDE", 0.99, 1500.0 + x, 140.0)]);
    }
    road.wait(1000);
    assert_eq!(road.told(), ["record AB12CDE 0", "record AB12CDE 0"], "a cloned plate is for people to know");
}

#[test]
fn a_repeat_that_was_told_early_has_its_last_word() {
    let mut road = Road::new(CoreOptions::default());
    road.core.apply(list(vec![entry("AB12CDE", Action::Assess, 3)]), &mut Vec::new());
    road.drive("AB12CDE", 0.99, 6);
    road.wait(700);
    road.core.apply(list(vec![entry("AB12CDE", Action::Stop, 0)]), &mut road.effects);
    road.drive("AB12CDE", 0.99, 6);
    road.wait(700);
    let told = road.told();
    assert_eq!(
        told,
        [
            "early AB12CDE 1",
            "confirmed AB12CDE 1",
            "record AB12CDE 1",
            "early AB12CDE 1",
            "confirmed AB12CDE 1",
            "record AB12CDE 1"
        ]
    );
}

#[test]
fn a_record_names_its_weakest_character_and_what_the_best_frame_said_alone() {
    let mut road = Road::new(CoreOptions::default());
    for n in 0..6u8 {
        let p = [0.98, 0.98, 0.98, 0.98, 0.6, 0.98, 0.98];
        let x = 400.0 + 30.0 * f32::from(n);
        road.see(&[Sighting { read: Some(read_each("AB12CDE", &p)), ..plate("AB12CDE", 0.9, x, 140.0) }]);
    }
    road.wait(1000);
    let Some(Effect::Record(record)) = road.effects.last() else { panic!("{:?}", road.effects) };
    assert_eq!(record.decoded.weakest.place, 4);
    assert!(record.decoded.confidence <= record.decoded.weakest.probability);
    let alone = record.best_read.expect("a mark");
    assert_eq!(alone.vrm, record.decoded.vrm);
    assert!(alone.confidence < record.decoded.confidence, "six frames say more than one");
}

#[test]
fn an_unread_passage_says_what_spoilt_it() {
    let spoilt = |sharpness, flare| {
        let legibility = Some(Legibility { sharpness, flare });
        Sighting { legibility, read: None, ..plate("AB12CDE", 0.9, 400.0, 140.0) }
    };
    for (sighting, expected) in
        [(spoilt(0.1, 0.0), "unread blurred"), (spoilt(0.1, 0.6), "unread flared"), (spoilt(0.9, 0.0), "unread low_confidence")]
    {
        let mut road = Road::new(CoreOptions::default());
        (0..4).for_each(|_| road.see(std::slice::from_ref(&sighting)));
        road.wait(6000);
        assert_eq!(road.told(), [expected]);
    }
    // Never more than four of its characters in view, another four each time.
    let mut road = Road::new(CoreOptions::default());
    for text in ["AB1", "AB12", "AB12", "AB1", "AB12", "AB1"] {
        road.see(&[plate(text, 0.5, 400.0, 70.0)]);
    }
    road.wait(6000);
    assert_eq!(road.told(), ["unread occluded"]);
}

#[test]
fn an_unread_plate_that_stands_beside_another_is_told_once_whatever_it_reads_like() {
    let mut road = Road::new(CoreOptions::default());
    let stand = |road: &mut Road, seconds: u32| {
        let both = [plate("AB12CDE", 0.99, 100.0, 140.0), plate("AB12CDE", 0.3, 1400.0, 140.0)];
        (0..seconds * 25).for_each(|_| road.see(&both));
    };
    stand(&mut road, 31);
    let told = road.told();
    assert_eq!(told, ["record AB12CDE 0", "unread low_confidence"]);
    stand(&mut road, 31);
    assert_eq!(road.told(), [""; 0]);
    road.wait(6000);
    let stats = road.core.stats();
    assert_eq!((stats.opened, stats.closed, stats.records, stats.unread, stats.repeated), (2, 2, 1, 1, 0));
}

#[test]
fn an_early_alert_of_a_vehicle_that_stays_is_retracted_once() {
    let mut road = Road::new(CoreOptions::default());
    road.core.apply(list(vec![entry("AB12CDE", Action::Stop, 0)]), &mut Vec::new());
    (0..3).for_each(|_| road.see(&[plate("AB12CDE", 0.985, 400.0, 45.0)]));
    // It comes a little nearer, stands, and turns out to be another one.
    for n in 0..240u8 {
        road.ms += 100;
        road.see(&[plate("AB12CDF", 0.985, 400.0, (45.0 + 2.0 * f32::from(n)).min(130.0))]);
    }
    road.wait(6000);
    let told = road.told();
    let last_words: Vec<_> = told.iter().filter(|w| w.starts_with("retracted") || w.starts_with("confirmed")).collect();
    assert_eq!(last_words, ["retracted AB12CDF 1"], "{told:?}");
}

#[test]
fn what_was_retracted_does_not_silence_the_vehicle_that_carries_the_mark() {
    let mut road = Road::new(CoreOptions::default());
    road.core.apply(list(vec![entry("AB12CDE", Action::Stop, 0)]), &mut Vec::new());
    for n in 0u8..3 {
        road.see(&[plate("AB12CDE", 0.985, 400.0 + f32::from(n), 60.0)]);
    }
    for n in 0u8..20 {
        let x = 400.0 + f32::from(n);
        let near = Sighting { read: Some(read("AB12CDF", 0.93)), ..plate("AB12CDF", 0.985, x, 75.0 + 5.0 * f32::from(n)) };
        road.see(&[near]);
    }
    road.wait(6000);
    assert_eq!(road.told(), ["early AB12CDE 1", "retracted AB12CDF 1", "record AB12CDF 0"]);
    road.wait(4000);
    road.drive("AB12CDE", 0.99, 6);
    road.wait(1000);
    assert_eq!(road.told(), ["early AB12CDE 1", "confirmed AB12CDE 1", "record AB12CDE 1"]);
}

#[test]
fn a_hit_that_nobody_was_told_of_is_told_when_the_vehicle_is_seen_again() {
    // The front plate too unsure to be told, the rear plate clear.
    let mut road = Road::new(CoreOptions::default());
    road.core.apply(list(vec![entry("AB12CDE", Action::Stop, 0)]), &mut Vec::new());
    road.drive("AB12CDE", 0.7, 3);
    road.wait(700);
    assert_eq!(road.told(), ["record AB12CDE 1"]);
    road.drive("AB12CDE", 0.99, 6);
    road.wait(700);
    assert_eq!(road.told(), ["early AB12CDE 1", "confirmed AB12CDE 1", "record AB12CDE 1"]);
    // The list comes between front and rear, and the rear is not sure enough for an early alert.
    let mut road = Road::new(CoreOptions::default());
    road.drive("AB12CDE", 0.99, 6);
    road.wait(700);
    road.core.apply(list(vec![entry("AB12CDE", Action::Stop, 0)]), &mut road.effects);
    road.drive("AB12CDE", 0.85, 6);
    road.wait(700);
    assert_eq!(road.told(), ["record AB12CDE 0", "confirmed AB12CDE 1", "record AB12CDE 1"]);
}

#[test]
fn the_mark_of_a_vehicle_that_stays_on_one_that_passes_is_told_too() {
    let mut road = Road::new(CoreOptions::default());
    let parked = plate("AB12CDE", 0.99, 100.0, 140.0);
    (0..31 * 25).for_each(|_| road.see(std::slice::from_ref(&parked)));
    for n in 0..10u8 {
        road.see(&[parked.clone(), plate("AB12CDE", 0.99, 1300.0 + 20.0 * f32::from(n), 140.0)]);
    }
    road.wait(6000);
    let records = road.told().iter().filter(|w| w.starts_with("record")).count();
    assert_eq!(records, 2, "a cloned plate is for people to know");
}

#[test]
fn a_vehicle_that_stays_is_read_on_after_its_record() {
    // Far off in the queue its last character is taken for another one, surely enough for a record; then it comes near.
    for (far, far_p, record) in [("AB12CDF", 0.9, "record AB12CDF 0"), ("AB12CDE", 0.83, "record AB12CDE 1")] {
        let mut road = Road::new(CoreOptions::default());
        let unsure = AlertOptions { min_confidence_at_close: 0.9, ..AlertOptions::default() };
        road.core = Core::new(CoreOptions { alert: unsure, ..CoreOptions::default() }, Grammar::new(road.at().utc), 7);
        road.core.apply(list(vec![entry("AB12CDE", Action::Stop, 0)]), &mut Vec::new());
        (0..31 * 25).for_each(|_| road.see(&[plate(far, far_p, 400.0, 60.0)]));
        assert_eq!(road.told(), [record], "{far}");
        (0..200).for_each(|_| road.see(&[plate("AB12CDE", 0.99, 400.0, 64.0)]));
        let told = road.told();
        assert!(told.iter().any(|w| w == "confirmed AB12CDE 1" || w == "early AB12CDE 1"), "{far}: {told:?}");
    }
}

#[test]
fn an_unread_passage_far_from_a_related_mark_is_told() {
    for (x, told) in [(1700.0, 1), (420.0, 0)] {
        let mut road = Road::new(CoreOptions::default());
        road.drive("AB12CDE", 0.99, 8);
        for n in 0..3u8 {
            let part = Sighting { clipped: true, ..plate("AB12CD", 0.9, x + 20.0 * f32::from(n), 140.0) };
            road.see(&[part]);
        }
        road.wait(6000);
        assert_eq!(road.told().iter().filter(|w| w.starts_with("unread")).count(), told, "{x}");
    }
}

#[test]
fn a_listed_mark_seen_once_is_told_though_a_related_one_went_by() {
    let mut road = Road::new(CoreOptions::default());
    road.core.apply(list(vec![entry("AB12CDF", Action::Stop, 0)]), &mut Vec::new());
    road.drive("AB12CDE", 0.99, 8);
    road.wait(700);
    road.see(&[plate("AB12CDF", 0.999, 420.0, 140.0)]);
    road.wait(6000);
    assert_eq!(road.told(), ["record AB12CDE 0", "confirmed AB12CDF 1", "record AB12CDF 1"]);
}
