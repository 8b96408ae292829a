//! `kerbside hotlist keygen`: key pairs. The secret half goes into a file that only its owner may read, the public half to stdout.

use std::io::Write;
use std::path::PathBuf;

use clap::ValueEnum;

use super::{Exit, Failure};
use crate::keys::{Identity, SigningKey};

/// Arguments of `kerbside hotlist keygen`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A signing key stays where lists are made; boxes get its public half. An identity stays on its box (or on all \
                        boxes of a fleet); whoever seals lists gets its public half, the recipient (age1...). An identity file may hold \
                        several lines: a box's own and its fleet's.\n\n\
                        `openssl genpkey -algorithm ed25519` and `age-keygen` make the same files."
)]
pub(super) struct Args {
    /// What to make
    kind: Kind,
    /// Where to write the secret half (mode 0400; an existing file is never overwritten)
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Write the public half to a file as well
    #[arg(long, value_name = "FILE")]
    public: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// Ed25519, to sign lists with (PKCS#8 PEM)
    Signing,
    /// X25519, to decrypt lists with (age identity)
    Identity,
}

/// Runs the subcommand.
pub(super) fn main(args: &Args) -> Result<Exit, Failure> {
    let (secret, public) = match args.kind {
        Kind::Signing => {
            let key = SigningKey::generate()?;
            super::super::complain(format_args!("key id {}", key.id()));
            (key.to_pem(), key.public_pem())
        }
        Kind::Identity => {
            let identity = Identity::generate();
            let public: String = identity.recipients().map(|r| format!("{r}\n")).collect();
            (identity.to_file(), public)
        }
    };
    super::write_new(&args.output, 0o400, &secret)?;
    if let Some(path) = &args.public {
        super::write_new(path, 0o644, &public)?;
    }
    say!("{}", public.trim_end());
    Ok(Exit::Ok)
}
