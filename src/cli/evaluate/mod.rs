//! `kerbside evaluate`: a labelled set against what we read, with counts and intervals.

mod manifest;
mod score;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use indicatif::{ProgressBar, ProgressStyle};

use self::manifest::{Item, Kind, TruthSet};
use self::score::{Judge, Rate, ReadPlate, Tally, mean_interval};
use super::models::{ModelArgs, share};
use super::read::{DEFAULT_MIN_CONFIDENCE, is_shown};
use super::replay::ClipReader;
use super::{Exit, Failure, complain};
use crate::geometry::{FramePx, Rect};
use crate::runtime::photo::PhotoReader;

/// Arguments of `kerbside evaluate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "The manifest is a CSV with a header. `file` (relative to DIR) is needed, and one of:\n  \
    texts (or text)      marks without spaces, `;` between several; O/0 and I/1 are judged by the mark's grammar\n  \
    box_in_crop_xyxy     with text: a crop around one plate; the reader alone is measured, in this box\n  \
    n_plates             no texts: boxes from the YOLO file beside the picture (…/images/… -> …/labels/….txt); \
    the detector alone is measured\nOptional: boxes_xyxy (`x1 y1 x2 y2`, `;` between several, in the order of texts), \
    ignore_boxes_xyxy (reads that overlap them count neither way), split.\nA file that is a clip is replayed through the \
    whole pipeline and judged by its records.")]
pub(super) struct Args {
    /// The labelled set
    #[arg(long, value_name = "CSV")]
    truth: PathBuf,
    /// Folder that the manifest's `file` column is relative to
    dir: PathBuf,
    /// Only rows whose `split` column has this value
    #[arg(long)]
    split: Option<String>,
    /// Least confidence of a mark that counts as read
    #[arg(long, value_name = "SHARE", default_value_t = DEFAULT_MIN_CONFIDENCE, value_parser = share)]
    min_confidence: f32,
    /// Print one line for every plate that was missed or misread, and every false read
    #[arg(long)]
    list: bool,
    /// Fail (exit status 70) when the read rate is below this
    #[arg(long, value_name = "SHARE", value_parser = share)]
    least_read_rate: Option<f32>,
    #[command(flatten)]
    models: ModelArgs,
}

/// Runs the subcommand.
pub(super) fn main(args: &Args) -> Result<Exit, Failure> {
    let set = TruthSet::read(&args.truth, args.split.as_deref()).map_err(Failure::usage)?;
    if !args.dir.is_dir() {
        return Err(Failure::usage(super::models::about(
            &args.dir,
            "no such folder; give the one that the manifest's `file` column is relative to",
        )));
    }
    if set.kind == Kind::Boxes && args.least_read_rate.is_some() {
        return Err(Failure::usage(anyhow!(
            "{}: it has boxes and no texts, so there is no read rate for --least-read-rate",
            args.truth.display()
        )));
    }
    let mut reader = args.models.photo_reader()?;
    let mut clips: Option<ClipReader> = None;
    let judge = Judge::new(reader.decoder().grammar().clone());
    let mut tally = Tally::default();
    let bar = progress(set.items.len());
    for item in &set.items {
        let path = args.dir.join(&item.file);
        let outcome = if crate::camera::clip::is_clip(&path) {
            let clips = match &mut clips {
                Some(clips) => clips,
                none => none.insert(ClipReader::new(&args.models)?),
            };
            read_clip(clips, &path, args.min_confidence)
        } else {
            read_still(&mut reader, set.kind, item, &path, args.min_confidence)
        };
        match outcome {
            Ok((reads, cpu_ms, size)) => {
                let faults = judge.item(set.kind, &item.in_pixels(set.kind, size), &reads, cpu_ms, &mut tally);
                if args.list {
                    bar.suspend(|| faults.iter().try_for_each(|f| writeln!(std::io::stdout().lock(), "{}: {f}", item.file)))?;
                }
            }
            Err(e) => {
                tally.unreadable += 1;
                bar.suspend(|| complain(&e));
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    report(&set, &tally)?;
    if tally.unreadable > 0 {
        complain(format_args!("{} of {} files could not be read and count as nothing above", tally.unreadable, set.items.len()));
        return Ok(Exit::Software);
    }
    if let Some(least) = args.least_read_rate
        && tally.exact.share() < f64::from(least)
    {
        return Err(Failure::software(anyhow!("read rate {:.4} is below the {least} that was asked for", tally.exact.share())));
    }
    Ok(Exit::Ok)
}

fn progress(items: usize) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(items).unwrap_or(0));
    // Invariant: the template is fixed and names only keys that indicatif has.
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} {eta}").expect("a valid template"));
    bar
}

