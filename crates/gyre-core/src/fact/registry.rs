//! What happened to registered models and their versions by way of the registry's own interface.
//!
//! Names here are the registry's (any text without `/` and `:`), wider than the names of the models in `gyre.yaml`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Digest, Version};

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
        description: Option<String>,
        /// Its tags.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        tags: BTreeMap<String, String>,
    },
    /// A model version exists, under a number never used again.
    VersionCreated {
        /// The model.
        name: String,
        /// Its number.
        version: Version,
        /// Where its artifacts are.
        source: String,
        /// The run that made it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run: Option<String>,
        /// SHA-256 over the tree of its artifacts, when they are kept here.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<Digest>,
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
}

impl RegistryChange {
    /// The registered model that it is about.
    pub fn name(&self) -> &str {
        match self {
            Self::ModelCreated { name, .. }
            | Self::VersionCreated { name, .. }
            | Self::AliasSet { name, .. } => name,
        }
    }

    /// In a few words.
    pub fn summary(&self) -> String {
        match self {
            Self::ModelCreated { name, .. } => format!("registered model `{name}` created"),
            Self::VersionCreated { name, version, source, .. } => {
                format!("version {version} of `{name}` created from {source}")
            }
            Self::AliasSet { name, alias, version } => {
                format!("alias `{alias}` of `{name}` points to version {version}")
            }
        }
    }
}
