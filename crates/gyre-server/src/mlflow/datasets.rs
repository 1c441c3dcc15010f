//! Evaluation datasets. Tags, schema, profile and records travel as JSON inside text, as MLflow has it.

use axum::http::Method;
use gyre_store::{StoreError, Tx};
use gyre_traces::datasets::{self, Dataset, Record, Search};
use gyre_traces::{experiments, spaced};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::MlflowError;
use super::call::{Answer, Call, Path, done, json as answer, required};
use super::traces::v3;
use super::wire::{self, Int64};
use crate::routes::{Need, Routes};

/// How many datasets or records a page has when the request does not say.
const PAGE: i64 = 1_000;
/// The most records of a page.
const RECORDS: usize = 10_000;

pub(super) fn routes(routes: &mut Routes) {
    let (read, write) = (Need::Read, Need::Write);
    v3(routes, &Method::POST, "/datasets/create", write, create);
    v3(routes, &Method::POST, "/datasets/search", read, search);
    v3(routes, &Method::GET, "/datasets/search", read, search);
    v3(routes, &Method::GET, "/datasets/{dataset}", read, get);
    v3(routes, &Method::DELETE, "/datasets/{dataset}", write, delete);
    v3(routes, &Method::PATCH, "/datasets/{dataset}/tags", write, set_tags);
    v3(routes, &Method::DELETE, "/datasets/{dataset}/tags/{key}", write, delete_tag);
    v3(routes, &Method::POST, "/datasets/{dataset}/records", write, upsert);
    v3(routes, &Method::GET, "/datasets/{dataset}/records", read, records);
    v3(routes, &Method::DELETE, "/datasets/{dataset}/records", write, delete_records);
    v3(routes, &Method::GET, "/datasets/{dataset}/experiment-ids", read, experiment_ids);
    v3(routes, &Method::POST, "/datasets/{dataset}/add-experiments", write, add);
    v3(routes, &Method::POST, "/datasets/{dataset}/remove-experiments", write, remove);
}

#[derive(Deserialize)]
struct Asked {
    name: Option<String>,
    #[serde(default, alias = "experimentIds", deserialize_with = "wire::list")]
    experiment_ids: Vec<String>,
    tags: Option<String>,
    records: Option<String>,
    #[serde(default, alias = "datasetRecordIds", deserialize_with = "wire::list")]
    dataset_record_ids: Vec<String>,
    #[serde(alias = "filterString")]
    filter_string: Option<String>,
    #[serde(alias = "maxResults")]
    max_results: Option<Int64>,
    #[serde(default, alias = "orderBy", deserialize_with = "wire::list")]
    order_by: Vec<String>,
    #[serde(alias = "pageToken")]
    page_token: Option<String>,
}

impl Asked {
    fn experiments(&self) -> Result<Vec<i64>, MlflowError> {
        Ok(self.experiment_ids.iter().map(|id| experiments::number(id)).collect::<Result<_, _>>()?)
    }

    /// The size of the page; 0 is what says nothing.
    fn limit(&self) -> Result<usize, MlflowError> {
        let asked = self.max_results.map(|limit| limit.0).filter(|limit| *limit != 0).unwrap_or(PAGE);
        usize::try_from(asked).map_err(|_| {
            MlflowError::invalid(format!("max_results is {asked}, expected a whole number of at least 1"))
        })
    }
}

fn told(dataset: &Dataset) -> Map<String, Value> {
    let mut told = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            told.insert(key.to_owned(), value);
        }
    };
    let text = |text: &Option<String>| text.clone().map(Value::String);
    put("dataset_id", Some(json!(dataset.dataset_id)));
    put("name", Some(json!(dataset.name)));
    put("tags", Some(spaced::dump(&dataset.tags).into()));
    put("schema", text(&dataset.schema));
    put("profile", text(&dataset.profile));
    put("digest", Some(json!(dataset.digest)));
    put("created_time", Some(json!(dataset.created_ms)));
    put("last_update_time", Some(json!(dataset.updated_ms)));
    put("created_by", text(&dataset.created_by));
    put("last_updated_by", text(&dataset.updated_by));
    told
}

async fn create(call: Call<Asked>) -> Answer {
    let name = required("name", &call.asked.name)?.to_owned();
    let tags = call.asked.tags.as_deref().filter(|tags| !tags.is_empty()).unwrap_or("{}");
    let tags = datasets::tags_of(tags)?;
    let experiments = call.asked.experiments()?;
    let now = call.app.clock.now().as_millis();
    let made = call.write(move |tx| datasets::create(tx, &name, &tags, &experiments, now)).await?;
    let mut made = told(&made);
    if !call.asked.experiment_ids.is_empty() {
        made.insert("experiment_ids".to_owned(), json!(call.asked.experiment_ids));
    }
    answer(&json!({"dataset": made}))
}

async fn get(Path(dataset): Path<String>, call: Call<Value>) -> Answer {
    let dataset = call.read(move |tx| datasets::get(tx, &dataset)).await?;
    answer(&json!({"dataset": told(&dataset)}))
}

