//! OpenCV's videoio, wrapped: the only file that names it.
//!
//! Its ways, as found: a missing file opens without an error and is then "not opened"; a read that fails says only
//! `false`; settings after opening are ignored; errors go to stderr unless the log level is turned down.

use std::path::Path;
use std::time::Duration;

use opencv::core::{Mat, Vec3b};
use opencv::prelude::{MatTraitConst, MatTraitConstManual, VideoCaptureTrait, VideoCaptureTraitConst};
use opencv::videoio::{
    CAP_FFMPEG, CAP_PROP_FPS, CAP_PROP_FRAME_COUNT, CAP_PROP_FRAME_HEIGHT, CAP_PROP_FRAME_WIDTH, CAP_PROP_POS_MSEC, VideoCapture,
};

use super::{CameraError, Grabbed};
use crate::frame::{FramePool, MAX_SIDE_PX};

/// An open clip.
pub(super) struct Video {
    capture: VideoCapture,
    width: usize,
    height: usize,
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
        let name = path.to_str().ok_or_else(|| undecodable("its name is not UTF-8, which OpenCV needs; rename it"))?;
        let capture = VideoCapture::from_file(name, CAP_FFMPEG).map_err(|e| undecodable(&e.to_string()))?;
        if !capture.is_opened().unwrap_or(false) {
            return Err(undecodable("no clip that FFmpeg can decode, or one whose header is missing or cut off"));
        }
        let side = |property| -> usize {
            let value = capture.get(property).unwrap_or(0.0);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // bounded below before use
            let value = value.clamp(0.0, 1e6) as usize;
            value
        };
        let (width, height) = (side(CAP_PROP_FRAME_WIDTH), side(CAP_PROP_FRAME_HEIGHT));
        if width > MAX_SIDE_PX || height > MAX_SIDE_PX {
            return Err(CameraError::TooLarge { path: path.to_owned(), width, height });
        }
        if width == 0 || height == 0 {
            return Err(undecodable("its header names no picture size"));
        }
        let fps = capture.get(CAP_PROP_FPS).unwrap_or(0.0);
        let period = Duration::from_secs_f64(1.0 / if (1.0..=1000.0).contains(&fps) { fps } else { 25.0 });
        Ok(Self { capture, width, height, grabbed: false, period, position: None })
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

    /// The next frame, decoded straight into a pooled buffer; none when there is no more.
    pub(super) fn next(&mut self, path: &Path, pool: &FramePool) -> Result<Option<Grabbed>, CameraError> {
        let fault = |e: opencv::Error| CameraError::Undecodable { path: path.to_owned(), why: e.to_string() };
        // A frame grabbed while no buffer was free is still waiting inside the decoder.
        if !self.grabbed && !self.capture.grab().map_err(fault)? {
            return Ok(None);
        }
        self.grabbed = true;
        let mut lease = pool.lease(self.width, self.height).ok_or(CameraError::NoBuffer)?;
        self.grabbed = false;
        let (rows, columns) = (self.height, self.width);
        let int = |n: usize| i32::try_from(n).unwrap_or(i32::MAX); // at most MAX_SIDE_PX
        let mut picture = Mat::new_rows_cols_with_bytes_mut::<Vec3b>(int(rows), int(columns), lease.bgr_mut()).map_err(fault)?;
        let ours = picture.data();
        if !self.capture.retrieve(&mut picture, 0).map_err(fault)? {
            return Ok(None);
        }
        // OpenCV writes in place while size and type stay; otherwise it has made a picture of its own.
        if picture.data() != ours {
            let (width, height) = (picture.cols(), picture.rows());
            if picture.typ() != opencv::core::CV_8UC3 || width <= 0 || height <= 0 {
                return Err(CameraError::Undecodable {
                    path: path.to_owned(),
                    why: "it changed to a pixel format that is not BGR".into(),
                });
            }
            let bytes = picture.data_bytes().map_err(fault)?.to_vec();
            drop(picture);
            drop(lease);
            self.width = usize::try_from(width).unwrap_or(0);
            self.height = usize::try_from(height).unwrap_or(0);
            lease = pool.lease(self.width, self.height).ok_or(CameraError::NoBuffer)?;
            lease.bgr_mut().copy_from_slice(&bytes);
        } else {
            drop(picture);
        }
        // Near the end of a clip the property falls back to zero; time never does.
        let told = Duration::from_secs_f64(self.capture.get(CAP_PROP_POS_MSEC).unwrap_or(0.0).clamp(0.0, 1e9) / 1000.0);
        let position = match self.position {
            Some(before) if told <= before => before + self.period,
            _ => told,
        };
        self.position = Some(position);
        Ok(Some(Grabbed { lease, position: Some(position) }))
    }
}

impl std::fmt::Debug for Video {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Video({}x{})", self.width, self.height)
    }
}
