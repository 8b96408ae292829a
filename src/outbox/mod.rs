//! The durable queue between the box and the back office: the only truth about what is still to be delivered.
//!
//! It stores opaque bytes under a topic, in lanes, each with a sequence number. It has never heard of plates or of MQTT, it
//! never decides what is worth sending, and it never talks to a network. The recorder thread holds the [`Outbox`] (commits,
//! evicts), the net thread an [`Outlet`] (reads, releases); no other thread touches either.
//!
//! # Design constraints
//!
//! - One commit is one transaction and one `fsync`: what [`Outbox::commit`] returned survives a power cut.
//! - Sequence numbers run 1, 2, 3 … for the life of the device, without holes, and are given at commit, never before.
//! - A row leaves by two doors: [`Outlet::release`] (delivered) or the `gap` table (evicted, expired, purged, too large,
//!   damaged). A number that is neither stored nor released is in `gap`, and every gap goes to the back office in an envelope of its own
//!   ([`Outbox::untold_gaps`], [`Outbox::commit_report`]): it always knows what is missing and why.
//! - Each row carries the link of the one before it and the device's signature ([`chain`]); payloads are encrypted at rest.
//! - Releases are not synced on their own: a power cut may bring a delivered row back, never lose one (at least once).
//! - The size is capped in bytes and rows, and eviction happens inside the commit that would go over. So is the age, by class;
//!   age is counted by a clock that no step of the wall clock moves (`age`).
//!
//! # On disk
//!
//! One folder, one writing process (held by a lock on `outbox.lock`):
//!
//! ```text
//! outbox.sqlite         SQLite, WAL, user_version = 2 (SCHEMA_VERSION in store.rs), synchronous = FULL for commits; a store of
//!                       version 1 is brought up at open, in one transaction (migrate.rs)
//!   envelope  seq INTEGER PRIMARY KEY, lane 0..4, hit 0/1, rank 0..5, qos 0/1, topic, content_type, schema,
//!             expiry_s or NULL, committed_us (UTC), age_s (of the box, at commit), cost (bytes charged), prev (link of seq - 1),
//!             sig and key (none where there is no device key), digest, sealed 0/1, payload (sealed: nonce, ciphertext, tag)
//!             digest = first 8 bytes, big endian, of SHA-256 over every other field, lengths included (store.rs)
//!   chain     one row: stream, head (link of the newest envelope)
//!   total     one row a lane: rows, bytes (kept by triggers, so it can't drift)
//!   gap       first PRIMARY KEY, last, count, reason, noted_us, told, passed (gap.rs); count < last-first+1 only after coalescing
//!   meta      key PRIMARY KEY, value: next_seq, session, age_s, age_utc_us, age_synchronised
//! outbox.mark           text: a bound above every sequence number ever given, one below every stored one, session, stream;
//!                       written (temp, fsync, rename) at open and every 4096 numbers. Only read when `meta` can't be.
//! outbox.high           16 bytes: the highest number given, noted after each commit without a sync (mark.rs)
//! outbox.salvage.sqlite a new store while it is being made out of a damaged one, which gives way when it is whole (salvage.rs)
//! outbox.damaged-<utc>.sqlite   a file that failed its check, set aside whole (with its -wal) after salvage
//! ```
//!
//! # Limits and eviction
//!
//! Each row is charged its payload, its strings and [`ROW_OVERHEAD_BYTES`]. Over the cap, rows go in this order, oldest first
//! within each: overview images, plate patches, text; then the same three for rows marked `hit`. The file itself can be about
//! a fifth larger than the cap (pages, indexes, the WAL), and keeps its size when rows go: pages are used again.

mod age;
pub mod chain;
mod cipher;
mod gap;
mod mark;
mod migrate;
mod outlet;
mod salvage;
mod store;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::UtcTime;
use crate::keys::{DataKey, SigningKey};
use chain::{Link, Proof};

pub use outlet::{Cursors, Listed, Outlet};
pub use salvage::Salvage;
pub use writer::{Opened, Outbox};

/// Bytes charged for a row on top of its payload and strings.
pub const ROW_OVERHEAD_BYTES: u64 = 96;

/// Most gaps kept that the back office knows; beyond it the two oldest are made one (their `count` stays exact).
pub const MAX_GAP_ROWS: u64 = 4096;

/// A row's number: 1, 2, 3 … for the life of the device, given at commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(i64);

impl Seq {
    /// The lowest there is.
    pub const FIRST: Self = Self(1);
    /// The highest there is.
    pub const LAST: Self = Self(i64::MAX);

    /// From a plain number; none for zero and for those beyond 2^63.
    pub fn new(number: u64) -> Option<Self> {
        i64::try_from(number).ok().filter(|n| *n > 0).map(Self)
    }

