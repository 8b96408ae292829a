//! Why a passage could not be read, as far as its pictures tell: by a vote of the frames in which its plate was large enough.

use super::Sighting;
use crate::anpr::record::UnreadReason;

/// A patch less sharp than this is blurred, one with a larger burnt-out share flared; see [`super::Legibility`].
const BLURRED: f32 = 0.35;
const FLARED: f32 = 0.25;

/// Votes so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Causes {
    measured: u32,
    blurred: u32,
    flared: u32,
}

impl Causes {
    /// Hears a sighting whose plate was large enough to be read.
    pub(super) fn add(&mut self, sighting: &Sighting) {
        let Some(legibility) = sighting.legibility else { return };
        self.measured = self.measured.saturating_add(1);
        // What is burnt out has no edges either: flare explains the blur.
        if legibility.flare > FLARED {
            self.flared = self.flared.saturating_add(1);
        } else if legibility.sharpness < BLURRED {
            self.blurred = self.blurred.saturating_add(1);
        }
    }

    /// What spoilt at least half of the frames.
    pub(super) fn main(&self) -> Option<UnreadReason> {
        let half = |votes: u32| votes > 0 && 2 * u64::from(votes) >= u64::from(self.measured);
        if half(self.flared) {
            Some(UnreadReason::Flared)
        } else if half(self.blurred) {
            Some(UnreadReason::Blurred)
        } else {
            None
        }
    }
}
