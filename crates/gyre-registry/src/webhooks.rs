//! Webhooks: who is to be told of which events, where, and with which secret.
//!
//! Their table is written beside the fact that tells of them, in the same transaction, since it holds what no fact may: an
//! address that may have a key in its path, and the secret that signs. The secret is never given back.

use gyre_core::Timestamp;
use gyre_core::fact::RegistryChange as Change;
use gyre_store::{Cell, Row, StoreError, Tx};

use crate::edit::Author;
use crate::events::EVENTS;
use crate::page::Page;
use crate::receivers::remove;
use crate::rules::{self, invalid, shown};
use crate::search::Found;

/// The longest address, and the longest secret, in bytes.
const MAX_URL: usize = 2_048;
const MAX_SECRET: usize = 1_000;
/// The most webhooks.
const MAX_WEBHOOKS: i64 = 1_000;

/// A webhook. It does not hold its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is for, in words.
    pub description: Option<String>,
    /// Where it is told.
    pub url: String,
    /// What it is told of, in the order of [`EVENTS`].
    pub events: Vec<&'static str>,
    /// Whether it is told at all.
    pub active: bool,
    /// When it was created.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
    /// What it could not be told, newest first; at most [`crate::deliveries::KEPT`].
    pub undelivered: Vec<Undelivered>,
}

/// An event that a webhook was not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// The event.
    pub event: String,
    /// The journal entry that caused it.
    pub entry: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// What happened the last time.
    pub reason: String,
}

/// What of a webhook is given or changed; what is none stays.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct WebhookChange {
    /// Its name.
    pub name: Option<String>,
    /// What it is for, in words.
    pub description: Option<String>,
    /// Where it is told. That the server may connect there is for the caller to check.
    pub url: Option<String>,
    /// What it is told of.
    pub events: Option<Vec<String>>,
    /// The secret that signs; an empty one is none.
    pub secret: Option<String>,
    /// Whether it is told at all.
    pub active: Option<bool>,
}

impl std::fmt::Debug for WebhookChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookChange").field("what", &self.what()).finish_non_exhaustive()
    }
}

impl WebhookChange {
    fn what(&self) -> Vec<String> {
        let given = [
            ("name", self.name.is_some()),
            ("description", self.description.is_some()),
            ("url", self.url.is_some()),
            ("events", self.events.is_some()),
            ("secret", self.secret.is_some()),
            ("status", self.active.is_some()),
        ];
        given.iter().filter(|(_, given)| *given).map(|(what, _)| (*what).to_owned()).collect()
    }

    /// The events, checked and in order; none when they stay.
    fn checked(&self) -> Result<Option<Vec<&'static str>>, StoreError> {
        if let Some(name) = &self.name {
            check_name(name)?;
        }
        if let Some(description) = &self.description {
            rules::description(description)?;
        }
        if let Some(url) = &self.url {
            let plain = url.len() <= MAX_URL && !url.chars().any(|c| c.is_control() || c.is_whitespace());
            if !plain || host(url).is_none() {
                return Err(invalid(format!("the URL of a webhook must be one of at most {MAX_URL} bytes")));
            }
        }
        if self.secret.as_ref().is_some_and(|secret| secret.len() > MAX_SECRET) {
            return Err(invalid(format!("the secret of a webhook must have at most {MAX_SECRET} bytes")));
        }
        let Some(events) = &self.events else { return Ok(None) };
        if events.is_empty() {
            return Err(invalid("a webhook must have at least one event"));
        }
        for event in events {
            if !EVENTS.contains(&event.as_str()) {
                let known = EVENTS.join(", ");
                return Err(invalid(format!(
                    "there is no event `{}`: expected one of {known}",
                    shown(event)
                )));
            }
        }
        Ok(Some(EVENTS.into_iter().filter(|known| events.iter().any(|event| event == known)).collect()))
    }
}

/// Creates a webhook under `id`.
///
/// # Errors
/// [`StoreError::Invalid`] for a name, an address or an event that cannot be.
pub fn create_webhook(
    tx: &mut Tx<'_>,
    author: &Author,
    id: String,
    new: WebhookChange,
) -> Result<Webhook, StoreError> {
    let missing =
        |field: &str| invalid(format!("the parameter `{field}` is required, and is missing or empty"));
    let events = new.checked()?.ok_or_else(|| missing("events"))?;
    let name = new.name.clone().ok_or_else(|| missing("name"))?;
    let url = new.url.clone().ok_or_else(|| missing("url"))?;
    let many = tx.query("SELECT count(*) FROM registry_webhooks", &[])?;
    if many.first().map_or(Ok(0), |row| row.get::<i64>(0))? >= MAX_WEBHOOKS {
        return Err(StoreError::Conflict(format!(
            "there are {MAX_WEBHOOKS} webhooks already: delete some first"
        )));
    }
    crate::deliveries::begin(tx)?;
    let sql = "INSERT INTO registry_webhooks
               (webhook_id, name, description, url, secret, status, created, updated, paused, failures)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, 0, 0)";
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    let cells = [
        id.as_str().into(),
        name.as_str().into(),
        filled(new.description).into(),
        url.as_str().into(),
        filled(new.secret).into(),
        status(new.active.unwrap_or(true)).into(),
        author.at.as_millis().into(),
    ];
    tx.execute(sql, &cells)?;
    put_events(tx, &id, &events)?;
    let events = events.iter().map(|event| (*event).to_owned()).collect();
    let host = host(&url).unwrap_or_default().to_owned();
    author.tell(tx, Change::WebhookCreated { webhook: id.clone(), name, host, events })?;
    webhook(tx, &id)
}

