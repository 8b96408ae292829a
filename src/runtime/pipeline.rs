//! One reader's work, frame by frame: vision, then the core, then outcomes with their pixels.
//!
//! `run`, `replay`, `demo` and clips in `read` all use this very pipeline. It runs on the reader thread (or on the main
//! thread for `replay`), waits for nothing, and touches no disk. It owns what the core must not know of: the pixels of
//! every open passage's best frame, held until the passage closes.

use std::collections::HashMap;
use std::sync::Arc;

use crate::anpr::core::{Core, CoreStats, Effect, Event, Sighting};
use crate::anpr::hotlist::Hotlists;
use crate::anpr::record::{Alert, CaptureRecord, PassageId, UnreadPassage};
use crate::clock::CaptureTime;
use crate::config::Region;
use crate::frame::mask::Mask;
use crate::frame::{Frame, FramePool};
use crate::geometry::{FramePx, Quad, Rect};
use crate::ident::CameraId;
use crate::vision::{StageTimes, Vision, VisionError};

/// The frame that was read best, and where the plate is in it.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The very frame.
    pub frame: Frame,
    /// The plate in it.
    pub quad: Quad<FramePx>,
}

/// What leaves the pipeline.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A hit on its way to people.
    Alert(Box<Alert>),
    /// A passage that was read.
    Record(Box<CaptureRecord>, Option<Box<Evidence>>),
    /// A passage that was not.
    Unread(Box<UnreadPassage>, Option<Box<Evidence>>),
}

impl Outcome {
    /// Its frame, where it has one.
    pub fn evidence(&self) -> Option<&Evidence> {
        match self {
            Self::Alert(_) => None,
            Self::Record(_, evidence) | Self::Unread(_, evidence) => evidence.as_deref(),
        }
    }
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handled {
    /// It was passed over, as nothing in it had moved.
    pub still: bool,
    /// What it cost.
    pub times: StageTimes,
}

/// Vision and core of one reader.
#[derive(Debug)]
pub struct Pipeline {
    vision: Vision,
    core: Core,
    regions: HashMap<CameraId, Region>,
    masks: HashMap<CameraId, Mask>,
    held: HashMap<PassageId, Evidence>,
    sightings: Vec<Sighting>,
    effects: Vec<Effect>,
    /// With fewer free buffers than this, evidence is copied out of its pooled frame, so that capture never runs dry.
    pools: Vec<FramePool>,
}

/// A plate is cut by a mask that comes as near as this to its box, pixels, or share of its width.
const NEAR_PX: f32 = 2.0;
const NEAR_SHARE: f32 = 0.05;
/// See [`Pipeline::keep`].
const SPARE_BUFFERS: usize = 4;

impl Pipeline {
    /// From loaded models and a core. `regions` limits where plates are looked for, camera by camera; `pools` are the
    /// pools that frames come from.
    pub fn new(vision: Vision, core: Core, regions: HashMap<CameraId, Region>, pools: Vec<FramePool>) -> Self {
        Self {
            vision,
            core,
            regions,
            masks: HashMap::new(),
            held: HashMap::new(),
            sightings: Vec::new(),
            effects: Vec::new(),
            pools,
        }
    }

    /// Where each camera's frames have been painted over: a plate that ends there may go on behind it.
    #[must_use]
    pub fn with_masks(mut self, masks: HashMap<CameraId, Mask>) -> Self {
        self.masks = masks;
        self
    }

