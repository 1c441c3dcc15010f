//! Content-addressed files: models, profiles, logs, reports.
//!
//! A blob is named by the SHA-256 of its bytes, written once, and checked whenever it is read: what comes back is
//! what was put in, or an error.

use std::io::Write;
use std::path::{Path, PathBuf};

use gyre_core::Digest;

use crate::StoreError;

/// A folder of blobs: `ab/cdef…`.
#[derive(Debug, Clone)]
pub struct Blobs {
    dir: PathBuf,
}

impl Blobs {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Where the blob `digest` lies, or would lie.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.to_hex();
        self.dir.join(&hex[..2]).join(&hex[2..])
    }

    /// Keeps `bytes` and returns their name. Putting the same bytes again costs nothing. They are on disk when this
    /// returns.
    ///
    /// # Errors
    /// [`StoreError::Full`], or what the file system said.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        let path = self.path(&digest);
        if path.is_file() {
            return Ok(digest);
        }
        let folder = path.parent().unwrap_or(&self.dir);
        let failed = |error| StoreError::io("write", &path, error);
        std::fs::create_dir_all(folder).map_err(failed)?;
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        sync_folder(folder)?;
        Ok(digest)
    }

    /// The bytes of the blob `digest`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Corrupt`] when the bytes are not those that were put in.
    pub fn get(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.path(digest);
        let bytes = std::fs::read(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => StoreError::not_found("blob", digest.to_hex()),
            _ => StoreError::io("read", &path, error),
        })?;
        if Digest::of(&bytes) != *digest {
            let reason = format!("{} is not what was written there", path.display());
            return Err(StoreError::Corrupt { table: "blobs", reason });
        }
        Ok(bytes)
    }
}

/// Makes a rename in `folder` survive a power loss.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    let opened = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
    opened.map_err(|error| StoreError::io("sync", folder, error))
}
