//! The small files of a file store: `meta.yaml`, and a text a file.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::META;
use crate::ImportError;

/// A file that is not what it should be.
#[derive(Debug)]
pub(super) struct Flaw {
    pub(super) path: PathBuf,
    pub(super) reason: String,
}

/// Larger files are none that MLflow writes.
const LARGEST: u64 = 64 << 20;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Experiment {
    pub(super) experiment_id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) artifact_location: Option<String>,
    pub(super) lifecycle_stage: Option<String>,
    pub(super) creation_time: Option<i64>,
    pub(super) last_update_time: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Run {
    pub(super) run_id: Option<String>,
    pub(super) run_uuid: Option<String>,
    pub(super) run_name: Option<String>,
    pub(super) name: Option<String>,
    pub(super) user_id: Option<String>,
    pub(super) status: Option<String>,
    pub(super) start_time: Option<i64>,
    pub(super) end_time: Option<i64>,
    pub(super) deleted_time: Option<i64>,
    pub(super) lifecycle_stage: Option<String>,
    pub(super) artifact_uri: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Dataset {
    pub(super) name: String,
    pub(super) digest: String,
    pub(super) source_type: String,
    pub(super) source: String,
    pub(super) schema: Option<String>,
    pub(super) profile: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Link {
    pub(super) source_type: String,
    pub(super) source_id: String,
    pub(super) step: Option<i64>,
    pub(super) tags: Option<std::collections::BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LoggedModel {
    pub(super) model_id: String,
    pub(super) name: Option<String>,
    pub(super) artifact_location: Option<String>,
    pub(super) creation_timestamp: Option<i64>,
    pub(super) last_updated_timestamp: Option<i64>,
    pub(super) status: Option<String>,
    pub(super) status_message: Option<String>,
    pub(super) model_type: Option<String>,
    pub(super) source_run_id: Option<String>,
    pub(super) lifecycle_stage: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Registered {
    pub(super) name: Option<String>,
    pub(super) creation_timestamp: Option<i64>,
    pub(super) last_updated_timestamp: Option<i64>,
    pub(super) description: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Version {
    pub(super) version: Option<i64>,
    pub(super) creation_timestamp: Option<i64>,
    pub(super) last_updated_timestamp: Option<i64>,
    pub(super) description: Option<String>,
    pub(super) user_id: Option<String>,
    pub(super) current_stage: Option<String>,
    pub(super) source: Option<String>,
    pub(super) storage_location: Option<String>,
    pub(super) run_id: Option<String>,
    pub(super) run_link: Option<String>,
    pub(super) model_id: Option<String>,
    pub(super) status: Option<String>,
}

/// The `meta.yaml` in `folder`.
pub(super) fn read<T: DeserializeOwned>(folder: &Path) -> Result<T, Flaw> {
    let path = folder.join(META);
    let text = text(&path)?;
    serde_saphyr::from_str(&text).map_err(|error| {
        let reason = error.to_string().lines().next().unwrap_or_default().to_owned();
        Flaw { path, reason: format!("it is no {META} of MLflow's: {reason}") }
    })
}

/// A file's text.
pub(super) fn text(path: &Path) -> Result<String, Flaw> {
    let flaw = |reason: String| Flaw { path: path.to_owned(), reason };
    let length = std::fs::metadata(path).map_err(|error| flaw(format!("it cannot be read: {error}")))?.len();
    if length > LARGEST {
        return Err(flaw(format!("it has {length} bytes, expected at most {LARGEST}")));
    }
    let bytes = std::fs::read(path).map_err(|error| flaw(format!("it cannot be read: {error}")))?;
    String::from_utf8(bytes).map_err(|error| flaw(format!("it is no UTF-8: {error}")))
}

/// The files below `folder`, each by its path, which is its key (keys may contain slashes); none without the folder.
pub(super) fn keys(folder: &Path) -> Result<Vec<(String, PathBuf)>, Flaw> {
    let mut found = Vec::new();
    let mut folders = vec![(folder.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        let flaw = |error: std::io::Error| Flaw {
            path: folder.clone(),
            reason: format!("it cannot be read: {error}"),
        };
        for entry in std::fs::read_dir(&folder).map_err(flaw)? {
            let entry = entry.map_err(flaw)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let key = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            let kind = entry.file_type().map_err(flaw)?;
            if kind.is_dir() {
                folders.push((entry.path(), key));
            } else if kind.is_file() {
                found.push((key, entry.path()));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Keys and texts of the files below `folder`.
pub(super) fn texts(folder: &Path) -> Result<Vec<(String, String)>, Flaw> {
    keys(folder)?.into_iter().map(|(key, path)| Ok((key, text(&path)?))).collect()
}

/// The names of the folders in `folder`, sorted; none without it.
pub(super) fn folders(folder: &Path) -> Result<Vec<String>, ImportError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let failed = |error| ImportError::file(folder, error);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The last part of a path.
pub(super) fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
