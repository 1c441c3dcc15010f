//! The artifacts of a project: bytes in, bytes out, and what became unused.

use std::path::PathBuf;
use std::sync::Arc;

use gyre_core::Clock;
use gyre_store::Store;

use crate::ArtifactError;
use crate::depot::{self, Depot};
use crate::download::Download;
use crate::index::{self, Brought, FileRecord};
use crate::path::ArtifactPath;
use crate::upload::Upload;

/// The folder of a store in which artifacts lie: of its own, so that nobody else's blobs are ever swept up.
const FOLDER: &str = "artifacts";

/// The folder for what is on its way in.
const INCOMING: &str = "incoming";

/// The artifacts of a project.
pub struct Artifacts {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) depot: Depot,
    incoming: PathBuf,
}

impl Artifacts {
    /// Artifacts in the folder of the store. What a crash left half uploaded is deleted.
    pub fn local(store: Arc<Store>, clock: Arc<dyn Clock>) -> Self {
        let dir = store.dir().join(FOLDER);
        Self::over(store, clock, Depot::Local(depot::Folder::new(dir)))
    }

    pub(crate) fn over(store: Arc<Store>, clock: Arc<dyn Clock>, depot: Depot) -> Self {
        let incoming = store.dir().join(FOLDER).join(INCOMING);
        // The store is locked for this process, so nobody is uploading. What cannot be deleted only takes up room.
        let _ = std::fs::remove_dir_all(&incoming);
        Self { store, clock, depot, incoming }
    }

    /// Begins to take a file in.
    ///
    /// # Errors
    /// What the file system said.
    pub fn begin(&self) -> Result<Upload, ArtifactError> {
        Upload::begin(&self.incoming)
    }

    /// Makes a file visible at `path` once its bytes are durable; it takes the place of one that is there. Blocks.
    ///
    /// # Errors
    /// [`gyre_store::StoreError::Full`]; [`gyre_store::StoreError::Conflict`] when a file would have to be a folder too;
    /// [`gyre_store::StoreError::Busy`] when the same bytes are being deleted at this moment. Nothing has changed then.
    pub fn settle(&self, path: &ArtifactPath, upload: Upload) -> Result<FileRecord, ArtifactError> {
        let (digest, size) = (upload.digest(), upload.size());
        let kept = self.store.read(|tx| index::is_kept(tx, &digest))?;
        let brought = if kept && self.depot.has(&digest, size) {
            Brought::Before
        } else {
            self.depot.put(upload.arrive()?, &digest)?;
            Brought::Now
        };
        let (path, now) = (path.clone(), self.clock.now());
        self.store.write(move |tx| index::publish(tx, &path, (digest, size), brought, now))?;
        Ok(FileRecord { digest, size, modified: now })
    }

    /// Takes in a file that is in memory.
    ///
    /// # Errors
    /// As [`Artifacts::settle`].
    pub fn put(&self, path: &ArtifactPath, bytes: &[u8]) -> Result<FileRecord, ArtifactError> {
        let mut upload = self.begin()?;
        upload.write(bytes)?;
        self.settle(path, upload)
    }

    /// The bytes from `from` to before `to` of a file. Blocks.
    ///
    /// # Errors
    /// [`ArtifactError::Damaged`] when they are gone; what the disk or the object storage said.
    pub fn open(&self, file: &FileRecord, from: u64, to: u64) -> Result<Download, ArtifactError> {
        self.depot.open(&file.digest, file.size, from, to.min(file.size))
    }
}
