//! Rows that the broker refused: how long each waits for its next try, and when so many wait that sending more of their kind makes
//! no sense. State only; the caller brings the time.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Backoff;
use crate::outbox::{Lane, Seq};

/// With so many rows of a kind waiting, the broker refuses the kind: nothing new of it is sent until one of them is due.
const MAX_OF_A_KIND: usize = 64;
/// Rows remembered, of all kinds.
const MAX_ROWS: usize = 4096;
/// Rows that found no room in memory are looked for in the store again after so long.
const LOOK_AGAIN: Duration = Duration::from_mins(10);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Alert,
    Text,
    Image,
}

const fn kind(lane: Lane) -> Kind {
    match lane {
        Lane::Alert => Kind::Alert,
        Lane::Read | Lane::Health => Kind::Text,
        Lane::Patch | Lane::Overview => Kind::Image,
    }
}

/// A row's wait.
#[derive(Debug)]
struct Wait {
    lane: Lane,
    until: Instant,
    backoff: Backoff,
}

/// All that wait.
#[derive(Debug, Default)]
pub(super) struct Refused {
    rows: BTreeMap<Seq, Wait>,
    /// When the first row was forgotten that may be stored still.
    forgotten: Option<Instant>,
}

impl Refused {
    /// The row waits from now on, `floor` to 32 times that, longer each time.
    pub(super) fn put_off(&mut self, seq: Seq, lane: Lane, floor: Duration, now: Instant) {
        let new = || Wait { lane, until: now, backoff: Backoff::new(floor, floor * 32, seq.get()) };
        let entry = self.rows.entry(seq).or_insert_with(new);
        entry.until = now + entry.backoff.next_wait();
        if self.rows.len() > MAX_ROWS {
            // The newest of those that matter least.
            let least = [Kind::Image, Kind::Text, Kind::Alert].into_iter();
            let victim = least.filter_map(|k| self.rows.iter().rfind(|(_, w)| kind(w.lane) == k)).map(|(seq, _)| *seq).next();
            if let Some(victim) = victim {
                self.rows.remove(&victim);
                self.forgotten.get_or_insert(now);
            }
        }
    }

    /// The row waits no more.
    pub(super) fn remove(&mut self, seq: Seq) {
        self.rows.remove(&seq);
    }

    /// Nor do those up to this one.
    pub(super) fn remove_through(&mut self, through: Seq) {
        self.rows.retain(|seq, _| *seq > through);
    }

    /// Whether a row was refused and has not arrived since.
    pub(super) fn contains(&self, seq: Seq) -> bool {
        self.rows.contains_key(&seq)
    }

    /// Whether it has to wait still.
    pub(super) fn is_waiting(&self, seq: Seq, now: Instant) -> bool {
        self.rows.get(&seq).is_some_and(|w| w.until > now)
    }

    /// Rows that have waited long enough: pictures, or those that are none.
    pub(super) fn due(&self, images: bool, now: Instant) -> impl Iterator<Item = Seq> {
        self.rows.iter().filter(move |(_, w)| w.until <= now && w.lane.is_image() == images).map(|(seq, _)| *seq)
    }

    /// When the next of them is due.
    pub(super) fn next_due(&self, now: Instant) -> Option<Instant> {
        self.rows.values().map(|w| w.until).filter(|t| *t > now).min()
    }

    /// Whether the broker refuses so much of a lane's kind that sending more of it makes no sense now. Never so for alerts.
    pub(super) fn is_choked(&self, lane: Lane, now: Instant) -> bool {
        let of_kind = || self.rows.values().filter(|w| kind(w.lane) == kind(lane));
        kind(lane) != Kind::Alert && of_kind().count() >= MAX_OF_A_KIND && of_kind().all(|w| w.until > now)
    }

    /// A new connection looks at all that is stored: nothing is forgotten any more.
    pub(super) const fn begin_epoch(&mut self) {
        self.forgotten = None;
    }

    /// True, once, when it is time to look for forgotten rows in the store.
    pub(super) fn wants_a_look(&mut self, now: Instant) -> bool {
        self.forgotten.take_if(|since| now.saturating_duration_since(*since) >= LOOK_AGAIN).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: Duration = Duration::from_secs(1);

    fn refused(lane: Lane, numbers: std::ops::RangeInclusive<u64>, now: Instant) -> Refused {
        let mut refused = Refused::default();
        numbers.for_each(|n| refused.put_off(Seq::new(n).unwrap(), lane, FLOOR, now));
        refused
    }

    #[test]
    fn many_of_a_kind_hold_up_their_kind_and_never_alerts() {
        let now = Instant::now();
        let few = refused(Lane::Patch, 1..=63, now);
        assert!(Lane::ALL.iter().all(|lane| !few.is_choked(*lane, now)));
        let choked = |refused: &Refused, now| Lane::ALL.into_iter().filter(|l| refused.is_choked(*l, now)).collect::<Vec<_>>();
        let images = refused(Lane::Patch, 1..=64, now);
        assert_eq!(choked(&images, now).len(), 2);
        assert!(choked(&images, now).iter().all(|lane| lane.is_image()));
        let text = refused(Lane::Health, 1..=64, now);
        assert!(text.is_choked(Lane::Read, now) && !text.is_choked(Lane::Overview, now) && !text.is_choked(Lane::Alert, now));
        assert_eq!(choked(&refused(Lane::Alert, 1..=500, now), now), []);
        // As soon as one is due, others may try as well.
        assert_eq!(choked(&images, now + FLOOR * 64), []);
    }

    #[test]
    fn memory_is_bounded_and_what_falls_out_is_looked_for_again_later() {
        let now = Instant::now();
        let mut refused = refused(Lane::Alert, 1..=4000, now);
        (4001..=4200).for_each(|n| refused.put_off(Seq::new(n).unwrap(), Lane::Overview, FLOOR, now));
        assert_eq!(refused.rows.len(), MAX_ROWS);
        assert!((1..=4000).all(|n| refused.contains(Seq::new(n).unwrap())), "alerts are the last to be forgotten");
        assert!(!refused.wants_a_look(now));
        assert!(refused.wants_a_look(now + LOOK_AGAIN));
        assert!(!refused.wants_a_look(now + LOOK_AGAIN * 2), "once");
        // Nothing else is dropped for its age: it comes due, and is looked for then.
        assert_eq!(refused.due(false, now + Duration::from_hours(9)).count(), 4000);
    }
}
