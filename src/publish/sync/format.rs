//! Our CSV: its columns, what each may hold, and the one canonical way to write a list down.
//!
//! Columns: see [`COLUMNS`]; `vrm`, `action` (`stop`, `assess`, `intelligence`, `silent`) and `priority` (`P0`–`P3`) are
//! required, all others may be absent or empty. `vrm` is a mark, or in lists that stay on the box a pattern (`AB1? C*`).
//! `valid_from` and `valid_until` are RFC 3339 or a plain date (its first instant in UTC), `markers` codes of two letters with
//! spaces between. Texts hold no control characters (no line breaks either), at most [`LONG_TEXT`] bytes in `reason` and
//! `information` and [`SHORT_TEXT`] in the others.
//!
//! *Canonical*: UTF-8, LF, all columns in order under a header row, a field in quotes only when it holds a comma or a quote,
//! rows in the order of ([`Place`], bytes of the row), no row twice. One line is one row, so nothing but a line has to be held
//! while reading, and the same content has the same SHA-256 wherever it was made.

use std::borrow::Cow;
use std::io::{self, Write};

use sha2::{Digest, Sha256};

use crate::anpr::hotlist::{Action, Delta, Detail, HotlistEntry, Marker, Pattern, Priority, Wanted};
use crate::anpr::vrm::{Vrm, VrmKey};
use crate::clock::UtcTime;

/// How many columns there are.
pub const WIDTH: usize = FIRST_DETAIL + Detail::COUNT;
/// Their names, in canonical order.
pub const COLUMNS: [&str; WIDTH] = [
    "vrm",
    "action",
    "priority",
    "reason",
    "valid_from",
    "valid_until",
    "markers",
    "make",
    "model",
    "colour",
    "source",
    "force",
    "nim",
    "information",
    "pnc_id",
    "gpms",
    "cad",
    "spare_1",
    "spare_2",
];
/// How many of them a row can't do without: the first ones.
pub(super) const REQUIRED: usize = 3;
/// Where [`Detail::ALL`] begins.
const FIRST_DETAIL: usize = 7;

/// Longest `reason` and `information`, bytes: they travel in every alert, and a capture record's text stays under 4 kB.
pub const LONG_TEXT: usize = 256;
/// Longest other text, bytes.
pub const SHORT_TEXT: usize = 64;
/// Most warning markers of a row.
pub const MAX_MARKERS: usize = 16;
/// Longest line of canonical CSV, bytes: every field full of quotes, which are written twice, and some room.
pub(super) const MAX_LINE: usize = 4 * 1024;

/// The fields of one row in the order of [`COLUMNS`].
pub(super) type Fields<'a> = [&'a str; WIDTH];

/// What is wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowFaultKind {
    /// The `vrm` column holds no mark (or pattern).
    NotAMark,
    /// Anything else.
    Malformed,
}

/// What is wrong, in words.
pub(super) type Wrong = (RowFaultKind, String);

fn wrong(what: String) -> Wrong {
    (RowFaultKind::Malformed, what)
}

/// An entry to read rows into, so that reading a million of them allocates little.
pub(super) fn blank() -> HotlistEntry {
    // Invariant: one glyph is a mark.
    let mark = Vrm::from_glyphs(crate::anpr::vrm::Glyph::from_index(0)).expect("a mark of one glyph");
    HotlistEntry::new(Wanted::Mark(mark), Action::Silent, Priority::P3)
}

/// Reads a row into `entry`, replacing all of it.
pub(super) fn read_row(fields: &Fields<'_>, entry: &mut HotlistEntry) -> Result<(), Wrong> {
    let [vrm, action, priority, reason, valid_from, valid_until, markers, details @ ..] = fields;
    entry.wanted = wanted(vrm).map_err(|what| (RowFaultKind::NotAMark, what))?;
    entry.action = Action::parse(action)
        .ok_or_else(|| wrong(format!("action {action:?} is unknown; allowed are stop, assess, intelligence, silent")))?;
    entry.priority = Priority::parse(priority)
        .ok_or_else(|| wrong(format!("priority {priority:?} is unknown; allowed are P0, P1, P2, P3")))?;
    text("reason", reason, LONG_TEXT)?;
    entry.reason.clear();
    entry.reason.push_str(reason);
    entry.valid_from = time("valid_from", valid_from)?;
    entry.valid_until = time("valid_until", valid_until)?;
    if let (Some(from), Some(until)) = (entry.valid_from, entry.valid_until)
        && until <= from
    {
        return Err(wrong(format!("valid_until {until} is not after valid_from {from}")));
    }
    entry.markers.clear();
    for code in markers.split_ascii_whitespace() {
        let marker = Marker::parse(code);
        entry.markers.push(marker.ok_or_else(|| wrong(format!("marker {code:?} is no code of two letters A-Z")))?);
    }
    if entry.markers.len() > MAX_MARKERS {
        return Err(wrong(format!("{} markers; allowed are {MAX_MARKERS}", entry.markers.len())));
    }
    for (detail, value) in Detail::ALL.into_iter().zip(details) {
        let most = if detail == Detail::Information { LONG_TEXT } else { SHORT_TEXT };
        text(detail.as_str(), value, most)?;
        if !(value.is_empty() && entry.details.get(detail).is_empty()) {
            entry.details.set(detail, *value);
        }
    }
    Ok(())
}

