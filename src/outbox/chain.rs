//! The evidence chain: every envelope carries the hash of the one before it and the device's signature.
//!
//! ```text
//! link(n) = SHA-256( "kerbside-chain/1\n" | stream (16 hex digits, ASCII) | n (8 bytes, big endian) | link(n-1) (32 bytes)
//!                    | for topic, content type, schema: length (4 bytes, big endian) and bytes | SHA-256(payload) )
//! sig(n)  = Ed25519( device key, "kerbside-link/1\n" | link(n) )
//! link(0) = 32 zero bytes
//! ```
//!
//! A box can say what it saw no later than it did: nobody who does not hold its key can add, change or reorder an envelope, and
//! nobody can take one out without leaving a gap that the box did not declare. (Whoever holds the key can do all of that: it is
//! as good as the place where it is kept.) Who is missing legitimately is declared by gaps, which are envelopes too.
//! Pure: no store, no clock. Used by the recorder thread, the net thread, and whoever receives.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::Seq;
use crate::keys::{KeyId, SigningKey, TrustedKeys};

const LINK_DOMAIN: &[u8] = b"kerbside-chain/1\n";
const SIGNATURE_DOMAIN: &[u8] = b"kerbside-link/1\n";

/// Which sequence a number belongs to: made with the store, for the life of its sequence. A box whose disk was replaced starts
/// a new stream, so that nobody takes its numbers for those of the old one. Shown as 16 hex digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(super) [u8; 8]);

/// The hash that names an envelope and all before it. Shown as 64 hex digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Link(pub(super) [u8; 32]);

/// An Ed25519 signature over a link. Shown in base64.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub(super) [u8; 64]);

/// What proves an envelope's place in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The link of the envelope before it.
    pub prev: Link,
    /// The device's signature over this envelope's link.
    pub signature: Signature,
    /// The key that made it.
    pub key: KeyId,
}

/// What a link is made of, besides its place.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// Full topic.
    pub topic: &'a str,
    /// Media type.
    pub content_type: &'a str,
    /// Name and version of the payload's schema.
    pub schema: &'a str,
    /// The bytes, in plain.
    pub payload: &'a [u8],
}

impl Link {
    /// The link of envelope `seq` behind `prev`.
    pub fn of(stream: StreamId, seq: Seq, prev: Self, content: &Content<'_>) -> Self {
        let mut hash = Sha256::new();
        hash.update(LINK_DOMAIN);
        hash.update(stream.to_string());
        hash.update(seq.get().to_be_bytes());
        hash.update(prev.0);
        for field in [content.topic, content.content_type, content.schema] {
            hash.update(u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
            hash.update(field);
        }
        hash.update(Sha256::digest(content.payload));
        Self(hash.finalize().into())
    }

    /// The device's signature.
    pub fn sign(&self, key: &SigningKey) -> Signature {
        Signature(key.sign(&self.statement()))
    }

    /// Whether `key` is trusted and made `signature`; none when it is none of those trusted.
    pub fn is_signed(&self, trusted: &TrustedKeys, key: KeyId, signature: &Signature) -> Option<bool> {
        trusted.verify(key, &self.statement(), &signature.0)
    }

    fn statement(&self) -> Vec<u8> {
        [SIGNATURE_DOMAIN, &self.0].concat()
    }
}

fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N || !digits.iter().all(|d| matches!(d, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// Why a text is no stream, link or signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no {1}")]
pub struct ProofSyntax(String, &'static str);

impl FromStr for StreamId {
    type Err = ProofSyntax;
    fn from_str(text: &str) -> Result<Self, ProofSyntax> {
        from_hex(text).map(Self).ok_or_else(|| ProofSyntax(text.to_owned(), "stream (16 hex digits)"))
    }
}

impl FromStr for Link {
    type Err = ProofSyntax;
    fn from_str(text: &str) -> Result<Self, ProofSyntax> {
        from_hex(text).map(Self).ok_or_else(|| ProofSyntax(text.to_owned(), "link (64 hex digits)"))
    }
}

impl FromStr for Signature {
    type Err = ProofSyntax;
    fn from_str(text: &str) -> Result<Self, ProofSyntax> {
        let bytes = STANDARD.decode(text).ok().and_then(|b| <[u8; 64]>::try_from(b).ok());
        bytes.map(Self).ok_or_else(|| ProofSyntax(text.to_owned(), "signature (64 bytes in base64)"))
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(payload: &[u8]) -> Content<'_> {
        Content { topic: "kerbside/v1/o/d/read", content_type: "application/json", schema: "kerbside.read/1", payload }
    }

    /// Counted by hand with Python's hashlib: a back office in any language has to get the same.
    #[test]
    fn the_link_is_what_its_definition_says() {
        let stream: StreamId = "0011223344556677".parse().unwrap();
        let link = Link::of(stream, Seq::new(1).unwrap(), Link::default(), &content(b"{}"));
        assert_eq!(link.to_string(), "eadf39f21e2821487987cdd423d48b7abaf27a7a1cad677036a99e7f357722d6");
        assert_eq!(link.to_string().parse::<Link>().unwrap(), link);
    }

    #[test]
    fn whatever_changes_breaks_the_signature() {
        let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let trusted = TrustedKeys::default().and(&key);
        let stream = StreamId([7; 8]);
        let (one, prev) = (Seq::new(1).unwrap(), Link([3; 32]));
        let link = Link::of(stream, one, prev, &content(b"{}"));
        let signature = link.sign(&key);
        assert_eq!(signature.to_string().parse::<Signature>().unwrap(), signature);
        assert_eq!(link.is_signed(&trusted, key.id(), &signature), Some(true));
        assert_eq!(link.is_signed(&trusted, other.id(), &signature), None);
        let forged = [
            Link::of(StreamId([8; 8]), one, prev, &content(b"{}")),
            Link::of(stream, Seq::new(2).unwrap(), prev, &content(b"{}")),
            Link::of(stream, one, Link([4; 32]), &content(b"{}")),
            Link::of(stream, one, prev, &content(b"{ }")),
            Link::of(
                stream,
                one,
                prev,
                &Content { topic: "kerbside/v1/o/d/reada", content_type: "pplication/json", ..content(b"{}") },
            ),
        ];
        for link in forged {
            assert_eq!(link.is_signed(&trusted, key.id(), &signature), Some(false));
        }
        for bad in ["", "00112233445566", "001122334455667G", "0011223344556677 "] {
            assert!(bad.parse::<StreamId>().is_err() && bad.parse::<Link>().is_err() && bad.parse::<Signature>().is_err());
        }
    }
}
