//! Runs tabular models inside the process, in safe Rust: ONNX graphs, and the own files of XGBoost, LightGBM and
//! scikit-learn.
//!
//! Why this room exists: a model that is served must never take its server down, and a gradient-boosted model answers
//! in microseconds, so neither a foreign library nor another process is wanted on the way of a prediction. The room
//! holds a small engine for the operators that tabular learners export (scikit-learn through skl2onnx, gyre's own
//! reference trainer): tree ensembles, linear models, scalers, encoders, and the tensor arithmetic between them; and
//! readers for the files that the libraries write themselves.
//!
//! The way through it: bytes → [`Scorer::load`], which tells the [`Format`] by the bytes and makes a model of them →
//! [`Scorer::score`] (rows of a table in, predictions out) and [`Scorer::explain`] (what each feature added). Behind it,
//! a graph goes through [`proto`] (the file as it is) → [`Model::load`] (every check that can be made without data, and
//! a plan of numbered slots) → [`Model::run`] (tensors in, tensors out); a library's own file goes through its reader
//! (`xgboost`, `lightgbm`, `skops`), which puts a `native` model together: steps that prepare columns, a learner, a
//! link. Trees of every format end in one `forest`, which is where speed and explanations live.
//!
//! Invariants:
//! - Everything that a file can get wrong is found when it is loaded; what depends on the data comes back as a
//!   [`RunError`] or [`ScoreError`]. Nothing panics, whatever the bytes.
//! - A file is data: nothing in it is run, and a type or an operator that is not known is refused by name.
//! - Memory is bounded by [`Limits`]; nothing is allocated on the word of a length field alone.
//! - A [`Scorer`] is immutable: any number of threads share one.
//! - No I/O, no clock, no thread.
//!
//! Semantics follow the ONNX operator specifications (`ai.onnx` opset 9–22, `ai.onnx.ml` 1–4); where those are silent,
//! onnxruntime's behaviour is the reference, and the fixtures under `tests/` hold us to it. For the libraries' own files
//! the libraries are: XGBoost 3.2, LightGBM 4.7 and scikit-learn 1.9 train models in the tests, and answers must agree.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod attributes;
mod binding;
mod calibration;
mod error;
mod explanation;
mod forest;
mod format;
mod interface;
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

pub use binding::{Binding, CLASSES_KEY, FEATURES_KEY, Feature, FeatureKind, Scores, Task};
pub use calibration::Calibration;
pub use error::{LoadError, RunError, ScoreError, SignatureError};
pub use explanation::{ExplainError, Explanation};
pub use format::{Format, Hints};
pub use interface::{Ending, Interface, Port};
pub use limits::Limits;
pub use model::{Batch, Model, Output};
pub use native::Scale;
pub use ops::supported_operators;
pub use scorer::Scorer;
pub use table::{Column, Name, Table, TableError};
pub use tensor::{DType, Data, MAX_RANK, Shape, Tensor};
