//! `kerbside check`: all that `run` would stumble over, said before it runs. `run` reads its configuration and its hotlist with
//! [`prepare`], and refuses what is told here.

use std::io::Write;
use std::path::PathBuf;

use anyhow::anyhow;

use super::{Exit, Failure};
use crate::config::{self, Settings};
use crate::publish::mqtt::Transport;
use crate::publish::sync::{self, LoadedHotlist};
use crate::runtime::{hotlists, keys};
use crate::vision::Vision;
use crate::vision::manifest::ManifestError;
use crate::vision::onnx::Runtime;

/// Arguments of `kerbside check`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Runs the subcommand. Everything is tried, so that one run says all that is wrong.
pub(super) fn main(args: &Args) -> Result<Exit, Failure> {
    let settings = config::load(&args.config).map_err(Failure::config)?;
    let mut faults: Vec<String> = Vec::new();
    let hotlist = settings.hotlist.local.as_ref().and_then(|(file, list)| match sync::load_csv(file, list) {
        Ok(loaded) => Some(loaded),
        Err(e) => {
            faults.push(format!("hotlist.file: {e}"));
            None
        }
    });
    let sealed = settings.hotlist.sealed.as_ref().and_then(|sealed| match hotlists::view(&settings, sealed) {
        Ok(found) => Some((sealed, found)),
        Err(e) => {
            faults.push(format!("hotlist: {e}"));
            None
        }
    });
    let names = match Runtime::load(&settings.onnxruntime) {
        Err(e) => {
            faults.push(format!("models.onnxruntime: {e}"));
            None
        }
        // The models are tried here as well: a check that passes must not fail at start.
        Ok(runtime) => match Vision::load(&runtime, &settings.models_dir, &settings.vision) {
            Ok(vision) => Some(vision.model_names().clone()),
            Err(e) => {
                let key = if matches!(e, ManifestError::NoSuchSize { .. }) { "models.detector_input" } else { "models.dir" };
                faults.push(format!("{key}: {e}"));
                None
            }
        },
    };
    let key = keys::check(&settings).unwrap_or_else(|e| {
        faults.push(format!("keys: {e}"));
        None
    });
    // The daemon would run all the same, and go on trying: what it reads waits on disk meanwhile.
    if let Transport::Tls(files) = &settings.broker.transport
        && let Err(e) = files.check()
    {
        faults.push(format!("mqtt: {e}"));
    }
    if let Err(e) = writable(&settings) {
        faults.push(format!("state_dir: {e}"));
    }
    let Some([detector, reader]) = names.filter(|_| faults.is_empty()) else {
        return Err(Failure::config(anyhow!("{}: {} fault(s)\n  {}", args.config.display(), faults.len(), faults.join("\n  "))));
    };
    say!("{}: good", args.config.display());
    say!("  topics    {}", settings.topics.base());
    let transport = if settings.broker.transport == Transport::Plain { "in clear" } else { "TLS 1.3" };
    say!("  broker    {}:{}, {transport}", settings.broker.host, settings.broker.port);
    settings.broker.warnings().iter().try_for_each(|warning| writeln!(std::io::stdout().lock(), "  warning   {warning}"))?;
    say!("  outbox    {}", settings.state_dir.display());
    let signed = key.map_or_else(|| "with a key that is made at the first start".to_owned(), |id| format!("by key {id}"));
    let at_rest = if settings.outbox.identity.is_some() { "wrapped for the box's identity" } else { "in plain in state_dir" };
    say!("  keys      records are signed {signed}; the key of payloads at rest is {at_rest}");
    say!("  models    {detector}, {reader}");
    let cameras: Vec<String> = settings.cameras.iter().map(|c| c.id.to_string()).collect();
    say!("  cameras   {} on {} reader thread(s)", cameras.join(", "), settings.readers);
    match &hotlist {
        Some(list) => {
            let (version, entries) = (list.hotlist.version(), list.hotlist.len());
            let left_out = list.rows_left_out;
            say!("  hotlist   {} version {}: {entries} entries, {left_out} rows left out", version.list, version.version);
            for fault in &list.faults {
                say!("    {fault}");
            }
        }
        None if sealed.is_none() => say!("  hotlist   none: nothing will be matched"),
        None => {}
    }
    if let Some((sealed, (found, faults))) = &sealed {
        for list in found {
            let version = list.version();
            say!("  hotlist   {} version {}: {} entries, sealed", version.list, version.version, list.len());
        }
        for fault in faults {
            say!("  hotlist   {fault}");
        }
        let here = |id: &String| found.iter().any(|list| list.version().list == *id);
        for id in sealed.lists.iter().filter(|id| !here(id)) {
            say!("  hotlist   {id}: none has come yet");
        }
    }
    Ok(Exit::Ok)
}

/// Reads configuration and hotlist as `run` does.
pub(super) fn prepare(config: &std::path::Path) -> Result<(Settings, Option<LoadedHotlist>), Failure> {
    let settings = config::load(config).map_err(Failure::config)?;
    let hotlist = match &settings.hotlist.local {
        Some((file, list)) => Some(sync::load_csv(file, list).map_err(Failure::config)?),
        None => None,
    };
    Ok((settings, hotlist))
}

/// Whether the outbox's folder could be written, without leaving anything behind.
fn writable(settings: &Settings) -> Result<(), anyhow::Error> {
    let dir = &settings.state_dir;
    let fault = |e: std::io::Error| {
        anyhow!("{}: {e}; the folder must exist or be creatable and belong to the service's user", dir.display())
    };
    // The nearest folder that exists is the one that must take the new one.
    let nearest = dir.ancestors().find(|p| p.exists()).unwrap_or_else(|| std::path::Path::new("/"));
    tempfile::Builder::new().prefix(".kerbside-check").tempfile_in(nearest).map(drop).map_err(fault)
}
