//! A model at a glance: how it is, who serves, what the loop is doing. The same facts for the API and the control room.

use gyre_core::fact::{Alarm, Fact, LossEstimate, Numbers, Realised};
use gyre_core::spec::{Deploy, Metric, Model, Task, Window};
use gyre_core::time::Period;
use gyre_core::{ModelName, Timestamp, Version};
use gyre_gateway::{Evidence, RuleCount};
use gyre_loop::state::{ModelState, Repair};
use gyre_store::{StoreError, Tx, journal};
use serde::Serialize;

use crate::app::App;
use crate::pages::{Direction, Filter};

/// A model at a glance.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Glance {
    pub(crate) name: ModelName,
    /// None for a model that the project file does not declare.
    pub(crate) task: Option<Task>,
    pub(crate) metric: Option<Metric>,
    pub(crate) unit: String,
    /// Who is in charge.
    pub(crate) champion: Option<Version>,
    pub(crate) health: Health,
    pub(crate) alarms: Vec<Raised>,
    /// What the loop is doing about it, in words.
    pub(crate) doing: String,
    /// The last closed window.
    pub(crate) window: Option<LastWindow>,
    /// What the champion's loss is expected to be in the last window that has ended, whose labels may not have come.
    pub(crate) expected: Option<LossEstimate>,
    /// The champion's loss on rows withheld from its training.
    pub(crate) promised: Option<f64>,
    /// Who takes traffic now, and what it has shown.
    pub(crate) serving: Vec<Serving>,
    /// What decides who answers before chance does, with how often it has.
    pub(crate) rules: Vec<RuleCount>,
    /// Predictions that the log could not take.
    pub(crate) dropped: u64,
}

/// How a model is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Health {
    /// It serves, and nothing is wrong that is known.
    Well,
    /// An alarm stands.
    Alarm,
    /// The loop has given up until a person says otherwise.
    Paused,
    /// Nothing serves yet.
    NotServing,
}

/// An alarm that stands.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Raised {
    pub(crate) alarm: Alarm,
    pub(crate) since: Timestamp,
    pub(crate) reason: String,
    pub(crate) entry: u64,
}

/// What the last closed window showed of the champion.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LastWindow {
    pub(crate) period: Period,
    /// The champion when it closed.
    pub(crate) champion: Version,
    pub(crate) predictions: u64,
    pub(crate) labels: u64,
    pub(crate) realised: Option<Realised>,
}

/// A version that takes traffic.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Serving {
    pub(crate) version: Version,
    /// In hundredths of a percent.
    pub(crate) share: u32,
    /// Since it was loaded, or since the present step of its rollout began.
    #[serde(flatten)]
    pub(crate) evidence: Evidence,
    /// What its trial beside the champion has shown since the rollout began, by the names of `rollback_on`; none when it is not
    /// on trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trial: Option<Numbers>,
}

/// All models of the project, by name.
pub(crate) fn all(app: &App) -> Result<Vec<Glance>, StoreError> {
    let state = app.desk.state();
    let models = app.desk.models();
    app.store.read(|tx| {
        let one = |name| one(app, tx, name, &state.models.get(name).cloned().unwrap_or_default());
        models.iter().map(one).collect()
    })
}

/// One model of the project.
pub(crate) fn of(app: &App, name: &ModelName) -> Result<Glance, StoreError> {
    let state = app.desk.state().models.remove(name).unwrap_or_default();
    app.store.read(|tx| one(app, tx, name, &state))
}

fn one(app: &App, tx: &mut Tx<'_>, name: &ModelName, state: &ModelState) -> Result<Glance, StoreError> {
    let served = app.desk.project();
    let spec = served.models.get(name);
    let traffic = app.gateway.traffic(name.as_str());
    let champion = gyre_registry::champion(tx, name)?;
    let serving = traffic.iter().flat_map(|traffic| &traffic.weights).filter(|(_, share)| *share > 0);
    let serving = serving.map(|&(version, share)| {
        let evidence = app.gateway.evidence(name, version).unwrap_or_default();
        let trial = app.gateway.finding(name, version).map(|finding| finding.numbers());
        Serving { version, share, evidence, trial }
    });
    let alarms = alarms(tx, name, state)?;
    let health = if champion.is_none() {
        Health::NotServing
    } else if state.paused {
        Health::Paused
    } else if alarms.is_empty() {
        Health::Well
    } else {
        Health::Alarm
    };
    Ok(Glance {
        name: name.clone(),
        task: spec.map(|spec| spec.task),
        metric: spec.map(|spec| spec.metric),
        unit: spec.map(|spec| spec.unit.clone()).unwrap_or_default(),
        champion,
        health,
        alarms,
        doing: match app.desk.waiting(name) {
            Some(waits) => format!("{}; waits for {waits}", doing(state, steps(state, spec))),
            None => doing(state, steps(state, spec)),
        },
        rules: app.gateway.rules(name.as_str()),
        window: last_window(tx, name)?,
        expected: last_estimate(tx, name)?.filter(|estimate| Some(estimate.version) == champion),
        promised: champion.and_then(|version| state.versions.get(&version)?.promised),
        serving: serving.collect(),
        // A model that was never loaded has no log, and has dropped nothing.
        dropped: app.gateway.log().dropped(name.as_str()).unwrap_or_default(),
    })
}

