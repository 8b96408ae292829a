//! Words that many rows share (makes, colours, reasons), kept once and named by number.
//!
//! Each column has its own. A text gets a number when it comes the second time, so ids and free text, which hardly come twice,
//! stay in their rows. Bounded in every way ([`MAX_WORDS`], [`MAX_TEXT`], [`MAX_WORD`]): what finds no room stays in its row too.

use super::entry::Detail;

/// Columns of text: the reason, then the details in their order.
pub(super) const COLUMNS: usize = 1 + Detail::COUNT;

/// Most words of a column. Their numbers then take two bytes at most, the first 64 of them one.
const MAX_WORDS: usize = 4096;

/// Most text of a column's words, bytes.
const MAX_TEXT: usize = 256 << 10;

/// Longest word, bytes.
const MAX_WORD: usize = 255;

/// Places of the hash table; at most half of them are taken.
const SLOTS: usize = 2 * MAX_WORDS;

/// How far a word may lie from its place in the table. A list made to collide wastes memory, not time.
const PROBES: usize = 16;

/// The words of one column, by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    text: String,
    ends: Vec<u32>,
}

impl Words {
    /// A word by its number; empty for a number that was never given.
    pub(super) fn get(&self, number: usize) -> &str {
        let end = |n: usize| self.ends.get(n).map(|end| *end as usize);
        let from = number.checked_sub(1).map_or(Some(0), end);
        from.zip(end(number)).and_then(|(from, to)| self.text.get(from..to)).unwrap_or_default()
    }

    fn has_room(&self, text: &str) -> bool {
        self.ends.len() < MAX_WORDS && self.text.len() + text.len() <= MAX_TEXT
    }

    /// Heap memory, bytes.
    const fn size_bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<u32>()
    }
}

/// The words of all columns.
#[derive(Clone, Debug, Default)]
pub(super) struct Dictionary([Words; COLUMNS]);

impl Dictionary {
    /// A word of a column.
    pub(super) fn get(&self, column: usize, number: usize) -> &str {
        self.0.get(column).map_or("", |words| words.get(number))
    }

    /// Heap memory, bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.0.iter().map(Words::size_bytes).sum()
    }
}

/// Gives numbers to the words of a list that is being built.
#[derive(Debug, Default)]
pub(super) struct Interner([Column; COLUMNS]);

#[derive(Debug, Default)]
struct Column {
    words: Words,
    /// Numbers plus one, by hash; zero where free. Empty until it is needed.
    slots: Vec<u16>,
    /// What came lately, by hash.
    lately: Vec<u32>,
}

impl Interner {
    /// Goes on from the words of another list: numbers given there stay.
    pub(super) fn from_dictionary(dictionary: &Dictionary) -> Self {
        Self(dictionary.0.clone().map(Column::from_words))
    }

    /// The number of a text, if it has one or gets one now.
    pub(super) fn number(&mut self, column: usize, text: &str) -> Option<usize> {
        self.0.get_mut(column)?.number(text)
    }

    /// The words, for reading.
    pub(super) fn finish(self) -> Dictionary {
        Dictionary(self.0.map(|mut column| {
            column.words.text.shrink_to_fit();
            column.words.ends.shrink_to_fit();
            column.words
        }))
    }
}

impl Column {
    fn from_words(words: Words) -> Self {
        let mut column = Self { words, slots: Vec::new(), lately: Vec::new() };
        for number in 0..column.words.ends.len() {
            if let Err(Some(slot)) = column.find(hash(column.words.get(number)), column.words.get(number)) {
                column.take(slot, number);
            }
        }
        column
    }

    fn number(&mut self, text: &str) -> Option<usize> {
        if text.len() > MAX_WORD {
            return None;
        }
        let hash = hash(text);
        let slot = match self.find(hash, text) {
            Ok(number) => return Some(number),
            Err(slot) => slot?,
        };
        self.lately.resize(MAX_WORDS, 0);
        let (place, mark) = (usize::try_from(hash >> 40).unwrap_or(0) % MAX_WORDS, upper(hash));
        if self.lately[place] != mark {
            self.lately[place] = mark;
            return None;
        }
        if !self.words.has_room(text) {
            return None;
        }
        let number = self.words.ends.len();
        self.words.text.push_str(text);
        self.words.ends.push(u32::try_from(self.words.text.len()).ok()?);
        self.take(slot, number);
        Some(number)
    }

    /// The number of a text, or else the free slot where it would go, if there is one near.
    fn find(&self, hash: u64, text: &str) -> Result<usize, Option<usize>> {
        let first = usize::try_from(hash % SLOTS as u64).unwrap_or(0);
        for slot in (first..first + PROBES).map(|slot| slot % SLOTS) {
            match self.slots.get(slot).copied().unwrap_or(0) {
                0 => return Err(Some(slot)),
                taken if self.words.get(usize::from(taken) - 1) == text => return Ok(usize::from(taken) - 1),
                _ => {}
            }
        }
        Err(None)
    }

    fn take(&mut self, slot: usize, number: usize) {
        self.slots.resize(SLOTS, 0);
        self.slots[slot] = u16::try_from(number + 1).unwrap_or(0);
    }
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

/// The part of a hash that tells texts of one place apart; never zero, which stands for none.
fn upper(hash: u64) -> u32 {
    u32::try_from((hash >> 8) & 0xFFFF_FFFF).unwrap_or(0) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_twice_has_a_number_and_keeps_it() {
        let mut words = Interner::default();
        assert_eq!(words.number(0, "stolen"), None);
        assert_eq!(words.number(0, "stolen"), Some(0));
        assert_eq!(words.number(1, "stolen"), None, "another column");
        assert_eq!((words.number(0, "é"), words.number(0, "é")), (None, Some(1)));
        let dictionary = words.finish();
        assert_eq!(
            (dictionary.get(0, 0), dictionary.get(0, 1), dictionary.get(0, 2), dictionary.get(99, 0)),
            ("stolen", "é", "", "")
        );
        let mut again = Interner::from_dictionary(&dictionary);
        assert_eq!((again.number(0, "é"), again.number(0, "stolen")), (Some(1), Some(0)));
    }

    #[test]
    fn it_never_grows_beyond_its_bounds() {
        let mut words = Interner::default();
        for round in 0..2 * MAX_WORDS {
            let text = format!("{round:0>200}");
            for _ in 0..2 {
                if let Some(number) = words.number(3, &text) {
                    assert_eq!(words.0[3].words.get(number), text);
                }
            }
        }
        assert!(words.0[3].words.text.len() <= MAX_TEXT && words.0[3].words.ends.len() > 1000);
        let long = "x".repeat(MAX_WORD + 1);
        assert_eq!((words.number(4, &long), words.number(4, &long)), (None, None));
    }
}
