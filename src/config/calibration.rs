//! Camera calibration profiles: what of a camera's picture is looked at, and what is never seen.

use std::path::Path;

use super::raw::RawCalibration;
use super::resolve::Region;
use crate::frame::MAX_SIDE_PX;
use crate::frame::mask::Mask;
use crate::geometry::{FramePx, Point, Rect};

/// Most masks a profile may have, and corners a mask.
const MOST_MASKS: usize = 32;
const CORNERS: std::ops::RangeInclusive<usize> = 3..=64;

/// A profile, checked.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// Where plates are looked for.
    pub region: Region,
    /// What is painted over before anything else has the picture; none where the profile has no masks.
    pub mask: Option<Mask>,
}

impl Calibration {
    /// Reads a profile.
    ///
    /// # Errors
    /// All that is wrong with it, each with the file's name: it can't be read, is no TOML, has a key that is not ours or a value
    /// that makes no sense.
    pub fn load(path: &Path) -> Result<Self, Vec<String>> {
        let told = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
        let text = std::fs::read_to_string(path).map_err(|e| vec![told(&e)])?;
        let raw: RawCalibration = toml::from_str(&text).map_err(|e| vec![told(&e.to_string().trim_end())])?;
        Self::resolve(&raw).map_err(|faults| faults.iter().map(|fault| told(fault)).collect())
    }

    fn resolve(raw: &RawCalibration) -> Result<Self, Vec<String>> {
        let (frame_px @ [width, height], [x0, y0, x1, y1]) = (raw.frame_px, raw.region_px);
        let most = i64::try_from(MAX_SIDE_PX).unwrap_or(i64::MAX);
        if !(0 <= x0 && x0 < x1 && x1 <= width && 0 <= y0 && y0 < y1 && y1 <= height && width.max(height) <= most) {
            let region = raw.region_px;
            return Err(vec![format!("region_px {region:?} is not left, top, right, bottom inside frame_px {frame_px:?}")]);
        }
        let area = Rect::new(side(x0), side(y0), side(x1), side(y1));
        let region = Region { frame_px: (side(width), side(height)), area };
        let mut faults = Vec::new();
        if raw.masks_px.len() > MOST_MASKS {
            faults.push(format!("masks_px: {} masks, at most {MOST_MASKS} are taken", raw.masks_px.len()));
        }
        for (i, corners) in raw.masks_px.iter().enumerate() {
            if !CORNERS.contains(&corners.len()) {
                let (least, most) = (CORNERS.start(), CORNERS.end());
                faults.push(format!("masks_px[{i}]: {} corners, a mask has {least} to {most}", corners.len()));
            } else if corners.iter().all(|c| on_line(corners[0], corners[corners.len() / 2], *c)) {
                faults.push(format!("masks_px[{i}]: its corners lie on one line, so it hides nothing"));
            }
            for [x, y] in corners.iter().filter(|[x, y]| !(0..=width).contains(x) || !(0..=height).contains(y)) {
                faults.push(format!("masks_px[{i}]: [{x}, {y}] is not inside frame_px {frame_px:?}"));
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let polygon = |corners: &Vec<[i64; 2]>| -> Vec<Point<FramePx>> {
            corners.iter().map(|[x, y]| Point::new(side(*x), side(*y))).collect()
        };
        let mask = Mask::new(raw.masks_px.iter().map(polygon).collect(), region.frame_px);
        if mask.hides(area) {
            return Err(vec![format!("masks_px: they hide all of region_px {:?}: no plate would ever be seen", raw.region_px)]);
        }
        Ok(Self { region, mask: (!raw.masks_px.is_empty()).then_some(mask) })
    }
}

/// Whether three corners lie on one line.
fn on_line(a: [i64; 2], b: [i64; 2], c: [i64; 2]) -> bool {
    let wide = |v: i64| i128::from(v);
    (wide(b[0]) - wide(a[0])) * (wide(c[1]) - wide(a[1])) == (wide(b[1]) - wide(a[1])) * (wide(c[0]) - wide(a[0]))
}

#[allow(clippy::cast_precision_loss)] // at most MAX_SIDE_PX
fn side(v: i64) -> f32 {
    v as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(profile: &str) -> Result<Calibration, String> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("p.toml");
        std::fs::write(&path, profile).expect("written");
        Calibration::load(&path).map_err(|faults| {
            assert!(faults.iter().all(|f| f.contains("p.toml: ")), "{faults:?}");
            faults.join("\n")
        })
    }

    const HEAD: &str = "frame_px = [1280, 720]\nregion_px = [0, 120, 1280, 720]\n";

    #[test]
    fn masks_are_read_and_every_fault_of_them_is_told() {
        assert!(load(HEAD).expect("valid").mask.is_none());
        assert!(load(&format!("{HEAD}masks_px = [[[0, 0], [1280, 0], [1280, 720]]]")).expect("valid").mask.is_some());
        let many = vec!["[[0, 0], [9, 0], [9, 9]]"; 33].join(", ");
        let long = (0..65).map(|i| format!("[{i}, {}]", i * i % 7)).collect::<Vec<_>>().join(", ");
        for (masks, words) in [
            (
                "[[[0, 0], [9, 9]], [[1, 1], [1281, 5], [5, -1]]]".to_owned(),
                &["masks_px[0]: 2 corners", "[1281, 5]", "[5, -1]"][..],
            ),
            (format!("[{many}]"), &["33 masks, at most 32"]),
            (format!("[[{long}]]"), &["masks_px[0]: 65 corners, a mask has 3 to 64"]),
            ("[[[0, 0], [5, 5], [9, 9]]]".to_owned(), &["masks_px[0]: its corners lie on one line"]),
            ("[[[7, 7], [7, 7], [7, 7]]]".to_owned(), &["masks_px[0]: its corners lie on one line"]),
            (
                "[[[0, 100], [700, 100], [700, 720], [0, 720]], [[700, 90], [1280, 90], [1280, 720], [700, 720]]]".to_owned(),
                &["hide all of region_px"],
            ),
            ("[[[0.5, 1]]]".to_owned(), &["masks_px"]),
        ] {
            let said = load(&format!("{HEAD}masks_px = {masks}")).expect_err(&masks);
            assert!(words.iter().all(|w| said.contains(w)), "{said}");
        }
    }

    #[test]
    fn the_shipped_profile_is_one() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("calibration/demo.toml");
        assert_eq!(Calibration::load(&path).expect("valid").region.frame_px, (1280.0, 720.0));
    }
}
