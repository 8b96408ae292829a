//! Pixels to reads. Owns the models; one owner, `&mut self`, on the reader thread.
//!
//! [`Vision::look`] takes a frame and gives what it saw: candidates, each with its read; [`Vision::watch`] does so where
//! something moved since the camera's last look. It has never heard of a hotlist, a passage or a message. `onnx` is the only file that names the runtime; OpenCV's image maths stays in this room.

mod batch;
mod canvas;
mod collapse;
pub mod detector;
pub mod evidence;
pub mod legibility;
pub mod manifest;
pub mod motion;
pub mod onnx;
mod overlap;
mod part;
pub mod patch;
pub mod reader;
pub mod tiles;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use self::batch::Batch;
use self::detector::{Candidate, Detector, DetectorOptions};
use self::manifest::{InputSize, ManifestError, ModelStore, Precision};
use self::motion::{MotionGate, MotionOptions};
use self::onnx::Runtime;
use self::reader::{PLATES_A_RUN, Reader};
use crate::anpr::core::Legibility;
use crate::anpr::read::PlateRead;
use crate::clock::thread_cpu_time;
use crate::frame::Frame;
use crate::geometry::{FramePx, Quad, Rect};
use crate::ident::CameraId;

/// Which step of looking failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Finding plates.
    Detect,
    /// Reading one.
    Read,
    /// Encoding evidence.
    Encode,
}

/// A step failed on one frame: drop the frame (or the candidate) and count it.
#[derive(Debug, thiserror::Error)]
#[error("{stage:?}: {why}")]
pub struct VisionError {
    stage: Stage,
    why: String,
}

impl VisionError {
    pub(crate) fn new(stage: Stage, why: &dyn fmt::Display) -> Self {
        Self { stage, why: why.to_string() }
    }

    /// Which step failed.
    pub const fn stage(&self) -> Stage {
        self.stage
    }
}

/// What vision is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VisionOptions {
    /// Which weights.
    pub precision: Precision,
    /// Size of the detector's input; none takes the manifest's default. Larger finds smaller plates and costs in proportion.
    pub detector_input: Option<InputSize>,
    /// How candidates are chosen.
    pub detector: DetectorOptions,
    /// Further looks (the upright box, then wider around the corners) are taken until every character is at least this likely;
    /// 1 takes both always, 0 never.
    pub second_look_below: f32,
    /// When frames are passed over because nothing moved.
    pub motion: MotionOptions,
}

impl Default for VisionOptions {
    fn default() -> Self {
        Self {
            precision: Precision::Int8,
            detector_input: None,
            detector: DetectorOptions::default(),
            second_look_below: 0.97,
            motion: MotionOptions::default(),
        }
    }
}

/// A candidate and what the reader says of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeenPlate {
    /// Where, and how likely a plate.
    pub candidate: Candidate,
    /// How legible it is; none when it could not be cut out.
    pub legibility: Option<Legibility>,
    /// What it says; none when it could not be cut out.
    pub read: Option<PlateRead>,
    /// Whether it touches the edge of the frame, so that characters may be cut off.
    pub clipped: bool,
}

/// CPU time of the calling thread spent in each step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageTimes {
    /// Seeing whether anything moved.
    pub motion: Duration,
    /// Finding plates.
    pub detect: Duration,
    /// Cutting and reading them.
    pub read: Duration,
}

/// The two models with all their buffers.
#[derive(Debug)]
pub struct Vision {
    detector: Detector,
    reader: Reader,
    batch: Batch,
    second_look_below: f32,
    motion: MotionOptions,
    gates: HashMap<CameraId, MotionGate>,
    seen: Vec<SeenPlate>,
    names: [String; 2],
}

impl Vision {
    /// Loads both models from a model folder.
    ///
    /// # Errors
    /// When a model is missing, damaged, or another one than the manifest says.
    pub fn load(runtime: &Runtime, models: &Path, options: &VisionOptions) -> Result<Self, ManifestError> {
        // OpenCV's own threads would fight the readers for the two cores.
        opencv::core::set_num_threads(1)
            .map_err(|e| ManifestError::Syntax { path: models.to_owned(), why: format!("OpenCV: {e}") })?;
        let store = ModelStore::open(models)?;
        let (detector_entry, size, network) = store.load_detector(runtime, options.precision, options.detector_input)?;
        let detector = Detector::new(&detector_entry, network, options.detector)?;
        let (reader_entry, network) = store.load_reader(runtime, options.precision, PLATES_A_RUN)?;
        let reader = Reader::new(&reader_entry, network)?;
        // The size is part of the detector's name: what it finds depends on it.
        let detector_name = format!("{}_{size}.{}", detector_entry.name, options.precision.as_str());
        Ok(Self {
            detector,
            reader,
            batch: Batch::new(options.detector.max_candidates),
            second_look_below: options.second_look_below,
            motion: options.motion,
            gates: HashMap::new(),
            seen: Vec::with_capacity(options.detector.max_candidates),
            names: [detector_name, reader_entry.label()],
        })
    }

    /// Names of detector (with its input size) and reader, with precision, as they stand in messages.
    pub fn model_names(&self) -> &[String; 2] {
        &self.names
    }

