//! The SQLite side of the outbox: opening, schema, how a row is written and read. Knows nothing of lanes' meaning or of files beside
//! its own. Runs on whichever thread holds the connection.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, TransactionBehavior, params};
use sha2::{Digest, Sha256};

use super::chain::{Content, Link, Proof, Signature, StreamId};
use super::cipher::{Cipher, OVERHEAD_BYTES};
use super::gap;
use super::mark::Mark;
use super::{Draft, Envelope, GapReason, Lane, LaneStats, OutboxError, Qos, Seq, Stats};
use crate::clock::UtcTime;
use crate::keys::{KeyId, SigningKey};

/// `user_version` of a store that this code writes.
pub(super) const SCHEMA_VERSION: i64 = 2;

/// The tables of rows; `migrate` makes them beside those of the version before.
pub(super) const ROWS: &str = "
CREATE TABLE envelope (
  seq INTEGER PRIMARY KEY, lane INTEGER NOT NULL, hit INTEGER NOT NULL, rank INTEGER NOT NULL, qos INTEGER NOT NULL,
  topic TEXT NOT NULL, content_type TEXT NOT NULL, schema TEXT NOT NULL, expiry_s INTEGER, committed_us INTEGER NOT NULL,
  age_s INTEGER NOT NULL, cost INTEGER NOT NULL, prev BLOB NOT NULL, sig BLOB, key TEXT, digest INTEGER NOT NULL,
  sealed INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE INDEX envelope_by_lane ON envelope (lane, seq);
CREATE INDEX envelope_by_rank ON envelope (rank, seq, cost);
CREATE TABLE total (lane INTEGER PRIMARY KEY, rows INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT INTO total VALUES (0,0,0),(1,0,0),(2,0,0),(3,0,0),(4,0,0);
CREATE TRIGGER envelope_in AFTER INSERT ON envelope BEGIN
  UPDATE total SET rows = rows + 1, bytes = bytes + NEW.cost WHERE lane = NEW.lane; END;
CREATE TRIGGER envelope_out AFTER DELETE ON envelope BEGIN
  UPDATE total SET rows = rows - 1, bytes = bytes - OLD.cost WHERE lane = OLD.lane; END;
CREATE TABLE chain (id INTEGER PRIMARY KEY CHECK (id = 0), stream BLOB NOT NULL, head BLOB NOT NULL);
";

/// The tables that every version had.
const NUMBERS: &str = "
CREATE TABLE gap (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, count INTEGER NOT NULL, reason TEXT NOT NULL,
  noted_us INTEGER NOT NULL, told INTEGER, passed INTEGER NOT NULL DEFAULT 0);
CREATE INDEX gap_by_told ON gap (told, first);
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('next_seq', 1), ('session', 0);
";

const INSERT: &str = "INSERT INTO envelope (seq, lane, hit, rank, qos, topic, content_type, schema, expiry_s, committed_us, age_s, \
                      cost, prev, sig, key, digest, sealed, payload) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)";
/// Columns in the order that [`stored`] reads them.
const COLUMNS: &str = "seq, lane, hit, qos, topic, content_type, schema, expiry_s, committed_us, age_s, cost, prev, sig, key, digest, \
                       sealed, payload";

/// What a commit costs in syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sync {
    /// Every commit reaches the disk before it returns.
    EveryCommit,
    /// Commits are ordered but may be undone by a power cut.
    Ordered,
}

/// Names what failed, and tells a file that can't be written from other trouble.
pub(super) fn store_error(path: &Path, doing: &'static str) -> impl FnOnce(rusqlite::Error) -> OutboxError {
    move |source| match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::CannotOpen | rusqlite::ErrorCode::PermissionDenied) => {
            OutboxError::NotWritable { path: path.to_owned(), source: std::io::Error::other(source) }
        }
        _ => OutboxError::Store { path: path.to_owned(), doing, source },
    }
}

