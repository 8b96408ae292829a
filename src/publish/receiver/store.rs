//! The store of a receiver: one transaction a batch, and the watermarks that follow from it.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::{Numbered, Why};
use crate::clock::UtcTime;
use crate::keys::TrustedKeys;
use crate::outbox::Seq;
use crate::outbox::chain::{Link, StreamId};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS message (device TEXT NOT NULL, stream TEXT NOT NULL, seq INTEGER NOT NULL, link TEXT NOT NULL,
  prev TEXT, sig TEXT, key TEXT, topic TEXT NOT NULL, schema TEXT NOT NULL, content_type TEXT NOT NULL, payload BLOB NOT NULL,
  received_us INTEGER NOT NULL, copies INTEGER NOT NULL DEFAULT 1, UNIQUE (device, stream, seq));
CREATE TABLE IF NOT EXISTS aside (device TEXT NOT NULL, stream TEXT NOT NULL, seq INTEGER NOT NULL, link TEXT NOT NULL,
  prev TEXT, sig TEXT, key TEXT, topic TEXT NOT NULL, schema TEXT NOT NULL, content_type TEXT NOT NULL, payload BLOB NOT NULL,
  received_us INTEGER NOT NULL, copies INTEGER NOT NULL DEFAULT 1, why TEXT NOT NULL, UNIQUE (device, stream, seq, link, why));
CREATE TABLE IF NOT EXISTS gap (device TEXT NOT NULL, stream TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
  count INTEGER NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (device, stream, last, first)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stream (device TEXT NOT NULL, stream TEXT NOT NULL, watermark INTEGER NOT NULL,
  PRIMARY KEY (device, stream)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO meta VALUES ('id', lower(hex(randomblob(8))));
PRAGMA user_version = 1;
";
const FORMAT: i64 = 1;

/// Why the store could not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is none, or it can't be opened.
    #[error("{path}: {source}; the folder must exist and belong to this user", path = path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another receiver holds it.
    #[error("{path} is held by another receiver; one store, one receiver", path = path.display())]
    Held {
        /// The lock file.
        path: PathBuf,
    },
    /// Another version made it.
    #[error("{path} has format {found}, this version knows {FORMAT}", path = path.display())]
    Format {
        /// The store.
        path: PathBuf,
        /// Its format.
        found: i64,
    },
    /// The disk or the store failed. What the failing call was given is not stored.
    #[error("{path}: {source}", path = path.display())]
    Failed {
        /// The store.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

/// Everything up to a number is stored or declared missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// `{org}/{device}`.
    pub device: String,
    /// Which stream of it.
    pub stream: StreamId,
    /// The number; none when not even the first is there.
    pub seq: Option<Seq>,
}

/// What came of a batch that is on disk now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Messages that are new.
    pub new: u64,
    /// Messages that were there already.
    pub duplicates: u64,
    /// Messages kept aside, by their place in the batch.
    pub aside: Vec<(usize, Why)>,
    /// Messages, by their place in the batch, that are signed but do not fit a neighbour: prev is not its link.
    pub breaks: Vec<(usize, String)>,
    /// Watermarks that moved.
    pub moved: Vec<Watermark>,
}

/// The store, open for receiving. One at a time.
#[derive(Debug)]
pub struct Store {
    db: Connection,
    path: PathBuf,
    _lock: File,
}

impl Store {
    /// Opens the store in folder `dir`, or makes it there.
    ///
    /// # Errors
    /// When it can't be opened or made, another receiver holds it, or another version made it.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join("received.lock");
        let unusable = |source| StoreError::Unusable { path: path.clone(), source };
        let lock = File::options().create(true).append(true).open(&path).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(StoreError::Held { path }),
            Err(std::fs::TryLockError::Error(source)) => return Err(unusable(source)),
        }
        let path = dir.join("received.sqlite");
        let failed = |source| StoreError::Failed { path: path.clone(), source };
        let db = Connection::open(&path).map_err(failed)?;
        let found: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
        if ![0, FORMAT].contains(&found) {
            return Err(StoreError::Format { path, found });
        }
        set_up(&db).map_err(failed)?;
        Ok(Self { db, path, _lock: lock })
    }

    /// Names this receiver's session at the broker, for the life of the store.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn id(&self) -> Result<String, StoreError> {
        let id = self.db.query_row("SELECT value FROM meta WHERE key = 'id'", [], |row| row.get(0));
        id.map_err(|e| self.failed(e))
    }

    /// Puts a batch on disk, in one transaction and one sync. With `trusted`, messages that none of these keys signed are kept
    /// aside, and neighbours are compared.
    ///
    /// # Errors
    /// When the disk fails; nothing of the batch is stored then, and none of it may be acknowledged.
    pub fn take(&mut self, batch: &[Numbered], trusted: Option<&TrustedKeys>, now: UtcTime) -> Result<Taken, StoreError> {
        let taken = self.db.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|tx| {
            let taken = take(&tx, batch, trusted, now)?;
            tx.commit()?;
            Ok(taken)
        });
        taken.map_err(|e| self.failed(e))
    }

    /// Every stream's watermark.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn watermarks(&self) -> Result<Vec<Watermark>, StoreError> {
        let read = || {
            let mut select = self.db.prepare("SELECT device, stream, watermark FROM stream ORDER BY device, stream")?;
            let rows = select.query_map([], |row| {
                let stream: String = row.get(1)?;
                Ok(Watermark { device: row.get(0)?, stream: stream.parse().unwrap_or_default(), seq: seq(row.get(2)?) })
            })?;
            rows.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|e| self.failed(e))
    }

    fn failed(&self, source: rusqlite::Error) -> StoreError {
        StoreError::Failed { path: self.path.clone(), source }
    }
}

