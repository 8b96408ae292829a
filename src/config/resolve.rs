//! From what was typed to what runs: every value checked against its range, every name against its choices, relative
//! paths anchored, defaults filled in. All faults are collected before anything is said.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::Fault;
use super::hotlist::HotlistSettings;
use super::outbox::OutboxSettings;
use super::raw::RawConfig;
use crate::anpr::core::CoreOptions;
use crate::camera::live::Input;
use crate::camera::{AtEnd, Pace, Patience};
use crate::frame::mask::Mask;
use crate::geometry::{FramePx, Rect};
use crate::ident::{CameraId, is_opaque_id};
use crate::publish::command::Verb;
use crate::publish::mqtt::{BrokerOptions, Confirm, NoSubscriber};
use crate::publish::topic::Topics;
use crate::publish::wire::Site;
use crate::vision::VisionOptions;
use crate::vision::evidence::{EvidenceOptions, EvidenceProfile};
use crate::vision::manifest::Precision;
use crate::vision::motion::MotionOptions;

/// Everything that the daemon needs to start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Topics of this device.
    pub topics: Topics,
    /// The device's id.
    pub device: String,
    /// Folder of the outbox.
    pub state_dir: PathBuf,
    /// Least level of log lines: error, warn, info, debug or trace.
    pub log_level: String,
    /// Folder with models and manifest.
    pub models_dir: PathBuf,
    /// ONNX Runtime's shared library.
    pub onnxruntime: PathBuf,
    /// Reader threads; each has its own models.
    pub readers: usize,
    /// What vision is made of.
    pub vision: VisionOptions,
    /// How passages, grammar and alerts work.
    pub core: CoreOptions,
    /// How evidence is packed.
    pub evidence: EvidenceOptions,
    /// Seconds after which the live copy of an alert is stale.
    pub alert_expiry_s: u32,
    /// Alerts go out on the topic for screens in the vehicle too.
    pub display: bool,
    /// The hotlists.
    pub hotlist: HotlistSettings,
    /// The broker.
    pub broker: BrokerOptions,
    /// What becomes of an envelope that the broker took but had no subscriber for.
    pub no_subscriber: NoSubscriber,
    /// Whose word lets an envelope go.
    pub confirm: Confirm,
    /// How the outbox is kept.
    pub outbox: OutboxSettings,
    /// Commands that are obeyed.
    pub commands: Vec<Verb>,
    /// Time between two health messages.
    pub health_period: Duration,
    /// The cameras, at least one.
    pub cameras: Vec<CameraSettings>,
}

/// One camera.
#[derive(Clone, Debug)]
pub struct CameraSettings {
    /// Its name.
    pub id: CameraId,
    /// Where its frames come from.
    pub source: SourceSettings,
    /// How long it is waited for, if it is live.
    pub patience: Patience,
    /// How fast its clip plays.
    pub pace: Pace,
    /// What happens at the clip's end.
    pub at_end: AtEnd,
    /// Frame buffers.
    pub buffers: usize,
    /// Where plates are looked for; none means the whole frame.
    pub region: Option<Region>,
    /// What of its picture is painted over before anything else has it.
    pub mask: Option<Mask>,
    /// Where it stands, and its numbers at a national back office.
    pub site: Site,
}

/// Where in the frame plates are looked for, and the frame size that this was drawn for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// Width and height of the frame, pixels.
    pub frame_px: (f32, f32),
    /// The region in such a frame.
    pub area: Rect<FramePx>,
}

impl Region {
    /// The region in a frame of another size: a camera that was set to another resolution still looks at the same road.
    pub fn in_frame(&self, frame: Rect<FramePx>) -> Rect<FramePx> {
        let (sx, sy) = (frame.width() / self.frame_px.0.max(1.0), frame.height() / self.frame_px.1.max(1.0));
        Rect::new(self.area.x0 * sx, self.area.y0 * sy, self.area.x1 * sx, self.area.y1 * sy)
    }
}

/// Where frames come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSettings {
    /// A clip.
    Clip(PathBuf),
    /// A folder of stills (or one), shown so far apart.
    Stills(PathBuf, Duration),
    /// A camera.
    Live(Input),
}

/// Faults so far, and the checks that add to them.
pub(super) struct Checker<'a> {
    base: &'a Path,
    faults: Vec<Fault>,
}

