//! Alerts: when a hit is told to people, when again, and when it is taken back.
//!
//! Early while the vehicle is in view, then exactly one word at the end for whatever was told early: confirmed or retracted.
//! The cool-down is kept by mark (as read, and as wanted), list, action and camera, so it can't hide another mark or another action,
//! and it gives way to a higher priority and a graver warning marker; it silences alerts only, a record always names its hits. What it silences is counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::decode::Decoded;
use super::hotlist::{Action, Hit, Hotlists, Priority, Wanted};
use super::record::{Alert, AlertPhase, PassageId};
use super::vrm::VrmKey;
use crate::clock::{CaptureTime, MonoTime, UtcTime};
use crate::ident::CameraId;

/// When to alert. Confidences 0..=1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AlertOptions {
    /// An early alert needs this confidence of the fused reads. Default 0.9.
    pub min_confidence: f32,
    /// An early alert needs this many reads that agree with the winner. Default 2.
    pub min_agreeing: u32,
    /// A hit at the close that was not told early is told, as confirmed, from this confidence on. Default 0.6: the vehicle is
    /// gone, nothing better will come, and a person looks at the picture first. Below it, the record alone names the hit.
    pub min_confidence_at_close: f32,
    /// A mark that was told about is not told again for this long (same list, action and camera, no higher priority),
    /// milliseconds. Default 60 000.
    pub cool_down_ms: u64,
    /// Records so old are matched again when a list changes, milliseconds; 0 for none. Default 3 600 000.
    pub late_match_ms: u64,
}

impl Default for AlertOptions {
    fn default() -> Self {
        Self {
            min_confidence: 0.9,
            min_agreeing: 2,
            min_confidence_at_close: 0.6,
            cool_down_ms: 60_000,
            late_match_ms: 3_600_000,
        }
    }
}

/// Most marks in the cool-down at one time; beyond it the oldest is forgotten (and may be told again too soon).
const MAX_COOLING: usize = 4096;

/// Most hits remembered for one passage; more entries for one mark are told, but not retracted one by one.
const MAX_TOLD: usize = 64;

/// What was told about one open passage.
#[derive(Debug, Default)]
pub(super) struct PassageAlerts {
    /// Hits of early alerts sent.
    told: Vec<Hit>,
    /// The mark of the last early alert sent.
    decoded: Option<Decoded>,
    /// One of them was for people near the vehicle too.
    shown: bool,
    /// Hits that the cool-down silenced in this passage; counted once.
    silenced: Vec<Hit>,
    /// Hits that people were told of (or that the cool-down silenced) at its record, or at that of the passage before it of the same
    /// vehicle: no news.
    heard: Vec<Hit>,
}

impl PassageAlerts {
    pub(super) fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// What was told early has had its last word: it is not said again when the vehicle, which stayed, drives off.
    pub(super) fn settle(&mut self) {
        self.told.clear();
        self.decoded = None;
        self.shown = false;
    }

    /// These hits were told with a record: they are no news any more.
    pub(super) fn hear(&mut self, hits: &[Hit]) {
        remember(&mut self.heard, hits);
    }

    /// Whether a hit is no news.
    pub(super) fn knows(&self, hit: &Hit) -> bool {
        [&self.told, &self.heard].into_iter().flatten().any(|known| same_entry(known, hit))
    }

    /// All hits that are no news.
    pub(super) fn heard(&self) -> Vec<Hit> {
        let mut all = self.heard.clone();
        remember(&mut all, &self.told);
        all
    }
}

/// Everything an alert says besides its phase and hits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Occasion<'a> {
    pub(super) passage: PassageId,
    pub(super) camera: &'a CameraId,
    pub(super) at: CaptureTime,
    /// The moment for the dates of entries.
    pub(super) judged: UtcTime,
    pub(super) hotlists: &'a Hotlists,
}

