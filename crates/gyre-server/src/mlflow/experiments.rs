//! Experiments.

use axum::http::Method;
use gyre_tracking::experiments::{self, NewExperiment};
use gyre_tracking::search::{self, ExperimentSearch, View};
use gyre_tracking::{inputs, limits};
use serde::Deserialize;
use serde_json::json;

use super::call::{Answer, Call, done, json, required};
use super::wire::{self, Int64, Pair, Word, pairs};
use super::{MlflowError, endpoint, render};
use crate::routes::{Need, Routes};

pub(super) fn routes(routes: &mut Routes) {
    let (get, post) = (&Method::GET, &Method::POST);
    endpoint(routes, post, "/experiments/create", Need::Write, create);
    endpoint(routes, get, "/experiments/get", Need::Read, by_id);
    endpoint(routes, get, "/experiments/get-by-name", Need::Read, by_name);
    endpoint(routes, get, "/experiments/search", Need::Read, search);
    endpoint(routes, post, "/experiments/search", Need::Read, search);
    // Before MLflow 2.0.
    endpoint(routes, get, "/experiments/list", Need::Read, search);
    endpoint(routes, post, "/experiments/delete", Need::Write, delete);
    endpoint(routes, post, "/experiments/restore", Need::Write, restore);
    endpoint(routes, post, "/experiments/update", Need::Write, update);
    endpoint(routes, post, "/experiments/set-experiment-tag", Need::Write, set_tag);
    endpoint(routes, post, "/experiments/delete-experiment-tag", Need::Write, delete_tag);
    endpoint(routes, post, "/experiments/search-datasets", Need::Read, search_datasets);
}

#[derive(Deserialize)]
struct New {
    name: Option<String>,
    #[serde(alias = "artifactLocation")]
    artifact_location: Option<String>,
    #[serde(default, deserialize_with = "wire::list")]
    tags: Vec<Pair>,
}

async fn create(call: Call<New>) -> Answer {
    let name = required("name", &call.asked.name)?.to_owned();
    let artifact_location = call.asked.artifact_location.clone().filter(|location| !location.is_empty());
    let tags = pairs("tags", call.asked.tags.clone())?;
    let new = NewExperiment { name, artifact_location, tags };
    let by = call.by();
    let id = call.write(move |tx| experiments::create(tx, new, &by)).await?;
    json(&json!({ "experiment_id": id.to_string() }))
}

#[derive(Deserialize)]
pub(super) struct ById {
    #[serde(alias = "experimentId")]
    experiment_id: Option<Word>,
}

impl ById {
    fn id(&self) -> Result<i64, MlflowError> {
        let id = self.experiment_id.as_ref().map(|Word(id)| id.clone());
        Ok(limits::experiment_id(required("experiment_id", &id)?)?)
    }
}

pub(super) async fn by_id(call: Call<ById>) -> Answer {
    let id = call.asked.id()?;
    let found = call.read(move |tx| experiments::get(tx, id)).await?;
    json(&json!({ "experiment": render::experiment(found) }))
}

#[derive(Deserialize)]
struct ByName {
    #[serde(alias = "experimentName")]
    experiment_name: Option<String>,
}

async fn by_name(call: Call<ByName>) -> Answer {
    let name = required("experiment_name", &call.asked.experiment_name)?.to_owned();
    let asked = name.clone();
    match call.read(move |tx| experiments::by_name(tx, &name)).await? {
        Some(found) => json(&json!({ "experiment": render::experiment(found) })),
        None => {
            let shown: String = asked.chars().take(100).collect();
            Err(MlflowError::not_found(format!("there is no experiment called `{shown}`")))
        }
    }
}

#[derive(Deserialize)]
struct Search {
    #[serde(alias = "maxResults")]
    max_results: Option<Int64>,
    #[serde(alias = "pageToken")]
    page_token: Option<String>,
    filter: Option<String>,
    #[serde(default, alias = "orderBy", deserialize_with = "wire::list")]
    order_by: Vec<String>,
    #[serde(alias = "viewType")]
    view_type: Option<Word>,
}

/// The page size when none is asked for.
const PAGE: usize = 1000;

/// What of their lives is looked at.
pub(super) fn view(word: Option<&Word>) -> Result<View, MlflowError> {
    let Some(Word(name)) = word else { return Ok(View::default()) };
    View::from_name(name).ok_or_else(|| {
        let shown: String = name.chars().take(40).collect();
        MlflowError::invalid(format!("the view type is `{shown}`, expected ACTIVE_ONLY, DELETED_ONLY or ALL"))
    })
}

