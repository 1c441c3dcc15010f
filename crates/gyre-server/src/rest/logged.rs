//! Models that clients logged here, as versions of the gateway: from `models:/NAME/3` to something that answers.
//!
//! A reference is MLflow's own (`models:/NAME/VERSION`, `models:/NAME@ALIAS`, `models:/m-…`, `runs:/RUN/PATH`) and leads to
//! a folder of artifacts with an `MLmodel` in it. When one of its flavors keeps the model in a file that gyre reads, that
//! file is the version. Otherwise somebody else's server must load it; then its files are laid out on disk for the command
//! that serves it, for that command has no credentials of ours, and may start while this server does not answer yet.

use std::fs;
use std::io::Write;
use std::path::{Component, Path, PathBuf};

use axum::http::StatusCode;
use gyre_artifacts::index::{self, FileRecord};
use gyre_artifacts::{ArtifactError, ArtifactPath, Folder};
use gyre_core::record::Signature;
use gyre_core::runtime::Process;
use gyre_core::{Digest, Version};
use gyre_loop::STATE_DIR;
use gyre_registry::RegisteredVersion;
use gyre_store::{StoreError, Tx};

use super::Refused;
use super::deploy::LARGEST_FILE;
use crate::app::App;
use crate::mlflow::artifact_root;
use crate::mlmodel::MlModel;

/// The name of the file that says what a model is.
const MLMODEL: &str = "MLmodel";
/// Its largest size, in bytes: a signature has a line a column.
const LARGEST_MLMODEL: u64 = 4 << 20;
/// Most files of a model that are laid out.
const MOST_FILES: usize = 10_000;
/// The folder in which they are laid out, by the digest of the tree.
const LAID_OUT: &str = "served";
/// What stands in a command for the folder with the model's files.
pub(super) const PLACE: &str = "{model}";

