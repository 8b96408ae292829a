//! Says of most keys that are not in a list that they are not, with one look at one word of memory.
//!
//! A Bloom filter of one 64-bit word a key: a fuzzy match asks for thousands of keys of which next to none is there.

use super::packed::Packed;

/// Bits a key: about one key in a hundred that isn't there passes.
const BITS_A_KEY: usize = 12;

/// The filter of one list. Never wrong about a key that is there.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    words: Vec<u64>,
}

impl Filter {
    /// Of these keys.
    pub(super) fn of(keys: &[Packed]) -> Self {
        // Saturating: nobody has 2^60 keys.
        let mut filter = Self { words: vec![0; keys.len().saturating_mul(BITS_A_KEY).div_ceil(64)] };
        for key in keys {
            let (word, bits) = filter.place(*key);
            if let Some(word) = filter.words.get_mut(word) {
                *word |= bits;
            }
        }
        filter
    }

    /// Whether a key may be there.
    pub(super) fn may_have(&self, key: Packed) -> bool {
        let (word, bits) = self.place(key);
        self.words.get(word).is_some_and(|word| word & bits == bits)
    }

    /// Heap memory, bytes.
    pub(super) const fn size_bytes(&self) -> usize {
        self.words.capacity() * size_of::<u64>()
    }

    /// Which word, and which four bits of it.
    fn place(&self, key: Packed) -> (usize, u64) {
        // The finaliser of SplitMix64: keys of marks differ in few bits.
        let mut hash = key.0.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        hash ^= hash >> 31;
        let word = (u128::from(hash) * self.words.len() as u128) >> 64;
        let bits = [0, 6, 12, 18].into_iter().fold(0, |bits, shift| bits | 1 << (hash >> shift & 63));
        (usize::try_from(word).unwrap_or(usize::MAX), bits)
    }
}
