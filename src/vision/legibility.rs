//! How far light and lens let a plate be read: measured on the very patch that the reader sees, in microseconds.
//!
//! *Sharpness* is how steep the edges of the strokes are for the patch's own contrast, across and down, as motion smears in
//! either direction (an approaching vehicle moves down the picture). A small plate is softer than a large one, because it is
//! scaled up to the patch; that is no fault of its picture, so steepness is compared with what a plate of this size can have
//! at best. *Flare* is the share that is burnt out so far that strokes are gone: a white plate that is only white, with its
//! strokes dark in it, has none.
//!
//! What it refuses: to say whether a plate can be read (the reader says that), and to tell smear from size where strokes are
//! narrower than a pixel of the frame (plates below some 35 px): there a sharpness near 1 means as sharp as can be, not
//! sharp. Faint contrast counts as smeared. Runs on the reader thread; needs no buffers.

use super::patch::{PATCH_HEIGHT_PX, PATCH_WIDTH_PX, PlatePatch};
use crate::anpr::core::Legibility;

/// Rows (or columns) of a patch that are summed up before their steps are taken: strokes are longer, noise is not.
const BAND_PX: usize = 4;
/// Bands from top to bottom, and from left to right.
const BANDS_DOWN: usize = PATCH_HEIGHT_PX / BAND_PX;
const BANDS_ACROSS: usize = PATCH_WIDTH_PX / BAND_PX;
/// A step is taken over this many pixels.
const STEP_PX: usize = 2;
/// Most that a step can be: a band of black beside a band of white.
const MAX_STEP: usize = 255 * BAND_PX;
/// The step that six in a hundred exceed stands for the edges: a plate with one character has that many.
const EDGES_ABOVE: f32 = 0.94;
/// Contrast is the distance between these shares of all pixels, grey levels...
const DARK_END: f32 = 0.05;
const LIGHT_END: f32 = 0.95;
/// ...and counts as at least this much, or noise on an even grey would pass for edges.
const LEAST_CONTRAST: f32 = 24.0;

/// How steep edges are in one direction, as fractions of the contrast a step.
struct Direction {
    /// Pixels over which the edge of a crisp plate rises in a patch that is not scaled up, and how many more for each patch
    /// pixel a frame pixel. Fitted to drawn plates of 30 to 300 px, through a lens of 0.6 px, grain and JPEG.
    rise_px: (f32, f32),
    /// The steepness that is left of a large plate when it is smeared over three strokes.
    smeared: f32,
}

const ACROSS: Direction = Direction { rise_px: (1.7, 1.25), smeared: 0.20 };
const DOWN: Direction = Direction { rise_px: (3.4, 1.65), smeared: 0.09 };

impl Direction {
    /// 0 (smeared over three strokes or more) ..= 1 (as crisp as a plate scaled up by `scale` can be).
    #[allow(clippy::cast_precision_loss)] // 2
    fn sharpness(&self, steepness: f32, scale: f32) -> f32 {
        // Plates larger than twice the patch are averaged down to that before they are cut.
        let crisp = STEP_PX as f32 / (self.rise_px.0 + self.rise_px.1 * scale.max(0.5));
        let smeared = self.smeared.min(0.45 * crisp);
        ((steepness - smeared) / (crisp - smeared)).clamp(0.0, 1.0)
    }
}

/// A pixel at least this light is burnt out.
const BURNT: u8 = 250;
/// A pixel darker than this beside burnt-out ones can still be told from them.
const DARK: u8 = 210;
/// Rows looked at for flare: the characters', without the blank margins above and below.
const CHARACTER_ROWS: std::ops::Range<usize> = 10..54;
/// Flare is sought in windows of this many columns. Blanks between any two characters are narrower, so a window of a plate that
/// is not burnt out has a stroke in it.
const WINDOW_PX: usize = 32;
/// And from one window to the next.
const WINDOW_STEP_PX: usize = 8;
const COLUMNS: usize = PATCH_WIDTH_PX / WINDOW_STEP_PX;
const COLUMNS_A_WINDOW: usize = WINDOW_PX / WINDOW_STEP_PX;

