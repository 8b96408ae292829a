//! Single pictures, read without a passage: what `read` and `evaluate` do with photographs.
//!
//! The same vision and the same decoder as the daemon's, but no tracker: a photograph gives one chance.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::anpr::decode::{Decoded, Decoder};
use crate::camera::{CameraError, stills};
use crate::clock::{SimClock, UtcTime, thread_cpu_time};
use crate::config::{Calibration, Region};
use crate::frame::colour::NO_COLOUR;
use crate::frame::mask::Mask;
use crate::frame::{Frame, FramePool, Layout, MAX_SIDE_PX, Pixels};
use crate::geometry::{FramePx, Point, Quad, Rect};
use crate::ident::{CameraId, FrameSeq};
use crate::vision::detector::Candidate;
use crate::vision::{SeenPlate, Vision, VisionError, floor_index};

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

/// A crop around one plate, or around none, with what was made of it. Places are in the crop's own pixels.
#[derive(Clone, Debug)]
pub struct CropRead {
    /// The crop.
    pub frame: Frame,
    /// Where its plate is known to be, as far as that lies in the crop.
    pub label: Rect<FramePx>,
    /// The detector's candidates that were read; none where it found none, and the label was read instead.
    pub found: Vec<PhotoPlate>,
    /// What the label says where it was read; none where nothing legible was found.
    pub in_label: Option<Decoded>,
    /// What it cost.
    pub times: PhotoTimes,
}

/// Overlap (intersection over union) at which a candidate is taken to lie on a crop's plate; labels are often loose.
const ON_LABEL_IOU: f32 = 0.3;
/// Width of the canvas around a crop, in widths of the labelled plate. The detector was trained on frames and finds little where a
/// plate fills the picture. On 119 validation, 169 UK and 1066 European crops it found 96, 100 and 98 % at 3.5 with the weights
/// of November 2026; 97, 96 and 85 % at 2.5, 97, 98 and 97 % at 4.5.
const CANVAS_PLATE_WIDTHS: f32 = 3.5;
/// Height of the canvas as a share of its width: about that of the detector's input, so that nothing is lost to bars.
const CANVAS_SHAPE: f32 = 0.6;
/// Grey around the crop: that of the detector's letterbox. The crop's repeated edges, which make stripes, cost up to 20 % of the plates.
const CANVAS_GREY: u8 = 114;

/// Why a photograph gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum PhotoError {
    /// The file.
    #[error(transparent)]
    Camera(#[from] CameraError),
    /// The models.
    #[error(transparent)]
    Vision(#[from] VisionError),
    /// The box that somebody labelled.
    #[error(
        "{}: the labelled box {label:?} has no pixels in the picture of {width} x {height}; \
         correct it, or leave it out where the plate fills the picture",
        path.display()
    )]
    Label {
        /// The picture.
        path: PathBuf,
        /// The box.
        label: Rect<FramePx>,
        /// Pixels a row.
        width: usize,
        /// Rows.
        height: usize,
    },
}

/// Reads photographs one after another in the same buffers.
#[derive(Debug)]
pub struct PhotoReader {
    vision: Vision,
    decoder: Decoder,
    pool: FramePool,
    canvases: FramePool,
    camera: CameraId,
    region: Option<Region>,
    mask: Option<Mask>,
}

impl PhotoReader {
    /// From loaded models and a decoder.
    pub fn new(vision: Vision, decoder: Decoder) -> Self {
        // Invariant: "photo" is within what CameraId allows.
        let camera = CameraId::new("photo").expect("a fixed, valid id");
        Self { vision, decoder, pool: FramePool::new(1), canvases: FramePool::new(1), camera, region: None, mask: None }
    }

    /// The same for pictures of one camera: it looks for plates where its calibration profile says, and sees nothing that it masks.
    #[must_use]
    pub fn with_profile(mut self, profile: Option<Calibration>) -> Self {
        (self.region, self.mask) = profile.map_or((None, None), |p| (Some(p.region), p.mask));
        self
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
        let candidates = self.vision.find(&frame, self.region(&frame))?.to_vec();
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
        let region = self.region(frame);
        let (seen, stages) = self.vision.look(frame, region)?;
        let start = thread_cpu_time();
        let decoder = &mut self.decoder;
        let plates = seen
            .iter()
            .map(|s| PhotoPlate { candidate: s.candidate, decoded: s.read.as_ref().and_then(|r| decoder.decode(r)) })
            .collect();
        let read = stages.read + thread_cpu_time().saturating_sub(start);
        Ok((plates, PhotoTimes { detect: stages.detect, read, ..PhotoTimes::default() }))
    }

