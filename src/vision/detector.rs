//! Finds plates: a frame in, candidates out. A candidate may yet turn out to be a grille or a sticker.
//!
//! The network sees the frame (or a region of it) letterboxed on grey. It answers on a grid, one cell a stride:
//! a score (logit), the distances to the box's four sides (logarithm of strides) and the offsets of the plate's four
//! corners (in units of [`CORNER_UNIT_PX`]). Peaks of the score become candidates; of those that overlap, the best stays.
//! A region may be looked at in tiles (`tiles`), each one run of the network, and once more as a whole. Runs on the reader
//! thread; all buffers are kept.

use super::canvas::{Canvas, Place};
use super::manifest::{ManifestError, ModelEntry};
use super::onnx::Network;
use super::overlap::{Found, settle};
use super::part::Part;
use super::tiles::{Look, Tiles};
use super::{Stage, VisionError, floor_index};
use crate::frame::Frame;
use crate::geometry::{FramePx, Letterbox, ModelPx, Point, Quad, Rect};

/// Corner offsets are trained in units of this many model pixels.
const CORNER_UNIT_PX: f32 = 32.0;
/// The network's maps: score, left, top, right, bottom, four corners x and y.
const MAPS: usize = 13;

/// How fast a neighbour's say in a plate's outline falls: e^-0.3 for each (calibrated) logit that it scores below the peak.
const NEIGHBOUR_FALL: f32 = 0.3;
/// A neighbour whose box overlaps the peak's less than this (intersection over union) sees something else and has no say.
const NEIGHBOUR_OVERLAP: f32 = 0.5;

/// Peaks that a frame gives before the overlapping ones go; more of them make the buffer grow, once.
const FOUND_CAPACITY: usize = 256;

/// How candidates are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DetectorOptions {
    /// Smallest score that makes a candidate, 0..1. Low on purpose: the reader and the passage weed out better.
    pub min_score: f32,
    /// Of two candidates that overlap by more than this (intersection over union), only the better stays.
    pub max_overlap: f32,
    /// Most candidates a frame; the best are kept.
    pub max_candidates: usize,
    /// Into how many tiles a region is cut; each is one run of the network.
    pub tiles: Tiles,
    /// Whether a region that is cut into tiles is looked at as a whole too: finds the plates that are larger than what tiles
    /// have in common, for one run more.
    pub whole_too: bool,
}

