//! Roles: who has which, where.

use gyre_core::Timestamp;
use gyre_core::fact::{AccessChange, Role};
use gyre_store::{Row, StoreError, Tx};
use serde::Serialize;

use crate::By;
use crate::policy::ALL_PROJECTS;
use crate::users::existing;

/// The most projects in which one user has a role.
const MOST: i64 = 1_000;
/// The longest name of a project, in bytes.
const LONGEST: usize = 100;

/// A role of a user, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GrantRecord {
    /// The user.
    pub user: String,
    /// The project, or `*` for all.
    pub project: String,
    /// The role.
    pub role: Role,
    /// Since when.
    pub granted: Timestamp,
}

/// Gives `user` a role in `project` (`*` for all), in place of the one that they have there.
///
/// # Errors
/// [`StoreError::NotFound`] for an unknown user, [`StoreError::Invalid`] for what cannot be a project.
pub fn grant(tx: &mut Tx<'_>, by: &By, user: &str, project: &str, role: Role) -> Result<(), StoreError> {
    check_project(project)?;
    existing(tx, user)?;
    let rows = tx.query("SELECT count(*) FROM access_grants WHERE user_name = ?1", &[user.into()])?;
    if rows.first().map(|row| row.get::<i64>(0)).transpose()?.unwrap_or(0) >= MOST {
        return Err(StoreError::Invalid(format!(
            "`{user}` has roles in {MOST} projects already; `*` stands for all projects"
        )));
    }
    if role_of(tx, user, project)? == Some(role) {
        return Ok(());
    }
    let (user, project) = (user.to_owned(), project.to_owned());
    by.append(tx, AccessChange::RoleGranted { user, project, role }).map(drop)
}

/// Takes the role of `user` in `project` away.
///
/// # Errors
/// [`StoreError::NotFound`] when they have none there.
pub fn revoke(tx: &mut Tx<'_>, by: &By, user: &str, project: &str) -> Result<(), StoreError> {
    existing(tx, user)?;
    if role_of(tx, user, project)?.is_none() {
        let project: String = project.chars().take(LONGEST).collect();
        return Err(StoreError::not_found("role", format!("of {user} in {project}")));
    }
    let (user, project) = (user.to_owned(), project.to_owned());
    by.append(tx, AccessChange::RoleRevoked { user, project }).map(drop)
}

/// All roles, by user and project.
///
/// # Errors
/// What the database said.
pub fn list(tx: &mut Tx<'_>) -> Result<Vec<GrantRecord>, StoreError> {
    let sql = "SELECT user_name, project, role, granted FROM access_grants ORDER BY user_name, project";
    tx.query(sql, &[])?.iter().map(record).collect()
}

fn record(row: &Row) -> Result<GrantRecord, StoreError> {
    Ok(GrantRecord {
        user: row.get(0)?,
        project: row.get(1)?,
        role: read_role("access_grants", &row.get::<String>(2)?)?,
        granted: Timestamp::from_millis(row.get(3)?),
    })
}

pub(crate) fn role_of(tx: &mut Tx<'_>, user: &str, project: &str) -> Result<Option<Role>, StoreError> {
    let sql = "SELECT role FROM access_grants WHERE user_name = ?1 AND project = ?2";
    let rows = tx.query(sql, &[user.into(), project.into()])?;
    let role = rows.first().map(|row| row.get::<String>(0)).transpose()?;
    role.map(|role| read_role("access_grants", &role)).transpose()
}

pub(crate) fn read_role(table: &'static str, text: &str) -> Result<Role, StoreError> {
    text.parse().map_err(|error: gyre_core::fact::InvalidRole| StoreError::Corrupt {
        table,
        reason: error.to_string(),
    })
}

/// Says whether `project` can be the name of one, or `*`.
pub(crate) fn check_project(project: &str) -> Result<(), StoreError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let named = (1..=LONGEST).contains(&project.len()) && project.bytes().all(plain);
    if named || project == ALL_PROJECTS {
        return Ok(());
    }
    let shown: String = project.chars().take(LONGEST).collect();
    Err(StoreError::Invalid(format!(
        "`{shown}` is not the name of a project (expected 1 to {LONGEST} letters, digits and . _ -; or * for all)"
    )))
}
