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
use ort::value::{Outlet, Tensor, ValueType};

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

/// One side of a tensor: its length in this process, and the name it has in a file that leaves the length open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// Its length here.
    pub length: usize,
    /// Its name in the graph; none where the file itself says the length.
    pub name: Option<String>,
}

/// What a model takes or gives: the tensor's name and shape. A side that the file leaves open is settled when the
/// model is loaded, once for good: the runtime then plans memory and kernels as for a file of that very size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name in the graph.
    pub name: String,
    /// Its sides, outermost first.
    pub sides: Vec<Side>,
}

impl TensorSpec {
    /// The lengths of its sides.
    pub fn shape(&self) -> Vec<usize> {
        self.sides.iter().map(|s| s.length).collect()
    }
}

/// One model, one float32 input, one float32 output, both kept from run to run.
#[derive(Debug)]
pub struct Network {
    session: Session,
    input: Tensor<f32>,
    input_name: String,
    input_shape: Vec<usize>,
    output: Vec<f32>,
    output_shape: Vec<usize>,
    path: PathBuf,
}

impl Network {
    /// Loads the model, gives the sides that the file leaves open the lengths that `input` names, and holds the outcome to
    /// what the manifest says of its input and output.
    ///
    /// # Errors
    /// [`OnnxError::Model`] when the file can't be parsed, [`OnnxError::Mismatch`] when it is another model.
    pub fn load(runtime: &Runtime, path: &Path, input: &TensorSpec, output: &TensorSpec) -> Result<Self, OnnxError> {
        let fault = |e: &dyn std::fmt::Display| OnnxError::Model { path: path.to_owned(), why: e.to_string() };
        let mut builder = Session::builder(&runtime.environment)
            .and_then(|b| Ok(b.with_intra_threads(1)?))
            .and_then(|b| Ok(b.with_intra_op_spinning(false)?))
            .and_then(|b| Ok(b.with_optimization_level(GraphOptimizationLevel::All)?))
            .map_err(|e| fault(&e))?;
        for side in &input.sides {
            if let Some(name) = &side.name {
                let length = i64::try_from(side.length).map_err(|e| fault(&e))?;
                builder = builder.with_dimension_override(name, length).map_err(|e| fault(&e))?;
            }
        }
        let session = builder.commit_from_file(path).map_err(|e| fault(&e))?;
        check(path, "input", session.inputs(), input)?;
        check(path, "output", session.outputs(), output)?;
        let (input_shape, output_shape) = (input.shape(), output.shape());
        let tensor =
            Tensor::from_array((input_shape.clone(), vec![0.0f32; input_shape.iter().product()])).map_err(|e| fault(&e))?;
        Ok(Self {
            session,
            input: tensor,
            input_name: input.name.clone(),
            input_shape,
            output: Vec::with_capacity(output_shape.iter().product()),
            output_shape,
            path: path.to_owned(),
        })
    }

    /// Shape of the input, outermost first.
    pub fn input_shape(&self) -> &[usize] {
        &self.input_shape
    }

    /// Shape of the output, outermost first.
    pub fn output_shape(&self) -> &[usize] {
        &self.output_shape
    }

    /// The input's values, row-major, to be filled before [`Self::run`].
    pub fn input_mut(&mut self) -> &mut [f32] {
        self.input.extract_tensor_mut().1
    }

    /// Runs the model on what stands in the input; gives the output's values, row-major.
    ///
    /// # Errors
    /// [`OnnxError::Model`] when the library fails; a frame is then dropped, the next one may do.
    pub fn run(&mut self) -> Result<&[f32], OnnxError> {
        let fault = |e: ort::Error| OnnxError::Model { path: self.path.clone(), why: e.to_string() };
        let outputs = self.session.run(ort::inputs![self.input_name.as_str() => &self.input]).map_err(fault)?;
        let (_, values) = outputs[0].try_extract_tensor::<f32>().map_err(fault)?;
        self.output.clear();
        self.output.extend_from_slice(values);
        drop(outputs);
        Ok(&self.output)
    }
}

fn check(path: &Path, which: &'static str, found: &[Outlet], expected: &TensorSpec) -> Result<(), OnnxError> {
    let described: Vec<String> = found.iter().map(describe).collect();
    // Open sides have their lengths by now, so a side that is still open bears another name than the manifest says.
    let wanted = format!("{} [{}]", expected.name, list(expected.sides.iter().map(|s| s.length.to_string())));
    if described.len() == 1 && described[0] == wanted {
        return Ok(());
    }
    let in_manifest = expected.sides.iter().map(|s| match &s.name {
        Some(name) => format!("{name} ({})", s.length),
        None => s.length.to_string(),
    });
    Err(OnnxError::Mismatch {
        path: path.to_owned(),
        which,
        found: described.join(", "),
        expected: format!("{} [{}]", expected.name, list(in_manifest)),
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
