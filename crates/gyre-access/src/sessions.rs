//! Sessions of people in a browser: a random id in a cookie, everything else here.
//!
//! A session is made by a login and never taken over from the client, lives for [`LIFE`], and ends with a logout, a new
//! password or the end of its user. Logins and logouts are facts; the sessions themselves are not.

use gyre_core::fact::{AccessChange, LoginWay};
use gyre_core::{Span, Timestamp};
use gyre_store::{StoreError, Tx};

use crate::By;
use crate::token::{Secret, SecretHash};
use crate::users::existing;

/// How long a session lives: a working day.
pub const LIFE: Span = Span::hours(12);
/// The most sessions of one user; the oldest goes for a new one.
const MOST: i64 = 20;

/// Opens a session of `user` under `id`, which goes into the cookie. Returns when it ends.
///
/// # Errors
/// [`StoreError::NotFound`] for an unknown user.
pub fn open(
    tx: &mut Tx<'_>,
    by: &By,
    user: &str,
    way: LoginWay,
    id: &Secret,
) -> Result<Timestamp, StoreError> {
    existing(tx, user)?;
    by.append(tx, AccessChange::LoggedIn { user: user.to_owned(), way })?;
    let (now, expires) = (by.at.as_millis(), by.at + LIFE);
    tx.execute("DELETE FROM access_sessions WHERE expires <= ?1", &[now.into()])?;
    let old = "DELETE FROM access_sessions WHERE user_name = ?1 AND hash NOT IN
        (SELECT hash FROM access_sessions WHERE user_name = ?1 ORDER BY created DESC LIMIT ?2)";
    tx.execute(old, &[user.into(), (MOST - 1).into()])?;
    let hash = id.hash();
    let cells = [hash.as_bytes().into(), user.into(), now.into(), expires.as_millis().into()];
    let sql = "INSERT INTO access_sessions (hash, user_name, created, expires) VALUES (?1, ?2, ?3, ?4)";
    tx.execute(sql, &cells)?;
    Ok(expires)
}

/// Ends a session. One that is not there has ended already.
///
/// # Errors
/// What the database said.
pub fn close(tx: &mut Tx<'_>, by: &By, id: &SecretHash) -> Result<(), StoreError> {
    let sql = "DELETE FROM access_sessions WHERE hash = ?1 RETURNING user_name";
    let gone = tx.query(sql, &[id.as_bytes().into()])?;
    let Some(user) = gone.first().map(|row| row.get(0)).transpose()? else { return Ok(()) };
    by.append(tx, AccessChange::LoggedOut { user }).map(drop)
}
