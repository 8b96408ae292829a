//! The producing end of the outbox: opening and commits. Recorder thread; it may block on the disk, which is nobody else's
//! problem. Never reads a payload back.

use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use super::age::AgeClock;
use super::chain::{Link, StreamId};
use super::cipher::Cipher;
use super::mark::{High, Mark};
use super::salvage::{self, Salvage};
use super::store::{self, SCHEMA_VERSION, Scribe, Sync, store_error};
use super::{Draft, Gap, GapReason, Limits, OutboxError, OutboxOptions, Outlet, Retention, Seq, Stats, gap, migrate};
use crate::clock::{CaptureTime, UtcTime};

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
    /// The stream that its numbers are of.
    pub stream: StreamId,
    /// Public half of the key that signs its envelopes, PEM; none where they are not signed.
    pub signing_key_pem: Option<String>,
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
    retention: Retention,
    scribe: Scribe,
    stream: StreamId,
    age: AgeClock,
    mark: Mark,
    high: High,
    _lock: File,
}

/// Expired rows taken out in one transaction.
const EXPIRE_AT_ONCE: usize = 512;

impl Outbox {
    /// Opens the outbox in folder `dir`, making both as needed. A store of an older version is brought up to this one. A damaged store
    /// is set aside and what can be read of it is carried over; see [`Opened::salvage`]. Takes as long as reading the whole store once.
    ///
    /// # Errors
    /// When the folder can't be written, another process holds it, a newer version made the store, or its payloads were
    /// encrypted with another key.
    pub fn open(dir: &Path, options: OutboxOptions, now: CaptureTime) -> Result<(Self, Opened), OutboxError> {
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
        salvage::finish(dir, &path).map_err(not_writable(dir))?;
        let high = High::open(dir).map_err(not_writable(dir))?;
        let is_new = !path.exists();
        let stream = found.stream.map_or_else(|| new_stream().map_err(not_writable(dir)), Ok)?;
        let scribe = Scribe { cipher: options.data_key.as_ref().map(Cipher::new), signer: options.signing_key };
        let (mut db, salvage) = match open_sound(&path, found, stream, &scribe, now.utc)? {
            Some(db) => (db, None),
            None => {
                let (db, salvage) = salvage::salvage(dir, &path, found, stream, now.utc)?;
                (db, Some(salvage))
            }
        };
        if !store::opens(&db, &scribe).map_err(store_error(&path, "reading a row"))? {
            return Err(OutboxError::WrongKey { path });
        }
        let in_error = |doing| store_error(&path, doing);
        // A store that vanished, or whose newest commits did: what was given before is missing, and given no second time.
        let given = if is_new { high.read().max(found.below - 1) } else { high.read() };
        let from = found.oldest.max(1);
        store::skip_to(&mut db, given, from, now.utc).map_err(store_error(&path, "reading the sequence"))?;
        // The store's own word counts: the mark may be of an older version, or lost.
        let (stream, _) = store::chain(&db).map_err(in_error("reading the chain"))?.unwrap_or_else(|| (stream, Link::default()));
        let session = begin_session(&mut db, found).map_err(in_error("starting a session"))?;
        let mark = current_mark(&db, session, stream).map_err(in_error("reading the sequence"))?;
        let age = AgeClock::load(&db, now).map_err(in_error("reading its age"))?;
        mark.write(dir).map_err(not_writable(dir))?;
        let signing_key_pem = scribe.signer.as_ref().map(|key| key.public_pem());
        let (limits, retention) = (options.limits, options.retention);
        let mut outbox = Self { db, dir: dir.to_owned(), path, limits, retention, scribe, stream, age, mark, high, _lock: lock };
        // The limits may have shrunk since the last time.
        outbox.commit(&[], now)?;
        Ok((outbox, Opened { session: store::unsigned(session), stream, signing_key_pem, salvage }))
    }

    /// Another handle on the same store, for the net thread.
    ///
    /// # Errors
    /// When the store can't be opened a second time.
    pub fn outlet(&self) -> Result<Outlet, OutboxError> {
        Outlet::with(&self.dir, self.scribe.clone())
    }

