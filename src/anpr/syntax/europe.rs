//! Formats of Ireland and the Continent that UK cameras see, lorries above all.
//!
//! A continental plate is perhaps one in twenty near a port and one in a hundred elsewhere; the weights share out about
//! five in a hundred by who drives here. Loose patterns (Poland, Germany) hold so many strings that each string's part is
//! tiny, which is right: they should explain a text that nothing else explains, and outweigh nothing.

use super::{Country, Row};

pub(super) const ROWS: &[Row] = &[
    // Across an open border: the commonest visitor.
    Row {
        name: "ie_2013",
        pattern: "^(?:1[3-9]|[2-9][0-9])[12](?:C|CE|CN|CW|D|DL|G|KE|KK|KY|L|LD|LH|LM|LS|MH|MN|MO|OY|RN|SO|T|W|WH|WW|WX)[1-9][0-9]{0,5}$",
        weight: 0.006,
        country: Country::Ireland,
    },
    Row {
        name: "ie_1987",
        pattern: "^(?:8[7-9]|9[0-9]|0[0-9]|1[0-2])(?:C|CE|CN|CW|D|DL|G|KE|KK|KY|L|LD|LH|LK|LM|LS|MH|MN|MO|OY|RN|SO|TN|TS|W|WD|WH|WW|WX)[1-9][0-9]{0,5}$",
        weight: 0.002,
        country: Country::Ireland,
    },
    // Channel traffic. France, Italy and Slovakia share one shape; the heaviest of them names it.
    Row { name: "fr_2009", pattern: "^[A-HJ-NP-TV-Z]{2}[0-9]{3}[A-HJ-NP-TV-Z]{2}$", weight: 0.006, country: Country::France },
    Row { name: "fr_old", pattern: "^[0-9]{1,4}[A-Z]{2,3}(?:[0-9]{2}|2[AB])$", weight: 0.0005, country: Country::France },
    Row { name: "it", pattern: "^[A-HJ-NPR-TV-Z]{2}[0-9]{3}[A-HJ-NPR-TV-Z]{2}$", weight: 0.002, country: Country::Italy },
    Row { name: "de", pattern: "^[A-ZÄÖÜ]{1,3}[A-Z]{1,2}[1-9][0-9]{0,3}[HE]?$", weight: 0.006, country: Country::Germany },
    Row { name: "es", pattern: "^[0-9]{4}[BCDFGHJKLMNPRSTVWXYZ]{3}$", weight: 0.004, country: Country::Spain },
    Row {
        name: "nl",
        pattern: "^(?:[A-Z]{2}[0-9]{2}[A-Z]{2}|[0-9]{2}[A-Z]{2}[0-9]{2}|[A-Z]{2}[0-9]{4}|[0-9]{4}[A-Z]{2}|[A-Z]{4}[0-9]{2}|[0-9]{2}[A-Z]{4}|[0-9]{2}[A-Z]{3}[0-9]|[0-9][A-Z]{3}[0-9]{2}|[A-Z]{2}[0-9]{3}[A-Z]|[A-Z][0-9]{3}[A-Z]{2}|[A-Z]{3}[0-9]{2}[A-Z]|[A-Z][0-9]{2}[A-Z]{3}|[0-9][A-Z]{2}[0-9]{3}|[0-9]{3}[A-Z]{2}[0-9])$",
        weight: 0.004,
        country: Country::Netherlands,
    },
    // The largest foreign fleet of lorries here.
    Row { name: "pl", pattern: "^[A-PR-Z]{2,3}[0-9A-PR-Z]{4,5}$", weight: 0.008, country: Country::Poland },
    // Shaped like a current GB mark; a seventieth of its weight, so it names a text only when the age was never issued.
    Row { name: "ro", pattern: "^(?:B[0-9]{2,3}|[A-Z]{2}[0-9]{2})[A-Z]{3}$", weight: 0.005, country: Country::Romania },
    Row { name: "bg", pattern: "^[ABEKMHOPCTYX]{1,2}[0-9]{4}[ABEKMHOPCTYX]{2}$", weight: 0.002, country: Country::Bulgaria },
    Row { name: "lt", pattern: "^[A-Z]{3}[0-9]{3}$", weight: 0.003, country: Country::Lithuania },
    Row { name: "hu", pattern: "^(?:[A-Z]{3}|[A-Z]{4})[0-9]{3}$", weight: 0.0015, country: Country::Hungary },
    Row { name: "be", pattern: "^[1-9][A-Z]{3}[0-9]{3}$", weight: 0.002, country: Country::Belgium },
    Row {
        name: "pt",
        pattern: "^(?:[A-Z]{2}[0-9]{4}|[0-9]{4}[A-Z]{2}|[0-9]{2}[A-Z]{2}[0-9]{2}|[A-Z]{2}[0-9]{2}[A-Z]{2})$",
        weight: 0.0015,
        country: Country::Portugal,
    },
    Row { name: "cz", pattern: "^[0-9][A-Z][0-9]{4,5}$", weight: 0.0015, country: Country::Czechia },
    Row { name: "sk", pattern: "^[A-Z]{2}[0-9]{3}[A-Z]{2}$", weight: 0.0015, country: Country::Slovakia },
    Row { name: "dk", pattern: "^[A-Z]{2}[0-9]{5}$", weight: 0.001, country: Country::Denmark },
    Row { name: "se", pattern: "^[A-Z]{3}[0-9]{2}[0-9A-Z]$", weight: 0.001, country: Country::Sweden },
    Row { name: "ua", pattern: "^[ABEIKMHOPCTX]{2}[0-9]{4}[ABEIKMHOPCTX]{2}$", weight: 0.002, country: Country::Ukraine },
];
