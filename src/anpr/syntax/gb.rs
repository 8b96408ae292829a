//! Formats of Great Britain, with the age identifier of the current one. Tables only: no matching is done here.
//!
//! Weights are shares of what passes a UK camera, to the nearest sensible figure; none was measured by us. They are
//! tempered before use (`decode`), so a factor of two either way changes next to nothing.

use super::{Country, Row};
use crate::clock::UtcTime;

pub(super) const ROWS: &[Row] = &[
    // Every vehicle first registered since September 2001, bar private marks: about seven in ten on the road today.
    Row {
        name: CURRENT,
        pattern: "^[A-HJ-PR-Y]{2}(?:0[2-9]|[1-4][0-9]|5[1-9]|[6-9][0-9])[A-HJ-PR-Z]{3}$",
        weight: 0.70,
        country: Country::GreatBritain,
    },
    // 1983 to 2001, and most private marks sold since.
    Row {
        name: "gb_prefix",
        pattern: "^[A-HJ-NPR-TV-Y][1-9][0-9]{0,2}[A-HJ-PR-Y]{3}$",
        weight: 0.08,
        country: Country::GreatBritain,
    },
    // Kit cars and rebuilt vehicles of unknown age: rare.
    Row { name: "gb_q", pattern: "^Q[1-9][0-9]{0,2}[A-HJ-PR-Y]{3}$", weight: 0.0005, country: Country::GreatBritain },
    // 1963 to 1983: classics, and some private marks.
    Row {
        name: "gb_suffix",
        pattern: "^[A-HJ-PR-Y]{3}[1-9][0-9]{0,2}[A-HJ-NPR-TV-Y]$",
        weight: 0.015,
        country: Country::GreatBritain,
    },
    // Before 1963; nearly all are private marks on newer vehicles, letters first being the commoner half.
    Row {
        name: "dateless_ln",
        pattern: "^(?:[A-HJ-PR-Y]{1,3}[1-9][0-9]{0,2}|[A-HJ-PR-Y]{1,2}[1-9][0-9]{3})$",
        weight: 0.02,
        country: Country::GreatBritain,
    },
    Row {
        name: "dateless_nl",
        pattern: "^(?:[1-9][0-9]{0,2}[A-HJ-PR-Y]{1,3}|[1-9][0-9]{3}[A-HJ-PR-Y]{1,2})$",
        weight: 0.015,
        country: Country::GreatBritain,
    },
    // A few thousand vehicles, most of them in London.
    Row { name: "diplomatic", pattern: "^[0-9]{3}[DX][0-9]{3}$", weight: 0.0005, country: Country::GreatBritain },
    // Red on white, moved from vehicle to vehicle; digits alone are also what phone numbers and house numbers look like.
    Row { name: "trade_2015", pattern: "^[0-9]{5}$", weight: 0.0005, country: Country::GreatBritain },
    Row { name: "trade_old", pattern: "^[0-9]{3}[A-Z]{1,3}$", weight: 0.0002, country: Country::GreatBritain },
    // Rare on the road, and just what a current mark looks like once its last letter is lost: kept low on purpose.
    Row {
        name: "military",
        pattern: "^(?:[0-9]{2}[A-Z]{2}[0-9]{2}|[A-Z]{2}[0-9]{2}[A-Z]{2})$",
        weight: 0.0003,
        country: Country::GreatBritain,
    },
];

/// Name of the format in use since 2001.
pub(super) const CURRENT: &str = "gb_current";

/// Positions of the age identifier in a current mark.
pub(super) const AGE_AT: [usize; 2] = [2, 3];

/// No box is older than this program: a clock that says so (a flat battery says 1970) would outlaw every current mark.
const NOT_BEFORE: (i16, i8) = (2026, 9);

/// The last age identifiers issued by `today`: of the March series (02..=50) and of the September one (51..=99).
pub(super) fn newest_ages(today: UtcTime) -> (u8, u8) {
    let (year, month) = today.year_month().max(NOT_BEFORE);
    let series = |starts: i8| {
        let year = if month >= starts { year } else { year - 1 };
        u8::try_from((year - 2000).clamp(0, 50)).unwrap_or(50)
    };
    (series(3), (50 + series(9)).min(99))
}

/// First moment at which [`newest_ages`] may answer otherwise: the next first of March or September, UTC.
pub(super) fn next_age_change(today: UtcTime) -> UtcTime {
    let (year, month) = today.year_month().max(NOT_BEFORE);
    let (year, month) = match month {
        ..3 => (year, 3),
        3..9 => (year, 9),
        _ => (year + 1, 3),
    };
    UtcTime::parse(&format!("{year:04}-{month:02}-01")).unwrap_or(UtcTime::from_micros(i64::MAX))
}

/// Whether a two-digit age identifier has been issued, given [`newest_ages`].
pub(super) fn age_is_issued(age: u8, newest: (u8, u8)) -> bool {
    (2..=newest.0.min(50)).contains(&age) || (51..=newest.1).contains(&age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_follow_march_and_september() {
        for (today, newest, next) in [
            ("1970-01-01", (26, 76), "2027-03-01T00:00:00.000Z"),
            ("2026-11-22", (26, 76), "2027-03-01T00:00:00.000Z"),
            ("2027-02-28", (26, 76), "2027-03-01T00:00:00.000Z"),
            ("2027-03-01", (27, 76), "2027-09-01T00:00:00.000Z"),
            ("2027-09-01", (27, 77), "2028-03-01T00:00:00.000Z"),
            ("2060-06-01", (50, 99), "2060-09-01T00:00:00.000Z"),
        ] {
            let today = UtcTime::parse(today).unwrap();
            assert_eq!(newest_ages(today), newest, "{today}");
            assert_eq!(next_age_change(today).to_string(), next, "{today}");
        }
        let issued: Vec<u8> = (0..100).filter(|a| age_is_issued(*a, (26, 76))).collect();
        assert_eq!(issued, (2..=26).chain(51..=76).collect::<Vec<_>>());
    }
}
