//! The hotlists in force, shared by all readers and swapped whole.
//!
//! Written by the supervisor and the hotlist thread, read by readers at each turn of their loop (one atomic number tells them whether
//! anything changed). A reader must never be the last to hold a list: freeing a million entries would make it stand still. So what
//! was in force stays here until nobody else holds it ([`HotlistBoard::reap`]).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::anpr::hotlist::{Hotlist, Hotlists, MatchOptions};
use crate::clock::CaptureTime;
use crate::publish::wire::HotlistHealth;

/// One list: in force, or awaited.
#[derive(Clone, Debug)]
struct Posted {
    hotlist: Option<Arc<Hotlist>>,
    /// Rows of it that were left out.
    rejected: u64,
    /// Since when it is in force, or awaited.
    since: CaptureTime,
    /// Why the newest attempt to replace it failed, if it did.
    last_error: Option<String>,
    /// It comes from the back office, so its age matters.
    is_sealed: bool,
}

#[derive(Debug)]
struct Inside {
    lists: BTreeMap<String, Posted>,
    in_force: Arc<Hotlists>,
    /// Sets that were in force and may still be in some reader's hands.
    retired: Vec<Arc<Hotlists>>,
}

/// The hotlists in force.
#[derive(Debug)]
pub struct HotlistBoard {
    version: AtomicU64,
    options: MatchOptions,
    inside: Mutex<Inside>,
}

impl HotlistBoard {
    /// With no list in force. `sealed` are the ids of lists that the back office is to send.
    pub fn new(options: MatchOptions, sealed: &[String], now: CaptureTime) -> Self {
        let awaited = Posted { hotlist: None, rejected: 0, since: now, last_error: None, is_sealed: true };
        let lists = sealed.iter().map(|id| (id.clone(), awaited.clone())).collect();
        let in_force = Arc::new(Hotlists::new(Vec::new(), options));
        Self { version: AtomicU64::new(1), options, inside: Mutex::new(Inside { lists, in_force, retired: Vec::new() }) }
    }

    /// Counts up with each change of what is in force.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The lists in force.
    pub fn get(&self) -> Arc<Hotlists> {
        Arc::clone(&self.lock().in_force)
    }

