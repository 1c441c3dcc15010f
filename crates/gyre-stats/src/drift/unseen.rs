//! Names that the reference does not have: how many of them are no news?
//!
//! A sample of n rows never has all names, so the next sample brings new ones without any drift. The probability that a row
//! does is the reference's *missing mass*. Its estimate is f₁/n, the share of names that occur once (Good 1953, "The population
//! frequencies of species and the estimation of population parameters", after Turing; Robbins 1968, "Estimating the total
//! probability of the unobserved outcomes of an experiment"). It is no share of sampled rows: its error has the variance
//! (f₁·(1 − f₁/n) + 2·f₂)/n² with f₂ names that occur twice (Esty 1983, "A normal limit law for a nonparametric estimator of the
//! coverage of a random sample"), and where names are few it is far from normal.

use crate::{
    proportion::{Interval, Proportion},
    special::normal_critical,
};

/// Where the least bound is looked for: parts of the range of the exponent.
const STEPS: u32 = 200;

/// Rows with names that the reference does not have, against what is to be expected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unseen {
    /// The share that is to be expected (Good–Turing).
    pub expected: f64,
    /// The share that there is.
    pub found: f64,
    /// No less than the probability of so many of them by luck; fewer are never news.
    pub p_value: f64,
    /// Found less expected.
    pub interval: Interval,
}

/// Holds the rows with `unseen` names among `rows` against a reference, of which `counts` has the rows of each name; `None`
/// without rows on either side.
///
/// The p-value is Chernoff's bound (1952). With a name's number of rows in the reference taken for Poisson of mean λ, and n and m
/// rows, the surplus n/m·unseen − f₁ is a sum over names of terms whose mean is 0. The logarithm of its moment generating
/// function at s is at most Σₖ rᵏ·E fₖ + (e⁻ˢ − 1)·E f₁ with r = m/n·(exp(s·n/m) − 1), since Σ λᵏ·e^(−λ)/k! is the expected number
/// fₖ of names with k rows; observed numbers stand for the expected ones. Small exponents give the tail of a normal distribution with
/// Esty's variance, r = 1 gives (number of names)·e^(−λ), which bounds the luck of having missed a single name.
#[must_use]
pub fn unseen(counts: impl IntoIterator<Item = u64>, unseen: u64, rows: u64, level: f64) -> Option<Unseen> {
    let mut counts: Vec<u64> = counts.into_iter().filter(|count| *count > 0).collect();
    counts.sort_unstable();
    let n = counts.iter().map(|count| *count as f64).sum::<f64>();
    if n == 0.0 || rows == 0 {
        return None;
    }
    let frequencies: Vec<(f64, f64)> = (counts.chunk_by(|a, b| a == b))
        .map(|names| (names.first().map_or(0.0, |rows| *rows as f64), names.len() as f64))
        .collect();
    let with = |rows: u64| counts.iter().filter(|count| **count == rows).count() as f64;
    let (once, twice) = (with(1), with(2));
    let now = Proportion::new(unseen, rows);
    let (expected, found) = (once / n, now.value()?);
    Some(Unseen {
        expected,
        found,
        p_value: bound(&frequencies, once, n * found - once, n / rows as f64),
        interval: interval((once, twice, n), now, level)?,
    })
}

/// Chernoff's bound on the probability of a surplus of at least `surplus`; `ratio` is n/m.
fn bound(frequencies: &[(f64, f64)], once: f64, surplus: f64, ratio: f64) -> f64 {
    if surplus <= 0.0 {
        return 1.0;
    }
    // Beyond r = 1 the sum is ruled by the most frequent names.
    let most = ratio.ln_1p() / ratio;
    let exponent = |step: u32| {
        let s = most * f64::from(step) / f64::from(STEPS);
        let r = ((s * ratio).exp_m1() / ratio).min(1.0);
        let names = frequencies.iter().map(|(rows, names)| names * r.powf(*rows)).sum::<f64>();
        names + once * (-s).exp_m1() - s * surplus
    };
    (1..=STEPS).map(exponent).fold(0.0, f64::min).exp()
}

