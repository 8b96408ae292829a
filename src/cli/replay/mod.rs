//! `kerbside replay`: a clip through the whole pipeline, on one thread, every frame, the same records on every run.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::models::ModelArgs;
use super::{Exit, Failure};
use crate::anpr::core::{Core, CoreOptions};
use crate::anpr::hotlist::Hotlist;
use crate::anpr::record::CaptureRecord;
use crate::anpr::syntax::Grammar;
use crate::camera::clip::ClipSource;
use crate::camera::{CameraError, Source};
use crate::clock::{SimClock, UtcTime, thread_cpu_time};
use crate::frame::{Frame, FramePool};
use crate::ident::{CameraId, FrameSeq};
use crate::publish::sync;
use crate::publish::topic::Topics;
use crate::publish::wire;
use crate::runtime::photo::PhotoTimes;
use crate::runtime::pipeline::{Evidence, Outcome, Pipeline};
use crate::runtime::recorder::Clerk;
use crate::vision::VisionError;
use crate::vision::evidence::EvidenceOptions;

/// Arguments of `kerbside replay`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The clip
    clip: PathBuf,
    /// Hotlist to match against: CSV with the header vrm,action,priority,reason,valid_from,valid_until
    #[arg(long, value_name = "CSV")]
    hotlist: Option<PathBuf>,
    /// UTC of the clip's first frame: decides which hotlist entries and age identifiers are valid
    #[arg(long, value_name = "TIME", default_value = "2026-11-22T12:00:00Z", value_parser = utc)]
    start: UtcTime,
    #[command(flatten)]
    models: ModelArgs,
}

fn utc(text: &str) -> Result<UtcTime, String> {
    UtcTime::parse(text)
        .ok_or_else(|| format!("{text:?} is not a time such as 2026-11-22T12:00:00Z, or a date such as 2026-11-22"))
}

/// UTC given to the first frame of clips that nobody dated.
const NOMINAL_START: UtcTime = UtcTime::from_micros(1_795_348_800_000_000); // 2026-11-22T12:00:00Z

/// Runs the subcommand.
pub(super) fn main(args: &Args) -> Result<Exit, Failure> {
    let hotlist = match &args.hotlist {
        Some(path) => {
            let loaded = sync::load_csv(path, "local").map_err(Failure::config)?;
            loaded.faults.iter().for_each(|f| tracing::warn!("{f}"));
            Some(Arc::new(loaded.hotlist))
        }
        None => None,
    };
    let mut replay = Replay::new(&args.models, args.start, hotlist)?;
    let [detector, reader] = replay.pipeline.model_names().clone();
    let clerk = Clerk {
        // Invariant: both ids are within what topics allow.
        topics: Topics::new("replay", "replay").expect("fixed, valid ids"),
        source: wire::Source { device: "replay".into(), models: wire::Models { detector, reader } },
        evidence: EvidenceOptions::default(),
        alert_expiry_s: 300,
    };
    let mut fault = None;
    replay
        .run(&args.clip, |outcome| {
            fault = print(&outcome, &clerk).err();
            fault.is_none()
        })
        .map_err(Failure::software)?;
    match fault {
        Some(e) => Err(Failure::software(e)),
        None => Ok(Exit::Ok),
    }
}

/// The texts of an outcome, as they would leave the box; its pictures are packed, so that their hashes are in it, and let go.
fn print(outcome: &Outcome, clerk: &Clerk) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    for draft in clerk.drafts(outcome)?.iter().filter(|d| !d.lane.is_image()) {
        stdout.write_all(&draft.payload)?;
        stdout.write_all(b"\n")?;
    }
    Ok(())
}

/// What can go wrong with a clip.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReplayError {
    /// The clip.
    #[error(transparent)]
    Camera(#[from] CameraError),
    /// The detector failed on a frame; a replay drops none.
    #[error("frame {frame}: {why}")]
    Vision {
        /// Which frame.
        frame: u64,
        /// Why.
        why: VisionError,
    },
}

/// The pipeline on one thread, with clips.
#[derive(Debug)]
struct Replay {
    pipeline: Pipeline,
    pool: FramePool,
    start: UtcTime,
}

/// Frames that a replay holds at most: open passages' evidence and the one in work.
const REPLAY_BUFFERS: usize = 16;

impl Replay {
    fn new(models: &ModelArgs, start: UtcTime, hotlist: Option<Arc<Hotlist>>) -> Result<Self, Failure> {
        let pool = FramePool::new(REPLAY_BUFFERS);
        let core = Core::new(CoreOptions::default(), Grammar::new(start), 0);
        let mut pipeline = Pipeline::new(models.vision()?, core, std::collections::HashMap::new(), vec![pool.clone()]);
        pipeline.hotlist(hotlist, &mut Vec::new());
        Ok(Self { pipeline, pool, start })
    }

    /// Runs a clip from its first frame to its last, then closes what is still open; ends early when `each` says no. Gives CPU
    /// times of this thread.
    fn run(&mut self, clip: &Path, mut each: impl FnMut(Outcome) -> bool) -> Result<PhotoTimes, ReplayError> {
        let began = thread_cpu_time();
        let mut times = PhotoTimes::default();
        // Invariant: "replay" is within what CameraId allows.
        let camera = CameraId::new("replay").expect("a fixed, valid id");
        let mut source = ClipSource::new(clip.to_owned());
        source.open()?;
        let (mut outcomes, mut seq, mut last) = (Vec::new(), 0, SimClock::at(self.start, Duration::ZERO));
        loop {
            let before = thread_cpu_time();
            let Some(grabbed) = source.grab(&self.pool)? else { break };
            times.decode += thread_cpu_time().saturating_sub(before);
            last = SimClock::at(self.start, grabbed.position.unwrap_or_default());
            let frame = Frame::new(grabbed.lease, camera.clone(), FrameSeq(seq), last);
            let stages = self.pipeline.frame(&frame, &mut outcomes).map_err(|why| ReplayError::Vision { frame: seq, why })?;
            times.detect += stages.detect;
            times.read += stages.read;
            seq += 1;
            if !outcomes.drain(..).all(&mut each) {
                break;
            }
        }
        self.pipeline.end(&camera, last, &mut outcomes);
        outcomes.drain(..).all(&mut each);
        times.total = thread_cpu_time().saturating_sub(began);
        Ok(times)
    }
}

/// Reads clips for commands that want marks only.
#[derive(Debug)]
pub(super) struct ClipReader {
    replay: Replay,
}

impl ClipReader {
    /// With a second set of models: the first one reads photographs.
    pub(super) fn new(models: &ModelArgs) -> Result<Self, Failure> {
        Ok(Self { replay: Replay::new(models, NOMINAL_START, None)? })
    }

    /// Hands over each capture record of a clip with its evidence; gives CPU times over all frames.
    pub(super) fn read(
        &mut self,
        clip: &Path,
        mut each: impl FnMut(&CaptureRecord, Option<&Evidence>),
    ) -> Result<PhotoTimes, ReplayError> {
        self.replay.run(clip, |outcome| {
            if let Outcome::Record(record, evidence) = outcome {
                each(&record, evidence.as_deref());
            }
            true
        })
    }
}