async fn delete(Path(dataset): Path<String>, call: Call<Value>) -> Answer {
    let by = call.by();
    call.write(move |tx| datasets::delete(tx, &dataset, &by)).await?;
    done()
}

async fn search(call: Call<Asked>) -> Answer {
    let (asked, call) = call.split();
    let wanted = Search::new(
        asked.experiments()?,
        asked.filter_string.as_deref().unwrap_or_default(),
        &asked.order_by,
    )?;
    let limit = asked.limit()?;
    let token = asked.page_token.filter(|token| !token.is_empty());
    let found = call.read(move |tx| datasets::search(tx, &wanted, limit, token.as_deref())).await?;
    let mut answered = Map::new();
    if !found.datasets.is_empty() {
        answered.insert("datasets".to_owned(), json!(found.datasets.iter().map(told).collect::<Vec<_>>()));
    }
    if let Some(next) = found.next {
        answered.insert("next_page_token".to_owned(), next.into());
    }
    answer(&answered)
}

async fn set_tags(Path(dataset): Path<String>, call: Call<Asked>) -> Answer {
    let tags = datasets::tags_of(required("tags", &call.asked.tags)?)?;
    call.write(move |tx| datasets::set_tags(tx, &dataset, &tags)).await?;
    done()
}

async fn delete_tag(Path((dataset, key)): Path<(String, String)>, call: Call<Value>) -> Answer {
    call.write(move |tx| datasets::delete_tag(tx, &dataset, &key)).await?;
    done()
}

async fn upsert(Path(dataset): Path<String>, call: Call<Asked>) -> Answer {
    let (asked, call) = call.split();
    let records = required("records", &asked.records)?.to_owned();
    let now = call.app.clock.now().as_millis();
    let done = call.write(move |tx| datasets::upsert(tx, &dataset, &records, now)).await?;
    answer(&json!({"inserted_count": done.inserted, "updated_count": done.updated}))
}

async fn records(Path(dataset): Path<String>, call: Call<Asked>) -> Answer {
    let (asked, call) = call.split();
    let limit = asked.limit()?.min(RECORDS);
    let token = asked.page_token.filter(|token| !token.is_empty());
    let of = dataset.clone();
    let page = call.read(move |tx| datasets::records(tx, &of, limit, token.as_deref())).await?;
    let records: Vec<Value> = page.records.into_iter().map(|record| told_record(&dataset, record)).collect();
    let mut answered = Map::new();
    answered.insert("records".to_owned(), spaced::dump(&records).into());
    if let Some(next) = page.next {
        answered.insert("next_page_token".to_owned(), next.into());
    }
    answer(&answered)
}

fn told_record(dataset: &str, record: Record) -> Value {
    let mut told = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            told.insert(key.to_owned(), value);
        }
    };
    let kind = record.source.as_ref().and_then(|source| source.get("source_type").cloned());
    let of_trace =
        record.source.as_ref().and_then(|source| source.get("source_data")?.get("trace_id").cloned());
    put("dataset_record_id", Some(record.record_id.into()));
    put("dataset_id", Some(dataset.into()));
    put("inputs", Some(record.inputs));
    put("expectations", record.expectations);
    put("tags", record.tags);
    put("source", record.source);
    put("source_id", of_trace);
    put("source_type", kind);
    put("created_time", Some(record.created_ms.into()));
    put("last_update_time", Some(record.updated_ms.into()));
    put("created_by", record.created_by.map(Value::String));
    put("last_updated_by", record.updated_by.map(Value::String));
    put("outputs", record.outputs);
    Value::Object(told)
}

async fn delete_records(Path(dataset): Path<String>, call: Call<Asked>) -> Answer {
    let (asked, call) = call.split();
    let ids = asked.dataset_record_ids;
    let deleted = call.write(move |tx| datasets::delete_records(tx, &dataset, &ids)).await?;
    answer(&json!({"deleted_count": deleted}))
}

async fn experiment_ids(Path(dataset): Path<String>, call: Call<Value>) -> Answer {
    let ids = call.read(move |tx| datasets::experiments_of(tx, &dataset)).await?;
    let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
    answer(&if ids.is_empty() { json!({}) } else { json!({"experiment_ids": ids}) })
}

type Link = fn(&mut Tx<'_>, &str, &[i64], i64) -> Result<Dataset, StoreError>;

async fn add(Path(dataset): Path<String>, call: Call<Asked>) -> Answer {
    link(dataset, call, datasets::add_to).await
}

async fn remove(Path(dataset): Path<String>, call: Call<Asked>) -> Answer {
    link(dataset, call, datasets::remove_from).await
}

async fn link(dataset: String, call: Call<Asked>, how: Link) -> Answer {
    let experiments = call.asked.experiments()?;
    let now = call.app.clock.now().as_millis();
    let dataset = call.write(move |tx| how(tx, &dataset, &experiments, now)).await?;
    answer(&json!({"dataset": told(&dataset)}))
}
