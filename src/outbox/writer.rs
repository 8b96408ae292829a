//! The producing end of the outbox: opening and commits. Recorder thread; it may block on the disk, which is nobody else's
//! problem. Never reads a payload back.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use super::mark::Mark;
use super::salvage::{self, Salvage};
use super::store::{self, SCHEMA_VERSION, Sync, store_error};
use super::{Draft, GapReason, Limits, OutboxError, Outlet, Seq, Stats};
use crate::clock::UtcTime;

const FILE: &str = "outbox.sqlite";

/// Where the store of a folder is.
pub(super) fn store_path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// What opening found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Counts up by one at each open, for the life of the device.
    pub session: u64,
    /// What was saved from a damaged store, if it was one.
    pub salvage: Option<Salvage>,
}

/// The producing end. One a folder, held by a lock.
#[derive(Debug)]
pub struct Outbox {
    db: Connection,
    dir: PathBuf,
    path: PathBuf,
    limits: Limits,
    mark: Mark,
    _lock: File,
}

impl Outbox {
    /// Opens the outbox in folder `dir`, making both as needed. A damaged store is set aside and what can be read of it is
    /// carried over; see [`Opened::salvage`]. Takes as long as reading the whole store once.
    ///
    /// # Errors
    /// When the folder can't be written, another process holds it, or a newer version made the store.
    pub fn open(dir: &Path, limits: Limits, now: UtcTime) -> Result<(Self, Opened), OutboxError> {
        let not_writable = |path: &Path| {
            let path = path.to_owned();
            move |source: io::Error| OutboxError::NotWritable { path, source }
        };
        std::fs::create_dir_all(dir).map_err(not_writable(dir))?;
        let lock_path = dir.join("outbox.lock");
        let lock = File::create(&lock_path).map_err(not_writable(dir))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OutboxError::Held { path: lock_path }),
            Err(TryLockError::Error(source)) => return Err(OutboxError::NotWritable { path: lock_path, source }),
        }
        let path = store_path(dir);
        let found = Mark::read(dir);
        let (mut db, salvage) = match open_sound(&path, found)? {
            Some(db) => (db, None),
            None => {
                let (db, salvage) = salvage::salvage(dir, &path, found, now)?;
                (db, Some(salvage))
            }
        };
        let session = begin_session(&mut db, found).map_err(store_error(&path, "starting a session"))?;
        let mark = current_mark(&db, session).map_err(store_error(&path, "reading the sequence"))?;
        mark.write(dir).map_err(not_writable(dir))?;
        let mut outbox = Self { db, dir: dir.to_owned(), path, limits, mark, _lock: lock };
        // The limits may have shrunk since the last time.
        outbox.commit(&[], now)?;
        Ok((outbox, Opened { session: store::unsigned(session), salvage }))
    }

    /// Another handle on the same store, for the net thread.
    ///
    /// # Errors
    /// When the store can't be opened a second time.
    pub fn outlet(&self) -> Result<Outlet, OutboxError> {
        Outlet::open(&self.dir)
    }

    /// Stores all drafts in one transaction, synced to the disk before it returns, and evicts what then is over the limits.
    /// Returns the numbers given, in the order of the drafts.
    ///
    /// # Errors
    /// When one draft alone is over the cap, or the disk fails; nothing is stored then, and no number is used up.
    pub fn commit(&mut self, drafts: &[Draft], now: UtcTime) -> Result<Vec<Seq>, OutboxError> {
        if let Some(draft) = drafts.iter().find(|d| d.cost_bytes() > self.limits.max_bytes) {
            let (topic, bytes) = (draft.topic.clone(), draft.cost_bytes());
            return Err(OutboxError::DraftTooLarge { topic, bytes, max_bytes: self.limits.max_bytes });
        }
        let next = store::meta(&self.db, "next_seq").map_err(store_error(&self.path, "reading the sequence"))?.unwrap_or(1);
        if next.saturating_add(i64::try_from(drafts.len()).unwrap_or(i64::MAX)) >= self.mark.below {
            let after = next.saturating_add(i64::try_from(drafts.len()).unwrap_or(i64::MAX));
            let oldest = oldest(&self.db).map_err(store_error(&self.path, "reading the sequence"))?.unwrap_or(next);
            let mark = Mark::reserve(after, oldest, self.mark.session);
            mark.write(&self.dir).map_err(|source| OutboxError::NotWritable { path: self.dir.clone(), source })?;
            self.mark = mark;
        }
        commit(&mut self.db, drafts, next, self.limits, now).map_err(store_error(&self.path, "committing"))
    }

    /// What is stored and what is missing.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn stats(&self) -> Result<Stats, OutboxError> {
        store::stats(&self.db).map_err(store_error(&self.path, "counting"))
    }
}

