//! Putting a model's answers right without touching the model: the cheapest repair there is.
//!
//! When a world changes in one respect that is the same for all rows (everything takes a tenth longer, a class has become twice as
//! frequent), what the model knows of the differences between rows still holds, and two numbers put it right. They are
//! learned from labelled rows by the loss that is measured, with a mild pull of the scale (of classes: of the shifts too) towards
//! "leave it as it is", so that few rows change little.
//!
//! - Numbers: ŷ' = shift + scale·ŷ. For squared losses by least squares; for absolute ones by iteratively reweighted
//!   least squares (Schlossmacher 1973, "An iterative technique for absolute deviations curve fitting", JASA 68).
//! - Classes: the logarithms of the probabilities times one scale, plus a shift of each class, through a softmax again
//!   (Platt 1999 for two classes; Guo et al. 2017, "On calibration of modern neural networks", with one temperature and a
//!   bias for each class); by Newton's method on the log loss.

/// The pull towards leaving everything as it is, in rows: as much as so many rows that the model answers perfectly.
const PULL: f64 = 10.0;
/// Rounds of reweighting, or of Newton's method; both are done after a few.
const ROUNDS: usize = 50;
/// Where a round changes nothing any more.
const STILL: f64 = 1e-10;
/// The least probability that is reckoned with.
const LEAST: f64 = 1e-9;
/// The most classes that are put right.
pub const MOST_CLASSES: usize = 100;

/// How numbers are put right: `shift + scale · prediction`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// What a prediction is multiplied with; 0 or more.
    pub scale: f64,
    /// What is added, in the target's unit.
    pub shift: f64,
}

/// How probabilities are put right: softmax of `scale · ln p + shift` of each class.
#[derive(Clone, Debug, PartialEq)]
pub struct Logits {
    /// What the logarithms are multiplied with; 0 or more.
    pub scale: f64,
    /// What is added to that of each class; the first class's is 0.
    pub shifts: Vec<f64>,
}

/// Learns how numbers are put right from rows with both finite; by the absolute loss, or by the squared one. None without such rows.
pub fn line(predicted: &[f64], actual: &[f64], absolute: bool) -> Option<Line> {
    let rows: Vec<(f64, f64)> = predicted
        .iter()
        .zip(actual)
        .filter(|(predicted, actual)| predicted.is_finite() && actual.is_finite())
        .map(|(predicted, actual)| (*predicted, *actual))
        .collect();
    if rows.is_empty() {
        return None;
    }
    let count = rows.len() as f64;
    let spread = {
        let mean = rows.iter().map(|(predicted, _)| predicted).sum::<f64>() / count;
        rows.iter().map(|(predicted, _)| (predicted - mean).powi(2)).sum::<f64>() / count
    };
    let mut found = Line { scale: 1.0, shift: 0.0 };
    // No weight is larger than that of a row that is off by a millionth of what rows are usually off by.
    let usual = rows.iter().map(|(predicted, actual)| (actual - predicted).abs()).sum::<f64>() / count;
    let least = (usual * 1e-6).max(f64::MIN_POSITIVE);
    for _ in 0..if absolute { ROUNDS } else { 1 } {
        let weight = |(predicted, actual): &(f64, f64)| {
            if absolute {
                1.0 / (actual - found.shift - found.scale * predicted).abs().max(least)
            } else {
                1.0
            }
        };
        let (mut weights, mut x, mut y) = (0.0, 0.0, 0.0);
        for row in &rows {
            let weight = weight(row);
            weights += weight;
            x += weight * row.0;
            y += weight * row.1;
        }
        let (x, y) = (x / weights, y / weights);
        let (mut xx, mut xy) = (0.0, 0.0);
        for row in &rows {
            let weight = weight(row);
            xx += weight * (row.0 - x).powi(2);
            xy += weight * (row.0 - x) * (row.1 - y);
        }
        // Rows that lie on the diagonal, spread as the others are.
        let pull = PULL / count * weights * spread;
        let scale = if xx + pull > 0.0 { ((xy + pull) / (xx + pull)).max(0.0) } else { 1.0 };
        let next = Line { scale, shift: y - scale * x };
        let moved = (next.scale - found.scale).abs() * spread.sqrt() + (next.shift - found.shift).abs();
        found = next;
        if moved <= STILL * usual {
            break;
        }
    }
    (found.scale.is_finite() && found.shift.is_finite()).then_some(found)
}

