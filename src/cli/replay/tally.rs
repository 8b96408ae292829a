//! What is counted of a judged clip: vehicles, then records, then confidence. A vehicle here is a row of the truth with a plate that a
//! person can read; its front and its rear count apart, as they are captured apart.
//!
//! Of several records of a vehicle one right mark makes it read right; the others count as further records. How it is told is the
//! business of `summary` and `report`.

use std::collections::BTreeMap;

use super::gather::{Gathered, Told};
use super::judge::{Home, Vehicle, Verdict};
use super::latency::Latencies;
use super::strata::{Stratum, strata};
use crate::anpr::record::AlertPhase;
use crate::anpr::vrm::Vrm;
use crate::cli::calibration::{Belief, CONFIDENT, Calibration};
use crate::cli::rate::Rate;
use crate::clock::UtcTime;

/// Share of vehicles that the police standard wants captured by a fixed camera, as far as we know it.
pub(super) const CAPTURE_WANTED: f64 = 0.98;
/// Share of captured vehicles whose mark it wants read right.
pub(super) const READ_WANTED: f64 = 0.95;

/// A clip under judgement: the truth, what the pipeline gave, and what belongs to what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged<'a> {
    pub(super) vehicles: &'a [Vehicle],
    pub(super) gathered: &'a Gathered,
    pub(super) verdict: &'a Verdict,
    /// UTC of the clip's first frame.
    pub(super) start: UtcTime,
}

impl<'a> Judged<'a> {
    /// Vehicles that count, by their places.
    pub(super) fn counted(self) -> impl Iterator<Item = usize> {
        (0..self.vehicles.len()).filter(move |v| self.vehicles[*v].row.is_readable)
    }

    /// The records of a vehicle.
    pub(super) fn records_of(self, vehicle: usize) -> impl Iterator<Item = &'a Told> {
        self.verdict.records[vehicle].iter().map(move |i| &self.gathered.records[*i])
    }

    /// What became of a vehicle.
    pub(super) fn fate(self, vehicle: usize) -> Fate {
        let truth = self.vehicles[vehicle].row.vrm;
        let count = self.records_of(vehicle).count();
        let marks = || self.records_of(vehicle).map(|r| r.record.decoded.vrm);
        Fate {
            records: count,
            is_traced: count > 0 || !self.verdict.unread[vehicle].is_empty(),
            right: marks().any(|m| m == truth),
            folded: marks().any(|m| m.key() == truth.key()),
        }
    }

    /// The mark that the evidence of a record shows, if the truth or the corners know it.
    pub(super) fn shown(self, record: usize) -> Option<Vrm> {
        match self.verdict.homes[record] {
            Home::Vehicle(v) => Some(self.vehicles[v].row.vrm),
            Home::Unlisted(mark) => Some(mark),
            Home::Nowhere => None,
        }
    }

    /// Whether a record is of a vehicle whose plate nobody could read: its mark may be right all the same.
    pub(super) fn is_beyond(self, record: usize) -> bool {
        match self.verdict.homes[record] {
            Home::Vehicle(v) => !self.vehicles[v].row.is_readable,
            Home::Unlisted(_) => true,
            Home::Nowhere => false,
        }
    }
}

/// What became of a vehicle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fate {
    /// Records that belong to it.
    pub(super) records: usize,
    /// A record or an unread passage belongs to it.
    pub(super) is_traced: bool,
    /// One of its records has exactly its mark.
    pub(super) right: bool,
    /// The same with O = 0 and I = 1.
    pub(super) folded: bool,
}

/// Unread passages of one reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct UnreadCount {
    pub(super) all: u64,
    /// Those that are all there is of a vehicle.
    pub(super) sole: u64,
}

