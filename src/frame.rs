//! Frames: pixels on loan from a pool.
//!
//! A [`FramePool`] owns every frame buffer of a camera or a clip; capture takes a [`Lease`], fills it, and makes it a
//! [`Frame`], which is cheap to clone and gives its buffer back when the last clone is dropped. When all buffers are
//! out, the pool refuses: capture drops that frame and counts it, memory never grows past the pool.
//! No pixel is interpreted here.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::CaptureTime;
use crate::geometry::{FramePx, Rect};
use crate::ident::{CameraId, FrameSeq};

/// The largest frame side we take, pixels: no camera in our field has more, and a picture that claims more is a mistake.
pub const MAX_SIDE_PX: usize = 16_384;

/// A fixed number of reusable pixel buffers.
#[derive(Clone)]
pub struct FramePool {
    shelf: Arc<Mutex<Shelf>>,
}

struct Shelf {
    free: Vec<Vec<u8>>,
    to_make: usize,
}

impl FramePool {
    /// A pool of at most `buffers` frames at a time. Memory is taken on first use of each.
    pub fn new(buffers: usize) -> Self {
        Self { shelf: Arc::new(Mutex::new(Shelf { free: Vec::with_capacity(buffers), to_make: buffers })) }
    }

    /// A buffer for `width` × `height` pixels, three bytes each; none when all are on loan, or the size is zero or
    /// beyond [`MAX_SIDE_PX`]. Its old content is still in it.
    pub fn lease(&self, width: usize, height: usize) -> Option<Lease> {
        if !(1..=MAX_SIDE_PX).contains(&width) || !(1..=MAX_SIDE_PX).contains(&height) {
            return None;
        }
        let mut bytes = {
            let mut shelf = self.lock();
            match shelf.free.pop() {
                Some(bytes) => bytes,
                None if shelf.to_make > 0 => {
                    shelf.to_make -= 1;
                    Vec::new()
                }
                None => return None,
            }
        };
        bytes.resize(width * height * 3, 0);
        Some(Lease { bytes, width, height, pool: self.clone() })
    }

    /// Buffers that could be leased right now.
    pub fn available(&self) -> usize {
        let shelf = self.lock();
        shelf.free.len() + shelf.to_make
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shelf> {
        // A push or pop can't leave the shelf half changed, so a poisoned lock is as good as a clean one.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for FramePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FramePool").field("available", &self.available()).finish()
    }
}

/// One buffer out of the pool; goes back when dropped.
pub struct Lease {
    bytes: Vec<u8>,
    width: usize,
    height: usize,
    pool: FramePool,
}

impl Lease {
    /// Rows from the top, three bytes a pixel: blue, green, red. No padding between rows.
    pub fn bgr_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.pool.lock().free.push(bytes);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({}x{})", self.width, self.height)
    }
}

/// Pixels with who took them, which they are in order, and when.
#[derive(Clone, Debug)]
pub struct Frame {
    lease: Arc<Lease>,
    camera: CameraId,
    seq: FrameSeq,
    at: CaptureTime,
}

impl Frame {
    /// A filled buffer becomes a frame.
    pub fn new(lease: Lease, camera: CameraId, seq: FrameSeq, at: CaptureTime) -> Self {
        Self { lease: Arc::new(lease), camera, seq, at }
    }

    /// The same frame in a buffer of its own: the pooled one goes back as soon as nobody else holds it.
    #[must_use]
    pub fn detached(&self) -> Self {
        let lease =
            Lease { bytes: self.lease.bytes.clone(), width: self.width(), height: self.height(), pool: FramePool::new(0) };
        Self { lease: Arc::new(lease), camera: self.camera.clone(), seq: self.seq, at: self.at }
    }

    /// Rows from the top, three bytes a pixel: blue, green, red. No padding between rows.
    pub fn bgr(&self) -> &[u8] {
        &self.lease.bytes
    }

    /// Pixels a row.
    pub fn width(&self) -> usize {
        self.lease.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.lease.height
    }

    /// The whole frame as a box.
    #[allow(clippy::cast_precision_loss)] // sides are at most MAX_SIDE_PX, exact in f32
    pub fn bounds(&self) -> Rect<FramePx> {
        Rect::new(0.0, 0.0, self.width() as f32, self.height() as f32)
    }

    /// The camera that took it.
    pub fn camera(&self) -> &CameraId {
        &self.camera
    }

    /// Its number.
    pub fn seq(&self) -> FrameSeq {
        self.seq
    }

    /// When it was captured.
    pub fn at(&self) -> CaptureTime {
        self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{SimClock, UtcTime};

    #[test]
    fn a_pool_lends_so_many_and_gets_them_back() {
        let pool = FramePool::new(2);
        let (a, b) = (pool.lease(4, 2).expect("first"), pool.lease(8, 8).expect("second"));
        assert!(pool.lease(1, 1).is_none(), "both are out");
        let time = SimClock::at(UtcTime::from_micros(0), std::time::Duration::ZERO);
        let frame = Frame::new(b, CameraId::new("c").expect("id"), FrameSeq(0), time);
        let evidence = frame.clone();
        let copy = frame.detached();
        drop(frame);
        assert_eq!(pool.available(), 0, "a clone still holds the pixels");
        drop(evidence);
        assert_eq!(pool.available(), 1, "a detached copy holds none of the pool");
        drop(copy);
        assert_eq!(pool.available(), 1, "nor does it bring one");
        drop(a);
        assert_eq!(pool.available(), 2);
        assert_eq!(pool.lease(4, 4).expect("again").bgr_mut().len(), 48);
    }

    #[test]
    fn absurd_sizes_are_refused_without_losing_a_buffer() {
        let pool = FramePool::new(1);
        assert!(pool.lease(0, 10).is_none() && pool.lease(10, MAX_SIDE_PX + 1).is_none());
        assert_eq!(pool.available(), 1);
    }
}
