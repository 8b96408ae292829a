//! What to do with a damaged store: set it aside whole, carry over every row that can still be read and whose digest fits,
//! note the rest as missing, and never give a sequence number twice. Recorder thread, at open only.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::chain::{Link, StreamId};
use super::mark::Mark;
use super::store::{self, Stored, Sync, store_error};
use super::{Gap, GapReason, OutboxError, Seq};
use crate::clock::UtcTime;

/// Single numbers tried between two unreadable stretches; a store holds fewer rows than this in all but the strangest set-ups.
const MAX_PROBES: i64 = 200_000;

/// The new store while it is being made.
const MAKING: &str = "outbox.salvage.sqlite";

/// Most numbers named as possibly missing.
const MAX_NAMED: i64 = 1_000_000;

/// What was saved from a damaged store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salvage {
    /// Where the damaged file is now.
    pub set_aside: PathBuf,
    /// Rows carried over.
    pub rows: u64,
    /// Numbers noted as missing: rows that could not be read, and numbers that can't be told from such.
    pub missing: u64,
}

/// What could be read of the damaged store.
#[derive(Debug, Default)]
struct Readable {
    rows: BTreeMap<Seq, Stored>,
    /// Numbers that are stored but rotten.
    rotten: Vec<Seq>,
    gaps: Vec<Gap>,
    next_seq: Option<i64>,
    session: Option<i64>,
    chain: Option<(StreamId, Link)>,
    /// A scan met a page it could not read: rows between the ones found may be lost.
    torn: bool,
}

/// Sets the store at `path` aside and makes a new one with all that could be saved.
pub(super) fn salvage(
    dir: &Path,
    path: &Path,
    mark: Mark,
    stream: StreamId,
    now: UtcTime,
) -> Result<(Connection, Salvage), OutboxError> {
    let not_writable = |source| OutboxError::NotWritable { path: path.to_owned(), source };
    let readable = read_all(path, mark).unwrap_or_else(|_| Readable { torn: true, ..Readable::default() });
    // Only rows carry a digest: no other number found in a damaged file may raise the sequence.
    let highest = readable.rows.keys().next_back().map_or(0, |s| s.0);
    let own = readable.next_seq.filter(|n| *n > highest && mark.allows(*n));
    // Links are of one stream: the mark's, which has a form to be checked by, or else what can be read of the store.
    let stream = mark.stream.or_else(|| readable.chain.map(|(stream, _)| stream)).unwrap_or(stream);
    let head = readable.chain.filter(|(found, _)| own.is_some() && *found == stream).map(|(_, head)| head);
    let mut next = own.unwrap_or_else(|| mark.below.max(highest + 1));

    let mut missing: Vec<Seq> = readable.rotten.iter().copied().filter(|s| (1..next).contains(&s.0)).collect();
    if readable.torn || own.is_none() {
        let lowest = readable.rows.keys().next().map_or(next, |s| s.0);
        let from = if mark.oldest > 0 { mark.oldest.min(lowest) } else { lowest }.max(next.saturating_sub(MAX_NAMED));
        let known_gap = |n: i64| readable.gaps.iter().any(|g| g.first.0 <= n && n <= g.last.0);
        // Between rows that were read, a number not found is either released or lost; it is named rather than passed over.
        missing.extend((from.max(1)..next).map(Seq).filter(|s| !readable.rows.contains_key(s) && !known_gap(s.0)));
    }
    if head.is_none() {
        // Nobody knows the link of the last envelope: a number is given up, so that the break lies in a gap that is declared.
        missing.push(Seq(next));
        next += 1;
    }
    missing.sort_unstable();
    missing.dedup();

    // The new store is whole on disk before the damaged one gives way: whatever ends us meanwhile, the next start finds either of them.
    let making = dir.join(MAKING);
    for suffix in ["", "-wal", "-shm"] {
        match std::fs::remove_file(with(&making, suffix)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(not_writable(e)),
            _ => {}
        }
    }
    let in_error = |doing| store_error(path, doing);
    let mut db = store::connect(&making, Sync::EveryCommit).map_err(in_error("making a new store"))?;
    store::ensure_schema(&mut db, stream).map_err(in_error("making a new store"))?;
    let session = readable.session.unwrap_or(0).max(mark.session);
    carry_over(&mut db, &readable, &missing, (next, session), (stream, head), now).map_err(in_error("carrying rows over"))?;
    // Closing brings the log into the file.
    db.close().map_err(|(_, e)| e).map_err(in_error("closing the new store"))?;
    let report = Salvage {
        set_aside: set_aside(dir, path, now).map_err(not_writable)?,
        rows: u64::try_from(readable.rows.len()).unwrap_or(u64::MAX),
        missing: u64::try_from(missing.len()).unwrap_or(u64::MAX),
    };
    finish(dir, path).map_err(not_writable)?;
    let db = store::connect(path, Sync::EveryCommit).map_err(in_error("opening the new store"))?;
    Ok((db, report))
}

