//! A list built from any of the formats, with every finding reported: nothing is left out in silence.
//!
//! | finding | the row |
//! |---|---|
//! | `not_a_mark`, `malformed`, `duplicate` | is left out: somebody has to mend it |
//! | `expired` | is left out: its weed date did what it is for |
//! | `look_alike` | stays: another mark of the list reads the same (`O` and `0`, `I` and `1`), so a hit may mean either |
//! | `no_weed_date` | stays: nothing will ever end it |
//! | `pattern` | stays: for a list on the box; it can't be sealed |

use std::io::{self, Read};

use super::format::{self, Place, RowFaultKind, Rows};
use super::ndjson::Ndjson;
use super::plain::{Plain, PlainError, Seen, Source, repeats};
use super::voi::Voi;
use crate::anpr::hotlist::{Detail, Priority, Wanted};
use crate::clock::UtcTime;

/// Most rows of a list that is built.
pub const MAX_ROWS: usize = 50_000_000;

/// What a list comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Our CSV.
    Csv,
    /// The 16-column VOI CSV.
    Voi,
    /// JSON objects, one a line.
    Ndjson,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The vrm is no mark.
    NotAMark,
    /// Another field is wrong, or the row is none.
    Malformed,
    /// Same vrm, action and dates as an earlier row.
    Duplicate,
    /// Its weed date has passed.
    Expired,
    /// Two marks that read the same.
    LookAlike,
    /// Nothing will ever end it.
    NoWeedDate,
    /// It has wildcards.
    Pattern,
}

impl Kind {
    /// All of them, gravest first.
    pub const ALL: [Self; 7] =
        [Self::NotAMark, Self::Malformed, Self::Duplicate, Self::Expired, Self::LookAlike, Self::NoWeedDate, Self::Pattern];

    /// The word in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAMark => "not_a_mark",
            Self::Malformed => "malformed",
            Self::Duplicate => "duplicate",
            Self::Expired => "expired",
            Self::LookAlike => "look_alike",
            Self::NoWeedDate => "no_weed_date",
            Self::Pattern => "pattern",
        }
    }

    /// Whether the row is left out.
    pub const fn leaves_out(self) -> bool {
        matches!(self, Self::NotAMark | Self::Malformed | Self::Duplicate | Self::Expired)
    }

    /// Whether somebody has to mend the row.
    pub const fn is_fault(self) -> bool {
        matches!(self, Self::NotAMark | Self::Malformed | Self::Duplicate)
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Line on which the row begins; the file's first is 1.
    pub line: u64,
    /// What was found.
    pub kind: Kind,
    /// In words.
    pub what: String,
}

/// How to build.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the list comes in.
    pub format: Format,
    /// For rows that name no source: who wants them. At most [`format::SHORT_TEXT`] bytes.
    pub source: String,
    /// The moment that weed dates are compared with.
    pub as_of: UtcTime,
    /// Priority of all VOI rows, in place of the action's.
    pub priority: Option<Priority>,
}

/// A list, and how much was found.
#[derive(Debug)]
pub struct Built {
    /// The rows that stay, in canonical order.
    pub rows: Rows,
    /// Rows read.
    pub read: u64,
    counts: [u64; Kind::ALL.len()],
}

impl Built {
    /// How often something was found.
    pub fn count(&self, kind: Kind) -> u64 {
        self.counts[kind as usize]
    }

    /// How many rows have to be mended.
    pub fn faults(&self) -> u64 {
        Kind::ALL.into_iter().filter(|kind| kind.is_fault()).map(|kind| self.count(kind)).sum()
    }

    /// How many rows were left out.
    pub fn left_out(&self) -> u64 {
        Kind::ALL.into_iter().filter(|kind| kind.leaves_out()).map(|kind| self.count(kind)).sum()
    }
}

/// Why no list came about.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The header row is wrong.
    #[error("its header {0}")]
    Header(String),
    /// Reading the list, or writing the report, failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Too many rows.
    #[error("it has more than {MAX_ROWS} rows; split it")]
    TooLong,
}

impl From<PlainError> for BuildError {
    fn from(error: PlainError) -> Self {
        match error {
            PlainError::Header(what) => Self::Header(what),
            PlainError::Io(e) => Self::Io(e),
        }
    }
}

/// Builds a list. Findings are told as they are made: those of rows in the order of the file, then look-alikes.
///
/// # Errors
/// When the file can't be read, has a broken header or too many rows, or when a finding can't be told.
pub fn build(from: impl Read, options: &Options, tell: &mut dyn FnMut(&Finding) -> io::Result<()>) -> Result<Built, BuildError> {
    match options.format {
        Format::Csv => build_from(&mut Plain::open(from)?, options, tell),
        Format::Voi => build_from(&mut Voi::open(from, options.priority)?, options, tell),
        Format::Ndjson => build_from(&mut Ndjson::open(from), options, tell),
    }
}

