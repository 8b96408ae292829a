//! What one version of a list changes of the one before. A row that is changed is removed as it was and added as it is.

use super::entry::{HotlistEntry, HotlistVersion};
use super::index::{Hotlist, HotlistBuilder, HotlistFull};

/// Rows to take out and rows to put in. Removed rows are named whole: a row that is not there, letter by letter, shows that the
/// delta was made for another list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Rows that go.
    pub remove: Vec<HotlistEntry>,
    /// Rows that come.
    pub add: Vec<HotlistEntry>,
}

/// Why a delta can't be applied; the list it was meant for stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// A row to be removed is not in the list. (How many rows are missing; marks stay out of messages.)
    #[error("{0} of the rows that it removes are not in the list: it was made for another one")]
    NotThere(usize),
    /// Too large.
    #[error(transparent)]
    Full(#[from] HotlistFull),
}

impl Delta {
    /// This delta and the next one as one: rows that come and go again cancel out.
    pub fn then(&mut self, next: Self) {
        for gone in next.remove {
            match self.add.iter().position(|added| *added == gone) {
                Some(at) => drop(self.add.remove(at)),
                None => self.remove.push(gone),
            }
        }
        for new in next.add {
            match self.remove.iter().position(|removed| *removed == new) {
                Some(at) => drop(self.remove.remove(at)),
                None => self.add.push(new),
            }
        }
    }
}

impl Hotlist {
    /// A new snapshot: this one without the rows that go, with the rows that come. It has no dates yet (see [`Hotlist::dated`]).
    ///
    /// # Errors
    /// When a row to be removed isn't there, or the result is too large.
    pub fn changed(&self, delta: &Delta, version: HotlistVersion) -> Result<Self, DeltaError> {
        let mut gone: Vec<&HotlistEntry> = delta.remove.iter().collect();
        let mut builder = HotlistBuilder::with_capacity(self.len() + delta.add.len());
        for entry in self.iter() {
            match gone.iter().position(|g| **g == entry) {
                Some(at) => drop(gone.remove(at)),
                None => builder.push(&entry)?,
            }
        }
        if !gone.is_empty() {
            return Err(DeltaError::NotThere(gone.len()));
        }
        delta.add.iter().try_for_each(|entry| builder.push(entry))?;
        Ok(builder.finish(version))
    }
}
