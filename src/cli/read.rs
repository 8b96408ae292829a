//! `kerbside read`: photographs, folders and clips; a table for a person or JSON lines for a program.

use std::io::Write;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::draw::{self, Label};
use super::models::{ModelArgs, share};
use super::profile::ProfileArg;
use super::replay::ClipReader;
use super::{Exit, Failure};
use crate::anpr::decode::Decoded;
use crate::camera::clip::is_clip;
use crate::camera::stills::{self, is_still};
use crate::geometry::{FramePx, Quad, Rect};
use crate::runtime::photo::{PhotoPlate, PhotoReader, PhotoTimes};

/// Arguments of `kerbside read`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Photographs, clips, or folders of them (walked)
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// One JSON object a line instead of the table. Boxes and corners are pixels of the upright picture; `ms` is CPU time
    /// of the one thread that works, model loading left out
    #[arg(long)]
    json: bool,
    /// Write the pictures with boxes and marks into this folder; of a clip, the best frame of each vehicle
    #[arg(long, value_name = "DIR")]
    annotate: Option<PathBuf>,
    /// Least confidence of a mark that is shown
    #[arg(long, value_name = "SHARE", default_value_t = DEFAULT_MIN_CONFIDENCE, value_parser = share)]
    min_confidence: f32,
    #[command(flatten)]
    profile: ProfileArg,
    #[command(flatten)]
    models: ModelArgs,
}

/// Least confidence of a mark in a single picture: chosen on the validation splits, where lower lets lettering through.
pub(super) const DEFAULT_MIN_CONFIDENCE: f32 = 0.4;

/// One file's outcome, as `--json` prints it.
#[derive(Debug, Serialize)]
struct FileOut {
    file: String,
    plates: Vec<PlateOut>,
    ms: MsOut,
}

#[derive(Debug, Serialize)]
struct FaultOut {
    file: String,
    error: String,
}

/// One plate, as `--json` prints it.
#[derive(Debug, Serialize)]
struct PlateOut {
    text: String,
    confidence: f64,
    r#box: [f64; 4],
    corners: [[f64; 2]; 4],
    syntax: &'static str,
    raw: String,
    alternatives: Vec<AlternativeOut>,
    /// In a clip: the frame that was read best.
    #[serde(skip_serializing_if = "Option::is_none")]
    frame: Option<u64>,
}

#[derive(Debug, Serialize)]
struct AlternativeOut {
    text: String,
    confidence: f64,
}

#[derive(Debug, Default, Serialize)]
struct MsOut {
    decode: f64,
    detect: f64,
    read: f64,
    total: f64,
}

impl From<PhotoTimes> for MsOut {
    fn from(t: PhotoTimes) -> Self {
        let ms = |d: Duration| rounded(d.as_secs_f64() * 1000.0, 3);
        Self { decode: ms(t.decode), detect: ms(t.detect), read: ms(t.read), total: ms(t.total) }
    }
}

impl PlateOut {
    fn new(decoded: &Decoded, bounds: Rect<FramePx>, corners: Quad<FramePx>, frame: Option<u64>) -> Self {
        let px = |v: f32| rounded(f64::from(v), 1);
        Self {
            text: decoded.vrm.to_string(),
            confidence: rounded(f64::from(decoded.confidence), 4),
            r#box: [px(bounds.x0), px(bounds.y0), px(bounds.x1), px(bounds.y1)],
            corners: corners.corners.map(|c| [px(c.x), px(c.y)]),
            syntax: decoded.syntax.as_str(),
            raw: decoded.raw.to_string(),
            alternatives: decoded
                .alternatives
                .iter()
                .flatten()
                .map(|a| AlternativeOut { text: a.vrm.to_string(), confidence: rounded(f64::from(a.confidence), 4) })
                .collect(),
            frame,
        }
    }
}

