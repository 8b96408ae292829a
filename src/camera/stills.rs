//! Still pictures: one file, or a folder in the order of its names.
//!
//! The `image` crate decodes. Whatever comes (grey, 16 bits, CMYK, rotated by EXIF) leaves as upright 8-bit BGR, just
//! as a viewer would show it; boxes are told in those pixels.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::Duration;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};

use super::{CameraError, Grab, Grabbed, Source, When};
use crate::frame::{FramePool, Lease, MAX_SIDE_PX};

/// Endings of file names that are taken for stills.
pub const STILL_ENDINGS: [&str; 7] = ["jpg", "jpeg", "png", "bmp", "webp", "tif", "tiff"];

/// Whether a file's name says that it is a still picture.
pub fn is_still(path: &Path) -> bool {
    path.extension().and_then(|e| e.to_str()).is_some_and(|e| STILL_ENDINGS.iter().any(|c| e.eq_ignore_ascii_case(c)))
}

/// Largest still that is read, bytes: room for an uncompressed picture of the largest size would be more than a box has.
const MAX_FILE_BYTES: u64 = 512 << 20;
/// What a damaged file is answered with.
const CUT_OFF: &str = "the file is cut off or damaged, copy it again";

/// Whether a JPEG reaches its end-of-image marker. Segments are walked (ITU-T T.81, annex B), because the thumbnail in a
/// camera's EXIF segment has such a marker of its own.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        // To the next marker: inside entropy-coded data FF 00 is a plain FF, FF D0..D7 are restarts, FF FF is filling.
        let Some(ff) = bytes.get(at..).and_then(|rest| rest.iter().position(|b| *b == 0xFF)) else { return false };
        at += ff + 1;
        match bytes.get(at) {
            None => return false,
            Some(0xD9) => return true,
            Some(0x00 | 0x01 | 0xD0..=0xD8) => at += 1,
            Some(0xFF) => {}
            Some(_) => match bytes.get(at + 1..at + 3) {
                Some(&[high, low]) => at += 1 + usize::from(u16::from_be_bytes([high, low])),
                _ => return false,
            },
        }
    }
}

/// Decodes a still into a pooled buffer, upright, BGR.
///
/// # Errors
/// When the file is missing, empty, cut off, no picture, or larger than [`MAX_SIDE_PX`] a side; [`CameraError::NoBuffer`]
/// when the pool is empty.
pub fn decode(path: &Path, pool: &FramePool) -> Result<Lease, CameraError> {
    let unreadable = |why| CameraError::Unreadable { path: path.to_owned(), why };
    let undecodable = |why: String| CameraError::Undecodable { path: path.to_owned(), why };
    let meta = std::fs::metadata(path).map_err(unreadable)?;
    if meta.is_dir() {
        return Err(undecodable("it is a folder, not a picture".into()));
    }
    if meta.len() == 0 {
        return Err(undecodable("the file is empty (0 bytes)".into()));
    }
    if meta.len() > MAX_FILE_BYTES {
        return Err(undecodable(format!("the file has {} bytes; at most {MAX_FILE_BYTES} are taken", meta.len())));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let reader = ImageReader::new(Cursor::new(&bytes)).with_guessed_format().map_err(unreadable)?;
    match reader.format() {
        None => return Err(undecodable("its content is no picture format that we know (JPEG, PNG, BMP, WebP, TIFF)".into())),
        // The decoder paints what is missing grey and says nothing.
        Some(ImageFormat::Jpeg) if !jpeg_is_whole(&bytes) => return Err(undecodable(CUT_OFF.into())),
        Some(_) => {}
    }
    let mut decoder = reader.into_decoder().map_err(|e| undecodable(e.to_string()))?;
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    if width > MAX_SIDE_PX || height > MAX_SIDE_PX {
        return Err(CameraError::TooLarge { path: path.to_owned(), width, height });
    }
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|e| undecodable(format!("{e}; {CUT_OFF}")))?;
    picture.apply_orientation(orientation);
    let rgb = picture.into_rgb8();
    let mut lease = pool.lease(rgb.width() as usize, rgb.height() as usize).ok_or(CameraError::NoBuffer)?;
    for (into, from) in lease.bgr_mut().as_chunks_mut::<3>().0.iter_mut().zip(rgb.as_raw().as_chunks::<3>().0) {
        *into = [from[2], from[1], from[0]];
    }
    Ok(lease)
}

/// The wanted files below a folder (or the one file), sorted by name, folders walked; and what of it could not be listed.
pub fn list(path: &Path, wanted: impl Fn(&Path) -> bool + Copy) -> (Vec<PathBuf>, Vec<CameraError>) {
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    if !path.is_dir() {
        return (vec![path.to_owned()], faults);
    }
    let unreadable = |why| CameraError::Unreadable { path: path.to_owned(), why };
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(why) => return (found, vec![unreadable(why)]),
    };
    for entry in entries {
        match entry.and_then(|e| Ok((e.file_type()?, e.path()))) {
            Ok((kind, child)) if kind.is_dir() => {
                let (more, worse) = list(&child, wanted);
                found.extend(more);
                faults.extend(worse);
            }
            Ok((_, child)) if wanted(&child) => found.push(child),
            Ok(_) => {}
            Err(why) => faults.push(unreadable(why)),
        }
    }
    found.sort();
    (found, faults)
}

/// Stills as a source: one frame a file, a fixed time apart.
#[derive(Debug)]
pub struct StillsSource {
    path: PathBuf,
    interval: Duration,
    files: Vec<PathBuf>,
    next: usize,
}

impl StillsSource {
    /// The stills at `path`, shown `interval` apart.
    pub fn new(path: PathBuf, interval: Duration) -> Self {
        Self { path, interval, files: Vec::new(), next: 0 }
    }
}

impl Source for StillsSource {
    fn open(&mut self) -> Result<(), CameraError> {
        let (files, faults) = list(&self.path, is_still);
        faults.iter().for_each(|e| tracing::warn!("passed over: {e}"));
        self.files = files;
        self.next = 0;
        if self.files.is_empty() {
            return Err(CameraError::Undecodable { path: self.path.clone(), why: "the folder holds no still pictures".into() });
        }
        Ok(())
    }

    fn grab(&mut self, pool: &FramePool) -> Result<Grab, CameraError> {
        while let Some(file) = self.files.get(self.next) {
            let position = self.interval * u32::try_from(self.next).unwrap_or(u32::MAX);
            match decode(file, pool) {
                Ok(lease) => {
                    self.next += 1;
                    return Ok(Grab::Frame(Grabbed { lease, when: When::Position(position) }));
                }
                Err(CameraError::NoBuffer) => return Err(CameraError::NoBuffer),
                // One bad file among many is passed over, with a word.
                Err(e) => {
                    tracing::warn!("passed over: {e}");
                    self.next += 1;
                }
            }
        }
        Ok(Grab::End)
    }

    fn frames(&self) -> Option<u64> {
        u64::try_from(self.files.len()).ok()
    }

    fn period(&self) -> Duration {
        self.interval
    }
}
