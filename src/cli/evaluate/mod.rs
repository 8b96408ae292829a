//! `kerbside evaluate`: a labelled set against what we read, with counts and intervals. Sets with boxes alone measure the
//! detector and go their own way (`detection`).

mod detection;
mod manifest;
mod matching;
mod score;
mod scores;
mod second;
mod sheets;

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
    /// Boxes of another detector: CSV with file, x1, y1, x2, y2 (pixels) and labelled (1 where a label lies on it). Beside the
    /// figures as labelled stand the adjudicated ones: a candidate on one of its boxes without a label counts neither way, and a
    /// loosely labelled plate is found where its tighter box is. For sets with n_plates
    #[arg(long, value_name = "CSV")]
    second_opinion: Option<PathBuf>,
    /// Write contact sheets of what was found, missed and falsely found into this folder, outside any checkout. For sets with
    /// n_plates
    #[arg(long, value_name = "DIR")]
    sheets: Option<PathBuf>,
    /// Write every candidate with its score and whether it was right, and every label that none found, for curves; lower
    /// --min-score for it. For sets with n_plates
    #[arg(long, value_name = "CSV")]
    scores: Option<PathBuf>,
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
    fitting(args, &set)?;
    if set.kind == Kind::Boxes {
        return detection::run(args, &set);
    }
    let mut reader = args.models.photo_reader()?;
    let mut clips: Option<ClipReader> = None;
    let judge = Judge::new(reader.decoder().grammar().clone());
    let mut tally = Tally::default();
    let unreadable = walk(args, &set, |item, path| {
        let (reads, cpu_ms) = if crate::camera::clip::is_clip(path) {
            let clips = match &mut clips {
                Some(clips) => clips,
                none => none.insert(ClipReader::new(&args.models).map_err(|f| f.error)?),
            };
            read_clip(clips, path, args.min_confidence)?
        } else {
            read_still(&mut reader, set.kind, item, path, args.min_confidence)?
        };
        Ok(judge.item(item, &reads, cpu_ms, &mut tally))
    })?;
    report(&set, &tally)?;
    if let (Some(least), 0) = (args.least_read_rate, unreadable)
        && tally.exact.share() < f64::from(least)
    {
        return Err(Failure::software(anyhow!("read rate {:.4} is below the {least} that was asked for", tally.exact.share())));
    }
    ending(unreadable, &set)
}

/// Refuses options that the set has nothing for.
fn fitting(args: &Args, set: &TruthSet) -> Result<(), Failure> {
    let truth = args.truth.display();
    if set.kind == Kind::Boxes {
        return match args.least_read_rate {
            None => Ok(()),
            Some(_) => {
                Err(Failure::usage(anyhow!("{truth}: it has boxes and no texts, so there is no read rate for --least-read-rate")))
            }
        };
    }
    let given = [
        ("--second-opinion", args.second_opinion.is_some()),
        ("--sheets", args.sheets.is_some()),
        ("--scores", args.scores.is_some()),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((option, _)) => {
            Err(Failure::usage(anyhow!("{truth}: it has texts; {option} is for sets with boxes alone (a column `n_plates`)")))
        }
    }
}

/// Goes through the files of a set; `judge` counts one and gives a line for every fault. Gives how many could not be read.
fn walk(
    args: &Args,
    set: &TruthSet,
    mut judge: impl FnMut(&Item, &Path) -> anyhow::Result<Vec<String>>,
) -> Result<usize, Failure> {
    let bar = progress(set.items.len());
    let mut unreadable = 0;
    for item in &set.items {
        match judge(item, &args.dir.join(&item.file)) {
            Ok(faults) if args.list => {
                bar.suspend(|| faults.iter().try_for_each(|f| writeln!(std::io::stdout().lock(), "{}: {f}", item.file)))?;
            }
            Ok(_) => {}
            Err(e) => {
                unreadable += 1;
                bar.suspend(|| complain(&e));
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(unreadable)
}

/// The exit status, once the report is out.
fn ending(unreadable: usize, set: &TruthSet) -> Result<Exit, Failure> {
    if unreadable == 0 {
        return Ok(Exit::Ok);
    }
    complain(format_args!("{unreadable} of {} files could not be read and count as nothing above", set.items.len()));
    Ok(Exit::Software)
}

fn progress(items: usize) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(items).unwrap_or(0));
    // Invariant: the template is fixed and names only keys that indicatif has.
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} {eta}").expect("a valid template"));
    bar
}

/// What was read, and the CPU milliseconds it took.
type Outcome = anyhow::Result<(Vec<ReadPlate>, f64)>;

fn read_still(reader: &mut PhotoReader, kind: Kind, item: &Item, path: &Path, min_confidence: f32) -> Outcome {
    if kind == Kind::Crops {
        let (decoded, times) = reader.read_box(path, item.boxes.first().copied())?;
        let read =
            ReadPlate { bounds: item.boxes.first().copied().unwrap_or(WHOLE), decoded: decoded.filter(|d| is_shown(d, 0.0)) };
        return Ok((vec![read], times.total.as_secs_f64() * 1e3));
    }
    let (_, plates, times) = reader.read(path)?;
    let reads = plates
        .into_iter()
        .map(|p| ReadPlate { bounds: p.candidate.bounds, decoded: p.decoded.filter(|d| is_shown(d, min_confidence)) })
        .collect();
    Ok((reads, times.total.as_secs_f64() * 1e3))
}

/// Stands for the whole crop where a set gives no tighter box; judged by its mark alone.
const WHOLE: Rect<FramePx> = Rect::new(0.0, 0.0, 1.0, 1.0);

fn read_clip(clips: &mut ClipReader, path: &Path, min_confidence: f32) -> Outcome {
    let mut reads = Vec::new();
    let times = clips.read(path, |record, _| {
        let decoded = Some(record.decoded).filter(|d| is_shown(d, min_confidence));
        reads.push(ReadPlate { bounds: record.sightings.best_quad.bounds(), decoded });
    })?;
    Ok((reads, times.total.as_secs_f64() * 1e3))
}

fn report(set: &TruthSet, tally: &Tally) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let mut row = |name: &str, rate: Rate, what: &str| writeln!(out, "{name:<22} {rate}  {what}");
    if set.kind == Kind::Scenes {
        row("capture rate", tally.captured, "labelled plates found")?;
    }
    row("read rate", tally.exact, "whole mark right, O/0 and I/1 as the mark's grammar demands")?;
    row("read rate, folded", tally.folded, "the same with O = 0 and I = 1 throughout")?;
    row("character error rate", tally.characters, "edits over the characters of plates that were read")?;
    if set.kind == Kind::Scenes {
        let images = tally.latencies.count();
        let (mean, low, high) = mean_interval(tally.false_reads, images);
        let name = "false reads an image";
        writeln!(out, "{name:<22} {mean:.3}  [{low:.3}, {high:.3}]  {} in {images} images", tally.false_reads)?;
    }
    tally.latencies.report(&mut out, 22)?;
    Ok(())
}
