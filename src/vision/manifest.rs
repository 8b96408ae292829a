//! `models/manifest.toml`: which weights belong together, what they take and give, and the hash that proves it.
//!
//! Read once at start. A file whose SHA-256 differs from its manifest is refused before the runtime sees it, so half
//! an upgrade can't run.
//!
//! Where the shape of a tensor says a name (`"width"`) instead of a number, the file leaves that side open. A detector's file
//! serves several input sizes that way: `sizes_px` says which widths and heights it was measured at. A reader has one
//! size, but may leave open how many plates a run reads (`"plates"`).

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::onnx::{Network, OnnxError, Runtime, Side, TensorSpec};

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
    /// The detector isn't offered at the wanted size.
    #[error(
        "{path}: {model} takes no input of {wanted} pixels, only {offered}; name one of them by models.detector_input or --detector-input"
    )]
    NoSuchSize {
        /// The manifest.
        path: PathBuf,
        /// Name and precision.
        model: String,
        /// What was asked for.
        wanted: InputSize,
        /// What there is.
        offered: String,
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

/// Width and height of a detector's input, pixels, both multiples of [`InputSize::STEP_PX`]: the network halves its picture
/// five times, and a rest would shift its maps against the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "[usize; 2]")]
pub struct InputSize {
    width_px: usize,
    height_px: usize,
}

impl InputSize {
    /// Both sides are multiples of this.
    pub const STEP_PX: usize = 32;
    /// Above this a detector would be slower than several tiles, and its buffers of a size that no box has.
    const MOST_PX: usize = 4096;

    /// A size whose sides fit the network.
    pub fn new(width_px: usize, height_px: usize) -> Option<Self> {
        let fits = |side: usize| side.is_multiple_of(Self::STEP_PX) && (Self::STEP_PX..=Self::MOST_PX).contains(&side);
        (fits(width_px) && fits(height_px)).then_some(Self { width_px, height_px })
    }

    /// Width, pixels.
    pub const fn width_px(self) -> usize {
        self.width_px
    }

    /// Height, pixels.
    pub const fn height_px(self) -> usize {
        self.height_px
    }
}

impl TryFrom<[usize; 2]> for InputSize {
    type Error = String;

    fn try_from([width_px, height_px]: [usize; 2]) -> Result<Self, String> {
        Self::new(width_px, height_px).ok_or_else(|| {
            let (step, most) = (Self::STEP_PX, Self::MOST_PX);
            format!("{width_px}x{height_px} is no input size: width and height are multiples of {step}, at most {most}")
        })
    }
}

impl FromStr for InputSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('x').map(|(w, h)| (w.parse(), h.parse())) {
            Some((Ok(width_px), Ok(height_px))) => Self::try_from([width_px, height_px]),
            _ => Err(format!("{text:?} is not WIDTHxHEIGHT in pixels, such as 640x384")),
        }
    }
}

impl fmt::Display for InputSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width_px, self.height_px)
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
    /// Sizes that the input may have; the detector's only.
    #[serde(default)]
    sizes_px: Vec<InputSize>,
    /// The one of them that is used unless another is asked for; the detector's only.
    default_size_px: Option<InputSize>,
    /// Frame pixels (at the model's scale) a cell of the output; the detector's only.
    pub stride: Option<u32>,
    /// How its scores were made probabilities, where and at which input size; folded into the file already. For people.
    pub calibration: Option<String>,
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
    shape: Vec<RawSide>,
}

/// A side that the file fixes, or the name of one that it leaves open.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a side of a shape is a whole number, or the name of a side that the file leaves open")]
enum RawSide {
    Fixed(usize),
    Open(String),
}

impl RawTensor {
    /// Its sides; open ones get the lengths given, in order, once for good.
    fn settled(&self, lengths: &[usize]) -> TensorSpec {
        let mut lengths = lengths.iter().copied();
        self.spec(|name| Side::AtLoad { name, length: lengths.next().unwrap_or(0) })
    }

    /// Its sides; open ones stay so for each run, up to a length.
    fn open(&self, most: usize) -> TensorSpec {
        self.spec(|name| Side::EachRun { name, most })
    }

    fn spec(&self, mut open: impl FnMut(String) -> Side) -> TensorSpec {
        let sides = self.shape.iter().map(|side| match side {
            RawSide::Fixed(length) => Side::Fixed(*length),
            RawSide::Open(name) => open(name.clone()),
        });
        TensorSpec { name: self.name.clone(), sides: sides.collect() }
    }
}

