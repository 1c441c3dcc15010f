//! Isotonic regression: the rising curve that is nearest to the labels.
//!
//! A score of 0.8 promises that eight of ten such rows come true. Whether they do is seen on rows with labels, and the only
//! thing to assume of the correction is that it rises with the score. The nearest such curve in weighted squares is found by
//! pooling adjacent violators (Ayer et al. 1955; Barlow et al., "Statistical Inference under Order Restrictions", 1972): it is
//! made of *levels*, runs of scores that share one mean. Between two levels it is the straight line, outside the first and
//! last it is flat, as scikit-learn's `IsotonicRegression(out_of_bounds="clip")` has it.
//!
//! Each level also keeps how its labels scatter and how many rows it rests on, which is what the error of a correction is
//! made of.

use serde::{Deserialize, Serialize};

use super::{FitError, Skipped};

/// A run of scores that share one mean.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// Lowest score.
    pub from: f64,
    /// Highest score.
    pub to: f64,
    /// Weighted mean of the labels: the curve's height.
    pub mean: f64,
    /// Weighted variance of the labels around it.
    pub variance: f64,
    /// Effective number of rows, (Σw)²/Σw² (Kish 1965); the number of rows when all weigh the same.
    pub rows: f64,
}

/// A rising curve, fitted to labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Isotonic {
    /// In order of the scores; at least one.
    levels: Vec<Level>,
}

/// A reference row: score, label, weight, and the part of the cross-fit that it is withheld from.
pub(super) type Row = (f64, f64, f64, u8);

/// Sums of a level while it forms.
#[derive(Clone, Copy)]
struct Pool {
    from: f64,
    to: f64,
    weight: f64,
    mean: f64,
    /// Weighted sum of squared deviations.
    deviations: f64,
    squared_weights: f64,
}

impl Pool {
    fn of((score, label, weight, _): Row) -> Self {
        let squared_weights = weight * weight;
        Self { from: score, to: score, weight, mean: label, deviations: 0.0, squared_weights }
    }

    /// Joins the pool of higher scores, by the pairwise update of Chan, Golub & LeVeque (1983).
    fn join(&mut self, other: &Self) {
        let weight = self.weight + other.weight;
        let apart = other.mean - self.mean;
        self.deviations += other.deviations + apart * apart * (self.weight * other.weight / weight);
        self.mean = (self.mean * self.weight + other.mean * other.weight) / weight;
        self.weight = weight;
        self.squared_weights += other.squared_weights;
        self.to = other.to;
    }

    fn level(&self) -> Level {
        Level {
            from: self.from,
            to: self.to,
            mean: self.mean,
            variance: self.deviations / self.weight,
            rows: self.weight * self.weight / self.squared_weights,
        }
    }
}

impl Isotonic {
    /// The curve for labels at scores, each row with weight 1 or its own. Rows with a score, a label or a weight that is not
    /// finite, or a weight that is not above 0, are left out and counted. O(n log n).
    ///
    /// # Errors
    /// [`FitError::Input`] when lengths differ; [`FitError::NoRows`] when none is left.
    pub fn fit(scores: &[f64], labels: &[f64], weights: Option<&[f64]>) -> Result<(Self, Skipped), FitError> {
        let (rows, skipped) = sorted(scores, labels, weights)?;
        Self::of_sorted(rows.iter().copied()).map(|curve| (curve, skipped)).ok_or(FitError::NoRows)
    }

    /// The curve for rows that come in order of their scores; `None` of none.
    pub(super) fn of_sorted(rows: impl Iterator<Item = Row>) -> Option<Self> {
        let mut pools: Vec<Pool> = Vec::new();
        let mut tied: Option<Pool> = None;
        for row in rows {
            let next = Pool::of(row);
            match &mut tied {
                Some(pool) if pool.to == next.from => pool.join(&next),
                _ => {
                    if let Some(pool) = tied.replace(next) {
                        settle(&mut pools, pool);
                    }
                }
            }
        }
        settle(&mut pools, tied?);
        Some(Self { levels: pools.iter().map(Pool::level).collect() })
    }

    /// The curve at `score`; NaN is given back as it is.
    #[must_use]
    pub fn at(&self, score: f64) -> f64 {
        self.read(score).1
    }

    /// The levels, in order of their scores.
    #[must_use]
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// The index of the level that a score falls into, or lies above, and the curve there.
    pub(super) fn read(&self, score: f64) -> (usize, f64) {
        if score.is_nan() {
            return (0, score);
        }
        let next = self.levels.partition_point(|level| level.from <= score);
        let before = next.checked_sub(1).and_then(|index| self.levels.get(index));
        match (before, self.levels.get(next)) {
            (Some(before), Some(after)) if score > before.to => {
                let slope = (after.mean - before.mean) / (after.from - before.to);
                (next - 1, slope * (score - before.to) + before.mean)
            }
            (Some(before), _) => (next - 1, before.mean),
            (None, Some(after)) => (0, after.mean),
            (None, None) => (0, f64::NAN),
        }
    }
}

