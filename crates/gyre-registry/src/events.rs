//! What webhooks are told: the events of MLflow, and what each says.
//!
//! An event is made of a journal entry, so that telling it can be repeated after a crash and says the same again.

use std::collections::BTreeMap;

use gyre_core::fact::{Fact, RegistryChange as Change, Text};
use gyre_core::{Entry, Version};
use gyre_store::{StoreError, Tx};
use serde_json::{Map, Value, json};

use crate::catalog::is_prompt;
use crate::notice::Notice;
use crate::receivers::event_of;
use crate::record::CHAMPION;
use crate::rules::IS_PROMPT;
use crate::texts;

/// All events, as `entity.action`.
pub const EVENTS: [&str; 15] = [
    "registered_model.created",
    "model_version.created",
    "model_version_tag.set",
    "model_version_tag.deleted",
    "model_version_alias.created",
    "model_version_alias.deleted",
    "prompt.created",
    "prompt_version.created",
    "prompt_tag.set",
    "prompt_tag.deleted",
    "prompt_version_tag.set",
    "prompt_version_tag.deleted",
    "prompt_alias.created",
    "prompt_alias.deleted",
    // Of MLflow's gateway; nothing here causes it.
    "budget_policy.exceeded",
];

/// The tag with the text of a prompt's version.
const PROMPT_TEXT: &str = "mlflow.prompt.text";
/// The tag with the kind of a prompt.
const PROMPT_TYPE: &str = "_mlflow_prompt_type";

/// Something that webhooks are told.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its name: one of [`EVENTS`], or a topic that receivers of the project file are told of.
    pub name: &'static str,
    /// What it says.
    pub data: Value,
}

/// The events that an entry causes.
///
/// # Errors
/// What the store said.
pub fn of_entry(tx: &mut Tx<'_>, entry: &Entry) -> Result<Vec<Event>, StoreError> {
    let mut events = of_mlflow(tx, entry)?;
    // After the others, so that these keep their numbers.
    events.extend(Notice::of(entry).map(|notice| Event { name: event_of(notice.topic), data: Value::Null }));
    Ok(events)
}

fn of_mlflow(tx: &mut Tx<'_>, entry: &Entry) -> Result<Vec<Event>, StoreError> {
    let change = match &entry.fact {
        Fact::Registry(change) => change,
        Fact::VersionRegistered(version) => {
            let data = json!({
                "name": version.model, "version": version.version.to_string(),
                "source": format!("mlflow-artifacts:/gyre/{}/{}", version.model, version.version),
                "run_id": version.run, "tags": {}, "description": null,
            });
            return Ok(vec![Event { name: "model_version.created", data }]);
        }
        Fact::Promoted { model, version, .. } | Fact::RolledBack { model, to: version, .. } => {
            let data = json!({"name": model, "alias": CHAMPION, "version": version.to_string()});
            return Ok(vec![Event { name: "model_version_alias.created", data }]);
        }
        _ => return Ok(Vec::new()),
    };
    of_change(tx, change)
}

fn of_change(tx: &mut Tx<'_>, change: &Change) -> Result<Vec<Event>, StoreError> {
    let prompt = match change {
        Change::ModelCreated { tags, .. } | Change::VersionCreated { tags, .. } => says_prompt(tags),
        other => match other.name() {
            Some(name) => is_prompt(tx, name)?,
            None => false,
        },
    };
    let event = |of_model: &'static str, of_prompt: &'static str, data: Value| {
        vec![Event { name: if prompt { of_prompt } else { of_model }, data }]
    };
    Ok(match change {
        Change::ModelCreated { name, description, tags } => {
            let (tags, _) = told(tx, tags, prompt)?;
            let description = read(tx, description.as_ref())?;
            let data = json!({"name": name, "tags": tags, "description": description});
            event("registered_model.created", "prompt.created", data)
        }
        Change::VersionCreated { name, version, source, run, description, tags, .. } => {
            let (tags, template) = told(tx, tags, prompt)?;
            let description = read(tx, description.as_ref())?.filter(|text| !text.is_empty());
            let run = run.as_deref().filter(|run| !run.is_empty());
            let version = version.to_string();
            let data = if prompt {
                json!({"name": name, "version": version, "template": template, "tags": tags,
                    "description": description})
            } else {
                json!({"name": name, "version": version, "source": source, "run_id": run, "tags": tags,
                    "description": description})
            };
            event("model_version.created", "prompt_version.created", data)
        }
        Change::VersionTagsSet { name, version, tags } => {
            let set = |data| Event {
                name: if prompt { "prompt_version_tag.set" } else { "model_version_tag.set" },
                data,
            };
            each_tag(tx, tags, &of_version(name, *version))?.into_iter().map(set).collect()
        }
        Change::VersionTagDeleted { name, version, key } => {
            let mut data = of_version(name, *version);
            data.insert("key".to_owned(), key.as_str().into());
            event("model_version_tag.deleted", "prompt_version_tag.deleted", data.into())
        }
        // Of models that are no prompts MLflow tells nobody about tags.
        Change::ModelTagsSet { name, tags } if prompt => {
            let set = |data| Event { name: "prompt_tag.set", data };
            each_tag(tx, tags, &of_model(name))?.into_iter().map(set).collect()
        }
        Change::ModelTagDeleted { name, key } if prompt => {
            vec![Event { name: "prompt_tag.deleted", data: json!({"name": name, "key": key}) }]
        }
        Change::AliasSet { name, alias, version } => {
            let data = json!({"name": name, "alias": alias, "version": version.to_string()});
            event("model_version_alias.created", "prompt_alias.created", data)
        }
        Change::AliasDeleted { name, alias } => {
            let data = json!({"name": name, "alias": alias});
            event("model_version_alias.deleted", "prompt_alias.deleted", data)
        }
        _ => Vec::new(),
    })
}

