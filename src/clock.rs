//! Time, for everyone: what a moment is, how good the clock is, and how long to wait before another try.
//!
//! `now` is an argument everywhere else; only the edges (capture threads, the net thread, the supervisor) hold a
//! [`Clock`]. Durations come from the monotonic half of a [`CaptureTime`], never from the UTC half, so a step of the
//! wall clock can't tear a passage in two. This module does no waiting itself.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Nanoseconds on a clock that never steps (`CLOCK_BOOTTIME`: it runs on through suspend). Only differences mean anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonoTime(u64);

impl MonoTime {
    /// From nanoseconds since the clock's own origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's own origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time since `earlier`; zero when `earlier` is in fact later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This moment and `by` more.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Microseconds since 1970-01-01T00:00:00 UTC. Shown as RFC 3339 with milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcTime(i64);

impl UtcTime {
    /// From microseconds since 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since 1970, zero for moments before it (UUIDv7 knows no others).
    pub fn as_unix_millis(self) -> u64 {
        u64::try_from(self.0 / 1000).unwrap_or(0)
    }

    /// This moment and `by` more (or less, when negative).
    #[must_use]
    pub const fn plus_micros(self, by: i64) -> Self {
        Self(self.0.saturating_add(by))
    }

    /// Reads RFC 3339 (`2026-11-22T00:59:37.123Z`) or a plain date (`2026-11-22`, its first instant in UTC).
    pub fn parse(text: &str) -> Option<Self> {
        let instant = match text.parse::<jiff::Timestamp>() {
            Ok(instant) => instant,
            Err(_) => text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp(),
        };
        Some(Self(instant.as_microsecond()))
    }

    /// Calendar year and month (1..=12) in UTC; the age identifiers of marks hang on them.
    pub fn year_month(self) -> (i16, i8) {
        let zoned = self.timestamp().to_zoned(jiff::tz::TimeZone::UTC);
        (zoned.year(), zoned.month())
    }

    fn timestamp(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
}

impl fmt::Display for UtcTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.timestamp())
    }
}

/// Where the UTC half of a time came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockSource {
    /// The kernel's clock at the moment the frame arrived.
    System,
    /// The position in a clip, counted from a start that somebody chose.
    Clip,
}

impl ClockSource {
    /// The word used in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Clip => "clip",
        }
    }
}

/// How far the UTC half of a time can be trusted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClockQuality {
    /// Where it came from.
    pub source: ClockSource,
    /// Whether the kernel calls its clock synchronised (by NTP, PTP or a PPS).
    pub synchronised: bool,
    /// The kernel's estimate of the largest error, milliseconds; none when it is not synchronised.
    pub max_error_ms: Option<f64>,
}

impl ClockQuality {
    /// Quality of times counted inside a clip: exact, but about no real moment.
    pub const CLIP: Self = Self { source: ClockSource::Clip, synchronised: false, max_error_ms: None };
}

/// The moment a frame was captured, on both clocks, with the quality of the UTC one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CaptureTime {
    /// For durations.
    pub mono: MonoTime,
    /// For people and records.
    pub utc: UtcTime,
    /// How good `utc` is.
    pub quality: ClockQuality,
}

/// Something that tells the time. Held at the edges only.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present moment.
    fn now(&self) -> CaptureTime;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> CaptureTime {
        let mono = nanos(rustix::time::clock_gettime(rustix::time::ClockId::Boottime));
        let utc = nanos(rustix::time::clock_gettime(rustix::time::ClockId::Realtime));
        CaptureTime {
            mono: MonoTime(mono),
            utc: UtcTime(i64::try_from(utc / 1000).unwrap_or(i64::MAX)),
            quality: kernel_clock_quality(),
        }
    }
}

/// CPU time that the calling thread has used so far.
pub fn thread_cpu_time() -> Duration {
    Duration::from_nanos(nanos(rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime)))
}

fn nanos(t: rustix::time::Timespec) -> u64 {
    let secs = u64::try_from(t.tv_sec).unwrap_or(0);
    secs.saturating_mul(1_000_000_000).saturating_add(u64::try_from(t.tv_nsec).unwrap_or(0))
}

