//! `gyre status`: how the project is.
//!
//! A running server knows most: the traffic that it serves, the window that just closed. Without one the store tells how
//! things stood when the last server stopped.

use std::collections::BTreeSet;
use std::sync::Arc;

use clap::Args;
use gyre_core::fact::{Cause, Severity};
use gyre_core::spec::Project;
use gyre_core::{ModelName, Timestamp, Version};
use gyre_govern::incidents::Account;
use gyre_loop::{Engine, State};
use gyre_store::{Head, Store, journal};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cli::{OutputArgs, ProjectArgs};
use crate::client::Server;
use crate::failure::Failure;
use crate::show;

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// The whole answer.
#[derive(Debug, Serialize)]
struct Status {
    project: String,
    server: Option<Address>,
    event_time: Option<Timestamp>,
    /// Why the loop cannot go on.
    trouble: Option<String>,
    journal: Option<Head>,
    models: Vec<ModelStatus>,
    /// What is wrong and not over, of all models, the newest first.
    incidents: Vec<OpenIncident>,
}

#[derive(Debug, Serialize)]
struct OpenIncident {
    model: ModelName,
    incident: String,
    severity: Severity,
    cause: Cause,
    since: Timestamp,
    changed: String,
    /// Whether somebody has taken note of it.
    acknowledged: bool,
}

#[derive(Debug, Serialize)]
struct Address {
    url: String,
    pid: u32,
}

/// One model at a glance: what the server says, or what can be said without it.
#[derive(Debug, Serialize, Deserialize)]
struct ModelStatus {
    name: ModelName,
    champion: Option<Version>,
    health: String,
    alarms: Vec<AlarmStatus>,
    doing: String,
    serving: Vec<Serving>,
    /// The champion's loss on rows withheld from its training.
    promised: Option<f64>,
    /// The last closed window; only a server tells.
    window: Option<Value>,
    /// What the loss is expected to be in the last window that has ended; only a server tells.
    #[serde(default)]
    expected: Option<Value>,
}

