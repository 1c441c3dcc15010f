//! What webhooks are still to be told: made from the journal by a cursor, tried until it is told or given up.
//!
//! [`collect`] reads the journal from where it stood, makes a row of every event that an active webhook wants, and moves
//! the cursor, all in one transaction: a crash in between loses nothing and makes nothing twice. A row goes when its
//! webhook has answered; a crash between the answer and that tells it again, under the same id (at least once). A webhook
//! that does not answer is left alone, ever longer, with all that it is to be told, so that it holds up nobody else and is
//! told in order when it is back; one that refuses an event is told the others meanwhile. After the last attempt the row
//! stays, as what could not be told.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gyre_core::fact::RegistryChange as Change;
use gyre_core::{Digest, Span, Timestamp};
use gyre_store::{Cell, StoreError, Tx, journal};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

use crate::edit::Author;
use crate::events::{self, Event};
use crate::receivers;
use crate::webhooks::{Undelivered, secret, webhook};

/// Events that could not be told, kept for each webhook.
pub const KEPT: u64 = 100;
/// Events that may wait for one webhook; beyond that they are given up at once.
const WAITING: u64 = 10_000;
/// Journal entries read at a time.
const BATCH: u64 = 500;

/// How often and how fast a webhook is tried again.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The pause after the first failure; it doubles with each further one.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// Attempts in all.
    pub attempts: u32,
}

impl Default for Pace {
    /// About three quarters of an hour in all.
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(600), attempts: 13 }
    }
}

impl Pace {
    /// The pause after the failure number `failures` (from 1); `jitter`, from 0 to 1, adds up to half of it, so that those
    /// who failed together do not come back together.
    pub fn pause(&self, failures: u32, jitter: f64) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1).min(30));
        let pause = self.first.saturating_mul(doubled).min(self.longest);
        pause + pause.mul_f64(jitter.clamp(0.0, 1.0) / 2.0)
    }
}

/// An event on its way to a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The webhook.
    pub webhook: String,
    /// The journal entry that caused it.
    pub entry: u64,
    /// Which of the entry's events it is.
    pub part: u64,
    /// The event's name.
    pub event: String,
    /// How often it was tried.
    pub attempts: u32,
}

/// What is sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Letter {
    /// Where to.
    pub url: String,
    /// Names and values.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: String,
}

/// Makes deliveries of what the journal holds beyond the cursor, and moves it. Says whether there may be more.
///
/// # Errors
/// What the store said.
pub fn collect(tx: &mut Tx<'_>) -> Result<bool, StoreError> {
    let Some(cursor) = cursor(tx)? else { return Ok(false) };
    let entries = journal::entries(tx, cursor, BATCH)?;
    let Some(last) = entries.last().map(|entry| entry.seq) else { return Ok(false) };
    let mut waiting: BTreeMap<String, u64> = BTreeMap::new();
    for entry in &entries {
        for (part, event) in events::of_entry(tx, entry)?.into_iter().enumerate() {
            let sql = "SELECT w.webhook_id FROM registry_webhooks w, registry_webhook_events e
                       WHERE e.webhook_id = w.webhook_id AND w.status = 'ACTIVE' AND e.event = ?1";
            for row in tx.query(sql, &[event.name.into()])? {
                let webhook: String = row.get(0)?;
                let before = match waiting.get(&webhook) {
                    Some(count) => *count,
                    None => count_waiting(tx, &webhook)?,
                };
                waiting.insert(webhook.clone(), before + 1);
                let (state, reason) = match before < WAITING {
                    true => ("waiting", None),
                    false => ("undelivered", Some(format!("{WAITING} events wait for it already"))),
                };
                let sql = "INSERT INTO registry_deliveries
                             (entry, part, webhook_id, event, attempts, due, state, reason)
                           VALUES (?1, ?2, ?3, ?4, 0, 0, ?5, ?6) ON CONFLICT DO NOTHING";
                let cells = [
                    entry.seq.into(),
                    (part as u64).into(),
                    webhook.as_str().into(),
                    event.name.into(),
                    state.into(),
                    reason.into(),
                ];
                tx.execute(sql, &cells)?;
                if before >= WAITING {
                    trim(tx, &webhook)?;
                }
            }
        }
    }
    move_cursor(tx, last)?;
    Ok(entries.len() as u64 == BATCH)
}

