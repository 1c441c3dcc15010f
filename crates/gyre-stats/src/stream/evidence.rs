//! Evidence that grows from an unknown moment on.
//!
//! A detector bets against "nothing has changed": each value multiplies the stake of each alternative by a factor whose
//! mean is 1 (or less) as long as nothing has. Which alternative is true is unknown, and so is when it began; so the
//! stake is spread over both. Of a stake of 1, the share `w(t)` is set aside for "the change begins at value t", and
//! all stakes for the past of one alternative fit into one number,
//!
//! ```text
//! M ← (M + w(t)) · factor
//! ```
//!
//! so that neither memory nor time grow. What the threshold promises depends on the shares: see [`Guarantee`].

use serde::{Deserialize, Serialize};

use super::{BadSetting, require};

/// Values after which about half of the stake is spent (the other half pays for the rest of time), unless told otherwise.
pub(super) const HORIZON: f64 = 3_000.0;

/// How the unspent stake shrinks: as `(1 + t/horizon)^−SPENDING`. Smaller finds late changes sooner and early ones later.
const SPENDING: f64 = 0.8;

/// What a detector promises about alarms while nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Guarantee {
    /// The probability of *ever* alarming, over a life of any length, is `alpha` at most.
    ///
    /// The shares `w(t)` sum to 1, so unspent share and stakes together are a non-negative supermartingale that starts at
    /// 1; it ever reaches `1/alpha` with probability at most `alpha` (Ville 1939). This is the classical bet on a change
    /// point with a prior over its time (Shiryaev 1963), with a heavy-tailed prior. After its alarm the detector is
    /// done: its life is over, and a new one with a new reference takes its place.
    Lifetime {
        /// In (0, 1).
        alpha: f64,
    },
    /// The mean number of values until an alarm is `values` at least; over a long life there *will* be false alarms.
    ///
    /// Every value brings a new stake of 1: the Shiryaev–Roberts form of the e-detector (Shin, Ramdas & Rinaldo,
    /// "E-detectors: a nonparametric framework for sequential change detection", NEJSDS 2023, §2), which reacts sooner.
    /// After an alarm the stakes are taken back and it goes on.
    RunLength {
        /// Above 1.
        values: f64,
    },
}

/// The stakes of a fixed number of alternatives, begun at any time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Evidence {
    guarantee: Guarantee,
    horizon: f64,
    /// Share of the stake that is not set on any beginning yet.
    unspent: f64,
    stakes: Vec<f64>,
    values: u64,
    /// The value, counted from 1, at which a life ended.
    alarm: Option<u64>,
    alarms: u64,
}

impl Evidence {
    /// No evidence for any of so many alternatives, over a life of which about half of the stake is spent after
    /// `horizon` values.
    pub(super) fn new(guarantee: Guarantee, alternatives: usize, horizon: f64) -> Result<Self, BadSetting> {
        match guarantee {
            Guarantee::Lifetime { alpha } => {
                require(alpha > 0.0 && alpha < 1.0, "alpha", alpha, "above 0 and below 1")?;
            }
            Guarantee::RunLength { values } => {
                require(values > 1.0 && values.is_finite(), "values", values, "above 1 and finite")?;
            }
        }
        let stakes = vec![0.0; alternatives.max(1)];
        Ok(Self { guarantee, horizon, unspent: 1.0, stakes, values: 0, alarm: None, alarms: 0 })
    }

    /// Whether a life has ended; what comes after is not looked at.
    pub(super) fn is_over(&self) -> bool {
        self.alarm.is_some()
    }

    /// Takes in the factors of the alternatives, in their order; whether it is an alarm.
    pub(super) fn multiply(&mut self, factors: impl Iterator<Item = f64>) -> bool {
        if self.is_over() {
            return false;
        }
        self.values += 1;
        let share = match self.guarantee {
            Guarantee::RunLength { .. } => 1.0,
            Guarantee::Lifetime { .. } => {
                let unspent = (1.0 + self.values as f64 / self.horizon).powf(-SPENDING);
                let share = (self.unspent - unspent).max(0.0);
                self.unspent = unspent;
                share
            }
        };
        for (stake, factor) in self.stakes.iter_mut().zip(factors) {
            *stake = ((*stake + share) * factor).min(f64::MAX);
        }
        if self.level() < self.threshold() {
            return false;
        }
        self.alarms += 1;
        match self.guarantee {
            Guarantee::Lifetime { .. } => self.alarm = Some(self.values),
            Guarantee::RunLength { .. } => self.stakes.fill(0.0),
        }
        true
    }

    fn level(&self) -> f64 {
        let mean = self.stakes.iter().map(|stake| stake / self.stakes.len() as f64).sum::<f64>();
        match self.guarantee {
            Guarantee::Lifetime { .. } => mean + self.unspent,
            Guarantee::RunLength { .. } => mean,
        }
    }

    fn threshold(&self) -> f64 {
        match self.guarantee {
            Guarantee::Lifetime { alpha } => 1.0 / alpha,
            Guarantee::RunLength { values } => values,
        }
    }

    /// The evidence as a share of what an alarm needs, 0 to 1, in logarithms: 0 is none.
    pub(super) fn strength(&self) -> f64 {
        if self.is_over() {
            return 1.0;
        }
        (self.level().ln() / self.threshold().ln()).clamp(0.0, 1.0)
    }

    pub(super) fn alarms(&self) -> u64 {
        self.alarms
    }

    pub(super) fn values(&self) -> u64 {
        self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stake_is_spread_over_time_but_neither_grows_nor_shrinks_on_fair_bets() {
        let mut evidence = Evidence::new(Guarantee::Lifetime { alpha: 0.01 }, 3, HORIZON).unwrap();
        for _ in 0..10_000 {
            assert!(!evidence.multiply([1.0; 3].into_iter()));
        }
        assert!((evidence.level() - 1.0).abs() < 1e-12 && evidence.unspent < 0.5, "{}", evidence.level());
        // An alternative that wins a half with each value is soon convinced of, however late it begins.
        let won = (1..100).find(|_| evidence.multiply([1.5, 1.0, 0.5].into_iter()));
        assert!(won.is_some_and(|values| values < 40), "{won:?}");
        assert!(evidence.is_over() && !evidence.multiply([1.5; 3].into_iter()));
    }
}
