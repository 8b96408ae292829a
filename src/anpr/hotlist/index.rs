//! The snapshot and the way into it.
//!
//! A row is its key (8 bytes), where its bytes begin (4) and the bytes (`row`), the rows in the order of their keys; beside them
//! the words that rows share (`words`) and a filter over the keys (`filter`, 1.5 bytes a row). Patterns are few and kept whole.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::entry::{HotlistEntry, HotlistVersion, Wanted};
use super::filter::Filter;
use super::packed::{Packed, letters};
use super::row::{self, Head};
use super::words::{Dictionary, Interner};
use crate::clock::UtcTime;

/// Why no snapshot came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the list is larger than a snapshot can hold (2^32 rows or 4 GiB of text)")]
pub struct HotlistFull;

/// Rows for which room is made before they come; whoever announces more gets it as they come.
const MAX_RESERVED: usize = 1 << 23;

/// A list in one version: immutable, shared by `Arc`, swapped whole.
#[derive(Clone)]
pub struct Hotlist {
    version: HotlistVersion,
    /// The list's id, for hits to share.
    id: Arc<str>,
    created: Option<UtcTime>,
    expires: Option<UtcTime>,
    rows: Rows,
    words: Dictionary,
    filter: Filter,
    patterns: Vec<Arc<HotlistEntry>>,
}

/// Rows as bytes.
#[derive(Clone, Default)]
pub(super) struct Rows {
    keys: Vec<Packed>,
    /// Where each row begins; it ends where the next begins.
    begins: Vec<u32>,
    bytes: Vec<u8>,
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn key(&self, row: usize) -> Packed {
        self.keys.get(row).copied().unwrap_or(Packed(0))
    }

    pub(super) fn bytes(&self, row: usize) -> &[u8] {
        self.bytes.get(self.begin(row)..self.begin(row + 1)).unwrap_or_default()
    }

    /// The first row from `from` on whose key is not below `key`.
    pub(super) fn seek(&self, from: usize, key: Packed) -> usize {
        from + self.keys.get(from..).map_or(0, |keys| keys.partition_point(|k| *k < key))
    }

    fn begin(&self, row: usize) -> usize {
        self.begins.get(row).map_or(self.bytes.len(), |begin| *begin as usize)
    }

    /// Makes room for bytes, an eighth more than there are at a time: doubling would waste what a small box hasn't got.
    fn make_room(&mut self, bytes: usize) {
        if self.bytes.capacity() - self.bytes.len() < bytes {
            self.bytes.reserve_exact(bytes.max(self.bytes.len() / 8).max(1 << 10));
        }
    }

    /// Begins a row, whose bytes come next.
    fn begin_row(&mut self, key: Packed) -> Result<(), HotlistFull> {
        if self.keys.len() >= u32::MAX as usize {
            return Err(HotlistFull);
        }
        self.begins.push(u32::try_from(self.bytes.len()).map_err(|_| HotlistFull)?);
        self.keys.push(key);
        Ok(())
    }

    /// Copies rows of another list behind those that are here.
    fn copy(&mut self, from: &Self, rows: Range<usize>) -> Result<(), HotlistFull> {
        let bytes = from.begin(rows.start)..from.begin(rows.end);
        let (here, there) = (u32::try_from(self.bytes.len()), u32::try_from(bytes.start));
        let (Ok(here), Ok(there), Ok(_)) = (here, there, u32::try_from(self.bytes.len() + bytes.len())) else {
            return Err(HotlistFull);
        };
        if self.keys.len() + rows.len() > u32::MAX as usize {
            return Err(HotlistFull);
        }
        self.make_room(bytes.len());
        self.keys.extend_from_slice(from.keys.get(rows.clone()).unwrap_or_default());
        // Below 2^32 by the check above: a row of these begins where its bytes do, none of them past the end.
        self.begins.extend(from.begins.get(rows).unwrap_or_default().iter().map(|begin| begin - there + here));
        self.bytes.extend_from_slice(from.bytes.get(bytes).unwrap_or_default());
        Ok(())
    }

