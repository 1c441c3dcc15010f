//! Webhooks of the registry: who is told of its changes.

use axum::http::{HeaderName, HeaderValue, Request};
use gyre_registry::deliveries;
use gyre_registry::events::EVENTS;
use gyre_registry::{Page, Webhook, WebhookChange};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::messenger::reason;
use crate::mlflow::MlflowError;
use crate::mlflow::call::{Answer, Call, Path, done, json, required};
use crate::mlflow::wire::{self, Int64};

/// How long a webhook may take to answer when it is tried out.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
/// The most of its answer that is shown, in characters.
const SHOWN: usize = 10_000;

#[derive(Debug, Deserialize)]
pub(super) struct Event {
    entity: Option<String>,
    action: Option<String>,
}

impl Event {
    fn name(&self) -> Result<&'static str, MlflowError> {
        let part = |part: &Option<String>| part.clone().unwrap_or_default().to_lowercase();
        let name = format!("{}.{}", part(&self.entity), part(&self.action));
        EVENTS.into_iter().find(|known| *known == name).ok_or_else(|| {
            let name: String = name.chars().take(100).collect();
            MlflowError::invalid(format!("there is no event `{name}`: expected one of {}", EVENTS.join(", ")))
        })
    }
}

#[derive(Deserialize)]
pub(super) struct Fields {
    name: Option<String>,
    description: Option<String>,
    url: Option<String>,
    #[serde(default, deserialize_with = "wire::list")]
    events: Vec<Event>,
    secret: Option<String>,
    status: Option<String>,
}

impl Fields {
    /// The change that is asked for; the address must be one that the server may connect to.
    fn change<T>(&self, call: &Call<T>) -> Result<WebhookChange, MlflowError> {
        let url = self.url.clone().filter(|url| !url.is_empty());
        if let Some(url) = &url {
            call.app.egress.check(url).map_err(|error| MlflowError::invalid(reason(&error)))?;
        }
        let names = self.events.iter().map(|event| event.name().map(str::to_owned));
        let names = names.collect::<Result<Vec<_>, _>>()?;
        let active = match self.status.as_deref() {
            None => None,
            Some("ACTIVE") => Some(true),
            Some("DISABLED") => Some(false),
            Some(_) => {
                return Err(MlflowError::invalid("the status of a webhook must be ACTIVE or DISABLED"));
            }
        };
        Ok(WebhookChange {
            name: self.name.clone().filter(|name| !name.is_empty()),
            description: self.description.clone(),
            url,
            events: Some(names).filter(|names| !names.is_empty()),
            secret: self.secret.clone(),
            active,
        })
    }
}

/// `POST webhooks`
pub(super) async fn create(call: Call<Fields>) -> Answer {
    required("name", &call.asked.name)?;
    required("url", &call.asked.url)?;
    if call.asked.events.is_empty() {
        return Err(MlflowError::missing("events"));
    }
    let (author, change, id) = (call.author(), call.asked.change(&call)?, uuid::Uuid::new_v4().to_string());
    let webhook = call.write(move |tx| gyre_registry::create_webhook(tx, &author, id, change)).await?;
    json(&json!({"webhook": shown(&webhook)}))
}

#[derive(Debug, Deserialize)]
pub(super) struct List {
    #[serde(alias = "maxResults")]
    max_results: Option<Int64>,
    #[serde(alias = "pageToken")]
    page_token: Option<String>,
}

/// `GET webhooks`
pub(super) async fn list(call: Call<List>) -> Answer {
    let size = call.asked.max_results.map_or(0, |asked| asked.0);
    let page = Page::asked(if size == 0 { 100 } else { size }, 1000, call.asked.page_token.as_deref())?;
    let found = call.read(move |tx| gyre_registry::webhooks(tx, page)).await?;
    let mut answer = Map::new();
    if !found.items.is_empty() {
        answer.insert("webhooks".to_owned(), found.items.iter().map(shown).collect());
    }
    if let Some(token) = found.next {
        answer.insert("next_page_token".to_owned(), token.into());
    }
    json(&answer)
}