    /// The plain number.
    pub const fn get(self) -> u64 {
        self.0.unsigned_abs()
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What kind of thing a row is. Delivery order is the order here; an image never delays an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Somebody is waiting for it.
    Alert,
    /// Records of what happened.
    Read,
    /// How the box is.
    Health,
    /// Small pictures.
    Patch,
    /// Large pictures: sent last, evicted first.
    Overview,
}

impl Lane {
    /// All of them, in delivery order.
    pub const ALL: [Self; 5] = [Self::Alert, Self::Read, Self::Health, Self::Patch, Self::Overview];

    /// The word used in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Read => "read",
            Self::Health => "health",
            Self::Patch => "patch",
            Self::Overview => "overview",
        }
    }

    /// Whether it carries pictures.
    pub const fn is_image(self) -> bool {
        matches!(self, Self::Patch | Self::Overview)
    }

    const fn code(self) -> i64 {
        self as i64
    }

    fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.code() == code)
    }

    /// Place in the eviction order, 0 goes first.
    const fn rank(self, hit: bool) -> i64 {
        let kind = match self {
            Self::Overview => 0,
            Self::Patch => 1,
            Self::Alert | Self::Read | Self::Health => 2,
        };
        if hit { kind + 3 } else { kind }
    }
}

/// How hard the transport tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qos {
    /// Sent once, acknowledged by nobody. A row in the outbox with it is released as soon as it was sent.
    AtMostOnce,
    /// Sent until acknowledged.
    AtLeastOnce,
}

/// What a producer hands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Full topic.
    pub topic: String,
    /// How hard to try.
    pub qos: Qos,
    /// What kind of thing it is.
    pub lane: Lane,
    /// Part of a hit: evicted after everything that is not.
    pub hit: bool,
    /// Media type of the payload, opaque here.
    pub content_type: String,
    /// Name and version of the payload's schema, opaque here.
    pub schema: String,
    /// Seconds after which a consumer should not act on it any more; none for never.
    pub expiry_s: Option<u32>,
    /// The bytes.
    pub payload: Vec<u8>,
}

impl Draft {
    /// Bytes charged against the cap.
    pub fn cost_bytes(&self) -> u64 {
        let bytes = self.payload.len() + self.topic.len() + self.content_type.len() + self.schema.len();
        ROW_OVERHEAD_BYTES + u64::try_from(bytes).unwrap_or(u64::MAX - ROW_OVERHEAD_BYTES)
    }
}

/// A stored row: a draft with its number and the moment it was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Its number.
    pub seq: Seq,
    /// When it was committed.
    pub committed: UtcTime,
    /// What was handed in.
    pub draft: Draft,
    /// The link of the envelope before it.
    pub prev: Link,
    /// What proves its place; none where there was no device key.
    pub proof: Option<Proof>,
}

/// How much may be stored. Both caps hold after every commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes charged in all (see [`Draft::cost_bytes`]).
    pub max_bytes: u64,
    /// Rows in all.
    pub max_rows: u64,
}

/// How long rows may wait, by class; none for as long as there is room. What is older goes, and its numbers are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Rows marked `hit`, and reports of gaps.
    pub hits: Option<Duration>,
    /// Other text.
    pub text: Option<Duration>,
    /// Other pictures.
    pub images: Option<Duration>,
}

impl Retention {
    /// By rank, in eviction order.
    const fn by_rank(&self) -> [Option<Duration>; 6] {
        [self.images, self.images, self.text, self.hits, self.hits, self.hits]
    }
}

/// How an outbox is kept.
#[derive(Clone, Debug)]
pub struct OutboxOptions {
    /// How much may be stored.
    pub limits: Limits,
    /// How long it may wait.
    pub retention: Retention,
    /// What payloads are encrypted with at rest; in plain when there is none.
    pub data_key: Option<DataKey>,
    /// What signs each envelope; unsigned when there is none.
    pub signing_key: Option<Arc<SigningKey>>,
}

impl OutboxOptions {
    /// Limits alone: unsigned, in plain, for ever. For tests and tools; the daemon sets all of it.
    pub const fn plain(limits: Limits) -> Self {
        let retention = Retention { hits: None, text: None, images: None };
        Self { limits, retention, data_key: None, signing_key: None }
    }
}

/// Why numbers are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GapReason {
    /// The cap was reached.
    Evicted,
    /// It waited longer than its class may.
    Expired,
    /// A person took it out.
    Purged,
    /// It left before, on the broker's word, when rows did not wait for the back office's.
    Released,
    /// Larger than the broker takes.
    TooLarge,
    /// The store was damaged; some of the numbers may never have been given.
    Damaged,
    /// Coalesced from more than one reason.
    Several,
}

impl GapReason {
    const ALL: [Self; 7] =
        [Self::Evicted, Self::Expired, Self::Purged, Self::Released, Self::TooLarge, Self::Damaged, Self::Several];

    /// The word used in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Evicted => "evicted",
            Self::Expired => "expired",
            Self::Purged => "purged",
            Self::Released => "released",
            Self::TooLarge => "too_large",
            Self::Damaged => "damaged",
            Self::Several => "several",
        }
    }

    fn parse(word: &str) -> Self {
        Self::ALL.into_iter().find(|r| r.as_str() == word).unwrap_or(Self::Several)
    }
}

