//! Incidents as people follow them: one account for each, from the facts that told of it.
//!
//! The controller tells when an incident opens, changes and closes, and people tell that they have taken note of it. Here those
//! entries become one story each, for the command line, the API and the control room alike.

use std::collections::BTreeMap;

use gyre_core::fact::{Fact, Incident};
use gyre_core::{Entry, Timestamp};
use serde::Serialize;

/// The kinds of fact that tell of incidents.
pub const KINDS: [&str; 4] =
    ["incident_opened", "incident_changed", "incident_closed", "incident_acknowledged"];

/// One incident, from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Account {
    /// What was told of it last.
    #[serde(flatten)]
    pub last: Incident,
    /// When it was first told, in event time.
    pub opened: Timestamp,
    /// When it ended; none while it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed: Option<Timestamp>,
    /// Who has taken note of it, oldest first.
    pub acknowledged: Vec<Note>,
    /// What was told of it, oldest first.
    pub course: Vec<Step>,
}

/// Somebody took note of an incident.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Note {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// Until when nothing is told of its cause; none when it is only known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
}

/// One entry of the journal about an incident.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// The entry.
    pub entry: u64,
    /// When, in event time.
    pub at: Timestamp,
    /// In words.
    pub words: String,
}

impl Account {
    /// Whether it is not over.
    pub fn is_open(&self) -> bool {
        self.closed.is_none()
    }
}

/// The accounts of what `entries`, oldest first, tell of incidents: those that are open first, then the newest first. Entries about
/// an incident that nothing before them tells of are passed over.
pub fn accounts<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<Account> {
    let mut found: BTreeMap<(String, String), Account> = BTreeMap::new();
    for entry in entries {
        let step = |words: String| Step { entry: entry.seq, at: entry.at, words };
        match &entry.fact {
            Fact::IncidentOpened(incident) | Fact::IncidentChanged(incident) => {
                let key = (incident.model.to_string(), incident.incident.clone());
                let account = found.entry(key).or_insert_with(|| Account {
                    last: incident.clone(),
                    opened: entry.at,
                    closed: None,
                    acknowledged: Vec::new(),
                    course: Vec::new(),
                });
                account.last = incident.clone();
                account.closed = None;
                let (severity, title) = (incident.severity.name(), incident.cause.title());
                account.course.push(step(format!("{severity}: {title}: {}", incident.changed)));
            }
            Fact::IncidentClosed { model, incident, reason, .. } => {
                if let Some(account) = found.get_mut(&(model.to_string(), incident.clone())) {
                    account.closed = Some(entry.at);
                    account.course.push(step(format!("over: {reason}")));
                }
            }
            Fact::IncidentAcknowledged { model, incident, until, by, reason } => {
                if let Some(account) = found.get_mut(&(model.to_string(), incident.clone())) {
                    let (at, by, until) = (entry.at, by.clone(), *until);
                    let silence =
                        until.map_or(String::new(), |until| format!(", and silenced it until {until}"));
                    account.course.push(step(format!("{by} took note of it{silence}: {reason}")));
                    account.acknowledged.push(Note { at, by, until, reason: reason.clone() });
                }
            }
            _ => {}
        }
    }
    let mut accounts: Vec<Account> = found.into_values().collect();
    let first = |account: &Account| account.course.first().map(|step| step.entry);
    accounts.sort_by_key(|account| (!account.is_open(), std::cmp::Reverse(first(account))));
    accounts
}

#[cfg(test)]
mod tests {
    use gyre_core::fact::{Cause, Numbers, Severity};

    use super::*;

    fn incident(name: &str, severity: Severity) -> Incident {
        Incident {
            model: "kiln".parse().unwrap(),
            incident: name.to_owned(),
            cause: Cause::StuckSensor,
            severity,
            columns: vec!["heat".to_owned()],
            since: Timestamp::default(),
            changed: "heat is 20 in 98 % of the rows".to_owned(),
            cost: "nothing yet".to_owned(),
            next: "nothing is trained".to_owned(),
            numbers: Numbers::new(),
            silenced: false,
        }
    }

    #[test]
    fn an_incident_is_one_account_whatever_was_told_of_it() {
        let model: gyre_core::ModelName = "kiln".parse().unwrap();
        let facts = [
            Fact::IncidentOpened(incident("1-data", Severity::Warning)),
            Fact::IncidentOpened(incident("2-world", Severity::Info)),
            Fact::IncidentChanged(incident("1-data", Severity::Critical)),
            Fact::IncidentAcknowledged {
                model: model.clone(),
                incident: "1-data".to_owned(),
                until: None,
                by: "user:ada".to_owned(),
                reason: "the sensor is being replaced".to_owned(),
            },
            Fact::IncidentClosed {
                model,
                incident: "1-data".to_owned(),
                cause: Cause::StuckSensor,
                reason: "no sign of it".to_owned(),
                silenced: false,
            },
        ];
        let at = |seq: usize| Timestamp::from_millis(seq as i64);
        let entry = |(seq, fact)| Entry {
            seq: seq as u64 + 1,
            at: at(seq),
            recorded: at(seq),
            actor: "controller".to_owned(),
            cause: None,
            key: None,
            origin: None,
            fact,
        };
        let entries: Vec<Entry> = facts.into_iter().enumerate().map(entry).collect();
        let told = accounts(&entries);
        let names: Vec<(&str, bool)> =
            told.iter().map(|account| (account.last.incident.as_str(), account.is_open())).collect();
        assert_eq!(names, [("2-world", true), ("1-data", false)]);
        let over = &told[1];
        assert_eq!((over.last.severity, over.opened, over.closed), (Severity::Critical, at(0), Some(at(4))));
        assert_eq!(over.acknowledged[0].by, "user:ada");
        assert_eq!(over.course.iter().map(|step| step.entry).collect::<Vec<_>>(), [1, 3, 4, 5]);
        assert_eq!(
            accounts(&entries[2..]).len(),
            1,
            "what is told of an incident without its beginning is its beginning"
        );
    }
}
