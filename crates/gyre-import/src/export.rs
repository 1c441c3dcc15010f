//! The way back: everything into an empty database of MLflow's, under its own ids, and artifacts into a folder.
//!
//! MLflow itself makes the tables (`mlflow db upgrade`), so they are those of the version that will read them; rows are
//! written into the columns that are there. All of it is one transaction: an export that fails leaves the database empty.

mod artifacts;
mod registry;
mod runs;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use gyre_artifacts::Artifacts;
use gyre_store::Store;
use gyre_tracking::bulk;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

use crate::report::{Kind, Report};
use crate::{ImportError, Progress};

/// An MLflow database that is being filled.
struct Database<'a> {
    path: &'a Path,
    connection: &'a Connection,
    columns: BTreeMap<&'static str, BTreeSet<String>>,
}

/// Tables that must be there: those of MLflow 3.0 and later.
const TABLES: [&str; 17] = [
    "experiments",
    "experiment_tags",
    "runs",
    "params",
    "tags",
    "metrics",
    "latest_metrics",
    "datasets",
    "inputs",
    "input_tags",
    "logged_models",
    "logged_model_params",
    "logged_model_tags",
    "logged_model_metrics",
    "registered_models",
    "registered_model_tags",
    "model_versions",
];

/// Tables that are written besides.
const MORE: [&str; 2] = ["registered_model_aliases", "model_version_tags"];

/// Writes all that `store` has tracked and registered into the database at `path`, and all artifacts into `folder`.
///
/// # Errors
/// [`ImportError`]: the database is not MLflow's, or not empty; the folder is not empty; the disk is full.
pub fn export(
    store: &Store,
    artifacts: &Artifacts,
    path: &Path,
    folder: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, ImportError> {
    let mut report = Report { source: format!("sqlite:///{}", path.display()), ..Report::default() };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if !path.is_file() {
        return Err(ImportError::Source(format!(
            "there is no database {0}: make it with `mlflow db upgrade sqlite:///{0}`, by the MLflow that is to read it",
            path.display()
        )));
    }
    let failed = |doing: &str| ImportError::database(path, doing.to_owned());
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed("opening it"))?;
    let transaction = connection.transaction().map_err(failed("beginning"))?;
    let database = Database::check(path, &transaction)?;
    artifacts::check(folder)?;
    experiments(store, &database, &mut report)?;
    runs::runs(store, &database, &mut report, progress)?;
    runs::logged_models(store, &database, &mut report)?;
    registry::models(store, &database, &mut report)?;
    artifacts::files(store, artifacts, folder, &mut report)?;
    left_out(store, &mut report)?;
    transaction.commit().map_err(failed("committing"))?;
    Ok(report)
}

/// What does not go back.
fn left_out(store: &Store, report: &mut Report) -> Result<(), ImportError> {
    for (kind, sql) in [
        (Kind::Traces, "SELECT count(*) FROM traces_infos"),
        (Kind::Webhooks, "SELECT count(*) FROM registry_webhooks"),
    ] {
        let count = store.read(|tx| tx.query(sql, &[])?.first().map_or(Ok(0), |row| row.get::<u64>(0)))?;
        report.tally(kind).found += count;
        report.skip(kind, "they do not go back yet", count);
    }
    Ok(())
}

fn experiments(store: &Store, database: &Database<'_>, report: &mut Report) -> Result<(), ImportError> {
    for experiment in store.read(bulk::experiments)? {
        database.insert(
            "experiments",
            vec![
                ("experiment_id", experiment.id.into()),
                ("name", experiment.name.into()),
                ("artifact_location", experiment.artifact_location.into()),
                ("lifecycle_stage", experiment.stage.name().to_owned().into()),
                ("creation_time", experiment.created.into()),
                ("last_update_time", experiment.updated.into()),
            ],
        )?;
        report.wrote(Kind::Experiments, 1);
        report.wrote(Kind::ExperimentTags, experiment.tags.len() as u64);
        for (key, value) in experiment.tags {
            let id = experiment.id.into();
            database.insert(
                "experiment_tags",
                vec![("experiment_id", id), ("key", key.into()), ("value", value.into())],
            )?;
        }
    }
    Ok(())
}

impl<'a> Database<'a> {
    /// Checks that the tables are there and empty.
    fn check(path: &'a Path, connection: &'a Connection) -> Result<Self, ImportError> {
        let mut columns = BTreeMap::new();
        for table in TABLES.into_iter().chain(MORE) {
            let read = || {
                let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
                let names = statement.query_map([table], |row| row.get(0))?;
                names.collect::<Result<BTreeSet<String>, _>>()
            };
            let found = read().map_err(ImportError::database(path, format!("the columns of {table}")))?;
            if found.is_empty() {
                return Err(ImportError::Source(format!(
                    "{} has no table `{table}`, expected a database that `mlflow db upgrade` of MLflow 3.0 or later made",
                    path.display()
                )));
            }
            columns.insert(table, found);
        }
        let database = Self { path, connection, columns };
        for table in ["runs", "experiments", "registered_models", "logged_models"] {
            let sql = format!("SELECT count(*) FROM {table}");
            let rows: i64 = connection
                .query_row(&sql, [], |row| row.get(0))
                .map_err(ImportError::database(path, format!("counting {table}")))?;
            // A server that was started once has made its default experiment.
            if rows > i64::from(table == "experiments") {
                return Err(ImportError::Source(format!(
                    "{} has {rows} rows in `{table}`, expected an empty database: nothing was exported",
                    path.display()
                )));
            }
        }
        let removed = connection.execute("DELETE FROM experiments WHERE experiment_id = 0", []);
        removed.map_err(ImportError::database(path, "making room for the default experiment"))?;
        Ok(database)
    }

    /// Writes a row, into the columns that the table has.
    fn insert(&self, table: &'static str, row: Vec<(&'static str, Value)>) -> Result<(), ImportError> {
        let known = self.columns.get(table);
        let row: Vec<_> =
            row.into_iter().filter(|(name, _)| known.is_some_and(|known| known.contains(*name))).collect();
        let names: Vec<&str> = row.iter().map(|(name, _)| *name).collect();
        let marks = vec!["?"; names.len()].join(", ");
        let sql = format!("INSERT INTO {table} ({}) VALUES ({marks})", names.join(", "));
        let write = || {
            let mut statement = self.connection.prepare_cached(&sql)?;
            statement.execute(params_from_iter(row.iter().map(|(_, value)| value)))
        };
        write().map(drop).map_err(ImportError::database(self.path, format!("writing into {table}")))
    }
}
