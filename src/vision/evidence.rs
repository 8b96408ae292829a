//! Evidence as JPEG: the plate patch in colour and the overview image, both of the frame that was read best.
//!
//! OpenCV's encoder (libjpeg-turbo) does the work: at 1080p it takes a tenth of the `image` crate's time.
//! Runs on the recorder thread.

use opencv::core::{Mat, Point as CvPoint, Rect as CvRect, Scalar, Size, Vec3b, Vector};
use opencv::prelude::VectorToVec;
use opencv::{imgcodecs, imgproc};

use super::{Stage, VisionError, floor_index};
use crate::frame::Frame;
use crate::geometry::{FramePx, Quad};

/// How evidence is cut and packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvidenceOptions {
    /// Width of the overview image, pixels; a smaller frame stays as it is.
    pub overview_width_px: u32,
    /// Largest overview image, bytes: quality gives way until it fits.
    pub overview_max_bytes: usize,
    /// Largest plate patch, bytes.
    pub patch_max_bytes: usize,
}

impl Default for EvidenceOptions {
    fn default() -> Self {
        Self { overview_width_px: 960, overview_max_bytes: 102_400, patch_max_bytes: 12_288 }
    }
}

/// JPEG qualities tried in turn until the picture fits.
const QUALITIES: [i32; 6] = [88, 75, 60, 45, 30, 15];

/// The plate in colour, as the frame shows it, with a margin.
///
/// # Errors
/// When the quadrilateral has no pixels in the frame, or the encoder fails.
pub fn patch_jpeg(frame: &Frame, quad: Quad<FramePx>, options: &EvidenceOptions) -> Result<Vec<u8>, VisionError> {
    let around = quad.bounds().grow(0.10, 0.25).intersect(frame.bounds());
    let (x0, y0) = (floor_index(around.x0), floor_index(around.y0));
    let (x1, y1) = (floor_index(around.x1.ceil()).min(frame.width()), floor_index(around.y1.ceil()).min(frame.height()));
    if x1 < x0 + 2 || y1 < y0 + 2 {
        return Err(VisionError::new(Stage::Encode, &"the plate has no pixels in the frame"));
    }
    let whole = view(frame)?;
    let region = CvRect::new(int(x0)?, int(y0)?, int(x1 - x0)?, int(y1 - y0)?);
    let crop = Mat::roi(&whole, region).map_err(fault)?;
    encode_within(&crop, options.patch_max_bytes)
}

/// The whole frame, scaled down, with the plate outlined.
///
/// # Errors
/// When the encoder fails.
pub fn overview_jpeg(frame: &Frame, quad: Quad<FramePx>, options: &EvidenceOptions) -> Result<Vec<u8>, VisionError> {
    #[allow(clippy::cast_precision_loss)] // sides are at most MAX_SIDE_PX
    let scale = (options.overview_width_px as f32 / frame.width() as f32).min(1.0);
    #[allow(clippy::cast_precision_loss)]
    let side = |n: usize| int(floor_index((n as f32 * scale).round()).max(1));
    let mut picture = Mat::default();
    let size = Size::new(side(frame.width())?, side(frame.height())?);
    imgproc::resize(&view(frame)?, &mut picture, size, 0.0, 0.0, imgproc::INTER_AREA).map_err(fault)?;
    let outline: Vector<CvPoint> = quad
        .grow(0.06, 0.20)
        .corners
        .iter()
        .map(|c| {
            #[allow(clippy::cast_possible_truncation)] // a corner of a plate in the frame; far-off ones saturate
            CvPoint::new((c.x * scale).round() as i32, (c.y * scale).round() as i32)
        })
        .collect();
    let amber = Scalar::new(0.0, 190.0, 255.0, 0.0);
    imgproc::polylines(&mut picture, &outline, true, amber, 2, imgproc::LINE_AA, 0).map_err(fault)?;
    encode_within(&picture, options.overview_max_bytes)
}

fn view(frame: &Frame) -> Result<opencv::boxed_ref::BoxedRef<'_, Mat>, VisionError> {
    Mat::new_rows_cols_with_bytes::<Vec3b>(int(frame.height())?, int(frame.width())?, frame.bgr()).map_err(fault)
}

/// Encodes at the best quality that fits; the last one is taken even if it does not.
fn encode_within(picture: &impl opencv::core::ToInputArray, max_bytes: usize) -> Result<Vec<u8>, VisionError> {
    let mut bytes = Vector::<u8>::new();
    for quality in QUALITIES {
        let parameters = Vector::from_slice(&[imgcodecs::IMWRITE_JPEG_QUALITY, quality]);
        imgcodecs::imencode(".jpg", picture, &mut bytes, &parameters).map_err(fault)?;
        if bytes.len() <= max_bytes {
            break;
        }
    }
    Ok(bytes.to_vec())
}

fn int(n: usize) -> Result<i32, VisionError> {
    i32::try_from(n).map_err(|e| VisionError::new(Stage::Encode, &e))
}

fn fault(e: opencv::Error) -> VisionError {
    VisionError::new(Stage::Encode, &e)
}
