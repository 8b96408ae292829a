//! A version that is being fetched, chunk by chunk.

use std::collections::{BTreeMap, BTreeSet};

use super::{ASK_AGAIN, REST};
use crate::clock::MonoTime;
use crate::publish::sync::manifest::{Payload, SignedManifest};
use crate::publish::sync::store::Store;

/// A version that is being fetched.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) signed: SignedManifest,
    /// Names of the parts that are fetched, as in [`Manifest::parts`].
    pub(super) parts: Vec<String>,
    pub(super) missing: Vec<String>,
    pub(super) needed: usize,
    /// Chunks asked for, and since when.
    pub(super) asked: BTreeMap<String, MonoTime>,
    /// Chunks that did not come: not to be asked for until then, so that the next asking is seen as a new one.
    pub(super) resting: BTreeMap<String, MonoTime>,
    /// A chunk that was asked for did not come, and none has come since.
    pub(super) stalled: bool,
    /// Chunks that came with another content than they should have; told once each.
    pub(super) spoilt: BTreeSet<String>,
    /// When applying failed for want of disk: not before this moment again.
    pub(super) not_before: Option<MonoTime>,
}

impl Incoming {
    pub(super) fn new(signed: SignedManifest, parts: Vec<String>, store: &Store) -> Self {
        let mut this = Self {
            signed,
            parts,
            missing: Vec::new(),
            needed: 0,
            asked: BTreeMap::new(),
            resting: BTreeMap::new(),
            stalled: false,
            spoilt: BTreeSet::new(),
            not_before: None,
        };
        let needed: BTreeSet<String> = this.payloads().flat_map(|(_, payload)| payload.chunks.clone()).collect();
        store.prune(&needed);
        this.needed = needed.len();
        this.look(store);
        this
    }

    /// Sees which chunks are not here, in the order in which they are needed.
    pub(super) fn look(&mut self, store: &Store) {
        let mut seen = BTreeSet::new();
        let missing = self.payloads().flat_map(|(_, payload)| store.missing(payload).cloned().collect::<Vec<_>>());
        self.missing = missing.filter(|sha256| seen.insert(sha256.clone())).collect();
    }

    /// Lets chunks that did not come rest for a moment, and ends the rest of others.
    pub(super) fn rest(&mut self, mono: MonoTime) {
        self.resting.retain(|_, until| mono < *until);
        let late: Vec<_> = self.asked.extract_if(.., |_, since| mono.since(*since) >= ASK_AGAIN).collect();
        self.stalled |= !late.is_empty();
        self.resting.extend(late.into_iter().map(|(sha256, _)| (sha256, mono.plus(REST))));
    }

    pub(super) fn payloads(&self) -> impl Iterator<Item = (String, &Payload)> {
        self.signed.manifest().parts().filter(|(name, _)| self.parts.contains(name))
    }
}
