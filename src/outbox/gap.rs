//! The gap table: numbers that will never arrive, why, and whether the back office was told. `told` is none until a report is
//! written, then the number of the envelope that carries it, and [`DELIVERED`] when that one has arrived. A report that is itself
//! lost makes its gaps untold again. Whichever thread holds the connection.

use rusqlite::{Connection, OptionalExtension, params};

use super::store::unsigned;
use super::{Gap, GapReason, MAX_GAP_ROWS, Seq, Stats};
use crate::clock::UtcTime;

const DELIVERED: i64 = -1;

/// Notes `first..=last` as missing, joined to neighbours of the same reason that nobody was told of. Such gaps are never made
/// coarser: a back office that takes a number for lost would let go of it here too. They are no more than there are stored rows
/// between them.
pub(super) fn add(db: &Connection, first: Seq, last: Seq, reason: GapReason, now: UtcTime) -> rusqlite::Result<()> {
    let (mut first, mut last, mut count) = (first.0, last.0, last.0 - first.0 + 1);
    let below = "SELECT first, last, count FROM gap WHERE first < ?1 AND ?2 = ?2 AND reason = ?3 AND told IS NULL AND first = \
                 (SELECT max(first) FROM gap WHERE first < ?1) AND last = ?1 - 1";
    let above = "SELECT first, last, count FROM gap WHERE ?1 = ?1 AND first = ?2 + 1 AND reason = ?3 AND told IS NULL";
    for sql in [below, above] {
        let touching: Option<(i64, i64, i64)> = db
            .prepare_cached(sql)?
            .query_row(params![first, last, reason.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        if let Some((f, l, n)) = touching {
            db.prepare_cached("DELETE FROM gap WHERE first = ?")?.execute([f])?;
            (first, last, count) = (first.min(f), last.max(l), count + n);
        }
    }
    put(db, first, last, count, reason, now, None)
}

/// Makes one row of the two oldest that the back office knows, while there are more of them than the cap. Their count stays exact.
fn coalesce(db: &Connection) -> rusqlite::Result<()> {
    loop {
        let known: i64 = db.prepare_cached("SELECT count(*) FROM gap WHERE told = -1")?.query_row([], |row| row.get(0))?;
        if unsigned(known) <= MAX_GAP_ROWS {
            return Ok(());
        }
        let oldest = read(db, "told = -1", 2)?;
        let [a, b] = oldest[..] else { return Ok(()) };
        db.prepare_cached("DELETE FROM gap WHERE first IN (?, ?)")?.execute([a.first.0, b.first.0])?;
        let reason = if a.reason == b.reason { a.reason } else { GapReason::Several };
        let count = i64::try_from(a.count + b.count).unwrap_or(i64::MAX);
        put(db, a.first.0, b.last.0.max(a.last.0), count, reason, a.noted.max(b.noted), Some(DELIVERED))?;
    }
}

/// Writes a row as it is.
pub(super) fn put(
    db: &Connection,
    first: i64,
    last: i64,
    count: i64,
    reason: GapReason,
    noted: UtcTime,
    told: Option<i64>,
) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO gap (first, last, count, reason, noted_us, told) VALUES (?, ?, ?, ?, ?, ?)")?
        .execute(params![first, last, count, reason.as_str(), noted.as_micros(), told])
        .map(drop)
}

/// The oldest `limit` gaps, by number.
pub(super) fn all(db: &Connection, limit: u64) -> rusqlite::Result<Vec<Gap>> {
    read(db, "1", limit)
}

/// The gaps that touch `from..=to`, by number.
pub(super) fn within(db: &Connection, from: Seq, to: Seq, limit: u64) -> rusqlite::Result<Vec<Gap>> {
    read(db, &format!("first <= {} AND last >= {}", to.0, from.0), limit)
}

/// The oldest `limit` gaps that no report names; none while `reports` of them wait for the broker, so that reports about a full
/// outbox don't fill it.
pub(super) fn untold(db: &Connection, limit: u64, reports: u64) -> rusqlite::Result<Vec<Gap>> {
    let waiting: i64 = db
        .prepare_cached("SELECT count(DISTINCT told) FROM gap WHERE told > 0 AND passed = 0")?
        .query_row([], |row| row.get(0))?;
    if unsigned(waiting) >= reports { Ok(Vec::new()) } else { read(db, "told IS NULL", limit) }
}

/// The gaps that a report names.
pub(super) fn tell(db: &Connection, gaps: &[Gap], report: Seq) -> rusqlite::Result<()> {
    let mut update = db.prepare_cached("UPDATE gap SET told = ?1, passed = 0 WHERE first = ?2 AND last = ?3 AND told IS NULL")?;
    gaps.iter().try_for_each(|gap| update.execute([report.0, gap.first.0, gap.last.0]).map(drop))
}

/// A report was lost on its way.
pub(super) fn untell(db: &Connection, report: Seq) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE gap SET told = NULL WHERE told > 0 AND told = ?")?.execute([report.0]).map(drop)
}

