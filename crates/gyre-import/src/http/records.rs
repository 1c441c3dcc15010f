//! Answers as records.

use gyre_tracking::bulk::WholeRun;
use gyre_tracking::data::Latest;
use gyre_tracking::experiments::Experiment;
use gyre_tracking::inputs::{Dataset, DatasetInput, Links, ModelOutput};
use gyre_tracking::logged_models::{LoggedModel, ModelMetric, ModelStatus};
use gyre_tracking::points::Point;
use gyre_tracking::{RunInfo, RunStatus};

use super::answers::{self, pairs};
use crate::mover::stage;
use crate::record::{Problem, SourceExperiment, SourceModel, SourceRegistered, SourceRun, SourceVersion};
use crate::report::Kind;

impl answers::Experiment {
    pub(super) fn into_record(self) -> SourceExperiment {
        let experiment = Experiment {
            id: self.experiment_id.parse().ok().filter(|number| *number >= 0).unwrap_or(-1),
            name: self.name,
            artifact_location: self.artifact_location,
            stage: stage(Some(&self.lifecycle_stage)),
            created: self.creation_time,
            updated: self.last_update_time,
            tags: pairs(self.tags),
        };
        SourceExperiment { id: self.experiment_id, experiment }
    }
}

impl answers::Run {
    pub(super) fn into_record(
        self,
        metrics: Vec<(String, Vec<Point>)>,
        problems: &mut Vec<Problem>,
    ) -> SourceRun {
        let run_id = self.id().to_owned();
        let status = RunStatus::from_name(&self.info.status);
        if status.is_none() {
            let (kind, place) = (Kind::Runs, format!("run {run_id}"));
            let reason = format!("its status is {:?}, and it comes as RUNNING", self.info.status);
            problems.push(Problem { kind, place, reason, lost: 0 });
        }
        let info = RunInfo {
            run: 0,
            run_id,
            experiment: 0,
            name: self.info.run_name,
            user_id: self.info.user_id,
            status: status.unwrap_or(RunStatus::Running),
            stage: stage(Some(&self.info.lifecycle_stage)),
            started: self.info.start_time,
            ended: self.info.end_time,
            artifact_uri: self.info.artifact_uri,
        };
        let input = |input: answers::DatasetInput| {
            let answers::Dataset { name, digest, source_type, source, schema, profile } = input.dataset;
            let dataset = Dataset { name, digest, source_type, source, schema, profile };
            DatasetInput { dataset, tags: pairs(input.tags) }
        };
        let output = |link: answers::ModelLink| ModelOutput { model_id: link.model_id, step: link.step };
        let links = Links {
            datasets: self.inputs.dataset_inputs.into_iter().map(input).collect(),
            model_inputs: self.inputs.model_inputs.into_iter().map(|link| link.model_id).collect(),
            model_outputs: self.outputs.model_outputs.into_iter().map(output).collect(),
        };
        let (params, tags) = (pairs(self.data.params), pairs(self.data.tags));
        let run = WholeRun { info, deleted: None, params, tags, metrics, links };
        SourceRun { experiment: self.info.experiment_id, run }
    }
}

impl answers::Model {
    pub(super) fn into_record(self, problems: &mut Vec<Problem>) -> SourceModel {
        let info = self.info;
        let status = ModelStatus::from_name(&info.status);
        if status.is_none() {
            let (kind, place) = (Kind::LoggedModels, format!("logged model {}", info.model_id));
            let reason = format!("its status is {:?}, and it comes as PENDING", info.status);
            problems.push(Problem { kind, place, reason, lost: 0 });
        }
        let metric = |found: answers::Metric| ModelMetric {
            metric: Latest {
                key: found.key,
                value: found.value,
                timestamp: found.timestamp,
                step: found.step,
            },
            run_id: found.run_id,
            dataset: (found.dataset_name, found.dataset_digest),
        };
        let model = LoggedModel {
            model: 0,
            model_id: info.model_id,
            experiment: 0,
            name: info.name,
            artifact_uri: info.artifact_uri,
            created: info.creation_timestamp_ms,
            updated: info.last_updated_timestamp_ms,
            status: status.unwrap_or(ModelStatus::Pending),
            status_message: info.status_message.filter(|text| !text.is_empty()),
            model_type: info.model_type.filter(|text| !text.is_empty()),
            source_run_id: info.source_run_id.filter(|run| !run.is_empty()),
            params: pairs(self.data.params),
            tags: pairs(info.tags),
            metrics: self.data.metrics.into_iter().map(metric).collect(),
        };
        SourceModel { experiment: info.experiment_id, model, deleted: None }
    }
}

impl answers::RegisteredModel {
    pub(super) fn into_record(self) -> SourceRegistered {
        SourceRegistered {
            name: self.name,
            created: self.creation_timestamp,
            updated: self.last_updated_timestamp,
            description: self.description.filter(|text| !text.is_empty()),
            tags: pairs(self.tags),
            aliases: self.aliases.into_iter().map(|alias| (alias.alias, alias.version)).collect(),
            versions: Vec::new(),
        }
    }
}

impl answers::Version {
    pub(super) fn into_record(self) -> SourceVersion {
        let said = |text: Option<String>| text.filter(|text| !text.is_empty());
        let id = self.source.strip_prefix("models:/").map(|rest| rest.trim_start_matches('/'));
        let made_of = id.filter(|id| id.starts_with("m-") && !id.contains('/')).map(str::to_owned);
        SourceVersion {
            version: self.version,
            created: self.creation_timestamp,
            updated: self.last_updated_timestamp,
            description: said(self.description),
            user: said(self.user_id),
            stage: said(self.current_stage).unwrap_or_else(|| "None".to_owned()),
            location: None,
            logged_model: said(self.model_id).or(made_of),
            source: self.source,
            run_id: said(self.run_id),
            run_link: said(self.run_link),
            status: self.status,
            tags: pairs(self.tags),
        }
    }
}
