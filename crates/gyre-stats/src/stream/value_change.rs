//! Are the values distributed otherwise than the reference values?

use serde::{Deserialize, Serialize};

use super::{
    BadSetting, Direction, Guarantee, Signal,
    conformal::{Ranks, Ties},
    evidence::{Evidence, HORIZON},
};
use crate::special::normal_quantile;

/// Shifts that the alternative mixes over, in standard deviations of the normal scores.
const SHIFTS: [f64; 6] = [0.1, 0.2, 0.4, 0.7, 1.2, 2.0];

/// Ratios of spreads that it mixes over as well when changes of either direction count.
const SPREADS: [f64; 4] = [0.5, 0.75, 1.4, 2.2];

/// Classes that the values are sorted into.
const CLASSES: usize = 64;

/// One in so many reference values only says where classes begin.
pub(super) const AIMING_SHARE: usize = 4;

/// A change of the distribution of numeric values: of their level and, when both directions count, of their spread.
///
/// What holds, without approximation: while the values, of the reference as of the stream, are exchangeable, the
/// [`Guarantee`] holds, whatever their distribution. It does not hold for values that depend on their neighbours.
///
/// How: a conformal test martingale (Vovk, Nouretdinov & Gammerman, "Testing exchangeability on-line", ICML 2003). A
/// quarter of the reference fixes up to 64 classes of equal frequency; the rank of each value among the rest and the
/// stream so far, up to classes and with ties broken at random, is uniform. It becomes a standard normal score, and the
/// bet is on scores that are shifted by 0.1 to 2, or spread by 0.5 to 2.2, from any moment on. The mixture over
/// beginnings is what finds shifts quickly where a bet on the whole stream since the reference has first to win back
/// what it lost before the change. Only the order of values counts, so infinities are values like others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValueChange {
    direction: Direction,
    /// Where classes begin, ascending; the first is before the first edge.
    edges: Vec<f64>,
    ranks: Ranks,
    ties: Ties,
    evidence: Evidence,
}

impl ValueChange {
    /// Watches for a change from the distribution of the `reference` values (NaN is passed over). `seed` breaks ties:
    /// the same seed and values give the same alarms. Without a reference the stream is its own: what comes first is
    /// what a change is measured from, in one class, and nothing is ever found; a few dozen values are needed for more.
    ///
    /// # Errors
    /// [`BadSetting`] when a number of the guarantee is outside its range.
    pub fn new(
        guarantee: Guarantee,
        direction: Direction,
        reference: &[f64],
        seed: u64,
    ) -> Result<Self, BadSetting> {
        // What is stored must be finite; the order is what counts.
        let finite = |value: &f64| value.clamp(f64::MIN, f64::MAX);
        let known = || reference.iter().map(finite).filter(|value| !value.is_nan());
        let mut aiming: Vec<f64> = known().step_by(AIMING_SHARE).collect();
        aiming.sort_by(f64::total_cmp);
        let mut change = Self::with_edges(guarantee, direction, quantile_edges(&aiming), HORIZON, seed)?;
        for (at, value) in known().enumerate() {
            if at % AIMING_SHARE != 0 {
                change.learn(value);
            }
        }
        Ok(change)
    }

    /// Classes that begin at the `edges`, ascending, and no reference values yet. About half of the stake is spent after
    /// `horizon` values.
    pub(super) fn with_edges(
        guarantee: Guarantee,
        direction: Direction,
        edges: Vec<f64>,
        horizon: f64,
        seed: u64,
    ) -> Result<Self, BadSetting> {
        let alternatives = alternatives(direction).count();
        let ranks = Ranks::new(edges.len() + 1);
        let evidence = Evidence::new(guarantee, alternatives, horizon)?;
        Ok(Self { direction, edges, ranks, ties: Ties::new(seed), evidence })
    }

