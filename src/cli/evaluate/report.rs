//! What is counted of a set with texts, and how it is told.

use std::collections::BTreeMap;
use std::io::Write;

use super::judge::{ReadPlate, Verdict};
use super::manifest::{Item, Kind};
use crate::anpr::decode::Decoded;
use crate::cli::calibration::{Belief, Bins, CONFIDENT, Calibration, Standard};
use crate::cli::rate::{Latencies, Rate, mean_interval};
use crate::cli::read::is_shown;

/// Width of the names of the report's lines.
const NAMES: usize = 26;
/// Confidences at which reads of crops without a plate are counted, beside the least one of the command line.
const JUNK_CONFIDENCES: [f32; 2] = [0.5, 0.9];

/// Plates with one value in the set's column `rows`.
#[derive(Clone, Copy, Debug, Default)]
struct OfRows {
    exact: Rate,
    folded: Rate,
    eye: Rate,
    eye_folded: Rate,
}

/// Crops without a plate.
#[derive(Clone, Debug, Default)]
struct Junk {
    crops: u64,
    /// The detector saw a plate in it; counted where it was asked.
    found: Rate,
    /// Read with a confidence of at least so much; and how many of those the detector saw a plate in.
    read: Vec<(f32, Rate, u64)>,
}

/// All counts of a set.
#[derive(Debug)]
pub(super) struct Tally {
    kind: Kind,
    captured: Rate,
    all: OfRows,
    by_rows: BTreeMap<String, OfRows>,
    /// Edits over characters.
    characters: Rate,
    calibration: Calibration,
    wrong_but_confident: Rate,
    /// The same with twins folded.
    folded_wrong_but_confident: Rate,
    false_reads: u64,
    /// Crops whose plate the detector found; counted where it was asked.
    found: Rate,
    /// Those of them that were read exactly.
    found_and_read: Rate,
    junk: Junk,
    latencies: Latencies,
}

impl Tally {
    pub(super) fn new(kind: Kind, min_confidence: f32) -> Self {
        let mut confidences = vec![min_confidence];
        confidences.extend(JUNK_CONFIDENCES.into_iter().filter(|c| *c > min_confidence));
        let read = confidences.into_iter().map(|c| (c, Rate::default(), 0)).collect();
        Self {
            kind,
            captured: Rate::default(),
            all: OfRows::default(),
            by_rows: BTreeMap::new(),
            characters: Rate::default(),
            calibration: Calibration::default(),
            wrong_but_confident: Rate::default(),
            folded_wrong_but_confident: Rate::default(),
            false_reads: 0,
            found: Rate::default(),
            found_and_read: Rate::default(),
            junk: Junk { read, ..Junk::default() },
            latencies: Latencies::default(),
        }
    }

    /// The share of plates that were read exactly.
    pub(super) fn read_rate(&self) -> f64 {
        self.all.exact.share()
    }

    /// Counts one file. `found` says whether the detector found a crop's plate, where it was asked.
    pub(super) fn add(&mut self, item: &Item, reads: &[ReadPlate], verdict: &Verdict, found: Option<bool>, cpu_ms: f64) {
        self.latencies.add(cpu_ms);
        if self.kind == Kind::Crops && item.marks.is_empty() {
            self.junk.add(reads, verdict, found);
            return;
        }
        if let Some(found) = found {
            self.found.count(found);
            self.found_and_read.count(found && verdict.plates.iter().all(|p| p.right));
        }
        self.false_reads += count(verdict.false_reads());
        for (t, plate) in verdict.plates.iter().enumerate() {
            self.captured.count(plate.on_it.is_some());
            let rows = item.rows.get(t).map(|rows| self.by_rows.entry(rows.clone()).or_default());
            for of in [Some(&mut self.all), rows].into_iter().flatten() {
                of.exact.count(plate.right);
                of.folded.count(plate.folded);
                of.eye.count(plate.eye);
                of.eye_folded.count(plate.eye_folded);
            }
            if let Some(edits) = plate.edits {
                self.characters.hits += count(edits);
                self.characters.of += count(plate.truth.len());
            }
            let sure = |d: Decoded| d.confidence >= CONFIDENT;
            self.wrong_but_confident.count(!plate.right && plate.decoded.is_some_and(sure));
            self.folded_wrong_but_confident.count(!plate.folded && plate.decoded.is_some_and(sure));
            if let Some(decoded) = plate.decoded {
                let confidence = f64::from(decoded.confidence);
                self.calibration.add(Belief { confidence, right: plate.right, folded: plate.folded });
            }
        }
    }

