//! Whose record is whose, by time and by place.

use super::*;
use crate::cli::replay::corners::tests::{corners, quad};

/// A row of the truth in seconds.
pub(crate) fn row(mark: &str, first_s: f64, last_s: f64) -> Row {
    Row {
        line: 2,
        vrm: Vrm::parse(mark).expect("a mark"),
        frames: None,
        seconds: Some((first_s, last_s)),
        max_plate_width_px: None,
        max_char_height_px: None,
        speed_mph: None,
        direction: None,
        lane: None,
        end: None,
        id: None,
        is_readable: true,
    }
}

/// A vehicle of a clip with ten frames a second.
pub(crate) fn vehicle(mark: &str, first_s: f64, last_s: f64) -> Vehicle {
    let positions_s: Vec<f64> = (0..1000).map(|i| f64::from(i) / 10.0).collect();
    Vehicle::new(row(mark, first_s, last_s), &positions_s)
}

/// A record over a time, with its best frame in the middle and its plate at x.
pub(crate) fn seen(mark: &str, first_s: f64, last_s: f64, x: f32) -> Seen {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let best_frame = f64::midpoint(first_s, last_s) as u64 * 10;
    Seen { mark: Vrm::parse(mark).ok(), span: Span { first_s, last_s }, best_frame, quad: quad(x) }
}

fn time(vehicles: &[Vehicle], records: &[Seen]) -> Verdict {
    judge(vehicles, None, records, &[])
}

#[test]
fn a_row_is_placed_by_frames_or_seconds() {
    let positions_s = [0.0, 0.5, 1.0, 1.5, 2.0];
    let by_frames = Vehicle::new(Row { frames: Some((1, 3)), ..row("A1", 0.2, 1.9) }, &positions_s);
    assert_eq!((by_frames.span, by_frames.frames), (Span { first_s: 0.2, last_s: 1.9 }, (1, 3)));
    assert!((by_frames.readable_s - 0.5).abs() < 1e-9, "in view from 0.2 s, readable from frame 1");
    let by_seconds = Vehicle::new(row("A1", 0.6, 1.2), &positions_s);
    assert_eq!((by_seconds.frames, by_seconds.readable_s), ((2, 3), 0.6));
    let beyond = Vehicle::new(Row { frames: Some((3, 99)), seconds: None, ..row("A1", 0.0, 0.0) }, &positions_s);
    assert_eq!((beyond.span.last_s, beyond.frames), (2.0, (3, 4)), "a row that outlasts the clip ends with it");
}

#[test]
fn a_record_goes_to_the_vehicle_of_its_mark_and_time() {
    let vehicles = [vehicle("AB12CDE", 1.0, 2.0), vehicle("FG34HJK", 1.0, 2.0), vehicle("AB12CDE", 9.0, 10.0)];
    let verdict =
        time(&vehicles, &[seen("FG34HJK", 1.1, 1.9, 0.0), seen("AB12CDE", 9.5, 10.8, 0.0), seen("AB12CDE", 2.9, 3.0, 0.0)]);
    assert_eq!(verdict.homes, [Home::Vehicle(1), Home::Vehicle(2), Home::Vehicle(0)]);
    // Later than the tolerance, and of nobody in view.
    assert_eq!(time(&vehicles, &[seen("AB12CDE", 3.1, 3.2, 0.0)]).homes, [Home::Nowhere]);
}

#[test]
fn look_alikes_find_their_vehicle_too_but_an_exact_mark_goes_first() {
    let vehicles = [vehicle("GO10OLO", 1.0, 2.0), vehicle("G0100L0", 1.0, 2.0)];
    let verdict = time(&vehicles, &[seen("G0100L0", 1.0, 2.0, 0.0), seen("GO100LO", 1.0, 2.0, 0.0)]);
    assert_eq!(verdict.homes, [Home::Vehicle(1), Home::Vehicle(0)]);
}

#[test]
fn front_and_rear_of_one_vehicle_are_told_apart_by_time() {
    let vehicles = [vehicle("AB12CDE", 1.0, 2.0), vehicle("AB12CDE", 2.5, 4.0)];
    let verdict = time(&vehicles, &[seen("AB12CDE", 1.1, 2.1, 0.0), seen("AB12CDE", 2.4, 3.9, 0.0)]);
    assert_eq!((&verdict.records[0], &verdict.records[1]), (&vec![0], &vec![1]));
    assert!(!verdict.misattributed.contains(&true));
}

