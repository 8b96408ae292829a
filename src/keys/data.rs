//! The key that payloads on the box's disk are encrypted with: made on the box, never leaves it.
//!
//! Its file holds it wrapped for the box's [`Identity`] (an age file), or, on a box that has none, in plain for its owner only:
//! that guards a database that was copied, not a disk that was stolen with both on it.

use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use age::secrecy::zeroize::Zeroizing;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Identity, KeyError, read_bytes, read_secret};

const PLAIN: &str = "kerbside-data-key-1 ";
const AGE: &[u8] = b"age-encryption.org/";
const WANTED: &str = "data key of an outbox";

/// 32 secret bytes.
#[derive(Clone)]
pub struct DataKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey")
    }
}

impl DataKey {
    /// A new one from the kernel's random numbers.
    ///
    /// # Errors
    /// When the kernel gives none.
    pub fn generate() -> std::io::Result<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        File::open("/dev/random")?.read_exact(&mut *bytes)?;
        Ok(Self(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads the file, or makes it when there is none. A key that lies there in plain is wrapped as soon as there is an identity.
    ///
    /// # Errors
    /// When the file can't be read, written or opened with this identity. The key is never replaced then: what was encrypted with it
    /// would be lost.
    pub fn load_or_make(file: &Path, identity: Option<&Identity>) -> Result<Self, KeyError> {
        let failed = |source| KeyError::Unwritable { file: file.to_owned(), source };
        if !file.try_exists().map_err(failed)? {
            // Whoever comes second takes what the first one made.
            Self::generate().map_err(failed)?.store(file, identity, false)?;
        }
        let (key, wrapped) = Self::parse(file, identity)?;
        if !wrapped && identity.is_some() {
            key.store(file, identity, true)?;
        }
        Ok(key)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// When it can't be read or opened with this identity.
    pub fn load(file: &Path, identity: Option<&Identity>) -> Result<Self, KeyError> {
        Self::parse(file, identity).map(|(key, _)| key)
    }

    fn parse(file: &Path, identity: Option<&Identity>) -> Result<(Self, bool), KeyError> {
        let wrong = |why: &str| KeyError::Wrong { file: file.to_owned(), wanted: WANTED, why: why.to_owned() };
        let bytes = read_bytes(file, true)?;
        let (plain, wrapped) = if bytes.starts_with(AGE) {
            let Some(identity) = identity else {
                return Err(wrong(
                    "it is wrapped for the box's identity, and none is configured; give hotlist.identity or the credential \
                     kerbside-hotlist-identity again",
                ));
            };
            let other = "this identity does not open it; give back the one that was in use, or move the folder's outbox.* files away to \
                         start a new store (what was not delivered is in them)";
            let plain = identity.decrypt(&bytes).ok_or_else(|| wrong(other))?;
            (plain, true)
        } else {
            let text = read_secret(file, true)?;
            let coded = text.trim_end().strip_prefix(PLAIN).ok_or_else(|| wrong("it has no such line"))?;
            (Zeroizing::new(STANDARD.decode(coded).map_err(|e| wrong(&e.to_string()))?), false)
        };
        let bytes: [u8; 32] = plain.as_slice().try_into().map_err(|_| wrong("it has no 32 bytes"))?;
        Ok((Self(Zeroizing::new(bytes)), wrapped))
    }

    /// Written whole or not at all: a half key would cost the whole store.
    fn store(&self, file: &Path, identity: Option<&Identity>, replace: bool) -> Result<(), KeyError> {
        let content = match identity {
            Some(identity) => Zeroizing::new(identity.encrypt_to_self(&*self.0)),
            None => Zeroizing::new(format!("{PLAIN}{}\n", STANDARD.encode(*self.0)).into_bytes()),
        };
        write_secret(file, &content, replace).map_err(|source| KeyError::Unwritable { file: file.to_owned(), source })
    }
}

/// Writes a secret for its owner only, whole and synced before it has its name. With `replace` a file that is there gives way; without,
/// it stays, and that is no error.
pub(super) fn write_secret(file: &Path, content: &[u8], replace: bool) -> std::io::Result<()> {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let temporary = Path::new(&name);
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    match std::fs::remove_file(temporary) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut out = File::options().write(true).create_new(true).mode(0o600).open(temporary)?;
    out.write_all(content)?;
    out.sync_all()?;
    if replace {
        std::fs::rename(temporary, file)?;
    } else {
        let made = std::fs::hard_link(temporary, file);
        std::fs::remove_file(temporary)?;
        match made {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
    }
    file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_key_is_made_once_and_wrapped_as_soon_as_it_can_be() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("state/outbox.key");
        let key = DataKey::load_or_make(&file, None).unwrap();
        assert_eq!(DataKey::load_or_make(&file, None).unwrap().bytes(), key.bytes());
        assert!(std::fs::read(&file).unwrap().starts_with(PLAIN.as_bytes()));
        let (identity, other) = (Identity::generate(), Identity::generate());
        assert_eq!(DataKey::load_or_make(&file, Some(&identity)).unwrap().bytes(), key.bytes());
        assert!(std::fs::read(&file).unwrap().starts_with(AGE), "wrapped now");
        assert_eq!(DataKey::load(&file, Some(&identity)).unwrap().bytes(), key.bytes());
        let before = std::fs::read(&file).unwrap();
        let said = DataKey::load_or_make(&file, Some(&other)).unwrap_err().to_string();
        assert!(said.contains("does not open it"), "{said}");
        let said = DataKey::load_or_make(&file, None).unwrap_err().to_string();
        assert!(said.contains("none is configured"), "{said}");
        assert_eq!(std::fs::read(&file).unwrap(), before, "never replaced");
        std::fs::write(&file, "kerbside-data-key-1 AAAA\n").unwrap();
        assert!(DataKey::load_or_make(&file, None).is_err());
    }
}
