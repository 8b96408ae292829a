//! `kerbside hotlist`: lists made, sealed, checked and shown. One file a step of the way.

mod apply;
mod build;
mod explain;
mod inspect;
mod keygen;
mod publish;
mod seal;
mod verify;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, anyhow};

use super::{Exit, Failure};
use crate::clock::{Clock, SystemClock, UtcTime};
use crate::publish::sync::seal::SealError;

/// Arguments of `kerbside hotlist`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a list in canonical CSV out of VOI CSV, simple CSV or NDJSON, and report every doubtful row
    Build(build::Args),
    /// Make a key pair: `signing` for whoever seals lists, `identity` for a box or a fleet
    Keygen(keygen::Args),
    /// Sign and encrypt a list: whole, as a delta, or both
    Seal(seal::Args),
    /// Check a sealed list: signature, dates, every byte, and with --identity the content
    Verify(verify::Args),
    /// Show what a sealed list says of itself
    Inspect(inspect::Args),
    /// Give a sealed list to a broker, for a box or a fleet
    Publish(publish::Args),
    /// Give a sealed list to this box, from a file or a stick
    Apply(apply::Args),
    /// Say what a mark would match on this box, and why
    Explain(explain::Args),
}

/// Runs the subcommand.
pub(super) fn main(args: &Args) -> Result<Exit, Failure> {
    match &args.command {
        Command::Build(args) => build::main(args),
        Command::Keygen(args) => keygen::main(args),
        Command::Seal(args) => seal::main(args),
        Command::Verify(args) => verify::main(args),
        Command::Inspect(args) => inspect::main(args),
        Command::Publish(args) => publish::main(args),
        Command::Apply(args) => apply::main(args),
        Command::Explain(args) => explain::main(args),
    }
}

fn now() -> UtcTime {
    SystemClock.now().utc
}

fn parse_time(text: &str) -> Result<UtcTime, String> {
    UtcTime::parse(text)
        .ok_or_else(|| format!("{text:?} is no time; allowed are RFC 3339 (2026-11-22T00:00:00Z) and a date (2026-11-22)"))
}

/// Writes a file whole or not at all: into a temporary one beside it, to the disk, then renamed over it.
fn write_whole(path: &Path, mode: u32, write: impl FnOnce(&mut dyn Write) -> Result<(), SealError>) -> Result<(), Failure> {
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let at = || format!("cannot write {}; check the folder and its permissions", path.display());
    let mut file = tempfile::NamedTempFile::new_in(dir).with_context(at).map_err(Failure::software)?;
    {
        let mut buffered = BufWriter::with_capacity(1 << 16, file.as_file_mut());
        write(&mut buffered).and_then(|()| Ok(buffered.flush()?)).with_context(at).map_err(Failure::software)?;
    }
    let finish = || -> std::io::Result<()> {
        file.as_file().set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.as_file().sync_all()
    };
    finish().with_context(at).map_err(Failure::software)?;
    file.persist(path).map_err(|e| e.error).with_context(at).map_err(Failure::software)?;
    Ok(())
}

/// Writes a file that must not be there yet.
fn write_new(path: &Path, mode: u32, text: &str) -> Result<(), Failure> {
    let open = File::options().write(true).create_new(true).mode(mode).open(path);
    let written = open.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|e| {
        let mend = if e.kind() == std::io::ErrorKind::AlreadyExists {
            "; keys are never overwritten: move it away, or name another file"
        } else {
            "; check the folder and its permissions"
        };
        Failure::software(anyhow!("cannot write {}: {e}{mend}", path.display()))
    })
}

/// The failure that a sealed list's fault means; the file is named unless the fault already does.
fn sealed_fault(path: &Path, error: SealError) -> Failure {
    let named = matches!(error, SealError::File { .. });
    let error = anyhow::Error::from(error);
    Failure::software(if named { error } else { error.context(path.display().to_string()) })
}
