//! The loss as a sum of effects of bins: least squares with a ridge, refitted without each block of days.
//!
//! All is done on sums over rows (how often two bins meet, the losses in a bin), kept by block, so that leaving a block out is
//! a subtraction. The ridge, in rows that each bin is given with no effect, is the one with the least error on blocks that were
//! left out.

/// Ridges that are tried.
const RIDGES: [f64; 5] = [1.0, 10.0, 100.0, 1_000.0, 10_000.0];

/// Sums over the rows of a block.
#[derive(Debug, Clone)]
pub(super) struct Sums {
    size: usize,
    rows: f64,
    losses: f64,
    squares: f64,
    /// Rows in each bin.
    pub(super) counts: Vec<f64>,
    /// Losses in each bin.
    pub(super) sums: Vec<f64>,
    /// Rows in each pair of bins.
    pairs: Vec<f64>,
}

impl Sums {
    pub(super) fn new(size: usize) -> Self {
        let zeros = |n: usize| vec![0.0; n];
        Self {
            size,
            rows: 0.0,
            losses: 0.0,
            squares: 0.0,
            counts: zeros(size),
            sums: zeros(size),
            pairs: zeros(size * size),
        }
    }

    /// Adds a row in these bins, ascending.
    pub(super) fn push(&mut self, bins: &[usize], loss: f64) {
        self.rows += 1.0;
        self.losses += loss;
        self.squares += loss * loss;
        for (at, bin) in bins.iter().enumerate() {
            self.counts[*bin] += 1.0;
            self.sums[*bin] += loss;
            let line = &mut self.pairs[bin * self.size..(bin + 1) * self.size];
            bins[..=at].iter().for_each(|other| line[*other] += 1.0);
        }
    }

    /// Adds `times` the other sums.
    fn add(&mut self, other: &Self, times: f64) {
        let add = |to: &mut Vec<f64>, from: &[f64]| {
            to.iter_mut().zip(from).for_each(|(to, from)| *to += times * from);
        };
        self.rows += times * other.rows;
        self.losses += times * other.losses;
        self.squares += times * other.squares;
        add(&mut self.counts, &other.counts);
        add(&mut self.sums, &other.sums);
        add(&mut self.pairs, &other.pairs);
    }

    pub(super) fn mean(&self) -> f64 {
        self.losses / self.rows.max(1.0)
    }

    /// The effect of each bin, against the mean loss; of zero where a bin is empty.
    fn fit(&self, ridge: f64) -> Vec<f64> {
        let (size, rows) = (self.size, self.rows.max(1.0));
        let mut matrix = vec![0.0; size * size];
        for i in 0..size {
            for j in 0..=i {
                matrix[i * size + j] = self.pairs[i * size + j] - self.counts[i] * self.counts[j] / rows;
            }
            matrix[i * size + i] += ridge;
        }
        let mean = self.mean();
        let mut effects: Vec<f64> =
            self.sums.iter().zip(&self.counts).map(|(sum, count)| sum - count * mean).collect();
        solve(&mut matrix, &mut effects, size);
        for (effect, count) in effects.iter_mut().zip(&self.counts) {
            if *count <= 0.0 || !effect.is_finite() {
                *effect = 0.0;
            }
        }
        effects
    }

    /// The sum of squared errors on these rows of effects that were fitted on `train`.
    fn squared_error(&self, train: &Self, effects: &[f64]) -> f64 {
        let shift: f64 = train.counts.iter().zip(effects).map(|(count, effect)| count * effect).sum();
        let intercept = train.mean() - shift / train.rows.max(1.0);
        let dot = |values: &[f64]| values.iter().zip(effects).map(|(x, effect)| x * effect).sum::<f64>();
        let square: f64 = (0..self.size)
            .map(|i| {
                let line = &self.pairs[i * self.size..i * self.size + i];
                effects[i] * (2.0 * dot(line) + self.pairs[i * self.size + i] * effects[i])
            })
            .sum();
        self.squares - 2.0 * intercept * self.losses - 2.0 * dot(&self.sums)
            + self.rows * intercept * intercept
            + 2.0 * intercept * dot(&self.counts)
            + square
    }
}

/// The whole's sums and effects, and what they are without each block.
pub(super) struct Fitted {
    pub(super) whole: Sums,
    pub(super) effects: Vec<f64>,
    pub(super) without: Vec<Without>,
}