    /// Stores all drafts in one transaction, synced to the disk before it returns, and evicts what then is over the limits.
    /// Returns the numbers given, in the order of the drafts.
    ///
    /// # Errors
    /// When one draft alone is over the cap, or the disk fails; nothing is stored then, and no number is used up.
    pub fn commit(&mut self, drafts: &[Draft], now: CaptureTime) -> Result<Vec<Seq>, OutboxError> {
        self.commit_with(drafts, &[], now)
    }

    /// Whose word lets rows go from now on. When it becomes the back office's, every number that left on the broker's word before is
    /// declared `released`, or a back office that begins now would wait for them for ever. Returns how many were.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn wait_for_back_office(&mut self, waits: bool, now: CaptureTime) -> Result<u64, OutboxError> {
        self.declare_released(waits, now.utc).map_err(store_error(&self.path, "declaring what was released"))
    }

    fn declare_released(&mut self, waits: bool, now: UtcTime) -> rusqlite::Result<u64> {
        const KEY: &str = "waits_for_back_office";
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if store::meta(&tx, KEY)?.unwrap_or(0) == i64::from(waits) {
            return Ok(0);
        }
        store::set_meta(&tx, KEY, i64::from(waits))?;
        let mut released = 0;
        if waits {
            let next = store::meta(&tx, "next_seq")?.unwrap_or(1);
            let known: Vec<(i64, i64)> = tx
                .prepare("SELECT seq, seq FROM envelope UNION ALL SELECT first, last FROM gap ORDER BY 1")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            let mut from = 1;
            for (first, last) in known.into_iter().chain([(next, next)]) {
                if from < first {
                    gap::add(&tx, Seq(from), Seq(first - 1), GapReason::Released, now)?;
                    released += store::unsigned(first - from);
                }
                from = from.max(last + 1);
            }
        }
        tx.commit()?;
        Ok(released)
    }

    /// Gaps that no report names yet, oldest first, at most `limit`; none while `reports` reports wait for delivery.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn untold_gaps(&self, limit: u64, reports: u64) -> Result<Vec<Gap>, OutboxError> {
        gap::untold(&self.db, limit, reports).map_err(store_error(&self.path, "reading gaps"))
    }

    /// Stores a report that names `gaps`. Should the report be lost itself, they are untold again.
    ///
    /// # Errors
    /// As for [`Self::commit`].
    pub fn commit_report(&mut self, report: Draft, gaps: &[Gap], now: CaptureTime) -> Result<Seq, OutboxError> {
        let seqs = self.commit_with(&[report], gaps, now)?;
        // Invariant: one draft, one number.
        Ok(seqs[0])
    }

    fn commit_with(&mut self, drafts: &[Draft], told: &[Gap], now: CaptureTime) -> Result<Vec<Seq>, OutboxError> {
        if let Some(draft) = drafts.iter().find(|d| d.cost_bytes() > self.limits.max_bytes) {
            let (topic, bytes) = (draft.topic.clone(), draft.cost_bytes());
            return Err(OutboxError::DraftTooLarge { topic, bytes, max_bytes: self.limits.max_bytes });
        }
        // Should the net thread skip numbers between this and the transaction, the bound is off by a few: it has thousands to spare.
        let next = store::meta(&self.db, "next_seq").map_err(store_error(&self.path, "reading the sequence"))?.unwrap_or(1);
        let after = next.saturating_add(i64::try_from(drafts.len()).unwrap_or(i64::MAX));
        if after >= self.mark.below {
            let oldest = oldest(&self.db).map_err(store_error(&self.path, "reading the sequence"))?.unwrap_or(next);
            let mark = Mark::reserve(after, oldest, self.mark.session, self.stream);
            mark.write(&self.dir).map_err(|source| OutboxError::NotWritable { path: self.dir.clone(), source })?;
            self.mark = mark;
        }
        let seqs = self.transact(drafts, told, now).map_err(store_error(&self.path, "committing"))?;
        if let Some(last) = seqs.last()
            && let Err(error) = self.high.write(last.0)
        {
            // What was committed is safe; only the second guard against a torn log is missing.
            tracing::warn!(%error, "the highest number can't be noted beside the store");
        }
        Ok(seqs)
    }

    fn transact(&mut self, drafts: &[Draft], told: &[Gap], now: CaptureTime) -> rusqlite::Result<Vec<Seq>> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let age_s = self.age.now_s(now);
        let next = store::meta(&tx, "next_seq")?.unwrap_or(1);
        // Read from the store each time: what a failed transaction had in mind never counts.
        let mut head = store::chain(&tx)?.map_or_else(Link::default, |(_, head)| head);
        let seqs: Vec<Seq> = (next..).map(Seq).take(drafts.len()).collect();
        for (seq, draft) in seqs.iter().zip(drafts) {
            let (row, link) = self.scribe.write(self.stream, *seq, head, draft, (now.utc, age_s));
            row.insert(&tx)?;
            head = link;
        }
        if let Some(last) = seqs.last() {
            store::set_meta(&tx, "next_seq", last.0 + 1)?;
            store::set_chain(&tx, self.stream, head)?;
            gap::tell(&tx, told, *last)?;
        }
        self.age.save(&tx, now)?;
        let old = expired(&tx, self.retention, age_s)?;
        store::lose(&tx, &old, GapReason::Expired, now.utc)?;
        let victims = victims(&tx, self.limits)?;
        store::lose(&tx, &victims, GapReason::Evicted, now.utc)?;
        tx.commit()?;
        Ok(seqs)
    }

    /// What is stored and what is missing.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn stats(&self) -> Result<Stats, OutboxError> {
        store::stats(&self.db).map_err(store_error(&self.path, "counting"))
    }
}

