//! The core: events in, effects out, one state, one owner.
//!
//! [`Core::apply`] is synchronous, does no I/O and can't fail. The same events in the same order from the same seed give the same
//! effects, passage ids included, so a recorded day can be replayed. It refuses to know what a pixel is: it says which
//! sighting's pixels are worth holding ([`Effect::Keep`]) and when to let them go.
//!
//! # Order of effects
//! Within a frame: passages that were due close first, oldest first; then each sighting's `Keep`, and with it the early alert it
//! brought about. At a close: retracted or confirmed alert first, then the record or unread passage (the alert lane is the faster one,
//! and both name the same passage), or `Dropped`. A passage has at most one `Record` and at most one `Unread`, and nothing is said of it after its `Record` but alerts. One
//! that is over ends with its `Record`, its `Unread` or `Dropped`; one that stayed after either of the first two ends with `Dropped`.

mod ids;
mod in_view;
mod late;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::ids::IdMaker;
use self::late::Late;
pub use super::alert::AlertOptions;
use super::alert::{AlertDesk, Occasion};
use super::decode::{DecodeOptions, Decoder};
use super::hotlist::Hotlists;
use super::passage::{Due, Open, Outcome, Said, Tracker};
pub use super::passage::{Legibility, PassageOptions, Sighting};
use super::record::{Alert, CaptureRecord, PassageId, UnreadPassage};
use super::syntax::Grammar;
use super::validity::ValidityClock;
use crate::clock::{CaptureTime, MonoTime, UtcTime};
use crate::ident::{CameraId, FrameSeq};

/// What happens to the core.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A frame was looked at, with or without plates in it.
    Frame {
        /// The camera.
        camera: &'a CameraId,
        /// The frame's number.
        seq: FrameSeq,
        /// When it was captured.
        at: CaptureTime,
        /// The candidates in it.
        sightings: &'a [Sighting],
    },
    /// A frame was passed over, as nothing in it had moved since the last one that was looked at: what was seen then is still
    /// there.
    Still {
        /// The camera.
        camera: &'a CameraId,
        /// When the frame was captured.
        at: CaptureTime,
    },
    /// Time goes by without frames: closes what is due on all cameras.
    Tick {
        /// The present moment.
        now: CaptureTime,
    },
    /// Other lists are in force.
    Hotlists(Arc<Hotlists>),
    /// The camera's clip is over, or the daemon stops: closes every passage of it.
    End {
        /// The camera.
        camera: &'a CameraId,
        /// The moment of it.
        at: CaptureTime,
    },
}

impl Event<'_> {
    fn moment(&self) -> Option<CaptureTime> {
        match self {
            Self::Frame { at, .. } | Self::Still { at, .. } | Self::Tick { now: at } | Self::End { at, .. } => Some(*at),
            Self::Hotlists(_) => None,
        }
    }
}

/// What is to be done outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// This sighting of the frame just applied is the passage's best so far: hold its pixels as evidence.
    Keep {
        /// The passage.
        passage: PassageId,
        /// Place of the sighting in the frame.
        sighting: usize,
    },
    /// Tell people.
    Alert(Box<Alert>),
    /// A passage closed and was read.
    Record(Box<CaptureRecord>),
    /// A passage closed and was not read.
    Unread(Box<UnreadPassage>),
    /// A passage closed without a word: let its pixels go.
    Dropped {
        /// The passage.
        passage: PassageId,
    },
}

/// How the core works; each part documents its own defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CoreOptions {
    /// From sightings to passages.
    pub passage: PassageOptions,
    /// From glyph probabilities to marks.
    pub decode: DecodeOptions,
    /// From hits to alerts.
    pub alert: AlertOptions,
}

