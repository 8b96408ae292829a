//! Where a plate will be next, and which way it goes.
//!
//! A plate's centre and width in the picture are its place in space: with a pinhole camera `(x/w, y/w, 1/w)` are its coordinates
//! counted in its own widths (turned and stretched by the camera's focal length, which a straight line survives). So a vehicle at
//! constant speed on a straight road moves at constant speed in them, however fast its plate grows, and so does a standing one
//! past a moving camera. An error of the measured width shifts all three alike, along the line of sight, where it can't be seen:
//! the place predicted in the picture stays right, only the predicted width suffers.

use crate::clock::MonoTime;
use crate::geometry::{FramePx, Point, Quad};

use crate::anpr::record::Direction;

/// How much of a new step goes into the rate: plates jump by a few per cent of their width from frame to frame.
const NEWEST: f64 = 0.5;
/// Change of a plate's proportions, as a natural logarithm, from which something covers or uncovers it: its width says nothing
/// about its motion then.
const RESHAPED: f32 = 0.3;
/// A predicted width is within this factor of the last one: far predictions run through the camera.
const MOST_GROWTH: f64 = 2.5;
/// Growth of the plate's width over a passage, as a natural logarithm, from which a direction is named: 12 %.
const TELLING_GROWTH: f64 = 0.12;
/// Plate widths a second in the picture below which a plate is slow: a walking pace across the view, a queue along it.
const SLOW_WIDTHS_A_SECOND: f32 = 2.5;

/// Growth of its width, as a natural logarithm a second, above which a plate is on its way towards or from the camera, however slow it
/// looks in the picture: a vehicle that drives off shrinks by more until it is out of sight.
const STANDING_GROWTH_A_SECOND: f64 = 0.15;
/// The width is followed quickly and slowly, with these time constants in seconds: their difference is its growth.
const QUICK_S: f64 = 0.2;
const SLOW_S: f64 = 0.6;

/// The motion of one plate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Motion {
    at: MonoTime,
    place: [f64; 3],
    rate: Option<[f64; 3]>,
    width: f64,
    /// Height over width.
    shape: f32,
    growth: Growth,
    /// The logarithm of the width, smoothed quickly and slowly.
    quick: f64,
    slow: f64,
}

/// Where a plate should be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) centre: Point<FramePx>,
    /// Pixels.
    pub(super) width: f32,
    /// Pixels.
    pub(super) height: f32,
    /// Time since it was measured last, seconds.
    pub(super) seconds: f32,
    /// Whether it rests on two sightings or more.
    pub(super) known_rate: bool,
}

fn place_of(quad: &Quad<FramePx>) -> ([f64; 3], f64) {
    let (centre, width) = (quad.centre(), f64::from(quad.width().max(1.0)));
    ([f64::from(centre.x) / width, f64::from(centre.y) / width, 1.0 / width], width)
}

impl Motion {
    pub(super) fn new(at: MonoTime, quad: &Quad<FramePx>) -> Self {
        let (place, width) = place_of(quad);
        let shape = quad.height() / quad.width().max(1.0);
        Self { at, place, rate: None, width, shape, growth: Growth::default(), quick: width.ln(), slow: width.ln() }
    }

    /// Takes a whole plate's place in. `seconds_in_view` counts from the passage's first sighting.
    pub(super) fn take(&mut self, at: MonoTime, quad: &Quad<FramePx>, seconds_in_view: f64) {
        let (place, width) = place_of(quad);
        let seconds = at.since(self.at).as_secs_f64();
        let shape = quad.height() / quad.width().max(1.0);
        if (shape / self.shape).ln().abs() > RESHAPED {
            self.rate = None;
        } else if seconds > 0.0 {
            let step = |i: usize| (place[i] - self.place[i]) / seconds;
            let step = [step(0), step(1), step(2)];
            self.rate = Some(match self.rate {
                Some(rate) => [0, 1, 2].map(|i| rate[i] + NEWEST * (step[i] - rate[i])),
                None => step,
            });
        }
        self.quick += (1.0 - (-seconds / QUICK_S).exp()) * (width.ln() - self.quick);
        self.slow += (1.0 - (-seconds / SLOW_S).exp()) * (width.ln() - self.slow);
        (self.at, self.place, self.width) = (at, place, width);
        self.shape = shape;
        self.growth.add(seconds_in_view, width.ln());
    }

    /// Where the plate should be at `at`.
    pub(super) fn expected(&self, at: MonoTime) -> Expected {
        let seconds = at.since(self.at).as_secs_f64();
        let rate = self.rate.unwrap_or_default();
        let ahead = |i: usize| self.place[i] + rate[i] * seconds;
        let depth = ahead(2).clamp(1.0 / (self.width * MOST_GROWTH), MOST_GROWTH / self.width);
        // Beyond the clamp the place is no better than the depth: it stays on the line towards where it was heading.
        #[allow(clippy::cast_possible_truncation)] // pixels
        let (x, y, width) = ((ahead(0) / depth) as f32, (ahead(1) / depth) as f32, (1.0 / depth) as f32);
        #[allow(clippy::cast_possible_truncation)]
        let seconds = seconds as f32;
        Expected { centre: Point::new(x, y), width, height: width * self.shape, seconds, known_rate: self.rate.is_some() }
    }