impl Checker<'_> {
    pub(super) fn fault(&mut self, key: impl Into<String>, what: impl Into<String>) {
        self.faults.push(Fault { key: key.into(), what: what.into() });
    }

    pub(super) fn integer<T: TryFrom<i64> + Default>(&mut self, key: &str, value: i64, least: i64, most: i64) -> T {
        if (least..=most).contains(&value)
            && let Ok(value) = T::try_from(value)
        {
            return value;
        }
        self.fault(key, format!("{value} is not between {least} and {most}"));
        T::default()
    }

    /// A key that is 0 where the profile's value stands.
    fn over<T: TryFrom<i64> + Default>(&mut self, key: &str, value: i64, least: i64, most: i64, into: &mut T) {
        if value != 0 {
            *into = self.integer(key, value, least, most);
        }
    }

    fn share(&mut self, key: &str, value: f64) -> f32 {
        self.number(key, value, 0.0, 1.0)
    }

    #[allow(clippy::cast_possible_truncation)] // six digits are plenty
    pub(super) fn number(&mut self, key: &str, value: f64, least: f64, most: f64) -> f32 {
        if !(least..=most).contains(&value) {
            self.fault(key, format!("{value} is not between {least} and {most}"));
        }
        value as f32
    }

    pub(super) fn choice<T: Copy>(&mut self, key: &str, value: &str, choices: &[(&str, T)]) -> T {
        if let Some((_, chosen)) = choices.iter().find(|(name, _)| *name == value) {
            return *chosen;
        }
        let names: Vec<String> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        self.fault(key, format!("\"{value}\" is none of {}", names.join(", ")));
        choices[0].1
    }

    /// What a type reads from text, such as a size; the type says what it allows.
    fn parsed<T: FromStr<Err = String>>(&mut self, key: &str, value: &str) -> Option<T> {
        value.parse().map_err(|what: String| self.fault(key, what)).ok()
    }

    pub(super) fn id(&mut self, key: &str, value: &str) {
        if !is_opaque_id(value) {
            self.fault(
                key,
                format!("\"{value}\" is not 1 to 32 of a-z, 0-9, - and _ (it becomes part of topics; use no place names)"),
            );
        }
    }

    fn path(&self, value: &str) -> PathBuf {
        self.base.join(value)
    }

    /// A path that must be there already.
    pub(super) fn existing(&mut self, key: &str, value: &str) -> PathBuf {
        let path = self.path(value);
        if value.is_empty() {
            self.fault(key, "it is empty; give a path");
        } else if !path.exists() {
            self.fault(key, format!("{} does not exist", path.display()));
        }
        path
    }
}