/// Counters since start, for health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoreStats {
    /// Frames applied.
    pub frames: u64,
    /// Sightings taken from them.
    pub sightings: u64,
    /// Sightings passed over: more in one frame than `max_sightings`, or no room for their passages.
    pub sightings_over: u64,
    /// Reads among the sightings.
    pub reads: u64,
    /// Passages opened.
    pub opened: u64,
    /// Passages closed in any way.
    pub closed: u64,
    /// Of these, read: each made a record.
    pub records: u64,
    /// Of these, published as unread.
    pub unread: u64,
    /// Of these, dropped as most likely no plate.
    pub dropped: u64,
    /// Of these, vehicles that had their record already.
    pub repeated: u64,
    /// Of these, closed early to make room.
    pub evicted: u64,
    /// Alerts sent, all phases.
    pub alerts: u64,
    /// Of these, late ones: the entry came after the vehicle.
    pub alerts_late: u64,
    /// Alerts kept back by the cool-down.
    pub alerts_silenced: u64,
}

/// All that is known of vehicles in view, on all cameras of one reader thread.
#[derive(Debug)]
pub struct Core {
    options: CoreOptions,
    cameras: BTreeMap<CameraId, Tracker>,
    desk: Desk,
}

/// Everything of the core but the trackers, so that one tracker and the rest can be lent at the same time.
#[derive(Debug)]
struct Desk {
    decoder: Decoder,
    alerts: AlertDesk,
    hotlists: Arc<Hotlists>,
    validity: ValidityClock,
    /// The last event's moment, and what it is for the dates of entries.
    judged: (MonoTime, UtcTime),
    late: Late,
    ids: IdMaker,
    stats: CoreStats,
}

impl Core {
    /// An empty core. `id_seed` makes passage ids: random in the daemon, fixed in a replay.
    pub fn new(options: CoreOptions, grammar: Grammar, id_seed: u64) -> Self {
        let desk = Desk {
            decoder: Decoder::new(grammar, options.decode),
            alerts: AlertDesk::new(options.alert),
            hotlists: Arc::default(),
            validity: ValidityClock::default(),
            judged: (MonoTime::default(), UtcTime::from_micros(0)),
            late: Late::new(options.alert.late_match_ms, options.passage.same_vehicle_ms),
            ids: IdMaker::new(id_seed),
            stats: CoreStats::default(),
        };
        Self { options, cameras: BTreeMap::new(), desk }
    }

    /// Applies one event; what is to be done is added to `effects`.
    pub fn apply(&mut self, event: Event<'_>, effects: &mut Vec<Effect>) {
        let moment = event.moment();
        if let Some(at) = moment {
            self.desk.judged = (at.mono, self.desk.validity.judge(at));
        }
        match event {
            Event::Frame { camera, seq, at, sightings } => self.frame(camera, seq, at, sightings, effects),
            Event::Still { camera, at } => {
                if let Some(tracker) = self.cameras.get_mut(camera) {
                    tracker.stay(at);
                    self.desk.close_due(camera, tracker, at, &self.options, effects);
                }
            }
            Event::Tick { now } => {
                for (camera, tracker) in &mut self.cameras {
                    self.desk.close_due(camera, tracker, now, &self.options, effects);
                }
            }
            Event::Hotlists(hotlists) => {
                self.desk.hotlists = hotlists;
                self.desk.late.renew();
                for (camera, tracker) in &mut self.cameras {
                    for n in 0..tracker.open().len() {
                        self.desk.match_again(camera, tracker, n, &self.options, effects);
                    }
                }
            }
            Event::End { camera, at: _ } => {
                if let Some(tracker) = self.cameras.get_mut(camera) {
                    while !tracker.open().is_empty() {
                        let passage = tracker.remove(0);
                        self.desk.close(camera, tracker, passage, &self.options, effects);
                    }
                }
            }
        }
        if let Some(at) = moment {
            self.match_late(at, effects);
        }
    }

    /// Counters since start.
    pub fn stats(&self) -> CoreStats {
        CoreStats { alerts_silenced: self.desk.alerts.silenced, ..self.desk.stats }
    }

    /// Passages open now, all cameras.
    pub fn open_passages(&self) -> usize {
        self.cameras.values().map(|t| t.open().len()).sum()
    }