impl Default for DetectorOptions {
    fn default() -> Self {
        Self { min_score: 0.3, max_overlap: 0.45, max_candidates: 12, tiles: Tiles::ONE, whole_too: true }
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
    canvas: Canvas,
    found: Vec<Found>,
    kept: Vec<Candidate>,
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
            canvas: Canvas::new(width, height),
            found: Vec::with_capacity(FOUND_CAPACITY),
            kept: Vec::with_capacity(options.max_candidates),
        })
    }

    /// Looks for plates in `region` of the frame; candidates come best first, in frame pixels.
    ///
    /// # Errors
    /// When OpenCV or the runtime fails on this frame.
    pub fn detect(&mut self, frame: &Frame, region: Rect<FramePx>) -> Result<&[Candidate], VisionError> {
        let region = region.intersect(frame.bounds());
        let tiles = self.options.tiles;
        self.found.clear();
        for index in 0..tiles.count() {
            self.look(frame, tiles.look(index, region))?;
        }
        if tiles != Tiles::ONE && self.options.whole_too {
            self.look(frame, tiles.whole(region))?;
        }
        settle(&mut self.found, &self.options, &mut self.kept);
        Ok(&self.kept)
    }

    /// Runs the network once and adds what it finds.
    fn look(&mut self, frame: &Frame, look: Look) -> Result<(), VisionError> {
        let part = Part::of(frame, look.area)
            .ok_or_else(|| VisionError::new(Stage::Detect, &"the region to look at has no pixels in the frame"))?
            .with_colour(frame);
        let letterbox = self.letterbox(part.bounds());
        let scaled = |side: f32| floor_index((side * letterbox.scale).round()).max(1);
        let place = Place {
            left: floor_index(letterbox.left),
            top: floor_index(letterbox.top),
            width: scaled(part.bounds().width()).min(self.width),
            height: scaled(part.bounds().height()).min(self.height),
        };
        self.canvas.fill(frame, part, place, self.network.input_mut()).map_err(|e| VisionError::new(Stage::Detect, &e))?;
        let maps = self.network.run().map_err(|e| VisionError::new(Stage::Detect, &e))?;
        let grid = Grid { maps, columns: self.width / self.stride, rows: self.height / self.stride, stride: self.stride };
        grid.candidates(&letterbox, &look, frame.bounds(), self.options.min_score, &mut self.found);
        Ok(())
    }

    /// At which scale a region is looked at, in tiles where there are some: input pixels a frame pixel.
    pub fn scale(&self, region: Rect<FramePx>) -> f32 {
        self.letterbox(self.options.tiles.look(0, region).area).scale
    }

    #[allow(clippy::cast_precision_loss)] // sides are at most InputSize's, exact in f32
    fn letterbox(&self, region: Rect<FramePx>) -> Letterbox {
        Letterbox::fit(region, self.width as f32, self.height as f32)
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

    fn candidates(&self, letterbox: &Letterbox, look: &Look, frame: Rect<FramePx>, min_score: f32, found: &mut Vec<Found>) {
        let least = (min_score / (1.0 - min_score)).ln();
        let reach = look.reach(frame);
        // One cell: the network says no more exactly where a plate ends. Too generous does no harm, as a neighbour sees what
        // merely comes close to a cut.
        #[allow(clippy::cast_precision_loss)] // strides are small
        let near_px = self.stride as f32 / letterbox.scale;
        for row in 0..self.rows {
            for column in 0..self.columns {
                let logit = self.at(0, row, column);
                if logit > least && self.is_peak(row, column, logit) {
                    let candidate = self.candidate(row, column, logit, letterbox, reach);
                    let view = look.view(candidate.bounds, near_px);
                    found.push(Found { candidate, view });
                }
            }
        }
    }

    fn is_peak(&self, row: usize, column: usize, logit: f32) -> bool {
        self.around(row, column).all(|(r, c)| self.at(0, r, c) <= logit)
    }

    /// A cell and its neighbours.
    fn around(&self, row: usize, column: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let columns = column.saturating_sub(1)..(column + 2).min(self.columns);
        (row.saturating_sub(1)..(row + 2).min(self.rows)).flat_map(move |r| columns.clone().map(move |c| (r, c)))
    }

    /// What a peak and its neighbours say of the plate. Each cell was trained to outline it by itself; their mean, weighed by
    /// score, is a little nearer the truth than the peak's word alone.
    fn candidate(&self, row: usize, column: usize, logit: f32, letterbox: &Letterbox, reach: Rect<FramePx>) -> Candidate {
        let (mut sum, mut total) = ([0.0f32; 12], 0.0);
        let box_of = |o: &[f32; 12]| Rect::<ModelPx>::new(o[0], o[1], o[2], o[3]);
        let own = box_of(&self.outline(row, column));
        for (r, c) in self.around(row, column) {
            let outline = self.outline(r, c);
            if (r, c) == (row, column) || own.iou(box_of(&outline)) >= NEIGHBOUR_OVERLAP {
                let share = (NEIGHBOUR_FALL * (self.at(0, r, c) - logit)).exp();
                total += share;
                for (sum, value) in sum.iter_mut().zip(outline) {
                    *sum += share * value;
                }
            }
        }
        // The peak itself has a share of 1, so the total is never zero.
        let at = |i: usize| letterbox.frame_from_model(Point::<ModelPx>::new(sum[i] / total, sum[i + 1] / total));
        let (top_left, bottom_right) = (at(0), at(2));
        let bounds = Rect::new(top_left.x, top_left.y, bottom_right.x, bottom_right.y);
        let corners = Quad::new([at(4), at(6), at(8), at(10)]);
        // Corners that cross or fold are no plate's: the box is the better guess then.
        let corners = if corners.is_convex() { corners } else { bounds.into() };
        Candidate { bounds: bounds.intersect(reach), corners, score: 1.0 / (1.0 + (-logit).exp()) }
    }

    /// One cell's plate in the model's pixels: the box's left, top, right, bottom, then four corners x, y.
    #[allow(clippy::cast_precision_loss)] // grid cells and strides are small
    fn outline(&self, row: usize, column: usize) -> [f32; 12] {
        let stride = self.stride as f32;
        let middle = [(column as f32 + 0.5) * stride, (row as f32 + 0.5) * stride];
        std::array::from_fn(|i| {
            let (map, from) = (i + 1, middle[i % 2]);
            let value = self.at(map, row, column);
            // The clamp is the one used in training: beyond it the loss saw no difference.
            let side = || value.clamp(-4.0, 5.0).exp() * stride;
            match i {
                0 | 1 => from - side(),
                2 | 3 => from + side(),
                _ => from + value * CORNER_UNIT_PX,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::overlap::View;
    use super::*;

    /// Maps of 80 x 48 cells that see one plate, its middle in this cell, 80 x 16 input pixels. The cell to the right sees it too,
    /// and is no peak.
    fn maps(row: usize, column: usize) -> Vec<f32> {
        let mut maps = vec![-9.0f32; MAPS * 48 * 80];
        see(&mut maps, (row, column), 2.0, [-40.0, 40.0]);
        see(&mut maps, (row, column + 1), 1.0, [-48.0, 32.0]);
        maps
    }

    /// Sets one cell to see a plate 16 input pixels high that ends so far to its left and right.
    fn see(maps: &mut [f32], (row, column): (usize, usize), logit: f32, [left, right]: [f32; 2]) {
        let mut set = |map: usize, v: f32| maps[(map * 48 + row) * 80 + column] = v;
        set(0, logit);
        for (map, v) in [(1, -left), (2, 8.0), (3, right), (4, 8.0)] {
            set(map, (v / 8.0).ln());
        }
        for (i, (x, y)) in [(left, -8.0), (right, -8.0), (right, 8.0), (left, 8.0)].into_iter().enumerate() {
            set(5 + 2 * i, x / CORNER_UNIT_PX);
            set(6 + 2 * i, y / CORNER_UNIT_PX);
        }
    }

    /// What a look at a part of a 1280 x 768 frame makes of such maps.
    fn found(maps: &[f32], look: &Look) -> Vec<Found> {
        let grid = Grid { maps, columns: 80, rows: 48, stride: 8 };
        let mut found = Vec::new();
        grid.candidates(&Letterbox::fit(look.area, 640.0, 384.0), look, Rect::new(0.0, 0.0, 1280.0, 768.0), 0.3, &mut found);
        found
    }

    #[test]
    fn a_peak_of_the_grid_becomes_a_candidate_in_frame_pixels() {
        let found = found(&maps(24, 40), &Tiles::ONE.look(0, Rect::new(0.0, 0.0, 1280.0, 768.0)));
        assert_eq!(found.len(), 1);
        let it = found[0].candidate;
        assert!((it.score - 0.8808).abs() < 1e-3 && found[0].view == View::Close);
        assert!(it.bounds.iou(Rect::new(568.0, 376.0, 728.0, 408.0)) > 0.999, "{:?}", it.bounds);
        assert!(it.corners.bounds().iou(it.bounds) > 0.999);
    }

    #[test]
    fn neighbours_have_a_say_in_the_outline_as_far_as_they_score() {
        let (whole, mut maps) = (Rect::new(0.0, 0.0, 640.0, 384.0), maps(24, 40));
        see(&mut maps, (24, 41), 2.0 - 1.0, [-48.0, 42.0]); // 10 pixels further to the right
        see(&mut maps, (24, 39), 1.5, [-200.0, 20.0]); // sees something else
        let grid = Grid { maps: &maps, columns: 80, rows: 48, stride: 8 };
        let it = grid.candidate(24, 40, 2.0, &Letterbox::fit(whole, 640.0, 384.0), whole);
        let share = (-NEIGHBOUR_FALL).exp() / (1.0 + (-NEIGHBOUR_FALL).exp());
        assert!((it.bounds.x1 - (364.0 + 10.0 * share)).abs() < 0.01 && (it.bounds.x0 - 284.0).abs() < 0.01, "{:?}", it.bounds);
        assert!((it.corners.bounds().x1 - it.bounds.x1).abs() < 0.01);
    }

    #[test]
    fn a_plate_across_tiles_is_found_once_and_whole() {
        // Two tiles of 731 x 480 pixels, 183 of them in common: the first sees the left part of a plate that goes on behind its
        // cut, surely; the second all of it.
        let frame = Rect::new(0.0, 0.0, 1280.0, 480.0);
        let tiles = Tiles::new(2, 1).expect("allowed");
        let (left, right) = (tiles.look(0, frame), tiles.look(1, frame));
        let mut all = found(&maps(24, 74), &left);
        assert!(
            all[0].view == View::Piece && all[0].candidate.bounds.x1 <= left.area.x1,
            "nothing is known behind a cut: {all:?}"
        );
        let plate = all[0].candidate.corners.bounds();
        assert!(plate.x1 > left.area.x1 + 20.0 && plate.x0 > right.area.x0, "{plate:?}");
        let there = Letterbox::fit(right.area, 640.0, 384.0).model_from_frame(plate.centre());
        all.extend(found(&maps(24, floor_index(there.x / 8.0)), &right));
        assert_eq!((all.len(), all[1].view), (2, View::Close));
        all[1].candidate.score = 0.4;
        let mut kept = Vec::new();
        settle(&mut all, &DetectorOptions::default(), &mut kept);
        assert_eq!(kept.len(), 1);
        assert!(kept[0].bounds.iou(plate) > 0.8 && kept[0].bounds.x1 > left.area.x1, "{kept:?} is not {plate:?}");
    }
}
