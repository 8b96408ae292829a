//! Sets with boxes only: the detector alone, as labelled and, where there is a second opinion, adjudicated.
//!
//! As-labelled figures are the headline: they can be compared with anybody's. Widths are the labels' own, in pixels of the
//! picture and, since that is what decides whether a plate can be seen, in pixels of the detector's input.

use std::io::Write;

use super::matching::{self, Fate, Verdict};
use super::scores::ScoreFile;
use super::second::SecondOpinion;
use super::sheets::Sheets;
use super::{Args, TruthSet, walk};
use crate::cli::rate::{Latencies, Rate, mean_interval};
use crate::cli::{Exit, Failure};
use crate::geometry::{FramePx, Rect};

/// Ends of the width classes, pixels of the picture.
const PICTURE_PX: [f32; 2] = [40.0, 60.0];
/// Ends of the width classes, pixels of the detector's input.
const INPUT_PX: [f32; 6] = [16.0, 24.0, 32.0, 48.0, 100.0, 200.0];

/// As labelled, and adjudicated.
#[derive(Clone, Copy, Debug, Default)]
struct Pair {
    labelled: Rate,
    adjudicated: Rate,
}

impl Pair {
    fn count(&mut self, labelled: bool, adjudicated: bool) {
        self.labelled.count(labelled);
        self.adjudicated.count(adjudicated);
    }
}

/// All counts of a set.
#[derive(Debug, Default)]
struct Tally {
    found: Pair,
    by_picture_px: [Pair; PICTURE_PX.len() + 1],
    by_input_px: [Pair; INPUT_PX.len() + 1],
    /// Pictures without a plate where nothing was found.
    clear: Pair,
    false_boxes: (u64, u64),
    latencies: Latencies,
}

impl Tally {
    /// Counts a picture whose detector looked at it with `scale` input pixels a picture pixel.
    fn add(&mut self, verdict: &Verdict, scale: f32, cpu_ms: f64) {
        for label in &verdict.labels {
            let (found, adjudicated) = (label.found_by.is_some(), label.adjudicated.is_some());
            let width = label.bounds.width();
            self.found.count(found, adjudicated);
            self.by_picture_px[class(&PICTURE_PX, width)].count(found, adjudicated);
            self.by_input_px[class(&INPUT_PX, width * scale)].count(found, adjudicated);
        }
        let (labelled, adjudicated) = verdict.false_boxes();
        if verdict.labels.is_empty() {
            self.clear.count(labelled == 0, adjudicated == 0);
        }
        self.false_boxes.0 += u64::try_from(labelled).unwrap_or(0);
        self.false_boxes.1 += u64::try_from(adjudicated).unwrap_or(0);
        self.latencies.add(cpu_ms);
    }
}

/// Which class a width is in: the number of ends that it reaches.
fn class(ends: &[f32], width: f32) -> usize {
    ends.iter().filter(|end| width >= **end).count()
}

/// The names of the classes between these ends.
fn classes(ends: &[f32]) -> Vec<String> {
    let mut names = vec![format!("below {} px", ends[0])];
    names.extend(ends.windows(2).map(|e| format!("{} to {} px", e[0], e[1])));
    names.push(format!("{} px and wider", ends[ends.len() - 1]));
    names
}

/// Measures the detector on a set.
pub(super) fn run(args: &Args, set: &TruthSet) -> Result<Exit, Failure> {
    let second = args.second_opinion.as_deref().map(|p| SecondOpinion::read(p, set)).transpose().map_err(Failure::usage)?;
    let mut sheets = args.sheets.as_deref().map(Sheets::create).transpose().map_err(Failure::usage)?;
    let mut scores = args.scores.as_deref().map(|p| ScoreFile::create(p, &args.inputs())).transpose().map_err(Failure::usage)?;
    let mut reader = args.models.photo_reader()?;
    let mut tally = Tally::default();
    let unreadable = walk(args, set, |item, path| {
        let (frame, candidates, times) = reader.find(path)?;
        let size = frame.bounds();
        let item = item.in_pixels(set.kind, (size.width(), size.height()));
        let seconds = second.as_ref().map_or(&[][..], |s| s.of(&item.file));
        let labels: Vec<_> = item.boxes.iter().flatten().copied().collect();
        let verdict = matching::judge(&labels, seconds, &candidates);
        tally.add(&verdict, reader.detector_scale(size), times.total.as_secs_f64() * 1e3);
        if let Some(sheets) = &mut sheets {
            sheets.add(&item.file, &frame, seconds, &verdict);
        }
        if let Some(scores) = &mut scores {
            scores.add(&item.file, &verdict);
        }
        Ok(faults(&verdict))
    })?;
    report(&tally, second.is_some())?;
    if let Some(sheets) = sheets {
        sheets.save().map_err(Failure::software)?;
    }
    scores.map(ScoreFile::finish).transpose().map_err(Failure::software)?;
    super::ending(unreadable, set)
}