impl Occasion<'_> {
    fn alert(&self, phase: AlertPhase, decoded: Decoded, hits: Vec<Hit>) -> Alert {
        Alert {
            passage: self.passage,
            phase,
            late: false,
            quiet: false,
            decoded,
            camera: self.camera.clone(),
            at: self.at,
            hotlists: self.hotlists.versions(),
            hits,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct CoolKey {
    camera: CameraId,
    mark: VrmKey,
    /// One read may match several entries: that one of them was told must not hide the others.
    wanted: Wanted,
    list: Arc<str>,
    action: Action,
}

impl CoolKey {
    fn of(camera: &CameraId, mark: VrmKey, hit: &Hit) -> Self {
        let (wanted, list, action) = (hit.entry.wanted, hit.list.clone(), hit.entry.action);
        Self { camera: camera.clone(), mark, wanted, list, action }
    }
}

/// What was told last, and when. A later hit is kept back only if it is no more urgent in either way.
#[derive(Clone, Copy, Debug)]
struct Cooling {
    at: MonoTime,
    priority: Priority,
    marker_urgency: usize,
}

/// Decides what is told, over all passages.
#[derive(Debug)]
pub(super) struct AlertDesk {
    options: AlertOptions,
    /// When it was last told, and how urgently.
    cooling: HashMap<CoolKey, Cooling>,
    hits: Vec<Hit>,
    /// Alerts kept back by the cool-down.
    pub(super) silenced: u64,
}

impl AlertDesk {
    pub(super) fn new(options: AlertOptions) -> Self {
        Self { options, cooling: HashMap::new(), hits: Vec::new(), silenced: 0 }
    }

    /// An early alert, if the reads so far are sure enough and say something that was not told yet.
    pub(super) fn early(
        &mut self,
        on: Occasion<'_>,
        decoded: &Decoded,
        agreeing: u32,
        alerts: &mut PassageAlerts,
    ) -> Option<Alert> {
        if decoded.confidence < self.options.min_confidence || agreeing < self.options.min_agreeing {
            return None;
        }
        on.hotlists.lookup(decoded.reading(), on.judged, &mut self.hits);
        let full = alerts.told.len() >= MAX_TOLD;
        let known =
            |hit: &Hit| full || [&alerts.told, &alerts.silenced, &alerts.heard].into_iter().flatten().any(|t| same_entry(t, hit));
        if self.hits.iter().all(known) {
            return None;
        }
        let shows = self.shows(on, decoded, &self.hits, known);
        let hits = std::mem::take(&mut self.hits);
        if !self.may_tell(on.camera, decoded.vrm.key(), on.at.mono, &hits) {
            self.silenced += 1;
            remember(&mut alerts.silenced, &hits);
            return None;
        }
        remember(&mut alerts.told, &hits);
        alerts.decoded = Some(*decoded);
        alerts.shown |= shows;
        Some(Alert { quiet: !shows, ..on.alert(AlertPhase::Early, *decoded, hits) })
    }

    /// About a vehicle that stays and has its record: what another hotlist says of it, if that is news.
    pub(super) fn again(&mut self, on: Occasion<'_>, decoded: &Decoded, alerts: &mut PassageAlerts) -> Option<Alert> {
        on.hotlists.lookup(decoded.reading(), on.judged, &mut self.hits);
        let told = |hit: &Hit| alerts.knows(hit);
        if decoded.confidence < self.options.min_confidence_at_close || self.hits.iter().all(told) {
            return None;
        }
        let shows = self.shows(on, decoded, &self.hits, told);
        let hits = std::mem::take(&mut self.hits);
        if !self.may_tell(on.camera, decoded.vrm.key(), on.at.mono, &hits) {
            // Told when the cool-down is over, if the vehicle stays that long; counted once.
            if alerts.silenced.is_empty() {
                self.silenced += 1;
            }
            remember(&mut alerts.silenced, &hits);
            return None;
        }
        alerts.hear(&hits);
        Some(Alert { quiet: !shows, ..on.alert(AlertPhase::Confirmed, *decoded, hits) })
    }

    /// Whether a mark is on the list in a way that is sure enough to be told at a close, and not among what was `heard`.
    pub(super) fn is_news(&mut self, on: Occasion<'_>, decoded: &Decoded, heard: &[Hit]) -> bool {
        self.hits.clear();
        if decoded.confidence >= self.options.min_confidence_at_close {
            on.hotlists.lookup(decoded.reading(), on.judged, &mut self.hits);
        }
        self.hits.iter().any(|hit| !heard.iter().any(|known| same_entry(known, hit)))
    }

    /// Whether a record of this confidence is told at all; below it, its hits may be news yet.
    pub(super) fn tells(&self, decoded: &Decoded) -> bool {
        decoded.confidence >= self.options.min_confidence_at_close
    }

    /// The last words about a passage: a retraction of what was told early and is no longer so, then a confirmation of what
    /// is. `winner` is the record's mark and `hits` what it matches; `guess` an unread passage's.
    pub(super) fn close(
        &mut self,
        on: Occasion<'_>,
        winner: Option<(&Decoded, &[Hit])>,
        guess: Option<&Decoded>,
        alerts: &PassageAlerts,
        mut tell: impl FnMut(Alert),
    ) {
        let hits = winner.map_or(&[][..], |(_, hits)| hits);
        let gone: Vec<Hit> = alerts.told.iter().filter(|t| !hits.iter().any(|h| still_stands(h, t))).cloned().collect();
        if let (false, Some(early)) = (gone.is_empty(), alerts.decoded) {
            // What is taken back must not silence the vehicle that really carries the mark.
            for hit in &gone {
                self.cooling.remove(&CoolKey::of(on.camera, early.vrm.key(), hit));
            }
            let now_says = winner.map(|(d, _)| d).or(guess).copied().unwrap_or(early);
            tell(Alert { quiet: !alerts.shown, ..on.alert(AlertPhase::Retracted, now_says, gone) });
        }
        let Some((decoded, hits)) = winner.filter(|(_, hits)| !hits.is_empty()) else { return };
        let told_early = hits.iter().any(|h| alerts.told.iter().any(|t| still_stands(h, t)));
        if told_early {
            tell(Alert { quiet: !alerts.shown, ..on.alert(AlertPhase::Confirmed, *decoded, hits.to_vec()) });
        } else if decoded.confidence >= self.options.min_confidence_at_close {
            let shows = self.shows(on, decoded, hits, |_| false);
            if self.may_tell(on.camera, decoded.vrm.key(), on.at.mono, hits) {
                tell(Alert { quiet: !shows, ..on.alert(AlertPhase::Confirmed, *decoded, hits.to_vec()) });
            } else if alerts.silenced.is_empty() {
                self.silenced += 1;
            }
        }
    }

    /// Whether a hit was told so short a while ago, at least as urgently, that it is not told again.
    fn is_cooling(&self, camera: &CameraId, mark: VrmKey, now: MonoTime, hit: &Hit) -> bool {
        let cool_down = Duration::from_millis(self.options.cool_down_ms);
        let no_more_urgent =
            |told: &Cooling| hit.entry.priority >= told.priority && hit.entry.marker_urgency() >= told.marker_urgency;
        let told = self.cooling.get(&CoolKey::of(camera, mark, hit));
        told.is_some_and(|told| now.since(told.at) < cool_down && no_more_urgent(told))
    }

    /// Whether a hit that may be shown near the vehicle is itself news: known ones and those in their cool-down are not shown again
    /// because something came to light that is to be recorded only.
    fn shows(&self, on: Occasion<'_>, decoded: &Decoded, hits: &[Hit], known: impl Fn(&Hit) -> bool) -> bool {
        let mark = decoded.vrm.key();
        let is_news = |hit: &&Hit| !known(hit) && !self.is_cooling(on.camera, mark, on.at.mono, hit);
        hits.iter().filter(|hit| hit.entry.action != Action::Silent).any(|hit| is_news(&hit))
    }

    /// Whether any of the hits is out of its cool-down; if so, all of them begin a new one.
    fn may_tell(&mut self, camera: &CameraId, mark: VrmKey, now: MonoTime, hits: &[Hit]) -> bool {
        let cool_down = Duration::from_millis(self.options.cool_down_ms);
        let key = |hit: &Hit| CoolKey::of(camera, mark, hit);
        if hits.iter().all(|hit| self.is_cooling(camera, mark, now, hit)) {
            return false;
        }
        for hit in hits {
            if self.cooling.len() >= MAX_COOLING {
                self.cooling.retain(|_, told| now.since(told.at) < cool_down);
            }
            if self.cooling.len() >= MAX_COOLING
                && let Some(oldest) = self.cooling.iter().min_by_key(|(_, told)| told.at).map(|(k, _)| k.clone())
            {
                self.cooling.remove(&oldest);
            }
            let (priority, marker_urgency) = (hit.entry.priority, hit.entry.marker_urgency());
            let told = self.cooling.entry(key(hit)).or_insert(Cooling { at: now, priority, marker_urgency });
            // Two entries of one mark and action: the more urgent one sets the bar.
            *told = if told.at == now {
                Cooling {
                    at: now,
                    priority: told.priority.min(priority),
                    marker_urgency: told.marker_urgency.min(marker_urgency),
                }
            } else {
                Cooling { at: now, priority, marker_urgency }
            };
        }
        true
    }
}

/// Whether two hits say the same to people. A list that comes anew with later dates or other words in a column is no news,
/// and takes nothing back that was told.
fn same_entry(a: &Hit, b: &Hit) -> bool {
    a.list == b.list && a.entry.asks_the_same(&b.entry)
}

/// Whether what was told is still wanted by the list, be it more or less urgently by now.
fn still_stands(now: &Hit, told: &Hit) -> bool {
    now.list == told.list && now.entry.wants_the_same(&told.entry)
}

fn remember(known: &mut Vec<Hit>, hits: &[Hit]) {
    for hit in hits {
        if known.len() < MAX_TOLD && !known.iter().any(|k| same_entry(k, hit)) {
            known.push(hit.clone());
        }
    }
}