fn wanted(vrm: &str) -> Result<Wanted, String> {
    if Pattern::is_one(vrm) {
        return Pattern::parse(vrm).map(Wanted::Pattern).map_err(|e| format!("vrm {vrm:?} is no pattern: {e}"));
    }
    let mark = Vrm::parse(vrm);
    mark.map(Wanted::Mark).map_err(|e| format!("vrm {vrm:?} is no mark: {e}; allowed are 1 to {} of A-Z and 0-9", Vrm::MAX))
}

fn time(column: &str, word: &str) -> Result<Option<UtcTime>, Wrong> {
    if word.is_empty() {
        return Ok(None);
    }
    let moment = UtcTime::parse(word).ok_or_else(|| {
        wrong(format!(
            "{column} {word:?} is no time; allowed are RFC 3339 (2026-11-22T00:00:00Z), a date (2026-11-22) or nothing"
        ))
    })?;
    // Whole milliseconds, which is what is written: what was read must not differ from what will be.
    Ok(Some(UtcTime::from_micros(moment.as_micros().div_euclid(1000) * 1000)))
}

fn text(column: &str, value: &str, most: usize) -> Result<(), Wrong> {
    if value.len() > most {
        return Err(wrong(format!("{column} has {} bytes; allowed are {most}", value.len())));
    }
    if value.chars().any(char::is_control) {
        return Err(wrong(format!("{column} holds a line break or another control character; put a space in its place")));
    }
    Ok(())
}

/// Where a row stands in a canonical list: marks in the order of their keys, then patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A mark.
    Mark(VrmKey),
    /// A pattern.
    Pattern,
}

impl Place {
    /// The place of what is wanted.
    pub fn of(wanted: &Wanted) -> Self {
        wanted.mark().map_or(Self::Pattern, |vrm| Self::Mark(vrm.key()))
    }
}

/// Appends the header row.
pub(super) fn write_header(to: &mut Vec<u8>) {
    to.extend_from_slice(COLUMNS.join(",").as_bytes());
    to.push(b'\n');
}

/// Appends a row.
pub(super) fn write_row(entry: &HotlistEntry, to: &mut Vec<u8>) {
    // Writing into memory can't fail, and what is left after it is not worth a panic.
    drop(write!(to, "{},{},{},", entry.wanted, entry.action.as_str(), entry.priority));
    write_field(&entry.reason, to);
    for moment in [entry.valid_from, entry.valid_until] {
        to.push(b',');
        if let Some(moment) = moment {
            drop(write!(to, "{moment}"));
        }
    }
    to.push(b',');
    for (n, marker) in entry.markers.iter().enumerate() {
        if n > 0 {
            to.push(b' ');
        }
        to.extend_from_slice(marker.as_str().as_bytes());
    }
    for detail in Detail::ALL {
        to.push(b',');
        write_field(entry.details.get(detail), to);
    }
    to.push(b'\n');
}

fn write_field(text: &str, to: &mut Vec<u8>) {
    if !text.contains([',', '"']) {
        to.extend_from_slice(text.as_bytes());
        return;
    }
    to.push(b'"');
    for part in text.split_inclusive('"') {
        to.extend_from_slice(part.as_bytes());
        if part.ends_with('"') {
            to.push(b'"');
        }
    }
    to.push(b'"');
}

/// Splits a line of canonical CSV into `N` fields; none when it has another number of them or its quotes are odd.
pub(super) fn split<const N: usize>(mut line: &str) -> Option<[Cow<'_, str>; N]> {
    let mut fields = [const { Cow::Borrowed("") }; N];
    for (n, field) in fields.iter_mut().enumerate() {
        let after = if let Some(quoted) = line.strip_prefix('"') {
            let (text, after) = unquote(quoted)?;
            *field = text;
            after
        } else {
            let end = line.bytes().position(|b| b == b',').unwrap_or(line.len());
            // Invariant: a comma is one byte, so it stands on the edge of a character.
            let (text, after) = line.split_at(end);
            *field = Cow::Borrowed(text);
            after
        };
        if n + 1 == N {
            return after.is_empty().then_some(fields);
        }
        line = after.strip_prefix(',')?;
    }
    None
}

