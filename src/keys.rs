//! Who may make lists and who may read them: Ed25519 keys that sign, X25519 identities that decrypt.
//!
//! | key | kept by | file |
//! |---|---|---|
//! | [`SigningKey`] | whoever makes the lists, never on a box; and each box, for its evidence chain | PKCS#8 PEM, as `openssl genpkey -algorithm ed25519` writes it |
//! | [`TrustedKeys`] | every box | SPKI PEM, as `openssl pkey -pubout` writes it |
//! | [`Identity`] | one box, or all boxes of a fleet | `AGE-SECRET-KEY-1...`, as `age-keygen` writes it; several lines for several |
//! | [`Recipient`] | whoever makes the lists | `age1...`, the public half |
//! | [`DataKey`] | one box | see [`DataKey`]; made by the box itself |
//!
//! Secrets are never shown (not in `Debug`, not in errors), are wiped from memory where the crates do so, and their files are
//! refused when anyone but their owner may read or write them.

mod data;

use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use age::secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePublicKey, KeypairBytes, spki::der::pem::LineEnding};
use ed25519_dalek::{Signature, Signer, VerifyingKey};
use sha2::{Digest, Sha256};

pub use data::DataKey;

/// Largest key file, bytes. Real ones have a few hundred.
const MAX_KEY_FILE: u64 = 16 * 1024;

/// Most identities in one file: a box's own and its fleet's, old and new, and some room.
const MAX_IDENTITIES: usize = 16;

/// Why a key file can't be used. Each names the file and the mend; none shows what is in it.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It could not be opened or read.
    #[error("cannot read the key file {file}: {source}; check the path and that this user may read it", file = .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It could not be made.
    #[error(
        "cannot write {file}: {source}; the folder must exist or be creatable, belong to the service's user and be on a file system \
         mounted read-write",
        file = .file.display()
    )]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others than its owner may read or write a secret.
    #[error("the secret key {file} may be read or written by others (mode {mode:04o}); chmod 0400 {file}", file = .file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is no key of the kind that is wanted here.
    #[error("{file} is no {wanted}: {why}", file = .file.display())]
    Wrong {
        /// The file.
        file: PathBuf,
        /// What should be in it, and how such a file is made.
        wanted: &'static str,
        /// What is wrong.
        why: String,
    },
}

/// First 8 bytes of the SHA-256 of a raw public key; shown as 16 hex digits. It says which key to try, nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 8]);

impl KeyId {
    fn of(key: &VerifyingKey) -> Self {
        let mut id = [0; 8];
        id.copy_from_slice(&Sha256::digest(key.as_bytes())[..8]);
        Self(id)
    }

    /// Reads 16 hex digits, lower case.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: &[u8; 16] = text.as_bytes().try_into().ok()?;
        let mut id = [0; 8];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        // `from_str_radix` takes a sign and upper case; what is shown must be what was read.
        let id = Self(id);
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The key that signs manifests.
pub struct SigningKey(ed25519_dalek::SigningKey);

const SIGNING: &str = "Ed25519 signing key (PKCS#8 PEM; `kerbside hotlist keygen signing` makes one)";

impl SigningKey {
    /// A new one from the kernel's random numbers. `/dev/random` waits until they are good, and only then.
    ///
    /// # Errors
    /// When the kernel gives none.
    pub fn generate() -> std::io::Result<Self> {
        let mut seed = Zeroizing::new([0; 32]);
        File::open("/dev/random")?.read_exact(&mut *seed)?;
        Ok(Self(ed25519_dalek::SigningKey::from_bytes(&seed)))
    }

    /// Reads its file. `check_mode` as for [`Identity::load`].
    ///
    /// # Errors
    /// When it can't be read, isn't kept secret, or holds no such key.
    pub fn load(file: &Path, check_mode: bool) -> Result<Self, KeyError> {
        let text = read_secret(file, check_mode)?;
        let key = ed25519_dalek::SigningKey::from_pkcs8_pem(&text);
        key.map(Self).map_err(|e| KeyError::Wrong { file: file.to_owned(), wanted: SIGNING, why: e.to_string() })
    }

