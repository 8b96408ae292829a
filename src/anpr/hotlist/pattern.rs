//! Wildcards, for lists kept by hand: `?` is any one character, `*` any run of them, none included.
//!
//! Look-alikes count as one, as everywhere in matching.

use std::fmt;

use crate::anpr::vrm::{Glyph, Vrm};

/// One step of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Step {
    One(Glyph),
    AnyOne,
    AnyRun,
}

/// A mark with wildcards: at most [`Pattern::MAX`] steps, at least one of them a wildcard and one a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern {
    steps: [Step; Pattern::MAX],
    len: u8,
}

impl Pattern {
    /// Most steps: a mark's longest, and a run at either end.
    pub const MAX: usize = Vrm::MAX + 2;

    /// Whether a text means to be a pattern.
    pub fn is_one(text: &str) -> bool {
        text.contains(['?', '*'])
    }

    /// Reads `AB1? C*`: spaces, hyphens and dots are passed over, lower case counts as upper.
    ///
    /// # Errors
    /// In words, when it has no wildcard, no character, too many steps or a character that no mark has.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pattern = Self { steps: [Step::AnyRun; Self::MAX], len: 0 };
        let mut before = None;
        for c in text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '-' | '.' | '·')) {
            let step = match c {
                '?' => Step::AnyOne,
                '*' => Step::AnyRun,
                c => Step::One(Glyph::from_char(c).ok_or_else(|| format!("{c:?} is not a letter A-Z, a digit, ? or *"))?),
            };
            // Two runs in a row are one.
            if step == Step::AnyRun && before == Some(Step::AnyRun) {
                continue;
            }
            before = Some(step);
            let Some(into) = pattern.steps.get_mut(usize::from(pattern.len)) else {
                return Err(format!("it has more than {} characters and wildcards", Self::MAX));
            };
            *into = step;
            pattern.len += 1;
        }
        let has = |f: fn(&Step) -> bool| pattern.steps().iter().any(f);
        match (has(|s| matches!(s, Step::One(_))), has(|s| !matches!(s, Step::One(_)))) {
            (false, _) => Err("it has no character: it would match every vehicle".into()),
            (_, false) => Err("it has no wildcard".into()),
            _ => Ok(pattern),
        }
    }

    /// Whether a mark fits, look-alikes counting as one.
    pub fn matches(&self, vrm: &Vrm) -> bool {
        let (steps, glyphs) = (self.steps(), vrm.glyphs());
        // The usual greedy walk: on a mismatch the last run takes one character more.
        let (mut s, mut g, mut run) = (0, 0, None);
        while g < glyphs.len() {
            match steps.get(s) {
                Some(Step::AnyRun) => {
                    run = Some((s, g));
                    s += 1;
                    continue;
                }
                Some(Step::AnyOne) => (s, g) = (s + 1, g + 1),
                Some(Step::One(glyph)) if glyph.folded() == glyphs[g].folded() => (s, g) = (s + 1, g + 1),
                _ => {
                    let Some((at, from)) = run else { return false };
                    run = Some((at, from + 1));
                    (s, g) = (at + 1, from + 1);
                }
            }
        }
        steps[s..].iter().all(|step| *step == Step::AnyRun)
    }

    fn steps(&self) -> &[Step] {
        &self.steps[..usize::from(self.len)]
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps().iter().try_for_each(|step| match step {
            Step::One(glyph) => write!(f, "{glyph}"),
            Step::AnyOne => f.write_str("?"),
            Step::AnyRun => f.write_str("*"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_what_a_person_expects() {
        for (pattern, mark, fits) in [
            ("AB1? C*", "AB12CDE", true),
            ("AB1? C*", "AB12C", true),
            ("AB1? C*", "AB1CDE", false),
            ("AB1? C*", "AB12DDE", false),
            ("*CDE", "AB12CDE", true),
            ("*CDE", "CDE", true),
            ("*C*E", "AB12CDCXE", true),
            ("*C*E", "AB12CDCX", false),
            ("A?", "A", false),
            ("A*", "A", true),
            ("?B0*", "XBO1", true),
            ("**A1", "BA1", true),
        ] {
            let (parsed, vrm) = (Pattern::parse(pattern).unwrap(), Vrm::parse(mark).unwrap());
            assert_eq!(parsed.matches(&vrm), fits, "{pattern} against {mark}");
        }
        assert_eq!(Pattern::parse("ab1? c**").unwrap().to_string(), "AB1?C*");
    }

    #[test]
    fn what_would_match_everything_or_nothing_is_refused() {
        for (text, says) in [
            ("*", "no character"),
            ("??", "no character"),
            ("", "no character"),
            ("AB12CDE", "no wildcard"),
            ("AB!*", "'!' is not"),
            ("A?A?A?A?A?A?A?A?", "more than 14"),
        ] {
            let said = Pattern::parse(text).unwrap_err();
            assert!(said.contains(says), "{text:?}: {said}");
        }
    }
}