/// Adds a pool of higher scores, and pools with it whatever is not below it.
fn settle(pools: &mut Vec<Pool>, mut pool: Pool) {
    while let Some(mut before) = pools.pop_if(|before| before.mean >= pool.mean) {
        before.join(&pool);
        pool = before;
    }
    pools.push(pool);
}

/// The rows that can be fitted to, in order of their scores, and how many cannot.
pub(super) fn sorted(
    scores: &[f64],
    labels: &[f64],
    weights: Option<&[f64]>,
) -> Result<(Vec<Row>, Skipped), FitError> {
    super::same_length(scores.len(), labels.len())?;
    super::same_length(scores.len(), weights.map_or(scores.len(), <[f64]>::len))?;
    let mut rows = Vec::with_capacity(scores.len());
    for (index, (&score, &label)) in scores.iter().zip(labels).enumerate() {
        let weight = super::weight_of(weights, index);
        if score.is_finite() && label.is_finite() && weight > 0.0 {
            // Adding 0 makes −0 and 0 one score.
            rows.push((score + 0.0, label, weight, super::part_of(index)));
        }
    }
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let skipped = (scores.len() - rows.len()) as u64;
    Ok((rows, skipped))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::performance::InputError;

    fn fit(scores: &[f64], labels: &[f64]) -> Isotonic {
        Isotonic::fit(scores, labels, None).unwrap().0
    }

    #[test]
    fn violators_are_pooled_and_gaps_are_lines() {
        let curve = fit(&[1.0, 2.0, 3.0, 5.0], &[0.0, 3.0, 1.0, 4.0]);
        assert_eq!(curve.levels().len(), 3);
        let at = [0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 9.0].map(|score| curve.at(score));
        assert_eq!(at, [0.0, 0.0, 1.0, 2.0, 2.0, 2.0, 3.0, 4.0, 4.0]);
        let pooled = curve.levels()[1];
        assert_eq!((pooled.from, pooled.to, pooled.variance, pooled.rows), (2.0, 3.0, 1.0, 2.0));
    }

    #[test]
    fn weights_are_like_repetition_but_for_the_rows_they_rest_on() {
        let repeated = fit(&[1.0, 1.0, 1.0, 2.0], &[1.0, 1.0, 0.0, 1.0]);
        let (weighted, _) =
            Isotonic::fit(&[1.0, 1.0, 2.0], &[1.0, 0.0, 1.0], Some(&[2.0, 1.0, 1.0])).unwrap();
        assert_eq!(repeated.levels()[0].mean, weighted.levels()[0].mean);
        assert!((weighted.levels()[0].rows - 9.0 / 5.0).abs() < 1e-12);
    }

    #[test]
    fn rows_without_numbers_are_counted_and_left_out() {
        let scores = [0.1, f64::NAN, 0.2, 0.3, 0.4];
        let labels = [0.0, 1.0, f64::INFINITY, 1.0, 0.0];
        let weights = [1.0, 1.0, 1.0, 1.0, -1.0];
        let (curve, skipped) = Isotonic::fit(&scores, &labels, Some(&weights)).unwrap();
        assert_eq!((skipped, curve.levels().len()), (3, 2));
        assert_eq!(Isotonic::fit(&[f64::NAN], &[1.0], None), Err(FitError::NoRows));
        assert_eq!(
            Isotonic::fit(&[0.1], &[], None),
            Err(FitError::Input(InputError::Lengths { expected: 1, found: 0 }))
        );
    }

    proptest! {
        #![proptest_config(crate::seeded())]

        #[test]
        fn the_curve_rises_and_keeps_the_mean(
            rows in prop::collection::vec((-3i8..3, -4i8..4, 1u8..4), 1..60),
        ) {
            let scores: Vec<f64> = rows.iter().map(|row| f64::from(row.0)).collect();
            let labels: Vec<f64> = rows.iter().map(|row| f64::from(row.1)).collect();
            let weights: Vec<f64> = rows.iter().map(|row| f64::from(row.2)).collect();
            let (curve, _) = Isotonic::fit(&scores, &labels, Some(&weights)).unwrap();
            prop_assert!(curve.levels().windows(2).all(|pair| pair[0].mean < pair[1].mean));
            let sum = |of: &dyn Fn(usize) -> f64| (0..rows.len()).map(|i| weights[i] * of(i)).sum::<f64>();
            prop_assert!((sum(&|i| curve.at(scores[i])) - sum(&|i| labels[i])).abs() < 1e-9);
        }
    }
}
