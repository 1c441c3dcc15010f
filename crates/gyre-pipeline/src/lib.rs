//! Pipelines: stages, their order, what must run, and running it.
//!
//! A model is made by commands that a user wrote in `dvc.yaml`, in any language. This crate reads that file
//! ([`Pipeline`]), finds out which stages have something new to do by the content of what they read, runs those
//! ([`run()`]), and records what came out in `dvc.lock` and the DVC cache, so that `dvc` and `gyre` can take turns
//! on one project and neither repeats what the other did.
//!
//! Invariants: a stage is only recorded after it succeeded and all its outputs are there; a command never
//! outlives the run that started it, however the run ends; memory is bounded, whatever a command prints. I/O is
//! blocking; callers bring threads.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod graph;
mod lock;
mod params;
mod process;
mod read;
mod run;
mod stage;
mod tail;

pub use run::{Failure, PipelineError, PipelineRun, Progress, RunOptions, StageRun, run};
pub use stage::{Cmd, Dependency, Output, OutputKind, ParamsFile, Pipeline, Stage};

/// The pipeline file's usual name.
pub const FILE: &str = "dvc.yaml";