/// Opens an existing or new store file and sets how it syncs. Creates no tables.
pub(super) fn connect(path: &Path, sync: Sync) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(Duration::from_secs(5))?;
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    db.pragma_update(None, "synchronous", if sync == Sync::EveryCommit { "FULL" } else { "NORMAL" })?;
    // A WAL that once grew large gives its room back at the next checkpoint.
    db.pragma_update_and_check(None, "journal_size_limit", 4 * 1024 * 1024, |_| Ok(()))?;
    Ok(db)
}

/// Creates the tables in an empty store; returns the format found otherwise.
pub(super) fn ensure_schema(db: &mut Connection, stream: StreamId) -> rusqlite::Result<i64> {
    let version = format(db)?;
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if version != 0 || tables != 0 {
        return Ok(version);
    }
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(ROWS)?;
    tx.execute_batch(NUMBERS)?;
    set_chain(&tx, stream, Link::default())?;
    tx.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    tx.commit()?;
    Ok(SCHEMA_VERSION)
}

/// The format that a store names itself; 0 for one without tables.
pub(super) fn format(db: &Connection) -> rusqlite::Result<i64> {
    db.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Whether SQLite finds the file sound, and what we need is in it and agrees with the mark.
pub(super) fn is_sound(db: &Connection, mark: Mark) -> rusqlite::Result<bool> {
    // Not quick_check: that one does not compare the indexes with the table, and a row that an index forgot is never sent.
    let verdict: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Ok(false);
    }
    let lanes: i64 = db.query_row("SELECT count(*) FROM total", [], |row| row.get(0))?;
    let next = meta(db, "next_seq")?;
    let highest: Option<i64> = db.query_row("SELECT max(seq) FROM envelope", [], |row| row.get(0))?;
    let chained = format(db)? < SCHEMA_VERSION || chain(db)?.is_some();
    Ok(lanes == 5
        && chained
        && next.is_some_and(|n| n > highest.unwrap_or(0) && mark.allows(n))
        && meta(db, "session")?.is_some())
}

/// A number from the meta table.
pub(super) fn meta(db: &Connection, key: &str) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT value FROM meta WHERE key = ?")?.query_row([key], |row| row.get(0)).optional()
}

/// Writes a number into the meta table.
pub(super) fn set_meta(db: &Connection, key: &str, value: i64) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?, ?)")?.execute(params![key, value]).map(drop)
}

/// The stream and the link of its last envelope.
pub(super) fn chain(db: &Connection) -> rusqlite::Result<Option<(StreamId, Link)>> {
    let read = |row: &Row<'_>| Ok((StreamId(row.get(0)?), Link(row.get(1)?)));
    db.prepare_cached("SELECT stream, head FROM chain WHERE id = 0")?.query_row([], read).optional()
}

/// Writes the stream and the link of its last envelope.
pub(super) fn set_chain(db: &Connection, stream: StreamId, head: Link) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO chain VALUES (0, ?, ?)")?.execute(params![stream.0, head.0]).map(drop)
}

/// What makes rows out of drafts: the device's keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Scribe {
    pub(super) cipher: Option<Cipher>,
    pub(super) signer: Option<std::sync::Arc<SigningKey>>,
}

impl Scribe {
    /// The row for a draft behind `prev`, and its link.
    pub(super) fn write(
        &self,
        stream: StreamId,
        seq: Seq,
        prev: Link,
        draft: &Draft,
        (committed, age_s): (UtcTime, i64),
    ) -> (Stored, Link) {
        let link = Link::of(stream, seq, prev, &content(draft));
        let payload = match &self.cipher {
            Some(cipher) => cipher.seal(seq, &draft.topic, &draft.payload),
            None => draft.payload.clone(),
        };
        let signature = self.signer.as_ref().map(|key| (link.sign(key), key.id()));
        let sealed = self.cipher.is_some();
        let cost = i64::try_from(draft.cost_bytes() + if sealed { OVERHEAD_BYTES as u64 } else { 0 }).unwrap_or(i64::MAX);
        (Stored { seq, committed, age_s, cost, prev, signature, sealed, draft: Draft { payload, ..draft.clone() } }, link)
    }

