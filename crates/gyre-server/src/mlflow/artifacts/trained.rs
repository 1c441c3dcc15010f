//! The artifacts of versions that the loop trained: `gyre/MODEL/VERSION/…`, where the registry says that they are.
//!
//! Nothing is stored there. The ONNX file is the store's own blob, sent as it is and hashed on its way out; the texts
//! beside it are made when they are asked for ([`super::package`]). So the folder cannot be written to.

use std::path::PathBuf;

use bytes::Bytes;
use gyre_artifacts::index::Child;
use gyre_artifacts::{ArtifactError, Download};
use gyre_core::{Digest, ModelName, Version};
use gyre_registry::{LOOP_FOLDER as FOLDER, VersionRecord};
use gyre_runtime::{Binding, Calibration, Format, Hints, Interface};
use gyre_store::{Store, StoreError};

use super::package::{MODEL, Package, TEXTS};
use crate::mlflow::MlflowError;
use crate::mlflow::error::ErrorCode;

/// A version that `path` leads to, and what stands after it; empty for the version's folder itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    model: ModelName,
    version: Version,
    inner: String,
}

/// What `path` means, when it lies in a version's folder.
pub(super) fn place(path: &str) -> Option<Place> {
    let mut parts = path.splitn(4, '/');
    parts.next().filter(|first| *first == FOLDER)?;
    let (model, version) = (parts.next()?.parse().ok()?, parts.next()?);
    let number: Version = version.parse().ok()?;
    // One spelling of a number, one path.
    (number.to_string() == version).then(|| Place {
        model,
        version: number,
        inner: parts.next().unwrap_or_default().to_owned(),
    })
}

/// Says no to changes of what nobody but the loop makes.
///
/// # Errors
/// `path` is that folder, or in it.
pub(super) fn refuse_change(path: &str) -> Result<(), MlflowError> {
    if path != FOLDER && !path.strip_prefix(FOLDER).is_some_and(|rest| rest.starts_with('/')) {
        return Ok(());
    }
    Err(MlflowError::new(
        ErrorCode::PermissionDenied,
        format!(
            "`{path}` cannot be changed: what lies below `{FOLDER}/` are the versions that gyre trained; choose another \
             folder for your own files"
        ),
    ))
}

/// A file of such a version.
pub(super) struct File {
    pub(super) digest: Digest,
    pub(super) size: u64,
    content: Content,
}

enum Content {
    Blob(PathBuf),
    Text(Bytes),
}

impl File {
    /// The bytes from `from` to before `to`. Blocks.
    ///
    /// # Errors
    /// The blob is damaged, or cannot be read.
    pub(super) fn open(&self, from: u64, to: u64) -> Result<Download, ArtifactError> {
        match &self.content {
            Content::Blob(path) => Download::of_file(path.clone(), (self.digest, None, self.size), from, to),
            Content::Text(text) => {
                let at =
                    |place: u64| usize::try_from(place).map_or(text.len(), |place| place.min(text.len()));
                Ok(Download::of_bytes(text.slice(at(from)..at(to))))
            }
        }
    }
}

/// The file at `place`. Blocks.
///
/// # Errors
/// [`StoreError::NotFound`]; what the store said.
pub(super) fn file(store: &Store, place: &Place) -> Result<File, StoreError> {
    let record = record(store, place)?;
    let model = model_file(store, &record)?;
    if place.inner == model {
        let (path, size) = blob(store, &record)?;
        return Ok(File { digest: record.registered.artifact, size, content: Content::Blob(path) });
    }
    if model != MODEL || !TEXTS.contains(&place.inner.as_str()) {
        return Err(StoreError::not_found("artifact", path_of(place)));
    }
    let text = texts(store, &record, &[&place.inner])?.pop().unwrap_or_default();
    Ok(File {
        digest: Digest::of(text.as_bytes()),
        size: text.len() as u64,
        content: Content::Text(text.into()),
    })
}

