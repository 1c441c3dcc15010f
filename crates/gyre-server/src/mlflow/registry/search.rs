//! Searching registered models and versions.

use gyre_registry::{MAX_MODELS, MAX_VERSIONS, Page};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::show;
use crate::mlflow::call::{Answer, Call, json};
use crate::mlflow::wire::{self, Int64};

#[derive(Debug, Deserialize)]
pub(in crate::mlflow) struct Search {
    filter: Option<String>,
    #[serde(alias = "maxResults")]
    max_results: Option<Int64>,
    #[serde(default, alias = "orderBy", deserialize_with = "wire::list")]
    order_by: Vec<String>,
    #[serde(alias = "pageToken")]
    page_token: Option<String>,
}

impl Search {
    fn page(&self, usual: u64, most: u64) -> Result<Page, gyre_store::StoreError> {
        let size = self.max_results.map_or(usual as i64, |asked| asked.0);
        Page::asked(size, most, self.page_token.as_deref())
    }
}

/// `GET registered-models/search`
pub(super) async fn models(call: Call<Search>) -> Answer {
    let page = call.asked.page(100, MAX_MODELS)?;
    let (filter, order) = (call.asked.filter.clone().unwrap_or_default(), call.asked.order_by.clone());
    let found = call.read(move |tx| gyre_registry::search_models(tx, &filter, &order, page)).await?;
    answer("registered_models", found.items.iter().map(show::model).collect(), found.next)
}

/// `GET model-versions/search`
pub(in crate::mlflow) async fn versions(call: Call<Search>) -> Answer {
    let page = call.asked.page(MAX_VERSIONS, MAX_VERSIONS)?;
    let (filter, order) = (call.asked.filter.clone().unwrap_or_default(), call.asked.order_by.clone());
    let found = call.read(move |tx| gyre_registry::search_versions(tx, &filter, &order, page)).await?;
    answer("model_versions", found.items.iter().map(show::version).collect(), found.next)
}

fn answer(field: &str, items: Vec<Value>, next: Option<String>) -> Answer {
    let mut answer = Map::new();
    if !items.is_empty() {
        answer.insert(field.to_owned(), items.into());
    }
    if let Some(token) = next {
        answer.insert("next_page_token".to_owned(), token.into());
    }
    json(&answer)
}