#[derive(Debug, Deserialize)]
pub(super) struct Nothing {}

/// `GET webhooks/{id}`
pub(super) async fn get(Path(id): Path<String>, call: Call<Nothing>) -> Answer {
    let webhook = call.read(move |tx| gyre_registry::webhook(tx, &id)).await?;
    json(&json!({"webhook": shown(&webhook)}))
}

/// `PATCH webhooks/{id}`
pub(super) async fn update(Path(id): Path<String>, call: Call<Fields>) -> Answer {
    let (author, change) = (call.author(), call.asked.change(&call)?);
    let webhook = call.write(move |tx| gyre_registry::change_webhook(tx, &author, &id, change)).await?;
    json(&json!({"webhook": shown(&webhook)}))
}

/// `DELETE webhooks/{id}`
pub(super) async fn delete(Path(id): Path<String>, call: Call<Nothing>) -> Answer {
    let author = call.author();
    call.write(move |tx| gyre_registry::delete_webhook(tx, &author, &id)).await?;
    done()
}

#[derive(Debug, Deserialize)]
pub(super) struct Test {
    event: Option<Event>,
}

/// `POST webhooks/{id}/test`: tells it an example at once.
pub(super) async fn test(Path(id): Path<String>, call: Call<Test>) -> Answer {
    let event = call.asked.event.as_ref().map(Event::name).transpose()?;
    let (now, delivery) = (call.app.clock.now(), uuid::Uuid::new_v4().to_string());
    let letter = call.read(move |tx| deliveries::example(tx, &id, event, &delivery, now)).await?;
    let mut request = Request::post(&letter.url).body(letter.body.into_bytes());
    if let Ok(request) = &mut request {
        for (name, value) in &letter.headers {
            if let Ok(value) = HeaderValue::from_str(value)
                && let Ok(name) = HeaderName::from_bytes(name.as_bytes())
            {
                request.headers_mut().insert(name, value);
            }
        }
    }
    let request = request.map_err(|_| MlflowError::invalid("the URL of the webhook cannot be asked"))?;
    let outcome = call.app.operate(move |app| app.egress.fetch(request, TIMEOUT)).await?;
    let result = match outcome {
        Ok(answer) => {
            let body: String = String::from_utf8_lossy(answer.body()).chars().take(SHOWN).collect();
            let status = answer.status().as_u16();
            json!({"success": status < 400, "response_status": status, "response_body": body})
        }
        Err(error) => json!({"success": false, "error_message": reason(&error)}),
    };
    json(&json!({ "result": result }))
}

/// A webhook as MLflow writes it, and what it could not be told.
fn shown(webhook: &Webhook) -> Value {
    let event = |name: &&str| {
        let (entity, action) = name.split_once('.').unwrap_or((name, ""));
        json!({"entity": entity.to_uppercase(), "action": action.to_uppercase()})
    };
    let events: Vec<Value> = webhook.events.iter().map(event).collect();
    let mut shown = Map::new();
    shown.insert("webhook_id".to_owned(), webhook.id.as_str().into());
    shown.insert("name".to_owned(), webhook.name.as_str().into());
    if let Some(description) = &webhook.description {
        shown.insert("description".to_owned(), description.as_str().into());
    }
    shown.insert("url".to_owned(), webhook.url.as_str().into());
    shown.insert("events".to_owned(), events.into());
    shown.insert("status".to_owned(), if webhook.active { "ACTIVE" } else { "DISABLED" }.into());
    shown.insert("creation_timestamp".to_owned(), webhook.created.as_millis().into());
    shown.insert("last_updated_timestamp".to_owned(), webhook.updated.as_millis().into());
    if !webhook.undelivered.is_empty() {
        let one = |lost: &gyre_registry::Undelivered| json!({"event": lost.event, "entry": lost.entry, "attempts": lost.attempts, "reason": lost.reason});
        shown.insert("undelivered".to_owned(), webhook.undelivered.iter().map(one).collect());
    }
    shown.into()
}
