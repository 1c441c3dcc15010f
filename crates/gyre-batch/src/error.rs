//! Why a job cannot be done, or not to its end.

use std::path::{Path, PathBuf};

use gyre_core::Diagnostic;
use gyre_data::files::FileError;

/// Why files were not scored.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// What was asked for, or a file, is wrong; each with its place and what to do.
    #[error("{}", each(.0))]
    Wrong(Vec<Diagnostic>),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The output cannot be encoded.
    #[error("{}: cannot be written: {reason}", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// What the encoder said.
        reason: String,
    },
    /// Another process works on the same output.
    #[error("{}: another `gyre predict` is writing this output; wait for it, or choose another --output", path.display())]
    Busy {
        /// The output.
        path: PathBuf,
    },
    /// Whoever watched said stop; what is scored is kept.
    #[error("stopped; the same command goes on from there")]
    Stopped,
    /// A thread could not be brought to life, or died.
    #[error("a scoring thread failed: {0}")]
    Thread(String),
}

impl BatchError {
    /// One thing that is wrong with a file.
    pub(crate) fn wrong(diagnostic: Diagnostic) -> Self {
        Self::Wrong(vec![diagnostic])
    }

    pub(crate) fn encode(path: &Path, error: impl ToString) -> Self {
        Self::Encode { path: path.to_path_buf(), reason: error.to_string() }
    }
}

fn each(wrong: &[Diagnostic]) -> String {
    wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
