//! API tokens: issued, listed, revoked.

use gyre_core::fact::{AccessChange, Role};
use gyre_core::{Span, Timestamp};
use gyre_store::{Row, StoreError, Tx};
use serde::Serialize;

use crate::By;
use crate::grants::{check_project, read_role};
use crate::policy::{ALL_PROJECTS, Scope};
use crate::token::Token;
use crate::users::existing;

/// How long a token lives unless something else is asked for.
pub const DEFAULT_LIFE: Span = Span::days(90);
/// How long one may live at most, unless the server says otherwise.
pub const LONGEST_LIFE: Span = Span::days(366);
/// The most tokens of one user that are neither revoked nor expired.
const MOST: i64 = 100;
/// The longest label, in bytes.
const LABEL: usize = 200;
/// The most projects in a scope.
const PROJECTS: usize = 50;

/// A token, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenRecord {
    /// Its public part.
    pub id: String,
    /// Whose rights it bears.
    pub user: String,
    /// What it is for, in words.
    pub label: String,
    /// The most that it may be used for.
    pub role: Role,
    /// The projects that it may be used for; empty means all.
    pub projects: Vec<String>,
    /// Since when.
    pub created: Timestamp,
    /// Until when.
    pub expires: Timestamp,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
    /// About when it was last used.
    pub used: Option<Timestamp>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Whose rights it bears.
    pub user: String,
    /// What it is for, in words.
    pub label: String,
    /// What it is good for at most.
    pub scope: Scope,
    /// How long it lives.
    pub life: Span,
    /// How long it may live at most: [`LONGEST_LIFE`] or what the server says.
    pub longest: Span,
}

/// Issues `token`, whose secret the caller shows once.
///
/// # Errors
/// [`StoreError::NotFound`] for an unknown user, [`StoreError::Invalid`] for a life, label or scope out of bounds.
pub fn issue(tx: &mut Tx<'_>, by: &By, wanted: &Wanted, token: &Token) -> Result<TokenRecord, StoreError> {
    check(tx, by, wanted)?;
    let expires = by.at + wanted.life;
    let projects: Vec<String> =
        wanted.scope.projects.iter().filter(|project| *project != ALL_PROJECTS).cloned().collect();
    let change = AccessChange::TokenIssued {
        id: token.id.clone(),
        user: wanted.user.clone(),
        label: wanted.label.clone(),
        role: wanted.scope.role,
        projects: projects.clone(),
        expires,
    };
    by.append(tx, change)?;
    let hash = token.secret.hash();
    let cells = [token.id.as_str().into(), hash.as_bytes().into()];
    tx.execute("INSERT INTO access_token_hashes (id, hash) VALUES (?1, ?2)", &cells)?;
    Ok(TokenRecord {
        id: token.id.clone(),
        user: wanted.user.clone(),
        label: wanted.label.clone(),
        role: wanted.scope.role,
        projects,
        created: by.at,
        expires,
        revoked: None,
        used: None,
    })
}

fn check(tx: &mut Tx<'_>, by: &By, wanted: &Wanted) -> Result<(), StoreError> {
    let invalid = |told: String| Err(StoreError::Invalid(told));
    existing(tx, &wanted.user)?;
    let longest = wanted.longest.as_days();
    if wanted.life.as_millis() <= 0 || wanted.life > wanted.longest {
        return invalid(format!(
            "a token that lives {} days cannot be had: choose more than 0 and at most {longest} days",
            wanted.life.as_days()
        ));
    }
    if wanted.label.len() > LABEL || wanted.label.chars().any(char::is_control) {
        return invalid(format!("the label of a token has at most {LABEL} bytes and no control characters"));
    }
    if wanted.scope.projects.len() > PROJECTS {
        return invalid(format!("a token names at most {PROJECTS} projects; none means all"));
    }
    wanted.scope.projects.iter().try_for_each(|project| check_project(project))?;
    let sql = "SELECT count(*) FROM access_tokens WHERE user_name = ?1 AND revoked IS NULL AND expires > ?2";
    let rows = tx.query(sql, &[wanted.user.as_str().into(), by.at.as_millis().into()])?;
    if rows.first().map(|row| row.get::<i64>(0)).transpose()?.unwrap_or(0) >= MOST {
        let user = &wanted.user;
        return invalid(format!("`{user}` has {MOST} tokens already: revoke what is not needed any more"));
    }
    Ok(())
}

/// Ends a token at once.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Conflict`] when it is revoked already.
pub fn revoke(tx: &mut Tx<'_>, by: &By, id: &str) -> Result<(), StoreError> {
    let rows = tx.query("SELECT user_name, revoked FROM access_tokens WHERE id = ?1", &[id.into()])?;
    let Some(row) = rows.first() else {
        // Somebody may have given the whole token: its secret must not come back in an error.
        let shown = if crate::token::is_id(id) { id.to_owned() } else { "(not an id)".to_owned() };
        let hint = ": an id has 16 hexadecimal digits, see `gyre access token list`".to_owned();
        return Err(StoreError::NotFound { what: "token", name: shown, hint });
    };
    let (user, revoked): (String, Option<i64>) = (row.get(0)?, row.get(1)?);
    if revoked.is_some() {
        return Err(StoreError::Conflict(format!("token `{id}` is revoked already")));
    }
    by.append(tx, AccessChange::TokenRevoked { id: id.to_owned(), user }).map(drop)
}

/// All tokens, or those of one user; the newest first.
///
/// # Errors
/// What the database said.
pub fn list(tx: &mut Tx<'_>, user: Option<&str>) -> Result<Vec<TokenRecord>, StoreError> {
    let sql = "SELECT t.id, t.user_name, t.label, t.role, t.projects, t.created, t.expires, t.revoked, u.used
        FROM access_tokens t LEFT JOIN access_token_use u ON u.id = t.id
        WHERE CAST(?1 AS TEXT) IS NULL OR t.user_name = ?1 ORDER BY t.created DESC, t.id LIMIT 10000";
    tx.query(sql, &[user.into()])?.iter().map(record).collect()
}

fn record(row: &Row) -> Result<TokenRecord, StoreError> {
    Ok(TokenRecord {
        id: row.get(0)?,
        user: row.get(1)?,
        label: row.get(2)?,
        role: read_role("access_tokens", &row.get::<String>(3)?)?,
        projects: read_projects(&row.get::<String>(4)?),
        created: Timestamp::from_millis(row.get(5)?),
        expires: Timestamp::from_millis(row.get(6)?),
        revoked: row.get::<Option<i64>>(7)?.map(Timestamp::from_millis),
        used: row.get::<Option<i64>>(8)?.map(Timestamp::from_millis),
    })
}

pub(crate) fn read_projects(text: &str) -> Vec<String> {
    text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
