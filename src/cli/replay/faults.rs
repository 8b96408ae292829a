//! What went wrong, one by one: what `--list` prints and the report shows pictures of.
//!
//! A vehicle with a right record has no fault but its further records; of one without, the first record is the misread and the others
//! are further ones. A record that gives another vehicle's mark is called that before anything else.

use super::gather::seconds;
use super::judge::Home;
use super::tally::Judged;
use crate::anpr::decode::Decoded;

/// What kind of fault; the order is that of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A vehicle without a record.
    Missed,
    /// A vehicle whose record has another mark.
    Misread,
    /// A record with the mark of another vehicle.
    Misattributed,
    /// A further record of a vehicle.
    Duplicate,
    /// A record of no vehicle.
    Stray,
}

impl Kind {
    /// All kinds, in the order of the report.
    pub(super) const ALL: [Self; 5] = [Self::Missed, Self::Misread, Self::Misattributed, Self::Duplicate, Self::Stray];

    /// The heading of its kind.
    pub(super) const fn heading(self) -> &'static str {
        match self {
            Self::Missed => "Missed",
            Self::Misread => "Misread",
            Self::Misattributed => "Misattributed",
            Self::Duplicate => "Duplicates",
            Self::Stray => "Strays",
        }
    }

    /// What its heading means.
    pub(super) const fn meaning(self) -> &'static str {
        match self {
            Self::Missed => "vehicles without a record",
            Self::Misread => "vehicles whose record has another mark",
            Self::Misattributed => "records with the mark of another vehicle",
            Self::Duplicate => "further records of one vehicle",
            Self::Stray => "records of no vehicle in the truth",
        }
    }
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    /// The vehicle, by its place among the rows; none for strays.
    pub(super) vehicle: Option<usize>,
    /// The record; none for vehicles without one.
    pub(super) record: Option<usize>,
    /// The unread passage of a vehicle without a record.
    pub(super) unread: Option<usize>,
}

/// All faults, kind by kind, in the order of time within each.
pub(super) fn faults(judged: Judged<'_>) -> Vec<Fault> {
    let verdict = judged.verdict;
    let mut faults = Vec::new();
    for v in judged.counted() {
        let records = &verdict.records[v];
        if records.is_empty() {
            let unread = verdict.unread[v].first().copied();
            faults.push(Fault { kind: Kind::Missed, vehicle: Some(v), record: None, unread });
            continue;
        }
        let is_right = |i: &&usize| judged.gathered.records[**i].record.decoded.vrm == judged.vehicles[v].row.vrm;
        let right = records.iter().find(is_right);
        let main = right.unwrap_or(&records[0]);
        for i in records.iter().filter(|i| right != Some(*i)) {
            let kind = match i == main {
                _ if verdict.misattributed[*i] => Kind::Misattributed,
                true => Kind::Misread,
                false => Kind::Duplicate,
            };
            faults.push(Fault { kind, vehicle: Some(v), record: Some(*i), unread: None });
        }
    }
    for (i, home) in verdict.homes.iter().enumerate() {
        let kind = match home {
            Home::Nowhere => Kind::Stray,
            // Of plates that nobody could read only this counts; a wrong mark is none that a person would have got right.
            Home::Unlisted(_) if verdict.misattributed[i] => Kind::Misattributed,
            Home::Vehicle(v) if verdict.misattributed[i] && !judged.vehicles[*v].row.is_readable => Kind::Misattributed,
            Home::Unlisted(_) | Home::Vehicle(_) => continue,
        };
        faults.push(Fault { kind, vehicle: None, record: Some(i), unread: None });
    }
    faults.sort_by(|a, b| a.kind.cmp(&b.kind).then(a.at_s(judged).total_cmp(&b.at_s(judged))));
    faults
}

impl Fault {
    /// When it is to be seen, seconds into the clip: the record's best frame, or from when on the vehicle can be read.
    pub(super) fn at_s(self, judged: Judged<'_>) -> f64 {
        let gathered = judged.gathered;
        let best = self.record.map(|i| &gathered.records[i].record.sightings);
        let best = best.or_else(|| self.unread.map(|i| &gathered.unread[i].sightings)).map(|s| seconds(s.best));
        best.or_else(|| self.vehicle.map(|v| judged.vehicles[v].readable_s)).unwrap_or(0.0)
    }

    /// What was read, or guessed.
    pub(super) fn decoded(self, judged: Judged<'_>) -> Option<Decoded> {
        let record = self.record.map(|i| judged.gathered.records[i].record.decoded);
        record.or_else(|| self.unread.and_then(|i| judged.gathered.unread[i].guess))
    }

    /// One line for a terminal.
    pub(super) fn line(self, judged: Judged<'_>) -> String {
        let truth = self.vehicle.map(|v| &judged.vehicles[v].row);
        let who = truth.map_or_else(|| "no vehicle".to_owned(), |row| format!("{} (line {})", row.vrm, row.line));
        let what = match (self.record, self.unread, self.decoded(judged)) {
            (Some(_), _, Some(d)) => format!("{} ({:.3})", d.vrm, d.confidence),
            (None, Some(i), guess) => {
                let reason = judged.gathered.unread[i].reason.as_str();
                format!("unread passage, {reason}{}", guess.map(|d| format!(", guess {}", d.vrm)).unwrap_or_default())
            }
            _ => "nothing".to_owned(),
        };
        let kind = match self.kind {
            Kind::Missed => "missed",
            Kind::Misread => "misread",
            Kind::Misattributed => "misattributed",
            Kind::Duplicate => "duplicate",
            Kind::Stray => "stray",
        };
        format!("{kind}: {who}: {what} at {:.2} s", self.at_s(judged))
    }
}
