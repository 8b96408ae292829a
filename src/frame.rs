//! Frames: pixels on loan from a pool.
//!
//! A [`FramePool`] owns every frame buffer of a camera or a clip; capture takes a [`Lease`], fills it, and makes it a
//! [`Frame`], which is cheap to clone and gives its buffer back when the last clone is dropped. When all buffers are
//! out, the pool refuses: capture drops that frame and counts it, memory never grows past the pool.
//! In which of two ways pixels lie is their [`Layout`]; only [`colour`] interprets one.

pub mod colour;
pub mod mask;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::CaptureTime;
use crate::geometry::{FramePx, Rect};
use crate::ident::{CameraId, FrameSeq};

/// The largest frame side we take, pixels: no camera in our field has more, and a picture that claims more is a mistake.
pub const MAX_SIDE_PX: usize = 16_384;

/// How pixels lie in a buffer. Rows go from the top and have no padding between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Three bytes a pixel: blue, green, red.
    Bgr,
    /// As decoders give it: a plane of luma, then two planes of half its width and height, blue difference and red difference
    /// (ITU-R BT.601). Both sides are even.
    I420 {
        /// Luma is 0 to 255 as in JPEG, not 16 to 235 as in broadcast video.
        full_range: bool,
    },
}

impl Layout {
    /// Bytes of a picture; none where the layout can't have such sides.
    pub const fn bytes(self, width: usize, height: usize) -> Option<usize> {
        match self {
            Self::Bgr => Some(width * height * 3),
            Self::I420 { .. } if width.is_multiple_of(2) && height.is_multiple_of(2) => Some(width * height * 3 / 2),
            Self::I420 { .. } => None,
        }
    }
}

/// The pixels of a frame, by their layout.
#[derive(Clone, Copy, Debug)]
pub enum Pixels<'a> {
    /// `height` rows of `width` pixels, three bytes each: blue, green, red.
    Bgr(&'a [u8]),
    /// Planes, as [`Layout::I420`] has them.
    I420 {
        /// `height` rows of `width` bytes.
        luma: &'a [u8],
        /// Blue difference: `height / 2` rows of `width / 2` bytes.
        blue: &'a [u8],
        /// Red difference: likewise.
        red: &'a [u8],
        /// As [`Layout::I420`] says.
        full_range: bool,
    },
}

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

    /// A buffer for `width` × `height` pixels, blue, green, red; see [`Self::lease_as`].
    pub fn lease(&self, width: usize, height: usize) -> Option<Lease> {
        self.lease_as(Layout::Bgr, width, height)
    }

    /// A buffer for `width` × `height` pixels; none when all are on loan, or the size is zero or beyond [`MAX_SIDE_PX`], or odd
    /// where the layout has no odd sides. Its old content is still in it.
    pub fn lease_as(&self, layout: Layout, width: usize, height: usize) -> Option<Lease> {
        if !(1..=MAX_SIDE_PX).contains(&width) || !(1..=MAX_SIDE_PX).contains(&height) {
            return None;
        }
        let length = layout.bytes(width, height)?;
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
        bytes.resize(length, 0);
        // A camera that was set to a smaller picture gives back what the larger one took.
        if bytes.capacity() / 4 > length {
            bytes.shrink_to_fit();
        }
        Some(Lease { bytes, layout, width, height, pool: self.clone() })
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
    layout: Layout,
    width: usize,
    height: usize,
    pool: FramePool,
}

impl Lease {
    /// All bytes, in the order of its layout.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// All bytes of a buffer that was leased by [`FramePool::lease`]: three a pixel, blue, green, red.
    pub fn bgr_mut(&mut self) -> &mut [u8] {
        debug_assert_eq!(self.layout, Layout::Bgr);
        &mut self.bytes
    }

    /// How its pixels lie.
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// Pixels a row, and rows.
    pub const fn size(&self) -> (usize, usize) {
        (self.width, self.height)
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
        let lease = Lease {
            bytes: self.lease.bytes.clone(),
            layout: self.lease.layout,
            width: self.width(),
            height: self.height(),
            pool: FramePool::new(0),
        };
        Self { lease: Arc::new(lease), camera: self.camera.clone(), seq: self.seq, at: self.at }
    }

    /// Its pixels.
    pub fn pixels(&self) -> Pixels<'_> {
        let bytes = &self.lease.bytes;
        match self.lease.layout {
            Layout::Bgr => Pixels::Bgr(bytes),
            Layout::I420 { full_range } => {
                let (luma, chroma) = bytes.split_at(self.width() * self.height());
                let (blue, red) = chroma.split_at(chroma.len() / 2);
                Pixels::I420 { luma, blue, red, full_range }
            }
        }
    }

    /// How its pixels lie.
    pub fn layout(&self) -> Layout {
        self.lease.layout
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
