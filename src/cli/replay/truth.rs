//! What a person saw in a clip: a CSV with one row for each time that a vehicle shows a plate.
//!
//! It is checked whole before the clip is replayed, which may take an hour; the first fault ends it, with file, line, column and mend.
//! It refuses to guess: a value that it knows the column of is right, left empty, or an error. Columns that it does not know are passed over.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use csv::StringRecord;

use crate::anpr::vrm::Vrm;

/// One row: a vehicle with one end in view. Its front and its rear are two.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// Line in the file, from 1.
    pub(super) line: u64,
    /// The mark that it carries.
    pub(super) vrm: Vrm,
    /// First and last frame in which a person can read it.
    pub(super) frames: Option<(u64, u64)>,
    /// From when to when, seconds into the clip. Beside frames, from when to when the plate is in view at all.
    pub(super) seconds: Option<(f64, f64)>,
    /// Width of its plate in the frame where it is widest, pixels.
    pub(super) max_plate_width_px: Option<f64>,
    /// Height of its characters there, pixels.
    pub(super) max_char_height_px: Option<f64>,
    /// Its speed, miles an hour.
    pub(super) speed_mph: Option<f64>,
    /// Which way it goes.
    pub(super) direction: Option<String>,
    /// Which lane it is in.
    pub(super) lane: Option<String>,
    /// Which end is seen.
    pub(super) end: Option<String>,
    /// The vehicle's number; front and rear share it.
    pub(super) id: Option<String>,
    /// Whether a person can read it in any frame: else it counts neither way.
    pub(super) is_readable: bool,
}

/// The file, read and checked.
#[derive(Clone, Debug)]
pub(super) struct Truth {
    pub(super) rows: Vec<Row>,
}

/// Header frame counts of good clips are off by a few.
const HEADER_SLACK_FRAMES: u64 = 3;

impl Truth {
    /// Reads the CSV.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let mut reader =
            csv::Reader::from_path(path).with_context(|| format!("{name}: can't be opened; --truth wants a CSV file"))?;
        let header = reader.headers().with_context(|| format!("{name}: no header line"))?.clone();
        let columns = Columns::of(&header).with_context(|| name.to_string())?;
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.with_context(|| format!("{name}: give each row as many cells as the header has"))?;
            let line = record.position().map_or(0, csv::Position::line);
            let cells = Cells { columns: &columns, record: &record };
            rows.push(cells.row(line).with_context(|| format!("{name}, line {line}"))?);
        }
        if rows.is_empty() {
            bail!("{name}: no rows; give one for each vehicle whose plate a person can read");
        }
        Ok(Self { rows })
    }

    /// Refuses the truth of another, longer clip: rows that begin after this one ends, by its header.
    pub(super) fn fits(&self, path: &Path, frames: u64, period: Duration) -> anyhow::Result<()> {
        #[allow(clippy::cast_precision_loss)] // frames of a clip, far below 2^52
        let (slack, seconds) = (HEADER_SLACK_FRAMES + frames / 50, frames as f64 * period.as_secs_f64());
        for row in &self.rows {
            let at = format!("{}, line {}", path.display(), row.line);
            let of = format!("this clip has {frames} frames, {seconds:.1} s; give the truth of this very clip");
            if let Some((first, _)) = row.frames.filter(|(first, _)| *first >= frames + slack) {
                bail!("{at}, column `first_frame`: {first} is after the clip's end: {of}");
            }
            if let Some((first, _)) = row.seconds.filter(|(first, _)| *first > seconds * 1.02 + 1.0) {
                bail!("{at}, column `first_s`: {first} is after the clip's end: {of}");
            }
        }
        Ok(())
    }
}

/// Where the columns stand that are known.
#[derive(Debug)]
struct Columns<'a> {
    header: &'a StringRecord,
    has_frames: bool,
    has_seconds: bool,
}

impl<'a> Columns<'a> {
    fn of(header: &'a StringRecord) -> anyhow::Result<Self> {
        let has = |name: &str| header.iter().any(|h| h.trim() == name);
        let list = header.iter().collect::<Vec<_>>().join(", ");
        if !has("vrm") {
            bail!("no column `vrm`; it has {list}");
        }
        let pair = |first: &str, last: &str| match (has(first), has(last)) {
            (true, false) => Err(anyhow!("column `{first}` without `{last}`; give both")),
            (false, true) => Err(anyhow!("column `{last}` without `{first}`; give both")),
            (both, _) => Ok(both),
        };
        let (has_frames, has_seconds) = (pair("first_frame", "last_frame")?, pair("first_s", "last_s")?);
        if !has_frames && !has_seconds {
            bail!("neither `first_frame` and `last_frame` nor `first_s` and `last_s` say when each is to be seen; it has {list}");
        }
        Ok(Self { header, has_frames, has_seconds })
    }
}

