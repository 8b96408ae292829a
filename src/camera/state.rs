//! What a camera's thread is doing, and what it counts.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use super::picture::PictureFault;
use crate::clock::{CaptureTime, MonoTime};
use crate::ident::CameraId;

/// What to do when a clip or folder has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtEnd {
    /// Stay silent from then on.
    Stop,
    /// Start over: a demonstration box.
    Repeat,
}

/// How fast the frames of a clip come. Live cameras are always in real time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As fast as they are taken; none is ever dropped.
    Lossless,
    /// As they were filmed; a frame that comes while the reader is busy replaces the one that waits.
    RealTime,
}

/// How long a live camera is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From opening to the first frame. Default 10 s.
    pub open: Duration,
    /// A camera whose newest frame is older than this is stalled; after as long again it is opened anew. Default 3 s.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { open: Duration::from_secs(10), stall: Duration::from_secs(3) }
    }
}

/// What a camera's thread is doing, as told on its state topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CameraPhase {
    /// Opening for the first time, or again.
    Opening,
    /// Giving frames.
    Streaming,
    /// Connected, but no frame for too long.
    Stalled,
    /// Failed; waiting to try again.
    Lost,
    /// A clip that came to its end.
    Ended,
}

impl CameraPhase {
    const ALL: [Self; 5] = [Self::Opening, Self::Streaming, Self::Stalled, Self::Lost, Self::Ended];
}

/// How a camera is at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraEvent {
    /// Which camera.
    pub camera: CameraId,
    /// What it does now.
    pub phase: CameraPhase,
    /// Why, when it is lost or stalled; what was settled with it, when it streams.
    pub reason: Option<String>,
    /// Since when.
    pub since: CaptureTime,
    /// Width and height of its frames, pixels, once known.
    pub size_px: Option<(usize, usize)>,
    /// Frames a second over the last seconds.
    pub frames_per_s: f64,
    /// Age of the newest frame; none when there was none.
    pub frame_age: Option<Duration>,
    /// How far the camera's own clock has run away from ours since it was opened, milliseconds; positive: it is slow. None
    /// before that can be told, and where the stream has no time of its own.
    pub drift_ms: Option<f64>,
    /// What is wrong with the picture itself.
    pub picture: Option<PictureFault>,
}

/// Counters that the capture thread keeps for health, and what it knows just now.
#[derive(Debug, Default)]
pub struct CaptureStats {
    /// Frames captured.
    pub captured: AtomicU64,
    /// Frames lost because every buffer was on loan.
    pub no_buffer: AtomicU64,
    /// Attempts that ended in an error.
    pub failures: AtomicU64,
    /// Times that it was connected and gave no frames for too long.
    pub stalls: AtomicU64,
    /// Decoders that did not come back and were left behind.
    pub abandoned: AtomicU64,
    /// Frames a second over the last seconds, thousandths.
    pub frames_per_1000_s: AtomicU64,
    /// Moment of the newest frame, nanoseconds of the monotonic clock; 0 before the first.
    pub newest_nanos: AtomicU64,
    /// Drift, microseconds; `i64::MIN` where it is not known.
    drift_us: AtomicI64,
    phase: AtomicU8,
    picture: AtomicU8,
}

impl CaptureStats {
    /// What the thread is doing.
    pub fn phase(&self) -> CameraPhase {
        // Only `set_phase` writes it, so it is always one of them.
        CameraPhase::ALL.get(usize::from(self.phase.load(Ordering::Relaxed))).copied().unwrap_or(CameraPhase::Lost)
    }

    pub(super) fn set_phase(&self, phase: CameraPhase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// What is wrong with the picture.
    pub fn picture(&self) -> Option<PictureFault> {
        usize::from(self.picture.load(Ordering::Relaxed)).checked_sub(1).and_then(|n| PictureFault::ALL.get(n).copied())
    }

    pub(super) fn set_picture(&self, fault: Option<PictureFault>) {
        let number = fault.and_then(|f| PictureFault::ALL.iter().position(|other| *other == f)).map_or(0, |n| n + 1);
        self.picture.store(u8::try_from(number).unwrap_or(0), Ordering::Relaxed);
    }

    /// Age of the newest frame; none when there was none.
    pub fn frame_age(&self, now: MonoTime) -> Option<Duration> {
        let newest = self.newest_nanos.load(Ordering::Relaxed);
        (newest > 0).then(|| now.since(MonoTime::from_nanos(newest)))
    }

    /// Frames a second over the last seconds; 0 when none came of late.
    #[allow(clippy::cast_precision_loss)] // thousandths of frame rates
    pub fn frames_per_s(&self, now: MonoTime) -> f64 {
        let late = self.frame_age(now).is_none_or(|age| age > super::capture::RATE_OVER);
        if late { 0.0 } else { self.frames_per_1000_s.load(Ordering::Relaxed) as f64 / 1000.0 }
    }

    /// See [`CameraEvent::drift_ms`].
    #[allow(clippy::cast_precision_loss)] // microseconds of drift
    pub fn drift_ms(&self) -> Option<f64> {
        Some(self.drift_us.load(Ordering::Relaxed)).filter(|us| *us != i64::MIN).map(|us| us as f64 / 1000.0)
    }

    pub(super) fn set_drift(&self, us: Option<i64>) {
        self.drift_us.store(us.unwrap_or(i64::MIN), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_what_is_told() {
        let stats = CaptureStats::default();
        assert_eq!(
            (stats.phase(), stats.picture(), stats.frame_age(MonoTime::from_nanos(5))),
            (CameraPhase::Opening, None, None)
        );
        for phase in CameraPhase::ALL {
            stats.set_phase(phase);
            assert_eq!(stats.phase(), phase);
        }
        for fault in PictureFault::ALL.map(Some).into_iter().chain([None]) {
            stats.set_picture(fault);
            assert_eq!(stats.picture(), fault);
        }
        stats.set_drift(Some(-1500));
        assert_eq!(stats.drift_ms(), Some(-1.5));
        stats.set_drift(None);
        assert_eq!(stats.drift_ms(), None);
        stats.frames_per_1000_s.store(25_000, Ordering::Relaxed);
        stats.newest_nanos.store(1_000, Ordering::Relaxed);
        let at = |s: u64| MonoTime::from_nanos(1_000 + s * 1_000_000_000);
        assert_eq!((stats.frames_per_s(at(1)), stats.frames_per_s(at(9))), (25.0, 0.0));
    }
}
