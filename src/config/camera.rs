//! The `[[camera]]` tables, and the calibration profiles that they name.

use std::time::Duration;

use super::raw::{RawCalibration, RawCamera, RawConfig};
use super::resolve::{CameraSettings, Checker, Region, SourceSettings};
use crate::camera::{AtEnd, Pace};
use crate::geometry::Rect;
use crate::ident::CameraId;
use crate::publish::wire::Site;

/// Checks and resolves one camera.
pub(super) fn resolve(c: &mut Checker<'_>, nas: Site, index: usize, raw: &RawCamera) -> Option<CameraSettings> {
    let key = |name: &str| format!("camera[{index}].{name}");
    c.id(&key("id"), &raw.id);
    let path = c.existing(&key("path"), &raw.path);
    let interval = Duration::from_millis(c.integer(&key("interval_ms"), raw.interval_ms, 1, 3_600_000));
    let is_stills = c.choice(&key("kind"), &raw.kind, &[("clip", false), ("stills", true)]);
    let source = if is_stills { SourceSettings::Stills(path, interval) } else { SourceSettings::Clip(path) };
    let pace = c.choice(&key("pace"), &raw.pace, &[("real_time", Pace::RealTime), ("lossless", Pace::Lossless)]);
    let at_end = c.choice(&key("at_end"), &raw.at_end, &[("stop", AtEnd::Stop), ("repeat", AtEnd::Repeat)]);
    let buffers = c.integer(&key("buffers"), raw.buffers, 6, 256);
    let region = (!raw.calibration.is_empty()).then(|| calibration(c, &key("calibration"), &raw.calibration)).flatten();
    let mut site = Site { camera_id: number(c, &key("nas_camera_id"), raw.nas_camera_id), ..nas };
    let (latitude, longitude) = (raw.latitude_deg, raw.longitude_deg);
    c.number(&key("latitude_deg"), latitude, -90.0, 90.0);
    c.number(&key("longitude_deg"), longitude, -180.0, 180.0);
    // No road runs through the place where both are 0.
    site.position = Some((latitude, longitude)).filter(|place| *place != (0.0, 0.0));
    Some(CameraSettings { id: CameraId::new(&raw.id)?, source, pace, at_end, buffers, region, site })
}

/// The `[nas]` table: what all cameras of the box have in common.
pub(super) fn nas(c: &mut Checker<'_>, raw: &RawConfig) -> Site {
    Site {
        feed_id: number(c, "nas.feed_id", raw.nas.feed_id),
        source_id: number(c, "nas.source_id", raw.nas.source_id),
        ..Site::default()
    }
}

/// A number that is none where it is 0.
fn number(c: &mut Checker<'_>, key: &str, value: i64) -> Option<u32> {
    Some(c.integer(key, value, 0, i64::from(u32::MAX))).filter(|n| *n > 0)
}

/// Reads a calibration profile: for now, where plates are looked for.
fn calibration(c: &mut Checker<'_>, key: &str, value: &str) -> Option<Region> {
    let path = c.existing(key, value);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) => {
            if path.exists() {
                c.fault(key, format!("{}: {e}", path.display()));
            }
            return None;
        }
    };
    let profile: RawCalibration = match toml::from_str(&text) {
        Ok(profile) => profile,
        Err(e) => {
            c.fault(key, format!("{}: {}", path.display(), e.to_string().trim_end()));
            return None;
        }
    };
    let ([width, height], [x0, y0, x1, y1]) = (profile.frame_px, profile.region_px);
    if !(0 <= x0 && x0 < x1 && x1 <= width && 0 <= y0 && y0 < y1 && y1 <= height && width.max(height) <= 16_384) {
        c.fault(
            key,
            format!(
                "{}: region_px {:?} is not left, top, right, bottom inside frame_px {:?}",
                path.display(),
                profile.region_px,
                profile.frame_px
            ),
        );
        return None;
    }
    #[allow(clippy::cast_precision_loss)] // at most 16384
    let side = |v: i64| v as f32;
    Some(Region { frame_px: (side(width), side(height)), area: Rect::new(side(x0), side(y0), side(x1), side(y1)) })
}
