//! Deploying by hand: versions that somebody brings, rollouts that somebody asks for, shares that somebody sets.
//!
//! What a person brings is held to what the loop is held to: it is loaded and asked once before it takes any traffic, a
//! model's gates are asked where it has some, and the rollout judges itself.

use std::sync::PoisonError;
use std::time::Duration;

use gyre_core::fact::{Fact, ModelVersion, Numbers, RolloutPlan, SplitRules, Target};
use gyre_core::record::Signature;
use gyre_core::runtime::Runtime;
use gyre_core::spec::{FILE, Project};
use gyre_core::{Digest, ModelName, Timestamp, Version};
use gyre_gateway::routing::WHOLE;
use gyre_registry::{VersionRecord, VersionStatus};
use gyre_store::{Appended, NewFact, Store, StoreError, journal};

use super::{Desk, DeskError};
use crate::engine::Failure;
use crate::state::Repair;
use crate::workshop;

/// How long a rollout that nothing stands against may take to begin, until nobody waits for it any longer.
const BEGINNING: Duration = Duration::from_secs(10);

/// A version that somebody brings.
#[derive(Debug, Clone)]
pub struct NewVersion {
    /// Of which model; it need not be declared.
    pub model: ModelName,
    /// Where it runs.
    pub runtime: Runtime,
    /// For a model that runs in process: its file, which lies among the blobs.
    pub artifact: Option<Digest>,
    /// What it takes and gives. Left out, it is read from the model's file, or taken over from the champion.
    pub signature: Option<Signature>,
    /// Where it comes from, for people.
    pub source: Option<String>,
    /// The run of a client that logged it.
    pub run: Option<String>,
}

impl Desk {
    /// Registers a version under the next number. Nothing serves it yet.
    ///
    /// # Errors
    /// [`DeskError::Refused`] for a model file that cannot be run, and where nothing says what the model takes.
    pub fn register(&self, new: NewVersion, actor: &str) -> Result<ModelVersion, DeskError> {
        let NewVersion { model, runtime, artifact, signature, source, run } = new;
        let refused = |reason: String| DeskError::Refused(reason);
        runtime.check().map_err(refused)?;
        if let Runtime::Kubernetes(of) = &runtime {
            self.workshop.check_objects(&model, of).map_err(told)?;
        }
        let (signature, artifact) = if runtime.is_native() {
            let artifact =
                artifact.ok_or_else(|| refused("a model that runs in process needs its file".to_owned()))?;
            let bytes = self.store.blobs().get(&artifact)?;
            (of_file(&bytes, signature).map_err(refused)?, artifact)
        } else {
            let signature = match signature {
                Some(signature) => signature,
                None => self.signature_of_champion(&model)?,
            };
            let text = serde_json::to_vec(&runtime).map_err(|error| refused(error.to_string()))?;
            (signature, self.store.blobs().put(&text)?)
        };
        let declared = self.project().models.contains_key(&model);
        let (at, actor, named) = (self.now(), actor.to_owned(), model.clone());
        let registered = self.store.write(move |tx| {
            let registered = ModelVersion {
                version: gyre_registry::next_version(tx, &model)?,
                model,
                run,
                artifact,
                runtime,
                source,
                data: None,
                signature,
                profile: None,
                refit_of: None,
                calibrated_from: None,
                estimator: None,
                holdout: Numbers::new(),
                trained_on: None,
            };
            let (model, version) = (registered.model.clone(), registered.version);
            let fact = Fact::VersionRegistered(registered.clone());
            let appended = tx.append(NewFact::new(at, actor.clone(), fact))?;
            if !declared {
                // It has no gates to pass, and the journal says so.
                let fact =
                    Fact::GatesJudged { model, version, passed: true, results: Vec::new(), comparison: None };
                tx.append(NewFact::new(at, actor, fact).because_of(appended.seq))?;
            }
            Ok(registered)
        })?;
        self.deployed.write().unwrap_or_else(PoisonError::into_inner).insert(named);
        Ok(registered)
    }

