//! Lists that change, several at once, and moments at which nothing may match.

use super::*;
use crate::anpr::hotlist::Marker;
use crate::clock::{ClockQuality, ClockSource};

fn lists(of: &[(&str, &[HotlistEntry])]) -> Event<'static> {
    let list = |(id, entries): &(&str, &[HotlistEntry])| {
        let version = HotlistVersion { list: (*id).into(), version: "1".into() };
        Arc::new(Hotlist::new(version, entries).unwrap())
    };
    Event::Hotlists(Arc::new(Hotlists::new(of.iter().map(list).collect(), MatchOptions::default())))
}

fn alerts(road: &mut Road) -> Vec<Alert> {
    let alert = |effect| if let Effect::Alert(alert) = effect { Some(*alert) } else { None };
    road.effects.drain(..).filter_map(alert).collect()
}

/// Some events, so that records of the last while get their turn.
fn go_on(road: &mut Road) {
    for _ in 0..8 {
        road.wait(100);
    }
}

#[test]
fn a_vehicle_reported_after_it_went_past_gives_one_late_alert() {
    let mut road = Road::new(CoreOptions::default());
    for text in ["AB12CDE", "XY63ABC", "KL05MNP"] {
        road.drive(text, 0.99, 5);
        road.wait(5_000);
    }
    road.effects.clear();
    road.wait(20 * 60_000);
    road.core.apply(list(vec![entry("XY63ABC", Action::Stop, 0)]), &mut Vec::new());
    go_on(&mut road);
    let told = alerts(&mut road);
    let [late] = &told[..] else { panic!("{told:?}") };
    assert_eq!((late.phase, late.late, late.decoded.vrm.to_string().as_str()), (AlertPhase::Confirmed, true, "XY63ABC"));
    assert!(late.at.utc < road.at().utc.plus_micros(-1_200_000_000), "the moment is that of the passage");
    // The same list in another version is no news, another action is.
    road.core.apply(list(vec![entry("XY63ABC", Action::Stop, 0)]), &mut Vec::new());
    go_on(&mut road);
    assert_eq!(alerts(&mut road), []);
    road.core.apply(list(vec![entry("XY63ABC", Action::Stop, 0), entry("XY63ABC", Action::Assess, 3)]), &mut Vec::new());
    go_on(&mut road);
    assert_eq!(alerts(&mut road).iter().map(|a| a.hits.len()).collect::<Vec<_>>(), [2]);
    assert_eq!(road.core.stats().alerts_late, 2);
    // After the configured time it is forgotten.
    road.wait(60 * 60_000);
    road.core.apply(list(vec![entry("AB12CDE", Action::Stop, 0)]), &mut Vec::new());
    go_on(&mut road);
    assert_eq!(alerts(&mut road), []);
}

#[test]
fn what_was_a_hit_at_its_time_is_not_late_and_a_vehicle_in_view_is_told_once() {
    let mut road = Road::new(CoreOptions::default());
    road.core.apply(list(vec![entry("AB12CDE", Action::Stop, 0)]), &mut Vec::new());
    road.drive("AB12CDE", 0.99, 5);
    road.wait(5_000);
    assert_eq!(alerts(&mut road).len(), 2, "early and confirmed");
    road.core.apply(list(vec![entry("AB12CDE", Action::Stop, 0), entry("XY63ABC", Action::Stop, 0)]), &mut Vec::new());
    go_on(&mut road);
    assert_eq!(alerts(&mut road), []);
    // One that stands, has its record, and is listed then: told as it stands there, not late as well when it has gone.
    for _ in 0..900 {
        road.see(&[plate("KL05MNP", 0.99, 400.0, 140.0)]);
    }
    assert!(road.told().contains(&"record KL05MNP 0".to_owned()));
    let mut said = Vec::new();
    road.core.apply(list(vec![entry("KL05MNP", Action::Stop, 0)]), &mut said);
    assert!(matches!(&said[..], [Effect::Alert(a)] if !a.late), "{said:?}");
    road.wait(20_000);
    road.core.apply(list(vec![entry("KL05MNP", Action::Stop, 0)]), &mut Vec::new());
    go_on(&mut road);
    assert_eq!(alerts(&mut road), []);
}