/// What was read, the CPU milliseconds it took, and the picture's size, pixels.
type Outcome = anyhow::Result<(Vec<ReadPlate>, f64, (f32, f32))>;

fn read_still(reader: &mut PhotoReader, kind: Kind, item: &Item, path: &Path, min_confidence: f32) -> Outcome {
    if kind == Kind::Crops {
        let (decoded, times) = reader.read_box(path, item.boxes.first().copied())?;
        let read = ReadPlate {
            bounds: item.boxes.first().copied().unwrap_or(WHOLE),
            score: 1.0,
            decoded: decoded.filter(|d| is_shown(d, 0.0)),
        };
        return Ok((vec![read], times.total.as_secs_f64() * 1e3, (0.0, 0.0)));
    }
    let (frame, plates, times) = reader.read(path)?;
    let reads = plates
        .into_iter()
        .map(|p| ReadPlate {
            bounds: p.candidate.bounds,
            score: p.candidate.score,
            decoded: p.decoded.filter(|d| is_shown(d, min_confidence)),
        })
        .collect();
    Ok((reads, times.total.as_secs_f64() * 1e3, (frame.bounds().width(), frame.bounds().height())))
}

/// Stands for the whole crop where a set gives no tighter box; judged by its mark alone.
const WHOLE: Rect<FramePx> = Rect::new(0.0, 0.0, 1.0, 1.0);

fn read_clip(clips: &mut ClipReader, path: &Path, min_confidence: f32) -> Outcome {
    let mut reads = Vec::new();
    let times = clips.read(path, |record, _| {
        let decoded = Some(record.decoded).filter(|d| is_shown(d, min_confidence));
        reads.push(ReadPlate { bounds: record.sightings.best_quad.bounds(), score: 1.0, decoded });
    })?;
    Ok((reads, times.total.as_secs_f64() * 1e3, (0.0, 0.0)))
}

fn report(set: &TruthSet, tally: &Tally) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let mut row = |name: &str, rate: Rate, what: &str| writeln!(out, "{name:<22} {rate}  {what}");
    match set.kind {
        Kind::Boxes => {
            row("capture rate", tally.captured, "labelled boxes found, intersection over union at least 0.5")?;
            row("  of 60 px and wider", tally.captured_wide, "")?;
        }
        Kind::Scenes | Kind::Crops => {
            if set.kind == Kind::Scenes {
                row("capture rate", tally.captured, "labelled plates found")?;
            }
            row("read rate", tally.exact, "whole mark right, O/0 and I/1 as the mark's grammar demands")?;
            row("read rate, folded", tally.folded, "the same with O = 0 and I = 1 throughout")?;
            row("character error rate", tally.characters, "edits over the characters of plates that were read")?;
        }
    }
    let images = tally.images();
    if set.kind != Kind::Crops {
        let (mean, low, high) = mean_interval(tally.false_reads, images);
        let name = if set.kind == Kind::Boxes { "false boxes an image" } else { "false reads an image" };
        writeln!(out, "{name:<22} {mean:.3}  [{low:.3}, {high:.3}]  {} in {images} images", tally.false_reads)?;
    }
    writeln!(
        out,
        "{:<22} median {:.1}, p95 {:.1}  CPU ms a file, one thread, file decoding included, model loading left out",
        "latency",
        tally.latency_ms(0.5),
        tally.latency_ms(0.95)
    )?;
    Ok(())
}
