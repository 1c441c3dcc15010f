//! Runs: their life, and the search for them.

use axum::http::Method;
use gyre_artifacts::{Folder, index};
use gyre_core::Digest;
use gyre_store::{StoreError, Tx};
use gyre_tracking::runs::{self, NewRun, RunUpdate};
use gyre_tracking::search::{self, RunSearch};
use gyre_tracking::{RunStatus, data, limits, seal};
use serde::Deserialize;
use serde_json::json;

use super::call::{Answer, Call, done, json, required};
use super::experiments::{page_size, view};
use super::wire::{self, Int64, Pair, Word, pairs};
use super::{MlflowError, endpoint, render};
use crate::routes::{Need, Routes};

pub(super) fn routes(routes: &mut Routes) {
    let (get, post) = (&Method::GET, &Method::POST);
    endpoint(routes, post, "/runs/create", Need::Write, create);
    endpoint(routes, get, "/runs/get", Need::Read, by_id);
    endpoint(routes, post, "/runs/update", Need::Write, update);
    endpoint(routes, post, "/runs/search", Need::Read, search);
    endpoint(routes, post, "/runs/delete", Need::Write, delete);
    endpoint(routes, post, "/runs/restore", Need::Write, restore);
}

/// A run, by either of its names in the protocol.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Which {
    #[serde(alias = "runId")]
    run_id: Option<String>,
    #[serde(alias = "runUuid")]
    run_uuid: Option<String>,
}

impl Which {
    pub(super) fn id(&self) -> Result<String, MlflowError> {
        let given = self.run_id.clone().filter(|id| !id.is_empty()).or_else(|| self.run_uuid.clone());
        let id = required("run_id", &given)?.to_owned();
        limits::run_id(&id)?;
        Ok(id)
    }
}

#[derive(Deserialize)]
struct New {
    #[serde(alias = "experimentId")]
    experiment_id: Option<Word>,
    #[serde(alias = "userId")]
    user_id: Option<String>,
    #[serde(alias = "runName")]
    run_name: Option<String>,
    #[serde(alias = "startTime")]
    start_time: Option<Int64>,
    #[serde(default, deserialize_with = "wire::list")]
    tags: Vec<Pair>,
}

async fn create(call: Call<New>) -> Answer {
    let asked = &call.asked;
    let experiment = asked.experiment_id.as_ref().map_or("0", |Word(id)| id.as_str());
    let watch = call.app.watch.as_ref().zip(call.peer.as_ref());
    // Clients that are known already are told at once; the others are looked for while the run is made.
    let origin = watch.and_then(|(watch, peer)| watch.glance(peer));
    let known = origin.is_some();
    let new = NewRun {
        experiment: limits::experiment_id(experiment)?,
        run_id: None,
        name: asked.run_name.clone(),
        user_id: asked.user_id.clone().unwrap_or_default(),
        started: asked.start_time.map_or(0, |Int64(at)| at),
        tags: pairs("tags", asked.tags.clone())?,
        origin,
    };
    let run = call.write(move |tx| runs::create(tx, new)).await?;
    if let (Some((watch, peer)), false) = (watch, known) {
        watch.tell(peer, run.info.run_id.clone(), call.by());
    }
    json(&json!({ "run": render::run(run) }))
}

pub(super) async fn by_id(call: Call<Which>) -> Answer {
    let id = call.asked.id()?;
    let run = call.read(move |tx| data::run(tx, &id)).await?;
    json(&json!({ "run": render::run(run) }))
}

#[derive(Deserialize)]
struct Update {
    #[serde(flatten)]
    which: Which,
    status: Option<Word>,
    #[serde(alias = "endTime")]
    end_time: Option<Int64>,
    #[serde(alias = "runName")]
    run_name: Option<String>,
}

async fn update(call: Call<Update>) -> Answer {
    let asked = &call.asked;
    let id = asked.which.id()?;
    let status = asked
        .status
        .as_ref()
        .map(|Word(name)| {
            RunStatus::from_name(name).ok_or_else(|| {
                let shown: String = name.chars().take(40).collect();
                let known = RunStatus::ALL.map(RunStatus::name).join(", ");
                MlflowError::invalid(format!("the status is `{shown}`, expected one of {known}"))
            })
        })
        .transpose()?;
    // What the run logged is sealed before its end is told; whatever comes later is not part of the seal.
    let seal = if status.is_some_and(RunStatus::ended) {
        let id = id.clone();
        Some(call.read(move |tx| sealed(tx, &id)).await?)
    } else {
        None
    };
    let ended = asked.end_time.map(|Int64(at)| at).filter(|at| *at != 0);
    let update = RunUpdate { status, ended, name: asked.run_name.clone(), seal };
    let by = call.by();
    let info = call.write(move |tx| runs::update(tx, &id, update, &by)).await?;
    json(&json!({ "run_info": render::info(info) }))
}

/// The digest of all that a run logged, with its artifacts when they are kept here.
fn sealed(tx: &mut Tx<'_>, run_id: &str) -> Result<Digest, StoreError> {
    let run = runs::get(tx, run_id)?;
    let tree = match Folder::from_uri(&run.artifact_uri) {
        Ok(folder) => Some(index::tree_digest(tx, &folder)?.digest),
        Err(_) => None,
    };
    seal(tx, run_id, tree)
}

#[derive(Deserialize)]
pub(super) struct Search {
    #[serde(default, alias = "experimentIds", deserialize_with = "wire::list")]
    experiment_ids: Vec<Word>,
    filter: Option<String>,
    #[serde(alias = "runViewType")]
    run_view_type: Option<Word>,
    #[serde(alias = "maxResults")]
    max_results: Option<Int64>,
    #[serde(default, alias = "orderBy", deserialize_with = "wire::list")]
    order_by: Vec<String>,
    #[serde(alias = "pageToken")]
    page_token: Option<String>,
}

/// The page size when none is asked for.
const PAGE: usize = 1000;

impl Search {
    fn understood(&self) -> Result<RunSearch, MlflowError> {
        let experiments =
            self.experiment_ids.iter().map(|Word(id)| limits::experiment_id(id)).collect::<Result<_, _>>()?;
        Ok(RunSearch {
            experiments,
            filter: self.filter.clone().unwrap_or_default(),
            order_by: self.order_by.clone(),
            view: view(self.run_view_type.as_ref())?,
            limit: page_size(self.max_results, PAGE)?,
            page_token: self.page_token.clone().filter(|token| !token.is_empty()),
        })
    }
}

pub(super) async fn search(call: Call<Search>) -> Answer {
    let search = call.asked.understood()?;
    let page = call.read(move |tx| search::runs(tx, &search)).await?;
    json(&super::paged("runs", page, render::run))
}

async fn delete(call: Call<Which>) -> Answer {
    let (id, by) = (call.asked.id()?, call.by());
    call.write(move |tx| runs::delete(tx, &id, &by)).await?;
    done()
}

async fn restore(call: Call<Which>) -> Answer {
    let (id, by) = (call.asked.id()?, call.by());
    call.write(move |tx| runs::restore(tx, &id, &by)).await?;
    done()
}
