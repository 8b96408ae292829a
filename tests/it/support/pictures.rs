//! Pictures of every awkward kind, made from a frame of our own clip.

#![allow(unreachable_pub)] // one crate, no outside

use std::path::{Path, PathBuf};

use image::{DynamicImage, RgbImage};
use kerbside::camera::clip::ClipSource;
use kerbside::camera::{Grab, Source};
use kerbside::frame::FramePool;

use super::program::demo;

/// Frame `number` of the bundled clip; in frame 46 `LK24HJV`, `YD68RNE` and `GO10OLO` are in view.
pub fn frame(number: usize) -> RgbImage {
    let pool = FramePool::new(1);
    let mut source = ClipSource::new(demo("drive_by.mp4"));
    source.open().expect("the bundled clip");
    for _ in 0..number {
        drop(source.grab(&pool).expect("decodes"));
    }
    let Grab::Frame(grabbed) = source.grab(&pool).expect("decodes") else { panic!("no frame {number}") };
    let mut lease = grabbed.lease;
    let rgb: Vec<u8> = lease.bgr_mut().chunks_exact(3).flat_map(|p| [p[2], p[1], p[0]]).collect();
    RgbImage::from_raw(1280, 720, rgb).expect("the clip's size")
}

/// Writes a picture in the format of its name.
pub fn save(dir: &Path, name: &str, picture: &DynamicImage) -> PathBuf {
    let path = dir.join(name);
    picture.save(&path).expect("encodes");
    path
}

/// A CMYK JPEG, as print shops make them.
pub fn save_cmyk(dir: &Path, name: &str, picture: &RgbImage) -> PathBuf {
    let path = dir.join(name);
    let cmyk: Vec<u8> = picture
        .pixels()
        .flat_map(|p| {
            let black = 255 - p.0.into_iter().max().unwrap_or(0);
            let ink = |v: u8| 255 - v - black;
            [ink(p.0[0]), ink(p.0[1]), ink(p.0[2]), black]
        })
        .collect();
    let encoder = jpeg_encoder::Encoder::new_file(&path, 92).expect("a file");
    let side = |n: u32| u16::try_from(n).expect("a JPEG side");
    encoder.encode(&cmyk, side(picture.width()), side(picture.height()), jpeg_encoder::ColorType::Cmyk).expect("encodes");
    path
}

/// A JPEG that lies on its side and says so in its EXIF data (orientation 6: turn it clockwise by 90 degrees to view).
pub fn save_rotated(dir: &Path, name: &str, picture: &RgbImage) -> PathBuf {
    let sideways = image::imageops::rotate270(picture);
    let path = save(dir, name, &DynamicImage::ImageRgb8(sideways));
    let jpeg = std::fs::read(&path).expect("just written");
    // TIFF, big endian, one entry: tag 0x0112 (orientation), type 3 (short), count 1, value 6.
    let tiff = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let length = u16::try_from(2 + 6 + tiff.len()).expect("short");
    let mut bytes = jpeg[..2].to_vec();
    bytes.extend(b"\xff\xe1");
    bytes.extend(length.to_be_bytes());
    bytes.extend(b"Exif\0\0");
    bytes.extend(tiff);
    bytes.extend(&jpeg[2..]);
    std::fs::write(&path, bytes).expect("written");
    path
}
