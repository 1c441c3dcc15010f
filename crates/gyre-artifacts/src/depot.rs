//! Where the bytes lie: each blob once, under its SHA-256.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gyre_core::{Digest, Timestamp};
use tempfile::TempPath;

use crate::ArtifactError;
use crate::bucket::Remote;
use crate::download::Download;
use crate::hashing::Checksum;
use crate::upload::Complete;

/// A place for blobs.
#[derive(Debug)]
pub(crate) enum Depot {
    /// A folder of this machine.
    Local(Folder),
    /// A bucket.
    Remote(Remote),
}

/// A blob that was found there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) digest: Digest,
    pub(crate) modified: Timestamp,
}

impl Depot {
    /// Whether the bytes stay on this machine.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self, Self::Local(_))
    }

    /// Puts a finished file there, under the digest of its bytes. It is on disk (or with the object storage) when this
    /// returns.
    pub(crate) fn put(&self, upload: Complete, digest: &Digest) -> Result<(), ArtifactError> {
        match self {
            Self::Local(folder) => folder.put(upload.arrive()?, digest),
            Self::Remote(bucket) => bucket.put(&upload.into_file(), digest),
        }
    }

    /// Whether the blob is there, as far as a glance tells.
    pub(crate) fn has(&self, digest: &Digest, size: u64) -> bool {
        match self {
            Self::Local(folder) => folder.path(digest).metadata().is_ok_and(|found| found.len() == size),
            Self::Remote(bucket) => bucket.has(digest, size),
        }
    }

    /// The bytes from `from` to before `to` of a blob of `size` bytes.
    pub(crate) fn open(
        &self,
        digest: &Digest,
        checksum: Option<Checksum>,
        size: u64,
        (from, to): (u64, u64),
    ) -> Result<Download, ArtifactError> {
        match self {
            Self::Local(folder) => {
                Download::of_file(folder.path(digest), (*digest, checksum, size), from, to)
            }
            Self::Remote(bucket) => bucket.open_range(digest, size, from, to),
        }
    }

    /// Deletes the blob; it is no error when it is gone already.
    pub(crate) fn delete(&self, digest: &Digest) -> Result<(), ArtifactError> {
        match self {
            Self::Local(folder) => folder.delete(digest),
            Self::Remote(bucket) => bucket.delete(digest),
        }
    }

    /// Hands every blob to `each`.
    pub(crate) fn each(
        &self,
        each: &mut dyn FnMut(Found) -> Result<(), ArtifactError>,
    ) -> Result<(), ArtifactError> {
        match self {
            Self::Local(folder) => folder.each(each),
            Self::Remote(bucket) => bucket.each(each),
        }
    }

    /// Writes `text` under `name`, unless there is something already; says what is there then.
    pub(crate) fn claim(&self, name: &str, text: &str) -> Result<String, ArtifactError> {
        match self {
            Self::Local(folder) => folder.claim(name, text),
            Self::Remote(bucket) => bucket.claim(name, text),
        }
    }

    /// A URL by which anybody may download the blob for as long as `lifetime`.
    pub(crate) fn sign(&self, digest: &Digest, lifetime: Duration) -> Result<String, ArtifactError> {
        match self {
            Self::Local(_) => Err(ArtifactError::Unsupported(
                "there are no presigned URLs, for the artifacts lie in a folder of this server and not in a bucket; download \
                 the file by its own URL, in ranges if it is large",
            )),
            Self::Remote(bucket) => bucket.sign(digest, lifetime),
        }
    }
}

/// A folder of blobs: `ab/cdef…`, the layout of [`gyre_store::Blobs`].
#[derive(Debug)]
pub(crate) struct Folder {
    dir: PathBuf,
}

impl Folder {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.to_hex();
        let (folder, name) = hex.split_at(2);
        self.dir.join(folder).join(name)
    }

    fn put(&self, file: TempPath, digest: &Digest) -> Result<(), ArtifactError> {
        let path = self.path(digest);
        let folder = path.parent().unwrap_or(&self.dir);
        let failed = |error| ArtifactError::io("write", &path, error);
        if !folder.is_dir() {
            std::fs::create_dir_all(folder).map_err(failed)?;
            sync(&self.dir)?;
        }
        file.persist(&path).map_err(|error| failed(error.error))?;
        sync(folder)
    }

    fn claim(&self, name: &str, text: &str) -> Result<String, ArtifactError> {
        let path = self.dir.join(name);
        let failed = |error| ArtifactError::io("write", &path, error);
        std::fs::create_dir_all(&self.dir).map_err(failed)?;
        match File::create_new(&path) {
            Ok(mut file) => {
                file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
                sync(&self.dir)?;
                Ok(text.to_owned())
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                std::fs::read_to_string(&path).map_err(failed)
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn delete(&self, digest: &Digest) -> Result<(), ArtifactError> {
        let path = self.path(digest);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ArtifactError::io("delete", &path, error))
            }
            _ => Ok(()),
        }
    }

    fn each(&self, each: &mut dyn FnMut(Found) -> Result<(), ArtifactError>) -> Result<(), ArtifactError> {
        for folder in entries(&self.dir)? {
            let Some(start) = folder.file_name().into_string().ok().filter(|name| name.len() == 2) else {
                continue;
            };
            for file in entries(&folder.path())? {
                let name = file.file_name().into_string().unwrap_or_default();
                // What is not named by a digest was not put there by this room.
                let Ok(digest) = format!("{start}{name}").parse() else { continue };
                // A file that has gone meanwhile needs no looking at.
                let Ok(modified) = file.metadata().and_then(|found| found.modified()) else { continue };
                let since = modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                let millis = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
                each(Found { digest, modified: Timestamp::from_millis(millis) })?;
            }
        }
        Ok(())
    }
}

fn entries(dir: &Path) -> Result<Vec<std::fs::DirEntry>, ArtifactError> {
    let failed = |error: io::Error| ArtifactError::io("read", dir, error);
    match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
        Ok(entries) => entries.collect::<Result<_, _>>().map_err(failed),
    }
}

/// Makes a rename in `folder` survive a power loss.
fn sync(folder: &Path) -> Result<(), ArtifactError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| ArtifactError::io("sync", folder, error))
}
