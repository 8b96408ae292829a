//! Certificates made on the spot: a CA, a broker, boxes.

#![allow(unreachable_pub)] // one crate, no outside

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use kerbside::publish::mqtt::{TlsFiles, Transport};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};

/// A CA with a folder for what it issues.
pub struct Pki {
    ca: CertifiedIssuer<'static, KeyPair>,
    dir: PathBuf,
}

impl Pki {
    /// A new CA; its certificate is in `{name}.pem` of the folder.
    pub fn new(dir: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(dir.join(format!("{name}.pem")), ca.pem()).unwrap();
        Self { ca, dir: dir.to_owned() }
    }

    /// A certificate in `{name}.pem` and its key in `{name}.key`, for this host, good until the end of `year`.
    pub fn issue(&self, name: &str, year: i32) {
        let mut params = CertificateParams::new(vec!["127.0.0.1".into(), "localhost".into()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 12, 31);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.ca).unwrap();
        put(&self.path(name, "pem"), &certificate.pem(), 0o644);
        put(&self.path(name, "key"), &key.serialize_pem(), 0o400);
    }

    /// Where a file is.
    pub fn path(&self, name: &str, ending: &str) -> PathBuf {
        self.dir.join(format!("{name}.{ending}"))
    }

    /// What a client with the certificate `name` uses, trusting the CA in `{ca}.pem`.
    pub fn client(&self, ca: &str, name: Option<&str>) -> Transport {
        Transport::Tls(TlsFiles {
            ca: Some(self.path(ca, "pem")),
            certificate: name.map(|n| self.path(n, "pem")),
            key: name.map(|n| self.path(n, "key")),
            check_key_mode: true,
        })
    }

    /// Lines for mosquitto: the certificate `name`, client certificates of the CA in `ca.pem` wanted.
    pub fn mosquitto(&self, name: &str, version: &str) -> String {
        let [ca, certificate, key] = [self.path("ca", "pem"), self.path(name, "pem"), self.path(name, "key")];
        format!(
            "cafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\ntls_version {version}\n",
            ca.display(),
            certificate.display(),
            key.display()
        )
    }
}

/// Puts a file in place as a whole, as a renewal does.
pub fn put(path: &Path, text: &str, mode: u32) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(mode)).unwrap();
    std::fs::rename(&new, path).unwrap();
}
