//! The artifacts of a project: bytes in, bytes out, and what became unused.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gyre_core::Clock;
use gyre_store::{Store, StoreError};
use tokio::runtime::Handle;

use crate::ArtifactError;
use crate::bucket::Remote;
use crate::depot::{self, Depot};
use crate::download::Download;
use crate::hashing::Sums;
use crate::index::{self, Brought, FileRecord};
use crate::location::Location;
use crate::parts::Uploads;
use crate::path::ArtifactPath;
use crate::upload::Upload;

/// The folder of a store in which artifacts lie: of its own, so that nobody else's blobs are ever swept up.
const FOLDER: &str = "artifacts";

/// The folder for what is on its way in.
const INCOMING: &str = "incoming";

/// The mark of the store that a place belongs to.
const OWNER: &str = "owner";

/// How long a presigned URL is valid.
const SIGNED: Duration = Duration::from_secs(900);

/// The artifacts of a project.
pub struct Artifacts {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) depot: Depot,
    pub(crate) uploads: Uploads,
    incoming: PathBuf,
}

impl Artifacts {
    /// Artifacts in the folder of the store. What a crash left half uploaded is deleted.
    pub fn local(store: Arc<Store>, clock: Arc<dyn Clock>) -> Self {
        let dir = store.dir().join(FOLDER);
        let incoming = dir.join(INCOMING);
        Self::over(store, clock, Depot::Local(depot::Folder::new(dir)), incoming)
    }

    /// Artifacts at `location`, which must be this store's alone: the first that opens it leaves its mark there. The client
    /// of an object storage runs on `runtime`; all calls block, and must not come from its asynchronous threads.
    ///
    /// # Errors
    /// The place cannot be reached, or belongs to another store.
    pub fn at(
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
        location: &Location,
        runtime: Handle,
    ) -> Result<Self, ArtifactError> {
        let (depot, incoming) = match location {
            Location::Folder(dir) => (Depot::Local(depot::Folder::new(dir.clone())), dir.join(INCOMING)),
            Location::Bucket(bucket) => {
                (Depot::Remote(Remote::open(bucket, runtime)?), store.dir().join(FOLDER).join(INCOMING))
            }
        };
        let ours = store.write(index::identity)?;
        let theirs = depot.claim(OWNER, &ours)?;
        if ours != theirs.trim() {
            // Each would take the other's blobs for strays, and delete them.
            return Err(ArtifactError::Store(StoreError::Conflict(
                "these artifacts belong to another store; choose another folder or prefix for this one (or, if the other \
                 store is gone for good and this one was made from a copy of it, delete the object `owner` there)"
                    .to_owned(),
            )));
        }
        Ok(Self::over(store, clock, depot, incoming))
    }

    fn over(store: Arc<Store>, clock: Arc<dyn Clock>, depot: Depot, incoming: PathBuf) -> Self {
        // The store is locked for this process, so nobody is uploading. What cannot be deleted only takes up room.
        let _ = std::fs::remove_dir_all(&incoming);
        Self { store, clock, depot, uploads: Uploads::default(), incoming }
    }

    /// Begins to take a file in.
    ///
    /// # Errors
    /// What the file system said.
    pub fn begin(&self) -> Result<Upload, ArtifactError> {
        Upload::begin(&self.incoming, self.depot.is_local())
    }

    /// Makes a file visible at `path` once its bytes are durable; it takes the place of one that is there. Blocks.
    ///
    /// # Errors
    /// [`gyre_store::StoreError::Full`]; [`gyre_store::StoreError::Conflict`] when a file would have to be a folder too;
    /// [`gyre_store::StoreError::Busy`] when the same bytes are being deleted at this moment. Nothing has changed then.
    pub fn settle(&self, path: &ArtifactPath, upload: Upload) -> Result<FileRecord, ArtifactError> {
        let upload = upload.complete()?;
        let (Sums { digest, checksum }, size) = (upload.sums, upload.size);
        let kept = self.store.read(|tx| index::is_kept(tx, &digest))?;
        let brought = if kept && self.depot.has(&digest, size) {
            Brought::Before
        } else {
            self.depot.put(upload, &digest)?;
            Brought::Now
        };
        let (path, now) = (path.clone(), self.clock.now());
        self.store.write(move |tx| index::publish(tx, &path, (digest, checksum, size), brought, now))?;
        Ok(FileRecord { digest, checksum: Some(checksum), size, modified: now })
    }

    /// Takes in a file that is in memory.
    ///
    /// # Errors
    /// As [`Artifacts::settle`].
    pub fn put(&self, path: &ArtifactPath, bytes: &[u8]) -> Result<FileRecord, ArtifactError> {
        let mut upload = self.begin()?;
        upload.write(&Bytes::copy_from_slice(bytes))?;
        self.settle(path, upload)
    }

    /// The bytes from `from` to before `to` of a file. Blocks.
    ///
    /// # Errors
    /// [`ArtifactError::Damaged`] when they are gone; what the disk or the object storage said.
    pub fn open(&self, file: &FileRecord, from: u64, to: u64) -> Result<Download, ArtifactError> {
        self.depot.open(&file.digest, file.checksum, file.size, (from, to.min(file.size)))
    }

    /// A URL by which anybody may download the file for a quarter of an hour, from a place that can make one. Blocks.
    ///
    /// # Errors
    /// [`ArtifactError::Unsupported`] when artifacts lie in a folder.
    pub fn sign(&self, file: &FileRecord) -> Result<String, ArtifactError> {
        self.depot.sign(&file.digest, SIGNED)
    }
}
