//! Capture and read rates by what the truth says of the vehicles: where a camera is weak shows here first.

use std::collections::BTreeMap;

use super::judge::Vehicle;
use super::tally::Judged;
use crate::cli::rate::Rate;
use crate::clock::UtcTime;

/// Ends of the width classes, pixels: plates narrower than the first are hard for people too.
const WIDTH_PX: [f64; 6] = [50.0, 65.0, 80.0, 100.0, 120.0, 160.0];
/// Ends of the speed classes, miles an hour: the limits that UK roads have, and beyond.
const SPEED_MPH: [f64; 7] = [20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 85.0];
/// Microseconds of an hour.
const HOUR_MICROS: i64 = 3_600_000_000;

/// Rates of one class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) name: String,
    /// Of its vehicles: captured.
    pub(super) captured: Rate,
    /// Of those: read right.
    pub(super) right: Rate,
}

/// The classes of one property, in order; those without vehicles are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stratum {
    pub(super) title: &'static str,
    pub(super) classes: Vec<Class>,
}

/// Where a class stands among its like, and its name.
type Label = (usize, String);

/// All strata that the truth has a value for.
pub(super) fn strata(judged: Judged<'_>) -> Vec<Stratum> {
    let start = judged.start;
    let width = |v: &Vehicle| v.row.max_plate_width_px.map(|w| banded(&WIDTH_PX, w, "px"));
    let speed = |v: &Vehicle| v.row.speed_mph.map(|s| banded(&SPEED_MPH, s, "mph"));
    let named = |name: &Option<String>| name.as_ref().map(|n| (0, n.clone()));
    let all = [
        stratum("by plate width", judged, width),
        stratum("by hour of day, UTC", judged, |v| Some(hour(start, v.readable_s))),
        stratum("by speed", judged, speed),
        stratum("by direction", judged, |v| named(&v.row.direction)),
        stratum("by lane", judged, |v| named(&v.row.lane)),
        stratum("by end", judged, |v| named(&v.row.end)),
    ];
    all.into_iter().flatten().collect()
}

fn stratum(title: &'static str, judged: Judged<'_>, label: impl Fn(&Vehicle) -> Option<Label>) -> Option<Stratum> {
    let mut classes: BTreeMap<Label, Class> = BTreeMap::new();
    let mut has_values = false;
    for v in judged.counted() {
        let label = label(&judged.vehicles[v]);
        has_values |= label.is_some();
        let label = label.unwrap_or_else(|| (usize::MAX, "not given".to_owned()));
        let class = classes.entry(label).or_insert_with_key(|(_, name)| Class { name: name.clone(), ..Class::default() });
        let fate = judged.fate(v);
        class.captured.count(fate.records > 0);
        if fate.records > 0 {
            class.right.count(fate.right);
        }
    }
    has_values.then(|| Stratum { title, classes: classes.into_values().collect() })
}

/// The class of a value between these ends.
fn banded(ends: &[f64], value: f64, unit: &str) -> Label {
    let at = ends.iter().filter(|end| value >= **end).count();
    let name = match (at.checked_sub(1).and_then(|i| ends.get(i)), ends.get(at)) {
        (None, Some(end)) => format!("below {end} {unit}"),
        (Some(from), Some(end)) => format!("{from} to {end} {unit}"),
        (Some(from), None) => format!("{from} {unit} and more"),
        (None, None) => unit.to_owned(),
    };
    (at, name)
}

/// The hour in which a moment of the clip lies.
fn hour(start: UtcTime, at_s: f64) -> Label {
    #[allow(clippy::cast_possible_truncation)] // seconds of a clip
    let hour = start.plus_micros((at_s * 1e6) as i64).as_micros().div_euclid(HOUR_MICROS).rem_euclid(24);
    (usize::try_from(hour).unwrap_or(0), format!("{hour:02}:00"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_have_names_that_say_their_ends() {
        let name = |value| banded(&WIDTH_PX, value, "px").1;
        assert_eq!(
            [name(49.9), name(50.0), name(119.0), name(400.0)],
            ["below 50 px", "50 to 65 px", "100 to 120 px", "160 px and more"]
        );
    }

    #[test]
    fn hours_are_those_of_utc_and_pass_midnight() {
        let start = UtcTime::parse("2026-11-22T23:59:58Z").expect("a time");
        assert_eq!((hour(start, 1.9).1, hour(start, 2.1).1), ("23:00".to_owned(), "00:00".to_owned()));
    }
}
