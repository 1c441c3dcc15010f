//! The two sums over the bytes of a file: one that proves, one that watches.
//!
//! SHA-256 names the bytes, for good and against everybody. It also takes as long as everything else that happens to a
//! byte on its way through the server. So a file is proven once, on its way in, by a thread beside the one that writes;
//! on its way out it is held against XXH3, which is many times faster and finds what disks and cables do to bytes.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use bytes::Bytes;
use gyre_core::Digest;
use sha2::{Digest as _, Sha256};
use twox_hash::xxhash3_64;

/// From how many bytes on a thread of its own is worth starting.
const LONG: u64 = 1 << 20;

/// How many pieces may wait for the thread; then the writer waits too, so that memory stays bounded.
const AHEAD: usize = 4;

/// XXH3 (64 bits, no seed) of a file's bytes: finds damage, proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksum(pub(crate) u64);

/// What a file's bytes amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) digest: Digest,
    pub(crate) checksum: Checksum,
}

/// Both sums on the way.
#[derive(Debug, Default)]
struct Both {
    sha: Sha256,
    quick: Quick,
}

impl Both {
    fn update(&mut self, bytes: &[u8]) {
        self.sha.update(bytes);
        self.quick.update(bytes);
    }

    fn finish(self) -> Sums {
        Sums { digest: Digest::from_bytes(self.sha.finalize().into()), checksum: self.quick.finish() }
    }
}

/// The sums of a file on its way in.
#[derive(Debug)]
pub(crate) struct Hashing {
    size: u64,
    work: Work,
}

#[derive(Debug)]
enum Work {
    Here(Box<Both>),
    Beside(SyncSender<Bytes>, JoinHandle<Both>),
    /// No thread could be started; what had been summed up is lost.
    Failed,
}

impl Hashing {
    pub(crate) fn new() -> Self {
        Self { size: 0, work: Work::Here(Box::default()) }
    }

    /// Takes the next bytes; a long file's are summed up by a thread beside.
    pub(crate) fn update(&mut self, bytes: &Bytes) -> io::Result<()> {
        self.size += bytes.len() as u64;
        if self.size >= LONG
            && let Work::Here(_) = self.work
            && let Work::Here(both) = std::mem::replace(&mut self.work, Work::Failed)
        {
            let (pieces, coming) = sync_channel(AHEAD);
            let thread = std::thread::Builder::new().name("gyre-hash".to_owned());
            self.work = Work::Beside(pieces, thread.spawn(move || all(*both, &coming))?);
        }
        match &mut self.work {
            Work::Here(both) => both.update(bytes),
            Work::Beside(pieces, _) => pieces.send(bytes.clone()).map_err(|_| broken())?,
            Work::Failed => return Err(broken()),
        }
        Ok(())
    }

    /// The sums, once all bytes have been taken in.
    pub(crate) fn finish(self) -> io::Result<Sums> {
        match self.work {
            Work::Here(both) => Ok(both.finish()),
            Work::Beside(pieces, thread) => {
                drop(pieces);
                thread.join().map(Both::finish).map_err(|_| broken())
            }
            Work::Failed => Err(broken()),
        }
    }
}

fn all(mut both: Both, coming: &Receiver<Bytes>) -> Both {
    coming.iter().for_each(|bytes| both.update(&bytes));
    both
}

fn broken() -> io::Error {
    io::Error::other("the thread that hashes broke off")
}

/// A checksum on the way.
#[derive(Default)]
pub(crate) struct Quick(Box<xxhash3_64::Hasher>);

impl Quick {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        std::hash::Hasher::write(&mut *self.0, bytes);
    }

    pub(crate) fn finish(&self) -> Checksum {
        Checksum(std::hash::Hasher::finish(&*self.0))
    }
}

impl std::fmt::Debug for Quick {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Quick(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(pieces: &[&[u8]]) -> Sums {
        let mut hashing = Hashing::new();
        pieces.iter().for_each(|piece| hashing.update(&Bytes::copy_from_slice(piece)).unwrap());
        hashing.finish().unwrap()
    }

    #[test]
    fn the_sums_are_the_same_however_the_bytes_come() {
        // Computed with `sha256sum` and the xxhash package of Python.
        let hello = sums(&[b"hel", b"lo"]);
        let sha = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert_eq!((hello.digest.to_hex().as_str(), hello.checksum.0), (sha, 0x9555_e855_5c62_dcfd));
        let long: Vec<u8> = (0..3_000_001_u32).map(|i| (i * 31 % 251) as u8).collect();
        let pieces: Vec<&[u8]> = long.chunks(77_777).collect();
        assert_eq!(sums(&pieces), sums(&[&long]));
        assert_eq!(sums(&pieces).digest, Digest::of(&long));
    }
}
