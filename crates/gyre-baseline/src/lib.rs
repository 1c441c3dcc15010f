//! The reference trainer: gradient-boosted trees on a table, written as ONNX.
//!
//! Why this room exists: a user must be able to close the loop without Python, and every candidate deserves the question
//! "is the simple model as good?". So this is a plain, honest, quick learner without knobs to turn: histogram
//! gradient boosting (J. Friedman, "Greedy function approximation", 2001) with leaf-wise trees and learned directions for
//! missing values, as LightGBM and scikit-learn's `HistGradientBoosting*` have them, and ordered target statistics for
//! categories (L. Prokhorenkova et al., "CatBoost", 2018).
//!
//! It is written here because no maintained crate fits: one that trains on the stable toolchain, minimises absolute
//! error, and splits on 32-bit thresholds, so that the exported graph answers exactly as the trainer does.
//!
//! The way through it: [`TrainTable`] → categories to numbers (`encode`) → bins (`bins`) → trees (`tree`, `boost`) →
//! ONNX (`export`), scored on a holdout by the engine that will serve it ([`metrics`]).
//!
//! Invariants: no I/O, no clock, no thread; the same table, options and seed give the same bytes.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bins;
mod boost;
mod encode;
mod export;
pub mod metrics;
mod options;
mod train;
mod tree;

pub use options::{Objective, Options, Target, Task, TrainError, TrainTable};
pub use train::{Trained, train};