    /// The envelope of a row; none when its payload does not open, though its digest fits: it was sealed with another key.
    pub(super) fn read(&self, stored: Stored) -> Option<Envelope> {
        let Stored { seq, committed, prev, signature, sealed, mut draft, .. } = stored;
        if sealed {
            draft.payload = self.cipher.as_ref()?.open(seq, &draft.topic, &draft.payload)?;
        }
        let proof = signature.map(|(signature, key)| Proof { prev, signature, key });
        Some(Envelope { seq, committed, draft, prev, proof })
    }
}

/// What the link of a draft is made of.
pub(super) fn content(draft: &Draft) -> Content<'_> {
    Content { topic: &draft.topic, content_type: &draft.content_type, schema: &draft.schema, payload: &draft.payload }
}

/// A row as it lies in the store: its payload may be sealed.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) seq: Seq,
    pub(super) committed: UtcTime,
    /// The box's age when it was committed, seconds.
    pub(super) age_s: i64,
    pub(super) cost: i64,
    pub(super) prev: Link,
    pub(super) signature: Option<(Signature, KeyId)>,
    pub(super) sealed: bool,
    pub(super) draft: Draft,
}

impl Stored {
    /// Writes the row.
    pub(super) fn insert(&self, db: &Connection) -> rusqlite::Result<()> {
        let draft = &self.draft;
        db.prepare_cached(INSERT)?
            .execute(params![
                self.seq.0,
                draft.lane.code(),
                draft.hit,
                draft.lane.rank(draft.hit),
                i64::from(draft.qos == Qos::AtLeastOnce),
                draft.topic,
                draft.content_type,
                draft.schema,
                draft.expiry_s,
                self.committed.as_micros(),
                self.age_s,
                self.cost,
                self.prev.0,
                self.signature.map(|(signature, _)| signature.0),
                self.signature.map(|(_, key)| key.to_string()),
                self.digest(),
                self.sealed,
                draft.payload
            ])
            .map(drop)
    }

    fn digest(&self) -> i64 {
        let draft = &self.draft;
        let mut hash = Sha256::new();
        hash.update(self.seq.0.to_be_bytes());
        hash.update(self.committed.as_micros().to_be_bytes());
        hash.update(self.age_s.to_be_bytes());
        hash.update(self.cost.to_be_bytes());
        hash.update(self.prev.0);
        hash.update(self.signature.map_or([0; 64], |(signature, _)| signature.0));
        hash.update([
            u8::from(draft.qos == Qos::AtLeastOnce),
            u8::from(draft.hit),
            u8::from(draft.expiry_s.is_some()),
            u8::from(self.sealed),
            u8::from(self.signature.is_some()),
        ]);
        hash.update(draft.lane.code().to_be_bytes());
        hash.update(draft.expiry_s.unwrap_or(0).to_be_bytes());
        let key = self.signature.map(|(_, key)| key.to_string()).unwrap_or_default();
        for field in
            [draft.topic.as_bytes(), draft.content_type.as_bytes(), draft.schema.as_bytes(), key.as_bytes(), &draft.payload]
        {
            hash.update(field.len().to_be_bytes());
            hash.update(field);
        }
        first_bytes(&hash.finalize())
    }
}

/// The first eight bytes of a hash as SQLite keeps them.
pub(super) fn first_bytes(hash: &[u8]) -> i64 {
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    i64::from_be_bytes(first)
}

/// Reads a row of [`COLUMNS`]; none when its digest or a code does not fit, which means that bits have rotted.
fn stored(row: &Row<'_>) -> rusqlite::Result<Option<Stored>> {
    let Some(lane) = Lane::from_code(row.get(1)?) else { return Ok(None) };
    let (sig, key): (Option<[u8; 64]>, Option<String>) = (row.get(12)?, row.get(13)?);
    let signature = match (sig, key) {
        (Some(sig), Some(key)) => match KeyId::parse(&key) {
            Some(key) => Some((Signature(sig), key)),
            None => return Ok(None),
        },
        _ => None,
    };
    let stored = Stored {
        seq: Seq(row.get(0)?),
        committed: UtcTime::from_micros(row.get(8)?),
        age_s: row.get(9)?,
        cost: row.get(10)?,
        prev: Link(row.get(11)?),
        signature,
        sealed: row.get(15)?,
        draft: Draft {
            topic: row.get(4)?,
            qos: if row.get(3)? { Qos::AtLeastOnce } else { Qos::AtMostOnce },
            lane,
            hit: row.get(2)?,
            content_type: row.get(5)?,
            schema: row.get(6)?,
            expiry_s: row.get(7)?,
            payload: row.get(16)?,
        },
    };
    let sound = stored.digest() == row.get::<_, i64>(14)?;
    Ok(sound.then_some(stored))
}

