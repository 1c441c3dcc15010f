//! Versions of registered models: their origin, stages and tags.

use gyre_core::Version;
use gyre_registry::source::{self, Claim};
use gyre_registry::{NewVersion, Stage, version_number};
use gyre_store::Tx;
use serde::Deserialize;
use serde_json::json;

use super::{Tag, show, tracked};
use crate::mlflow::MlflowError;
use crate::mlflow::call::{Answer, Call, done, json, required};
use crate::mlflow::wire::{self, Flag};

#[derive(Debug, Deserialize)]
pub(super) struct Create {
    name: Option<String>,
    source: Option<String>,
    #[serde(alias = "runId")]
    run_id: Option<String>,
    #[serde(default, deserialize_with = "wire::list")]
    tags: Vec<Tag>,
    #[serde(alias = "runLink")]
    run_link: Option<String>,
    description: Option<String>,
    #[serde(alias = "modelId")]
    model_id: Option<String>,
}

/// `POST model-versions/create`
pub(super) async fn create(call: Call<Create>) -> Answer {
    let author = call.author();
    let name = required("name", &call.asked.name)?.to_owned();
    let source = required("source", &call.asked.source)?.to_owned();
    let prompt = Tag::are_of_a_prompt(&call.asked.tags);
    let tags = call.asked.tags.iter().map(Tag::pair).collect();
    let asked = &call.asked;
    let (run_id, model_id) = (asked.run_id.clone(), asked.model_id.clone());
    let (run_link, description) = (asked.run_link.clone(), asked.description.clone());
    let create = move |tx: &mut Tx<'_>| {
        let (run, logged_model) = (run_id.as_deref(), model_id.as_deref());
        let claim = Claim { source: &source, run, logged_model, prompt };
        let origin = source::check(tx, &tracked::Here, claim)?;
        let digest = match prompt {
            true => None,
            false => tracked::digest(tx, origin.location.as_deref().unwrap_or(&origin.source))?,
        };
        let new = NewVersion {
            name,
            number: None,
            source: origin.source,
            location: origin.location,
            // What a request leaves out is empty in the answer, not absent.
            run_id: Some(origin.run.unwrap_or_default()),
            run_link: Some(run_link.unwrap_or_default()),
            logged_model: origin.logged_model.filter(|id| !id.is_empty()),
            description: Some(description.unwrap_or_default()),
            tags,
            digest,
        };
        let version = gyre_registry::create_version(tx, &author, new)?;
        if let Some(model) = version.logged_model.as_deref().filter(|_| !prompt) {
            tracked::note_version(tx, &author, model, &version.name, version.version)?;
        }
        Ok(version)
    };
    let version = call.write(create).await?;
    json(&json!({"model_version": show::version(&version)}))
}

#[derive(Debug, Deserialize)]
pub(super) struct Named {
    name: Option<String>,
    version: Option<String>,
}

impl Named {
    fn read(&self) -> Result<(String, Version), MlflowError> {
        named(&self.name, &self.version)
    }
}

/// The model and the number of the version that a request names.
fn named(name: &Option<String>, version: &Option<String>) -> Result<(String, Version), MlflowError> {
    let name = required("name", name)?;
    let version = required("version", version)?;
    gyre_registry::model_name("name", name)?;
    Ok((name.to_owned(), version_number(name, version)?))
}

/// `GET model-versions/get`
pub(super) async fn get(call: Call<Named>) -> Answer {
    let (name, version) = call.asked.read()?;
    let found = call.read(move |tx| gyre_registry::registered_version(tx, &name, version)).await?;
    json(&json!({"model_version": show::version(&found)}))
}

/// `GET model-versions/get-download-uri`
pub(super) async fn download_uri(call: Call<Named>) -> Answer {
    let (name, version) = call.asked.read()?;
    let found = call.read(move |tx| gyre_registry::registered_version(tx, &name, version)).await?;
    json(&json!({"artifact_uri": found.download_uri()}))
}

#[derive(Debug, Deserialize)]
pub(super) struct Update {
    name: Option<String>,
    version: Option<String>,
    description: Option<String>,
}

/// `PATCH model-versions/update`
pub(super) async fn update(call: Call<Update>) -> Answer {
    let author = call.author();
    let (name, version) = named(&call.asked.name, &call.asked.version)?;
    let description = call.asked.description.clone();
    let update = move |tx: &mut Tx<'_>| {
        gyre_registry::describe_version(tx, &author, &name, version, description.as_deref())
    };
    let found = call.write(update).await?;
    json(&json!({"model_version": show::version(&found)}))
}

/// `DELETE model-versions/delete`
pub(super) async fn delete(call: Call<Named>) -> Answer {
    let author = call.author();
    let (name, version) = call.asked.read()?;
    call.write(move |tx| gyre_registry::delete_version(tx, &author, &name, version)).await?;
    done()
}

#[derive(Debug, Deserialize)]
pub(super) struct TransitionStage {
    name: Option<String>,
    version: Option<String>,
    stage: Option<String>,
    #[serde(alias = "archiveExistingVersions")]
    archive_existing_versions: Option<Flag>,
}

/// `POST model-versions/transition-stage`
pub(super) async fn transition_stage(call: Call<TransitionStage>) -> Answer {
    let author = call.author();
    let (name, version) = named(&call.asked.name, &call.asked.version)?;
    let stage = Stage::parse(required("stage", &call.asked.stage)?)?;
    let archive = call.asked.archive_existing_versions.unwrap_or_default().0;
    let change =
        move |tx: &mut Tx<'_>| gyre_registry::stage_version(tx, &author, &name, version, stage, archive);
    let found = call.write(change).await?;
    json(&json!({"model_version": show::version(&found)}))
}

#[derive(Debug, Deserialize)]
pub(super) struct SetTag {
    name: Option<String>,
    version: Option<String>,
    key: Option<String>,
    value: Option<String>,
}

/// `POST model-versions/set-tag`
pub(super) async fn set_tag(call: Call<SetTag>) -> Answer {
    let author = call.author();
    let (name, version) = named(&call.asked.name, &call.asked.version)?;
    let key = required("key", &call.asked.key)?.to_owned();
    let value = call.asked.value.clone().unwrap_or_default();
    let set = move |tx: &mut Tx<'_>| gyre_registry::set_version_tag(tx, &author, &name, version, key, value);
    call.write(set).await?;
    done()
}

#[derive(Debug, Deserialize)]
pub(super) struct DeleteTag {
    name: Option<String>,
    version: Option<String>,
    key: Option<String>,
}

/// `DELETE model-versions/delete-tag`
pub(super) async fn delete_tag(call: Call<DeleteTag>) -> Answer {
    let author = call.author();
    let (name, version) = named(&call.asked.name, &call.asked.version)?;
    let key = required("key", &call.asked.key)?.to_owned();
    let delete = move |tx: &mut Tx<'_>| gyre_registry::delete_version_tag(tx, &author, &name, version, &key);
    call.write(delete).await?;
    done()
}