    /// Reads its file, or makes it when there is none.
    ///
    /// # Errors
    /// When it can't be read or written, isn't kept secret, or holds no such key.
    pub fn load_or_make(file: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::Unwritable { file: file.to_owned(), source };
        if !file.try_exists().map_err(failed)? {
            data::write_secret(file, Self::generate().map_err(failed)?.to_pem().as_bytes(), false).map_err(failed)?;
        }
        // Whoever came second takes what the first one made.
        Self::load(file, true)
    }

    /// The secret file's text: PKCS#8 version 1, which every OpenSSL reads.
    pub fn to_pem(&self) -> Zeroizing<String> {
        use ed25519_dalek::pkcs8::EncodePrivateKey;
        let pair = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        // Invariant: 32 bytes always encode.
        pair.to_pkcs8_pem(LineEnding::LF).expect("an Ed25519 key encodes")
    }

    /// The public file's text: SPKI.
    pub fn public_pem(&self) -> String {
        // Invariant: 32 bytes always encode.
        self.0.verifying_key().to_public_key_pem(LineEnding::LF).expect("an Ed25519 key encodes")
    }

    /// Which key it is.
    pub fn id(&self) -> KeyId {
        KeyId::of(&self.0.verifying_key())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id())
    }
}

/// The keys whose signature is believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedKeys(Vec<(KeyId, VerifyingKey)>);

const PUBLIC: &str = "Ed25519 public key (SPKI PEM, `-----BEGIN PUBLIC KEY-----`; `openssl pkey -in KEY.pem -pubout` writes it)";

impl TrustedKeys {
    /// Reads one key of each file.
    ///
    /// # Errors
    /// When one can't be read or is no public key.
    pub fn load(files: &[PathBuf]) -> Result<Self, KeyError> {
        let keys = files.iter().map(|file| {
            let wrong = |why: String| KeyError::Wrong { file: file.clone(), wanted: PUBLIC, why };
            let key = VerifyingKey::from_public_key_pem(&read_secret(file, false)?).map_err(|e| wrong(e.to_string()))?;
            if key.is_weak() {
                return Err(wrong("it is a weak key: anybody could sign for it".into()));
            }
            Ok((KeyId::of(&key), key))
        });
        keys.collect::<Result<_, _>>().map(Self)
    }

    /// Also believes the public half of a signing key.
    #[must_use]
    pub fn and(mut self, key: &SigningKey) -> Self {
        self.0.push((key.id(), key.0.verifying_key()));
        self
    }

    /// Which keys these are.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> + '_ {
        self.0.iter().map(|(id, _)| *id)
    }

    /// Whether `key` is one of ours and signed `message`; none when it is none of ours.
    pub(crate) fn verify(&self, key: KeyId, message: &[u8], signature: &[u8; 64]) -> Option<bool> {
        let signature = Signature::from_bytes(signature);
        // Two keys with one id are thinkable for someone who works at it: then either will do.
        let mut ours = self.0.iter().filter(|(id, _)| *id == key).peekable();
        ours.peek()?;
        Some(ours.any(|(_, key)| key.verify_strict(message, &signature).is_ok()))
    }
}

/// What decrypts lists: one or several X25519 secrets.
#[derive(Clone)]
pub struct Identity(Vec<age::x25519::Identity>);

const IDENTITY: &str = "age identity (a line AGE-SECRET-KEY-1...; `kerbside hotlist keygen identity` makes one)";

impl Identity {
    /// A new one.
    pub fn generate() -> Self {
        Self(vec![age::x25519::Identity::generate()])
    }