/// Runs the subcommand.
pub(super) fn main(args: &Args) -> Result<Exit, Failure> {
    let mut files = Vec::new();
    let mut out = Output { json: args.json, failed: 0, files: 0, plates: 0, times: PhotoTimes::default() };
    for path in &args.paths {
        let (found, faults) = stills::list(path, |p| is_still(p) || is_clip(p));
        if found.is_empty() && faults.is_empty() {
            out.fault(path, &format!("{}: the folder holds no pictures or clips that we know by their names", path.display()))?;
        }
        for fault in &faults {
            out.fault(path, fault)?;
        }
        files.extend(found);
    }
    if let Some(dir) = &args.annotate {
        std::fs::create_dir_all(dir).map_err(|e| {
            Failure::usage(super::models::about(dir, format!("can't be made: {e}; choose another --annotate folder")))
        })?;
    }
    let profile = args.profile.load()?;
    let mut reader = args.models.photo_reader()?.with_profile(profile.clone());
    // Clips go through the whole pipeline; its models are loaded only when a clip comes.
    let mut clips: Option<ClipReader> = None;
    for file in &files {
        if is_clip(file) {
            let clips = match &mut clips {
                Some(clips) => clips,
                none => none.insert(ClipReader::new(&args.models, profile.clone())?),
            };
            read_clip(clips, file, args, &mut out)?;
        } else {
            read_photo(&mut reader, file, args, &mut out)?;
        }
    }
    out.summary()?;
    Ok(if out.failed > 0 { Exit::Software } else { Exit::Ok })
}

fn read_photo(reader: &mut PhotoReader, file: &Path, args: &Args, out: &mut Output) -> Result<(), Failure> {
    let (frame, plates, times) = match reader.read(file) {
        Ok(read) => read,
        Err(e) => return out.fault(file, &e),
    };
    let shown: Vec<(&PhotoPlate, &Decoded)> =
        plates.iter().filter_map(|p| p.decoded.as_ref().filter(|d| is_shown(d, args.min_confidence)).map(|d| (p, d))).collect();
    let plates_out = shown.iter().map(|(p, d)| PlateOut::new(d, p.candidate.bounds, p.candidate.corners, None)).collect();
    out.file(file, plates_out, times)?;
    let Some(dir) = &args.annotate else { return Ok(()) };
    let labels: Vec<Label> = shown.iter().map(|(p, d)| label(p.candidate.corners, d)).collect();
    save(&draw::annotate(&frame, &labels), dir, &annotated_name(file, None), out)
}

fn label(quad: Quad<FramePx>, decoded: &Decoded) -> Label {
    Label { quad, text: format!("{} {:.0}%", decoded.vrm, decoded.confidence * 100.0), colour: draw::FOUND }
}

/// Writes an annotated picture; one that can't be written is told, and the rest go on.
fn save(picture: &image::RgbImage, dir: &Path, name: &str, out: &mut Output) -> Result<(), Failure> {
    let target = dir.join(name);
    match picture.save(&target) {
        Ok(()) => Ok(()),
        Err(e) => out.fault(&target, &super::models::about(&target, e)),
    }
}

fn read_clip(clips: &mut ClipReader, file: &Path, args: &Args, out: &mut Output) -> Result<(), Failure> {
    let mut plates = Vec::new();
    let mut pictures = Vec::new();
    let read = clips.read(file, |record, evidence| {
        if !is_shown(&record.decoded, args.min_confidence) {
            return;
        }
        let (quad, frame) = (record.sightings.best_quad, record.sightings.best_frame.0);
        plates.push(PlateOut::new(&record.decoded, quad.bounds(), quad, Some(frame)));
        if let (Some(dir), Some(evidence)) = (&args.annotate, evidence) {
            // Written at once: the pictures of a long clip would not fit in memory.
            let name = annotated_name(file, Some(frame));
            let picture = draw::annotate(&evidence.frame, &[label(quad, &record.decoded)]);
            pictures.extend(picture.save(dir.join(&name)).err().map(|e| (dir.join(name), e)));
        }
    });
    match read {
        Ok(times) => out.file(file, plates, times)?,
        Err(e) => out.fault(file, &e)?,
    }
    for (target, e) in pictures {
        out.fault(&target, &super::models::about(&target, e))?;
    }
    Ok(())
}

