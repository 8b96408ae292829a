//! `models/manifest.toml`: which weights belong together, what they take and give, and the hash that proves it.
//!
//! Read once at start. A file whose SHA-256 differs from its manifest is refused before the runtime sees it, so half
//! an upgrade can't run.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::onnx::{Network, OnnxError, Runtime, TensorSpec};

/// Why the models of an installation can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A file is missing or can't be read.
    #[error("{path}: {why}; point `models.dir` (or --models) at the folder that holds manifest.toml and the weights")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// The manifest itself is wrong.
    #[error("{path}: {why}")]
    Syntax {
        /// The manifest.
        path: PathBuf,
        /// Where and what, as the TOML parser put it.
        why: String,
    },
    /// No entry for the wanted role and precision.
    #[error("{path}: no [[model]] with role = \"{role}\" and precision = \"{precision}\"; it has {present}")]
    NoSuchModel {
        /// The manifest.
        path: PathBuf,
        /// `detector` or `reader`.
        role: &'static str,
        /// `int8` or `fp32`.
        precision: &'static str,
        /// What there is.
        present: String,
    },
    /// The weights are not the ones that the manifest was written for.
    #[error(
        "{path}: its SHA-256 is {found}, {manifest} says {expected}; the file is damaged or of another version: install it again"
    )]
    Hash {
        /// The weights.
        path: PathBuf,
        /// The manifest.
        manifest: PathBuf,
        /// What the file hashes to.
        found: String,
        /// What the manifest promises.
        expected: String,
    },
    /// The runtime refused.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
}

/// What a model does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Finds plates in a frame.
    Detector,
    /// Reads a plate patch.
    Reader,
}

/// How its weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Eight-bit integers: fastest, at most half a point of recall less.
    Int8,
    /// 32-bit floats.
    Fp32,
}

impl Role {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Detector => "detector",
            Self::Reader => "reader",
        }
    }
}

impl Precision {
    /// The word used in files and options.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Fp32 => "fp32",
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    model: Vec<ModelEntry>,
}

/// One `[[model]]` of the manifest.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelEntry {
    /// Name without precision, as it stands in messages.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// How its weights are stored.
    pub precision: Precision,
    /// File beside the manifest.
    pub file: String,
    /// SHA-256 of the file, 64 hex digits.
    pub sha256: String,
    /// Input tensor.
    input: RawTensor,
    /// Output tensor.
    output: RawTensor,
    /// Frame pixels (at the model's scale) a cell of the output; the detector's only.
    pub stride: Option<u32>,
    /// Classes after the blank; the reader's only.
    pub alphabet: Option<String>,
    /// How it was trained: data with licences, command, date. For people.
    pub training: String,
    /// Data sources with their licences. For people.
    pub data: Vec<String>,
    /// Figures as measured, with the command. For people.
    pub metrics: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTensor {
    name: String,
    shape: Vec<usize>,
}

impl ModelEntry {
    /// Shape of the input, outermost first.
    pub fn input_shape(&self) -> &[usize] {
        &self.input.shape
    }

    /// Shape of the output, outermost first.
    pub fn output_shape(&self) -> &[usize] {
        &self.output.shape
    }
}

/// A model folder whose manifest has been read.
#[derive(Debug)]
pub struct ModelStore {
    dir: PathBuf,
    manifest: Manifest,
}

impl ModelStore {
    /// Reads `dir/manifest.toml`.
    ///
    /// # Errors
    /// When it is missing or not a manifest.
    pub fn open(dir: &Path) -> Result<Self, ManifestError> {
        let path = dir.join("manifest.toml");
        let text = std::fs::read_to_string(&path).map_err(|why| ManifestError::Unreadable { path: path.clone(), why })?;
        let manifest = toml::from_str(&text).map_err(|e| ManifestError::Syntax { path, why: e.to_string() })?;
        Ok(Self { dir: dir.to_owned(), manifest })
    }

    /// Finds the entry, checks the file's hash, loads it, and holds its tensors to the manifest.
    ///
    /// # Errors
    /// When there is no such entry, the file is missing or another one, or the runtime refuses it.
    pub fn load(&self, runtime: &Runtime, role: Role, precision: Precision) -> Result<(ModelEntry, Network), ManifestError> {
        let entry = self.verified(role, precision)?;
        let path = self.dir.join(&entry.file);
        let spec = |t: &RawTensor| TensorSpec { name: t.name.clone(), shape: t.shape.clone() };
        let network = Network::load(runtime, &path, &spec(&entry.input), &spec(&entry.output))?;
        Ok((entry.clone(), network))
    }

    /// Finds the entry and checks the file's hash, without the runtime: what `check` can say on any machine.
    ///
    /// # Errors
    /// When there is no such entry, or the file is missing or another one.
    pub fn verified(&self, role: Role, precision: Precision) -> Result<&ModelEntry, ManifestError> {
        let manifest = self.dir.join("manifest.toml");
        let entry = self.manifest.model.iter().find(|m| m.role == role && m.precision == precision).ok_or_else(|| {
            let present: Vec<String> =
                self.manifest.model.iter().map(|m| format!("{} {}", m.role.as_str(), m.precision.as_str())).collect();
            ManifestError::NoSuchModel {
                path: manifest.clone(),
                role: role.as_str(),
                precision: precision.as_str(),
                present: present.join(", "),
            }
        })?;
        let path = self.dir.join(&entry.file);
        let bytes = std::fs::read(&path).map_err(|why| ManifestError::Unreadable { path: path.clone(), why })?;
        let found: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        if !found.eq_ignore_ascii_case(&entry.sha256) {
            return Err(ManifestError::Hash { path, manifest, found, expected: entry.sha256.clone() });
        }
        Ok(entry)
    }
}
