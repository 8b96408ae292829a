//! The hotlist thread: takes what comes for the sealed lists, lets the keeper judge it, and tells everybody what came of it.
//!
//! A thread of its own, since a large list takes seconds to make ready and freeing one takes a while too; the net thread hands it
//! messages and never waits for it. It waits on its inbox and looks about once a second at what depends on time and into
//! the folder where `kerbside hotlist apply` leaves files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::board::HotlistBoard;
use super::supervisor::StartError;
use crate::anpr::hotlist::Hotlist;
use crate::anpr::validity::ValidityClock;
use crate::clock::{CaptureTime, Clock, MonoTime, UtcTime};
use crate::config::{SealedSettings, Settings};
use crate::keys::{Identity, TrustedKeys};
use crate::publish::mqtt::{Live, Received};
use crate::publish::sync::inbox;
use crate::publish::sync::keeper::{self, Happening, Keeper, KeeperOptions, ListState};
use crate::publish::topic::{HotlistPart, Topics};
use crate::publish::wire::{
    AuditEvent, AuditMessage, HotlistStateMessage, IncomingWire, MAX_REASON_BYTES, Message, RefusalWire, Source, short,
};

/// Between two looks at what depends on time.
const TICK: Duration = Duration::from_secs(1);
/// Pause when nothing came. Chunks come a few at a time, so this is what a large list's way in is made of.
const PAUSE: Duration = Duration::from_millis(10);
/// Messages taken in one turn: so many of the largest take a fraction of a second, and then it is seen whether to stop.
const AT_ONCE: usize = 32;
/// Refusals audited at one time, and how often there is room for one more. Whoever may publish to this box could otherwise fill the
/// outbox with them, at the expense of records.
const REFUSALS: u32 = 64;
const REFUSAL_EVERY: Duration = Duration::from_secs(10);
/// States are told again after so long even if nothing changed: their age has.
const TELL_AGAIN: Duration = Duration::from_mins(5);

/// What the hotlist thread needs.
#[derive(Debug)]
pub struct HotlistThread {
    /// The lists.
    pub keeper: Keeper,
    /// Topics that manifests and chunks come on: the box's own or its fleet's.
    pub from: Topics,
    /// The box's own topics.
    pub own: Topics,
    /// Device, as it stands in messages.
    pub source: Source,
    /// Messages from the broker.
    pub downlink: mpsc::Receiver<Received>,
    /// What to listen to.
    pub filters: watch::Sender<BTreeSet<String>>,
    /// What is listened to for others, at all times.
    pub always: BTreeSet<String>,
    /// States go this way.
    pub live: mpsc::Sender<Live>,
    /// Audit entries go this way.
    pub audits: SyncSender<AuditMessage>,
    /// What is in force.
    pub board: Arc<HotlistBoard>,
    /// Where `kerbside hotlist apply` leaves files.
    pub inbox: PathBuf,
    /// A list older than this is stale.
    pub stale_after: Duration,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Set when it is time to end.
    pub stop: Arc<AtomicBool>,
}

impl HotlistThread {
    /// Works until told to stop; first it puts in force what is on disk.
    pub fn run(mut self) {
        let mut validity = ValidityClock::default();
        let mut told: BTreeMap<String, (String, MonoTime)> = BTreeMap::new();
        let mut next_tick = self.clock.now().mono;
        let found = self.keeper.load(validity.judge(self.clock.now()));
        let mut room = RefusalRoom::new(next_tick);
        self.tell(found, &mut room);
        while !self.stop.load(Ordering::Relaxed) {
            let now = self.clock.now();
            let judged = validity.judge(now);
            let mut said = Vec::new();
            let mut came = false;
            for _ in 0..AT_ONCE {
                let Ok(message) = self.downlink.try_recv() else { break };
                came = true;
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                said.extend(match self.from.parse_hotlist(&message.topic) {
                    Some((list, HotlistPart::Manifest)) => self.keeper.manifest(list, &message.payload, judged, now.mono),
                    Some((list, HotlistPart::Chunk(sha256))) => {
                        self.keeper.chunk(list, sha256, &message.payload, judged, now.mono)
                    }
                    None => Vec::new(),
                });
            }
            let ticks = now.mono >= next_tick;
            if ticks {
                next_tick = now.mono.plus(TICK);
                said.extend(self.keeper.tick(judged, now.mono));
                inbox::serve(&self.inbox, |file| {
                    let happenings = self.keeper.file(file, judged);
                    let answer = happenings.last().map(inbox::answer);
                    said.extend(happenings);
                    answer
                });
                self.board.reap();
            }
            self.tell(said, &mut room);
            if came || ticks {
                self.listen(now.mono);
                self.tell_states(now, &mut told);
            } else {
                std::thread::sleep(PAUSE);
            }
        }
    }

