//! The snapshot and the way into it.

use super::entry::{HotlistEntry, HotlistVersion, Wanted};
use crate::anpr::vrm::VrmKey;
use crate::clock::UtcTime;

/// Why no snapshot came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the list is larger than a snapshot can hold (2^32 rows or 4 GiB of text)")]
pub struct HotlistFull;

/// A list in one version: immutable, shared by `Arc`, swapped whole.
#[derive(Clone, Debug)]
pub struct Hotlist {
    version: HotlistVersion,
    created: Option<UtcTime>,
    expires: Option<UtcTime>,
    entries: Vec<HotlistEntry>,
    by_key: Vec<(VrmKey, u32)>,
    patterns: Vec<u32>,
}

/// Takes rows in and makes a [`Hotlist`] of them. Rows may come in any order; those of one folded mark keep theirs.
#[derive(Debug)]
pub struct HotlistBuilder {
    entries: Vec<HotlistEntry>,
}

impl HotlistBuilder {
    /// With room for about so many rows; more may come.
    pub fn with_capacity(rows: usize) -> Self {
        Self { entries: Vec::with_capacity(rows.min(1 << 20)) }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// When the snapshot is full.
    pub fn push(&mut self, entry: &HotlistEntry) -> Result<(), HotlistFull> {
        self.entries.push(entry.clone());
        Ok(())
    }

    /// The snapshot.
    pub fn finish(self, version: HotlistVersion) -> Hotlist {
        let rows = || (0u32..).zip(&self.entries);
        let mut by_key: Vec<_> = rows().filter_map(|(n, e)| Some((e.wanted.mark()?.key(), n))).collect();
        by_key.sort_unstable();
        let patterns = rows().filter(|(_, e)| matches!(e.wanted, Wanted::Pattern(_))).map(|(n, _)| n).collect();
        Hotlist { version, created: None, expires: None, entries: self.entries, by_key, patterns }
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
        self.entries.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Memory that it takes, bytes.
    pub fn size_bytes(&self) -> usize {
        size_of_val(&self.entries[..]) + size_of_val(&self.by_key[..])
    }

    /// Its entries, patterns last, marks in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = HotlistEntry> + '_ {
        let marks = self.by_key.iter().map(|(_, n)| *n);
        marks.chain(self.patterns.iter().copied()).filter_map(|n| self.entries.get(n as usize).cloned())
    }

    /// The entries whose folded mark is `key`, in the order they came.
    pub(super) fn with_key(&self, key: VrmKey) -> impl Iterator<Item = HotlistEntry> + '_ {
        let from = self.by_key.partition_point(|(k, _)| *k < key);
        let same = self.by_key[from..].iter().take_while(move |(k, _)| *k == key);
        same.filter_map(|(_, number)| self.entries.get(*number as usize).cloned())
    }

    /// The entries that are patterns, in the order they came.
    pub(super) fn patterns(&self) -> impl Iterator<Item = HotlistEntry> + '_ {
        self.patterns.iter().filter_map(|n| self.entries.get(*n as usize).cloned())
    }
}