/// The page size that is asked for.
pub(super) fn page_size(asked: Option<Int64>, default: usize) -> Result<usize, MlflowError> {
    match asked {
        None => Ok(default),
        Some(Int64(size)) => usize::try_from(size)
            .ok()
            .filter(|size| *size > 0)
            .ok_or_else(|| MlflowError::invalid(format!("max_results is {size}, expected at least 1"))),
    }
}

async fn search(call: Call<Search>) -> Answer {
    let asked = &call.asked;
    let search = ExperimentSearch {
        filter: asked.filter.clone().unwrap_or_default(),
        order_by: asked.order_by.clone(),
        view: view(asked.view_type.as_ref())?,
        limit: page_size(asked.max_results, PAGE)?,
        page_token: asked.page_token.clone().filter(|token| !token.is_empty()),
    };
    let page = call.read(move |tx| search::experiments(tx, &search)).await?;
    json(&super::paged("experiments", page, render::experiment))
}

async fn delete(call: Call<ById>) -> Answer {
    let (id, by) = (call.asked.id()?, call.by());
    call.write(move |tx| experiments::delete(tx, id, &by)).await?;
    done()
}

async fn restore(call: Call<ById>) -> Answer {
    let (id, by) = (call.asked.id()?, call.by());
    call.write(move |tx| experiments::restore(tx, id, &by)).await?;
    done()
}

#[derive(Deserialize)]
struct Update {
    #[serde(flatten)]
    which: ById,
    #[serde(alias = "newName")]
    new_name: Option<String>,
}

async fn update(call: Call<Update>) -> Answer {
    let (id, by) = (call.asked.which.id()?, call.by());
    if let Some(name) = call.asked.new_name.clone().filter(|name| !name.is_empty()) {
        call.write(move |tx| experiments::rename(tx, id, &name, &by)).await?;
    }
    done()
}

#[derive(Deserialize)]
struct Tag {
    #[serde(flatten)]
    which: ById,
    key: Option<String>,
    value: Option<String>,
}

async fn set_tag(call: Call<Tag>) -> Answer {
    let id = call.asked.which.id()?;
    let key = required("key", &call.asked.key)?.to_owned();
    let value = call.asked.value.clone().unwrap_or_default();
    call.write(move |tx| experiments::set_tag(tx, id, &key, &value)).await?;
    done()
}

async fn delete_tag(call: Call<Tag>) -> Answer {
    let id = call.asked.which.id()?;
    let key = required("key", &call.asked.key)?.to_owned();
    call.write(move |tx| experiments::delete_tag(tx, id, &key)).await?;
    done()
}

#[derive(Deserialize)]
pub(super) struct SearchDatasets {
    #[serde(default, alias = "experimentIds", deserialize_with = "wire::list")]
    experiment_ids: Vec<Word>,
}

/// Experiments of one search for datasets, and datasets of one experiment, at most.
const EXPERIMENTS: usize = 20;
const DATASETS: u64 = 1000;

pub(super) async fn search_datasets(call: Call<SearchDatasets>) -> Answer {
    let ids: Vec<i64> = call
        .asked
        .experiment_ids
        .iter()
        .map(|Word(id)| limits::experiment_id(id))
        .collect::<Result<_, _>>()?;
    if ids.is_empty() || ids.len() > EXPERIMENTS {
        return Err(MlflowError::invalid(format!(
            "experiment_ids has {} items, expected 1 to {EXPERIMENTS}",
            ids.len()
        )));
    }
    let found = call
        .read(move |tx| {
            let mut found = Vec::new();
            for id in ids {
                found.extend(inputs::datasets_of(tx, id, DATASETS)?);
            }
            Ok(found)
        })
        .await?;
    let summaries: Vec<_> = found
        .into_iter()
        .map(|dataset| {
            let mut summary = json!({
                "experiment_id": dataset.experiment.to_string(),
                "name": dataset.name,
                "digest": dataset.digest,
            });
            if let (Some(context), Some(object)) = (dataset.context, summary.as_object_mut()) {
                object.insert("context".to_owned(), context.into());
            }
            summary
        })
        .collect();
    if summaries.is_empty() {
        return done();
    }
    json(&json!({ "dataset_summaries": summaries }))
}
