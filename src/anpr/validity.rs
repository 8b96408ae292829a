//! What time it is for a hotlist entry's dates: an entry must not come back to life because a box lost its clock.
//!
//! While the kernel calls the clock synchronised, it is believed. From the moment that it isn't any more, time goes on from the last
//! synchronised moment by the monotonic clock: a battery that died, or somebody's `date`, moves no entry into its validity or
//! out of it. Until the clock was synchronised once there is nothing better than what it says. (A list adds what it knows itself:
//! it is never earlier than the moment that its owner signed it; see `Hotlist::lookup`.)

use crate::clock::{CaptureTime, ClockSource, MonoTime, UtcTime};

/// The last moment at which both clocks were known to go together.
#[derive(Clone, Copy, Debug, Default)]
pub struct ValidityClock {
    trusted: Option<(UtcTime, MonoTime)>,
}

impl ValidityClock {
    /// The moment at which dates are to be judged. Times counted inside a clip are taken at their word: the clip is about them.
    pub fn judge(&mut self, at: CaptureTime) -> UtcTime {
        if at.quality.source != ClockSource::System {
            return at.utc;
        }
        if at.quality.synchronised {
            // Frames of several cameras don't come in order; an older one must not move the anchor back.
            if self.trusted.is_none_or(|(_, mono)| at.mono >= mono) {
                self.trusted = Some((at.utc, at.mono));
            }
            return at.utc;
        }
        self.trusted
            .map_or(at.utc, |(utc, mono)| utc.plus_micros(i64::try_from(at.mono.since(mono).as_micros()).unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::{ClockQuality, SimClock};

    #[test]
    fn a_clock_that_steps_moves_no_date() {
        let start = UtcTime::parse("2026-11-22T12:00:00Z").unwrap();
        let at = |s: u64, utc: &str, synchronised: bool| CaptureTime {
            utc: UtcTime::parse(utc).unwrap(),
            quality: ClockQuality { source: ClockSource::System, synchronised, max_error_ms: None },
            ..SimClock::at(start, Duration::from_secs(s))
        };
        let mut clock = ValidityClock::default();
        let mut judged = |at: CaptureTime| clock.judge(at).to_string();
        assert_eq!(judged(at(1, "1970-01-01T00:00:01Z", false)), "1970-01-01T00:00:01.000Z", "nothing better is known");
        assert_eq!(judged(at(10, "2026-11-22T12:00:10Z", true)), "2026-11-22T12:00:10.000Z");
        assert_eq!(judged(at(20, "1970-01-01T00:00:00Z", false)), "2026-11-22T12:00:20.000Z", "the battery died");
        assert_eq!(judged(at(30, "2030-01-01T00:00:00Z", false)), "2026-11-22T12:00:30.000Z", "somebody set it");
        assert_eq!(
            judged(at(40, "2026-11-22T12:00:41Z", true)),
            "2026-11-22T12:00:41.000Z",
            "believed again, with its correction"
        );
        assert_eq!(judged(at(39, "2026-11-22T12:00:40Z", true)), "2026-11-22T12:00:40.000Z", "another camera's frame");
        assert_eq!(judged(at(50, "2000-01-01T00:00:00Z", false)), "2026-11-22T12:00:51.000Z");
        let clip = CaptureTime { quality: ClockQuality::CLIP, ..at(60, "2020-01-01T00:00:00Z", false) };
        assert_eq!(judged(clip), "2020-01-01T00:00:00.000Z");
    }
}