/// Changes a webhook.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Invalid`].
pub fn change_webhook(
    tx: &mut Tx<'_>,
    author: &Author,
    id: &str,
    change: WebhookChange,
) -> Result<Webhook, StoreError> {
    let (events, what) = (change.checked()?, change.what());
    let before = webhook(tx, id)?;
    let url = change.url.unwrap_or(before.url);
    let secret = match change.secret {
        Some(secret) => Cell::from(Some(secret).filter(|secret| !secret.is_empty())),
        None => secret(tx, id)?.into(),
    };
    let sql = "UPDATE registry_webhooks SET name = ?2, description = ?3, url = ?4, secret = ?5, status = ?6, updated = ?7,
                 paused = 0, failures = 0
               WHERE webhook_id = ?1";
    let cells = [
        id.into(),
        change.name.unwrap_or(before.name).into(),
        change.description.or(before.description).into(),
        url.as_str().into(),
        secret,
        status(change.active.unwrap_or(before.active)).into(),
        author.at.as_millis().into(),
    ];
    tx.execute(sql, &cells)?;
    if let Some(events) = events {
        tx.execute("DELETE FROM registry_webhook_events WHERE webhook_id = ?1", &[id.into()])?;
        put_events(tx, id, &events)?;
    }
    let host = host(&url).unwrap_or_default().to_owned();
    author.tell(tx, Change::WebhookChanged { webhook: id.to_owned(), what, host })?;
    webhook(tx, id)
}

/// Takes a webhook away, with what it was still to be told.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn delete_webhook(tx: &mut Tx<'_>, author: &Author, id: &str) -> Result<(), StoreError> {
    webhook(tx, id)?;
    remove(tx, id)?;
    author.tell(tx, Change::WebhookDeleted { webhook: id.to_owned() }).map(drop)
}

const WEBHOOK: &str =
    "SELECT webhook_id, name, description, url, status, created, updated FROM registry_webhooks
     WHERE format = 'mlflow'";

/// The webhook `id`.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn webhook(tx: &mut Tx<'_>, id: &str) -> Result<Webhook, StoreError> {
    let rows = tx.query(&format!("{WEBHOOK} AND webhook_id = ?1"), &[id.into()])?;
    let row = rows.first().ok_or_else(|| StoreError::not_found("webhook", shown(id)))?;
    from_row(tx, row)
}

/// A page of webhooks, the newest first.
///
/// # Errors
/// What the store said.
pub fn webhooks(tx: &mut Tx<'_>, page: Page) -> Result<Found<Webhook>, StoreError> {
    let sql = format!("{WEBHOOK} ORDER BY created DESC, webhook_id LIMIT ?1 OFFSET ?2");
    let mut rows = tx.query(&sql, &[(page.size + 1).into(), page.offset.into()])?;
    let more = rows.len() as u64 > page.size;
    rows.truncate(page.size as usize);
    let items = rows.iter().map(|row| from_row(tx, row)).collect::<Result<_, _>>()?;
    Ok(Found { items, next: more.then(|| page.next()) })
}

/// The secret that signs what a webhook is told: for the signature, and for nothing else.
///
/// # Errors
/// What the store said.
pub(crate) fn secret(tx: &mut Tx<'_>, id: &str) -> Result<Option<String>, StoreError> {
    let rows = tx.query("SELECT secret FROM registry_webhooks WHERE webhook_id = ?1", &[id.into()])?;
    rows.first().map_or(Ok(None), |row| row.get(0))
}

fn from_row(tx: &mut Tx<'_>, row: &Row) -> Result<Webhook, StoreError> {
    let id: String = row.get(0)?;
    let events =
        tx.query("SELECT event FROM registry_webhook_events WHERE webhook_id = ?1", &[id.as_str().into()])?;
    let events = events.iter().map(|row| row.get::<String>(0)).collect::<Result<Vec<_>, _>>()?;
    let undelivered = crate::deliveries::undelivered(tx, &id)?;
    Ok(Webhook {
        name: row.get(1)?,
        description: row.get(2)?,
        url: row.get(3)?,
        events: EVENTS.into_iter().filter(|known| events.iter().any(|event| event == known)).collect(),
        active: row.get::<String>(4)? == status(true),
        created: Timestamp::from_millis(row.get(5)?),
        updated: Timestamp::from_millis(row.get(6)?),
        undelivered,
        id,
    })
}

fn put_events(tx: &mut Tx<'_>, id: &str, events: &[&str]) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO registry_webhook_events (webhook_id, event) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    events.iter().try_for_each(|event| tx.execute(sql, &[id.into(), (*event).into()]).map(drop))
}

const fn status(active: bool) -> &'static str {
    if active { "ACTIVE" } else { "DISABLED" }
}

fn check_name(name: &str) -> Result<(), StoreError> {
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let fits = name.len() <= 63 && name.chars().all(inner);
    if fits && end(name.chars().next()) && end(name.chars().next_back()) {
        return Ok(());
    }
    Err(invalid(format!(
        "invalid name of a webhook `{}`: expected 1 to 63 letters, digits, `.`, `_` or `-`, a letter or digit first and last",
        shown(name)
    )))
}

/// Scheme, host and port of a URL.
pub(crate) fn host(url: &str) -> Option<&str> {
    let after = url.find("://")? + 3;
    let rest = url.get(after..)?;
    let length = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest.get(..length)?;
    (after > 3 && !host.is_empty() && !host.contains('@')).then(|| url.get(..after + length))?
}
