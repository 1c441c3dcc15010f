//! What happened to people, tokens and roles: who may do what, since when, and by whose word.

use serde::{Deserialize, Serialize};

/// A change of who may do what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum AccessChange {
    /// A person or service may log in.
    UserCreated {
        /// The name.
        user: String,
    },
    /// A person or service may log in no more.
    UserDeleted {
        /// The name.
        user: String,
    },
}

impl AccessChange {
    /// In a few words.
    pub fn summary(&self) -> String {
        match self {
            Self::UserCreated { user } => format!("user `{user}` created"),
            Self::UserDeleted { user } => format!("user `{user}` deleted"),
        }
    }
}
