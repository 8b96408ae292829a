//! A row of a list as bytes, everything but its key.
//!
//! ```text
//! flags: action 2 bits, priority 2, then one bit each: letters, valid_from, valid_until, markers
//! letters      varint   if flagged: places that hold O or I rather than 0 or 1
//! valid_from   time     if flagged
//! valid_until  time     if flagged
//! markers      varint n, n times two letters, if flagged
//! columns      varint: one bit each, set where there is text: the reason, then the details in their order
//! for each:    varint: a word's number times two plus one; or a length times two and so many bytes of UTF-8
//!
//! time: varint n: n mod 4 = 0: n/4 days (zigzag) since 1970; 1: seconds; 2: microseconds in the eight bytes that follow
//! ```
//!
//! What decides whether a row matches comes first, so no text is touched for a row that doesn't. Only [`write`] makes such bytes,
//! and they never leave the process; a reader of other bytes gets some row, never a panic.

use super::entry::{Action, Detail, HotlistEntry, Marker, Priority, Wanted};
use super::packed::{Letters, Packed};
use super::words::{COLUMNS, Dictionary, Interner};
use crate::clock::UtcTime;

const LETTERS: u8 = 1 << 4;
const FROM: u8 = 1 << 5;
const UNTIL: u8 = 1 << 6;
const MARKERS: u8 = 1 << 7;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Appends a row.
pub(super) fn write(out: &mut Vec<u8>, entry: &HotlistEntry, letters: Letters, words: &mut Interner) {
    let action = Action::ALL.iter().position(|a| *a == entry.action).and_then(|n| u8::try_from(n).ok()).unwrap_or(0);
    let flags = [
        (letters != 0, LETTERS),
        (entry.valid_from.is_some(), FROM),
        (entry.valid_until.is_some(), UNTIL),
        (!entry.markers.is_empty(), MARKERS),
    ];
    out.push(flags.into_iter().filter(|(set, _)| *set).fold(action | entry.priority.number() << 2, |all, (_, flag)| all | flag));
    if letters != 0 {
        put(out, u64::from(letters));
    }
    for moment in [entry.valid_from, entry.valid_until].into_iter().flatten() {
        put_time(out, moment);
    }
    if !entry.markers.is_empty() {
        put(out, entry.markers.len() as u64);
        entry.markers.iter().for_each(|marker| out.extend_from_slice(marker.as_str().as_bytes()));
    }
    let columns = || (0..COLUMNS).map(|column| (column, column_of(entry, column))).filter(|(_, text)| !text.is_empty());
    put(out, columns().fold(0, |bits, (column, _)| bits | 1 << column));
    for (column, text) in columns() {
        if let Some(number) = words.number(column, text) {
            put(out, number as u64 * 2 + 1);
        } else {
            put(out, text.len() as u64 * 2);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// About how many bytes a row takes at most.
pub(super) fn size_hint(entry: &HotlistEntry) -> usize {
    let text: usize = (0..COLUMNS).map(|column| column_of(entry, column).len() + 5).sum();
    32 + entry.markers.len() * 2 + text
}

fn column_of(entry: &HotlistEntry, column: usize) -> &str {
    match column.checked_sub(1).and_then(|n| Detail::ALL.get(n)) {
        Some(detail) => entry.details.get(*detail),
        None => &entry.reason,
    }
}

/// The part of a row that matching needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    flags: u8,
    pub(super) letters: Letters,
    from: Option<UtcTime>,
    until: Option<UtcTime>,
    rest: Bytes<'a>,
}

impl<'a> Head<'a> {
    /// Reads it.
    pub(super) fn of(row: &'a [u8]) -> Self {
        let mut rest = Bytes(row);
        let flags = rest.byte();
        let letters = if flags & LETTERS == 0 { 0 } else { Letters::try_from(rest.number()).unwrap_or(0) };
        let from = (flags & FROM != 0).then(|| rest.time());
        let until = (flags & UNTIL != 0).then(|| rest.time());
        Self { flags, letters, from, until, rest }
    }

    /// As [`HotlistEntry::is_in_force`].
    pub(super) fn is_in_force(&self, at: UtcTime) -> bool {
        self.from.is_none_or(|from| at >= from) && self.until.is_none_or(|until| at < until)
    }

    /// The whole entry.
    pub(super) fn entry(&self, key: Packed, words: &Dictionary) -> HotlistEntry {
        let action = Action::ALL[usize::from(self.flags & 3)];
        let priority = Priority::new(self.flags >> 2 & 3).unwrap_or(Priority::P3);
        let mut entry = HotlistEntry::new(Wanted::Mark(key.vrm(self.letters)), action, priority);
        (entry.valid_from, entry.valid_until) = (self.from, self.until);
        let mut rest = self.rest;
        if self.flags & MARKERS != 0 {
            let count = rest.number_here();
            let codes = rest.take(count.saturating_mul(2));
            entry.markers = codes.chunks_exact(2).filter_map(|code| Marker::parse(std::str::from_utf8(code).ok()?)).collect();
        }
        let present = rest.number();
        for column in (0..COLUMNS).filter(|column| present >> column & 1 == 1) {
            let number = rest.number_here();
            let text = if number & 1 == 1 {
                words.get(column, number / 2).to_owned()
            } else {
                String::from_utf8_lossy(rest.take(number / 2)).into_owned()
            };
            match column.checked_sub(1).and_then(|n| Detail::ALL.get(n)) {
                Some(detail) => entry.details.set(*detail, text),
                None => entry.reason = text,
            }
        }
        entry
    }
}

/// Bytes yet to be read; beyond their end there are zeros.
#[derive(Clone, Copy, Debug)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn number(&mut self) -> u64 {
        let (mut number, mut shift) = (0, 0);
        while shift < 64 {
            let byte = self.byte();
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                break;
            }
            shift += 7;
        }
        number
    }

    /// A number that counts things in memory.
    fn number_here(&mut self) -> usize {
        usize::try_from(self.number()).unwrap_or(usize::MAX)
    }

    fn time(&mut self) -> UtcTime {
        let number = self.number();
        let zigzag = number >> 2;
        let count = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
        UtcTime::from_micros(match number & 3 {
            0 => count.saturating_mul(DAY),
            1 => count.saturating_mul(SECOND),
            _ => self.take(8).try_into().map_or(0, i64::from_le_bytes),
        })
    }
}