/// Learns how `classes` probabilities a row are put right, from the class that came true of each row (its index; rows beyond have no
/// label). None without labelled rows, with fewer than two classes or more than [`MOST_CLASSES`], or where Newton's method fails.
pub fn logits(probabilities: &[f64], classes: usize, actual: &[Option<usize>]) -> Option<Logits> {
    if !(2..=MOST_CLASSES).contains(&classes) {
        return None;
    }
    let rows: Vec<(Vec<f64>, usize)> = probabilities
        .chunks_exact(classes)
        .zip(actual)
        .filter_map(|(row, actual)| {
            let logs: Vec<f64> = row.iter().map(|p| p.clamp(LEAST, 1.0).ln()).collect();
            let actual = actual.filter(|actual| *actual < classes)?;
            logs.iter().all(|log| log.is_finite()).then_some((logs, actual))
        })
        .collect();
    if rows.is_empty() {
        return None;
    }
    // The scale, then the shifts of all classes but the first.
    let mut at = vec![0.0; classes];
    at[0] = 1.0;
    let mut loss = penalised(&rows, &at);
    for _ in 0..ROUNDS {
        let step = newton(&rows, &at)?;
        // A full step, or a part of it that is downhill.
        let tried = (0..30).map(|halvings| {
            let part = 0.5_f64.powi(halvings);
            let mut next: Vec<f64> = at.iter().zip(&step).map(|(at, step)| at - part * step).collect();
            next[0] = next[0].max(0.0);
            let loss = penalised(&rows, &next);
            (next, loss)
        });
        let Some((next, less)) = tried.into_iter().find(|(_, tried)| *tried < loss) else { break };
        let moved = loss - less;
        (at, loss) = (next, less);
        if moved <= STILL * rows.len() as f64 {
            break;
        }
    }
    let scale = at[0];
    let shifts = std::iter::once(0.0).chain(at.into_iter().skip(1)).collect();
    Some(Logits { scale, shifts })
}

fn softmax(row: &mut [f64]) {
    let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    row.iter_mut().for_each(|z| *z = (*z - most).exp());
    let sum: f64 = row.iter().sum();
    row.iter_mut().for_each(|p| *p /= sum);
}

fn shift(at: &[f64], class: usize) -> f64 {
    if class == 0 { 0.0 } else { at.get(class).copied().unwrap_or_default() }
}

fn answers(logs: &[f64], at: &[f64]) -> Vec<f64> {
    let mut row: Vec<f64> =
        logs.iter().enumerate().map(|(class, log)| at[0] * log + shift(at, class)).collect();
    softmax(&mut row);
    row
}

fn penalised(rows: &[(Vec<f64>, usize)], at: &[f64]) -> f64 {
    let loss: f64 = rows.iter().map(|(logs, actual)| -answers(logs, at)[*actual].max(LEAST).ln()).sum();
    let shifts: f64 = at.iter().skip(1).map(|shift| shift * shift).sum();
    loss + 0.5 * pull() * ((at[0] - 1.0).powi(2) + shifts)
}

/// A row that is sure by half tells of its logits by a quarter.
fn pull() -> f64 {
    0.25 * PULL
}

/// The step of Newton's method: the inverse of the second derivatives times the first.
fn newton(rows: &[(Vec<f64>, usize)], at: &[f64]) -> Option<Vec<f64>> {
    let size = at.len();
    let mut gradient = vec![0.0; size];
    let mut second = vec![0.0; size * size];
    for (logs, actual) in rows {
        let p = answers(logs, at);
        // What the logit of class k changes by with each parameter: its log, and 1 for its own shift.
        let mean: f64 = p.iter().zip(logs).map(|(p, log)| p * log).sum();
        gradient[0] += mean - logs[*actual];
        second[0] += p.iter().zip(logs).map(|(p, log)| p * (log - mean).powi(2)).sum::<f64>();
        for class in 1..size {
            gradient[class] += p[class] - f64::from(u8::from(class == *actual));
            let cross = p[class] * (logs[class] - mean);
            second[class] += cross;
            second[class * size] += cross;
            for other in 1..size {
                let same = if other == class { p[class] } else { 0.0 };
                second[class * size + other] += same - p[class] * p[other];
            }
        }
    }
    gradient[0] += pull() * (at[0] - 1.0);
    second[0] += pull();
    for class in 1..size {
        gradient[class] += pull() * at[class];
        second[class * size + class] += pull();
    }
    solve(second, gradient)
}