    /// The same rows in the order of their keys, those of one key in the order they are here.
    fn sorted(self) -> Self {
        let mut order: Vec<u32> = (0u32..).take(self.len()).collect();
        order.sort_unstable_by_key(|row| (self.key(*row as usize), *row));
        let mut sorted = Self {
            keys: Vec::with_capacity(self.len()),
            begins: Vec::with_capacity(self.len()),
            bytes: Vec::with_capacity(self.bytes.len()),
        };
        for row in order {
            sorted.keys.push(self.key(row as usize));
            // The bytes are as many as before, and those were counted in 32 bits.
            sorted.begins.push(u32::try_from(sorted.bytes.len()).unwrap_or(u32::MAX));
            sorted.bytes.extend_from_slice(self.bytes(row as usize));
        }
        sorted
    }

    fn shrink(&mut self) {
        self.keys.shrink_to_fit();
        self.begins.shrink_to_fit();
        self.bytes.shrink_to_fit();
    }

    const fn size_bytes(&self) -> usize {
        self.keys.capacity() * size_of::<Packed>() + self.begins.capacity() * size_of::<u32>() + self.bytes.capacity()
    }
}

/// Takes rows in and makes a [`Hotlist`] of them. Rows may come in any order; those of one folded mark keep theirs. Rows that
/// come in the order of their keys cost the least: nothing is sorted and nothing moves.
pub struct HotlistBuilder {
    rows: Rows,
    words: Interner,
    patterns: Vec<Arc<HotlistEntry>>,
    in_order: bool,
}

impl HotlistBuilder {
    /// With room for so many rows, up to some millions; more may come.
    pub fn with_capacity(rows: usize) -> Self {
        let rows = rows.min(MAX_RESERVED);
        let rows = Rows { keys: Vec::with_capacity(rows), begins: Vec::with_capacity(rows), bytes: Vec::new() };
        Self { rows, words: Interner::default(), patterns: Vec::new(), in_order: true }
    }

    /// For a list that is much like another one: with its words, and room for its rows and some more.
    pub(super) fn like(list: &Hotlist, more_rows: usize, more_bytes: usize) -> Self {
        let mut builder = Self::with_capacity(list.rows.len() + more_rows.min(MAX_RESERVED));
        builder.words = Interner::from_dictionary(&list.words);
        builder.rows.make_room(list.rows.bytes.len() + more_bytes.min(1 << 24));
        builder
    }

    /// Adds a row.
    ///
    /// # Errors
    /// When the snapshot is full; the rows so far stand.
    pub fn push(&mut self, entry: &HotlistEntry) -> Result<(), HotlistFull> {
        let Wanted::Mark(vrm) = &entry.wanted else {
            self.patterns.push(Arc::new(entry.clone()));
            return Ok(());
        };
        let key = Packed::of(vrm);
        let before = self.rows.bytes.len();
        self.rows.make_room(row::size_hint(entry));
        self.note_order(key);
        self.rows.begin_row(key)?;
        row::write(&mut self.rows.bytes, entry, letters(vrm), &mut self.words);
        if u32::try_from(self.rows.bytes.len()).is_err() {
            self.rows.bytes.truncate(before);
            self.rows.keys.pop();
            self.rows.begins.pop();
            return Err(HotlistFull);
        }
        Ok(())
    }

    /// Adds rows of the list that this one is [`like`](Self::like), as they are.
    pub(super) fn copy(&mut self, list: &Hotlist, rows: Range<usize>) -> Result<(), HotlistFull> {
        if !rows.is_empty() {
            self.note_order(list.rows.key(rows.start));
            self.rows.copy(&list.rows, rows)?;
        }
        Ok(())
    }

    fn note_order(&mut self, key: Packed) {
        self.in_order &= self.rows.keys.last().is_none_or(|last| *last <= key);
    }

