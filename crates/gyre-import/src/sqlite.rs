//! MLflow's SQLite database, of any version since 1.0: read in one snapshot, never written.
//!
//! MLflow's schema has grown from version to version. So each query asks the table which columns it has and puts a constant
//! in the place of those that came later. Runs come in the order of their ids, and what they logged by ranges of ids, which
//! MLflow's own indexes serve.
//!
//! Schema: MLflow's migrations, `mlflow/store/db_migrations`.

mod models;
mod registry;
mod runs;
mod tables;
mod traces;

use std::path::{Path, PathBuf};

use gyre_tracking::experiments::Experiment;
use rusqlite::{Connection, OpenFlags};

use crate::ImportError;
use crate::artifacts::{Found, Sink};
use crate::folders::Folders;
use crate::mover::stage;
use crate::record::{
    Head, Problem, SourceExperiment, SourceModel, SourceRegistered, SourceRun, SourceTrace, SourceWebhook,
};
use crate::report::Kind;
use crate::source::Source;
use tables::{Columns, integer, text};

/// An MLflow database.
pub struct SqliteSource {
    path: PathBuf,
    connection: Connection,
    folders: Folders,
    problems: Vec<Problem>,
    /// The run after which the next heads come.
    last_run: String,
    /// The logged model, and the trace, after which the next ones come.
    last_model: String,
    last_trace: String,
}

/// Tables of things that do not come, and what they hold.
const OTHERS: [(&str, &str); 12] = [
    ("evaluation_datasets", "evaluation datasets"),
    ("scorers", "scorers"),
    ("secrets", "gateway secrets"),
    ("endpoints", "gateway endpoints"),
    ("model_definitions", "gateway model definitions"),
    ("guardrails", "guardrails"),
    ("budget_policies", "budget policies"),
    ("review_queues", "review queues"),
    ("label_schemas", "label schemas"),
    ("issues", "issues"),
    ("jobs", "jobs"),
    ("mcp_servers", "MCP servers"),
];

impl SqliteSource {
    /// Opens the database in `path` for reading, as it is at this moment.
    ///
    /// # Errors
    /// [`ImportError::Source`] when it is no database of MLflow's.
    pub fn open(path: &Path, artifacts: Option<&Path>) -> Result<Self, ImportError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let path = path.to_owned();
        if !path.is_file() {
            return Err(ImportError::Source(format!(
                "there is no file {}; expected the database of an MLflow server, as `--backend-store-uri` names it",
                path.display()
            )));
        }
        let open = || {
            let connection = Connection::open_with_flags(&path, flags)?;
            connection.busy_timeout(std::time::Duration::from_secs(10))?;
            connection.set_prepared_statement_cache_capacity(64);
            // All that follows sees the database as it is now.
            connection.execute_batch("BEGIN")?;
            connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
            Ok(connection)
        };
        let connection = open().map_err(ImportError::database(&path, "opening it for reading"))?;
        let beside = path.parent().unwrap_or(Path::new("")).to_owned();
        let source = Self {
            path,
            connection,
            folders: Folders::new(beside, artifacts),
            problems: Vec::new(),
            last_run: String::new(),
            last_model: String::new(),
            last_trace: String::new(),
        };
        for table in ["alembic_version", "experiments", "runs", "metrics", "params", "tags"] {
            if !source.columns(table)?.exist() {
                return Err(ImportError::Source(format!(
                    "{} has no table `{table}`, so it is no database of an MLflow tracking server (1.0 or later)",
                    source.path.display()
                )));
            }
        }
        Ok(source)
    }

    fn columns(&self, table: &str) -> Result<Columns, ImportError> {
        Columns::of(&self.connection, table)
            .map_err(ImportError::database(&self.path, format!("the columns of {table}")))
    }

    /// How many rows `table` has; none when there is no such table.
    fn count(&self, table: &str) -> Result<u64, ImportError> {
        if !self.columns(table)?.exist() {
            return Ok(0);
        }
        let sql = format!("SELECT count(*) FROM {table}");
        let counted = self.connection.query_row(&sql, [], |row| row.get::<_, i64>(0));
        let counted = counted.map_err(ImportError::database(&self.path, format!("counting {table}")))?;
        Ok(counted.unsigned_abs())
    }

    /// Runs a query and hands its rows to `each`.
    fn each(
        &self,
        what: &str,
        sql: &str,
        cells: &[&dyn rusqlite::ToSql],
        mut each: impl FnMut(&rusqlite::Row<'_>) -> Result<(), rusqlite::Error>,
    ) -> Result<(), ImportError> {
        let mut all = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            let mut rows = statement.query(cells)?;
            while let Some(row) = rows.next()? {
                each(row)?;
            }
            Ok(())
        };
        all().map_err(ImportError::database(&self.path, format!("reading {what}")))
    }

    fn pairs(
        &self,
        what: &str,
        sql: &str,
        of: &dyn rusqlite::ToSql,
    ) -> Result<Vec<(String, String)>, ImportError> {
        let mut pairs = Vec::new();
        self.each(what, sql, &[of], |row| {
            pairs.push((text(row, 0)?.unwrap_or_default(), text(row, 1)?.unwrap_or_default()));
            Ok(())
        })?;
        Ok(pairs)
    }
}

