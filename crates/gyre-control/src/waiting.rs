//! What has to wait, for what, and when it may begin.
//!
//! A repair that is due may meet quiet hours, a limit that is used up, a loop that rests. Some of it is simply decided anew when the
//! next window closes; what nothing would bring up again (a schedule that fired, a version that passed its gates in the night) is
//! remembered in the state and begins when [`ready`] says so. Whoever watches event time asks it again and again, and tells the
//! controller by a fact, so that a replay does the same.

use gyre_core::fact::{Fact, Numbers};
use gyre_core::{ModelName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::controller::Turn;
use crate::policy::Policy;
use crate::state::{ModelState, Repair};

/// A training that is due and waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Due {
    /// Since when.
    pub since: Timestamp,
    /// Why, in words.
    pub reason: String,
    /// The numbers that it is due by.
    #[serde(default, skip_serializing_if = "Numbers::is_empty")]
    pub numbers: Numbers,
    /// Whether losses or age ask for it. Only of such a training it says something that it was in vain.
    pub by_loss: bool,
}

/// What may begin now of what had to wait for `name`; none when nothing waits, or may not begin yet.
pub fn ready(policy: &Policy, model: &ModelState, name: &ModelName, now: Timestamp) -> Option<Fact> {
    let reason = match (model.repair, &model.due) {
        (Some(Repair::Waiting { version }), _) if !policy.quiet.covers(now) => {
            format!("it is not quiet: the rollout of version {version} begins")
        }
        (None, Some(due)) if hindrance(policy, model, now).is_none() => {
            format!("the training that was due at {} begins", due.since)
        }
        _ => return None,
    };
    Some(Fact::WaitEnded { model: name.clone(), reason })
}

/// Why no repair may begin now.
pub(crate) fn obstacle(policy: &Policy, model: &ModelState, now: Timestamp) -> Option<String> {
    if model.paused && !model.may_try_again(now) {
        return Some(match model.breaker.rests_until {
            Some(until) => format!("the loop is paused for this model until {until}"),
            None => "the loop is paused for this model".to_owned(),
        });
    }
    if model.repair.is_some() {
        return Some("a repair is under way".to_owned());
    }
    if let Some(obstacle) = model.incidents.obstacle() {
        return Some(obstacle);
    }
    let rested = model.last_repair.is_none_or(|last| now.since(last) >= policy.cooldown);
    (!rested).then(|| format!("the last repair is less than {} ago", policy.cooldown))
}

/// Why no training that was not asked for by a person may begin now.
pub(crate) fn hindrance(policy: &Policy, model: &ModelState, now: Timestamp) -> Option<String> {
    if policy.windows.is_empty() {
        return Some("no training window is allowed".to_owned());
    }
    if let Some(own) = own_action(policy) {
        return Some(own);
    }
    if model.unlabelled {
        return Some("labels of the last window were mostly missing".to_owned());
    }
    obstacle(policy, model, now).or_else(|| used_up(policy, model, now)).or_else(|| quiet(policy, now))
}

/// Why the loop must not train on what the model's own action has made (a feedback loop).
pub(crate) fn own_action(policy: &Policy) -> Option<String> {
    let told = "its labels follow from its own action (`labels.caused_by_action`), and nothing says which rows were left to chance \
                (`labels.explored`); a person may train it";
    policy.by_own_action.then(|| told.to_owned())
}

/// Why the limit allows no training now.
pub(crate) fn used_up(policy: &Policy, model: &ModelState, now: Timestamp) -> Option<String> {
    let limit = policy.limit;
    // Both ways, for event time may jump back.
    let near = |begun: &&Timestamp| now.since(**begun).as_millis().abs() < limit.per.as_millis();
    let used_up = model.trainings.iter().filter(near).count() >= limit.count as usize;
    used_up.then(|| format!("the limit of trainings is used up ({limit})"))
}

/// Whether it is quiet, and until when.
pub(crate) fn quiet(policy: &Policy, now: Timestamp) -> Option<String> {
    policy.quiet.covers(now).then(|| match policy.quiet.end(now) {
        Some(end) => format!("it is quiet until {end}"),
        None => "it is quiet".to_owned(),
    })
}

impl Turn<'_> {
    /// Something else than losses and age asks for a training.
    pub(crate) fn training_due(&mut self, trigger: &str, reason: &str, numbers: &Numbers) {
        if trigger == crate::triggers::SCHEDULE {
            self.model.schedule_fired = Some(self.now);
        }
        let due =
            Due { since: self.now, reason: reason.to_owned(), numbers: numbers.clone(), by_loss: false };
        match hindrance(self.policy, self.model, self.now) {
            Some(hindrance) => self.put_off(due, &hindrance),
            None => self.retrain(due),
        }
    }

    /// Remembers a training that is due. A reason that waits already stays the reason, unless losses ask now.
    pub(crate) fn put_off(&mut self, due: Due, hindrance: &str) {
        self.keep(format!("{}; put off: {hindrance}", due.reason), due.numbers.clone());
        if due.by_loss || self.model.due.is_none() {
            self.model.due = Some(due);
        }
    }

    /// What had to wait may begin; what stands in the way meanwhile is looked at once more.
    pub(crate) fn wait_ended(&mut self) {
        match (self.model.repair, self.model.due.clone()) {
            (Some(Repair::Waiting { version }), _) if !self.policy.quiet.covers(self.now) => {
                self.model.repair = None;
                self.roll_out(version, format!("version {version} was to serve when it is not quiet"));
            }
            (None, Some(due)) if hindrance(self.policy, self.model, self.now).is_none() => self.retrain(due),
            _ => {}
        }
    }
}
