//! Models that live outside our process: a supervised command in any language, or a URL.
//!
//! Why this room exists: most models are no ONNX graphs. They are Python objects that need their own interpreter and their
//! own packages, or somebody else's service. What runs them must not be able to take gyre down, and most of them answer one
//! request at a time, slowly, while they would answer a hundred rows at once in the same time. So they run as processes
//! that are watched and started again, and what is asked of them is gathered, limited and held to what was promised.
//!
//! The way of one prediction: [`Backend::predict`] → `shared` (columns in the signature's order) → `lane` (go now, wait in
//! line, or be turned away) → `wire` (a request in the model's protocol: `v2` or `mlflow`) → `peer` (HTTP over a
//! connection that `pool` kept and `dial` made) → `promise` (is the answer what the signature promises?) → [`Scores`](gyre_runtime::Scores).
//!
//! The way of a process: [`Backend::process`] → `supervisor` (start, ready, watch, start again, stop) → `process` (one life:
//! group, environment, output), with `backoff` between two lives and `logs` over all of them.
//!
//! A server that somebody else starts and watches, a cluster perhaps: [`Backend::placed`] → `placed` (follow the [`News`]: where
//! it is, or why it is not there).
//!
//! Invariants:
//! - Nothing of a process outlives us, whatever happens to us (see `gyre_process`).
//! - No caller waits past its deadline, and one caller's bad rows are never another's error.
//! - Memory is bounded: by the limits of the queue, the largest answer, the log that is kept.
//! - A process sees none of our environment but what is listed; a caller's credentials go to no model.
//! - Every wait is on tokio's clock, so that a test can hold it.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod backend;
mod backoff;
mod body;
mod cells;
pub mod context;
mod dial;
mod error;
mod lane;
mod logs;
mod mlflow;
mod pace;
mod peer;
mod placed;
mod pool;
mod process;
mod promise;
mod shared;
mod spec;
mod state;
mod supervisor;
mod v2;
mod wire;

pub use backend::Backend;
pub use backoff::Backoff;
pub use body::{Body, Patience};
pub use dial::Door;
pub use error::{AnswerError, BackendError};
pub use lane::Waited;
pub use placed::{News, Place};
pub use spec::{EndpointSpec, Limits, Listen, LogHook, PASSED, PlacedSpec, ProcessSpec, Protocol};
pub use state::{Failure, State, Status};
pub use tokio::time::Instant;