    /// Puts lists in force, and every happening into the audit log; refusals as far as there is room.
    fn tell(&self, said: Vec<Happening>, room: &mut RefusalRoom) {
        for happening in said {
            let now = self.clock.now();
            let list = happening.list.as_deref().unwrap_or("");
            let version = happening.number.unwrap_or(0);
            match (happening.event, &happening.reason) {
                (AuditEvent::HotlistRefused, Some(why)) => {
                    self.board.refused(list, &short(why, MAX_REASON_BYTES));
                    if !room.take(now.mono) {
                        continue;
                    }
                    tracing::warn!(list, version, "hotlist refused: {why}");
                }
                (AuditEvent::HotlistExpired, _) => tracing::warn!(list, version, "hotlist expired: nothing of it is matched"),
                (AuditEvent::HotlistReceived, _) => {
                    tracing::info!(list, version, way = happening.way.as_str(), "hotlist received")
                }
                _ => tracing::info!(list, version, entries = happening.entries, way = happening.way.as_str(), "hotlist in force"),
            }
            if let Some(hotlist) = &happening.in_force {
                self.board.set(Arc::clone(hotlist), 0, now);
            }
            let mut entry = audit_entry(&self.source, &happening, now.utc);
            let left_out = if happening.reason.is_some() { room.left_out() } else { 0 };
            if let (Some(why), 1..) = (&happening.reason, left_out) {
                entry = entry.because(&format!("{why} (and {left_out} refusals before it that were not noted one by one)"));
            }
            if self.audits.try_send(entry).is_err() {
                tracing::warn!("an audit entry is lost: the recorder has ended, or the disk refuses");
            }
        }
    }

    /// Listens to the manifests of its own lists always, to chunks while they are wanted. Not to those of all lists: a fleet has
    /// others, and each could be a message that takes the place of one that matters.
    fn listen(&mut self, mono: MonoTime) {
        let lists = self.keeper.states();
        let mut wanted: BTreeSet<String> =
            lists.iter().filter_map(|state| self.from.hotlist_manifest(&state.list).ok()).collect();
        // A list id and a hash that the keeper asks for were checked long before.
        wanted.extend(self.keeper.wanted(mono).iter().filter_map(|(list, sha256)| self.from.hotlist_chunk(list, sha256).ok()));
        wanted.extend(self.always.iter().cloned());
        self.filters.send_if_modified(|filters| {
            let changed = *filters != wanted;
            if changed {
                *filters = wanted;
            }
            changed
        });
    }

    /// Tells the state of each list when it changes, and now and then.
    fn tell_states(&self, now: CaptureTime, told: &mut BTreeMap<String, (String, MonoTime)>) {
        for state in self.keeper.states() {
            if state.refused.is_none() {
                self.board.mended(&state.list);
            }
            let message = self.state(&state, now);
            // All but its age and the time of writing.
            let unchanged = HotlistStateMessage { age_s: None, written: String::new(), ..message.clone() };
            let fingerprint = format!("{unchanged:?}");
            let is_known =
                told.get(&state.list).is_some_and(|(known, at)| *known == fingerprint && now.mono.since(*at) < TELL_AGAIN);
            let Ok(topic) = self.own.hotlist_state(&state.list) else { continue };
            if is_known {
                continue;
            }
            match message.encode() {
                Ok(payload) => {
                    let schema = HotlistStateMessage::SCHEMA.to_owned();
                    if self.live.try_send(Live::Latest { topic, schema, payload }).is_ok() {
                        told.insert(state.list, (fingerprint, now.mono));
                    }
                }
                Err(e) => tracing::error!("the state of a hotlist can't be told: {e}"),
            }
        }
    }