fn new_stream() -> io::Result<StreamId> {
    let mut id = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut id)?;
    Ok(StreamId(id))
}

/// Rows that have waited longer than their class may, some at a time.
fn expired(db: &Connection, retention: Retention, age_s: i64) -> rusqlite::Result<Vec<Seq>> {
    let mut found = Vec::new();
    for (rank, keep) in (0_i64..).zip(retention.by_rank()) {
        let Some(keep) = keep else { continue };
        let bound = age_s.saturating_sub(i64::try_from(keep.as_secs()).unwrap_or(i64::MAX));
        // Ages grow with numbers, so the first one that may stay ends the walk.
        let mut select = db.prepare_cached("SELECT seq, age_s FROM envelope WHERE rank = ? ORDER BY seq")?;
        let mut rows = select.query([rank])?;
        while found.len() < EXPIRE_AT_ONCE {
            let Some(row) = rows.next()? else { break };
            if row.get::<_, i64>(1)? >= bound {
                break;
            }
            found.push(Seq(row.get(0)?));
        }
    }
    Ok(found)
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

/// Opens the store if it is sound, making it if there is none and bringing an older one up. None: it is there and damaged.
fn open_sound(
    path: &Path,
    mark: Mark,
    stream: StreamId,
    scribe: &Scribe,
    now: UtcTime,
) -> Result<Option<Connection>, OutboxError> {
    let opened = store::connect(path, Sync::EveryCommit).and_then(|mut db| {
        let version = store::ensure_schema(&mut db, stream)?;
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
        Ok((mut db, 1, true)) => {
            migrate::from_1(&mut db, stream, scribe, now).map_err(store_error(path, "bringing an older store up"))?;
            Ok(Some(db))
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

fn current_mark(db: &Connection, session: i64, stream: StreamId) -> rusqlite::Result<Mark> {
    let next = store::meta(db, "next_seq")?.unwrap_or(1);
    Ok(Mark::reserve(next, oldest(db)?.unwrap_or(next), session, stream))
}

fn oldest(db: &Connection) -> rusqlite::Result<Option<i64>> {
    db.query_row("SELECT min(seq) FROM envelope", [], |row| row.get(0))
}
