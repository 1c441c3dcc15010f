//! The controller's one step: from a fact to what follows from it.
//!
//! The policy in a paragraph. When a window closes, the champion's realised loss is held against what the version
//! promised on rows withheld from its training. The excess adds up, day by day, to *regret*, in days of the loss
//! that the first champion promised; it never falls below zero, and every repair sets it back to zero. The other versions that passed their gates are scored
//! on the same rows: one that is proven better, and recovers at least half of the excess, is *recalled*, which costs nothing and
//! waits for nothing. A training is *due* as soon as the regret has cost as much as it would, and the loss is worse than promised
//! beyond luck, in the last window or over the days on which regret has added up: waiting longer would cost more than acting (the
//! ski-rental argument: at most twice what hindsight would have paid). Where it may still be luck, it takes half as much regret again;
//! or when the champion's age has cost as much, by what the versions' ages have been shown to cost ([`crate::worth`]).
//! What was trained must pass its gates and then walk through the steps of a rollout.
//! What each option is expected to cost stands in every decision ([`crate::costs`]).
//!
//! Some losses no training mends: the days have become harder for every model. A training whose result is not proven better on the
//! withheld rows says so, and after each of them in a row the next takes twice the regret. So whatever happens, trainings in vain
//! cost little more than a logarithm of the regret; a training or a recall that proves itself sets the patience back.
//!
//! The controller's own facts come back to it through the journal and are passed over: what they say was put into the
//! state when they were decided, in the same transaction.

use gyre_core::fact::{Alarm, Decision, Entry, Fact, Numbers, RolloutPlan, Score, Verdict, WindowSummary};
use gyre_core::time::Period;
use gyre_core::{ModelName, Timestamp, Version};
use gyre_monitor::persistence::{ENOUGH, REMEMBERED};
use gyre_stats::performance::p_above_reference;

use crate::action::{Action, ROUTE};
use crate::costs::Costs;
use crate::policy::{Policies, Policy};
use crate::state::{Known, ModelState, Repair, State};
use crate::waiting::{self, Due};

/// The name under which the controller writes.
pub const ACTOR: &str = "controller";

/// The name under which the gateway says what it has seen and done.
pub const GATEWAY: &str = "gateway";

/// How many times the regret it takes to train where it may still be luck. Waiting for proof that does not come costs without
/// bound; a training that proves nothing doubles the patience.
const WITHOUT_PROOF: f64 = 1.5;

/// After how many failures in a row the loop stops trying.
pub const MAX_FAILURES: u32 = 3;

/// What follows from a fact.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Step {
    /// Facts to append, in order.
    pub facts: Vec<Fact>,
    /// Actions to carry out.
    pub actions: Vec<Action>,
}

/// Takes `entry` in and says what follows.
pub fn step(policies: &Policies, state: &mut State, entry: &Entry) -> Step {
    let mut follows = Step::default();
    let Some(name) = entry.fact.model() else { return follows };
    if entry.actor == ACTOR {
        return follows;
    }
    // A model that nobody declared is rolled out all the same.
    let undeclared;
    let policy = match policies.get(name) {
        Some(policy) => policy,
        None => {
            undeclared = Policy::undeclared();
            &undeclared
        }
    };
    let model = state.models.entry(name.clone()).or_default();
    let mut turn = Turn { name, policy, model, now: entry.at, seq: entry.seq, follows: &mut follows };
    match &entry.fact {
        Fact::WindowClosed(window) => turn.window_closed(window),
        Fact::LossEstimated(estimate) => turn.loss_estimated(estimate),
        Fact::VersionsCompared { scores, period, .. } => turn.compared(scores, *period),
        Fact::VersionRegistered(version) => turn.registered(version),
        Fact::GatesJudged { version, passed, comparison, .. } => {
            turn.judged(*version, *passed, comparison.as_ref());
        }
        Fact::StepObserved { candidate, step, verdict, reason, .. } => {
            turn.observed(*candidate, *step, *verdict, reason);
        }
        Fact::ArmsWeighed { round, arms, winner, reason, .. } => turn.weighed(*round, arms, *winner, reason),
        Fact::DecisionTaken { decision: Decision::Retrain { window }, .. } => turn.asked_to_train(*window),
        Fact::RolloutAsked { version, plan, reason, .. } => turn.asked_to_roll_out(*version, plan, reason),
        Fact::Promoted { version, .. } => turn.promoted_by_hand(*version),
        Fact::RolledBack { from, to, .. } => {
            turn.rolled_back_by_hand(*from, *to);
            if entry.actor == GATEWAY {
                turn.follows.actions.push(Action::Route { model: name.clone() });
            }
        }
        Fact::ActionFailed { action, reason, .. } if action == ROUTE => turn.route_failed(reason),
        Fact::RunFailed { reason, .. } | Fact::ActionFailed { reason, .. } => turn.attempt_failed(reason),
        Fact::TrainingDue { trigger, reason, numbers, .. } => turn.training_due(trigger, reason, numbers),
        Fact::WaitEnded { .. } => turn.wait_ended(),
        Fact::LoopResumed { .. } => turn.resumed(),
        Fact::IncidentAcknowledged { incident, until, .. } => turn.acknowledged(incident, *until),
        _ => {}
    }
    follows
}

