//! What happened to people, tokens and roles: who may do what, since when, and by whose word.
//!
//! No secret is ever part of a fact, not even as a hash: the journal is kept for years and shown to auditors.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// What somebody may do in a project. Each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Read, and ask models for predictions.
    Viewer,
    /// Add and change: runs, artifacts, versions, labels.
    Contributor,
    /// Decide what serves.
    Approver,
    /// Administer: users, tokens, roles.
    Admin,
}

/// Text that is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a role (expected viewer, contributor, approver or admin)")]
pub struct InvalidRole(String);

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Contributor, Self::Approver, Self::Admin];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Contributor => "contributor",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Role {
    type Err = InvalidRole;

    fn from_str(text: &str) -> Result<Self, InvalidRole> {
        let role = Self::ALL.into_iter().find(|role| role.name() == text);
        role.ok_or_else(|| InvalidRole(text.chars().take(100).collect()))
    }
}

/// What kind of user it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserKind {
    /// A person, who may have a password or come by way of an identity provider.
    #[default]
    Person,
    /// A service, which has tokens only.
    Service,
}

impl UserKind {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Service => "service",
        }
    }
}

/// How somebody logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginWay {
    /// With a password.
    Password,
    /// By way of an OpenID Connect provider.
    Oidc,
}

/// A change of who may do what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum AccessChange {
    /// A person or service exists. It may do nothing until it has a role.
    UserCreated {
        /// The name.
        user: String,
        /// Person or service.
        #[serde(default)]
        user_kind: UserKind,
    },
    /// A person or service exists no more; its tokens, sessions and roles went with it.
    UserDeleted {
        /// The name.
        user: String,
    },
    /// A person has a new password; their sessions ended.
    PasswordChanged {
        /// The name.
        user: String,
    },
    /// A person logged in from a browser.
    LoggedIn {
        /// The name.
        user: String,
        /// How.
        way: LoginWay,
    },
    /// A session of a person ended: they logged out, or logged in anew.
    LoggedOut {
        /// The name.
        user: String,
    },
    /// Logins of a person failed so often that no more are taken for a while.
    LoginLocked {
        /// The name.
        user: String,
        /// Failures in a row.
        failures: u32,
        /// When logins are taken again.
        until: Timestamp,
    },
    /// A person of an identity provider is a user here.
    IdentityLinked {
        /// The user.
        user: String,
        /// The provider's issuer URL.
        issuer: String,
        /// The person's identifier there.
        subject: String,
    },
    /// An API token exists. Its secret was shown once.
    TokenIssued {
        /// Its public part.
        id: String,
        /// Whose rights it bears.
        user: String,
        /// What it is for, in words.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        label: String,
        /// The most that it may be used for.
        role: Role,
        /// The projects that it may be used for; empty means all.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        projects: Vec<String>,
        /// When it ends.
        expires: Timestamp,
    },
    /// An API token may not be used any more.
    TokenRevoked {
        /// Its public part.
        id: String,
        /// Whose it was.
        user: String,
    },
    /// A user has a role in a project, in place of the one before.
    RoleGranted {
        /// The user.
        user: String,
        /// The project, or `*` for all.
        project: String,
        /// The role.
        role: Role,
    },
    /// A user has no role in a project any more.
    RoleRevoked {
        /// The user.
        user: String,
        /// The project, or `*` for all.
        project: String,
    },
}

impl AccessChange {
    /// In a few words.
    pub fn summary(&self) -> String {
        match self {
            Self::UserCreated { user, user_kind: UserKind::Person } => format!("user `{user}` created"),
            Self::UserCreated { user, user_kind: UserKind::Service } => format!("service `{user}` created"),
            Self::UserDeleted { user } => format!("user `{user}` deleted"),
            Self::PasswordChanged { user } => format!("password of `{user}` changed"),
            Self::LoggedIn { user, way: LoginWay::Password } => format!("`{user}` logged in with a password"),
            Self::LoggedIn { user, way: LoginWay::Oidc } => format!("`{user}` logged in by OpenID Connect"),
            Self::LoggedOut { user } => format!("`{user}` logged out"),
            Self::LoginLocked { user, failures, until } => {
                format!("logins of `{user}` locked until {until} after {failures} failures")
            }
            Self::IdentityLinked { user, issuer, .. } => {
                format!("`{user}` linked to an identity of {issuer}")
            }
            Self::TokenIssued { id, user, role, expires, .. } => {
                format!("token {id} issued to `{user}` as {role}, until {}", expires.date())
            }
            Self::TokenRevoked { id, user } => format!("token {id} of `{user}` revoked"),
            Self::RoleGranted { user, project, role } => format!("`{user}` is {role} in {}", place(project)),
            Self::RoleRevoked { user, project } => {
                format!("`{user}` has no role in {} any more", place(project))
            }
        }
    }
}

fn place(project: &str) -> String {
    if project == "*" { "all projects".to_owned() } else { format!("`{project}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_what_those_before_it_may() {
        assert!(Role::ALL.is_sorted());
        for role in Role::ALL {
            assert_eq!(role.name().parse::<Role>().unwrap(), role);
            assert_eq!(serde_json::to_value(role).unwrap(), role.name());
        }
        assert!("root".parse::<Role>().unwrap_err().to_string().contains("expected viewer"));
    }

    #[test]
    fn a_user_of_an_older_journal_is_a_person() {
        let told = r#"{"change": "user_created", "user": "ada"}"#;
        let change: AccessChange = serde_json::from_str(told).unwrap();
        assert_eq!(change, AccessChange::UserCreated { user: "ada".to_owned(), user_kind: UserKind::Person });
    }
}
