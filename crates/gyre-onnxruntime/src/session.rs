//! One session of onnxruntime: tensors in, tensors out, as the native engine has them.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use gyre_runtime::{Data, MAX_RANK, Output, ScoreError, Tensor};
use ort::environment::Environment;
use ort::session::builder::SessionBuilder;
use ort::session::{RunOptions, SessionInputValue};
use ort::value::{DynValue, Tensor as Value, TensorElementType, ValueType};

use crate::error::AskError;
use crate::watchdog::{self, Act};

/// Why a run is not begun.
pub(crate) const NO_THREAD: &str = "no thread can be had to end it in time; fewer models may help";

/// A graph, ready to run.
pub(crate) struct Session {
    inner: ort::session::Session,
    options: Arc<RunOptions>,
}

/// An output that is wanted: what the graph calls it, and what it is called among the answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// In the graph.
    pub(crate) from: String,
    /// Among the answers.
    pub(crate) name: Arc<str>,
}

impl Session {
    /// Makes a session of a file's bytes, unless that takes beyond `deadline`. It has one thread, that of its caller.
    pub(crate) fn make(environment: &Environment, file: &[u8], deadline: Instant) -> Result<Self, String> {
        let said = |error: ort::Error| error.to_string();
        let mut builder = builder(environment).map_err(said)?;
        let watch = watchdog::at(deadline, Act::Cancel(builder.canceler())).ok_or(NO_THREAD)?;
        let inner = builder.commit_from_memory(file);
        if watch.call_off() {
            return Err("loading it takes too long".to_owned());
        }
        Ok(Self { inner: inner.map_err(said)?, options: Arc::new(RunOptions::new().map_err(said)?) })
    }

    /// What a run of this session is told to end by.
    pub(crate) fn options(&self) -> Arc<RunOptions> {
        Arc::clone(&self.options)
    }

    /// Computes the outputs `wanted`, from `inputs` in the order of `names`.
    pub(crate) fn run(
        &mut self,
        names: &[String],
        inputs: Vec<Tensor>,
        wanted: &[Option<Wanted>],
    ) -> Result<Vec<Output>, AskError> {
        let failed = |error: ort::Error| AskError::Failed(error.to_string());
        let inputs = names.iter().zip(inputs).map(|(name, tensor)| {
            let value =
                value(tensor).map_err(|error| AskError::Failed(format!("input {name:?}: {error}")))?;
            Ok((Cow::Borrowed(name.as_str()), value))
        });
        let inputs: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = inputs.collect::<Result<_, AskError>>()?;
        let outputs = self.inner.run_with_options(inputs, &self.options).map_err(failed)?;
        let output = |wanted: &Option<Wanted>| {
            let Some(Wanted { from, name }) = wanted else {
                return Ok(Output { name: "".into(), tensor: Tensor::vector(Data::F32(Vec::new())) });
            };
            let problem = |problem: String| ScoreError::Output { output: name.to_string(), problem };
            let found = outputs.get(from).ok_or_else(|| problem("is missing".to_owned()))?;
            Ok(Output { name: Arc::clone(name), tensor: tensor(found).map_err(problem)? })
        };
        wanted.iter().map(output).collect()
    }
}

fn builder(environment: &Environment) -> ort::Result<SessionBuilder> {
    let builder =
        ort::session::Session::builder(environment)?.with_intra_threads(1)?.with_inter_threads(1)?;
    // A file that is both ONNX and onnxruntime's own format would be read as one and checked as the other.
    Ok(builder.with_config_entry("session.load_model_format", "ONNX")?)
}

fn value(tensor: Tensor) -> Result<SessionInputValue<'static>, ort::Error> {
    let shape = tensor.shape().to_vec();
    Ok(match tensor.into_data() {
        Data::F32(data) => Value::from_array((shape, data))?.into(),
        Data::F64(data) => Value::from_array((shape, data))?.into(),
        Data::I64(data) => Value::from_array((shape, data))?.into(),
        Data::I32(data) => Value::from_array((shape, data))?.into(),
        Data::Bool(data) => Value::from_array((shape, data))?.into(),
        Data::Str(data) => {
            let texts: Vec<String> = data.iter().map(ToString::to_string).collect();
            Value::from_string_array((shape, texts.as_slice()))?.into()
        }
    })
}

fn tensor(value: &DynValue) -> Result<Tensor, String> {
    let ValueType::Tensor { ty, shape, .. } = value.dtype() else {
        return Err(format!("is {}, expected a tensor", value.dtype()));
    };
    let dims: Vec<usize> = shape.iter().map(|&dim| usize::try_from(dim).unwrap_or(0)).collect();
    let said = |error: ort::Error| format!("cannot be read: {error}");
    /// The numbers of one type.
    macro_rules! numbers {
        ($kind:ident, $number:ty) => {
            Data::$kind(value.try_extract_tensor::<$number>().map_err(said)?.1.to_vec())
        };
    }
    let data = match ty {
        TensorElementType::Float32 => numbers!(F32, f32),
        TensorElementType::Float64 => numbers!(F64, f64),
        TensorElementType::Int64 => numbers!(I64, i64),
        TensorElementType::Int32 => numbers!(I32, i32),
        TensorElementType::Bool => numbers!(Bool, bool),
        TensorElementType::String => {
            let texts = value.try_extract_strings().map_err(said)?.1;
            Data::Str(texts.into_iter().map(Arc::from).collect())
        }
        other => {
            return Err(format!("is of {other}, which is not understood; cast it to float in the graph"));
        }
    };
    Tensor::new(&dims, data).ok_or_else(|| format!("has shape {dims:?}, more than {MAX_RANK} dimensions"))
}
