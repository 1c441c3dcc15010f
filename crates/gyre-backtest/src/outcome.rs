//! What came out: each policy's losses, trainings, cost and regret, and which settings the history speaks for.

use gyre_core::Timestamp;
use gyre_core::spec::Metric;
use gyre_monitor::loss::aggregate;
use serde::Serialize;

use crate::cost::{Prices, Schedule};
use crate::error::BacktestError;
use crate::known::{Fit, Known, Losses};
use crate::policies::{Policy, replay};
use crate::settings::Settings;

/// What is to be compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The policies, in the order of the answer.
    pub policies: Vec<Policy>,
}

/// How one policy did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Its name.
    pub policy: String,
    /// The metric over all rows that it served.
    pub loss: f64,
    /// Models that it had trained, the first one not counted.
    pub retrains: u32,
    /// Losses and trainings, in the currency of `gyre.yaml`.
    pub total_cost: f64,
    /// How much more that is than what the oracle paid; none without the oracle.
    pub regret: Option<f64>,
    /// The total cost divided by the oracle's.
    pub ratio: Option<f64>,
    /// The metric of each window; none where no label came.
    pub windows: Vec<Option<f64>>,
    /// When it trained.
    pub trained: Vec<Timestamp>,
}

/// A whole backtest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Backtest {
    /// The policies, the cheapest first.
    pub policies: Vec<Outcome>,
    /// The first model's loss on withheld rows: what a day costs is counted in it.
    pub promised: f64,
    /// When each window began.
    pub windows: Vec<Timestamp>,
}

/// The model that all policies begin with, and what it promised.
///
/// # Errors
/// [`BacktestError::First`] when there is none, or it promised nothing to count in.
pub fn first(losses: &dyn Losses, settings: &Settings) -> Result<(Fit, f64), BacktestError> {
    let fit = Fit { at: 0, choice: 0 };
    let known = Known::at(losses, 0, settings.metric);
    let wrong = |reason: &str| BacktestError::First { as_of: known.moment(), reason: reason.to_owned() };
    if !known.exists(fit) {
        let why = losses.why_none(fit).unwrap_or("too few labelled rows, or a single class");
        return Err(wrong(&format!("could not be trained: {why}; give a longer --warm-up")));
    }
    let promise = known.promise(fit, settings.candidates.first().copied());
    let promise = promise.ok_or_else(|| {
        wrong("has no withheld rows to promise a loss on; give a longer --warm-up or a smaller holdout.every")
    })?;
    if promise.loss > 0.0 {
        return Ok((fit, promise.loss));
    }
    Err(wrong(
        "promises a loss of 0, in which nothing can be counted; use a metric that is not 0, such as log_loss",
    ))
}

/// Replays all policies of `plan`.
///
/// # Errors
/// [`BacktestError::First`].
pub fn run(losses: &dyn Losses, settings: &Settings, plan: &Plan) -> Result<Backtest, BacktestError> {
    let (fit, promised) = first(losses, settings)?;
    let prices = Prices::new(losses, settings.metric, settings.cost, promised);
    let outcome = |policy: &Policy| {
        let schedule = replay(*policy, losses, settings, &prices, fit, promised);
        judge(policy.to_string(), losses, settings.metric, &prices, &schedule)
    };
    let mut policies: Vec<Outcome> = plan.policies.iter().map(outcome).collect();
    let oracle = Policy::Oracle.to_string();
    if let Some(least) = policies.iter().find(|it| it.policy == oracle).map(|it| it.total_cost) {
        for outcome in &mut policies {
            outcome.regret = Some(outcome.total_cost - least);
            outcome.ratio = (least > 0.0).then(|| outcome.total_cost / least);
        }
    }
    policies.sort_by(|a, b| a.total_cost.total_cmp(&b.total_cost));
    let windows = losses.timeline().windows.iter().map(|window| window.from).collect();
    Ok(Backtest { policies, promised, windows })
}

/// What a schedule came to.
pub fn judge(
    policy: String,
    losses: &dyn Losses,
    metric: Metric,
    prices: &Prices,
    schedule: &Schedule,
) -> Outcome {
    let timeline = losses.timeline();
    let mut windows = vec![(0, 0.0); timeline.windows.len()];
    for (index, slice) in timeline.slices.iter().enumerate() {
        let fitted = slice.era.and_then(|era| losses.served(*schedule.serves.get(era)?));
        if let (Some(fitted), Some((rows, sum))) =
            (fitted, slice.window.and_then(|window| windows.get_mut(window)))
        {
            let of = |sums: &[f64]| sums.get(index).copied().unwrap_or_default();
            *rows += slice.rows();
            *sum += of(&fitted.seen) + of(&fitted.late);
        }
    }
    let metric_of = |rows: u64, sum: f64| (rows > 0).then(|| aggregate(metric, sum / rows as f64));
    let (rows, sum) = windows.iter().fold((0, 0.0), |all, of| (all.0 + of.0, all.1 + of.1));
    let trained = schedule.trainings.iter().enumerate().filter(|(_, trainings)| **trainings > 0);
    Outcome {
        policy,
        loss: metric_of(rows, sum).unwrap_or(f64::NAN),
        retrains: schedule.retrains(),
        total_cost: prices.total(losses, schedule),
        regret: None,
        ratio: None,
        windows: windows.into_iter().map(|(rows, sum)| metric_of(rows, sum)).collect(),
        trained: trained.map(|(decision, _)| timeline.moment(decision)).collect(),
    }
}
