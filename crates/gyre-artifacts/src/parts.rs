//! A file that comes in parts, in any order and several at a time.
//!
//! Parts are files of their own until all have come; then they are put one after another into one. That writes everything
//! twice, so a file in one piece is the faster way on a good connection. Uploads in parts are known to this process only:
//! a restart forgets them, and what had come of them is deleted.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use gyre_core::{Digest, Timestamp};
use gyre_store::StoreError;
use tempfile::TempPath;

use crate::index::FileRecord;
use crate::path::ArtifactPath;
use crate::upload::Upload;
use crate::{ArtifactError, Artifacts};

/// The most parts of one file, as with S3.
pub const MAX_PARTS: u32 = 10_000;

/// The most files that may be on their way in parts at a time.
const OPEN: usize = 256;

/// Files on their way in parts, by the name of the upload.
#[derive(Debug, Default)]
pub(crate) struct Uploads(Mutex<HashMap<String, Open>>);

#[derive(Debug)]
struct Open {
    path: ArtifactPath,
    begun: Timestamp,
    parts: BTreeMap<u32, Part>,
}

#[derive(Debug)]
struct Part {
    file: TempPath,
    digest: Digest,
}

impl Uploads {
    fn with<T>(&self, job: impl FnOnce(&mut HashMap<String, Open>) -> T) -> T {
        job(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Forgets what was begun before `cutoff`.
    pub(crate) fn forget(&self, cutoff: i64) {
        self.with(|open| open.retain(|_, upload| upload.begun.as_millis() > cutoff));
    }
}

fn unknown(id: &str) -> ArtifactError {
    let hint = "; it was completed or aborted, or the server has been restarted: begin again".to_owned();
    let name = id.chars().take(80).collect();
    ArtifactError::Store(StoreError::NotFound { what: "upload in parts", name, hint })
}

fn invalid(message: String) -> ArtifactError {
    ArtifactError::Store(StoreError::Invalid(message))
}

impl Artifacts {
    /// Begins to take in a file for `path` in parts; returns the name of the upload, which cannot be guessed.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when too many are under way.
    pub fn begin_parts(&self, path: &ArtifactPath) -> Result<String, ArtifactError> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let open = Open { path: path.clone(), begun: self.clock.now(), parts: BTreeMap::new() };
        self.uploads.with(|uploads| {
            if uploads.len() >= OPEN {
                return Err(StoreError::Busy.into());
            }
            uploads.insert(id.clone(), open);
            Ok(id)
        })
    }

    /// Keeps `part` as number `number`; one that came before under this number is dropped. Returns its digest.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such upload; [`StoreError::Invalid`] for a number out of range.
    pub fn add_part(&self, id: &str, number: u32, part: Upload) -> Result<Digest, ArtifactError> {
        if !(1..=MAX_PARTS).contains(&number) {
            return Err(invalid(format!("the number of a part is {number}, expected 1 to {MAX_PARTS}")));
        }
        let part = part.complete()?;
        let digest = part.sums.digest;
        let part = Part { file: part.into_file(), digest };
        self.uploads.with(|uploads| match uploads.get_mut(id) {
            Some(open) => {
                open.parts.insert(number, part);
                Ok(digest)
            }
            None => Err(unknown(id)),
        })
    }

    /// Whether there is an upload `id`, before anybody sends a part of it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub fn expects_parts(&self, id: &str) -> Result<(), ArtifactError> {
        self.uploads.with(|uploads| uploads.contains_key(id)).then_some(()).ok_or_else(|| unknown(id))
    }

    /// Puts the parts together in the order of their numbers and makes the file visible. `parts` says which there must be,
    /// with their digests where the client knows them. Blocks. When it fails the upload stays, and may be completed again.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for an unknown upload, or one of another path; [`StoreError::Invalid`] when parts are
    /// missing or different; otherwise as [`Artifacts::settle`].
    pub fn complete_parts(
        &self,
        id: &str,
        path: &ArtifactPath,
        parts: &[(u32, Option<Digest>)],
    ) -> Result<FileRecord, ArtifactError> {
        let files = self.uploads.with(|uploads| {
            let open = uploads.get(id).filter(|open| open.path == *path).ok_or_else(|| unknown(id))?;
            check(open, parts)?;
            // Opened here, so that a part that is sent again meanwhile does not change what is being put together.
            let opened = |part: &Part| {
                File::open(&part.file).map_err(|error| ArtifactError::io("read", &part.file, error))
            };
            open.parts.values().map(opened).collect::<Result<Vec<_>, _>>()
        })?;
        let mut whole = self.begin()?;
        let mut chunk = vec![0; crate::CHUNK];
        for mut file in files {
            loop {
                let read = file.read(&mut chunk);
                match read
                    .map_err(|error| ArtifactError::io("read a part of", path.as_str().as_ref(), error))?
                {
                    0 => break,
                    read => whole.write(&Bytes::copy_from_slice(chunk.get(..read).unwrap_or_default()))?,
                }
            }
        }
        let record = self.settle(path, whole)?;
        self.uploads.with(|uploads| drop(uploads.remove(id)));
        Ok(record)
    }

    /// Gives up the upload `id` of `path`, and deletes what has come of it. One that is not there is given up already.
    pub fn abort_parts(&self, id: &str, path: &ArtifactPath) {
        self.uploads.with(|uploads| {
            if uploads.get(id).is_some_and(|open| open.path == *path) {
                drop(uploads.remove(id));
            }
        });
    }
}

fn check(open: &Open, parts: &[(u32, Option<Digest>)]) -> Result<(), ArtifactError> {
    let said: BTreeMap<u32, Option<Digest>> = parts.iter().copied().collect();
    if said.is_empty() {
        return Err(invalid("no parts were named; name each with its number".to_owned()));
    }
    let mut numbers = said.keys().chain(open.parts.keys());
    let differs = |number: &u32| match (said.get(number), open.parts.get(number)) {
        (Some(Some(digest)), Some(part)) => *digest != part.digest,
        (Some(None), Some(_)) => false,
        _ => true,
    };
    match numbers.find(|number| differs(number)) {
        None => Ok(()),
        Some(number) => Err(invalid(format!(
            "part {number} is not among both the parts that came and those that were named, or is another one; send it again"
        ))),
    }
}
