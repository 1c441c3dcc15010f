//! What can go wrong, with what was found and what to do.

use std::time::Duration;

use gyre_runtime::{ScoreError, SignatureError};

use crate::library::Missing;

/// Why a file is not a model that can be run in process.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LoadError {
    /// The native engine says no, and onnxruntime is not to be asked.
    #[error(transparent)]
    Native(gyre_runtime::LoadError),
    /// The graph is read, but cannot be asked for predictions about rows of a table.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The graph needs onnxruntime, which is not there.
    #[error("{lacks}; onnxruntime would run it, and is not there: {missing}")]
    NoLibrary {
        /// What the native engine lacks.
        lacks: Lack,
        /// Where it was looked for.
        missing: Missing,
    },
    /// The graph says what none may say.
    #[error("the graph is refused: {0}")]
    Refused(String),
    /// onnxruntime does not take the graph.
    #[error("{lacks}; onnxruntime does not run it either: {problem}")]
    Onnxruntime {
        /// What the native engine lacks.
        lacks: Lack,
        /// What onnxruntime said.
        problem: String,
    },
}

impl From<gyre_runtime::LoadError> for LoadError {
    fn from(error: gyre_runtime::LoadError) -> Self {
        match error {
            gyre_runtime::LoadError::Signature(error) => Self::Signature(error),
            error => Self::Native(error),
        }
    }
}

/// What the native engine lacks to run a graph, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack(String);

impl Lack {
    pub(crate) fn of(error: &gyre_runtime::LoadError) -> Self {
        // Without the list of what it has, and without advice that no longer holds.
        Self(match error {
            gyre_runtime::LoadError::UnknownOperator { node, operator, .. } => {
                format!("gyre's own engine lacks operator {operator} (node {node})")
            }
            other => format!("gyre's own engine does not run the graph ({other})"),
        })
    }
}

impl std::fmt::Display for Lack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why rows could not be scored.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AskError {
    /// What any engine says of rows that do not fit, and of answers that are none.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// onnxruntime gave the run up.
    #[error("onnxruntime: {0}")]
    Failed(String),
    /// It did not answer in time, and was told to end.
    #[error("it did not answer within {:.1} s", .0.as_secs_f64())]
    Late(Duration),
    /// Too many wait already.
    #[error("{0} requests wait for it already; later it will do")]
    Busy(usize),
}
