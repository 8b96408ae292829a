//! OpenCV's videoio, wrapped: the only file that names it.
//!
//! Its ways, as found: a missing file opens without an error and is then "not opened"; a read that fails says only
//! `false`; settings after opening are ignored; errors go to stderr unless the log level is turned down; GStreamer's planes are
//! taken for a picture without padding, whatever the width; nothing that waits can be called back.

use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use opencv::core::{CV_8UC1, CV_8UC3, LogLevel, Mat, Vec3b, Vector};
use opencv::prelude::{MatTraitConst, MatTraitConstManual, VideoCaptureTrait, VideoCaptureTraitConst};
use opencv::videoio::{
    CAP_FFMPEG, CAP_GSTREAMER, CAP_PROP_CONVERT_RGB, CAP_PROP_FOURCC, CAP_PROP_FPS, CAP_PROP_FRAME_COUNT, CAP_PROP_FRAME_HEIGHT,
    CAP_PROP_FRAME_WIDTH, CAP_PROP_HW_ACCELERATION, CAP_PROP_OPEN_TIMEOUT_MSEC, CAP_PROP_POS_MSEC, CAP_PROP_READ_TIMEOUT_MSEC,
    CAP_V4L2, VIDEO_ACCELERATION_VAAPI, VideoCapture,
};

use super::pipeline::HEARTBEAT_PX;
use super::raw::RawFormat;
use super::{CameraError, Grab, Grabbed, When};
use crate::frame::{FramePool, Layout, Lease, MAX_SIDE_PX};

/// Turns OpenCV's own complaints down to errors, once. It reads its environment before `main` could set it, and what matters of them
/// comes back as our errors.
fn quiet() {
    static ONCE: Once = Once::new();
    // That it can't be told is no reason to do without video.
    ONCE.call_once(|| drop(opencv::core::set_log_level(LogLevel::LOG_LEVEL_ERROR)));
}

