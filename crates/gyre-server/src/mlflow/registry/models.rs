//! Registered models and their tags.

use gyre_store::Tx;
use serde::Deserialize;
use serde_json::json;

use super::{Tag, show, stages};
use crate::mlflow::call::{Answer, Call, done, json, required};
use crate::mlflow::wire;

#[derive(Debug, Deserialize)]
pub(super) struct Create {
    name: Option<String>,
    #[serde(default, deserialize_with = "wire::list")]
    tags: Vec<Tag>,
    description: Option<String>,
}

/// `POST registered-models/create`
pub(super) async fn create(call: Call<Create>) -> Answer {
    let author = call.author();
    let name = required("name", &call.asked.name)?.to_owned();
    let description = call.asked.description.clone().unwrap_or_default();
    let tags = call.asked.tags.iter().map(Tag::pair).collect();
    let create =
        move |tx: &mut Tx<'_>| gyre_registry::create_model(tx, &author, &name, Some(&description), tags);
    let model = call.write(create).await?;
    json(&json!({"registered_model": show::model(&model)}))
}

#[derive(Debug, Deserialize)]
pub(super) struct Named {
    name: Option<String>,
}

/// `GET registered-models/get`
pub(super) async fn get(call: Call<Named>) -> Answer {
    let name = required("name", &call.asked.name)?.to_owned();
    let model = call.read(move |tx| gyre_registry::registered_model(tx, &name)).await?;
    json(&json!({"registered_model": show::model(&model)}))
}

#[derive(Debug, Deserialize)]
pub(super) struct Update {
    name: Option<String>,
    description: Option<String>,
}

/// `PATCH registered-models/update`
pub(super) async fn update(call: Call<Update>) -> Answer {
    let author = call.author();
    let name = required("name", &call.asked.name)?.to_owned();
    let description = call.asked.description.clone().unwrap_or_default();
    let update = move |tx: &mut Tx<'_>| gyre_registry::describe_model(tx, &author, &name, Some(&description));
    let model = call.write(update).await?;
    json(&json!({"registered_model": show::model(&model)}))
}

#[derive(Debug, Deserialize)]
pub(super) struct Rename {
    name: Option<String>,
    #[serde(alias = "newName")]
    new_name: Option<String>,
}

/// `POST registered-models/rename`
pub(super) async fn rename(call: Call<Rename>) -> Answer {
    let author = call.author();
    let name = required("name", &call.asked.name)?.to_owned();
    let to = required("new_name", &call.asked.new_name)?.to_owned();
    let model = call.write(move |tx| gyre_registry::rename_model(tx, &author, &name, &to)).await?;
    json(&json!({"registered_model": show::model(&model)}))
}

/// `DELETE registered-models/delete`
pub(super) async fn delete(call: Call<Named>) -> Answer {
    let author = call.author();
    let name = required("name", &call.asked.name)?.to_owned();
    call.write(move |tx| gyre_registry::delete_model(tx, &author, &name)).await?;
    done()
}

#[derive(Debug, Deserialize)]
pub(super) struct LatestVersions {
    name: Option<String>,
    #[serde(default, deserialize_with = "wire::list")]
    stages: Vec<String>,
}

/// `GET` and `POST registered-models/get-latest-versions`
pub(super) async fn latest_versions(call: Call<LatestVersions>) -> Answer {
    let name = required("name", &call.asked.name)?.to_owned();
    let stages = stages(&call.asked.stages)?;
    let versions = call.read(move |tx| gyre_registry::latest_versions(tx, &name, &stages)).await?;
    if versions.is_empty() {
        return done();
    }
    let versions: Vec<_> = versions.iter().map(show::version).collect();
    json(&json!({"model_versions": versions}))
}

#[derive(Debug, Deserialize)]
pub(super) struct SetTag {
    name: Option<String>,
    key: Option<String>,
    value: Option<String>,
}

/// `POST registered-models/set-tag`
pub(super) async fn set_tag(call: Call<SetTag>) -> Answer {
    let author = call.author();
    let name = required("name", &call.asked.name)?.to_owned();
    let key = required("key", &call.asked.key)?.to_owned();
    let value = call.asked.value.clone().unwrap_or_default();
    call.write(move |tx| gyre_registry::set_model_tag(tx, &author, &name, key, value)).await?;
    done()
}

#[derive(Debug, Deserialize)]
pub(super) struct DeleteTag {
    name: Option<String>,
    key: Option<String>,
}

/// `DELETE registered-models/delete-tag`
pub(super) async fn delete_tag(call: Call<DeleteTag>) -> Answer {
    let author = call.author();
    let name = required("name", &call.asked.name)?.to_owned();
    let key = required("key", &call.asked.key)?.to_owned();
    call.write(move |tx| gyre_registry::delete_model_tag(tx, &author, &name, &key)).await?;
    done()
}
