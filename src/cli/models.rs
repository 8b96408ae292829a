//! Where the models and ONNX Runtime are, for the commands that run without a configuration.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::{Args, ValueEnum};

use super::Failure;
use crate::anpr::decode::{DecodeOptions, Decoder};
use crate::anpr::syntax::Grammar;
use crate::clock::{Clock, SystemClock};
use crate::config::{DEFAULT_MODELS_DIR, DEFAULT_ONNXRUNTIME};
use crate::runtime::photo::PhotoReader;
use crate::vision::manifest::{InputSize, Precision};
use crate::vision::onnx::Runtime;
use crate::vision::tiles::Tiles;
use crate::vision::{Vision, VisionOptions};

/// Which weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum PrecisionArg {
    /// Eight-bit integers: fastest
    Int8,
    /// 32-bit floats
    Fp32,
}

/// Options that every command with models takes.
#[derive(Clone, Debug, Args)]
pub(super) struct ModelArgs {
    /// Folder with manifest.toml and the weights [default: ./models, beside the program, or the installed one]
    #[arg(long, value_name = "DIR", env = "KERBSIDE_MODELS")]
    pub(super) models: Option<PathBuf>,
    /// ONNX Runtime's shared library [default: ./.deps/ort/libonnxruntime.so.1, beside the program, or the installed one]
    #[arg(long, value_name = "FILE", env = "ORT_DYLIB_PATH")]
    pub(super) onnxruntime: Option<PathBuf>,
    /// Which weights to use
    #[arg(long, value_enum, default_value_t = PrecisionArg::Int8)]
    pub(super) precision: PrecisionArg,
    /// Width and height of the detector's input, pixels; larger finds smaller plates [default: the manifest's]
    #[arg(long, value_name = "WxH")]
    pub(super) detector_input: Option<InputSize>,
    /// Cut the picture into columns x rows of tiles, at most 4x4, each with a detector run of its own: finds smaller plates. 2x2
    /// magnifies by 1.75; tiles of another shape than the input's magnify less
    #[arg(long, value_name = "CxR", default_value_t = VisionOptions::default().detector.tiles)]
    pub(super) tiles: Tiles,
    /// With --tiles, leave out the further look at the whole picture, which finds plates wider than a quarter of a tile
    #[arg(long, requires = "tiles")]
    pub(super) tiles_only: bool,
    /// Smallest detector score that makes a candidate
    #[arg(long, value_name = "SCORE", default_value_t = VisionOptions::default().detector.min_score, value_parser = share)]
    pub(super) min_score: f32,
    /// Most candidates a frame; the best are kept
    #[arg(long, value_name = "COUNT", default_value_t = VisionOptions::default().detector.max_candidates, value_parser = candidates)]
    pub(super) max_candidates: usize,
}

impl ModelArgs {
    /// The folder with the models: as given, or the first of the usual places that has a manifest.
    pub(super) fn models_dir(&self) -> PathBuf {
        first_that_exists(self.models.as_deref(), &["models"], "models", DEFAULT_MODELS_DIR, "manifest.toml")
    }

    /// ONNX Runtime's library: as given, or the first of the usual places that has it.
    pub(super) fn onnxruntime_path(&self) -> PathBuf {
        first_that_exists(
            self.onnxruntime.as_deref(),
            &[".deps/ort/libonnxruntime.so.1"],
            ".deps/ort/libonnxruntime.so.1",
            DEFAULT_ONNXRUNTIME,
            "",
        )
    }

    /// What vision is to be made of.
    pub(super) fn vision_options(&self) -> VisionOptions {
        let precision = match self.precision {
            PrecisionArg::Int8 => Precision::Int8,
            PrecisionArg::Fp32 => Precision::Fp32,
        };
        let mut options = VisionOptions { precision, detector_input: self.detector_input, ..VisionOptions::default() };
        options.detector.tiles = self.tiles;
        options.detector.whole_too = !self.tiles_only;
        options.detector.min_score = self.min_score;
        options.detector.max_candidates = self.max_candidates;
        options
    }

    /// Loads the runtime and both models.
    pub(super) fn vision(&self) -> Result<Vision, Failure> {
        let runtime = Runtime::load(&self.onnxruntime_path()).map_err(Failure::config)?;
        Vision::load(&runtime, &self.models_dir(), &self.vision_options()).map_err(Failure::config)
    }

    /// Models and decoder for photographs, with today's grammar.
    pub(super) fn photo_reader(&self) -> Result<PhotoReader, Failure> {
        Ok(PhotoReader::new(self.vision()?, Decoder::new(Grammar::new(SystemClock.now().utc), DecodeOptions::default())))
    }
}

/// What was given; else relative to here; else relative to the program's own folder or one of those above it
/// (`target/release/kerbside` in a checkout); else where the package puts it.
fn first_that_exists(given: Option<&Path>, here: &[&str], beside: &str, installed: &str, inside: &str) -> PathBuf {
    if let Some(path) = given {
        return path.to_owned();
    }
    let exists = |path: &Path| if inside.is_empty() { path.exists() } else { path.join(inside).exists() };
    let program = std::env::current_exe().ok();
    here.iter()
        .map(PathBuf::from)
        .chain(program.iter().flat_map(|p| p.ancestors().skip(1).take(4)).map(|dir| dir.join(beside)))
        .find(|p| exists(p))
        .unwrap_or_else(|| installed.into())
}

/// A number from 0 to 1.
pub(super) fn share(text: &str) -> Result<f32, String> {
    let value: f32 = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err(format!("{value} is not between 0 and 1")) }
}

/// A number of candidates, as the configuration allows it.
fn candidates(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| (1..=64).contains(n)).ok_or_else(|| format!("{text:?} is not a number from 1 to 64"))
}

/// A finding with a path in front, for files that are wrong.
pub(super) fn about(path: &Path, what: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("{}: {what}", path.display())
}
