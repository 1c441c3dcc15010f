//! DVC's lock on a repository: `flock` on `.dvc/tmp/lock`.
//!
//! Both tools take it while they change cache, pointers or lock files, and let go while a command runs, so that
//! a command may itself call either.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use super::DvcError;
use crate::files::FileError;

const PAUSE: Duration = Duration::from_millis(25);
const PATIENCE: Duration = Duration::from_secs(30);

/// Held until dropped; the system lets go when the process dies.
#[derive(Debug)]
pub struct RepoLock {
    /// Closing it is what unlocks.
    _file: File,
}

impl RepoLock {
    pub(super) fn acquire(path: &Path) -> Result<Self, DvcError> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(FileError::on("create the directory", parent))?;
        }
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .read(true)
            .open(path)
            .map_err(FileError::on("open", path))?;
        let mut waited = Duration::ZERO;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(FileError::on("lock", path)(error).into()),
                Err(TryLockError::WouldBlock) if waited >= PATIENCE => {
                    return Err(DvcError::Locked { path: path.to_path_buf(), seconds: PATIENCE.as_secs() });
                }
                Err(TryLockError::WouldBlock) => {
                    std::thread::sleep(PAUSE);
                    waited += PAUSE;
                }
            }
        }
        // As DVC does, for people who ask who holds it.
        let owner = format!(" {}\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.write_all(owner.as_bytes()))
            .map_err(FileError::on("write", path))?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_waits_for_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tmp/lock");
        let held = RepoLock::acquire(&path).unwrap();
        assert!(matches!(File::open(&path).unwrap().try_lock(), Err(TryLockError::WouldBlock)));
        let waiting = std::thread::spawn({
            let path = path.clone();
            move || RepoLock::acquire(&path).map(drop)
        });
        drop(held);
        waiting.join().unwrap().unwrap();
    }
}