fn build_from(
    source: &mut dyn Source,
    options: &Options,
    tell: &mut dyn FnMut(&Finding) -> io::Result<()>,
) -> Result<Built, BuildError> {
    let mut built = Built { rows: Rows::default(), read: 0, counts: [0; Kind::ALL.len()] };
    let (mut entry, mut seen) = (format::blank(), Seen::default());
    let mut report = |counts: &mut [u64; Kind::ALL.len()], line, kind: Kind, what| {
        counts[kind as usize] += 1;
        tell(&Finding { line, kind, what })
    };
    while let Some((line, row)) = source.next_row(&mut entry)? {
        built.read += 1;
        let left_out = match row {
            Err((RowFaultKind::NotAMark, what)) => Some((Kind::NotAMark, what)),
            Err((RowFaultKind::Malformed, what)) => Some((Kind::Malformed, what)),
            Ok(()) => match entry.valid_until {
                Some(until) if until <= options.as_of => Some((Kind::Expired, format!("expired at {until}; left out"))),
                _ => seen.before(&entry, line).map(|earlier| (Kind::Duplicate, repeats(earlier))),
            },
        };
        if let Some((kind, what)) = left_out {
            report(&mut built.counts, line, kind, what)?;
            continue;
        }
        if entry.valid_until.is_none() {
            let what = "has no weed date (valid_until): nothing will ever end it".to_owned();
            report(&mut built.counts, line, Kind::NoWeedDate, what)?;
        }
        if matches!(entry.wanted, Wanted::Pattern(_)) {
            let what = format!("{} is a pattern: for a list on the box, it can't be sealed", entry.wanted);
            report(&mut built.counts, line, Kind::Pattern, what)?;
        }
        if entry.details.get(Detail::Source).is_empty() && !options.source.is_empty() {
            entry.details.set(Detail::Source, options.source.as_str());
        }
        if built.rows.len() >= MAX_ROWS {
            return Err(BuildError::TooLong);
        }
        built.rows.push(&entry, line);
    }
    built.rows.sort();
    let Built { rows, counts, .. } = &mut built;
    let mark = |row: &[u8]| String::from_utf8_lossy(row.split(|b| *b == b',').next().unwrap_or(b"")).into_owned();
    let mut before: Option<(Place, u64, &[u8])> = None;
    for row in rows.iter() {
        if let Some((place, earlier, bytes)) = before
            && matches!(place, Place::Mark(_))
            && place == row.0
        {
            let (a, b) = (mark(bytes), mark(row.2));
            if a != b {
                let what = format!("{b} looks like {a} of line {earlier}: a hit on one may be the other");
                report(counts, row.1, Kind::LookAlike, what)?;
            }
        }
        before = Some(row);
    }
    Ok(built)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_has_its_line_and_no_row_vanishes() {
        let text = "vrm,action,priority,valid_until,source\n\
                    AB12CDE,stop,P0,2026-12-01,\n\
                    ÄB,stop,P0,2026-12-01,\n\
                    AB12CDE,stop,P1,2026-12-01,again\n\
                    AB12CD0,halt,P0,2026-12-01,\n\
                    AB12CDO,stop,P0,,own\n\
                    AB12CD0,stop,P0,2026-12-01,\n\
                    AB12CDF,stop,P0,2026-11-22,\n\
                    AB1*,stop,P0,2026-12-01,\n";
        let as_of = UtcTime::parse("2026-11-22").unwrap();
        let options = Options { format: Format::Csv, source: "unit".into(), as_of, priority: None };
        let mut found = Vec::new();
        let built = build(text.as_bytes(), &options, &mut |finding| {
            found.push(finding.clone());
            Ok(())
        })
        .unwrap();
        let said: Vec<_> = found.iter().map(|f| (f.line, f.kind)).collect();
        let expected = [
            (3, Kind::NotAMark),
            (4, Kind::Duplicate),
            (5, Kind::Malformed),
            (6, Kind::NoWeedDate),
            (8, Kind::Expired),
            (9, Kind::Pattern),
            (6, Kind::LookAlike),
        ];
        assert_eq!(said, expected);
        assert_eq!(found[6].what, "AB12CDO looks like AB12CD0 of line 7: a hit on one may be the other");
        assert_eq!((built.read, built.left_out(), built.faults(), built.rows.len()), (8, 4, 3, 4));
        let mut out = Vec::new();
        built.rows.write(&mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        let marks: Vec<_> = out.lines().skip(1).map(|l| l.split(',').next().unwrap()).collect();
        assert_eq!(marks, ["AB12CD0", "AB12CDO", "AB12CDE", "AB1*"]);
        assert!(
            out.contains("AB12CDO,stop,P0,,,,,,,,own,") && out.contains("AB12CD0,stop,P0,,,2026-12-01T00:00:00.000Z,,,,,unit,")
        );
        // Canonical is what builds to itself.
        let again = build(out.as_bytes(), &options, &mut |_| Ok(())).unwrap();
        assert_eq!(again.rows.content_sha256(), built.rows.content_sha256());
    }
}
