//! What sets a training off besides losses and age: new data, the calendar, the code.
//!
//! Such a trigger asks for a candidate; gates and rollout decide about it as about any other. It lives in event time: a schedule
//! that fell due while nobody watched, or several times over, fires once, and in a replay it fires when the replay gets there.
//! Trainings that were asked for in this way and bring nothing do not count as trainings in vain, for nothing had to be mended.

use gyre_core::fact::{Fact, Numbers};
use gyre_core::spec::NewData;
use gyre_core::{ModelName, Timestamp};

use crate::policy::Policy;
use crate::state::ModelState;

/// New labelled rows, or time since the last training.
pub const NEW_DATA: &str = "new_data";
/// A moment of the calendar.
pub const SCHEDULE: &str = "schedule";
/// Another commit of the pipeline's code.
pub const CODE: &str = "code";

/// A trigger that fires, with what tells this firing from every other.
#[derive(Debug, Clone, PartialEq)]
pub struct Fired {
    /// The fact to tell the controller.
    pub fact: Fact,
    /// The same for the same firing, whoever sees it and how often.
    pub key: String,
}

/// The trigger of `name` that fires at `now`; none while one waits already, and before a first version serves.
pub fn fired(policy: &Policy, model: &ModelState, name: &ModelName, now: Timestamp) -> Option<Fired> {
    if model.champion.is_none() || model.due.is_some() || model.repair.is_some() {
        return None;
    }
    let trained = last_training(model);
    by_calendar(policy, model, trained, now).or_else(|| by_data(policy, model, trained, now)).map(
        |(trigger, reason, numbers, moment)| Fired {
            fact: Fact::TrainingDue { model: name.clone(), trigger: trigger.to_owned(), reason, numbers },
            key: format!("due/{name}/{trigger}/{}", moment.as_millis()),
        },
    )
}

/// When the model was trained last, as far as is known: when its champion came, where the loop has trained none.
pub fn last_training(model: &ModelState) -> Timestamp {
    let known = model.champion.and_then(|champion| model.versions.get(&champion)?.since);
    model.trainings.last().copied().or(known).unwrap_or(model.champion_since)
}

type Firing = (&'static str, String, Numbers, Timestamp);

fn by_calendar(policy: &Policy, model: &ModelState, trained: Timestamp, now: Timestamp) -> Option<Firing> {
    // A training covers what fell due before it.
    let from = model.schedule_fired.map_or(trained, |fired| fired.max(trained));
    let firings = policy.schedules.iter().filter_map(|schedule| Some((schedule.next(from)?, schedule)));
    let (moment, schedule) =
        firings.filter(|(moment, _)| *moment <= now).min_by_key(|(moment, _)| *moment)?;
    Some((SCHEDULE, format!("the schedule `{schedule}` fell due at {moment}"), Numbers::new(), moment))
}

fn by_data(policy: &Policy, model: &ModelState, trained: Timestamp, now: Timestamp) -> Option<Firing> {
    let (rows, age) = (model.new_rows, now.since(trained));
    let enough = policy.new_data.iter().find(|enough| match enough {
        NewData::Rows(least) => rows >= *least,
        NewData::After(span) => rows > 0 && age >= *span,
    })?;
    let days = age.as_days();
    let reason = format!(
        "{rows} labelled predictions in windows that closed since the last training, {days:.1} days ago: enough is {enough}"
    );
    let numbers = [("new_rows", rows as f64), ("days_since_training", days)];
    let numbers = numbers.map(|(name, value)| (name.to_owned(), value));
    Some((NEW_DATA, reason, Numbers::from(numbers), trained))
}
