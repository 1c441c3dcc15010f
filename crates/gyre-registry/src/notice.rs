//! What people are told of a model's life: a fact in the words of a message, or nothing.
//!
//! A notice is made of a journal entry alone, so that telling it can be repeated after a crash and says the same again.

use gyre_core::fact::{Alarm, Decision, Fact, Incident, Numbers, Severity};
use gyre_core::spec::Topic;
use gyre_core::{Entry, ModelName};

/// Something that a person or a pager is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// What it belongs to.
    pub topic: Topic,
    /// The model.
    pub model: ModelName,
    /// What happened, as a word: `alarm.raised`.
    pub event: &'static str,
    /// What is wrong, for those that group what is wrong and what is wrong no more.
    pub name: &'static str,
    /// Which incident it is about.
    pub incident: Option<String>,
    /// Whether it begins, ends, or just happened.
    pub course: Course,
    /// How bad it is.
    pub severity: Severity,
    /// In a line.
    pub title: String,
    /// In words, with the numbers.
    pub text: String,
    /// The numbers.
    pub numbers: Numbers,
}

/// The course of what is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// It begins, and lasts until its end is told.
    Begins,
    /// It ends.
    Ends,
    /// It happened.
    Happened,
}

impl Notice {
    /// What `entry` is to people; nothing of what is no news.
    pub fn of(entry: &Entry) -> Option<Self> {
        let model = entry.fact.model()?.clone();
        let notice = |topic, event, name, course, severity, title: String, text: &str| Self {
            topic,
            model: model.clone(),
            event,
            name,
            incident: None,
            course,
            severity,
            title: format!("{model}: {title}"),
            text: text.to_owned(),
            numbers: Numbers::new(),
        };
        let happened = |topic, event, severity, title: String, text: &str| {
            notice(topic, event, event, Course::Happened, severity, title, text)
        };
        let of_incident = |event, incident: &Incident| {
            let Incident { cause, severity, changed, cost, next, numbers, incident, .. } = incident;
            let text = format!("{changed}\n{cost}\n{next}");
            let title = cause.title().to_owned();
            let told = notice(Topic::Incidents, event, "incident", Course::Begins, *severity, title, &text);
            Self { numbers: numbers.clone(), incident: Some(incident.clone()), ..told }
        };
        Some(match &entry.fact {
            // Somebody asked not to be told.
            Fact::IncidentOpened(incident) | Fact::IncidentChanged(incident) if incident.silenced => {
                return None;
            }
            Fact::IncidentOpened(incident) => of_incident("incident.opened", incident),
            Fact::IncidentChanged(incident) => of_incident("incident.changed", incident),
            Fact::IncidentClosed { incident, cause, reason, .. } => {
                let title = format!("over: {}", cause.title());
                let told = notice(
                    Topic::Incidents,
                    "incident.closed",
                    "incident",
                    Course::Ends,
                    Severity::Info,
                    title,
                    reason,
                );
                Self { incident: Some(incident.clone()), ..told }
            }
            Fact::AlarmRaised { alarm, reason, numbers, .. } => {
                let (name, words) = named(*alarm);
                let severity = if *alarm == Alarm::Decay { Severity::Critical } else { Severity::Warning };
                let told = notice(
                    Topic::Alarms,
                    "alarm.raised",
                    name,
                    Course::Begins,
                    severity,
                    words.to_owned(),
                    reason,
                );
                Self { numbers: numbers.clone(), ..told }
            }
            Fact::AlarmCleared { alarm, reason, .. } => {
                let (name, words) = named(*alarm);
                let title = format!("over: {words}");
                notice(Topic::Alarms, "alarm.cleared", name, Course::Ends, Severity::Info, title, reason)
            }
            Fact::DecisionTaken { decision, reason, numbers, .. } => {
                let (event, title) = decided(decision)?;
                let told = happened(Topic::Repairs, event, Severity::Info, title, reason);
                Self { numbers: numbers.clone(), ..told }
            }
            Fact::RunFailed { reason, .. } => happened(
                Topic::Repairs,
                "training.failed",
                Severity::Warning,
                "a training failed".to_owned(),
                reason,
            ),
            Fact::ActionFailed { action, reason, .. } => {
                let title = format!("`{action}` came to nothing");
                happened(Topic::Repairs, "action.failed", Severity::Warning, title, reason)
            }
            Fact::LoopPaused { reason, .. } => {
                let title = "the loop gave up, and waits for a person".to_owned();
                notice(
                    Topic::Repairs,
                    "loop.paused",
                    "loop_paused",
                    Course::Begins,
                    Severity::Critical,
                    title,
                    reason,
                )
            }
            Fact::LoopResumed { .. } => {
                let title = "the loop goes on".to_owned();
                notice(Topic::Repairs, "loop.resumed", "loop_paused", Course::Ends, Severity::Info, title, "")
            }
            Fact::RolloutStarted { candidate, .. } => {
                let title = format!("version {candidate} is rolled out");
                happened(Topic::Rollouts, "rollout.started", Severity::Info, title, "")
            }
            Fact::Promoted { version, reason, .. } => {
                let title = format!("version {version} is the champion");
                happened(Topic::Rollouts, "version.promoted", Severity::Info, title, reason)
            }
            Fact::RolledBack { from, to, reason, .. } => {
                let title = format!("traffic went back from version {from} to version {to}");
                happened(Topic::Rollouts, "version.rolled_back", Severity::Warning, title, reason)
            }
            _ => return None,
        })
    }
}

const fn named(alarm: Alarm) -> (&'static str, &'static str) {
    let words = match alarm {
        Alarm::Decay => "the loss is worse than promised",
        Alarm::DecayExpected => "the loss is expected to be worse than promised, before its labels have come",
        Alarm::Drift => "inputs or predictions have moved",
    };
    (alarm.name(), words)
}

fn decided(decision: &Decision) -> Option<(&'static str, String)> {
    Some(match decision {
        Decision::Recall { version } => ("repair.recall", format!("version {version} is brought back")),
        Decision::Retrain { window } => ("repair.retrain", format!("a new version is trained on {window}")),
        Decision::Recalibrate { window } => {
            ("repair.recalibrate", format!("the champion's answers are put right by {window}"))
        }
        Decision::Refuse { version } => {
            ("repair.refused", format!("version {version} did not pass its gates"))
        }
        Decision::Keep | Decision::Compare | Decision::RollOut { .. } | Decision::Refit { .. } => {
            return None;
        }
    })
}
