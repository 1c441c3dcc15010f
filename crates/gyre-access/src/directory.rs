//! All users, roles, tokens and sessions in memory, so that a request costs a look-up and no query.

use std::collections::HashMap;
use std::sync::Arc;

use gyre_core::Timestamp;
use gyre_core::fact::UserKind;
use gyre_store::{StoreError, Tx};

use crate::grants::read_role;
use crate::policy::{Grant, Scope};
use crate::token::SecretHash;
use crate::tokens::read_projects;
use crate::users;

/// A consistent picture of who may come in and what they may do. The empty one lets nobody in.
#[derive(Debug, Default)]
pub struct Directory {
    users: HashMap<String, User>,
    tokens: HashMap<String, KnownToken>,
    sessions: HashMap<SecretHash, Session>,
}

/// A user.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) kind: UserKind,
    pub(crate) password: Option<Arc<str>>,
    pub(crate) grants: Arc<[Grant]>,
}

/// A token that is not revoked.
#[derive(Debug)]
pub(crate) struct KnownToken {
    pub(crate) hash: SecretHash,
    pub(crate) user: String,
    pub(crate) scope: Arc<Scope>,
    pub(crate) expires: Timestamp,
}

/// A session of a browser.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) user: String,
    pub(crate) expires: Timestamp,
}

impl Directory {
    /// Reads it from the store.
    ///
    /// # Errors
    /// What the database said.
    pub fn load(tx: &mut Tx<'_>) -> Result<Self, StoreError> {
        let mut grants = HashMap::<String, Vec<Grant>>::new();
        tx.query_each("SELECT user_name, project, role FROM access_grants", &[], |row| {
            let role = read_role("access_grants", &row.get::<String>(2)?)?;
            grants.entry(row.get(0)?).or_default().push(Grant { project: row.get(1)?, role });
            Ok(())
        })?;
        let mut users = HashMap::new();
        let sql = "SELECT u.name, u.kind, p.hash FROM access_users u
            LEFT JOIN access_passwords p ON p.user_name = u.name";
        tx.query_each(sql, &[], |row| {
            let name: String = row.get(0)?;
            let grants = grants.remove(&name).unwrap_or_default().into();
            let password = row.get::<Option<String>>(2)?.map(Arc::from);
            users.insert(name, User { kind: users::kind(&row.get::<String>(1)?), password, grants });
            Ok(())
        })?;
        let mut tokens = HashMap::new();
        let sql = "SELECT t.id, h.hash, t.user_name, t.role, t.projects, t.expires FROM access_tokens t
            JOIN access_token_hashes h ON h.id = t.id WHERE t.revoked IS NULL";
        tx.query_each(sql, &[], |row| {
            let role = read_role("access_tokens", &row.get::<String>(3)?)?;
            let scope = Arc::new(Scope { role, projects: read_projects(&row.get::<String>(4)?) });
            let (user, expires) = (row.get(2)?, Timestamp::from_millis(row.get(5)?));
            tokens.insert(
                row.get(0)?,
                KnownToken { hash: hash(&row.get::<Vec<u8>>(1)?)?, user, scope, expires },
            );
            Ok(())
        })?;
        let mut sessions = HashMap::new();
        tx.query_each("SELECT hash, user_name, expires FROM access_sessions", &[], |row| {
            let session = Session { user: row.get(1)?, expires: Timestamp::from_millis(row.get(2)?) };
            sessions.insert(hash(&row.get::<Vec<u8>>(0)?)?, session);
            Ok(())
        })?;
        Ok(Self { users, tokens, sessions })
    }

    /// Whether somebody could come in at `now`: with a password, or with a token.
    pub fn anybody(&self, now: Timestamp) -> bool {
        self.users.values().any(|user| user.password.is_some())
            || self.tokens.values().any(|token| token.expires > now)
    }

    /// Whether `user` has a role in another project than `project`.
    pub fn reaches_beyond(&self, user: &str, project: &str) -> bool {
        self.users.get(user).is_some_and(|user| user.grants.iter().any(|grant| grant.project != project))
    }

    pub(crate) fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }

    pub(crate) fn token(&self, id: &str) -> Option<&KnownToken> {
        self.tokens.get(id)
    }

    pub(crate) fn session(&self, id: &SecretHash) -> Option<&Session> {
        self.sessions.get(id)
    }
}

fn hash(bytes: &[u8]) -> Result<SecretHash, StoreError> {
    SecretHash::from_bytes(bytes).ok_or_else(|| StoreError::Corrupt {
        table: "access_token_hashes",
        reason: format!("a hash of {} bytes, expected 32", bytes.len()),
    })
}