    /// Looks at a frame, unless it shows what the last one showed, and applies what was seen; outcomes are added to `out`.
    ///
    /// # Errors
    /// When the detector failed on this frame: it is dropped, the next one may do.
    pub fn frame(&mut self, frame: &Frame, out: &mut Vec<Outcome>) -> Result<Handled, VisionError> {
        let region = self.regions.get(frame.camera()).map_or_else(|| frame.bounds(), |r| r.in_frame(frame.bounds()));
        let (seen, times) = self.vision.watch(frame, region)?;
        let Some(seen) = seen else {
            self.core.apply(Event::Still { camera: frame.camera(), at: frame.at() }, &mut self.effects);
            self.settle(None, out);
            return Ok(Handled { still: true, times });
        };
        self.sightings.clear();
        let mut mask = self.masks.get_mut(frame.camera());
        let mut is_cut = |plate: Rect<FramePx>| {
            let near_px = NEAR_PX.max(NEAR_SHARE * plate.width());
            let around = Rect::new(plate.x0 - near_px, plate.y0 - near_px, plate.x1 + near_px, plate.y1 + near_px);
            mask.as_mut().is_some_and(|mask| mask.touches(around, frame))
        };
        self.sightings.extend(seen.iter().map(|s| Sighting {
            quad: s.candidate.corners,
            detector_score: s.candidate.score,
            clipped: s.clipped || is_cut(s.candidate.bounds),
            legibility: s.legibility,
            read: s.read,
        }));
        self.core.apply(
            Event::Frame { camera: frame.camera(), seq: frame.seq(), at: frame.at(), sightings: &self.sightings },
            &mut self.effects,
        );
        self.settle(Some(frame), out);
        Ok(Handled { still: false, times })
    }

    /// Time goes on without a frame: passages may close.
    pub fn tick(&mut self, now: CaptureTime, out: &mut Vec<Outcome>) {
        self.core.apply(Event::Tick { now }, &mut self.effects);
        self.settle(None, out);
    }

    /// Other hotlists are in force from now on.
    pub fn hotlists(&mut self, hotlists: Arc<Hotlists>, out: &mut Vec<Outcome>) {
        self.core.apply(Event::Hotlists(hotlists), &mut self.effects);
        self.settle(None, out);
    }

    /// A camera gives no more frames: its open passages close.
    pub fn end(&mut self, camera: &CameraId, at: CaptureTime, out: &mut Vec<Outcome>) {
        self.core.apply(Event::End { camera, at }, &mut self.effects);
        self.settle(None, out);
    }

    /// Counters of the core.
    pub fn stats(&self) -> CoreStats {
        self.core.stats()
    }

    /// Names of detector and reader.
    pub fn model_names(&self) -> &[String; 2] {
        self.vision.model_names()
    }

    /// Where plates were in the last frame that was looked at.
    pub fn plates(&self) -> Vec<Quad<FramePx>> {
        self.sightings.iter().map(|s| s.quad).collect()
    }

    /// Turns effects into outcomes. Evidence is held and released here.
    fn settle(&mut self, frame: Option<&Frame>, out: &mut Vec<Outcome>) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Keep { passage, sighting } => {
                    if let Some(frame) = frame {
                        self.keep(passage, frame, sighting);
                    }
                }
                Effect::Alert(alert) => out.push(Outcome::Alert(alert)),
                Effect::Record(record) => {
                    let evidence = self.held.remove(&record.passage).map(Box::new);
                    out.push(Outcome::Record(record, evidence));
                }
                Effect::Unread(unread) => {
                    let evidence = self.held.remove(&unread.passage).map(Box::new);
                    out.push(Outcome::Unread(unread, evidence));
                }
                Effect::Dropped { passage } => {
                    self.held.remove(&passage);
                }
            }
        }
        // The buffer itself is kept from call to call.
        self.effects = effects;
    }

    /// Holds the frame as the passage's evidence. It stays in its pooled buffer (no copy) while buffers are plenty.
    fn keep(&mut self, passage: PassageId, frame: &Frame, sighting: usize) {
        let Some(quad) = self.sightings.get(sighting).map(|s| s.quad) else { return };
        let scarce = self.pools.iter().any(|p| p.available() < SPARE_BUFFERS);
        let frame = if scarce { frame.detached() } else { frame.clone() };
        self.held.insert(passage, Evidence { frame, quad });
    }
}