/// Reads one row by number. The outer none: not stored; the inner none: stored but damaged.
pub(super) fn fetch(db: &Connection, seq: Seq) -> rusqlite::Result<Option<Option<Stored>>> {
    let sql = format!("SELECT {COLUMNS} FROM envelope WHERE seq = ?");
    let found = db.prepare_cached(&sql)?.query_row([seq.0], stored).optional();
    match found {
        // Rotten bits can also turn a text into invalid UTF-8, a number into one out of range, or a hash into one of another length.
        Err(rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..)) => Ok(Some(None)),
        Err(rusqlite::Error::IntegralValueOutOfRange(..) | rusqlite::Error::Utf8Error(..)) => Ok(Some(None)),
        other => other,
    }
}

/// Whether the oldest and the newest row can be read with the keys that there are.
pub(super) fn opens(db: &Connection, scribe: &Scribe) -> rusqlite::Result<bool> {
    let (first, last): (Option<i64>, Option<i64>) =
        db.query_row("SELECT min(seq), max(seq) FROM envelope WHERE sealed = 1", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for seq in [first, last].into_iter().flatten().map(Seq) {
        if let Some(Some(stored)) = fetch(db, seq)?
            && scribe.read(stored).is_none()
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Numbers up to `given` were given, though the store does not know of all of them: they are missing, from `from` on where the store
/// is new. One more is given up, so that the chain breaks inside a gap that is declared.
pub(super) fn skip_to(db: &mut Connection, given: i64, from: i64, now: UtcTime) -> rusqlite::Result<()> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let next = meta(&tx, "next_seq")?.unwrap_or(1);
    if given < next {
        return Ok(());
    }
    let first = if next == 1 { from.clamp(1, given) } else { next };
    gap::add(&tx, Seq(first), Seq(given + 1), GapReason::Damaged, now)?;
    set_meta(&tx, "next_seq", given + 2)?;
    tx.commit()
}

/// Takes rows out and notes their numbers as missing. `seqs` in any order; numbers not stored are noted all the same.
pub(super) fn lose(db: &Connection, seqs: &[Seq], reason: GapReason, now: UtcTime) -> rusqlite::Result<()> {
    let mut sorted = seqs.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut delete = db.prepare_cached("DELETE FROM envelope WHERE seq = ?")?;
    for seq in &sorted {
        delete.execute([seq.0])?;
        gap::untell(db, *seq)?;
    }
    for run in sorted.chunk_by(|a, b| a.0 + 1 == b.0) {
        if let (Some(first), Some(last)) = (run.first(), run.last()) {
            gap::add(db, *first, *last, reason, now)?;
        }
    }
    Ok(())
}

/// Counts everything there is to count.
pub(super) fn stats(db: &Connection) -> rusqlite::Result<Stats> {
    let mut stats = Stats { next_seq: unsigned(meta(db, "next_seq")?.unwrap_or(1)), ..Stats::default() };
    let mut totals = db.prepare_cached("SELECT lane, rows, bytes FROM total")?;
    let mut rows = totals.query([])?;
    while let Some(row) = rows.next()? {
        if let Some(lane) = Lane::from_code(row.get(0)?) {
            stats.lanes[lane as usize] = LaneStats { rows: unsigned(row.get(1)?), bytes: unsigned(row.get(2)?) };
        }
    }
    stats.oldest = db
        .prepare_cached("SELECT committed_us FROM envelope ORDER BY seq LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?
        .map(UtcTime::from_micros);
    gap::count(db, &mut stats)?;
    Ok(stats)
}

/// A count that SQLite keeps signed.
pub(super) fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}
