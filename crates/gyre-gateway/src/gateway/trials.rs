//! What the gateway knows of candidates, and what it does about those that are worse: trials, the shadow, and labels.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use gyre_core::record::Label;
use gyre_core::{ModelName, Span, Version};

use super::Gateway;
use super::deployment::{Deployment, Group};
use super::loaded::Scored;
use crate::error::{InferError, LogError};
use crate::log::{Brought, Intake};
use crate::request::Answer;
use crate::shadow::ShadowFinding;
use crate::trial::{Finding, Recalled, Trial};

impl Gateway {
    /// Takes a convicted candidate out of traffic at once. The journal hears of it from whoever judges the rollout.
    pub(super) fn brake(&self, model: &str, trial: &Arc<Trial>) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(current) = self.deployment(model) else { return };
        let ours = current.trials.iter().any(|there| Arc::ptr_eq(there, trial));
        if let (true, Some(traffic)) = (ours, &current.traffic) {
            let mut next = Deployment::clone(&current);
            let kept = next.without_convicted(&traffic.weights, traffic.champion);
            next.direct(&kept, traffic.champion);
            self.swap(next);
        }
    }

    /// What the trial of a candidate has shown; none when it is not on trial.
    pub fn finding(&self, model: &ModelName, candidate: Version) -> Option<Finding> {
        let deployment = self.deployment(model.as_str())?;
        let trial = deployment.trials.iter().find(|trial| trial.candidate() == candidate)?;
        Some(trial.finding())
    }

    /// Has the trial of a candidate know what the log kept of its rollout ([`Trial::recall`]).
    pub fn recall(&self, model: &ModelName, candidate: Version, rows: &[Recalled]) {
        let Some(deployment) = self.deployment(model.as_str()) else { return };
        let trial = deployment.trials.iter().find(|trial| trial.candidate() == candidate);
        if let Some(trial) = trial.filter(|trial| trial.recall(rows)) {
            self.brake(model.as_str(), trial);
        }
    }

    /// The candidates that their trials have convicted, with what was shown.
    pub fn convicted(&self, model: &ModelName) -> Vec<(Version, Finding)> {
        let Some(deployment) = self.deployment(model.as_str()) else { return Vec::new() };
        let convicted = deployment.trials.iter().filter(|trial| trial.is_convicted());
        convicted.map(|trial| (trial.candidate(), trial.finding())).collect()
    }

    /// What a candidate has shown in the shadow of the champion; none when it was never there in this rollout.
    pub fn shadow(&self, model: &ModelName, candidate: Version) -> Option<ShadowFinding> {
        let deployment = self.deployment(model.as_str())?;
        let shadow = deployment.shadow.as_ref().filter(|shadow| shadow.candidate() == candidate)?;
        Some(shadow.finding())
    }

    /// Hands a call of one row, that chance routed, to the trials.
    pub(super) fn try_out(
        &self,
        deployment: &Deployment,
        group: &Group<'_>,
        id: &str,
        started: Instant,
        scored: &Result<Scored, InferError>,
    ) {
        // A request that was refused says nothing about the version.
        let answered = match scored {
            // One that was answered by what is kept says nothing either.
            Ok(scored) if !scored.is_evidence() => return,
            Ok(_) => true,
            Err(error) if error.blames_the_model() => false,
            Err(_) => return,
        };
        for trial in &deployment.trials {
            let weight = deployment.weight(trial);
            if trial.observe(group.loaded.version, weight, id, started.elapsed(), answered) {
                self.brake(deployment.model.as_str(), trial);
            }
        }
    }

    /// Takes labels in; returns once they are on disk. A candidate whose answers they prove to be worse takes no more traffic
    /// from then on.
    ///
    /// # Errors
    /// As [`InferenceLog::append_labels`].
    pub fn append_labels(&self, model: &str, labels: Vec<Label>) -> Result<(), LogError> {
        let tried = self.deployment(model).filter(|found| !found.trials.is_empty());
        let Some(tried) = tried else { return self.log.append_labels(model, labels) };
        self.log.append_labels(model, labels.clone())?;
        self.tell_trials(&tried, &labels);
        Ok(())
    }

    /// Takes labels in that may be there already, and says what became of them; see [`InferenceLog::bring_labels`]. Those that
    /// are new count as [`Gateway::append_labels`] says.
    ///
    /// # Errors
    /// As [`InferenceLog::bring_labels`].
    pub fn bring_labels(
        &self,
        model: &str,
        labels: Vec<Brought>,
        expected: Span,
        dry_run: bool,
    ) -> Result<Intake, LogError> {
        let (written, intake) = self.log.bring_labels(model, labels, expected, dry_run)?;
        if let Some(tried) = self.deployment(model) {
            self.tell_trials(&tried, &written);
        }
        Ok(intake)
    }

    fn tell_trials(&self, tried: &Deployment, labels: &[Label]) {
        for trial in &tried.trials {
            if trial.labelled(labels) {
                self.brake(tried.model.as_str(), trial);
            }
        }
    }
}

/// Has what a version answered to rows that chance dealt wait for its labels.
pub(super) fn predicted(
    deployment: &Deployment,
    group: &Group<'_>,
    key: Option<&str>,
    ids: &[Arc<str>],
    answers: &[Answer],
) {
    for trial in &deployment.trials {
        let weight = deployment.weight(trial);
        for (id, answer) in ids.iter().zip(answers) {
            let unit = (key.unwrap_or(id), &**id);
            trial.predicted(group.loaded.version, weight, unit, &answer.output, &answer.scores);
        }
    }
}
