//! TLS 1.3 with certificates from files. Reads them, says what is wrong with them and what mends it, and tells when they were
//! renewed. Keeps nothing between connections. Net thread; reads a few small files there.

mod validity;

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, InconsistentKeys, RootCertStore};
use sha2::{Digest, Sha256};

use super::options::TlsFiles;
use crate::clock::UtcTime;
use validity::Validity;

/// No certificate file comes near this, not even a system's whole bundle.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Why the files can't be used. Each names the file and the mend; none shows what is in it.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// It could not be opened or read.
    #[error("cannot read {file}: {source}; check mqtt.{key} and that this user may read the file", file = .file.display())]
    Unreadable {
        /// The configuration key that names it.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others than its owner may read or write the secret key.
    #[error("the secret key {file} may be read or written by others (mode {mode:04o}); chmod 0400 {file}", file = .file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It does not hold what it should.
    #[error("{file} (mqtt.{key}): {why}", file = .file.display())]
    Wrong {
        /// The configuration key that names it.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// What is wrong, and what it should hold.
        why: String,
    },
    /// There is no CA to trust.
    #[error("this system trusts no CA at all ({0}); install its ca-certificates, or give mqtt.ca")]
    NoRoots(String),
    /// What the library makes of it.
    #[error("TLS can't be set up: {0}")]
    Library(String),
}

impl TlsFiles {
    /// Reads all files and sees whether they fit together.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), TlsFault> {
        Identity::load(self).map(drop)
    }

    /// What was read when the files were last looked at is what is there now when two of these are equal. None while one can't
    /// be read.
    pub(super) fn fingerprint(&self) -> Option<Fingerprint> {
        Contents::read(self).ok().map(|contents| contents.fingerprint())
    }
}

/// SHA-256 over the files' bytes.
pub(super) type Fingerprint = [u8; 32];

struct Contents {
    ca: Option<Vec<u8>>,
    certificate: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
}

impl Contents {
    fn read(files: &TlsFiles) -> Result<Self, TlsFault> {
        let read = |key, file: &Option<PathBuf>, secret| file.as_ref().map(|f| read(key, f, secret)).transpose();
        Ok(Self {
            ca: read("ca", &files.ca, false)?,
            certificate: read("certificate", &files.certificate, false)?,
            key: read("key", &files.key, files.check_key_mode)?,
        })
    }

    fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        for part in [&self.ca, &self.certificate, &self.key] {
            hash.update(Sha256::digest(part.as_deref().unwrap_or_default()));
        }
        hash.finalize().into()
    }
}

/// Who we are to the broker, and whom we trust: what one connection uses.
pub(super) struct Identity {
    config: Arc<ClientConfig>,
    fingerprint: Fingerprint,
    /// Our certificate, with its dates.
    own: Option<(PathBuf, Validity)>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("own", &self.own).finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads the files.
    pub(super) fn load(files: &TlsFiles) -> Result<Self, TlsFault> {
        let contents = Contents::read(files)?;
        let roots = match (&files.ca, &contents.ca) {
            (Some(file), Some(pem)) => own_roots(file, pem)?,
            _ => system_roots()?,
        };
        // Named outright: a default for the whole process would be one more thing that somebody else could have set.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| TlsFault::Library(e.to_string()))?
            .with_root_certificates(roots);
        let mut own = None;
        let config = match (&files.certificate, &contents.certificate, &files.key, &contents.key) {
            (Some(file), Some(pem), Some(key_file), Some(key_pem)) => {
                let chain = certificates("certificate", file, pem)?;
                own = chain.first().and_then(|c| Validity::read(c)).map(|v| (file.clone(), v));
                let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|_| TlsFault::Wrong {
                    key: "key",
                    file: key_file.clone(),
                    why: "it holds no secret key in PEM (-----BEGIN PRIVATE KEY-----), or one that is encrypted".to_owned(),
                })?;
                builder.with_client_auth_cert(chain, key).map_err(|e| match e {
                    rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsFault::Wrong {
                        key: "key",
                        file: key_file.clone(),
                        why: format!("it is not the key of the certificate in {}", file.display()),
                    },
                    other => TlsFault::Wrong { key: "certificate", file: file.clone(), why: other.to_string() },
                })?
            }
            _ => builder.with_no_client_auth(),
        };
        Ok(Self { config: Arc::new(config), fingerprint: contents.fingerprint(), own })
    }

    pub(super) const fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    pub(super) const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// What our certificate's dates say against it at `now`, in words. It is tried all the same: our clock may be the one that is
    /// wrong, and the broker judges by its own.
    pub(super) fn remark(&self, now: UtcTime) -> Option<String> {
        let (file, validity) = self.own.as_ref()?;
        let file = file.display();
        if now > validity.until {
            Some(format!("our certificate {file} expired on {}; renew it in place, no restart is needed", validity.until))
        } else if now < validity.from {
            Some(format!("our certificate {file} is valid from {} only, by our clock it is {now}", validity.from))
        } else {
            None
        }
    }
}

