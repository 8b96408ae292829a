//! Records of the last while, matched again when a list brings something new: the car was reported stolen ten minutes after it
//! went past.
//!
//! Kept in memory only, bounded in number and age. A new list is held against a few records at each event, not against all at
//! once, so that the reader never stands still for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::{Core, Desk, Effect};
use crate::anpr::decode::Decoded;
use crate::anpr::hotlist::{Action, Hit, HotlistEntry, Hotlists};
use crate::anpr::record::{Alert, AlertPhase, CaptureRecord, PassageId};
use crate::clock::{CaptureTime, MonoTime, UtcTime};
use crate::ident::CameraId;

/// Most records remembered: at three thousand vehicles an hour on one camera, more than an hour's. Beyond it the oldest goes.
const MAX_RECORDS: usize = 4096;
/// Records looked at in one event.
const AT_ONCE: usize = 8;

/// Entries remembered for one record: lists that come and go must not make it grow.
const MAX_KNOWN: usize = 64;

/// A record that may still turn out to be wanted.
#[derive(Debug)]
struct Recent {
    passage: PassageId,
    camera: CameraId,
    at: CaptureTime,
    decoded: Decoded,
    /// Entries that it was matched with before.
    known: Vec<(Arc<str>, Arc<HotlistEntry>)>,
    /// It was not yet held against the lists in force.
    waits: bool,
}

impl Recent {
    fn learn(&mut self, hits: &[Hit]) {
        let new: Vec<_> = hits.iter().filter(|hit| !knows(&self.known, hit)).map(entry_of).collect();
        self.known.extend(new);
        self.known.drain(..self.known.len().saturating_sub(MAX_KNOWN));
    }
}

/// The records of the last while.
#[derive(Debug, Default)]
pub(super) struct Late {
    keep: Duration,
    records: VecDeque<Recent>,
    /// How many of them wait to be held against the lists in force.
    waiting: usize,
    /// So soon after a record the same vehicle may still be about: its rear plate, or its way out of a queue, says more.
    same_vehicle: Duration,
}

impl Late {
    pub(super) fn new(keep_ms: u64, same_vehicle_ms: u64) -> Self {
        let [keep, same_vehicle] = [keep_ms, same_vehicle_ms].map(Duration::from_millis);
        Self { keep, same_vehicle, ..Self::default() }
    }

    /// Remembers a record with what it matched.
    pub(super) fn remember(&mut self, record: &CaptureRecord) {
        if self.keep.is_zero() {
            return;
        }
        if self.records.len() >= MAX_RECORDS {
            self.forget_oldest();
        }
        // It was matched with the lists in force a moment ago: only those before it wait.
        self.records.push_back(Recent {
            passage: record.passage,
            camera: record.sightings.camera.clone(),
            at: record.sightings.last,
            decoded: record.decoded,
            known: record.hits.iter().map(entry_of).collect(),
            waits: false,
        });
    }

    /// A vehicle that stayed was matched again while it was in view: that is no news any more.
    pub(super) fn hear(&mut self, passage: PassageId, hits: &[Hit]) {
        if let Some(recent) = self.records.iter_mut().rev().find(|r| r.passage == passage) {
            recent.learn(hits);
        }
    }

    /// Other lists are in force.
    pub(super) fn renew(&mut self) {
        self.records.iter_mut().for_each(|r| r.waits = true);
        self.waiting = self.records.len();
    }

    fn forget_oldest(&mut self) {
        if self.records.pop_front().is_some_and(|r| r.waits) {
            self.waiting -= 1;
        }
    }

    /// Holds a few more records against the lists, newest first. `judged` is the moment for the entries' dates: now, as an entry
    /// that was written today is about where the vehicle was before, too. `is_open` says that a vehicle is still in view and gets its alerts otherwise;
    /// `tells` whether a mark is sure enough to be told.
    pub(super) fn turn(
        &mut self,
        hotlists: &Hotlists,
        now: MonoTime,
        judged: UtcTime,
        is_open: impl Fn(PassageId) -> bool,
        tells: impl Fn(&Decoded) -> bool,
        mut tell: impl FnMut(Alert),
    ) {
        while self.records.front().is_some_and(|r| now.since(r.at.mono) > self.keep) {
            self.forget_oldest();
        }
        if self.waiting == 0 {
            return;
        }
        let due = |r: &Recent| r.waits && now.since(r.at.mono) > self.same_vehicle;
        let turn: Vec<usize> = (0..self.records.len()).rev().filter(|n| due(&self.records[*n])).take(AT_ONCE).collect();
        let mut hits = Vec::new();
        for n in turn {
            self.waiting -= 1;
            self.records[n].waits = false;
            let recent = &self.records[n];
            if !tells(&recent.decoded) || is_open(recent.passage) {
                continue;
            }
            hotlists.lookup(recent.decoded.reading(), judged, &mut hits);
            // What a later record of the same vehicle was told with is no news of this one.
            let same_vehicle = |r: &&Recent| {
                r.camera == recent.camera
                    && r.decoded.vrm.key() == recent.decoded.vrm.key()
                    && r.at.mono.since(recent.at.mono) <= self.same_vehicle
            };
            let known = |hit: &Hit| self.records.range(n..).filter(same_vehicle).any(|r| knows(&r.known, hit));
            if hits.iter().all(known) {
                continue;
            }
            let quiet = hits.iter().filter(|hit| hit.entry.action != Action::Silent).all(known);
            let recent = &mut self.records[n];
            recent.learn(&hits);
            tell(Alert {
                passage: recent.passage,
                phase: AlertPhase::Confirmed,
                late: true,
                quiet,
                decoded: recent.decoded,
                camera: recent.camera.clone(),
                at: recent.at,
                hotlists: hotlists.versions(),
                hits: std::mem::take(&mut hits),
            });
        }
    }
}

impl Core {
    /// Holds a few of the last records against lists that changed.
    pub(super) fn match_late(&mut self, at: CaptureTime, effects: &mut Vec<Effect>) {
        let Self { cameras, desk, .. } = self;
        let Desk { late, hotlists, alerts, stats, judged, .. } = desk;
        let is_open = |passage| cameras.values().any(|tracker| tracker.open().iter().any(|open| open.id == passage));
        late.turn(
            hotlists,
            at.mono,
            judged.1,
            is_open,
            |decoded| alerts.tells(decoded),
            |alert| {
                stats.alerts += 1;
                stats.alerts_late += 1;
                effects.push(Effect::Alert(Box::new(alert)));
            },
        );
    }
}

fn entry_of(hit: &Hit) -> (Arc<str>, Arc<HotlistEntry>) {
    (Arc::clone(&hit.list), Arc::clone(&hit.entry))
}

fn knows(known: &[(Arc<str>, Arc<HotlistEntry>)], hit: &Hit) -> bool {
    known.iter().any(|(list, entry)| *list == hit.list && entry.asks_the_same(&hit.entry))
}
