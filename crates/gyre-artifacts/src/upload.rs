//! A file on its way in: bytes go to a temporary file while they are hashed.
//!
//! Nothing is visible until [`Artifacts::settle`](crate::Artifacts::settle). An upload that is dropped before leaves
//! nothing; what a crash leaves in the folder of temporary files is deleted at the next start.

use std::io::Write;
use std::path::Path;

use gyre_core::Digest;
use sha2::{Digest as _, Sha256};
use tempfile::{NamedTempFile, TempPath};

use crate::ArtifactError;

/// A file on its way in.
#[derive(Debug)]
pub struct Upload {
    file: NamedTempFile,
    hash: Sha256,
    size: u64,
}

impl Upload {
    pub(crate) fn begin(incoming: &Path) -> Result<Self, ArtifactError> {
        let failed = |error| ArtifactError::io("create a file in", incoming, error);
        std::fs::create_dir_all(incoming).map_err(failed)?;
        let file = NamedTempFile::new_in(incoming).map_err(failed)?;
        Ok(Self { file, hash: Sha256::new(), size: 0 })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`gyre_store::StoreError::Full`], or what the file system said. The upload cannot go on then.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ArtifactError> {
        self.hash.update(bytes);
        self.file.write_all(bytes).map_err(|error| ArtifactError::io("write", self.file.path(), error))?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Bytes taken so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::from_bytes(self.hash.clone().finalize().into())
    }

    /// Gets the bytes onto the disk, and gives the file away.
    pub(crate) fn arrive(self) -> Result<TempPath, ArtifactError> {
        let synced = self.file.as_file().sync_all();
        synced.map_err(|error| ArtifactError::io("write", self.file.path(), error))?;
        Ok(self.file.into_temp_path())
    }

    /// Gives the file away as it is, for somewhere else than this disk.
    pub(crate) fn into_file(self) -> TempPath {
        self.file.into_temp_path()
    }
}
