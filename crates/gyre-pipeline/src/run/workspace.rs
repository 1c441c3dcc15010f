//! The files of a pipeline: their content's names, and their way into the cache and back.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use gyre_data::dvc::{Cache, DvcError, ignore_in_git};
use gyre_data::files::FileError;
use gyre_data::hash::{Md5Hash, md5_file};

use super::Failure;
use crate::lock::{FileLock, StageLock};
use crate::stage::Stage;

const EXECUTABLE: u32 = 0o111;

/// The directory of a pipeline, with what is known about the content of its files.
pub(super) struct Workspace {
    dir: PathBuf,
    cache: Cache,
    /// By path; forgotten when a command may have changed anything.
    known: HashMap<PathBuf, FileLock>,
}

impl Workspace {
    pub(super) fn new(dir: PathBuf, cache: Cache) -> Self {
        Self { dir, cache, known: HashMap::new() }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    pub(super) fn hash_dependencies(&mut self, stage: &Stage) -> Result<Vec<FileLock>, Failure> {
        let hash = |dep: &crate::stage::Dependency| {
            self.hash(stage, &dep.path)?.ok_or_else(|| Failure::MissingDependency(dep.path.clone()))
        };
        stage.deps.iter().map(hash).collect()
    }

    /// The first output that is not there.
    pub(super) fn missing_output<'a>(&self, stage: &'a Stage) -> Option<&'a str> {
        let missing = stage.outs.iter().find(|out| !self.path(stage, &out.path).exists());
        missing.map(|out| out.path.as_str())
    }

    /// Makes the outputs those that are recorded, from the cache where they are not; whether that could be done.
    pub(super) fn restore(&mut self, stage: &Stage, recorded: &StageLock) -> Result<bool, Failure> {
        if stage.outs.len() != recorded.outs.len() {
            return Ok(false);
        }
        let mut wanted = Vec::with_capacity(stage.outs.len());
        for out in &stage.outs {
            let Some(entry) = recorded.outs.iter().find(|entry| entry.path == out.path) else {
                return Ok(false);
            };
            let Some(md5) = entry.key() else { return Ok(false) };
            let present = self.hash(stage, &out.path)?;
            let in_place = present.is_some_and(|present| present.key() == Some(md5));
            let can_be = in_place || (out.cache && self.cache.contains(md5)?);
            if !can_be {
                return Ok(false);
            }
            wanted.push((out, md5, in_place, entry.isexec == Some(true)));
        }
        for (out, md5, in_place, executable) in wanted {
            let path = self.path(stage, &out.path);
            if in_place {
                // `dvc push` and other checkouts need it there.
                if out.cache && !self.cache.contains(md5)? {
                    self.cache.put(&path)?;
                }
                continue;
            }
            self.known.remove(&path);
            match self.cache.get(md5, &path) {
                Ok(_) if executable => make_executable(&path)?,
                Ok(_) => {}
                // A damaged object is as good as none: the stage makes it again.
                Err(DvcError::Damaged { path, .. }) => {
                    std::fs::remove_file(&path).map_err(FileError::on("remove", &path))?;
                    return Ok(false);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// Removes what the stage is to make anew, so that what is there afterwards is of this run.
    pub(super) fn remove_outputs(&mut self, stage: &Stage) -> Result<(), Failure> {
        for out in stage.outs.iter().filter(|out| !out.persist) {
            let path = self.path(stage, &out.path);
            match std::fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(_) if path.is_dir() => return Err(DvcError::Directory(path).into()),
                Err(error) => return Err(FileError::on("remove", &path)(error).into()),
            }
        }
        Ok(())
    }

    /// Takes what the stage made: into the cache, and out of Git.
    pub(super) fn keep_outputs(&mut self, stage: &Stage) -> Result<Vec<FileLock>, Failure> {
        // All are there before the first goes to the cache.
        if let Some(missing) = self.missing_output(stage) {
            return Err(Failure::MissingOutput(missing.to_owned()));
        }
        let mut kept = Vec::with_capacity(stage.outs.len());
        for out in &stage.outs {
            let path = self.path(stage, &out.path);
            let hash = if path.is_dir() {
                return Err(DvcError::Directory(path).into());
            } else if out.cache {
                ignore_in_git(&path)?;
                self.cache.put(&path)?
            } else {
                md5_file(&path)?
            };
            let lock = lock_of(&out.path, &path, hash)?;
            self.known.insert(path, lock.clone());
            kept.push(lock);
        }
        Ok(kept)
    }

    /// The content of a file of the stage; none when there is no such file.
    fn hash(&mut self, stage: &Stage, written: &str) -> Result<Option<FileLock>, Failure> {
        let path = self.path(stage, written);
        if let Some(known) = self.known.get(&path) {
            return Ok(Some(FileLock { path: written.to_owned(), ..known.clone() }));
        }
        match std::fs::metadata(&path) {
            Ok(data) if data.is_dir() => return Err(DvcError::Directory(path).into()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FileError::on("read", &path)(error).into()),
        }
        let lock = lock_of(written, &path, md5_file(&path)?)?;
        self.known.insert(path, lock.clone());
        Ok(Some(lock))
    }

    fn path(&self, stage: &Stage, written: &str) -> PathBuf {
        self.dir.join(stage.locate(written))
    }
}

fn lock_of(written: &str, path: &Path, hash: Md5Hash) -> Result<FileLock, FileError> {
    let mode = std::fs::metadata(path).map_err(FileError::on("read", path))?.permissions().mode();
    Ok(FileLock {
        path: written.to_owned(),
        hash: Some("md5".to_owned()),
        md5: Some(hash.md5),
        size: Some(hash.size),
        isexec: (mode & EXECUTABLE != 0).then_some(true),
    })
}

fn make_executable(path: &Path) -> Result<(), FileError> {
    let mode = std::fs::metadata(path).map_err(FileError::on("read", path))?.permissions().mode();
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode | EXECUTABLE))
        .map_err(FileError::on("set the mode of", path))
}
