//! `kerbside hotlist seal`: a list signed and encrypted, whole and as a delta from the version before.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use super::{Exit, Failure};
use crate::clock::UtcTime;
use crate::ident::is_opaque_id;
use crate::keys::{Recipient, SigningKey, TrustedKeys};
use crate::publish::sync::format::Rows;
use crate::publish::sync::lint::{self, Format, Options};
use crate::publish::sync::seal::{Base, Plan, SealedFile, sealed_from};

/// Microseconds of a day.
const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// Arguments of `kerbside hotlist seal`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "NEW.csv is what `kerbside hotlist build` wrote. Every row of it must be good: a faulty one is named and nothing \
                        is sealed.\n\n\
                        With --base and --base-sealed (the version before, as rows and as sealed file) the delta goes in as well, and \
                        the base's own deltas are carried over, so that a box that slept through some versions can walk up: at most 32 \
                        of them, while they are smaller than the whole list and the recipients are the same."
)]
pub(super) struct Args {
    /// The list
    #[arg(value_name = "NEW.csv")]
    input: PathBuf,
    /// The list's opaque id: 1 to 32 of a-z, 0-9, - and _
    #[arg(long, value_name = "ID", value_parser = list_id)]
    list: String,
    /// The version: counts up; a box takes no older one, and no other of the same number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    number: u64,
    /// The signing key (PKCS#8 PEM)
    #[arg(long, value_name = "PEM")]
    key: PathBuf,
    /// Whom to encrypt it for: the recipient (age1...) of a box or a fleet
    #[arg(long, value_name = "AGE1", required = true)]
    to: Vec<Recipient>,
    /// The rows of the version before
    #[arg(long, value_name = "OLD.csv", requires = "base_sealed")]
    base: Option<PathBuf>,
    /// The sealed file of the version before
    #[arg(long, value_name = "OLD.sealed", requires = "base")]
    base_sealed: Option<PathBuf>,
    /// Public key that the version before may be signed with, besides --key's own
    #[arg(long, value_name = "PEM")]
    trust: Vec<PathBuf>,
    /// Days until the list expires: from then on nothing of it matches
    #[arg(long, value_name = "DAYS", default_value_t = 28, value_parser = clap::value_parser!(u16).range(1..=3660))]
    days: u16,
    /// When the list was made [default: now]
    #[arg(long, value_name = "TIME", value_parser = super::parse_time)]
    created: Option<UtcTime>,
    /// Leave the whole list out: the delta only
    #[arg(long, requires = "base")]
    no_full: bool,
    /// Where to write the sealed list
    #[arg(short, long, value_name = "OUT.sealed")]
    output: PathBuf,
}

fn list_id(text: &str) -> Result<String, String> {
    if is_opaque_id(text) { Ok(text.to_owned()) } else { Err("allowed are 1 to 32 of a-z, 0-9, - and _".into()) }
}

/// Runs the subcommand.
pub(super) fn main(args: &Args) -> Result<Exit, Failure> {
    let key = SigningKey::load(&args.key, true).map_err(Failure::config)?;
    let created = args.created.unwrap_or_else(super::now);
    let rows = rows(&args.input)?;
    let base = match (&args.base, &args.base_sealed) {
        (Some(old), Some(sealed)) => {
            let trust = TrustedKeys::load(&args.trust).map_err(Failure::config)?.and(&key);
            Some((self::rows(old)?, SealedFile::open(sealed, &trust).map_err(|e| super::sealed_fault(sealed, e))?))
        }
        _ => None,
    };
    let plan = Plan {
        list: &args.list,
        number: args.number,
        created,
        expires: created.plus_micros(i64::from(args.days) * DAY_US),
        key: &key,
        recipients: &args.to,
        full: !args.no_full,
        base: base.as_ref().map(|(rows, sealed)| Base { rows, sealed }),
    };
    let sealed = sealed_from(&rows, &plan).map_err(|e| super::sealed_fault(&args.input, e))?;
    super::write_whole(&args.output, 0o644, |to| SealedFile::write(&sealed, to))?;
    let manifest = sealed.signed.manifest();
    let parts: Vec<String> = manifest.parts().map(|(name, payload)| format!("{name} ({} bytes)", payload.bytes)).collect();
    say!(
        "{}: list {} version {}, {} entries, signed by {}, expires {}; {}",
        args.output.display(),
        manifest.list,
        manifest.number,
        manifest.entries,
        sealed.signed.key(),
        manifest.expires,
        parts.join(", ")
    );
    Ok(Exit::Ok)
}

/// The rows of a canonical list; each must be good. Weed dates are not looked at: a base may hold rows that are over by now, and
/// boxes leave expired rows alone themselves.
fn rows(path: &Path) -> Result<Rows, Failure> {
    let cannot = || format!("cannot read the list {}", path.display());
    let file = File::open(path).with_context(cannot).map_err(Failure::software)?;
    let as_of = UtcTime::from_micros(i64::MIN);
    let options = Options { format: Format::Csv, source: String::new(), as_of, priority: None };
    let mut first = None;
    let built = lint::build(file, &options, &mut |finding| {
        if finding.kind.leaves_out() && first.is_none() {
            first = Some(format!("{}:{}: {}", path.display(), finding.line, finding.what));
        }
        Ok(())
    });
    let built = built.with_context(cannot).map_err(Failure::software)?;
    match first {
        Some(first) => Err(Failure::software(anyhow!(
            "{first} ({} rows like it); nothing was sealed: `kerbside hotlist build` leaves such rows out and reports them",
            built.left_out()
        ))),
        None => Ok(built.rows),
    }
}
