//! The small file beside the store that keeps sequence numbers from ever being given twice, even when the store is lost:
//! a bound above every number given so far, raised in steps. Read only when the store can't be. Recorder thread.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Numbers reserved at a time: a lost store skips at most this many.
const STEP: i64 = 4096;
const NAME: &str = "outbox.mark";
const MAGIC: &str = "kerbside outbox mark 1";

/// What the file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Every number given so far is below this one.
    pub(super) below: i64,
    /// No number below this one was stored when the mark was written.
    pub(super) oldest: i64,
    /// The session that wrote it.
    pub(super) session: i64,
}

impl Mark {
    /// A mark with room for the numbers from `next` on.
    pub(super) const fn reserve(next: i64, oldest: i64, session: i64) -> Self {
        Self { below: next.saturating_add(STEP), oldest, session }
    }

    /// Whether `next` can be the next number to give; anything goes where there is no mark.
    pub(super) const fn allows(&self, next: i64) -> bool {
        self.below == 0 || next <= self.below
    }

    /// Reads it; all zero when there is none or it makes no sense.
    pub(super) fn read(dir: &Path) -> Self {
        let text = std::fs::read_to_string(dir.join(NAME)).unwrap_or_default();
        let mut lines = text.lines();
        if lines.next() != Some(MAGIC) {
            return Self::default();
        }
        let mut number = |key: &str| -> Option<i64> { lines.next()?.strip_prefix(key)?.trim().parse().ok().filter(|n| *n >= 0) };
        let (below, oldest, session) = (number("below"), number("oldest"), number("session"));
        match (below, oldest, session) {
            (Some(below), Some(oldest), Some(session)) => Self { below, oldest, session },
            _ => Self::default(),
        }
    }

    /// Writes it durably.
    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        let temporary = dir.join("outbox.mark.new");
        let mut file = File::create(&temporary)?;
        write!(file, "{MAGIC}\nbelow {}\noldest {}\nsession {}\n", self.below, self.oldest, self.session)?;
        file.sync_all()?;
        std::fs::rename(&temporary, dir.join(NAME))?;
        File::open(dir)?.sync_all()
    }
}