    /// Has the loop roll a version out, by `plan` or as the model's policy says. It is loaded, or started, before anything
    /// moves; a version that was not held against the model's gates is, first.
    ///
    /// # Errors
    /// [`DeskError::Refused`]: it did not pass its gates, it does not come up, it is the champion, other work is under way.
    pub fn deploy(
        &self,
        model: &ModelName,
        version: Version,
        plan: Option<RolloutPlan>,
        actor: &str,
        reason: &str,
    ) -> Result<Appended, DeskError> {
        let record = self.deployable(model, version)?;
        if let Some(plan) = &plan {
            plan.check().map_err(DeskError::Refused)?;
            self.arms_ready(model, version, plan)?;
        }
        self.workshop.ready(&record.registered).map_err(told)?;
        let fact = Fact::RolloutAsked { model: model.clone(), version, plan, reason: reason.to_owned() };
        let (at, actor) = (self.now(), actor.to_owned());
        let appended = self.store.write(move |tx| tx.append(NewFact::new(at, actor, fact)))?;
        if record.gates.is_some() {
            self.driver.wait_for(BEGINNING, || self.share(model, version).is_some());
        }
        Ok(appended)
    }

    /// Whether the arms of a bandit may all take traffic, and have come up.
    fn arms_ready(&self, model: &ModelName, version: Version, plan: &RolloutPlan) -> Result<(), DeskError> {
        let Some(bandit) = plan.bandit.as_ref().filter(|bandit| !bandit.arms.is_empty()) else {
            return Ok(());
        };
        for arm in bandit.arms.iter().copied().chain([version]) {
            let (record, champion) = self.version_and_champion(model, arm)?;
            match champion {
                Some(champion) if !bandit.arms.contains(&champion) => {
                    return Err(DeskError::Refused(format!(
                        "the champion, version {champion}, must be among the arms: it takes the place of those that fail"
                    )));
                }
                None => {
                    return Err(DeskError::Refused(format!(
                        "`{model}` has no champion yet; deploy a version first"
                    )));
                }
                Some(_) => {}
            }
            if !record.gates.as_ref().is_some_and(|gates| gates.passed) {
                return Err(DeskError::Refused(format!(
                    "version {arm} of `{model}` has not passed its gates, so it cannot take traffic"
                )));
            }
            self.workshop.ready(&record.registered).map_err(told)?;
        }
        if bandit.arms.contains(&version) {
            return Ok(());
        }
        Err(DeskError::Refused(format!("version {version} is rolled out, and is none of the arms")))
    }

    /// The share of traffic that the gateway gives a version, in hundredths of a percent; none when it is not in its table.
    pub fn share(&self, model: &ModelName, version: Version) -> Option<u32> {
        let traffic = self.gateway.traffic(model.as_str())?;
        traffic.weights.iter().find(|(taking, _)| *taking == version).map(|(_, share)| *share)
    }

    /// The version, when nothing stands against rolling it out.
    ///
    /// # Errors
    /// As [`Desk::deploy`].
    pub fn deployable(&self, model: &ModelName, version: Version) -> Result<VersionRecord, DeskError> {
        let (record, champion) = self.version_and_champion(model, version)?;
        if champion == Some(version) {
            return Err(DeskError::Refused(format!(
                "version {version} of `{model}` is the champion already"
            )));
        }
        if record.gates.as_ref().is_some_and(|gates| !gates.passed) {
            return Err(DeskError::Refused(format!(
                "version {version} of `{model}` did not pass its gates; see `gyre model show {model}`"
            )));
        }
        self.at_rest(model)?;
        Ok(record)
    }

    /// Whether no other work is under way, so that a rollout may begin.
    ///
    /// # Errors
    /// [`DeskError::Refused`], with what is and how it ends.
    pub fn at_rest(&self, model: &ModelName) -> Result<(), DeskError> {
        match self.state().models.get(model).and_then(|state| state.repair) {
            None => Ok(()),
            Some(Repair::RollingOut { version: other, .. } | Repair::Exploring { version: other, .. }) => {
                Err(DeskError::Refused(format!(
                    "a rollout of version {other} of `{model}` is under way; wait for its end, or end it with `gyre rollback {model}` or `gyre promote {model} {other}`"
                )))
            }
            Some(_) => {
                Err(DeskError::Refused(format!("a repair of `{model}` is under way; wait for its end")))
            }
        }
    }

