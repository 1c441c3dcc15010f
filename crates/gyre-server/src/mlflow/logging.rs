//! Logging to a run: metrics, parameters, tags, inputs, outputs.

use axum::http::Method;
use gyre_tracking::batch::{About, Batch, Metric};
use gyre_tracking::inputs::{self, Dataset, DatasetInput, ModelOutput};
use gyre_tracking::points::Point;
use gyre_tracking::runs;
use serde::Deserialize;

use super::call::{Answer, Call, done, required};
use super::runs::Which;
use super::wire::{self, Double, Int64, Pair, pairs};
use super::{MlflowError, endpoint};
use crate::routes::{Need, Routes};

pub(super) fn routes(routes: &mut Routes) {
    let post = &Method::POST;
    endpoint(routes, post, "/runs/log-batch", Need::Write, log_batch);
    endpoint(routes, post, "/runs/log-metric", Need::Write, log_metric);
    endpoint(routes, post, "/runs/log-parameter", Need::Write, log_param);
    endpoint(routes, post, "/runs/set-tag", Need::Write, set_tag);
    endpoint(routes, post, "/runs/delete-tag", Need::Write, delete_tag);
    endpoint(routes, post, "/runs/log-inputs", Need::Write, log_inputs);
    endpoint(routes, post, "/runs/outputs", Need::Write, log_outputs);
    endpoint(routes, post, "/runs/log-model", Need::Write, log_model);
}

#[derive(Deserialize)]
struct MetricIn {
    key: Option<String>,
    value: Option<Double>,
    timestamp: Option<Int64>,
    step: Option<Int64>,
    #[serde(alias = "modelId")]
    model_id: Option<String>,
    #[serde(alias = "datasetName")]
    dataset_name: Option<String>,
    #[serde(alias = "datasetDigest")]
    dataset_digest: Option<String>,
}

impl MetricIn {
    fn metric(self, place: impl Fn() -> String) -> Result<Metric, MlflowError> {
        let missing = |field: &str| MlflowError::missing(&format!("{}{field}", place()));
        let key = self.key.filter(|key| !key.is_empty()).ok_or_else(|| missing("key"))?;
        let Double(value) = self.value.ok_or_else(|| missing("value"))?;
        let Int64(timestamp) = self.timestamp.ok_or_else(|| missing("timestamp"))?;
        let about = self.model_id.filter(|id| !id.is_empty()).map(|model_id| About {
            model_id,
            dataset: self.dataset_name.unwrap_or_default(),
            dataset_digest: self.dataset_digest.unwrap_or_default(),
        });
        let step = self.step.map_or(0, |Int64(step)| step);
        Ok(Metric { key, point: Point::new(timestamp, step, value), about })
    }
}

// Without `flatten`, which would hold back every field of a large batch until all are read.
#[derive(Deserialize)]
struct BatchIn {
    #[serde(alias = "runId")]
    run_id: Option<String>,
    #[serde(default, deserialize_with = "wire::list")]
    metrics: Vec<MetricIn>,
    #[serde(default, deserialize_with = "wire::list")]
    params: Vec<Pair>,
    #[serde(default, deserialize_with = "wire::list")]
    tags: Vec<Pair>,
}

async fn log_batch(call: Call<BatchIn>) -> Answer {
    let Call { app, asked, .. } = call;
    let run_id = required("run_id", &asked.run_id)?.to_owned();
    let metrics = asked.metrics.into_iter().enumerate();
    let metrics: Vec<Metric> = metrics
        .map(|(place, metric)| metric.metric(|| format!("metrics[{place}].")))
        .collect::<Result<_, _>>()?;
    let batch = Batch::new(metrics, pairs("params", asked.params)?, pairs("tags", asked.tags)?)?;
    app.write(move |tx| batch.write(tx, &run_id)).await?;
    done()
}

#[derive(Deserialize)]
struct OneMetric {
    #[serde(flatten)]
    which: Which,
    #[serde(flatten)]
    metric: MetricIn,
}

async fn log_metric(call: Call<OneMetric>) -> Answer {
    let Call { app, asked, .. } = call;
    let run_id = asked.which.id()?;
    let batch = Batch::new(vec![asked.metric.metric(String::new)?], Vec::new(), Vec::new())?;
    app.write(move |tx| batch.write(tx, &run_id)).await?;
    done()
}

#[derive(Deserialize)]
struct OnePair {
    #[serde(flatten)]
    which: Which,
    key: Option<String>,
    value: Option<String>,
}

async fn log_param(call: Call<OnePair>) -> Answer {
    let run_id = call.asked.which.id()?;
    let key = required("key", &call.asked.key)?.to_owned();
    let params = vec![(key, call.asked.value.clone().unwrap_or_default())];
    let batch = Batch::new(Vec::new(), params, Vec::new())?;
    call.write(move |tx| batch.write(tx, &run_id)).await?;
    done()
}

