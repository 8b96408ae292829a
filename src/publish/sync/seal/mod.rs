//! Sealed lists: content that only its recipients can read, under a manifest that only its owner can sign.
//!
//! - A *payload* is `age( gzip( content ) )`, encrypted to X25519 recipients. Content is never written to disk in plain.
//! - Content of a full list: canonical CSV (see [`format`](super::format)) without patterns.
//! - Content of a delta: the same with a column `op` in front: `add`, `remove`, and for a row that changes a `from` row directly
//!   followed by a `to` row of the same mark. Rows in the order of their places.
//!
//! `open` reads payloads and believes nothing that the manifest doesn't vouch for; `make` makes them; `file` is the form that
//! travels on a USB stick. Who is trusted, and whether a version is newer than the one in force, is decided elsewhere.

mod file;
mod make;
mod open;

use super::manifest::ManifestError;
use crate::anpr::hotlist::HotlistFull;

pub use file::{FIRST_LINE, SealedFile, fuzz_header};
pub use make::{Base, Plan, Sealed, sealed_from};
pub use open::{delta_from, full_from, full_with_sum, parse_delta};

/// The columns of a delta before those of a list.
const OP: &str = "op";
/// Most rows of a delta, a change counting as two. More than that is a new list: send it whole.
pub const MAX_DELTA_ROWS: usize = 1_000_000;

/// Why a payload or a sealed file can't be used or made. No message names a mark.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The manifest is refused.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Encrypted for others.
    #[error(
        "it is encrypted for other boxes, not for this identity ({ours}); have it sealed to this one too, or check which identity file is in use"
    )]
    NotForUs {
        /// The public halves of the identity that was tried.
        ours: String,
    },
    /// The manifest offers no such part.
    #[error("the manifest has no {0}; get one that has, or the versions between")]
    NoPart(&'static str),
    /// The encrypted or packed bytes are broken.
    #[error("the encrypted content is damaged or cut off ({0}); fetch or copy it again")]
    Damaged(String),
    /// The content is not what was signed.
    #[error("the content is not what was signed: {0}; fetch or copy it again, and tell the list's owner if that doesn't help")]
    Mismatch(String),
    /// A row breaks a rule, though its owner signed it.
    #[error("row {row} of the content {what}; the list's owner has to seal it again")]
    Row {
        /// Its number; the header is row 0.
        row: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// More than a snapshot can hold.
    #[error(transparent)]
    Full(#[from] HotlistFull),
    /// It is no sealed file, or not a whole one.
    #[error("{file}: {what}", file = .file.display())]
    File {
        /// The file.
        file: std::path::PathBuf,
        /// What is wrong and what to do.
        what: String,
    },
    /// The plan can't be carried out.
    #[error("{0}")]
    Plan(String),
    /// Reading or writing failed.
    #[error("reading or writing failed: {0}")]
    Io(#[from] std::io::Error),
}

#[cfg(test)]
mod tests;
