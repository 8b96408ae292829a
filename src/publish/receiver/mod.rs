//! The back office's end, small and whole: what a receiver has to do so that nothing is lost, in the order in which it does it.
//!
//! 1. Keep a session at the broker, and acknowledge a message (PUBACK) only when it is on disk.
//! 2. Store by device, stream and number. The same number again with the same link is a *duplicate*: counted, not stored twice.
//!    The same number with another link is a *conflict*: somebody forged one of the two, or the box has lost its memory. Neither
//!    is thrown away; the first stays, the other is kept aside.
//! 3. Take gap messages (`kerbside.gap/1`) at their word: those numbers will never come.
//! 4. Keep a *watermark* for each stream, the highest number up to which everything is stored or declared missing, and publish
//!    it, retained, on the device's `ack` topic whenever it has moved, and on every new connection (a broker may have forgotten).
//!    Boxes with `delivery.confirm = "backoffice"` delete up to it, so it is only told after the commit that moved it.
//! 5. With the devices' public keys: a message that its device did not sign is kept aside, and a number that does not follow the
//!    one before it is a *break* of the chain.
//!
//! It is the reference for those who write their own. [`store`] is the SQLite part, [`report`] what a store says about its
//! streams; `kerbside listen --store` is the loop around them. No network here and no clock. One thread.
//!
//! ```text
//! received.sqlite   SQLite, WAL, synchronous = FULL: what Store::take returned from is on disk
//!   message  device, stream, seq, link, prev, sig, key, topic, schema, content_type, payload, received_us, copies
//!            one row a number; copies counts arrivals
//!   aside    the same with why: conflict, unsigned, unknown_key, bad_signature; never counts as received
//!   gap      device, stream, first, last, count, reason: what the box declared
//!   stream   device, stream, watermark
//!   meta     id of this receiver, which names its session at the broker
//! ```
//!
//! `device` is `{org}/{device}`, as in the topic: ids are unique in an organisation only.

pub mod report;
pub mod store;
mod watch;

#[cfg(test)]
mod tests;

use std::fmt;

use super::mqtt::Received;
use super::wire::{GapMessage, GapWire, Message};
use crate::keys::{KeyId, TrustedKeys};
use crate::outbox::Seq;
use crate::outbox::chain::{Content, Link, Signature, StreamId};

pub use report::{ChainBreak, Hole, StreamReport};
pub use store::{Store, StoreError, Taken, Watermark};
pub use watch::Watch;

/// A message with a number: one envelope of a box's outbox, as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// `{org}/{device}`.
    pub device: String,
    /// Which sequence.
    pub stream: StreamId,
    /// Its number in it.
    pub seq: Seq,
    /// The link of the one before it; none when what it carries is no link.
    pub prev: Option<Link>,
    /// The device's signature over its link, and the key that made it; none when the box does not sign.
    pub signed: Option<(Signature, KeyId)>,
    /// Full topic.
    pub topic: String,
    /// Name and version of the payload's schema.
    pub schema: String,
    /// Media type.
    pub content_type: String,
    /// The bytes.
    pub payload: Vec<u8>,
}

impl Numbered {
    /// None for a live message. A number without a stream, or on a topic that is no device's, is nobody's and counts as live.
    pub fn from_received(message: &Received) -> Option<Self> {
        let signed = || Some((message.sig.as_deref()?.parse().ok()?, KeyId::parse(message.key.as_deref()?)?));
        Some(Self {
            device: device_of(&message.topic)?.to_owned(),
            stream: message.stream.as_deref()?.parse().ok()?,
            seq: Seq::new(message.seq?)?,
            prev: message.prev.as_deref().and_then(|prev| prev.parse().ok()),
            signed: signed(),
            topic: message.topic.clone(),
            schema: message.schema.clone().unwrap_or_default(),
            content_type: message.content_type.clone().unwrap_or_default(),
            payload: message.payload.clone(),
        })
    }

    /// The hash that names it and all before it.
    pub fn link(&self) -> Link {
        let content =
            Content { topic: &self.topic, content_type: &self.content_type, schema: &self.schema, payload: &self.payload };
        Link::of(self.stream, self.seq, self.prev.unwrap_or_default(), &content)
    }

    /// Why it is not to be believed to come from its device; none when it is.
    pub fn doubt(&self, trusted: &TrustedKeys) -> Option<Why> {
        let (Some(_), Some((signature, key))) = (self.prev, &self.signed) else { return Some(Why::Unsigned) };
        match self.link().is_signed(trusted, *key, signature) {
            Some(true) => None,
            Some(false) => Some(Why::BadSignature),
            None => Some(Why::UnknownKey),
        }
    }

    /// The gaps that it declares, if it is a gap message: numbers before its own, or they could not be known to be missing.
    fn gaps(&self) -> Vec<DeclaredGap> {
        if self.schema != GapMessage::SCHEMA {
            return Vec::new();
        }
        let Ok(message) = GapMessage::decode(&self.payload) else { return Vec::new() };
        let gap = |g: &GapWire| {
            let (first, last) = (Seq::new(g.first_seq)?, Seq::new(g.last_seq)?);
            let is_sane = first <= last && last < self.seq;
            is_sane.then(|| DeclaredGap { first, last, count: g.count, reason: g.reason.clone() })
        };
        message.gaps.iter().filter_map(gap).collect()
    }
}

/// Numbers that a box says will never come.
///
/// `count` is less than the length of the range when the box had to join gaps that were not neighbours: some of the range is
/// missing and some is not, and nobody can tell which. The whole range counts as declared then, or the watermark would stand
/// still for ever; what of it did arrive is stored all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct DeclaredGap {
    first: Seq,
    last: Seq,
    count: u64,
    reason: String,
}

/// `{org}/{device}` of a topic of ours.
fn device_of(topic: &str) -> Option<&str> {
    let rest = topic.strip_prefix("kerbside/v1/")?;
    let (org, after) = rest.split_once('/')?;
    let (device, _) = after.split_once('/')?;
    (!org.is_empty() && !device.is_empty()).then(|| &rest[..org.len() + 1 + device.len()])
}

/// Why a message was kept aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Another message has its number already.
    Conflict,
    /// It carries no proof.
    Unsigned,
    /// It names a key that is not trusted.
    UnknownKey,
    /// The key that it names did not sign this content at this place: topic, payload, number or signature was changed.
    BadSignature,
}

impl Why {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Conflict, Self::Unsigned, Self::UnknownKey, Self::BadSignature];

    /// The word in the store and in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Unsigned => "unsigned",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Conflict => "another message has this number already; this one is kept aside",
            Self::Unsigned => "it is not signed",
            Self::UnknownKey => "it is signed with a key that is not trusted",
            Self::BadSignature => "its key did not sign this: topic, payload, number or signature was changed",
        })
    }
}
