//! Marks and the glyphs that they are made of.
//!
//! A [`Glyph`] is one of 36 signs, a [`Vrm`] up to [`Vrm::MAX`] of them, a [`VrmKey`] a mark with its look-alikes
//! folded, good for looking things up and for nothing else. All are `Copy`: no mark ever costs an allocation.

use std::fmt;

/// One of `0`–`9`, `A`–`Z`; digits come first, so the number is the reader's alphabet order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glyph(u8);

/// How many glyphs there are.
pub const GLYPHS: usize = 36;

impl Glyph {
    /// All of them, in alphabet order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0u8..36).map(Self)
    }

    /// From its place in the alphabet, 0..36.
    pub fn from_index(index: usize) -> Option<Self> {
        u8::try_from(index).ok().filter(|i| usize::from(*i) < GLYPHS).map(Self)
    }

    /// Its place in the alphabet, 0..36.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// From a character; lower case counts as upper.
    pub fn from_char(c: char) -> Option<Self> {
        match c.to_ascii_uppercase() {
            d @ '0'..='9' => Some(Self(d as u8 - b'0')),
            l @ 'A'..='Z' => Some(Self(l as u8 - b'A' + 10)),
            _ => None,
        }
    }

    /// The character, upper case.
    pub const fn as_char(self) -> char {
        if self.0 < 10 { (b'0' + self.0) as char } else { (b'A' + self.0 - 10) as char }
    }

    /// The glyph that stands for all that are drawn like this one on a UK plate: `O` is `0`, `I` is `1`
    /// (the mandatory font draws each pair alike; only position tells them apart).
    #[must_use]
    pub const fn folded(self) -> Self {
        match self.as_char() {
            'O' => Self(0),
            'I' => Self(1),
            _ => self,
        }
    }

    /// The other glyph of a pair that is drawn alike, if it has one.
    pub const fn twin(self) -> Option<Self> {
        match self.as_char() {
            'O' => Some(Self(0)),
            '0' => Some(Self(b'O' - b'A' + 10)),
            'I' => Some(Self(1)),
            '1' => Some(Self(b'I' - b'A' + 10)),
            _ => None,
        }
    }
}

impl fmt::Display for Glyph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_char())
    }
}

/// Why a text is no mark.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VrmError {
    /// Nothing was left after spaces were taken out.
    #[error("it is empty")]
    Empty,
    /// More glyphs than any mark has.
    #[error("it has {0} characters, a mark has at most {max}", max = Vrm::MAX)]
    TooLong(usize),
    /// A character that no mark has.
    #[error("{0:?} is not a letter A-Z or a digit")]
    BadCharacter(char),
}

/// A vehicle registration mark: 1 to [`Vrm::MAX`] glyphs, no spaces.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vrm {
    glyphs: [Glyph; Vrm::MAX],
    len: u8,
}

impl Vrm {
    /// The longest mark we carry. The longest format known to us has nine characters; capture records allow ten.
    pub const MAX: usize = 12;

    /// From glyphs; none when there are none or too many.
    pub fn from_glyphs(glyphs: impl IntoIterator<Item = Glyph>) -> Option<Self> {
        let mut vrm = Self { glyphs: [Glyph(0); Self::MAX], len: 0 };
        for glyph in glyphs {
            *vrm.glyphs.get_mut(usize::from(vrm.len))? = glyph;
            vrm.len += 1;
        }
        (vrm.len > 0).then_some(vrm)
    }

    /// From text as a person types it: spaces, hyphens and dots are passed over, lower case counts as upper.
    ///
    /// ```
    /// use kerbside::anpr::vrm::Vrm;
    ///
    /// let mark = Vrm::parse("ab12 cde")?;
    /// assert_eq!(mark.to_string(), "AB12CDE");
    /// assert_eq!(Vrm::parse("GO10 OLO")?.key(), Vrm::parse("G010 0L0")?.key());
    /// # Ok::<(), kerbside::anpr::vrm::VrmError>(())
    /// ```
    ///
    /// # Errors
    /// When nothing is left, too much is left, or a character is neither a letter A–Z nor a digit.
    pub fn parse(text: &str) -> Result<Self, VrmError> {
        let kept = || text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '-' | '.' | '·'));
        if let Some(bad) = kept().find(|c| Glyph::from_char(*c).is_none()) {
            return Err(VrmError::BadCharacter(bad));
        }
        match kept().count() {
            0 => Err(VrmError::Empty),
            n if n > Self::MAX => Err(VrmError::TooLong(n)),
            n => Self::from_glyphs(kept().filter_map(Glyph::from_char)).ok_or(VrmError::TooLong(n)),
        }
    }

    /// Its glyphs, in reading order.
    pub fn glyphs(&self) -> &[Glyph] {
        &self.glyphs[..usize::from(self.len)]
    }

    /// How many glyphs it has.
    #[allow(clippy::len_without_is_empty)] // a mark is never empty
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// The same mark with look-alikes folded.
    pub fn key(&self) -> VrmKey {
        let mut folded = *self;
        for glyph in &mut folded.glyphs {
            *glyph = glyph.folded();
        }
        VrmKey(folded)
    }
}

impl fmt::Display for Vrm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.glyphs().iter().try_for_each(|g| write!(f, "{g}"))
    }
}

impl fmt::Debug for Vrm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vrm({self})")
    }
}

/// A mark with look-alike glyphs folded (`O`→`0`, `I`→`1`): only ever a key, never shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VrmKey(Vrm);

impl VrmKey {
    /// The folded glyphs.
    pub fn glyphs(&self) -> &[Glyph] {
        self.0.glyphs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_becomes_a_mark_or_says_why_not() {
        for (text, expected) in [
            ("ab12 cde", Ok("AB12CDE")),
            ("A-1", Ok("A1")),
            ("", Err(VrmError::Empty)),
            ("  ", Err(VrmError::Empty)),
            ("ÄB12", Err(VrmError::BadCharacter('Ä'))),
            ("ABCDEFGHIJKLM", Err(VrmError::TooLong(13))),
        ] {
            assert_eq!(Vrm::parse(text).map(|v| v.to_string()), expected.map(str::to_owned), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn parse_and_show_are_inverse(text in "[A-Z0-9]{1,12}") {
            prop_assert_eq!(Vrm::parse(&text).expect("valid").to_string(), text);
        }

        #[test]
        fn keys_ignore_twins_and_nothing_else(text in "[A-Z0-9]{1,12}", at in 0usize..12) {
            let vrm = Vrm::parse(&text).expect("valid");
            let at = at % vrm.len();
            let mut glyphs = vrm.glyphs().to_vec();
            if let Some(twin) = glyphs[at].twin() {
                glyphs[at] = twin;
                prop_assert_eq!(Vrm::from_glyphs(glyphs).expect("same length").key(), vrm.key());
            } else {
                glyphs[at] = Glyph::from_index((glyphs[at].index() + 7) % GLYPHS).expect("in range");
                let same = glyphs[at].folded() == vrm.glyphs()[at].folded();
                prop_assert_eq!(Vrm::from_glyphs(glyphs).expect("same length").key() == vrm.key(), same);
            }
        }
    }
}