fn commit(db: &mut Connection, drafts: &[Draft], next: i64, limits: Limits, now: UtcTime) -> rusqlite::Result<Vec<Seq>> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let seqs: Vec<Seq> = (next..).map(Seq).take(drafts.len()).collect();
    for (seq, draft) in seqs.iter().zip(drafts) {
        store::insert(&tx, *seq, now, draft)?;
    }
    if let Some(last) = seqs.last() {
        store::set_meta(&tx, "next_seq", last.0 + 1)?;
    }
    let victims = victims(&tx, limits)?;
    store::lose(&tx, &victims, GapReason::Evicted, now)?;
    tx.commit()?;
    Ok(seqs)
}

/// The rows to go, in eviction order, so that the rest is within the limits.
fn victims(db: &Connection, limits: Limits) -> rusqlite::Result<Vec<Seq>> {
    let (rows, bytes): (i64, i64) =
        db.prepare_cached("SELECT sum(rows), sum(bytes) FROM total")?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (mut rows, mut bytes) = (store::unsigned(rows), store::unsigned(bytes));
    let mut victims = Vec::new();
    if rows <= limits.max_rows && bytes <= limits.max_bytes {
        return Ok(victims);
    }
    let mut select = db.prepare_cached("SELECT seq, cost FROM envelope ORDER BY rank, seq")?;
    let mut found = select.query([])?;
    while rows > limits.max_rows || bytes > limits.max_bytes {
        let Some(row) = found.next()? else { break };
        victims.push(Seq(row.get(0)?));
        rows = rows.saturating_sub(1);
        bytes = bytes.saturating_sub(store::unsigned(row.get(1)?));
    }
    Ok(victims)
}

/// Opens the store if it is sound, making it if there is none. None: it is there and damaged.
fn open_sound(path: &Path, mark: Mark) -> Result<Option<Connection>, OutboxError> {
    let opened = store::connect(path, Sync::EveryCommit).and_then(|mut db| {
        let version = store::ensure_schema(&mut db)?;
        Ok((db, version))
    });
    let sound = opened.and_then(|(db, version)| {
        let sound = version > SCHEMA_VERSION || store::is_sound(&db, mark)?;
        Ok((db, version, sound))
    });
    match sound {
        Ok((_, found, _)) if found > SCHEMA_VERSION => {
            Err(OutboxError::Newer { path: path.to_owned(), found, known: SCHEMA_VERSION })
        }
        Ok((db, SCHEMA_VERSION, true)) => Ok(Some(db)),
        Ok(_) => Ok(None),
        Err(e) if is_damage(&e) => Ok(None),
        Err(e) => Err(store_error(path, "opening")(e)),
    }
}

/// Whether an error says that the file's content is wrong, and not that the disk or the rights are.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode as Code;
    match error.sqlite_error_code() {
        // A missing table or column is reported as the generic error.
        Some(Code::DatabaseCorrupt | Code::NotADatabase | Code::TypeMismatch | Code::ConstraintViolation | Code::Unknown) => true,
        Some(_) => false,
        None => true,
    }
}

fn begin_session(db: &mut Connection, found: Mark) -> rusqlite::Result<i64> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let session = store::meta(&tx, "session")?.unwrap_or(0).max(found.session) + 1;
    store::set_meta(&tx, "session", session)?;
    tx.commit()?;
    Ok(session)
}

fn current_mark(db: &Connection, session: i64) -> rusqlite::Result<Mark> {
    let next = store::meta(db, "next_seq")?.unwrap_or(1);
    Ok(Mark::reserve(next, oldest(db)?.unwrap_or(next), session))
}

fn oldest(db: &Connection) -> rusqlite::Result<Option<i64>> {
    db.query_row("SELECT min(seq) FROM envelope", [], |row| row.get(0))
}
