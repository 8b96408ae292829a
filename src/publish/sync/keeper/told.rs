//! What was told already: the same thing is offered at each connection, and is told once.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::clock::MonoTime;

/// Refusals remembered for one list. Not one more than these is told within [`FORGET_AFTER`]: whoever sends ever new junk must
/// not be able to fill the audit log.
const MAX_REMEMBERED: usize = 64;
/// From then on a refusal makes room for a new one.
const FORGET_AFTER: Duration = Duration::from_hours(1);

/// Refusals that were told, oldest first.
#[derive(Debug, Default)]
pub(super) struct Told(Vec<([u8; 32], MonoTime)>);

impl Told {
    /// Whether a refusal is to be told: something else than any that was told before, and not too many of them. It is remembered.
    pub(super) fn is_new(&mut self, list: &str, bytes: &[u8], passing: bool, mono: MonoTime) -> bool {
        let digest: [u8; 32] =
            Sha256::new().chain_update(list).chain_update([0, u8::from(passing)]).chain_update(bytes).finalize().into();
        if self.0.iter().any(|(told, _)| *told == digest) {
            return false;
        }
        if self.0.len() >= MAX_REMEMBERED {
            if self.0.first().is_some_and(|(_, since)| mono.since(*since) < FORGET_AFTER) {
                return false;
            }
            self.0.remove(0);
        }
        self.0.push((digest, mono));
        true
    }
}