    /// Reads its file: a line for each secret, `#` comments and empty lines passed over. `check_mode` says whether a file that
    /// others may read or write is refused; let it be false only for places that the service manager guards, such as systemd's
    /// credentials folder.
    ///
    /// # Errors
    /// When it can't be read, isn't kept secret, or holds no or a malformed secret.
    pub fn load(file: &Path, check_mode: bool) -> Result<Self, KeyError> {
        let text = read_secret(file, check_mode)?;
        let wrong = |why: String| KeyError::Wrong { file: file.to_owned(), wanted: IDENTITY, why };
        let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let keys = lines.map(|(n, line)| line.parse().map_err(|e| wrong(format!("line {}: {e}", n + 1))));
        let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
        match keys.len() {
            0 => Err(wrong("it holds no secret".into())),
            1..=MAX_IDENTITIES => Ok(Self(keys)),
            many => Err(wrong(format!("it holds {many} secrets; at most {MAX_IDENTITIES} are allowed"))),
        }
    }

    /// The secret file's text, as `age-keygen` writes it.
    pub fn to_file(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::new());
        for key in &self.0 {
            let secret: SecretString = key.to_string();
            text.push_str(&format!("# public key: {}\n", key.to_public()));
            text.push_str(secret.expose_secret());
            text.push('\n');
        }
        text
    }

    /// The public halves.
    pub fn recipients(&self) -> impl Iterator<Item = Recipient> + '_ {
        self.0.iter().map(|key| Recipient(key.to_public()))
    }

    /// What these secrets open; none when they don't.
    fn decrypt(&self, bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut plain = Zeroizing::new(Vec::new());
        let mut reader = age::Decryptor::new(bytes).ok()?.decrypt(self.keys()).ok()?;
        reader.read_to_end(&mut plain).ok()?;
        Some(plain)
    }

    /// An age file that each of these secrets opens.
    fn encrypt_to_self(&self, plain: &[u8]) -> Vec<u8> {
        let recipients: Vec<_> = self.0.iter().map(age::x25519::Identity::to_public).collect();
        let mut sealed = Vec::new();
        // Invariants: there is at least one secret in an identity, and writing into memory can't fail.
        let encryptor =
            age::Encryptor::with_recipients(recipients.iter().map(|r| r as &dyn age::Recipient)).expect("a recipient");
        let mut writer = encryptor.wrap_output(&mut sealed).expect("memory takes it");
        writer.write_all(plain).and_then(|()| writer.finish().map(drop)).expect("memory takes it");
        sealed
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.0.iter().map(|key| -> &dyn age::Identity { key })
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.recipients().map(|r| r.to_string()).collect::<Vec<_>>()).finish()
    }
}

/// For whom a list is encrypted: the public half of an [`Identity`].
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient(pub(crate) age::x25519::Recipient);

impl std::str::FromStr for Recipient {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse()
            .map(Self)
            .map_err(|e: &str| format!("{text:?} is no recipient ({e}); allowed is age1... of an X25519 identity"))
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({self})")
    }
}

