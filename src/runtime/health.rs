//! Counting, and telling: health messages, camera states, presence, and what the watchdog is fed on.
//!
//! Every counter of every thread is read here and nowhere else. Runs on the supervisor's thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::board::HotlistBoard;
use super::reader::ReaderStats;
use super::recorder::RecorderStats;
use crate::camera::picture::PictureFault;
use crate::camera::slot::Slots;
use crate::camera::{CameraEvent, CameraPhase, CaptureStats};
use crate::clock::{CaptureTime, MonoTime};
use crate::config::Settings;
use crate::ident::CameraId;
use crate::outbox::{Opened, Outlet};
use crate::publish::mqtt::{Live, MqttStats, Presence};
use crate::publish::topic::Topics;
use crate::publish::wire::{
    CameraCondition, CameraHealth, CameraStateMessage, HealthMessage, JsonError, LatencyHealth, Message, MqttHealth,
    OutboxHealth, PictureCondition, Source, StatusMessage,
};

/// One camera's counters.
#[derive(Debug)]
pub struct CameraGauge {
    /// Its name.
    pub camera: CameraId,
    /// What its thread counts.
    pub stats: Arc<CaptureStats>,
    /// Frames that the camera gave, and those that no reader took, as of the last health message.
    told_frames: AtomicU64,
    told_lost: AtomicU64,
}

impl CameraGauge {
    /// A camera that nothing was told of yet.
    pub const fn new(camera: CameraId, stats: Arc<CaptureStats>) -> Self {
        Self { camera, stats, told_frames: AtomicU64::new(0), told_lost: AtomicU64::new(0) }
    }
}

/// The counters of all threads.
#[derive(Debug)]
pub struct Gauges {
    /// One a reader.
    pub readers: Vec<Arc<ReaderStats>>,
    /// The slots of each reader.
    pub slots: Vec<Arc<Slots>>,
    /// One a camera. Cameras of one reader stand together, in slot order.
    pub cameras: Vec<CameraGauge>,
    /// The recorder's.
    pub recorder: Arc<RecorderStats>,
    /// The net thread's.
    pub mqtt: Arc<MqttStats>,
    /// Commands carried out.
    pub commands_done: AtomicU64,
    /// Commands refused, or failed.
    pub commands_refused: AtomicU64,
    /// When the daemon started; set at the first health message.
    started: Mutex<Option<MonoTime>>,
}

impl Gauges {
    /// With the threads that there is one of.
    pub const fn new(recorder: Arc<RecorderStats>, mqtt: Arc<MqttStats>) -> Self {
        Self {
            readers: Vec::new(),
            slots: Vec::new(),
            cameras: Vec::new(),
            recorder,
            mqtt,
            commands_done: AtomicU64::new(0),
            commands_refused: AtomicU64::new(0),
            started: Mutex::new(None),
        }
    }

    /// Frames processed by all readers.
    pub fn frames(&self) -> u64 {
        self.readers.iter().map(|r| get(&r.frames)).sum()
    }

    /// The name of a loop that has not turned for `limit`, if there is one.
    pub fn stuck(&self, now: MonoTime, limit: Duration) -> Option<String> {
        let late = |beat: &AtomicU64| {
            let at = get(beat);
            at > 0 && now.since(MonoTime::from_nanos(at)) > limit
        };
        // A reader that ended has no beat to keep; `failed` and `cameras_ended` tell of that.
        if let Some(number) = self.readers.iter().position(|r| !r.done.load(Ordering::Relaxed) && late(&r.beat_nanos)) {
            return Some(format!("reader-{number} has not turned for more than {} s", limit.as_secs()));
        }
        // A recorder that waits for a refusing disk still turns: a stuck disk call does not.
        late(&self.recorder.beat_nanos).then(|| format!("the recorder has not turned for more than {} s", limit.as_secs()))
    }
}