fn says_prompt(tags: &BTreeMap<String, Text>) -> bool {
    matches!(tags.get(IS_PROMPT), Some(Text::Inline(value)) if value.eq_ignore_ascii_case("true"))
}

/// The tags as they are told, and the text of a prompt: of prompts, the tags that make them prompts are left out.
fn told(
    tx: &mut Tx<'_>,
    tags: &BTreeMap<String, Text>,
    prompt: bool,
) -> Result<(BTreeMap<String, String>, Option<String>), StoreError> {
    let mut told = BTreeMap::new();
    for (key, value) in tags {
        told.insert(key.clone(), texts::read(tx, value)?);
    }
    if !prompt {
        return Ok((told, None));
    }
    told.retain(|key, _| ![IS_PROMPT, PROMPT_TYPE].contains(&key.as_str()));
    let template = told.remove(PROMPT_TEXT);
    Ok((told, template))
}

fn each_tag(
    tx: &mut Tx<'_>,
    tags: &BTreeMap<String, Text>,
    of: &Map<String, Value>,
) -> Result<Vec<Value>, StoreError> {
    let one = |(key, value): (&String, &Text)| {
        let mut data = of.clone();
        data.insert("key".to_owned(), key.as_str().into());
        data.insert("value".to_owned(), texts::read(tx, value)?.into());
        Ok(data.into())
    };
    tags.iter().map(one).collect()
}

fn of_model(name: &str) -> Map<String, Value> {
    Map::from_iter([("name".to_owned(), name.into())])
}

fn of_version(name: &str, version: Version) -> Map<String, Value> {
    let mut data = of_model(name);
    data.insert("version".to_owned(), version.to_string().into());
    data
}

fn read(tx: &mut Tx<'_>, text: Option<&Text>) -> Result<Option<String>, StoreError> {
    text.map(|text| texts::read(tx, text)).transpose()
}

/// An event as webhooks are told to try themselves out.
pub fn example(name: &'static str) -> Event {
    let prompt = name.starts_with("prompt");
    let thing = if prompt { "example_prompt" } else { "example_model" };
    let mut data = of_model(thing);
    let mut put = |key: &str, value: Value| data.insert(key.to_owned(), value);
    if name.contains("version") && name != "model_version_alias.deleted" || name == "prompt_alias.created" {
        put("version", "1".into());
    }
    match name.split_once('.') {
        Some(("registered_model" | "prompt", _)) => {
            put("tags", json!({"example_key": "example_value"}));
            put("description", "An example".into());
        }
        Some(("model_version", _)) => {
            put("source", "models:/123".into());
            put("run_id", "abcd1234abcd5678".into());
            put("tags", json!({"example_key": "example_value"}));
            put("description", "An example".into());
        }
        Some(("prompt_version", _)) => {
            put("template", "Hello {{name}}!".into());
            put("tags", json!({"example_key": "example_value"}));
            put("description", "An example".into());
        }
        Some(("model_version_alias" | "prompt_alias", _)) => {
            put("alias", "example_alias".into());
        }
        Some(("budget_policy", _)) => {
            data.clear();
            data.insert("budget_policy_id".to_owned(), "bp-abc123".into());
        }
        Some((_, action)) => {
            put("key", "example_key".into());
            if action == "set" {
                put("value", "example_value".into());
            }
        }
        None => {}
    }
    Event { name, data: data.into() }
}
