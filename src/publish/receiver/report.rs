//! What a store says about its streams: what is there, what is missing and whether anybody said why, and whether the chain holds.
//! Reads only; a receiver may be at work meanwhile.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, params};

use super::store::{StoreError, seq};
use super::{Numbered, Why};
use crate::keys::{KeyId, TrustedKeys};
use crate::outbox::chain::Link;

/// Numbers `first..=last` that are neither stored nor declared missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// First missing number.
    pub first: u64,
    /// Last missing number.
    pub last: u64,
}

/// Where a chain breaks, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainBreak {
    /// The number.
    pub seq: u64,
    /// What is wrong with it, in words.
    pub what: String,
}

/// One stream of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamReport {
    /// `{org}/{device}`.
    pub device: String,
    /// Which stream.
    pub stream: String,
    /// Numbers stored.
    pub received: u64,
    /// Arrivals beyond the first of each number.
    pub duplicates: u64,
    /// Everything up to this number is stored or declared missing.
    pub watermark: u64,
    /// The highest number known of: stored, or declared missing.
    pub highest: u64,
    /// Numbers that the box declared missing and that did not arrive, by reason.
    pub declared: BTreeMap<String, u64>,
    /// Numbers that nobody accounts for.
    pub undeclared: Vec<Hole>,
    /// Messages kept aside, by reason.
    pub aside: BTreeMap<String, u64>,
    /// Where its chain breaks first; none when it holds.
    pub first_break: Option<ChainBreak>,
}

impl StreamReport {
    /// Nothing missing that was not declared, nothing contradictory, no break.
    pub fn is_whole(&self) -> bool {
        self.undeclared.is_empty() && self.aside.is_empty() && self.first_break.is_none()
    }
}

/// Reports on every stream in folder `dir`. Links and neighbours are checked always, signatures with `trusted`.
///
/// # Errors
/// When there is no store, or it can't be read.
pub fn report(dir: &Path, trusted: Option<&TrustedKeys>) -> Result<Vec<StreamReport>, StoreError> {
    let path = dir.join("received.sqlite");
    if !path.is_file() {
        return Err(StoreError::Unusable { path, source: std::io::ErrorKind::NotFound.into() });
    }
    let db = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).and_then(|db| {
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        Ok(db)
    });
    db.and_then(|db| streams(&db, trusted)).map_err(|source| StoreError::Failed { path, source })
}

fn streams(db: &Connection, trusted: Option<&TrustedKeys>) -> rusqlite::Result<Vec<StreamReport>> {
    // One transaction: all figures are of one moment.
    let tx = db.unchecked_transaction()?;
    let mut names = tx.prepare(
        "SELECT s.device, s.stream, ifnull(t.watermark, 0) FROM \
         (SELECT device, stream FROM stream UNION SELECT device, stream FROM aside) s LEFT JOIN stream t USING (device, stream) \
         ORDER BY 1, 2",
    )?;
    let rows = names.query_map([], |row| {
        let watermark: i64 = row.get(2)?;
        Ok(StreamReport { device: row.get(0)?, stream: row.get(1)?, watermark: number(watermark), ..StreamReport::default() })
    })?;
    let mut found: Vec<StreamReport> = rows.collect::<rusqlite::Result<_>>()?;
    for stream in &mut found {
        look_at(&tx, stream, trusted)?;
    }
    Ok(found)
}

