//! What planes mean: from luma and colour differences to blue, green and red, by ITU-R BT.601.
//!
//! Nobody converts a whole frame where a part will do, or a smaller picture of it: [`Colours`] does one pixel, and what is looped
//! over is the caller's. Colour differences have half the resolution; [`Frame::bgr_part`] lets the four pixels of a block share
//! theirs, as most decoders' own conversion does.

use super::{Frame, Layout, Pixels};

/// Luma of black where the range is limited, and how many levels of it there are.
const BLACK: u8 = 16;
const LEVELS: u8 = 219;
/// Colour differences of grey.
pub const NO_COLOUR: u8 = 128;

/// The numbers of one range: what a pixel's blue, green and red are made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Colours {
    black: f32,
    luma: f32,
    blue_from_blue: f32,
    green_from_blue: f32,
    green_from_red: f32,
    red_from_red: f32,
}

impl Colours {
    /// Of full range (luma 0 to 255), or of limited range (luma 16 to 235, colour differences 16 to 240).
    pub const fn of(full_range: bool) -> Self {
        if full_range {
            return Self {
                black: 0.0,
                luma: 1.0,
                blue_from_blue: 1.772,
                green_from_blue: -0.344_136,
                green_from_red: -0.714_136,
                red_from_red: 1.402,
            };
        }
        Self {
            black: BLACK as f32,
            luma: 255.0 / LEVELS as f32,
            blue_from_blue: 2.017_232,
            green_from_blue: -0.391_762,
            green_from_red: -0.812_968,
            red_from_red: 1.596_027,
        }
    }

    /// Blue, green and red of a pixel, 0 to 255.
    #[inline]
    pub fn bgr(self, luma: u8, blue: u8, red: u8) -> [f32; 3] {
        let grey = (f32::from(luma) - self.black) * self.luma;
        let (blue, red) = (f32::from(blue) - f32::from(NO_COLOUR), f32::from(red) - f32::from(NO_COLOUR));
        [
            (grey + self.blue_from_blue * blue).clamp(0.0, 255.0),
            (grey + self.green_from_blue * blue + self.green_from_red * red).clamp(0.0, 255.0),
            (grey + self.red_from_red * red).clamp(0.0, 255.0),
        ]
    }

    /// The same in whole numbers.
    #[inline]
    pub fn bgr_bytes(self, luma: u8, blue: u8, red: u8) -> [u8; 3] {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 0 to 255.5
        self.bgr(luma, blue, red).map(|v| (v + 0.5) as u8)
    }
}

impl Layout {
    /// The byte of luma (or of all three colours) that shows this grey, 0 to 255.
    pub fn grey(self, grey: u8) -> u8 {
        match self {
            Self::Bgr | Self::I420 { full_range: true } => grey,
            Self::I420 { full_range: false } => {
                let level = (u16::from(grey) * u16::from(LEVELS) + 127) / 255;
                // At most 235.
                BLACK + u8::try_from(level).unwrap_or(LEVELS)
            }
        }
    }
}

/// The greys that lumas of limited range show, 0 to 255.
pub const STRETCHED: [u8; 256] = {
    let mut table = [0; 256];
    let mut luma = BLACK as usize + 1;
    while luma < table.len() {
        let level = if luma > (BLACK + LEVELS) as usize { LEVELS as usize } else { luma - BLACK as usize };
        #[allow(clippy::cast_possible_truncation)] // at most 255
        let grey = ((level * 255 + LEVELS as usize / 2) / LEVELS as usize) as u8;
        table[luma] = grey;
        luma += 1;
    }
    table
};