/// The children of the folder at `place`. Blocks.
///
/// # Errors
/// [`StoreError::NotFound`] when there is no such version; what the store said.
pub(super) fn children(store: &Store, place: &Place) -> Result<Vec<Child>, StoreError> {
    let record = record(store, place)?;
    if !place.inner.is_empty() {
        // All its files lie directly in it.
        return Ok(Vec::new());
    }
    let (_, size) = blob(store, &record)?;
    let model = model_file(store, &record)?;
    if model != MODEL {
        return Ok(vec![Child { name: model.to_owned(), size: Some(size) }]);
    }
    let texts = texts(store, &record, &TEXTS)?;
    let mut children: Vec<Child> = TEXTS
        .iter()
        .zip(&texts)
        .map(|(name, text)| Child { name: (*name).to_owned(), size: Some(text.len() as u64) })
        .collect();
    children.push(Child { name: MODEL.to_owned(), size: Some(size) });
    children.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(children)
}

/// The name of the model's own file: an ONNX graph is a package for MLflow's clients; of anything else there is what was
/// deployed, as it is.
fn model_file(store: &Store, record: &VersionRecord) -> Result<&'static str, StoreError> {
    let version = &record.registered;
    if !version.runtime.is_native() {
        return Ok("runtime.json");
    }
    let file = store.blobs().get(&version.artifact)?;
    if !matches!(Calibration::split(&file), Ok(None)) {
        return Ok("model");
    }
    match Format::of(&file) {
        Ok(Format::Onnx) | Err(_) => Ok(MODEL),
        Ok(_) => Ok("model"),
    }
}

fn record(store: &Store, place: &Place) -> Result<VersionRecord, StoreError> {
    store.read(|tx| gyre_registry::version(tx, &place.model, place.version))
}

/// Where the ONNX file lies, and its size.
fn blob(store: &Store, record: &VersionRecord) -> Result<(PathBuf, u64), StoreError> {
    let path = store.blobs().path(&record.registered.artifact);
    match std::fs::metadata(&path) {
        Ok(found) => Ok((path, found.len())),
        Err(_) => Err(StoreError::not_found("blob", record.registered.artifact.to_hex())),
    }
}

/// What the files called `names` hold.
fn texts(store: &Store, record: &VersionRecord, names: &[&str]) -> Result<Vec<String>, StoreError> {
    let version = &record.registered;
    let bytes = store.blobs().get(&version.artifact)?;
    let unreadable = |error: &dyn std::fmt::Display| {
        StoreError::Invalid(format!(
            "version {} of `{}` cannot be read: {error}",
            version.version, version.model
        ))
    };
    let graph = Interface::read(&bytes).map_err(|error| unreadable(&error))?;
    let features: Vec<&str> = version.signature.inputs.iter().map(|field| field.name.as_str()).collect();
    let classes: Vec<&str> = version.signature.classes.iter().map(String::as_str).collect();
    let hints = Hints { features: &features, classes: &classes };
    let binding = Binding::new(&graph, &hints).map_err(|error| unreadable(&error))?;
    let (created, size) = (record.created.at, bytes.len() as u64);
    let package = Package { version, created, size, graph: &graph, binding: &binding };
    Ok(names.iter().filter_map(|name| package.text(name)).collect())
}

fn path_of(place: &Place) -> String {
    format!("{FOLDER}/{}/{}/{}", place.model, place.version, place.inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_versions_are_places_and_all_below_is_closed_to_writing() {
        let inner = |path: &str| place(path).map(|place| (place.version, place.inner));
        assert_eq!(inner("gyre/minutes/3"), Some((3, String::new())));
        assert_eq!(inner("gyre/minutes/3/a/b"), Some((3, "a/b".to_owned())));
        for path in [
            "gyre",
            "gyre/minutes",
            "gyre/minutes/03",
            "gyre/minutes/+3",
            "gyre/minutes/x",
            "gyred/minutes/3",
            "",
        ] {
            assert_eq!(inner(path), None, "{path}");
        }
        for path in ["gyre", "gyre/x", "gyre/minutes/3/MLmodel"] {
            assert!(refuse_change(path).is_err(), "{path}");
        }
        for path in ["gyred/x", "0/gyre", "gyr"] {
            assert!(refuse_change(path).is_ok(), "{path}");
        }
    }
}