/// One line for every box that is missing or too many.
fn faults(verdict: &Verdict) -> Vec<String> {
    let at = |b: Rect<FramePx>| format!("{b:?}");
    let missed = verdict.labels.iter().filter(|l| l.found_by.is_none()).map(|l| {
        let note = if l.adjudicated.is_some() { ", but the plate in this loose label was" } else { "" };
        format!("box {} not found{note}", at(l.bounds))
    });
    let strangers = verdict.candidates.iter().filter(|c| c.label.is_none()).map(|c| {
        let note = match c.adjudicated {
            Fate::Neither => ", on a plate that the labels leave out",
            Fate::Found => ", on the plate in a loose label",
            Fate::False => "",
        };
        format!("false box {} ({:.2}){note}", at(c.candidate.bounds), c.candidate.score)
    });
    missed.chain(strangers).collect()
}

fn report(tally: &Tally, adjudicated: bool) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    if adjudicated {
        writeln!(out, "{:<24} {:<34} adjudicated by the second opinion", "", "as labelled")?;
    }
    let mut row = |name: &str, labelled: String, other: String, what: &str| {
        if adjudicated {
            writeln!(out, "{name:<24} {labelled:<34} {other:<34} {what}")
        } else {
            writeln!(out, "{name:<24} {labelled:<34} {what}")
        }
    };
    let mut rates = |name: &str, pair: Pair, what: &str| row(name, pair.labelled.to_string(), pair.adjudicated.to_string(), what);
    rates("capture rate", tally.found, "labelled boxes found, intersection over union at least 0.5")?;
    for (ends, pairs, what) in [
        (&PICTURE_PX[..], &tally.by_picture_px[..], "of the picture"),
        (&INPUT_PX[..], &tally.by_input_px[..], "of the detector's input"),
    ] {
        for (i, (name, pair)) in classes(ends).iter().zip(pairs).enumerate() {
            rates(&format!("  {name}"), *pair, if i == 0 { what } else { "" })?;
        }
    }
    if tally.clear.labelled.of > 0 {
        let cell = |r: Rate| {
            let (low, high) = r.interval();
            format!("none found in {} of {} [{low:.4}, {high:.4}]", r.hits, r.of)
        };
        row("pictures without a plate", cell(tally.clear.labelled), cell(tally.clear.adjudicated), "")?;
    }
    let images = tally.latencies.count();
    let cell = |count: u64| {
        let (mean, low, high) = mean_interval(count, images);
        format!("{mean:.3}  [{low:.3}, {high:.3}]  {count}")
    };
    let (labelled, other) = tally.false_boxes;
    row("false boxes an image", cell(labelled), cell(other), &format!("in {images} images"))?;
    tally.latencies.report(&mut out, 24)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_fall_into_their_classes() {
        assert_eq!(classes(&PICTURE_PX), ["below 40 px", "40 to 60 px", "60 px and wider"]);
        for (width, expected) in [(0.0, 0), (39.9, 0), (40.0, 1), (59.9, 1), (60.0, 2), (600.0, 2)] {
            assert_eq!(class(&PICTURE_PX, width), expected, "{width}");
        }
        assert_eq!(classes(&INPUT_PX).len(), Tally::default().by_input_px.len());
    }

    #[test]
    fn pictures_without_a_plate_are_counted_apart() {
        let mut tally = Tally::default();
        let bounds = Rect::new(0.0, 0.0, 50.0, 10.0);
        let candidate = crate::vision::detector::Candidate { bounds, corners: bounds.into(), score: 0.5 };
        tally.add(&matching::judge(&[], &[], &[]), 1.0, 1.0);
        tally.add(&matching::judge(&[], &[], &[candidate]), 1.0, 1.0);
        tally.add(&matching::judge(&[bounds], &[], &[candidate]), 0.5, 1.0);
        assert_eq!((tally.clear.labelled.hits, tally.clear.labelled.of, tally.false_boxes), (1, 2, (1, 1)));
        assert_eq!((tally.by_picture_px[1].labelled.hits, tally.by_input_px[2].labelled.hits), (1, 1));
    }
}
