//! Starts the daemon's threads, watches them, ends them in order.
//!
//! ```text
//! capture-<camera> --frame--> [Slots] --> reader-<n> --outcome--> recorder --commit--> outbox --> net --> broker
//! ```
//!
//! [`Daemon::start`] does everything that can fail before the first thread runs, so a bad installation ends as one clear
//! error. The `run` command and the demo use the same daemon; what differs is who tells it to stop, and when.

mod commands;
mod readers;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};

pub use self::commands::log_faults;
use super::board::HotlistBoard;
use super::health::{self, Gauges, HealthContext};
use super::hotlists::{self, HotlistThread};
use super::recorder::{Clerk, Recorder, RecorderStats};
use super::snapshot::Snapshots;
use super::threads::{join_all, spawn, spawn_net};

use self::commands::Orders;
use self::readers::{Shared, Threads};
use crate::clock::{CaptureTime, Clock, UtcTime};
use crate::config::{CameraSettings, Settings};
use crate::keys::KeyError;
use crate::outbox::{Opened, Outbox, OutboxError, Outlet, Stats};
use crate::publish::mqtt::{Confirm, Live, MqttOptions, MqttStats, Ports};
use crate::publish::sync::keeper::KeeperError;
use crate::publish::sync::{LoadedHotlist, inbox};
use crate::publish::wire;
use crate::publish::wire::AuditMessage;
use crate::vision::Vision;
use crate::vision::manifest::ManifestError;
use crate::vision::onnx::{OnnxError, Runtime};

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// ONNX Runtime.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// A model.
    #[error(transparent)]
    Models(#[from] ManifestError),
    /// The outbox.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// Keys of hotlists.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The folder of hotlists.
    #[error(transparent)]
    Hotlists(#[from] KeeperError),
    /// The system gave no thread, no runtime, or a message can't be put in words.
    #[error("{0}")]
    System(String),
}

/// Outcomes that may wait for the recorder.
const OUTCOME_QUEUE: usize = 64;
/// States and health messages that may wait for the net thread.
const LIVE_QUEUE: usize = 256;
/// Messages from the broker that may wait for the hotlist thread; chunks among them are asked for a few at a time.
const DOWNLINK_QUEUE: usize = 128;
/// Commands that may wait for the supervisor; what finds no room is never answered.
const COMMAND_QUEUE: usize = 32;
/// Audit entries that may wait for the recorder.
const AUDIT_QUEUE: usize = 1024;

/// What tests and the demo fix that a daemon leaves to the moment.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// UTC given to the first frame of clips; none means the moment they are opened.
    pub clip_start: Option<UtcTime>,
    /// What passage ids are made from; none means something that no other start of any box shares.
    pub id_seed: Option<u64>,
}

/// The running daemon.
#[derive(Debug)]
pub struct Daemon {
    stop_capture: Arc<AtomicBool>,
    give_up: Arc<AtomicBool>,
    captures: Vec<JoinHandle<()>>,
    readers: Vec<JoinHandle<()>>,
    recorder: Option<JoinHandle<()>>,
    net: Option<JoinHandle<()>>,
    hotlists: Option<JoinHandle<()>>,
    audits: SyncSender<AuditMessage>,
    /// What the status message last told of.
    presented: u64,
    net_stop: watch::Sender<bool>,
    gauges: Gauges,
    outlet: Outlet,
    live: mpsc::Sender<Live>,
    hotlist: Arc<HotlistBoard>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    source: wire::Source,
    opened: Opened,
    next_health: CaptureTime,
    started: CaptureTime,
    orders: Orders,
}

