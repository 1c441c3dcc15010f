//! Users: people and services.

use gyre_core::Timestamp;
use gyre_core::fact::{AccessChange, UserKind};
use gyre_store::{Row, StoreError, Tx};
use serde::Serialize;

use crate::By;
use crate::name::UserName;

/// The most users that there can be: all of them are held in memory.
const MOST: i64 = 100_000;

/// A user, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UserRecord {
    /// The name.
    pub name: String,
    /// Person or service.
    pub kind: UserKind,
    /// Since when.
    pub created: Timestamp,
    /// Whether a password is set.
    pub password: bool,
    /// Issuers whose identities are linked.
    pub identities: Vec<String>,
}

/// Makes a user; `password` is the hash that [`crate::password::hash`] made.
///
/// # Errors
/// [`StoreError::Exists`]; [`StoreError::Invalid`] for a service with a password, or too many users.
pub fn create(
    tx: &mut Tx<'_>,
    by: &By,
    user: &UserName,
    kind: UserKind,
    password: Option<&str>,
) -> Result<(), StoreError> {
    if kind_of(tx, user.as_str())?.is_some() {
        return Err(StoreError::Exists { what: "user", name: user.to_string() });
    }
    let users = tx.query("SELECT count(*) FROM access_users", &[])?;
    if users.first().map(|row| row.get::<i64>(0)).transpose()?.unwrap_or(0) >= MOST {
        return Err(StoreError::Invalid(format!("there are {MOST} users already, the most that gyre keeps")));
    }
    by.append(tx, AccessChange::UserCreated { user: user.to_string(), user_kind: kind })?;
    match password {
        Some(hash) => set_password(tx, by, user, hash),
        None => Ok(()),
    }
}

/// Removes a user, their roles, tokens and sessions.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn delete(tx: &mut Tx<'_>, by: &By, user: &str) -> Result<(), StoreError> {
    existing(tx, user)?;
    by.append(tx, AccessChange::UserDeleted { user: user.to_owned() }).map(drop)
}

/// Gives a person another password, by its hash; their sessions end.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Invalid`] for a service.
pub fn set_password(tx: &mut Tx<'_>, by: &By, user: &UserName, hash: &str) -> Result<(), StoreError> {
    if existing(tx, user.as_str())? == UserKind::Service {
        return Err(StoreError::Invalid(format!(
            "`{user}` is a service, and services have tokens, not passwords: `gyre access token create {user}`"
        )));
    }
    by.append(tx, AccessChange::PasswordChanged { user: user.to_string() })?;
    let sql = "INSERT INTO access_passwords (user_name, hash) VALUES (?1, ?2)
        ON CONFLICT (user_name) DO UPDATE SET hash = excluded.hash";
    tx.execute(sql, &[user.as_str().into(), hash.into()])?;
    Ok(())
}

/// The user here of a person that `issuer` knows as `subject`.
///
/// # Errors
/// What the database said.
pub fn of_identity(tx: &mut Tx<'_>, issuer: &str, subject: &str) -> Result<Option<String>, StoreError> {
    let sql = "SELECT user_name FROM access_identities WHERE issuer = ?1 AND subject = ?2";
    let rows = tx.query(sql, &[issuer.into(), subject.into()])?;
    rows.first().map(|row| row.get(0)).transpose()
}

/// Links a person of an identity provider to a user.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn link(
    tx: &mut Tx<'_>,
    by: &By,
    user: &UserName,
    issuer: &str,
    subject: &str,
) -> Result<(), StoreError> {
    existing(tx, user.as_str())?;
    let (issuer, subject) = (issuer.to_owned(), subject.to_owned());
    by.append(tx, AccessChange::IdentityLinked { user: user.to_string(), issuer, subject }).map(drop)
}

/// All users, by name.
///
/// # Errors
/// What the database said.
pub fn list(tx: &mut Tx<'_>) -> Result<Vec<UserRecord>, StoreError> {
    let sql = "SELECT name, kind, created, (SELECT count(*) FROM access_passwords WHERE user_name = name)
        FROM access_users ORDER BY name";
    let record = |row: &Row| {
        Ok(UserRecord {
            name: row.get(0)?,
            kind: kind(&row.get::<String>(1)?),
            created: Timestamp::from_millis(row.get(2)?),
            password: row.get::<i64>(3)? > 0,
            identities: Vec::new(),
        })
    };
    let mut users: Vec<UserRecord> =
        tx.query(sql, &[])?.iter().map(record).collect::<Result<_, StoreError>>()?;
    tx.query_each("SELECT user_name, issuer FROM access_identities ORDER BY issuer", &[], |row| {
        let (name, issuer): (String, String) = (row.get(0)?, row.get(1)?);
        if let Ok(at) = users.binary_search_by(|user| user.name.cmp(&name)) {
            users[at].identities.push(issuer);
        }
        Ok(())
    })?;
    Ok(users)
}

/// Whether a person of an identity provider may become the user `name`: one who has no way to log in yet. None when there
/// is no such user.
pub(crate) fn is_vacant(tx: &mut Tx<'_>, name: &str) -> Result<Option<bool>, StoreError> {
    let sql = "SELECT kind, (SELECT count(*) FROM access_passwords WHERE user_name = name)
        + (SELECT count(*) FROM access_identities WHERE user_name = name) FROM access_users WHERE name = ?1";
    let rows = tx.query(sql, &[name.into()])?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(kind(&row.get::<String>(0)?) == UserKind::Person && row.get::<i64>(1)? == 0))
}

/// What kind of user it is, when there is one.
pub(crate) fn kind_of(tx: &mut Tx<'_>, user: &str) -> Result<Option<UserKind>, StoreError> {
    let rows = tx.query("SELECT kind FROM access_users WHERE name = ?1", &[user.into()])?;
    Ok(rows.first().map(|row| row.get::<String>(0)).transpose()?.map(|text| kind(&text)))
}

pub(crate) fn existing(tx: &mut Tx<'_>, user: &str) -> Result<UserKind, StoreError> {
    let missing = || StoreError::NotFound {
        what: "user",
        name: user.chars().take(100).collect(),
        hint: ": see `gyre access user list`".to_owned(),
    };
    kind_of(tx, user)?.ok_or_else(missing)
}

pub(crate) fn kind(text: &str) -> UserKind {
    // A kind that is not known can have no password; so it is the lesser one.
    if text == UserKind::Person.name() { UserKind::Person } else { UserKind::Service }
}
