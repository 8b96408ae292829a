//! What V4L2 devices give, made into our layouts: YUYV and NV12 into planes, MJPEG into pixels. Pure, so that it is tested on
//! recorded bytes: a test machine has no camera.
//!
//! Byte orders are those of the kernel's documentation of `V4L2_PIX_FMT_YUYV`, `V4L2_PIX_FMT_NV12` and `V4L2_PIX_FMT_MJPEG`.
//! Luma of the raw formats is taken for 16 to 235 (`V4L2_QUANTIZATION_LIM_RANGE`, what video devices default to).

use image::{ImageFormat, load_from_memory_with_format};

use super::CameraError;
use crate::frame::{FramePool, Layout, Lease};

/// How a device packs its pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawFormat {
    /// A JPEG a picture.
    Mjpeg,
    /// Two pixels in four bytes: luma, blue difference, luma, red difference.
    Yuyv,
    /// A plane of luma, then one of half the size with both colour differences by turns.
    Nv12,
}

impl RawFormat {
    /// The four letters that V4L2 knows it by.
    pub const fn four_cc(self) -> [u8; 4] {
        match self {
            Self::Mjpeg => *b"MJPG",
            Self::Yuyv => *b"YUYV",
            Self::Nv12 => *b"NV12",
        }
    }

    /// As planes, or BGR for MJPEG, in a buffer of `pool`.
    ///
    /// # Errors
    /// [`CameraError::Lost`] when the bytes are not a picture of this size, [`CameraError::NoBuffer`].
    pub fn unpack(self, bytes: &[u8], (width, height): (usize, usize), pool: &FramePool) -> Result<Lease, CameraError> {
        let lost = |why: String| CameraError::Lost(format!("the device's {self:?} picture can't be used: {why}"));
        if self == Self::Mjpeg {
            // Drivers hand over their whole buffer; what follows the picture in it is not looked at.
            let picture = load_from_memory_with_format(bytes, ImageFormat::Jpeg).map_err(|e| lost(e.to_string()))?.into_rgb8();
            let size = (picture.width() as usize, picture.height() as usize);
            let mut lease = pool.lease(size.0, size.1).ok_or(CameraError::NoBuffer)?;
            for (into, from) in lease.bgr_mut().as_chunks_mut::<3>().0.iter_mut().zip(picture.as_raw().as_chunks::<3>().0) {
                *into = [from[2], from[1], from[0]];
            }
            return Ok(lease);
        }
        let layout = Layout::I420 { full_range: false };
        let planes =
            layout.bytes(width, height).ok_or_else(|| lost(format!("{width} x {height} pixels, and sides must be even")))?;
        let expected = if self == Self::Yuyv { width * height * 2 } else { planes };
        if bytes.len() < expected || expected == 0 {
            return Err(lost(format!("{} bytes, {expected} expected", bytes.len())));
        }
        let mut lease = pool.lease_as(layout, width, height).ok_or(CameraError::NoBuffer)?;
        let (luma, chroma) = lease.bytes_mut().split_at_mut(width * height);
        let (blue, red) = chroma.split_at_mut(width * height / 4);
        match self {
            Self::Yuyv => {
                for (into, from) in luma.as_chunks_mut::<2>().0.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    *into = [from[0], from[2]];
                }
                // Colour is there for every row; planes have it for every second one: the mean of both.
                let rows = blue.chunks_exact_mut(width / 2).zip(red.chunks_exact_mut(width / 2));
                for ((blue, red), pair) in rows.zip(bytes.chunks_exact(width * 4)) {
                    let (upper, lower) = pair.split_at(width * 2);
                    let pixels = upper.as_chunks::<4>().0.iter().zip(lower.as_chunks::<4>().0);
                    for ((blue, red), (a, b)) in blue.iter_mut().zip(red).zip(pixels) {
                        *blue = a[1].midpoint(b[1]);
                        *red = a[3].midpoint(b[3]);
                    }
                }
            }
            Self::Nv12 | Self::Mjpeg => {
                luma.copy_from_slice(&bytes[..width * height]);
                for ((blue, red), pair) in blue.iter_mut().zip(red).zip(bytes[width * height..].as_chunks::<2>().0) {
                    (*blue, *red) = (pair[0], pair[1]);
                }
            }
        }
        Ok(lease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{SimClock, UtcTime};
    use crate::frame::{Frame, Pixels};
    use crate::ident::{CameraId, FrameSeq};

    fn planes(lease: Lease) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let at = SimClock::at(UtcTime::default(), std::time::Duration::ZERO);
        let frame = Frame::new(lease, CameraId::new("t").unwrap(), FrameSeq(0), at);
        let Pixels::I420 { luma, blue, red, full_range: false } = frame.pixels() else { panic!("no planes") };
        (luma.into(), blue.into(), red.into())
    }

    #[test]
    fn packed_pixels_become_planes() {
        let pool = FramePool::new(2);
        // 4 x 2: luma counts up, colour of the lower row is 10 more.
        let yuyv = [1, 100, 2, 200, 3, 110, 4, 210, 5, 110, 6, 210, 7, 120, 8, 220];
        let (luma, blue, red) = planes(RawFormat::Yuyv.unpack(&yuyv, (4, 2), &pool).unwrap());
        assert_eq!((luma, blue, red), (vec![1, 2, 3, 4, 5, 6, 7, 8], vec![105, 115], vec![205, 215]));
        let nv12 = [1, 2, 3, 4, 5, 6, 7, 8, 100, 200, 110, 210, 99, 99];
        let (luma, blue, red) = planes(RawFormat::Nv12.unpack(&nv12, (4, 2), &pool).unwrap());
        assert_eq!((luma, blue, red), (vec![1, 2, 3, 4, 5, 6, 7, 8], vec![100, 110], vec![200, 210]));
        assert_eq!(pool.available(), 2);
    }

    #[test]
    fn a_jpeg_becomes_pixels_and_a_torn_one_an_error() {
        let pool = FramePool::new(1);
        let mut jpeg = Vec::new();
        let picture: Vec<u8> = [[200, 30, 30]; 32 * 16].concat();
        jpeg_encoder::Encoder::new(&mut jpeg, 95).encode(&picture, 32, 16, jpeg_encoder::ColorType::Rgb).unwrap();
        jpeg.extend([0; 500]); // the rest of the driver's buffer
        let mut lease = RawFormat::Mjpeg.unpack(&jpeg, (32, 16), &pool).unwrap();
        assert_eq!(lease.size(), (32, 16));
        assert!(lease.bgr_mut().as_chunks::<3>().0.iter().all(|p| p[0].abs_diff(30) < 6 && p[2].abs_diff(200) < 6));
        drop(lease);
        let e = RawFormat::Mjpeg.unpack(&jpeg[..60], (32, 16), &pool).unwrap_err().to_string();
        assert!(e.contains("Mjpeg picture can't be used"), "{e}");
        let e = RawFormat::Nv12.unpack(&[0; 10], (4, 2), &pool).unwrap_err().to_string();
        assert!(e.contains("10 bytes, 12 expected"), "{e}");
        assert!(RawFormat::Yuyv.unpack(&[0; 64], (5, 2), &pool).is_err());
        assert_eq!(pool.available(), 1);
    }
}