/// Asks the kernel's clock discipline, which chrony, ntpd and systemd-timesyncd all steer.
#[allow(unsafe_code)]
fn kernel_clock_quality() -> ClockQuality {
    // JUSTIFICATION: no safe wrapper for adjtimex is among our crates, and asking a time daemon would tie us to one of them.
    // SAFETY: `timex` is plain integers, for which all-zero is a valid value; with `modes` = 0 the call only writes into it.
    let (state, timex) = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut timex), timex)
    };
    let synchronised = state >= 0 && timex.status & libc::STA_UNSYNC == 0;
    #[allow(clippy::cast_precision_loss)] // an error estimate of a few microseconds to seconds: far below 2^52
    let max_error_ms = synchronised.then_some(timex.maxerror as f64 / 1000.0);
    ClockQuality { source: ClockSource::System, synchronised, max_error_ms }
}

/// A clock that moves only when it is told to: for clips and tests.
#[derive(Debug)]
pub struct SimClock {
    nanos: AtomicU64,
    start: UtcTime,
}

impl SimClock {
    /// A clock that stands at `start`.
    pub const fn new(start: UtcTime) -> Self {
        Self { nanos: AtomicU64::new(0), start }
    }

    /// Moves it on.
    pub fn advance(&self, by: Duration) {
        self.nanos.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The time at `position` after the start, whatever the clock's own hands say.
    pub fn at(start: UtcTime, position: Duration) -> CaptureTime {
        let nanos = u64::try_from(position.as_nanos()).unwrap_or(u64::MAX);
        CaptureTime {
            mono: MonoTime(nanos),
            utc: start.plus_micros(i64::try_from(nanos / 1000).unwrap_or(i64::MAX)),
            quality: ClockQuality::CLIP,
        }
    }
}

impl Clock for SimClock {
    fn now(&self) -> CaptureTime {
        Self::at(self.start, Duration::from_nanos(self.nanos.load(Ordering::Relaxed)))
    }
}

/// Waiting times for another try: doubling from a floor to a ceiling, each cut by up to half at random so that a
/// road full of boxes doesn't come back to one broker in step.
#[derive(Clone, Debug)]
pub struct Backoff {
    floor: Duration,
    ceiling: Duration,
    next: Duration,
    noise: u64,
}

impl Backoff {
    /// Starts at `floor`, never waits longer than `ceiling`. `seed` sets the jitter (the device's own number will do).
    pub fn new(floor: Duration, ceiling: Duration, seed: u64) -> Self {
        let floor = floor.max(Duration::from_millis(1)).min(ceiling.max(Duration::from_millis(1)));
        Self { floor, ceiling: ceiling.max(floor), next: floor, noise: seed | 1 }
    }

    /// The next wait; each one doubles the bound of the one after.
    pub fn next_wait(&mut self) -> Duration {
        let bound = self.next;
        self.next = (bound * 2).min(self.ceiling);
        // xorshift64: any spread will do here, and a random-number crate would be one more dependency.
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 7;
        self.noise ^= self.noise << 17;
        bound / 2 + (bound / 2).mul_f64(f64::from(u16::try_from(self.noise >> 48).unwrap_or(0)) / 65536.0)
    }

    /// Success: the next failure waits the floor again.
    pub fn reset(&mut self) {
        self.next = self.floor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utc_reads_and_writes_rfc3339_in_milliseconds() {
        let t = UtcTime::parse("2026-11-22T00:59:37.123Z").expect("valid");
        assert_eq!(t.to_string(), "2026-11-22T00:59:37.123Z");
        assert_eq!(UtcTime::parse("2026-11-22").expect("valid").to_string(), "2026-11-22T00:00:00.000Z");
        assert_eq!(UtcTime::parse("22/11/2026"), None);
        assert_eq!(t.year_month(), (2026, 11));
    }

    #[test]
    fn durations_never_go_negative() {
        assert_eq!(MonoTime::from_nanos(5).since(MonoTime::from_nanos(9)), Duration::ZERO);
    }

    #[test]
    fn backoff_doubles_to_its_ceiling_and_starts_over() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1), 7);
        let waits: Vec<_> = (0..8).map(|_| backoff.next_wait()).collect();
        for (i, wait) in waits.iter().enumerate() {
            let bound = Duration::from_millis(100 * (1 << i)).min(Duration::from_secs(1));
            assert!(*wait >= bound / 2 && *wait <= bound, "wait {i} = {wait:?}, bound {bound:?}");
        }
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(100));
    }

    #[test]
    fn system_clock_moves_forward() {
        let (a, b) = (SystemClock.now(), SystemClock.now());
        assert!(b.mono >= a.mono);
        assert!(a.utc > UtcTime::parse("2020-01-01").expect("valid"));
    }
}