impl Daemon {
    /// Loads the models, opens the outbox, and starts all threads.
    ///
    /// # Errors
    /// When models, runtime or outbox can't be used; nothing is left running then.
    pub fn start(
        settings: Settings,
        hotlist: Option<LoadedHotlist>,
        clock: Arc<dyn Clock>,
        overrides: &Overrides,
    ) -> Result<Self, StartError> {
        let runtime = Runtime::load(&settings.onnxruntime)?;
        let visions = (0..settings.readers)
            .map(|_| Vision::load(&runtime, &settings.models_dir, &settings.vision))
            .collect::<Result<Vec<_>, _>>()?;
        let now = clock.now();
        let (mut outbox, opened) = Outbox::open(&settings.state_dir, super::keys::outbox_options(&settings)?, now)?;
        if let Some(salvage) = &opened.salvage {
            tracing::error!(?salvage, "the outbox was damaged; what could be read was carried over");
        }
        let released = outbox.wait_for_back_office(settings.confirm != Confirm::Broker, now)?;
        if released > 0 {
            tracing::info!(released, "the back office confirms from now on; what the broker has had before is declared");
        }
        let models = visions.first().map(|v| v.model_names().clone()).unwrap_or_default();
        let [detector, reader] = models;
        let source = wire::Source {
            device: settings.device.clone(),
            models: wire::Models { detector, reader },
            sites: settings.cameras.iter().map(|camera| (camera.id.clone(), camera.site)).collect(),
        };
        let keeper = settings.hotlist.sealed.as_ref().map(|sealed| hotlists::keeper(&settings, sealed)).transpose()?;
        let clerk = Clerk {
            topics: settings.topics.clone(),
            source: source.clone(),
            evidence: settings.evidence,
            alert_expiry_s: settings.alert_expiry_s,
        };
        let sealed: Vec<String> = settings.hotlist.sealed.iter().flat_map(|s| s.lists.clone()).collect();
        let board = Arc::new(HotlistBoard::new(settings.hotlist.matching, &sealed, now));
        let mut found_local = None;
        if let Some(local) = hotlist {
            let (rejected, hotlist) = (rejected(&local), Arc::new(local.hotlist));
            found_local = Some(hotlists::local_applied(&source, &hotlist, "start", now));
            board.set(hotlist, rejected, now);
        }
        let wake = Arc::new(Notify::new());
        let (live, live_inbox) = mpsc::channel(LIVE_QUEUE);
        let (net_stop, net_stopped) = watch::channel(false);
        let (downlink, from_broker) = mpsc::channel(DOWNLINK_QUEUE);
        let (command, commands) = mpsc::channel(COMMAND_QUEUE);
        let listened: BTreeSet<String> =
            if settings.commands.is_empty() { BTreeSet::new() } else { BTreeSet::from([settings.topics.commands()]) };
        let (filter, filters) = watch::channel(listened.clone());
        let (audits, audit_inbox) = sync_channel(AUDIT_QUEUE);
        found_local.into_iter().for_each(|entry| drop(audits.try_send(entry))); // the first entry of an empty queue
        let mqtt = Arc::new(MqttStats::default());
        let presence =
            health::presence(&settings, &source, &opened, &board, now).map_err(|e| StartError::System(e.to_string()))?;
        let mut mqtt_options = MqttOptions::new(settings.broker.clone(), presence);
        (mqtt_options.no_subscriber, mqtt_options.confirm) = (settings.no_subscriber, settings.confirm.clone());
        let net = spawn_net(
            mqtt_options,
            Ports {
                outlet: outbox.outlet()?,
                wake: Arc::clone(&wake),
                live: live_inbox,
                filters,
                downlink: Some(downlink),
                commands: (!settings.commands.is_empty()).then(|| (settings.topics.command_prefix(), command)),
                stats: Arc::clone(&mqtt),
                clock: Arc::clone(&clock),
            },
            net_stopped,
        )?;
        let outlet = outbox.outlet()?;

        let stop_capture = Arc::new(AtomicBool::new(false));
        let give_up = Arc::new(AtomicBool::new(false));
        let recorder_stats = Arc::new(RecorderStats::default());
        let (outcomes, queue) = sync_channel(OUTCOME_QUEUE);
        let recorder = Recorder {
            clerk,
            outbox,
            outcomes: queue,
            audits: audit_inbox,
            display: settings.display.then(|| live.clone()),
            wake,
            clock: Arc::clone(&clock),
            stats: Arc::clone(&recorder_stats),
            stop: Arc::clone(&stop_capture),
            give_up: Arc::clone(&give_up),
            next_expiry: now.mono,
            next_report: now.mono,
        };
        let recorder = spawn("recorder".into(), move || recorder.run())?;

        let mut gauges = Gauges::new(recorder_stats, mqtt);
        let hotlists = keeper.map(|(keeper, from)| {
            let stale_after = settings.hotlist.stale_after;
            let thread = HotlistThread {
                keeper,
                from,
                own: settings.topics.clone(),
                source: source.clone(),
                downlink: from_broker,
                filters: filter,
                always: listened,
                live: live.clone(),
                audits: audits.clone(),
                board: Arc::clone(&board),
                inbox: hotlists::dir(&settings).join(inbox::FOLDER),
                stale_after,
                clock: Arc::clone(&clock),
                stop: Arc::clone(&stop_capture),
            };
            spawn("hotlist".into(), move || thread.run())
        });
        let hotlists = hotlists.transpose()?;
        let snapshots = Arc::new(Snapshots::default());
        let mut threads = Threads { captures: Vec::new(), readers: Vec::new() };
        for (number, vision) in visions.into_iter().enumerate() {
            let mine: Vec<CameraSettings> = settings.cameras.iter().skip(number).step_by(settings.readers).cloned().collect();
            threads.start_reader(
                number,
                vision,
                &mine,
                Shared {
                    settings: &settings,
                    source: &source,
                    outcomes: outcomes.clone(),
                    board: &board,
                    clock: &clock,
                    stop: &stop_capture,
                    give_up: &give_up,
                    live: &live,
                    gauges: &mut gauges,
                    snapshots: &snapshots,
                    overrides,
                },
            )?;
        }
        Ok(Self {
            stop_capture,
            give_up,
            captures: threads.captures,
            readers: threads.readers,
            recorder: Some(recorder),
            net: Some(net),
            hotlists,
            audits,
            presented: board.version(),
            net_stop,
            gauges,
            outlet,
            live,
            hotlist: board,
            next_health: now,
            started: now,
            orders: Orders::new(commands, snapshots, now.mono),
            clock,
            settings,
            source,
            opened,
        })
    }

