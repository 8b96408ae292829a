//! The delivering end of the outbox: read what is due, release what has arrived, note what never can. Net thread. Blocks on
//! the disk for as long as a small transaction takes; never on the recorder for longer than its commit.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::chain::{Link, StreamId};
use super::cipher::Cipher;
use super::store::{self, SCHEMA_VERSION, Scribe, Sync, store_error};
use super::writer::store_path;
use super::{Envelope, Gap, GapReason, Lane, OutboxError, Seq, Stats, gap};
use crate::clock::UtcTime;
use crate::keys::DataKey;

/// How far each lane has been looked at: new rows always have larger numbers than all before them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursors([i64; 5]);

impl Cursors {
    /// The row is passed, and all of its lane before it.
    pub fn pass(&mut self, lane: Lane, seq: Seq) {
        let cursor = &mut self.0[lane as usize];
        *cursor = (*cursor).max(seq.0);
    }

    /// Whether the row was passed.
    pub const fn has_passed(&self, lane: Lane, seq: Seq) -> bool {
        seq.0 <= self.0[lane as usize]
    }

    /// Back to the beginning.
    pub const fn reset(&mut self) {
        self.0 = [0; 5];
    }
}

/// Numbers skipped at most on somebody else's word.
const MAX_JUMP: u64 = 10_000_000;

/// A stored row without its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its number.
    pub seq: Seq,
    /// Its lane.
    pub lane: Lane,
    /// Part of a hit.
    pub hit: bool,
    /// Full topic.
    pub topic: String,
    /// Name and version of the payload's schema.
    pub schema: String,
    /// When it was committed.
    pub committed: UtcTime,
    /// Bytes charged for it.
    pub cost_bytes: u64,
}

/// The delivering end. Holds no state of its own: what it gave out before is for the caller to remember.
#[derive(Debug)]
pub struct Outlet {
    db: Connection,
    path: PathBuf,
    scribe: Scribe,
    stream: StreamId,
}

impl Outlet {
    /// Opens the store in folder `dir` that an [`super::Outbox`] has made. Takes no lock: a look from a second process is fine.
    /// Without the data key, payloads that are encrypted can't be read: such rows count as damaged, so that only figures, gaps and
    /// [`Self::rows`] are of use then.
    ///
    /// # Errors
    /// When there is no store, it can't be opened, or has another format.
    pub fn open(dir: &Path, data_key: Option<&DataKey>) -> Result<Self, OutboxError> {
        Self::with(dir, Scribe { cipher: data_key.map(Cipher::new), signer: None })
    }

    pub(super) fn with(dir: &Path, scribe: Scribe) -> Result<Self, OutboxError> {
        let path = store_path(dir);
        if !path.is_file() {
            return Err(OutboxError::Missing { path });
        }
        let db = store::connect(&path, Sync::Ordered).map_err(store_error(&path, "opening"))?;
        let found = store::format(&db).map_err(store_error(&path, "reading the format"))?;
        if (1..SCHEMA_VERSION).contains(&found) {
            return Err(OutboxError::Older { path });
        }
        if found != SCHEMA_VERSION {
            return Err(OutboxError::Newer { path, found, known: SCHEMA_VERSION });
        }
        let chain = store::chain(&db).map_err(store_error(&path, "reading the chain"))?;
        let stream = chain.map_or_else(StreamId::default, |(stream, _)| stream);
        Ok(Self { db, path, scribe, stream })
    }

    /// The stream that the numbers are of.
    pub const fn stream(&self) -> StreamId {
        self.stream
    }