/// What a reference means.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reference<'a> {
    Version(&'a str, Version),
    Alias(&'a str, &'a str),
    LoggedModel(&'a str),
    Run(&'a str, &'a str),
}

/// A model that somebody logged.
pub(super) struct Logged {
    folder: Folder,
    mlmodel: MlModel,
    /// Where it is, in words that stay true: an alias is resolved.
    pub(super) source: String,
    /// The run that logged it.
    pub(super) run: Option<String>,
}

impl<'a> Reference<'a> {
    fn parse(text: &'a str) -> Result<Self, Refused> {
        let strange = || {
            let shown: String = text.chars().take(200).collect();
            Refused::new(StatusCode::BAD_REQUEST, format!("`{shown}` names no logged model"))
                .expecting("models:/NAME/VERSION, models:/NAME@ALIAS, models:/m-ID or runs:/RUN/PATH")
        };
        if let Some(rest) = text.strip_prefix("runs:/") {
            let (run, path) = rest.trim_start_matches('/').split_once('/').ok_or_else(strange)?;
            return if run.is_empty() || path.is_empty() { Err(strange()) } else { Ok(Self::Run(run, path)) };
        }
        let rest = text.strip_prefix("models:/").ok_or_else(strange)?.trim_start_matches('/');
        if let Some((name, version)) = rest.split_once('/') {
            // `latest` is an alias that every model has.
            return match version.parse() {
                Ok(number) => Ok(Self::Version(name, number)),
                Err(_) if version.eq_ignore_ascii_case("latest") => Ok(Self::Alias(name, version)),
                Err(_) => Err(strange().helping("stages are not followed: name a version or an alias")),
            };
        }
        match rest.split_once('@') {
            Some((name, alias)) if !name.is_empty() && !alias.is_empty() => Ok(Self::Alias(name, alias)),
            None if rest.starts_with("m-") => Ok(Self::LoggedModel(rest)),
            _ => Err(strange()),
        }
    }

    /// The folder, the source in words that stay true, and the run.
    fn resolve(&self, tx: &mut Tx<'_>) -> Result<(Folder, String, Option<String>), StoreError> {
        match *self {
            Self::Version(name, number) => {
                let version = gyre_registry::registered_version(tx, name, number)?;
                of_version(tx, version)
            }
            Self::Alias(name, alias) => {
                let version = gyre_registry::version_by_alias(tx, name, alias)?;
                of_version(tx, version)
            }
            Self::LoggedModel(id) => {
                let (_, folder) = artifact_root::of_logged_model(tx, id)?;
                let run = gyre_tracking::logged_models::get(tx, id)?.source_run_id;
                Ok((folder, format!("models:/{id}"), run))
            }
            Self::Run(run, path) => {
                let (_, folder) = artifact_root::of_source(tx, &format!("runs:/{run}/{path}"))?;
                // From version 3 on, clients keep a run's models beside the run, under its name for them.
                let folder = match index::exists(tx, &folder)? {
                    true => folder,
                    false => artifact_root::of_run_model(tx, run, path)?.map_or(folder, |(_, folder)| folder),
                };
                Ok((folder, format!("runs:/{run}/{path}"), Some(run.to_owned())))
            }
        }
    }
}

fn of_version(
    tx: &mut Tx<'_>,
    version: RegisteredVersion,
) -> Result<(Folder, String, Option<String>), StoreError> {
    let (name, number) = (version.name, version.version);
    if gyre_registry::is_of_the_loop(tx, &name, Some(number))? {
        return Err(StoreError::Invalid(format!(
            "version {number} of `{name}` is the gateway's own already: gyre deploy {name} {number}"
        )));
    }
    let (_, folder) = artifact_root::of_version(tx, &name, number.into())?;
    Ok((folder, format!("models:/{name}/{number}"), version.run_id.filter(|run| !run.is_empty())))
}

/// The model that `reference` leads to. Blocks.
///
/// # Errors
/// There is none, its artifacts are not kept here, or its `MLmodel` cannot be read.
pub(super) fn find(app: &App, reference: &str) -> Result<Logged, Refused> {
    let asked = Reference::parse(reference)?;
    let (folder, source, run) = app.store.read(|tx| asked.resolve(tx))?;
    let path = below(&folder, MLMODEL)?;
    let file = app.store.read(|tx| index::file(tx, &path)).map_err(|error| match error {
        StoreError::NotFound { .. } => {
            Refused::new(StatusCode::NOT_FOUND, format!("{source} has no file `{MLMODEL}`"))
                .expecting("a model that was logged by an MLflow client")
        }
        error => error.into(),
    })?;
    let unreadable = |why: String| {
        Refused::new(StatusCode::BAD_REQUEST, format!("the `{MLMODEL}` of {source} cannot be read: {why}"))
    };
    if file.size > LARGEST_MLMODEL {
        return Err(unreadable(format!("it has {} bytes, more than {LARGEST_MLMODEL}", file.size)));
    }
    let text = String::from_utf8(read(app, &file)?).map_err(|error| unreadable(error.to_string()))?;
    let mlmodel = MlModel::read(&text).map_err(unreadable)?;
    Ok(Logged { folder, mlmodel, source, run })
}

impl Logged {
    /// What it takes and gives, as its `MLmodel` says.
    ///
    /// # Errors
    /// In words: it does not say so.
    pub(super) fn signature(&self) -> Result<Signature, String> {
        self.mlmodel.signature()
    }

    /// The file of the first of its flavors that gyre may be able to run; whether it can, the file says. Blocks.
    ///
    /// # Errors
    /// There is none, with the command by which it can be served.
    pub(super) fn native(&self, app: &App) -> Result<Vec<u8>, Refused> {
        let Some((_, name)) = self.mlmodel.native_file() else {
            return Err(self.unable("none of its flavors keeps it in a file that gyre reads"));
        };
        let file = app.store.read({
            let path = below(&self.folder, name)?;
            move |tx| index::file(tx, &path)
        })?;
        if file.size > LARGEST_FILE as u64 {
            return Err(self.unable(&format!("`{name}` has {} bytes, more than {LARGEST_FILE}", file.size)));
        }
        read(app, &file)
    }

    /// It cannot be run in process; what to do instead.
    pub(super) fn unable(&self, why: &str) -> Refused {
        let (source, flavors) = (&self.source, self.mlmodel.flavors().join(", "));
        Refused::new(StatusCode::CONFLICT, format!("{source} (flavors: {flavors}): {why}")).helping(format!(
            "have MLflow's own server serve it as a process: the same command with --serve (mlflow models serve -m {source} --env-manager local)"
        ))
    }

    /// Lays its files out on disk, and says in `process` where they are. Blocks.
    ///
    /// # Errors
    /// The command has no place for it; what the disk or the artifacts' storage said.
    pub(super) fn lay_out(&self, app: &App, process: &mut Process) -> Result<(), Refused> {
        let names = |text: &String| text.contains(PLACE);
        if !process.command.iter().any(names) && !process.env.values().any(names) {
            let told = format!("the command does not say where it takes {} from", self.source);
            return Err(Refused::new(StatusCode::BAD_REQUEST, told).expecting(format!(
                "{PLACE} in its arguments, which becomes the folder with the model's files"
            )));
        }
        let (tree, files) = app.store.read(|tx| {
            Ok((index::tree_digest(tx, &self.folder)?, index::files(tx, &self.folder, MOST_FILES)?))
        })?;
        write_tree(app, &tree.digest, &files)?;
        // As seen from the folder that the command runs in, so that a project may be moved.
        let mut place = PathBuf::new();
        let inner = process.dir.as_deref().map_or(Path::new(""), Path::new);
        inner.components().filter(|part| matches!(part, Component::Normal(_))).for_each(|_| place.push(".."));
        let place = place.join(STATE_DIR).join(LAID_OUT).join(tree.digest.to_hex()).display().to_string();
        for text in process.command.iter_mut().chain(process.env.values_mut()) {
            *text = text.replace(PLACE, &place);
        }
        Ok(())
    }
}

/// Puts `files` into the folder of their digest, whole or not at all; one that is there is as it should be.
fn write_tree(app: &App, digest: &Digest, files: &[(String, FileRecord)]) -> Result<(), Refused> {
    let above = app.store.dir().join(LAID_OUT);
    let place = above.join(digest.to_hex());
    if place.exists() {
        return Ok(());
    }
    let failed = |error: std::io::Error| {
        let told = format!("the model's files cannot be laid out in {}: {error}", above.display());
        Refused::new(StatusCode::INSUFFICIENT_STORAGE, told)
    };
    fs::create_dir_all(&above).map_err(failed)?;
    let half = above.join(format!(".{}", uuid::Uuid::new_v4().simple()));
    let written = files.iter().try_for_each(|(path, file)| {
        // Paths of artifacts have no `..` and no empty parts.
        let to = half.join(path);
        fs::create_dir_all(to.parent().unwrap_or(&half)).map_err(failed)?;
        let mut out = fs::File::create(&to).map_err(failed)?;
        let mut download = app.artifacts.open(file, 0, file.size).map_err(told)?;
        while let Some(chunk) = download.next_chunk().map_err(told)? {
            out.write_all(&chunk).map_err(failed)?;
        }
        out.sync_all().map_err(failed)
    });
    let done = written.and_then(|()| match fs::rename(&half, &place) {
        // Somebody else was quicker.
        Err(_) if place.exists() => Ok(()),
        done => done.map_err(failed),
    });
    // What is left of it, when it was not finished or not needed.
    let _ = fs::remove_dir_all(&half);
    done
}

/// A file that is small enough to be held in memory.
fn read(app: &App, file: &FileRecord) -> Result<Vec<u8>, Refused> {
    let mut bytes = Vec::with_capacity(usize::try_from(file.size).unwrap_or_default());
    let mut download = app.artifacts.open(file, 0, file.size).map_err(told)?;
    while let Some(chunk) = download.next_chunk().map_err(told)? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn below(folder: &Folder, name: &str) -> Result<ArtifactPath, Refused> {
    let wrong = |error: gyre_artifacts::InvalidPath| Refused::new(StatusCode::BAD_REQUEST, error.to_string());
    folder.file(&ArtifactPath::from_field(name).map_err(wrong)?).map_err(wrong)
}

fn told(error: ArtifactError) -> Refused {
    match error {
        ArtifactError::Store(error) => error.into(),
        error => Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_those_of_mlflow() {
        let parsed = |text| Reference::parse(text).unwrap();
        assert_eq!(parsed("models:/price/3"), Reference::Version("price", 3));
        assert_eq!(parsed("models:/price@best"), Reference::Alias("price", "best"));
        assert_eq!(parsed("models:/price/latest"), Reference::Alias("price", "latest"));
        assert_eq!(parsed("models:/m-12"), Reference::LoggedModel("m-12"));
        assert_eq!(parsed("runs:/12ab/out/model"), Reference::Run("12ab", "out/model"));
        for text in
            ["price/3", "models:/price", "models:/price/Production", "runs:/12ab", "models:/@a", "s3://b/m"]
        {
            assert_eq!(Reference::parse(text).unwrap_err().status(), StatusCode::BAD_REQUEST, "{text}");
        }
    }
}