    /// One turn of the supervisor's loop: health when it is due. Call it a few times a second.
    pub fn tick(&mut self) {
        let now = self.clock.now();
        self.present(now);
        self.obey(now);
        if now.mono < self.next_health.mono {
            return;
        }
        self.hotlist.reap();
        self.next_health = CaptureTime { mono: now.mono.plus(self.settings.health_period), ..now };
        let context = HealthContext {
            settings: &self.settings,
            source: &self.source,
            outlet: &self.outlet,
            opened: &self.opened,
            board: &self.hotlist,
        };
        match health::message(&context, &self.gauges, now) {
            // A full queue means no connection: health is about now, an old one helps nobody.
            Ok(live) => drop(self.live.try_send(live)),
            Err(e) => tracing::error!("health can't be told: {e}"),
        }
    }

    /// Whether every thread that should run does, and none is stuck: what the watchdog is fed on.
    ///
    /// # Errors
    /// Names the thread that ended or the loop that has not turned for a while.
    pub fn alive(&self) -> Result<(), String> {
        let now = self.clock.now().mono;
        if self.net.as_ref().is_none_or(JoinHandle::is_finished) {
            return Err("the net thread ended".into());
        }
        // With every clip at its end readers and recorder have done their work; what they left on disk is still delivered.
        if self.cameras_ended() {
            return Ok(());
        }
        if self.recorder.as_ref().is_none_or(JoinHandle::is_finished) {
            return Err("the recorder thread ended".into());
        }
        self.gauges.stuck(now, Duration::from_secs(15)).map_or(Ok(()), Err)
    }

    /// Why the daemon has to be started afresh: too many failed inferences in a row, or a store that was damaged under it.
    pub fn failed(&self) -> Option<String> {
        if self.gauges.recorder.damaged.load(Ordering::Relaxed) {
            return Some("the outbox is damaged; the next start salvages it".to_owned());
        }
        self.gauges.readers.iter().find_map(|r| r.fatal.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Whether every camera has come to its end and every reader has handed over all it had.
    pub fn cameras_ended(&self) -> bool {
        self.readers.iter().all(JoinHandle::is_finished)
    }

    /// What waits for delivery.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn outbox_stats(&self) -> Result<Stats, OutboxError> {
        self.outlet.stats()
    }

    /// Whether all outcomes are committed: no more can come, and the recorder's queue is empty.
    pub fn recorded(&self) -> bool {
        self.gauges.recorder.done.load(Ordering::Relaxed)
    }

    /// Counters of all threads.
    pub const fn gauges(&self) -> &Gauges {
        &self.gauges
    }

    fn audit(&self, entry: AuditMessage) {
        if self.audits.try_send(entry).is_err() {
            tracing::warn!("an audit entry is lost: the recorder has ended, or the disk refuses");
        }
    }

    /// Tells the status again when other hotlists are in force.
    fn present(&mut self, now: CaptureTime) {
        let version = self.hotlist.version();
        if version == self.presented {
            return;
        }
        match health::presence(&self.settings, &self.source, &self.opened, &self.hotlist, now) {
            // From now on this is what the status topic says at each connection.
            Ok(presence) => {
                let live = Live::Latest { topic: presence.topic, schema: presence.schema, payload: presence.online };
                // A full queue is tried again at the next turn.
                if self.live.try_send(live).is_ok() {
                    self.presented = version;
                }
            }
            Err(e) => {
                tracing::error!("the status can't be told: {e}");
                self.presented = version;
            }
        }
    }

    /// Ends all threads in order: cameras, readers, recorder (everything taken is committed), net (in-flight rows drain).
    pub fn stop(mut self) {
        self.stop_capture.store(true, Ordering::Relaxed);
        join_all("capture", self.captures.drain(..));
        // The last sender goes with the readers, so the recorder ends when its queue is empty; a refusing disk gets 3 s.
        let deadline = self.clock.now().mono.plus(Duration::from_secs(3));
        let working = |d: &Self| !d.readers.iter().chain(&d.recorder).all(JoinHandle::is_finished);
        while working(&self) && self.clock.now().mono < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.give_up.store(true, Ordering::Relaxed);
        join_all("reader", self.readers.drain(..));
        join_all("recorder", self.recorder.take());
        let lost: u64 = self.gauges.readers.iter().map(|r| r.lost.load(Ordering::Relaxed)).sum();
        if lost > 0 {
            tracing::error!(outcomes = lost, "lost: the disk refused them to the end");
        }
        self.net_stop.send_replace(true);
        join_all("net", self.net.take());
        // It may be at work on a large list. The store bears being left at any moment, and nobody needs the list any more.
        let deadline = self.clock.now().mono.plus(Duration::from_secs(1));
        while self.hotlists.as_ref().is_some_and(|thread| !thread.is_finished()) && self.clock.now().mono < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        join_all("hotlist", self.hotlists.take_if(|thread| thread.is_finished()));
    }
}

fn rejected(loaded: &LoadedHotlist) -> u64 {
    u64::try_from(loaded.rows_left_out).unwrap_or(u64::MAX)
}
