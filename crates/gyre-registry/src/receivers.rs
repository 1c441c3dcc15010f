//! Receivers that the project file names: who is told of alarms, repairs and rollouts.
//!
//! They are rows beside MLflow's webhooks, and are told by the same deliveries; but the file says what they are, so a client
//! neither sees nor changes them. What the file names no more is gone, with what it was still to be told.

use gyre_core::fact::RegistryChange as Change;
use gyre_core::spec::{LetterFormat, Topic};
use gyre_core::{Entry, ModelName, Timestamp};
use gyre_store::{StoreError, Tx};

use crate::deliveries::{Letter, begin};
use crate::edit::Author;
use crate::letters::{Sender, write};
use crate::notice::Notice;
use crate::webhooks::host;

/// How the ids of receivers begin.
const PREFIX: &str = "notify-";

/// A receiver, with its address and secret at hand.
#[derive(Clone, PartialEq, Eq)]
pub struct Receiver {
    /// Its name in the project file.
    pub name: String,
    /// Where it is told.
    pub url: String,
    /// The secret that signs.
    pub secret: Option<String>,
    /// In which form.
    pub format: LetterFormat,
    /// Of what.
    pub about: Vec<Topic>,
    /// Of which models; of all when none is named.
    pub models: Vec<ModelName>,
}

/// The name under which a topic stands among the events of webhooks.
pub(crate) const fn event_of(topic: Topic) -> &'static str {
    match topic {
        Topic::Incidents => "notify.incidents",
        Topic::Alarms => "notify.alarms",
        Topic::Repairs => "notify.repairs",
        Topic::Rollouts => "notify.rollouts",
    }
}

/// From now on these are the receivers. What has not changed is left alone.
///
/// # Errors
/// What the store said.
pub fn declare_receivers(
    tx: &mut Tx<'_>,
    author: &Author,
    project: &str,
    receivers: &[Receiver],
) -> Result<(), StoreError> {
    let sql = "SELECT webhook_id FROM registry_webhooks WHERE format <> 'mlflow'";
    let known = tx.query(sql, &[])?.iter().map(|row| row.get(0)).collect::<Result<Vec<String>, _>>()?;
    let named = |id: &String| receivers.iter().any(|receiver| *id == format!("{PREFIX}{}", receiver.name));
    for id in known.iter().filter(|id| !named(id)) {
        remove(tx, id)?;
        author.tell(tx, Change::WebhookDeleted { webhook: id.clone() })?;
    }
    for receiver in receivers {
        declare(tx, author, project, receiver)?;
    }
    Ok(())
}

fn declare(tx: &mut Tx<'_>, author: &Author, project: &str, receiver: &Receiver) -> Result<(), StoreError> {
    let id = format!("{PREFIX}{}", receiver.name);
    let models: Vec<&str> = receiver.models.iter().map(ModelName::as_str).collect();
    let models = models.join(",");
    let events: Vec<String> = receiver.about.iter().map(|topic| event_of(*topic).to_owned()).collect();
    let sql = "SELECT url, secret, format, project, models FROM registry_webhooks WHERE webhook_id = ?1";
    let before = tx.query(sql, &[id.as_str().into()])?;
    let sql = "SELECT event FROM registry_webhook_events WHERE webhook_id = ?1 ORDER BY event";
    let known = tx.query(sql, &[id.as_str().into()])?;
    let known = known.iter().map(|row| row.get(0)).collect::<Result<Vec<String>, _>>()?;
    let mut wanted = events.clone();
    wanted.sort();
    wanted.dedup();
    let is_known = !before.is_empty();
    if let Some(row) = before.first() {
        let same = row.get::<String>(0)? == receiver.url
            && row.get::<Option<String>>(1)? == receiver.secret
            && row.get::<String>(2)? == receiver.format.name()
            && row.get::<Option<String>>(3)?.as_deref() == Some(project)
            && row.get::<Option<String>>(4)?.unwrap_or_default() == models
            && known == wanted;
        if same {
            return Ok(());
        }
    }
    begin(tx)?;
    let sql = "INSERT INTO registry_webhooks
                 (webhook_id, name, url, secret, status, created, updated, paused, failures, format, project, models)
               VALUES (?1, ?2, ?3, ?4, 'ACTIVE', ?5, ?5, 0, 0, ?6, ?7, ?8)
               ON CONFLICT (webhook_id) DO UPDATE SET url = excluded.url, secret = excluded.secret,
                 updated = excluded.updated, paused = 0, failures = 0, format = excluded.format,
                 project = excluded.project, models = excluded.models";
    let cells = [
        id.as_str().into(),
        receiver.name.as_str().into(),
        receiver.url.as_str().into(),
        receiver.secret.clone().into(),
        author.at.as_millis().into(),
        receiver.format.name().into(),
        project.into(),
        models.as_str().into(),
    ];
    tx.execute(sql, &cells)?;
    tx.execute("DELETE FROM registry_webhook_events WHERE webhook_id = ?1", &[id.as_str().into()])?;
    for event in &wanted {
        let sql = "INSERT INTO registry_webhook_events (webhook_id, event) VALUES (?1, ?2)";
        tx.execute(sql, &[id.as_str().into(), event.as_str().into()])?;
    }
    let (webhook, name) = (id, receiver.name.clone());
    let host = host(&receiver.url).unwrap_or_default().to_owned();
    let change = match is_known {
        true => Change::WebhookChanged { webhook, what: vec![format!("notify.{name}")], host },
        false => Change::WebhookCreated { webhook, name, host, events: wanted },
    };
    author.tell(tx, change).map(drop)
}

/// A webhook is gone, with what it was still to be told.
pub(crate) fn remove(tx: &mut Tx<'_>, id: &str) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM registry_webhooks WHERE webhook_id = ?1",
        "DELETE FROM registry_webhook_events WHERE webhook_id = ?1",
        "DELETE FROM registry_deliveries WHERE webhook_id = ?1",
    ] {
        tx.execute(sql, &[id.into()])?;
    }
    Ok(())
}

/// What the receiver `id` is told of `entry`; none when it does not care, or is gone.
pub(crate) fn letter(
    tx: &mut Tx<'_>,
    id: &str,
    entry: &Entry,
    delivery: &str,
    now: Timestamp,
) -> Result<Option<Letter>, StoreError> {
    let Some(notice) = Notice::of(entry) else { return Ok(None) };
    let sql = "SELECT url, secret, format, project, models FROM registry_webhooks WHERE webhook_id = ?1";
    let rows = tx.query(sql, &[id.into()])?;
    let Some(row) = rows.first() else { return Ok(None) };
    let Some(format) = LetterFormat::of_name(&row.get::<String>(2)?) else { return Ok(None) };
    let models = row.get::<Option<String>>(4)?.unwrap_or_default();
    if !models.is_empty() && !models.split(',').any(|model| model == notice.model.as_str()) {
        return Ok(None);
    }
    let (secret, project) =
        (row.get::<Option<String>>(1)?, row.get::<Option<String>>(3)?.unwrap_or_default());
    let sender =
        Sender { project: &project, entry: entry.seq, at: entry.at, recorded: entry.recorded, delivery };
    let written = write(format, &notice, &sender, secret.as_deref(), now);
    let url = row.get(0)?;
    Ok(written.map(|(headers, body)| Letter { url, headers, body }))
}
