//! From shapes to glyphs: which of `O`/`0` and of `I`/`1` each position of a text is.
//!
//! Every format that fits votes with its prior; a format that allows both, and `none`, leave it to the reader's own split. The
//! split has some say in any case: the reader sees spacing and fonts that this module doesn't (`OY02 ODE` against `OY 020 DE`,
//! or a continental plate, where `O` and `0` do differ). So a vote whose twins the reader contradicts counts less, by a bounded
//! factor: enough to settle what grammar leaves near even, too little to overrule it (`AAO 200A` stays `AA02 OOA`, thirty times likelier).

use super::search::Choice;
use super::{Decoder, glyph};
use crate::anpr::syntax::SyntaxId;
use crate::anpr::vrm::Vrm;

/// A text of shapes with its twins set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text {
    pub(super) vrm: Vrm,
    pub(super) syntax: SyntaxId,
    /// Its part of the belief in the shapes, 0..=1; the rest belongs to its twins.
    pub(super) share: f64,
}

/// Of how many distinct ways to set the twins the best is picked. Formats that fit one text agree nearly always.
const WAYS: usize = 6;

/// What is left of a format's vote when the reader's split wholly contradicts it; and of the vote of `none`, which always agrees
/// with the reader, where a format fits: else a reader that knows no grammar would settle the twins of all short marks.
const CONTRADICTED: f64 = 0.5;

/// Place of the pair that a shape is one of: 0 for `O`/`0`, 1 for `I`/`1`.
fn pair_of(shape: u8) -> Option<usize> {
    glyph(usize::from(shape)).twin().map(|_| usize::from(shape == 1))
}

impl Decoder {
    /// The likeliest text of a choice's shapes. Ways are bit sets: bit `i` set means the letter stands at position `i`.
    pub(super) fn text_of(&self, choice: &Choice) -> Text {
        // Invariant: only choices with shapes enter the pool (`offer`).
        let (shapes, len) = choice.shapes().expect("a pooled choice has shapes");
        let shapes = &shapes[..len];
        let mut letter_shares = [[0.5; 2]; Vrm::MAX];
        self.scratch.letter_shares(choice, &mut letter_shares);
        let by_reader = |i: usize| pair_of(shapes[i]).is_some_and(|pair| letter_shares[i][pair] > 0.5);
        let readers_way = (0..len).filter(|i| by_reader(*i)).fold(0u16, |way, i| way | 1 << i);

        let first = self.grammar.first_of(len);
        let templates = || self.grammar.templates_of(len).iter().zip(&self.votes[first..]);
        let (mut ways, mut found) = ([readers_way; WAYS], 1);
        for (template, _) in templates() {
            let Some((letters, open)) = self.letters_of(template.sets(), shapes) else { continue };
            let way = letters | (open & readers_way);
            if found < WAYS && !ways[..found].contains(&way) {
                ways[found] = way;
                found += 1;
            }
        }

        let split = |way: u16, open: u16| -> f64 {
            let shares = (0..len).filter(|i| open >> i & 1 == 1).filter_map(|i| {
                let share = letter_shares[i][pair_of(shapes[i])?];
                Some(if way >> i & 1 == 1 { share } else { 1.0 - share })
            });
            shares.product()
        };
        let all_open = (0..len).filter(|i| pair_of(shapes[*i]).is_some()).fold(0u16, |open, i| open | 1 << i);
        let is_known = templates().any(|(template, _)| self.letters_of(template.sets(), shapes).is_some());
        let none = if is_known { CONTRADICTED } else { 1.0 };
        let mut best = (-1.0, readers_way, SyntaxId::NONE);
        let mut total = 1e-300;
        for (n, way) in ways[..found].iter().enumerate() {
            let mut belief = none * split(*way, all_open);
            let mut namer = (0.0, SyntaxId::NONE);
            if n == 0 {
                total += none;
            }
            for (template, vote) in templates() {
                let Some((letters, open)) = self.letters_of(template.sets(), shapes) else { continue };
                let weighed = vote * (CONTRADICTED + (1.0 - CONTRADICTED) * split(letters, all_open & !open));
                if n == 0 {
                    total += weighed;
                }
                if way & !open == letters {
                    belief += weighed * split(*way, open);
                    if *vote > namer.0 {
                        namer = (*vote, self.grammar.id(template));
                    }
                }
            }
            if belief > best.0 {
                best = (belief, *way, namer.1);
            }
        }
        let glyphs = shapes.iter().enumerate().map(|(i, shape)| {
            let folded = glyph(usize::from(*shape));
            if best.1 >> i & 1 == 1 { folded.twin().unwrap_or(folded) } else { folded }
        });
        // Invariant: `Choice::shapes` gives 1 to Vrm::MAX shapes.
        let vrm = Vrm::from_glyphs(glyphs).expect("as many glyphs as a mark may have");
        Text { vrm, syntax: best.2, share: (best.0 / total).clamp(0.0, 1.0) }
    }

    /// Where a template that fits the shapes wants letters for twins, and where it leaves twins open; none if it doesn't fit.
    fn letters_of(&self, sets: &[u16], shapes: &[u8]) -> Option<(u16, u16)> {
        let (mut letters, mut open) = (0, 0);
        for (i, (set, shape)) in sets.iter().zip(shapes).enumerate() {
            if self.folded_sets[usize::from(*set)] >> shape & 1 == 0 {
                return None;
            }
            if let Some(letter) = glyph(usize::from(*shape)).twin() {
                let set = self.grammar.sets()[usize::from(*set)];
                match (set >> shape & 1, set >> letter.index() & 1) {
                    (1, 1) => open |= 1 << i,
                    (0, 1) => letters |= 1 << i,
                    _ => {}
                }
            }
        }
        Some((letters, open))
    }
}
