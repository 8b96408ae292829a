//! `kerbside hotlist explain`: what a mark would match, and why; for whoever asks why there was an alert, or why there was none.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;

use super::{now, parse_time};
use crate::anpr::hotlist::{Detail, HitClass, Hotlists, MatchOptions, Possible};
use crate::anpr::vrm::Vrm;
use crate::cli::{Exit, Failure, run};
use crate::clock::UtcTime;
use crate::config;
use crate::publish::sync;
use crate::runtime::hotlists;

/// Arguments of `kerbside hotlist explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The mark, as a camera would read it
    #[arg(value_name = "MARK")]
    mark: String,
    /// The box's configuration: its lists, and how far its matching goes
    #[arg(long, value_name = "FILE", required_unless_present = "lists")]
    config: Option<PathBuf>,
    /// A plain list in place of the box's; may be given several times
    #[arg(long = "list", value_name = "CSV", conflicts_with = "config")]
    lists: Vec<PathBuf>,
    /// At this moment (RFC 3339 or a date); now if left out
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    at: Option<UtcTime>,
}

/// Runs the subcommand.
pub(super) fn main(args: &Args) -> Result<Exit, Failure> {
    let vrm = Vrm::parse(&args.mark).map_err(|e| Failure::usage(anyhow!("{:?} is no mark: {e}", args.mark)))?;
    let at = args.at.unwrap_or_else(now);
    let (mut lists, mut options) = (Vec::new(), MatchOptions::default());
    for file in &args.lists {
        let name = file.file_stem().map_or_else(|| "list".into(), |n| n.to_string_lossy().into_owned());
        lists.push(Arc::new(sync::load_csv(file, &name).map_err(Failure::software)?.hotlist));
    }
    if let Some(file) = &args.config {
        let settings = config::load(file).map_err(Failure::config)?;
        options = settings.hotlist.matching;
        if let Some((file, id)) = &settings.hotlist.local {
            lists.push(Arc::new(sync::load_csv(file, id).map_err(Failure::software)?.hotlist));
        }
        if let Some(sealed) = &settings.hotlist.sealed {
            let (shown, faults) = hotlists::view(&settings, sealed).map_err(run::start_failure)?;
            lists.extend(shown);
            for fault in faults {
                tracing::warn!("{fault}");
            }
        }
    }
    let hotlists = Hotlists::new(lists, options);
    for list in hotlists.lists() {
        let version = list.version();
        let expired = list.expires().is_some_and(|expires| at >= expires);
        say!("{} version {}: {} entries{}", version.list, version.version, list.len(), if expired { ", EXPIRED" } else { "" });
    }
    if hotlists.lists().is_empty() {
        say!("no list is in force");
    }
    let possible = hotlists.possible(&vrm, at);
    for found in &possible {
        print(found)?;
    }
    if possible.is_empty() {
        say!("{vrm} would match nothing");
    }
    Ok(Exit::Ok)
}

fn print(possible: &Possible) -> Result<(), Failure> {
    let hit = &possible.hit;
    let entry = &hit.entry;
    let when = if possible.in_force { "" } else { "  OUT OF DATE: does not match now" };
    say!("{:<10} {} {} on {}: {}{when}", hit.class.as_str(), entry.action.as_str(), entry.priority, hit.list, hit.explanation);
    if hit.class == HitClass::Fuzzy {
        say!("           only if the camera finds it at least {} times as likely as what it read", hit.likelihood_ratio);
    }
    let mut more: Vec<String> =
        entry.markers.iter().map(|m| m.meaning().map_or_else(|| m.to_string(), |w| format!("{m} ({w})"))).collect();
    more.extend((!entry.reason.is_empty()).then(|| entry.reason.clone()));
    more.extend(
        Detail::ALL
            .into_iter()
            .filter(|d| !entry.details.get(*d).is_empty())
            .map(|d| format!("{} {}", d.as_str(), entry.details.get(d))),
    );
    let date = |what: &str, at: Option<UtcTime>| at.map(|at| format!("{what} {at}"));
    more.extend(date("from", entry.valid_from).into_iter().chain(date("until", entry.valid_until)));
    if !more.is_empty() {
        say!("           {}", more.join("; "));
    }
    Ok(())
}
