//! A file on its way in: bytes go to a temporary file while they are hashed.
//!
//! Nothing is visible until [`Artifacts::settle`](crate::Artifacts::settle). An upload that is dropped before leaves
//! nothing; what a crash leaves in the folder of temporary files is deleted at the next start.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use gyre_core::Digest;
use sha2::{Digest as _, Sha256};
use tempfile::{NamedTempFile, TempPath};

use crate::ArtifactError;

/// How many bytes may wait to get onto the disk while more come in.
const UNSYNCED: u64 = 32 << 20;

/// A file on its way in.
#[derive(Debug)]
pub struct Upload {
    file: NamedTempFile,
    hash: Sha256,
    size: u64,
    /// Whether it is to stay on this disk, which then has to hold it for sure.
    stays: bool,
    /// How much of it was told to get onto the disk.
    told: u64,
    sync: Option<Sync>,
}

impl Upload {
    /// Begins a file in the folder `incoming`; `stays` says whether it stays on this disk.
    pub(crate) fn begin(incoming: &Path, stays: bool) -> Result<Self, ArtifactError> {
        let failed = |error| ArtifactError::io("create a file in", incoming, error);
        std::fs::create_dir_all(incoming).map_err(failed)?;
        let file = NamedTempFile::new_in(incoming).map_err(failed)?;
        Ok(Self { file, hash: Sha256::new(), size: 0, stays, told: 0, sync: None })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`gyre_store::StoreError::Full`], or what the file system said. The upload cannot go on then.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ArtifactError> {
        self.hash.update(bytes);
        self.file.write_all(bytes).map_err(|error| self.failed(error))?;
        self.size += bytes.len() as u64;
        if self.stays && self.size - self.told >= UNSYNCED {
            self.told = self.size;
            let sync = match self.sync.take() {
                Some(sync) => sync,
                None => Sync::start(self.file.as_file()).map_err(|error| self.failed(error))?,
            };
            self.sync.insert(sync).go();
        }
        Ok(())
    }

    fn failed(&self, error: io::Error) -> ArtifactError {
        ArtifactError::io("write", self.file.path(), error)
    }

    /// Bytes taken so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::from_bytes(self.hash.clone().finalize().into())
    }

    /// Gets the bytes onto the disk, and gives the file away.
    pub(crate) fn arrive(mut self) -> Result<TempPath, ArtifactError> {
        let so_far = self.sync.take().map_or(Ok(()), Sync::finish);
        so_far.and_then(|()| self.file.as_file().sync_all()).map_err(|error| self.failed(error))?;
        Ok(self.file.into_temp_path())
    }

    /// Gives the file away as it is, for somewhere else than this disk.
    pub(crate) fn into_file(self) -> TempPath {
        self.file.into_temp_path()
    }
}

/// Gets a long file onto the disk while it still comes in, so that little is left to wait for at its end.
#[derive(Debug)]
struct Sync {
    go: SyncSender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl Sync {
    fn start(file: &File) -> io::Result<Self> {
        let file = file.try_clone()?;
        let (go, told) = sync_channel(1);
        let work = move |told: Receiver<()>| told.iter().try_for_each(|()| file.sync_data());
        let thread = std::thread::Builder::new().name("gyre-sync".to_owned()).spawn(move || work(told))?;
        Ok(Self { go, thread })
    }

    fn go(&self) {
        // One that is at work, or has failed, hears of it at the next round or at the end.
        let _ = self.go.try_send(());
    }

    /// Waits for what was begun. The system tells a failed write to one sync only, so what this one heard counts.
    fn finish(self) -> io::Result<()> {
        drop(self.go);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that syncs broke off")))
    }
}
