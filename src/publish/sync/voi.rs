//! Rows out of the VOI CSV: 16 columns in a fixed order, with or without a header row.
//!
//! The order is that of `uk-anpr.md`, H1, taken from a back-office emulator's "Regulation 109 - 16 fields" (trust mark C: one
//! source of code; no Home Office document is at hand): VRM, Make, Model, Colour, Action, Warning markers, Reason, NIM (5x5x5)
//! code, Information/Action, Force & area, Weed date, PNC ID, GPMS marking, CAD information, Spare 1, Spare 2.
//!
//! Turned into our words: the action in upper or lower case; markers with spaces, slashes, commas or semicolons between; the
//! weed date (`31/12/2026`, `2026-12-31` or RFC 3339; a date is its first instant in UTC) into `valid_until`; line breaks inside
//! a field into spaces. The format has no priority: STOP is P1, ASSESS P2, all others P3, unless whoever imports says otherwise.

use std::borrow::Cow;
use std::io::{self, Read};

use super::format::{RowFaultKind, WIDTH, Wrong, read_row};
use super::plain::{PlainError, Source, csv_reader, next_record, text};
use crate::anpr::hotlist::{HotlistEntry, Priority};

/// Names of the columns as a header row may have them, letters and digits only, lower case; each with the field of our own
/// row that it goes into, but for the action and those that [`convert`] makes.
const COLUMNS: [(&[&str], usize); 16] = [
    (&["vrm", "registration"], 0),
    (&["make"], 7),
    (&["model"], 8),
    (&["colour", "color"], 9),
    (&["action"], ACTION),
    (&["warningmarkers", "warningmarker", "markers"], MARKERS),
    (&["reason"], 3),
    (&["nim5x5x5code", "nimcode", "nim", "5x5x5"], 12),
    (&["informationaction", "information"], 13),
    (&["forcearea", "forceandarea", "force"], 11),
    (&["weeddate", "weed"], WEED),
    (&["pncid"], 14),
    (&["gpmsmarking", "gpms"], 15),
    (&["cadinformation", "cad"], 16),
    (&["spare1"], 17),
    (&["spare2"], 18),
];
const ACTION: usize = 1;
const PRIORITY: usize = 2;
const WEED: usize = 5;
const MARKERS: usize = 6;

/// A VOI CSV file.
pub(super) struct Voi<R> {
    reader: csv::Reader<R>,
    record: csv::ByteRecord,
    /// The first record is a row, not a header.
    held: bool,
    priority: Option<Priority>,
}

impl<R: Read> Voi<R> {
    /// Looks at the first row: a header is one whose first field is a name of the first column; its others must be named in
    /// order, too. `priority` is for every row, in place of the action's.
    pub(super) fn open(from: R, priority: Option<Priority>) -> Result<Voi<impl Read>, PlainError> {
        let mut reader = csv_reader(from).map_err(PlainError::Io)?;
        let mut record = csv::ByteRecord::new();
        let held = next_record(&mut reader, &mut record).map_err(PlainError::Io)?;
        let name = |at: usize| -> String {
            let field = String::from_utf8_lossy(record.get(at).unwrap_or(b"")).to_ascii_lowercase();
            field.chars().filter(char::is_ascii_alphanumeric).collect()
        };
        let is_header = held && COLUMNS[0].0.contains(&&*name(0));
        if is_header {
            if let Some(at) = (0..COLUMNS.len()).find(|at| !COLUMNS[*at].0.contains(&&*name(*at))) {
                let (found, wanted) = (name(at), COLUMNS[at].0[0]);
                return Err(PlainError::Header(format!("names its column {} {found:?} where {wanted:?} belongs", at + 1)));
            }
            if record.len() > COLUMNS.len() {
                return Err(PlainError::Header(format!("has {} columns, the format has 16", record.len())));
            }
        }
        Ok(Voi { reader, record, held: held && !is_header, priority })
    }
}

impl<R: Read> Source for Voi<R> {
    fn next_row(&mut self, entry: &mut HotlistEntry) -> io::Result<Option<(u64, Result<(), Wrong>)>> {
        if !std::mem::take(&mut self.held) && !next_record(&mut self.reader, &mut self.record)? {
            return Ok(None);
        }
        let line = self.record.position().map_or(0, csv::Position::line);
        Ok(Some((line, convert(&self.record, self.priority, entry))))
    }
}

