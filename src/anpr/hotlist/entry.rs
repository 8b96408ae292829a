//! One row of a hotlist, and the words its columns may hold. Words are exact: `stop`, not `Stop`; a list that is
//! sloppy about them is a list to be looked at.

use std::fmt;

use crate::anpr::vrm::Vrm;
use crate::clock::UtcTime;

/// Which list, in which version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HotlistVersion {
    /// The list's opaque id.
    pub list: String,
    /// Its version: for a list from a plain CSV, the first 12 hex digits of the file's SHA-256.
    pub version: String,
}

/// What a crew is asked to do. In order of urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Stop the vehicle.
    Stop,
    /// Look and decide.
    Assess,
    /// Record only: nobody near the vehicle may notice.
    Silent,
}

impl Action {
    /// All of them, most urgent first.
    pub const ALL: [Self; 3] = [Self::Stop, Self::Assess, Self::Silent];

    /// The word used in lists and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Assess => "assess",
            Self::Silent => "silent",
        }
    }

    /// Reads [`Self::as_str`]'s words.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.as_str() == word)
    }
}

/// P0 (most urgent) to P3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// The most urgent.
    pub const P0: Self = Self(0);
    /// The least urgent.
    pub const P3: Self = Self(3);

    /// From its number, 0..=3.
    pub fn new(number: u8) -> Option<Self> {
        (number <= Self::P3.0).then_some(Self(number))
    }

    /// Its number, 0 (most urgent) ..= 3.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The word used in lists and messages: `P0` … `P3`.
    pub const fn as_str(self) -> &'static str {
        match self.0 {
            0 => "P0",
            1 => "P1",
            2 => "P2",
            _ => "P3",
        }
    }

    /// Reads `P0` … `P3`.
    pub fn parse(word: &str) -> Option<Self> {
        (0..=3).map(Self).find(|p| p.as_str() == word)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One row of a hotlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HotlistEntry {
    /// The mark wanted.
    pub vrm: Vrm,
    /// What to do.
    pub action: Action,
    /// How urgent.
    pub priority: Priority,
    /// Why, as the list's owner put it.
    pub reason: String,
    /// Not matched before.
    pub valid_from: Option<UtcTime>,
    /// Not matched from then on (the weed date).
    pub valid_until: Option<UtcTime>,
}

impl HotlistEntry {
    /// Whether it may match at a moment: from `valid_from` on, until just before `valid_until`.
    pub fn is_in_force(&self, at: UtcTime) -> bool {
        self.valid_from.is_none_or(|from| at >= from) && self.valid_until.is_none_or(|until| at < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_exact() {
        assert_eq!(Action::parse("assess"), Some(Action::Assess));
        assert_eq!(Action::parse("Stop"), None);
        assert_eq!(Priority::parse("P2").map(Priority::number), Some(2));
        assert_eq!(Priority::parse("P4"), None);
        assert_eq!(Priority::new(4), None);
        assert!(Priority::P0 < Priority::P3 && Action::Stop < Action::Silent);
    }
}
