//! Runs tabular ONNX models inside the process, in safe Rust.
//!
//! Why this room exists: a model that is served must never take its server down, and a gradient-boosted model answers
//! in microseconds, so neither a foreign library nor another process is wanted on the way of a prediction. The room
//! holds a small engine for the operators that tabular learners export (scikit-learn through skl2onnx, gyre's own
//! reference trainer): tree ensembles, linear models, scalers, encoders, and the tensor arithmetic between them.
//!
//! The way through it: bytes → [`proto`] (the file as it is) → [`Model::load`] (every check that can be made without
//! data, and a plan of numbered slots) → [`Model::run`] (tensors in, tensors out) → [`Scorer`] (rows of a table in,
//! predictions out).
//!
//! Invariants:
//! - Everything that a file can get wrong is found by [`Model::load`]; what depends on the data comes back from `run`
//!   as a [`RunError`]. Neither panics, whatever the bytes.
//! - Memory is bounded by [`Limits`]; nothing is allocated on the word of a length field alone.
//! - A [`Model`] is immutable: any number of threads share one.
//! - No I/O, no clock, no thread.
//!
//! Semantics follow the ONNX operator specifications (`ai.onnx` opset 9–22, `ai.onnx.ml` 1–4); where those are silent,
//! onnxruntime's behaviour is the reference, and the fixtures under `tests/` hold us to it.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod attributes;
mod error;
mod explanation;
mod forest;
mod format;
mod lightgbm;
mod limits;
mod model;
mod native;
mod ops;
mod plan;
pub mod proto;
mod scorer;
mod skops;
mod table;
mod tensor;
mod xgboost;

pub use error::{LoadError, RunError, ScoreError, SignatureError};
pub use explanation::{ExplainError, Explanation};
pub use format::{Format, Hints};
pub use limits::Limits;
pub use model::{Batch, Model, Output, Port};
pub use native::Scale;
pub use ops::supported_operators;
pub use scorer::{CLASSES_KEY, FEATURES_KEY, Feature, FeatureKind, Scorer, Scores, Task};
pub use table::{Column, Table, TableError};
pub use tensor::{DType, Data, MAX_RANK, Shape, Tensor};