/// Gauss's elimination with pivots; the matrix row-major.
fn solve(mut a: Vec<f64>, mut b: Vec<f64>) -> Option<Vec<f64>> {
    let size = b.len();
    for column in 0..size {
        let pivot = (column..size)
            .max_by(|i, j| a[i * size + column].abs().total_cmp(&a[j * size + column].abs()))?;
        let largest = a[pivot * size + column].abs();
        if largest.is_nan() || largest <= f64::MIN_POSITIVE {
            return None;
        }
        if pivot != column {
            (0..size).for_each(|at| a.swap(pivot * size + at, column * size + at));
            b.swap(pivot, column);
        }
        for row in column + 1..size {
            let factor = a[row * size + column] / a[column * size + column];
            (column..size).for_each(|at| a[row * size + at] -= factor * a[column * size + at]);
            b[row] -= factor * b[column];
        }
    }
    for row in (0..size).rev() {
        let known: f64 = (row + 1..size).map(|at| a[row * size + at] * b[at]).sum();
        b[row] = (b[row] - known) / a[row * size + row];
    }
    b.iter().all(|value| value.is_finite()).then_some(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts the probabilities of one row right.
    fn apply(logits: &Logits, row: &[f64]) -> Vec<f64> {
        let logs: Vec<f64> = row.iter().map(|p| p.max(LEAST).ln()).collect();
        let at: Vec<f64> = std::iter::once(logits.scale).chain(logits.shifts[1..].iter().copied()).collect();
        answers(&logs, &at)
    }

    /// SplitMix64 (Steele et al. 2014).
    struct Dice(u64);

    impl Dice {
        fn uniform(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    #[test]
    fn a_world_that_is_slower_by_a_tenth_and_three_is_put_right() {
        let mut dice = Dice(1);
        let predicted: Vec<f64> = (0..2_000).map(|_| 100.0 * dice.uniform()).collect();
        let actual: Vec<f64> =
            predicted.iter().map(|p| 3.0 + 1.1 * p + 4.0 * (dice.uniform() - 0.5)).collect();
        for absolute in [true, false] {
            let found = line(&predicted, &actual, absolute).unwrap();
            assert!((found.scale - 1.1).abs() < 0.01 && (found.shift - 3.0).abs() < 0.5, "{found:?}");
        }
        // One row in ten is nonsense: the absolute loss does not mind.
        let spoilt: Vec<f64> =
            actual.iter().enumerate().map(|(row, y)| if row % 10 == 0 { 1e4 } else { *y }).collect();
        let found = line(&predicted, &spoilt, true).unwrap();
        assert!((found.scale - 1.1).abs() < 0.03 && (found.shift - 3.0).abs() < 2.0, "{found:?}");
    }

    #[test]
    fn little_is_changed_on_the_word_of_few_rows_and_nothing_without_any() {
        // By themselves they would say −3.
        let found = line(&[10.0, 20.0], &[40.0, 10.0], false).unwrap();
        assert!(found.scale > 0.3, "{found:?}");
        assert_eq!(line(&[1.0, f64::NAN], &[f64::NAN, 1.0], true), None);
        let same = line(&[5.0; 50], &[7.0; 50], true).unwrap();
        assert!((same.shift + 5.0 * same.scale - 7.0).abs() < 1e-9, "{same:?}");
        assert_eq!(logits(&[0.5, 0.5], 2, &[None]), None);
        assert_eq!(logits(&[1.0], 1, &[Some(0)]), None);
        let few = logits(&[0.5, 0.5], 2, &[Some(1)]).unwrap();
        assert!((few.scale - 1.0).abs() < 0.1 && few.shifts[1].abs() < 0.25, "{few:?}");
    }

    #[test]
    fn a_class_that_has_become_more_frequent_is_put_right() {
        for classes in [2, 3] {
            let mut dice = Dice(classes as u64);
            let truth = Logits { scale: 0.7, shifts: [0.0, 1.2, -0.5][..classes].to_vec() };
            let (mut said, mut came) = (Vec::new(), Vec::new());
            for _ in 0..20_000 {
                let mut row: Vec<f64> = (0..classes).map(|_| 0.05 + dice.uniform()).collect();
                let sum: f64 = row.iter().sum();
                row.iter_mut().for_each(|p| *p /= sum);
                said.extend(row.iter().copied());
                let row = apply(&truth, &row);
                let mut left = dice.uniform();
                let class = row.iter().position(|p| {
                    left -= p;
                    left < 0.0
                });
                came.push(Some(class.unwrap_or(classes - 1)));
            }
            let found = logits(&said, classes, &came).unwrap();
            assert!((found.scale - truth.scale).abs() < 0.06, "{found:?}");
            for (found, truth) in found.shifts.iter().zip(&truth.shifts) {
                assert!((found - truth).abs() < 0.1, "{found:?} {truth:?}");
            }
        }
    }

    #[test]
    fn a_model_that_is_sure_and_wrong_does_not_lead_to_infinities() {
        let said: Vec<f64> =
            (0..400).flat_map(|row| if row % 2 == 0 { [1.0, 0.0] } else { [0.0, 1.0] }).collect();
        let came: Vec<Option<usize>> = (0..400).map(|row| Some((row + 1) % 2)).collect();
        let found = logits(&said, 2, &came).unwrap();
        let row = apply(&found, &[1.0, 0.0]);
        assert!(
            row.iter().all(|p| (0.2..0.8).contains(p)),
            "it says nothing rather than the wrong thing: {found:?}"
        );
    }
}