    /// The link of the newest envelope, stored or not any more.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn head(&self) -> Result<Link, OutboxError> {
        let chain = store::chain(&self.db).map_err(store_error(&self.path, "reading the chain"))?;
        Ok(chain.map_or_else(Link::default, |(_, head)| head))
    }

    /// The next rows to send: lanes in the order given, oldest first within each, those beyond the cursors. At most `limit` rows.
    /// A row that can't be read is moved to the gap table (`damaged`) and passed over. Moves no cursor.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn next(&mut self, lanes: &[Lane], after: &Cursors, limit: usize, now: UtcTime) -> Result<Vec<Envelope>, OutboxError> {
        let seqs = numbers(&self.db, lanes, after, limit).map_err(store_error(&self.path, "reading what is due"))?;
        self.fetch(&seqs, now)
    }

    /// The rows of these numbers, as far as they are stored, in the order given. A row that can't be read is moved to the gap table.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn fetch(&mut self, seqs: &[Seq], now: UtcTime) -> Result<Vec<Envelope>, OutboxError> {
        let (mut found, mut damaged) = (Vec::with_capacity(seqs.len()), Vec::new());
        for seq in seqs {
            // One that is not there was evicted a moment ago.
            if let Some(stored) = store::fetch(&self.db, *seq).map_err(store_error(&self.path, "reading what is due"))? {
                match stored.and_then(|stored| self.scribe.read(stored)) {
                    Some(envelope) => found.push(envelope),
                    None => damaged.push(*seq),
                }
            }
        }
        if !damaged.is_empty() {
            self.lose(&damaged, GapReason::Damaged, now)?;
        }
        Ok(found)
    }

    /// The rows from number `from` on, oldest first, at most `limit`; none in the place of a row that can't be read. Changes nothing.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn rows(&self, from: Seq, limit: usize) -> Result<Vec<(Seq, Option<Envelope>)>, OutboxError> {
        let failed = || store_error(&self.path, "reading rows");
        let mut select =
            self.db.prepare_cached("SELECT seq FROM envelope WHERE seq >= ? ORDER BY seq LIMIT ?").map_err(failed())?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let seqs: Vec<Seq> =
            select.query_map([from.0, limit], |row| row.get(0).map(Seq)).and_then(Iterator::collect).map_err(failed())?;
        let mut rows = Vec::with_capacity(seqs.len());
        for seq in seqs {
            if let Some(stored) = store::fetch(&self.db, seq).map_err(failed())? {
                rows.push((seq, stored.and_then(|stored| self.scribe.read(stored))));
            }
        }
        Ok(rows)
    }

    /// What is stored from number `from` on, without payloads, oldest first, at most `limit`; of one lane, or of all.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn list(&self, from: Seq, to: Seq, lane: Option<Lane>, limit: usize) -> Result<Vec<Listed>, OutboxError> {
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Listed {
                seq: Seq(row.get(0)?),
                lane: Lane::from_code(row.get(1)?).unwrap_or(Lane::Read),
                hit: row.get(2)?,
                topic: row.get(3)?,
                schema: row.get(4)?,
                committed: UtcTime::from_micros(row.get(5)?),
                cost_bytes: store::unsigned(row.get(6)?),
            })
        };
        let listed: rusqlite::Result<Vec<Listed>> = self
            .db
            .prepare_cached(
                "SELECT seq, lane, hit, topic, schema, committed_us, cost FROM envelope \
                 WHERE seq BETWEEN ?1 AND ?2 AND (?3 IS NULL OR lane = ?3) ORDER BY seq LIMIT ?4",
            )
            .and_then(|mut select| {
                let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                select.query_map((from.0, to.0, lane.map(Lane::code), limit), read)?.collect()
            });
        listed.map_err(store_error(&self.path, "listing"))
    }

    /// The numbers from `from` to `to` that are stored, at most `limit`, and where to go on if there are more.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn numbers(&self, from: Seq, to: Seq, limit: usize) -> Result<(Vec<Seq>, Option<Seq>), OutboxError> {
        let found: rusqlite::Result<Vec<Seq>> = self
            .db
            .prepare_cached("SELECT seq FROM envelope WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?")
            .and_then(|mut select| {
                let limit = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
                select.query_map([from.0, to.0, limit], |row| row.get(0).map(Seq))?.collect()
            });
        let mut found = found.map_err(store_error(&self.path, "reading numbers"))?;
        let next = found.get(limit).copied();
        found.truncate(limit);
        Ok((found, next))
    }

    /// The gaps that touch `from..=to`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn gaps_within(&self, from: Seq, to: Seq, limit: u64) -> Result<Vec<Gap>, OutboxError> {
        gap::within(&self.db, from, to, limit).map_err(store_error(&self.path, "reading gaps"))
    }

    /// The lanes of these numbers, as far as they are stored, in the order given.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn lanes(&self, seqs: &[Seq]) -> Result<Vec<(Seq, Lane)>, OutboxError> {
        let found: rusqlite::Result<Vec<_>> =
            self.db.prepare_cached("SELECT lane FROM envelope WHERE seq = ?").and_then(|mut select| {
                let mut found = Vec::with_capacity(seqs.len());
                for seq in seqs {
                    let lane: Option<i64> = select.query_row([seq.0], |row| row.get(0)).optional()?;
                    found.extend(lane.map(|lane| (*seq, Lane::from_code(lane).unwrap_or(Lane::Read))));
                }
                Ok(found)
            });
        found.map_err(store_error(&self.path, "reading lanes"))
    }

    /// The broker has taken these rows, which stay until the back office has them: reports of gaps among them make room for others.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn passed(&mut self, seqs: &[Seq]) -> Result<(), OutboxError> {
        let noted = self.db.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|tx| {
            seqs.iter().try_for_each(|seq| gap::passed(&tx, *seq))?;
            tx.commit()
        });
        noted.map_err(store_error(&self.path, "noting what the broker has"))
    }

    /// Somebody has numbers up to `given` of this stream, more than this store ever gave: it was rolled back, as by a restored backup.
    /// Numbers go on beyond that one; those between are declared damaged. False, and nothing done, when the jump is implausible.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn skip_beyond(&mut self, given: Seq, now: UtcTime) -> Result<bool, OutboxError> {
        if given.get().saturating_sub(self.last_seq()?) > MAX_JUMP {
            return Ok(false);
        }
        store::skip_to(&mut self.db, given.0, 1, now).map_err(store_error(&self.path, "skipping numbers"))?;
        Ok(true)
    }

    /// The lowest number that is stored, and its lane.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn lowest(&self) -> Result<Option<(Seq, Lane)>, OutboxError> {
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0).map(Seq)?, row.get(1)?));
        let mut select = self
            .db
            .prepare_cached("SELECT seq, lane FROM envelope ORDER BY seq LIMIT 1")
            .map_err(store_error(&self.path, "reading the lowest number"))?;
        let found = select.query_row([], read).optional().map_err(store_error(&self.path, "reading the lowest number"))?;
        Ok(found.map(|(seq, lane)| (seq, Lane::from_code(lane).unwrap_or(Lane::Read))))
    }

    /// Takes out all rows up to and including `through`, oldest first, at most `limit` of them: the back office has them. Returns how many
    /// went.
    ///
    /// # Errors
    /// When the disk fails; the rows stay.
    pub fn release_through(&mut self, through: Seq, limit: usize) -> Result<usize, OutboxError> {
        let seqs: rusqlite::Result<Vec<Seq>> =
            self.db.prepare_cached("SELECT seq FROM envelope WHERE seq <= ? ORDER BY seq LIMIT ?").and_then(|mut select| {
                let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                select.query_map([through.0, limit], |row| row.get(0).map(Seq))?.collect()
            });
        self.release(&seqs.map_err(store_error(&self.path, "releasing"))?)
    }

    /// Takes out rows that have arrived, in one transaction. Numbers no longer stored are passed over. Returns how many went.
    ///
    /// # Errors
    /// When the disk fails; the rows stay and will be sent again.
    pub fn release(&mut self, seqs: &[Seq]) -> Result<usize, OutboxError> {
        release(&mut self.db, seqs).map_err(store_error(&self.path, "releasing"))
    }

    /// Takes out rows that can never arrive and notes their numbers as missing.
    ///
    /// # Errors
    /// When the disk fails; the rows stay.
    pub fn lose(&mut self, seqs: &[Seq], reason: GapReason, now: UtcTime) -> Result<(), OutboxError> {
        let lost = self.db.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|tx| {
            store::lose(&tx, seqs, reason, now)?;
            tx.commit()
        });
        lost.map_err(store_error(&self.path, "noting a gap"))
    }

    /// What is stored and what is missing.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn stats(&self) -> Result<Stats, OutboxError> {
        store::stats(&self.db).map_err(store_error(&self.path, "counting"))
    }

    /// The oldest `limit` gaps, by number.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn gaps(&self, limit: u64) -> Result<Vec<Gap>, OutboxError> {
        gap::all(&self.db, limit).map_err(store_error(&self.path, "reading gaps"))
    }

    /// The last number given so far, zero when none was.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn last_seq(&self) -> Result<u64, OutboxError> {
        let next = store::meta(&self.db, "next_seq").map_err(store_error(&self.path, "reading the sequence"))?;
        Ok(store::unsigned(next.unwrap_or(1) - 1))
    }
}

fn numbers(db: &Connection, lanes: &[Lane], after: &Cursors, limit: usize) -> rusqlite::Result<Vec<Seq>> {
    let mut due = Vec::new();
    // The index alone answers this.
    let mut select = db.prepare_cached("SELECT seq FROM envelope WHERE lane = ? AND seq > ? ORDER BY seq LIMIT ?")?;
    for lane in lanes {
        let room = i64::try_from(limit - due.len()).unwrap_or(i64::MAX);
        let rows = select.query_map([lane.code(), after.0[*lane as usize], room], |row| row.get(0).map(Seq))?;
        for seq in rows {
            due.push(seq?);
        }
    }
    Ok(due)
}

fn release(db: &mut Connection, seqs: &[Seq]) -> rusqlite::Result<usize> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut gone = 0;
    {
        let mut delete = tx.prepare_cached("DELETE FROM envelope WHERE seq = ?")?;
        for seq in seqs {
            gone += delete.execute([seq.0])?;
            gap::delivered(&tx, *seq)?;
        }
    }
    tx.commit()?;
    Ok(gone)
}