/// Puts a store that a salvage had finished in its place, if the salvage was ended just before it could.
pub(super) fn finish(dir: &Path, path: &Path) -> io::Result<()> {
    let making = dir.join(MAKING);
    // The damaged store only goes when the new one is whole.
    if path.exists() || !making.exists() {
        return Ok(());
    }
    std::fs::rename(&making, path)?;
    File::open(dir)?.sync_all()
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn set_aside(dir: &Path, path: &Path, now: UtcTime) -> io::Result<PathBuf> {
    let stamp: String = now.to_string().chars().filter(char::is_ascii_alphanumeric).collect();
    let target = (0..)
        .map(|n: u32| {
            dir.join(if n == 0 { format!("outbox.damaged-{stamp}.sqlite") } else { format!("outbox.damaged-{stamp}-{n}.sqlite") })
        })
        .find(|p| !p.exists())
        .unwrap_or_else(|| dir.join("outbox.damaged.sqlite"));
    // The log first: without its file it is nothing, and a file without its log is only a little older.
    if with(path, "-wal").exists() {
        std::fs::rename(with(path, "-wal"), with(&target, "-wal"))?;
    }
    // The -shm file is an index over the WAL that SQLite builds anew.
    if with(path, "-shm").exists() {
        std::fs::remove_file(with(path, "-shm"))?;
    }
    std::fs::rename(path, &target)?;
    Ok(target)
}

fn read_all(path: &Path, mark: Mark) -> rusqlite::Result<Readable> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    let number = |key| store::meta(&db, key).ok().flatten();
    let mut found = Readable { next_seq: number("next_seq"), session: number("session"), ..Readable::default() };
    found.chain = store::chain(&db).ok().flatten();
    match super::gap::all(&db, u64::MAX) {
        Ok(gaps) => found.gaps = gaps,
        Err(_) => found.torn = true,
    }
    let low = scan(&db, &mut found, "ASC");
    // A page whose header rotted can hide rows without any error; the totals know how many there should be.
    let counted: Option<i64> = db.query_row("SELECT sum(rows) FROM total", [], |row| row.get(0)).ok();
    let seen = i64::try_from(found.rows.len() + found.rotten.len()).unwrap_or(i64::MAX);
    found.torn |= counted != Some(seen);
    if !found.torn {
        return Ok(found);
    }
    let high = scan(&db, &mut found, "DESC");
    // Between the last row that a walk from below reached and the last that one from above did, try each number.
    let bound = found.next_seq.unwrap_or(0).max(mark.below);
    let from = low.map_or(mark.oldest, |s| s.0).max(1);
    let until = high.map_or(bound, |s| s.0).min(from.saturating_add(MAX_PROBES));
    for seq in (from..until).map(Seq) {
        take(store::fetch(&db, seq), seq, &mut found);
    }
    Ok(found)
}

/// Walks the rows in one direction until a page can't be read. Returns the last number reached.
fn scan(db: &Connection, found: &mut Readable, direction: &str) -> Option<Seq> {
    let mut reached = None;
    let walked = db.prepare(&format!("SELECT seq FROM envelope NOT INDEXED ORDER BY seq {direction}")).and_then(|mut select| {
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let seq = Seq(row.get(0)?);
            if seq.0 <= 0 {
                continue;
            }
            take(store::fetch(db, seq), seq, found);
            reached = Some(seq);
        }
        Ok(())
    });
    found.torn |= walked.is_err();
    reached
}

fn take(fetched: rusqlite::Result<Option<Option<Stored>>>, seq: Seq, found: &mut Readable) {
    match fetched {
        Ok(Some(Some(envelope))) => {
            found.rows.insert(seq, envelope);
        }
        Ok(Some(None)) => found.rotten.push(seq),
        Ok(None) => {}
        Err(_) => {
            found.rotten.push(seq);
            found.torn = true;
        }
    }
}

fn carry_over(
    db: &mut Connection,
    readable: &Readable,
    missing: &[Seq],
    (next, session): (i64, i64),
    (stream, head): (StreamId, Option<Link>),
    now: UtcTime,
) -> rusqlite::Result<()> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for stored in readable.rows.values() {
        stored.insert(&tx)?;
    }
    // All of them are told once more: what the file said of that is not to be relied upon.
    for gap in readable.gaps.iter().filter(|g| g.first.0 > 0 && g.last >= g.first && g.last.0 < next) {
        super::gap::put_untold(&tx, gap)?;
    }
    store::lose(&tx, missing, GapReason::Damaged, now)?;
    store::set_meta(&tx, "next_seq", next)?;
    store::set_meta(&tx, "session", session)?;
    store::set_chain(&tx, stream, head.unwrap_or_default())?;
    // Ages of rows go on from where they were.
    store::set_meta(&tx, "age_s", readable.rows.values().map(|s| s.age_s).max().unwrap_or(0))?;
    tx.commit()
}