/// Numbers that will not be delivered. (A row evicted while it was in flight may have arrived all the same.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// First missing number.
    pub first: Seq,
    /// Last missing number.
    pub last: Seq,
    /// How many of `first..=last` are missing: all of them, unless the table had to be coalesced.
    pub count: u64,
    /// Why.
    pub reason: GapReason,
    /// When the (latest part of the) loss was noted.
    pub noted: UtcTime,
}

/// Rows and bytes of one lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneStats {
    /// Rows stored.
    pub rows: u64,
    /// Bytes charged.
    pub bytes: u64,
}

/// What is stored and what is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// By lane, in the order of [`Lane::ALL`].
    pub lanes: [LaneStats; 5],
    /// When the oldest row was committed; none when nothing is stored.
    pub oldest: Option<UtcTime>,
    /// The number that the next row will get.
    pub next_seq: u64,
    /// Rows of the gap table.
    pub gaps: u64,
    /// Numbers missing because of the cap.
    pub evicted: u64,
    /// Numbers missing because they waited too long.
    pub expired: u64,
    /// Numbers that a person took out.
    pub purged: u64,
    /// Numbers that left on the broker's word before the back office's was asked for; not missing.
    pub released: u64,
    /// Numbers missing because they were larger than the broker takes.
    pub too_large: u64,
    /// Numbers missing because the store was damaged, or for several reasons.
    pub damaged: u64,
    /// Of all these, the ones that the back office has not been told of yet.
    pub undeclared: u64,
}

impl Stats {
    /// Numbers missing in all.
    pub const fn missing(&self) -> u64 {
        self.evicted + self.expired + self.purged + self.too_large + self.damaged
    }

    /// Rows in all lanes.
    pub fn rows(&self) -> u64 {
        self.lanes.iter().map(|l| l.rows).sum()
    }

    /// Bytes charged in all lanes.
    pub fn bytes(&self) -> u64 {
        self.lanes.iter().map(|l| l.bytes).sum()
    }

    /// Age of the oldest row at `now`, seconds; none when nothing is stored, zero when the wall clock was set back.
    pub fn oldest_age_s(&self, now: UtcTime) -> Option<u64> {
        self.oldest.map(|t| u64::try_from((now.as_micros() - t.as_micros()) / 1_000_000).unwrap_or(0))
    }
}

/// Why the outbox could not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The folder or a file in it can't be written. Remedy: fix the configuration or the disk.
    #[error(
        "cannot write in {path}: {source}; the folder must exist or be creatable, belong to the service's user and be on a \
         file system mounted read-write (under systemd, StateDirectory=kerbside sees to it)",
        path = path.display()
    )]
    NotWritable {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no store to read. Remedy: check the path.
    #[error("no outbox at {path}: the daemon makes it at its first start; check the path", path = path.display())]
    Missing {
        /// The file looked for.
        path: PathBuf,
    },
    /// Another process holds it. Remedy: stop that one.
    #[error("{path} is held by another process: is the daemon running already?", path = path.display())]
    Held {
        /// The lock file.
        path: PathBuf,
    },
    /// Made by a newer version. Remedy: run that version, or move the file away.
    #[error("{path} has format {found}, this version knows {known}: run the newer version or move the file away", path = path.display())]
    Newer {
        /// The store.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// Made by an older version. Remedy: start the daemon, which brings it up.
    #[error("{path} is of an older version: start the daemon once, it brings the store up", path = path.display())]
    Older {
        /// The store.
        path: PathBuf,
    },
    /// Payloads are sealed with a key that is not the one in use. Remedy: give the right key back, or move the store away.
    #[error(
        "{path}: what is stored was encrypted with another key than the present outbox.key; give that file back, or move the outbox.* \
         files away to start a new store (what was not delivered is in them)",
        path = path.display()
    )]
    WrongKey {
        /// The store.
        path: PathBuf,
    },
    /// One draft alone is over the cap; nothing was committed. Remedy: drop it.
    #[error("a draft for {topic} costs {bytes} bytes, the whole outbox may hold {max_bytes}")]
    DraftTooLarge {
        /// Its topic.
        topic: String,
        /// Bytes it would be charged.
        bytes: u64,
        /// The cap.
        max_bytes: u64,
    },
    /// The disk or the store failed. Remedy: try again; if it lasts, a restart checks and salvages the store.
    #[error("{path}: {doing}: {source}", path = path.display())]
    Store {
        /// The store.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

impl OutboxError {
    /// Whether the store itself is damaged: no further try will help, opening it anew salvages it.
    pub fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode as Code;
        let Self::Store { source, .. } = self else { return false };
        matches!(source.sqlite_error_code(), Some(Code::DatabaseCorrupt | Code::NotADatabase))
    }
}