/// A pixel count as OpenCV has it: at most [`MAX_SIDE_PX`].
fn int(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

fn uint(n: i32) -> usize {
    usize::try_from(n).unwrap_or(0)
}

fn side(capture: &VideoCapture, property: i32) -> usize {
    let value = capture.get(property).unwrap_or(0.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // bounded before use
    let value = value.clamp(0.0, 1e6) as usize;
    value
}

/// Pixels of a live camera's picture at most: 8K. Every buffer may become as large, and a camera that lies shall not take the box.
const MOST_PIXELS: usize = 7680 * 4320;

/// What a decoder's picture came to.
enum Picture {
    /// In a buffer of the pool.
    Lease(Lease),
    /// A pipeline's heartbeat.
    Beat,
    /// The decoder had none after all.
    None,
}

/// Takes the picture that was grabbed into a buffer of the size that the last one had; one of another size is copied once more.
fn retrieve(
    capture: &mut VideoCapture,
    layout: Layout,
    size: &mut (usize, usize),
    pool: &FramePool,
    fault: impl Fn(String) -> CameraError + Copy,
) -> Result<Picture, CameraError> {
    let cv = |e: opencv::Error| fault(e.to_string());
    let mut lease = pool.lease_as(layout, size.0, size.1).ok_or(CameraError::NoBuffer)?;
    let mut picture = match layout {
        Layout::Bgr => Mat::new_rows_cols_with_bytes_mut::<Vec3b>(int(size.1), int(size.0), lease.bytes_mut()),
        Layout::I420 { .. } => Mat::new_rows_cols_with_bytes_mut::<u8>(int(size.1 / 2 * 3), int(size.0), lease.bytes_mut()),
    }
    .map_err(cv)?;
    let ours = picture.data();
    if !capture.retrieve(&mut picture, 0).map_err(cv)? {
        return Ok(Picture::None);
    }
    // OpenCV writes in place while size and type stay; otherwise it has made a picture of its own.
    if picture.data() == ours {
        drop(picture);
        return Ok(Picture::Lease(lease));
    }
    let (columns, rows) = (uint(picture.cols()), uint(picture.rows()));
    let found = match layout {
        Layout::Bgr => (columns, rows),
        Layout::I420 { .. } => (columns, rows / 3 * 2),
    };
    if matches!(layout, Layout::I420 { .. }) && found == (HEARTBEAT_PX, HEARTBEAT_PX) {
        return Ok(Picture::Beat);
    }
    if layout != Layout::Bgr && !rows.is_multiple_of(3) {
        return Err(fault("pictures with an odd number of rows: set the camera to another size".into()));
    }
    let wanted = if layout == Layout::Bgr { CV_8UC3 } else { CV_8UC1 };
    if picture.typ() != wanted || layout.bytes(columns, found.1).is_none_or(|n| n == 0) {
        return Err(fault("it changed to a pixel format that we don't take".into()));
    }
    if found.0 > MAX_SIDE_PX || found.1 > MAX_SIDE_PX {
        return Err(fault(format!("{} x {} pixels; at most {MAX_SIDE_PX} a side are taken", found.0, found.1)));
    }
    // GStreamer pads rows of colour to four bytes, which OpenCV passes over: such a picture would come out slanted.
    if layout != Layout::Bgr && !found.0.is_multiple_of(8) {
        return Err(fault(format!(
            "pictures {} pixels wide, and with GStreamer the width must be a multiple of 8: set the camera to another size",
            found.0
        )));
    }
    let bytes = picture.data_bytes().map_err(cv)?.to_vec();
    if layout.bytes(found.0, found.1) != Some(bytes.len()) {
        return Err(fault(format!("{} bytes for {} x {} pixels", bytes.len(), found.0, found.1)));
    }
    drop(picture);
    drop(lease);
    *size = found;
    let mut lease = pool.lease_as(layout, size.0, size.1).ok_or(CameraError::NoBuffer)?;
    lease.bytes_mut().copy_from_slice(&bytes);
    Ok(Picture::Lease(lease))
}

/// An open clip.
pub(super) struct Video {
    capture: VideoCapture,
    size: (usize, usize),
    grabbed: bool,
    /// From one frame to the next, as the header has it.
    period: Duration,
    /// Position of the newest frame.
    position: Option<Duration>,
}

impl Video {
    /// Opens a clip through FFmpeg.
    pub(super) fn open(path: &Path) -> Result<Self, CameraError> {
        let undecodable = |why: &str| CameraError::Undecodable { path: path.to_owned(), why: why.to_owned() };
        quiet();
        let name = path.to_str().ok_or_else(|| undecodable("its name is not UTF-8, which OpenCV needs; rename it"))?;
        let capture = VideoCapture::from_file(name, CAP_FFMPEG).map_err(|e| undecodable(&e.to_string()))?;
        if !capture.is_opened().unwrap_or(false) {
            return Err(undecodable("no clip that FFmpeg can decode, or one whose header is missing or cut off"));
        }
        let (width, height) = (side(&capture, CAP_PROP_FRAME_WIDTH), side(&capture, CAP_PROP_FRAME_HEIGHT));
        if width > MAX_SIDE_PX || height > MAX_SIDE_PX {
            return Err(CameraError::TooLarge { path: path.to_owned(), width, height });
        }
        if width == 0 || height == 0 {
            return Err(undecodable("its header names no picture size"));
        }
        Ok(Self { period: period(&capture), capture, size: (width, height), grabbed: false, position: None })
    }

    /// From one frame to the next.
    pub(super) const fn period(&self) -> Duration {
        self.period
    }

    /// Frames that the header promises; none where it doesn't say.
    pub(super) fn frame_count(&self) -> Option<u64> {
        let count = self.capture.get(CAP_PROP_FRAME_COUNT).unwrap_or(0.0);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // checked to be a sensible positive number
        let count = (1.0..1e12).contains(&count).then_some(count as u64);
        count
    }

    /// The next frame, decoded straight into a pooled buffer.
    pub(super) fn next(&mut self, path: &Path, pool: &FramePool) -> Result<Grab, CameraError> {
        let fault = |why: String| CameraError::Undecodable { path: path.to_owned(), why };
        // A frame grabbed while no buffer was free is still waiting inside the decoder.
        if !self.grabbed && !self.capture.grab().map_err(|e| fault(e.to_string()))? {
            return Ok(Grab::End);
        }
        self.grabbed = true;
        let picture = retrieve(&mut self.capture, Layout::Bgr, &mut self.size, pool, fault)?;
        self.grabbed = false;
        let Picture::Lease(lease) = picture else { return Ok(Grab::End) };
        // Near the end of a clip the property falls back to zero; time never does.
        let told = Duration::from_secs_f64(self.capture.get(CAP_PROP_POS_MSEC).unwrap_or(0.0).clamp(0.0, 1e9) / 1000.0);
        let position = match self.position {
            Some(before) if told <= before => before + self.period,
            _ => told,
        };
        self.position = Some(position);
        Ok(Grab::Frame(Grabbed { lease, when: When::Position(position) }))
    }
}

fn period(capture: &VideoCapture) -> Duration {
    let fps = capture.get(CAP_PROP_FPS).unwrap_or(0.0);
    Duration::from_secs_f64(1.0 / if (1.0..=1000.0).contains(&fps) { fps } else { 25.0 })
}

impl std::fmt::Debug for Video {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Video({}x{})", self.size.0, self.size.1)
    }
}

/// A live camera's decoder. Everything here may wait as long as the camera or its driver likes.
pub(super) struct Feed {
    capture: VideoCapture,
    kind: Kind,
    size: (usize, usize),
    /// Where a picture is put whose size is not known, or that has to be unpacked.
    scratch: Mat,
}

enum Kind {
    /// Pictures as they come, in this layout.
    Decoded(Layout),
    /// Pictures as the device packs them.
    Packed(RawFormat),
}

/// What a V4L2 device is asked for; a zero leaves it to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceFormat {
    /// How it packs pictures.
    pub format: RawFormat,
    /// Pixels a row.
    pub width_px: u16,
    /// Rows.
    pub height_px: u16,
    /// Frames a second.
    pub frames_per_s: u16,
}

