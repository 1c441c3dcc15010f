//! What happened to registered models and their versions by way of the registry's own interface.
//!
//! Names here are the registry's (any text without `/` and `:`), wider than the names of the models in `gyre.yaml`.
//! Texts that people write can be larger than a journal entry: a long one is kept beside the journal, under its digest,
//! and the fact bears the digest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Digest, Version};

/// A text in a fact: as it is, or by its digest when it is long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Text {
    /// The text.
    Inline(String),
    /// A text that is kept beside the journal.
    Kept {
        /// SHA-256 of its UTF-8 bytes.
        sha256: Digest,
        /// How many bytes it has.
        bytes: u64,
    },
}

/// A change of the model registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum RegistryChange {
    /// A registered model exists.
    ModelCreated {
        /// Its name.
        name: String,
        /// What it is, in words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<Text>,
        /// Its tags; when they are too many for one entry, the others follow.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        tags: BTreeMap<String, Text>,
    },
    /// A registered model is described in other words.
    ModelDescribed {
        /// Its name.
        name: String,
        /// The words; none when they were taken away.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<Text>,
    },
    /// A registered model has another name, and so have its versions.
    ModelRenamed {
        /// The name that it had.
        name: String,
        /// The name that it has.
        to: String,
    },
    /// A registered model is gone, with its versions, tags and aliases.
    ModelDeleted {
        /// Its name.
        name: String,
    },
    /// A registered model has tags, new or with new values.
    ModelTagsSet {
        /// The model.
        name: String,
        /// The tags.
        tags: BTreeMap<String, Text>,
    },
    /// A registered model has a tag no more.
    ModelTagDeleted {
        /// The model.
        name: String,
        /// The tag's key.
        key: String,
    },
    /// A model version exists, under a number never used again.
    VersionCreated {
        /// The model.
        name: String,
        /// Its number.
        version: Version,
        /// Where its artifacts are, as the client said.
        source: String,
        /// Where its artifacts are, when `source` only points there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        location: Option<String>,
        /// The run that made it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run: Option<String>,
        /// Where the run can be looked at.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run_link: Option<String>,
        /// The logged model that it was made of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        logged_model: Option<String>,
        /// What it is, in words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<Text>,
        /// Its tags; when they are too many for one entry, the others follow.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        tags: BTreeMap<String, Text>,
        /// SHA-256 over the tree of its artifacts, when they are kept here.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<Digest>,
    },
    /// A version is described in other words.
    VersionDescribed {
        /// The model.
        name: String,
        /// The version.
        version: Version,
        /// The words; none when they were taken away.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<Text>,
    },
    /// A version is in another stage (None, Staging, Production, Archived).
    VersionStaged {
        /// The model.
        name: String,
        /// The version.
        version: Version,
        /// The stage.
        stage: String,
        /// The versions that were in it and are archived for that.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        archived: Vec<Version>,
    },
    /// A version is gone.
    VersionDeleted {
        /// The model.
        name: String,
        /// The version.
        version: Version,
    },
    /// A version has tags, new or with new values.
    VersionTagsSet {
        /// The model.
        name: String,
        /// The version.
        version: Version,
        /// The tags.
        tags: BTreeMap<String, Text>,
    },
    /// A version has a tag no more.
    VersionTagDeleted {
        /// The model.
        name: String,
        /// The version.
        version: Version,
        /// The tag's key.
        key: String,
    },
    /// An alias points to a version.
    AliasSet {
        /// The model.
        name: String,
        /// The alias.
        alias: String,
        /// The version.
        version: Version,
    },
    /// An alias points nowhere any more.
    AliasDeleted {
        /// The model.
        name: String,
        /// The alias.
        alias: String,
    },
    /// Somebody is to be told of changes. Neither the whole address nor the secret is here: both let one in elsewhere.
    WebhookCreated {
        /// The webhook's id.
        webhook: String,
        /// Its name.
        name: String,
        /// Scheme, host and port of its address.
        host: String,
        /// The events that it is told of, as `entity.action`.
        events: Vec<String>,
    },
    /// A webhook is another.
    WebhookChanged {
        /// The webhook's id.
        webhook: String,
        /// What of it: name, description, url, events, secret, status.
        what: Vec<String>,
        /// Scheme, host and port of its address.
        host: String,
    },
    /// A webhook is gone.
    WebhookDeleted {
        /// The webhook's id.
        webhook: String,
    },
    /// A webhook could not be told of an event, and will not be.
    WebhookGaveUp {
        /// The webhook's id.
        webhook: String,
        /// The event, as `entity.action`.
        event: String,
        /// How often it was tried.
        attempts: u32,
        /// What happened the last time.
        reason: String,
    },
}

