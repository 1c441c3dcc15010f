//! A journal entry as news: what kind, what happened in a few words, why, and which version it is about.
//!
//! The report, the control room and the terminal tell the same story in the same words, because they ask here.

use gyre_core::Entry;
use gyre_core::fact::{Alarm, Decision, Fact, Verdict};
use gyre_core::spec::Window;
use gyre_report::loop_report::{Event, EventKind};

/// The entry as an event, when it is worth a line. What only feeds other facts (windows, segments, runs that went well,
/// traffic that a step of a rollout moved) is not.
pub fn of(entry: &Entry) -> Option<Event> {
    let (kind, title, reason, version) = tell(&entry.fact)?;
    let version = version.map(version_name);
    Some(Event { at_ms: entry.at.as_millis(), seq: Some(entry.seq), kind, title, reason, version })
}

/// A version as the story names it: `v7`.
pub fn version_name(version: gyre_core::Version) -> String {
    format!("v{version}")
}

type News = (EventKind, String, String, Option<gyre_core::Version>);

fn tell(fact: &Fact) -> Option<News> {
    let news = match fact {
        Fact::ProjectLoaded { project, code, .. } => {
            let commit = code.commit.as_deref().map_or(String::new(), |commit| {
                let dirty = if code.dirty { ", with changes" } else { "" };
                format!("at commit {:.12}{dirty}", commit)
            });
            (EventKind::Note, format!("project {project} is in force"), commit, None)
        }
        Fact::DataRefused { dataset, reasons, .. } => {
            (EventKind::Refused, format!("data of {dataset} refused"), reasons.join("\n"), None)
        }
        Fact::RunFailed { run, reason, .. } => {
            (EventKind::Failed, format!("run {run} failed"), reason.clone(), None)
        }
        Fact::VersionRegistered(made) => {
            let holdout: Vec<String> =
                made.holdout.iter().map(|(name, value)| format!("{name} {}", short(*value))).collect();
            let reason = match &made.run {
                Some(run) => format!("by run {run}; on withheld rows: {}", holdout.join(", ")),
                None => match &made.source {
                    Some(source) => format!("from {source}; runs as {}", made.runtime),
                    None => format!("brought by hand; runs as {}", made.runtime),
                },
            };
            let of = made.made_of().map(|of| format!(", {of}")).unwrap_or_default();
            (EventKind::Note, format!("version {} registered{of}", made.version), reason, Some(made.version))
        }
        Fact::GatesJudged { version, passed, results, .. } => {
            let said = results.iter().map(|result| {
                let sign = if result.passed { "✓" } else { "✗" };
                format!("{sign} {} ({})", result.gate, result.because)
            });
            let (kind, verb) = if *passed {
                (EventKind::GatePassed, "passed")
            } else {
                (EventKind::Refused, "did not pass")
            };
            let title = format!("version {version} {verb} its gates");
            (kind, title, said.collect::<Vec<_>>().join("\n"), Some(*version))
        }
        Fact::AlarmRaised { alarm, reason, .. } => {
            (EventKind::Alarm, alarm_name(*alarm).to_owned(), reason.clone(), None)
        }
        Fact::AlarmCleared { alarm, reason, .. } => {
            (EventKind::Note, format!("{} is over", alarm_name(*alarm)), reason.clone(), None)
        }
        Fact::IncidentOpened(incident) | Fact::IncidentChanged(incident) => {
            let title = format!("{}: {}", incident.severity.name(), incident.cause.title());
            let reason =
                format!("{}\ncost: {}\nwhat follows: {}", incident.changed, incident.cost, incident.next);
            (EventKind::Alarm, title, reason, None)
        }
        Fact::IncidentClosed { cause, reason, .. } => {
            (EventKind::Note, format!("over: {}", cause.title()), reason.clone(), None)
        }
        Fact::IncidentAcknowledged { incident, by, reason, .. } => {
            (EventKind::Note, format!("{by} has taken note of incident {incident}"), reason.clone(), None)
        }
        Fact::VersionsCompared { scores, period, .. } => {
            let said: Vec<String> = scores
                .iter()
                .map(|score| {
                    format!("version {}: {} on {} rows", score.version, short(score.loss), score.rows)
                })
                .collect();
            let title = format!(
                "{} versions compared on {} to {}",
                scores.len(),
                period.from.date(),
                period.to.date()
            );
            (EventKind::Note, title, said.join("\n"), None)
        }
        Fact::DecisionTaken { decision, reason, .. } => {
            let (kind, title, version) = decided(decision);
            (kind, title, reason.clone(), version)
        }
        Fact::RolloutStarted { candidate, steps, .. } => {
            let steps: Vec<String> = steps.iter().map(|step| share(*step)).collect();
            let reason = format!("by the steps {}", steps.join(", "));
            (EventKind::Rollout, format!("rollout of version {candidate} begins"), reason, Some(*candidate))
        }
        Fact::RolloutAsked { version, reason, .. } => {
            let title = format!("version {version} is to be rolled out");
            (EventKind::Rollout, title, reason.clone(), Some(*version))
        }
        Fact::StepObserved { candidate, step, verdict, reason, .. } => {
            let verdict = match verdict {
                Verdict::Continue => "may go on",
                Verdict::RollBack => "must go back",
            };
            let title = format!("version {candidate} {verdict} after step {}", step.saturating_add(1));
            (EventKind::Rollout, title, reason.clone(), Some(*candidate))
        }
        Fact::SplitRuled { split, reason, .. } => {
            let title = match split.rules.len() {
                0 => "no rule decides who answers".to_owned(),
                1 => "a rule decides who answers".to_owned(),
                many => format!("{many} rules decide who answers"),
            };
            (EventKind::Rollout, title, reason.clone(), None)
        }
        Fact::ArmsWeighed { round, winner, reason, .. } => {
            let title = match winner {
                Some(version) => format!("the bandit chose version {version}"),
                None => format!("the bandit weighed its arms, round {}", round.saturating_add(1)),
            };
            (EventKind::Rollout, title, reason.clone(), *winner)
        }
        Fact::Promoted { version, previous, reason, .. } => {
            let after = previous.map_or(String::new(), |previous| format!(" after version {previous}"));
            (
                EventKind::Promoted,
                format!("version {version} is champion{after}"),
                reason.clone(),
                Some(*version),
            )
        }
        Fact::RolledBack { from, to, reason, .. } => (
            EventKind::RolledBack,
            format!("back from version {from} to version {to}"),
            reason.clone(),
            Some(*to),
        ),
        Fact::TrainingDue { trigger, reason, .. } => {
            let title = format!("a training is due: {}", trigger.replace('_', " "));
            (EventKind::Note, title, reason.clone(), None)
        }
        Fact::WaitEnded { reason, .. } => {
            (EventKind::Note, "the wait is over".to_owned(), reason.clone(), None)
        }
        Fact::ActionFailed { action, reason, .. } => {
            (EventKind::Failed, format!("{action} failed"), reason.clone(), None)
        }
        Fact::LoopPaused { reason, .. } => {
            (EventKind::Failed, "the loop is paused".to_owned(), reason.clone(), None)
        }
        Fact::LoopResumed { .. } => (EventKind::Note, "the loop goes on".to_owned(), String::new(), None),
        Fact::ModelUnloaded { .. } => {
            (EventKind::Note, "the model was unloaded".to_owned(), String::new(), None)
        }
        Fact::ModelLoaded { .. } => {
            (EventKind::Note, "the model was loaded again".to_owned(), String::new(), None)
        }
        Fact::LogTroubled { dropped, problem, .. } => {
            let told = Fact::log_trouble(*dropped, problem.as_deref());
            (EventKind::Note, told, String::new(), None)
        }
        Fact::DataRecorded(_)
        | Fact::RunFinished(_)
        | Fact::WindowClosed(_)
        | Fact::LossEstimated(_)
        | Fact::TrafficShifted { .. }
        | Fact::SegmentClosed { .. }
        | Fact::Tracking(_)
        | Fact::Registry(_)
        | Fact::Access(_) => return None,
    };
    Some(news)
}