    fn frame(&mut self, camera: &CameraId, seq: FrameSeq, at: CaptureTime, sightings: &[Sighting], effects: &mut Vec<Effect>) {
        let Self { options, cameras, desk } = self;
        if !cameras.contains_key(camera) {
            cameras.insert(camera.clone(), Tracker::new(&options.passage));
        }
        let Some(tracker) = cameras.get_mut(camera) else { return };
        desk.renew_grammar(at.utc);
        desk.close_due(camera, tracker, at, options, effects);

        let taken = &sightings[..sightings.len().min(options.passage.max_sightings)];
        desk.stats.frames += 1;
        desk.stats.reads += tracker.pair(at, taken, &mut desk.decoder, &options.passage);
        let room = options.passage.max_open.clamp(1, 256);
        while tracker.open().len() + tracker.unpaired() > room
            && let Some(oldest) = tracker.least_recent()
        {
            let passage = tracker.evict(oldest);
            desk.stats.evicted += 1;
            desk.close(camera, tracker, passage, options, effects);
        }
        let open_before = tracker.open().len();
        let Desk { ids, .. } = desk;
        let joined = tracker.join(at, seq, taken, &options.passage, || ids.next(at.utc)).len();
        desk.stats.sightings += counted(joined);
        desk.stats.sightings_over += counted(sightings.len() - joined);
        desk.stats.opened += counted(tracker.open().len() - open_before);
        for n in 0..joined {
            let join = tracker.joined()[n];
            let Some(passage) = tracker.open_mut(join.passage) else { continue };
            if let Said::Record(before) = passage.said {
                if taken[join.sighting].read.is_some() {
                    desk.read_on(camera, passage, &before, options, effects);
                }
                continue;
            }
            if join.is_best {
                effects.push(Effect::Keep { passage: passage.id, sighting: join.sighting });
            }
            if taken[join.sighting].read.is_some() {
                desk.alert_early(camera, tracker, join.passage, options, effects);
            }
        }
    }
}

impl Desk {
    /// A daemon that runs for months must learn the age identifiers issued meanwhile.
    fn renew_grammar(&mut self, now: UtcTime) {
        if now >= self.decoder.grammar().stale_from() {
            self.decoder.renew(Grammar::new(now));
        }
    }

    /// What a moment not long ago is for the dates of entries.
    fn judged_at(&self, at: CaptureTime) -> UtcTime {
        let (mono, judged) = self.judged;
        judged.plus_micros(-i64::try_from(mono.since(at.mono).as_micros()).unwrap_or(i64::MAX))
    }

    fn close_due(
        &mut self,
        camera: &CameraId,
        tracker: &mut Tracker,
        now: CaptureTime,
        options: &CoreOptions,
        effects: &mut Vec<Effect>,
    ) {
        while let Some((n, due)) = tracker.due(now.mono, &options.passage) {
            let mut passage = tracker.remove(n);
            match due {
                Due::Gone => self.close(camera, tracker, passage, options, effects),
                Due::Stays => {
                    self.report(camera, tracker, &mut passage, options, effects);
                    tracker.put_back(n, passage);
                }
            }
        }
    }

    /// A passage is gone: what is still to be said is said, and it is remembered.
    fn close(
        &mut self,
        camera: &CameraId,
        tracker: &mut Tracker,
        mut passage: Open,
        options: &CoreOptions,
        effects: &mut Vec<Effect>,
    ) {
        self.stats.closed += 1;
        match passage.said {
            Said::Record(decoded) => {
                tracker.remember(&passage, decoded.vrm.key());
                effects.push(Effect::Dropped { passage: passage.id });
            }
            Said::Nothing | Said::Unread => self.report(camera, tracker, &mut passage, options, effects),
        }
        tracker.recycle(passage);
    }

