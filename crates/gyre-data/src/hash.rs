//! The names of content: SHA-256 for gyre's own records, MD5 because DVC's files are keyed by it.
//!
//! Both come from one pass over the bytes. MD5 is a key here and never evidence: what must resist forgery is
//! named by the SHA-256.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use gyre_core::Digest;
use md5::Md5;
use sha2::{Digest as _, Sha256};

use crate::files::FileError;

const BUFFER: usize = 1 << 17;

/// What names a file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentHash {
    /// SHA-256 of the bytes.
    pub sha256: Digest,
    /// MD5 of the bytes, 32 lowercase hexadecimal digits.
    pub md5: String,
    /// Number of bytes.
    pub size: u64,
}

/// MD5 and size alone, for files of which only DVC's key is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Md5Hash {
    /// MD5 of the bytes, 32 lowercase hexadecimal digits.
    pub md5: String,
    /// Number of bytes.
    pub size: u64,
}

/// A writer that hashes what passes through it.
pub struct HashingWriter<W> {
    inner: W,
    sha256: Sha256,
    md5: Md5,
    size: u64,
}

impl<W: Write> HashingWriter<W> {
    /// Hashes what is written to `inner` from now on.
    pub fn new(inner: W) -> Self {
        Self { inner, sha256: Sha256::new(), md5: Md5::new(), size: 0 }
    }

    /// The hashes of all that was written, and the writer that it went to.
    pub fn finish(self) -> (ContentHash, W) {
        let hash = ContentHash {
            sha256: Digest::from_bytes(self.sha256.finalize().into()),
            md5: hex::encode(self.md5.finalize()),
            size: self.size,
        };
        (hash, self.inner)
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        let taken = bytes.get(..written).unwrap_or(bytes);
        self.sha256.update(taken);
        self.md5.update(taken);
        self.size += taken.len() as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Hashes a file, both ways, in one pass.
///
/// # Errors
/// When the file cannot be read.
pub fn hash_file(path: &Path) -> Result<ContentHash, FileError> {
    let mut writer = HashingWriter::new(io::sink());
    pump(path, |bytes| writer.write_all(bytes))?;
    Ok(writer.finish().0)
}

/// Hashes a file the way DVC does.
///
/// # Errors
/// When the file cannot be read.
pub fn md5_file(path: &Path) -> Result<Md5Hash, FileError> {
    copy_md5(path, &mut io::sink())
}

/// Copies `from` into `to` and hashes what was copied.
///
/// # Errors
/// When the file cannot be read, or what is copied not written.
pub(crate) fn copy_md5(from: &Path, to: &mut impl Write) -> Result<Md5Hash, FileError> {
    let mut md5 = Md5::new();
    let mut size = 0;
    pump(from, |bytes| {
        md5.update(bytes);
        size += bytes.len() as u64;
        to.write_all(bytes)
    })?;
    Ok(Md5Hash { md5: hex::encode(md5.finalize()), size })
}

fn pump(path: &Path, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> Result<(), FileError> {
    let mut file = File::open(path).map_err(FileError::on("read", path))?;
    let length = file.metadata().map_or(BUFFER as u64, |data| data.len());
    let capacity = usize::try_from(length).unwrap_or(BUFFER).clamp(512, BUFFER);
    let mut buffer = vec![0; capacity];
    loop {
        let read = file.read(&mut buffer).map_err(FileError::on("read", path))?;
        match buffer.get(..read) {
            None | Some([]) => return Ok(()),
            Some(bytes) => each(bytes).map_err(FileError::on("copy", path))?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_hashes_have_their_published_values() {
        // RFC 1321 §A.5 and FIPS 180-4's example for "abc".
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        let hash = hash_file(&path).unwrap();
        assert_eq!(hash.md5, "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(hash.sha256, Digest::of(b"abc"));
        assert_eq!(hash.size, 3);
        assert_eq!(md5_file(&path).unwrap(), Md5Hash { md5: hash.md5, size: 3 });
    }
}
