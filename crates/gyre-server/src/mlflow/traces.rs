//! Traces: what a generative application did on the way to each of its answers.
//!
//! | module | what lives there |
//! | --- | --- |
//! | `record` | traces and assessments as JSON |
//! | `span` | spans as JSON |
//! | `assessment` | endpoints of assessments |
//! | `analysis` | figures over many traces |
//! | `otlp` | `/v1/traces`: spans as OpenTelemetry sends them |
//! | `legacy` | what clients before 3.0 call |
//!
//! The client's way: each span comes to `/v1/traces` when it ends; when the root has ended, `POST traces` says the last word
//! on the trace. The answer to that bears the tag `mlflow.trace.spansLocation`, which tells the client that it need not
//! upload the spans as a file.

mod analysis;
mod assessment;
mod legacy;
mod otlp;
mod record;
mod span;

use std::time::Duration;

use axum::http::Method;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use gyre_traces::infos::{self, DELETED_AT_ONCE, Doomed};
use gyre_traces::record::TraceInfo;
use gyre_traces::{Search, experiments, limits, search, spans};
use serde::Deserialize;
use serde_json::{Value, json};

use super::call::{Answer, Call, Path, done, json as answer, required};
use super::wire::{self, Flag, Int64};
use super::{MlflowError, endpoint};
use crate::routes::{Need, Routes};
use record::{Info, InfoIn};

/// How often a trace is looked at whose spans are not all here, and how long to wait in between.
const PATIENCE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];
/// How many traces a search finds when it does not say.
const FOUND: i64 = 100;

pub(super) fn routes(routes: &mut Routes) {
    let read = Need::Read;
    let write = Need::Write;
    v3(routes, &Method::POST, "/traces", write, start);
    v3(routes, &Method::GET, "/traces/get", read, get);
    v3(routes, &Method::GET, "/traces/batchGet", read, batch_get);
    v3(routes, &Method::POST, "/traces/batchGetInfos", read, batch_get_infos);
    v3(routes, &Method::POST, "/traces/search", read, find);
    v3(routes, &Method::GET, "/traces/{trace}", read, get_info);
    endpoint(routes, &Method::PATCH, "/traces/{trace}/tags", write, set_tag);
    endpoint(routes, &Method::DELETE, "/traces/{trace}/tags", write, delete_tag);
    endpoint(routes, &Method::POST, "/traces/delete-traces", write, delete);
    endpoint(routes, &Method::POST, "/traces/link-to-run", write, link_to_run);
    endpoint(routes, &Method::POST, "/traces/link-prompts", write, link_prompts);
    endpoint(routes, &Method::GET, "/get-trace-artifact", read, artifact);
    analysis::routes(routes);
    assessment::routes(routes);
    legacy::routes(routes);
    otlp::routes(routes);
}

/// Adds an endpoint that version 3 of the protocol has, and version 2 has not, or has otherwise.
pub(super) fn v3<T, H>(routes: &mut Routes, method: &Method, path: &str, need: Need, handler: H)
where
    T: 'static,
    H: axum::handler::Handler<T, std::sync::Arc<crate::app::App>>,
{
    for base in ["/api/3.0/mlflow", "/ajax-api/3.0/mlflow"] {
        routes.add(method.clone(), &format!("{base}{path}"), need, handler.clone());
    }
}

#[derive(Deserialize)]
struct StartAsked {
    trace: Option<TraceIn>,
}

#[derive(Deserialize)]
struct TraceIn {
    #[serde(alias = "traceInfo")]
    trace_info: Option<InfoIn>,
}

async fn start(call: Call<StartAsked>) -> Answer {
    let (asked, call) = call.split();
    let info = asked.trace.ok_or_else(|| MlflowError::missing("trace"))?.trace_info;
    let info = info.ok_or_else(|| MlflowError::missing("trace.trace_info"))?.read()?;
    let now = call.app.clock.now().as_millis();
    let info = call.write(move |tx| infos::start(tx, &info, now)).await?;
    answer(&json!({"trace": {"trace_info": Info(&info)}}))
}

