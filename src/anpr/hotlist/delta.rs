//! What one version of a list changes of the one before. A row that is changed is removed as it was and added as it is.

use std::collections::{HashMap, HashSet};

use super::entry::{HotlistEntry, HotlistVersion, Wanted};
use super::index::{Hotlist, HotlistBuilder, HotlistFull};
use super::packed::Packed;
use super::row;

/// Rows to take out and rows to put in. Removed rows are named whole: a row that is not there, letter by letter, shows that the
/// delta was made for another list. A row named twice goes (or comes) twice.
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
    /// This delta and the next one as one: rows that come and go again cancel out, and so do rows that go and come again.
    /// Takes time in proportion to both. Of many deltas, see [`Self::of_steps`].
    pub fn then(&mut self, next: Self) {
        cancel(&mut self.add, next.remove, &mut self.remove);
        cancel(&mut self.remove, next.add, &mut self.add);
    }

    /// Deltas that follow one another as one. Each row is looked at a few times, however many the steps and however little cancels
    /// out: neighbours are joined first, and the longer ones these make then.
    pub fn of_steps(steps: impl IntoIterator<Item = Self>) -> Self {
        // As one counts in binary: two of a height make one of the next.
        let mut joined: Vec<(u32, Self)> = Vec::new();
        for step in steps {
            let mut top = (0, step);
            while let Some((height, mut before)) = joined.pop_if(|(height, _)| *height == top.0) {
                before.then(top.1);
                top = (height + 1, before);
            }
            joined.push(top);
        }
        let mut all = Self::default();
        for (_, earlier) in joined.into_iter().rev() {
            let later = std::mem::replace(&mut all, earlier);
            all.then(later);
        }
        all
    }
}

/// Takes each row of `rows` out of `from`, or puts it into `into` where `from` hasn't got it.
fn cancel(from: &mut Vec<HotlistEntry>, rows: Vec<HotlistEntry>, into: &mut Vec<HotlistEntry>) {
    if from.is_empty() {
        into.extend(rows);
        return;
    }
    // Most rows of `from` are of other marks; they are passed over without being looked at whole.
    let named: HashSet<Wanted> = rows.iter().map(|row| row.wanted).collect();
    let mut counts = count(&rows);
    let kept = |row: &HotlistEntry| !(named.contains(&row.wanted) && strike(&mut counts, row));
    let keep: Vec<bool> = from.iter().map(kept).collect();
    // What is counted still was not found; of equal rows it doesn't matter which.
    let left: Vec<bool> = rows.iter().map(|row| strike(&mut counts, row)).collect();
    drop(counts);
    let mut keep = keep.into_iter();
    from.retain(|_| keep.next().unwrap_or(true));
    into.extend(rows.into_iter().zip(left).filter(|(_, left)| *left).map(|(row, _)| row));
}

/// Rows with how often they occur.
fn count(rows: &[HotlistEntry]) -> HashMap<&HotlistEntry, usize> {
    let mut counts = HashMap::with_capacity(rows.len());
    rows.iter().for_each(|row| *counts.entry(row).or_insert(0) += 1);
    counts
}

/// Takes one occurrence of a row away; false when there is none left.
fn strike(counts: &mut HashMap<&HotlistEntry, usize>, row: &HotlistEntry) -> bool {
    counts.get_mut(row).filter(|count| **count > 0).map(|count| *count -= 1).is_some()
}

impl Hotlist {
    /// A new snapshot: this one without the rows that go, with the rows that come, behind those of the same mark. It has no dates
    /// yet (see [`Hotlist::dated`]). Rows of marks that the delta doesn't name are copied as they lie.
    ///
    /// # Errors
    /// When a row to be removed isn't there, or the result is too large.
    pub fn changed(&self, delta: &Delta, version: HotlistVersion) -> Result<Self, DeltaError> {
        let mut gone = count(&delta.remove);
        let mut add: Vec<(Packed, &HotlistEntry)> = keyed(&delta.add).collect();
        add.sort_by_key(|(key, _)| *key);
        let mut named: Vec<Packed> = keyed(&delta.remove).chain(keyed(&delta.add)).map(|(key, _)| key).collect();
        named.sort_unstable();
        named.dedup();

        let more_bytes = delta.add.iter().map(row::size_hint).sum();
        let mut builder = HotlistBuilder::like(self, delta.add.len(), more_bytes);
        let (mut copied, mut added) = (0, 0);
        for key in named {
            let from = self.rows().seek(copied, key);
            builder.copy(self, copied..from)?;
            copied = from;
            while copied < self.rows().len() && self.rows().key(copied) == key {
                if !strike(&mut gone, &self.entry(copied)) {
                    builder.copy(self, copied..copied + 1)?;
                }
                copied += 1;
            }
            while let Some((_, entry)) = add.get(added).filter(|(k, _)| *k == key) {
                builder.push(entry)?;
                added += 1;
            }
        }
        builder.copy(self, copied..self.rows().len())?;
        for pattern in self.patterns().iter().filter(|pattern| !strike(&mut gone, pattern)) {
            builder.push(pattern)?;
        }
        delta.add.iter().filter(|entry| entry.wanted.mark().is_none()).try_for_each(|entry| builder.push(entry))?;
        match gone.values().sum() {
            0 => Ok(builder.finish(version)),
            missing => Err(DeltaError::NotThere(missing)),
        }
    }
}

/// Rows of marks with their keys.
fn keyed(rows: &[HotlistEntry]) -> impl Iterator<Item = (Packed, &HotlistEntry)> {
    rows.iter().filter_map(|row| Some((Packed::of(row.wanted.mark()?), row)))
}
