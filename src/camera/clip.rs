//! A clip from a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::opencv::Video;
use super::{CameraError, Grab, Source};
use crate::frame::FramePool;

/// Endings of file names that are taken for clips.
pub const CLIP_ENDINGS: [&str; 8] = ["mp4", "m4v", "mkv", "avi", "mov", "ts", "webm", "mpg"];

/// Whether a file's name says that it is a clip.
pub fn is_clip(path: &Path) -> bool {
    path.extension().and_then(|e| e.to_str()).is_some_and(|e| CLIP_ENDINGS.iter().any(|c| e.eq_ignore_ascii_case(c)))
}

/// A clip, decoded frame by frame.
#[derive(Debug)]
pub struct ClipSource {
    path: PathBuf,
    video: Option<Video>,
    frames: Option<u64>,
    period: Duration,
    given: u64,
}

impl ClipSource {
    /// A clip that is opened later.
    pub fn new(path: PathBuf) -> Self {
        Self { path, video: None, frames: None, period: Duration::ZERO, given: 0 }
    }
}

impl Source for ClipSource {
    fn open(&mut self) -> Result<(), CameraError> {
        // OpenCV tells a missing file from a bad one by a line on stderr only, so look first.
        let meta = std::fs::metadata(&self.path).map_err(|why| CameraError::Unreadable { path: self.path.clone(), why })?;
        if meta.len() == 0 {
            return Err(CameraError::Undecodable { path: self.path.clone(), why: "the file is empty (0 bytes)".into() });
        }
        let video = Video::open(&self.path)?;
        self.frames = video.frame_count();
        self.period = video.period();
        self.video = Some(video);
        self.given = 0;
        Ok(())
    }

    fn grab(&mut self, pool: &FramePool) -> Result<Grab, CameraError> {
        let Some(video) = self.video.as_mut() else { return Ok(Grab::End) };
        let grab = video.next(&self.path, pool)?;
        if matches!(grab, Grab::Frame(_)) {
            self.given += 1;
            return Ok(grab);
        }
        self.video = None;
        match self.frames {
            // Headers are off by a few frames in good clips too (edit lists, B-frames at the end).
            Some(expected) if self.given + 3 + expected / 50 < expected => {
                Err(CameraError::Truncated { path: self.path.clone(), got: self.given, expected })
            }
            _ => Ok(Grab::End),
        }
    }

    fn frames(&self) -> Option<u64> {
        self.frames
    }

    fn period(&self) -> Duration {
        self.period
    }
}
