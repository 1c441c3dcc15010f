//! Experiments, runs and logged models as MLflow's protocol writes them: what is empty is left out.

use gyre_tracking::RunInfo;
use gyre_tracking::data::{Latest, Run};
use gyre_tracking::experiments::Experiment;
use gyre_tracking::inputs::{Dataset, DatasetInput};
use gyre_tracking::logged_models::{LoggedModel, ModelMetric};
use serde::Serialize;

use super::wire::Double;

/// A key and its value.
#[derive(Debug, Serialize)]
pub(crate) struct Pair {
    key: String,
    value: String,
}

pub(crate) fn pairs(list: Vec<(String, String)>) -> Vec<Pair> {
    list.into_iter().map(|(key, value)| Pair { key, value }).collect()
}

#[derive(Debug, Serialize)]
pub(crate) struct ExperimentOut {
    experiment_id: String,
    name: String,
    artifact_location: String,
    lifecycle_stage: &'static str,
    last_update_time: i64,
    creation_time: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Pair>,
}

pub(crate) fn experiment(experiment: Experiment) -> ExperimentOut {
    ExperimentOut {
        experiment_id: experiment.id.to_string(),
        name: experiment.name,
        artifact_location: experiment.artifact_location,
        lifecycle_stage: experiment.stage.name(),
        last_update_time: experiment.updated,
        creation_time: experiment.created,
        tags: pairs(experiment.tags),
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct InfoOut {
    run_id: String,
    run_uuid: String,
    run_name: String,
    experiment_id: String,
    user_id: String,
    status: &'static str,
    start_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<i64>,
    artifact_uri: String,
    lifecycle_stage: &'static str,
}

pub(crate) fn info(info: RunInfo) -> InfoOut {
    InfoOut {
        run_uuid: info.run_id.clone(),
        run_id: info.run_id,
        run_name: info.name,
        experiment_id: info.experiment.to_string(),
        user_id: info.user_id,
        status: info.status.name(),
        start_time: info.started,
        end_time: info.ended,
        artifact_uri: info.artifact_uri,
        lifecycle_stage: info.stage.name(),
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct MetricOut {
    key: String,
    value: Double,
    timestamp: i64,
    step: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dataset_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dataset_digest: Option<String>,
}

pub(crate) fn metric(metric: Latest, run_id: Option<String>) -> MetricOut {
    MetricOut {
        key: metric.key,
        value: Double(metric.value),
        timestamp: metric.timestamp,
        step: metric.step,
        run_id,
        model_id: None,
        dataset_name: None,
        dataset_digest: None,
    }
}

#[derive(Debug, Serialize)]
struct DataOut {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    metrics: Vec<MetricOut>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    params: Vec<Pair>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Pair>,
}

#[derive(Debug, Serialize)]
pub(crate) struct DatasetOut {
    name: String,
    digest: String,
    source_type: String,
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
}

pub(crate) fn dataset(dataset: Dataset) -> DatasetOut {
    let Dataset { name, digest, source_type, source, schema, profile } = dataset;
    DatasetOut { name, digest, source_type, source, schema, profile }
}

#[derive(Debug, Serialize)]
struct DatasetInputOut {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Pair>,
    dataset: DatasetOut,
}

#[derive(Debug, Serialize)]
struct ModelInputOut {
    model_id: String,
}

#[derive(Debug, Serialize)]
struct ModelOutputOut {
    model_id: String,
    step: i64,
}

#[derive(Debug, Serialize)]
struct InputsOut {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dataset_inputs: Vec<DatasetInputOut>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    model_inputs: Vec<ModelInputOut>,
}

#[derive(Debug, Serialize)]
struct OutputsOut {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    model_outputs: Vec<ModelOutputOut>,
}

#[derive(Debug, Serialize)]
pub(crate) struct RunOut {
    info: InfoOut,
    data: DataOut,
    inputs: InputsOut,
    outputs: OutputsOut,
}

pub(crate) fn run(run: Run) -> RunOut {
    let input =
        |DatasetInput { dataset: of, tags }| DatasetInputOut { tags: pairs(tags), dataset: dataset(of) };
    let links = run.links;
    RunOut {
        info: info(run.info),
        data: DataOut {
            metrics: run.metrics.into_iter().map(|latest| metric(latest, None)).collect(),
            params: pairs(run.params),
            tags: pairs(run.tags),
        },
        inputs: InputsOut {
            dataset_inputs: links.datasets.into_iter().map(input).collect(),
            model_inputs: links.model_inputs.into_iter().map(|model_id| ModelInputOut { model_id }).collect(),
        },
        outputs: OutputsOut {
            model_outputs: links
                .model_outputs
                .into_iter()
                .map(|output| ModelOutputOut { model_id: output.model_id, step: output.step })
                .collect(),
        },
    }
}

#[derive(Debug, Serialize)]
struct ModelInfoOut {
    model_id: String,
    experiment_id: String,
    name: String,
    creation_timestamp_ms: i64,
    last_updated_timestamp_ms: i64,
    artifact_uri: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_run_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_message: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Pair>,
}

#[derive(Debug, Serialize)]
struct ModelDataOut {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    params: Vec<Pair>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    metrics: Vec<MetricOut>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ModelOut {
    info: ModelInfoOut,
    data: ModelDataOut,
}

pub(crate) fn logged_model(model: LoggedModel) -> ModelOut {
    let about = |measured: ModelMetric| {
        let (name, digest) = measured.dataset;
        MetricOut {
            model_id: Some(model.model_id.clone()),
            dataset_name: Some(name).filter(|name| !name.is_empty()),
            dataset_digest: Some(digest).filter(|digest| !digest.is_empty()),
            ..metric(measured.metric, Some(measured.run_id))
        }
    };
    let metrics = model.metrics.into_iter().map(about).collect();
    ModelOut {
        info: ModelInfoOut {
            model_id: model.model_id,
            experiment_id: model.experiment.to_string(),
            name: model.name,
            creation_timestamp_ms: model.created,
            last_updated_timestamp_ms: model.updated,
            artifact_uri: model.artifact_uri,
            status: model.status.name(),
            model_type: model.model_type,
            source_run_id: model.source_run_id,
            status_message: model.status_message,
            tags: pairs(model.tags),
        },
        data: ModelDataOut { params: pairs(model.params), metrics },
    }
}
