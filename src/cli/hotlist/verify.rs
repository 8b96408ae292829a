//! `kerbside hotlist verify`: everything that a box would check, before it gets there.

use std::io::Write;
use std::path::PathBuf;

use super::{Exit, Failure};
use crate::clock::UtcTime;
use crate::keys::{Identity, TrustedKeys};
use crate::publish::sync::seal::{SealError, SealedFile};

/// Arguments of `kerbside hotlist verify`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sealed list
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Public key (SPKI PEM) whose signature is believed
    #[arg(long, value_name = "PEM", required = true)]
    trust: Vec<PathBuf>,
    /// Decrypt all of it with this identity and check every row
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Compare its dates with this moment [default: now]
    #[arg(long, value_name = "TIME", value_parser = super::parse_time)]
    as_of: Option<UtcTime>,
}

/// Runs the subcommand.
pub(super) fn main(args: &Args) -> Result<Exit, Failure> {
    let trust = TrustedKeys::load(&args.trust).map_err(Failure::config)?;
    let identity = args.identity.as_deref().map(|file| Identity::load(file, true)).transpose().map_err(Failure::config)?;
    let fault = |e: SealError| super::sealed_fault(&args.file, e);
    let sealed = SealedFile::open(&args.file, &trust).map_err(fault)?;
    let signed = sealed.signed();
    signed.check_current(args.as_of.unwrap_or_else(super::now)).map_err(|e| fault(e.into()))?;
    if let Some(identity) = &identity {
        sealed.check_content(identity).map_err(fault)?;
    }
    let manifest = signed.manifest();
    let content = if identity.is_some() { "content decrypted and checked" } else { "content not decrypted (give --identity)" };
    say!(
        "{}: good: list {} version {}, {} entries, signed by {}, expires {}; {content}",
        args.file.display(),
        manifest.list,
        manifest.number,
        manifest.entries,
        signed.key(),
        manifest.expires
    );
    Ok(Exit::Ok)
}
