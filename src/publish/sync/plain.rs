//! Rows out of our CSV as people keep it: header row, columns in any order, optional ones absent, fields trimmed.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufReader, Read};

use super::format::{COLUMNS, REQUIRED, RowFaultKind, WIDTH, Wrong, read_row};
use crate::anpr::hotlist::HotlistEntry;

/// Longest row or line of any format that is imported, bytes. Fields are bounded far below it.
pub(super) const MAX_ROW: usize = 64 * 1024;

/// Something that gives rows.
pub(super) trait Source {
    /// The next row into `entry`: its line (the first is 1) and whether it is good; none at the end. After a row that isn't,
    /// `entry` holds nothing of use.
    fn next_row(&mut self, entry: &mut HotlistEntry) -> io::Result<Option<(u64, Result<(), Wrong>)>>;
}

/// Why there are no rows to read.
#[derive(Debug)]
pub(super) enum PlainError {
    /// The header row is wrong: how.
    Header(String),
    /// Reading failed.
    Io(io::Error),
}

/// A CSV file of ours.
pub(super) struct Plain<R> {
    reader: csv::Reader<R>,
    columns: [Option<usize>; WIDTH],
    width: usize,
    record: csv::ByteRecord,
}

/// A reader of CSV that passes over a byte-order mark and holds no row longer than [`MAX_ROW`] for long.
pub(super) fn csv_reader<R: Read>(from: R) -> io::Result<csv::Reader<impl Read>> {
    let mut from = BufReader::with_capacity(64 * 1024, from);
    let start = io::BufRead::fill_buf(&mut from)?;
    if start.starts_with(b"\xef\xbb\xbf") {
        io::BufRead::consume(&mut from, 3);
    }
    Ok(csv::ReaderBuilder::new().flexible(true).has_headers(false).trim(csv::Trim::All).from_reader(from))
}

impl<R: Read> Plain<R> {
    /// Reads the header row.
    pub(super) fn open(from: R) -> Result<Plain<impl Read>, PlainError> {
        let mut reader = csv_reader(from).map_err(PlainError::Io)?;
        let mut record = csv::ByteRecord::new();
        let there = reader.read_byte_record(&mut record).map_err(|e| PlainError::Header(format!("cannot be read ({e})")))?;
        if !there || record.iter().all(<[u8]>::is_empty) {
            return Err(PlainError::Header("is missing".into()));
        }
        let columns = columns(&record).map_err(PlainError::Header)?;
        Ok(Plain { reader, columns, width: record.len(), record })
    }
}

/// Where each of [`COLUMNS`] stands in a row.
fn columns(header: &csv::ByteRecord) -> Result<[Option<usize>; WIDTH], String> {
    let mut found = [None; WIDTH];
    for (at, name) in header.iter().enumerate() {
        let shown = String::from_utf8_lossy(&name[..name.len().min(80)]);
        let Some(column) = COLUMNS.iter().position(|c| c.as_bytes() == name) else {
            return Err(format!("names an unknown column {shown:?}"));
        };
        if found[column].replace(at).is_some() {
            return Err(format!("names the column {shown:?} twice"));
        }
    }
    match (0..REQUIRED).find(|c| found[*c].is_none()) {
        Some(missing) => Err(format!("lacks the column {:?}", COLUMNS[missing])),
        None => Ok(found),
    }
}

impl<R: Read> Source for Plain<R> {
    fn next_row(&mut self, entry: &mut HotlistEntry) -> io::Result<Option<(u64, Result<(), Wrong>)>> {
        if !next_record(&mut self.reader, &mut self.record)? {
            return Ok(None);
        }
        let line = self.record.position().map_or(0, csv::Position::line);
        Ok(Some((line, self.row(entry))))
    }
}

impl<R> Plain<R> {
    fn row(&self, entry: &mut HotlistEntry) -> Result<(), Wrong> {
        let (found, width) = (self.record.len(), self.width);
        if found != width {
            let what = format!("has {found} fields where the header has {width}; quote a field that holds a comma");
            return Err((RowFaultKind::Malformed, what));
        }
        let mut fields = [""; WIDTH];
        for (field, at) in fields.iter_mut().zip(self.columns) {
            *field = text(at.and_then(|at| self.record.get(at)).unwrap_or(b""))?;
        }
        read_row(&fields, entry)
    }
}

/// A field as text.
pub(super) fn text(field: &[u8]) -> Result<&str, Wrong> {
    let wrong = |_| (RowFaultKind::Malformed, "is not UTF-8; save the file as UTF-8".to_owned());
    std::str::from_utf8(field).map_err(wrong)
}

/// The next record; false at the end. A row that never ends (a quote that is not closed) ends in an error, not in all memory.
pub(super) fn next_record<R: Read>(reader: &mut csv::Reader<R>, record: &mut csv::ByteRecord) -> io::Result<bool> {
    // Neither unequal lengths nor UTF-8 are errors for byte records, so what comes here is the reader's own error.
    let there = reader.read_byte_record(record).map_err(io::Error::from)?;
    if record.as_slice().len() > MAX_ROW {
        let line = record.position().map_or(0, csv::Position::line);
        let what = format!("the row that begins on line {line} is longer than {} KiB: a quote is not closed", MAX_ROW / 1024);
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(there)
}

/// Which rows were there already: same vrm, action and dates. Keeps 128 bits of a keyed hash a row instead of the row; that two
/// different rows share them happens once in 10^25 lists of a million.
#[derive(Debug, Default)]
pub(super) struct Seen {
    hashers: [RandomState; 2],
    lines: HashMap<[u64; 2], u64>,
}

impl Seen {
    /// The line on which the like of this row was, if it was; remembers the row otherwise.
    pub(super) fn before(&mut self, entry: &HotlistEntry, line: u64) -> Option<u64> {
        let same = (&entry.wanted, entry.action, entry.valid_from, entry.valid_until);
        let hash = [self.hashers[0].hash_one(same), self.hashers[1].hash_one(same)];
        match self.lines.entry(hash) {
            std::collections::hash_map::Entry::Occupied(there) => Some(*there.get()),
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(line);
                None
            }
        }
    }
}

/// What to say of a row that was there already.
pub(super) fn repeats(earlier: u64) -> String {
    format!("repeats line {earlier}: same vrm, action and dates; keep one of them")
}