/// All counts of a clip.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Of vehicles: a record, right or wrong, belongs to it.
    pub(super) captured: Rate,
    /// Of vehicles: a record or an unread passage.
    pub(super) traced: Rate,
    /// Of captured vehicles: a record has exactly the mark.
    pub(super) right: Rate,
    /// The same with O = 0 and I = 1.
    pub(super) folded: Rate,
    /// Of all vehicles: a record has exactly the mark.
    pub(super) right_of_all: Rate,
    /// Of all vehicles: there is exactly one record, and its mark is right.
    pub(super) exactly_one: Rate,
    /// Of captured vehicles: no record has the mark.
    pub(super) misread: Rate,
    /// Of all vehicles: there are further records.
    pub(super) repeated: Rate,
    /// Records beyond the first of each vehicle.
    pub(super) further_records: u64,
    /// Of records: it gives the mark of another vehicle.
    pub(super) misattributed: Rate,
    /// Of records: of no vehicle at all.
    pub(super) strays: Rate,
    /// Records of vehicles whose plates nobody could read, and those of them that are right.
    pub(super) beyond: Rate,
    /// Of records: the mark is wrong, and the confidence at least [`CONFIDENT`].
    pub(super) wrong_but_sure: Rate,
    /// Alerts of each phase.
    pub(super) alerts: BTreeMap<AlertPhase, u64>,
    /// Unread passages by reason.
    pub(super) unread: BTreeMap<&'static str, UnreadCount>,
    /// Of vehicles with a record or an unread passage: the best frame of none of these alone gives the mark.
    pub(super) best_frame_wrong: Rate,
    /// Of those: none of the records' marks, or of the unread passages' guesses, is right.
    pub(super) fused_wrong: Rate,
    /// Of those: the best frames give no mark at all.
    pub(super) best_frame_mute: u64,
    /// Confidence of every record.
    pub(super) calibration: Calibration,
    /// Delays, in the clip's own time.
    pub(super) latencies: Latencies,
    /// Rates by what the truth says of the vehicles.
    pub(super) strata: Vec<Stratum>,
    /// Rows of the truth that count neither way, as nobody could read them.
    pub(super) unreadable: u64,
}

impl Tally {
    /// Counts a clip.
    pub(super) fn of(judged: Judged<'_>) -> Self {
        let mut tally = Self {
            latencies: Latencies::of(judged),
            strata: strata(judged),
            alerts: judged.gathered.alerts.clone(),
            ..Self::default()
        };
        for v in judged.counted() {
            tally.vehicle(judged, v);
        }
        for i in 0..judged.gathered.records.len() {
            tally.record(judged, i);
        }
        for (i, unread) in judged.gathered.unread.iter().enumerate() {
            let count = tally.unread.entry(unread.reason.as_str()).or_default();
            count.all += 1;
            let is_sole = |v: usize| judged.vehicles[v].row.is_readable && judged.verdict.records[v].is_empty();
            count.sole += u64::from(matches!(judged.verdict.unread_homes[i], Home::Vehicle(v) if is_sole(v)));
        }
        tally.unreadable = number(judged.vehicles.len()) - tally.captured.of;
        tally
    }

    fn vehicle(&mut self, judged: Judged<'_>, v: usize) {
        let (fate, truth) = (judged.fate(v), judged.vehicles[v].row.vrm);
        self.captured.count(fate.records > 0);
        self.traced.count(fate.is_traced);
        self.right_of_all.count(fate.right);
        self.exactly_one.count(fate.right && fate.records == 1);
        self.repeated.count(fate.records > 1);
        self.further_records += number(fate.records.saturating_sub(1));
        if fate.is_traced {
            self.best_frame(judged, v, truth);
        }
        if fate.records == 0 {
            return;
        }
        self.right.count(fate.right);
        self.folded.count(fate.folded);
        self.misread.count(!fate.right);
    }

    /// Holds the best frames of a vehicle against what all its frames say together. An unread passage counts with its guess: what
    /// fusion read is one question, whether it was believed another.
    fn best_frame(&mut self, judged: Judged<'_>, v: usize, truth: Vrm) {
        let unread = || judged.verdict.unread[v].iter().map(|i| &judged.gathered.unread[*i]);
        let of_unread = || unread().filter_map(|u| u.best_read.map(|d| d.vrm));
        let alone = || judged.records_of(v).filter_map(|r| r.record.best_read.map(|d| d.vrm)).chain(of_unread());
        let guesses = unread().filter_map(|u| u.guess.map(|d| d.vrm));
        let mut fused = judged.records_of(v).map(|r| r.record.decoded.vrm).chain(guesses);
        self.best_frame_wrong.count(!alone().any(|m| m == truth));
        self.best_frame_mute += u64::from(alone().next().is_none());
        self.fused_wrong.count(!fused.any(|m| m == truth));
    }

    fn record(&mut self, judged: Judged<'_>, i: usize) {
        let decoded = judged.gathered.records[i].record.decoded;
        let shown = judged.shown(i);
        let right = shown == Some(decoded.vrm);
        let folded = shown.is_some_and(|m| m.key() == decoded.vrm.key());
        self.misattributed.count(judged.verdict.misattributed[i]);
        self.strays.count(judged.verdict.homes[i] == Home::Nowhere);
        if judged.is_beyond(i) {
            self.beyond.count(right);
        }
        self.wrong_but_sure.count(!right && decoded.confidence >= CONFIDENT);
        self.calibration.add(Belief { confidence: f64::from(decoded.confidence), right, folded });
    }

    /// Vehicles that nothing at all, or an unread passage only, is there of.
    pub(super) const fn missed(&self) -> u64 {
        self.captured.of - self.captured.hits
    }
}

fn number(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(super) mod tests;
