//! Rows of a hotlist as large as one likes, shared by its benchmarks: seeded, spread evenly over all marks of the current format.

#![allow(unreachable_pub)] // one crate, no outside

use kerbside::anpr::hotlist::{Action, Detail, HotlistEntry, Marker, Priority, Wanted};
use kerbside::anpr::vrm::Vrm;
use kerbside::clock::UtcTime;

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// The letters of marks, in the order of keys: `O` is drawn as `0`, and digits come first.
const LETTERS: &[u8] = b"OABCDEFGHJKLMNPRSTUVWXYZ";

/// How many marks of the current format there are: two letters, an age identifier, three letters.
pub const MARKS: u64 = 24u64.pow(5) * 50;

/// The current format's marks, numbered in the order of their keys.
pub fn mark(n: u64) -> Vrm {
    let letter = |place: u32| char::from(LETTERS[(n / place_value(place) % 24) as usize]);
    let age = n / place_value(2) % 50;
    let age = if age < 25 { age + 2 } else { age + 26 };
    let text = format!("{}{}{age:02}{}{}{}", letter(0), letter(1), letter(3), letter(4), letter(5));
    Vrm::parse(&text).unwrap()
}

fn place_value(place: u32) -> u64 {
    [24u64.pow(4) * 50, 24u64.pow(3) * 50, 24u64.pow(3), 24 * 24, 24, 1][place as usize]
}

/// Row `n` of `rows`, spread evenly over all marks; some marks have two.
pub fn wanted_number(n: usize, rows: usize) -> u64 {
    let every = MARKS / rows as u64;
    let n = if n % 50 == 49 { n - 1 } else { n } as u64;
    n * every + n.wrapping_mul(0x9E37_79B9) % every
}

/// A row as they come from the police's systems: what is on the vehicle, why it is wanted, until when.
pub fn entry(n: usize, rows: usize) -> HotlistEntry {
    let mut random = Random(n as u64 ^ 0x5EED);
    let action = Action::ALL[random.below(4)];
    let mut entry =
        HotlistEntry::new(Wanted::Mark(mark(wanted_number(n, rows))), action, Priority::new(random.below(4) as u8).unwrap());
    entry.reason = format!("REASON {} AS STATED BY THE OWNER", random.below(200));
    let model = random.below(400);
    entry.details.set(Detail::Make, format!("MAKE {}", model % 40));
    entry.details.set(Detail::Model, format!("MODEL {model}"));
    entry.details.set(Detail::Colour, format!("COLOUR {}", random.below(15)));
    entry.details.set(Detail::Source, "PNC");
    entry.details.set(Detail::Force, format!("{:02}", random.below(45)));
    entry.details.set(Detail::Nim, format!("5{}{}", random.below(5), random.below(5)));
    entry.details.set(Detail::Gpms, "OFFICIAL-SENSITIVE");
    let letter = char::from(LETTERS[random.below(24)]);
    entry.details.set(Detail::PncId, format!("{:02}/{}{letter}", random.below(27), 100_000 + n % 900_000));
    if n.is_multiple_of(3) {
        entry
            .details
            .set(Detail::Information, format!("SEEN NEAR JUNCTION {} OF ROUTE {}", random.below(900), random.below(90_000)));
    }
    let weed = UtcTime::parse("2027-01-01").unwrap();
    entry.valid_until = Some(weed.plus_micros(random.below(400) as i64 * 86_400_000_000));
    if n.is_multiple_of(10) {
        entry.markers = ["FI", "VI"].iter().take(1 + random.below(2)).map(|code| Marker::parse(code).unwrap()).collect();
    }
    entry
}