#[test]
fn what_is_left_goes_to_the_likest_vehicle_without_a_record() {
    let vehicles = [vehicle("AB12CDE", 1.0, 2.0), vehicle("AB12CDF", 1.0, 2.0), vehicle("XY99ZZZ", 1.0, 2.0)];
    let verdict = time(&vehicles, &[seen("AB12CDX", 1.0, 2.0, 0.0), seen("AB12CDF", 1.0, 2.0, 0.0), seen("XY9", 1.0, 2.0, 0.0)]);
    assert_eq!(verdict.homes, [Home::Vehicle(0), Home::Vehicle(1), Home::Nowhere], "XY9 lacks more than half of XY99ZZZ");
    // A second one that is as like is a further record of one in view.
    let verdict = time(&vehicles[..1], &[seen("AB12CDE", 1.0, 2.0, 0.0), seen("AB12C", 1.5, 2.0, 0.0)]);
    assert_eq!(verdict.records, [vec![0, 1]]);
    assert_eq!(time(&vehicles, &[seen("KLM777P", 1.0, 2.0, 0.0)]).homes, [Home::Nowhere]);
}

#[test]
fn a_mark_from_elsewhere_on_a_bare_vehicle_is_misattributed() {
    let vehicles = [vehicle("AB12CDE", 1.0, 2.0), vehicle("XY99ZZZ", 30.0, 31.0)];
    let verdict = time(&vehicles, &[seen("XY99ZZZ", 1.0, 2.0, 0.0), seen("XY99ZZZ", 30.0, 31.0, 0.0)]);
    assert_eq!((verdict.homes, verdict.misattributed), (vec![Home::Vehicle(0), Home::Vehicle(1)], vec![true, false]));
    // Where every vehicle in view has its own record, it is of none.
    let verdict = time(&vehicles, &[seen("AB12CDE", 1.0, 2.0, 0.0), seen("XY99ZZZ", 1.2, 2.0, 0.0)]);
    assert_eq!((verdict.homes[1], verdict.misattributed[1]), (Home::Nowhere, false));
}

#[test]
fn with_corners_the_evidence_says_whose_record_it_is() {
    let of = |mark: &str, id: &str| {
        let vehicle = vehicle(mark, 1.0, 3.0);
        Vehicle { row: Row { id: Some(id.into()), ..vehicle.row }, ..vehicle }
    };
    let vehicles = [of("AB12CDE", "1"), of("XY99ZZZ", "2")];
    let corners = corners(&[(20, "AB12CDE", "1", 0, "1,0"), (20, "XY99ZZZ", "2", 400, "1,0"), (20, "LM11NOP", "3", 800, "1,0")]);
    let records = [
        seen("AB12CDE", 1.0, 3.0, 5.0),
        seen("AB12CDE", 1.0, 3.0, 405.0),
        seen("QQ77QQQ", 1.0, 3.0, 420.0),
        seen("LM11NOP", 1.0, 3.0, 800.0),
        seen("AB12CDE", 1.0, 3.0, 790.0),
        seen("AB12CDE", 1.0, 3.0, 600.0),
    ];
    let verdict = judge(&vehicles, Some(&corners), &records, &[seen("", 1.0, 3.0, 10.0)]);
    let unlisted = Home::Unlisted(Vrm::parse("LM11NOP").expect("a mark"));
    assert_eq!(
        verdict.homes,
        [Home::Vehicle(0), Home::Vehicle(1), Home::Vehicle(1), unlisted, unlisted, Home::Nowhere],
        "whatever was read"
    );
    assert_eq!(verdict.misattributed, [false, true, false, false, true, false]);
    assert_eq!((verdict.unread_homes, verdict.records), (vec![Home::Vehicle(0)], vec![vec![0], vec![1, 2]]));
}

#[test]
fn with_corners_front_and_rear_share_a_plate_and_time_tells() {
    let end = |first_s, last_s| {
        let vehicle = vehicle("AB12CDE", first_s, last_s);
        Vehicle { row: Row { id: Some("1".into()), ..vehicle.row }, ..vehicle }
    };
    let corners = corners(&[(10, "AB12CDE", "1", 0, "1,0"), (40, "AB12CDE", "1", 0, "1,0")]);
    let records = [seen("AB12CDE", 1.0, 2.0, 0.0), seen("AB12CDX", 4.0, 5.0, 0.0)];
    let verdict = judge(&[end(1.0, 2.0), end(4.0, 5.0)], Some(&corners), &records, &[]);
    assert_eq!((verdict.records, verdict.misattributed), (vec![vec![0], vec![1]], vec![false, false]));
}

#[test]
fn unread_passages_go_to_vehicles_that_nothing_else_was_said_of() {
    let vehicles = [vehicle("AB12CDE", 1.0, 2.0), vehicle("XY99ZZZ", 1.0, 2.0), vehicle("LM11NOP", 1.0, 2.0)];
    let records = [seen("AB12CDE", 1.0, 2.0, 0.0)];
    let unread = [seen("", 1.0, 2.0, 0.0), seen("LM11N0P", 1.0, 2.0, 0.0), seen("", 1.0, 2.0, 0.0)];
    let verdict = judge(&vehicles, None, &records, &unread);
    assert_eq!(verdict.unread_homes, [Home::Vehicle(1), Home::Vehicle(2), Home::Nowhere]);
}