    /// Puts a list in force in place of the one with the same id; readers take it up at their next frame. `rejected` rows of it
    /// were left out.
    pub fn set(&self, hotlist: Arc<Hotlist>, rejected: u64, now: CaptureTime) {
        let mut inside = self.lock();
        let id = hotlist.version().list.clone();
        let is_sealed = inside.lists.get(&id).is_some_and(|posted| posted.is_sealed);
        inside.lists.insert(id, Posted { hotlist: Some(hotlist), rejected, since: now, last_error: None, is_sealed });
        let lists = inside.lists.values().filter_map(|posted| posted.hotlist.clone()).collect();
        let old = std::mem::replace(&mut inside.in_force, Arc::new(Hotlists::new(lists, self.options)));
        inside.retired.push(old);
        drop(inside);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Something that was to replace a list was refused: the one in force stays, and health says why.
    pub fn refused(&self, list: &str, why: &str) {
        if let Some(posted) = self.lock().lists.get_mut(list) {
            posted.last_error = Some(why.to_owned());
        }
    }

    /// What was refused is no trouble any more: a good version was offered since.
    pub fn mended(&self, list: &str) {
        if let Some(posted) = self.lock().lists.get_mut(list) {
            posted.last_error = None;
        }
    }

    /// Frees lists that nobody uses any more. To be called now and then by a thread that may stand still for it.
    pub fn reap(&self) {
        let unused: Vec<_> = {
            let mut inside = self.lock();
            inside.retired.extract_if(.., |set| Arc::strong_count(set) == 1).collect()
        };
        drop(unused); // outside the lock
    }

    /// What health says of every list, in the order of their ids, and what is wrong with them, in words.
    pub fn health(&self, now: CaptureTime, stale_after: Duration) -> (Vec<HotlistHealth>, Vec<String>) {
        let mut alarms = Vec::new();
        let lists = self.lock().lists.clone();
        let health = lists.into_iter().map(|(id, posted)| {
            let age = posted.age(now);
            let expired = posted.hotlist.as_ref().and_then(|l| l.expires()).is_some_and(|expires| now.utc >= expires);
            let stale = posted.is_sealed && (posted.hotlist.is_none() || age > stale_after);
            match &posted.hotlist {
                None => alarms.push(format!("no hotlist {id} is in force: none has come yet")),
                Some(_) if expired => alarms.push(format!("the hotlist {id} has expired: nothing of it is matched")),
                Some(_) if stale => alarms.push(format!(
                    "the hotlist {id} is {} h old, allowed are {} h: the back office or the way to it has a fault",
                    age.as_secs() / 3600,
                    stale_after.as_secs() / 3600
                )),
                Some(_) => {}
            }
            let list = posted.hotlist.as_deref();
            HotlistHealth {
                version: list.map_or_else(String::new, |l| l.version().version.clone()),
                entries: list.map_or(0, |l| u64::try_from(l.len()).unwrap_or(u64::MAX)),
                rejected: posted.rejected,
                age_s: if list.is_some() { age.as_secs() } else { 0 },
                stale,
                expired,
                last_error: posted.last_error,
                list: id,
            }
        });
        (health.collect(), alarms)
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        // Every change leaves the state whole at each step (a list is inserted, then the set is made from what is there).
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Posted {
    /// Since its owner made it; where that is not known, since it is in force.
    fn age(&self, now: CaptureTime) -> Duration {
        match self.hotlist.as_ref().and_then(|list| list.created()) {
            Some(created) => {
                let micros = now.utc.as_micros().saturating_sub(created.as_micros());
                Duration::from_micros(u64::try_from(micros).unwrap_or(0))
            }
            None => now.mono.since(self.since.mono),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anpr::hotlist::HotlistVersion;
    use crate::clock::{SimClock, UtcTime};

    fn at(hours: u64) -> CaptureTime {
        SimClock::at(UtcTime::parse("2026-11-22").unwrap(), Duration::from_secs(hours * 3600))
    }

    fn list(id: &str, version: &str, expires: Option<&str>) -> Arc<Hotlist> {
        let list = Hotlist::new(HotlistVersion { list: id.into(), version: version.into() }, &[]).unwrap();
        Arc::new(list.dated(Some(at(0).utc), expires.and_then(UtcTime::parse)))
    }

    #[test]
    fn age_alarms_and_expiry_are_told() {
        let board = HotlistBoard::new(MatchOptions::default(), &["pnc".into(), "voi".into()], at(0));
        let day = Duration::from_hours(24);
        let alarms = |hours| board.health(at(hours), day).1;
        assert_eq!(alarms(0), ["no hotlist pnc is in force: none has come yet", "no hotlist voi is in force: none has come yet"]);
        board.set(list("voi", "1", Some("2026-11-25")), 0, at(1));
        board.set(list("pnc", "7", None), 0, at(1));
        board.set(list("local", "x", None), 3, at(1));
        assert_eq!(alarms(24), [""; 0]);
        assert_eq!(
            alarms(26),
            ["pnc", "voi"].map(|id| format!(
                "the hotlist {id} is 26 h old, allowed are 24 h: the back office or the way to it has a fault"
            )),
            "a list kept by hand may be old"
        );
        assert!(alarms(72).contains(&"the hotlist voi has expired: nothing of it is matched".to_owned()));
        board.refused("voi", "unknown key");
        let (health, _) = board.health(at(26), day);
        let said: Vec<_> = health.iter().map(|h| (h.list.as_str(), h.stale, h.rejected, h.last_error.as_deref())).collect();
        assert_eq!(said, [("local", false, 3, None), ("pnc", true, 0, None), ("voi", true, 0, Some("unknown key"))]);
        assert_eq!(health[2].age_s, 26 * 3600);
        board.mended("voi");
        assert!(board.health(at(26), day).0.iter().all(|h| h.last_error.is_none()));
    }

    #[test]
    fn what_readers_hold_is_freed_here_and_not_by_them() {
        let board = HotlistBoard::new(MatchOptions::default(), &[], at(0));
        board.set(list("voi", "1", None), 0, at(0));
        let (held, version) = (board.get(), board.version());
        let watched = Arc::downgrade(&held.lists()[0]);
        board.set(list("voi", "2", None), 0, at(0));
        assert!(board.version() > version);
        board.reap();
        assert!(watched.upgrade().is_some(), "a reader has it");
        drop(held);
        assert!(watched.upgrade().is_some(), "and lets it go without freeing it");
        board.reap();
        assert!(watched.upgrade().is_none());
        assert_eq!(board.get().versions()[0].version, "2");
    }
}
