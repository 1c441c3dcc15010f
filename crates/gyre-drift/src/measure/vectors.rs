//! Vectors: by a learner that is to tell the tables apart, and by their norms.
//!
//! On half of a sample the direction is learned in which the tables lie apart (Fisher's linear discriminant with a diagonal covariance
//! matrix, as in Dudoit, Fridlyand & Speed 2002); the other half is ranked along it. If both tables are of one distribution, the area
//! under the ROC curve there is 0.5 but for luck, whatever was learned, so that its p-value (DeLong's) holds for any number of
//! dimensions. What has the same mean in every direction and differs otherwise shows in the norms, or not at all.

use gyre_stats::drift::MINIMUM_ROWS;
use gyre_stats::performance::{auc, p_above_reference, student_interval};

use super::{Distance, Kind, LEVEL, Measured, Test, numbers, share};
use crate::vectors::Vectors;

/// So many degrees of freedom that Student's t is the normal distribution.
const MANY: u64 = 1_000_000_000;
/// Added to each variance, as a share of the mean variance: a number that hardly varies must not rule.
const SHRINKAGE: f64 = 0.1;

/// Compares two columns of vectors, of each the missing rows and the vectors. None when their vectors are of different lengths.
pub(super) fn measure(before: (u64, &Vectors), after: (u64, &Vectors)) -> Option<Measured> {
    let ((missing_before, before), (missing_after, after)) = (before, after);
    if before.dimensions() != after.dimensions() && before.dimensions().min(after.dimensions()) > 0 {
        return None;
    }
    let norms = |vectors: &Vectors| vectors.norms().to_vec();
    let mut measured =
        numbers::measure(Kind::Vectors, (missing_before, norms(before)), (missing_after, norms(after)));
    let broken = |vectors: &Vectors| (vectors.broken(), vectors.broken() + vectors.norms().len() as u64);
    measured.shares.push(share("broken", broken(before), broken(after)));
    if let Some((test, distances)) = told_apart(before, after) {
        measured.tests.push(test);
        measured.distances.extend(distances);
    }
    Some(measured)
}

/// Means and variances of one half of a sample.
struct Half {
    count: f64,
    mean: Vec<f64>,
    /// Sums of squared deviations.
    squares: Vec<f64>,
}

impl Half {
    fn of(vectors: &Vectors) -> Self {
        let dimensions = vectors.dimensions();
        let mut half = Self { count: 0.0, mean: vec![0.0; dimensions], squares: vec![0.0; dimensions] };
        for (vector, _) in vectors.sample().filter(|(_, learns)| *learns) {
            half.count += 1.0;
            let moments = half.mean.iter_mut().zip(&mut half.squares);
            for (number, (mean, squares)) in vector.iter().zip(moments) {
                // Welford (1962).
                let off = f64::from(*number) - *mean;
                *mean += off / half.count;
                *squares += off * (f64::from(*number) - *mean);
            }
        }
        half
    }
}

fn told_apart(before: &Vectors, after: &Vectors) -> Option<(Test, [Distance; 2])> {
    let (old, new) = (Half::of(before), Half::of(after));
    if old.count.min(new.count) < MINIMUM_ROWS as f64 {
        return None;
    }
    let pooled = old.squares.iter().zip(&new.squares).map(|(a, b)| (a + b) / (old.count + new.count - 2.0));
    let pooled: Vec<f64> = pooled.collect();
    let usual = pooled.iter().sum::<f64>() / pooled.len() as f64;
    let differences = old.mean.iter().zip(&new.mean).map(|(old, new)| new - old);
    let weights = differences.zip(&pooled).map(|(difference, variance)| {
        let variance = variance + SHRINKAGE * usual;
        // Where nothing varies, whatever differs tells the tables apart.
        if variance > 0.0 { difference / variance } else { difference }
    });
    let weights: Vec<f64> = weights.collect();
    let along = |vector: &[f32]| {
        vector.iter().zip(&weights).map(|(number, weight)| f64::from(*number) * weight).sum::<f64>()
    };
    let judged = |vectors: &Vectors| {
        let judged = vectors.sample().filter(|(_, learns)| !learns);
        judged.map(|(vector, _)| along(vector)).collect::<Vec<f64>>()
    };
    let (old_judged, new_judged) = (judged(before), judged(after));
    let truth: Vec<bool> =
        (0..old_judged.len() + new_judged.len()).map(|at| at >= old_judged.len()).collect();
    let found = auc(&[old_judged, new_judged].concat(), &truth).ok()??;
    let error = found.standard_error?;
    let p_value = p_above_reference((found.value, error), MANY, (0.5, 0.0)).filter(|_| error > 0.0);
    // Without any error, all pairs are told apart, or none.
    let p_value = p_value.unwrap_or(if found.value > 0.5 { 0.0 } else { 1.0 });
    let interval = student_interval(found.value, error, MANY as f64, LEVEL);
    let test = Test { name: "linear_classifier", statistic: found.value, p_value, decides: true };
    let twice = |area: f64| 2.0 * area - 1.0;
    let separation = Distance {
        name: "separation",
        value: twice(found.value),
        interval: Some(gyre_stats::proportion::Interval {
            lower: twice(interval.lower.max(0.0)),
            upper: twice(interval.upper.min(1.0)),
            ..interval
        }),
        decides: true,
    };
    let centres = Distance {
        name: "cosine_of_means",
        value: cosine(&old.mean, &new.mean),
        interval: None,
        decides: false,
    };
    Some((test, [separation, centres]))
}

