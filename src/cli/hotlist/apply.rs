//! `kerbside hotlist apply`: a sealed list from a file or a stick, with the same checks as one from the broker.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};

use super::now;
use crate::cli::{Exit, Failure, run};
use crate::clock::{Clock, SystemClock};
use crate::config;
use crate::outbox::Outbox;
use crate::publish::sync::inbox;
use crate::publish::sync::keeper::{Happening, is_held};
use crate::publish::wire;
use crate::runtime::{hotlists, keys, recorder};

/// Time that a running daemon has for a large list.
const PATIENCE: Duration = Duration::from_secs(120);

/// Arguments of `kerbside hotlist apply`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sealed list
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The box's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Runs the subcommand: through the running daemon where there is one, else on its folder.
pub(super) fn main(args: &Args) -> Result<Exit, Failure> {
    let settings = config::load(&args.config).map_err(Failure::config)?;
    let Some(sealed) = &settings.hotlist.sealed else {
        return Err(Failure::config(anyhow!(
            "{}: hotlist.lists: it is empty, so this box takes no sealed list; name the list there, and its owner's key in hotlist.trust",
            args.config.display()
        )));
    };
    std::fs::File::open(&args.file).with_context(|| args.file.display().to_string()).map_err(Failure::software)?;
    let dir = hotlists::dir(&settings);
    // The daemon has the keys; whoever hands it a file needs none.
    let answer = if is_held(&dir) {
        inbox::hand_in(&dir.join(inbox::FOLDER), &args.file, PATIENCE)
            .with_context(|| format!("{}: it can't be handed to the running daemon", args.file.display()))
            .map_err(Failure::software)?
    } else {
        same_owner(&settings)?;
        let (mut keeper, _) = hotlists::keeper(&settings, sealed).map_err(run::start_failure)?;
        // What stands there already is the daemon's to tell at its next start.
        drop(keeper.load(now()));
        let said = keeper.file(&args.file, now());
        audit(&settings, &said)?;
        said.last().map_or_else(|| "refused: no reason given".to_owned(), inbox::answer)
    };
    match answer.strip_prefix("taken: ") {
        Some(words) => {
            say!("{words}");
            Ok(Exit::Ok)
        }
        None => Err(Failure::software(anyhow!("{}: {answer}; what was in force stays", args.file.display()))),
    }
}

/// What is made in the service's folder must be the service's: a list that root put there would keep the daemon from its own lock,
/// its lists and its outbox, and so from starting at all.
fn same_owner(settings: &config::Settings) -> Result<(), Failure> {
    // A process of ours is our own; and a folder that isn't there yet is made by, and so belongs to, whoever runs this.
    let owner = |path: &Path| std::fs::metadata(path).map(|m| m.uid()).ok();
    match (owner(Path::new("/proc/self")), owner(&settings.state_dir)) {
        (Some(ours), Some(theirs)) if ours != theirs => Err(Failure::software(anyhow!(
            "{} belongs to the user {theirs}, this is the user {ours}: files made here now would keep the daemon from starting; \
             start the daemon and apply then (it takes the file itself), or run this as the user {theirs}",
            settings.state_dir.display()
        ))),
        _ => Ok(()),
    }
}

/// Leaves audit entries in the outbox of a box that stands still.
fn audit(settings: &config::Settings, said: &[Happening]) -> Result<(), Failure> {
    let source = wire::Source { device: settings.device.clone(), ..wire::Source::default() };
    let entries: Vec<_> = said.iter().map(|happening| hotlists::audit_entry(&source, happening, now())).collect();
    let options = keys::outbox_options(settings).map_err(Failure::config)?;
    let (mut outbox, _) = Outbox::open(&settings.state_dir, options, SystemClock.now()).map_err(Failure::software)?;
    outbox.commit(&recorder::audit_drafts(&settings.topics, &entries), SystemClock.now()).map_err(Failure::software)?;
    Ok(())
}
