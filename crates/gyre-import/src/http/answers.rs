//! Answers of the REST interface, as far as they are needed.

use gyre_tracking::points::Point;
use serde::{Deserialize, Deserializer};

/// A whole number, as a number or as text.
fn int<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    Ok(maybe_int(from)?.unwrap_or(0))
}

fn maybe_int<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(i64),
        Text(String),
    }
    match Option::<Either>::deserialize(from)? {
        None => Ok(None),
        Some(Either::Number(number)) => Ok(Some(number)),
        Some(Either::Text(text)) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

/// A number, or one of the words for what JSON has no number for.
fn real<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(f64),
        Text(String),
    }
    match Either::deserialize(from)? {
        Either::Number(number) => Ok(number),
        Either::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

/// A key and its value.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pair {
    pub(super) key: String,
    pub(super) value: String,
}

pub(super) fn pairs(pairs: Vec<Pair>) -> Vec<(String, String)> {
    pairs.into_iter().map(|pair| (pair.key, pair.value)).collect()
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Experiments {
    pub(super) experiments: Vec<Experiment>,
    pub(super) next_page_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Experiment {
    pub(super) experiment_id: String,
    pub(super) name: String,
    pub(super) artifact_location: String,
    pub(super) lifecycle_stage: String,
    #[serde(deserialize_with = "int")]
    pub(super) creation_time: i64,
    #[serde(deserialize_with = "int")]
    pub(super) last_update_time: i64,
    pub(super) tags: Vec<Pair>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Runs {
    pub(super) runs: Vec<Run>,
    pub(super) next_page_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct OneRun {
    pub(super) run: Run,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Run {
    pub(super) info: Info,
    pub(super) data: Data,
    pub(super) inputs: Inputs,
    pub(super) outputs: Outputs,
}

impl Run {
    pub(super) fn id(&self) -> &str {
        if self.info.run_id.is_empty() { &self.info.run_uuid } else { &self.info.run_id }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Info {
    pub(super) run_id: String,
    pub(super) run_uuid: String,
    pub(super) run_name: String,
    pub(super) experiment_id: String,
    pub(super) user_id: String,
    pub(super) status: String,
    #[serde(deserialize_with = "int")]
    pub(super) start_time: i64,
    #[serde(deserialize_with = "maybe_int")]
    pub(super) end_time: Option<i64>,
    pub(super) artifact_uri: String,
    pub(super) lifecycle_stage: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Data {
    pub(super) metrics: Vec<Metric>,
    pub(super) params: Vec<Pair>,
    pub(super) tags: Vec<Pair>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Metric {
    pub(super) key: String,
    #[serde(deserialize_with = "real")]
    pub(super) value: f64,
    #[serde(deserialize_with = "int")]
    pub(super) timestamp: i64,
    #[serde(deserialize_with = "int")]
    pub(super) step: i64,
    pub(super) run_id: String,
    pub(super) dataset_name: String,
    pub(super) dataset_digest: String,
}

impl Metric {
    pub(super) fn point(&self) -> Point {
        Point::new(self.timestamp, self.step, self.value)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct History {
    pub(super) metrics: Vec<Metric>,
    pub(super) next_page_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Inputs {
    pub(super) dataset_inputs: Vec<DatasetInput>,
    pub(super) model_inputs: Vec<ModelLink>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Outputs {
    pub(super) model_outputs: Vec<ModelLink>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ModelLink {
    pub(super) model_id: String,
    #[serde(deserialize_with = "int")]
    pub(super) step: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct DatasetInput {
    pub(super) tags: Vec<Pair>,
    pub(super) dataset: Dataset,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Dataset {
    pub(super) name: String,
    pub(super) digest: String,
    pub(super) source_type: String,
    pub(super) source: String,
    pub(super) schema: Option<String>,
    pub(super) profile: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Models {
    pub(super) models: Vec<Model>,
    pub(super) next_page_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Model {
    pub(super) info: ModelInfo,
    pub(super) data: Data,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ModelInfo {
    pub(super) model_id: String,
    pub(super) experiment_id: String,
    pub(super) name: String,
    #[serde(deserialize_with = "int")]
    pub(super) creation_timestamp_ms: i64,
    #[serde(deserialize_with = "int")]
    pub(super) last_updated_timestamp_ms: i64,
    pub(super) artifact_uri: String,
    pub(super) status: String,
    pub(super) status_message: Option<String>,
    pub(super) model_type: Option<String>,
    pub(super) source_run_id: Option<String>,
    pub(super) tags: Vec<Pair>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Registered {
    pub(super) registered_models: Vec<RegisteredModel>,
    pub(super) next_page_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RegisteredModel {
    pub(super) name: String,
    #[serde(deserialize_with = "int")]
    pub(super) creation_timestamp: i64,
    #[serde(deserialize_with = "int")]
    pub(super) last_updated_timestamp: i64,
    pub(super) description: Option<String>,
    pub(super) tags: Vec<Pair>,
    pub(super) aliases: Vec<Alias>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Alias {
    pub(super) alias: String,
    #[serde(deserialize_with = "int")]
    pub(super) version: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Versions {
    pub(super) model_versions: Vec<Version>,
    pub(super) next_page_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Version {
    pub(super) name: String,
    #[serde(deserialize_with = "int")]
    pub(super) version: i64,
    #[serde(deserialize_with = "int")]
    pub(super) creation_timestamp: i64,
    #[serde(deserialize_with = "int")]
    pub(super) last_updated_timestamp: i64,
    pub(super) user_id: Option<String>,
    pub(super) current_stage: Option<String>,
    pub(super) description: Option<String>,
    pub(super) source: String,
    pub(super) run_id: Option<String>,
    pub(super) run_link: Option<String>,
    pub(super) status: String,
    pub(super) tags: Vec<Pair>,
    pub(super) model_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Download {
    pub(super) artifact_uri: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Files {
    pub(super) files: Vec<File>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) is_dir: bool,
}
