//! A backtest as the report shows it.

use gyre_backtest::{Outcome, Policy};
use gyre_core::Timestamp;
use gyre_report::backtest_report::{BacktestReport, PolicyRow};

use super::Shown;

pub(super) fn document(shown: &Shown<'_>) -> BacktestReport {
    BacktestReport {
        title: format!("Backtest of {}", shown.settings.model),
        subject: shown.args.data.display().to_string(),
        rows: shown.history.rows() as u64,
        metric: shown.settings.metric.name().to_owned(),
        unit: shown.settings.unit.clone(),
        currency: shown.currency(),
        windows_ms: shown.found.windows.iter().copied().map(Timestamp::as_millis).collect(),
        policies: shown.found.policies.iter().map(policy).collect(),
        advice: shown.untrained.map(str::to_owned).into_iter().chain(shown.advice.sentences()).collect(),
        settings: shown.settings(),
    }
}

fn policy(outcome: &Outcome) -> PolicyRow {
    let named: Option<Policy> = outcome.policy.parse().ok();
    PolicyRow {
        name: outcome.policy.clone(),
        what: named.map_or_else(String::new, |policy| policy.what().to_owned()),
        loss: Some(outcome.loss),
        retrains: outcome.retrains.into(),
        cost: Some(outcome.total_cost),
        regret: outcome.regret,
        ratio: outcome.ratio,
        highlighted: named == Some(Policy::Gyre),
        windows: outcome.windows.clone(),
        trained_ms: outcome.trained.iter().copied().map(Timestamp::as_millis).collect(),
    }
}
