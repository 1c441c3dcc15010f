//! Files that come along: read from where they lay, kept by content.
//!
//! A run's files come before the run itself does. So a run that is here has its files, and an import that was killed copies
//! at most the files of one batch again, which then are here already, by content.

use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use gyre_artifacts::{ArtifactPath, Artifacts, Folder};

use crate::ImportError;
use crate::place::{home, place};
use crate::record::Problem;
use crate::report::Kind;
use crate::source::Source;

/// A file of a source: its path below the root that was asked for, and its bytes.
pub type Sink<'a> = dyn FnMut(&str, &mut dyn Read) -> Result<(), ImportError> + 'a;

/// What a source says of a root of artifacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// All its files were handed over, but for those that [`Source::problems`] names.
    Here,
    /// They lie elsewhere, and stay there.
    Elsewhere,
    /// They should be within reach, and are not: why.
    Missing(String),
}

/// Files that came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Came {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

impl Came {
    pub(crate) fn add(&mut self, more: Self) {
        self.files += more.files;
        self.bytes += more.bytes;
    }
}

/// Of which run or model the artifacts are.
pub(crate) struct Owner<'a> {
    /// In words.
    pub(crate) what: &'a str,
    /// The source's id of the experiment.
    pub(crate) source_experiment: &'a str,
    /// The experiment's number here.
    pub(crate) experiment: i64,
    /// The path below the experiment's.
    pub(crate) inner: &'a str,
}

/// Brings the files below `uri`, which then is where they are here. What stays where it is keeps its URI.
pub(crate) fn bring(
    source: &mut dyn Source,
    artifacts: &Artifacts,
    owner: &Owner<'_>,
    uri: &mut String,
    problems: &mut Vec<Problem>,
) -> Result<Came, ImportError> {
    let mut problem = |reason: String, lost| {
        problems.push(Problem { kind: Kind::Artifacts, place: owner.what.to_owned(), reason, lost });
    };
    let Some(target) = home(&place(uri), owner.source_experiment, owner.experiment, owner.inner) else {
        return Ok(Came::default());
    };
    let folder = match Folder::from_uri(&target) {
        Ok(folder) => folder,
        Err(error) => {
            problem(format!("its artifacts do not come: {error}"), 1);
            return Ok(Came::default());
        }
    };
    let mut came = Came::default();
    let mut refused = Vec::new();
    let found = source.artifacts(uri, &mut |path, bytes| {
        match ArtifactPath::from_field(path).and_then(|path| folder.file(&path)) {
            Ok(target) => {
                came.bytes += copy(artifacts, &target, path, bytes)?;
                came.files += 1;
            }
            Err(error) => refused.push(format!("a file does not come: {error}")),
        }
        Ok(())
    })?;
    refused.into_iter().for_each(|reason| problem(reason, 1));
    match found {
        Found::Here => *uri = target,
        Found::Elsewhere => {}
        Found::Missing(reason) => {
            problem(format!("its artifacts at {uri} do not come: {reason}"), 1);
            *uri = target;
        }
    }
    Ok(came)
}

fn copy(
    artifacts: &Artifacts,
    target: &ArtifactPath,
    path: &str,
    bytes: &mut dyn Read,
) -> Result<u64, ImportError> {
    let mut upload = artifacts.begin()?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = bytes.read(&mut buffer).map_err(|error| ImportError::file(Path::new(path), error))?;
        match buffer.get(..read) {
            Some([]) | None => break,
            Some(part) => upload.write(&Bytes::copy_from_slice(part))?,
        }
    }
    let size = upload.size();
    artifacts.settle(target, upload)?;
    Ok(size)
}

/// Hands the files below `dir` over. Symbolic links are not followed: they may lead anywhere.
pub(crate) fn walk(dir: &Path, sink: &mut Sink<'_>, problems: &mut Vec<Problem>) -> Result<(), ImportError> {
    let mut folders: Vec<(PathBuf, String)> = vec![(dir.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        let failed = |error| ImportError::file(&folder, error);
        let mut entries: Vec<_> =
            std::fs::read_dir(&folder).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let mut problem = |reason: &str| {
                let (kind, place) = (Kind::Artifacts, path.display().to_string());
                problems.push(Problem { kind, place, reason: reason.to_owned(), lost: 1 });
            };
            let Ok(name) = entry.file_name().into_string() else {
                problem("its name is no UTF-8");
                continue;
            };
            let kind = entry.file_type().map_err(failed)?;
            let inner = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            if kind.is_dir() {
                folders.push((path, inner));
            } else if kind.is_file() {
                let mut file = std::fs::File::open(&path).map_err(|error| ImportError::file(&path, error))?;
                sink(&inner, &mut file)?;
            } else {
                problem("it is a symbolic link or no plain file, and is not followed");
            }
        }
    }
    Ok(())
}
