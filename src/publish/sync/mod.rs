//! Hotlists on their way to the box: read, checked, sealed, opened.
//!
//! | file | what it does |
//! |---|---|
//! | this one | a plain list in a local file, kept by hand: bad rows are reported and left out, the others stay in force |
//! | [`format`] | our CSV: columns, bounds, the canonical way to write a list |
//! | `plain`, `voi`, `ndjson` | rows out of our CSV, the 16-column VOI CSV, NDJSON |
//! | [`lint`] | a list built from any of them, every finding reported with its line |
//! | [`manifest`] | what a list's owner vouches for |
//! | [`seal`] | payloads and sealed files, made and opened |
//! | `store` | one list at rest, encrypted; what a crash can't tear |
//! | [`keeper`] | the lists of a box: what came, whether it is believed, what is in force |
//! | [`inbox`] | sealed files handed to a running daemon |
//!
//! A local list is at most [`MAX_BYTES`]; it may hold patterns; an unknown column is refused (it may be a misspelt `valid_until`);
//! a file with no good row at all is refused, so that it can't empty a list.
//!
//! Nothing here decides about hits, and no thread or connection is made: the hotlist thread (`runtime::hotlists`) calls.

pub mod format;
pub mod inbox;
pub mod keeper;
pub mod lint;
pub mod manifest;
mod ndjson;
mod plain;
pub mod seal;
mod store;
mod voi;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::anpr::hotlist::{Hotlist, HotlistBuilder, HotlistFull, HotlistVersion};
use format::COLUMNS;
use plain::{Plain, PlainError, Seen, Source};

/// Largest file read, bytes: a million rows of 60 bytes and some room.
pub const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Most row faults kept in words; the rest are only counted.
pub const MAX_FAULTS: usize = 1000;

/// A list that can be put in force, and what had to be left out of it.
#[derive(Debug)]
pub struct LoadedHotlist {
    /// The list.
    pub hotlist: Hotlist,
    /// Rows left out, in file order; at most [`MAX_FAULTS`].
    pub faults: Vec<RowFault>,
    /// How many rows were left out in all.
    pub rows_left_out: usize,
}

/// A row that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFault {
    /// The file.
    pub file: PathBuf,
    /// Line on which the row begins; the header is line 1.
    pub line: u64,
    /// What was found and what is allowed.
    pub what: String,
}

impl std::fmt::Display for RowFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.what)
    }
}

/// Why no list came out of a file. Every one asks for the file to be mended; none is worth a retry before that,
/// but for [`SyncError::Unreadable`].
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The file could not be opened or read.
    #[error("cannot read the hotlist {file}: {source}; check the path and that the kerbside user may read it", file = .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is larger than [`MAX_BYTES`].
    #[error("the hotlist {file} is larger than {limit} MiB; split it, or drop rows whose valid_until has passed", file = .file.display(), limit = MAX_BYTES / 1024 / 1024)]
    TooLarge {
        /// The file.
        file: PathBuf,
    },
    /// The header row is missing, or misses or repeats a column, or names an unknown one.
    #[error("the header of the hotlist {file} {what}; allowed are {allowed}, of which the first three are required", file = .file.display(), allowed = COLUMNS.join(", "))]
    Header {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// More than a snapshot can hold.
    #[error("the hotlist {file}: {source}; split it", file = .file.display())]
    Full {
        /// The file.
        file: PathBuf,
        /// What is too much.
        source: HotlistFull,
    },
    /// No row is good.
    #[error("the hotlist {file} has no valid row ({rows} bad{first}); mend or add a row, or take the list out of the configuration", file = .file.display())]
    NoRows {
        /// The file.
        file: PathBuf,
        /// How many rows were left out.
        rows: usize,
        /// The first fault, in words; empty when the file has no rows.
        first: String,
    },
}

