//! Vehicles that stay, return, come in pieces or in pairs: what is said of them, and how often.

use super::*;

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