fn read(key: &'static str, file: &Path, secret: bool) -> Result<Vec<u8>, TlsFault> {
    let unreadable = |source| TlsFault::Unreadable { key, file: file.to_owned(), source };
    let open = File::open(file).map_err(unreadable)?;
    // The mode is asked of the open file, so that nobody can swap it in between.
    let mode = open.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
    if secret && mode & 0o077 != 0 {
        return Err(TlsFault::Open { file: file.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    open.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(TlsFault::Wrong { key, file: file.to_owned(), why: "it is larger than 4 MiB".to_owned() });
    }
    Ok(bytes)
}

fn certificates(key: &'static str, file: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let wrong = |why: String| TlsFault::Wrong { key, file: file.to_owned(), why };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|e| wrong(format!("it is no whole PEM file: {e}")))?;
    if found.is_empty() {
        return Err(wrong("it holds no certificate in PEM (-----BEGIN CERTIFICATE-----)".to_owned()));
    }
    Ok(found)
}

fn own_roots(file: &Path, pem: &[u8]) -> Result<RootCertStore, TlsFault> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ca", file, pem)? {
        roots.add(certificate).map_err(|e| TlsFault::Wrong {
            key: "ca",
            file: file.to_owned(),
            why: format!("it holds something that is no CA certificate: {e}"),
        })?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, TlsFault> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // One that can't be read must not keep out the others.
    let (good, _bad) = roots.add_parsable_certificates(found.certs);
    if good == 0 {
        let why: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(TlsFault::NoRoots(if why.is_empty() { "none was found".to_owned() } else { why.join("; ") }));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    fn put(dir: &Path, name: &str, text: &str, mode: u32) -> Option<PathBuf> {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        Some(path)
    }

    #[test]
    fn bad_files_are_named_with_the_mend_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let [key, other] = [KeyPair::generate().unwrap(), KeyPair::generate().unwrap()];
        let certificate = CertificateParams::new(vec!["box".into()]).unwrap().self_signed(&key).unwrap().pem();
        let good = TlsFiles {
            ca: put(dir.path(), "ca.pem", &certificate, 0o644),
            certificate: put(dir.path(), "box.pem", &certificate, 0o644),
            key: put(dir.path(), "box.key", &key.serialize_pem(), 0o400),
            check_key_mode: true,
        };
        good.check().unwrap();
        let half = &certificate[..certificate.len() / 2];
        let cases = [
            (TlsFiles { ca: Some(dir.path().join("none.pem")), ..good.clone() }, "none.pem: No such file"),
            (
                TlsFiles { ca: put(dir.path(), "a", "words", 0o644), ..good.clone() },
                "a (mqtt.ca): it holds no certificate in PEM",
            ),
            (
                TlsFiles { certificate: put(dir.path(), "b", half, 0o644), ..good.clone() },
                "b (mqtt.certificate): it is no whole PEM",
            ),
            (TlsFiles { key: put(dir.path(), "c", "words", 0o400), ..good.clone() }, "c (mqtt.key): it holds no secret key"),
            (
                TlsFiles { key: put(dir.path(), "d", &other.serialize_pem(), 0o400), ..good.clone() },
                "d (mqtt.key): it is not the key of the certificate in",
            ),
            (TlsFiles { key: put(dir.path(), "e", &key.serialize_pem(), 0o440), ..good.clone() }, "(mode 0440); chmod 0400"),
        ];
        for (files, says) in cases {
            let said = files.check().unwrap_err().to_string();
            assert!(said.contains(says), "{said}");
        }
        let open = TlsFiles { key: Some(dir.path().join("e")), check_key_mode: false, ..good.clone() };
        open.check().unwrap();
        assert_ne!(good.fingerprint(), TlsFiles { ca: None, ..good.clone() }.fingerprint());
        assert_eq!(TlsFiles { ca: Some(dir.path().join("none.pem")), ..good }.fingerprint(), None);
    }
}
