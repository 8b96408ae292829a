//! Cuts plates out of frames: a quadrilateral in, a rectified patch out, with the way back.
//!
//! Pixels are only moved here; what they mean is the reader's business. Runs on the reader thread; buffers are kept.

use opencv::core::{Mat, MatTraitConst, Point2f, Scalar, Size, ToInputArray, Vec3b};
use opencv::imgproc;

use super::part::{self, Part, int};
use super::{Stage, VisionError};
use crate::frame::colour::STRETCHED;
use crate::frame::{Frame, Pixels};
use crate::geometry::{FramePx, PatchPx, Point, Quad};

/// Patch width, pixels: what the reader was trained on.
pub const PATCH_WIDTH_PX: usize = 160;
/// Patch height, pixels.
pub const PATCH_HEIGHT_PX: usize = 64;

/// A plate patch: grey, fixed size, with the quadrilateral of the frame that it was cut from.
#[derive(Clone, Debug)]
pub struct PlatePatch {
    luma: Vec<u8>,
    quad: Quad<FramePx>,
}

impl PlatePatch {
    /// An empty patch to cut into.
    pub fn new() -> Self {
        Self { luma: vec![0; PATCH_WIDTH_PX * PATCH_HEIGHT_PX], quad: Quad::new([Point::new(0.0, 0.0); 4]) }
    }

    /// Rows from the top, one byte a pixel.
    pub fn luma(&self) -> &[u8] {
        &self.luma
    }

    /// What it shows of the frame, margins included.
    pub fn quad(&self) -> Quad<FramePx> {
        self.quad
    }

    /// Where a point of the patch is in the frame: the projective map that takes the patch's corners to the quadrilateral's.
    pub fn frame_from_patch(&self, p: Point<PatchPx>) -> Point<FramePx> {
        #[allow(clippy::cast_precision_loss)] // 160 and 64
        let (u, v) = (p.x / PATCH_WIDTH_PX as f32, p.y / PATCH_HEIGHT_PX as f32);
        let [a, b, c, d] = self.quad.corners;
        // Unit square to quadrilateral, Heckbert 1989, "Fundamentals of Texture Mapping and Image Warping", section 2.2.
        let (dx1, dx2, sx) = (b.x - c.x, d.x - c.x, a.x - b.x + c.x - d.x);
        let (dy1, dy2, sy) = (b.y - c.y, d.y - c.y, a.y - b.y + c.y - d.y);
        let det = dx1 * dy2 - dx2 * dy1;
        let (g, h) =
            if det.abs() < f32::EPSILON { (0.0, 0.0) } else { ((sx * dy2 - dx2 * sy) / det, (dx1 * sy - sx * dy1) / det) };
        let w = g * u + h * v + 1.0;
        let x = (b.x - a.x + g * b.x) * u + (d.x - a.x + h * d.x) * v + a.x;
        let y = (b.y - a.y + g * b.y) * u + (d.y - a.y + h * d.y) * v + a.y;
        Point::new(x / w, y / w)
    }
}

impl Default for PlatePatch {
    fn default() -> Self {
        Self::new()
    }
}

/// Cuts patches, with its scratch pictures.
#[derive(Debug)]
pub struct PatchCutter {
    grey: Mat,
    shrunk: Mat,
}

impl PatchCutter {
    /// With empty scratch pictures; they grow to what is needed and stay.
    pub fn new() -> Self {
        Self { grey: Mat::default(), shrunk: Mat::default() }
    }

    /// Cuts `quad` out of the frame into `patch`, stretched to the patch's size. What lies outside the frame repeats its edge.
    ///
    /// # Errors
    /// When the quadrilateral lies wholly outside the frame or has no area, or OpenCV fails.
    pub fn cut(&mut self, frame: &Frame, quad: Quad<FramePx>, patch: &mut PlatePatch) -> Result<(), VisionError> {
        let cv = |e: opencv::Error| VisionError::new(Stage::Read, &e);
        let around = quad.bounds().grow(0.02, 0.02).intersect(frame.bounds());
        let part = Part::of(frame, around)
            .filter(|part| part.width >= 2 && part.height >= 2)
            .ok_or_else(|| VisionError::new(Stage::Read, &"the candidate has no pixels in the frame"))?;
        match frame.pixels() {
            Pixels::Bgr(bgr) => {
                let grey = &mut self.grey;
                part::with::<Vec3b, ()>(bgr, frame.width(), part, |region| {
                    imgproc::cvt_color_def(region, grey, imgproc::COLOR_BGR2GRAY)
                })
                .map_err(cv)?;
                warp(&self.grey, &mut self.shrunk, part, quad, &mut patch.luma).map_err(cv)?;
            }
            Pixels::I420 { luma, full_range, .. } => {
                let (shrunk, into) = (&mut self.shrunk, &mut patch.luma);
                part::with::<u8, ()>(luma, frame.width(), part, |region| warp(region, shrunk, part, quad, into)).map_err(cv)?;
                // Stretching what was warped is the same as warping what was stretched, and less work.
                if !full_range {
                    patch.luma.iter_mut().for_each(|v| *v = STRETCHED[usize::from(*v)]);
                }
            }
        }
        patch.quad = quad;
        Ok(())
    }
}