fn move_cursor(tx: &mut Tx<'_>, seq: u64) -> Result<(), StoreError> {
    let sql = "INSERT INTO registry_cursor (one, seq) VALUES (1, ?1) ON CONFLICT (one) DO UPDATE SET seq = excluded.seq";
    tx.execute(sql, &[seq.into()]).map(drop)
}

/// Whether there is something to collect: a webhook, and entries beyond the cursor.
///
/// # Errors
/// What the store said.
pub fn is_behind(tx: &mut Tx<'_>) -> Result<bool, StoreError> {
    if tx.query("SELECT 1 FROM registry_webhooks LIMIT 1", &[])?.is_empty() {
        return Ok(false);
    }
    Ok(cursor(tx)? != Some(journal::head(tx)?.size))
}

/// Nobody is told of what was before there was a webhook: before the first one, the cursor goes to the journal's end.
pub(crate) fn begin(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    if tx.query("SELECT 1 FROM registry_webhooks LIMIT 1", &[])?.is_empty() {
        let size = journal::head(tx)?.size;
        move_cursor(tx, size)?;
    }
    Ok(())
}

fn cursor(tx: &mut Tx<'_>) -> Result<Option<u64>, StoreError> {
    let rows = tx.query("SELECT seq FROM registry_cursor WHERE one = 1", &[])?;
    rows.first().map(|row| row.get(0)).transpose()
}

/// Up to `limit` deliveries that are due at `now`, the oldest first; and when the next one is due otherwise.
///
/// # Errors
/// What the store said.
pub fn due(
    tx: &mut Tx<'_>,
    now: Timestamp,
    limit: u64,
) -> Result<(Vec<Delivery>, Option<Timestamp>), StoreError> {
    let sql = "SELECT d.webhook_id, d.entry, d.part, d.event, d.attempts
               FROM registry_deliveries d, registry_webhooks w
               WHERE w.webhook_id = d.webhook_id AND d.state = 'waiting' AND d.due <= ?1 AND w.paused <= ?1
               ORDER BY d.entry, d.part, d.webhook_id LIMIT ?2";
    let rows = tx.query(sql, &[now.as_millis().into(), limit.into()])?;
    let delivery = |row: &gyre_store::Row| {
        Ok(Delivery {
            webhook: row.get(0)?,
            entry: row.get(1)?,
            part: row.get(2)?,
            event: row.get(3)?,
            attempts: row.get(4)?,
        })
    };
    let found = rows.iter().map(delivery).collect::<Result<Vec<_>, StoreError>>()?;
    let sql = "SELECT min(CASE WHEN d.due > w.paused THEN d.due ELSE w.paused END)
               FROM registry_deliveries d, registry_webhooks w
               WHERE w.webhook_id = d.webhook_id AND d.state = 'waiting'";
    let next = tx.query(sql, &[])?;
    let next: Option<i64> = next.first().map_or(Ok(None), |row| row.get(0))?;
    Ok((found, next.map(Timestamp::from_millis)))
}