/// Goes through a stream once, in order.
fn look_at(db: &Connection, report: &mut StreamReport, trusted: Option<&TrustedKeys>) -> rusqlite::Result<()> {
    let (device, stream) = (report.device.clone(), report.stream.clone());
    let key = params![device, stream];
    let mut select = db.prepare("SELECT first, last, reason FROM gap WHERE device = ? AND stream = ? ORDER BY first, last")?;
    let gap = |row: &rusqlite::Row<'_>| Ok((number(row.get(0)?), number(row.get(1)?), row.get(2)?));
    let gaps: Vec<(u64, u64, String)> = select.query_map(key, gap)?.collect::<rusqlite::Result<_>>()?;
    let mut select = db.prepare(
        "SELECT seq, link, prev, sig, key, topic, schema, content_type, payload, copies FROM message \
         WHERE device = ? AND stream = ? ORDER BY seq",
    )?;
    let mut rows = select.query(key)?;
    let mut before: (u64, String) = (0, Link::default().to_string());
    while let Some(row) = rows.next()? {
        let (seq, copies) = (number(row.get(0)?), number(row.get(9)?));
        report.received += 1;
        report.duplicates += copies.saturating_sub(1);
        account(report, &gaps, before.0 + 1, seq - 1);
        let link: String = row.get(1)?;
        if report.first_break.is_none() {
            let what = breaks(report, row, &before, &link, trusted)?;
            report.first_break = what.map(|what| ChainBreak { seq, what });
        }
        before = (seq, link);
    }
    report.highest = gaps.iter().map(|g| g.1).fold(before.0, u64::max);
    account(report, &gaps, before.0 + 1, report.highest);
    if let Some(hole) = report.undeclared.first()
        && report.first_break.as_ref().is_none_or(|broken| hole.first < broken.seq)
    {
        let what = format!("numbers {} to {} are missing and nobody declared it", hole.first, hole.last);
        report.first_break = Some(ChainBreak { seq: hole.first, what });
    }
    for why in Why::ALL {
        let count: i64 = db.query_row(
            "SELECT count(*) FROM aside WHERE device = ? AND stream = ? AND why = ?",
            params![device, stream, why.as_str()],
            |row| row.get(0),
        )?;
        if count > 0 {
            report.aside.insert(why.as_str().to_owned(), number(count));
        }
    }
    Ok(())
}

/// Numbers `first..=last` are not stored: each is declared, or a hole.
fn account(report: &mut StreamReport, gaps: &[(u64, u64, String)], first: u64, last: u64) {
    let mut next = first;
    while next <= last {
        if let Some((_, end, reason)) = gaps.iter().find(|g| g.0 <= next && next <= g.1) {
            let end = last.min(*end);
            *report.declared.entry(reason.clone()).or_default() += end - next + 1;
            next = end + 1;
        } else {
            let end = gaps.iter().filter(|g| g.0 > next).map(|g| g.0 - 1).min().map_or(last, |end| end.min(last));
            report.undeclared.push(Hole { first: next, last: end });
            next = end + 1;
        }
    }
}

/// What is wrong with a stored message, in words.
fn breaks(
    report: &StreamReport,
    row: &rusqlite::Row<'_>,
    before: &(u64, String),
    link: &str,
    trusted: Option<&TrustedKeys>,
) -> rusqlite::Result<Option<String>> {
    let text = |column: usize| row.get::<_, Option<String>>(column);
    let prev = text(2)?;
    let signed = || Some((text(3).ok()??.parse().ok()?, KeyId::parse(&text(4).ok()??)?));
    let Some(place) = seq(row.get(0)?) else { return Ok(Some("it has no number".into())) };
    let message = Numbered {
        device: report.device.clone(),
        stream: report.stream.parse().unwrap_or_default(),
        seq: place,
        prev: prev.as_deref().and_then(|prev| prev.parse().ok()),
        signed: signed(),
        topic: row.get(5)?,
        schema: row.get(6)?,
        content_type: row.get(7)?,
        payload: row.get(8)?,
    };
    if message.link().to_string() != link {
        return Ok(Some("its content does not fit its link: the store was changed".into()));
    }
    if let Some(why) = trusted.and_then(|keys| message.doubt(keys)) {
        return Ok(Some(why.to_string()));
    }
    let follows = before.0 + 1 != place.get() || prev.is_none_or(|prev| prev == before.1);
    Ok((!follows).then(|| format!("it does not follow number {}: its prev is not that one's link", before.0)))
}

fn number(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
