//! Registered models and versions as MLflow writes them.

use gyre_registry::{RegisteredModel, RegisteredVersion};
use serde_json::{Map, Value, json};

/// A model. A description that is empty is left out, as MLflow does for models.
pub(super) fn model(model: &RegisteredModel) -> Value {
    let mut shown = Map::new();
    shown.insert("name".to_owned(), model.name.as_str().into());
    shown.insert("creation_timestamp".to_owned(), model.created.as_millis().into());
    shown.insert("last_updated_timestamp".to_owned(), model.updated.as_millis().into());
    if let Some(description) = model.description.as_deref().filter(|text| !text.is_empty()) {
        shown.insert("description".to_owned(), description.into());
    }
    let latest: Vec<Value> = model.latest.iter().map(version).collect();
    put_list(&mut shown, "latest_versions", latest);
    put_list(&mut shown, "tags", model.tags.iter().map(tag).collect());
    let alias = |(alias, version): (&String, &u32)| json!({"alias": alias, "version": version.to_string()});
    put_list(&mut shown, "aliases", model.aliases.iter().map(alias).collect());
    shown.into()
}

/// A version. Its number is text; a description or run that is empty is there, one that is none is not.
pub(super) fn version(version: &RegisteredVersion) -> Value {
    let mut shown = Map::new();
    shown.insert("name".to_owned(), version.name.as_str().into());
    shown.insert("version".to_owned(), version.version.to_string().into());
    shown.insert("creation_timestamp".to_owned(), version.created.as_millis().into());
    shown.insert("last_updated_timestamp".to_owned(), version.updated.as_millis().into());
    put(&mut shown, "user_id", version.user_id.as_deref());
    shown.insert("current_stage".to_owned(), version.stage.as_str().into());
    put(&mut shown, "description", version.description.as_deref());
    shown.insert("source".to_owned(), version.source.as_str().into());
    put(&mut shown, "run_id", version.run_id.as_deref());
    shown.insert("status".to_owned(), version.status.as_str().into());
    put_list(&mut shown, "tags", version.tags.iter().map(tag).collect());
    put(&mut shown, "run_link", version.run_link.as_deref());
    put_list(&mut shown, "aliases", version.aliases.iter().map(|alias| alias.as_str().into()).collect());
    shown.into()
}

fn tag((key, value): (&String, &String)) -> Value {
    json!({"key": key, "value": value})
}

fn put(shown: &mut Map<String, Value>, field: &str, text: Option<&str>) {
    if let Some(text) = text {
        shown.insert(field.to_owned(), text.into());
    }
}

fn put_list(shown: &mut Map<String, Value>, field: &str, list: Vec<Value>) {
    if !list.is_empty() {
        shown.insert(field.to_owned(), list.into());
    }
}
