//! Single pictures, read without a passage: what `read` and `evaluate` do with photographs.
//!
//! The same vision and the same decoder as the daemon's, but no tracker: a photograph gives one chance.

use std::path::Path;
use std::time::Duration;

use crate::anpr::decode::{Decoded, Decoder};
use crate::camera::{CameraError, stills};
use crate::clock::{SimClock, UtcTime, thread_cpu_time};
use crate::frame::{Frame, FramePool};
use crate::geometry::{FramePx, Rect};
use crate::ident::{CameraId, FrameSeq};
use crate::vision::detector::Candidate;
use crate::vision::{Vision, VisionError};

/// CPU time of the calling thread, step by step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhotoTimes {
    /// Reading and decoding the file.
    pub decode: Duration,
    /// Finding plates.
    pub detect: Duration,
    /// Cutting, reading and decoding them under the grammar.
    pub read: Duration,
    /// All of it.
    pub total: Duration,
}

/// A candidate of a photograph with what was made of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PhotoPlate {
    /// Where, and how likely a plate.
    pub candidate: Candidate,
    /// What it says; none where nothing legible was found.
    pub decoded: Option<Decoded>,
}

/// Why a photograph gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum PhotoError {
    /// The file.
    #[error(transparent)]
    Camera(#[from] CameraError),
    /// The models.
    #[error(transparent)]
    Vision(#[from] VisionError),
}

/// Reads photographs one after another in the same buffers.
#[derive(Debug)]
pub struct PhotoReader {
    vision: Vision,
    decoder: Decoder,
    pool: FramePool,
    camera: CameraId,
}

impl PhotoReader {
    /// From loaded models and a decoder.
    pub fn new(vision: Vision, decoder: Decoder) -> Self {
        // Invariant: "photo" is within what CameraId allows.
        let camera = CameraId::new("photo").expect("a fixed, valid id");
        Self { vision, decoder, pool: FramePool::new(1), camera }
    }

    /// Decodes a picture and reads every plate in it.
    ///
    /// # Errors
    /// When the file is no picture, or the detector fails on it.
    pub fn read(&mut self, path: &Path) -> Result<(Frame, Vec<PhotoPlate>, PhotoTimes), PhotoError> {
        let start = thread_cpu_time();
        let frame = self.load(path)?;
        let decoded = thread_cpu_time();
        let (plates, mut times) = self.read_frame(&frame)?;
        times.decode = decoded.saturating_sub(start);
        times.total = thread_cpu_time().saturating_sub(start);
        Ok((frame, plates, times))
    }

    /// Decodes a picture and finds the plates in it, without reading them.
    ///
    /// # Errors
    /// When the file is no picture, or the detector fails on it.
    pub fn find(&mut self, path: &Path) -> Result<(Frame, Vec<Candidate>, PhotoTimes), PhotoError> {
        let start = thread_cpu_time();
        let frame = self.load(path)?;
        let decoded = thread_cpu_time();
        let candidates = self.vision.find(&frame, frame.bounds())?.to_vec();
        let end = thread_cpu_time();
        let times = PhotoTimes {
            decode: decoded.saturating_sub(start),
            detect: end.saturating_sub(decoded),
            read: Duration::ZERO,
            total: end.saturating_sub(start),
        };
        Ok((frame, candidates, times))
    }

    /// At which scale the detector looks at a picture of this size: input pixels a picture pixel.
    pub fn detector_scale(&self, size: Rect<FramePx>) -> f32 {
        self.vision.detector_scale(size)
    }

    /// Reads every plate of a frame that is already in memory. `decode` and `total` of the times stay zero.
    ///
    /// # Errors
    /// When the detector fails on it.
    pub fn read_frame(&mut self, frame: &Frame) -> Result<(Vec<PhotoPlate>, PhotoTimes), PhotoError> {
        let (seen, stages) = self.vision.look(frame, frame.bounds())?;
        let start = thread_cpu_time();
        let decoder = &mut self.decoder;
        let plates = seen
            .iter()
            .map(|s| PhotoPlate { candidate: s.candidate, decoded: s.read.as_ref().and_then(|r| decoder.decode(r)) })
            .collect();
        let read = stages.read + thread_cpu_time().saturating_sub(start);
        Ok((plates, PhotoTimes { detect: stages.detect, read, ..PhotoTimes::default() }))
    }

    /// Reads the plate in a box that is already known, or that fills the picture; no detector.
    ///
    /// # Errors
    /// When the file is no picture or the box lies outside it.
    pub fn read_box(&mut self, path: &Path, bounds: Option<Rect<FramePx>>) -> Result<(Option<Decoded>, PhotoTimes), PhotoError> {
        let start = thread_cpu_time();
        let frame = self.load(path)?;
        let decoded = thread_cpu_time();
        let read = self.vision.read_box(&frame, bounds.unwrap_or_else(|| frame.bounds()))?;
        let result = self.decoder.decode(&read);
        let end = thread_cpu_time();
        let times = PhotoTimes {
            decode: decoded.saturating_sub(start),
            detect: Duration::ZERO,
            read: end.saturating_sub(decoded),
            total: end.saturating_sub(start),
        };
        Ok((result, times))
    }

    /// The decoder, for its grammar.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    fn load(&self, path: &Path) -> Result<Frame, CameraError> {
        let lease = stills::decode(path, &self.pool)?;
        Ok(Frame::new(lease, self.camera.clone(), FrameSeq(0), SimClock::at(UtcTime::default(), Duration::ZERO)))
    }
}
