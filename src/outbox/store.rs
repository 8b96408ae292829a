//! The SQLite side of the outbox: opening, schema, how a row is written and read, and the gap table. Knows nothing of lanes'
//! meaning or of files beside its own. Runs on whichever thread holds the connection.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, TransactionBehavior, params};
use sha2::{Digest, Sha256};

use super::mark::Mark;
use super::{Draft, Envelope, Gap, GapReason, Lane, LaneStats, MAX_GAP_ROWS, OutboxError, Qos, Seq, Stats};
use crate::clock::UtcTime;

/// `user_version` of a store that this code writes.
pub(super) const SCHEMA_VERSION: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE envelope (
  seq INTEGER PRIMARY KEY, lane INTEGER NOT NULL, hit INTEGER NOT NULL, rank INTEGER NOT NULL, qos INTEGER NOT NULL,
  topic TEXT NOT NULL, content_type TEXT NOT NULL, schema TEXT NOT NULL, expiry_s INTEGER, committed_us INTEGER NOT NULL,
  cost INTEGER NOT NULL, digest INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE INDEX envelope_by_lane ON envelope (lane, seq);
CREATE INDEX envelope_by_rank ON envelope (rank, seq, cost);
CREATE TABLE total (lane INTEGER PRIMARY KEY, rows INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT INTO total VALUES (0,0,0),(1,0,0),(2,0,0),(3,0,0),(4,0,0);
CREATE TRIGGER envelope_in AFTER INSERT ON envelope BEGIN
  UPDATE total SET rows = rows + 1, bytes = bytes + NEW.cost WHERE lane = NEW.lane; END;
CREATE TRIGGER envelope_out AFTER DELETE ON envelope BEGIN
  UPDATE total SET rows = rows - 1, bytes = bytes - OLD.cost WHERE lane = OLD.lane; END;
CREATE TABLE gap (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, count INTEGER NOT NULL, reason TEXT NOT NULL,
  noted_us INTEGER NOT NULL);
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('next_seq', 1), ('session', 0);
";

const INSERT: &str = "INSERT INTO envelope (seq, lane, hit, rank, qos, topic, content_type, schema, expiry_s, committed_us, \
                      cost, digest, payload) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)";
/// Columns in the order that [`envelope`] reads them.
pub(super) const COLUMNS: &str = "seq, lane, hit, qos, topic, content_type, schema, expiry_s, committed_us, payload, digest";

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
pub(super) fn ensure_schema(db: &mut Connection) -> rusqlite::Result<i64> {
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if version != 0 || tables != 0 {
        return Ok(version);
    }
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(SCHEMA)?;
    tx.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    tx.commit()?;
    Ok(SCHEMA_VERSION)
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
    Ok(lanes == 5 && next.is_some_and(|n| n > highest.unwrap_or(0) && mark.allows(n)) && meta(db, "session")?.is_some())
}

/// A number from the meta table.
pub(super) fn meta(db: &Connection, key: &str) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT value FROM meta WHERE key = ?")?.query_row([key], |row| row.get(0)).optional()
}

/// Writes a number into the meta table.
pub(super) fn set_meta(db: &Connection, key: &str, value: i64) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?, ?)")?.execute(params![key, value]).map(drop)
}

/// Writes a row.
pub(super) fn insert(db: &Connection, seq: Seq, committed: UtcTime, draft: &Draft) -> rusqlite::Result<()> {
    let digest = digest(seq, committed, draft);
    let cost = i64::try_from(draft.cost_bytes()).unwrap_or(i64::MAX);
    db.prepare_cached(INSERT)?
        .execute(params![
            seq.0,
            draft.lane.code(),
            draft.hit,
            draft.lane.rank(draft.hit),
            i64::from(draft.qos == Qos::AtLeastOnce),
            draft.topic,
            draft.content_type,
            draft.schema,
            draft.expiry_s,
            committed.as_micros(),
            cost,
            digest,
            draft.payload
        ])
        .map(drop)
}

/// Reads a row of [`COLUMNS`]; none when its digest or a code does not fit, which means that bits have rotted.
pub(super) fn envelope(row: &Row<'_>) -> rusqlite::Result<Option<Envelope>> {
    let (seq, committed) = (Seq(row.get(0)?), UtcTime::from_micros(row.get(8)?));
    let Some(lane) = Lane::from_code(row.get(1)?) else { return Ok(None) };
    let draft = Draft {
        topic: row.get(4)?,
        qos: if row.get(3)? { Qos::AtLeastOnce } else { Qos::AtMostOnce },
        lane,
        hit: row.get(2)?,
        content_type: row.get(5)?,
        schema: row.get(6)?,
        expiry_s: row.get(7)?,
        payload: row.get(9)?,
    };
    let sound = digest(seq, committed, &draft) == row.get::<_, i64>(10)?;
    Ok(sound.then_some(Envelope { seq, committed, draft }))
}