/// The text up to its closing quote, and what comes after that.
fn unquote(quoted: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut end = 0;
    let mut doubled = false;
    loop {
        end += quoted[end..].find('"')?;
        if !quoted[end + 1..].starts_with('"') {
            break;
        }
        doubled = true;
        end += 2;
    }
    let text = &quoted[..end];
    let text = if doubled { Cow::Owned(text.replace("\"\"", "\"")) } else { Cow::Borrowed(text) };
    Some((text, &quoted[end + 1..]))
}

/// One row of a [`Rows`]: its place, the line it came from, where it stands in the text.
#[derive(Clone, Copy, Debug)]
struct Row {
    place: Place,
    line: u64,
    from: usize,
    to: usize,
}

/// A list as canonical rows: what it is sealed from and compared by.
#[derive(Debug, Default)]
pub struct Rows {
    text: Vec<u8>,
    rows: Vec<Row>,
    patterns: usize,
}

impl Rows {
    /// Adds a row that came from a line of some file.
    pub(super) fn push(&mut self, entry: &HotlistEntry, line: u64) {
        let from = self.text.len();
        write_row(entry, &mut self.text);
        let place = Place::of(&entry.wanted);
        self.patterns += usize::from(place == Place::Pattern);
        self.rows.push(Row { place, line, from, to: self.text.len() });
    }

    /// Puts the rows in canonical order.
    pub(super) fn sort(&mut self) {
        let text = &self.text;
        self.rows.sort_unstable_by(|a, b| (a.place, &text[a.from..a.to], a.line).cmp(&(b.place, &text[b.from..b.to], b.line)));
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many of them are patterns.
    pub fn patterns(&self) -> usize {
        self.patterns
    }

    /// Place, line of origin and bytes (with the line feed) of each row, in canonical order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Place, u64, &[u8])> + '_ {
        self.rows.iter().map(|row| (row.place, row.line, &self.text[row.from..row.to]))
    }

    /// Writes the list, header first.
    ///
    /// # Errors
    /// As `to` does.
    pub fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        let mut header = Vec::new();
        write_header(&mut header);
        to.write_all(&header)?;
        self.iter().try_for_each(|(_, _, row)| to.write_all(row))
    }

    /// What names this content; see [`ContentSum`].
    pub fn content_sha256(&self) -> String {
        let mut sum = ContentSum::default();
        self.iter().for_each(|(_, _, row)| sum.add(row));
        sum.id()
    }
}

/// What names the content of a list, whichever way it came about: the number of its canonical rows and the sum of their SHA-256 (as
/// little-endian numbers, modulo 2^256). A delta changes it by its own rows alone, so a list of a million rows needn't be gone
/// through for a change of ten.
///
/// Sums can be made to collide by somebody who may choose the rows; rows come from whoever signs the name too, and the bytes that
/// carry them have hashes of their own in the manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContentSum {
    rows: u64,
    sum: [u64; 4],
}

impl ContentSum {
    /// A row comes, with or without its line feed.
    pub(super) fn add(&mut self, row: &[u8]) {
        self.rows = self.rows.wrapping_add(1);
        let mut carry = false;
        for (into, word) in self.sum.iter_mut().zip(words(row)) {
            let (sum, over) = into.overflowing_add(word);
            let (sum, again) = sum.overflowing_add(u64::from(carry));
            (*into, carry) = (sum, over || again);
        }
    }

    /// A row goes.
    pub(super) fn remove(&mut self, row: &[u8]) {
        self.rows = self.rows.wrapping_sub(1);
        let mut borrow = false;
        for (into, word) in self.sum.iter_mut().zip(words(row)) {
            let (rest, under) = into.overflowing_sub(word);
            let (rest, again) = rest.overflowing_sub(u64::from(borrow));
            (*into, borrow) = (rest, under || again);
        }
    }

    /// All that a delta does.
    pub fn change(&mut self, delta: &Delta) {
        let mut row = Vec::with_capacity(128);
        let mut written = |entry: &HotlistEntry, then: &mut dyn FnMut(&[u8])| {
            row.clear();
            write_row(entry, &mut row);
            then(&row);
        };
        delta.remove.iter().for_each(|entry| written(entry, &mut |row| self.remove(row)));
        delta.add.iter().for_each(|entry| written(entry, &mut |row| self.add(row)));
    }

    /// The name: SHA-256 of the number and the sum, hex; the `content_sha256` of a manifest.
    pub fn id(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"kerbside hotlist content 1\n");
        hash.update(self.rows.to_le_bytes());
        self.sum.iter().for_each(|word| hash.update(word.to_le_bytes()));
        hex(&hash.finalize())
    }
}