    /// Splits the traffic by hand. The champion stays in charge: who fails more often beside it loses its share.
    ///
    /// # Errors
    /// [`DeskError::Refused`]: shares that do not add up, versions that did not pass their gates or do not come up, a
    /// rollout that is under way, a model without a champion.
    pub fn split(
        &self,
        model: &ModelName,
        weights: Vec<(Version, u32)>,
        actor: &str,
        reason: &str,
    ) -> Result<Appended, DeskError> {
        self.splittable(model, &weights)?;
        for (version, _) in &weights {
            let (record, _) = self.version_and_champion(model, *version)?;
            self.workshop.ready(&record.registered).map_err(told)?;
        }
        let fact = Fact::TrafficShifted { model: model.clone(), weights, reason: reason.to_owned() };
        let (at, actor) = (self.now(), actor.to_owned());
        let appended = self.store.write(move |tx| tx.append(NewFact::new(at, actor, fact)))?;
        self.workshop.route(model).map_err(told)?;
        Ok(appended)
    }

    /// Whether nothing stands against these shares.
    ///
    /// # Errors
    /// As [`Desk::split`].
    pub fn splittable(&self, model: &ModelName, weights: &[(Version, u32)]) -> Result<(), DeskError> {
        let refused = |reason: String| Err(DeskError::Refused(reason));
        let sum: u64 = weights.iter().map(|(_, share)| u64::from(*share)).sum();
        if sum != u64::from(WHOLE) {
            return refused(format!(
                "the shares add up to {} %; they must add up to 100 %",
                sum as f64 / 100.0
            ));
        }
        if let Some(Repair::RollingOut { version, .. } | Repair::Exploring { version, .. }) =
            self.state().models.get(model).and_then(|state| state.repair)
        {
            return refused(format!(
                "a rollout of version {version} of `{model}` is under way, which moves traffic itself"
            ));
        }
        for (at, (version, _)) in weights.iter().enumerate() {
            if weights.iter().skip(at + 1).any(|(other, _)| other == version) {
                return refused(format!("version {version} has two shares"));
            }
            let (record, champion) = self.version_and_champion(model, *version)?;
            if champion.is_none() {
                return refused(format!("`{model}` has no champion yet; deploy a version first"));
            }
            if !record.gates.as_ref().is_some_and(|gates| gates.passed) {
                return refused(format!(
                    "version {version} of `{model}` has not passed its gates, so it cannot take traffic"
                ));
            }
        }
        Ok(())
    }

    /// Has rules decide who answers before chance does; without a rule chance decides alone.
    ///
    /// # Errors
    /// [`DeskError::Refused`]: a rule that is wrong or too costly, one that names a version that may not take traffic.
    pub fn rule(
        &self,
        model: &ModelName,
        split: SplitRules,
        actor: &str,
        reason: &str,
    ) -> Result<Appended, DeskError> {
        self.rulable(model, &split)?;
        for rule in &split.rules {
            if let Target::Version(version) = rule.to {
                let (record, _) = self.version_and_champion(model, version)?;
                self.workshop.ready(&record.registered).map_err(told)?;
            }
        }
        let fact = Fact::SplitRuled { model: model.clone(), split, reason: reason.to_owned() };
        let (at, actor) = (self.now(), actor.to_owned());
        let appended = self.store.write(move |tx| tx.append(NewFact::new(at, actor, fact)))?;
        self.workshop.route(model).map_err(told)?;
        Ok(appended)
    }

    /// Whether nothing stands against these rules.
    ///
    /// # Errors
    /// As [`Desk::rule`].
    pub fn rulable(&self, model: &ModelName, split: &SplitRules) -> Result<(), DeskError> {
        self.served(model)?;
        split.check().map_err(DeskError::Refused)?;
        for rule in &split.rules {
            let Target::Version(version) = rule.to else { continue };
            let (record, _) = self.version_and_champion(model, version)?;
            if record.status == VersionStatus::RolledBack {
                return Err(DeskError::Refused(format!(
                    "traffic was taken back from version {version} of `{model}`; deploy it again, or promote it, before a rule sends it some"
                )));
            }
            if !record.gates.as_ref().is_some_and(|gates| gates.passed) {
                return Err(DeskError::Refused(format!(
                    "version {version} of `{model}` has not passed its gates, so it cannot take traffic"
                )));
            }
        }
        Ok(())
    }

