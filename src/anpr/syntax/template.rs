//! Patterns as templates: each regular expression of the tables becomes a few strings of glyph sets, one set a position.
//!
//! The decoder asks "which glyphs may stand here, and how many strings are there in all?", which a regular-expression
//! engine can't answer. Only finite patterns over the alphabet can be expanded; the tables hold no others, and a test says so.

use regex_syntax::hir::{Class, Hir, HirKind};

use crate::anpr::vrm::{Glyph, Vrm};

/// A set of glyphs: bit `n` is the glyph at place `n` of the alphabet.
pub(super) type GlyphSet = u64;

/// One fixed-length shape: a set of glyphs a position.
pub(super) type Shape = Vec<GlyphSet>;

/// Expands a pattern; none when it is no regular expression, is unbounded, or holds something no mark has.
/// Characters outside the alphabet (umlauts) are left out of their sets: no read can hold them.
pub(super) fn expand(pattern: &str) -> Option<Vec<Shape>> {
    let hir = regex_syntax::parse(pattern).ok()?;
    let mut shapes = expand_hir(&hir)?;
    shapes.retain(|s| !s.is_empty() && s.len() <= Vrm::MAX && s.iter().all(|set| *set != 0));
    Some(without_subsets(shapes))
}

/// How many texts a shape holds.
pub(super) fn texts_in(shape: &[GlyphSet]) -> f64 {
    shape.iter().map(|set| f64::from(set.count_ones())).product()
}

/// Drops shapes that lie wholly within another one, so that their texts aren't counted twice (Poland's 3+4 is within its 2+5).
/// Shapes that overlap in part stay; their few common texts count twice.
fn without_subsets(shapes: Vec<Shape>) -> Vec<Shape> {
    let within = |a: &Shape, b: &Shape| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a & !b == 0);
    let mut kept: Vec<Shape> = Vec::new();
    for shape in shapes {
        if kept.iter().any(|k| within(&shape, k)) {
            continue;
        }
        kept.retain(|k| !within(k, &shape));
        kept.push(shape);
    }
    kept
}

fn expand_hir(hir: &Hir) -> Option<Vec<Shape>> {
    Some(match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => vec![Vec::new()],
        HirKind::Literal(literal) => {
            let text = std::str::from_utf8(&literal.0).ok()?;
            vec![text.chars().map(|c| Glyph::from_char(c).map(|g| 1 << g.index())).collect::<Option<Shape>>()?]
        }
        HirKind::Class(class) => vec![vec![class_set(class)]],
        HirKind::Capture(capture) => expand_hir(&capture.sub)?,
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(expand_hir(part)?);
            }
            all
        }
        HirKind::Concat(parts) => {
            let mut all = vec![Vec::new()];
            for part in parts {
                all = product(&all, &expand_hir(part)?);
            }
            all
        }
        HirKind::Repetition(repetition) => {
            let once = expand_hir(&repetition.sub)?;
            let mut all = Vec::new();
            let mut times = vec![Vec::new()];
            for n in 0..=repetition.max? {
                if n >= repetition.min {
                    all.extend(times.iter().cloned());
                }
                times = product(&times, &once);
            }
            all
        }
    })
}

fn product(heads: &[Shape], tails: &[Shape]) -> Vec<Shape> {
    heads.iter().flat_map(|head| tails.iter().map(|tail| [head.as_slice(), tail.as_slice()].concat())).collect()
}

fn class_set(class: &Class) -> GlyphSet {
    let holds = |c: char| match class {
        Class::Unicode(class) => class.ranges().iter().any(|r| (r.start()..=r.end()).contains(&c)),
        Class::Bytes(class) => class.ranges().iter().any(|r| u32::from(c) >= r.start().into() && u32::from(c) <= r.end().into()),
    };
    Glyph::all().filter(|g| holds(g.as_char())).fold(0, |set, g| set | 1 << g.index())
}
