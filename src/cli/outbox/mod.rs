//! `kerbside outbox`: what waits on this box, on a running daemon's store as on one that stands still. Each command is a second reader;
//! only `purge` changes anything, and what it takes out is told to the back office like any other gap.

mod export;
mod status;
mod verify;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::{Exit, Failure};
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Settings};
use crate::keys::SigningKey;
use crate::outbox::{GapReason, Lane, Listed, Outlet, Seq};
use crate::runtime::keys::{self, DEVICE_KEY_FILE};

/// Rows taken out or read at one time: a running daemon is never held up for long.
const SLICE: usize = 500;

/// Arguments of `kerbside outbox`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration file of the box
    #[arg(long, value_name = "FILE", default_value = "/etc/kerbside/kerbside.toml", global = true)]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// How much waits, how old it is, how long it may wait, what is missing and why
    Status {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// What waits, a line each, without payloads
    List {
        #[command(flatten)]
        range: Range,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
        /// At most so many lines
        #[arg(long, value_name = "COUNT", default_value_t = 50)]
        limit: usize,
    },
    /// Write what waits, payloads and all, to a file of JSON lines. It holds marks and pictures
    Export(export::Args),
    /// Check every row's digest, link and signature, and name the first break
    Verify(verify::Args),
    /// Take rows out for good; their numbers are told to the back office as purged
    Purge {
        #[command(flatten)]
        range: Range,
        /// Everything that waits
        #[arg(long, conflicts_with_all = ["from", "to"])]
        all: bool,
        /// Do it; without this it is only said what would go
        #[arg(long)]
        yes: bool,
    },
    /// Print the public half of the key that signs this box's records, for the back office
    Key,
}

/// Which rows.
#[derive(Debug, clap::Args)]
struct Range {
    /// First number
    #[arg(long, value_name = "SEQ", value_parser = parse_seq)]
    from: Option<Seq>,
    /// Last number
    #[arg(long, value_name = "SEQ", value_parser = parse_seq)]
    to: Option<Seq>,
    /// Of one lane: alert, read, health, patch or overview
    #[arg(long, value_parser = parse_lane)]
    lane: Option<Lane>,
}

impl Range {
    fn bounds(&self) -> (Seq, Seq) {
        (self.from.unwrap_or(Seq::FIRST), self.to.unwrap_or(Seq::LAST))
    }
}

fn parse_seq(text: &str) -> Result<Seq, String> {
    text.parse().ok().and_then(Seq::new).ok_or_else(|| format!("{text:?} is no number from 1 on"))
}

fn parse_lane(text: &str) -> Result<Lane, String> {
    let found = Lane::ALL.into_iter().find(|lane| lane.as_str() == text);
    found.ok_or_else(|| format!("{text:?} is none of {}", Lane::ALL.map(Lane::as_str).join(", ")))
}

/// Runs the subcommand.
pub(super) fn main(args: &Args) -> Result<Exit, Failure> {
    let settings = config::load(&args.config).map_err(Failure::config)?;
    match &args.command {
        Command::Status { json } => status::main(&settings, *json),
        Command::List { range, json, limit } => list(&settings, range, *json, *limit),
        Command::Export(args) => export::main(&settings, args),
        Command::Verify(args) => verify::main(&settings, args),
        Command::Purge { range, all, yes } => purge(&settings, range, *all, *yes),
        Command::Key => {
            write!(std::io::stdout().lock(), "{}", device_key(&settings)?.public_pem())?;
            Ok(Exit::Ok)
        }
    }
}

/// The store without the key of its payloads: figures, numbers and gaps.
fn outlet(settings: &Settings) -> Result<Outlet, Failure> {
    Outlet::open(&settings.state_dir, None).map_err(Failure::software)
}

/// The store with payloads in plain.
fn opened(settings: &Settings) -> Result<Outlet, Failure> {
    let key = keys::data_key(settings).map_err(Failure::config)?;
    Outlet::open(&settings.state_dir, key.as_ref()).map_err(Failure::software)
}

/// The key that signs this box's records. Makes none.
fn device_key(settings: &Settings) -> Result<SigningKey, Failure> {
    let made = settings.state_dir.join(DEVICE_KEY_FILE);
    let (path, check_mode): (&Path, bool) =
        settings.outbox.device_key.as_ref().map_or((&made, true), |file| (&file.path, file.check_mode));
    SigningKey::load(path, check_mode).map_err(Failure::config)
}

fn list(settings: &Settings, range: &Range, json: bool, limit: usize) -> Result<Exit, Failure> {
    let (from, to) = range.bounds();
    let rows = outlet(settings)?.list(from, to, range.lane, limit.saturating_add(1)).map_err(Failure::software)?;
    for row in rows.iter().take(limit) {
        let Listed { seq, lane, hit, topic, schema, committed, cost_bytes } = row;
        if json {
            let line = serde_json::json!({
                "seq": seq.get(), "lane": lane.as_str(), "hit": hit, "topic": topic, "schema": schema,
                "committed": committed.to_string(), "cost_bytes": cost_bytes,
            });
            say!("{line}");
        } else {
            let hit = if *hit { "hit" } else { "" };
            say!("{:>9}  {committed}  {:<8}  {hit:<3}  {cost_bytes:>8} B  {topic}", seq.get(), lane.as_str());
        }
    }
    if rows.len() > limit && !json {
        say!("... and more: --limit, or --from {}", rows[limit].seq);
    }
    Ok(Exit::Ok)
}

fn purge(settings: &Settings, range: &Range, all: bool, yes: bool) -> Result<Exit, Failure> {
    if !all && range.from.is_none() && range.to.is_none() && range.lane.is_none() {
        return Err(Failure::usage(anyhow!("purge wants to know what: --from, --to, --lane, or --all")));
    }
    let mut outlet = outlet(settings)?;
    let (mut from, to) = range.bounds();
    let mut gone = 0;
    loop {
        let rows = outlet.list(from, to, range.lane, SLICE).map_err(Failure::software)?;
        let Some(last) = rows.last() else { break };
        let next = Seq::new(last.seq.get() + 1);
        let seqs: Vec<Seq> = rows.iter().map(|row| row.seq).collect();
        gone += seqs.len();
        if yes {
            outlet.lose(&seqs, GapReason::Purged, SystemClock.now().utc).map_err(Failure::software)?;
        }
        let Some(next) = next else { break };
        from = next;
    }
    if yes {
        say!("{gone} rows are gone; the back office is told that their numbers were purged");
    } else {
        say!("{gone} rows would go, never to be delivered; with --yes they do");
    }
    Ok(Exit::Ok)
}
