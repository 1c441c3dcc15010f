//! Models that run in gyre's process: by the native engine where it reads the file, by onnxruntime for other ONNX graphs.
//!
//! Why this room exists: the native engine (`gyre-runtime`) runs what tabular learners write, in safe Rust, and nothing
//! else; a convolution or a recurrent network wants a runtime of its own, and onnxruntime is the one that exports are made
//! for. It is a shared library, found and opened only when the first graph needs it (`library`), so that whoever
//! serves trees never has it in memory, and so that gyre is one binary without it.
//!
//! The way through it: bytes → [`LocalModel::load`]: the native engine first; a graph that is beyond it is looked through
//! for what no graph may say (`check`), bound to columns as the native engine binds it (`gyre_runtime::Binding`), and
//! given to a `pool` of sessions. [`LocalModel::score`] then asks whichever engine has it.
//!
//! Invariants:
//! - The library comes from where the server was told to look, never from where a request or a model points to; a graph
//!   reaches no file: sessions are made of bytes, data in other files is refused, no library of operators is loaded.
//! - Nobody waits past its deadline: what still runs then is told to end (`watchdog`), and the caller is answered.
//! - A session is used by one run at a time, as `ort` asks; there are at most as many as cores, fewer for large models.
//! - No code here is unsafe; that of onnxruntime is. A crash inside it takes the process along: models of which that is
//!   to be feared are served as a process of their own.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod check;
mod error;
mod graph;
mod leash;
mod library;
mod model;
mod pace;
mod pool;
mod session;
mod watchdog;

pub use error::{AskError, LoadError};
pub use graph::Graph;
pub use library::{Missing, Places, SETTING, look_in};
pub use model::LocalModel;
