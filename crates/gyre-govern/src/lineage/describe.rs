//! Each kind of fact in a line.

use gyre_core::fact::{CodeVersion, DataVersion, Decision, ModelVersion, Run};
use gyre_core::{Entry, Fact};

use super::reference::Ref;
use super::tree::{Node, NodeKind};

/// The node of a journal entry.
pub(super) fn node(entry: &Entry) -> Node {
    let by_entry = Ref::Entry(entry.seq).to_string();
    let (kind, reference, text) = match &entry.fact {
        Fact::DataRecorded(data) => (NodeKind::Data, data_ref(data), data_text(data)),
        Fact::RunFinished(run) => (NodeKind::Run, Ref::Run(run.run.clone()).to_string(), run_text(run)),
        Fact::RunFailed { run, reason, .. } => {
            (NodeKind::Run, Ref::Run(run.clone()).to_string(), format!("run {run} failed: {reason}"))
        }
        Fact::VersionRegistered(version) => {
            (NodeKind::ModelVersion, version_ref(version), version_text(version))
        }
        Fact::GatesJudged { version, passed, results, .. } => {
            let held = results.iter().filter(|result| result.passed).count();
            let verdict = if *passed { "passed" } else { "did not pass" };
            let text = format!("version {version} {verdict} its gates ({held} of {} hold)", results.len());
            (NodeKind::Gates, by_entry, text)
        }
        Fact::WindowClosed(window) => {
            let (from, to) = (window.period.from.date(), window.period.to.date());
            let text = format!(
                "window {from} to {to}: {} predictions, {} labels, champion {}",
                window.predictions, window.labels, window.champion
            );
            (NodeKind::Window, by_entry, text)
        }
        Fact::LossEstimated(estimate) => (NodeKind::Window, by_entry, estimate.summary()),
        Fact::AlarmRaised { reason, .. } => (NodeKind::Fact, by_entry, format!("alarm: {reason}")),
        Fact::AlarmCleared { reason, .. } => (NodeKind::Fact, by_entry, format!("alarm cleared: {reason}")),
        Fact::IncidentOpened(incident) | Fact::IncidentChanged(incident) => {
            (NodeKind::Fact, by_entry, incident.summary())
        }
        Fact::IncidentClosed { incident, cause, reason, .. } => {
            let text = format!("incident {incident} is over ({}): {reason}", cause.title());
            (NodeKind::Fact, by_entry, text)
        }
        Fact::IncidentAcknowledged { incident, by, .. } => {
            (NodeKind::Fact, by_entry, format!("{by} has taken note of incident {incident}"))
        }
        Fact::VersionsCompared { scores, .. } => {
            let scores: Vec<String> =
                scores.iter().take(8).map(|score| format!("{} {:.3}", score.version, score.loss)).collect();
            let text = format!("versions compared on the same rows (loss: {})", scores.join(", "));
            (NodeKind::Fact, by_entry, text)
        }
        Fact::DecisionTaken { decision, reason, .. } => {
            let text = format!("{} decided to {}: {reason}", entry.actor, decided(decision));
            (NodeKind::Decision, by_entry, text)
        }
        Fact::RolloutStarted { candidate, .. } => {
            (NodeKind::Rollout, by_entry, format!("rollout of version {candidate} began"))
        }
        Fact::RolloutAsked { version, reason, .. } => {
            let text = format!("{} asked to roll version {version} out: {reason}", entry.actor);
            (NodeKind::Rollout, by_entry, text)
        }
        Fact::StepObserved { step, reason, .. } => {
            (NodeKind::Rollout, by_entry, format!("step {} of the rollout: {reason}", step + 1))
        }
        Fact::TrafficShifted { weights, reason, .. } => {
            let weights: Vec<String> = weights
                .iter()
                .map(|(version, share)| format!("version {version} {} %", f64::from(*share) / 100.0))
                .collect();
            (NodeKind::Rollout, by_entry, format!("traffic: {}: {reason}", weights.join(", ")))
        }
        Fact::SplitRuled { split, reason, .. } => {
            let rules: Vec<String> =
                split.rules.iter().map(|rule| format!("`{}` to {}", rule.when, rule.to)).collect();
            let rules = if rules.is_empty() { "none".to_owned() } else { rules.join(", ") };
            (NodeKind::Rollout, by_entry, format!("rules of the split: {rules}: {reason}"))
        }
        Fact::ArmsWeighed { round, reason, .. } => {
            (NodeKind::Rollout, by_entry, format!("bandit, round {}: {reason}", round.saturating_add(1)))
        }
        Fact::Promoted { version, reason, .. } => {
            let text = format!("{} made version {version} champion: {reason}", entry.actor);
            (NodeKind::Rollout, by_entry, text)
        }
        Fact::RolledBack { from, to, reason, .. } => {
            let text = format!("{} rolled version {from} back to version {to}: {reason}", entry.actor);
            (NodeKind::Rollout, by_entry, text)
        }
        Fact::SegmentClosed { name, digest, predictions, labels, .. } => {
            let text = format!(
                "segment {name} ({predictions} predictions, {labels} labels), SHA-256 {}",
                digest.short()
            );
            (NodeKind::Segment, by_entry, text)
        }
        Fact::LogTroubled { dropped, problem, .. } => {
            (NodeKind::Fact, by_entry, Fact::log_trouble(*dropped, problem.as_deref()))
        }
        Fact::DataRefused { dataset, reasons, .. } => {
            (NodeKind::Fact, by_entry, format!("data of `{dataset}` refused: {}", reasons.join("; ")))
        }
        Fact::ActionFailed { action, reason, .. } => {
            (NodeKind::Fact, by_entry, format!("action {action} failed: {reason}"))
        }
        Fact::TrainingDue { trigger, reason, .. } => {
            (NodeKind::Fact, by_entry, format!("a training is due ({trigger}): {reason}"))
        }
        Fact::WaitEnded { reason, .. } => (NodeKind::Fact, by_entry, format!("the wait is over: {reason}")),
        Fact::LoopPaused { reason, .. } => (NodeKind::Fact, by_entry, format!("loop paused: {reason}")),
        Fact::LoopResumed { .. } => (NodeKind::Fact, by_entry, format!("{} resumed the loop", entry.actor)),
        Fact::ModelUnloaded { .. } => {
            (NodeKind::Fact, by_entry, format!("{} unloaded the model", entry.actor))
        }
        Fact::ModelLoaded { .. } => (NodeKind::Fact, by_entry, format!("{} loaded the model", entry.actor)),
        Fact::Tracking(change) => (NodeKind::Fact, by_entry, change.summary()),
        Fact::Registry(change) => (NodeKind::Fact, by_entry, change.summary()),
        Fact::Access(change) => (NodeKind::Fact, by_entry, change.summary()),
        Fact::ProjectLoaded { project, code, .. } => {
            (NodeKind::Fact, by_entry, format!("project `{project}` loaded at {}", code_text(code)))
        }
    };
    Node { kind, reference, entry: Some(entry.seq), at: Some(entry.at), text }
}

