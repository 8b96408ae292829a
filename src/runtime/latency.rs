//! How long it takes from a frame to the disk: the last so many of each kind, for health.
//!
//! A fixed window and not a histogram: alerts are rare, so their exact times fit, and a slow one of last week does not stand in
//! health for ever. The recorder adds, the supervisor reads; neither allocates. What was captured on another clock than
//! the system's (a lossless clip, whose time is its own) must not be added: it would say nothing.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Times that are remembered: 256 alerts are a day's worth on a busy road.
pub const WINDOW: usize = 256;

/// Times of one kind.
#[derive(Debug, Default)]
pub struct Latency {
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    /// Microseconds; those beyond `count` are none.
    times_us: [u32; WINDOW],
    /// Added since start.
    count: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self { times_us: [0; WINDOW], count: 0 }
    }
}

/// What is told of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatencySummary {
    /// Added since start.
    pub count: u64,
    /// Half of the last [`WINDOW`] took no longer.
    pub p50: Duration,
    /// 99 in a hundred of them took no longer.
    pub p99: Duration,
    /// The longest of them.
    pub max: Duration,
}

impl Latency {
    /// One more; the oldest of a full window goes. Times over an hour count as one.
    pub fn add(&self, took: Duration) {
        // An array and a number, each whole at any time: a poisoned lock guards a sound state.
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let place = usize::try_from(window.count % WINDOW as u64).unwrap_or(0);
        window.times_us[place] = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        window.count += 1;
    }

    /// What there is to tell; none before the first.
    pub fn summary(&self) -> Option<LatencySummary> {
        let (mut times_us, count) = {
            let window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
            (window.times_us, window.count)
        };
        let known = usize::try_from(count).unwrap_or(WINDOW).min(WINDOW);
        let times_us = &mut times_us[..known];
        times_us.sort_unstable();
        // Nearest rank: the smallest that so many in a hundred do not exceed.
        let rank = |percent: usize| times_us.get((known * percent).div_ceil(100).saturating_sub(1));
        let at = |percent| rank(percent).map(|us| Duration::from_micros(u64::from(*us)));
        Some(LatencySummary { count, p50: at(50)?, p99: at(99)?, max: at(100)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_of_the_last_window_and_the_count_of_all() {
        let latency = Latency::default();
        assert_eq!(latency.summary(), None);
        let ms = Duration::from_millis;
        latency.add(ms(7));
        assert_eq!(latency.summary(), Some(LatencySummary { count: 1, p50: ms(7), p99: ms(7), max: ms(7) }));
        (1..=200).rev().for_each(|n| latency.add(ms(n)));
        assert_eq!(latency.summary(), Some(LatencySummary { count: 201, p50: ms(100), p99: ms(198), max: ms(200) }));
        (0..WINDOW).for_each(|_| latency.add(Duration::MAX));
        let longest = Duration::from_micros(u32::MAX.into());
        assert_eq!(
            latency.summary(),
            Some(LatencySummary { count: 201 + WINDOW as u64, p50: longest, p99: longest, max: longest }),
            "the old ones are gone"
        );
    }
}
