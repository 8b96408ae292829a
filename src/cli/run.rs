//! `kerbside run`: the daemon, until it is told to stop.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use sd_notify::NotifyState;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{Exit, Failure, check, start_log};
use crate::clock::SystemClock;
use crate::keys::KeyError;
use crate::outbox::OutboxError;
use crate::runtime::supervisor::{Daemon, Overrides, StartError, log_faults};

/// Arguments of `kerbside run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration file; systemd/kerbside.toml is a commented one to start from
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// How often the supervisor looks after its threads.
const TURN: Duration = Duration::from_millis(100);

/// Runs the subcommand.
pub(super) fn main(args: &Args, verbose: u8) -> Result<Exit, Failure> {
    let (settings, hotlist) = check::prepare(&args.config)?;
    start_log(&settings.log_level, verbose);
    if let Some(list) = &hotlist {
        log_faults(list);
    }
    // Before the first thread, so that no signal falls between.
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(Failure::software)?;
    // A second request to stop, while the first is being carried out, ends the process at once.
    let stopping = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register_conditional_shutdown(signal, Exit::Software as i32, Arc::clone(&stopping))
            .map_err(Failure::software)?;
    }
    let mut daemon =
        Daemon::start(settings.clone(), hotlist, Arc::new(SystemClock), &Overrides::default()).map_err(start_failure)?;
    tracing::info!(cameras = settings.cameras.len(), readers = settings.readers, broker = %settings.broker.host, "started");
    notify(&[NotifyState::Ready, NotifyState::Status("reading")]);
    let watchdog = sd_notify::watchdog_enabled().map(|period| period / 2);
    let mut fed = Instant::now();
    let failure = loop {
        std::thread::sleep(TURN);
        daemon.tick();
        if let Some(why) = daemon.failed() {
            break Some(anyhow!("{why}; the service manager starts the daemon afresh"));
        }
        match daemon.alive() {
            Ok(()) if watchdog.is_some_and(|period| fed.elapsed() >= period) => {
                fed = Instant::now();
                notify(&[NotifyState::Watchdog]);
            }
            Ok(()) => {}
            Err(why) => {
                // Not fed any more: the service manager ends us when its patience does.
                tracing::error!("{why}");
                if watchdog.is_none() {
                    break Some(anyhow!(why));
                }
            }
        }
        let mut stop = false;
        for signal in signals.pending() {
            if signal == SIGHUP {
                if let Ok(what) = daemon.reload_hotlist() {
                    tracing::info!("SIGHUP: {what}");
                }
            } else {
                stop = true;
            }
        }
        if stop {
            break None;
        }
    };
    notify(&[NotifyState::Stopping]);
    tracing::info!("stopping");
    stopping.store(true, Ordering::Relaxed);
    daemon.stop();
    match failure {
        None => Ok(Exit::Ok),
        Some(why) => Err(Failure::software(why)),
    }
}

/// What a daemon that did not start means to the service manager: another try helps only where the system was short of something.
pub(super) fn start_failure(e: StartError) -> Failure {
    match &e {
        StartError::System(_) | StartError::Outbox(OutboxError::Store { .. } | OutboxError::Held { .. }) => Failure::software(e),
        // A disk that is full, broken or mounted read-only after an error may be mended without anybody touching the configuration.
        StartError::Outbox(OutboxError::NotWritable { source, .. }) | StartError::Keys(KeyError::Unwritable { source, .. })
            if is_of_the_disk(source) =>
        {
            Failure::software(e)
        }
        _ => Failure::config(e),
    }
}

fn is_of_the_disk(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as Kind;
    const EIO: i32 = 5;
    matches!(error.kind(), Kind::StorageFull | Kind::QuotaExceeded | Kind::ReadOnlyFilesystem)
        || error.raw_os_error() == Some(EIO)
}

fn notify(states: &[NotifyState<'_>]) {
    // Without a service manager there is nobody to tell, which is no fault.
    if let Err(e) = sd_notify::notify(states) {
        tracing::debug!("systemd was not told: {e}");
    }
}