    /// Tells it all.
    pub(super) fn report(&self, out: &mut impl Write) -> std::io::Result<()> {
        if self.all.exact.of > 0 {
            self.report_reads(out)?;
        }
        if self.calibration.right(Standard::Exact).of > 0 {
            self.report_confidence(out)?;
        }
        if self.kind == Kind::Scenes {
            let images = self.latencies.count();
            let (mean, low, high) = mean_interval(self.false_reads, images);
            let name = "false reads an image";
            writeln!(out, "{name:<NAMES$} {mean:.3}  [{low:.3}, {high:.3}]  {} in {images} images", self.false_reads)?;
        }
        if self.junk.crops > 0 {
            self.junk.report(out)?;
        }
        self.latencies.report(out, NAMES)
    }

    fn report_reads(&self, out: &mut impl Write) -> std::io::Result<()> {
        if self.kind == Kind::Scenes {
            row(out, "capture rate", self.captured, "labelled plates found")?;
        }
        if self.found.of > 0 {
            let what = "crops whose plate the detector found on a canvas around them; of the others the labelled box was read";
            row(out, "found by the detector", self.found, what)?;
        }
        let all = &self.all;
        row(out, "read rate", all.exact, "whole mark right, O/0 and I/1 as the mark's grammar demands")?;
        if self.found_and_read.of > 0 {
            let what = "the same, counted only where the detector found the plate";
            row(out, "found and read", self.found_and_read, what)?;
        }
        row(out, "read rate, folded", all.folded, "the same with O = 0 and I = 1 throughout")?;
        row(out, "read rate, eye alone", all.eye, "grammar off: what the reader saw, judged as the read rate is")?;
        row(out, "eye alone, folded", all.eye_folded, "the same with O = 0 and I = 1 throughout")?;
        for (rows, of) in &self.by_rows {
            let part = |r: Rate| format!("{}/{}", r.hits, r.of);
            let what =
                format!("read rate; folded {}, eye alone {}, folded {}", part(of.folded), part(of.eye), part(of.eye_folded));
            row(out, &format!("  rows {rows}"), of.exact, &what)?;
        }
        row(out, "character error rate", self.characters, "edits over the characters of plates that were read")
    }

    fn report_confidence(&self, out: &mut impl Write) -> std::io::Result<()> {
        let calibration = &self.calibration;
        let (right, folded) = (calibration.right(Standard::Exact), calibration.right(Standard::Folded));
        let differs = right != folded;
        let and_folded = if differs { format!(" ({:.4} folded)", folded.share()) } else { String::new() };
        let (mean, share, name) = (calibration.mean_confidence(), right.share(), "mean confidence");
        writeln!(
            out,
            "{name:<NAMES$} {mean:.4} against {share:.4}{and_folded} right, over the {} plates that were read",
            right.of
        )?;
        let mut error = |name: &str, standard: Standard| {
            let of = |bins: Bins| calibration.error(standard, bins);
            let (width, count) = (of(Bins::EqualWidth), of(Bins::EqualCount));
            writeln!(out, "{name:<NAMES$} {width:.4} in 10 bins of equal width (ECE), {count:.4} in 10 bins of equal count")
        };
        error("expected calibration error", Standard::Exact)?;
        if differs {
            error("  folded", Standard::Folded)?;
        }
        let (width, count, name) =
            (calibration.chance(Bins::EqualWidth), calibration.chance(Bins::EqualCount), "  by chance alone");
        writeln!(
            out,
            "{name:<NAMES$} {width:.4} and {count:.4}: what so few reads show on average if each confidence is a probability"
        )?;
        let folded = self.folded_wrong_but_confident;
        let and_folded = if differs { format!("; {} folded", folded.hits) } else { String::new() };
        let what = format!("of all plates: wrong mark, confidence at least {CONFIDENT}{and_folded}");
        row(out, "wrong but confident", self.wrong_but_confident, &what)
    }
}

impl Junk {
    fn add(&mut self, reads: &[ReadPlate], verdict: &Verdict, found: Option<bool>) {
        self.crops += 1;
        found.iter().for_each(|found| self.found.count(*found));
        for (confidence, rate, seen) in &mut self.read {
            let is_read = verdict.strangers.iter().filter_map(|i| reads[*i].decoded).any(|d| is_shown(&d, *confidence));
            rate.count(is_read);
            *seen += u64::from(is_read && found == Some(true));
        }
    }

    fn report(&self, out: &mut impl Write) -> std::io::Result<()> {
        let name = "crops without a plate";
        writeln!(out, "{name:<NAMES$} {}; they count in no figure above", self.crops)?;
        if self.found.of > 0 {
            row(
                out,
                "  taken for a plate",
                self.found,
                "by the detector, anywhere in them; of the others the whole box was read, so that the reader is measured too",
            )?;
        }
        for (confidence, rate, seen) in &self.read {
            let what = if self.found.of > 0 { format!("{seen} of them taken for a plate") } else { String::new() };
            row(out, &format!("  read at {confidence} or surer"), *rate, &what)?;
        }
        Ok(())
    }
}

