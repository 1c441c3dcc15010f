//! Scorers: kept, listed and given back. Nothing here runs one.

use axum::http::Method;
use gyre_traces::experiments;
use gyre_traces::scorers::{self, ScorerVersion};
use serde::Deserialize;
use serde_json::{Value, json};

use super::MlflowError;
use super::call::{Answer, Call, done, json as answer, required};
use super::traces::v3;
use super::wire::{self, Int64};
use crate::routes::{Need, Routes};

pub(super) fn routes(routes: &mut Routes) {
    v3(routes, &Method::POST, "/scorers/register", Need::Write, register);
    v3(routes, &Method::GET, "/scorers/list", Need::Read, list);
    v3(routes, &Method::GET, "/scorers/versions", Need::Read, versions);
    v3(routes, &Method::GET, "/scorers/get", Need::Read, get);
    v3(routes, &Method::DELETE, "/scorers/delete", Need::Write, delete);
    v3(routes, &Method::GET, "/scorers/online-configs", Need::Read, online_configs);
}

#[derive(Deserialize)]
struct Asked {
    #[serde(alias = "experimentId")]
    experiment_id: Option<String>,
    #[serde(default, alias = "experimentIds", deserialize_with = "wire::list")]
    experiment_ids: Vec<String>,
    name: Option<String>,
    version: Option<Int64>,
    #[serde(alias = "serializedScorer")]
    serialized_scorer: Option<String>,
}

impl Asked {
    fn experiment(&self) -> Result<i64, MlflowError> {
        Ok(experiments::number(required("experiment_id", &self.experiment_id)?)?)
    }

    fn name(&self) -> Result<String, MlflowError> {
        Ok(required("name", &self.name)?.to_owned())
    }

    fn version(&self) -> Option<i64> {
        self.version.map(|version| version.0)
    }
}

fn told(scorer: &ScorerVersion) -> Value {
    json!({
        // A number here, text in the answer to `register`.
        "experiment_id": scorer.experiment,
        "scorer_name": scorer.name,
        "scorer_version": scorer.version,
        "serialized_scorer": scorer.serialized,
        "creation_time": scorer.created_ms,
        "scorer_id": scorer.scorer_id,
    })
}

fn all(scorers: &[ScorerVersion]) -> Answer {
    let scorers: Vec<Value> = scorers.iter().map(told).collect();
    answer(&if scorers.is_empty() { json!({}) } else { json!({"scorers": scorers}) })
}

async fn register(call: Call<Asked>) -> Answer {
    let (experiment, name) = (call.asked.experiment()?, call.asked.name()?);
    let serialized = required("serialized_scorer", &call.asked.serialized_scorer)?.to_owned();
    let now = call.app.clock.now().as_millis();
    let made = call.write(move |tx| scorers::register(tx, experiment, &name, &serialized, now)).await?;
    answer(&json!({
        "version": made.version,
        "scorer_id": made.scorer_id,
        "experiment_id": made.experiment.to_string(),
        "name": made.name,
        "serialized_scorer": made.serialized,
        "creation_time": made.created_ms,
    }))
}

async fn list(call: Call<Asked>) -> Answer {
    let asked = &call.asked;
    let one = asked.experiment_id.as_ref().filter(|id| !id.is_empty());
    if one.is_some() && !asked.experiment_ids.is_empty() {
        return Err(MlflowError::invalid(
            "one of experiment_id and experiment_ids may be given, and not both",
        ));
    }
    let ids: Vec<i64> = one
        .into_iter()
        .chain(&asked.experiment_ids)
        .map(|id| experiments::number(id))
        .collect::<Result<_, _>>()?;
    let scorers = call
        .read(move |tx| if ids.is_empty() { scorers::list_all(tx) } else { scorers::list(tx, &ids) })
        .await?;
    all(&scorers)
}

async fn versions(call: Call<Asked>) -> Answer {
    let (experiment, name) = (call.asked.experiment()?, call.asked.name()?);
    all(&call.read(move |tx| scorers::versions(tx, experiment, &name)).await?)
}

async fn get(call: Call<Asked>) -> Answer {
    let (experiment, name, version) = (call.asked.experiment()?, call.asked.name()?, call.asked.version());
    let scorer = call.read(move |tx| scorers::get(tx, experiment, &name, version)).await?;
    answer(&json!({"scorer": told(&scorer)}))
}

async fn delete(call: Call<Asked>) -> Answer {
    let (experiment, name, version) = (call.asked.experiment()?, call.asked.name()?, call.asked.version());
    call.write(move |tx| scorers::delete(tx, experiment, &name, version)).await?;
    done()
}

/// How scorers run on traces as they come: none does.
async fn online_configs(_: Call<Value>) -> Answer {
    answer(&json!({"configs": []}))
}
