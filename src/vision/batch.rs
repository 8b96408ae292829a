//! Patches of one frame, cut one after another and read together.
//!
//! A candidate whose cut fails has no patch, so each patch remembers whose it is. Runs on the reader thread; patches and
//! reads are kept from frame to frame.

use super::VisionError;
use super::patch::{PatchCutter, PlatePatch};
use super::reader::Reader;
use crate::anpr::read::PlateRead;
use crate::frame::Frame;
use crate::geometry::{FramePx, Quad};

/// Patches to read together, with the buffers of all batches before.
#[derive(Debug)]
pub(super) struct Batch {
    cutter: PatchCutter,
    /// A pool: those beyond the owners are free.
    patches: Vec<PlatePatch>,
    /// Whose the patches are, in their order.
    owners: Vec<usize>,
    reads: Vec<PlateRead>,
}

impl Batch {
    /// With room for so many patches; more of them make it grow, once.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            cutter: PatchCutter::new(),
            patches: vec![PlatePatch::new(); capacity],
            owners: Vec::with_capacity(capacity),
            reads: Vec::with_capacity(capacity),
        }
    }

    /// Lets go of all patches.
    pub(super) fn clear(&mut self) {
        self.owners.clear();
    }

    /// Cuts one more patch, whose read is `owner`'s.
    ///
    /// # Errors
    /// When it can't be cut; the batch then stays as it is.
    pub(super) fn cut(&mut self, frame: &Frame, quad: Quad<FramePx>, owner: usize) -> Result<(), VisionError> {
        if self.owners.len() == self.patches.len() {
            self.patches.push(PlatePatch::new());
        }
        self.cutter.cut(frame, quad, &mut self.patches[self.owners.len()])?;
        self.owners.push(owner);
        Ok(())
    }

    /// The patches that were cut, in order.
    pub(super) fn patches(&self) -> &[PlatePatch] {
        &self.patches[..self.owners.len()]
    }

    /// The patches that were cut, each with its owner.
    pub(super) fn owned(&self) -> impl Iterator<Item = (usize, &PlatePatch)> {
        self.owners.iter().copied().zip(&self.patches)
    }

    /// Reads all patches; gives each owner with its read.
    ///
    /// # Errors
    /// When the runtime fails: no fault of a picture, so it is the frame's, counted, and not passed over plate by plate.
    pub(super) fn read(&mut self, reader: &mut Reader) -> Result<impl Iterator<Item = (usize, &PlateRead)>, VisionError> {
        reader.read_batch(&self.patches[..self.owners.len()], &mut self.reads)?;
        Ok(self.owners.iter().copied().zip(&self.reads))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{SimClock, UtcTime};
    use crate::frame::FramePool;
    use crate::geometry::Rect;
    use crate::ident::{CameraId, FrameSeq};

    #[test]
    fn a_failed_cut_leaves_the_other_patches_with_their_owners() {
        let mut lease = FramePool::new(1).lease(400, 100).expect("size");
        for (i, pixel) in lease.bgr_mut().chunks_exact_mut(3).enumerate() {
            pixel.fill(if i % 400 < 200 { 50 } else { 150 });
        }
        let at = SimClock::at(UtcTime::default(), std::time::Duration::ZERO);
        let frame = Frame::new(lease, CameraId::new("t").expect("id"), FrameSeq(0), at);
        let quad = |x: f32| Rect::new(x, 20.0, x + 80.0, 40.0).into();
        let mut batch = Batch::new(1);
        for _ in 0..2 {
            batch.clear();
            let cuts = [40.0, 900.0, 260.0].map(quad).into_iter().enumerate().map(|(i, q)| batch.cut(&frame, q, i).is_ok());
            assert_eq!(cuts.collect::<Vec<_>>(), [true, false, true]);
            let shown: Vec<(usize, u8)> = batch.owners.iter().copied().zip(batch.patches().iter().map(|p| p.luma()[0])).collect();
            assert_eq!(shown, [(0, 50), (2, 150)]);
        }
    }
}
