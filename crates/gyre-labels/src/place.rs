//! How far a source has been read: a small file that is replaced as a whole, after what it says is true.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use gyre_core::{Digest, Timestamp};
use gyre_data::files::FileError;
use gyre_gateway::Intake;
use serde::{Deserialize, Serialize};

use crate::LabelsError;

/// What is remembered of a source.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// What the source is: another one is read from its beginning.
    source: Option<Digest>,
    /// The latest time of a label that was taken from a database.
    pub(crate) since: Option<Timestamp>,
    /// Files that were taken, as they looked.
    pub(crate) files: BTreeMap<PathBuf, Stamp>,
    /// What became of all labels.
    pub(crate) totals: Intake,
}

/// How a file looked: another size or time of change is another content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    size: u64,
    /// Nanoseconds since the epoch.
    modified: u64,
}

impl Stamp {
    pub(crate) fn of(path: &Path) -> Result<Self, LabelsError> {
        let data = std::fs::metadata(path).map_err(FileError::on("read", path))?;
        let modified = data.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified = modified.and_then(|time| u64::try_from(time.as_nanos()).ok()).unwrap_or_default();
        Ok(Self { size: data.len(), modified })
    }
}

impl Place {
    /// What is remembered in `path` of `source`; nothing of another one.
    pub(crate) fn read(path: &Path, source: Digest) -> Result<Self, LabelsError> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(FileError::on("read", path)(error).into()),
        };
        let fresh = Self { source: Some(source), ..Self::default() };
        if text.is_empty() {
            return Ok(fresh);
        }
        let place: Self = serde_json::from_slice(&text).map_err(|error| LabelsError::Place {
            path: path.display().to_string(),
            reason: error.to_string(),
        })?;
        Ok(if place.source == Some(source) { place } else { fresh })
    }

    /// Remembers it; it is on disk when this returns.
    pub(crate) fn write(&self, path: &Path) -> Result<(), LabelsError> {
        let text = serde_json::to_vec(self).map_err(|error| LabelsError::Place {
            path: path.display().to_string(),
            reason: error.to_string(),
        })?;
        Ok(gyre_data::files::write(path, &text)?)
    }
}