    /// The snapshot.
    pub fn finish(mut self, version: HotlistVersion) -> Hotlist {
        if !self.in_order {
            self.rows = self.rows.sorted();
        }
        self.rows.shrink();
        self.patterns.shrink_to_fit();
        let filter = Filter::of(&self.rows.keys);
        let id = version.list.as_str().into();
        let (rows, words, patterns) = (self.rows, self.words.finish(), self.patterns);
        Hotlist { version, id, created: None, expires: None, rows, words, filter, patterns }
    }
}

/// How many rows, and none of what they say: marks stay out of logs.
impl fmt::Debug for HotlistBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HotlistBuilder").field("rows", &self.rows.len()).finish_non_exhaustive()
    }
}

/// Which list and how many rows, and none of what they say: marks stay out of logs.
impl fmt::Debug for Hotlist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hotlist").field("version", &self.version).field("entries", &self.len()).finish_non_exhaustive()
    }
}

impl Hotlist {
    /// Builds the snapshot.
    ///
    /// # Errors
    /// When there are more rows or more text than a snapshot can hold.
    pub fn new(version: HotlistVersion, entries: &[HotlistEntry]) -> Result<Self, HotlistFull> {
        let mut builder = HotlistBuilder::with_capacity(entries.len());
        entries.iter().try_for_each(|entry| builder.push(entry))?;
        Ok(builder.finish(version))
    }

    /// The same list with the moments that its owner signed: when it was made, and from when on nothing of it may match.
    #[must_use]
    pub fn dated(mut self, created: Option<UtcTime>, expires: Option<UtcTime>) -> Self {
        (self.created, self.expires) = (created, expires);
        self
    }

    /// Which list, in which version.
    pub fn version(&self) -> &HotlistVersion {
        &self.version
    }

    /// When its owner made it, where that is known.
    pub fn created(&self) -> Option<UtcTime> {
        self.created
    }

    /// From when on nothing of it matches; none for never.
    pub fn expires(&self) -> Option<UtcTime> {
        self.expires
    }

    /// How many entries it has, in force or not.
    pub fn len(&self) -> usize {
        self.rows.len() + self.patterns.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Heap memory that it takes, bytes.
    pub fn size_bytes(&self) -> usize {
        // Behind an `Arc` are two counts and what is shared.
        let shared = |bytes: usize| (2 * size_of::<usize>() + bytes).next_multiple_of(align_of::<usize>());
        let names = self.version.list.capacity() + self.version.version.capacity() + shared(self.id.len());
        let patterns: usize = self.patterns.iter().map(|p| shared(size_of::<HotlistEntry>()) + p.heap_bytes()).sum();
        let pattern_slots = self.patterns.capacity() * size_of::<Arc<HotlistEntry>>();
        self.rows.size_bytes() + self.words.size_bytes() + self.filter.size_bytes() + names + patterns + pattern_slots
    }

    /// Its entries: marks in the order of their keys, those of one key in the order they came, then patterns.
    pub fn iter(&self) -> impl Iterator<Item = HotlistEntry> + '_ {
        let marks = (0..self.rows.len()).map(|row| self.entry(row));
        marks.chain(self.patterns.iter().map(|pattern| (**pattern).clone()))
    }

    pub(super) fn id(&self) -> &Arc<str> {
        &self.id
    }

    pub(super) fn rows(&self) -> &Rows {
        &self.rows
    }

    /// What matching needs of a row.
    pub(super) fn head(&self, row: usize) -> Head<'_> {
        Head::of(self.rows.bytes(row))
    }

    /// A row, whole.
    pub(super) fn entry(&self, row: usize) -> HotlistEntry {
        self.head(row).entry(self.rows.key(row), &self.words)
    }

    /// The rows of a key, in the order they came.
    pub(super) fn with_key(&self, key: Packed) -> Range<usize> {
        if !self.filter.may_have(key) {
            return 0..0;
        }
        let from = self.rows.seek(0, key);
        let mut to = from;
        while to < self.rows.len() && self.rows.key(to) == key {
            to += 1;
        }
        from..to
    }

    /// The entries that are patterns, in the order they came.
    pub(super) fn patterns(&self) -> &[Arc<HotlistEntry>] {
        &self.patterns
    }
}
