//! Files that appear whole or not at all.
//!
//! A reader, a second process or a power cut must never meet half a file: what is written goes to a temporary
//! file in the same directory, to the disk, and then takes its name in one step.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// An I/O error with the file that it is about.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot {action}: {source}", path.display())]
pub struct FileError {
    /// What was tried: `read`, `write`, `create the directory`.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl FileError {
    /// For `map_err`: names the action and the file.
    pub fn on(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self { action, path, source }
    }
}

/// A file that is being written and has no name yet; dropped without [`Pending::publish`], it leaves no trace.
#[derive(Debug)]
pub struct Pending {
    file: NamedTempFile,
    target: PathBuf,
}

impl Pending {
    /// Begins a file that will be called `target`; missing directories are created.
    ///
    /// # Errors
    /// When the directory cannot be created or written to.
    pub fn create(target: &Path) -> Result<Self, FileError> {
        let directory = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(directory).map_err(FileError::on("create the directory", directory))?;
        let file = tempfile::Builder::new()
            .prefix(".gyre-")
            .suffix(".tmp")
            .permissions(mode(0o644))
            .tempfile_in(directory)
            .map_err(FileError::on("create a file in", directory))?;
        Ok(Self { file, target: target.to_path_buf() })
    }

    /// The open file.
    pub fn file(&mut self) -> &mut File {
        self.file.as_file_mut()
    }

    /// Where the bytes are until the file has its name.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Where the file will be.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The file's permission bits.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn set_mode(&self, bits: u32) -> Result<(), FileError> {
        self.file
            .as_file()
            .set_permissions(mode(bits))
            .map_err(FileError::on("set the mode of", &self.target))
    }

    /// Brings the bytes to the disk and gives the file its name, replacing one that had it.
    ///
    /// # Errors
    /// When the disk is full or the name cannot be taken; the file that was there then stays.
    pub fn publish(self) -> Result<(), FileError> {
        let target = self.target.clone();
        self.publish_as(&target)
    }

    /// The same under another name in the same file system, for files whose name follows from their content.
    ///
    /// # Errors
    /// As [`Pending::publish`].
    pub fn publish_as(self, target: &Path) -> Result<(), FileError> {
        self.file.as_file().sync_data().map_err(FileError::on("write", target))?;
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).map_err(FileError::on("create the directory", parent))?;
        }
        self.file.persist(target).map_err(|error| FileError::on("write", target)(error.error))?;
        Ok(())
    }
}

#[cfg(unix)]
fn mode(bits: u32) -> Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(bits)
}

/// Writes `bytes` as the whole of `path`, or nothing.
///
/// # Errors
/// As [`Pending::create`] and [`Pending::publish`].
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut pending = Pending::create(path)?;
    pending.file().write_all(bytes).map_err(FileError::on("write", path))?;
    pending.publish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_not_published_leaves_the_old_one_and_no_trace() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/dir/file");
        write(&path, b"old").unwrap();
        let mut pending = Pending::create(&path).unwrap();
        pending.file().write_all(b"half").unwrap();
        drop(pending);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