/// The cosine distance: 0 for the same direction, 1 for perpendicular ones.
fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths > 0.0 { 1.0 - dot(a, b) / lengths } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of 32 numbers, each in ±1, moved by `moved` in one direction and stretched; `salt` draws others.
    fn vectors(rows: u64, salt: u64, moved: f32, stretched: f32) -> Vectors {
        let mut state = salt;
        let mut draw = || {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        let mut vectors = Vectors::default();
        for row in 0..rows {
            let vector: Vec<f32> =
                (0..32).map(|at| stretched * draw() + if at % 2 == 0 { moved } else { -moved }).collect();
            vectors.add(row, &vector);
        }
        vectors.finish()
    }

    fn test<'a>(measured: &'a Measured, name: &str) -> &'a Test {
        measured.tests.iter().find(|test| test.name == name).unwrap()
    }

    #[test]
    fn vectors_that_move_together_are_told_apart_and_others_are_not() {
        let before = vectors(4_000, 1, 0.0, 1.0);
        let moved = measure((0, &before), (0, &vectors(4_000, 2, 0.05, 1.0))).unwrap();
        let found = test(&moved, "linear_classifier");
        assert!(found.p_value < 1e-9 && found.statistic > 0.6, "{found:?}");
        assert_eq!(moved.kind, Kind::Vectors);
        let separation = moved.distances.iter().find(|distance| distance.name == "separation").unwrap();
        assert!((separation.value - (2.0 * found.statistic - 1.0)).abs() < 1e-12);
        let interval = separation.interval.unwrap();
        assert!(interval.lower < separation.value && separation.value < interval.upper);
        // Twice as long in all directions: no direction tells them apart, their norms do.
        let longer = measure((0, &before), (0, &vectors(4_000, 3, 0.0, 2.0))).unwrap();
        assert!(test(&longer, "linear_classifier").p_value > 1e-4);
        assert!(longer.tests[0].p_value < 1e-9, "{longer:?}");
        assert!(longer.reference.mean.unwrap() < 0.6 * longer.current.mean.unwrap());
    }

    #[test]
    fn what_was_learned_on_one_half_is_no_news_on_the_other() {
        // 32 dimensions and 600 rows: the half that was learned from looks well apart by luck alone.
        let p_values: Vec<f64> = (0..200)
            .map(|at| {
                let pair = (vectors(600, 2 * at + 10, 0.0, 1.0), vectors(600, 2 * at + 11, 0.0, 1.0));
                test(&measure((0, &pair.0), (0, &pair.1)).unwrap(), "linear_classifier").p_value
            })
            .collect();
        for (level, most) in [(0.05, 20), (0.5, 120)] {
            let below = p_values.iter().filter(|p| **p < level).count();
            assert!(below <= most, "{below} of 200 below {level}");
        }
        assert!(p_values.iter().filter(|p| **p < 0.5).count() >= 80, "nor is it too careful");
    }

    #[test]
    fn what_cannot_be_compared_is_said_or_absent() {
        let before = vectors(400, 1, 0.0, 1.0);
        let mut shorter = Vectors::default();
        (0..400).for_each(|row| shorter.add(row, &[1.0, 2.0]));
        assert_eq!(measure((0, &before), (0, &shorter)), None, "another model's vectors");
        let few = measure((0, &before), (3, &vectors(20, 2, 0.0, 1.0))).unwrap();
        assert!(few.tests.is_empty());
        // The same vector in every row.
        let constant = |at: f32| {
            let mut all = Vectors::default();
            (0..400).for_each(|row| all.add(row, &[at, 1.0]));
            all
        };
        let same = measure((0, &constant(1.0)), (0, &constant(1.0))).unwrap();
        assert!(same.p_value().is_none_or(|p| p > 0.5), "{same:?}");
        let other = measure((0, &constant(1.0)), (0, &constant(3.0))).unwrap();
        assert!(other.p_value().unwrap() < 1e-9, "{other:?}");
        let mut broken = constant(1.0);
        (0..100).for_each(|row| broken.add(row, &[f32::NAN, 1.0]));
        let found = measure((0, &constant(1.0)), (0, &broken)).unwrap();
        let share = found.shares.iter().find(|share| share.name == "broken").unwrap();
        assert_eq!(share.change.current, Some(0.2));
        assert!(found.p_value().unwrap() < 1e-9);
    }
}