/// One record with its columns.
#[derive(Debug)]
struct Cells<'a> {
    columns: &'a Columns<'a>,
    record: &'a StringRecord,
}

impl Cells<'_> {
    fn row(&self, line: u64) -> anyhow::Result<Row> {
        let mark = self.text("vrm").unwrap_or_default();
        let vrm = Vrm::parse(&mark).map_err(|e| anyhow!("column `vrm`: {mark:?}: {e}; give the mark without spaces"))?;
        let frames = if self.columns.has_frames { self.pair("first_frame", "last_frame", whole)? } else { None };
        let seconds = if self.columns.has_seconds { self.pair("first_s", "last_s", seconds)? } else { None };
        if frames.is_none() && seconds.is_none() {
            bail!("{vrm} has neither frames nor seconds; say when it is to be seen");
        }
        Ok(Row {
            line,
            vrm,
            frames,
            seconds,
            max_plate_width_px: self.value("max_plate_width_px", positive)?,
            max_char_height_px: self.value("max_char_height_px", positive)?,
            speed_mph: self.value("speed_mph", speed)?,
            direction: self.text("direction"),
            lane: self.text("lane"),
            end: self.text("end"),
            id: self.text("id"),
            is_readable: self.value("readable_frames", whole)? != Some(0),
        })
    }

    /// What stands in a column, if it is there and not empty.
    fn text(&self, column: &str) -> Option<String> {
        let at = self.columns.header.iter().position(|h| h.trim() == column)?;
        self.record.get(at).map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned)
    }

    fn value<T>(&self, column: &str, parse: impl Fn(&str) -> Result<T, &'static str>) -> anyhow::Result<Option<T>> {
        let parsed = self.text(column).map(|t| parse(&t).map_err(|wanted| anyhow!("column `{column}`: {t:?} is not {wanted}")));
        parsed.transpose()
    }

    fn pair<T: PartialOrd + Copy + std::fmt::Display>(
        &self,
        first: &str,
        last: &str,
        parse: impl Fn(&str) -> Result<T, &'static str>,
    ) -> anyhow::Result<Option<(T, T)>> {
        match (self.value(first, &parse)?, self.value(last, &parse)?) {
            (None, None) => Ok(None),
            (Some(a), Some(b)) if a <= b => Ok(Some((a, b))),
            (Some(a), Some(b)) => bail!("column `{last}`: {b} is before `{first}`, {a}; the last one comes last"),
            (None, Some(_)) => bail!("column `{first}`: it is empty, and `{last}` is not; give both or neither"),
            (Some(_), None) => bail!("column `{last}`: it is empty, and `{first}` is not; give both or neither"),
        }
    }
}

fn whole(text: &str) -> Result<u64, &'static str> {
    text.parse().map_err(|_| "a whole number, counted from 0")
}

fn seconds(text: &str) -> Result<f64, &'static str> {
    let wanted = "seconds into the clip, such as 12.48";
    text.parse().ok().filter(|v: &f64| v.is_finite() && *v >= 0.0).ok_or(wanted)
}

fn positive(text: &str) -> Result<f64, &'static str> {
    text.parse()
        .ok()
        .filter(|v: &f64| v.is_finite() && *v > 0.0)
        .ok_or("a number of pixels above 0; leave it empty where it is not known")
}