/// Measures a patch.
#[allow(clippy::cast_precision_loss)] // 160 and 64
pub fn measure(patch: &PlatePatch) -> Legibility {
    let (luma, quad) = (patch.luma(), patch.quad());
    let mut tones = [0u32; 256];
    // Sums over bands: `rows` holds a row of sums a band, `columns` a column a band.
    let mut rows = [[0u16; PATCH_WIDTH_PX]; BANDS_DOWN];
    let mut columns = [[0u16; PATCH_HEIGHT_PX]; BANDS_ACROSS];
    for (y, line) in luma.chunks_exact(PATCH_WIDTH_PX).enumerate() {
        let row = &mut rows[y / BAND_PX];
        for (x, v) in line.iter().enumerate() {
            tones[usize::from(*v)] += 1;
            row[x] += u16::from(*v);
            columns[x / BAND_PX][y] += u16::from(*v);
        }
    }
    let contrast = (quantile(&tones, LIGHT_END) - quantile(&tones, DARK_END)).max(LEAST_CONTRAST);
    let across = steepness(&rows, contrast);
    let down = steepness(&columns, contrast);
    let sharpness = ACROSS.sharpness(across, PATCH_WIDTH_PX as f32 / quad.width().max(1.0))
        * DOWN.sharpness(down, PATCH_HEIGHT_PX as f32 / quad.height().max(1.0));
    Legibility { sharpness, flare: flare(luma) }
}

/// The steepness of edges along the lines of a picture, as a fraction of the contrast a step.
#[allow(clippy::cast_precision_loss)] // 4
fn steepness<const N: usize>(lines: &[[u16; N]], contrast: f32) -> f32 {
    let mut steps = [0u32; MAX_STEP + 1];
    for line in lines {
        for (a, b) in line.iter().zip(&line[STEP_PX..]) {
            steps[usize::from(a.abs_diff(*b))] += 1;
        }
    }
    quantile(&steps, EDGES_ABOVE) / (BAND_PX as f32 * contrast)
}

/// The value below which a share of all counted ones lies.
#[allow(clippy::cast_precision_loss)] // counts of one patch, at most 10240
fn quantile(counts: &[u32], share: f32) -> f32 {
    let wanted = counts.iter().sum::<u32>() as f32 * share;
    let mut so_far = 0;
    let place = counts.iter().position(|n| {
        so_far += n;
        so_far as f32 >= wanted
    });
    place.unwrap_or(0) as f32
}

