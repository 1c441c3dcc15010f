//! Which of several versions is best, and how traffic should learn it: Thompson sampling without a die.
//!
//! Thompson sampling gives each arm the share of traffic that equals the probability of its being the best, given what was
//! seen (Thompson 1933; Chapelle & Li, "An empirical evaluation of Thompson sampling", 2011). That probability is integrated
//! here rather than sampled, `P(i is best) = ∫ fᵢ(x)·Πⱼ≠ᵢ Fⱼ(x) dx`, so the same rewards always give the same shares; the chance is
//! in how requests are dealt by them.
//!
//! Rewards are higher-is-better. The mean reward of an arm has a Beta posterior when rewards are 0 or 1 (uniform prior), and a
//! Student-t posterior when they are numbers (normal-inverse-gamma prior with the weight of one observation, centred as
//! the rewards of all arms together and as wide as those of one; Murphy, "Conjugate Bayesian analysis of the Gaussian
//! distribution", 2007, §3).

use crate::moments::Moments;

/// Points of each arm's grid: 16 scales wide, 25 points a scale.
const POINTS: i32 = 400;

/// What is known of the mean reward of an arm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Posterior {
    /// Rewards are 0 or 1.
    Beta {
        /// Successes, and one.
        a: f64,
        /// Failures, and one.
        b: f64,
    },
    /// Rewards are numbers.
    StudentT {
        /// Where the mean reward is thought to be.
        location: f64,
        /// How sure that is.
        scale: f64,
        /// Degrees of freedom.
        freedom: f64,
    },
}

/// What is thought of one arm among the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Odds {
    /// The probability that it is the best.
    pub best: f64,
    /// How much reward a request is expected to lose with it rather than with the best one.
    pub regret: f64,
}

impl Posterior {
    /// Of an arm whose rewards are 0 or 1.
    #[must_use]
    pub fn of_shares(successes: u64, rewards: u64) -> Self {
        let failures = rewards.saturating_sub(successes);
        Self::Beta { a: successes as f64 + 1.0, b: failures as f64 + 1.0 }
    }

    /// Of arms whose rewards are numbers, one for each.
    #[must_use]
    pub fn of_numbers(arms: &[Moments]) -> Vec<Self> {
        let around =
            |rewards: &Moments| rewards.variance().unwrap_or(0.0) * rewards.count().saturating_sub(1) as f64;
        let freedom: f64 = arms.iter().map(|rewards| rewards.count().saturating_sub(1) as f64).sum();
        let within = arms.iter().map(around).sum::<f64>() / freedom.max(1.0);
        let mut all = Moments::new();
        arms.iter().for_each(|rewards| all.merge(rewards));
        let prior = (all.mean().unwrap_or(0.0), within.max(1e-12));
        arms.iter().map(|rewards| Self::of_reward(rewards, prior)).collect()
    }

    fn of_reward(rewards: &Moments, (centre, spread): (f64, f64)) -> Self {
        let (n, mean) = (rewards.count() as f64, rewards.mean().unwrap_or(0.0));
        let (weight, shape) = (1.0 + n, 1.0 + n / 2.0);
        let around_mean = rewards.variance().unwrap_or(0.0) * (n - 1.0).max(0.0);
        let rate = spread + 0.5 * around_mean + n * (mean - centre).powi(2) / (2.0 * weight);
        Self::StudentT {
            location: (centre + n * mean) / weight,
            scale: (rate / (shape * weight)).sqrt(),
            freedom: 2.0 * shape,
        }
    }

    /// The expected mean reward.
    #[must_use]
    pub fn mean(&self) -> f64 {
        match self {
            Self::Beta { a, b } => a / (a + b),
            Self::StudentT { location, .. } => *location,
        }
    }

    fn scale(&self) -> f64 {
        match self {
            Self::Beta { a, b } => (a * b / ((a + b).powi(2) * (a + b + 1.0))).sqrt(),
            Self::StudentT { scale, .. } => *scale,
        }
    }

