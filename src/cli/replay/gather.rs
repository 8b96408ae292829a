//! What a replay gave, kept without its pixels until the clip is over: only then can it be judged.

use std::collections::{BTreeMap, HashMap};

use super::clip::Moment;
use super::judge::{Seen, Span};
use crate::anpr::record::{AlertPhase, CaptureRecord, PassageId, Sightings, UnreadPassage};
use crate::anpr::vrm::Vrm;
use crate::clock::CaptureTime;
use crate::runtime::pipeline::Outcome;

/// A record, and when it came out.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) record: CaptureRecord,
    pub(super) came: Moment,
}

/// All records, unread passages and early alerts of a clip, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) records: Vec<Told>,
    pub(super) unread: Vec<UnreadPassage>,
    /// When the first early alert of each passage came, seconds into the clip.
    pub(super) early_s: HashMap<PassageId, f64>,
    /// Alerts of each phase.
    pub(super) alerts: BTreeMap<AlertPhase, u64>,
}

impl Gathered {
    /// Keeps an outcome.
    pub(super) fn add(&mut self, outcome: Outcome, came: Moment) {
        if let Outcome::Alert(alert) = &outcome {
            *self.alerts.entry(alert.phase).or_default() += 1;
        }
        match outcome {
            Outcome::Record(record, _) => self.records.push(Told { record: *record, came }),
            Outcome::Unread(unread, _) => self.unread.push(*unread),
            Outcome::Alert(alert) if alert.phase == AlertPhase::Early => {
                self.early_s.entry(alert.passage).or_insert_with(|| seconds(alert.at));
            }
            Outcome::Alert(_) => {}
        }
    }

    /// Records as the judge takes them.
    pub(super) fn seen_records(&self) -> Vec<Seen> {
        self.records.iter().map(|r| seen(&r.record.sightings, Some(r.record.decoded.vrm))).collect()
    }

    /// Unread passages as the judge takes them.
    pub(super) fn seen_unread(&self) -> Vec<Seen> {
        self.unread.iter().map(|u| seen(&u.sightings, u.guess.map(|g| g.vrm))).collect()
    }
}

/// Seconds into the clip: its clock starts at zero with the first frame.
#[allow(clippy::cast_precision_loss)] // nanoseconds of a clip's length; below 2^53 for a hundred days
pub(super) fn seconds(at: CaptureTime) -> f64 {
    at.mono.as_nanos() as f64 / 1e9
}

fn seen(sightings: &Sightings, mark: Option<Vrm>) -> Seen {
    let span = Span { first_s: seconds(sightings.first), last_s: seconds(sightings.last) };
    Seen { mark, span, best_frame: sightings.best_frame.0, quad: sightings.best_quad }
}