    /// The rules of a model that are in force.
    ///
    /// # Errors
    /// [`DeskError::Store`].
    pub fn rules(&self, model: &ModelName) -> Result<SplitRules, DeskError> {
        let named = model.clone();
        let latest = self.store.read(move |tx| journal::latest_of_kind(tx, "split_ruled", named.as_str()))?;
        Ok(latest.and_then(|entry| ruled(&entry.fact)).unwrap_or_default())
    }

    /// All models: those that the project file declares, and those that were deployed without.
    pub fn models(&self) -> Vec<ModelName> {
        let deployed = self.deployed.read().unwrap_or_else(PoisonError::into_inner);
        let project = self.project();
        let mut all: Vec<ModelName> = project.models.keys().chain(deployed.iter()).cloned().collect();
        all.sort();
        all.dedup();
        all
    }

    pub(super) fn version_and_champion(
        &self,
        model: &ModelName,
        version: Version,
    ) -> Result<(VersionRecord, Option<Version>), DeskError> {
        let named = model.clone();
        Ok(self.store.read(move |tx| {
            Ok((gyre_registry::version(tx, &named, version)?, gyre_registry::champion(tx, &named)?))
        })?)
    }

    fn signature_of_champion(&self, model: &ModelName) -> Result<Signature, DeskError> {
        let named = model.clone();
        let found = self.store.read(move |tx| {
            let Some(champion) = gyre_registry::champion(tx, &named)? else { return Ok(None) };
            Ok::<_, StoreError>(Some(gyre_registry::version(tx, &named, champion)?.registered.signature))
        })?;
        found.ok_or_else(|| {
            DeskError::Refused(format!(
                "nothing says what `{model}` takes and gives: it has no champion whose signature could be taken over; bring a signature"
            ))
        })
    }
}

/// Who takes over the rules of the project file.
pub(super) const FILE_ACTOR: &str = "gyre";

/// Puts the rules of the project file into force where they are others than those that were last taken over: what a person
/// set meanwhile stands until the file changes.
pub(super) fn take_over_rules(project: &Project, store: &Store, at: Timestamp) -> Result<(), StoreError> {
    for (name, spec) in &project.models {
        let (split, model) = (spec.deploy.split_rules(), name.clone());
        store.write(move |tx| {
            let entries = journal::of_kind(tx, "split_ruled", Some(model.as_str()))?;
            let last = entries.iter().rev().find(|entry| entry.actor == FILE_ACTOR);
            let last = last.and_then(|entry| ruled(&entry.fact)).unwrap_or_default();
            if last != split {
                let fact = Fact::SplitRuled { model, split, reason: format!("{FILE} says so") };
                tx.append(NewFact::new(at, FILE_ACTOR, fact))?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn ruled(fact: &Fact) -> Option<SplitRules> {
    match fact {
        Fact::SplitRuled { split, .. } => Some(split.clone()),
        _ => None,
    }
}

/// The signature of a model's file, which must run.
fn of_file(bytes: &[u8], said: Option<Signature>) -> Result<Signature, String> {
    let model = workshop::load(bytes, said.as_ref()).map_err(|error| {
        let hint = if said.is_none() {
            "; or bring a signature that names them (gyre deploy --inputs, --classes)"
        } else {
            ""
        };
        let unnamed = matches!(error, gyre_onnxruntime::LoadError::Signature(_));
        format!("the file is no model that can be run in process: {error}{}", if unnamed { hint } else { "" })
    })?;
    let own = workshop::signature(&model);
    Ok(match said {
        None => own,
        // Who names the features alone leaves the classes to the file.
        Some(said) if said.classes.is_empty() => Signature { classes: own.classes, ..said },
        Some(said) => said,
    })
}

pub(super) fn told(failure: Failure) -> DeskError {
    DeskError::Refused(failure.reason)
}