/// Where the code stood.
pub(super) fn code(code: &CodeVersion) -> Node {
    let reference = code.commit.clone().unwrap_or_default();
    Node { kind: NodeKind::Code, reference, entry: None, at: None, text: code_text(code) }
}

fn code_text(code: &CodeVersion) -> String {
    match (&code.commit, code.dirty) {
        (Some(commit), false) => format!("commit {commit}"),
        (Some(commit), true) => format!("commit {commit} with uncommitted changes"),
        (None, _) => "code outside of any commit".to_owned(),
    }
}

fn data_ref(data: &DataVersion) -> String {
    Ref::Data(data.digest.to_hex()).to_string()
}

fn data_text(data: &DataVersion) -> String {
    let period = data.period.map_or(String::new(), |of| format!(", {} to {}", of.from.date(), of.to.date()));
    format!("data version {} of `{}` ({} rows{period})", data.digest.short(), data.dataset, data.rows)
}

fn run_text(run: &Run) -> String {
    let metrics: Vec<String> =
        run.metrics.iter().take(4).map(|(name, value)| format!("{name} {value:.3}")).collect();
    let metrics = if metrics.is_empty() { String::new() } else { format!(" ({})", metrics.join(", ")) };
    format!("run {}{metrics}", run.run)
}

fn version_ref(version: &ModelVersion) -> String {
    Ref::Version(version.model.clone(), version.version).to_string()
}

fn version_text(version: &ModelVersion) -> String {
    let place = if version.runtime.is_native() { String::new() } else { format!(", {}", version.runtime) };
    // What the loop trained comes from its run; anything else from where it was brought from.
    let from = version.source.as_ref().filter(|_| !version.is_trained_here());
    let from = from.map_or_else(String::new, |source| format!(", from {source}"));
    let made = version.made_of().map_or_else(String::new, |of| format!(", {of}"));
    format!("model version {}, SHA-256 {}{place}{from}{made}", version_ref(version), version.artifact.short())
}

/// A run of the tracking server, which the journal knows by name.
pub(super) fn logged_run(run: &str) -> Node {
    let text = format!("run {run}, logged by a client of the tracking server");
    Node { kind: NodeKind::Run, reference: Ref::Run(run.to_owned()).to_string(), entry: None, at: None, text }
}

fn decided(decision: &Decision) -> String {
    match decision {
        Decision::Keep => "keep everything as it is".to_owned(),
        Decision::Compare => "compare all versions".to_owned(),
        Decision::Recall { version } => format!("recall version {version}"),
        Decision::Retrain { window } => format!("retrain on {window}"),
        Decision::RollOut { version } => format!("roll version {version} out"),
        Decision::Recalibrate { window } => {
            format!("put the champion's answers right by the labels of {window}")
        }
        Decision::Refit { version } => format!("train version {version} once more, on the withheld rows too"),
        Decision::Refuse { version } => format!("refuse version {version}"),
    }
}
