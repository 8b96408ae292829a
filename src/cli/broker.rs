//! Arguments that say which broker, shared by commands that talk to one.

use std::path::PathBuf;

use anyhow::Context;

use super::Failure;
use crate::publish::mqtt::{BrokerOptions, Credentials};

/// Which broker, and as whom.
#[derive(Debug, clap::Args)]
pub(super) struct BrokerArgs {
    /// Host name or address of the broker
    #[arg(long, default_value = "127.0.0.1")]
    pub(super) host: String,
    /// Its port
    #[arg(long, default_value_t = 1883)]
    pub(super) port: u16,
    /// User name at the broker
    #[arg(long, requires = "password_file")]
    username: Option<String>,
    /// File that holds the password alone
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
}

impl BrokerArgs {
    /// The broker, as a client whose name begins with `what`.
    pub(super) fn options(&self, what: &str) -> Result<BrokerOptions, Failure> {
        let mut broker = BrokerOptions::new(&self.host, self.port, &format!("kerbside-{what}-{}", std::process::id()));
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
