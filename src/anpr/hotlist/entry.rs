//! One row of a hotlist, and the words its columns may hold. Words are exact: `stop`, not `Stop`; what reads a foreign format
//! turns its words into these.

use std::fmt;

use super::pattern::Pattern;
use crate::anpr::vrm::Vrm;
use crate::clock::UtcTime;

/// Which list, in which version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HotlistVersion {
    /// The list's opaque id.
    pub list: String,
    /// Its version: the number of a sealed list; for a plain file, the first 12 hex digits of its SHA-256.
    pub version: String,
}

/// What a crew is asked to do. In order of urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Stop the vehicle.
    Stop,
    /// Look and decide.
    Assess,
    /// Report where it was seen; no need to act.
    Intelligence,
    /// Record only: nobody near the vehicle may notice.
    Silent,
}

impl Action {
    /// All of them, most urgent first.
    pub const ALL: [Self; 4] = [Self::Stop, Self::Assess, Self::Intelligence, Self::Silent];

    /// The word used in lists and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Assess => "assess",
            Self::Intelligence => "intelligence",
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

/// A warning marker: a code of two letters, such as `FI` for firearms. Codes that we have no word for are carried all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Marker([u8; 2]);

/// Codes whose meaning we know, most urgent first. The letters are those of the Police National Computer's warning signals as
/// officers' handbooks give them (recalled, not looked up: treat words as a help for people, the code is what counts).
const MARKERS: [(&str, &str); 12] = [
    ("FI", "firearms"),
    ("XP", "explosives"),
    ("WE", "weapons"),
    ("VI", "violent"),
    ("ES", "escaper"),
    ("IS", "impersonates"),
    ("DR", "drugs"),
    ("CO", "contagious"),
    ("SU", "suicidal"),
    ("SH", "self-harm"),
    ("MN", "mental health"),
    ("AT", "ailment"),
];

impl Marker {
    /// From two letters A–Z.
    pub fn parse(code: &str) -> Option<Self> {
        let bytes: [u8; 2] = code.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_uppercase).then_some(Self(bytes))
    }

    /// Its two letters.
    pub fn as_str(&self) -> &str {
        // Invariant: both bytes are ASCII letters since `parse`.
        std::str::from_utf8(&self.0).expect("two ASCII letters")
    }

    /// What it means, where we know.
    pub fn meaning(self) -> Option<&'static str> {
        MARKERS.iter().find(|(code, _)| *code == self.as_str()).map(|(_, meaning)| *meaning)
    }

    /// Its place in the order of urgency, 0 the most urgent; unknown codes come last.
    pub fn urgency(self) -> usize {
        MARKERS.iter().position(|(code, _)| *code == self.as_str()).unwrap_or(MARKERS.len())
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an entry may say besides mark, action, priority, markers, reason and dates: the further columns of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Detail {
    /// Make of the vehicle.
    Make,
    /// Model.
    Model,
    /// Colour.
    Colour,
    /// Who wants it: the system or unit that the row came from.
    Source,
    /// Force and area.
    Force,
    /// 5x5x5 code of the National Intelligence Model.
    Nim,
    /// What to know, and what to do.
    Information,
    /// Id on the Police National Computer.
    PncId,
    /// Protective marking (Government Protective Marking Scheme).
    Gpms,
    /// Reference of the command-and-control (CAD) log.
    Cad,
    /// Spare column 1.
    Spare1,
    /// Spare column 2.
    Spare2,
}

impl Detail {
    /// How many there are.
    pub const COUNT: usize = 12;
    /// All of them, in the order of our columns.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Make,
        Self::Model,
        Self::Colour,
        Self::Source,
        Self::Force,
        Self::Nim,
        Self::Information,
        Self::PncId,
        Self::Gpms,
        Self::Cad,
        Self::Spare1,
        Self::Spare2,
    ];

    /// The name of its column and field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Make => "make",
            Self::Model => "model",
            Self::Colour => "colour",
            Self::Source => "source",
            Self::Force => "force",
            Self::Nim => "nim",
            Self::Information => "information",
            Self::PncId => "pnc_id",
            Self::Gpms => "gpms",
            Self::Cad => "cad",
            Self::Spare1 => "spare_1",
            Self::Spare2 => "spare_2",
        }
    }
}

