//! Checking without a store: signatures, and neighbours as far as memory goes.

use std::collections::BTreeMap;

use super::Numbered;
use crate::keys::TrustedKeys;
use crate::outbox::chain::{Link, StreamId};

/// Numbers remembered of each stream: more than are ever on the way at once.
const REMEMBERED: usize = 1024;

/// Looks at messages as they pass and names what is wrong.
#[derive(Debug, Default)]
pub struct Watch {
    trusted: TrustedKeys,
    /// By stream: number, its prev, its link.
    seen: BTreeMap<(String, StreamId), BTreeMap<u64, (Link, Link)>>,
}

impl Watch {
    /// Believes these keys.
    pub fn new(trusted: TrustedKeys) -> Self {
        Self { trusted, seen: BTreeMap::new() }
    }

    /// What is wrong with a message, in words; none when it is as its device made it and fits those that passed before.
    pub fn look(&mut self, message: &Numbered) -> Option<String> {
        if let Some(why) = message.doubt(&self.trusted) {
            return Some(why.to_string());
        }
        let (seq, link, prev) = (message.seq.get(), message.link(), message.prev?);
        let seen = self.seen.entry((message.device.clone(), message.stream)).or_default();
        let before = if seq == 1 { Some(Link::default()) } else { seen.get(&(seq - 1)).map(|(_, link)| *link) };
        let (there, after) = (seen.get(&seq).map(|(_, link)| *link), seen.get(&(seq + 1)).map(|(prev, _)| *prev));
        if there.is_some_and(|there| there != link) {
            return Some("another message has this number already".into());
        }
        seen.insert(seq, (prev, link));
        if seen.len() > REMEMBERED {
            seen.pop_first();
        }
        if before.is_some_and(|before| before != prev) {
            return Some(format!("it does not follow number {}: its prev is not that one's link", seq - 1));
        }
        after
            .is_some_and(|prev| prev != link)
            .then(|| format!("number {} does not follow it: that one's prev is not its link", seq + 1))
    }
}