/// Share of the characters' rows that is burnt out where no stroke is left.
#[allow(clippy::cast_precision_loss)] // pixels of one patch
fn flare(luma: &[u8]) -> f32 {
    let (mut burnt, mut dark) = ([0usize; COLUMNS], [0usize; COLUMNS]);
    for line in luma.chunks_exact(PATCH_WIDTH_PX).skip(CHARACTER_ROWS.start).take(CHARACTER_ROWS.len()) {
        for (i, part) in line.chunks_exact(WINDOW_STEP_PX).enumerate() {
            burnt[i] += part.iter().filter(|v| **v >= BURNT).count();
            dark[i] += part.iter().filter(|v| **v < DARK).count();
        }
    }
    let window = WINDOW_PX * CHARACTER_ROWS.len();
    let mut gone = [false; COLUMNS];
    for first in 0..=COLUMNS - COLUMNS_A_WINDOW {
        let within = first..first + COLUMNS_A_WINDOW;
        let (light, ink) = (burnt[within.clone()].iter().sum::<usize>(), dark[within.clone()].iter().sum::<usize>());
        // Mostly white, and less than two in a hundred dark: the foot of a narrow letter is more.
        if 2 * light > window && 50 * ink < window {
            gone[within].fill(true);
        }
    }
    let lost: usize = burnt.iter().zip(gone).filter(|(_, gone)| *gone).map(|(n, _)| n).sum();
    lost as f32 / (PATCH_WIDTH_PX * CHARACTER_ROWS.len()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{SimClock, UtcTime};
    use crate::frame::{Frame, FramePool};
    use crate::geometry::Rect;
    use crate::ident::{CameraId, FrameSeq};
    use crate::vision::patch::PatchCutter;

    /// Width of a stroke, millimetres.
    const STROKE_MM: f32 = 14.0;

    /// A British plate of 520 x 111 mm with seven characters of the shape of an `8`, its corner at the origin: paper and ink.
    fn plate_at(x: f32, y: f32, paper: f32, ink: f32) -> f32 {
        if !(0.0..520.0).contains(&x) || !(0.0..111.0).contains(&y) {
            return 90.0; // the bumper
        }
        // Two groups, four characters and three, of 50 x 79 mm.
        let x = if x < 260.0 { x - 25.0 } else { x - 47.0 };
        let (place, y) = (x.rem_euclid(61.0), y - 16.0);
        let inside = (0.0..427.0).contains(&x) && place < 50.0 && (0.0..79.0).contains(&y);
        let upright = !(STROKE_MM..50.0 - STROKE_MM).contains(&place);
        let level = y < STROKE_MM || (y - 39.5).abs() < STROKE_MM / 2.0 || y >= 79.0 - STROKE_MM;
        if inside && (upright || level) { ink } else { paper }
    }

    /// The plate so wide in a frame, smeared over millimetres of its own to the right and down.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a small picture
    fn drawn(width_px: f32, smear_mm: (f32, f32), tone: impl Fn(f32, f32) -> f32) -> PlatePatch {
        let mm_a_px = 520.0 / width_px;
        let (width, height) = (width_px * 1.4, width_px * 0.5);
        let (left, top) = (width_px * 0.2, width_px * 0.14);
        let mut lease = FramePool::new(1).lease(width as usize, height as usize).expect("size");
        for (i, pixel) in lease.bgr_mut().chunks_exact_mut(3).enumerate() {
            let (column, row) = ((i % width as usize) as f32, (i / width as usize) as f32);
            let mut sum = 0.0;
            for sample in 0..64 {
                let (u, v, t) = ((sample % 4) as f32 / 4.0, (sample / 4 % 4) as f32 / 4.0, (sample / 16) as f32 / 4.0);
                // Sixteen places in the pixel, four moments of the exposure, spread so that all of it is covered.
                let t = t + (u + v / 4.0) / 4.0 - 0.5;
                sum += tone((column + u - left) * mm_a_px + t * smear_mm.0, (row + v - top) * mm_a_px + t * smear_mm.1);
            }
            pixel.fill((sum / 64.0).clamp(0.0, 255.0) as u8);
        }
        let at = SimClock::at(UtcTime::default(), std::time::Duration::ZERO);
        let frame = Frame::new(lease, CameraId::new("t").expect("id"), FrameSeq(0), at);
        let plate = Rect::new(left, top, left + width_px, top + width_px * 111.0 / 520.0);
        let mut patch = PlatePatch::new();
        PatchCutter::new().cut(&frame, plate.grow(0.015, 0.06).into(), &mut patch).expect("inside");
        patch
    }

    fn smeared(width_px: f32, across_mm: f32, down_mm: f32) -> f32 {
        measure(&drawn(width_px, (across_mm, down_mm), |x, y| plate_at(x, y, 190.0, 40.0))).sharpness
    }

    #[test]
    fn a_crisp_plate_is_sharp_at_any_size_and_in_any_light() {
        for width_px in [40.0, 70.0, 100.0, 160.0, 400.0] {
            assert!(smeared(width_px, 0.0, 0.0) > 0.8, "{width_px} px: {}", smeared(width_px, 0.0, 0.0));
        }
        let dusk = measure(&drawn(100.0, (0.0, 0.0), |x, y| 0.25 * plate_at(x, y, 190.0, 40.0) + 20.0));
        assert!(dusk.sharpness > 0.8 && dusk.flare == 0.0, "{dusk:?}");
    }

    #[test]
    fn smear_takes_sharpness_away_in_either_direction() {
        for width_px in [100.0, 160.0, 300.0] {
            for (x, y) in [(1.0, 0.0), (0.0, 1.0)] {
                let at = |strokes: f32| smeared(width_px, x * strokes * STROKE_MM, y * strokes * STROKE_MM);
                let shown = [at(0.0), at(0.5), at(1.0), at(2.0), at(3.0)];
                assert!(shown.windows(2).all(|w| w[1] <= w[0]), "{width_px} px, {x} {y}: {shown:?}");
                assert!(shown[2] > 0.25 && shown[3] < 0.25, "{width_px} px, {x} {y}: {shown:?}");
            }
        }
    }

    #[test]
    fn an_even_grey_with_grain_is_not_sharp() {
        let grain = |x: f32, y: f32| 120.0 + (x * 12.9898 + y * 78.233).sin() * 6.0;
        assert!(measure(&drawn(100.0, (0.0, 0.0), grain)).sharpness < 0.25);
    }

    #[test]
    fn a_white_plate_with_dark_strokes_has_no_flare_and_a_washed_out_one_has() {
        let white = |x: f32, y: f32| plate_at(x, y, 255.0, 60.0);
        assert_eq!(measure(&drawn(100.0, (0.0, 0.0), white)).flare, 0.0);
        let washed_out = measure(&drawn(100.0, (0.0, 0.0), |x, y| plate_at(x, y, 320.0, 250.0)));
        assert!(washed_out.flare > 0.8, "{washed_out:?}");
        // A lamp on the right half.
        let lamp = measure(&drawn(100.0, (0.0, 0.0), |x, y| if x > 270.0 { 255.0 } else { white(x, y) }));
        assert!((0.3..0.6).contains(&lamp.flare), "{lamp:?}");
    }
}
