//! A file on its way out, in chunks.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use gyre_core::Digest;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;

use crate::ArtifactError;
use crate::hashing::{Checksum, Quick};

/// The size of a chunk, in bytes.
pub const CHUNK: usize = 512 << 10;

/// A file on its way out, or a range of one. A whole file is held against its checksum on the way (its digest, when
/// it has none), and its last chunk comes only when all bytes are those that were put in.
pub struct Download {
    source: Source,
    left: u64,
    check: Option<Check>,
}

/// What a whole file is held against.
enum Check {
    Digest(Box<Sha256>, Digest),
    Checksum(Quick, Checksum, Digest),
}

impl Check {
    fn new(digest: Digest, checksum: Option<Checksum>) -> Self {
        match checksum {
            Some(checksum) => Self::Checksum(Quick::default(), checksum, digest),
            None => Self::Digest(Box::default(), digest),
        }
    }

    fn update(&mut self, chunk: &[u8]) {
        match self {
            Self::Digest(hash, _) => hash.update(chunk),
            Self::Checksum(quick, ..) => quick.update(chunk),
        }
    }

    fn holds(&self) -> bool {
        match self {
            Self::Digest(hash, digest) => Digest::from_bytes(hash.clone().finalize().into()) == *digest,
            Self::Checksum(quick, checksum, _) => quick.finish() == *checksum,
        }
    }

    fn digest(&self) -> Digest {
        match self {
            Self::Digest(_, digest) | Self::Checksum(_, _, digest) => *digest,
        }
    }
}

enum Source {
    File(File, PathBuf),
    Stream(Handle, BoxStream<'static, Result<Bytes, ArtifactError>>),
    Memory(Bytes),
}

impl Download {
    /// The bytes from `from` to before `to` of the file at `path`, of this digest, checksum and size.
    ///
    /// # Errors
    /// [`ArtifactError::Damaged`] when it is gone or has another size; what the disk said.
    pub fn of_file(
        path: PathBuf,
        (digest, checksum, size): (Digest, Option<Checksum>, u64),
        from: u64,
        to: u64,
    ) -> Result<Self, ArtifactError> {
        let mut file = File::open(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ArtifactError::Damaged(digest),
            _ => ArtifactError::io("read", &path, error),
        })?;
        let failed = |error| ArtifactError::io("read", &path, error);
        if file.metadata().map_err(failed)?.len() != size {
            return Err(ArtifactError::Damaged(digest));
        }
        if from > 0 {
            file.seek(SeekFrom::Start(from)).map_err(failed)?;
        }
        let whole = from == 0 && to == size;
        let check = whole.then(|| Check::new(digest, checksum));
        Ok(Self { source: Source::File(file, path), left: to.saturating_sub(from), check })
    }

    /// Bytes that are in memory.
    pub fn of_bytes(bytes: Bytes) -> Self {
        let left = bytes.len() as u64;
        Self { source: Source::Memory(bytes), left, check: None }
    }

    pub(crate) fn of_stream(
        runtime: Handle,
        stream: BoxStream<'static, Result<Bytes, ArtifactError>>,
        left: u64,
        whole: Option<Digest>,
    ) -> Self {
        let check = whole.map(|digest| Check::new(digest, None));
        Self { source: Source::Stream(runtime, stream), left, check }
    }

    /// Bytes still to come.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The next chunk, of at most [`CHUNK`] bytes or as the object storage sends them; none at the end. Blocks.
    ///
    /// # Errors
    /// [`ArtifactError::Damaged`] when the bytes are not those that were put in; what the disk or the object storage said.
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>, ArtifactError> {
        if self.left == 0 {
            return Ok(None);
        }
        let chunk = self.source.read(self.left)?;
        if chunk.is_empty() {
            let digest = self.check.as_ref().map_or_else(|| Digest::of(b""), Check::digest);
            return Err(ArtifactError::Damaged(digest));
        }
        self.left -= chunk.len() as u64;
        if let Some(check) = &mut self.check {
            check.update(&chunk);
            if self.left == 0 && !check.holds() {
                return Err(ArtifactError::Damaged(check.digest()));
            }
        }
        Ok(Some(chunk))
    }
}

impl Source {
    fn read(&mut self, left: u64) -> Result<Bytes, ArtifactError> {
        match self {
            Self::File(file, path) => {
                let size = left.min(CHUNK as u64);
                let mut chunk = Vec::with_capacity(size as usize);
                file.take(size)
                    .read_to_end(&mut chunk)
                    .map_err(|error| ArtifactError::io("read", path, error))?;
                Ok(chunk.into())
            }
            Self::Memory(bytes) => Ok(bytes.split_to(bytes.len().min(CHUNK))),
            Self::Stream(runtime, stream) => {
                let mut chunk = Bytes::new();
                while chunk.is_empty() {
                    match runtime.block_on(stream.next()) {
                        None => break,
                        Some(next) => chunk = next?,
                    }
                }
                // Never more than was announced.
                chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                Ok(chunk)
            }
        }
    }
}