fn decided(decision: &Decision) -> (EventKind, String, Option<gyre_core::Version>) {
    match decision {
        Decision::Keep => (EventKind::Keep, "leave everything as it is".to_owned(), None),
        Decision::Compare => {
            (EventKind::Note, "look closer: compare versions on recent rows".to_owned(), None)
        }
        Decision::Recall { version } => {
            (EventKind::Recall, format!("bring version {version} back"), Some(*version))
        }
        Decision::Retrain { window: Window::All } => {
            (EventKind::Retrain, "train on all data".to_owned(), None)
        }
        Decision::Retrain { window: Window::Last(span) } => {
            (EventKind::Retrain, format!("train on the last {span}"), None)
        }
        Decision::Retrain { window: Window::Fading(half_life) } => {
            (EventKind::Retrain, format!("train on all data, half of what is {half_life} old"), None)
        }
        Decision::RollOut { version } => {
            (EventKind::Rollout, format!("give version {version} traffic, step by step"), Some(*version))
        }
        Decision::Recalibrate { window } => {
            (EventKind::Retrain, format!("put the champion's answers right by the labels of {window}"), None)
        }
        Decision::Refit { version } => {
            let told = format!("train version {version} once more, on the withheld rows too");
            (EventKind::Retrain, told, Some(*version))
        }
        Decision::Refuse { version } => {
            (EventKind::Refused, format!("do not use version {version}"), Some(*version))
        }
    }
}

fn alarm_name(alarm: Alarm) -> &'static str {
    match alarm {
        Alarm::Decay => "decay",
        Alarm::DecayExpected => "expected decay",
        Alarm::Drift => "drift",
    }
}

/// A share of traffic in hundredths of a percent, as people write it.
pub(crate) fn share(hundredths: u32) -> String {
    format!("{}%", f64::from(hundredths) / 100.0)
}

fn short(value: f64) -> String {
    gyre_report::format::number(value)
}
