//! The repository: where `.dvc` is, how to make one, and the little of its configuration that matters here.

use std::path::{Path, PathBuf};

use super::{Cache, DvcError, RepoLock};
use crate::files::{self, FileError};

const GITIGNORE: &str = "/config.local\n/tmp\n/cache\n";
const NO_GIT: &str = "[core]\n    no_scm = True\n";
const DVCIGNORE: &str =
    "# Patterns of files that DVC and gyre should not look at, in the syntax of .gitignore.\n";

/// A DVC repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repo {
    root: PathBuf,
    cache: PathBuf,
}

impl Repo {
    /// The repository that `dir` lies in: the nearest directory upwards with a `.dvc` directory.
    ///
    /// # Errors
    /// [`DvcError::NoRepository`]; when a configuration file cannot be read.
    pub fn find(dir: &Path) -> Result<Self, DvcError> {
        let start = std::path::absolute(dir).map_err(FileError::on("find", dir))?;
        let root = start
            .ancestors()
            .find(|above| above.join(".dvc").is_dir())
            .ok_or_else(|| DvcError::NoRepository(dir.to_path_buf()))?;
        Self::open(root)
    }

    /// Makes `root` a repository as `dvc init` does (inside Git, plain or as `--subdir`; outside, `--no-scm`), or
    /// opens the one that is there. Existing files are left as they are.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn init(root: &Path) -> Result<Self, DvcError> {
        let root = std::path::absolute(root).map_err(FileError::on("find", root))?;
        let dvc = root.join(".dvc");
        let tmp = dvc.join("tmp");
        std::fs::create_dir_all(&tmp).map_err(FileError::on("create the directory", &tmp))?;
        let in_git = root.ancestors().any(|above| above.join(".git").exists());
        let config = if in_git { "" } else { NO_GIT };
        let wanted = [(dvc.join("config"), config), (root.join(".dvcignore"), DVCIGNORE)];
        let ignored = in_git.then(|| (dvc.join(".gitignore"), GITIGNORE));
        for (path, text) in wanted.into_iter().chain(ignored) {
            if !path.exists() {
                files::write(&path, text.as_bytes())?;
            }
        }
        Self::open(&root)
    }

    fn open(root: &Path) -> Result<Self, DvcError> {
        let dvc = root.join(".dvc");
        let mut cache = dvc.join("cache");
        // The local configuration wins over the shared one.
        for name in ["config", "config.local"] {
            let path = dvc.join(name);
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(FileError::on("read", &path)(error).into()),
            };
            if let Some(dir) = setting(&text, "cache", "dir") {
                // Relative to the configuration file; an absolute path replaces it.
                cache = dvc.join(dir);
            }
        }
        Ok(Self { root: root.to_path_buf(), cache })
    }

    /// The directory that `.dvc` is in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The cache: `.dvc/cache`, or what `cache.dir` says.
    pub fn cache(&self) -> Cache {
        Cache::at(&self.cache)
    }

    /// The directory of the cache.
    pub fn cache_dir(&self) -> &Path {
        &self.cache
    }

    /// Holds DVC's lock on the repository, waiting for others.
    ///
    /// # Errors
    /// [`DvcError::Locked`] after half a minute; when the lock file cannot be written.
    pub fn lock(&self) -> Result<RepoLock, DvcError> {
        RepoLock::acquire(&self.root.join(".dvc/tmp/lock"))
    }
}

/// The value of `key` in `[section]` of DVC's INI files; the last one given counts.
fn setting(text: &str, section: &str, key: &str) -> Option<String> {
    let mut inside = false;
    let mut found = None;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            inside = name.trim().trim_matches(['\'', '"']) == section;
        } else if inside && !line.starts_with(['#', ';']) {
            let value = line.split_once('=').filter(|(name, _)| name.trim() == key).map(|(_, value)| value);
            found = value.map(|value| value.trim().trim_matches(['\'', '"']).to_owned()).or(found);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_found_from_below_and_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        assert!(matches!(Repo::find(&below), Err(DvcError::NoRepository(_))));
        let made = Repo::init(dir.path()).unwrap();
        assert_eq!(Repo::find(&below).unwrap(), made);
        std::fs::write(dir.path().join(".dvc/config"), "[core]\n    remote = r\n").unwrap();
        Repo::init(dir.path()).unwrap();
        assert!(std::fs::read_to_string(dir.path().join(".dvc/config")).unwrap().contains("remote"));
    }

    #[test]
    fn the_cache_may_be_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let repo = Repo::init(dir.path()).unwrap();
        assert_eq!(repo.cache, repo.root.join(".dvc/cache"));
        std::fs::write(dir.path().join(".dvc/config"), "[core]\n[cache]\n    dir = ../shared\n").unwrap();
        assert!(Repo::find(dir.path()).unwrap().cache.to_string_lossy().contains(".dvc/../shared"));
        std::fs::write(dir.path().join(".dvc/config.local"), "['cache']\ndir = /big/cache\n").unwrap();
        assert_eq!(Repo::find(dir.path()).unwrap().cache, Path::new("/big/cache"));
    }
}