async fn get_info(Path(trace): Path<String>, call: Call<Value>) -> Answer {
    let info = call.read(move |tx| infos::get(tx, &trace)).await?;
    answer(&json!({"trace": {"trace_info": Info(&info)}}))
}

#[derive(Deserialize)]
struct GetAsked {
    #[serde(alias = "traceId")]
    trace_id: Option<String>,
    #[serde(alias = "allowPartial")]
    allow_partial: Option<Flag>,
}

async fn get(call: Call<GetAsked>) -> Answer {
    let trace_id = required("trace_id", &call.asked.trace_id)?.to_owned();
    let partial = call.asked.allow_partial.is_some_and(|flag| flag.0);
    let mut patience = PATIENCE.iter();
    loop {
        let id = trace_id.clone();
        let (info, spans) = call.read(move |tx| Ok((infos::get(tx, &id)?, spans::of(tx, &id)?))).await?;
        if !info.spans_are_here() {
            return Err(MlflowError::not_found(format!(
                "the spans of the trace `{trace_id}` are not in the tracking store; they may be in the file traces.json in its \
                 artifacts"
            )));
        }
        if partial || is_whole(&info, spans.len()) {
            return answer(&json!({"trace": span::trace(&info, &spans)?}));
        }
        // Spans and info come by different requests, so the last spans may still be on their way.
        let Some(wait) = patience.next() else {
            return Err(MlflowError::not_found(format!(
                "the trace `{trace_id}` is not there as a whole yet: {} of {} spans have come; ask again, or with \
                 allow_partial",
                spans.len(),
                info.spans_expected().unwrap_or_default()
            )));
        };
        tokio::time::sleep(*wait).await;
    }
}

/// Whether as many spans are here as the client has counted.
fn is_whole(info: &TraceInfo, spans: usize) -> bool {
    spans > 0 && info.spans_expected().is_none_or(|expected| spans as u64 >= expected)
}

#[derive(Deserialize)]
struct SeveralAsked {
    #[serde(default, alias = "traceIds", deserialize_with = "wire::list")]
    trace_ids: Vec<String>,
    #[serde(default, alias = "experimentIds", deserialize_with = "wire::list")]
    experiment_ids: Vec<String>,
}

impl SeveralAsked {
    fn check(&self) -> Result<(), MlflowError> {
        match self.trace_ids.len() {
            0 => Err(MlflowError::missing("trace_ids")),
            many if many > limits::PAGE => Err(MlflowError::invalid(format!(
                "found {many} trace_ids, at most {} go at once",
                limits::PAGE
            ))),
            _ => Ok(()),
        }
    }

    fn wanted(experiment_ids: &[String], info: &TraceInfo) -> bool {
        experiment_ids.is_empty() || experiment_ids.contains(&info.experiment.to_string())
    }
}

async fn batch_get(call: Call<SeveralAsked>) -> Answer {
    call.asked.check()?;
    let (asked, call) = call.split();
    let traces = call
        .read(move |tx| {
            let mut traces = Vec::new();
            for info in infos::several(tx, &asked.trace_ids)? {
                if SeveralAsked::wanted(&asked.experiment_ids, &info) && info.spans_are_here() {
                    let spans = spans::of(tx, &info.trace_id)?;
                    if is_whole(&info, spans.len()) {
                        traces.push((info, spans));
                    }
                }
            }
            Ok(traces)
        })
        .await?;
    let traces: Vec<Value> =
        traces.iter().map(|(info, spans)| span::trace(info, spans)).collect::<Result<_, _>>()?;
    answer(&if traces.is_empty() { json!({}) } else { json!({"traces": traces}) })
}

