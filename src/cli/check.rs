//! `kerbside check`: all that `run` would stumble over, said before it runs. `run` starts with the very same function.

use std::path::PathBuf;

use anyhow::anyhow;

use super::Failure;
use crate::cli::Exit;
use crate::config::{self, Settings};
use crate::publish::sync::{self, LoadedHotlist};
use crate::vision::Vision;
use crate::vision::onnx::Runtime;

/// Arguments of `kerbside check`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Runs the subcommand.
pub(super) fn main(args: &Args) -> Result<Exit, Failure> {
    let (settings, hotlist) = prepare(&args.config)?;
    // The models are tried here as well: a check that passes must not fail at start.
    let runtime = Runtime::load(&settings.onnxruntime).map_err(Failure::config)?;
    let vision = Vision::load(&runtime, &settings.models_dir, &settings.vision).map_err(Failure::config)?;
    let mut state = Vec::new();
    writable(&settings).unwrap_or_else(|e| state.push(e));
    if let Some(fault) = state.pop() {
        return Err(Failure::config(fault));
    }
    let [detector, reader] = vision.model_names();
    println!("{}: good", args.config.display());
    println!("  topics    {}", settings.topics.base());
    println!("  broker    {}:{}", settings.broker.host, settings.broker.port);
    println!("  outbox    {}", settings.state_dir.display());
    println!("  models    {detector}, {reader}");
    let cameras: Vec<String> = settings.cameras.iter().map(|c| c.id.to_string()).collect();
    println!("  cameras   {} on {} reader thread(s)", cameras.join(", "), settings.readers);
    match &hotlist {
        Some(list) => {
            let version = list.hotlist.version();
            println!(
                "  hotlist   {} version {}: {} entries, {} rows left out",
                version.list,
                version.version,
                list.hotlist.len(),
                list.rows_left_out
            );
            list.faults.iter().for_each(|f| println!("    {f}"));
        }
        None => println!("  hotlist   none: nothing will be matched"),
    }
    Ok(Exit::Ok)
}

/// Reads configuration and hotlist as `run` does.
pub(super) fn prepare(config: &std::path::Path) -> Result<(Settings, Option<LoadedHotlist>), Failure> {
    let settings = config::load(config).map_err(Failure::config)?;
    let hotlist = match &settings.hotlist {
        Some((file, list)) => Some(sync::load_csv(file, list).map_err(Failure::config)?),
        None => None,
    };
    Ok((settings, hotlist))
}

/// Whether the outbox's folder could be written, without leaving anything behind.
fn writable(settings: &Settings) -> Result<(), anyhow::Error> {
    let dir = &settings.state_dir;
    let fault = |e: std::io::Error| {
        anyhow!("state_dir: {}: {e}; the folder must exist or be creatable and belong to the service's user", dir.display())
    };
    // The nearest folder that exists is the one that must take the new one.
    let nearest = dir.ancestors().find(|p| p.exists()).unwrap_or_else(|| std::path::Path::new("/"));
    tempfile::Builder::new().prefix(".kerbside-check").tempfile_in(nearest).map(drop).map_err(fault)
}
