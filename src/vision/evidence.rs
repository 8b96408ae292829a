//! Evidence as JPEG: the plate patch in colour and the overview image, both of the frame that was read best.
//!
//! A back office sets caps: the national one in the United Kingdom takes a patch of 3 KB or 120 x 60 pixels and an overview of
//! 25 KB. A cap always holds. Within it the best quality is searched for; where even the least one is too large, the picture
//! is made smaller, and where no picture worth looking at fits, there is none, which the caller counts. The hash in a record
//! is made of exactly the bytes that leave here.
//!
//! OpenCV's encoder (libjpeg-turbo) does the work: at 1080p it takes a tenth of the `image` crate's time. Runs on the recorder
//! thread.

use opencv::core::{Mat, Point as CvPoint, Scalar, Vector};
use opencv::prelude::VectorToVec;
use opencv::{imgcodecs, imgproc};

use super::part::{self, Part};
use super::{Stage, VisionError, floor_index};
use crate::frame::{Frame, MAX_SIDE_PX};
use crate::geometry::{FramePx, Quad};

/// Caps of one picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureOptions {
    /// Largest width, pixels: a wider picture is scaled down.
    pub max_width_px: u32,
    /// Largest height, pixels.
    pub max_height_px: u32,
    /// Largest file, bytes.
    pub max_bytes: usize,
    /// JPEG quality that is enough, 1 to 100; less is taken where the file would be too large.
    pub quality: u8,
}

/// How evidence is cut and packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvidenceOptions {
    /// Of the plate patch.
    pub patch: PictureOptions,
    /// Of the overview image.
    pub overview: PictureOptions,
    /// Whether the plate is outlined in the overview: it is found at a glance, but its surroundings are not as the camera
    /// saw them.
    pub outline: bool,
}

/// A set of numbers for all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EvidenceProfile {
    /// What the National ANPR Standards for Policing and Law Enforcement (NASPLE) let a British back office expect: a patch
    /// within 3 KB *and* 120 x 60 pixels (the standard asks for one of them), an overview within 25 KB, scaled down, with
    /// the plate outlined. Some 25 KB a vehicle: fit for a mobile link.
    #[default]
    Nasple,
    /// As the camera saw it: the patch at the frame's own resolution, the overview the whole frame, nothing drawn into it
    /// (the record has the plate's corners). Hundreds of kilobytes a vehicle.
    Full,
}

impl EvidenceProfile {
    /// The profile's numbers.
    pub const fn options(self) -> EvidenceOptions {
        match self {
            Self::Nasple => EvidenceOptions {
                patch: PictureOptions { max_width_px: 120, max_height_px: 60, max_bytes: 3_072, quality: 92 },
                // 800 pixels: a rendered road keeps quality 71 in 25 KB, at 960 pixels 60; a real one is busier.
                overview: PictureOptions { max_width_px: 800, max_height_px: 800, max_bytes: 25_600, quality: 85 },
                outline: true,
            },
            Self::Full => EvidenceOptions {
                patch: PictureOptions { max_width_px: 2_048, max_height_px: 2_048, max_bytes: 131_072, quality: 95 },
                // A 4K frame passes as it is; the caps keep a frame of the largest size there is out of the outbox.
                overview: PictureOptions { max_width_px: 4_096, max_height_px: 4_096, max_bytes: 1_048_576, quality: 90 },
                outline: false,
            },
        }
    }
}

impl Default for EvidenceOptions {
    fn default() -> Self {
        EvidenceProfile::default().options()
    }
}

/// Blocks show below this JPEG quality: a smaller picture is better then.
const LEAST_QUALITY: u8 = 30;
/// The search for the best quality ends when it is known to so many steps.
const QUALITY_STEPS: u8 = 4;
/// A picture with a shorter side shows nothing: the search ends there.
const LEAST_SIDE_PX: usize = 8;

/// The plate in colour, as the frame shows it, with a margin.
///
/// # Errors
/// When the quadrilateral has no pixels in the frame, no picture fits the caps, or the encoder fails.
pub fn patch_jpeg(frame: &Frame, quad: Quad<FramePx>, options: &EvidenceOptions) -> Result<Vec<u8>, VisionError> {
    let around = quad.bounds().grow(0.10, 0.25).intersect(frame.bounds());
    let part = Part::of(frame, around)
        .filter(|part| part.width >= 2 && part.height >= 2)
        .ok_or_else(|| VisionError::new(Stage::Encode, &"the plate has no pixels in the frame"))?
        .with_colour(frame);
    pack(frame, part, &options.patch, |_, _| Ok(()))
}

