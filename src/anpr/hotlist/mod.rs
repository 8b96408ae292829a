//! The vehicle-of-interest list: what is wanted, and whether a read is it.
//!
//! A [`Hotlist`] is an immutable snapshot, built whole (`index`), shared by reference and swapped whole; nothing edits one in
//! place. Matching (`match`) knows two classes, exact and look-alike, and always says which and why. Where a list comes from,
//! whether to trust it and how old it may be are `publish::sync`'s business.

mod entry;
mod index;
mod r#match;

pub use entry::{Action, HotlistEntry, HotlistVersion, Priority};
pub use index::Hotlist;
pub use r#match::{Hit, HitClass};