async fn batch_get_infos(call: Call<SeveralAsked>) -> Answer {
    call.asked.check()?;
    let (asked, call) = call.split();
    let mut found =
        call.read(move |tx| Ok((infos::several(tx, &asked.trace_ids)?, asked.experiment_ids))).await?;
    found.0.retain(|info| SeveralAsked::wanted(&found.1, info));
    let infos: Vec<Info<'_>> = found.0.iter().map(Info).collect();
    answer(&if infos.is_empty() { json!({}) } else { json!({"trace_infos": infos}) })
}

#[derive(Deserialize)]
struct FindAsked {
    locations: Option<Vec<record::LocationIn>>,
    filter: Option<String>,
    #[serde(alias = "maxResults")]
    max_results: Option<Int64>,
    #[serde(default, alias = "orderBy", deserialize_with = "wire::list")]
    order_by: Vec<String>,
    #[serde(alias = "pageToken")]
    page_token: Option<String>,
}

async fn find(call: Call<FindAsked>) -> Answer {
    let (asked, call) = call.split();
    let locations = asked.locations.ok_or_else(|| MlflowError::missing("locations"))?;
    let experiments: Vec<i64> = locations
        .iter()
        .filter_map(record::LocationIn::experiment)
        .map(experiments::number)
        .collect::<Result<_, _>>()?;
    let wanted = Search::new(experiments, asked.filter.as_deref().unwrap_or_default(), &asked.order_by)?;
    let limit = page_size(asked.max_results)?;
    let token = asked.page_token.filter(|token| !token.is_empty());
    let page = call.read(move |tx| search(tx, &wanted, limit, token.as_deref())).await?;
    let mut found = serde_json::Map::new();
    if !page.traces.is_empty() {
        found.insert("traces".to_owned(), json!(page.traces.iter().map(Info).collect::<Vec<_>>()));
    }
    if let Some(next) = page.next {
        found.insert("next_page_token".to_owned(), next.into());
    }
    answer(&found)
}

fn page_size(asked: Option<Int64>) -> Result<usize, MlflowError> {
    let asked = asked.map_or(FOUND, |number| number.0);
    usize::try_from(asked).map_err(|_| {
        MlflowError::invalid(format!(
            "max_results is {asked}, expected a whole number from 1 to {}",
            limits::PAGE
        ))
    })
}

#[derive(Deserialize)]
struct TagAsked {
    key: Option<String>,
    value: Option<String>,
}

async fn set_tag(Path(trace): Path<String>, call: Call<TagAsked>) -> Answer {
    let key = required("key", &call.asked.key)?.to_owned();
    let value = call.asked.value.clone().unwrap_or_default();
    call.write(move |tx| infos::set_tag(tx, &trace, &key, &value)).await?;
    done()
}

async fn delete_tag(Path(trace): Path<String>, call: Call<TagAsked>) -> Answer {
    let key = required("key", &call.asked.key)?.to_owned();
    call.write(move |tx| infos::delete_tag(tx, &trace, &key)).await?;
    done()
}

#[derive(Deserialize)]
struct DeleteAsked {
    #[serde(alias = "experimentId")]
    experiment_id: Option<String>,
    #[serde(alias = "maxTimestampMillis")]
    max_timestamp_millis: Option<Int64>,
    #[serde(alias = "maxTraces")]
    max_traces: Option<Int64>,
    #[serde(default, alias = "requestIds", alias = "trace_ids", deserialize_with = "wire::list")]
    request_ids: Vec<String>,
}

impl DeleteAsked {
    fn read(self) -> Result<(i64, Doomed, i64), MlflowError> {
        let experiment = experiments::number(required("experiment_id", &self.experiment_id)?)?;
        let doomed = match (self.max_timestamp_millis, self.request_ids) {
            (Some(until), ids) if ids.is_empty() => Doomed::Until(until.0),
            (None, ids) if !ids.is_empty() => Doomed::Ids(ids),
            _ => {
                return Err(MlflowError::invalid(
                    "one of max_timestamp_millis and request_ids must be given, and not both",
                ));
            }
        };
        let most = match (&doomed, self.max_traces) {
            (_, None) => i64::MAX,
            (Doomed::Until(_), Some(most)) if most.0 > 0 => most.0,
            (Doomed::Until(_), Some(most)) => {
                return Err(MlflowError::invalid(format!("max_traces is {}, expected at least 1", most.0)));
            }
            (Doomed::Ids(_), Some(_)) => {
                return Err(MlflowError::invalid(
                    "max_traces goes with max_timestamp_millis, not with request_ids",
                ));
            }
        };
        Ok((experiment, doomed, most))
    }
}

