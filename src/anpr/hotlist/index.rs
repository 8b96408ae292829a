//! The snapshot and the way into it: entries, and their folded marks sorted for binary search.
//!
//! A sorted array costs 20 bytes an entry and no rebuilding surprises; a lookup in a million rows is twenty comparisons.

use std::sync::Arc;

use super::entry::{HotlistEntry, HotlistVersion};
use crate::anpr::vrm::VrmKey;

/// A list in one version: immutable, shared by [`Arc`], swapped whole.
#[derive(Clone, Debug)]
pub struct Hotlist {
    version: HotlistVersion,
    entries: Vec<Arc<HotlistEntry>>,
    /// Folded mark and number of the entry, sorted by both.
    by_key: Vec<(VrmKey, u32)>,
}

impl Hotlist {
    /// Builds the snapshot. Entries beyond 2^32 are dropped (no box holds them; `publish::sync` bounds the file long before).
    pub fn new(version: HotlistVersion, entries: Vec<HotlistEntry>) -> Self {
        let mut by_key: Vec<_> = (0u32..).zip(&entries).map(|(number, entry)| (entry.vrm.key(), number)).collect();
        by_key.sort_unstable();
        Self { version, entries: entries.into_iter().map(Arc::new).collect(), by_key }
    }

    /// Which list, in which version.
    pub fn version(&self) -> &HotlistVersion {
        &self.version
    }

    /// How many entries it has, in force or not.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Its entries, in the order they came.
    pub fn entries(&self) -> &[Arc<HotlistEntry>] {
        &self.entries
    }

    /// The entries whose folded mark is `key`, in the order they came.
    pub(super) fn with_key(&self, key: VrmKey) -> impl Iterator<Item = &Arc<HotlistEntry>> {
        let from = self.by_key.partition_point(|(k, _)| *k < key);
        let same = self.by_key[from..].iter().take_while(move |(k, _)| *k == key);
        same.filter_map(|(_, number)| self.entries.get(*number as usize))
    }
}
