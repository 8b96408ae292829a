//! Formats of Man, Jersey, Guernsey, Alderney and Gibraltar: seen on UK roads by the ferry-load, not by the thousand.

use super::{Country, Row};

pub(super) const ROWS: &[Row] = &[
    // Clashes with the suffix series (`BMN123A`); few strings share this weight, so Man wins there, as it should.
    Row {
        name: "iom_current",
        pattern: "^[B-HJ-PRT-Y]MN[1-9][0-9]{0,2}[A-HJ-PR-Y]$",
        weight: 0.0005,
        country: Country::IsleOfMan,
    },
    Row {
        name: "iom_older",
        pattern: "^(?:MA?N[1-9][0-9]{0,3}|[1-9][0-9]{0,3}MA?N|[B-Y]MN[1-9][0-9]{0,2}|[1-9][0-9]{0,2}[B-Y]MN|MAN[1-9][0-9]{0,2}[A-Y]|[A-Y][1-9][0-9]{0,2}MAN)$",
        weight: 0.0002,
        country: Country::IsleOfMan,
    },
    Row {
        name: "jersey",
        pattern: "^(?:J[1-9][0-9]{0,5}|JSY[1-9][0-9]{0,2}|E[1-9][0-9]{0,5})$",
        weight: 0.0003,
        country: Country::Jersey,
    },
    // Digits alone: anything printed looks like it, so the weight stays small.
    Row { name: "guernsey", pattern: "^[1-9][0-9]{0,4}$", weight: 0.0002, country: Country::Guernsey },
    // An island of two thousand people.
    Row { name: "alderney", pattern: "^AY[1-9][0-9]{0,3}$", weight: 0.000_01, country: Country::Alderney },
    // A day and a ferry away; any heavier and `G001R` would take the suffix mark GOO 1R from its owner.
    Row { name: "gibraltar", pattern: "^G[0-9]{1,4}[A-Z]?$", weight: 0.000_01, country: Country::Gibraltar },
];