    /// Logarithm of the density, up to a constant.
    fn log_density(&self, x: f64) -> f64 {
        match self {
            Self::Beta { .. } if !(0.0..=1.0).contains(&x) => f64::NEG_INFINITY,
            // 0·ln 0 is 0.
            Self::Beta { a, b } => {
                let part = |n: f64, x: f64| if n <= 1.0 { 0.0 } else { (n - 1.0) * x.ln() };
                part(*a, x) + part(*b, 1.0 - x)
            }
            Self::StudentT { location, scale, freedom } => {
                -0.5 * (freedom + 1.0) * (((x - location) / scale).powi(2) / freedom).ln_1p()
            }
        }
    }
}

/// What is thought of each arm; empty without arms.
#[must_use]
pub fn odds(arms: &[Posterior]) -> Vec<Odds> {
    let mut grid: Vec<f64> = arms
        .iter()
        .flat_map(|arm| {
            let (mean, step) = (arm.mean(), arm.scale() * 16.0 / f64::from(POINTS));
            (-POINTS / 2..=POINTS / 2).map(move |at| mean + f64::from(at) * step)
        })
        .filter(|x| x.is_finite())
        .collect();
    if arms.iter().all(|arm| matches!(arm, Posterior::Beta { .. })) {
        grid.iter_mut().for_each(|x| *x = x.clamp(0.0, 1.0));
    }
    grid.sort_by(f64::total_cmp);
    grid.dedup();
    // Probability of each arm's mean to fall between two points (trapezoids), brought to a sum of one.
    let masses: Vec<Vec<f64>> = arms.iter().map(|arm| masses(arm, &grid)).collect();
    let mut below = vec![0.0; arms.len()];
    let mut best = vec![0.0; arms.len()];
    let mut expected_best = 0.0;
    let mut all_below = 0.0;
    for (at, between) in grid.windows(2).enumerate() {
        let mass = |arm: usize| masses.get(arm).and_then(|masses| masses.get(at)).copied().unwrap_or(0.0);
        for arm in 0..arms.len() {
            let others = below.iter().enumerate().filter(|(other, _)| *other != arm);
            // The others lie below the middle of the interval.
            let others: f64 = others.map(|(other, below)| below + 0.5 * mass(other)).product();
            if let Some(best) = best.get_mut(arm) {
                *best += mass(arm) * others;
            }
        }
        below.iter_mut().enumerate().for_each(|(arm, below)| *below += mass(arm));
        let now: f64 = below.iter().product();
        expected_best += (now - all_below) * 0.5 * between.iter().sum::<f64>();
        all_below = now;
    }
    let sum: f64 = best.iter().sum();
    let alike = 1.0 / arms.len().max(1) as f64;
    let odds = arms.iter().zip(best).map(|(arm, best)| Odds {
        best: if sum > 0.0 { best / sum } else { alike },
        regret: (expected_best - arm.mean()).max(0.0),
    });
    odds.collect()
}

fn masses(arm: &Posterior, grid: &[f64]) -> Vec<f64> {
    let logs: Vec<f64> = grid.iter().map(|x| arm.log_density(*x)).collect();
    let largest = logs.iter().copied().filter(|log| log.is_finite()).fold(f64::NEG_INFINITY, f64::max);
    let density: Vec<f64> = logs.iter().map(|log| (log - largest).exp()).collect();
    let trapezoid = |(x, density): (&[f64], &[f64])| match (x, density) {
        ([from, to], [left, right]) => 0.5 * (to - from) * (left + right),
        _ => 0.0,
    };
    let masses: Vec<f64> = grid.windows(2).zip(density.windows(2)).map(trapezoid).collect();
    let sum: f64 = masses.iter().sum();
    masses.into_iter().map(|mass| if sum > 0.0 { mass / sum } else { 0.0 }).collect()
}