/// What is fitted without a block.
pub(super) struct Without {
    pub(super) mean: f64,
    pub(super) effects: Vec<f64>,
    /// Rows in each bin.
    pub(super) counts: Vec<f64>,
}

/// Fits the sums of all `blocks`; at least two blocks have rows.
pub(super) fn fit(blocks: &[Sums]) -> Option<Fitted> {
    let mut whole = Sums::new(blocks.first()?.size);
    blocks.iter().for_each(|block| whole.add(block, 1.0));
    let blocks: Vec<&Sums> = blocks.iter().filter(|block| block.rows > 0.0).collect();
    if blocks.len() < 2 {
        return None;
    }
    let mut rest = whole.clone();
    let mut errors = [0.0; RIDGES.len()];
    let mut without: Vec<[Vec<f64>; RIDGES.len()]> = Vec::with_capacity(blocks.len());
    let mut rests = Vec::with_capacity(blocks.len());
    for block in &blocks {
        rest.add(block, -1.0);
        let effects = RIDGES.map(|ridge| rest.fit(ridge));
        for (error, effects) in errors.iter_mut().zip(&effects) {
            *error += block.squared_error(&rest, effects);
        }
        rests.push((rest.mean(), rest.counts.clone()));
        without.push(effects);
        rest.add(block, 1.0);
    }
    let best = (0..RIDGES.len()).min_by(|a, b| errors[*a].total_cmp(&errors[*b])).unwrap_or_default();
    let effects = whole.fit(RIDGES[best]);
    let without = rests.into_iter().zip(without).map(|((mean, counts), mut effects)| Without {
        mean,
        effects: std::mem::take(&mut effects[best]),
        counts,
    });
    Some(Fitted { effects, without: without.collect(), whole })
}

/// Solves a positive definite system, of which the lower triangle is given, by Cholesky's decomposition.
fn solve(matrix: &mut [f64], right: &mut [f64], size: usize) {
    for i in 0..size {
        let (above, row) = matrix.split_at_mut(i * size);
        for j in 0..i {
            let other = &above[j * size..j * size + j + 1];
            let dot: f64 = row[..j].iter().zip(other).map(|(a, b)| a * b).sum();
            row[j] = (row[j] - dot) / other[j];
        }
        let square: f64 = row[..i].iter().map(|a| a * a).sum();
        row[i] = (row[i] - square).max(f64::MIN_POSITIVE).sqrt();
        let dot: f64 = row[..i].iter().zip(right.iter()).map(|(a, b)| a * b).sum();
        right[i] = (right[i] - dot) / row[i];
    }
    for i in (0..size).rev() {
        right[i] /= matrix[i * size + i];
        let value = right[i];
        right[..i].iter_mut().zip(&matrix[i * size..]).for_each(|(x, a)| *x -= a * value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_system_is_solved() {
        let mut matrix = vec![4.0, 0.0, 0.0, 2.0, 5.0, 0.0, 1.0, 3.0, 6.0];
        let mut right = vec![4.0 + 4.0 + 3.0, 2.0 + 10.0 + 9.0, 1.0 + 6.0 + 18.0];
        solve(&mut matrix, &mut right, 3);
        assert!(right.iter().zip([1.0, 2.0, 3.0]).all(|(found, x)| (found - x).abs() < 1e-12), "{right:?}");
    }

    #[test]
    fn the_error_from_sums_is_that_of_the_rows() {
        // Two columns of two bins; the loss is 1, more by 2 in bin 1, more by 4 in bin 3.
        let rows = [([0, 2], 1.0), ([1, 2], 3.0), ([0, 3], 5.0), ([1, 3], 7.0), ([1, 2], 3.5)];
        let mut sums = Sums::new(4);
        rows.iter().for_each(|(bins, loss)| sums.push(bins, *loss));
        let effects = sums.fit(1e-9);
        let by_hand: f64 = {
            let shift: f64 = effects.iter().zip(&sums.counts).map(|(effect, count)| effect * count).sum();
            let intercept = sums.mean() - shift / 5.0;
            rows.iter()
                .map(|(bins, loss)| {
                    (loss - intercept - bins.iter().map(|bin| effects[*bin]).sum::<f64>()).powi(2)
                })
                .sum()
        };
        assert!((sums.squared_error(&sums, &effects) - by_hand).abs() < 1e-9);
        assert!((effects[3] - effects[2] - 4.0).abs() < 0.3 && (effects[1] - effects[0] - 2.0).abs() < 0.3);
    }
}
