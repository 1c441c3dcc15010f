//! What age has been shown to cost: when the next training pays, although nothing is worse than promised.
//!
//! A promise can be kept by a model that a newer one would beat, when the days have become easier. But whenever two versions have
//! answered the same rows, the difference of their losses, over the difference of their ages, says what a day of age costs. With
//! a loss that grows by β a day, a model of age T has cost βT²/2 more than one that is always new; with a training at R the
//! cheapest age to train at is √(2R/β) (the square-root rule of economic lots, Harris 1913): the age at which that sum reaches R.
//! So the sum is kept as it grows, and is held against the same patience as the regret.
//!
//! β is a least-squares slope through the origin over pairs of versions, older weeks counting less, and drawn to zero as if two
//! versions eight weeks apart had been equally good for two weeks: without evidence, age costs nothing.

use serde::{Deserialize, Serialize};

/// What is left of a window's weight in the next.
const KEPT: f64 = 0.9;
/// The difference of age, in days, of the versions that count as seen.
const PRIOR_AGE: f64 = 56.0;
/// The days that they count as seen for.
const PRIOR_DAYS: f64 = 14.0;

/// What age has been shown to cost, and what it has cost since the last training.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Worth {
    /// Sum of age difference × excess over the days compared.
    cross: f64,
    /// Sum of squared age differences over the days compared.
    square: f64,
    /// What the champion's age has cost so far, in days of the reference loss.
    spent: f64,
    /// The days over which that added up.
    #[serde(default)]
    days: f64,
}

impl Worth {
    /// Takes in a pair: over `days` days the version that is older by `apart` days lost more by `excess`, in reference losses a
    /// day. What is not finite is not taken in.
    pub fn learn(&mut self, apart: f64, excess: f64, days: f64) {
        let (cross, square) = (apart * excess * days, apart * apart * days);
        if cross.is_finite() && square.is_finite() {
            self.cross = self.cross * KEPT + cross;
            self.square = self.square * KEPT + square;
        }
    }

    /// What each day of age costs a day, in reference losses; never below 0.
    pub fn a_day_of_age(&self) -> f64 {
        (self.cross / (self.square + PRIOR_DAYS * PRIOR_AGE * PRIOR_AGE)).max(0.0)
    }

    /// `days` days went by with a champion whose age was `age` days in their middle.
    pub fn spend(&mut self, age: f64, days: f64) {
        let cost = self.a_day_of_age() * age.max(0.0) * days;
        if cost.is_finite() {
            self.spent += cost;
            self.days += days;
        }
    }

    /// What age has cost since the last training, in days of the reference loss.
    pub fn spent(&self) -> f64 {
        self.spent
    }

    /// The days over which that added up.
    pub fn days(&self) -> f64 {
        self.days
    }

    /// A training was made, or another version serves: its age is another.
    pub fn renew(&mut self) {
        self.spent = 0.0;
        self.days = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_training_pays_at_the_age_of_the_square_root_rule() {
        let mut worth = Worth::default();
        // Much evidence that 0.004 a day of age is lost: a training that costs 3 pays at √(2·3/0.004) = 38.7 days.
        (0..200).for_each(|_| worth.learn(50.0, 0.2, 1_000.0));
        let age = (0..100).find(|day| {
            worth.spend(f64::from(*day) + 0.5, 1.0);
            worth.spent() >= 3.0
        });
        assert_eq!(age, Some(38));
        worth.renew();
        assert_eq!(worth.spent(), 0.0);
    }

    #[test]
    fn without_evidence_or_against_it_age_costs_nothing() {
        let mut worth = Worth::default();
        worth.spend(300.0, 7.0);
        worth.learn(50.0, -0.2, 7.0);
        worth.learn(f64::NAN, 1.0, 7.0);
        worth.spend(300.0, 7.0);
        assert_eq!((worth.a_day_of_age(), worth.spent()), (0.0, 0.0));
    }
}
