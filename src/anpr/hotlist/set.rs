//! All lists in force at one moment: what a read is held against.

use std::sync::Arc;

use super::entry::HotlistVersion;
use super::index::Hotlist;
use super::r#match::{Hit, MatchOptions, Reading, rank};
use crate::clock::UtcTime;

/// Lists in force, immutable, swapped whole.
#[derive(Clone, Debug, Default)]
pub struct Hotlists {
    lists: Vec<Arc<Hotlist>>,
    options: MatchOptions,
}

impl Hotlists {
    /// From lists, in the order of their ids.
    pub fn new(mut lists: Vec<Arc<Hotlist>>, options: MatchOptions) -> Self {
        lists.sort_by(|a, b| a.version().list.cmp(&b.version().list));
        Self { lists, options }
    }

    /// The lists, in the order of their ids.
    pub fn lists(&self) -> &[Arc<Hotlist>] {
        &self.lists
    }

    /// How far matches go.
    pub const fn options(&self) -> &MatchOptions {
        &self.options
    }

    /// Which lists, in which versions.
    pub fn versions(&self) -> Vec<HotlistVersion> {
        self.lists.iter().map(|l| l.version().clone()).collect()
    }

    /// Puts the entries of all lists that the read matches at moment `at` into `hits` (which is emptied first), most urgent
    /// first. Nothing is allocated for no hit.
    pub fn lookup(&self, reading: Reading<'_>, at: UtcTime, hits: &mut Vec<Hit>) {
        hits.clear();
        for list in &self.lists {
            list.lookup(reading, at, &self.options, hits);
        }
        rank(hits);
    }
}