/// Reads one row by number. The outer none: not stored; the inner none: stored but damaged.
pub(super) fn fetch(db: &Connection, seq: Seq) -> rusqlite::Result<Option<Option<Envelope>>> {
    let sql = format!("SELECT {COLUMNS} FROM envelope WHERE seq = ?");
    let found = db.prepare_cached(&sql)?.query_row([seq.0], envelope).optional();
    match found {
        // Rotten bits can also turn a text into invalid UTF-8 or a number into one out of range.
        Err(rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..)) => Ok(Some(None)),
        Err(rusqlite::Error::IntegralValueOutOfRange(..) | rusqlite::Error::Utf8Error(..)) => Ok(Some(None)),
        other => other,
    }
}

fn digest(seq: Seq, committed: UtcTime, draft: &Draft) -> i64 {
    let mut hash = Sha256::new();
    hash.update(seq.0.to_be_bytes());
    hash.update(committed.as_micros().to_be_bytes());
    hash.update([u8::from(draft.qos == Qos::AtLeastOnce), u8::from(draft.hit), u8::from(draft.expiry_s.is_some())]);
    hash.update(draft.lane.code().to_be_bytes());
    hash.update(draft.expiry_s.unwrap_or(0).to_be_bytes());
    for field in [draft.topic.as_bytes(), draft.content_type.as_bytes(), draft.schema.as_bytes(), &draft.payload] {
        hash.update(field.len().to_be_bytes());
        hash.update(field);
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finalize()[..8]);
    i64::from_be_bytes(first)
}

/// Takes rows out and notes their numbers as missing. `seqs` in any order; numbers not stored are noted all the same.
pub(super) fn lose(db: &Connection, seqs: &[Seq], reason: GapReason, now: UtcTime) -> rusqlite::Result<()> {
    let mut sorted = seqs.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut delete = db.prepare_cached("DELETE FROM envelope WHERE seq = ?")?;
    for seq in &sorted {
        delete.execute([seq.0])?;
    }
    for run in sorted.chunk_by(|a, b| a.0 + 1 == b.0) {
        if let (Some(first), Some(last)) = (run.first(), run.last()) {
            add_gap(db, *first, *last, reason, now)?;
        }
    }
    Ok(())
}

/// Notes `first..=last` as missing, joined to neighbours of the same reason, and keeps the table within its cap.
pub(super) fn add_gap(db: &Connection, first: Seq, last: Seq, reason: GapReason, now: UtcTime) -> rusqlite::Result<()> {
    let (mut first, mut last, mut count) = (first.0, last.0, last.0 - first.0 + 1);
    let mut neighbours =
        db.prepare_cached("SELECT first, last, count FROM gap WHERE reason = ?1 AND (last = ?2 - 1 OR first = ?3 + 1)")?;
    let touching: Vec<(i64, i64, i64)> = neighbours
        .query_map(params![reason.as_str(), first, last], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (f, l, n) in touching {
        db.prepare_cached("DELETE FROM gap WHERE first = ?")?.execute([f])?;
        (first, last, count) = (first.min(f), last.max(l), count + n);
    }
    put_gap(db, first, last, count, reason, now)?;
    let rows: i64 = db.prepare_cached("SELECT count(*) FROM gap")?.query_row([], |row| row.get(0))?;
    if rows > i64::try_from(MAX_GAP_ROWS).unwrap_or(i64::MAX) {
        let oldest = gaps(db, 2)?;
        if let [a, b] = oldest[..] {
            db.execute("DELETE FROM gap WHERE first IN (?, ?)", [a.first.0, b.first.0])?;
            let reason = if a.reason == b.reason { a.reason } else { GapReason::Several };
            let count = i64::try_from(a.count + b.count).unwrap_or(i64::MAX);
            put_gap(db, a.first.0, b.last.0.max(a.last.0), count, reason, a.noted.max(b.noted))?;
        }
    }
    Ok(())
}

fn put_gap(db: &Connection, first: i64, last: i64, count: i64, reason: GapReason, noted: UtcTime) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO gap VALUES (?, ?, ?, ?, ?)")?
        .execute(params![first, last, count, reason.as_str(), noted.as_micros()])
        .map(drop)
}

/// The oldest `limit` gaps, by number.
pub(super) fn gaps(db: &Connection, limit: u64) -> rusqlite::Result<Vec<Gap>> {
    let mut select = db.prepare_cached("SELECT first, last, count, reason, noted_us FROM gap ORDER BY first LIMIT ?")?;
    let rows = select.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
        let word: String = row.get(3)?;
        Ok(Gap {
            first: Seq(row.get(0)?),
            last: Seq(row.get(1)?),
            count: unsigned(row.get(2)?),
            reason: GapReason::ALL.into_iter().find(|r| r.as_str() == word).unwrap_or(GapReason::Several),
            noted: UtcTime::from_micros(row.get(4)?),
        })
    })?;
    rows.collect()
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
    let mut reasons = db.prepare_cached("SELECT reason, count(*), sum(count) FROM gap GROUP BY reason")?;
    let mut rows = reasons.query([])?;
    while let Some(row) = rows.next()? {
        let (word, ranges, numbers): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        stats.gaps += unsigned(ranges);
        match GapReason::ALL.into_iter().find(|r| r.as_str() == word) {
            Some(GapReason::Evicted) => stats.evicted += unsigned(numbers),
            Some(GapReason::TooLarge) => stats.too_large += unsigned(numbers),
            _ => stats.damaged += unsigned(numbers),
        }
    }
    Ok(stats)
}

/// A count that SQLite keeps signed.
pub(super) fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}
