//! Which broker is next: those that failed are passed over until all have, then there is a wait and it starts with the first
//! again. Remembers failures, no more. Net thread; no network here but [`find`], which opens a connection and closes it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::link::{CONNECT_TIMEOUT, Tongue};
use super::options::{BrokerOptions, Place};

/// Moves to a preferred broker that came to nothing make the next look wait longer, up to so many times.
const MOST_PATIENCE: u32 = 16;

/// What to do after a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    AtOnce,
    /// All have failed: wait first.
    Wait,
}

/// The brokers in order of preference, and where we are.
#[derive(Debug)]
pub(super) struct Route {
    places: Vec<(Place, Tongue)>,
    at: usize,
    failed: BTreeSet<usize>,
    /// A preferred broker answered, and we are on our way to it.
    moving: bool,
    patience: u32,
}

impl Route {
    pub(super) fn new(broker: &BrokerOptions) -> Self {
        let tongue = Tongue::new(broker.version);
        let places = broker.places().into_iter().map(|place| (place, tongue)).collect();
        Self { places, at: 0, failed: BTreeSet::new(), moving: false, patience: 1 }
    }

    /// The place of the one to try in the order, from 0.
    pub(super) const fn index(&self) -> usize {
        self.at
    }

    pub(super) fn place(&self) -> &Place {
        &self.places[self.at].0
    }

    pub(super) fn tongue(&self) -> Tongue {
        self.places[self.at].1
    }

    /// Those that would be better than where we are.
    pub(super) fn preferred(&self) -> Vec<Place> {
        self.places[..self.at].iter().map(|(place, _)| place.clone()).collect()
    }

    /// How long to wait between two looks for them.
    pub(super) fn look_every(&self, prefer_again: Duration) -> Duration {
        prefer_again * self.patience
    }

    /// A connection to the present one failed or ended. `settled`: it was of use; `unknown_protocol`: the broker may not have known
    /// what we spoke.
    pub(super) fn failed(&mut self, settled: bool, unknown_protocol: bool) -> Next {
        if self.places[self.at].1.ended(unknown_protocol) {
            return Next::AtOnce;
        }
        if settled {
            self.failed.clear();
            self.patience = 1;
        } else if self.moving {
            self.patience = (self.patience * 2).min(MOST_PATIENCE);
        }
        self.moving = false;
        self.failed.insert(self.at);
        let next = (0..self.places.len()).find(|i| !self.failed.contains(i));
        self.at = next.unwrap_or(0);
        if next.is_none() {
            self.failed.clear();
            return Next::Wait;
        }
        Next::AtOnce
    }

    /// A preferred one answers: it is next.
    pub(super) fn prefer(&mut self, index: usize) {
        self.at = index.min(self.places.len() - 1);
        self.failed.clear();
        self.moving = true;
    }
}

/// The first of some brokers that lets itself be connected to. Says nothing to it.
pub(super) async fn find(places: Vec<Place>) -> Option<usize> {
    for (index, place) in places.iter().enumerate() {
        let connect = tokio::net::TcpStream::connect((place.host.as_str(), place.port));
        if let Ok(Ok(_)) = tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
            return Some(index);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::mqtt::options::Version;

    fn route(version: Version) -> Route {
        let mut broker = BrokerOptions::new("a", 1, "c");
        broker.version = version;
        broker.fallbacks = ["b:2", "c:3"].map(|p| p.parse().unwrap()).to_vec();
        Route::new(&broker)
    }

    #[test]
    fn all_are_tried_before_there_is_a_wait_and_a_good_one_that_ends_forgives_the_others() {
        let mut route = route(Version::Five);
        let mut step = |settled| {
            let next = route.failed(settled, false);
            (next, route.index())
        };
        assert_eq!([step(false), step(false)], [(Next::AtOnce, 1), (Next::AtOnce, 2)]);
        assert_eq!(step(false), (Next::Wait, 0));
        assert_eq!([step(false), step(true)], [(Next::AtOnce, 1), (Next::AtOnce, 0)]);
        assert_eq!([step(false), step(false)], [(Next::AtOnce, 2), (Next::Wait, 0)]);
    }

    #[test]
    fn a_move_that_comes_to_nothing_makes_the_next_look_wait() {
        let mut route = route(Version::Five);
        route.failed(false, false);
        route.failed(false, false);
        assert_eq!(route.preferred().len(), 2);
        for (times, patience) in [(1, 2), (2, 4), (10, 16)] {
            for _ in 0..times {
                route.prefer(0);
                route.failed(false, false);
            }
            assert!(route.look_every(Duration::from_secs(1)) >= Duration::from_secs(patience));
        }
        assert_eq!(route.look_every(Duration::from_secs(1)), Duration::from_secs(16));
        route.failed(true, false);
        assert_eq!(route.look_every(Duration::from_secs(1)), Duration::from_secs(1));
    }

    #[test]
    fn the_older_protocol_is_tried_at_the_same_broker() {
        let mut route = route(Version::Auto);
        assert_eq!((route.failed(false, true), route.index()), (Next::AtOnce, 0));
        assert_eq!((route.failed(false, true), route.index()), (Next::AtOnce, 1));
    }
}