fn speed(text: &str) -> Result<f64, &'static str> {
    text.parse()
        .ok()
        .filter(|v: &f64| v.is_finite() && *v >= 0.0)
        .ok_or("a speed in miles an hour; leave it empty where it is not known")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<Truth> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        Truth::read(file.path())
    }

    #[test]
    fn frames_or_seconds_say_when_and_other_columns_are_passed_over() {
        let frames =
            read("\u{feff}vrm,first_frame,last_frame,direction,scene,max_plate_width_px\nab12 cde,31,113,receding,day,166\n")
                .expect("frames")
                .rows
                .remove(0);
        assert_eq!((frames.vrm.to_string(), frames.frames, frames.seconds), ("AB12CDE".into(), Some((31, 113)), None));
        assert_eq!(
            (frames.direction.as_deref(), frames.max_plate_width_px, frames.speed_mph),
            (Some("receding"), Some(166.0), None)
        );
        let seconds = read("first_s,last_s, vrm ,readable_frames\n1.5,2,A1,0\n3,4,B2,\n").expect("seconds").rows;
        assert_eq!((seconds[0].seconds, seconds[0].is_readable, seconds[1].is_readable), (Some((1.5, 2.0)), false, true));
        let both = read("vrm,first_frame,last_frame,first_s,last_s\nA1,,,1,2\nB2,3,4,,\n").expect("one of each").rows;
        assert_eq!((both[0].frames, both[1].seconds, both[1].line), (None, None, 3));
    }

    #[test]
    fn faults_name_line_column_and_mend() {
        for (text, expected) in [
            ("mark,first_s,last_s\nA1,1,2\n", "no column `vrm`; it has mark, first_s, last_s"),
            ("vrm\nA1\n", "neither `first_frame` and `last_frame` nor `first_s` and `last_s`"),
            ("vrm,first_frame\nA1,1\n", "column `first_frame` without `last_frame`; give both"),
            ("vrm,last_s\nA1,1\n", "column `last_s` without `first_s`; give both"),
            ("vrm,first_s,last_s\n", "no rows; give one for each vehicle"),
            ("vrm,first_s,last_s\nA_1,1,2\n", "line 2: column `vrm`: \"A_1\": '_' is not a letter"),
            ("vrm,first_s,last_s\n,1,2\n", "line 2: column `vrm`: \"\": it is empty"),
            ("vrm,first_s,last_s\nA1,1,2\nB2,one,2\n", "line 3: column `first_s`: \"one\" is not seconds into the clip"),
            ("vrm,first_s,last_s\nA1,-1,2\n", "column `first_s`: \"-1\" is not seconds"),
            ("vrm,first_frame,last_frame\nA1,1.5,2\n", "column `first_frame`: \"1.5\" is not a whole number"),
            ("vrm,first_frame,last_frame\nA1,9,2\n", "column `last_frame`: 2 is before `first_frame`, 9"),
            ("vrm,first_frame,last_frame\nA1,9,\n", "column `last_frame`: it is empty"),
            ("vrm,first_frame,last_frame\nA1,,9\n", "column `first_frame`: it is empty"),
            ("vrm,first_frame,last_frame\nA1,,\n", "A1 has neither frames nor seconds"),
            ("vrm,first_s,last_s,max_plate_width_px\nA1,1,2,0\n", "column `max_plate_width_px`: \"0\" is not a number of pixels"),
            ("vrm,first_s,last_s,max_char_height_px\nA1,1,2,x\n", "column `max_char_height_px`: \"x\" is not a number of pixels"),
            ("vrm,first_s,last_s,speed_mph\nA1,1,2,NaN\n", "column `speed_mph`: \"NaN\" is not a speed"),
            ("vrm,first_s,last_s,readable_frames\nA1,1,2,many\n", "column `readable_frames`: \"many\" is not a whole number"),
            ("vrm,first_s,last_s\nA1,1\n", "give each row as many cells"),
        ] {
            let error = format!("{:#}", read(text).expect_err(text));
            assert!(error.contains(expected), "{text:?}: {error}");
        }
        let missing = format!("{:#}", Truth::read(Path::new("nowhere.csv")).expect_err("no file"));
        assert!(missing.contains("nowhere.csv: can't be opened; --truth wants a CSV file"), "{missing}");
    }

    #[test]
    fn the_truth_of_a_longer_clip_is_refused() {
        let fits = |text: &str| read(text).expect("a truth").fits(Path::new("t.csv"), 400, Duration::from_millis(40));
        assert!(fits("vrm,first_frame,last_frame\nA1,390,500\n").is_ok());
        let error = format!("{:#}", fits("vrm,first_frame,last_frame\nB2,1,2\nA1,912,950\n").expect_err("beyond"));
        assert!(
            error.contains("t.csv, line 3, column `first_frame`: 912 is after the clip's end: this clip has 400 frames, 16.0 s"),
            "{error}"
        );
        assert!(fits("vrm,first_s,last_s\nA1,15.9,17\n").is_ok() && fits("vrm,first_s,last_s\nA1,18,19\n").is_err());
    }
}