async fn set_tag(call: Call<OnePair>) -> Answer {
    let run_id = call.asked.which.id()?;
    let key = required("key", &call.asked.key)?.to_owned();
    let value = call.asked.value.clone().unwrap_or_default();
    call.write(move |tx| runs::set_tag(tx, &run_id, key, value)).await?;
    done()
}

async fn delete_tag(call: Call<OnePair>) -> Answer {
    let run_id = call.asked.which.id()?;
    let key = required("key", &call.asked.key)?.to_owned();
    call.write(move |tx| runs::delete_tag(tx, &run_id, &key)).await?;
    done()
}

#[derive(Clone, Deserialize)]
struct DatasetIn {
    name: Option<String>,
    digest: Option<String>,
    #[serde(alias = "sourceType")]
    source_type: Option<String>,
    source: Option<String>,
    schema: Option<String>,
    profile: Option<String>,
}

#[derive(Clone, Deserialize)]
struct InputIn {
    #[serde(default, deserialize_with = "wire::list")]
    tags: Vec<Pair>,
    dataset: Option<DatasetIn>,
}

impl InputIn {
    fn input(self, place: usize) -> Result<DatasetInput, MlflowError> {
        let dataset =
            self.dataset.ok_or_else(|| MlflowError::missing(&format!("datasets[{place}].dataset")))?;
        Ok(DatasetInput {
            dataset: Dataset {
                name: dataset.name.unwrap_or_default(),
                digest: dataset.digest.unwrap_or_default(),
                source_type: dataset.source_type.unwrap_or_default(),
                source: dataset.source.unwrap_or_default(),
                schema: dataset.schema,
                profile: dataset.profile,
            },
            tags: pairs(&format!("datasets[{place}].tags"), self.tags)?,
        })
    }
}

#[derive(Clone, Deserialize)]
struct ModelIn {
    #[serde(alias = "modelId")]
    model_id: Option<String>,
    step: Option<Int64>,
}

#[derive(Deserialize)]
struct Inputs {
    #[serde(flatten)]
    which: Which,
    #[serde(default, deserialize_with = "wire::list")]
    datasets: Vec<InputIn>,
    #[serde(default, deserialize_with = "wire::list")]
    models: Vec<ModelIn>,
}

async fn log_inputs(call: Call<Inputs>) -> Answer {
    let run_id = call.asked.which.id()?;
    let inputs = call.asked.datasets.clone().into_iter().enumerate();
    let datasets: Vec<DatasetInput> =
        inputs.map(|(place, input)| input.input(place)).collect::<Result<_, _>>()?;
    let models: Vec<String> =
        call.asked.models.iter().map(|model| model.model_id.clone().unwrap_or_default()).collect();
    call.write(move |tx| inputs::log_inputs(tx, &run_id, &datasets, &models)).await?;
    done()
}

async fn log_outputs(call: Call<Inputs>) -> Answer {
    let run_id = call.asked.which.id()?;
    let output = |model: &ModelIn| ModelOutput {
        model_id: model.model_id.clone().unwrap_or_default(),
        step: model.step.map_or(0, |Int64(step)| step),
    };
    let models: Vec<ModelOutput> = call.asked.models.iter().map(output).collect();
    call.write(move |tx| inputs::log_outputs(tx, &run_id, &models)).await?;
    done()
}

#[derive(Deserialize)]
struct ModelJson {
    #[serde(flatten)]
    which: Which,
    #[serde(alias = "modelJson")]
    model_json: Option<String>,
}

/// The tag in which clients before MLflow 3 keep the models that a run logged, as a JSON list.
const MODEL_HISTORY: &str = "mlflow.log-model.history";

async fn log_model(call: Call<ModelJson>) -> Answer {
    let run_id = call.asked.which.id()?;
    let text = required("model_json", &call.asked.model_json)?;
    let model: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text)
        .map_err(|error| MlflowError::invalid(format!("model_json is no JSON object: {error}")))?;
    for field in ["artifact_path", "utc_time_created"] {
        if !model.contains_key(field) {
            return Err(MlflowError::missing(&format!("model_json.{field}")));
        }
    }
    call.write(move |tx| {
        let run = gyre_tracking::data::run(tx, &run_id)?;
        let before = run.tags.iter().find(|(key, _)| key == MODEL_HISTORY).map(|(_, value)| value.as_str());
        let mut history: Vec<serde_json::Value> =
            before.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        history.push(model.into());
        let history = serde_json::Value::from(history).to_string();
        runs::set_tag(tx, &run_id, MODEL_HISTORY.to_owned(), history)
    })
    .await?;
    done()
}
