//! One TOML file, in two steps: `raw` is what was typed, [`Settings`] is what runs.
//!
//! `run` starts with exactly what `check` does: [`load`]. It reports *all* faults of meaning at once, each with its key
//! path, what was found, what is allowed; a fault of syntax or type ends the reading, as nothing after it can be trusted.
//! Nothing here starts anything.

mod calibration;
mod camera;
mod hotlist;
mod mqtt;
mod outbox;
mod raw;
mod resolve;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

pub use calibration::Calibration;
pub use camera::CAMERA_CREDENTIAL;
pub use hotlist::{HotlistSettings, IDENTITY_CREDENTIAL, SealedSettings};
pub use mqtt::TLS_KEY_CREDENTIAL;
pub use outbox::{DEVICE_KEY_CREDENTIAL, OutboxSettings, SecretFile};
pub use resolve::{CameraSettings, Region, Settings, SourceSettings};

/// Where the package puts the models.
pub const DEFAULT_MODELS_DIR: &str = "/usr/lib/kerbside/models";
/// Where the package puts ONNX Runtime.
pub const DEFAULT_ONNXRUNTIME: &str = "/usr/lib/kerbside/libonnxruntime.so.1";

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The key, such as `mqtt.port` or `camera[0].path`.
    pub key: String,
    /// What was found and what is allowed.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.what)
    }
}

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is missing or can't be read.
    #[error("{path}: {why}; --config wants the path of a TOML file, systemd/kerbside.toml is a commented one to start from")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// It is no TOML, or has a key or a type that is not ours.
    #[error("{path}: {key}: {why}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The key path where reading stopped.
        key: String,
        /// Line, column and what was expected, as the TOML parser put it.
        why: String,
    },
    /// It can be read, but not meant.
    #[error("{path}: {}", list(faults))]
    Faults {
        /// The file.
        path: PathBuf,
        /// All of them.
        faults: Vec<Fault>,
    },
}

fn list(faults: &[Fault]) -> String {
    let lines: Vec<String> = faults.iter().map(|f| format!("\n  {f}")).collect();
    format!("{} fault{}{}", faults.len(), if faults.len() == 1 { "" } else { "s" }, lines.concat())
}

/// Reads a configuration file and resolves it. Relative paths in it are relative to the file's own folder.
///
/// # Errors
/// See [`ConfigError`].
pub fn load(path: &Path) -> Result<Settings, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|why| ConfigError::Unreadable { path: path.to_owned(), why })?;
    parse(&text, path)
}

/// The same from text; `path` is named in errors and anchors relative paths.
///
/// # Errors
/// See [`ConfigError`].
pub fn parse(text: &str, path: &Path) -> Result<Settings, ConfigError> {
    let raw: raw::RawConfig = toml::from_str(text).map_err(|e| ConfigError::Syntax {
        path: path.to_owned(),
        key: e.span().map_or_else(|| "(top level)".into(), |span| key_path_at(text, span.start)),
        why: words(&e, text),
    })?;
    let base = path.parent().unwrap_or_else(|| Path::new("."));
    resolve::resolve(&raw, base).map_err(|faults| ConfigError::Faults { path: path.to_owned(), faults })
}

/// What the parser says, with the line that it stopped at; without that line's text where a password may stand in it.
fn words(e: &toml::de::Error, text: &str) -> String {
    let at = e.span().map_or(0, |span| span.start.min(text.len()));
    let (before, after) = text.split_at(text.floor_char_boundary(at));
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    let line = format!("{}{}", &before[start..], after.lines().next().unwrap_or_default()).to_lowercase();
    if !["url", "credential", "pass", "://", "secret"].iter().any(|word| line.contains(word)) {
        return e.to_string().trim_end().to_owned();
    }
    // Some messages repeat the value.
    let message = e.message().split(" string ").next().unwrap_or_default();
    format!(
        "line {}, column {}: {message} (the line is not repeated: there may be a password in it)",
        before.lines().count().max(1),
        before.len() - start + 1
    )
}

/// The key path of the line that holds byte `offset`: the last table header above it and the key before its `=`.
fn key_path_at(text: &str, offset: usize) -> String {
    let mut table = String::new();
    let mut arrays: Vec<(String, usize)> = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let here = offset < start + line.len();
        let trimmed = line.trim();
        if let Some(name) = trimmed.strip_prefix("[[").and_then(|t| t.split("]]").next()) {
            let name = name.trim().to_owned();
            let index = match arrays.iter_mut().find(|(n, _)| *n == name) {
                Some((_, count)) => {
                    *count += 1;
                    *count
                }
                None => {
                    arrays.push((name.clone(), 0));
                    0
                }
            };
            table = format!("{name}[{index}]");
        } else if let Some(name) = trimmed.strip_prefix('[').and_then(|t| t.split(']').next()) {
            name.trim().clone_into(&mut table);
        }
        if here {
            let key = trimmed.split_once('=').map(|(k, _)| k.trim()).filter(|k| !k.starts_with(['[', '#']));
            return match (table.as_str(), key) {
                ("", None) => "(top level)".into(),
                ("", Some(key)) => key.into(),
                (table, None) => table.into(),
                (table, Some(key)) => format!("{table}.{key}"),
            };
        }
        start += line.len();
    }
    "(end of file)".into()
}
