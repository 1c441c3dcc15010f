//! The tables of this room, and how each fact changes them.
//!
//! Four tables are no projection: what proves a secret (`access_passwords`, `access_token_hashes`, `access_sessions`), and
//! when a token was last used (`access_token_use`). Whoever writes a fact about a secret writes the hash beside it, in the
//! same transaction; the projection only takes hashes away.

use gyre_core::fact::AccessChange;
use gyre_core::{Entry, Fact};
use gyre_store::{Room, StoreError, Tx};

/// This room's share of the store.
pub const ROOM: Room = Room { name: "access", migrations: &[TABLES], project };

const TABLES: &str = "
CREATE TABLE access_users (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    created INTEGER NOT NULL
) STRICT;
CREATE TABLE access_grants (
    user_name TEXT NOT NULL,
    project TEXT NOT NULL,
    role TEXT NOT NULL,
    granted INTEGER NOT NULL,
    PRIMARY KEY (user_name, project)
) STRICT;
CREATE TABLE access_identities (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_name TEXT NOT NULL,
    PRIMARY KEY (issuer, subject)
) STRICT;
CREATE TABLE access_tokens (
    id TEXT PRIMARY KEY,
    user_name TEXT NOT NULL,
    label TEXT NOT NULL,
    role TEXT NOT NULL,
    projects TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    revoked INTEGER
) STRICT;
CREATE INDEX access_tokens_by_user ON access_tokens (user_name, id);
CREATE TABLE access_passwords (
    user_name TEXT PRIMARY KEY,
    hash TEXT NOT NULL
) STRICT;
CREATE TABLE access_token_hashes (
    id TEXT PRIMARY KEY,
    hash BLOB NOT NULL
) STRICT;
CREATE TABLE access_token_use (
    id TEXT PRIMARY KEY,
    used INTEGER NOT NULL
) STRICT;
CREATE TABLE access_sessions (
    hash BLOB PRIMARY KEY,
    user_name TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
CREATE INDEX access_sessions_by_user ON access_sessions (user_name, created);
";

fn project(tx: &mut Tx<'_>, entry: &Entry) -> Result<(), StoreError> {
    let Fact::Access(change) = &entry.fact else { return Ok(()) };
    let at = entry.at.as_millis();
    match change {
        AccessChange::UserCreated { user, user_kind } => {
            let cells = [user.as_str().into(), user_kind.name().into(), at.into()];
            tx.execute("INSERT INTO access_users (name, kind, created) VALUES (?1, ?2, ?3)", &cells)?;
        }
        AccessChange::UserDeleted { user } => delete(tx, user, at)?,
        AccessChange::PasswordChanged { user } => {
            tx.execute("DELETE FROM access_sessions WHERE user_name = ?1", &[user.as_str().into()])?;
        }
        AccessChange::IdentityLinked { user, issuer, subject } => {
            let cells = [issuer.as_str().into(), subject.as_str().into(), user.as_str().into()];
            let sql = "INSERT INTO access_identities (issuer, subject, user_name) VALUES (?1, ?2, ?3)
                ON CONFLICT (issuer, subject) DO UPDATE SET user_name = excluded.user_name";
            tx.execute(sql, &cells)?;
        }
        AccessChange::TokenIssued { id, user, label, role, projects, expires } => {
            let cells = [
                id.as_str().into(),
                user.as_str().into(),
                label.as_str().into(),
                role.name().into(),
                projects.join(",").into(),
                at.into(),
                expires.as_millis().into(),
            ];
            let sql = "INSERT INTO access_tokens (id, user_name, label, role, projects, created, expires)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            tx.execute(sql, &cells)?;
        }
        AccessChange::TokenRevoked { id, .. } => {
            let cells = [id.as_str().into(), at.into()];
            tx.execute("UPDATE access_tokens SET revoked = ?2 WHERE id = ?1", &cells)?;
            tx.execute("DELETE FROM access_token_hashes WHERE id = ?1", &[id.as_str().into()])?;
        }
        AccessChange::RoleGranted { user, project, role } => {
            let cells = [user.as_str().into(), project.as_str().into(), role.name().into(), at.into()];
            let sql = "INSERT INTO access_grants (user_name, project, role, granted) VALUES (?1, ?2, ?3, ?4)
                ON CONFLICT (user_name, project) DO UPDATE SET role = excluded.role, granted = excluded.granted";
            tx.execute(sql, &cells)?;
        }
        AccessChange::RoleRevoked { user, project } => {
            let cells = [user.as_str().into(), project.as_str().into()];
            tx.execute("DELETE FROM access_grants WHERE user_name = ?1 AND project = ?2", &cells)?;
        }
        AccessChange::LoggedIn { .. } | AccessChange::LoggedOut { .. } | AccessChange::LoginLocked { .. } => {
        }
    }
    Ok(())
}

/// Everything that a user could come in with goes; their tokens stay in the list, as revoked.
fn delete(tx: &mut Tx<'_>, user: &str, at: i64) -> Result<(), StoreError> {
    let name = [user.into()];
    let hashes =
        "DELETE FROM access_token_hashes WHERE id IN (SELECT id FROM access_tokens WHERE user_name = ?1)";
    tx.execute(hashes, &name)?;
    let tokens = "UPDATE access_tokens SET revoked = ?2 WHERE user_name = ?1 AND revoked IS NULL";
    tx.execute(tokens, &[user.into(), at.into()])?;
    for sql in [
        "DELETE FROM access_sessions WHERE user_name = ?1",
        "DELETE FROM access_passwords WHERE user_name = ?1",
        "DELETE FROM access_identities WHERE user_name = ?1",
        "DELETE FROM access_grants WHERE user_name = ?1",
        "DELETE FROM access_users WHERE name = ?1",
    ] {
        tx.execute(sql, &name)?;
    }
    Ok(())
}
