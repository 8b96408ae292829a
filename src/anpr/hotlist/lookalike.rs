//! Characters that are mistaken for one another on UK plates.
//!
//! From the project's notes on UK plates, section "Look-alikes and what position does": pairs of which slot types decide (2/Z, 5/S,
//! 8/B, 6/G, 4/A, 7/T, 0/D, 0/Q), pairs that position doesn't resolve (B/R, D/O, C/G, E/F, K/X, M/N, M/H, U/V, V/Y, P/F), and what a
//! bar may be (L, T, J or a bolt for 1). H/N (both stand beside M) and D/Q (both stand beside 0) are added. W for VV is two characters
//! for one, an edit and a substitution, so no pair. O/0 and I/1 are no pairs either: they are one drawing, folded everywhere.

use crate::anpr::vrm::{GLYPHS, Glyph};

/// Pairs, each both ways.
const PAIRS: [&[u8; 2]; 22] = [
    b"2Z", b"5S", b"8B", b"6G", b"4A", b"7T", b"0D", b"0Q", b"DQ", b"BR", b"CG", b"EF", b"KX", b"MN", b"MH", b"HN", b"UV", b"VY",
    b"PF", b"1L", b"1T", b"1J",
];

/// For each glyph the glyphs that it is mistaken for, one bit each.
const ALIKE: [u64; GLYPHS] = {
    let mut alike = [0; GLYPHS];
    let mut n = 0;
    while n < PAIRS.len() {
        let (a, b) = (index(PAIRS[n][0]), index(PAIRS[n][1]));
        alike[a] |= 1 << b;
        alike[b] |= 1 << a;
        n += 1;
    }
    alike
};

const fn index(c: u8) -> usize {
    (if c.is_ascii_digit() { c - b'0' } else { c - b'A' + 10 }) as usize
}

/// Whether two shapes are mistaken for one another as a rule.
pub(super) const fn are_alike(a: Glyph, b: Glyph) -> bool {
    ALIKE[a.folded().index()] >> b.folded().index() & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_count_both_ways_and_folded() {
        let glyph = |c| Glyph::from_char(c).unwrap();
        for (a, b, alike) in [
            ('8', 'B', true),
            ('B', '8', true),
            ('O', 'D', true),
            ('Q', '0', true),
            ('I', 'L', true),
            ('J', 'I', true),
            ('O', '0', false),
            ('I', '1', false),
            ('A', 'A', false),
            ('A', 'B', false),
            ('8', 'R', false),
        ] {
            assert_eq!(are_alike(glyph(a), glyph(b)), alike, "{a} {b}");
        }
        let count: u32 = ALIKE.iter().map(|bits| bits.count_ones()).sum();
        assert_eq!(count, 2 * 22, "no pair stands twice");
    }
}