/// The broker has taken a row, which stays until the back office has it; if it is a report, others may follow. (Were they to wait for
/// the back office, it would wait for them: its watermark moves only over gaps that it knows.)
pub(super) fn passed(db: &Connection, report: Seq) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE gap SET passed = 1 WHERE told > 0 AND told = ? AND passed = 0")?.execute([report.0]).map(drop)
}

/// Notes a gap whose count may be smaller than its range as untold: only the numbers that are not stored. A back office that took a
/// stored one for lost would have it deleted here.
pub(super) fn put_untold(db: &Connection, gap: &Gap) -> rusqlite::Result<()> {
    let mut stored = db.prepare("SELECT seq FROM envelope WHERE seq BETWEEN ? AND ? ORDER BY seq")?;
    let stored: Vec<i64> = stored.query_map([gap.first.0, gap.last.0], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut from = gap.first.0;
    for seq in stored.into_iter().chain([gap.last.0 + 1]) {
        if from < seq {
            put(db, from, seq - 1, seq - from, gap.reason, gap.noted, None)?;
        }
        from = seq + 1;
    }
    Ok(())
}

/// A row has arrived; if it is a report, its gaps are known.
pub(super) fn delivered(db: &Connection, report: Seq) -> rusqlite::Result<()> {
    let known = db.prepare_cached("UPDATE gap SET told = -1 WHERE told > 0 AND told = ?")?.execute([report.0])?;
    if known == 0 { Ok(()) } else { coalesce(db) }
}

/// Adds up what is missing.
pub(super) fn count(db: &Connection, stats: &mut Stats) -> rusqlite::Result<()> {
    let mut reasons = db.prepare_cached("SELECT reason, count(*), sum(count) FROM gap GROUP BY reason")?;
    let mut rows = reasons.query([])?;
    while let Some(row) = rows.next()? {
        let (word, ranges, numbers): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        stats.gaps += unsigned(ranges);
        let total = match GapReason::parse(&word) {
            GapReason::Evicted => &mut stats.evicted,
            GapReason::Expired => &mut stats.expired,
            GapReason::TooLarge => &mut stats.too_large,
            GapReason::Purged => &mut stats.purged,
            GapReason::Released => &mut stats.released,
            GapReason::Damaged | GapReason::Several => &mut stats.damaged,
        };
        *total += unsigned(numbers);
    }
    let untold = "SELECT coalesce(sum(count), 0) FROM gap WHERE told IS NULL OR told > 0";
    stats.undeclared = unsigned(db.prepare_cached(untold)?.query_row([], |row| row.get(0))?);
    Ok(())
}

fn read(db: &Connection, chosen: &str, limit: u64) -> rusqlite::Result<Vec<Gap>> {
    let sql = format!("SELECT first, last, count, reason, noted_us FROM gap WHERE {chosen} ORDER BY first LIMIT ?");
    let mut select = db.prepare_cached(&sql)?;
    let rows = select.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
        let word: String = row.get(3)?;
        Ok(Gap {
            first: Seq(row.get(0)?),
            last: Seq(row.get(1)?),
            count: unsigned(row.get(2)?),
            reason: GapReason::parse(&word),
            noted: UtcTime::from_micros(row.get(4)?),
        })
    })?;
    rows.collect()
}