/// A text of one character is a bolt or a house number, not a mark worth showing.
pub(super) fn is_shown(decoded: &Decoded, min_confidence: f32) -> bool {
    decoded.confidence >= min_confidence && decoded.vrm.len() >= 2
}

/// `trips/holiday.jpg` becomes `trips__holiday.jpg.png`: pictures of one name in two folders can't overwrite each other.
fn annotated_name(file: &Path, frame: Option<u64>) -> String {
    let parts: Vec<_> = file
        .components()
        .filter_map(|c| match c {
            Component::Normal(part) => Some(part.to_string_lossy()),
            _ => None,
        })
        .collect();
    let frame = frame.map(|f| format!(".frame{f}")).unwrap_or_default();
    format!("{}{frame}.png", parts.join("__"))
}

/// What has been printed so far.
struct Output {
    json: bool,
    failed: usize,
    files: usize,
    plates: usize,
    times: PhotoTimes,
}

impl Output {
    fn file(&mut self, file: &Path, plates: Vec<PlateOut>, times: PhotoTimes) -> Result<(), Failure> {
        let mut stdout = std::io::stdout().lock();
        if self.json {
            let line = FileOut { file: file.display().to_string(), plates, ms: times.into() };
            self.plates += line.plates.len();
            writeln!(stdout, "{}", serde_json::to_string(&line).map_err(Failure::software)?)?;
        } else {
            if self.files == 0 {
                writeln!(stdout, "{:<12} {:>5}  {:<14} {:>8}  {:>7}  file", "mark", "conf", "format", "width px", "ms")?;
            }
            if plates.is_empty() {
                writeln!(
                    stdout,
                    "{:<12} {:>5}  {:<14} {:>8}  {:>7.1}  {}",
                    "-",
                    "",
                    "",
                    "",
                    times.total.as_secs_f64() * 1e3,
                    file.display()
                )?;
            }
            for p in &plates {
                let width = p.r#box[2] - p.r#box[0];
                let ms = times.total.as_secs_f64() * 1e3;
                writeln!(
                    stdout,
                    "{:<12} {:>4.0}%  {:<14} {:>8.0}  {:>7.1}  {}",
                    p.text,
                    p.confidence * 100.0,
                    p.syntax,
                    width,
                    ms,
                    file.display()
                )?;
            }
            self.plates += plates.len();
        }
        self.files += 1;
        self.times.decode += times.decode;
        self.times.detect += times.detect;
        self.times.read += times.read;
        self.times.total += times.total;
        Ok(())
    }

    fn fault(&mut self, file: &Path, error: &dyn std::fmt::Display) -> Result<(), Failure> {
        self.failed += 1;
        if self.json {
            let line = FaultOut { file: file.display().to_string(), error: error.to_string() };
            writeln!(std::io::stdout().lock(), "{}", serde_json::to_string(&line).map_err(Failure::software)?)?;
        } else {
            writeln!(std::io::stderr().lock(), "kerbside: {error}")?;
        }
        Ok(())
    }

    fn summary(&self) -> Result<(), Failure> {
        if self.json || self.files + self.failed < 2 {
            return Ok(());
        }
        #[allow(clippy::cast_precision_loss)] // a count of files
        let mean = |d: Duration| d.as_secs_f64() * 1e3 / (self.files.max(1) as f64);
        writeln!(
            std::io::stderr().lock(),
            "{} plates in {} files, {} could not be read; CPU ms a file: decode {:.1}, detect {:.1}, read {:.1}, total {:.1}",
            self.plates,
            self.files,
            self.failed,
            mean(self.times.decode),
            mean(self.times.detect),
            mean(self.times.read),
            mean(self.times.total)
        )?;
        Ok(())
    }
}

/// Cut to so many decimals, so that JSON stays short.
pub(super) fn rounded(value: f64, decimals: i32) -> f64 {
    let factor = 10f64.powi(decimals);
    (value * factor).round() / factor
}