async fn delete(call: Call<DeleteAsked>) -> Answer {
    let (asked, call) = call.split();
    let (experiment, doomed, most) = asked.read()?;
    let mut deleted: i64 = 0;
    while deleted < most {
        let (doomed, by) = (doomed.clone(), call.by());
        let wanted = (most - deleted).min(DELETED_AT_ONCE);
        let gone = call.write(move |tx| infos::delete(tx, experiment, &doomed, wanted, &by)).await?;
        let gone = i64::try_from(gone).unwrap_or(i64::MAX);
        deleted = deleted.saturating_add(gone);
        if gone < wanted {
            break;
        }
    }
    answer(&json!({"traces_deleted": deleted}))
}

#[derive(Deserialize)]
struct LinkAsked {
    #[serde(default, alias = "traceIds", deserialize_with = "wire::list")]
    trace_ids: Vec<String>,
    #[serde(alias = "runId")]
    run_id: Option<String>,
}

async fn link_to_run(call: Call<LinkAsked>) -> Answer {
    let run = required("run_id", &call.asked.run_id)?.to_owned();
    let (asked, call) = call.split();
    if asked.trace_ids.is_empty() {
        return Err(MlflowError::missing("trace_ids"));
    }
    call.write(move |tx| infos::link_to_run(tx, &asked.trace_ids, &run)).await?;
    done()
}

#[derive(Deserialize)]
struct PromptsAsked {
    #[serde(alias = "traceId")]
    trace_id: Option<String>,
    #[serde(alias = "promptVersions")]
    prompt_versions: Option<Vec<PromptIn>>,
}

#[derive(Deserialize)]
struct PromptIn {
    name: Option<String>,
    version: Option<Int64>,
}

async fn link_prompts(call: Call<PromptsAsked>) -> Answer {
    let trace = required("trace_id", &call.asked.trace_id)?.to_owned();
    let prompts =
        call.asked.prompt_versions.as_ref().ok_or_else(|| MlflowError::missing("prompt_versions"))?;
    let prompts: Vec<String> = prompts
        .iter()
        .map(|prompt| {
            let name = required("prompt_versions.name", &prompt.name)?;
            let version = prompt.version.ok_or_else(|| MlflowError::missing("prompt_versions.version"))?;
            Ok(format!("{name}/{}", version.0))
        })
        .collect::<Result<_, MlflowError>>()?;
    call.write(move |tx| infos::link_prompts(tx, &trace, &prompts)).await?;
    done()
}

#[derive(Deserialize)]
struct ArtifactAsked {
    #[serde(alias = "requestId", alias = "trace_id")]
    request_id: Option<String>,
    path: Option<String>,
}

/// The spans as the file `traces.json` that MLflow's web pages read.
async fn artifact(call: Call<ArtifactAsked>) -> Answer {
    let id = required("request_id", &call.asked.request_id)?.to_owned();
    if call.asked.path.as_ref().is_some_and(|path| !path.is_empty()) {
        return Err(MlflowError::not_found(format!("the trace `{id}` has no attachment of that name")));
    }
    let (info, spans) = call.read(move |tx| Ok((infos::get(tx, &id)?, spans::of(tx, &id)?))).await?;
    if !info.spans_are_here() {
        return Err(MlflowError::not_found(format!(
            "the spans of the trace `{}` are not here",
            info.trace_id
        )));
    }
    let mut response: Response = format!("{{\"spans\":[{}]}}", spans.join(",")).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=traces.json"));
    Ok(response)
}