impl Source for SqliteSource {
    fn name(&self) -> String {
        let path = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        format!("sqlite:///{}", path.display())
    }

    fn counts(&mut self) -> Result<Vec<(Kind, u64)>, ImportError> {
        let tables = [
            (Kind::Experiments, "experiments"),
            (Kind::ExperimentTags, "experiment_tags"),
            (Kind::Runs, "runs"),
            (Kind::Params, "params"),
            (Kind::Tags, "tags"),
            (Kind::MetricPoints, "metrics"),
            (Kind::LoggedModels, "logged_models"),
            (Kind::RegisteredModels, "registered_models"),
            (Kind::ModelVersions, "model_versions"),
            (Kind::Traces, "trace_info"),
        ];
        let mut counts = Vec::new();
        for (kind, table) in tables {
            counts.push((kind, self.count(table)?));
        }
        let mut datasets = 0;
        if self.columns("inputs")?.exist() {
            let sql =
                "SELECT count(*) FROM inputs WHERE source_type = 'DATASET' AND destination_type = 'RUN'";
            self.each("inputs", sql, &[], |row| {
                datasets = row.get::<_, i64>(0)?.unsigned_abs();
                Ok(())
            })?;
        }
        counts.push((Kind::DatasetInputs, datasets));
        let mut others = 0;
        for (table, what) in OTHERS {
            let count = self.count(table)?;
            if count > 0 {
                others += count;
                let (kind, place) = (Kind::Others, format!("table {table}"));
                let reason = format!("{count} {what} do not come");
                self.problems.push(Problem { kind, place, reason, lost: 0 });
            }
        }
        counts.push((Kind::Others, others));
        counts.push((Kind::Webhooks, self.read_webhooks()?.len() as u64));
        Ok(counts)
    }

    fn experiments(&mut self) -> Result<Vec<SourceExperiment>, ImportError> {
        let columns = self.columns("experiments")?;
        let sql = format!(
            "SELECT experiment_id, name, artifact_location, lifecycle_stage, {}, {}, {} FROM experiments
             ORDER BY experiment_id",
            columns.or("creation_time", "NULL"),
            columns.or("last_update_time", "NULL"),
            columns.or("workspace", "'default'"),
        );
        let mut found = Vec::new();
        let mut elsewhere = Vec::new();
        self.each("experiments", &sql, &[], |row| {
            let id: i64 = row.get(0)?;
            let created = integer(row, 4)?.unwrap_or(0);
            let experiment = Experiment {
                id,
                name: text(row, 1)?.unwrap_or_default(),
                artifact_location: text(row, 2)?.unwrap_or_default(),
                stage: stage(text(row, 3)?.as_deref()),
                created,
                updated: integer(row, 5)?.unwrap_or(created),
                tags: Vec::new(),
            };
            let workspace = text(row, 6)?.unwrap_or_default();
            if workspace == "default" || workspace.is_empty() {
                found.push(SourceExperiment { id: id.to_string(), experiment });
            } else {
                elsewhere.push((id, workspace));
            }
            Ok(())
        })?;
        for (id, workspace) in elsewhere {
            self.problems.push(Problem {
                kind: Kind::Experiments,
                place: format!("experiment {id}"),
                reason: format!(
                    "it is in the workspace `{workspace}`, and only the workspace `default` comes"
                ),
                lost: 1,
            });
        }
        if self.columns("experiment_tags")?.exist() {
            for source in &mut found {
                let sql = "SELECT key, value FROM experiment_tags WHERE experiment_id = ?1 ORDER BY key";
                source.experiment.tags = self.pairs("experiment_tags", sql, &source.experiment.id)?;
            }
        }
        Ok(found)
    }

    fn heads(&mut self, limit: usize) -> Result<Vec<Head>, ImportError> {
        let mut heads = Vec::new();
        let sql = "SELECT run_uuid, experiment_id FROM runs WHERE run_uuid > ?1 ORDER BY run_uuid LIMIT ?2";
        self.each("runs", sql, &[&self.last_run, &(limit as i64)], |row| {
            let experiment = integer(row, 1)?.map(|id| id.to_string()).unwrap_or_default();
            heads.push(Head { run_id: text(row, 0)?.unwrap_or_default(), experiment });
            Ok(())
        })?;
        if let Some(last) = heads.last() {
            self.last_run.clone_from(&last.run_id);
        }
        Ok(heads)
    }

    fn runs(&mut self, heads: &[Head]) -> Result<(usize, Vec<SourceRun>), ImportError> {
        self.read_runs(heads)
    }

    fn logged_models(&mut self, limit: usize) -> Result<Vec<SourceModel>, ImportError> {
        self.read_models(limit)
    }

    fn traces(&mut self, limit: usize) -> Result<Vec<SourceTrace>, ImportError> {
        self.read_traces(limit)
    }

    fn registered(&mut self) -> Result<Vec<SourceRegistered>, ImportError> {
        self.read_registered()
    }

    fn webhooks(&mut self) -> Result<Vec<SourceWebhook>, ImportError> {
        self.read_webhooks()
    }

    fn artifacts(&mut self, uri: &str, sink: &mut Sink<'_>) -> Result<Found, ImportError> {
        self.folders.hand_over(uri, sink, &mut self.problems)
    }

    fn problems(&mut self) -> Vec<Problem> {
        std::mem::take(&mut self.problems)
    }
}