impl Frame {
    /// A part of the frame in blue, green and red, whatever its layout: `height` rows of `width` pixels from (`x`, `y`), which lie in
    /// the frame, in place of what `into` held.
    pub fn bgr_part(&self, (x, y): (usize, usize), (width, height): (usize, usize), into: &mut Vec<u8>) {
        into.clear();
        into.reserve(3 * width * height);
        let stride = self.width();
        for row in y..y + height {
            match self.pixels() {
                Pixels::Bgr(bgr) => into.extend_from_slice(&bgr[3 * (row * stride + x)..][..3 * width]),
                Pixels::I420 { luma, blue, red, full_range } => {
                    let (colours, half) = (Colours::of(full_range), row / 2 * (stride / 2));
                    let luma = &luma[row * stride..][..stride];
                    let (blue, red) = (&blue[half..][..stride / 2], &red[half..][..stride / 2]);
                    into.extend((x..x + width).flat_map(|x| colours.bgr_bytes(luma[x], blue[x / 2], red[x / 2])));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{SimClock, UtcTime};
    use crate::frame::FramePool;
    use crate::ident::{CameraId, FrameSeq};

    #[test]
    fn known_colours_come_out_of_either_range() {
        // BT.601: white, black, and the primaries as every table has them.
        for (full_range, luma, blue, red, bgr) in [
            (false, 235, 128, 128, [255, 255, 255]),
            (false, 16, 128, 128, [0, 0, 0]),
            (false, 81, 90, 240, [0, 0, 254]),
            (false, 145, 54, 34, [1, 255, 0]),
            (false, 41, 240, 110, [255, 0, 0]),
            (false, 0, 128, 128, [0, 0, 0]),
            (false, 255, 128, 128, [255, 255, 255]),
            (true, 255, 128, 128, [255, 255, 255]),
            (true, 0, 128, 128, [0, 0, 0]),
            (true, 76, 85, 255, [0, 0, 254]),
            (true, 29, 255, 107, [254, 0, 0]),
        ] {
            let out = Colours::of(full_range).bgr_bytes(luma, blue, red);
            assert!(out.iter().zip(bgr).all(|(a, b)| a.abs_diff(b) <= 1), "{luma} {blue} {red}: {out:?} is not {bgr:?}");
        }
    }

    #[test]
    fn greys_go_there_and_back() {
        for grey in 0..=255u8 {
            let limited = Layout::I420 { full_range: false }.grey(grey);
            assert!((16..=235).contains(&limited) && STRETCHED[usize::from(limited)].abs_diff(grey) <= 1, "{grey}: {limited}");
            assert_eq!((Layout::Bgr.grey(grey), Layout::I420 { full_range: true }.grey(grey)), (grey, grey));
        }
        assert_eq!([0, 16, 235, 255].map(|v| STRETCHED[v]), [0, 0, 255, 255]);
    }

    #[test]
    fn a_part_has_the_pixels_of_its_place() {
        let at = SimClock::at(UtcTime::default(), std::time::Duration::ZERO);
        let frame = |layout| {
            let mut lease = FramePool::new(1).lease_as(layout, 8, 6).expect("a size");
            let bytes = lease.bytes_mut();
            match layout {
                Layout::Bgr => bytes.iter_mut().enumerate().for_each(|(i, v)| *v = u8::try_from(i).expect("144 bytes")),
                Layout::I420 { .. } => {
                    bytes.fill(128);
                    bytes[..48].iter_mut().zip(0..).for_each(|(v, i)| *v = 4 * i);
                    // The block at (4, 2) and its neighbours are red.
                    bytes[48 + 12 + 4 + 2] = 228;
                }
            }
            Frame::new(lease, CameraId::new("t").expect("id"), FrameSeq(0), at)
        };
        let mut out = vec![9; 100];
        frame(Layout::Bgr).bgr_part((3, 2), (2, 2), &mut out);
        assert_eq!(out, [57, 58, 59, 60, 61, 62, 81, 82, 83, 84, 85, 86]);
        frame(Layout::I420 { full_range: true }).bgr_part((3, 3), (2, 2), &mut out);
        // (3, 3) is grey, (4, 3) red, and so are they no more a row further down.
        assert_eq!((out[..3].to_vec(), out[6..].to_vec()), (vec![108; 3], vec![140, 140, 140, 144, 144, 144]));
        assert!(out[5] > 240 && out[4] < 60, "{out:?}");
    }
}
