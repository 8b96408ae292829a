//! Finds plates: a frame in, candidates out. A candidate may yet turn out to be a grille or a sticker.
//!
//! The network sees the frame (or a region of it) letterboxed on grey. It answers on a grid, one cell a stride:
//! a score (logit), the distances to the box's four sides (logarithm of strides) and the offsets of the plate's four
//! corners (in units of [`CORNER_UNIT_PX`]). Peaks of the score become candidates; of those that overlap, the best stays.
//! Runs on the reader thread; all buffers are kept.

use opencv::core::{Mat, MatTraitConstManual, Rect as CvRect, Size, Vec3b};
use opencv::imgproc;
use opencv::prelude::MatTrait;

use super::manifest::{ManifestError, ModelEntry};
use super::onnx::Network;
use super::{Stage, VisionError, floor_index};
use crate::frame::Frame;
use crate::geometry::{FramePx, Letterbox, ModelPx, Point, Quad, Rect};

/// Corner offsets are trained in units of this many model pixels.
const CORNER_UNIT_PX: f32 = 32.0;
/// Grey of the letterbox's bars: the value used in training.
const PADDING_GREY: u8 = 114;
/// The network's maps: score, left, top, right, bottom, four corners x and y.
const MAPS: usize = 13;

/// How candidates are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DetectorOptions {
    /// Smallest score that makes a candidate, 0..1. Low on purpose: the reader and the passage weed out better.
    pub min_score: f32,
    /// Of two candidates that overlap by more than this (intersection over union), only the better stays.
    pub max_overlap: f32,
    /// Most candidates a frame; the best are kept.
    pub max_candidates: usize,
}

impl Default for DetectorOptions {
    fn default() -> Self {
        Self { min_score: 0.3, max_overlap: 0.45, max_candidates: 12 }
    }
}

/// A place in the frame where a plate may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The upright box around it.
    pub bounds: Rect<FramePx>,
    /// Its corners, clockwise from the plate's top left.
    pub corners: Quad<FramePx>,
    /// The detector's score, 0..1.
    pub score: f32,
}

/// The detector network with its buffers.
#[derive(Debug)]
pub struct Detector {
    network: Network,
    options: DetectorOptions,
    width: usize,
    height: usize,
    stride: usize,
    canvas: Vec<u8>,
    placed: Option<Letterbox>,
    found: Vec<Candidate>,
}

impl Detector {
    /// Wraps a loaded network.
    ///
    /// # Errors
    /// When its shapes are not those of a plate detector.
    pub fn new(entry: &ModelEntry, network: Network, options: DetectorOptions) -> Result<Self, ManifestError> {
        let wrong = |why: &str| ManifestError::Syntax { path: entry.file.clone().into(), why: why.to_owned() };
        let &[1, 3, height, width] = network.input_shape() else {
            return Err(wrong("a detector's input is [1, 3, height, width]"));
        };
        let stride = entry.stride.ok_or_else(|| wrong("a detector needs `stride`"))? as usize;
        if stride == 0 || network.output_shape() != [1, MAPS, height / stride, width / stride] {
            return Err(wrong("a detector's output is [1, 13, height / stride, width / stride]"));
        }
        Ok(Self {
            network,
            options,
            width,
            height,
            stride,
            canvas: vec![PADDING_GREY; width * height * 3],
            placed: None,
            found: Vec::with_capacity(options.max_candidates),
        })
    }

    /// Looks for plates in `region` of the frame; candidates come best first, in frame pixels.
    ///
    /// # Errors
    /// When OpenCV or the runtime fails on this frame.
    pub fn detect(&mut self, frame: &Frame, region: Rect<FramePx>) -> Result<&[Candidate], VisionError> {
        let letterbox = self.place(frame, region)?;
        let (plane, input) = (self.width * self.height, self.network.input_mut());
        let (blue, rest) = input.split_at_mut(plane);
        let (green, red) = rest.split_at_mut(plane);
        for (((pixel, b), g), r) in self.canvas.chunks_exact(3).zip(blue).zip(green).zip(red) {
            *b = f32::from(pixel[0]);
            *g = f32::from(pixel[1]);
            *r = f32::from(pixel[2]);
        }
        let maps = self.network.run().map_err(|e| VisionError::new(Stage::Detect, &e))?;
        let grid = Grid { maps, columns: self.width / self.stride, rows: self.height / self.stride, stride: self.stride };
        self.found.clear();
        grid.candidates(&letterbox, frame.bounds(), &self.options, &mut self.found);
        Ok(&self.found)
    }

