//! Runs of a file store.

use std::path::Path;

use gyre_tracking::bulk::WholeRun;
use gyre_tracking::inputs::{Dataset, DatasetInput, Links, ModelOutput};
use gyre_tracking::points::Point;
use gyre_tracking::tags::RUN_NAME;
use gyre_tracking::{RunInfo, RunStatus};

use super::{FileSource, META, meta};
use crate::ImportError;
use crate::mover::stage;
use crate::record::{Head, SourceRun};
use crate::report::Kind;

/// How many points of metrics are in memory at once, but for a single run that has more.
const POINTS: usize = 2_000_000;

impl FileSource {
    pub(super) fn read_runs(&mut self, heads: &[Head]) -> Result<(usize, Vec<SourceRun>), ImportError> {
        let (mut done, mut points, mut found) = (0, 0, Vec::new());
        for head in heads {
            if points > POINTS {
                break;
            }
            done += 1;
            let experiment = self.experiments.iter().find(|(_, source)| source.id == head.experiment);
            let Some(folder) = experiment.map(|(folder, _)| folder.join(&head.run_id)) else { continue };
            if let Some(run) = self.read_run(&folder, head)? {
                points += run.run.metrics.iter().map(|(_, points)| points.len()).sum::<usize>();
                found.push(run);
            }
        }
        Ok((done, found))
    }

    fn read_run(&mut self, folder: &Path, head: &Head) -> Result<Option<SourceRun>, ImportError> {
        let Some(read) = self.told(Kind::Runs, 1, meta::read::<meta::Run>(folder)) else { return Ok(None) };
        let own = read.run_id.or(read.run_uuid);
        if own.as_ref().is_some_and(|own| *own != head.run_id) {
            let reason = format!("it says that it is run {own:?}, and its folder is `{}`", head.run_id);
            self.problem(Kind::Runs, &folder.join(META), reason, 1);
            return Ok(None);
        }
        let params = self.pairs(Kind::Params, &folder.join("params"));
        let tags = self.pairs(Kind::Tags, &folder.join("tags"));
        let tagged = || tags.iter().find(|(key, _)| key == RUN_NAME).map(|(_, name)| name.clone());
        let name = read.run_name.or(read.name).filter(|name| !name.is_empty()).or_else(tagged);
        let status = read.status.as_deref().map_or(Some(RunStatus::Running), RunStatus::from_name);
        if status.is_none() {
            let reason = format!("its status is {:?}, and it comes as RUNNING", read.status);
            self.problem(Kind::Runs, &folder.join(META), reason, 0);
        }
        let artifact_uri = read.artifact_uri.unwrap_or_default();
        self.homes.insert(artifact_uri.clone(), folder.join("artifacts"));
        let info = RunInfo {
            run: 0,
            run_id: head.run_id.clone(),
            experiment: 0,
            name: name.unwrap_or_default(),
            user_id: read.user_id.unwrap_or_default(),
            status: status.unwrap_or(RunStatus::Running),
            stage: stage(read.lifecycle_stage.as_deref()),
            started: read.start_time.unwrap_or(0),
            ended: read.end_time,
            artifact_uri,
        };
        let metrics = self.metrics(folder)?;
        let links = self.links(folder)?;
        let run = WholeRun { info, deleted: read.deleted_time, params, tags, metrics, links };
        Ok(Some(SourceRun { experiment: head.experiment.clone(), run }))
    }

    /// A text a file; those that cannot be read are told, and the others come.
    pub(super) fn pairs(&mut self, kind: Kind, folder: &Path) -> Vec<(String, String)> {
        let keys = self.told(kind, 1, meta::keys(folder)).unwrap_or_default();
        let mut pairs = Vec::with_capacity(keys.len());
        for (key, path) in keys {
            if let Some(text) = self.told(kind, 1, meta::text(&path)) {
                pairs.push((key, text));
            }
        }
        pairs
    }

    fn metrics(&mut self, folder: &Path) -> Result<Vec<(String, Vec<Point>)>, ImportError> {
        let mut metrics = Vec::new();
        for (key, path) in
            self.told(Kind::MetricPoints, 1, meta::keys(&folder.join("metrics"))).unwrap_or_default()
        {
            let Some(text) = self.told(Kind::MetricPoints, 1, meta::text(&path)) else { continue };
            let mut points = Vec::new();
            for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
                match point(line) {
                    Ok(point) => points.push(point),
                    Err(reason) => {
                        let place = path.with_file_name(format!("{}:{}", meta::name(&path), number + 1));
                        self.problem(Kind::MetricPoints, &place, reason, 1);
                    }
                }
            }
            metrics.push((key, points));
        }
        Ok(metrics)
    }

    fn links(&mut self, folder: &Path) -> Result<Links, ImportError> {
        let mut links = Links::default();
        let datasets = folder.parent().unwrap_or(folder).join("datasets");
        for input in meta::folders(&folder.join("inputs"))? {
            let place = folder.join("inputs").join(input);
            let Some(link) = self.told(Kind::DatasetInputs, 1, meta::read::<meta::Link>(&place)) else {
                continue;
            };
            if link.source_type != "DATASET" {
                links.model_inputs.push(link.source_id);
                continue;
            }
            let read = meta::read::<meta::Dataset>(&datasets.join(&link.source_id));
            let Some(read) = self.told(Kind::DatasetInputs, 1, read) else { continue };
            let meta::Dataset { name, digest, source_type, source, schema, profile } = read;
            let dataset = Dataset { name, digest, source_type, source, schema, profile };
            let tags = link.tags.unwrap_or_default().into_iter().collect();
            links.datasets.push(DatasetInput { dataset, tags });
        }
        for output in meta::folders(&folder.join("outputs"))? {
            let place = folder.join("outputs").join(output);
            if let Some(link) = self.told(Kind::DatasetInputs, 1, meta::read::<meta::Link>(&place)) {
                links
                    .model_outputs
                    .push(ModelOutput { model_id: link.source_id, step: link.step.unwrap_or(0) });
            }
        }
        Ok(links)
    }
}

/// A line of a metric's file: `TIMESTAMP VALUE [STEP [DATASET DIGEST]]`.
fn point(line: &str) -> Result<Point, String> {
    let mut fields = line.split_whitespace();
    let expected =
        || format!("`{}`, expected TIMESTAMP VALUE [STEP]", line.chars().take(80).collect::<String>());
    let timestamp = fields.next().and_then(|field| field.parse().ok()).ok_or_else(expected)?;
    let value: f64 = fields.next().and_then(|field| field.parse().ok()).ok_or_else(expected)?;
    let step = fields.next().map_or(Ok(0), |field| field.parse().map_err(|_| expected()))?;
    Ok(Point::new(timestamp, step, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_all_versions_are_read_and_others_are_shown() {
        assert_eq!(point("1 0.5"), Ok(Point::new(1, 0, 0.5)));
        assert_eq!(point("1 1e-05 -3"), Ok(Point::new(1, -3, 1e-5)));
        assert_eq!(point("1 -inf 2 train d1"), Ok(Point::new(1, 2, f64::MIN)));
        assert!(point("1 nan 2").is_ok_and(|point| point.value.is_nan()));
        for bad in ["", "1", "x 1 2", "1 x 2", "1 2 x", "99999999999999999999 1"] {
            assert!(point(bad).is_err_and(|told| told.contains("expected TIMESTAMP")), "{bad}");
        }
    }
}