/// Warps a quadrilateral of the frame out of `grey`, which is its `part`, in luma.
fn warp(
    grey: &(impl MatTraitConst + ToInputArray),
    shrunk: &mut Mat,
    part: Part,
    quad: Quad<FramePx>,
    into: &mut [u8],
) -> opencv::Result<()> {
    #[allow(clippy::cast_precision_loss)] // 160 and 64
    let (patch_w, patch_h) = (PATCH_WIDTH_PX as f32, PATCH_HEIGHT_PX as f32);
    let shrink = (2.0 * patch_w / quad.width().max(1.0)).min(2.0 * patch_h / quad.height().max(1.0)).min(1.0);
    let origin = part.bounds();
    let corners = quad.corners.map(|c| Point2f::new((c.x - origin.x0) * shrink, (c.y - origin.y0) * shrink));
    let square = [Point2f::new(0.0, 0.0), Point2f::new(patch_w, 0.0), Point2f::new(patch_w, patch_h), Point2f::new(0.0, patch_h)];
    let transform = imgproc::get_perspective_transform_slice(corners, square, opencv::core::DECOMP_LU)?;
    let size = Size::new(int(PATCH_WIDTH_PX), int(PATCH_HEIGHT_PX));
    let mut out = Mat::new_rows_cols_with_bytes_mut::<u8>(size.height, size.width, into)?;
    let (how, edge) = (imgproc::INTER_LINEAR, opencv::core::BORDER_REPLICATE);
    if shrink < 1.0 {
        // A plate far larger than the patch is averaged down first, or the warp would skip over its strokes.
        let factor = f64::from(shrink);
        imgproc::resize(grey, shrunk, Size::default(), factor, factor, imgproc::INTER_AREA)?;
        imgproc::warp_perspective(shrunk, &mut out, &transform, size, how, edge, Scalar::default())
    } else {
        imgproc::warp_perspective(grey, &mut out, &transform, size, how, edge, Scalar::default())
    }
}

impl Default for PatchCutter {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{SimClock, UtcTime};
    use crate::frame::FramePool;
    use crate::ident::{CameraId, FrameSeq};
    use proptest::prelude::*;

    fn frame(width: usize, height: usize, paint: impl Fn(usize, usize) -> u8) -> Frame {
        let mut lease = FramePool::new(1).lease(width, height).expect("size");
        for (i, pixel) in lease.bgr_mut().chunks_exact_mut(3).enumerate() {
            pixel.fill(paint(i % width, i / width));
        }
        Frame::new(
            lease,
            CameraId::new("t").expect("id"),
            FrameSeq(0),
            SimClock::at(UtcTime::default(), std::time::Duration::ZERO),
        )
    }

    #[test]
    fn a_cut_shows_what_the_quadrilateral_covers() {
        // Left half dark, right half bright, cut exactly around the edge.
        let frame = frame(400, 200, |x, _| if x < 200 { 20 } else { 220 });
        let mut patch = PlatePatch::new();
        let quad =
            Quad::new([Point::new(120.0, 80.0), Point::new(280.0, 80.0), Point::new(280.0, 144.0), Point::new(120.0, 144.0)]);
        PatchCutter::new().cut(&frame, quad, &mut patch).expect("inside");
        let row = &patch.luma()[32 * PATCH_WIDTH_PX..33 * PATCH_WIDTH_PX];
        assert!(row[..78].iter().all(|v| *v == 20) && row[82..].iter().all(|v| *v == 220), "{row:?}");
    }

    #[test]
    fn a_candidate_outside_the_frame_is_an_error_not_a_crash() {
        let frame = frame(64, 64, |_, _| 0);
        let quad = Quad::new([Point::new(90.0, 90.0), Point::new(99.0, 90.0), Point::new(99.0, 95.0), Point::new(90.0, 95.0)]);
        assert!(PatchCutter::new().cut(&frame, quad, &mut PlatePatch::new()).is_err());
    }

    proptest! {
        #[test]
        fn patch_corners_go_back_to_the_quadrilateral(jitter in proptest::array::uniform8(-12.0f32..12.0)) {
            let base = [(100.0, 50.0), (220.0, 50.0), (220.0, 90.0), (100.0, 90.0)];
            let mut corners = [Point::new(0.0, 0.0); 4];
            for (i, (x, y)) in base.into_iter().enumerate() {
                corners[i] = Point::new(x + jitter[2 * i], y + jitter[2 * i + 1]);
            }
            let patch = PlatePatch { luma: Vec::new(), quad: Quad::new(corners) };
            for (p, q) in [(0.0, 0.0), (160.0, 0.0), (160.0, 64.0), (0.0, 64.0)].into_iter().zip(corners) {
                prop_assert!(patch.frame_from_patch(Point::new(p.0, p.1)).distance(q) < 0.05);
            }
        }
    }
}
