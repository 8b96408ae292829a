//! The keys of the box, found or made before anything else: what signs the evidence chain, what encrypts payloads at rest.

use std::sync::Arc;

use crate::config::Settings;
use crate::keys::{DataKey, Identity, KeyError, KeyId, SigningKey};
use crate::outbox::OutboxOptions;

/// Made in the state folder at the first start where no other key is configured.
pub const DEVICE_KEY_FILE: &str = "device-key.pem";
/// The key of the payloads at rest, in the state folder.
pub const DATA_KEY_FILE: &str = "outbox.key";

/// How the outbox of these settings is opened. Makes the keys that are still missing.
///
/// # Errors
/// When a key can't be read, made or opened. No key is ever replaced.
pub fn outbox_options(settings: &Settings) -> Result<OutboxOptions, KeyError> {
    let own = &settings.outbox;
    let dir = &settings.state_dir;
    std::fs::create_dir_all(dir).map_err(|source| KeyError::Unwritable { file: dir.clone(), source })?;
    let signing_key = match &own.device_key {
        Some(file) => SigningKey::load(&file.path, file.check_mode)?,
        None => SigningKey::load_or_make(&settings.state_dir.join(DEVICE_KEY_FILE))?,
    };
    let data_key = DataKey::load_or_make(&settings.state_dir.join(DATA_KEY_FILE), identity(settings)?.as_ref())?;
    Ok(OutboxOptions {
        limits: own.limits,
        retention: own.retention,
        data_key: Some(data_key),
        signing_key: Some(Arc::new(signing_key)),
    })
}

/// Loads every key that is there, and makes none: what `check` does. Gives the id of the key that signs, as far as there is one yet.
///
/// # Errors
/// When a key can't be read or opened.
pub fn check(settings: &Settings) -> Result<Option<KeyId>, KeyError> {
    let made = settings.state_dir.join(DEVICE_KEY_FILE);
    let signing_key = match &settings.outbox.device_key {
        Some(file) => Some(SigningKey::load(&file.path, file.check_mode)?),
        None if made.exists() => Some(SigningKey::load(&made, true)?),
        None => None,
    };
    data_key(settings)?;
    identity(settings)?;
    Ok(signing_key.map(|key| key.id()))
}

/// The key of the payloads at rest of a box that has run before; none when it has none yet.
///
/// # Errors
/// When it can't be read or opened.
pub fn data_key(settings: &Settings) -> Result<Option<DataKey>, KeyError> {
    let file = settings.state_dir.join(DATA_KEY_FILE);
    if !file.exists() {
        return Ok(None);
    }
    DataKey::load(&file, identity(settings)?.as_ref()).map(Some)
}

fn identity(settings: &Settings) -> Result<Option<Identity>, KeyError> {
    settings.outbox.identity.as_ref().map(|file| Identity::load(&file.path, file.check_mode)).transpose()
}