impl RegistryChange {
    /// The registered model that it is about; none for webhooks.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::ModelCreated { name, .. }
            | Self::ModelDescribed { name, .. }
            | Self::ModelRenamed { name, .. }
            | Self::ModelDeleted { name }
            | Self::ModelTagsSet { name, .. }
            | Self::ModelTagDeleted { name, .. }
            | Self::VersionCreated { name, .. }
            | Self::VersionDescribed { name, .. }
            | Self::VersionStaged { name, .. }
            | Self::VersionDeleted { name, .. }
            | Self::VersionTagsSet { name, .. }
            | Self::VersionTagDeleted { name, .. }
            | Self::AliasSet { name, .. }
            | Self::AliasDeleted { name, .. } => Some(name),
            Self::WebhookCreated { .. }
            | Self::WebhookChanged { .. }
            | Self::WebhookDeleted { .. }
            | Self::WebhookGaveUp { .. } => None,
        }
    }

    /// In a few words.
    pub fn summary(&self) -> String {
        match self {
            Self::ModelCreated { name, .. } => format!("registered model `{name}` created"),
            Self::ModelDescribed { name, .. } => format!("registered model `{name}` described anew"),
            Self::ModelRenamed { name, to } => format!("registered model `{name}` is called `{to}` now"),
            Self::ModelDeleted { name } => format!("registered model `{name}` deleted"),
            Self::ModelTagsSet { name, tags } => format!("{} of `{name}` set", tag_names(tags)),
            Self::ModelTagDeleted { name, key } => format!("tag `{key}` of `{name}` deleted"),
            Self::VersionCreated { name, version, source, .. } => {
                format!("version {version} of `{name}` created from {source}")
            }
            Self::VersionDescribed { name, version, .. } => {
                format!("version {version} of `{name}` described anew")
            }
            Self::VersionStaged { name, version, stage, archived } => {
                let archived = match archived.len() {
                    0 => String::new(),
                    count => format!(", {count} others archived"),
                };
                format!("version {version} of `{name}` is in stage {stage}{archived}")
            }
            Self::VersionDeleted { name, version } => format!("version {version} of `{name}` deleted"),
            Self::VersionTagsSet { name, version, tags } => {
                format!("{} of version {version} of `{name}` set", tag_names(tags))
            }
            Self::VersionTagDeleted { name, version, key } => {
                format!("tag `{key}` of version {version} of `{name}` deleted")
            }
            Self::AliasSet { name, alias, version } => {
                format!("alias `{alias}` of `{name}` points to version {version}")
            }
            Self::AliasDeleted { name, alias } => format!("alias `{alias}` of `{name}` deleted"),
            Self::WebhookCreated { name, host, events, .. } => {
                format!("webhook `{name}` to {host} created for {}", events.join(", "))
            }
            Self::WebhookChanged { webhook, what, .. } => {
                format!("webhook {webhook} changed: {}", what.join(", "))
            }
            Self::WebhookDeleted { webhook } => format!("webhook {webhook} deleted"),
            Self::WebhookGaveUp { webhook, event, attempts, reason } => {
                format!("webhook {webhook} was not told of {event} in {attempts} attempts: {reason}")
            }
        }
    }
}

fn tag_names(tags: &BTreeMap<String, Text>) -> String {
    match tags.keys().next() {
        Some(key) if tags.len() == 1 => format!("tag `{key}`"),
        _ => format!("{} tags", tags.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_reads_what_it_writes() {
        let kept = Text::Kept { sha256: Digest::of(b"long"), bytes: 4 };
        for text in [Text::Inline("short".to_owned()), kept] {
            let json = serde_json::to_string(&text).unwrap();
            assert_eq!(serde_json::from_str::<Text>(&json).unwrap(), text, "{json}");
        }
        let json = serde_json::to_string(&Text::Inline("short".to_owned())).unwrap();
        assert_eq!(json, "\"short\"");
    }
}
