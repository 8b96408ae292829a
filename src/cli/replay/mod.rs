//! `kerbside replay`: a clip through the whole pipeline, on one thread, every frame, the same records on every run; with `--truth`, held
//! against what a person saw, vehicle by vehicle.
//!
//! Without `--truth` stdout has the messages as they would leave the box, one a line; with it, the figures. All that can be wrong with
//! what was given is found before the clip is replayed. Main thread.

mod clip;
mod corners;
mod faults;
mod gather;
mod judge;
mod latency;
mod report;
mod strata;
mod summary;
mod tally;
mod truth;

use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

pub(super) use self::clip::ClipReader;
use self::clip::{Replay, Run};
use self::corners::Corners;
use self::gather::Gathered;
use self::judge::Vehicle;
use self::report::{Place, Subject};
use self::tally::{Judged, Tally};
use self::truth::Truth;
use super::models::ModelArgs;
use super::profile::ProfileArg;
use super::{Exit, Failure, complain, personal};
use crate::anpr::hotlist::{Hotlists, MatchOptions};
use crate::clock::UtcTime;
use crate::publish::sync;
use crate::publish::topic::Topics;
use crate::publish::wire;
use crate::runtime::photo::PhotoTimes;
use crate::runtime::pipeline::Outcome;
use crate::runtime::recorder::Clerk;
use crate::vision::evidence::EvidenceOptions;

/// Arguments of `kerbside replay`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The truth has a row for each time that a vehicle shows a plate that a person can read (front and rear of one are \
    two). Columns:\n  \
    vrm                        the mark; spaces don't matter\n  \
    first_frame, last_frame    first and last frame in which a person can read it, counted from 0; or\n  \
    first_s, last_s            the same in seconds into the clip; beside frames, from when to when it is in view at all\n\
    Optional: max_plate_width_px, max_char_height_px, speed_mph, direction, lane, end (front or rear), id (of the vehicle), \
    readable_frames (0: the row counts neither way). Others are passed over.\n\n\
    Without --corners a record belongs to the vehicle that carries its mark at that time (1 s of tolerance), and one that is left to a \
    vehicle in view without a record whose mark differs in half its characters at most. A mark given to the wrong one of two vehicles in \
    view at the same time is then counted as a duplicate; only --corners can tell."
)]
pub(super) struct Args {
    /// The clip
    clip: PathBuf,
    /// Hotlist to match against: CSV with the header vrm,action,priority,reason,valid_from,valid_until
    #[arg(long, value_name = "CSV")]
    hotlist: Option<PathBuf>,
    /// UTC of the clip's first frame: decides which hotlist entries and age identifiers are valid, and the hour of the day of --truth
    #[arg(long, value_name = "TIME", default_value = "2026-11-22T12:00:00Z", value_parser = utc)]
    start: UtcTime,
    /// What a person saw in the clip: print capture rate, read rate, duplicates, misattributions and delays by vehicle instead of the
    /// messages
    #[arg(long, value_name = "CSV")]
    truth: Option<PathBuf>,
    /// Where each plate is, frame by frame: CSV with the header frame,vrm,x0,y0,x1,y1,x2,y2,x3,y3 and optionally id,whole,hidden.
    /// A record is then judged by the vehicle that its best frame shows
    #[arg(long, value_name = "CSV", requires = "truth")]
    corners: Option<PathBuf>,
    /// Print one line for every vehicle that was missed or misread, and every duplicate, misattributed or stray record
    #[arg(long, requires = "truth")]
    list: bool,
    /// Write report.html, one page with the figures, plots, and pictures of everything missed or misread, into this folder, outside any
    /// checkout: it holds marks and photographs
    #[arg(long, value_name = "DIR", requires = "truth")]
    report: Option<PathBuf>,
    /// Write the messages into this file, outside any checkout (marks are personal data), as JSON lines; not to stdout
    #[arg(long, value_name = "FILE")]
    records: Option<PathBuf>,
    #[command(flatten)]
    profile: ProfileArg,
    #[command(flatten)]
    models: ModelArgs,
}

impl Args {
    /// Files that are read, which nothing may overwrite.
    fn inputs(&self) -> Vec<&Path> {
        let optional = [&self.hotlist, &self.truth, &self.corners];
        std::iter::once(self.clip.as_path()).chain(optional.into_iter().flatten().map(PathBuf::as_path)).collect()
    }
}

fn utc(text: &str) -> Result<UtcTime, String> {
    UtcTime::parse(text)
        .ok_or_else(|| format!("{text:?} is not a time such as 2026-11-22T12:00:00Z, or a date such as 2026-11-22"))
}

/// What a person said of the clip, checked.
#[derive(Debug)]
struct Given {
    truth: Truth,
    corners: Option<Corners>,
}

impl Given {
    fn read(path: &Path, args: &Args) -> Result<Self, Failure> {
        let truth = Truth::read(path).map_err(Failure::usage)?;
        let corners = args.corners.as_deref().map(|p| {
            let corners = Corners::read(p)?;
            corners.fits(p, &truth).map(|()| corners)
        });
        let corners = corners.transpose().map_err(Failure::usage)?;
        if let (Some(frames), period) = clip::length(&args.clip).map_err(Failure::software)? {
            truth.fits(path, frames, period).map_err(Failure::usage)?;
        }
        Ok(Self { truth, corners })
    }
}