fn set_up(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(Duration::from_secs(5))?;
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.execute_batch(SCHEMA)
}

fn take(tx: &Transaction<'_>, batch: &[Numbered], trusted: Option<&TrustedKeys>, now: UtcTime) -> rusqlite::Result<Taken> {
    let mut taken = Taken::default();
    let mut touched = BTreeSet::new();
    for (place, message) in batch.iter().enumerate() {
        let link = message.link();
        if let Some(why) = trusted.and_then(|keys| message.doubt(keys)) {
            insert(tx, message, link, Some(why), now)?;
            taken.aside.push((place, why));
            continue;
        }
        let (stream, seq) = (message.stream.to_string(), signed(message.seq));
        match link_of(tx, &message.device, &stream, seq)? {
            None => {
                insert(tx, message, link, None, now)?;
                taken.new += 1;
                if trusted.is_some()
                    && let Some(what) = misfit(tx, message, link)?
                {
                    taken.breaks.push((place, what));
                }
                for gap in message.gaps() {
                    tx.prepare_cached("INSERT OR REPLACE INTO gap VALUES (?, ?, ?, ?, ?, ?)")?.execute(params![
                        message.device,
                        stream,
                        signed(gap.first),
                        signed(gap.last),
                        i64::try_from(gap.count).unwrap_or(i64::MAX),
                        gap.reason
                    ])?;
                }
                touched.insert((message.device.clone(), message.stream, stream));
            }
            Some(there) if there == link.to_string() => {
                tx.prepare_cached("UPDATE message SET copies = copies + 1 WHERE device = ? AND stream = ? AND seq = ?")?
                    .execute(params![message.device, stream, seq])?;
                taken.duplicates += 1;
            }
            Some(_) => {
                insert(tx, message, link, Some(Why::Conflict), now)?;
                taken.aside.push((place, Why::Conflict));
            }
        }
    }
    for (device, stream, text) in touched {
        if let Some(watermark) = advance(tx, &device, &text)? {
            taken.moved.push(Watermark { device, stream, seq: seq(watermark) });
        }
    }
    Ok(taken)
}

