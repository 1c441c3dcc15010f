//! Where the artifacts of a run, a logged model or a model version are: the one place that looks it up.
//!
//! A root is a URI that clients resolve. Only `mlflow-artifacts:` is kept here; everything else (`s3:`, `file:` of a
//! client's machine) is refused, never opened: a server that followed it would read files and reach hosts for strangers.

use gyre_artifacts::Folder;
use gyre_store::{Cell, StoreError, Tx};

/// A root: its URI as it is recorded, and the folder that it means here.
pub(crate) type Root = (String, Folder);

/// The artifacts of the run `run`.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Invalid`] when they are kept elsewhere.
pub(crate) fn of_run(tx: &mut Tx<'_>, run: &str) -> Result<Root, StoreError> {
    look_up(tx, "run", run, "SELECT artifact_uri FROM tracking_runs WHERE run_id = ?1", &[run.into()])
}

/// The artifacts of the logged model `model`.
///
/// # Errors
/// As [`of_run`].
pub(crate) fn of_logged_model(tx: &mut Tx<'_>, model: &str) -> Result<Root, StoreError> {
    let sql = "SELECT artifact_uri FROM tracking_logged_models WHERE model_id = ?1";
    look_up(tx, "logged model", model, sql, &[model.into()])
}

/// The newest model that the run `run` logged under `name`; none when there is no such model.
///
/// # Errors
/// As [`of_run`].
pub(crate) fn of_run_model(tx: &mut Tx<'_>, run: &str, name: &str) -> Result<Option<Root>, StoreError> {
    let sql = "SELECT model_id FROM tracking_logged_models
               WHERE source_run_id = ?1 AND name = ?2 AND deleted IS NULL ORDER BY created DESC, model DESC LIMIT 1";
    let rows = tx.query(sql, &[run.into(), name.into()])?;
    let Some(row) = rows.first() else { return Ok(None) };
    let model: String = row.get(0)?;
    of_logged_model(tx, &model).map(Some)
}

/// The artifacts of version `version` of the registered model `name`. A version may point to them by way of a run
/// (`runs:/RUN/PATH`) or of a logged model (`models:/MODEL/PATH`).
///
/// # Errors
/// As [`of_run`].
pub(crate) fn of_version(tx: &mut Tx<'_>, name: &str, version: i64) -> Result<Root, StoreError> {
    let sql =
        "SELECT coalesce(location, source) FROM registry_model_versions WHERE name = ?1 AND version = ?2";
    let rows = tx.query(sql, &[name.into(), version.into()])?;
    let row =
        rows.first().ok_or_else(|| StoreError::not_found("model version", format!("{name}/{version}")))?;
    let source: String = row.get(0)?;
    of_source(tx, &source)
}

/// The artifacts that a version's source means.
///
/// # Errors
/// As [`of_run`].
pub(crate) fn of_source(tx: &mut Tx<'_>, source: &str) -> Result<Root, StoreError> {
    let invalid = |error: gyre_artifacts::InvalidPath| StoreError::Invalid(error.to_string());
    let by_way = |scheme: &str| {
        let rest = source.strip_prefix(scheme)?.trim_start_matches('/');
        Some(rest.split_once('/').unwrap_or((rest, "")))
    };
    let ((_, root), inner) = match (by_way("runs:"), by_way("models:")) {
        (Some((run, inner)), _) => (of_run(tx, run)?, inner),
        // `models:/m-…` is a logged model; of another version (`models:/NAME/VERSION`), the location is recorded.
        (_, Some((model, inner))) if model.starts_with("m-") => (of_logged_model(tx, model)?, inner),
        _ => ((String::new(), Folder::from_uri(source).map_err(invalid)?), ""),
    };
    let inner = Folder::from_field(inner).map_err(invalid)?;
    Ok((source.to_owned(), root.folder(&inner).map_err(invalid)?))
}

fn look_up(
    tx: &mut Tx<'_>,
    what: &'static str,
    name: &str,
    sql: &str,
    cells: &[Cell],
) -> Result<Root, StoreError> {
    let rows = tx.query(sql, cells)?;
    let row = rows.first().ok_or_else(|| StoreError::not_found(what, name))?;
    let uri: String = row.get(0)?;
    let folder = Folder::from_uri(&uri).map_err(|error| {
        StoreError::Invalid(format!("the artifacts of {what} `{name}` are not kept here: {error}"))
    })?;
    Ok((uri, folder))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gyre_core::time::SystemClock;
    use gyre_store::{Room, Store};

    use super::*;

    /// Those columns of the tables that are looked at here.
    static TABLES: Room = Room {
        name: "roots",
        migrations: &["
CREATE TABLE tracking_runs (run_id TEXT PRIMARY KEY, artifact_uri TEXT NOT NULL) STRICT;
CREATE TABLE tracking_logged_models (model_id TEXT PRIMARY KEY, artifact_uri TEXT NOT NULL) STRICT;
CREATE TABLE registry_model_versions (name TEXT, version INTEGER, source TEXT NOT NULL, location TEXT) STRICT;
INSERT INTO tracking_runs VALUES ('r1', 'mlflow-artifacts:/1/r1/artifacts'), ('away', 's3://bucket/x');
INSERT INTO tracking_logged_models VALUES ('m-1', 'mlflow-artifacts:/1/models/m-1/artifacts');
INSERT INTO registry_model_versions (name, version, source) VALUES
    ('plain', 1, 'mlflow-artifacts:/1/models/m-1/artifacts'), ('by run', 1, 'runs:/r1/model'),
    ('by model', 1, 'models:/m-1'), ('by model', 2, 'models:/m-1/inner'), ('away', 1, 'runs:/away/model'),
    ('file', 1, '/etc'), ('uri', 1, 'file:///etc'), ('out', 1, 'runs:/r1/../../x'), ('web', 1, 'http://127.0.0.1/x');
INSERT INTO registry_model_versions VALUES ('moved', 1, 'models:/other/1', 'mlflow-artifacts:/1/r1/artifacts/model');
"],
        project: |_, _| Ok(()),
    };
    static ROOMS: [&Room; 1] = [&TABLES];

    #[test]
    fn versions_lead_to_folders_that_are_kept_here_and_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &ROOMS, Arc::new(SystemClock)).unwrap();
        let folder = |name: &str, version| {
            store.read(|tx| of_version(tx, name, version)).map(|(_, folder)| folder.as_str().to_owned())
        };
        assert_eq!(folder("plain", 1).unwrap(), "1/models/m-1/artifacts");
        assert_eq!(folder("by run", 1).unwrap(), "1/r1/artifacts/model");
        assert_eq!(folder("by model", 1).unwrap(), "1/models/m-1/artifacts");
        assert_eq!(folder("moved", 1).unwrap(), "1/r1/artifacts/model");
        assert_eq!(folder("by model", 2).unwrap(), "1/models/m-1/artifacts/inner");
        for name in ["away", "file", "uri", "out", "web"] {
            assert!(matches!(folder(name, 1), Err(StoreError::Invalid(_))), "{name}");
        }
        assert!(matches!(folder("plain", 2), Err(StoreError::NotFound { .. })));
    }
}
