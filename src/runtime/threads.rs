//! Starting and ending threads.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

use tokio::sync::watch;

use super::supervisor::StartError;
use crate::camera::clip::ClipSource;
use crate::camera::live::LiveSource;
use crate::camera::stills::StillsSource;
use crate::camera::{CaptureStats, Source};
use crate::clock::Clock;
use crate::config::{CameraSettings, SourceSettings};
use crate::frame::FramePool;
use crate::publish::mqtt::{self, MqttOptions, Ports};

pub(super) fn join_all(what: &str, threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a {what} thread panicked");
        }
    }
}

/// A camera's source, which its thread will open.
pub(super) fn open_later(
    camera: &CameraSettings,
    pool: &FramePool,
    clock: &Arc<dyn Clock>,
    stats: &Arc<CaptureStats>,
    stop: &Arc<AtomicBool>,
) -> Box<dyn Source> {
    match &camera.source {
        SourceSettings::Clip(path) => Box::new(ClipSource::new(path.clone())),
        SourceSettings::Stills(path, interval) => Box::new(StillsSource::new(path.clone(), *interval)),
        SourceSettings::Live(input) => Box::new(LiveSource::new(
            camera.id.clone(),
            input.clone(),
            camera.patience,
            pool.clone(),
            Arc::clone(clock),
            Arc::clone(stats),
            Arc::clone(stop),
        )),
    }
}

/// 64 bits that no other start of any box shares: the random part of a fresh UUID.
pub(super) fn random_seed() -> u64 {
    let bits = uuid::Uuid::now_v7().as_u128();
    u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(0)
}

pub(super) fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    std::thread::Builder::new().name(name).spawn(work).map_err(|e| StartError::System(format!("no thread to be had: {e}")))
}

/// The net thread: the only async one, a runtime of its own on its own thread.
pub(super) fn spawn_net(
    options: MqttOptions,
    ports: Ports,
    stopped: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| StartError::System(format!("no network runtime to be had: {e}")))?;
    spawn("net".into(), move || runtime.block_on(mqtt::run(options, ports, stopped)))
}