impl ModelEntry {
    /// Name and precision, as in messages: `plate_reader_64x160.int8`.
    pub fn label(&self) -> String {
        format!("{}.{}", self.name, self.precision.as_str())
    }

    /// Sizes that the detector's input may have; a reader has none to choose from.
    pub fn sizes(&self) -> &[InputSize] {
        &self.sizes_px
    }

    /// What no type holds: which roles have which keys, and shapes that fit their role.
    fn check(&self) -> Result<(), String> {
        use RawSide::{Fixed, Open};
        let fault = |what: &str| Err(format!("model {}: {what}", self.label()));
        let (input, output) = (self.input.shape.as_slice(), self.output.shape.as_slice());
        match self.role {
            Role::Detector => match (self.default_size_px, self.stride) {
                _ if self.sizes_px.is_empty() => {
                    fault("`sizes_px` is empty; a detector lists the [width, height] it may be run at")
                }
                (Some(size), _) if !self.sizes_px.contains(&size) => fault("`default_size_px` is none of `sizes_px`"),
                (None, _) => fault("a detector needs `default_size_px`, one of `sizes_px`"),
                (_, None) => fault("a detector needs `stride`"),
                (_, Some(stride)) if stride == 0 || !InputSize::STEP_PX.is_multiple_of(stride as usize) => {
                    fault("`stride` doesn't divide the sizes of the input, which are multiples of 32")
                }
                _ if !matches!(input, [Fixed(1), Fixed(3), Open(_), Open(_)]) => {
                    fault("a detector's input is [1, 3, \"height\", \"width\"], the last two by their names in the file")
                }
                _ if !matches!(output, [Fixed(1), Fixed(_), Open(_), Open(_)]) => {
                    fault("a detector's output is [1, maps, \"rows\", \"columns\"], the last two by their names in the file")
                }
                _ => Ok(()),
            },
            Role::Reader if !self.sizes_px.is_empty() || self.default_size_px.is_some() => {
                fault("`sizes_px` and `default_size_px` are a detector's; a reader has one size")
            }
            Role::Reader => match (input, output) {
                ([Fixed(1), inner @ ..], [Fixed(1), outer @ ..]) if all_fixed(inner) && all_fixed(outer) => Ok(()),
                ([Open(plates), inner @ ..], [Open(same), outer @ ..])
                    if plates == same && all_fixed(inner) && all_fixed(outer) =>
                {
                    Ok(())
                }
                _ => fault(
                    "a reader's input is [1, 1, height, width] and its output [1, places, classes], all numbers; or both begin with \"plates\", the side's name in the file, where that leaves open how many it reads in one run",
                ),
            },
        }
    }
}

