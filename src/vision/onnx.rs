//! ONNX Runtime, wrapped: the only file that names `ort`.
//!
//! A [`Runtime`] is the loaded shared library (one a process, by the library's own rule); a [`Network`] is one model
//! with its input and output buffers, checked against what its manifest promises. Networks run on the calling
//! thread alone: with a second thread the library spins while it waits and costs more than it gives on two busy
//! cores (measured: 53 → 111 ms for one detector run). Parallelism comes from readers.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{Outlet, TensorRef, ValueType};

/// Why the library or a model can't be used. Each one is mended by the installation, not by another try.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// The shared library is missing, of the wrong machine type, or too old.
    #[error(
        "ONNX Runtime can't be loaded from {path}: {why}; run `make setup`, then name libonnxruntime.so.1 (1.24 or newer) by models.onnxruntime in the configuration, --onnxruntime or ORT_DYLIB_PATH"
    )]
    Library {
        /// Where it was looked for.
        path: PathBuf,
        /// What the loader said.
        why: String,
    },
    /// The model file can't be parsed or run by this library.
    #[error("model {path}: {why}")]
    Model {
        /// The model's file.
        path: PathBuf,
        /// What the library said.
        why: String,
    },
    /// The model is a good one, but not the one that the manifest describes.
    #[error(
        "model {path}: its {which} is {found}, the manifest says {expected}; install the weights that belong to this manifest"
    )]
    Mismatch {
        /// The model's file.
        path: PathBuf,
        /// `input` or `output`.
        which: &'static str,
        /// What the file has.
        found: String,
        /// What the manifest promises.
        expected: String,
    },
}

/// The loaded library. Clones share it.
#[derive(Clone, Debug)]
pub struct Runtime {
    environment: Environment,
}

/// The library allows one environment a process, so the first one is kept for all who ask later.
static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

impl Runtime {
    /// Loads the library from `path`, or gives the one that this process has loaded already.
    ///
    /// # Errors
    /// [`OnnxError::Library`] when it is missing, of the wrong kind, or older than 1.24.
    pub fn load(path: &Path) -> Result<Self, OnnxError> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*loaded {
            return Ok(runtime.clone());
        }
        let fault = |why: String| OnnxError::Library { path: path.to_owned(), why };
        let environment = ort::init_from(path)
            .map_err(|e| fault(e.to_string()))?
            .with_name("kerbside")
            .with_telemetry(false)
            .build()
            .map_err(|e| fault(e.to_string()))?;
        environment.set_log_level(ort::logging::LogLevel::Warning);
        let runtime = Self { environment };
        *loaded = Some(runtime.clone());
        Ok(runtime)
    }
}

/// One side of a tensor: its length, and who settles it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// The file itself says the length.
    Fixed(usize),
    /// The file leaves the length open under this name; it is settled when the model is loaded, once for good: the runtime
    /// then plans memory and kernels as for a file of that very size.
    AtLoad {
        /// Its name in the graph.
        name: String,
        /// Its length in this process.
        length: usize,
    },
    /// The file leaves the length open under this name, and it stays open: each run is for as many as there are to do.
    /// Only the outermost side can be such a one.
    EachRun {
        /// Its name in the graph.
        name: String,
        /// Its length in the longest run, for which room is kept.
        most: usize,
    },
}

impl Side {
    /// Its length; where each run settles it, that of the longest.
    const fn length(&self) -> usize {
        match self {
            Self::Fixed(length) | Self::AtLoad { length, .. } => *length,
            Self::EachRun { most, .. } => *most,
        }
    }

    /// As the loaded model describes it.
    fn when_loaded(&self) -> String {
        match self {
            Self::Fixed(length) | Self::AtLoad { length, .. } => length.to_string(),
            Self::EachRun { name, .. } => name.clone(),
        }
    }

    /// As the manifest describes it.
    fn in_manifest(&self) -> String {
        match self {
            Self::AtLoad { name, length } => format!("{name} ({length})"),
            Self::Fixed(_) | Self::EachRun { .. } => self.when_loaded(),
        }
    }
}

/// What a model takes or gives: the tensor's name and shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name in the graph.
    pub name: String,
    /// Its sides, outermost first.
    pub sides: Vec<Side>,
}

impl TensorSpec {
    /// The lengths of its sides; where each run settles one, that of the longest run.
    pub fn shape(&self) -> Vec<usize> {
        self.sides.iter().map(Side::length).collect()
    }
}

/// One model, one float32 input, one float32 output, both kept from run to run with room for the longest.
#[derive(Debug)]
pub struct Network {
    session: Session,
    input: Vec<f32>,
    input_shape: Vec<usize>,
    /// The input's shape in the run at hand: as `input_shape`, but for the outermost side.
    run_shape: Vec<usize>,
    output: Vec<f32>,
    output_shape: Vec<usize>,
    path: PathBuf,
}

