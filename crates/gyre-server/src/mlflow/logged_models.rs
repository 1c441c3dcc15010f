//! Logged models (MLflow 3).

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use gyre_tracking::limits;
use gyre_tracking::logged_models::{self, ModelStatus, NewModel};
use gyre_tracking::search::{self, ModelOrder, ModelSearch};
use serde::Deserialize;
use serde_json::json;

use super::call::{Answer, Call, Path, done, json, required};
use super::experiments::page_size;
use super::wire::{self, Flag, Int64, Pair, Word, pairs};
use super::{MlflowError, endpoint, render};
use crate::app::App;
use crate::routes::{Need, Routes};

pub(super) fn routes(routes: &mut Routes) {
    let (get, post, patch, delete) = (&Method::GET, &Method::POST, &Method::PATCH, &Method::DELETE);
    endpoint(routes, post, "/logged-models", Need::Write, create);
    endpoint(routes, post, "/logged-models/search", Need::Read, search);
    endpoint(routes, get, "/logged-models/{model_id}", Need::Read, by_id);
    endpoint(routes, patch, "/logged-models/{model_id}", Need::Write, finalize);
    endpoint(routes, delete, "/logged-models/{model_id}", Need::Write, remove);
    endpoint(routes, patch, "/logged-models/{model_id}/tags", Need::Write, set_tags);
    endpoint(routes, delete, "/logged-models/{model_id}/tags/{tag_key}", Need::Write, delete_tag);
    endpoint(routes, post, "/logged-models/{model_id}/params", Need::Write, log_params);
}

#[derive(Deserialize)]
struct New {
    #[serde(alias = "experimentId")]
    experiment_id: Option<Word>,
    name: Option<String>,
    #[serde(alias = "modelType")]
    model_type: Option<String>,
    #[serde(alias = "sourceRunId")]
    source_run_id: Option<String>,
    #[serde(default, deserialize_with = "wire::list")]
    params: Vec<Pair>,
    #[serde(default, deserialize_with = "wire::list")]
    tags: Vec<Pair>,
}

async fn create(call: Call<New>) -> Answer {
    let asked = &call.asked;
    let experiment = asked.experiment_id.as_ref().map(|Word(id)| id.clone());
    let new = NewModel {
        experiment: limits::experiment_id(required("experiment_id", &experiment)?)?,
        model_id: None,
        name: asked.name.clone(),
        model_type: asked.model_type.clone(),
        source_run_id: asked.source_run_id.clone(),
        params: pairs("params", asked.params.clone())?,
        tags: pairs("tags", asked.tags.clone())?,
    };
    let by = call.by();
    let model = call.write(move |tx| logged_models::create(tx, new, &by)).await?;
    json(&json!({ "model": render::logged_model(model) }))
}

#[derive(Deserialize)]
struct Nothing {}

async fn by_id(Path(id): Path<String>, call: Call<Nothing>) -> Answer {
    let model = call.read(move |tx| logged_models::get(tx, &id)).await?;
    json(&json!({ "model": render::logged_model(model) }))
}

#[derive(Deserialize)]
struct Status {
    status: Option<Word>,
}

async fn finalize(Path(id): Path<String>, call: Call<Status>) -> Answer {
    let word = call.asked.status.as_ref().map(|Word(word)| word.clone());
    let name = required("status", &word)?;
    let status = ModelStatus::from_name(name).ok_or_else(|| {
        let shown: String = name.chars().take(40).collect();
        MlflowError::invalid(format!(
            "the status is `{shown}`, expected LOGGED_MODEL_READY or LOGGED_MODEL_UPLOAD_FAILED"
        ))
    })?;
    let by = call.by();
    let model = call.write(move |tx| logged_models::finalize(tx, &id, status, &by)).await?;
    json(&json!({ "model": render::logged_model(model) }))
}

async fn remove(Path(id): Path<String>, call: Call<Nothing>) -> Answer {
    let by = call.by();
    call.write(move |tx| logged_models::delete(tx, &id, &by)).await?;
    done()
}