/// Both errors, added as Newcombe (1998, method 10) adds them: Wilson's of the share that is found, and of the one that is expected
/// the larger of Wilson's and Esty's, which is 0 where no name occurs once or twice.
fn interval((once, twice, n): (f64, f64, f64), now: Proportion, level: f64) -> Option<Interval> {
    let (expected, found) = (once / n, now.value()?);
    let esty = normal_critical(level) * (once * (1.0 - expected) + 2.0 * twice).sqrt() / n;
    let (wide, before) = (now.wilson(level)?, Proportion::new(once as u64, n as u64).wilson(level)?);
    let (below, above) = ((expected - before.lower).max(esty), (before.upper - expected).max(esty));
    Some(Interval {
        lower: ((found - expected) - (found - wide.lower).hypot(above)).max(-1.0),
        upper: ((found - expected) + (wide.upper - found).hypot(below)).min(1.0),
        level,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVEL: f64 = 0.95;

    #[test]
    fn a_single_new_name_is_judged_as_fishers_test_would() {
        // 1 of 30 rows against none of 10,000: 30/10,030.
        let one = unseen([5_000, 5_000], 1, 30, LEVEL).unwrap();
        assert!((one.p_value - 30.0 / 10_030.0).abs() < 5e-4, "{one:?}");
        let many = unseen([700, 700, 600], 100, 2_000, LEVEL).unwrap();
        assert!(many.p_value < 1e-20 && many.found == 0.05 && many.expected == 0.0, "{many:?}");
        assert!(many.interval.lower > 0.04 && many.interval.upper < 0.061, "{many:?}");
        // A name of 1 % is easily missed in 300 rows, and not in 3,000.
        assert!(unseen([150, 150], 300, 30_000, LEVEL).unwrap().p_value > 0.05);
        assert!(unseen([1_500, 1_500], 300, 30_000, LEVEL).unwrap().p_value < 1e-9);
    }

    #[test]
    fn what_is_expected_is_no_news_and_fewer_never_are() {
        let rare = || [900, 40].into_iter().chain([2; 15]).chain([1; 30]);
        assert_eq!(unseen(rare(), 0, 5_000, LEVEL).unwrap().p_value, 1.0);
        assert_eq!(unseen(rare(), 150, 5_000, LEVEL).unwrap().p_value, 1.0);
        let more = unseen(rare(), 200, 5_000, LEVEL).unwrap();
        assert!((more.expected - 0.03).abs() < 1e-12 && more.p_value > 0.1, "{more:?}");
        assert!(more.interval.lower < 0.0 && more.interval.upper > 0.01, "{more:?}");
        assert!(unseen(rare(), 600, 5_000, LEVEL).unwrap().p_value < 1e-9);
    }

    #[test]
    fn nothing_is_held_against_nothing() {
        assert_eq!(
            (unseen([], 3, 9, LEVEL), unseen([0], 3, 9, LEVEL), unseen([4], 0, 0, LEVEL)),
            (None, None, None)
        );
        let all_new = unseen([1; 5], 9, 9, LEVEL).unwrap();
        assert_eq!((all_new.expected, all_new.p_value), (1.0, 1.0));
    }

    /// Rows of each name, drawn by Zipf's law, which has a few frequent and many rare names.
    fn drawn(state: &mut u64, names: usize, rows: u32) -> Vec<u64> {
        let weights: Vec<f64> = (1..=names).map(|rank| (rank as f64).powf(-1.2)).collect();
        let until: Vec<f64> = weights
            .iter()
            .scan(0.0, |sum, weight| {
                *sum += weight;
                Some(*sum)
            })
            .collect();
        let all = until.last().copied().unwrap_or_default();
        let mut counts = vec![0; names];
        for _ in 0..rows {
            // SplitMix64 (Steele, Lea & Flood 2014).
            *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let z = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            let share = ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
            counts[until.partition_point(|end| *end < share * all).min(names - 1)] += 1;
        }
        counts
    }

    #[test]
    fn without_a_change_few_p_values_are_small_however_rare_the_names() {
        let mut state = 7;
        for (names, rows, now) in [(30, 300, 3_000), (200, 500, 5_000), (200, 1_000, 300)] {
            let found = (0..400).map(|_| {
                let (before, after) = (drawn(&mut state, names, rows), drawn(&mut state, names, now));
                let new = before.iter().zip(&after).filter(|(before, _)| **before == 0).map(|(_, rows)| rows);
                unseen(before.iter().copied(), new.sum(), u64::from(now), LEVEL).unwrap().p_value
            });
            let found: Vec<f64> = found.collect();
            for (level, most) in [(0.1, 40), (0.01, 4), (0.001, 1)] {
                let below = found.iter().filter(|p| **p < level).count();
                assert!(below <= most, "{below} of 400 below {level}: {names} names");
            }
            assert!(found.iter().any(|p| *p < 0.5), "nor is it blind: {names} names");
        }
    }
}
