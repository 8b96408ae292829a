//! How old the box is, for retention: seconds that only ever grow, so that neither a step of the wall clock nor a start in 1970 can
//! make waiting rows look old. While the daemon runs the monotonic clock counts; the time that it was off counts once the wall
//! clock is synchronised, if it was so before as well. Recorder thread.

use rusqlite::Connection;

use super::store;
use crate::clock::{CaptureTime, MonoTime, UtcTime};

/// Written this often, seconds: so much of its life a box may forget at a crash.
const SAVE_EVERY_S: i64 = 10;

/// The box's age.
#[derive(Clone, Copy, Debug)]
pub(super) struct AgeClock {
    base_s: i64,
    since: MonoTime,
    /// The synchronised moment at which the age was last saved, until the time off is known.
    off_since: Option<UtcTime>,
    saved_s: i64,
}

impl AgeClock {
    pub(super) fn load(db: &Connection, now: CaptureTime) -> rusqlite::Result<Self> {
        let base_s = store::meta(db, "age_s")?.unwrap_or(0);
        let synchronised = store::meta(db, "age_synchronised")? == Some(1);
        let saved = store::meta(db, "age_utc_us")?.map(UtcTime::from_micros);
        Ok(Self { base_s, since: now.mono, off_since: saved.filter(|_| synchronised), saved_s: base_s })
    }

    /// The age now, seconds.
    pub(super) fn now_s(&mut self, now: CaptureTime) -> i64 {
        let running_s = i64::try_from(now.mono.since(self.since).as_secs()).unwrap_or(0);
        if now.quality.synchronised
            && let Some(off_since) = self.off_since.take()
        {
            let off_s = (now.utc.as_micros() - off_since.as_micros()) / 1_000_000 - running_s;
            self.base_s += off_s.max(0);
        }
        self.base_s + running_s
    }

    /// Writes the age within a transaction, if it is time.
    pub(super) fn save(&mut self, db: &Connection, now: CaptureTime) -> rusqlite::Result<()> {
        let age_s = self.now_s(now);
        if age_s < self.saved_s + SAVE_EVERY_S {
            return Ok(());
        }
        // As long as the time off is unknown, what is saved goes on saying how much of it there is to be found out.
        let (utc_us, known) = match self.off_since {
            Some(off_since) => (off_since.as_micros() + (age_s - self.base_s) * 1_000_000, true),
            None => (now.utc.as_micros(), now.quality.synchronised),
        };
        store::set_meta(db, "age_s", age_s)?;
        store::set_meta(db, "age_utc_us", utc_us)?;
        store::set_meta(db, "age_synchronised", i64::from(known))?;
        self.saved_s = age_s;
        Ok(())
    }
}
