//! Why an artifact was not stored, found or read.

use std::io;
use std::path::Path;

use gyre_core::Digest;
use gyre_store::StoreError;

use crate::path::InvalidPath;

/// Why something was not done with an artifact.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The path is none.
    #[error(transparent)]
    Path(#[from] InvalidPath),
    /// The store refused; among others: there is no such file, or the disk is full.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bytes are not those that were put in.
    #[error(
        "the artifact's bytes are damaged: what lies under sha256 {0} is something else; upload the file again to mend it"
    )]
    Damaged(Digest),
    /// The object storage refused, or cannot be reached.
    #[error("the object storage failed to {doing}: {reason}")]
    Remote {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        reason: String,
    },
    /// This place cannot do it.
    #[error("{0}")]
    Unsupported(&'static str),
}

impl ArtifactError {
    /// An error of the file system.
    pub(crate) fn io(doing: &'static str, path: &Path, error: io::Error) -> Self {
        // A quota that is used up is a disk that is full, for those who write.
        if error.kind() == io::ErrorKind::QuotaExceeded {
            return Self::Store(StoreError::Full);
        }
        Self::Store(StoreError::io(doing, path, error))
    }
}