/// The retained status messages: online at each connection, offline as the will.
///
/// # Errors
/// When they can't be put into JSON.
pub fn presence(
    settings: &Settings,
    source: &Source,
    opened: &Opened,
    board: &HotlistBoard,
    now: CaptureTime,
) -> Result<Presence, JsonError> {
    let hotlists = board.get().versions();
    let status = |online| {
        let mut message = StatusMessage::new(source, online, opened.session, &hotlists, now.utc);
        message.stream = opened.stream.to_string();
        message.signing_key_pem.clone_from(&opened.signing_key_pem);
        message.warnings = warnings(settings);
        message.encode()
    };
    Ok(Presence {
        topic: settings.topics.status(),
        schema: StatusMessage::SCHEMA.to_owned(),
        online: status(true)?,
        offline: status(false)?,
    })
}

/// What is not as safe as it could be.
fn warnings(settings: &Settings) -> Vec<String> {
    let mut warnings = settings.broker.warnings();
    if settings.outbox.identity.is_none() {
        warnings.push("the key of the payloads at rest lies beside them: give the box an identity (hotlist.identity)".to_owned());
    }
    warnings
}

/// A camera's change of phase as a retained message.
///
/// # Errors
/// When it can't be put into JSON.
pub fn camera_state(topics: &Topics, source: &Source, event: &CameraEvent) -> Result<Live, JsonError> {
    let condition = match event.phase {
        CameraPhase::Opening => CameraCondition::Opening,
        CameraPhase::Streaming => CameraCondition::Streaming,
        CameraPhase::Stalled => CameraCondition::Stalled,
        CameraPhase::Lost => CameraCondition::Lost,
        CameraPhase::Ended => CameraCondition::Ended,
    };
    let mut message = CameraStateMessage::new(source, &event.camera, condition, event.since.utc);
    message.detail.clone_from(&event.reason);
    let px = |side: usize| u32::try_from(side).ok();
    message.width_px = event.size_px.and_then(|(width, _)| px(width));
    message.height_px = event.size_px.and_then(|(_, height)| px(height));
    message.frames_per_s = rounded(event.frames_per_s);
    message.frame_age_ms = event.frame_age.map(millis);
    message.drift_ms = event.drift_ms.map(rounded);
    message.picture = event.picture.map(condition_of);
    Ok(Live::Latest {
        topic: topics.camera_state(&event.camera),
        schema: CameraStateMessage::SCHEMA.to_owned(),
        payload: message.encode()?,
    })
}

fn millis(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}

/// To hundredths.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

const fn condition_of(fault: PictureFault) -> PictureCondition {
    match fault {
        PictureFault::Frozen => PictureCondition::Frozen,
        PictureFault::Black => PictureCondition::Black,
        PictureFault::BlownOut => PictureCondition::BlownOut,
    }
}

/// A camera's line in the health message, and what is wrong with it.
fn camera_health(gauge: &CameraGauge, dropped: u64, now: MonoTime) -> (CameraHealth, Option<String>) {
    let stats = &gauge.stats;
    let frames = get(&stats.captured);
    let no_buffer = get(&stats.no_buffer);
    let (given, lost) = (frames + no_buffer, dropped + no_buffer);
    let new = given.saturating_sub(gauge.told_frames.swap(given, Ordering::Relaxed));
    let lost = lost.saturating_sub(gauge.told_lost.swap(lost, Ordering::Relaxed));
    #[allow(clippy::cast_precision_loss)] // frames of some seconds
    let keep_up = (new > 0).then(|| rounded(1.0 - (lost.min(new) as f64 / new as f64)));
    let picture = stats.picture();
    let health = CameraHealth {
        frames,
        dropped,
        reopened: get(&stats.failures),
        no_buffer,
        stalls: get(&stats.stalls),
        abandoned: get(&stats.abandoned),
        frames_per_s: rounded(stats.frames_per_s(now)),
        frame_age_ms: stats.frame_age(now).map(millis),
        keep_up,
        drift_ms: stats.drift_ms().map(rounded),
        picture: picture.map(condition_of),
    };
    let camera = &gauge.camera;
    let alarm = match (stats.phase(), picture) {
        (CameraPhase::Lost, _) => Some(format!("camera {camera} is lost")),
        (CameraPhase::Stalled, _) => Some(format!("camera {camera} is stalled")),
        (CameraPhase::Streaming, Some(PictureFault::Frozen)) => {
            Some(format!("camera {camera} gives the same picture again and again"))
        }
        (CameraPhase::Streaming, Some(PictureFault::Black)) => Some(format!("camera {camera} gives black pictures")),
        (CameraPhase::Streaming, Some(PictureFault::BlownOut)) => Some(format!("camera {camera} gives white pictures")),
        _ => None,
    };
    (health, alarm)
}