/// Reads a list from a CSV file. `list` is the list's opaque id; the version is the first 12 hex digits of the file's SHA-256.
///
/// # Errors
/// When the file can't be read, is too large, has a broken header or no valid row.
pub fn load_csv(file: &Path, list: &str) -> Result<LoadedHotlist, SyncError> {
    let unreadable = |source| SyncError::Unreadable { file: file.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(file).map_err(unreadable)?.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(SyncError::TooLarge { file: file.to_owned() });
    }
    parse_csv(&bytes, list, file)
}

/// The same from bytes in memory; `file` is only named in faults.
///
/// # Errors
/// When the header is broken or no row is valid.
pub fn parse_csv(bytes: &[u8], list: &str, file: &Path) -> Result<LoadedHotlist, SyncError> {
    let mut rows = Plain::open(bytes).map_err(|e| match e {
        PlainError::Header(what) => SyncError::Header { file: file.to_owned(), what },
        PlainError::Io(source) => SyncError::Unreadable { file: file.to_owned(), source },
    })?;
    // A row has 20 bytes at least.
    let mut builder = HotlistBuilder::with_capacity(bytes.len() / 20);
    let (mut faults, mut rows_left_out) = (Vec::new(), 0);
    let (mut seen, mut entry) = (Seen::default(), format::blank());
    let unreadable = |source| SyncError::Unreadable { file: file.to_owned(), source };
    while let Some((line, row)) = rows.next_row(&mut entry).map_err(unreadable)? {
        let what = match row {
            Err((_, what)) => what,
            Ok(()) => match seen.before(&entry, line) {
                Some(earlier) => plain::repeats(earlier),
                None => {
                    builder.push(&entry).map_err(|source| SyncError::Full { file: file.to_owned(), source })?;
                    continue;
                }
            },
        };
        rows_left_out += 1;
        if faults.len() < MAX_FAULTS {
            faults.push(RowFault { file: file.to_owned(), line, what });
        }
    }
    let version = HotlistVersion { list: list.to_owned(), version: version_of(bytes) };
    let hotlist = builder.finish(version);
    if hotlist.is_empty() {
        let first = faults.first().map_or_else(String::new, |f| format!(", the first on line {}: {}", f.line, f.what));
        return Err(SyncError::NoRows { file: file.to_owned(), rows: rows_left_out, first });
    }
    Ok(LoadedHotlist { hotlist, faults, rows_left_out })
}