/// The whole frame, scaled down to its caps, with the plate outlined where the options say so.
///
/// # Errors
/// When no picture fits the caps, or the encoder fails.
pub fn overview_jpeg(frame: &Frame, quad: Quad<FramePx>, options: &EvidenceOptions) -> Result<Vec<u8>, VisionError> {
    let draw = |picture: &mut Mat, scale| if options.outline { outline(picture, quad, scale) } else { Ok(()) };
    pack(frame, Part::whole(frame), &options.overview, draw)
}

/// A frame as it is, scaled down to its caps, with all plates outlined.
///
/// # Errors
/// When no picture fits the caps, or the encoder fails.
pub fn still_jpeg(frame: &Frame, plates: &[Quad<FramePx>], options: &PictureOptions) -> Result<Vec<u8>, VisionError> {
    let draw = |picture: &mut Mat, scale| plates.iter().try_for_each(|quad| outline(picture, *quad, scale));
    pack(frame, Part::whole(frame), options, draw)
}

fn outline(picture: &mut Mat, quad: Quad<FramePx>, scale: f32) -> Result<(), VisionError> {
    let corners: Vector<CvPoint> = quad
        .grow(0.06, 0.20)
        .corners
        .iter()
        .map(|c| {
            #[allow(clippy::cast_possible_truncation)] // a corner of a plate in the frame; far-off ones saturate
            CvPoint::new((c.x * scale).round() as i32, (c.y * scale).round() as i32)
        })
        .collect();
    let amber = Scalar::new(0.0, 190.0, 255.0, 0.0);
    imgproc::polylines(picture, &corners, true, amber, 2, imgproc::LINE_AA, 0).map_err(fault)
}

/// A part of a frame as a file within the caps: as large as they allow, then as good as they allow. `draw` adds to the
/// scaled picture, whose pixels are `scale` of the original's.
#[allow(clippy::cast_precision_loss)] // sides are at most MAX_SIDE_PX, files far below 16 MiB
fn pack(
    frame: &Frame,
    part: Part,
    options: &PictureOptions,
    draw: impl Fn(&mut Mat, f32) -> Result<(), VisionError>,
) -> Result<Vec<u8>, VisionError> {
    let size = (part.width, part.height);
    let most = (cap(options.max_width_px), cap(options.max_height_px));
    let mut scale = (most.0 as f32 / size.0 as f32).min(most.1 as f32 / size.1 as f32).min(1.0);
    loop {
        let side = |n: usize, most: usize| floor_index((n as f32 * scale).round()).clamp(1, most);
        let (width, height) = (side(size.0, most.0), side(size.1, most.1));
        let mut picture = part::picture(frame, part, (width, height)).map_err(fault)?;
        draw(&mut picture, scale)?;
        let least_bytes = match best_within(&picture, options)? {
            Ok(bytes) => return Ok(bytes),
            Err(least_bytes) => least_bytes,
        };
        if width.min(height) <= LEAST_SIDE_PX {
            let why = format!(
                "no JPEG fits {} bytes: {width} x {height} pixels at quality {} take {least_bytes}; allow more",
                options.max_bytes,
                LEAST_QUALITY.min(options.quality)
            );
            return Err(VisionError::new(Stage::Encode, &why));
        }
        // Bytes go with the area, more or less; less, as a file has a head.
        scale *= (options.max_bytes as f32 / least_bytes as f32).sqrt().clamp(0.5, 0.9);
    }
}

/// The picture at the best quality that fits; where none does, the size of the smallest file, bytes.
fn best_within(picture: &Mat, options: &PictureOptions) -> Result<Result<Vec<u8>, usize>, VisionError> {
    let best = encode(picture, options.quality)?;
    if best.len() <= options.max_bytes {
        return Ok(Ok(best.to_vec()));
    }
    let (mut fits, mut too_large) = (LEAST_QUALITY.min(options.quality), options.quality);
    let mut found = encode(picture, fits)?;
    if found.len() > options.max_bytes {
        return Ok(Err(found.len()));
    }
    while too_large - fits > QUALITY_STEPS {
        let middle = u8::midpoint(fits, too_large);
        let bytes = encode(picture, middle)?;
        if bytes.len() <= options.max_bytes {
            (fits, found) = (middle, bytes);
        } else {
            too_large = middle;
        }
    }
    Ok(Ok(found.to_vec()))
}

fn encode(picture: &Mat, quality: u8) -> Result<Vector<u8>, VisionError> {
    // Tables made for the very picture save 300 bytes, a tenth of a patch.
    let parameters =
        Vector::from_slice(&[imgcodecs::IMWRITE_JPEG_QUALITY, i32::from(quality), imgcodecs::IMWRITE_JPEG_OPTIMIZE, 1]);
    let mut bytes = Vector::<u8>::new();
    imgcodecs::imencode(".jpg", picture, &mut bytes, &parameters).map_err(fault)?;
    Ok(bytes)
}

