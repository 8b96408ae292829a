//! When a live frame was taken: its arrival, less what it was late.
//!
//! A frame arrives some time after it was taken, and not always the same: a network or a busy box holds frames up and gives
//! several at once. The stream's own times know how far apart they were taken. So the quickest of the last frames tell where the
//! stream's time zero lies on our clock (the *anchor*), and a frame that is later than its stream time promises is moved
//! back by as much. What all frames are late by (encoder, network, decoder) stays in: nothing here can know it.
//!
//! How the anchor moves over minutes is the *drift* of the camera's clock against ours. Pure: `at` is an argument.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::{CaptureTime, MonoTime};

/// Frames that the anchor is told from: ten seconds of them.
const SAMPLES: usize = 256;
/// It is settled anew after so many frames.
const EVERY: usize = 16;
/// One frame in ten is as quick as the anchor: the very quickest may be a stream time that was misread.
const QUICK: usize = 10;
/// A frame is moved back by this much at most; what is later than that belongs to another timeline.
const MOST_LATE_US: i64 = 2_000_000;

/// The timeline of one connection.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// Arrival less stream time, microseconds, newest last.
    offsets: VecDeque<i64>,
    sorted: Vec<i64>,
    anchor: Option<i64>,
    /// The first anchor that was told from a full set.
    first: Option<i64>,
    frames: usize,
    last: Option<MonoTime>,
}

impl Timeline {
    /// When a frame that arrived at `at` was taken. Never before the frame before it.
    pub(super) fn taken(&mut self, at: CaptureTime, stream: Option<Duration>) -> CaptureTime {
        let late_us = stream.map_or(0, |stream| self.late(at.mono, stream));
        let late = Duration::from_micros(u64::try_from(late_us).unwrap_or(0));
        let moved = MonoTime::from_nanos(at.mono.as_nanos().saturating_sub(u64::try_from(late.as_nanos()).unwrap_or(0)));
        // Time stands still rather than run back; passages are tracked by it.
        let mono = self.last.map_or(moved, |last| moved.max(last.plus(Duration::from_micros(1)))).min(at.mono);
        self.last = Some(mono);
        let back = i64::try_from(at.mono.since(mono).as_micros()).unwrap_or(0);
        CaptureTime { mono, utc: at.utc.plus_micros(-back), ..at }
    }

    /// How far the anchor has moved since it was first told, microseconds.
    pub(super) fn drift_us(&self) -> Option<i64> {
        Some(self.anchor? - self.first?)
    }

    fn late(&mut self, at: MonoTime, stream: Duration) -> i64 {
        let us = |nanos: u128| i64::try_from(nanos / 1000).unwrap_or(i64::MAX);
        let offset = us(u128::from(at.as_nanos())).saturating_sub(us(stream.as_nanos()));
        if self.anchor.is_some_and(|anchor| (offset - anchor).abs() > MOST_LATE_US) {
            // The camera was set to another time, or its stream began again.
            *self = Self { last: self.last, ..Self::default() };
        }
        if self.offsets.len() == SAMPLES {
            self.offsets.pop_front();
        }
        self.offsets.push_back(offset);
        self.frames += 1;
        // At the beginning the quickest so far is all there is to go by.
        if self.offsets.len() < SAMPLES {
            self.anchor = Some(self.anchor.map_or(offset, |anchor| anchor.min(offset)));
        } else if self.frames.is_multiple_of(EVERY) {
            self.sorted.clear();
            self.sorted.extend(&self.offsets);
            let (_, quick, _) = self.sorted.select_nth_unstable(SAMPLES / QUICK);
            self.anchor = Some(*quick);
            self.first.get_or_insert(*quick);
        }
        (offset - self.anchor.unwrap_or(offset)).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{SimClock, UtcTime};

    fn at(ms: f64) -> CaptureTime {
        SimClock::at(UtcTime::default(), Duration::from_secs_f64(ms / 1000.0))
    }

    fn ms(time: CaptureTime) -> f64 {
        time.mono.as_nanos() as f64 / 1e6
    }

    #[test]
    fn frames_that_come_in_a_bunch_are_told_apart_by_the_stream() {
        let mut timeline = Timeline::default();
        let start = ms(at(0.0));
        for n in 0..300u32 {
            // Every tenth frame to the fourteenth waits for the fifteenth.
            let arrival = 40.0 * f64::from(if n % 20 >= 10 && n % 20 < 15 { n - n % 20 + 15 } else { n }) + 100.0;
            let taken = timeline.taken(at(arrival), Some(Duration::from_millis(40 * u64::from(n))));
            let told = ms(taken) - start;
            assert!((told - (40.0 * f64::from(n) + 100.0)).abs() < 1.0, "{n}: {told}");
            let moved_us = (taken.utc.as_micros() - at(arrival).utc.as_micros()) as f64;
            assert!((moved_us - (told - arrival) * 1000.0).abs() < 2.0, "UTC goes with it");
        }
    }

    #[test]
    fn a_slow_clock_of_the_camera_is_drift_and_does_not_pile_up() {
        let mut timeline = Timeline::default();
        // Two in a thousand slow, with jitter of up to 30 ms: after 10 minutes 1.2 s behind.
        let mut last = 0.0;
        for n in 0..15_000u32 {
            let arrival = 40.0 * f64::from(n) + f64::from(n * 7919 % 31);
            let taken = timeline.taken(at(arrival), Some(Duration::from_secs_f64(0.040 * 0.998 * f64::from(n))));
            last = arrival - (ms(taken) - ms(at(0.0)));
        }
        let drift = timeline.drift_us().unwrap() as f64 / 1000.0;
        assert!((drift - 1200.0 + 2.0 * 10.24).abs() < 30.0, "{drift} ms");
        assert!((0.0..60.0).contains(&last), "the last frame is moved by {last} ms");
    }

    #[test]
    fn a_jump_of_the_stream_s_time_begins_a_new_timeline_and_no_time_ever_runs_back() {
        let mut timeline = Timeline::default();
        let mut before = 0.0;
        for n in 0..400u32 {
            let stream = if n < 150 { 40 * n } else { 40 * (n - 150) + 7 };
            let arrival = at(40.0 * f64::from(n) + 40.0);
            let taken = ms(timeline.taken(arrival, Some(Duration::from_millis(u64::from(stream)))));
            assert!(taken > before && (taken - ms(arrival)).abs() < 0.1, "{n}: {taken}");
            before = taken;
        }
        let same = timeline.taken(at(16_100.0), None);
        assert_eq!(ms(same), ms(at(16_100.0)), "without a stream time it is the arrival");
    }
}
