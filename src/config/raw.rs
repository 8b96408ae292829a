//! The configuration file exactly as it was typed: types and names are checked, meanings are not.
//!
//! Nothing downstream of `resolve` sees these structs. Every key has its default here, and `systemd/kerbside.toml`
//! shows them all; a test holds the two together.

use serde::Deserialize;

/// The whole file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) org: String,
    pub(super) device: String,
    #[serde(default = "defaults::state_dir")]
    pub(super) state_dir: String,
    #[serde(default)]
    pub(super) log: RawLog,
    #[serde(default)]
    pub(super) models: RawModels,
    #[serde(default)]
    pub(super) vision: RawVision,
    #[serde(default)]
    pub(super) passage: RawPassage,
    #[serde(default)]
    pub(super) alert: RawAlert,
    #[serde(default)]
    pub(super) evidence: RawEvidence,
    #[serde(default)]
    pub(super) hotlist: RawHotlist,
    #[serde(default)]
    pub(super) mqtt: RawMqtt,
    #[serde(default)]
    pub(super) delivery: RawDelivery,
    #[serde(default)]
    pub(super) outbox: RawOutbox,
    #[serde(default)]
    pub(super) health: RawHealth,
    #[serde(default)]
    pub(super) command: RawCommand,
    #[serde(default)]
    pub(super) nas: RawNas,
    #[serde(default)]
    pub(super) camera: Vec<RawCamera>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLog {
    pub(super) level: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawModels {
    pub(super) dir: String,
    pub(super) onnxruntime: String,
    pub(super) precision: String,
    pub(super) detector_input: String,
    pub(super) readers: i64,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawVision {
    pub(super) min_score: f64,
    pub(super) max_candidates: i64,
    pub(super) tiles: String,
    pub(super) tiles_and_whole: bool,
    pub(super) second_look_below: f64,
    pub(super) motion_gate: bool,
    pub(super) motion_levels: f64,
    pub(super) scan_every_ms: i64,
    pub(super) scan_idle_ms: i64,
    pub(super) seek_every_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawPassage {
    pub(super) settle_ms: i64,
    pub(super) settle_hidden_ms: i64,
    pub(super) record_after_s: i64,
    pub(super) same_vehicle_ms: i64,
    pub(super) hidden_memory_s: i64,
    pub(super) min_confidence: f64,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAlert {
    pub(super) min_confidence: f64,
    pub(super) min_confidence_at_close: f64,
    pub(super) cool_down_s: i64,
    pub(super) expiry_s: i64,
    pub(super) display: bool,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawEvidence {
    pub(super) profile: String,
    pub(super) overview_width_px: i64,
    pub(super) overview_max_bytes: i64,
    pub(super) patch_max_bytes: i64,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawHotlist {
    pub(super) file: String,
    pub(super) list: String,
    pub(super) lists: Vec<String>,
    pub(super) trust: Vec<String>,
    pub(super) identity: String,
    pub(super) fleet: String,
    pub(super) stale_after_h: i64,
    pub(super) late_match_h: i64,
    pub(super) max_substitutions: i64,
    pub(super) substitutions: String,
    pub(super) max_edits: i64,
    pub(super) min_likelihood_ratio: f64,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawMqtt {
    pub(super) host: String,
    pub(super) port: i64,
    pub(super) fallbacks: Vec<String>,
    pub(super) prefer_again_s: i64,
    pub(super) version: String,
    pub(super) transport: String,
    pub(super) ca: String,
    pub(super) certificate: String,
    pub(super) key: String,
    pub(super) username: String,
    pub(super) password_file: String,
    pub(super) keep_alive_s: i64,
    pub(super) no_subscriber: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawDelivery {
    pub(super) confirm: String,
    pub(super) confirm_wait_s: i64,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawOutbox {
    pub(super) max_bytes: i64,
    pub(super) max_rows: i64,
    pub(super) keep_hits_h: i64,
    pub(super) keep_text_h: i64,
    pub(super) keep_images_h: i64,
    pub(super) device_key: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawHealth {
    pub(super) period_s: i64,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawCommand {
    pub(super) allow: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCamera {
    pub(super) id: String,
    pub(super) kind: String,
    #[serde(default)]
    pub(super) path: String,
    #[serde(default)]
    pub(super) url: String,
    #[serde(default)]
    pub(super) credentials: String,
    #[serde(default = "defaults::transport")]
    pub(super) transport: String,
    #[serde(default = "defaults::codec")]
    pub(super) codec: String,
    #[serde(default = "defaults::backend")]
    pub(super) backend: String,
    #[serde(default = "defaults::decoder")]
    pub(super) decoder: String,
    #[serde(default = "defaults::format")]
    pub(super) format: String,
    #[serde(default)]
    pub(super) width_px: i64,
    #[serde(default)]
    pub(super) height_px: i64,
    #[serde(default)]
    pub(super) frames_per_s: i64,
    #[serde(default = "defaults::open_timeout_ms")]
    pub(super) open_timeout_ms: i64,
    #[serde(default = "defaults::stall_after_ms")]
    pub(super) stall_after_ms: i64,
    #[serde(default = "defaults::pace")]
    pub(super) pace: String,
    #[serde(default = "defaults::at_end")]
    pub(super) at_end: String,
    #[serde(default = "defaults::interval_ms")]
    pub(super) interval_ms: i64,
    #[serde(default = "defaults::buffers")]
    pub(super) buffers: i64,
    #[serde(default)]
    pub(super) calibration: String,
    #[serde(default)]
    pub(super) nas_camera_id: i64,
    #[serde(default)]
    pub(super) latitude_deg: f64,
    #[serde(default)]
    pub(super) longitude_deg: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawNas {
    pub(super) feed_id: i64,
    pub(super) source_id: i64,
}

impl RawCamera {
    /// A camera with every key at its default.
    pub(super) fn plain() -> Option<Self> {
        toml::from_str("id = ''\nkind = ''").ok()
    }
}

/// A camera calibration profile (`calibration/*.toml`) as typed.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCalibration {
    /// Frame size that the profile was made for, pixels.
    pub(super) frame_px: [i64; 2],
    /// Where plates are looked for: left, top, right, bottom, pixels of that frame.
    pub(super) region_px: [i64; 4],
    /// What nobody is to see: polygons, each by its corners, pixels of that frame.
    #[serde(default)]
    pub(super) masks_px: Vec<Vec<[i64; 2]>>,
}

pub(super) mod defaults {
    pub(in crate::config) fn state_dir() -> String {
        "/var/lib/kerbside".into()
    }
    pub(in crate::config) fn transport() -> String {
        "tcp".into()
    }
    pub(in crate::config) fn codec() -> String {
        "auto".into()
    }
    pub(in crate::config) fn backend() -> String {
        "gstreamer".into()
    }
    pub(in crate::config) fn decoder() -> String {
        "software".into()
    }
    pub(in crate::config) fn format() -> String {
        "mjpeg".into()
    }
    pub(in crate::config) const fn open_timeout_ms() -> i64 {
        10_000
    }
    pub(in crate::config) const fn stall_after_ms() -> i64 {
        3_000
    }
    pub(in crate::config) fn pace() -> String {
        "real_time".into()
    }
    pub(in crate::config) fn at_end() -> String {
        "stop".into()
    }
    pub(in crate::config) const fn interval_ms() -> i64 {
        200
    }
    pub(in crate::config) const fn buffers() -> i64 {
        12
    }
}

impl Default for RawLog {
    fn default() -> Self {
        Self { level: "info".into() }
    }
}
impl Default for RawModels {
    fn default() -> Self {
        Self {
            dir: super::DEFAULT_MODELS_DIR.into(),
            onnxruntime: super::DEFAULT_ONNXRUNTIME.into(),
            precision: "int8".into(),
            detector_input: String::new(),
            readers: 0,
        }
    }
}
impl Default for RawVision {
    fn default() -> Self {
        Self {
            min_score: 0.3,
            max_candidates: 12,
            tiles: "1x1".into(),
            tiles_and_whole: true,
            second_look_below: 0.97,
            motion_gate: true,
            motion_levels: 3.0,
            scan_every_ms: 250,
            scan_idle_ms: 1_000,
            seek_every_ms: 60,
        }
    }
}
impl Default for RawPassage {
    fn default() -> Self {
        Self {
            settle_ms: 600,
            settle_hidden_ms: 5_000,
            record_after_s: 30,
            same_vehicle_ms: 3_000,
            hidden_memory_s: 90,
            min_confidence: 0.3,
        }
    }
}
impl Default for RawAlert {
    fn default() -> Self {
        Self { min_confidence: 0.9, min_confidence_at_close: 0.6, cool_down_s: 60, expiry_s: 300, display: false }
    }
}
impl Default for RawEvidence {
    fn default() -> Self {
        Self { profile: "nasple".into(), overview_width_px: 0, overview_max_bytes: 0, patch_max_bytes: 0 }
    }
}
impl Default for RawHotlist {
    fn default() -> Self {
        Self {
            file: String::new(),
            list: "local".into(),
            lists: Vec::new(),
            trust: Vec::new(),
            identity: String::new(),
            fleet: String::new(),
            stale_after_h: 24,
            late_match_h: 1,
            max_substitutions: 1,
            substitutions: "look_alike".into(),
            max_edits: 0,
            min_likelihood_ratio: 0.02,
        }
    }
}
impl Default for RawMqtt {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: 0,
            fallbacks: Vec::new(),
            prefer_again_s: 300,
            version: "5".into(),
            transport: "tls".into(),
            ca: String::new(),
            certificate: String::new(),
            key: String::new(),
            username: String::new(),
            password_file: String::new(),
            keep_alive_s: 30,
            no_subscriber: "deliver".into(),
        }
    }
}
impl Default for RawDelivery {
    fn default() -> Self {
        Self { confirm: "broker".into(), confirm_wait_s: 30 }
    }
}
impl Default for RawOutbox {
    fn default() -> Self {
        Self {
            max_bytes: 2_147_483_648,
            max_rows: 1_000_000,
            keep_hits_h: 672,
            keep_text_h: 672,
            keep_images_h: 168,
            device_key: String::new(),
        }
    }
}
impl Default for RawCommand {
    fn default() -> Self {
        Self { allow: ["ping", "doctor", "reload", "outbox.resend", "snapshot"].map(str::to_owned).into() }
    }
}
impl Default for RawHealth {
    fn default() -> Self {
        Self { period_s: 10 }
    }
}
