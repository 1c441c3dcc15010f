//! Rows as points: how far they are from the reference's plane, and from each other.
//!
//! Columns are brought to one scale first. Numbers become the normal scores of their ranks in the reference, so that tails and
//! units do not rule; missing ones lie in the middle, and are told by a coordinate of their own. A name is a coordinate that is
//! 1 where a row has it, for the names that most rows have.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use gyre_stats::drift::rows::{Components, Distances, Matrix, USUAL_SHARE};
use gyre_stats::drift::samples::kolmogorov_smirnov;

use super::rows::{Cells, Sampled};
use super::{Look, Options, shuffled};

/// Names of a column that have a coordinate.
const NAMES: usize = 8;

/// The most coordinates, since directions take cubic time in them.
const MOST_COORDINATES: usize = 200;

/// The share of missing rows, on either side, from which on they have a coordinate.
const MISSING: f64 = 0.005;

/// The looks that take rows as points; those that are undefined, as where nothing varies, are left out.
pub(super) fn looks(before: &Sampled, after: &Sampled, options: &Options) -> Vec<Look> {
    let (old, new) = points(before, after);
    let mut looks = Vec::new();
    looks.extend(reconstruction(&old, &new, options.seed.wrapping_add(4)));
    let some = |rows: &[Vec<f64>], seed| {
        let order = shuffled(rows.len(), seed);
        matrix(order.iter().take(options.pair_rows).filter_map(|row| rows.get(*row)))
    };
    let pairs = some(&old, options.seed.wrapping_add(5))
        .zip(some(&new, options.seed.wrapping_add(6)))
        .and_then(|(old, new)| Distances::new(&old, &new).ok());
    if let Some(pairs) = pairs {
        let mut tested = vec![("energy", pairs.energy_test(options.permutations, options.seed))];
        if let Some(gamma) = pairs.median_gamma() {
            tested.insert(0, ("mmd", pairs.mmd_test(gamma, options.permutations, options.seed)));
        }
        looks.extend(tested.into_iter().map(|(name, test)| Look {
            name,
            value: test.statistic,
            interval: None,
            p_value: test.p_value,
            adjusted_p_value: test.p_value,
        }));
    }
    looks
}

/// Distances from a plane that was learned from half of the reference: those of its other half against the current ones.
fn reconstruction(old: &[Vec<f64>], new: &[Vec<f64>], seed: u64) -> Option<Look> {
    let order = shuffled(old.len(), seed);
    let (learned, other) = order.split_at(old.len() / 2);
    let rows = |of: &[usize]| matrix(of.iter().filter_map(|row| old.get(*row)));
    let plane = Components::of(&rows(learned)?, USUAL_SHARE).ok()?;
    let usual = plane.distances(&rows(other)?).ok()?;
    let now = plane.distances(&matrix(new.iter())?).ok()?;
    let test = kolmogorov_smirnov(&usual, &now)?;
    let mean = |distances: &[f64]| distances.iter().sum::<f64>() / distances.len().max(1) as f64;
    let times = mean(&now) / mean(&usual);
    times.is_finite().then_some(Look {
        name: "reconstruction",
        value: times,
        interval: None,
        p_value: test.p_value,
        adjusted_p_value: test.p_value,
    })
}

fn matrix<'a>(rows: impl Iterator<Item = &'a Vec<f64>>) -> Option<Matrix> {
    let mut columns = 0;
    let values = rows.flat_map(|row| {
        columns = row.len();
        row.iter().copied()
    });
    let values: Vec<f64> = values.collect();
    Matrix::new(values, columns).ok()
}

/// The rows of both tables as points of the same coordinates.
fn points(before: &Sampled, after: &Sampled) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let (mut old, mut new) = (vec![Vec::new(); before.rows()], vec![Vec::new(); after.rows()]);
    for ((_, old_cells), (_, new_cells)) in before.columns.iter().zip(&after.columns) {
        if old.first().is_some_and(|point| point.len() >= MOST_COORDINATES) {
            break;
        }
        match (old_cells, new_cells) {
            (Cells::Numbers(reference), Cells::Numbers(current)) => {
                let scale = Scores::of(reference);
                extend(&mut old, reference, |value| scale.at(*value));
                extend(&mut new, current, |value| scale.at(*value));
                if share(reference, |x| x.is_nan()).max(share(current, |x| x.is_nan())) >= MISSING {
                    extend(&mut old, reference, |value| f64::from(u8::from(value.is_nan())));
                    extend(&mut new, current, |value| f64::from(u8::from(value.is_nan())));
                }
            }
            (Cells::Names(reference), Cells::Names(current)) => {
                let mut counts: BTreeMap<Option<&str>, usize> = BTreeMap::new();
                for name in reference.iter().chain(current) {
                    *counts.entry(name.as_deref()).or_default() += 1;
                }
                let mut counts: Vec<_> = counts.into_iter().collect();
                counts.sort_by_key(|(_, count)| Reverse(*count));
                // The last of all names follows from the others.
                let kept = NAMES.min(counts.len().saturating_sub(1));
                for (name, _) in counts.into_iter().take(kept) {
                    extend(&mut old, reference, |value| f64::from(u8::from(value.as_deref() == name)));
                    extend(&mut new, current, |value| f64::from(u8::from(value.as_deref() == name)));
                }
            }
            // Both were read as the same kind.
            _ => {}
        }
    }
    (old, new)
}

fn extend<T>(points: &mut [Vec<f64>], column: &[T], coordinate: impl Fn(&T) -> f64) {
    points.iter_mut().zip(column).for_each(|(point, value)| point.push(coordinate(value)));
}

fn share<T>(column: &[T], is: impl Fn(&T) -> bool) -> f64 {
    column.iter().filter(|value| is(value)).count() as f64 / column.len().max(1) as f64
}

/// Normal scores of ranks among sorted numbers.
struct Scores {
    sorted: Vec<f64>,
}

impl Scores {
    fn of(values: &[f64]) -> Self {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        Self { sorted }
    }

    /// The score of a value: that of the middle of the ranks that it ties with, or would have; 0 for a missing one.
    fn at(&self, value: f64) -> f64 {
        if value.is_nan() || self.sorted.is_empty() {
            return 0.0;
        }
        let below = self.sorted.partition_point(|own| *own < value);
        let through = self.sorted.partition_point(|own| *own <= value);
        let rank = 0.5 * (below + through) as f64 + 0.5;
        normal_score(rank / (self.sorted.len() as f64 + 1.0))
    }
}

/// About the normal quantile (Tukey's lambda, within 0.02 of it between 1 % and 99 %): a scale needs no more.
fn normal_score(share: f64) -> f64 {
    let share = share.clamp(1e-6, 1.0 - 1e-6);
    (share.powf(0.135) - (1.0 - share).powf(0.135)) / 0.1975
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_ranks_whatever_the_unit() {
        let values: Vec<f64> = (0..999).map(|at| f64::from(at).exp().min(1e300)).collect();
        let scores = Scores::of(&values);
        assert!((scores.at(f64::from(499).exp())).abs() < 0.01);
        assert!((scores.at(f64::from(975).exp().min(1e300)) - 1.02).abs() < 0.05);
        assert!((normal_score(0.975) - 1.96).abs() < 0.02 && (normal_score(0.01) + 2.326).abs() < 0.03);
        assert!(scores.at(f64::INFINITY).is_finite() && scores.at(f64::NEG_INFINITY) < -2.0);
        assert_eq!(scores.at(f64::NAN), 0.0);
    }
}