    /// Which way the vehicle went.
    pub(super) fn direction(&self) -> Direction {
        self.growth.direction()
    }

    /// Whether the plate stood, or nearly so, when it was seen last.
    pub(super) fn stands(&self) -> bool {
        self.is_slow() && (self.quick - self.slow).abs() < STANDING_GROWTH_A_SECOND * (SLOW_S - QUICK_S)
    }

    /// Whether the plate was slow or stood when it was seen last.
    pub(super) fn is_slow(&self) -> bool {
        let next = self.expected(self.at.plus(std::time::Duration::from_millis(100)));
        #[allow(clippy::cast_possible_truncation)] // pixels
        let (x, y, width) =
            ((self.place[0] * self.width) as f32, (self.place[1] * self.width) as f32, self.width.max(1.0) as f32);
        self.rate.is_some() && next.centre.distance(Point::new(x, y)) < 0.1 * SLOW_WIDTHS_A_SECOND * width
    }
}

/// A straight line through the logarithm of the width over time, kept as sums.
#[derive(Clone, Copy, Debug, Default)]
struct Growth {
    n: f64,
    t: f64,
    tt: f64,
    w: f64,
    tw: f64,
    longest: f64,
}

impl Growth {
    fn add(&mut self, t: f64, w: f64) {
        self.n += 1.0;
        self.t += t;
        self.tt += t * t;
        self.w += w;
        self.tw += t * w;
        self.longest = self.longest.max(t);
    }

    fn direction(&self) -> Direction {
        let spread = self.n * self.tt - self.t * self.t;
        if spread <= 1e-9 {
            return Direction::Unknown;
        }
        match (self.n * self.tw - self.t * self.w) / spread * self.longest {
            g if g >= TELLING_GROWTH => Direction::Approaching,
            g if g <= -TELLING_GROWTH => Direction::Receding,
            _ => Direction::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::geometry::Rect;

    fn ms(ms: u64) -> MonoTime {
        MonoTime::default().plus(Duration::from_millis(ms))
    }

    /// What a pinhole camera 6 m above the road sees of a plate so many metres ahead and to the right.
    fn seen(ahead_m: f32, right_m: f32) -> Quad<FramePx> {
        let focal = 3000.0;
        let (x, y, w) = (640.0 + focal * right_m / ahead_m, 100.0 + focal * 5.5 / ahead_m, focal * 0.52 / ahead_m);
        Quad::from(Rect::new(x - w / 2.0, y - w * 0.107, x + w / 2.0, y + w * 0.107))
    }

    #[test]
    fn a_plate_at_constant_speed_is_found_again_after_a_gap_however_fast_it_grows() {
        // 70 mph is 31.3 m/s; three frames at 30 a second, then half a second of nothing.
        let place = |seconds: f32| seen(45.0 - 31.3 * seconds, -1.8);
        let mut motion = Motion::new(ms(0), &place(0.0));
        for n in [0u8, 1, 2] {
            let seconds = f32::from(n) / 30.0;
            motion.take(MonoTime::default().plus(Duration::from_secs_f32(seconds)), &place(seconds), f64::from(seconds));
        }
        let then = 2.0 / 30.0 + 0.5;
        let expected = motion.expected(MonoTime::default().plus(Duration::from_secs_f32(then)));
        let truth = place(then);
        let off = expected.centre.distance(truth.centre()) / truth.width();
        assert!(off < 0.05, "off by {off} plate widths");
        assert!((expected.width / truth.width() - 1.0).abs() < 0.05, "{} {}", expected.width, truth.width());
    }

    #[test]
    fn a_plate_in_a_queue_is_told_from_one_on_its_way() {
        // 0, 0.75, 6 and 31 m/s.
        for (step_m, slow, stands) in [(0.0, true, true), (0.03, true, true), (0.24, false, false), (0.5, false, false)] {
            let mut motion = Motion::new(ms(0), &seen(20.0, 0.0));
            for n in 0..20u8 {
                motion.take(ms(u64::from(n) * 40), &seen(20.0 - step_m * f32::from(n), 0.0), 0.04 * f64::from(n));
            }
            assert_eq!((motion.is_slow(), motion.stands()), (slow, stands), "{step_m} m a frame");
        }
    }

    #[test]
    fn a_vehicle_that_drives_off_far_away_looks_slow_but_does_not_stand() {
        let mut motion = Motion::new(ms(0), &seen(60.0, 0.0));
        for n in 0..40u8 {
            motion.take(ms(u64::from(n) * 40), &seen(60.0 + 0.6 * f32::from(n), 0.0), 0.04 * f64::from(n));
        }
        assert!(motion.is_slow() && !motion.stands());
    }

    #[test]
    fn a_far_prediction_stays_in_the_picture() {
        let mut motion = Motion::new(ms(0), &seen(20.0, 1.0));
        motion.take(ms(33), &seen(17.0, 1.0), 0.033);
        let expected = motion.expected(ms(2000));
        assert!(expected.width > 0.0 && expected.width.is_finite() && expected.centre.x.is_finite());
    }
}
