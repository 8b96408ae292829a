//! Delays in the clip's own time: what a live camera at the clip's frame rate would show, the machine's own speed left out.

use super::gather::seconds;
use super::tally::Judged;
use crate::cli::rate::quantile;

/// Delays of one kind, seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Delays {
    sorted_s: Vec<f64>,
}

impl Delays {
    fn new(mut delays_s: Vec<f64>) -> Self {
        delays_s.sort_by(f64::total_cmp);
        Self { sorted_s: delays_s }
    }

    /// All of them, shortest first.
    pub(super) fn sorted_s(&self) -> &[f64] {
        &self.sorted_s
    }

    /// The delay that half of them stay within; none without delays.
    pub(super) fn median_s(&self) -> Option<f64> {
        quantile(&self.sorted_s, 0.5)
    }

    /// The delay that 95 % of them stay within.
    pub(super) fn p95_s(&self) -> Option<f64> {
        quantile(&self.sorted_s, 0.95)
    }
}

/// All delays of a clip.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Latencies {
    /// From when a person can read a plate to the first sighting of its first record; below zero where the program was first.
    pub(super) sighting: Delays,
    /// From when a person can read a plate to the early alert; where there was one.
    pub(super) alert: Delays,
    /// From a record's last sighting to the record.
    pub(super) record: Delays,
    /// Records that the clip's end brought about: they would have come later, so that they have no delay.
    pub(super) at_end: u64,
}

impl Latencies {
    /// Measures a clip.
    pub(super) fn of(judged: Judged<'_>) -> Self {
        let (mut sighting, mut alert, mut record, mut at_end) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for v in judged.counted() {
            let readable_s = judged.vehicles[v].readable_s;
            let firsts = judged.records_of(v).map(|r| seconds(r.record.sightings.first));
            sighting.extend(firsts.reduce(f64::min).map(|s| s - readable_s));
            let unread = judged.verdict.unread[v].iter().map(|i| judged.gathered.unread[*i].passage);
            let passages = judged.records_of(v).map(|r| r.record.passage).chain(unread);
            let alerts = passages.filter_map(|p| judged.gathered.early_s.get(&p).copied());
            alert.extend(alerts.reduce(f64::min).map(|s| s - readable_s));
        }
        for told in &judged.gathered.records {
            if told.came.at_end {
                at_end += 1;
            } else {
                record.push(told.came.at_s - seconds(told.record.sightings.last));
            }
        }
        Self { sighting: Delays::new(sighting), alert: Delays::new(alert), record: Delays::new(record), at_end }
    }

    /// Each kind with its name, in order; those without delays are left out.
    pub(super) fn kinds(&self) -> impl Iterator<Item = (&'static str, &Delays)> {
        let all = [
            ("readable to first sighting", &self.sighting),
            ("readable to early alert", &self.alert),
            ("last sighting to record", &self.record),
        ];
        all.into_iter().filter(|(_, delays)| !delays.sorted_s.is_empty())
    }
}
