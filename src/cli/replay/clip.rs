//! The pipeline on one thread, fed by a clip: every frame, in order, none dropped, so that two runs give the same outcomes.
//!
//! It judges nothing and prints nothing. `replay`, and clips given to `read` and `evaluate`, run it on the main thread.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::anpr::core::{Core, CoreOptions};
use crate::anpr::hotlist::Hotlists;
use crate::anpr::record::CaptureRecord;
use crate::anpr::syntax::Grammar;
use crate::camera::clip::ClipSource;
use crate::camera::{CameraError, Grab, Source};
use crate::cli::Failure;
use crate::cli::models::ModelArgs;
use crate::clock::{SimClock, UtcTime, thread_cpu_time};
use crate::config::Calibration;
use crate::frame::mask::Mask;
use crate::frame::{Frame, FramePool};
use crate::ident::{CameraId, FrameSeq};
use crate::runtime::photo::PhotoTimes;
use crate::runtime::pipeline::{Evidence, Outcome, Pipeline};
use crate::vision::VisionError;

/// UTC given to the first frame of clips that nobody dated.
const NOMINAL_START: UtcTime = UtcTime::from_micros(1_795_348_800_000_000); // 2026-11-22T12:00:00Z

/// What can go wrong with a clip.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum ReplayError {
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

/// When an outcome came out of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moment {
    /// Position in the clip of the frame that brought it about, seconds.
    pub(super) at_s: f64,
    /// Whether the clip's end brought it about, and not the passage's own close.
    pub(super) at_end: bool,
}

/// What a run over a clip leaves, beside its outcomes.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    /// Position of each frame, seconds from the first.
    pub(super) positions_s: Vec<f64>,
    /// CPU times of this thread, all frames together.
    pub(super) times: PhotoTimes,
}

/// The pipeline on one thread, with clips.
#[derive(Debug)]
pub(super) struct Replay {
    pipeline: Pipeline,
    pool: FramePool,
    mask: Option<Mask>,
    start: UtcTime,
}

/// Frames that a replay holds at most: open passages' evidence and the one in work.
const REPLAY_BUFFERS: usize = 16;

impl Replay {
    /// Loads the models. `start` is the UTC of the clip's first frame; without a profile all of the picture is looked at.
    pub(super) fn new(
        models: &ModelArgs,
        start: UtcTime,
        hotlists: Arc<Hotlists>,
        profile: Option<Calibration>,
    ) -> Result<Self, Failure> {
        let pool = FramePool::new(REPLAY_BUFFERS);
        let core = Core::new(CoreOptions::default(), Grammar::new(start), 0);
        let regions = profile.iter().map(|p| (camera(), p.region)).collect();
        let masks = profile.iter().filter_map(|p| Some((camera(), p.mask.clone()?))).collect();
        let mut pipeline = Pipeline::new(models.vision()?, core, regions, vec![pool.clone()]).with_masks(masks);
        pipeline.hotlists(hotlists, &mut Vec::new());
        Ok(Self { pipeline, pool, mask: profile.and_then(|p| p.mask), start })
    }

    /// What of the clip's pictures nobody is to see.
    pub(super) fn mask(&self) -> Option<&Mask> {
        self.mask.as_ref()
    }

    /// Names of detector and reader.
    pub(super) fn model_names(&self) -> &[String; 2] {
        self.pipeline.model_names()
    }

    /// Runs a clip from its first frame to its last, then closes what is still open; ends early when `each` says no.
    pub(super) fn run(&mut self, clip: &Path, mut each: impl FnMut(Outcome, Moment) -> bool) -> Result<Run, ReplayError> {
        let began = thread_cpu_time();
        let mut run = Run::default();
        let camera = camera();
        let (mut outcomes, mut last, mut goes_on) = (Vec::new(), SimClock::at(self.start, Duration::ZERO), true);
        let mut source = ClipSource::new(clip.to_owned());
        source.open()?;
        while goes_on {
            let before = thread_cpu_time();
            let Grab::Frame(mut grabbed) = source.grab(&self.pool)? else { break };
            if let Some(mask) = &mut self.mask {
                mask.apply(&mut grabbed.lease);
            }
            run.times.decode += thread_cpu_time().saturating_sub(before);
            let position = grabbed.position();
            last = SimClock::at(self.start, position);
            let seq = u64::try_from(run.positions_s.len()).unwrap_or(u64::MAX);
            run.positions_s.push(position.as_secs_f64());
            let frame = Frame::new(grabbed.lease, camera.clone(), FrameSeq(seq), last);
            let stages = self.pipeline.frame(&frame, &mut outcomes).map_err(|why| ReplayError::Vision { frame: seq, why })?.times;
            run.times.detect += stages.motion + stages.detect;
            run.times.read += stages.read;
            let now = Moment { at_s: position.as_secs_f64(), at_end: false };
            goes_on = outcomes.drain(..).all(|outcome| each(outcome, now));
        }
        self.pipeline.end(&camera, last, &mut outcomes);
        let end = Moment { at_s: run.positions_s.last().copied().unwrap_or(0.0), at_end: true };
        outcomes.drain(..).all(|outcome| each(outcome, end));
        run.times.total = thread_cpu_time().saturating_sub(began);
        Ok(run)
    }
}

/// How many frames a clip has by its header, and how far apart they are; none where it doesn't say.
pub(super) fn length(clip: &Path) -> Result<(Option<u64>, Duration), CameraError> {
    let mut source = ClipSource::new(clip.to_owned());
    source.open()?;
    Ok((source.frames(), source.period()))
}

/// Goes over a clip once more for some of its frames, given by number in rising order, without looking for plates.
pub(super) fn frames_of(
    clip: &Path,
    mask: Option<&Mask>,
    wanted: &[u64],
    mut each: impl FnMut(&Frame),
) -> Result<(), CameraError> {
    let (pool, camera, mut mask) = (FramePool::new(1), camera(), mask.cloned());
    let mut source = ClipSource::new(clip.to_owned());
    source.open()?;
    let Some(end) = wanted.last() else { return Ok(()) };
    for seq in 0..=*end {
        let Grab::Frame(mut grabbed) = source.grab(&pool)? else { break };
        if wanted.binary_search(&seq).is_ok() {
            if let Some(mask) = &mut mask {
                mask.apply(&mut grabbed.lease);
            }
            let at = SimClock::at(NOMINAL_START, grabbed.position());
            each(&Frame::new(grabbed.lease, camera.clone(), FrameSeq(seq), at));
        }
    }
    Ok(())
}

fn camera() -> CameraId {
    // Invariant: "replay" is within what CameraId allows.
    CameraId::new("replay").expect("a fixed, valid id")
}

/// Reads clips for commands that want marks only.
#[derive(Debug)]
pub(in crate::cli) struct ClipReader {
    replay: Replay,
}

impl ClipReader {
    /// With a second set of models: the first one reads photographs.
    pub(in crate::cli) fn new(models: &ModelArgs, profile: Option<Calibration>) -> Result<Self, Failure> {
        Ok(Self { replay: Replay::new(models, NOMINAL_START, Arc::default(), profile)? })
    }

    /// Hands over each capture record of a clip with its evidence; gives CPU times over all frames.
    pub(in crate::cli) fn read(
        &mut self,
        clip: &Path,
        mut each: impl FnMut(&CaptureRecord, Option<&Evidence>),
    ) -> Result<PhotoTimes, ReplayError> {
        let run = self.replay.run(clip, |outcome, _| {
            if let Outcome::Record(record, evidence) = outcome {
                each(&record, evidence.as_deref());
            }
            true
        })?;
        Ok(run.times)
    }
}
