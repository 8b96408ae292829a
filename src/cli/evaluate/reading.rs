//! Sets with texts: scenes by the whole path, crops as the daemon meets a plate or in their labelled boxes, clips by their records.

use std::path::Path;

use anyhow::anyhow;

use super::judge::{Judge, ReadPlate, Verdict, ignored};
use super::manifest::{Item, Kind, TruthSet};
use super::misreads::{Misreads, Pictures, Scissors};
use super::read_scores::ReadScores;
use super::report::Tally;
use super::{Args, walk};
use crate::anpr::decode::Decoded;
use crate::cli::read::is_shown;
use crate::cli::replay::ClipReader;
use crate::cli::{Exit, Failure};
use crate::geometry::{FramePx, Rect};
use crate::runtime::photo::PhotoReader;

/// A file, read.
#[derive(Debug)]
struct Reading {
    pictures: Pictures,
    reads: Vec<ReadPlate>,
    /// Where a crop's plate was known to be; none for whole pictures.
    label: Option<Rect<FramePx>>,
    /// Whether the detector found a crop's plate, or one in a crop without; none where it was not asked.
    found: Option<bool>,
    cpu_ms: f64,
}

/// Measures reading on a set.
pub(super) fn run(args: &Args, set: &TruthSet) -> Result<Exit, Failure> {
    let mut sheets = args.sheets.as_deref().map(Misreads::create).transpose().map_err(Failure::usage)?;
    let mut scores = args.scores.as_deref().map(|p| ReadScores::create(p, &args.inputs())).transpose().map_err(Failure::usage)?;
    let mut reader = args.models.photo_reader()?;
    let mut clips: Option<ClipReader> = None;
    let judge = Judge::new(reader.decoder().grammar().clone());
    let mut tally = Tally::new(set.kind, args.min_confidence);
    let unreadable = walk(args, set, |item, path| {
        let reading = if crate::camera::clip::is_clip(path) {
            let clips = match &mut clips {
                Some(clips) => clips,
                none => none.insert(ClipReader::new(&args.models, None).map_err(|f| f.error)?),
            };
            read_clip(clips, path, args)?
        } else if set.kind == Kind::Crops {
            read_crop(&mut reader, item, path, args.labelled_boxes)?
        } else {
            read_scene(&mut reader, path, args.min_confidence)?
        };
        let mut verdict = judged(&judge, item, &reading);
        tally.add(item, &reading.reads, &verdict, reading.found, reading.cpu_ms);
        if let Some(scores) = &mut scores {
            scores.add(&item.file, &reading.reads, &verdict);
        }
        // Crops are read at any confidence, so that it can be judged; where there is no plate, what nobody would be shown is no fault.
        verdict.strangers.retain(|i| reading.reads[*i].decoded.is_some_and(|d| is_shown(&d, args.min_confidence)));
        let unfound = reading.found == Some(false);
        if let Some(sheets) = &mut sheets {
            let note = if unfound { "not found by the detector" } else { "" };
            sheets.add(item, &reading.pictures, &reading.reads, &verdict, note);
        }
        Ok(verdict.faults(&reading.reads, unfound))
    })?;
    tally.report(&mut std::io::stdout().lock())?;
    if let Some(sheets) = sheets {
        sheets.save().map_err(Failure::software)?;
    }
    scores.map(ReadScores::finish).transpose().map_err(Failure::software)?;
    if let (Some(least), 0) = (args.least_read_rate, unreadable)
        && tally.read_rate() < least
    {
        return Err(Failure::software(anyhow!("read rate {:.4} is below the {least} that was asked for", tally.read_rate())));
    }
    super::ending(unreadable, set)
}

/// A file's reads, held against its row. A crop has one mark and one place, and counts once where it has none: by its surest read.
fn judged(judge: &Judge, item: &Item, reading: &Reading) -> Verdict {
    let reads = &reading.reads;
    let Some(label) = reading.label else { return judge.item(item, reads) };
    let mut verdict = judge.item(&Item { boxes: vec![Some(label)], ..item.clone() }, reads);
    let confidence = |i: &usize| reads[*i].decoded.map_or(0.0, |d| d.confidence);
    let surest = verdict.strangers.iter().copied().max_by(|a, b| confidence(a).total_cmp(&confidence(b)));
    verdict.strangers = surest.into_iter().collect();
    verdict
}

/// Every plate of a photograph.
fn read_scene(reader: &mut PhotoReader, path: &Path, min_confidence: f32) -> anyhow::Result<Reading> {
    let (frame, plates, times) = reader.read(path)?;
    let reads = plates.into_iter().map(|p| ReadPlate {
        bounds: p.candidate.bounds,
        corners: p.candidate.corners,
        decoded: p.decoded.filter(|d| is_shown(d, min_confidence)),
    });
    let reads = reads.collect();
    Ok(Reading { pictures: Pictures::Still(frame), reads, label: None, found: None, cpu_ms: times.total.as_secs_f64() * 1e3 })
}

/// The one plate of a crop, or all that is seen in one without a plate, however doubtful.
fn read_crop(reader: &mut PhotoReader, item: &Item, path: &Path, labelled_boxes: bool) -> anyhow::Result<Reading> {
    let label = item.box_of(0);
    let crop = match labelled_boxes {
        true => reader.read_box(path, label),
        false if item.marks.is_empty() => reader.read_crop_without_plate(path, label, |bounds| !ignored(item, bounds)),
        false => reader.read_crop(path, label),
    }?;
    let read = |bounds, corners, decoded: Option<Decoded>| {
        let decoded = decoded.filter(|d| is_shown(d, 0.0));
        ReadPlate { bounds, corners, decoded }
    };
    let found = !crop.found.is_empty();
    let mut reads: Vec<ReadPlate> = crop.found.iter().map(|p| read(p.candidate.bounds, p.candidate.corners, p.decoded)).collect();
    if !found {
        reads.push(read(crop.label, crop.label.into(), crop.in_label));
    }
    Ok(Reading {
        pictures: Pictures::Still(crop.frame),
        reads,
        label: Some(crop.label),
        found: (!labelled_boxes).then_some(found),
        cpu_ms: crop.times.total.as_secs_f64() * 1e3,
    })
}

/// Every record of a clip. Its pictures are cut out at once, and only where sheets are wanted.
fn read_clip(clips: &mut ClipReader, path: &Path, args: &Args) -> anyhow::Result<Reading> {
    let (mut reads, mut shown) = (Vec::new(), Vec::new());
    let mut scissors = args.sheets.is_some().then(Scissors::new);
    let times = clips.read(path, |record, evidence| {
        let corners = record.sightings.best_quad;
        let decoded = Some(record.decoded).filter(|d| is_shown(d, args.min_confidence));
        let read = ReadPlate { bounds: corners.bounds(), corners, decoded };
        shown.push(scissors.as_mut().zip(evidence).map(|(scissors, e)| scissors.cut(&e.frame, None, Some(&read))));
        reads.push(read);
    })?;
    Ok(Reading { pictures: Pictures::Clip(shown), reads, label: None, found: None, cpu_ms: times.total.as_secs_f64() * 1e3 })
}
