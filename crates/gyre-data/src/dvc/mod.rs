//! DVC's files: pointers, cache, configuration and locks, so that a DVC repository works as it is, both ways.
//!
//! Formats are those of DVC 3 (<https://dvc.org/doc/user-guide/project-structure>), checked against the real
//! command in the tests of `gyre-pipeline`. Directories as outputs (`.dir` objects), remotes, imports and the
//! run cache are not here yet; what meets one gets an error that says so.

mod cache;
mod ignore;
mod lock;
mod pointer;
mod repo;

use std::path::{Path, PathBuf};

pub use cache::Cache;
pub use ignore::ignore_in_git;
pub use lock::RepoLock;
pub use pointer::{Out, Pointer};
pub use repo::Repo;

use crate::files::FileError;

/// Why something in a DVC repository cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DvcError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// No `.dvc` directory here or above.
    #[error("{}: not inside a DVC repository (run `gyre init` or `dvc init` in the project's root)", .0.display())]
    NoRepository(PathBuf),
    /// A file has not the shape that DVC gives it.
    #[error("{}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column where they are known.
        message: String,
    },
    /// A directory where only files are supported.
    #[error(
        "{}: directories as outputs or dependencies are not supported yet (list the files in it one by one)",
        .0.display()
    )]
    Directory(PathBuf),
    /// The cache has no such object.
    #[error("the DVC cache has no object {md5} (expected {}; `dvc pull` may bring it)", path.display())]
    NotInCache {
        /// The object's MD5.
        md5: String,
        /// Where it should be.
        path: PathBuf,
    },
    /// The object in the cache is not what its name says.
    #[error("{}: the cached object is damaged: its MD5 is {found} (remove the file, then `dvc pull` or rerun)", path.display())]
    Damaged {
        /// The object's file.
        path: PathBuf,
        /// The MD5 of what is in it.
        found: String,
    },
    /// Text that is not an MD5.
    #[error("`{0}` is not an MD5 digest (expected 32 hexadecimal digits)")]
    NotAnMd5(String),
    /// Another process holds the repository.
    #[error("{}: another gyre or dvc process has held the repository for {seconds} s (wait for it, or end it)", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// For how long we waited.
        seconds: u64,
    },
}

impl DvcError {
    fn malformed(path: &Path, message: impl ToString) -> Self {
        let message = message.to_string();
        let first = message.lines().next().unwrap_or("not valid YAML").to_owned();
        Self::Malformed { path: path.to_path_buf(), message: first }
    }
}
