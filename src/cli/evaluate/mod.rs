//! `kerbside evaluate`: a labelled set against what we read, with counts and intervals. Sets with texts measure reading
//! (`reading`), sets with boxes alone the detector (`detection`).

mod detection;
mod judge;
mod manifest;
mod matching;
mod misreads;
mod read_scores;
mod reading;
mod report;
mod scores;
mod second;
mod sheet;
mod sheets;
mod table;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use indicatif::{ProgressBar, ProgressStyle};

use self::manifest::{Item, Kind, TruthSet};
use super::models::{ModelArgs, share};
use super::read::DEFAULT_MIN_CONFIDENCE;
use super::{Exit, Failure, complain};

/// Arguments of `kerbside evaluate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "The manifest is a CSV with a header. `file` (relative to DIR) is needed, and one of:\n  \
    texts (or text)      marks without spaces, `;` between several; O/0 and I/1 are judged by the mark's grammar\n  \
    box_in_crop_xyxy     with text: a crop around one plate, found by the detector (on a grey canvas around the crop, so \
    that the plate has a usual size) and read as the daemon would; where it isn't found, read in this box. No text: a crop \
    without a plate, told apart\n  \
    n_plates             no texts: boxes from the YOLO file beside the picture (…/images/… -> …/labels/….txt); \
    the detector alone is measured\nOptional: boxes_xyxy (`x1 y1 x2 y2`, `;` between several, in the order of texts, empty \
    where a mark has none), ignore_boxes_xyxy (reads that overlap them count neither way), rows (lines of characters of a plate: figures for each \
    value), split.\nA file that is a clip is replayed through the whole pipeline and judged by its records.")]
pub(super) struct Args {
    /// The labelled set
    #[arg(long, value_name = "CSV")]
    truth: PathBuf,
    /// Folder that the manifest's `file` column is relative to
    dir: PathBuf,
    /// Only rows whose `split` column has this value
    #[arg(long)]
    split: Option<String>,
    /// Least confidence of a mark that counts as read in scenes and clips; of crops whatever is read counts
    #[arg(long, value_name = "SHARE", default_value_t = DEFAULT_MIN_CONFIDENCE, value_parser = share)]
    min_confidence: f32,
    /// Print one line for every plate that was missed or misread, and every false read
    #[arg(long)]
    list: bool,
    /// Fail (exit status 70) when the read rate is below this
    #[arg(long, value_name = "SHARE", value_parser = exact_share)]
    least_read_rate: Option<f64>,
    /// Boxes of another detector: CSV with file, x1, y1, x2, y2 (pixels) and labelled (1 where a label lies on it). Beside the
    /// figures as labelled stand the adjudicated ones: a candidate on one of its boxes without a label counts neither way, and a
    /// loosely labelled plate is found where its tighter box is. For sets with n_plates
    #[arg(long, value_name = "CSV")]
    second_opinion: Option<PathBuf>,
    /// Read crops in their labelled boxes: the reader alone, without the detector. For sets with box_in_crop_xyxy
    #[arg(long)]
    labelled_boxes: bool,
    /// Write contact sheets of every plate that was misread or missed, and of every false read, into this folder, outside any
    /// checkout; for sets with n_plates, of what was found, missed and falsely found
    #[arg(long, value_name = "DIR")]
    sheets: Option<PathBuf>,
    /// Write every plate with what was read, its confidence and whether it was right, for curves (outside any checkout: marks are
    /// personal data); for sets with n_plates, every candidate with its score and whether it was right, and every label that none
    /// found: lower --min-score for it
    #[arg(long, value_name = "CSV")]
    scores: Option<PathBuf>,
    #[command(flatten)]
    models: ModelArgs,
}

impl Args {
    /// Files that are read, which nothing may overwrite.
    fn inputs(&self) -> Vec<&Path> {
        [Some(self.truth.as_path()), self.second_opinion.as_deref()].into_iter().flatten().collect()
    }
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
    match set.kind {
        Kind::Boxes => detection::run(args, &set),
        Kind::Scenes | Kind::Crops => reading::run(args, &set),
    }
}

/// A number from 0 to 1, to be compared with shares of counts: as an `f32`, 0.8 would be above 4 of 5.
fn exact_share(text: &str) -> Result<f64, String> {
    share(text)?;
    text.parse().map_err(|_| format!("{text:?} is not a number"))
}

/// Refuses options that the set has nothing for.
fn fitting(args: &Args, set: &TruthSet) -> Result<(), Failure> {
    let refused = match set.kind {
        _ if args.labelled_boxes && set.kind != Kind::Crops => {
            "--labelled-boxes is for crops around one plate (columns `text` and `box_in_crop_xyxy`), and this set has none"
        }
        Kind::Boxes if args.least_read_rate.is_some() => {
            "it has boxes and no texts, so there is no read rate for --least-read-rate"
        }
        Kind::Scenes | Kind::Crops if args.second_opinion.is_some() => {
            "it has texts; --second-opinion is for sets with boxes alone (a column `n_plates`)"
        }
        Kind::Scenes | Kind::Crops if args.least_read_rate.is_some() && set.marks() == 0 => {
            "none of its rows has a mark, so there is no read rate for --least-read-rate"
        }
        _ => return Ok(()),
    };
    Err(Failure::usage(anyhow!("{}: {refused}", args.truth.display())))
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
        let path = args.dir.join(&item.file);
        match judge(item, &path) {
            Ok(faults) if args.list => {
                bar.suspend(|| faults.iter().try_for_each(|f| writeln!(std::io::stdout().lock(), "{}: {f}", item.file)))?;
            }
            Ok(_) => {}
            Err(e) => {
                unreadable += 1;
                bar.suspend(|| complain(named(&path, &e)));
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(unreadable)
}

/// What went wrong with a file, with its name in front where the error has none, as those of the models.
fn named(path: &Path, error: &anyhow::Error) -> String {
    let (name, said) = (path.display().to_string(), error.to_string());
    if said.contains(&name) { said } else { format!("{name}: {said}") }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::rate::Rate;

    #[test]
    fn a_share_is_not_above_the_count_that_makes_it() {
        for (text, hits, of) in [("0.8", 4, 5), ("0.9", 9, 10), ("0.7", 7, 10), ("0.97", 97, 100), ("1", 3, 3)] {
            assert!(Rate { hits, of }.share() >= exact_share(text).expect("a share"), "{text}");
        }
        assert!(Rate { hits: 79, of: 100 }.share() < exact_share("0.8").expect("a share") && exact_share("1.1").is_err());
    }
}