/// First 12 hex digits of the SHA-256.
fn version_of(bytes: &[u8]) -> String {
    format::hex(&Sha256::digest(bytes)[..6])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anpr::hotlist::{Action, Detail, Priority};
    use crate::clock::UtcTime;

    fn parse(text: &str) -> Result<LoadedHotlist, SyncError> {
        parse_csv(text.as_bytes(), "local", Path::new("voi.csv"))
    }

    #[test]
    fn a_good_file_is_in_force_whole() {
        let loaded = parse(
            "\u{feff}reason, priority ,action,vrm,valid_until\n\"stolen, maybe armed\",P0,stop,ab12 cde,2026-12-01\n,P3,silent,A1,\n",
        )
        .unwrap();
        assert_eq!((loaded.faults, loaded.rows_left_out), (vec![], 0));
        let rows: Vec<_> = loaded.hotlist.iter().collect();
        let [second, first] = &rows[..] else { panic!("two rows") };
        assert_eq!((first.wanted.to_string().as_str(), first.reason.as_str()), ("AB12CDE", "stolen, maybe armed"));
        assert_eq!(first.valid_until, UtcTime::parse("2026-12-01"));
        assert_eq!((second.action, second.priority, second.valid_until), (Action::Silent, Priority::P3, None));
    }

    #[test]
    fn bad_rows_are_named_and_good_ones_stay() {
        let loaded = parse(
            "vrm,action,priority,reason,valid_from,valid_until\n\
             AB12CDE,stop,P0,,,\n\
             ÄB1,stop,P0,,,\n\
             AB12CDE,stop,P1,again,,\n\
             AB12CDE,assess,P1,another action is another row,,\n\
             A1,Stop,P0,,,\n\
             A1,stop,P9,,,\n\
             A1,stop,P0,,22/11/2026,\n\
             A1,stop,P0,,2026-11-22,2026-11-22\n\
             A1,stop,P0\n\
             A2,silent,P2,,,2026-11-22T10:00:00Z\n",
        )
        .unwrap();
        assert_eq!(loaded.hotlist.len(), 3);
        assert_eq!(loaded.rows_left_out, 7);
        let said: Vec<_> = loaded.faults.iter().map(ToString::to_string).collect();
        for (fault, expected) in said.iter().zip([
            "voi.csv:3: vrm \"ÄB1\" is no mark: 'Ä' is not a letter A-Z or a digit; allowed are 1 to 12 of A-Z and 0-9",
            "voi.csv:4: repeats line 2: same vrm, action and dates; keep one of them",
            "voi.csv:6: action \"Stop\" is unknown; allowed are stop, assess, intelligence, silent",
            "voi.csv:7: priority \"P9\" is unknown; allowed are P0, P1, P2, P3",
            "voi.csv:8: valid_from \"22/11/2026\" is no time; allowed are RFC 3339 (2026-11-22T00:00:00Z), a date (2026-11-22) or nothing",
            "voi.csv:9: valid_until 2026-11-22T00:00:00.000Z is not after valid_from 2026-11-22T00:00:00.000Z",
            "voi.csv:10: has 3 fields where the header has 6; quote a field that holds a comma",
        ]) {
            assert_eq!(fault, expected);
        }
    }

    #[test]
    fn a_broken_file_is_an_error_that_says_what_to_mend() {
        for (text, expected) in [
            ("", "header of the hotlist voi.csv is missing"),
            ("vrm,action\nA1,stop\n", "lacks the column \"priority\""),
            ("vrm,action,priority,valid_untill\n", "names an unknown column \"valid_untill\"; allowed are vrm,"),
            ("vrm,action,priority,vrm\n", "names the column \"vrm\" twice"),
            ("vrm,action,priority\n", "has no valid row (0 bad); mend or add a row"),
            (
                "vrm,action,priority\n-,stop,P0\n",
                "has no valid row (1 bad, the first on line 2: vrm \"-\" is no mark: it is empty",
            ),
        ] {
            let said = parse(text).unwrap_err().to_string();
            assert!(said.contains(expected), "{text:?}: {said}");
        }
    }

    #[test]
    fn all_columns_are_kept_and_patterns_allowed() {
        let loaded = parse("vrm,action,priority,markers,make,nim,spare_2\nAB1? C*,assess,P1,FI VI,Make,E41,x\n").unwrap();
        let entry = loaded.hotlist.iter().next().unwrap();
        assert_eq!(entry.wanted.to_string(), "AB1?C*");
        assert_eq!(entry.markers.iter().map(|m| m.as_str().to_owned()).collect::<Vec<_>>(), ["FI", "VI"]);
        let details = [Detail::Make, Detail::Nim, Detail::Spare2, Detail::Model].map(|d| entry.details.get(d).to_owned());
        assert_eq!(details, ["Make", "E41", "x", ""]);
    }

    #[test]
    fn the_version_is_the_files_digest() {
        let file = "vrm,action,priority\nA1,stop,P0\n";
        let loaded = parse(file).unwrap();
        assert_eq!(loaded.hotlist.version(), &HotlistVersion { list: "local".into(), version: "8671d617752d".into() });
    }

    #[test]
    fn a_missing_file_is_named() {
        let said = load_csv(Path::new("/nonexistent/voi.csv"), "local").unwrap_err().to_string();
        assert!(said.starts_with("cannot read the hotlist /nonexistent/voi.csv: "), "{said}");
    }
}
