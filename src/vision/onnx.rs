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
use ort::value::Tensor;

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

/// What a model takes or gives: the tensor's name and shape, all sides fixed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name in the graph.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
}

impl std::fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.name, self.shape)
    }
}

/// One model, one float32 input, one float32 output, both kept from run to run.
#[derive(Debug)]
pub struct Network {
    session: Session,
    input: Tensor<f32>,
    input_name: String,
    output: Vec<f32>,
    path: PathBuf,
}

impl Network {
    /// Loads the model and holds it to what the manifest says of its input and output.
    ///
    /// # Errors
    /// [`OnnxError::Model`] when the file can't be parsed, [`OnnxError::Mismatch`] when it is another model.
    pub fn load(runtime: &Runtime, path: &Path, input: &TensorSpec, output: &TensorSpec) -> Result<Self, OnnxError> {
        let fault = |e: &dyn std::fmt::Display| OnnxError::Model { path: path.to_owned(), why: e.to_string() };
        let session = Session::builder(&runtime.environment)
            .and_then(|b| Ok(b.with_intra_threads(1)?))
            .and_then(|b| Ok(b.with_intra_op_spinning(false)?))
            .and_then(|b| Ok(b.with_optimization_level(GraphOptimizationLevel::All)?))
            .and_then(|mut b| b.commit_from_file(path))
            .map_err(|e| fault(&e))?;
        check(path, "input", session.inputs(), input)?;
        check(path, "output", session.outputs(), output)?;
        let tensor =
            Tensor::from_array((input.shape.clone(), vec![0.0f32; input.shape.iter().product()])).map_err(|e| fault(&e))?;
        Ok(Self {
            session,
            input: tensor,
            input_name: input.name.clone(),
            output: Vec::with_capacity(output.shape.iter().product()),
            path: path.to_owned(),
        })
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

fn check(path: &Path, which: &'static str, found: &[ort::value::Outlet], expected: &TensorSpec) -> Result<(), OnnxError> {
    let described: Vec<String> = found
        .iter()
        .map(|o| {
            let shape: Vec<i64> = o.dtype().tensor_shape().map(|s| s.iter().copied().collect()).unwrap_or_default();
            format!("{} {:?}", o.name(), shape)
        })
        .collect();
    if described.len() == 1 && described[0] == expected.to_string() {
        return Ok(());
    }
    Err(OnnxError::Mismatch { path: path.to_owned(), which, found: described.join(", "), expected: expected.to_string() })
}
