//! The `[outbox]` table: how much may wait, for how long, and the keys of the box.

use std::path::PathBuf;
use std::time::Duration;

use super::hotlist::{IDENTITY_CREDENTIAL, credential};
use super::raw::RawConfig;
use super::resolve::Checker;
use crate::outbox::{Limits, Retention};

/// Name of the systemd credential that holds the key which signs the evidence chain.
pub const DEVICE_KEY_CREDENTIAL: &str = "kerbside-device-key";

/// A secret file of this box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile {
    /// Where it is.
    pub path: PathBuf,
    /// Whether its mode must keep others out (a systemd credential is kept by systemd).
    pub check_mode: bool,
}

/// How the outbox is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxSettings {
    /// How much may wait.
    pub limits: Limits,
    /// How long it may wait, by class.
    pub retention: Retention,
    /// The key that signs the evidence chain; none: one is made in the state folder at the first start.
    pub device_key: Option<SecretFile>,
    /// What the key of the payloads at rest is wrapped with: the identity that also opens sealed hotlists; none: it lies in the state
    /// folder in plain.
    pub identity: Option<SecretFile>,
}

/// Checks and resolves the table.
pub(super) fn resolve(c: &mut Checker<'_>, raw: &RawConfig) -> OutboxSettings {
    let own = &raw.outbox;
    let limits = Limits {
        max_bytes: c.integer("outbox.max_bytes", own.max_bytes, 1_048_576, 1_099_511_627_776),
        max_rows: c.integer("outbox.max_rows", own.max_rows, 100, 100_000_000),
    };
    let mut keep = |key: &str, hours: i64| {
        let hours = c.integer::<u64>(key, hours, 0, 87_600);
        (hours > 0).then(|| Duration::from_hours(hours))
    };
    let retention = Retention {
        hits: keep("outbox.keep_hits_h", own.keep_hits_h),
        text: keep("outbox.keep_text_h", own.keep_text_h),
        images: keep("outbox.keep_images_h", own.keep_images_h),
    };
    let device_key = secret(c, "outbox.device_key", &own.device_key, DEVICE_KEY_CREDENTIAL);
    let identity = secret(c, "hotlist.identity", &raw.hotlist.identity, IDENTITY_CREDENTIAL);
    OutboxSettings { limits, retention, device_key, identity }
}

/// The file that a key names, or else the credential, if the service manager gave one.
fn secret(c: &mut Checker<'_>, key: &str, value: &str, name: &str) -> Option<SecretFile> {
    if !value.is_empty() {
        return Some(SecretFile { path: c.existing(key, value), check_mode: true });
    }
    let path = credential(name);
    path.exists().then_some(SecretFile { path, check_mode: false })
}