/// Runs the subcommand.
pub(super) fn main(args: &Args) -> Result<Exit, Failure> {
    let given = args.truth.as_deref().map(|path| Given::read(path, args)).transpose()?;
    let report = args.report.as_deref().map(|dir| Place::create(dir, &args.inputs())).transpose().map_err(Failure::usage)?;
    let mut messages = messages(args).map_err(Failure::usage)?;
    let mut replay = Replay::new(&args.models, args.start, hotlist(args)?, args.profile.load()?)?;
    let clerk = clerk(replay.model_names());
    let (mut gathered, mut fault) = (Gathered::default(), None);
    let run = replay.run(&args.clip, |outcome, moment| {
        if let Some(out) = &mut messages {
            fault = write(out, &outcome, &clerk).err();
        }
        if given.is_some() {
            gathered.add(outcome, moment);
        }
        fault.is_none()
    });
    let run = run.map_err(Failure::software)?;
    if let Some(e) = fault {
        return Err(Failure::software(e));
    }
    messages.map_or(Ok(()), |mut out| out.flush())?;
    let Some(given) = given else { return Ok(Exit::Ok) };

    let vehicles: Vec<Vehicle> = given.truth.rows.iter().map(|row| Vehicle::new(row.clone(), &run.positions_s)).collect();
    let verdict = judge::judge(&vehicles, given.corners.as_ref(), &gathered.seen_records(), &gathered.seen_unread());
    let judged = Judged { vehicles: &vehicles, gathered: &gathered, verdict: &verdict, start: args.start };
    let mut stdout = std::io::stdout().lock();
    if args.list {
        faults::faults(judged).iter().try_for_each(|f| writeln!(stdout, "{}", f.line(judged)))?;
    }
    let tally = Tally::of(judged);
    summary::write(&mut stdout, &tally)?;
    complain(cost(&run.times, run.positions_s.len()));
    if let Some(place) = report {
        let subject = subject(args, &run, replay.model_names());
        let page = place
            .write((&args.clip, replay.mask()), &subject, judged, given.corners.as_ref(), &tally)
            .map_err(Failure::software)?;
        complain(format_args!("{}: written; it holds personal data", page.display()));
    }
    Ok(Exit::Ok)
}

fn subject(args: &Args, run: &Run, models: &[String; 2]) -> Subject {
    let name = |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Subject {
        clip: name(&args.clip),
        truth: args.truth.as_deref().map(name).unwrap_or_default(),
        corners: args.corners.as_deref().map(name),
        frames: run.positions_s.len(),
        length_s: run.positions_s.last().copied().unwrap_or(0.0),
        models: models.clone(),
    }
}

fn hotlist(args: &Args) -> Result<Arc<Hotlists>, Failure> {
    let Some(path) = &args.hotlist else { return Ok(Arc::default()) };
    let loaded = sync::load_csv(path, "local").map_err(Failure::config)?;
    loaded.faults.iter().for_each(|f| tracing::warn!("{f}"));
    Ok(Arc::new(Hotlists::new(vec![Arc::new(loaded.hotlist)], MatchOptions::default())))
}

/// Where messages go: into the file that was asked for; else to stdout, unless the figures go there.
fn messages(args: &Args) -> anyhow::Result<Option<Box<dyn Write>>> {
    let Some(path) = &args.records else {
        return Ok(args.truth.is_none().then(|| Box::new(std::io::stdout().lock()) as Box<dyn Write>));
    };
    personal::outside_checkouts(path, "--records", "it would hold marks of real vehicles")?;
    personal::file_place(path, "--records", &args.inputs())?;
    // As private as the report: nobody but its owner reads it.
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let file = options
        .open(path)
        .with_context(|| format!("{}: can't be written; choose another place for --records", path.display()))?;
    Ok(Some(Box::new(BufWriter::new(file))))
}

fn clerk([detector, reader]: &[String; 2]) -> Clerk {
    Clerk {
        // Invariant: both ids are within what topics allow.
        topics: Topics::new("replay", "replay").expect("fixed, valid ids"),
        source: wire::Source {
            device: "replay".into(),
            models: wire::Models { detector: detector.clone(), reader: reader.clone() },
            ..wire::Source::default()
        },
        evidence: EvidenceOptions::default(),
        alert_expiry_s: 300,
    }
}

/// The texts of an outcome, as they would leave the box; its pictures are packed, so that their hashes are in it, and let go.
fn write(out: &mut dyn Write, outcome: &Outcome, clerk: &Clerk) -> anyhow::Result<()> {
    for draft in clerk.drafts(outcome)?.iter().filter(|d| !d.lane.is_image()) {
        out.write_all(&draft.payload)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// What a frame cost. On stderr: no two runs are alike.
fn cost(times: &PhotoTimes, frames: usize) -> String {
    #[allow(clippy::cast_precision_loss)] // frames of a clip
    let ms = |t: std::time::Duration| t.as_secs_f64() * 1e3 / frames.max(1) as f64;
    format!(
        "{frames} frames; CPU ms a frame on one thread: decode {:.2}, detect {:.2}, read {:.2}, all {:.2}",
        ms(times.decode),
        ms(times.detect),
        ms(times.read),
        ms(times.total)
    )
}
