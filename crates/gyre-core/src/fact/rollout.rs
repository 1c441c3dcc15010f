//! How a rollout is walked: what a person or the project file says, and what the journal keeps of it.

use serde::{Deserialize, Serialize};

use crate::Span;
use crate::expr::Expression;

use super::BanditPlan;

/// How traffic moves to a version, and what sends it back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolloutPlan {
    /// The candidate's shares of traffic, in hundredths of a percent, step by step, the last one 10,000. At a share of
    /// nothing the candidate is asked beside the champion.
    pub steps: Vec<u32>,
    /// Requests that the candidate must have been asked before a step is judged.
    pub min_requests: u64,
    /// The chance, over the whole rollout, of sending back a candidate that fails no more often than the champion.
    pub alpha: f64,
    /// What sends it back besides: expressions over what a step shows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rollback_on: Vec<String>,
    /// How long the candidate takes all traffic, with the champion kept warm, before it is promoted; at once when there is
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bake: Option<Span>,
    /// Labels that a step's own predictions must have got, of the candidate, before the step may pass; at a share of nothing
    /// none are asked for, since the candidate's answers are nobody's.
    #[serde(default, skip_serializing_if = "is_none")]
    pub min_labels: u64,
    /// How long a step waits for them before the candidate goes back; [`RolloutPlan::LABELS_WITHIN`] when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels_within: Option<Span>,
    /// The version is one arm of a bandit, which moves traffic by what comes true; there are no steps then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandit: Option<BanditPlan>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// What is measured only once there are labels; until then a rule over it cannot be judged.
const OF_LABELS: [&str; 2] = ["metric", "champion_metric"];

impl RolloutPlan {
    /// How long a step waits for labels when nothing else is said.
    pub const LABELS_WITHIN: Span = Span::days(7);

    /// How many labels the step at `share` waits for.
    pub fn labels_wanted(&self, share: Option<u32>) -> u64 {
        if share == Some(0) { 0 } else { self.min_labels }
    }

    /// How long a step waits for its labels.
    pub fn patience(&self) -> Span {
        self.labels_within.unwrap_or(Self::LABELS_WITHIN)
    }

    /// What is wrong with it, in words.
    ///
    /// # Errors
    /// The first thing that is.
    pub fn check(&self) -> Result<(), String> {
        if self.steps.last() != Some(&10_000) {
            return Err("the last step of a rollout must be 100%".to_owned());
        }
        if !self.steps.is_sorted_by(|a, b| a < b) {
            return Err("the steps of a rollout must rise".to_owned());
        }
        if !(self.alpha > 0.0 && self.alpha <= 0.5) {
            return Err(format!("alpha is {}; a chance above 0, at most 0.5, is needed", self.alpha));
        }
        for rule in &self.rollback_on {
            let rule = Expression::compile(rule).map_err(|error| format!("`{rule}` is no rule: {error}"))?;
            if let (Some(name), 0) = (OF_LABELS.iter().find(|name| rule.mentions(name)), self.min_labels) {
                return Err(format!(
                    "`{}` asks for `{name}`, which is known once there are labels; say how many a step waits for (min_labels)",
                    rule.source()
                ));
            }
        }
        if let Some(bandit) = &self.bandit {
            bandit.check()?;
        }
        if self.labels_within.is_some_and(|within| within.as_millis() <= 0) {
            return Err(
                "labels_within is no length of time; a step waits for labels for a while, such as 2d"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// The share of step `step`; none past the last one.
    pub fn share(&self, step: u32) -> Option<u32> {
        self.steps.get(usize::try_from(step).ok()?).copied()
    }

    /// The compiled rules that send the candidate back.
    pub fn rules(&self) -> Vec<Expression> {
        // Those that do not compile were refused by `check`.
        self.rollback_on.iter().filter_map(|rule| Expression::compile(rule).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_ends_at_everything_and_never_falls() {
        let plan = |steps: &[u32], alpha, rules: &[&str]| RolloutPlan {
            steps: steps.to_vec(),
            min_requests: 30,
            alpha,
            rollback_on: rules.iter().map(ToString::to_string).collect(),
            bake: None,
            min_labels: 0,
            labels_within: None,
            bandit: None,
        };
        assert_eq!(plan(&[0, 500, 10_000], 0.01, &["errors > 0.01"]).check(), Ok(()));
        for (wrong, why) in [
            (plan(&[], 0.01, &[]), "100%"),
            (plan(&[500], 0.01, &[]), "100%"),
            (plan(&[500, 400, 10_000], 0.01, &[]), "rise"),
            (plan(&[10_000], f64::NAN, &[]), "alpha"),
            (plan(&[10_000], 0.6, &[]), "alpha"),
            (plan(&[10_000], 0.01, &["errors >"]), "is no rule"),
            (plan(&[10_000], 0.01, &["metric > 1.1 * champion_metric"]), "min_labels"),
        ] {
            let found = wrong.check().unwrap_err();
            assert!(found.contains(why), "{found}");
        }
    }
}