/// What is to be sent now; none when nobody wants it any more, and then the delivery is over.
///
/// # Errors
/// What the store said.
pub fn letter(tx: &mut Tx<'_>, delivery: &Delivery, now: Timestamp) -> Result<Option<Letter>, StoreError> {
    let named = format!("{}/{}/{}", delivery.entry, delivery.part, delivery.webhook);
    if delivery.event.starts_with("notify.") {
        let entry = journal::get(tx, delivery.entry)?;
        return receivers::letter(tx, &delivery.webhook, &entry, &identify(&named), now);
    }
    let to = match webhook(tx, &delivery.webhook) {
        Ok(webhook) if webhook.active => webhook,
        Ok(_) | Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let entry = journal::get(tx, delivery.entry)?;
    let mut events = events::of_entry(tx, &entry)?.into_iter();
    let Some(mut event) = events.nth(delivery.part as usize) else { return Ok(None) };
    // The name that it had when it was collected: a model may have become, or ceased to be, a prompt since.
    if let Some(name) = events::EVENTS.into_iter().find(|name| *name == delivery.event) {
        event.name = name;
    }
    let secret = secret(tx, &delivery.webhook)?;
    Ok(Some(write(&to.url, secret.as_deref(), &event, &identify(&named), entry.at, now)))
}

/// An example of an event, to try a webhook out.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn example(
    tx: &mut Tx<'_>,
    id: &str,
    event: Option<&'static str>,
    delivery: &str,
    now: Timestamp,
) -> Result<Letter, StoreError> {
    let webhook = webhook(tx, id)?;
    let first = webhook.events.first().copied();
    let event = event.or(first).unwrap_or("registered_model.created");
    let secret = secret(tx, id)?;
    Ok(write(&webhook.url, secret.as_deref(), &events::example(event), delivery, now, now))
}

/// The event in MLflow's envelope, with its headers.
fn write(
    url: &str,
    secret: Option<&str>,
    event: &Event,
    delivery: &str,
    at: Timestamp,
    now: Timestamp,
) -> Letter {
    let (entity, action) = event.name.split_once('.').unwrap_or((event.name, ""));
    let body = json!({
        "entity": entity, "action": action, "timestamp": at.to_string(), "data": event.data
    })
    .to_string();
    let seconds = (now.as_millis() / 1000).to_string();
    let mut headers = vec![
        ("Content-Type", "application/json".to_owned()),
        ("X-MLflow-Delivery-Id", delivery.to_owned()),
        ("X-MLflow-Timestamp", seconds.clone()),
    ];
    if let Some(secret) = secret {
        headers.push(("X-MLflow-Signature", sign(secret, delivery, &seconds, &body)));
    }
    Letter { url: url.to_owned(), headers, body }
}

