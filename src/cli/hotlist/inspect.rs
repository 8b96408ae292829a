//! `kerbside hotlist inspect`: what a sealed list says of itself, whether or not it can be believed.

use std::io::Write;
use std::path::PathBuf;

use super::{Exit, Failure};
use crate::keys::TrustedKeys;
use crate::publish::sync::seal::SealedFile;

/// Arguments of `kerbside hotlist inspect`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sealed list
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Public key (SPKI PEM) to check the signature with; without one it is not checked, and anybody could have made the file
    #[arg(long, value_name = "PEM")]
    trust: Vec<PathBuf>,
}

/// Runs the subcommand.
pub(super) fn main(args: &Args) -> Result<Exit, Failure> {
    let checked = !args.trust.is_empty();
    let opened = if checked {
        SealedFile::open(&args.file, &TrustedKeys::load(&args.trust).map_err(Failure::config)?)
    } else {
        super::super::complain(
            "THE SIGNATURE WAS NOT CHECKED: anybody could have written what follows; give --trust PEM to check it",
        );
        SealedFile::unverified(&args.file)
    };
    let sealed = opened.map_err(|e| super::sealed_fault(&args.file, e))?;
    let signed = sealed.signed();
    let manifest = signed.manifest();
    say!("list        {}", manifest.list);
    say!("version     {}", manifest.number);
    match manifest.previous {
        Some(previous) => say!("previous    {previous}"),
        None => say!("previous    none"),
    }
    say!("created     {}", manifest.created);
    let over = if super::now() >= manifest.expires { " (EXPIRED)" } else { "" };
    say!("expires     {}{over}", manifest.expires);
    say!("entries     {}", manifest.entries);
    say!("content     SHA-256 {}", manifest.content_sha256);
    say!("signed by   {} ({})", signed.key(), if checked { "checked" } else { "NOT CHECKED" });
    for recipient in &manifest.recipients {
        say!("for         {recipient}");
    }
    for (name, payload) in manifest.parts() {
        let (bytes, plain, chunks) = (payload.bytes, payload.plain_bytes, payload.chunks.len());
        say!("part        {name}: {bytes} bytes in {chunks} chunk(s), {plain} bytes of content");
    }
    Ok(Exit::Ok)
}