fn convert(record: &csv::ByteRecord, priority: Option<Priority>, entry: &mut HotlistEntry) -> Result<(), Wrong> {
    if record.len() != COLUMNS.len() {
        let what = format!("has {} fields where the format has 16; quote a field that holds a comma", record.len());
        return Err((RowFaultKind::Malformed, what));
    }
    let mut fields: [Cow<'_, str>; WIDTH] = [const { Cow::Borrowed("") }; WIDTH];
    for (field, (_, into)) in record.iter().zip(COLUMNS) {
        fields[into] = one_line(text(field)?);
    }
    let action = fields[ACTION].to_ascii_lowercase();
    let by_action = match &*action {
        "stop" => "P1",
        "assess" => "P2",
        _ => "P3",
    };
    fields[PRIORITY] = Cow::Borrowed(priority.map_or(by_action, Priority::as_str));
    fields[ACTION] = Cow::Owned(action);
    let markers = fields[MARKERS].to_ascii_uppercase().replace(['/', ',', ';'], " ");
    fields[MARKERS] = Cow::Owned(markers);
    if let Some(date) = british(&fields[WEED]) {
        fields[WEED] = Cow::Owned(date);
    }
    read_row(&std::array::from_fn(|n| &*fields[n]), entry)
        .map_err(|(kind, what)| (kind, what.replace("valid_until", "weed date")))
}

/// Line breaks and other control characters as spaces, none at either end.
pub(super) fn one_line(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    if text.chars().any(char::is_control) {
        Cow::Owned(text.replace("\r\n", " ").replace(char::is_control, " ").trim().to_owned())
    } else {
        Cow::Borrowed(text)
    }
}

/// `31/12/2026` as `2026-12-31`; none when it is not of this shape.
fn british(date: &str) -> Option<String> {
    let mut parts = date.split('/');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = |text: &str, most: usize| (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let shaped = parts.next().is_none() && digits(day, 2) && digits(month, 2) && year.len() == 4 && digits(year, 4);
    shaped.then(|| format!("{year}-{month:0>2}-{day:0>2}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anpr::hotlist::{Action, Detail};
    use crate::clock::UtcTime;
    use crate::publish::sync::format;

    type Row = (u64, Result<HotlistEntry, String>);

    fn read(text: &str) -> Result<Vec<Row>, String> {
        let mut voi = Voi::open(text.as_bytes(), None).map_err(|e| format!("{e:?}"))?;
        let (mut rows, mut entry) = (Vec::new(), format::blank());
        while let Some((line, row)) = voi.next_row(&mut entry).unwrap() {
            rows.push((line, row.map(|()| entry.clone()).map_err(|(_, what)| what)));
        }
        Ok(rows)
    }

    const ROW: &str = "ab12 cde,Make,Model,Red,STOP,fi/VI,stolen,E41,\"wait,\nthen stop\",Force A,31/12/2026,P1,G2,C3,s1,s2\n";
    const HEADER: &str = "VRM,Make,Model,Colour,Action,Warning markers,Reason,NIM (5x5x5) code,Information/Action,Force & area,\
                          Weed date,PNC ID,GPMS marking,CAD information,Spare 1,Spare 2\n";

    #[test]
    fn every_column_finds_its_place_with_or_without_a_header() {
        for (text, line) in [(ROW.to_owned(), 1), (format!("\u{feff}{HEADER}{ROW}"), 2)] {
            let rows = read(&text).unwrap();
            let [(at, Ok(entry))] = &rows[..] else { panic!("{rows:?}") };
            assert_eq!(*at, line);
            assert_eq!((entry.wanted.to_string().as_str(), entry.action, entry.priority.number()), ("AB12CDE", Action::Stop, 1));
            assert_eq!(entry.markers.iter().map(|m| m.as_str().to_owned()).collect::<Vec<_>>(), ["FI", "VI"]);
            assert_eq!((entry.reason.as_str(), entry.valid_until), ("stolen", UtcTime::parse("2026-12-31")));
            let found = Detail::ALL.map(|d| entry.details.get(d).to_owned());
            let expected = ["Make", "Model", "Red", "", "Force A", "E41", "wait, then stop", "P1", "G2", "C3", "s1", "s2"];
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn what_is_wrong_is_said_by_row() {
        let bad = [
            ROW.replace("STOP", "HALT"),
            ROW.replace("31/12/2026", "31/13/2026"),
            ROW.replace(",s2", ""),
            ROW.replace("ab12 cde", "AB12?"),
        ];
        let rows = read(&bad.concat()).unwrap();
        let said: Vec<_> =
            rows.into_iter().map(|(line, row)| format!("{line}: {}", row.map_or_else(|e| e, |_| "good".into()))).collect();
        for (said, says) in said.iter().zip([
            "1: action \"halt\" is unknown",
            "3: weed date \"2026-13-31\" is no time",
            "5: has 15 fields",
            "7: good",
        ]) {
            assert!(said.starts_with(says), "{said}");
        }
        let said = read(&HEADER.replace("Reason", "Rason")).unwrap_err();
        assert!(said.contains("its column 7 \\\"rason\\\" where \\\"reason\\\" belongs"), "{said}");
    }
}