/// Whether `entry` is a person moving a model's traffic.
pub fn moves_traffic_by_hand(entry: &Entry) -> bool {
    entry.actor != ACTOR && matches!(entry.fact, Fact::Promoted { .. } | Fact::RolledBack { .. })
}

/// One model's turn: the fact's surroundings, and where what follows is put.
pub(crate) struct Turn<'a> {
    pub(crate) name: &'a ModelName,
    pub(crate) policy: &'a Policy,
    pub(crate) model: &'a mut ModelState,
    pub(crate) now: Timestamp,
    pub(crate) seq: u64,
    pub(crate) follows: &'a mut Step,
}

impl Turn<'_> {
    fn window_closed(&mut self, window: &WindowSummary) {
        let drifts = self.watch_drift(window);
        self.watch_incidents(window);
        let Some(champion) = self.model.champion else { return };
        if self.is_mostly_unlabelled(window) {
            return;
        }
        let realised = window.realised.iter().find(|realised| realised.version == champion);
        if let (Some(estimated), Some(realised)) = (&window.estimated, realised) {
            self.model.foresight.came_true(estimated, realised.loss);
        }
        let known = self.model.versions.get(&champion).copied();
        let (Some(realised), Some(Known { promised: Some(promised), promised_error, .. })) =
            (realised, known)
        else {
            return;
        };
        let Some(error) = realised.standard_error.filter(|_| promised > 0.0) else {
            return self.keep(format!("too few labelled days to judge version {champion}"), Numbers::new());
        };
        let Some(p) =
            p_above_reference((realised.loss, error), realised.days.into(), (promised, promised_error))
        else {
            return self.keep(format!("too few labelled days to judge version {champion}"), Numbers::new());
        };
        let share = realised.loss / promised - 1.0;
        let excess = (realised.loss - promised) / self.reference(promised);
        // What broken rows cost is mended at their source, not by a training.
        if self.model.incidents.obstacle().is_none() {
            self.model.add_regret(realised.days, (realised.loss, error), excess);
        }
        let regret = self.model.regret;
        let patience = self.model.patience(self.policy.patience);
        let mut numbers = numbers([
            ("loss", realised.loss),
            ("promised", promised),
            ("p", p),
            ("regret", regret),
            ("patience", patience),
        ]);
        let mut told = format!(
            "version {champion}: {metric} {loss:.2}{unit}, promised {promised:.2} (p = {p:.3}); regret {regret:.1} of {patience}",
            metric = self.policy.metric,
            loss = realised.loss,
            unit = self.unit(),
        );
        let worse = p < self.policy.significance;
        self.watch_decay(worse && share > self.policy.tolerance, share, &told, &numbers);
        let lasting = self.model.streak.p_worse_than((promised, promised_error));
        let beyond_luck = worse || lasting.is_some_and(|p| p < self.policy.significance);
        let enough = if beyond_luck { patience } else { WITHOUT_PROOF * patience };
        let due = regret >= enough && self.policy.on_decay;
        let costs = Costs::of(self.policy, self.model, realised.days.into());
        costs.add_to(&mut numbers);
        told += &format!("; {}", costs.told());
        let drifted = self.policy.on_drift && drifts;
        if !(self.policy.on_decay || drifted) {
            return self.keep(told, numbers);
        }
        if let Some(obstacle) = waiting::obstacle(self.policy, self.model, self.now) {
            return self.keep(format!("{told}; {obstacle}"), numbers);
        }
        // To look for a version that is better costs nothing, so it does not wait for a training to pay.
        let others =
            self.model.versions.iter().any(|(version, known)| *version != champion && known.may_serve());
        if self.policy.recall && others {
            let from = window.period.from.max(self.model.champion_since);
            let period = Period { from, to: window.period.to };
            self.model.repair = Some(Repair::Comparing { excess: realised.loss - promised, due });
            self.decide(Decision::Compare, told, numbers);
            self.follows.actions.push(Action::Compare { model: self.name.clone(), period });
        } else if due {
            self.retrain(Due { since: self.now, reason: told, numbers, by_loss: true });
        } else {
            self.keep(told, numbers);
        }
    }

    /// The loss that costs are counted in: the first promise that was ever held against what came true.
    fn reference(&mut self, promised: f64) -> f64 {
        *self.model.reference.get_or_insert(promised)
    }

    fn watch_decay(&mut self, decayed: bool, share: f64, told: &str, numbers: &Numbers) {
        if decayed && self.model.alarms.insert(Alarm::Decay) {
            let (reason, numbers) = (told.to_owned(), numbers.clone());
            self.follows.facts.push(Fact::AlarmRaised {
                model: self.name.clone(),
                alarm: Alarm::Decay,
                reason,
                numbers,
            });
        } else if share < 0.8 * self.policy.tolerance && self.model.alarms.remove(&Alarm::Decay) {
            self.clear(Alarm::Decay, told.to_owned());
        }
    }

    /// Whether a column is in alarm with this window that was not before.
    fn watch_drift(&mut self, window: &WindowSummary) -> bool {
        let drifted = window.drift.iter().filter(|drift| drift.drifted);
        let raised = self.model.drift.window(drifted.map(|drift| drift.column.as_str())).raised;
        if !raised.is_empty() && self.model.alarms.insert(Alarm::Drift) {
            let reason =
                format!("{} drifted in {ENOUGH} of the last {REMEMBERED} windows", raised.join(", "));
            let of_raised = window.drift.iter().filter(|drift| raised.contains(&drift.column));
            let numbers = of_raised.map(|drift| (drift.column.clone(), drift.effect)).collect();
            self.follows.facts.push(Fact::AlarmRaised {
                model: self.name.clone(),
                alarm: Alarm::Drift,
                reason,
                numbers,
            });
        }
        if self.model.drift.in_alarm().next().is_none() && self.model.alarms.remove(&Alarm::Drift) {
            let reason =
                format!("no feature has differed from the reference in the last {REMEMBERED} windows");
            self.clear(Alarm::Drift, reason);
        }
        !raised.is_empty()
    }

    pub(crate) fn clear(&mut self, alarm: Alarm, reason: String) {
        self.follows.facts.push(Fact::AlarmCleared { model: self.name.clone(), alarm, reason });
    }

    fn compared(&mut self, scores: &[Score], period: Period) {
        let Some(Repair::Comparing { excess, due }) = self.model.repair else { return };
        self.model.repair = None;
        let Some(champion) = self.model.champion else { return };
        let may_serve =
            |score: &&Score| self.model.versions.get(&score.version).is_some_and(Known::may_serve);
        let others: Vec<&Score> =
            scores.iter().filter(|score| score.version != champion).filter(may_serve).collect();
        let ages = self.ages(champion, &others, period);
        let costs = Costs::of(
            self.policy,
            self.model,
            f64::from(scores.iter().map(|score| score.days).max().unwrap_or(0)),
        );
        let costs = costs.with_best_of(&others, self.model.reference.unwrap_or_default());
        let told = costs.told();
        let numbers = |pairs: &[(&str, f64)]| {
            let mut numbers = numbers(pairs.iter().copied());
            costs.add_to(&mut numbers);
            numbers
        };
        let tried = others.len() as f64;
        let proven = |score: &&&Score| {
            // Bonferroni: the best of many looks good by luck alone.
            let p = score.p.map_or(1.0, |p| (p * tried).min(1.0));
            p < self.policy.significance && score.gain >= 0.5 * excess.max(0.0)
        };
        let best = others.iter().filter(proven).max_by(|a, b| a.gain.total_cmp(&b.gain));
        if let Some(best) = best {
            let p = best.p.unwrap_or(1.0);
            let reason = format!(
                "version {} is better than version {champion} by {:.2}{} on the same {} recent rows (p = {p:.4}); {told}",
                best.version,
                best.gain,
                self.unit(),
                best.rows
            );
            let numbers =
                numbers(&[("gain", best.gain), ("p", p), ("rows", best.rows as f64), ("excess", excess)]);
            self.model.futile = 0;
            self.older_is_better(best.version);
            self.try_again();
            self.decide(Decision::Recall { version: best.version }, reason.clone(), numbers);
            self.roll_out_when_not_quiet(best.version, reason);
        } else if due {
            let reason = format!(
                "none of {} older versions recovers half of the excess of {excess:.2}{} for sure; {told}",
                others.len(),
                self.unit()
            );
            let numbers = numbers(&[("excess", excess), ("regret", self.model.regret)]);
            self.retrain(Due { since: self.now, reason, numbers, by_loss: true });
        } else if self.policy.on_decay && ages >= self.model.patience(self.policy.patience) {
            let reason = format!(
                "the age of version {champion} has cost {ages:.1} days of the reference loss; {told}"
            );
            let numbers = numbers(&[("age_cost", ages), ("excess", excess)]);
            self.retrain(Due { since: self.now, reason, numbers, by_loss: true });
        } else {
            self.keep(format!("no other version is better for sure; {told}"), numbers(&[("age_cost", ages)]));
        }
    }

    /// Learns from the newest of `others` what age costs, and says what the champion's has cost so far.
    fn ages(&mut self, champion: Version, others: &[&Score], period: Period) -> f64 {
        let since = |version| self.model.versions.get(&version).and_then(|known: &Known| known.since);
        let reference = self.model.reference;
        let newest = others.iter().filter_map(|score| Some((since(score.version)?, *score)));
        let newest = newest.max_by_key(|(since, _)| *since);
        if let (Some(own), Some(reference), Some((other, score))) = (since(champion), reference, newest) {
            let apart = own.since(other).as_days();
            let days = f64::from(score.days);
            self.model.worth.learn(apart.abs(), -score.gain * apart.signum() / reference, days);
            let middle = period.to.since(period.from).as_days() / 2.0;
            self.model.worth.spend(period.from.since(own).as_days() + middle, days);
        }
        self.model.worth.spent()
    }

    /// A person asked for it; whoever took the wish down has looked that nothing stands against it, but time has passed.
    fn asked_to_roll_out(&mut self, version: Version, plan: &Option<RolloutPlan>, reason: &str) {
        let obstacle = match (self.model.versions.get_mut(&version), self.model.repair) {
            _ if self.model.champion == Some(version) => "it is the champion already".to_owned(),
            (_, Some(repair)) if repair != (Repair::Waiting { version }) => {
                format!("other work is under way ({repair:?})")
            }
            (None, _) => "it is not known".to_owned(),
            (Some(Known { passed: Some(false), .. }), _) => "it has not passed its gates".to_owned(),
            (Some(known), _) => {
                known.withdrawn = false;
                let passed = known.passed == Some(true);
                self.model.plan.clone_from(plan);
                self.model.repair = None;
                let (now, reason) = (self.now, reason.to_owned());
                return if passed { self.roll_out(version, reason) } else { self.judge(version, now) };
            }
        };
        self.keep(
            format!("version {version} is not rolled out, although asked to: {obstacle}"),
            Numbers::new(),
        );
    }

    /// All traffic goes back.
    pub(crate) fn send_back(&mut self, from: Version, to: Version, reason: String) {
        let model = self.name.clone();
        self.follows.facts.push(Fact::RolledBack { model, from, to, reason: reason.clone() });
        self.route(vec![(to, 10_000)], reason);
    }

    pub(crate) fn plan(&self) -> &RolloutPlan {
        self.model.plan.as_ref().unwrap_or(&self.policy.plan)
    }

    /// Begins the rollout, or has it wait: where there are quiet hours, whoever watches event time says when it may begin, for what
    /// led here may have taken its time.
    pub(crate) fn roll_out_when_not_quiet(&mut self, version: Version, reason: String) {
        if self.policy.quiet.is_empty() || self.model.champion.is_none() {
            return self.roll_out(version, reason);
        }
        self.model.repair = Some(Repair::Waiting { version });
    }

    pub(crate) fn roll_out(&mut self, version: Version, reason: String) {
        let Some(champion) = self.model.champion else {
            // Nothing serves yet, so there is nothing to go back to, and nobody to protect.
            return self.promote(version, reason);
        };
        if version == champion {
            return self.end_repair();
        }
        match self.plan().bandit.clone() {
            Some(bandit) => self.explore(version, champion, bandit, reason),
            None => {
                self.start_rollout(version, champion);
                self.begin_step(version, 0, self.seq, reason);
            }
        }
    }

    /// Says that a version begins to take traffic beside the champion, by the plan.
    pub(crate) fn start_rollout(&mut self, candidate: Version, champion: Version) {
        let plan = self.plan().clone();
        self.follows.facts.push(Fact::RolloutStarted {
            model: self.name.clone(),
            candidate,
            champion: Some(champion),
            steps: plan.steps.clone(),
            plan: Some(plan),
        });
    }

    /// Gives `version` the share of step `step`; promotes it where there is none left, or all at once where nothing bakes.
    fn begin_step(&mut self, version: Version, step: u32, since: u64, reason: String) {
        let plan = self.plan();
        match plan.share(step) {
            Some(share) if share < 10_000 || plan.bake.is_some() => {
                self.model.repair = Some(Repair::RollingOut { version, step, since, begun: self.now });
                self.shift(version, share, reason);
            }
            _ => self.promote(version, reason),
        }
    }

    fn observed(&mut self, candidate: Version, step: u32, verdict: Verdict, evidence: &str) {
        if matches!(self.model.repair, Some(Repair::Exploring { .. })) && verdict == Verdict::RollBack {
            return self.arm_convicted(candidate, evidence);
        }
        let Some(Repair::RollingOut { version, step: at, since, .. }) = self.model.repair else { return };
        if (version, at) != (candidate, step) {
            return;
        }
        match verdict {
            Verdict::RollBack => {
                let Some(to) = self.model.champion else { return };
                self.end_repair();
                self.withdraw(version);
                self.forget_regret();
                self.send_back(version, to, evidence.to_owned());
                self.setback(evidence);
            }
            Verdict::Continue => {
                let plan = self.plan();
                let more = plan.share(step + 1).is_some_and(|share| share < 10_000 || plan.bake.is_some());
                let reason = if more {
                    evidence.to_owned()
                } else {
                    format!("all steps of the rollout went well; last: {evidence}")
                };
                self.begin_step(version, step + 1, since, reason);
            }
        }
    }

    pub(crate) fn promote(&mut self, version: Version, reason: String) {
        // The gates were asked before any way led here; that they said yes is looked at once more, at the door.
        if self.model.versions.get(&version).and_then(|known| known.passed) != Some(true) {
            return self.end_repair();
        }
        let previous = self.model.champion.replace(version);
        self.model.worth.renew();
        self.model.foresight.renew();
        self.model.champion_since = self.now;
        self.model.next_window = 0;
        self.forget_regret();
        self.went_well();
        self.end_repair();
        self.settle_incidents(version);
        let model = self.name.clone();
        self.follows.facts.push(Fact::Promoted { model, version, previous, reason: reason.clone() });
        self.route(vec![(version, 10_000)], reason);
    }

    fn promoted_by_hand(&mut self, version: Version) {
        self.model.champion = Some(version);
        self.model.champion_since = self.now;
        self.forget_regret();
        self.model.futile = 0;
        self.went_well();
        self.model.worth.renew();
        self.settle_incidents(version);
        if let Some(known) = self.model.versions.get_mut(&version) {
            known.withdrawn = false;
        }
        self.end_rollout();
    }

    /// A version that was found wanting in service is not brought back by the loop.
    pub(crate) fn withdraw(&mut self, version: Version) {
        if let Some(known) = self.model.versions.get_mut(&version) {
            known.withdrawn = true;
        }
    }

    fn rolled_back_by_hand(&mut self, from: Version, to: Version) {
        self.withdraw(from);
        if self.model.champion != Some(to) {
            self.model.champion = Some(to);
            self.model.champion_since = self.now;
            self.model.worth.renew();
            self.settle_incidents(to);
        }
        self.forget_regret();
        self.end_rollout();
    }

    /// A person moved traffic: a rollout ends there; other work goes on.
    fn end_rollout(&mut self) {
        // Of what is being trained, gains would be over another champion.
        if let Some(attempt) = &mut self.model.attempt {
            attempt.left.clear();
            attempt.tried.clear();
        }
        self.model.due = None;
        if matches!(
            self.model.repair,
            Some(Repair::RollingOut { .. } | Repair::Exploring { .. } | Repair::Waiting { .. })
        ) {
            self.model.repair = None;
            self.model.plan = None;
            self.model.shares.clear();
        }
        self.model.last_repair = Some(self.now);
    }

    /// The gateway could not follow. A rollout ends there; any other work that is under way has nothing to do with it.
    fn route_failed(&mut self, reason: &str) {
        if let (
            Some(Repair::RollingOut { version: from, .. } | Repair::Exploring { version: from, .. }),
            Some(to),
        ) = (self.model.repair, self.model.champion)
        {
            self.end_repair();
            self.withdraw(from);
            self.send_back(from, to, reason.to_owned());
        }
        self.failed(reason);
    }

    /// What was lost so far is settled.
    pub(crate) fn forget_regret(&mut self) {
        self.model.forget_regret();
    }

    pub(crate) fn end_repair(&mut self) {
        self.model.repair = None;
        self.model.attempt = None;
        self.model.refitting = None;
        self.model.plan = None;
        self.model.shares.clear();
        self.model.last_repair = Some(self.now);
    }

    /// Gives `version` its share of traffic, and the champion the rest.
    fn shift(&mut self, version: Version, share: u32, reason: String) {
        let Some(champion) = self.model.champion else { return };
        self.route(vec![(champion, 10_000 - share), (version, share)], reason);
    }

    pub(crate) fn route(&mut self, weights: Vec<(Version, u32)>, reason: String) {
        self.follows.facts.push(Fact::TrafficShifted { model: self.name.clone(), weights, reason });
        self.follows.actions.push(Action::Route { model: self.name.clone() });
    }

    pub(crate) fn keep(&mut self, reason: String, numbers: Numbers) {
        self.decide(Decision::Keep, reason, numbers);
    }

    pub(crate) fn decide(&mut self, decision: Decision, reason: String, numbers: Numbers) {
        self.follows.facts.push(Fact::DecisionTaken { model: self.name.clone(), decision, reason, numbers });
    }

    pub(crate) fn unit(&self) -> String {
        if self.policy.unit.is_empty() { String::new() } else { format!(" {}", self.policy.unit) }
    }
}

pub(crate) fn numbers<'a>(pairs: impl IntoIterator<Item = (&'a str, f64)>) -> Numbers {
    pairs
        .into_iter()
        .filter(|(_, value)| value.is_finite())
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

#[cfg(test)]
mod tests;
