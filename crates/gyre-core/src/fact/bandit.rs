//! How a bandit learns which of several versions is best, and what the journal keeps of it.

use serde::{Deserialize, Serialize};

use crate::spec::Percent;
use crate::{Span, Version};

/// Versions among which a bandit chooses, at most.
pub const MOST_ARMS: usize = 10;

/// How a bandit learns: Thompson sampling on what came true.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BanditPlan {
    /// The versions, the champion among them; empty: the champion and the version that is rolled out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub arms: Vec<Version>,
    /// The share of traffic that each arm keeps, so that learning does not stop.
    pub floor: Percent,
    /// How often the shares are made anew.
    pub every: Span,
    /// Labels that each arm must have got before the shares move.
    pub min_labels: u64,
    /// The probability of being the best at which a version is promoted, 0.5 to 1; 1: never, the bandit runs until a person
    /// ends it.
    pub promote_at: f64,
    /// How much worse than the best a promoted version may be expected to be, as a share of the mean loss of all arms.
    pub tolerance: f64,
}

impl Default for BanditPlan {
    fn default() -> Self {
        Self {
            arms: Vec::new(),
            floor: Percent::new(5.0),
            every: Span::hours(1),
            min_labels: 20,
            promote_at: 0.99,
            tolerance: 0.01,
        }
    }
}

impl BanditPlan {
    /// What is wrong with it, in words.
    ///
    /// # Errors
    /// The first thing that is.
    pub fn check(&self) -> Result<(), String> {
        if self.arms.len() > MOST_ARMS {
            return Err(format!(
                "{} versions are too many for a bandit; {MOST_ARMS} are allowed",
                self.arms.len()
            ));
        }
        if self.arms.len() == 1 {
            return Err("a bandit chooses among two versions at least".to_owned());
        }
        if let Some((at, twice)) =
            self.arms.iter().enumerate().find(|(at, arm)| self.arms[..*at].contains(arm))
        {
            return Err(format!("version {twice} is named twice (place {})", at + 1));
        }
        let arms = self.arms.len().max(2);
        if self.floor.basis_points() as usize * arms > 10_000 {
            return Err(format!(
                "a floor of {} for each of {arms} versions is more than there is",
                self.floor
            ));
        }
        if self.every.as_millis() <= 0 {
            return Err("`every` is no length of time, such as 1h".to_owned());
        }
        if !(0.5..=1.0).contains(&self.promote_at) {
            return Err(format!("promote_at is {}; a probability from 0.5 to 1 is needed", self.promote_at));
        }
        if !(self.tolerance >= 0.0 && self.tolerance.is_finite()) {
            return Err(format!(
                "tolerance is {}; a share of the mean loss, such as 0.01, is needed",
                self.tolerance
            ));
        }
        Ok(())
    }
}

/// What is known of one arm of a bandit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// The version.
    pub version: Version,
    /// Its labelled predictions, among those that chance dealt.
    pub labels: u64,
    /// The metric over them; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<f64>,
    /// The mean reward that is expected of it: 1 less the share of wrong answers, or less the loss.
    pub reward: f64,
    /// The probability that it is the best of the arms.
    pub best: f64,
    /// How much reward a request is expected to lose with it rather than with the best.
    pub regret: f64,
    /// Its share of traffic from now on, in hundredths of a percent.
    pub share: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        let of = |change: fn(&mut BanditPlan)| {
            let mut plan = BanditPlan { arms: vec![1, 2, 3], ..BanditPlan::default() };
            change(&mut plan);
            plan.check()
        };
        assert_eq!(of(|_| {}), Ok(()));
        assert_eq!(of(|plan| plan.arms.clear()), Ok(()));
        for (wrong, why) in [
            (of(|plan| plan.arms = vec![1]), "two versions"),
            (of(|plan| plan.arms = vec![1, 2, 1]), "named twice"),
            (of(|plan| plan.arms = (1..12).collect()), "too many"),
            (of(|plan| plan.floor = Percent::new(40.0)), "more than there is"),
            (of(|plan| plan.promote_at = 0.3), "from 0.5 to 1"),
            (of(|plan| plan.tolerance = f64::NAN), "tolerance"),
            (of(|plan| plan.every = Span::default()), "length of time"),
        ] {
            let found = wrong.unwrap_err();
            assert!(found.contains(why), "{found}");
        }
    }
}