fn unopened(why: &str) -> CameraError {
    CameraError::Lost(why.to_owned())
}

impl Feed {
    /// Starts a GStreamer pipeline that ends in planes. What its source makes of the camera shows later only.
    pub(super) fn pipeline(description: &str, full_range: bool) -> Result<Self, CameraError> {
        quiet();
        // OpenCV's error would have the description in it, and that the password.
        let capture = VideoCapture::from_file(description, CAP_GSTREAMER).map_err(|_| unopened("GStreamer can't be used"))?;
        if !capture.is_opened().unwrap_or(false) {
            return Err(unopened(
                "the GStreamer pipeline can't be started: is gstreamer1.0-plugins-base, -plugins-good and -libav installed, and the decoder there?",
            ));
        }
        Ok(Self::new(capture, Kind::Decoded(Layout::I420 { full_range })))
    }

    /// Opens an address through FFmpeg.
    pub(super) fn ffmpeg(address: &str, open: Duration, read: Duration, hardware: bool) -> Result<Self, CameraError> {
        quiet();
        let ms = |d: Duration| i32::try_from(d.as_millis()).unwrap_or(i32::MAX);
        let mut parameters = vec![CAP_PROP_OPEN_TIMEOUT_MSEC, ms(open), CAP_PROP_READ_TIMEOUT_MSEC, ms(read)];
        if hardware {
            parameters.extend([CAP_PROP_HW_ACCELERATION, VIDEO_ACCELERATION_VAAPI]);
        }
        let capture = VideoCapture::from_file_with_params(address, CAP_FFMPEG, &Vector::from_slice(&parameters))
            .map_err(|_| unopened("FFmpeg can't be used"))?;
        if !capture.is_opened().unwrap_or(false) {
            return Err(unopened("FFmpeg can't open the stream"));
        }
        Ok(Self::new(capture, Kind::Decoded(Layout::Bgr)))
    }