/// Stores a message, or keeps it aside.
fn insert(tx: &Transaction<'_>, m: &Numbered, link: Link, why: Option<Why>, now: UtcTime) -> rusqlite::Result<()> {
    const COLUMNS: &str = "device, stream, seq, link, prev, sig, key, topic, schema, content_type, payload, received_us";
    let text = match why {
        None => format!("INSERT INTO message ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"),
        Some(why) => format!(
            "INSERT INTO aside ({COLUMNS}, why) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,'{}') \
             ON CONFLICT DO UPDATE SET copies = copies + 1",
            why.as_str()
        ),
    };
    tx.prepare_cached(&text)?.execute(params![
        m.device,
        m.stream.to_string(),
        signed(m.seq),
        link.to_string(),
        m.prev.map(|prev| prev.to_string()),
        m.signed.map(|(signature, _)| signature.to_string()),
        m.signed.map(|(_, key)| key.to_string()),
        m.topic,
        m.schema,
        m.content_type,
        m.payload,
        now.as_micros(),
    ])?;
    Ok(())
}

/// Whether a new message and the neighbours that are there fit together; what is wrong, in words.
fn misfit(tx: &Transaction<'_>, message: &Numbered, link: Link) -> rusqlite::Result<Option<String>> {
    let (stream, seq, prev) = (message.stream.to_string(), signed(message.seq), message.prev);
    let before = if seq == 1 { Some(Link::default().to_string()) } else { link_of(tx, &message.device, &stream, seq - 1)? };
    if before.is_some_and(|before| prev.is_some_and(|p| p.to_string() != before)) {
        return Ok(Some(format!("number {seq} does not follow number {}: its prev is not that one's link", seq - 1)));
    }
    let after: Option<Option<String>> = tx
        .prepare_cached("SELECT prev FROM message WHERE device = ? AND stream = ? AND seq = ?")?
        .query_row(params![message.device, stream, seq + 1], |row| row.get(0))
        .optional()?;
    let is_followed = after.flatten().is_none_or(|prev| prev == link.to_string());
    Ok((!is_followed).then(|| format!("number {} does not follow number {seq}: its prev is not that one's link", seq + 1)))
}

fn link_of(tx: &Transaction<'_>, device: &str, stream: &str, seq: i64) -> rusqlite::Result<Option<String>> {
    tx.prepare_cached("SELECT link FROM message WHERE device = ? AND stream = ? AND seq = ?")?
        .query_row(params![device, stream, seq], |row| row.get(0))
        .optional()
}

/// Moves a stream's watermark as far as it goes, from where it stood: through what is stored, and over what is declared missing.
/// None when it stays.
fn advance(tx: &Transaction<'_>, device: &str, stream: &str) -> rusqlite::Result<Option<i64>> {
    let key = params![device, stream];
    tx.prepare_cached("INSERT OR IGNORE INTO stream VALUES (?, ?, 0)")?.execute(key)?;
    let stood: i64 =
        tx.prepare_cached("SELECT watermark FROM stream WHERE device = ? AND stream = ?")?.query_row(key, |row| row.get(0))?;
    let mut watermark = stood;
    loop {
        let from = watermark;
        {
            let mut stored =
                tx.prepare_cached("SELECT seq FROM message WHERE device = ? AND stream = ? AND seq > ? ORDER BY seq")?;
            let mut rows = stored.query(params![device, stream, watermark])?;
            while let Some(row) = rows.next()? {
                let seq: i64 = row.get(0)?;
                if seq != watermark + 1 {
                    break;
                }
                watermark = seq;
            }
        }
        // Only gaps that end beyond the watermark are looked at: those before it have done their part.
        let over: Option<i64> = tx
            .prepare_cached("SELECT max(last) FROM gap WHERE device = ? AND stream = ? AND last > ? AND first <= ?")?
            .query_row(params![device, stream, watermark, watermark + 1], |row| row.get(0))?;
        watermark = over.unwrap_or(watermark);
        if watermark == from {
            break;
        }
    }
    tx.prepare_cached("UPDATE stream SET watermark = ?3 WHERE device = ?1 AND stream = ?2")?
        .execute(params![device, stream, watermark])?;
    Ok((watermark != stood).then_some(watermark))
}

/// A number as SQLite has it.
pub(super) fn signed(seq: Seq) -> i64 {
    i64::try_from(seq.get()).unwrap_or(i64::MAX)
}

pub(super) fn seq(number: i64) -> Option<Seq> {
    u64::try_from(number).ok().and_then(Seq::new)
}