    /// Reads the plate of a crop as the daemon meets one: found on a canvas around the crop, then read by all looks. `label` is
    /// where it is known to be; without one the plate fills the crop. Where no candidate lies on it, the labelled box is read.
    ///
    /// # Errors
    /// When the file is no picture, the box lies outside it, or the models fail.
    pub fn read_crop(&mut self, path: &Path, label: Option<Rect<FramePx>>) -> Result<CropRead, PhotoError> {
        self.look_around(path, label, |seen, label| {
            let overlap = |s: &SeenPlate| s.candidate.bounds.iou(label);
            let on_it = seen.iter().filter(|s| overlap(s) >= ON_LABEL_IOU).max_by(|a, b| overlap(a).total_cmp(&overlap(b)));
            on_it.copied().into_iter().collect()
        })
    }

    /// Reads a crop that has no plate in the same way: whatever is seen in it and `counts` is read, wherever it lies. Only where
    /// there is nothing of the kind, the labelled box is read.
    ///
    /// # Errors
    /// When the file is no picture, the box lies outside it, or the models fail.
    pub fn read_crop_without_plate(
        &mut self,
        path: &Path,
        label: Option<Rect<FramePx>>,
        counts: impl Fn(Rect<FramePx>) -> bool,
    ) -> Result<CropRead, PhotoError> {
        self.look_around(path, label, |mut seen, _| {
            seen.retain(|s| counts(s.candidate.bounds));
            seen
        })
    }

    /// Looks at a canvas around a crop and reads what `chosen` leaves of what is seen there, or else the label.
    fn look_around(
        &mut self,
        path: &Path,
        label: Option<Rect<FramePx>>,
        chosen: impl FnOnce(Vec<SeenPlate>, Rect<FramePx>) -> Vec<SeenPlate>,
    ) -> Result<CropRead, PhotoError> {
        let start = thread_cpu_time();
        let frame = self.load(path)?;
        let loaded = thread_cpu_time();
        let label = checked(path, &frame, label)?;
        let (canvas, left, top) = self.canvas_around(&frame, label.width())?;
        let (seen, stages) = self.vision.look(&canvas, canvas.bounds())?;
        let in_crop = |p: Point<FramePx>| Point::new(p.x - left, p.y - top);
        let moved = |s: &SeenPlate| {
            let (b, corners) = (s.candidate.bounds, s.candidate.corners.corners.map(in_crop));
            let bounds = Rect::new(b.x0 - left, b.y0 - top, b.x1 - left, b.y1 - top);
            SeenPlate { candidate: Candidate { bounds, corners: Quad::new(corners), score: s.candidate.score }, ..*s }
        };
        let chosen = chosen(seen.iter().map(moved).collect(), label);
        let began = thread_cpu_time();
        let decoder = &mut self.decoder;
        let in_label = match chosen[..] {
            [] => decoder.decode(&self.vision.read_box(&frame, label)?),
            _ => None,
        };
        let plate = |s: SeenPlate| PhotoPlate { candidate: s.candidate, decoded: s.read.and_then(|r| decoder.decode(&r)) };
        let found = chosen.into_iter().map(plate).collect();
        let end = thread_cpu_time();
        let times = PhotoTimes {
            decode: loaded.saturating_sub(start),
            detect: stages.detect,
            read: stages.read + end.saturating_sub(began),
            total: end.saturating_sub(start),
        };
        Ok(CropRead { frame, label, found, in_label, times })
    }

    /// Reads the plate in a box that is already known, or that fills the picture; no detector.
    ///
    /// # Errors
    /// When the file is no picture or the box lies outside it.
    pub fn read_box(&mut self, path: &Path, label: Option<Rect<FramePx>>) -> Result<CropRead, PhotoError> {
        let start = thread_cpu_time();
        let frame = self.load(path)?;
        let decoded = thread_cpu_time();
        let label = checked(path, &frame, label)?;
        let read = self.vision.read_box(&frame, label)?;
        let result = self.decoder.decode(&read);
        let end = thread_cpu_time();
        let times = PhotoTimes {
            decode: decoded.saturating_sub(start),
            detect: Duration::ZERO,
            read: end.saturating_sub(decoded),
            total: end.saturating_sub(start),
        };
        Ok(CropRead { frame, label, found: Vec::new(), in_label: result, times })
    }