    /// Opens a V4L2 device.
    pub(super) fn device(path: &Path, wanted: DeviceFormat) -> Result<Self, CameraError> {
        quiet();
        let name = path.to_str().ok_or_else(|| unopened("the device's name is not UTF-8"))?;
        let mut parameters = vec![CAP_PROP_CONVERT_RGB, 0, CAP_PROP_FOURCC, i32::from_le_bytes(wanted.format.four_cc())];
        for (property, value) in [
            (CAP_PROP_FRAME_WIDTH, wanted.width_px),
            (CAP_PROP_FRAME_HEIGHT, wanted.height_px),
            (CAP_PROP_FPS, wanted.frames_per_s),
        ] {
            if value > 0 {
                parameters.extend([property, i32::from(value)]);
            }
        }
        let capture = VideoCapture::from_file_with_params(name, CAP_V4L2, &Vector::from_slice(&parameters))
            .map_err(|e| CameraError::Lost(format!("the device can't be opened: {}", e.message)))?;
        if !capture.is_opened().unwrap_or(false) {
            return Err(unopened(
                "the device can't be opened: is it a camera, does it know this format and size, and may this user read it (group video)?",
            ));
        }
        let given = capture.get(CAP_PROP_FOURCC).unwrap_or(0.0);
        #[allow(clippy::cast_possible_truncation)] // four letters
        let given = (given as i64).to_le_bytes();
        if given[..4] != wanted.format.four_cc() {
            let name = String::from_utf8_lossy(&given[..4]).into_owned();
            return Err(CameraError::Lost(format!(
                "the device gives {name:?} instead of {:?}: name another format",
                wanted.format
            )));
        }
        let mut feed = Self::new(capture, Kind::Packed(wanted.format));
        feed.size = (side(&feed.capture, CAP_PROP_FRAME_WIDTH), side(&feed.capture, CAP_PROP_FRAME_HEIGHT));
        Ok(feed)
    }

    fn new(capture: VideoCapture, kind: Kind) -> Self {
        // Any size will do for the first picture, as long as no camera has it.
        Self { capture, kind, size: (2, 2), scratch: Mat::default() }
    }

    /// Waits for the next picture, or a heartbeat. False: there will be no more.
    pub(super) fn wait(&mut self) -> bool {
        self.capture.grab().unwrap_or(false)
    }

    /// The picture that [`Self::wait`] waited for; none when it was a heartbeat.
    pub(super) fn take(&mut self, pool: &FramePool) -> Result<Option<Lease>, CameraError> {
        let fault = |why: String| CameraError::Lost(format!("the camera's pictures can't be used: {why}"));
        match self.kind {
            Kind::Decoded(layout) => match retrieve(&mut self.capture, layout, &mut self.size, pool, fault)? {
                Picture::Lease(lease) if lease.size().0 * lease.size().1 > MOST_PIXELS => Err(fault(format!(
                    "{} x {} pixels; live cameras may have {MOST_PIXELS} in all",
                    lease.size().0,
                    lease.size().1
                ))),
                Picture::Lease(lease) => Ok(Some(lease)),
                Picture::Beat => Ok(None),
                Picture::None => Err(fault("the decoder gave none".into())),
            },
            Kind::Packed(format) => {
                let got = self.capture.retrieve(&mut self.scratch, 0).map_err(|e| fault(e.message))?;
                let bytes = self.scratch.data_bytes().map_err(|e| fault(e.message))?;
                if !got {
                    return Err(fault("the driver gave none".into()));
                }
                format.unpack(bytes, self.size, pool).map(Some)
            }
        }
    }

    /// The stream's own time of the newest picture, from wherever it counts.
    pub(super) fn stream_time(&self) -> Option<Duration> {
        let ms = self.capture.get(CAP_PROP_POS_MSEC).unwrap_or(0.0);
        (ms > 0.0 && ms < 1e12).then(|| Duration::from_secs_f64(ms / 1000.0))
    }
}
