//! Payloads at rest: encrypted under the box's data key, bound to their number and topic. XChaCha20-Poly1305, whose random
//! nonces are long enough that a box never draws one twice. Recorder and net thread.

use chacha20poly1305::aead::{Aead, KeyInit, OsRng, Payload};
use chacha20poly1305::{AeadCore, XChaCha20Poly1305, XNonce};

use super::Seq;
use crate::keys::DataKey;

const NONCE_BYTES: usize = 24;
/// What encryption adds to a payload, bytes: nonce and tag.
pub(super) const OVERHEAD_BYTES: usize = NONCE_BYTES + 16;

/// Encrypts and decrypts payloads of one box.
#[derive(Clone)]
pub(super) struct Cipher(XChaCha20Poly1305);

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher")
    }
}

impl Cipher {
    pub(super) fn new(key: &DataKey) -> Self {
        Self(XChaCha20Poly1305::new(key.bytes().into()))
    }

    /// Nonce, ciphertext, tag.
    pub(super) fn seal(&self, seq: Seq, topic: &str, payload: &[u8]) -> Vec<u8> {
        let nonce = XChaCha20Poly1305::generate_nonce(&mut OsRng);
        let mut sealed = Vec::with_capacity(payload.len() + OVERHEAD_BYTES);
        sealed.extend_from_slice(&nonce);
        let aad = bound_to(seq, topic);
        // Invariant: encryption fails for payloads beyond 256 GiB only; a draft is capped far below.
        let body = self.0.encrypt(&nonce, Payload { msg: payload, aad: &aad }).expect("a payload encrypts");
        sealed.extend_from_slice(&body);
        sealed
    }

    /// The payload; none when it was not sealed with this key for this place.
    pub(super) fn open(&self, seq: Seq, topic: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, body) = sealed.split_at_checked(NONCE_BYTES)?;
        let aad = bound_to(seq, topic);
        self.0.decrypt(XNonce::from_slice(nonce), Payload { msg: body, aad: &aad }).ok()
    }
}

fn bound_to(seq: Seq, topic: &str) -> Vec<u8> {
    [b"kerbside-outbox/1\n".as_slice(), &seq.get().to_be_bytes(), topic.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_opens_in_its_own_place_with_its_own_key_only() {
        let (cipher, other) = (Cipher::new(&DataKey::generate().unwrap()), Cipher::new(&DataKey::generate().unwrap()));
        let (one, two) = (Seq::new(1).unwrap(), Seq::new(2).unwrap());
        let sealed = cipher.seal(one, "t", b"payload");
        assert_eq!(sealed.len(), b"payload".len() + OVERHEAD_BYTES);
        assert_ne!(sealed, cipher.seal(one, "t", b"payload"), "never the same twice");
        assert_eq!(cipher.open(one, "t", &sealed).as_deref(), Some(b"payload".as_slice()));
        assert_eq!(cipher.open(two, "t", &sealed), None);
        assert_eq!(cipher.open(one, "u", &sealed), None);
        assert_eq!(other.open(one, "t", &sealed), None);
        assert_eq!(cipher.open(one, "t", &sealed[..20]), None);
        assert_eq!(cipher.open(one, "t", &[&sealed[..40], b"x"].concat()), None);
    }
}
