//! Starting readers and the cameras that stay with them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use super::{Overrides, StartError};
use crate::anpr::core::Core;
use crate::anpr::syntax::Grammar;
use crate::camera::slot::Slots;
use crate::camera::{self, CameraEvent, Capture, CaptureStats, Pace};
use crate::clock::Clock;
use crate::config::{CameraSettings, Settings};
use crate::frame::FramePool;
use crate::ident::CameraId;
use crate::publish::mqtt::Live;
use crate::publish::wire;
use crate::runtime::board::HotlistBoard;
use crate::runtime::health::{self, CameraGauge, Gauges};
use crate::runtime::pipeline::{Outcome, Pipeline};
use crate::runtime::reader::{ReaderStats, ReaderThread};
use crate::runtime::snapshot::Snapshots;
use crate::runtime::threads::{open_later, random_seed, spawn};
use crate::vision::Vision;

/// What all readers and cameras share while they are being started.
pub(super) struct Shared<'a> {
    pub(super) settings: &'a Settings,
    pub(super) source: &'a wire::Source,
    pub(super) outcomes: SyncSender<Outcome>,
    pub(super) board: &'a Arc<HotlistBoard>,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) stop: &'a Arc<AtomicBool>,
    pub(super) give_up: &'a Arc<AtomicBool>,
    pub(super) live: &'a mpsc::Sender<Live>,
    pub(super) gauges: &'a mut Gauges,
    pub(super) snapshots: &'a Arc<Snapshots>,
    pub(super) overrides: &'a Overrides,
}

pub(super) struct Threads {
    pub(super) captures: Vec<JoinHandle<()>>,
    pub(super) readers: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Starts one reader and the cameras that stay with it.
    pub(super) fn start_reader(
        &mut self,
        number: usize,
        vision: Vision,
        cameras: &[CameraSettings],
        shared: Shared<'_>,
    ) -> Result<(), StartError> {
        let slots = Arc::new(Slots::new(cameras.len()));
        let pools: Vec<FramePool> = cameras.iter().map(|c| FramePool::new(c.buffers)).collect();
        let regions: HashMap<CameraId, _> = cameras.iter().filter_map(|c| Some((c.id.clone(), c.region?))).collect();
        let masks = cameras.iter().filter_map(|c| Some((c.id.clone(), c.mask.clone()?))).collect();
        let now = shared.clock.now();
        let seed = shared.overrides.id_seed.unwrap_or_else(random_seed);
        let core = Core::new(shared.settings.core, Grammar::new(now.utc), seed.wrapping_add(u64::try_from(number).unwrap_or(0)));
        let stats = Arc::new(ReaderStats::default());
        stats.beat_nanos.store(now.mono.as_nanos(), Ordering::Relaxed);
        let reader = ReaderThread {
            pipeline: Pipeline::new(vision, core, regions, pools.clone()).with_masks(masks),
            slots: Arc::clone(&slots),
            cameras: cameras.iter().map(|c| c.id.clone()).collect(),
            lossless: cameras.iter().any(|c| c.pace == Pace::Lossless),
            outcomes: shared.outcomes,
            board: Arc::clone(shared.board),
            snapshots: Arc::clone(shared.snapshots),
            clock: Arc::clone(shared.clock),
            stats: Arc::clone(&stats),
            give_up: Arc::clone(shared.give_up),
        };
        self.readers.push(spawn(format!("reader-{number}"), move || reader.run())?);
        shared.gauges.readers.push(stats);
        shared.gauges.slots.push(Arc::clone(&slots));
        for ((slot, camera), pool) in cameras.iter().enumerate().zip(pools) {
            let stats = Arc::new(CaptureStats::default());
            shared.gauges.cameras.push(CameraGauge::new(camera.id.clone(), Arc::clone(&stats)));
            let capture = Capture {
                camera: camera.id.clone(),
                source: open_later(camera, &pool, shared.clock, &stats, shared.stop),
                pool,
                slots: Arc::clone(&slots),
                slot,
                pace: camera.pace,
                at_end: camera.at_end,
                patience: camera.patience,
                mask: camera.mask.clone(),
                clip_start: shared.overrides.clip_start,
                clock: Arc::clone(shared.clock),
                stop: Arc::clone(shared.stop),
                stats,
            };
            let (live, topics, source) = (shared.live.clone(), shared.settings.topics.clone(), shared.source.clone());
            let report = move |event: CameraEvent| {
                match health::camera_state(&topics, &source, &event) {
                    // Only changes are told, and the queue holds hundreds: a full one means that the net thread is gone.
                    Ok(state) => drop(live.try_send(state)),
                    Err(e) => tracing::error!("a camera's state can't be told: {e}"),
                }
            };
            self.captures.push(spawn(format!("capture-{}", camera.id), move || camera::run(capture, report))?);
        }
        Ok(())
    }
}