    /// At which scale a region is looked at: input pixels a frame pixel.
    pub fn scale(&self, region: Rect<FramePx>) -> f32 {
        self.letterbox(region).scale
    }

    #[allow(clippy::cast_precision_loss)] // sides are at most InputSize's, exact in f32
    fn letterbox(&self, region: Rect<FramePx>) -> Letterbox {
        Letterbox::fit(region, self.width as f32, self.height as f32)
    }

    /// Scales the region onto the canvas.
    fn place(&mut self, frame: &Frame, region: Rect<FramePx>) -> Result<Letterbox, VisionError> {
        let region = region.intersect(frame.bounds());
        let (x0, y0) = (floor_index(region.x0), floor_index(region.y0));
        let (x1, y1) = (floor_index(region.x1.ceil()).min(frame.width()), floor_index(region.y1.ceil()).min(frame.height()));
        if x1 <= x0 || y1 <= y0 {
            return Err(VisionError::new(Stage::Detect, &"the region to look at has no pixels in the frame"));
        }
        #[allow(clippy::cast_precision_loss)] // sides are at most MAX_SIDE_PX, exact in f32
        let snapped = Rect::new(x0 as f32, y0 as f32, x1 as f32, y1 as f32);
        let letterbox = self.letterbox(snapped);
        if self.placed != Some(letterbox) {
            self.canvas.fill(PADDING_GREY);
            self.placed = Some(letterbox);
        }
        let scaled = |side: f32| floor_index((side * letterbox.scale).round()).max(1);
        let (w, h) = (scaled(snapped.width()).min(self.width), scaled(snapped.height()).min(self.height));
        let cv = |e: opencv::Error| VisionError::new(Stage::Detect, &e);
        let int = |n: usize| i32::try_from(n).map_err(|e| VisionError::new(Stage::Detect, &e));
        let whole = Mat::new_rows_cols_with_bytes::<Vec3b>(int(frame.height())?, int(frame.width())?, frame.bgr()).map_err(cv)?;
        let source = Mat::roi(&whole, CvRect::new(int(x0)?, int(y0)?, int(x1 - x0)?, int(y1 - y0)?)).map_err(cv)?;
        let mut canvas =
            Mat::new_rows_cols_with_bytes_mut::<Vec3b>(int(self.height)?, int(self.width)?, &mut self.canvas).map_err(cv)?;
        let into = CvRect::new(int(floor_index(letterbox.left))?, int(floor_index(letterbox.top))?, int(w)?, int(h)?);
        let mut target = Mat::roi_mut(&mut canvas, into).map_err(cv)?;
        // Area averaging when shrinking: it keeps the strokes of small plates, and training did the same.
        let how = if letterbox.scale < 1.0 { imgproc::INTER_AREA } else { imgproc::INTER_LINEAR };
        let size = Size::new(int(w)?, int(h)?);
        let before = target.data_mut().cast_const();
        imgproc::resize(&source, &mut target, size, 0.0, 0.0, how).map_err(cv)?;
        debug_assert_eq!(before, target.data_bytes().map_or(before, <[u8]>::as_ptr), "resize wrote in place");
        Ok(letterbox)
    }
}

/// The network's answer on its grid.
struct Grid<'a> {
    maps: &'a [f32],
    columns: usize,
    rows: usize,
    stride: usize,
}