fn cap(side_px: u32) -> usize {
    usize::try_from(side_px).unwrap_or(MAX_SIDE_PX).clamp(1, MAX_SIDE_PX)
}

fn fault(e: opencv::Error) -> VisionError {
    VisionError::new(Stage::Encode, &e)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{SimClock, UtcTime};
    use crate::frame::FramePool;
    use crate::geometry::Rect;
    use crate::ident::{CameraId, FrameSeq};
    use std::io::Cursor;

    /// A frame of grain: nothing is harder to pack. `calm` pixels beside each other are the same.
    fn grain(width: usize, height: usize, calm: usize) -> Frame {
        let mut lease = FramePool::new(1).lease(width, height).expect("size");
        for (i, pixel) in lease.bgr_mut().chunks_exact_mut(3).enumerate() {
            let (x, y) = (i % width / calm, i / width / calm);
            let h = ((x * 73_856_093) ^ (y * 19_349_663)).wrapping_mul(0x5bd1_e995_97f4_a7c1);
            pixel.copy_from_slice(&h.to_be_bytes()[1..4]);
        }
        let at = SimClock::at(UtcTime::default(), std::time::Duration::ZERO);
        Frame::new(lease, CameraId::new("t").expect("id"), FrameSeq(0), at)
    }

    fn size(jpeg: &[u8]) -> (u32, u32) {
        image::ImageReader::with_format(Cursor::new(jpeg), image::ImageFormat::Jpeg).into_dimensions().expect("a JPEG")
    }

    #[test]
    fn caps_hold_on_the_busiest_of_frames() {
        let frame = grain(1920, 1080, 1);
        for width in [24.0, 60.0, 130.0, 600.0, 1500.0] {
            let quad: Quad<FramePx> = Rect::new(200.0, 300.0, 200.0 + width, 300.0 + width / 4.7).into();
            for profile in [EvidenceProfile::Nasple, EvidenceProfile::Full] {
                let options = profile.options();
                let pictures = [
                    (patch_jpeg(&frame, quad, &options), options.patch),
                    (overview_jpeg(&frame, quad, &options), options.overview),
                ];
                for (jpeg, caps) in pictures {
                    let jpeg = jpeg.expect("fits");
                    let (w, h) = size(&jpeg);
                    assert!(jpeg.len() <= caps.max_bytes, "{profile:?} {width}: {} bytes", jpeg.len());
                    assert!(w <= caps.max_width_px && h <= caps.max_height_px && w.min(h) >= 8, "{profile:?} {width}: {w} x {h}");
                }
            }
        }
        let nasple = EvidenceProfile::Nasple.options();
        assert_eq!((nasple.patch.max_bytes, nasple.overview.max_bytes), (3 * 1024, 25 * 1024), "the standard's");
    }

    #[test]
    fn room_that_there_is_is_used() {
        let frame = grain(1280, 720, 12);
        let quad: Quad<FramePx> = Rect::new(500.0, 300.0, 640.0, 330.0).into();
        let nasple = EvidenceProfile::Nasple.options();
        let overview = overview_jpeg(&frame, quad, &nasple).expect("fits");
        assert!(overview.len() > nasple.overview.max_bytes * 3 / 4, "{} bytes, {:?}", overview.len(), size(&overview));
        let patch = patch_jpeg(&frame, quad, &nasple).expect("fits");
        assert_eq!(size(&patch).0, 120);
        let full = EvidenceProfile::Full.options();
        assert_eq!(size(&overview_jpeg(&frame, quad, &full).expect("fits")), (1280, 720), "as the camera saw it");
        let (w, h) = size(&patch_jpeg(&frame, quad, &full).expect("fits"));
        assert_eq!((w, h), (168, 46), "the plate with its margin, at the frame's own resolution");
    }

    #[test]
    fn a_cap_below_any_picture_is_an_error_that_names_it() {
        let mut options = EvidenceProfile::Nasple.options();
        options.overview.max_bytes = 100;
        let quad: Quad<FramePx> = Rect::new(10.0, 10.0, 60.0, 30.0).into();
        let error = overview_jpeg(&grain(320, 180, 1), quad, &options).expect_err("no JPEG is that small").to_string();
        assert!(error.contains("fits 100 bytes"), "{error}");
        assert!(patch_jpeg(&grain(320, 180, 1), Rect::new(400.0, 0.0, 440.0, 10.0).into(), &options).is_err());
    }
}
