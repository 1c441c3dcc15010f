//! Runs and what they logged, a range of ids at a time.

use std::collections::{BTreeMap, BTreeSet};

use gyre_tracking::bulk::WholeRun;
use gyre_tracking::inputs::{Dataset, DatasetInput, Links, ModelOutput};
use gyre_tracking::points::Point;
use gyre_tracking::tags::RUN_NAME;
use gyre_tracking::{RunInfo, RunStatus};

use super::SqliteSource;
use super::tables::{integer, real, text};
use crate::ImportError;
use crate::mover::stage;
use crate::record::{Head, Problem, SourceRun};
use crate::report::Kind;

/// How many points of metrics are in memory at once, but for a single run that has more.
const POINTS: usize = 2_000_000;

/// A run in the making.
struct Draft {
    run: SourceRun,
    metrics: BTreeMap<String, Vec<Point>>,
}

type Drafts = BTreeMap<String, Draft>;

impl SqliteSource {
    pub(super) fn read_runs(&mut self, heads: &[Head]) -> Result<(usize, Vec<SourceRun>), ImportError> {
        let (Some(first), Some(last)) = (heads.first(), heads.last()) else { return Ok((0, Vec::new())) };
        let range = (first.run_id.as_str(), last.run_id.as_str());
        let wanted: BTreeSet<&str> = heads.iter().map(|head| head.run_id.as_str()).collect();
        let mut drafts = self.drafts(range, &wanted)?;
        let stopped = self.metrics(range, &mut drafts)?;
        let mut done = heads.len();
        if let Some(stopped) = stopped {
            // What comes after it is read again with the next call.
            done = heads.iter().take_while(|head| head.run_id < stopped).count();
            drafts.split_off(&stopped);
        }
        self.params_and_tags(range, &mut drafts)?;
        self.links(range, &mut drafts)?;
        Ok((done, drafts.into_values().map(Draft::finish).collect()))
    }

    fn drafts(
        &mut self,
        (first, last): (&str, &str),
        wanted: &BTreeSet<&str>,
    ) -> Result<Drafts, ImportError> {
        let columns = self.columns("runs")?;
        let sql = format!(
            "SELECT run_uuid, experiment_id, name, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri, {}
             FROM runs WHERE run_uuid BETWEEN ?1 AND ?2",
            columns.or("deleted_time", "NULL")
        );
        let mut drafts = Drafts::new();
        let mut problems = Vec::new();
        self.each("runs", &sql, &[&first, &last], |row| {
            let run_id = text(row, 0)?.unwrap_or_default();
            if !wanted.contains(run_id.as_str()) {
                return Ok(());
            }
            let status = text(row, 4)?;
            let known = status.as_deref().and_then(RunStatus::from_name);
            if known.is_none() {
                problems.push(Problem {
                    kind: Kind::Runs,
                    place: format!("run {run_id}"),
                    reason: format!("its status is {status:?}, and it comes as RUNNING"),
                    lost: 0,
                });
            }
            let info = RunInfo {
                run: 0,
                run_id: run_id.clone(),
                experiment: 0,
                name: text(row, 2)?.unwrap_or_default(),
                user_id: text(row, 3)?.unwrap_or_default(),
                status: known.unwrap_or(RunStatus::Running),
                stage: stage(text(row, 7)?.as_deref()),
                started: integer(row, 5)?.unwrap_or(0),
                ended: integer(row, 6)?,
                artifact_uri: text(row, 8)?.unwrap_or_default(),
            };
            let run = WholeRun {
                info,
                deleted: integer(row, 9)?,
                params: Vec::new(),
                tags: Vec::new(),
                metrics: Vec::new(),
                links: Links::default(),
            };
            let experiment = integer(row, 1)?.map(|id| id.to_string()).unwrap_or_default();
            let run = SourceRun { experiment, run };
            drafts.insert(run_id, Draft { run, metrics: BTreeMap::new() });
            Ok(())
        })?;
        self.problems.append(&mut problems);
        Ok(drafts)
    }