    /// Takes in a value of the reference.
    pub(super) fn learn(&mut self, value: f64) {
        let class = self.class(value);
        self.ranks.add(class, 1);
    }

    fn class(&self, value: f64) -> usize {
        self.edges.partition_point(|edge| *edge <= value.clamp(f64::MIN, f64::MAX))
    }

    /// Takes in a value, which may be infinite; NaN is passed over.
    pub fn observe(&mut self, value: f64) -> Signal {
        if value.is_nan() || self.evidence.is_over() {
            return Signal::Stable;
        }
        let class = self.class(value);
        let rank = self.ranks.upper_rank(class, &mut self.ties);
        let score = -normal_quantile(rank);
        let factors = alternatives(self.direction).map(|(shift, spread)| density_ratio(score, shift, spread));
        if self.evidence.multiply(factors) { Signal::Change } else { Signal::Stable }
    }

    /// The evidence for a change, from 0 to 1 (alarm), as a share of what an alarm needs in logarithms.
    #[must_use]
    pub fn strength(&self) -> f64 {
        self.evidence.strength()
    }

    /// Alarms so far; over a lifetime, one at most.
    #[must_use]
    pub fn alarms(&self) -> u64 {
        self.evidence.alarms()
    }

    /// Values of the stream taken in, up to the alarm that ended a lifetime.
    #[must_use]
    pub fn values(&self) -> u64 {
        self.evidence.values()
    }
}

/// Normal density with this mean and deviation over the standard one.
fn density_ratio(score: f64, mean: f64, deviation: f64) -> f64 {
    let apart = (score - mean) / deviation;
    (0.5 * (score * score - apart * apart)).exp() / deviation
}

/// Mean and standard deviation of the scores under each alternative.
fn alternatives(direction: Direction) -> impl Iterator<Item = (f64, f64)> {
    let up = (direction != Direction::Down).then_some(SHIFTS.into_iter());
    let down = (direction != Direction::Up).then_some(SHIFTS.into_iter().map(|shift| -shift));
    let shifts = up.into_iter().flatten().chain(down.into_iter().flatten()).map(|shift| (shift, 1.0));
    let spreads = (direction == Direction::Both).then_some(SPREADS.into_iter().map(|spread| (0.0, spread)));
    shifts.chain(spreads.into_iter().flatten())
}

/// Edges of classes of equal frequency among `sorted` values. A value that alone fills a class has it for itself.
fn quantile_edges(sorted: &[f64]) -> Vec<f64> {
    let mut edges: Vec<f64> = Vec::new();
    let classes = CLASSES.min(sorted.len());
    for class in 0..=classes {
        let at = (class * sorted.len() / classes.max(1)).min(sorted.len().saturating_sub(1));
        let Some(&value) = sorted.get(at) else { continue };
        match edges.last() {
            Some(&last) if value > last => edges.push(value),
            Some(&last) if value == last && last < f64::MAX => edges.push(last.next_up()),
            Some(_) => {}
            None => edges.push(value),
        }
    }
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factors_have_mean_one_over_normal_scores() {
        for (shift, spread) in alternatives(Direction::Both) {
            let scores = (-1_500..=1_500).map(|hundredths| f64::from(hundredths) / 100.0);
            let density = |score: f64| (-0.5 * score * score).exp() / std::f64::consts::TAU.sqrt();
            let mean: f64 =
                scores.map(|score| 0.01 * density(score) * density_ratio(score, shift, spread)).sum();
            assert!((mean - 1.0).abs() < 1e-6, "{shift} {spread}: {mean}");
        }
    }

    #[test]
    fn a_value_that_fills_a_class_has_it_for_itself() {
        let edges = quantile_edges(&[0.0, 0.0, 0.0, 0.0, 1.0, 2.0]);
        assert_eq!(edges, [0.0, 0.0_f64.next_up(), 1.0, 2.0, 2.0_f64.next_up()]);
        assert!(quantile_edges(&[]).is_empty());
    }
}
