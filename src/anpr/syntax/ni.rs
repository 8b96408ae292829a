//! Formats of Northern Ireland: always an `I` or a `Z` among the letters. Also favourites as private marks in Great Britain.

use super::{Country, Row};

pub(super) const ROWS: &[Row] = &[
    // Every vehicle of the province, and "ageless" marks bought by owners of buses and vans across the water.
    Row {
        name: "ni_ln",
        pattern: "^(?:[A-HJ-PR-Y](?:[IZ][A-PR-Z]|[A-PR-Z][IZ])|I[ABJLW]|[A-HJ-PR-Y][IZ])[1-9][0-9]{0,3}$",
        weight: 0.03,
        country: Country::NorthernIreland,
    },
    // The reversed series: far fewer were issued.
    Row {
        name: "ni_nl",
        pattern: "^[1-9][0-9]{0,3}(?:[A-HJ-PR-Y](?:[IZ][A-PR-Z]|[A-PR-Z][IZ])|I[ABJLW]|[A-HJ-PR-Y][IZ])$",
        weight: 0.003,
        country: Country::NorthernIreland,
    },
];