    fn state(&self, state: &ListState, now: CaptureTime) -> HotlistStateMessage {
        let mut message = HotlistStateMessage::new(&self.source, &state.list, now.utc);
        message.stale = true;
        if let Some((hotlist, content_sha256)) = &state.in_force {
            message.version = Some(hotlist.version().version.clone());
            message.content_sha256 = Some(content_sha256.clone());
            message.entries = hotlist.len() as u64;
            message.created = hotlist.created().map(|t| t.to_string());
            message.expires = hotlist.expires().map(|t| t.to_string());
            message.expired = hotlist.expires().is_some_and(|expires| now.utc >= expires);
            let age_us = hotlist.created().map_or(0, |created| now.utc.as_micros().saturating_sub(created.as_micros()));
            let age = Duration::from_micros(u64::try_from(age_us).unwrap_or(0));
            message.age_s = Some(age.as_secs());
            message.stale = age > self.stale_after;
        }
        message.incoming = state.incoming.map(|(number, here, needed)| IncomingWire {
            version: number.to_string(),
            chunks_here: here as u64,
            chunks: needed as u64,
        });
        message.refused =
            state.refused.as_ref().map(|(why, at)| RefusalWire { reason: short(why, MAX_REASON_BYTES), at: at.to_string() });
        message
    }
}

/// How many refusals may still be audited: a few at once, then one now and then.
#[derive(Debug)]
pub(super) struct RefusalRoom {
    left: u32,
    since: MonoTime,
    left_out: u64,
}

impl RefusalRoom {
    pub(super) const fn new(now: MonoTime) -> Self {
        Self { left: REFUSALS, since: now, left_out: 0 }
    }

    /// Whether there is room for one; what finds none is counted.
    pub(super) fn take(&mut self, now: MonoTime) -> bool {
        while self.left < REFUSALS && now.since(self.since) >= REFUSAL_EVERY {
            self.left += 1;
            self.since = self.since.plus(REFUSAL_EVERY);
        }
        if self.left == REFUSALS {
            self.since = now;
        }
        if self.left == 0 {
            self.left_out += 1;
            return false;
        }
        self.left -= 1;
        true
    }

    /// How many found no room since this was asked last.
    const fn left_out(&mut self) -> u64 {
        std::mem::replace(&mut self.left_out, 0)
    }
}

/// Where sealed lists are kept.
pub fn dir(settings: &Settings) -> PathBuf {
    settings.state_dir.join("hotlist")
}

/// Opens the sealed lists with the keys that they need; with the topics that they come on.
///
/// # Errors
/// When a key or the folder can't be used.
pub fn keeper(settings: &Settings, sealed: &SealedSettings) -> Result<(Keeper, Topics), StartError> {
    Ok((Keeper::open(options(settings, sealed)?)?, sealed.topics.clone()))
}

fn options(settings: &Settings, sealed: &SealedSettings) -> Result<KeeperOptions, StartError> {
    Ok(KeeperOptions {
        lists: sealed.lists.clone(),
        trust: TrustedKeys::load(&sealed.trust)?,
        identity: Identity::load(&sealed.identity, sealed.check_mode)?,
        dir: dir(settings),
    })
}

/// The audit entry for a list kept by hand that is in force.
pub fn local_applied(source: &Source, hotlist: &Hotlist, way: &str, now: CaptureTime) -> AuditMessage {
    let mut entry = AuditMessage::new(source, AuditEvent::HotlistApplied, way, now.utc);
    entry.list = Some(hotlist.version().list.clone());
    entry.version = Some(hotlist.version().version.clone());
    entry.entries = Some(hotlist.len() as u64);
    entry
}

/// What happened as an entry of the audit log.
pub fn audit_entry(source: &Source, happening: &Happening, now: UtcTime) -> AuditMessage {
    let mut entry = AuditMessage::new(source, happening.event, happening.way.as_str(), now);
    if let Some(why) = &happening.reason {
        entry = entry.because(why);
    }
    entry.list.clone_from(&happening.list);
    entry.version = happening.number.map(|n| n.to_string());
    entry.entries = happening.entries;
    entry.key.clone_from(&happening.key);
    entry
}

/// The sealed lists in force on a box, by what is on its disk, and why others can't be shown.
///
/// # Errors
/// When a key or the folder can't be used.
pub fn view(settings: &Settings, sealed: &SealedSettings) -> Result<(Vec<Arc<Hotlist>>, Vec<String>), StartError> {
    Ok(keeper::view(options(settings, sealed)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_counted_and_not_kept() {
        let at = |s: u64| MonoTime::default().plus(Duration::from_secs(s));
        let mut room = RefusalRoom::new(at(0));
        assert_eq!((0..10_000).filter(|_| room.take(at(1))).count(), 64);
        assert_eq!((room.left_out(), room.left_out()), (9_936, 0));
        assert_eq!((0..100).filter(|_| room.take(at(31))).count(), 3, "one every ten seconds");
        assert_eq!((0..100).filter(|_| room.take(at(100_000))).count(), 64, "and no more than that after a quiet time");
    }
}