/// LEB128.
fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7F).to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn put_time(out: &mut Vec<u8>, moment: UtcTime) {
    let micros = moment.as_micros();
    let zigzag = |count: i64| ((count << 1) ^ (count >> 63)).cast_unsigned() << 2;
    if micros % DAY == 0 {
        put(out, zigzag(micros / DAY));
    } else if micros % SECOND == 0 {
        put(out, zigzag(micros / SECOND) | 1);
    } else {
        put(out, 2);
        out.extend_from_slice(&micros.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::super::packed::letters;
    use super::*;
    use crate::anpr::vrm::Vrm;
    use proptest::prelude::*;

    fn back(entry: &HotlistEntry) -> HotlistEntry {
        let (vrm, mut words, mut out) = (*entry.wanted.mark().unwrap(), Interner::default(), Vec::new());
        // Three times: in the row, as a new word, as a known one.
        for _ in 0..3 {
            out.clear();
            write(&mut out, entry, letters(&vrm), &mut words);
        }
        Head::of(&out).entry(Packed::of(&vrm), &words.finish())
    }

    #[test]
    fn moments_and_long_texts_are_kept_to_the_last_bit() {
        let mut entry = HotlistEntry::new(Wanted::Mark(Vrm::parse("OI01").unwrap()), Action::Silent, Priority::P3);
        for micros in [0, 1, -1, DAY, -DAY, SECOND, 17 * SECOND, -3 * SECOND, i64::MAX, i64::MIN, i64::MIN + 1, DAY * 20_000 + 7]
        {
            entry.valid_from = Some(UtcTime::from_micros(micros));
            entry.valid_until = Some(UtcTime::from_micros(-(micros / 2)));
            assert_eq!(back(&entry), entry, "{micros}");
        }
        entry.reason = "ü".repeat(100_000);
        entry.details.set(Detail::Spare2, "🚗\n\0");
        entry.markers = vec![Marker::parse("FI").unwrap(); 300];
        assert_eq!(back(&entry), entry);
    }

    proptest! {
        #[test]
        fn bytes_of_any_kind_are_no_reason_to_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let head = Head::of(&bytes);
            let key = Packed::of(&Vrm::parse("A1").unwrap());
            prop_assert!(head.entry(key, &Dictionary::default()).markers.len() < 64);
        }
    }
}
