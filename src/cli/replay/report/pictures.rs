//! The pictures of a report: for each fault the plate patch and the surroundings, cut from the clip on a second pass that decodes
//! frames and looks for nothing. No frame is kept: an hour of evidence would not fit in memory.

use std::path::Path;

use anyhow::Context;
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage, imageops};

use crate::camera::CameraError;
use crate::cli::draw;
use crate::cli::replay::clip;
use crate::cli::replay::corners::Corners;
use crate::cli::replay::faults::Fault;
use crate::cli::replay::tally::Judged;
use crate::frame::Frame;
use crate::frame::mask::Mask;
use crate::geometry::{FramePx, Quad, Rect};
use crate::vision::evidence::{EvidenceOptions, EvidenceProfile, patch_jpeg};
use crate::vision::floor_index;

/// Width of the surroundings on the page, pixels.
const OVERVIEW_WIDTH_PX: f32 = 480.0;
/// Width of a whole frame, where nobody knows the place in it: the plate must still be found.
const WHOLE_WIDTH_PX: f32 = 800.0;
/// What the surroundings show: so many plate widths, and their height as a share of their width.
const OVERVIEW_PLATES: f32 = 6.0;
const OVERVIEW_SHAPE: f32 = 0.6;
const QUALITY: u8 = 78;
const OUTLINE: Rgb<u8> = Rgb([255, 190, 0]);
/// Patches are shown as the frame has them, colour and all.
const PATCH: EvidenceOptions = EvidenceProfile::Full.options();

/// Where to look for a fault: the record's best frame, or where the truth has the vehicle.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) frame: u64,
    /// The plate, where it is known.
    pub(super) quad: Option<Quad<FramePx>>,
}

impl View {
    /// The view of a fault.
    pub(super) fn of(fault: &Fault, judged: Judged<'_>, corners: Option<&Corners>) -> Self {
        let gathered = judged.gathered;
        let sightings = fault.record.map(|i| &gathered.records[i].record.sightings);
        if let Some(s) = sightings.or_else(|| fault.unread.map(|i| &gathered.unread[i].sightings)) {
            return Self { frame: s.best_frame.0, quad: Some(s.best_quad) };
        }
        let Some(vehicle) = fault.vehicle.map(|v| &judged.vehicles[v]) else { return Self { frame: 0, quad: None } };
        match corners.and_then(|c| c.best_view(&vehicle.row, vehicle.frames)) {
            Some((frame, quad)) => Self { frame, quad: Some(quad) },
            None => Self { frame: u64::midpoint(vehicle.frames.0, vehicle.frames.1), quad: None },
        }
    }
}

/// JPEGs of one view; empty where the frame could not be had.
#[derive(Clone, Debug, Default)]
pub(super) struct Pictures {
    pub(super) patch: Option<Vec<u8>>,
    pub(super) overview: Option<Vec<u8>>,
}

/// Cuts all views out of a clip, but for what is masked.
pub(super) fn cut((clip, mask): (&Path, Option<&Mask>), views: &[View]) -> Result<Vec<Pictures>, CameraError> {
    let mut wanted: Vec<u64> = views.iter().map(|v| v.frame).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mut pictures = vec![Pictures::default(); views.len()];
    clip::frames_of(clip, mask, &wanted, |frame| {
        for (view, into) in views.iter().zip(&mut pictures).filter(|(v, _)| v.frame == frame.seq().0) {
            into.patch = view.quad.and_then(|quad| patch_jpeg(frame, quad, &PATCH).ok());
            into.overview = jpeg(&overview(frame, view.quad))
                .inspect_err(|e| tracing::warn!("frame {}: left out of the report: {e:#}", view.frame))
                .ok();
        }
    })?;
    Ok(pictures)
}

/// The surroundings of a plate with its outline, or the whole frame.
fn overview(frame: &Frame, quad: Option<Quad<FramePx>>) -> RgbImage {
    let Some(quad) = quad else { return shrunk(draw::picture(frame), WHOLE_WIDTH_PX) };
    let mut picture = draw::picture(frame);
    draw::outline(&mut picture, quad.grow(0.06, 0.20), OUTLINE, 2.0);
    let bounds = frame.bounds();
    let width = (quad.bounds().width() * OVERVIEW_PLATES).max(OVERVIEW_WIDTH_PX).min(bounds.width());
    let height = (width * OVERVIEW_SHAPE).min(bounds.height());
    let start = |centre: f32, side: f32, end: f32| (centre - side / 2.0).min(end - side).max(0.0).floor();
    let centre = quad.centre();
    let (left, top) = (start(centre.x, width, bounds.width()), start(centre.y, height, bounds.height()));
    let area = Rect::<FramePx>::new(left, top, left + width, top + height);
    let index = |v: f32| u32::try_from(floor_index(v)).unwrap_or(0);
    let crop = imageops::crop_imm(&picture, index(area.x0), index(area.y0), index(area.width()), index(area.height())).to_image();
    shrunk(crop, OVERVIEW_WIDTH_PX)
}

/// Scaled down to a width; never up.
fn shrunk(picture: RgbImage, width_px: f32) -> RgbImage {
    #[allow(clippy::cast_precision_loss)] // sides of a frame
    let (width, height) = (picture.width() as f32, picture.height() as f32);
    let scale = width_px / width;
    if scale >= 1.0 {
        return picture;
    }
    let side = |v: f32| u32::try_from(floor_index((v * scale).round()).max(1)).unwrap_or(1);
    imageops::resize(&picture, side(width), side(height), imageops::FilterType::Triangle)
}

fn jpeg(picture: &RgbImage) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY).encode_image(picture).context("no JPEG")?;
    Ok(bytes)
}