/// What the health message is made of, besides the counters.
#[derive(Debug)]
pub struct HealthContext<'a> {
    /// The configuration.
    pub settings: &'a Settings,
    /// Device and models.
    pub source: &'a Source,
    /// The outbox, to be asked for its depth.
    pub outlet: &'a Outlet,
    /// Session number.
    pub opened: &'a Opened,
    /// The hotlist in force.
    pub board: &'a HotlistBoard,
}

/// The health message, on its way.
///
/// # Errors
/// When it can't be put into JSON.
pub fn message(context: &HealthContext<'_>, gauges: &Gauges, now: CaptureTime) -> Result<Live, JsonError> {
    Ok(Live::Fleeting {
        topic: context.settings.topics.health(),
        schema: HealthMessage::SCHEMA.to_owned(),
        payload: gather(context, gauges, now).encode()?,
    })
}

/// Everything that is counted, and what is wrong.
pub fn gather(context: &HealthContext<'_>, gauges: &Gauges, now: CaptureTime) -> HealthMessage {
    let started = *gauges.started.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(now.mono);
    let mut health = HealthMessage::new(context.source, context.opened.session, now.utc, now.quality);
    health.uptime_s = now.mono.since(started).as_secs();
    let dropped: Vec<u64> = gauges.slots.iter().flat_map(|s| s.dropped()).collect();
    for (gauge, dropped) in gauges.cameras.iter().zip(dropped) {
        let (of, alarm) = camera_health(gauge, dropped, now.mono);
        health.cameras.insert(gauge.camera.to_string(), of);
        health.alarms.extend(alarm);
    }
    let mut count = |name: &str, value: u64| {
        *health.counters.entry(name.to_owned()).or_insert(0) += value;
    };
    for reader in &gauges.readers {
        let core = *reader.core.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, value) in [
            ("frames_processed", get(&reader.frames)),
            ("frames_still", get(&reader.still)),
            ("frames_failed", get(&reader.failures)),
            ("evidence_dropped", get(&reader.evidence_dropped)),
            ("sightings", core.sightings),
            ("passages_opened", core.opened),
            ("passages_read", core.records),
            ("passages_unread", core.unread),
            ("passages_dropped", core.dropped),
            ("passages_evicted", core.evicted),
            ("sightings_over", core.sightings_over),
            ("outcomes_lost", get(&reader.lost)),
            ("alerts", core.alerts),
            ("alerts_late", core.alerts_late),
            ("alerts_silenced", core.alerts_silenced),
        ] {
            count(name, value);
        }
    }
    count("frames_without_buffer", gauges.cameras.iter().map(|c| get(&c.stats.no_buffer)).sum());
    count("envelopes_committed", get(&gauges.recorder.committed));
    count("outcomes_unwritable", get(&gauges.recorder.unwritable));
    count("evidence_left_out", get(&gauges.recorder.left_out));
    count("commit_stalls", get(&gauges.recorder.stalls));
    count("commands_done", get(&gauges.commands_done));
    count("commands_refused", get(&gauges.commands_refused));
    let frames = gauges.frames();
    for (stage, total_us) in [
        ("motion", gauges.readers.iter().map(|r| get(&r.motion_us)).sum::<u64>()),
        ("detect", gauges.readers.iter().map(|r| get(&r.detect_us)).sum()),
        ("read", gauges.readers.iter().map(|r| get(&r.read_us)).sum()),
    ] {
        #[allow(clippy::cast_precision_loss)] // microseconds in years stay below 2^52
        let mean_ms = if frames == 0 { 0.0 } else { total_us as f64 / frames as f64 / 1000.0 };
        health.cpu_ms_a_frame.insert(stage.into(), (mean_ms * 1000.0).round() / 1000.0);
    }
    let recorder = &gauges.recorder;
    for (name, latency) in
        [("alert_early", &recorder.alert_early), ("alert_at_close", &recorder.alert_at_close), ("record", &recorder.record)]
    {
        if let Some(of) = latency.summary() {
            let ms = |d: Duration| (d.as_secs_f64() * 1e6).round() / 1e3;
            let told = LatencyHealth { count: of.count, p50_ms: ms(of.p50), p99_ms: ms(of.p99), max_ms: ms(of.max) };
            health.latencies.insert(name.into(), told);
        }
    }
    match (context.outlet.stats(), context.outlet.gaps(16)) {
        (Ok(stats), Ok(gaps)) => health.outbox = OutboxHealth::new(&stats, &gaps, now.utc),
        (Err(e), _) | (_, Err(e)) => health.alarms.push(format!("the outbox can't be read: {e}")),
    }
    if gauges.recorder.stalled.load(Ordering::Relaxed) {
        health.alarms.insert(0, "the outbox can't be written: records wait in memory".into());
    }
    let mqtt = gauges.mqtt.counters();
    if mqtt.broker_index > 0
        && let Some(broker) = mqtt.broker.as_ref().filter(|_| mqtt.connected_since.is_some())
    {
        health.alarms.push(format!("connected to {broker}, not to the preferred broker"));
    }
    if mqtt.protocol == Some("3.1.1") {
        health.alarms.push("the broker is spoken to in MQTT 3.1.1: it can't say that it refuses a message".into());
    }
    if mqtt.acks_refused > 0 {
        health.alarms.push("acknowledgements came that can't be meant for this box's stream; mqtt.last_error says which".into());
    }
    health.mqtt = MqttHealth::from(&mqtt);
    let (lists, alarms) = context.board.health(now, context.settings.hotlist.stale_after);
    health.hotlists = lists;
    health.alarms.extend(alarms);
    if !now.quality.synchronised {
        health.alarms.push("the clock is not synchronised".into());
    }
    health
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stopped_turning_is_named_and_one_that_is_done_is_not() {
        let gauges = {
            let mut gauges = Gauges::new(Arc::default(), Arc::default());
            gauges.readers.extend([Arc::default(), Arc::default()]);
            gauges
        };
        let limit = Duration::from_secs(15);
        let at = |seconds: u64| MonoTime::from_nanos(seconds * 1_000_000_000);
        let beat = |counter: &AtomicU64, seconds: u64| counter.store(at(seconds).as_nanos(), Ordering::Relaxed);
        beat(&gauges.readers[0].beat_nanos, 100);
        beat(&gauges.readers[1].beat_nanos, 118);
        beat(&gauges.recorder.beat_nanos, 118);
        assert_eq!(gauges.stuck(at(114), limit), None);
        assert!(gauges.stuck(at(120), limit).is_some_and(|s| s.starts_with("reader-0")));
        gauges.readers[0].done.store(true, Ordering::Relaxed);
        assert_eq!(gauges.stuck(at(120), limit), None, "its clip is over");
        assert!(gauges.stuck(at(140), limit).is_some_and(|s| s.starts_with("reader-1")));
    }
}
