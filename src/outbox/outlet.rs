//! The delivering end of the outbox: read what is due, release what has arrived, note what never can. Net thread. Blocks on
//! the disk for as long as a small transaction takes; never on the recorder for longer than its commit.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use super::store::{self, SCHEMA_VERSION, Sync, store_error};
use super::writer::store_path;
use super::{Envelope, Gap, GapReason, Lane, OutboxError, Seq, Stats};
use crate::clock::UtcTime;

/// The delivering end. Holds no state of its own: what it gave out before is for the caller to remember.
#[derive(Debug)]
pub struct Outlet {
    db: Connection,
    path: PathBuf,
}

impl Outlet {
    /// Opens the store in folder `dir` that an [`super::Outbox`] has made. Takes no lock: a look from a second process is fine.
    ///
    /// # Errors
    /// When there is no store, it can't be opened, or has another format.
    pub fn open(dir: &Path) -> Result<Self, OutboxError> {
        let path = store_path(dir);
        if !path.is_file() {
            return Err(OutboxError::Missing { path });
        }
        let db = store::connect(&path, Sync::Ordered).map_err(store_error(&path, "opening"))?;
        let found: i64 =
            db.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(store_error(&path, "reading the format"))?;
        if found != SCHEMA_VERSION {
            return Err(OutboxError::Newer { path, found, known: SCHEMA_VERSION });
        }
        Ok(Self { db, path })
    }

    /// The next rows to send: lanes in the order given, oldest first within each, passing over `skip` (in flight, or put off).
    /// At most `limit` rows. A row whose digest does not fit is moved to the gap table (`damaged`) and passed over.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn next(
        &mut self,
        lanes: &[Lane],
        skip: &BTreeSet<Seq>,
        limit: usize,
        now: UtcTime,
    ) -> Result<Vec<Envelope>, OutboxError> {
        let (due, damaged) = read_due(&self.db, lanes, skip, limit).map_err(store_error(&self.path, "reading what is due"))?;
        if !damaged.is_empty() {
            self.lose(&damaged, GapReason::Damaged, now)?;
        }
        Ok(due)
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
        store::gaps(&self.db, limit).map_err(store_error(&self.path, "reading gaps"))
    }

    /// Forgets gaps that end at or before `told`: the back office has confirmed that it knows. Returns how many went.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn forget_gaps(&mut self, told: Seq) -> Result<usize, OutboxError> {
        self.db.execute("DELETE FROM gap WHERE last <= ?", [told.0]).map_err(store_error(&self.path, "forgetting gaps"))
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

fn read_due(db: &Connection, lanes: &[Lane], skip: &BTreeSet<Seq>, limit: usize) -> rusqlite::Result<(Vec<Envelope>, Vec<Seq>)> {
    let (mut due, mut damaged) = (Vec::new(), Vec::new());
    for lane in lanes {
        // The index alone answers this; payloads of skipped rows are never read.
        let mut select = db.prepare_cached("SELECT seq FROM envelope WHERE lane = ? ORDER BY seq")?;
        let mut rows = select.query([lane.code()])?;
        while due.len() < limit {
            let Some(row) = rows.next()? else { break };
            let seq = Seq(row.get(0)?);
            if skip.contains(&seq) {
                continue;
            }
            match store::fetch(db, seq)? {
                Some(Some(envelope)) => due.push(envelope),
                Some(None) => damaged.push(seq),
                None => {} // evicted a moment ago
            }
        }
    }
    Ok((due, damaged))
}

fn release(db: &mut Connection, seqs: &[Seq]) -> rusqlite::Result<usize> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut gone = 0;
    {
        let mut delete = tx.prepare_cached("DELETE FROM envelope WHERE seq = ?")?;
        for seq in seqs {
            gone += delete.execute([seq.0])?;
        }
    }
    tx.commit()?;
    Ok(gone)
}