#[test]
fn late_matching_can_be_switched_off_and_is_bounded() {
    let mut options = CoreOptions::default();
    options.alert.late_match_ms = 0;
    let mut road = Road::new(options);
    road.drive("AB12CDE", 0.99, 5);
    road.wait(5_000);
    road.effects.clear();
    road.core.apply(list(vec![entry("AB12CDE", Action::Stop, 0)]), &mut Vec::new());
    go_on(&mut road);
    assert_eq!(alerts(&mut road), []);
}

#[test]
fn every_list_that_hits_is_named_and_the_most_urgent_comes_first() {
    let mut road = Road::new(CoreOptions::default());
    let mut armed = entry("AB12CDE", Action::Assess, 3);
    armed.markers = vec![Marker::parse("FI").unwrap()];
    let (stop, quiet) = (entry("AB12CDE", Action::Stop, 3), entry("AB12CDE", Action::Silent, 0));
    road.core
        .apply(lists(&[("a", &[quiet]), ("b", &[entry("AB12CDE", Action::Assess, 0), armed]), ("c", &[stop])]), &mut Vec::new());
    road.drive("AB12CDE", 0.99, 5);
    let told = alerts(&mut road);
    let [early] = &told[..] else { panic!("{told:?}") };
    let said = |alert: &Alert| {
        alert.hits.iter().map(|h| format!("{} {} {}", h.list, h.entry.action.as_str(), h.entry.markers.len())).collect::<Vec<_>>()
    };
    assert_eq!(said(early), ["c stop 0", "b assess 1", "b assess 0", "a silent 0"]);
    assert_eq!(early.hotlists.len(), 3);
    assert_eq!(
        said(&early.for_display().unwrap()),
        ["c stop 0", "b assess 1", "b assess 0"],
        "nobody near it learns of silent hits"
    );
}

#[test]
fn a_silent_hit_alone_never_reaches_a_display() {
    let mut road = Road::new(CoreOptions::default());
    road.core.apply(list(vec![entry("AB12CDE", Action::Silent, 0)]), &mut Vec::new());
    road.drive("AB12CDE", 0.99, 5);
    road.wait(5_000);
    let told = alerts(&mut road);
    assert_eq!(told.len(), 2, "the back office hears of it");
    assert!(told.iter().all(|alert| alert.for_display().is_none()));
}

#[test]
fn a_silent_hit_does_not_make_a_display_say_again_what_it_said() {
    let mut road = Road::new(CoreOptions::default());
    let stop = entry("AB12CDE", Action::Stop, 0);
    let shown = |road: &mut Road| alerts(road).iter().filter_map(Alert::for_display).map(|a| a.phase).collect::<Vec<_>>();
    road.core.apply(list(vec![stop.clone()]), &mut Vec::new());
    road.drive("AB12CDE", 0.99, 5);
    assert_eq!(shown(&mut road), [AlertPhase::Early]);
    // While it is in view a silent entry comes: the back office hears of it, the crew sees nothing new.
    road.core.apply(list(vec![stop.clone(), entry("AB12CDE", Action::Silent, 0)]), &mut road.effects);
    road.drive("AB12CDE", 0.99, 5);
    let told = alerts(&mut road);
    assert!(told.iter().any(|a| a.hits.len() == 2), "{told:?}");
    assert_eq!(told.iter().filter_map(Alert::for_display).count(), 0);
    road.wait(5_000);
    assert_eq!(shown(&mut road), [AlertPhase::Confirmed], "what was shown has its last word");
    // Within the cool-down of the one that may be shown, another silent entry brings the next passage of it to the back office only.
    let quiet = HotlistEntry { wanted: stop.wanted, ..entry("AB12CDE", Action::Silent, 0) };
    road.core.apply(lists(&[("local", &[stop]), ("other", &[quiet])]), &mut Vec::new());
    road.drive("AB12CDE", 0.99, 5);
    road.wait(5_000);
    let told = alerts(&mut road);
    assert!(!told.is_empty() && told.iter().all(|a| a.for_display().is_none()), "{told:?}");
}

