//! Why nothing could be imported.

use std::path::{Path, PathBuf};

use gyre_store::StoreError;

/// Why an import (or an export) cannot be done or go on.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The source is written in a way that says nothing.
    #[error(
        "`{found}` is no source: expected sqlite:///PATH of an MLflow database, the path of a folder mlruns/, or http(s)://HOST of an MLflow server"
    )]
    NoSource {
        /// What was given, without credentials.
        found: String,
    },
    /// The source's database.
    #[error("the MLflow database {path}: {doing}: {error}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: String,
        /// What SQLite said.
        error: rusqlite::Error,
    },
    /// A file of the source.
    #[error("cannot read {path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// The source is not what it should be.
    #[error("{0}")]
    Source(String),
    /// Names are taken.
    #[error(
        "{}; nothing was imported. Give what comes other names with `--prefix`, or rename or remove what is here",
        .0.join("; ")
    )]
    Clash(Vec<String>),
    /// An artifact could not be stored.
    #[error(transparent)]
    Artifact(#[from] gyre_artifacts::ArtifactError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ImportError {
    pub(crate) fn database(path: &Path, doing: impl Into<String>) -> impl FnOnce(rusqlite::Error) -> Self {
        let (path, doing) = (path.to_owned(), doing.into());
        move |error| Self::Database { path, doing, error }
    }

    pub(crate) fn file(path: &Path, error: std::io::Error) -> Self {
        Self::File { path: path.to_owned(), error }
    }
}