/// Checks and resolves; gives all faults at once.
pub(super) fn resolve(raw: &RawConfig, base: &Path) -> Result<Settings, Vec<Fault>> {
    let mut c = Checker { base, faults: Vec::new() };
    c.id("org", &raw.org);
    c.id("device", &raw.device);
    let level = ["error", "warn", "info", "debug", "trace"];
    c.choice("log.level", &raw.log.level, &level.map(|l| (l, ())));

    let mut vision = VisionOptions {
        precision: c.choice("models.precision", &raw.models.precision, &[("int8", Precision::Int8), ("fp32", Precision::Fp32)]),
        // Empty: the manifest knows. Whether it offers this size is seen when the models are loaded, in `check` as in `run`.
        detector_input: match raw.models.detector_input.as_str() {
            "" => None,
            size => c.parsed("models.detector_input", size),
        },
        second_look_below: c.share("vision.second_look_below", raw.vision.second_look_below),
        ..VisionOptions::default()
    };
    vision.detector.min_score = c.share("vision.min_score", raw.vision.min_score);
    vision.detector.tiles = c.parsed("vision.tiles", &raw.vision.tiles).unwrap_or(vision.detector.tiles);
    vision.detector.whole_too = raw.vision.tiles_and_whole;
    vision.detector.max_candidates = c.integer("vision.max_candidates", raw.vision.max_candidates, 1, 64);
    vision.motion = MotionOptions {
        gate: raw.vision.motion_gate,
        levels: c.number("vision.motion_levels", raw.vision.motion_levels, 0.5, 64.0),
        scan_every: Duration::from_millis(c.integer("vision.scan_every_ms", raw.vision.scan_every_ms, 1, 60_000)),
        scan_idle: Duration::from_millis(c.integer("vision.scan_idle_ms", raw.vision.scan_idle_ms, 1, 60_000)),
        seek_every: Duration::from_millis(c.integer("vision.seek_every_ms", raw.vision.seek_every_ms, 0, 1_000)),
    };

    let mut core = CoreOptions::default();
    core.passage.settle_ms = c.integer("passage.settle_ms", raw.passage.settle_ms, 50, 60_000);
    if vision.motion.gate && vision.motion.scan_every >= Duration::from_millis(core.passage.settle_ms) {
        c.fault(
            "vision.scan_every_ms",
            format!(
                "{} is not less than passage.settle_ms, {}: a vehicle that stands would make passage after passage",
                raw.vision.scan_every_ms, raw.passage.settle_ms
            ),
        );
    }
    let passage = &raw.passage;
    core.passage.settle_hidden_ms = c.integer("passage.settle_hidden_ms", passage.settle_hidden_ms, 0, 60_000);
    core.passage.record_after_ms = 1000 * c.integer::<u64>("passage.record_after_s", passage.record_after_s, 1, 3_600);
    core.passage.same_vehicle_ms = c.integer("passage.same_vehicle_ms", passage.same_vehicle_ms, 0, 60_000);
    core.passage.hidden_memory_ms = 1000 * c.integer::<u64>("passage.hidden_memory_s", passage.hidden_memory_s, 0, 3_600);
    core.passage.min_confidence = c.share("passage.min_confidence", raw.passage.min_confidence);
    core.alert.min_confidence = c.share("alert.min_confidence", raw.alert.min_confidence);
    core.alert.min_confidence_at_close = c.share("alert.min_confidence_at_close", raw.alert.min_confidence_at_close);
    core.alert.cool_down_ms = 1000 * c.integer::<u64>("alert.cool_down_s", raw.alert.cool_down_s, 0, 86_400);

    let profiles = [("nasple", EvidenceProfile::Nasple), ("full", EvidenceProfile::Full)];
    let mut evidence = c.choice("evidence.profile", &raw.evidence.profile, &profiles).options();
    let own = &raw.evidence;
    c.over("evidence.overview_width_px", own.overview_width_px, 160, 16_384, &mut evidence.overview.max_width_px);
    c.over("evidence.overview_max_bytes", own.overview_max_bytes, 8_192, 4_194_304, &mut evidence.overview.max_bytes);
    c.over("evidence.patch_max_bytes", own.patch_max_bytes, 1_024, 1_048_576, &mut evidence.patch.max_bytes);

    let hotlist = super::hotlist::resolve(&mut c, raw);
    core.alert.late_match_ms = 3_600_000 * c.integer::<u64>("hotlist.late_match_h", raw.hotlist.late_match_h, 0, 24);

    let (broker, no_subscriber) = super::mqtt::resolve(&mut c, raw);
    let confirm = super::mqtt::confirm(&mut c, raw);
    let outbox = super::outbox::resolve(&mut c, raw);
    let verbs = Verb::ALL.map(|verb| (verb.as_str(), verb));
    let mut commands: Vec<Verb> = raw.command.allow.iter().map(|word| c.choice("command.allow", word, &verbs)).collect();
    commands.sort_unstable();
    commands.dedup();
    let health_period = Duration::from_secs(c.integer("health.period_s", raw.health.period_s, 1, 3_600));
    let alert_expiry_s = c.integer("alert.expiry_s", raw.alert.expiry_s, 10, 86_400);

    for (i, camera) in raw.camera.iter().enumerate().filter(|(_, camera)| camera.kind == "stills") {
        if camera.interval_ms >= raw.passage.settle_ms {
            c.fault(
                format!("camera[{i}].interval_ms"),
                format!(
                    "{} is not less than passage.settle_ms, {}: each picture of a vehicle would be a passage of its own; settle later",
                    camera.interval_ms, raw.passage.settle_ms
                ),
            );
        }
    }
    let nas = super::camera::nas(&mut c, raw);
    let cameras: Vec<CameraSettings> =
        raw.camera.iter().enumerate().filter_map(|(i, camera)| super::camera::resolve(&mut c, nas, i, camera)).collect();
    if raw.camera.is_empty() {
        c.fault("camera", "there is none; add a [[camera]] table with id, kind and path");
    }
    let mut names = HashSet::new();
    for (i, camera) in raw.camera.iter().enumerate() {
        if !names.insert(&camera.id) {
            c.fault(format!("camera[{i}].id"), format!("\"{}\" is the id of another camera too", camera.id));
        }
    }
    let readers: usize = c.integer("models.readers", raw.models.readers, 0, 64);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    // No more readers than cameras: a camera stays with its reader, so one more would idle.
    let readers = if readers == 0 { cores } else { readers }.min(cameras.len().max(1));

    let topics = Topics::new(&raw.org, &raw.device);
    match topics {
        Ok(topics) if c.faults.is_empty() => Ok(Settings {
            topics,
            device: raw.device.clone(),
            state_dir: c.path(&raw.state_dir),
            log_level: raw.log.level.clone(),
            models_dir: c.path(&raw.models.dir),
            onnxruntime: c.path(&raw.models.onnxruntime),
            readers,
            vision,
            core,
            evidence,
            alert_expiry_s,
            display: raw.alert.display,
            hotlist,
            broker,
            no_subscriber,
            confirm,
            outbox,
            commands,
            health_period,
            cameras,
        }),
        Ok(_) => Err(c.faults),
        Err(e) if c.faults.is_empty() => Err(vec![Fault { key: "org, device".into(), what: e.to_string() }]),
        Err(_) => Err(c.faults),
    }
}
