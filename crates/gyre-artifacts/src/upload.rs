//! A file on its way in: bytes go to a temporary file while they are hashed.
//!
//! Nothing is visible until [`Artifacts::settle`](crate::Artifacts::settle). An upload that is dropped before leaves
//! nothing; what a crash leaves in the folder of temporary files is deleted at the next start.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use bytes::Bytes;
use tempfile::{NamedTempFile, TempPath};

use crate::ArtifactError;
use crate::hashing::{Hashing, Sums};

/// How many bytes may wait to get onto the disk while more come in.
const UNSYNCED: u64 = 32 << 20;

/// A file on its way in.
#[derive(Debug)]
pub struct Upload {
    file: NamedTempFile,
    hash: Hashing,
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
        Ok(Self { file, hash: Hashing::new(), size: 0, stays, told: 0, sync: None })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`gyre_store::StoreError::Full`], or what the file system said. The upload cannot go on then.
    pub fn write(&mut self, bytes: &Bytes) -> Result<(), ArtifactError> {
        self.hash.update(bytes).map_err(|error| self.failed(error))?;
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
        failed(&self.file, error)
    }

    /// Bytes taken so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// All bytes have been taken.
    pub(crate) fn complete(self) -> Result<Complete, ArtifactError> {
        let Self { file, hash, size, sync, .. } = self;
        let sums = hash.finish().map_err(|error| failed(&file, error))?;
        Ok(Complete { sums, size, file, sync })
    }
}

fn failed(file: &NamedTempFile, error: io::Error) -> ArtifactError {
    ArtifactError::io("write", file.path(), error)
}

/// A file that has come in as a whole.
#[derive(Debug)]
pub(crate) struct Complete {
    pub(crate) sums: Sums,
    /// In bytes.
    pub(crate) size: u64,
    file: NamedTempFile,
    sync: Option<Sync>,
}

impl Complete {
    /// Gets the bytes onto the disk, and gives the file away.
    pub(crate) fn arrive(self) -> Result<TempPath, ArtifactError> {
        let so_far = self.sync.map_or(Ok(()), Sync::finish);
        let synced = so_far.and_then(|()| self.file.as_file().sync_all());
        synced.map_err(|error| failed(&self.file, error))?;
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
