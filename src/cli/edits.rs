//! How far a mark that was read lies from the truth.

use crate::anpr::vrm::Glyph;

/// Levenshtein distance: insertions, deletions and substitutions.
pub(super) fn edits(a: &[Glyph], b: &[Glyph]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anpr::vrm::Vrm;

    #[test]
    fn edits_are_counted_as_levenshtein_did() {
        let mark = |text: &str| Vrm::parse(text).expect("a mark");
        assert_eq!(edits(mark("AB12").glyphs(), mark("A12").glyphs()), 1);
        assert_eq!(edits(mark("AB12").glyphs(), mark("XB21").glyphs()), 3);
    }
}
