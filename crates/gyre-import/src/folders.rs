//! The folders in which an MLflow server kept artifacts, seen from the machine that imports.

use std::path::{Path, PathBuf};

use crate::ImportError;
use crate::artifacts::{Found, Sink, walk};
use crate::place::{Place, place};
use crate::record::Problem;

/// Where a server kept what.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    /// What relative paths are relative to.
    base: PathBuf,
    /// The folder behind `mlflow-artifacts:`.
    proxied: Option<PathBuf>,
}

/// What `mlflow server` calls the folder, when nobody says otherwise.
const DEFAULT: &str = "mlartifacts";

impl Folders {
    /// `proxied` as somebody says it is, or where MLflow has it by itself.
    pub(crate) fn new(base: PathBuf, proxied: Option<&Path>) -> Self {
        let default = || Some(base.join(DEFAULT)).filter(|folder| folder.is_dir());
        let proxied = proxied.map(Path::to_owned).or_else(default);
        Self { base, proxied }
    }

    /// Hands the files below `uri` over.
    pub(crate) fn hand_over(
        &self,
        uri: &str,
        sink: &mut Sink<'_>,
        problems: &mut Vec<Problem>,
    ) -> Result<Found, ImportError> {
        let folder = match place(uri) {
            Place::Elsewhere => return Ok(Found::Elsewhere),
            Place::Folder(folder) => self.base.join(folder),
            Place::Proxied(path) => {
                let Some(root) = &self.proxied else {
                    let remedy = "say with `--artifacts-root` in which folder the server kept them, or import from its URL";
                    return Ok(Found::Missing(remedy.to_owned()));
                };
                if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
                    return Ok(Found::Missing("a part of the path is empty, `.` or `..`".to_owned()));
                }
                root.join(path)
            }
        };
        if !folder.exists() {
            // A run without artifacts has no folder; but where not even the folders above are, it is the wrong machine.
            let near = folder.ancestors().skip(1).take(3).any(Path::is_dir);
            let missing = Found::Missing(format!("there is no folder {} on this machine", folder.display()));
            return Ok(if near { Found::Here } else { missing });
        }
        walk(&folder, sink, problems)?;
        Ok(Found::Here)
    }
}