#[derive(Deserialize)]
struct Tags {
    #[serde(default, deserialize_with = "wire::list")]
    tags: Vec<Pair>,
}

async fn set_tags(Path(id): Path<String>, call: Call<Tags>) -> Answer {
    let (tags, by) = (pairs("tags", call.asked.tags.clone())?, call.by());
    let model = call.write(move |tx| logged_models::set_tags(tx, &id, &tags, &by)).await?;
    json(&json!({ "model": render::logged_model(model) }))
}

async fn delete_tag(State(app): State<Arc<App>>, Path((id, key)): Path<(String, String)>) -> Answer {
    app.write(move |tx| logged_models::delete_tag(tx, &id, &key)).await?;
    done()
}

#[derive(Deserialize)]
struct Params {
    #[serde(default, deserialize_with = "wire::list")]
    params: Vec<Pair>,
}

async fn log_params(Path(id): Path<String>, call: Call<Params>) -> Answer {
    let params = pairs("params", call.asked.params.clone())?;
    call.write(move |tx| logged_models::log_params(tx, &id, &params)).await?;
    done()
}

#[derive(Clone, Deserialize)]
struct OnDataset {
    #[serde(alias = "datasetName")]
    dataset_name: Option<String>,
    #[serde(alias = "datasetDigest")]
    dataset_digest: Option<String>,
}

impl OnDataset {
    fn dataset(&self) -> Option<(String, Option<String>)> {
        let name = self.dataset_name.clone().filter(|name| !name.is_empty())?;
        Some((name, self.dataset_digest.clone().filter(|digest| !digest.is_empty())))
    }
}

#[derive(Clone, Deserialize)]
struct OrderIn {
    #[serde(alias = "fieldName")]
    field_name: Option<String>,
    ascending: Option<Flag>,
    #[serde(flatten)]
    on: OnDataset,
}

#[derive(Deserialize)]
struct Search {
    #[serde(default, alias = "experimentIds", deserialize_with = "wire::list")]
    experiment_ids: Vec<Word>,
    filter: Option<String>,
    #[serde(default, deserialize_with = "wire::list")]
    datasets: Vec<OnDataset>,
    #[serde(alias = "maxResults")]
    max_results: Option<Int64>,
    #[serde(default, alias = "orderBy", deserialize_with = "wire::list")]
    order_by: Vec<OrderIn>,
    #[serde(alias = "pageToken")]
    page_token: Option<String>,
}

/// The page size when none is asked for.
const PAGE: usize = 100;

async fn search(call: Call<Search>) -> Answer {
    let asked = &call.asked;
    let dataset = |(place, on): (usize, &OnDataset)| {
        on.dataset().ok_or_else(|| MlflowError::missing(&format!("datasets[{place}].dataset_name")))
    };
    let order = |(place, order): (usize, &OrderIn)| {
        let field = order.field_name.clone().filter(|field| !field.is_empty());
        Ok::<_, MlflowError>(ModelOrder {
            field: field.ok_or_else(|| MlflowError::missing(&format!("order_by[{place}].field_name")))?,
            ascending: order.ascending.is_none_or(|Flag(up)| up),
            dataset: order.on.dataset(),
        })
    };
    let search = ModelSearch {
        experiments: asked
            .experiment_ids
            .iter()
            .map(|Word(id)| limits::experiment_id(id))
            .collect::<Result<_, _>>()?,
        filter: asked.filter.clone().unwrap_or_default(),
        datasets: asked.datasets.iter().enumerate().map(dataset).collect::<Result<_, _>>()?,
        order_by: asked.order_by.iter().enumerate().map(order).collect::<Result<_, _>>()?,
        limit: page_size(asked.max_results, PAGE)?,
        page_token: asked.page_token.clone().filter(|token| !token.is_empty()),
    };
    let page = call.read(move |tx| search::logged_models(tx, &search)).await?;
    json(&super::paged("models", page, render::logged_model))
}