impl Network {
    /// Loads the model, settles the sides of `input` that are settled at load, and holds the outcome to what the manifest
    /// says of its input and output.
    ///
    /// # Errors
    /// [`OnnxError::Model`] when the file can't be parsed, or its answers could not be told apart;
    /// [`OnnxError::Mismatch`] when it is another model.
    pub fn load(runtime: &Runtime, path: &Path, input: &TensorSpec, output: &TensorSpec) -> Result<Self, OnnxError> {
        let fault = |e: &dyn std::fmt::Display| OnnxError::Model { path: path.to_owned(), why: e.to_string() };
        let mut builder = Session::builder(&runtime.environment)
            .and_then(|b| Ok(b.with_intra_threads(1)?))
            .and_then(|b| Ok(b.with_intra_op_spinning(false)?))
            .and_then(|b| Ok(b.with_optimization_level(GraphOptimizationLevel::All)?))
            .map_err(|e| fault(&e))?;
        for side in &input.sides {
            if let Side::AtLoad { name, length } = side {
                let length = i64::try_from(*length).map_err(|e| fault(&e))?;
                builder = builder.with_dimension_override(name, length).map_err(|e| fault(&e))?;
            }
        }
        let session = builder.commit_from_file(path).map_err(|e| fault(&e))?;
        check(path, "input", session.inputs(), input)?;
        check(path, "output", session.outputs(), output)?;
        let (input_shape, output_shape) = (input.shape(), output.shape());
        if input_shape.is_empty() || input_shape.first() != output_shape.first() {
            return Err(fault(&"input and output differ in their outermost sides, so that a run's answers can't be told apart"));
        }
        Ok(Self {
            session,
            input: vec![0.0; input_shape.iter().product()],
            run_shape: input_shape.clone(),
            input_shape,
            output: Vec::with_capacity(output_shape.iter().product()),
            output_shape,
            path: path.to_owned(),
        })
    }

    /// Shape of the input, outermost first; in the longest run where each run settles a side.
    pub fn input_shape(&self) -> &[usize] {
        &self.input_shape
    }

    /// Shape of the output, outermost first; in the longest run where each run settles a side.
    pub fn output_shape(&self) -> &[usize] {
        &self.output_shape
    }

    /// The input's values, row-major, to be filled before [`Self::run`] or [`Self::run_first`].
    pub fn input_mut(&mut self) -> &mut [f32] {
        &mut self.input
    }

    /// Runs the model on all that stands in the input; gives the output's values, row-major.
    ///
    /// # Errors
    /// [`OnnxError::Model`] when the library fails; a frame is then dropped, the next one may do.
    pub fn run(&mut self) -> Result<&[f32], OnnxError> {
        self.run_first(self.input_shape[0])
    }

    /// Runs the model on the first `count` of what the input's outermost side counts; gives as many of the output, row-major.
    ///
    /// # Errors
    /// [`OnnxError::Model`] when there is no room for so many, the file allows no other number than its own, or the
    /// library fails.
    pub fn run_first(&mut self, count: usize) -> Result<&[f32], OnnxError> {
        let fault = |why: String| OnnxError::Model { path: self.path.clone(), why };
        let most = self.input_shape[0];
        if count > most {
            return Err(fault(format!("asked for a run of {count}, with room for {most}")));
        }
        let each = |shape: &[usize]| shape.iter().skip(1).product::<usize>();
        let input = &self.input[..count * each(&self.input_shape)];
        self.run_shape[0] = count;
        // A view of values that stay where they are: measured, 0.25 µs a run. An `IoBinding` would copy what is borrowed.
        let view = TensorRef::from_array_view((self.run_shape.as_slice(), input)).map_err(|e| fault(e.to_string()))?;
        let outputs = self.session.run(ort::inputs![view]).map_err(|e| fault(e.to_string()))?;
        let (_, values) = outputs[0].try_extract_tensor::<f32>().map_err(|e| fault(e.to_string()))?;
        let expected = count * each(&self.output_shape);
        if values.len() != expected {
            return Err(fault(format!("a run of {count} gave {} values, not {expected}", values.len())));
        }
        self.output.clear();
        self.output.extend_from_slice(values);
        drop(outputs);
        Ok(&self.output)
    }
}

fn check(path: &Path, which: &'static str, found: &[Outlet], expected: &TensorSpec) -> Result<(), OnnxError> {
    let described: Vec<String> = found.iter().map(describe).collect();
    // Sides that are settled at load have their lengths by now, so one that is still open bears another name than the manifest says.
    let wanted = format!("{} [{}]", expected.name, list(expected.sides.iter().map(Side::when_loaded)));
    if described.len() == 1 && described[0] == wanted {
        return Ok(());
    }
    Err(OnnxError::Mismatch {
        path: path.to_owned(),
        which,
        found: described.join(", "),
        expected: format!("{} [{}]", expected.name, list(expected.sides.iter().map(Side::in_manifest))),
    })
}

/// A tensor's name and its sides; those that the graph leaves open by their names.
fn describe(outlet: &Outlet) -> String {
    let sides = match outlet.dtype() {
        ValueType::Tensor { shape, dimension_symbols, .. } => list(shape.iter().enumerate().map(|(i, side)| {
            let symbol = dimension_symbols.get(i).map_or("", String::as_str);
            if *side < 0 { if symbol.is_empty() { "?" } else { symbol }.to_owned() } else { side.to_string() }
        })),
        other => other.to_string(),
    };
    format!("{} [{sides}]", outlet.name())
}

fn list(sides: impl Iterator<Item = String>) -> String {
    sides.collect::<Vec<_>>().join(", ")
}