impl Grid<'_> {
    fn at(&self, map: usize, row: usize, column: usize) -> f32 {
        self.maps[(map * self.rows + row) * self.columns + column]
    }

    fn candidates(&self, letterbox: &Letterbox, frame: Rect<FramePx>, options: &DetectorOptions, found: &mut Vec<Candidate>) {
        let least = (options.min_score / (1.0 - options.min_score)).ln();
        for row in 0..self.rows {
            for column in 0..self.columns {
                let logit = self.at(0, row, column);
                if logit > least && self.is_peak(row, column, logit) {
                    found.push(self.candidate(row, column, logit, letterbox, frame));
                }
            }
        }
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        suppress(found, options);
    }

    fn is_peak(&self, row: usize, column: usize, logit: f32) -> bool {
        let rows = row.saturating_sub(1)..(row + 2).min(self.rows);
        rows.flat_map(|r| (column.saturating_sub(1)..(column + 2).min(self.columns)).map(move |c| (r, c)))
            .all(|(r, c)| self.at(0, r, c) <= logit)
    }

    #[allow(clippy::cast_precision_loss)] // grid cells and strides are small
    fn candidate(&self, row: usize, column: usize, logit: f32, letterbox: &Letterbox, frame: Rect<FramePx>) -> Candidate {
        let stride = self.stride as f32;
        let (cx, cy) = ((column as f32 + 0.5) * stride, (row as f32 + 0.5) * stride);
        // The clamp is the one used in training: beyond it the loss saw no difference.
        let side = |map: usize| self.at(map, row, column).clamp(-4.0, 5.0).exp() * stride;
        let to_frame = |x: f32, y: f32| letterbox.frame_from_model(Point::<ModelPx>::new(x, y));
        let (top_left, bottom_right) = (to_frame(cx - side(1), cy - side(2)), to_frame(cx + side(3), cy + side(4)));
        let bounds = Rect::new(top_left.x, top_left.y, bottom_right.x, bottom_right.y);
        let corner = |i: usize| {
            let offset = |map: usize| self.at(map, row, column) * CORNER_UNIT_PX;
            to_frame(cx + offset(5 + 2 * i), cy + offset(6 + 2 * i))
        };
        let corners = Quad::new([corner(0), corner(1), corner(2), corner(3)]);
        // Corners that cross or fold are no plate's: the box is the better guess then.
        let corners = if corners.is_convex() { corners } else { bounds.into() };
        Candidate { bounds: bounds.intersect(frame), corners, score: 1.0 / (1.0 + (-logit).exp()) }
    }
}

/// Of candidates that overlap, or lie one inside the other, keeps the best. `found` is sorted, best first.
fn suppress(found: &mut Vec<Candidate>, options: &DetectorOptions) {
    let mut kept = 0;
    for i in 0..found.len() {
        let it = found[i];
        let hidden = found[..kept].iter().any(|better| {
            let shared = better.bounds.intersect(it.bounds).area();
            better.bounds.iou(it.bounds) > options.max_overlap
                || shared > 0.8 * better.bounds.area().min(it.bounds.area()).max(f32::MIN_POSITIVE)
        });
        if !hidden && kept < options.max_candidates {
            found[kept] = it;
            kept += 1;
        }
    }
    found.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(x: f32, score: f32) -> Candidate {
        let bounds = Rect::new(x, 0.0, x + 100.0, 20.0);
        Candidate { bounds, corners: bounds.into(), score }
    }

    #[test]
    fn the_better_of_two_overlapping_candidates_stays() {
        let mut found = vec![candidate(0.0, 0.9), candidate(10.0, 0.8), candidate(300.0, 0.7)];
        suppress(&mut found, &DetectorOptions::default());
        assert_eq!(found.iter().map(|c| c.score).collect::<Vec<_>>(), [0.9, 0.7]);
    }

    #[test]
    fn a_peak_of_the_grid_becomes_a_candidate_in_frame_pixels() {
        let (columns, rows, stride) = (80, 48, 8);
        let mut maps = vec![-9.0f32; MAPS * rows * columns];
        let mut set = |map: usize, row: usize, column: usize, v: f32| maps[(map * rows + row) * columns + column] = v;
        set(0, 24, 40, 2.0);
        set(0, 24, 41, 1.0); // a neighbour that is no peak
        for (map, v) in [(1, 40.0f32), (2, 8.0), (3, 40.0), (4, 8.0)] {
            set(map, 24, 40, (v / 8.0).ln());
        }
        for (i, (x, y)) in [(-40.0, -8.0), (40.0, -8.0), (40.0, 8.0), (-40.0, 8.0)].into_iter().enumerate() {
            set(5 + 2 * i, 24, 40, x / CORNER_UNIT_PX);
            set(6 + 2 * i, 24, 40, y / CORNER_UNIT_PX);
        }
        let frame = Rect::new(0.0, 0.0, 1280.0, 768.0);
        let grid = Grid { maps: &maps, columns, rows, stride };
        let mut found = Vec::new();
        grid.candidates(&Letterbox::fit(frame, 640.0, 384.0), frame, &DetectorOptions::default(), &mut found);
        assert_eq!(found.len(), 1);
        let it = found[0];
        assert!((it.score - 0.8808).abs() < 1e-3);
        assert!(it.bounds.iou(Rect::new(568.0, 376.0, 728.0, 408.0)) > 0.999, "{:?}", it.bounds);
        assert!(it.corners.bounds().iou(it.bounds) > 0.999);
    }
}