    /// Says what became of a passage. Its last words carry the capture time of its last frame.
    fn report(
        &mut self,
        camera: &CameraId,
        tracker: &mut Tracker,
        passage: &mut Open,
        options: &CoreOptions,
        effects: &mut Vec<Effect>,
    ) {
        let outcome = passage.conclude(&mut self.decoder, &options.passage);
        let judged = self.judged_at(passage.last);
        let stats = &mut self.stats;
        let is_first = matches!(passage.said, Said::Nothing);
        let hotlists = &*self.hotlists;
        let on = Occasion { passage: passage.id, camera, at: passage.last, judged, hotlists };
        let alerts = &mut self.alerts;
        let repeated = match &outcome {
            _ if !passage.alerts.is_empty() => false,
            // Unless its hit is news: a list that changed between front and rear, or a front that was too unsure to be told.
            Outcome::Record { decoded, .. }
                if tracker
                    .knows(passage, decoded.vrm.key(), &options.passage)
                    .is_some_and(|heard| !alerts.is_news(on, decoded, heard)) =>
            {
                tracker.remember(passage, decoded.vrm.key());
                passage.said = Said::Record(*decoded);
                true
            }
            Outcome::Record { decoded, .. } if passage.frames < options.passage.min_frames => {
                !alerts.is_news(on, decoded, &[]) && tracker.explains(passage, Some(decoded.vrm.key()), &options.passage)
            }
            Outcome::Unread { guess, .. } => tracker.explains(passage, guess.map(|g| g.vrm.key()), &options.passage),
            _ => false,
        };
        if repeated {
            // Reported, though nothing is told: one that stands would be due again at once, for ever.
            if matches!(passage.said, Said::Nothing) {
                passage.said = Said::Unread;
            }
            if is_first {
                stats.repeated += 1;
            }
            effects.push(Effect::Dropped { passage: passage.id });
            return;
        }
        let mut hits = Vec::new();
        if let Outcome::Record { decoded, .. } = &outcome {
            hotlists.lookup(decoded.reading(), on.judged, &mut hits);
        }
        let (winner, guess) = match &outcome {
            Outcome::Record { decoded, .. } => (Some((decoded, hits.as_slice())), None),
            Outcome::Unread { guess, .. } => (None, guess.as_ref()),
            Outcome::Dropped => (None, None),
        };
        self.alerts.close(on, winner, guess, &passage.alerts, |alert| {
            stats.alerts += 1;
            effects.push(Effect::Alert(Box::new(alert)));
        });
        let is_told = winner.is_some_and(|(decoded, _)| self.alerts.tells(decoded)) || !passage.alerts.is_empty();
        passage.alerts.settle();
        if !matches!(outcome, Outcome::Record { .. }) {
            passage.forget_best();
        }
        effects.push(match outcome {
            Outcome::Record { decoded, agreeing } => {
                stats.records += 1;
                passage.said = Said::Record(decoded);
                if is_told {
                    passage.alerts.hear(&hits);
                }
                tracker.remember(passage, decoded.vrm.key());
                let record = Box::new(CaptureRecord {
                    passage: passage.id,
                    decoded,
                    sightings: passage.sightings(camera),
                    best_read: passage.best_read(),
                    reads: passage.reads(),
                    agreeing,
                    hotlists: hotlists.versions(),
                    hits,
                });
                self.late.remember(&record);
                Effect::Record(record)
            }
            // What was said of a standing vehicle is not said again.
            Outcome::Unread { .. } | Outcome::Dropped if matches!(passage.said, Said::Unread) => {
                Effect::Dropped { passage: passage.id }
            }
            Outcome::Unread { reason, guess } => {
                stats.unread += 1;
                passage.said = Said::Unread;
                let sightings = passage.sightings(camera);
                Effect::Unread(Box::new(UnreadPassage {
                    passage: passage.id,
                    sightings,
                    reason,
                    guess,
                    best_read: passage.best_read(),
                }))
            }
            Outcome::Dropped => {
                stats.dropped += 1;
                passage.said = Said::Unread;
                Effect::Dropped { passage: passage.id }
            }
        });
    }
}

fn counted(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
