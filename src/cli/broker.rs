//! Arguments that say which broker, shared by commands that talk to one.

use std::path::PathBuf;

use anyhow::Context;

use super::Failure;
use crate::publish::mqtt::{BrokerOptions, Credentials, TlsFiles, Transport, Version};

/// Which broker, and as whom.
#[derive(Debug, clap::Args)]
pub(super) struct BrokerArgs {
    /// Host name or address of the broker
    #[arg(long, default_value = "127.0.0.1")]
    pub(super) host: String,
    /// Its port [default: 8883 with --tls, else 1883]
    #[arg(long)]
    port: Option<u16>,
    /// The protocol: 5, 3.1.1, or auto. To 3.1.1 the broker shows nothing of what goes with a message in 5: use it where the boxes do
    #[arg(long, value_name = "VERSION", default_value = "5", value_parser = version)]
    mqtt: Version,
    /// Talk TLS 1.3 to it
    #[arg(long)]
    tls: bool,
    /// PEM file with the CA certificates that the broker's must lead to [default: those that the system trusts]
    #[arg(long, value_name = "FILE", requires = "tls")]
    ca: Option<PathBuf>,
    /// PEM file with our certificate
    #[arg(long, value_name = "FILE", requires_all = ["tls", "key"])]
    certificate: Option<PathBuf>,
    /// PEM file with its secret key (mode 0400)
    #[arg(long, value_name = "FILE", requires_all = ["tls", "certificate"])]
    key: Option<PathBuf>,
    /// User name at the broker
    #[arg(long, requires = "password_file")]
    username: Option<String>,
    /// File that holds the password alone
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
}

impl BrokerArgs {
    /// The broker's port.
    pub(super) fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls { 8883 } else { 1883 })
    }

    /// The broker, as a client whose name begins with `what`.
    pub(super) fn options(&self, what: &str) -> Result<BrokerOptions, Failure> {
        let mut broker = BrokerOptions::new(&self.host, self.port(), &format!("kerbside-{what}-{}", std::process::id()));
        broker.version = self.mqtt;
        if self.tls {
            let files = TlsFiles {
                ca: self.ca.clone(),
                certificate: self.certificate.clone(),
                key: self.key.clone(),
                check_key_mode: true,
            };
            files.check().map_err(Failure::usage)?;
            broker.transport = Transport::Tls(files);
        }
        if let (Some(username), Some(file)) = (&self.username, &self.password_file) {
            let password = std::fs::read_to_string(file)
                .with_context(|| format!("{}: the password can't be read", file.display()))
                .map_err(Failure::usage)?;
            let password = password.trim_end_matches(['\r', '\n']).to_owned();
            broker.credentials = Some(Credentials { username: username.clone(), password });
        }
        Ok(broker)
    }
}

fn version(text: &str) -> Result<Version, String> {
    match text {
        "5" => Ok(Version::Five),
        "3.1.1" => Ok(Version::ThreeOneOne),
        "auto" => Ok(Version::Auto),
        _ => Err("allowed are 5, 3.1.1 and auto".to_owned()),
    }
}