fn all_fixed(sides: &[RawSide]) -> bool {
    sides.iter().all(|side| matches!(side, RawSide::Fixed(_)))
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
        let fault = |why: String| ManifestError::Syntax { path: path.clone(), why };
        let manifest: Manifest = toml::from_str(&text).map_err(|e| fault(e.to_string()))?;
        manifest.model.iter().try_for_each(ModelEntry::check).map_err(fault)?;
        Ok(Self { dir: dir.to_owned(), manifest })
    }

    /// Finds the detector, checks the file's hash, loads it for one size of input (its default one unless another is
    /// `wanted`), and holds its tensors to the manifest.
    ///
    /// # Errors
    /// When there is no such entry or size, the file is missing or another one, or the runtime refuses it.
    pub fn load_detector(
        &self,
        runtime: &Runtime,
        precision: Precision,
        wanted: Option<InputSize>,
    ) -> Result<(ModelEntry, InputSize, Network), ManifestError> {
        let entry = self.find(Role::Detector, precision)?;
        let size = wanted.or(entry.default_size_px).filter(|size| entry.sizes_px.contains(size)).ok_or_else(|| {
            let offered: Vec<String> = entry.sizes_px.iter().map(ToString::to_string).collect();
            ManifestError::NoSuchSize {
                path: self.path(),
                model: entry.label(),
                // Invariant of `check`: the default is among the sizes, so only a wanted one can be missing.
                wanted: wanted.unwrap_or(entry.sizes_px[0]),
                offered: offered.join(", "),
            }
        })?;
        // Invariant of `check`: a detector has a stride and it isn't zero.
        let cells = |side: usize| side / entry.stride.map_or(1, |s| s as usize);
        let input = entry.input.settled(&[size.height_px, size.width_px]);
        let output = entry.output.settled(&[cells(size.height_px), cells(size.width_px)]);
        Ok((entry.clone(), size, Network::load(runtime, &self.verified(entry)?, &input, &output)?))
    }

    /// Finds the reader, checks the file's hash, loads it with room for `most_plates` a run (for one where the file says so),
    /// and holds its tensors to the manifest.
    ///
    /// # Errors
    /// When there is no such entry, the file is missing or another one, or the runtime refuses it.
    pub fn load_reader(
        &self,
        runtime: &Runtime,
        precision: Precision,
        most_plates: usize,
    ) -> Result<(ModelEntry, Network), ManifestError> {
        let entry = self.find(Role::Reader, precision)?;
        let (input, output) = (entry.input.open(most_plates), entry.output.open(most_plates));
        Ok((entry.clone(), Network::load(runtime, &self.verified(entry)?, &input, &output)?))
    }

    /// The entry of a role and precision.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, role: Role, precision: Precision) -> Result<&ModelEntry, ManifestError> {
        self.manifest.model.iter().find(|m| m.role == role && m.precision == precision).ok_or_else(|| {
            let present: Vec<String> =
                self.manifest.model.iter().map(|m| format!("{} {}", m.role.as_str(), m.precision.as_str())).collect();
            ManifestError::NoSuchModel {
                path: self.path(),
                role: role.as_str(),
                precision: precision.as_str(),
                present: present.join(", "),
            }
        })
    }

    fn path(&self) -> PathBuf {
        self.dir.join("manifest.toml")
    }

    /// The entry's file, once its hash was found to be the manifest's.
    fn verified(&self, entry: &ModelEntry) -> Result<PathBuf, ManifestError> {
        let path = self.dir.join(&entry.file);
        let bytes = std::fs::read(&path).map_err(|why| ManifestError::Unreadable { path: path.clone(), why })?;
        let found: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        if !found.eq_ignore_ascii_case(&entry.sha256) {
            return Err(ManifestError::Hash { path, manifest: self.path(), found, expected: entry.sha256.clone() });
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_size_is_two_multiples_of_32() {
        let size: InputSize = "640x384".parse().expect("a size");
        assert_eq!((size.width_px(), size.height_px(), size.to_string().as_str()), (640, 384, "640x384"));
        for (text, word) in
            [("640x380", "multiples of 32"), ("0x32", "multiples of 32"), ("8192x64", "4096"), ("640", "WIDTHxHEIGHT")]
        {
            let error = text.parse::<InputSize>().expect_err(text);
            assert!(error.contains(word) && error.contains(text), "{error}");
        }
    }

    #[test]
    fn a_reader_leaves_open_how_many_it_reads_or_nothing() {
        let check = |input: &str, output: &str| {
            let text = format!(
                "name = 'r'\nrole = 'reader'\nprecision = 'int8'\nfile = 'r.onnx'\nsha256 = ''\ntraining = ''\ndata = []\nmetrics = ''\n\
                 input = {{ name = 'x', shape = [{input}] }}\noutput = {{ name = 'y', shape = [{output}] }}"
            );
            toml::from_str::<ModelEntry>(&text).expect("an entry").check()
        };
        for first in ["1", "'plates'"] {
            assert_eq!(check(&format!("{first}, 1, 64, 160"), &format!("{first}, 80, 37")), Ok(()));
        }
        for (input, output) in [
            ("'plates', 1, 64, 160", "1, 80, 37"),
            ("'plates', 1, 64, 160", "'rows', 80, 37"),
            ("1, 1, 64, 'width'", "1, 80, 37"),
            ("'plates', 1, 64, 160", "'plates', 'places', 37"),
            ("2, 1, 64, 160", "2, 80, 37"),
            ("", ""),
        ] {
            let error = check(input, output).expect_err(input);
            assert!(error.contains("r.int8") && error.contains("\"plates\""), "{error}");
        }
    }

    #[test]
    fn the_shipped_manifest_is_one() {
        let store = ModelStore::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models")).unwrap_or_else(|e| panic!("{e}"));
        for precision in [Precision::Int8, Precision::Fp32] {
            let detector = store.find(Role::Detector, precision).expect("a detector");
            assert!(detector.sizes().len() >= 2 && detector.label().ends_with(precision.as_str()));
            assert!(store.find(Role::Reader, precision).expect("a reader").sizes().is_empty());
        }
    }
}