    /// Looks at `region` of a frame if anything moved in it since the camera's last look, or it is time to; gives none where
    /// the frame is still. See [`motion`].
    ///
    /// # Errors
    /// As [`Self::look`]; the next frame is then compared with the one that was looked at before.
    pub fn watch(&mut self, frame: &Frame, region: Rect<FramePx>) -> Result<(Option<&[SeenPlate]>, StageTimes), VisionError> {
        if !self.motion.gate {
            return self.look(frame, region).map(|(seen, times)| (Some(seen), times));
        }
        let start = thread_cpu_time();
        if !self.gates.contains_key(frame.camera()) {
            self.gates.insert(frame.camera().clone(), MotionGate::new(self.motion));
        }
        let still = self.gates.get_mut(frame.camera()).is_some_and(|gate| gate.is_still(frame, region));
        let motion = thread_cpu_time().saturating_sub(start);
        if still {
            return Ok((None, StageTimes { motion, ..StageTimes::default() }));
        }
        let (_, times) = self.look(frame, region)?;
        if let Some(gate) = self.gates.get_mut(frame.camera()) {
            gate.looked(frame.at().mono, !self.seen.is_empty());
        }
        Ok((Some(&self.seen), StageTimes { motion, ..times }))
    }

    /// Finds and reads the plates in `region` of a frame. A candidate that can't be cut out keeps its place with no read.
    ///
    /// # Errors
    /// When the runtime fails on this frame, in detector or reader.
    pub fn look(&mut self, frame: &Frame, region: Rect<FramePx>) -> Result<(&[SeenPlate], StageTimes), VisionError> {
        let start = thread_cpu_time();
        let candidates = self.detector.detect(frame, region)?;
        let detected = thread_cpu_time();
        self.seen.clear();
        self.seen.extend(candidates.iter().map(|candidate| SeenPlate {
            candidate: *candidate,
            legibility: None,
            read: None,
            clipped: touches_edge(candidate.bounds, frame.bounds()),
        }));
        self.read_seen(frame)?;
        let times = StageTimes {
            motion: Duration::ZERO,
            detect: detected.saturating_sub(start),
            read: thread_cpu_time().saturating_sub(detected),
        };
        Ok((&self.seen, times))
    }

    /// Finds the plates in `region` of a frame without reading them.
    ///
    /// # Errors
    /// When the detector fails on this frame.
    pub fn find(&mut self, frame: &Frame, region: Rect<FramePx>) -> Result<&[Candidate], VisionError> {
        self.detector.detect(frame, region)
    }

    /// At which scale the detector looks at a region of this size: input pixels a frame pixel.
    pub fn detector_scale(&self, region: Rect<FramePx>) -> f32 {
        self.detector.scale(region)
    }

    /// Reads the plate in a box that somebody else found (labelled crops).
    ///
    /// # Errors
    /// When the box lies outside the frame or the runtime fails.
    pub fn read_box(&mut self, frame: &Frame, bounds: Rect<FramePx>) -> Result<PlateRead, VisionError> {
        self.batch.clear();
        self.batch.cut(frame, upright(bounds), 0)?;
        self.reader.read(&self.batch.patches()[0])
    }

    /// Reads what was seen from its corners, all of it as a batch, and measures how legible it is there; again from its upright
    /// box, as a second batch, where that leaves doubt, as corners can be off on plates far from any that training showed; and a
    /// third time wider around the corners, which may have cut a character off. A place that can't be cut out has no read; where
    /// only a further look can't, the ones before it stand.
    fn read_seen(&mut self, frame: &Frame) -> Result<(), VisionError> {
        for look in [level_quad, upright_quad, wide_quad] {
            self.batch.clear();
            for (i, plate) in self.seen.iter().enumerate() {
                if plate.read.is_none_or(|so_far| so_far.weakest() < self.second_look_below) {
                    self.batch.cut(frame, look(&plate.candidate), i).ok();
                }
            }
            for (i, patch) in self.batch.owned() {
                // The first look that could be cut says it; a wider one has more of the bumper in it.
                self.seen[i].legibility.get_or_insert_with(|| legibility::measure(patch));
            }
            for (i, read) in self.batch.read(&mut self.reader)? {
                let so_far = &mut self.seen[i].read;
                *so_far = Some(so_far.map_or(*read, |before| before.blended(read)));
            }
        }
        Ok(())
    }
}

/// The margin around the corners that the reader was trained with: 1.5 % of the width, 6 % of the height on each side.
fn level_quad(candidate: &Candidate) -> Quad<FramePx> {
    candidate.corners.grow(0.015, 0.06)
}

/// The margin around the upright box that the reader was trained with: 5 % of the width, 10 % of the height on each side.
fn upright_quad(candidate: &Candidate) -> Quad<FramePx> {
    upright(candidate.bounds)
}

/// Room around the corners for what they may have cut off: half a character's width to the left and to the right.
fn wide_quad(candidate: &Candidate) -> Quad<FramePx> {
    candidate.corners.grow(0.07, 0.14)
}

fn upright(bounds: Rect<FramePx>) -> Quad<FramePx> {
    bounds.grow(0.05, 0.10).into()
}

/// Whether a plate may go on beyond the frame: its box ends within two pixels of an edge.
fn touches_edge(plate: Rect<FramePx>, frame: Rect<FramePx>) -> bool {
    const NEAR_PX: f32 = 2.0;
    plate.x0 <= frame.x0 + NEAR_PX
        || plate.x1 >= frame.x1 - NEAR_PX
        || plate.y0 <= frame.y0 + NEAR_PX
        || plate.y1 >= frame.y1 - NEAR_PX
}

/// A pixel coordinate as an index: cut to zero from below, fraction dropped.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // negative and NaN become 0, frames end at MAX_SIDE_PX
pub(crate) fn floor_index(coordinate: f32) -> usize {
    coordinate.max(0.0) as usize
}
