//! Rows out of NDJSON: one JSON object a line, keys named as the columns of our CSV, values texts (or `null`); `markers` may be a
//! list of texts as well. Empty lines are passed over. Unknown keys are refused: one may be a misspelt `valid_until`.

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Read};

use serde::Deserialize;

use super::format::{RowFaultKind, Wrong, read_row};
use super::plain::{MAX_ROW, Source};
use super::voi::one_line;
use crate::anpr::hotlist::HotlistEntry;

/// An NDJSON file.
pub(super) struct Ndjson<R> {
    from: BufReader<R>,
    line: Vec<u8>,
    number: u64,
}

type Text<'a> = Option<Cow<'a, str>>;

/// A line; in the order of our columns.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Object<'a> {
    #[serde(borrow)]
    vrm: Cow<'a, str>,
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    priority: Cow<'a, str>,
    #[serde(borrow, default)]
    reason: Text<'a>,
    #[serde(borrow, default)]
    valid_from: Text<'a>,
    #[serde(borrow, default)]
    valid_until: Text<'a>,
    #[serde(default)]
    markers: Markers,
    #[serde(borrow, default)]
    make: Text<'a>,
    #[serde(borrow, default)]
    model: Text<'a>,
    #[serde(borrow, default)]
    colour: Text<'a>,
    #[serde(borrow, default)]
    source: Text<'a>,
    #[serde(borrow, default)]
    force: Text<'a>,
    #[serde(borrow, default)]
    nim: Text<'a>,
    #[serde(borrow, default)]
    information: Text<'a>,
    #[serde(borrow, default)]
    pnc_id: Text<'a>,
    #[serde(borrow, default)]
    gpms: Text<'a>,
    #[serde(borrow, default)]
    cad: Text<'a>,
    #[serde(borrow, default)]
    spare_1: Text<'a>,
    #[serde(borrow, default)]
    spare_2: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
enum Markers {
    #[default]
    None,
    Text(String),
    List(Vec<String>),
}

impl<R: Read> Ndjson<R> {
    /// From bytes.
    pub(super) fn open(from: R) -> Self {
        Self { from: BufReader::with_capacity(64 * 1024, from), line: Vec::new(), number: 0 }
    }

    /// Reads the next line that isn't empty; false at the end. What is longer than [`MAX_ROW`] is passed over but for its start.
    fn advance(&mut self) -> io::Result<bool> {
        loop {
            self.line.clear();
            let most = u64::try_from(MAX_ROW).unwrap_or(u64::MAX);
            if (&mut self.from).take(most).read_until(b'\n', &mut self.line)? == 0 {
                return Ok(false);
            }
            self.number += 1;
            if self.line.len() >= MAX_ROW && !self.line.ends_with(b"\n") {
                self.from.skip_until(b'\n')?;
            }
            let line = if self.number == 1 { self.line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.line) } else { &self.line };
            if !line.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }
}

impl<R: Read> Source for Ndjson<R> {
    fn next_row(&mut self, entry: &mut HotlistEntry) -> io::Result<Option<(u64, Result<(), Wrong>)>> {
        if !self.advance()? {
            return Ok(None);
        }
        let line = self.line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.line);
        Ok(Some((self.number, convert(line, entry))))
    }
}

fn convert(line: &[u8], entry: &mut HotlistEntry) -> Result<(), Wrong> {
    let wrong = |what: String| (RowFaultKind::Malformed, what);
    if line.len() >= MAX_ROW {
        return Err(wrong(format!("is longer than {} KiB", MAX_ROW / 1024)));
    }
    let o: Object<'_> = serde_json::from_slice(line).map_err(|e| wrong(format!("is no row: {e}")))?;
    let markers = match o.markers {
        Markers::None => String::new(),
        Markers::Text(text) => text,
        Markers::List(codes) => codes.join(" "),
    };
    let absent = |text: Text<'_>| text.map_or_else(String::new, |text| one_line(&text).into_owned());
    let details =
        [o.make, o.model, o.colour, o.source, o.force, o.nim, o.information, o.pnc_id, o.gpms, o.cad, o.spare_1, o.spare_2]
            .map(absent);
    let [reason, from, until] = [o.reason, o.valid_from, o.valid_until].map(absent);
    let first = [o.vrm.trim(), o.action.trim(), o.priority.trim(), &reason, &from, &until, &markers];
    let mut fields = [""; super::format::WIDTH];
    let texts = first.into_iter().chain(details.iter().map(String::as_str));
    fields.iter_mut().zip(texts).for_each(|(field, text)| *field = text);
    read_row(&fields, entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anpr::hotlist::Detail;
    use crate::publish::sync::format;

    #[test]
    fn lines_become_rows_or_say_why_not() {
        let long = format!("{{\"vrm\":\"{}\"}}", "A".repeat(MAX_ROW));
        let text = format!(
            "\u{feff}{{\"vrm\":\"ab12 cde\",\"action\":\"stop\",\"priority\":\"P0\",\"markers\":[\"FI\",\"VI\"],\"spare_2\":\"x\\ny\"}}\n\n\
             {{\"vrm\":\"A1\",\"action\":\"silent\",\"priority\":\"P3\",\"markers\":\"FI\",\"reason\":null,\"valid_until\":\"2026-12-01\"}}\r\n\
             {{\"vrm\":\"A1\",\"action\":\"silent\",\"priority\":\"P3\",\"valid_untill\":\"2026-12-01\"}}\n\
             {{\"vrm\":\"A1\",\"action\":\"silent\"}}\n[1]\n{long}\n{{\"vrm\":\"A!\",\"action\":\"stop\",\"priority\":\"P0\"}}"
        );
        let mut source = Ndjson::open(text.as_bytes());
        let (mut rows, mut entry) = (Vec::new(), format::blank());
        while let Some((line, row)) = source.next_row(&mut entry).unwrap() {
            rows.push((line, row.map(|()| entry.clone()).map_err(|(_, what)| what)));
        }
        let lines: Vec<_> = rows.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 3, 4, 5, 6, 7, 8]);
        let first = rows[0].1.as_ref().unwrap();
        assert_eq!((first.markers.len(), first.details.get(Detail::Spare2)), (2, "x y"));
        assert!(rows[1].1.as_ref().unwrap().valid_until.is_some());
        for ((_, row), says) in rows[2..].iter().zip([
            "unknown field `valid_untill`",
            "missing field `priority`",
            "is no row",
            "longer than 64 KiB",
            "no mark",
        ]) {
            let said = row.as_ref().unwrap_err();
            assert!(said.contains(says), "{said}");
        }
    }
}