fn words(row: &[u8]) -> [u64; 4] {
    let digest = Sha256::digest(row.strip_suffix(b"\n").unwrap_or(row));
    // Invariant: a SHA-256 has 32 bytes, four times eight.
    std::array::from_fn(|n| u64::from_le_bytes(digest[8 * n..8 * n + 8].try_into().expect("eight bytes")))
}

#[cfg(test)]
pub(super) fn content_sha256(list: &crate::anpr::hotlist::Hotlist) -> String {
    let (mut sum, mut row) = (ContentSum::default(), Vec::with_capacity(128));
    for entry in list.iter() {
        row.clear();
        write_row(&entry, &mut row);
        sum.add(&row);
    }
    sum.id()
}

/// Bytes as hex digits, lower case.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_sum_of_a_content_takes_a_delta_by_its_own_rows() {
        let [mut one, mut other] = [ContentSum::default(); 2];
        for n in 0..1000u32 {
            one.add(format!("row {n}").as_bytes());
        }
        for n in (5..1003).rev() {
            other.add(format!("row {n}\n").as_bytes());
        }
        assert_ne!(one.id(), other.id());
        for n in 0..5 {
            one.remove(format!("row {n}").as_bytes());
        }
        for n in 1000..1003 {
            other.remove(format!("row {n}").as_bytes());
        }
        assert_eq!((one, one.id()), (other, other.id()));
        one.add(b"row 7");
        assert_ne!(one.id(), other.id(), "a row twice is another content");
    }

    fn row(fields: [&str; WIDTH]) -> Result<HotlistEntry, Wrong> {
        let mut entry = blank();
        read_row(&fields, &mut entry).map(|()| entry)
    }

    #[test]
    fn columns_are_those_of_the_details() {
        assert_eq!(COLUMNS[FIRST_DETAIL..], Detail::ALL.map(Detail::as_str));
    }

    #[test]
    fn a_row_is_written_in_one_way() {
        let mut fields = [""; WIDTH];
        fields[..7].copy_from_slice(&["ab12 cde", "stop", "P0", "say \"hi\", go", "2026-11-22", "", " FI  VI "]);
        (fields[13], fields[18]) = ("a\"", "ü,");
        let entry = row(fields).unwrap();
        let mut text = Vec::new();
        write_row(&entry, &mut text);
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text, "AB12CDE,stop,P0,\"say \"\"hi\"\", go\",2026-11-22T00:00:00.000Z,,FI VI,,,,,,,\"a\"\"\",,,,,\"ü,\"\n");
        let again = split::<WIDTH>(text.trim_end()).unwrap();
        assert_eq!(row(std::array::from_fn(|n| &*again[n])), Ok(entry));
    }

    #[test]
    fn bounds_hold() {
        let with = |at: usize, text: &str| {
            let mut fields = ["A1", "stop", "P1", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", ""];
            fields[at] = text;
            row(fields).map_err(|(_, what)| what)
        };
        assert!(with(13, &"x".repeat(256)).is_ok() && with(7, &"x".repeat(64)).is_ok());
        assert_eq!(with(13, &"x".repeat(257)).unwrap_err(), "information has 257 bytes; allowed are 256");
        assert_eq!(with(18, &"x".repeat(65)).unwrap_err(), "spare_2 has 65 bytes; allowed are 64");
        assert!(with(3, "two\nlines").unwrap_err().contains("reason holds a line break"));
        assert_eq!(with(6, "FI fi").unwrap_err(), "marker \"fi\" is no code of two letters A-Z");
        assert!(with(6, &"FI ".repeat(17)).unwrap_err().contains("17 markers"));
    }

    #[test]
    fn odd_lines_are_no_rows() {
        for line in ["a", "a,b,c", "\"a,b", "\"a\"b,c", "\"a\"\",b", ""] {
            assert_eq!(split::<2>(line), None, "{line:?}");
        }
        assert_eq!(split::<2>("\"\"\"\",").unwrap(), ["\"", ""]);
    }

    proptest! {
        #[test]
        fn fields_survive_a_line(a in "[a,\" é]{0,9}", b in "[a,\" é]{0,9}") {
            let mut line = Vec::new();
            write_field(&a, &mut line);
            line.push(b',');
            write_field(&b, &mut line);
            let line = String::from_utf8(line).expect("UTF-8");
            prop_assert_eq!(split::<2>(&line).expect("two fields"), [a, b]);
        }

        #[test]
        fn any_line_is_answered(line in "[a,\"]{0,12}") {
            let _ = split::<3>(&line);
        }
    }
}
