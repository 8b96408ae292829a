//! Names of passages: sorted by birth, unlike each other, and the same again from the same seed.

use crate::anpr::record::PassageId;
use crate::clock::UtcTime;

/// Makes passage ids: birth time, 12 bits of a counter (so ids of one millisecond sort by birth), then 62 bits that mix seed
/// and counter.
#[derive(Debug)]
pub(super) struct IdMaker {
    seed: u64,
    count: u64,
}

impl IdMaker {
    pub(super) const fn new(seed: u64) -> Self {
        Self { seed, count: 0 }
    }

    /// The id of a passage born at `at`.
    pub(super) fn next(&mut self, at: UtcTime) -> PassageId {
        // splitmix64: distinct counts give distinct numbers.
        let mut mixed = self.seed.wrapping_add(self.count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let mut unique = [0; 10];
        unique[..2].copy_from_slice(&self.count.to_be_bytes()[6..]);
        unique[2..].copy_from_slice(&mixed.to_be_bytes());
        self.count = self.count.wrapping_add(1);
        PassageId::new(at.as_unix_millis(), unique)
    }
}
