//! The small files beside the store that keep sequence numbers from ever being given twice, even when the store is lost:
//! a bound above every number given so far,
//! raised in steps, and the highest one itself. Recorder thread.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::chain::StreamId;

/// Numbers reserved at a time: a lost store skips at most this many.
const STEP: i64 = 4096;
const HIGH: &str = "outbox.high";
const NAME: &str = "outbox.mark";
const MAGIC: &str = "kerbside outbox mark 2";
/// Without the stream.
const MAGIC_1: &str = "kerbside outbox mark 1";

/// What the file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Every number given so far is below this one.
    pub(super) below: i64,
    /// No number below this one was stored when the mark was written.
    pub(super) oldest: i64,
    /// The session that wrote it.
    pub(super) session: i64,
    /// The stream that the numbers are of.
    pub(super) stream: Option<StreamId>,
}

impl Mark {
    /// A mark with room for the numbers from `next` on.
    pub(super) const fn reserve(next: i64, oldest: i64, session: i64, stream: StreamId) -> Self {
        Self { below: next.saturating_add(STEP), oldest, session, stream: Some(stream) }
    }

    /// Whether `next` can be the next number to give; anything goes where there is no mark.
    pub(super) const fn allows(&self, next: i64) -> bool {
        self.below == 0 || next <= self.below
    }

    /// Reads it; all zero when there is none or it makes no sense.
    pub(super) fn read(dir: &Path) -> Self {
        let text = std::fs::read_to_string(dir.join(NAME)).unwrap_or_default();
        let mut lines = text.lines();
        if !matches!(lines.next(), Some(MAGIC | MAGIC_1)) {
            return Self::default();
        }
        let mut number = |key: &str| -> Option<i64> { lines.next()?.strip_prefix(key)?.trim().parse().ok().filter(|n| *n >= 0) };
        let (below, oldest, session) = (number("below"), number("oldest"), number("session"));
        let stream = lines.next().and_then(|line| line.strip_prefix("stream ")?.parse().ok());
        match (below, oldest, session) {
            (Some(below), Some(oldest), Some(session)) => Self { below, oldest, session, stream },
            _ => Self::default(),
        }
    }

    /// Writes it durably.
    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        let temporary = dir.join("outbox.mark.new");
        let mut file = File::create(&temporary)?;
        write!(file, "{MAGIC}\nbelow {}\noldest {}\nsession {}\n", self.below, self.oldest, self.session)?;
        if let Some(stream) = self.stream {
            writeln!(file, "stream {stream}")?;
        }
        file.sync_all()?;
        std::fs::rename(&temporary, dir.join(NAME))?;
        File::open(dir)?.sync_all()
    }
}

/// The highest number given, noted beside the store after each commit, without a sync: it tells a store whose newest commits are
/// gone, as a torn write-ahead log leaves it, from one that never had them, so that no number is given twice. 16 bytes: the number,
/// big endian, and the first 8 bytes of its SHA-256.
#[derive(Debug)]
pub(super) struct High(File);

impl High {
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        File::options().read(true).write(true).create(true).truncate(false).open(dir.join(HIGH)).map(Self)
    }

    /// The number noted; zero when there is none or it makes no sense.
    pub(super) fn read(&self) -> i64 {
        let mut bytes = [0; 16];
        let (number, sum) = match self.0.read_exact_at(&mut bytes, 0) {
            Ok(()) => bytes.split_at(8),
            Err(_) => return 0,
        };
        let number = i64::from_be_bytes(number.try_into().unwrap_or_default());
        if check_sum(number) == sum { number.max(0) } else { 0 }
    }

    /// Notes a number.
    pub(super) fn write(&self, number: i64) -> io::Result<()> {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        bytes[8..].copy_from_slice(&check_sum(number));
        self.0.write_all_at(&bytes, 0)
    }
}

fn check_sum(number: i64) -> [u8; 8] {
    let mut sum = [0; 8];
    sum.copy_from_slice(&Sha256::digest(number.to_be_bytes())[..8]);
    sum
}
