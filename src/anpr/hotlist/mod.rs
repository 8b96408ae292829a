//! The vehicle-of-interest list: what is wanted, and whether a read is it.
//!
//! A [`Hotlist`] is an immutable snapshot, built whole (`index`; rows are bytes, see `row`), shared by reference and swapped whole;
//! nothing edits one in place: a [`Delta`] makes a new one. Matching (`match`, `fuzzy`) always says how and why (`explain`).
//! [`Hotlists`] are all that are in force. Where a list comes from, whether to trust it and how old it may be are `publish::sync`'s
//! business.

mod delta;
mod entry;
mod explain;
mod filter;
mod fuzzy;
mod index;
mod lookalike;
mod r#match;
mod packed;
mod pattern;
mod possible;
#[cfg(test)]
mod properties;
mod row;
mod set;
mod words;

pub use delta::{Delta, DeltaError};
pub use entry::{Action, Detail, Details, HotlistEntry, HotlistVersion, Marker, Priority, Wanted};
pub use index::{Hotlist, HotlistBuilder, HotlistFull};
pub use r#match::{Difference, Hit, HitClass, MatchOptions, Reading, Substitutions, rank};
pub use pattern::Pattern;
pub use possible::Possible;
pub use set::Hotlists;