/// `v1,` and the base64 of HMAC-SHA256 over `DELIVERY.SECONDS.BODY`, as MLflow signs (after Standard Webhooks).
fn sign(secret: &str, delivery: &str, seconds: &str, body: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        // HMAC takes keys of any length.
        return String::new();
    };
    mac.update(format!("{delivery}.{seconds}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// An id in the form of a UUID, the same for the same name: a receiver sees that it was told before.
fn identify(name: &str) -> String {
    let hex = Digest::of(name.as_bytes()).to_hex();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-8{}-8{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}

/// The delivery is over: its webhook has answered, or wants it no more.
///
/// # Errors
/// What the store said.
pub fn told(tx: &mut Tx<'_>, delivery: &Delivery) -> Result<(), StoreError> {
    let sql = "DELETE FROM registry_deliveries WHERE entry = ?1 AND part = ?2 AND webhook_id = ?3";
    tx.execute(sql, &key(delivery))?;
    let sql = "UPDATE registry_webhooks SET paused = 0, failures = 0 WHERE webhook_id = ?1 AND failures > 0";
    tx.execute(sql, &[delivery.webhook.as_str().into()]).map(drop)
}

/// A delivery that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// What happened.
    pub reason: String,
    /// Whether its webhook is away or overloaded, rather than unwilling to take this event.
    pub away: bool,
}

/// The delivery failed: it is tried again after a pause, as `pace` says; or never, when it was the last attempt. With
/// `jitter` see [`Pace::pause`].
///
/// # Errors
/// What the store said.
pub fn failed(
    tx: &mut Tx<'_>,
    delivery: &Delivery,
    failed: &Failed,
    pace: &Pace,
    now: Timestamp,
    jitter: f64,
) -> Result<(), StoreError> {
    let reason: String = failed.reason.chars().take(500).collect();
    let attempts = delivery.attempts + 1;
    let over = attempts >= pace.attempts;
    let webhook = delivery.webhook.as_str();
    let sql = "SELECT failures FROM registry_webhooks WHERE webhook_id = ?1";
    let Some(failures) =
        tx.query(sql, &[webhook.into()])?.first().map(|row| row.get::<u32>(0)).transpose()?
    else {
        // It was deleted meanwhile.
        return Ok(());
    };
    let failures = if failed.away { failures.saturating_add(1) } else { 0 };
    let pause = pace.pause(failures.max(attempts), jitter);
    let again = now + Span::from_millis(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX));
    let sql = "UPDATE registry_deliveries SET attempts = ?4, reason = ?5, state = ?6, due = ?7
               WHERE entry = ?1 AND part = ?2 AND webhook_id = ?3";
    let [entry, part, id] = key(delivery);
    let state = if over { "undelivered" } else { "waiting" };
    let due = again.as_millis().into();
    tx.execute(sql, &[entry, part, id, attempts.into(), reason.as_str().into(), state.into(), due])?;
    if failed.away {
        let sql = "UPDATE registry_webhooks SET paused = ?2, failures = ?3 WHERE webhook_id = ?1";
        tx.execute(sql, &[webhook.into(), again.as_millis().into(), failures.into()])?;
    }
    if !over {
        return Ok(());
    }
    trim(tx, webhook)?;
    let gyre = Author { at: now, actor: "gyre".to_owned(), origin: None };
    let (webhook, event) = (delivery.webhook.clone(), delivery.event.clone());
    gyre.tell(tx, Change::WebhookGaveUp { webhook, event, attempts, reason }).map(drop)
}

/// Of what a webhook could not be told, keeps the newest.
fn trim(tx: &mut Tx<'_>, webhook: &str) -> Result<(), StoreError> {
    let sql = "DELETE FROM registry_deliveries WHERE webhook_id = ?1 AND state = 'undelivered' AND entry <
               (SELECT min(entry) FROM (SELECT entry FROM registry_deliveries
                WHERE webhook_id = ?1 AND state = 'undelivered' ORDER BY entry DESC LIMIT ?2) kept)";
    tx.execute(sql, &[webhook.into(), KEPT.into()]).map(drop)
}

fn count_waiting(tx: &mut Tx<'_>, webhook: &str) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM registry_deliveries WHERE webhook_id = ?1 AND state = 'waiting'";
    tx.query(sql, &[webhook.into()])?.first().map_or(Ok(0), |row| row.get(0))
}

fn key(delivery: &Delivery) -> [Cell; 3] {
    [delivery.entry.into(), delivery.part.into(), delivery.webhook.as_str().into()]
}

/// What a webhook could not be told, newest first.
pub(crate) fn undelivered(tx: &mut Tx<'_>, id: &str) -> Result<Vec<Undelivered>, StoreError> {
    let sql = "SELECT event, entry, attempts, reason FROM registry_deliveries
               WHERE webhook_id = ?1 AND state = 'undelivered' ORDER BY entry DESC, part DESC LIMIT ?2";
    let rows = tx.query(sql, &[id.into(), KEPT.into()])?;
    let one = |row: &gyre_store::Row| {
        Ok(Undelivered {
            event: row.get(0)?,
            entry: row.get(1)?,
            attempts: row.get(2)?,
            reason: row.get::<Option<String>>(3)?.unwrap_or_default(),
        })
    };
    rows.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_one_that_mlflow_makes() {
        // Made with Python's hmac module, as mlflow/webhooks/delivery.py says.
        let signature = sign("secret", "d-1", "1700000000", "{\"a\": 1}");
        assert_eq!(signature, "v1,HwGXL2DdV42EBdK0p+U0VpVCOg43dHD9+hG5vt59xUc=");
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pace = Pace::default();
        let seconds = |failures, jitter| pace.pause(failures, jitter).as_secs_f64();
        assert_eq!([seconds(1, 0.0), seconds(2, 0.0), seconds(5, 0.0)], [1.0, 2.0, 16.0]);
        assert_eq!([seconds(40, 0.0), seconds(u32::MAX, 1.0)], [600.0, 900.0]);
        assert_eq!(seconds(1, 0.5), 1.25);
    }

    #[test]
    fn the_same_delivery_has_the_same_id() {
        let id = identify("7/0/w");
        assert_eq!((id.len(), identify("7/0/w")), (36, id.clone()));
        assert_ne!(identify("7/1/w"), id);
    }
}