#[derive(Debug, Serialize, Deserialize)]
struct AlarmStatus {
    alarm: String,
    since: Timestamp,
    reason: String,
    entry: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Serving {
    version: Version,
    share: u32,
}

/// What `GET /v1/status` answers, as far as it is shown.
#[derive(Debug, Deserialize)]
struct Told {
    event_time: Timestamp,
    trouble: Option<String>,
    models: Vec<ModelStatus>,
}

pub(crate) fn run(args: &StatusArgs) -> Result<(), Failure> {
    let project = args.project.read_if_any()?;
    let store = args.project.store_if_any()?.map(Arc::new);
    let journal = store.as_ref().map(|store| store.read(journal::head)).transpose()?;
    let incidents = store.as_deref().map(open_incidents).transpose()?.unwrap_or_default();
    let running = Server::running(&args.project.project);
    let status = match (running, store) {
        (Some(server), _) => from_server(&project, server, journal)?,
        (None, Some(store)) => from_store(&project, &store, journal)?,
        (None, None) => Status {
            project: project.project.to_string(),
            server: None,
            event_time: None,
            trouble: None,
            journal,
            models: project.models.keys().map(untouched).collect(),
            incidents: Vec::new(),
        },
    };
    let status = Status { incidents, ..status };
    if args.output.json { show::json(&status) } else { show::say(text(&status)) }
}

fn from_server(project: &Project, server: Server, journal: Option<Head>) -> Result<Status, Failure> {
    let Told { event_time, trouble, models } = serde_json::from_value(server.get("/v1/status")?)?;
    let address = Address { url: server.url, pid: server.pid };
    Ok(Status {
        project: project.project.to_string(),
        server: Some(address),
        event_time: Some(event_time),
        trouble,
        journal,
        models,
        incidents: Vec::new(),
    })
}

fn from_store(project: &Project, store: &Arc<Store>, journal: Option<Head>) -> Result<Status, Failure> {
    let engine = Engine::open(Arc::clone(store), gyre_loop::policy::policies(project))?;
    let waiting = engine.pending()?;
    let deployed = store.read(gyre_registry::models)?;
    let deployed = deployed.into_iter().filter(|model| model.versions > 0).map(|model| model.name);
    let names: BTreeSet<ModelName> = project.models.keys().cloned().chain(deployed).collect();
    let models = names.iter().map(|name| {
        let waits = waiting.iter().filter(|pending| pending.action.model() == name);
        let waits: Vec<&str> = waits.map(|pending| pending.action.name()).collect();
        one(store, engine.state(), name, &waits)
    });
    let models = models.collect::<Result<_, Failure>>()?;
    let newest = journal.map(|head| head.size).filter(|size| *size > 0);
    let newest = newest.map(|size| store.read(|tx| journal::get(tx, size))).transpose()?;
    Ok(Status {
        project: project.project.to_string(),
        server: None,
        event_time: newest.map(|entry| entry.at),
        trouble: None,
        journal,
        models,
        incidents: Vec::new(),
    })
}

fn open_incidents(store: &Store) -> Result<Vec<OpenIncident>, Failure> {
    let accounts = super::incidents::of_store(store, None)?;
    let open = accounts.into_iter().filter(Account::is_open).map(|account| OpenIncident {
        acknowledged: !account.acknowledged.is_empty(),
        model: account.last.model,
        incident: account.last.incident,
        severity: account.last.severity,
        cause: account.last.cause,
        since: account.last.since,
        changed: account.last.changed,
    });
    Ok(open.collect())
}

fn one(store: &Store, state: &State, name: &ModelName, waits: &[&str]) -> Result<ModelStatus, Failure> {
    let mut status = untouched(name);
    let state = state.models.get(name).cloned().unwrap_or_default();
    let (champion, traffic, raised) = store.read(|tx| {
        let raised = journal::of_kind(tx, "alarm_raised", Some(name.as_str()))?;
        Ok((gyre_registry::champion(tx, name)?, gyre_registry::traffic(tx, name)?, raised))
    })?;
    status.champion = champion;
    status.serving = traffic.into_iter().map(|(version, share)| Serving { version, share }).collect();
    status.promised = champion.and_then(|version| state.versions.get(&version)?.promised);
    status.alarms = state
        .alarms
        .iter()
        .filter_map(|wanted| {
            raised.iter().rev().find_map(|entry| match &entry.fact {
                gyre_core::Fact::AlarmRaised { alarm, reason, .. } if alarm == wanted => Some(AlarmStatus {
                    alarm: alarm.name().to_owned(),
                    since: entry.at,
                    reason: reason.clone(),
                    entry: entry.seq,
                }),
                _ => None,
            })
        })
        .collect();
    status.health = match (champion, state.paused, status.alarms.is_empty()) {
        (None, _, _) => "not_serving",
        (Some(_), true, _) => "paused",
        (Some(_), false, true) => "well",
        (Some(_), false, false) => "alarm",
    }
    .to_owned();
    if !waits.is_empty() {
        status.doing = format!("stopped, with {} to do", waits.join(", "));
    }
    Ok(status)
}

fn untouched(name: &ModelName) -> ModelStatus {
    ModelStatus {
        name: name.clone(),
        champion: None,
        health: "not_serving".to_owned(),
        alarms: Vec::new(),
        doing: "stopped".to_owned(),
        serving: Vec::new(),
        promised: None,
        window: None,
        expected: None,
    }
}

fn text(status: &Status) -> String {
    let mut lines = vec![format!("project  {}", show::strong(&status.project))];
    lines.push(match &status.server {
        Some(Address { url, pid }) => format!("server   {} at {url}/ (process {pid})", show::good("up")),
        None => "server   not running (`gyre up` starts it)".to_owned(),
    });
    if let Some(time) = status.event_time {
        lines.push(format!("time     {} (event time)", show::minute(time)));
    }
    lines.push(match &status.journal {
        Some(head) => format!("journal  {} entries, root {}", head.size, head.root),
        None => "journal  none yet".to_owned(),
    });
    if let Some(trouble) = &status.trouble {
        lines.push(format!("trouble  {}", show::bad(trouble)));
    }
    lines.push(String::new());
    if status.models.is_empty() {
        lines.push("no models: declare one under `models:` in gyre.yaml".to_owned());
        return lines.join("\n");
    }
    let row = |model: &ModelStatus| {
        vec![
            model.name.to_string(),
            model.health.replace('_', " "),
            show::version(model.champion),
            show::shares(model.serving.iter().map(|serving| (serving.version, serving.share))),
            model.promised.map_or_else(|| "–".to_owned(), show::number),
            expected(model).map_or_else(|| "–".to_owned(), show::number),
            realised(model).map_or_else(|| "–".to_owned(), show::number),
            model.doing.clone(),
        ]
    };
    let header = ["MODEL", "HEALTH", "CHAMPION", "TRAFFIC", "PROMISED", "EXPECTED", "REALISED", "LOOP"];
    lines.push(show::table(&header, &[4, 5, 6], status.models.iter().map(row).collect()));
    for model in &status.models {
        for alarm in &model.alarms {
            let since = show::minute(alarm.since);
            let kind = show::bad(&alarm.alarm);
            lines.push(format!(
                "\n{kind}  {} since {since} (entry {}): {}",
                model.name, alarm.entry, alarm.reason
            ));
        }
    }
    lines.extend(status.incidents.iter().map(incident_line));
    if !status.incidents.is_empty() {
        lines.push("\n`gyre incidents show MODEL INCIDENT` tells more".to_owned());
    }
    lines.join("\n")
}

fn incident_line(incident: &OpenIncident) -> String {
    let severity = match incident.severity {
        Severity::Info => incident.severity.name().to_owned(),
        Severity::Warning | Severity::Critical => show::bad(incident.severity.name()),
    };
    let known = if incident.acknowledged { " (known)" } else { "" };
    format!(
        "\n{severity}{known}  {} since {}, incident {}: {}: {}",
        incident.model,
        show::minute(incident.since),
        incident.incident,
        incident.cause.title(),
        incident.changed
    )
}

/// The champion's loss in the last closed window.
fn realised(model: &ModelStatus) -> Option<f64> {
    model.window.as_ref()?.get("realised")?.get("loss")?.as_f64()
}

/// The champion's loss in the last window that has ended, as it is expected before its labels have come.
fn expected(model: &ModelStatus) -> Option<f64> {
    model.expected.as_ref()?.get("forecast")?.get("loss")?.as_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_tells_is_shown_with_its_alarms() {
        let told = serde_json::json!({
            "name": "air-time", "champion": 3, "health": "alarm", "doing": "watching", "promised": 7.02,
            "serving": [{"version": 3, "share": 9500, "requests": 12}, {"version": 4, "share": 500}],
            "window": {"realised": {"version": 3, "loss": 9.25}}, "expected": {"forecast": {"loss": 8.5}},
            "alarms": [{"alarm": "decay", "since": "2013-06-01T00:00:00Z", "reason": "worse", "entry": 7}],
        });
        let status = Status {
            project: "flights".to_owned(),
            server: Some(Address { url: "http://127.0.0.1:4973".to_owned(), pid: 7 }),
            event_time: None,
            trouble: None,
            journal: None,
            models: vec![serde_json::from_value(told).unwrap()],
            incidents: vec![OpenIncident {
                model: "air-time".parse().unwrap(),
                incident: "412-data".to_owned(),
                severity: Severity::Critical,
                cause: Cause::UnitChange,
                since: "2013-06-02T00:00:00Z".parse().unwrap(),
                changed: "distance is 1.6 times as large".to_owned(),
                acknowledged: true,
            }],
        };
        let text = text(&status);
        for words in [
            "critical",
            " (known)  air-time since 2013-06-02 00:00, incident 412-data: ",
            ": distance is 1.6 times as large",
            "gyre incidents show",
            "v3 95%, v4 5%",
            "7.02",
            "9.25",
            "since 2013-06-01 00:00 (entry 7): worse",
            ":4973/",
        ] {
            assert!(text.contains(words), "{words} in {text}");
        }
    }
}