/// How many steps the rollout under way has.
fn steps(state: &ModelState, spec: Option<&Model>) -> usize {
    match (&state.plan, spec) {
        (Some(plan), _) => plan.steps.len(),
        (None, Some(spec)) => spec.deploy.shares().len(),
        (None, None) => Deploy::default().shares().len(),
    }
}

/// The alarms that stand, each with the entry that raised it last.
fn alarms(tx: &mut Tx<'_>, name: &ModelName, state: &ModelState) -> Result<Vec<Raised>, StoreError> {
    if state.alarms.is_empty() {
        return Ok(Vec::new());
    }
    let filter = Filter { kind: Some("alarm_raised".to_owned()), ..Filter::of(name.as_str()) };
    let raised = filter.entries(tx, Direction::Before(u64::MAX), 100)?;
    let latest = |wanted: &Alarm| {
        raised.iter().find_map(|entry| match &entry.fact {
            Fact::AlarmRaised { alarm, reason, .. } if alarm == wanted => {
                Some(Raised { alarm: *alarm, since: entry.at, reason: reason.clone(), entry: entry.seq })
            }
            _ => None,
        })
    };
    Ok(state.alarms.iter().filter_map(latest).collect())
}

fn last_window(tx: &mut Tx<'_>, name: &ModelName) -> Result<Option<LastWindow>, StoreError> {
    let latest = journal::latest_of_kind(tx, "window_closed", name.as_str())?;
    Ok(latest.and_then(|entry| match entry.fact {
        Fact::WindowClosed(window) => Some(LastWindow {
            period: window.period,
            champion: window.champion,
            predictions: window.predictions,
            labels: window.labels,
            realised: window.realised.into_iter().find(|realised| realised.version == window.champion),
        }),
        _ => None,
    }))
}

fn last_estimate(tx: &mut Tx<'_>, name: &ModelName) -> Result<Option<LossEstimate>, StoreError> {
    let latest = journal::latest_of_kind(tx, "loss_estimated", name.as_str())?;
    Ok(latest.and_then(|entry| match entry.fact {
        Fact::LossEstimated(estimate) => Some(estimate),
        _ => None,
    }))
}

/// What the loop is doing for a model, in words.
fn doing(state: &ModelState, steps: usize) -> String {
    if state.paused {
        let until = state.breaker.rests_until.map(|until| format!(", until {until}")).unwrap_or_default();
        return match state.failures {
            0 => format!("paused after {} setbacks in a row{until}", state.breaker.setbacks),
            failures => format!("paused after {failures} failures in a row{until}"),
        };
    }
    match state.repair {
        Some(Repair::Comparing { .. }) => "comparing versions on recent labelled rows".to_owned(),
        Some(Repair::Training { window: Window::All }) => "training on all data".to_owned(),
        Some(Repair::Training { window: Window::Last(span) }) => format!("training on the last {span}"),
        Some(Repair::Training { window: Window::Fading(half_life) }) => {
            format!("training on all data, half of what is {half_life} old")
        }
        Some(Repair::Recalibrating { version }) => format!("putting the answers of version {version} right"),
        Some(Repair::Refitting { version }) => {
            format!("training version {version} once more, on the withheld rows too")
        }
        Some(Repair::Judging { version }) => format!("holding version {version} against its gates"),
        Some(Repair::Waiting { version }) => {
            format!("version {version} passed its gates and waits for the quiet hours to end")
        }
        Some(Repair::RollingOut { version, step, .. }) => {
            format!("rolling out version {version}, step {} of {steps}", step.saturating_add(1))
        }
        Some(Repair::Exploring { round, .. }) => {
            let arms = state.plan.as_ref().and_then(|plan| Some(plan.bandit.as_ref()?.arms.clone()));
            let arms: Vec<String> = arms.unwrap_or_default().iter().map(ToString::to_string).collect();
            format!("a bandit chooses among versions {}, round {}", arms.join(", "), round.saturating_add(1))
        }
        None if state.due.is_some() => "a training is due and waits".to_owned(),
        None if state.champion.is_none() => "waiting for a first version".to_owned(),
        None => "watching".to_owned(),
    }
}