fn row(out: &mut impl Write, name: &str, rate: Rate, what: &str) -> std::io::Result<()> {
    let gap = if what.is_empty() { "" } else { "  " };
    writeln!(out, "{name:<NAMES$} {rate}{gap}{what}")
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::judge::tests::{item, judge, repaired};
    use super::*;

    fn told(kind: Kind, cases: &[(&str, ReadPlate, &str, bool)]) -> String {
        let (mut tally, judge) = (Tally::new(kind, 0.4), judge());
        for (truth, read, rows, found) in cases {
            let marks: &[&str] = if truth.is_empty() { &[] } else { &[truth] };
            let item = Item { rows: vec![(*rows).to_owned(); marks.len()], ..item(marks, &[0.0], &[]) };
            let reads = [*read];
            tally.add(&item, &reads, &judge.item(&item, &reads), Some(*found), 1.0);
        }
        let mut out = Vec::new();
        tally.report(&mut out).expect("written");
        let text = String::from_utf8(out).expect("UTF-8");
        text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
    }

    #[test]
    fn every_figure_counts_what_it_says() {
        let text = told(
            Kind::Crops,
            &[
                ("AB12CDE", repaired("AB12CDE", "AB12CDE", 1.0), "1", true),
                ("AB12CDE", repaired("AB12CDE", "4B12CDE", 0.5), "1", true),
                ("GO10OLO", repaired("G010OLO", "G010OLO", 0.96), "2", true),
                ("AB12CDE", repaired("AB12CDF", "AB12CDF", 0.97), "2", false),
            ],
        );
        for line in [
            "found by the detector 0.7500 ",
            "found and read 0.5000 ",
            "read rate 0.5000 ",
            "read rate, folded 0.7500 ",
            "read rate, eye alone 0.2500 ",
            "eye alone, folded 0.5000 ",
            "rows 1 1.0000 [0.3424, 1.0000] 2/2 read rate; folded 2/2, eye alone 1/2, folded 1/2",
            "rows 2 0.0000 [0.0000, 0.6576] 0/2 read rate; folded 1/2, eye alone 0/2, folded 1/2",
            "mean confidence 0.8575 against 0.5000 (0.7500 folded) right, over the 4 plates",
            // 0.5 is alone in its bin; the other three, 2.93 of belief, are right once.
            "expected calibration error 0.6075 in 10 bins of equal width (ECE), ",
            "folded 0.3575 in 10 bins",
            "wrong but confident 0.5000 [0.1500, 0.8500] 2/4 of all plates: wrong mark, confidence at least 0.95; 1 folded",
        ] {
            assert!(text.contains(line), "{line:?} is missing from: {text}");
        }
        assert!(!text.contains("crops without a plate") && !text.contains("false reads"), "{text}");
    }

    #[test]
    fn a_plate_that_was_not_found_is_read_but_not_found_and_read_and_no_reads_have_no_confidence() {
        let text = told(Kind::Crops, &[("AB12CDE", repaired("AB12CDE", "AB12CDE", 1.0), "", false)]);
        assert!(text.contains("\nread rate 1.0000 ") && text.contains("\nfound and read 0.0000 "), "{text}");
        let nothing = ReadPlate { decoded: None, ..repaired("X1", "X1", 0.0) };
        let text = told(Kind::Crops, &[("AB12CDE", nothing, "", true)]);
        assert!(text.contains("\nread rate 0.0000 ") && !text.contains("confiden") && !text.contains("calibration"), "{text}");
    }

    #[test]
    fn crops_without_a_plate_stand_apart() {
        let junk = |confidence, found| ("", repaired("X1", "X1", confidence), "", found);
        let nothing = ReadPlate { decoded: None, ..repaired("X1", "X1", 0.0) };
        let text = told(Kind::Crops, &[junk(0.95, true), junk(0.6, false), junk(0.1, true), ("", nothing, "", false)]);
        for line in [
            "crops without a plate 4;",
            "taken for a plate 0.5000 ",
            "read at 0.4 or surer 0.5000 [0.1500, 0.8500] 2/4 1 of them taken for a plate",
            "read at 0.5 or surer 0.5000 ",
            "read at 0.9 or surer 0.2500 ",
        ] {
            assert!(text.contains(line), "{line:?} is missing from: {text}");
        }
        assert!(!text.contains("read rate") && !text.contains("confidence "), "nothing was to be read: {text}");
    }
}