/// Shares of traffic in 1/10,000 that add up to 10,000: each arm's probability of being the best, but `floor` at least, so that
/// learning about it does not stop. A floor that all arms cannot have makes them equal.
#[must_use]
pub fn shares(odds: &[Odds], floor: u32) -> Vec<u32> {
    const WHOLE: u32 = 10_000;
    let Ok(arms @ 1..) = u32::try_from(odds.len()) else { return Vec::new() };
    let floor = floor.min(WHOLE / arms);
    let left = WHOLE - arms * floor;
    let exact: Vec<f64> = odds.iter().map(|odds| f64::from(left) * odds.best.clamp(0.0, 1.0)).collect();
    let mut shares: Vec<u32> = exact.iter().map(|share| floor + share.floor() as u32).collect();
    // What rounding left goes to the largest remainders.
    let mut order: Vec<usize> = (0..shares.len()).collect();
    let remainder = |at: &usize| exact.get(*at).map_or(0.0, |share| share.fract());
    order.sort_by(|a, b| remainder(b).total_cmp(&remainder(a)).then(a.cmp(b)));
    let mut missing = WHOLE.saturating_sub(shares.iter().sum());
    for at in order.into_iter().cycle().take(WHOLE as usize) {
        if missing == 0 {
            break;
        }
        if let Some(share) = shares.get_mut(at) {
            *share += 1;
            missing -= 1;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_those_of_closed_forms() {
        // P(Beta(a,b) > Beta(c,d)) for small whole numbers by Evan Miller's sum, computed with Python's fractions.
        let arms = [Posterior::Beta { a: 3.0, b: 2.0 }, Posterior::Beta { a: 2.0, b: 3.0 }];
        let found = odds(&arms);
        assert!((found[0].best - 53.0 / 70.0).abs() < 1e-3, "{found:?}");
        assert!((found[0].best + found[1].best - 1.0).abs() < 1e-12);
        // Many rewards make a normal posterior: P(N(0, 1) > N(1, 1)) = Φ(−1/√2) = 0.23975.
        let normal = |location| Posterior::StudentT { location, scale: 1.0, freedom: 1e6 };
        let found = odds(&[normal(0.0), normal(1.0)]);
        assert!((found[0].best - 0.239_75).abs() < 1e-3, "{found:?}");
        // E max(X, Y) = 1·Φ(1/√2) + √2·φ(1/√2) = 1.19964.
        assert!((found[1].regret - 0.199_64).abs() < 2e-3, "{found:?}");
    }

    #[test]
    fn alike_arms_are_alike_and_a_clear_best_takes_all_but_the_floors() {
        let alike = odds(&[Posterior::of_shares(0, 0); 4]);
        assert_eq!(shares(&alike, 500), [2_500; 4]);
        let clear = odds(&[
            Posterior::of_shares(900, 1_000),
            Posterior::of_shares(700, 1_000),
            Posterior::of_shares(1, 1_000),
        ]);
        assert_eq!(shares(&clear, 500), [9_000, 500, 500]);
        assert!(clear[0].regret < 1e-9 && (clear[2].regret - 0.898).abs() < 0.01, "{clear:?}");
        assert_eq!(shares(&clear, 10_000), [3_334, 3_333, 3_333]);
        assert_eq!(shares(&odds(&[]), 500), Vec::<u32>::new());
    }

    #[test]
    fn numbers_are_judged_by_their_spread() {
        let of = |around: f64, count: u32| {
            let mut rewards = Moments::new();
            (0..count).for_each(|at| rewards.push(around + f64::from(at % 11) - 5.0));
            rewards
        };
        let judged = |arms: &[Moments]| odds(&Posterior::of_numbers(arms));
        let found = judged(&[of(-10.0, 500), of(-12.0, 500)]);
        assert!(found[0].best > 0.999_9 && (found[1].regret - 2.0).abs() < 0.05, "{found:?}");
        let few = judged(&[of(-10.0, 3), of(-12.0, 500)]);
        assert!((0.05..0.95).contains(&few[0].best), "three rewards prove little: {few:?}");
        // Nothing varies, nothing is known: still numbers.
        let none = judged(&[Moments::new(), Moments::new()]);
        assert!((none[0].best - 0.5).abs() < 1e-6, "{none:?}");
    }
}