    /// The crop in the middle of a grey canvas, and where its top left corner lies there.
    fn canvas_around(&self, crop: &Frame, label_width: f32) -> Result<(Frame, f32, f32), CameraError> {
        let (mut width, mut height) = canvas_size(crop.width(), crop.height(), label_width);
        let (mut left, mut top) = ((width - crop.width()) / 2, (height - crop.height()) / 2);
        let grey = crop.layout().grey(CANVAS_GREY);
        if let Layout::I420 { .. } = crop.layout() {
            // Colour stays in its place: the crop's sides are even, and so is all around it.
            (width, height, left, top) = (width & !1, height & !1, left & !1, top & !1);
        }
        let mut lease = self.canvases.lease_as(crop.layout(), width, height).ok_or(CameraError::NoBuffer)?;
        match crop.pixels() {
            Pixels::Bgr(bgr) => embed(bgr, 3 * crop.width(), lease.bytes_mut(), 3 * width, (3 * left, top), grey),
            Pixels::I420 { luma, blue, red, .. } => {
                let (into_luma, colour) = lease.bytes_mut().split_at_mut(width * height);
                let (into_blue, into_red) = colour.split_at_mut(width * height / 4);
                embed(luma, crop.width(), into_luma, width, (left, top), grey);
                for (plane, into) in [(blue, into_blue), (red, into_red)] {
                    embed(plane, crop.width() / 2, into, width / 2, (left / 2, top / 2), NO_COLOUR);
                }
            }
        }
        #[allow(clippy::cast_precision_loss)] // sides are at most MAX_SIDE_PX, exact in f32
        let (x, y) = (left as f32, top as f32);
        Ok((Frame::new(lease, self.camera.clone(), crop.seq(), crop.at()), x, y))
    }

    /// The decoder, for its grammar.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Where plates are looked for in a frame.
    fn region(&self, frame: &Frame) -> Rect<FramePx> {
        self.region.map_or_else(|| frame.bounds(), |region| region.in_frame(frame.bounds()))
    }

    fn load(&mut self, path: &Path) -> Result<Frame, CameraError> {
        let mut lease = stills::decode(path, &self.pool)?;
        if let Some(mask) = &mut self.mask {
            mask.apply(&mut lease);
        }
        Ok(Frame::new(lease, self.camera.clone(), FrameSeq(0), SimClock::at(UtcTime::default(), Duration::ZERO)))
    }
}

/// Puts the rows of a plane into a larger one, `at` so many bytes from the left and rows from the top, with `grey` around them.
fn embed(plane: &[u8], row: usize, into: &mut [u8], into_row: usize, (left, top): (usize, usize), grey: u8) {
    into.fill(grey);
    for (into, from) in into.chunks_exact_mut(into_row).skip(top).zip(plane.chunks_exact(row)) {
        into[left..left + row].copy_from_slice(from);
    }
}

/// The labelled box as far as it lies in the picture, or the whole picture where there is none.
fn checked(path: &Path, frame: &Frame, label: Option<Rect<FramePx>>) -> Result<Rect<FramePx>, PhotoError> {
    let Some(label) = label else { return Ok(frame.bounds()) };
    let inside = label.intersect(frame.bounds());
    if inside.width() >= 2.0 && inside.height() >= 2.0 {
        return Ok(inside);
    }
    Err(PhotoError::Label { path: path.to_owned(), label, width: frame.width(), height: frame.height() })
}

/// Width and height of the canvas around a crop of this size, pixels: never smaller than the crop.
fn canvas_size(width: usize, height: usize, label_width: f32) -> (usize, usize) {
    #[allow(clippy::cast_precision_loss)] // sides are at most MAX_SIDE_PX
    let wide = (label_width * CANVAS_PLATE_WIDTHS).max(width as f32).max(height as f32 / CANVAS_SHAPE);
    let side = |v: f32, least: usize| floor_index(v.round()).min(MAX_SIDE_PX).max(least);
    (side(wide, width), side(wide * CANVAS_SHAPE, height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canvas_gives_the_plate_its_usual_share_and_always_holds_the_crop() {
        assert_eq!(canvas_size(140, 50, 100.0), (350, 210));
        // A square crop, a box far smaller than its crop, and no canvas beyond the largest frame.
        assert_eq!(canvas_size(100, 300, 100.0), (500, 300));
        assert_eq!(canvas_size(700, 200, 100.0), (700, 420));
        assert_eq!(canvas_size(16_000, 4_000, 12_000.0), (MAX_SIDE_PX, MAX_SIDE_PX));
        assert_eq!(canvas_size(40, 20, f32::NAN), (40, 24));
    }
}
