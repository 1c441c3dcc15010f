//! A notice in the form that its receiver reads: CloudEvents, Slack, Alertmanager; pure.
//!
//! - CloudEvents 1.0.2, structured mode of its HTTP protocol binding, signed as Standard Webhooks 1.0 are.
//! - Slack's incoming webhooks: `text` for notifications, an attachment with a colour for the rest; `&`, `<`, `>` escaped.
//! - Alertmanager's API v2: what begins is an alert that ends in a year, what ends one with the same labels that has ended. Of what
//!   just happened there is no alert.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gyre_core::fact::Severity;
use gyre_core::spec::LetterFormat;
use gyre_core::{Span, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::notice::{Course, Notice};

/// How long what is not told to be over is taken to last.
const LASTS: Span = Span::days(365);

/// Where a notice comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sender<'a> {
    /// The project.
    pub(crate) project: &'a str,
    /// The journal entry.
    pub(crate) entry: u64,
    /// When it happened, in event time.
    pub(crate) at: Timestamp,
    /// When it was written down, by the clock: what pagers go by.
    pub(crate) recorded: Timestamp,
    /// The id of the delivery: the same whenever it is tried again.
    pub(crate) delivery: &'a str,
}

/// Headers and body; none when the format has no words for it.
pub(crate) fn write(
    format: LetterFormat,
    notice: &Notice,
    sender: &Sender<'_>,
    secret: Option<&str>,
    now: Timestamp,
) -> Option<(Vec<(&'static str, String)>, String)> {
    let (kind, body) = match format {
        LetterFormat::CloudEvents => ("application/cloudevents+json", cloud_event(notice, sender)),
        LetterFormat::Slack => ("application/json", slack(notice, sender)),
        LetterFormat::Alertmanager => ("application/json", alert(notice, sender)?),
    };
    let body = body.to_string();
    let mut headers = vec![("Content-Type", kind.to_owned())];
    if format == LetterFormat::CloudEvents {
        let seconds = (now.as_millis() / 1000).to_string();
        headers.push(("webhook-id", sender.delivery.to_owned()));
        headers.push(("webhook-timestamp", seconds.clone()));
        headers.extend(
            secret.map(|secret| ("webhook-signature", sign(secret, sender.delivery, &seconds, &body))),
        );
    }
    Some((headers, body))
}

fn cloud_event(notice: &Notice, sender: &Sender<'_>) -> Value {
    json!({
        "specversion": "1.0",
        "id": sender.delivery,
        "source": format!("/gyre/{}/models/{}", sender.project, notice.model),
        "type": format!("dev.gyre.{}", notice.event),
        "subject": notice.model,
        "time": sender.at.to_string(),
        "datacontenttype": "application/json",
        "data": {
            "project": sender.project,
            "model": notice.model,
            "severity": notice.severity.name(),
            "incident": notice.incident,
            "title": notice.title,
            "text": notice.text,
            "numbers": notice.numbers,
            "entry": sender.entry,
        },
    })
}

fn slack(notice: &Notice, sender: &Sender<'_>) -> Value {
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let color = match (notice.severity, notice.course) {
        (_, Course::Ends) => "good",
        (Severity::Info, _) => "#439fe0",
        (Severity::Warning, _) => "warning",
        (Severity::Critical, _) => "danger",
    };
    json!({
        "text": escape(&notice.title),
        "attachments": [{
            "color": color,
            "fallback": escape(&notice.title),
            "text": escape(&notice.text),
            "footer": escape(&format!("gyre, {}, entry {} of the journal", sender.project, sender.entry)),
            "ts": sender.recorded.as_millis() / 1000,
        }],
    })
}

fn alert(notice: &Notice, sender: &Sender<'_>) -> Option<Value> {
    let (starts, ends) = match notice.course {
        Course::Begins => (Some(sender.recorded.to_string()), (sender.recorded + LASTS).to_string()),
        Course::Ends => (None, sender.recorded.to_string()),
        Course::Happened => return None,
    };
    // Labels tell one alert from another, so those of its end are those of its beginning.
    let mut alert = json!({
        "labels": {
            "alertname": format!("gyre_{}", notice.name),
            "project": sender.project,
            "model": notice.model,
        },
        "annotations": {
            "summary": notice.title,
            "description": notice.text,
            "severity": notice.severity.name(),
        },
        "endsAt": ends,
    });
    if let Some(incident) = &notice.incident {
        alert["labels"]["incident"] = incident.as_str().into();
    }
    if let Some(starts) = starts {
        alert["startsAt"] = starts.into();
    }
    Some(json!([alert]))
}

/// `v1,` and the base64 of HMAC-SHA256 over `ID.SECONDS.BODY` (Standard Webhooks). A secret that begins with `whsec_` is the
/// base64 of the key, another one is the key.
fn sign(secret: &str, id: &str, seconds: &str, body: &str) -> String {
    let decoded = secret.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
    let key = decoded.unwrap_or_else(|| secret.as_bytes().to_vec());
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else {
        // HMAC takes keys of any length.
        return String::new();
    };
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use gyre_core::fact::{Alarm, Fact, Numbers};
    use gyre_core::{Entry, ModelName};

    use super::*;

    fn model() -> ModelName {
        "price".parse().unwrap()
    }

    fn notice(fact: Fact) -> Notice {
        let at = Timestamp::default();
        let actor = "controller".to_owned();
        let entry = Entry { seq: 7, at, recorded: at, actor, cause: None, key: None, origin: None, fact };
        Notice::of(&entry).unwrap()
    }

    fn letter(format: LetterFormat, notice: &Notice) -> Option<(Vec<(&'static str, String)>, Value)> {
        let at = Timestamp::from_millis(1_000);
        let sender = Sender { project: "shop", entry: 7, at, recorded: at, delivery: "d-1" };
        let (headers, body) = write(format, notice, &sender, Some("hush"), Timestamp::from_millis(2_000))?;
        Some((headers, serde_json::from_str(&body).unwrap()))
    }

    #[test]
    fn an_alarm_and_its_end_are_one_alert() {
        let numbers = Numbers::from([("loss".to_owned(), 12.5)]);
        let reason = "mae 12.5 > 8 & rising".to_owned();
        let raised = notice(Fact::AlarmRaised { model: model(), alarm: Alarm::Decay, reason, numbers });
        let reason = "mae 8".to_owned();
        let cleared = notice(Fact::AlarmCleared { model: model(), alarm: Alarm::Decay, reason });
        let (_, begun) = letter(LetterFormat::Alertmanager, &raised).unwrap();
        let (_, ended) = letter(LetterFormat::Alertmanager, &cleared).unwrap();
        assert_eq!(begun[0]["labels"], ended[0]["labels"]);
        assert_eq!(begun[0]["labels"]["alertname"], "gyre_decay");
        assert_eq!(
            (&begun[0]["startsAt"], &ended[0]["endsAt"]),
            (&json!("1970-01-01T00:00:01Z"), &json!("1970-01-01T00:00:01Z"))
        );
        let promoted =
            notice(Fact::Promoted { model: model(), version: 2, previous: None, reason: String::new() });
        assert_eq!(letter(LetterFormat::Alertmanager, &promoted), None);

        let (_, slack) = letter(LetterFormat::Slack, &raised).unwrap();
        assert_eq!(slack["attachments"][0]["text"], "mae 12.5 &gt; 8 &amp; rising");
        assert_eq!(slack["attachments"][0]["color"], "danger");
    }

    #[test]
    fn a_cloud_event_has_its_attributes_and_the_signature_of_standard_webhooks() {
        let paused = notice(Fact::LoopPaused { model: model(), reason: "three failures".to_owned() });
        let (headers, event) = letter(LetterFormat::CloudEvents, &paused).unwrap();
        assert_eq!(headers[0], ("Content-Type", "application/cloudevents+json".to_owned()));
        assert_eq!(
            (&event["specversion"], &event["type"], &event["source"], &event["id"]),
            (&json!("1.0"), &json!("dev.gyre.loop.paused"), &json!("/gyre/shop/models/price"), &json!("d-1"))
        );
        assert_eq!(event["data"]["severity"], "critical");
        // Made with Python's hmac module.
        for secret in ["hush", "whsec_aHVzaA=="] {
            assert_eq!(sign(secret, "d-1", "2", "{}"), "v1,69RQFOUOt+597ZOH4xOdwzlbPY7ZJXaLsE3giO8bMfw=");
        }
    }
}