/// The further columns of an entry; each may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Details([String; Detail::COUNT]);

impl Details {
    /// One of them; empty when the row has none.
    pub fn get(&self, detail: Detail) -> &str {
        &self.0[detail as usize]
    }

    /// Sets one of them.
    pub fn set(&mut self, detail: Detail, text: impl Into<String>) {
        self.0[detail as usize] = text.into();
    }
}

/// What an entry wants: a mark, or all marks of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wanted {
    /// Just this mark.
    Mark(Vrm),
    /// Every mark that fits. Local lists only.
    Pattern(Pattern),
}

impl Wanted {
    /// The mark, where it is one.
    pub const fn mark(&self) -> Option<&Vrm> {
        match self {
            Self::Mark(vrm) => Some(vrm),
            Self::Pattern(_) => None,
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mark(vrm) => vrm.fmt(f),
            Self::Pattern(pattern) => pattern.fmt(f),
        }
    }
}

/// One row of a hotlist.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HotlistEntry {
    /// What is wanted.
    pub wanted: Wanted,
    /// What to do.
    pub action: Action,
    /// How urgent.
    pub priority: Priority,
    /// Warning markers, in the order of the list.
    pub markers: Vec<Marker>,
    /// Why, as the list's owner put it.
    pub reason: String,
    /// Not matched before.
    pub valid_from: Option<UtcTime>,
    /// Not matched from then on (the weed date).
    pub valid_until: Option<UtcTime>,
    /// Everything else.
    pub details: Details,
}

impl HotlistEntry {
    /// An entry that says no more than what is wanted, what to do and how urgent it is.
    pub fn new(wanted: Wanted, action: Action, priority: Priority) -> Self {
        Self {
            wanted,
            action,
            priority,
            markers: Vec::new(),
            reason: String::new(),
            valid_from: None,
            valid_until: None,
            details: Details::default(),
        }
    }

    /// Whether it may match at a moment: from `valid_from` on, until just before `valid_until`.
    pub fn is_in_force(&self, at: UtcTime) -> bool {
        self.valid_from.is_none_or(|from| at >= from) && self.valid_until.is_none_or(|until| at < until)
    }

    /// Whether another entry asks the same of people: the same of the same mark, as urgently, with the same warnings. Words and
    /// dates don't count: lists come anew every day with later ones.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        self.wants_the_same(other) && self.priority == other.priority && self.markers == other.markers
    }

    /// Whether another entry wants the same done about the same mark, however urgently.
    pub fn wants_the_same(&self, other: &Self) -> bool {
        self.wanted == other.wanted && self.action == other.action
    }

    /// Heap memory of its texts and markers, bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        let details: usize = self.details.0.iter().map(String::capacity).sum();
        self.reason.capacity() + details + self.markers.capacity() * size_of::<Marker>()
    }

    /// The most urgent of its markers in the order of urgency, 0 the most urgent; one without markers comes last.
    pub fn marker_urgency(&self) -> usize {
        self.markers.iter().map(|m| m.urgency()).min().unwrap_or(usize::MAX)
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
        assert_eq!(Marker::parse("FI").map(|m| (m.meaning(), m.urgency())), Some((Some("firearms"), 0)));
        assert_eq!((Marker::parse("fi"), Marker::parse("FIR"), Marker::parse("F1")), (None, None, None));
        assert!(Marker::parse("QQ").is_some_and(|m| m.meaning().is_none() && m.urgency() > 11));
        assert!(Detail::ALL.iter().enumerate().all(|(i, d)| *d as usize == i), "a detail's place is its number");
    }
}