    /// Reads the histories, until there are too many points for one go; returns the first run that is not whole then.
    fn metrics(
        &self,
        (first, last): (&str, &str),
        drafts: &mut Drafts,
    ) -> Result<Option<String>, ImportError> {
        let columns = self.columns("metrics")?;
        let sql = format!(
            "SELECT run_uuid, key, value, timestamp, {}, {} FROM metrics WHERE run_uuid BETWEEN ?1 AND ?2 ORDER BY run_uuid",
            columns.or("step", "0"),
            columns.or("is_nan", "0"),
        );
        let (mut points, mut current, mut stopped) = (0, String::new(), None);
        let read = |statement: &mut rusqlite::CachedStatement<'_>| {
            let mut rows = statement.query([first, last])?;
            while let Some(row) = rows.next()? {
                let run_id = row.get_ref(0)?.as_str()?;
                if run_id != current {
                    if points >= POINTS {
                        stopped = Some(run_id.to_owned());
                        break;
                    }
                    run_id.clone_into(&mut current);
                }
                let Some(draft) = drafts.get_mut(run_id) else { continue };
                let nan = integer(row, 5)?.unwrap_or(0) != 0;
                let value = if nan { f64::NAN } else { real(row, 2)?.unwrap_or(f64::NAN) };
                let point = Point::new(integer(row, 3)?.unwrap_or(0), integer(row, 4)?.unwrap_or(0), value);
                let key = row.get_ref(1)?.as_str()?;
                match draft.metrics.get_mut(key) {
                    Some(history) => history.push(point),
                    None => drop(draft.metrics.insert(key.to_owned(), vec![point])),
                }
                points += 1;
            }
            Ok::<(), rusqlite::Error>(())
        };
        let mut statement = self
            .connection
            .prepare_cached(&sql)
            .map_err(ImportError::database(&self.path, "reading metrics"))?;
        let mut read = read;
        read(&mut statement).map_err(ImportError::database(&self.path, "reading metrics"))?;
        Ok(stopped)
    }

    fn params_and_tags(&self, (first, last): (&str, &str), drafts: &mut Drafts) -> Result<(), ImportError> {
        for table in ["params", "tags"] {
            let sql = format!("SELECT run_uuid, key, value FROM {table} WHERE run_uuid BETWEEN ?1 AND ?2");
            self.each(table, &sql, &[&first, &last], |row| {
                let Some(draft) = drafts.get_mut(row.get_ref(0)?.as_str()?) else { return Ok(()) };
                let pair = (text(row, 1)?.unwrap_or_default(), text(row, 2)?.unwrap_or_default());
                let run = &mut draft.run.run;
                if table == "params" {
                    run.params.push(pair)
                } else {
                    run.tags.push(pair)
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn links(&self, (first, last): (&str, &str), drafts: &mut Drafts) -> Result<(), ImportError> {
        let columns = self.columns("inputs")?;
        if !columns.exist() {
            return Ok(());
        }
        let mut inputs: BTreeMap<String, (String, usize)> = BTreeMap::new();
        let sql = "SELECT i.destination_id, i.input_uuid, d.name, d.digest, d.dataset_source_type, d.dataset_source,
                          d.dataset_schema, d.dataset_profile
                   FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id
                   WHERE i.destination_type = 'RUN' AND i.source_type = 'DATASET' AND i.destination_id BETWEEN ?1 AND ?2
                   ORDER BY i.destination_id, i.rowid";
        self.each("inputs", sql, &[&first, &last], |row| {
            let run_id = text(row, 0)?.unwrap_or_default();
            let Some(draft) = drafts.get_mut(&run_id) else { return Ok(()) };
            let datasets = &mut draft.run.run.links.datasets;
            inputs.insert(text(row, 1)?.unwrap_or_default(), (run_id, datasets.len()));
            let dataset = Dataset {
                name: text(row, 2)?.unwrap_or_default(),
                digest: text(row, 3)?.unwrap_or_default(),
                source_type: text(row, 4)?.unwrap_or_default(),
                source: text(row, 5)?.unwrap_or_default(),
                schema: text(row, 6)?,
                profile: text(row, 7)?,
            };
            datasets.push(DatasetInput { dataset, tags: Vec::new() });
            Ok(())
        })?;
        for (input, (run_id, place)) in &inputs {
            let sql = "SELECT name, value FROM input_tags WHERE input_uuid = ?1 ORDER BY name";
            let tags = self.pairs("input_tags", sql, input)?;
            let links = drafts.get_mut(run_id).map(|draft| &mut draft.run.run.links);
            if let Some(input) = links.and_then(|links| links.datasets.get_mut(*place)) {
                input.tags = tags;
            }
        }
        let sql = format!(
            "SELECT source_id, source_type, destination_id, {} FROM inputs
             WHERE source_type IN ('RUN_INPUT', 'RUN_OUTPUT') AND source_id BETWEEN ?1 AND ?2",
            columns.or("step", "0")
        );
        self.each("inputs", &sql, &[&first, &last], |row| {
            let Some(draft) = drafts.get_mut(row.get_ref(0)?.as_str()?) else { return Ok(()) };
            let (links, model_id) = (&mut draft.run.run.links, text(row, 2)?.unwrap_or_default());
            if row.get_ref(1)?.as_str()? == "RUN_INPUT" {
                links.model_inputs.push(model_id);
            } else {
                links.model_outputs.push(ModelOutput { model_id, step: integer(row, 3)?.unwrap_or(0) });
            }
            Ok(())
        })
    }
}

impl Draft {
    fn finish(self) -> SourceRun {
        let mut found = self.run;
        found.run.metrics = self.metrics.into_iter().collect();
        if found.run.info.name.is_empty() {
            // Older stores keep the name in the tag alone.
            let tagged = found.run.tags.iter().find(|(key, _)| key == RUN_NAME);
            found.run.info.name = tagged.map(|(_, name)| name.clone()).unwrap_or_default();
        }
        found
    }
}
