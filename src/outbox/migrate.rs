//! Stores of older versions, brought up to the present one in one transaction: all of it, or nothing. Recorder thread, at open only.

use rusqlite::{Connection, Row, TransactionBehavior};
use sha2::{Digest, Sha256};

use super::chain::{Link, StreamId};
use super::store::{self, Scribe};
use super::{Draft, GapReason, Lane, Qos, Seq, gap};
use crate::clock::UtcTime;

/// From version 1, which had no chain and kept payloads in plain. Rows get their links in the order of their numbers, and whatever the
/// keys give them now. A row whose digest does not fit is noted as damaged.
pub(super) fn from_1(db: &mut Connection, stream: StreamId, scribe: &Scribe, now: UtcTime) -> rusqlite::Result<()> {
    // What lay there in plain is not to be found in pages that are free now.
    db.pragma_update_and_check(None, "secure_delete", "ON", |_| Ok(()))?;
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(
        "ALTER TABLE envelope RENAME TO envelope_1; DROP INDEX envelope_by_lane; DROP INDEX envelope_by_rank;
         DROP TRIGGER envelope_in; DROP TRIGGER envelope_out; DROP TABLE total;
         ALTER TABLE gap ADD COLUMN told INTEGER; ALTER TABLE gap ADD COLUMN passed INTEGER NOT NULL DEFAULT 0;
         CREATE INDEX gap_by_told ON gap (told, first);",
    )?;
    tx.execute_batch(store::ROWS)?;
    let (mut head, mut rotten) = (Link::default(), Vec::new());
    {
        let mut select = tx.prepare(
            "SELECT seq, lane, hit, qos, topic, content_type, schema, expiry_s, committed_us, payload, digest FROM envelope_1 ORDER BY seq",
        )?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let seq = Seq(row.get(0)?);
            match row_1(row) {
                Ok(Some((committed, draft))) => {
                    let (row, link) = scribe.write(stream, seq, head, &draft, (committed, 0));
                    row.insert(&tx)?;
                    head = link;
                }
                _ => rotten.push(seq),
            }
        }
    }
    // Nobody was told of gaps in version 1, and some were joined over rows that are still stored.
    let joined: Vec<_> = gap::all(&tx, u64::MAX)?.into_iter().filter(|g| g.count < g.last.0.abs_diff(g.first.0) + 1).collect();
    for gap in joined {
        tx.execute("DELETE FROM gap WHERE first = ?", [gap.first.0])?;
        gap::put_untold(&tx, &gap)?;
    }
    store::lose(&tx, &rotten, GapReason::Damaged, now)?;
    store::set_chain(&tx, stream, head)?;
    tx.execute_batch("DROP TABLE envelope_1")?;
    tx.pragma_update(None, "user_version", store::SCHEMA_VERSION)?;
    tx.commit()?;
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    db.pragma_update_and_check(None, "secure_delete", "OFF", |_| Ok(()))
}

fn row_1(row: &Row<'_>) -> rusqlite::Result<Option<(UtcTime, Draft)>> {
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
    Ok((digest_1(seq, committed, &draft) == row.get::<_, i64>(10)?).then_some((committed, draft)))
}

pub(super) fn digest_1(seq: Seq, committed: UtcTime, draft: &Draft) -> i64 {
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
    store::first_bytes(&hash.finalize())
}