/// A small text file; with `secret`, one that only its owner may read and write. The mode is asked of the open file, so that
/// nobody can swap it in between.
pub(crate) fn read_secret(file: &Path, secret: bool) -> Result<Zeroizing<String>, KeyError> {
    let bytes = read_bytes(file, secret)?;
    let wrong = |why: &str| KeyError::Wrong { file: file.to_owned(), wanted: "key file", why: why.to_owned() };
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("it is no text"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn read_bytes(file: &Path, secret: bool) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let unreadable = |source| KeyError::Unreadable { file: file.to_owned(), source };
    let open = File::open(file).map_err(unreadable)?;
    let mode = open.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
    if secret && mode & 0o077 != 0 {
        return Err(KeyError::Open { file: file.to_owned(), mode });
    }
    // Room for all of it from the start: a buffer that grows would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(MAX_KEY_FILE).unwrap_or(0) + 1));
    open.take(MAX_KEY_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    let wrong = |why: &str| KeyError::Wrong { file: file.to_owned(), wanted: "key file", why: why.to_owned() };
    if bytes.len() as u64 > MAX_KEY_FILE {
        return Err(wrong("it is larger than 16 KiB"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dir: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn keys_survive_their_files() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::generate().unwrap();
        let secret = file(dir.path(), "signing.pem", &key.to_pem(), 0o400);
        let public = file(dir.path(), "public.pem", &key.public_pem(), 0o644);
        assert_eq!(SigningKey::load(&secret, true).unwrap().id(), key.id());
        let trust = TrustedKeys::load(&[public]).unwrap();
        assert_eq!(trust.ids().collect::<Vec<_>>(), [key.id()]);
        let signature = key.sign(b"words");
        assert_eq!(trust.verify(key.id(), b"words", &signature), Some(true));
        assert_eq!(trust.verify(key.id(), b"other", &signature), Some(false));
        assert_eq!(trust.verify(SigningKey::generate().unwrap().id(), b"words", &signature), None);

        let identity = Identity::generate();
        let two = format!("{}\n# the fleet's\n{}", *identity.to_file(), *Identity::generate().to_file());
        let loaded = Identity::load(&file(dir.path(), "box.txt", &two, 0o600), true).unwrap();
        assert_eq!(loaded.recipients().count(), 2);
        assert_eq!(loaded.recipients().next(), identity.recipients().next());
        let recipient = loaded.recipients().next().unwrap();
        assert_eq!(recipient.to_string().parse::<Recipient>().unwrap(), recipient);
        assert_eq!(KeyId::parse(&key.id().to_string()), Some(key.id()));
        assert_eq!((KeyId::parse("+123456789abcdef"), KeyId::parse("ABCDEF0123456789"), KeyId::parse("é")), (None, None, None));
    }

    /// The example of RFC 8410, section 10: known to everybody, in the form that OpenSSL writes.
    #[test]
    fn openssl_s_files_are_read() {
        const SECRET: &str = "-----BEGIN PRIVATE KEY-----\n\
            MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
        const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
            MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::load(&file(dir.path(), "s.pem", SECRET, 0o600), true).unwrap();
        let trust = TrustedKeys::load(&[file(dir.path(), "p.pem", PUBLIC, 0o644)]).unwrap();
        // openssl pkey -in p.pem -pubin -outform DER | tail -c 32 | sha256sum | cut -c1-16
        assert_eq!(key.id().to_string(), "e744c0791320c328");
        assert_eq!(trust.ids().next(), Some(key.id()));
        assert_eq!((&**key.to_pem(), &*key.public_pem()), (SECRET, PUBLIC), "ours are letter by letter like them");
    }

    #[test]
    fn bad_key_files_are_named_with_the_mend_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity::generate();
        let secret = identity.to_file();
        let open = file(dir.path(), "open.txt", &secret, 0o440);
        let said = Identity::load(&open, true).unwrap_err().to_string();
        assert!(said.contains("mode 0440") && said.contains("chmod 0400 ") && said.contains("open.txt"), "{said}");
        assert!(Identity::load(&open, false).is_ok());
        let cut = file(dir.path(), "cut.txt", &secret[..secret.len() - 9], 0o400);
        let said = Identity::load(&cut, true).unwrap_err().to_string();
        assert!(said.contains("line 2") && !said.contains("SECRET-KEY-1Q"), "{said}");
        for (text, says) in [("# nothing\n", "holds no secret"), (&"x\n".repeat(10_000), "larger than 16 KiB")] {
            let said = Identity::load(&file(dir.path(), "bad.txt", text, 0o400), true).unwrap_err().to_string();
            assert!(said.contains(says), "{said}");
            std::fs::remove_file(dir.path().join("bad.txt")).unwrap();
        }
        let said = TrustedKeys::load(&[cut]).unwrap_err().to_string();
        assert!(said.contains("cut.txt is no Ed25519 public key"), "{said}");
        assert!(TrustedKeys::load(&[dir.path().join("none.pem")]).unwrap_err().to_string().contains("none.pem"));
        let shown = format!("{identity:?} {:?}", SigningKey::generate().unwrap());
        assert!(shown.contains("age1") && !shown.contains("SECRET"), "{shown}");
    }
}
