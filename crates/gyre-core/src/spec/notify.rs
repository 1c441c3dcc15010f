//! `notify`: who is told when something is wrong with a model, and when it is repaired.

use serde::{Deserialize, Serialize};
use serde_saphyr::{Location, Spanned};

use crate::{Diagnostic, ModelName};

/// How the names of variables begin that may hold what receivers of notifications are reached with: no other secret of the server's
/// can be sent there.
pub const NOTIFY_SECRETS: &str = "GYRE_NOTIFY_";

/// Somebody who is told.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receiver {
    /// Where.
    #[serde(default)]
    pub url: Option<Spanned<String>>,
    /// The variable of the server's environment that holds the address, where it is a secret itself (Slack's is).
    #[serde(default)]
    pub url_from: Option<Spanned<String>>,
    /// In which form.
    #[serde(default)]
    pub format: LetterFormat,
    /// Of what; of incidents, repairs and rollouts, when nothing is said.
    #[serde(default = "Topic::usual")]
    pub about: Vec<Topic>,
    /// Of which models; of all, when none is named.
    #[serde(default)]
    pub models: Vec<ModelName>,
    /// The variable of the server's environment that holds the secret that signs.
    #[serde(default)]
    pub secret_from: Option<Spanned<String>>,
}

/// The form in which a receiver is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LetterFormat {
    /// CloudEvents 1.0 in structured mode, signed as Standard Webhooks are.
    #[default]
    CloudEvents,
    /// A message for an incoming webhook of Slack, which Mattermost, Rocket.Chat and others take too.
    Slack,
    /// An alert for `POST /api/v2/alerts` of Prometheus' Alertmanager.
    Alertmanager,
}

impl LetterFormat {
    /// The name in `gyre.yaml`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CloudEvents => "cloudevents",
            Self::Slack => "slack",
            Self::Alertmanager => "alertmanager",
        }
    }

    /// The format of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::CloudEvents, Self::Slack, Self::Alertmanager].into_iter().find(|format| format.name() == name)
    }
}

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    /// Something is wrong, and why most likely: each incident when it opens, changes and closes.
    Incidents,
    /// A number left its bounds, or is back: what incidents are made of.
    Alarms,
    /// Repairs: what the loop decided, what failed, that it gave up.
    Repairs,
    /// Who serves: promotions, and traffic that went back.
    Rollouts,
}

impl Topic {
    /// What is told when nothing is said: everything but the alarms that incidents are made of.
    pub fn usual() -> Vec<Self> {
        vec![Self::Incidents, Self::Repairs, Self::Rollouts]
    }

    /// The name in `gyre.yaml`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Incidents => "incidents",
            Self::Alarms => "alarms",
            Self::Repairs => "repairs",
            Self::Rollouts => "rollouts",
        }
    }
}

/// Everything that makes no sense in a receiver.
pub(super) fn check(file: &str, name: &str, receiver: &Receiver, wrong: &mut Vec<Diagnostic>) {
    let say = |text: &str, place: Location| {
        Diagnostic::new(file, format!("notify.{name}: {text}")).at(place.line(), place.column())
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if name.is_empty()
        || name.len() > 40
        || !name.chars().all(fits)
        || name.starts_with('-')
        || name.ends_with('-')
    {
        let place = receiver.url.as_ref().or(receiver.url_from.as_ref()).map(|of| of.referenced);
        wrong.push(
            say("is no name of a receiver", place.unwrap_or(Location::UNKNOWN))
                .expected("1 to 40 letters, digits or `-`, a letter or digit first and last"),
        );
    }
    match (&receiver.url, &receiver.url_from) {
        (Some(url), None) => {
            if !url.value.starts_with("https://") && !url.value.starts_with("http://") {
                wrong.push(say("`url` is no address", url.referenced).expected("url: https://HOST/PATH"));
            }
        }
        (None, Some(_)) => {}
        (Some(url), Some(_)) => {
            wrong.push(say("it has two addresses", url.referenced).help("leave out `url` or `url_from`"))
        }
        (None, None) => wrong.push(
            say("it has no address", Location::UNKNOWN)
                .expected(format!("url: https://HOST/PATH, or url_from: {NOTIFY_SECRETS}…")),
        ),
    }
    for (key, variable) in [("url_from", &receiver.url_from), ("secret_from", &receiver.secret_from)] {
        let Some(variable) = variable else { continue };
        // What is there may be the secret itself, so it is not said.
        if !variable.value.starts_with(NOTIFY_SECRETS) || variable.value.contains("://") {
            wrong.push(
                say(&format!("`{key}` names a variable of the server's environment"), variable.referenced)
                    .expected(format!("{key}: {NOTIFY_SECRETS}…")),
            );
        }
    }
}