#[test]
fn an_entry_past_its_weed_date_stays_dead_when_the_clock_steps_back() {
    let mut road = Road::new(CoreOptions::default());
    let weeded = HotlistEntry { valid_until: UtcTime::parse("2026-11-22T12:00:10Z"), ..entry("AB12CDE", Action::Stop, 0) };
    road.core.apply(list(vec![weeded]), &mut Vec::new());
    let pass = |road: &mut Road, stepped_s: i64, synchronised: bool| {
        for n in 0u8..5 {
            road.ms += 40;
            road.seq += 1;
            let mut at = road.at();
            at.utc = at.utc.plus_micros(stepped_s * 1_000_000);
            at.quality = ClockQuality { source: ClockSource::System, synchronised, max_error_ms: None };
            let sightings = [plate("AB12CDE", 0.99, 400.0 + 20.0 * f32::from(n), 140.0)];
            let event = Event::Frame { camera: &road.camera, seq: FrameSeq(road.seq), at, sightings: &sightings };
            road.core.apply(event, &mut road.effects);
        }
        let told = alerts(road).iter().filter(|a| a.phase == AlertPhase::Early).count();
        road.ms += 70_000; // beyond the cool-down
        told
    };
    assert_eq!(pass(&mut road, 0, true), 1, "in force");
    assert_eq!(pass(&mut road, 0, true), 0, "weeded");
    assert_eq!(pass(&mut road, -86_400, false), 0, "the clock lost a day: still weeded");
    assert_eq!(pass(&mut road, -86_400 * 365 * 50, false), 0, "the battery died");
}

#[test]
fn a_list_that_comes_anew_with_later_dates_and_other_words_retracts_nothing_and_tells_nothing_twice() {
    let renewed = |day: &str| HotlistEntry {
        reason: format!("as of {day}"),
        valid_until: UtcTime::parse(day),
        ..entry("AB12CDE", Action::Stop, 0)
    };
    let mut road = Road::new(CoreOptions::default());
    road.core.apply(list(vec![renewed("2026-12-20")]), &mut Vec::new());
    road.drive("AB12CDE", 0.99, 3);
    assert_eq!(road.told(), ["early AB12CDE 1"]);
    road.core.apply(list(vec![renewed("2026-12-21")]), &mut Vec::new());
    road.drive("AB12CDE", 0.99, 3);
    road.wait(1000);
    assert_eq!(road.told(), ["confirmed AB12CDE 1", "record AB12CDE 1"]);
    road.wait(5 * 60_000);
    road.core.apply(list(vec![renewed("2026-12-22")]), &mut Vec::new());
    go_on(&mut road);
    assert_eq!(alerts(&mut road), [], "nor is it late");
    // That it is armed is news.
    let armed = HotlistEntry { markers: Marker::parse("FI").into_iter().collect(), ..renewed("2026-12-22") };
    road.core.apply(list(vec![armed]), &mut Vec::new());
    go_on(&mut road);
    assert_eq!(alerts(&mut road).iter().map(|a| (a.phase, a.late)).collect::<Vec<_>>(), [(AlertPhase::Confirmed, true)]);
}

#[test]
fn the_cool_down_hides_no_graver_marker_and_no_other_entry_that_the_same_read_matches() {
    let marked =
        |code: &str| HotlistEntry { markers: Marker::parse(code).into_iter().collect(), ..entry("AB12CDO", Action::Stop, 1) };
    let mut road = Road::new(CoreOptions::default());
    let mut pass = |entries: Vec<HotlistEntry>| {
        road.core.apply(list(entries), &mut Vec::new());
        road.effects.clear();
        road.drive("AB12CDO", 0.99, 4);
        road.wait(4_000);
        road.told().iter().any(|w| w.starts_with("early"))
    };
    assert!(pass(vec![entry("AB12CD0", Action::Stop, 1)]), "a look-alike");
    assert!(pass(vec![entry("AB12CDO", Action::Stop, 1)]), "the very mark is another plate");
    assert!(pass(vec![marked("DR")]), "a marker is news");
    assert!(!pass(vec![marked("SH")]), "a lesser one is not");
    assert!(pass(vec![marked("FI")]), "a graver one is");
}
