//! P-values by permutation: how often is a random division of all rows as far apart as the real one?
//!
//! Without drift every division of the pooled rows into two sides of these sizes is equally likely, whatever the
//! distribution. So the share of random divisions that reach the observed statistic is a p-value that holds for any number
//! of rows and columns (Lehmann & Romano, "Testing statistical hypotheses", 2005, §15.2).

use serde::{Deserialize, Serialize};

use super::pairs::{Pairs, Sums};

/// Divisions that are summed together: one pass over all pairs serves them all.
const TOGETHER: usize = 16;

/// A statistic among those of random divisions of the same rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PermutationTest {
    /// The observed statistic.
    pub statistic: f64,
    /// (1 + divisions that reach it)/(1 + divisions): never 0, and at least 1/(1 + divisions).
    pub p_value: f64,
    /// Random divisions drawn.
    pub permutations: u32,
}

impl Pairs {
    /// Tests a statistic of the sums over pairs, large values meaning drift.
    pub(super) fn test(
        &self,
        n: usize,
        permutations: u32,
        seed: u64,
        statistic: impl Fn(Sums) -> f64,
    ) -> PermutationTest {
        let mut random = SplitMix(seed);
        let mut order: Vec<u32> = (0..self.rows as u32).collect();
        // The sum of each row's pairs: with it, the pairs within the reference give those across and the rest.
        let totals = self.row_totals();
        let all: f64 = totals.iter().sum();
        let mut observed = None;
        let (mut done, mut reached) = (0, 0);
        while done < permutations || observed.is_none() {
            // member[row][division]: 1 where the row is of the reference there. The first division of all is the real one.
            let mut member = vec![[0.0_f64; TOGETHER]; self.rows];
            for division in 0..TOGETHER {
                if observed.is_some() || division > 0 {
                    random.shuffle(&mut order, n);
                }
                mark(&mut member, division, order.get(..n).unwrap_or_default());
            }
            for (within, total) in self.within(&member).into_iter().zip(total_of(&member, &totals)) {
                let across = total - within;
                let value =
                    statistic(Sums { reference: within, across, current: all - within - 2.0 * across });
                match observed {
                    None => observed = Some(value),
                    Some(_) if done == permutations => {}
                    Some(real) => {
                        done += 1;
                        // Divisions that are equal but for rounding reach it.
                        let tolerance =
                            1e-12 * real.abs().max(f64::EPSILON * all.abs() / (self.rows as f64).powi(2));
                        reached += u32::from(value >= real - tolerance);
                    }
                }
            }
        }
        PermutationTest {
            statistic: observed.unwrap_or_default(),
            p_value: f64::from(1 + reached) / f64::from(1 + done),
            permutations: done,
        }
    }

    fn row_totals(&self) -> Vec<f64> {
        let mut totals = vec![0.0; self.rows];
        for (row, line) in self.lines().enumerate() {
            let (before, rest) = totals.split_at_mut(row);
            before.iter_mut().zip(line).for_each(|(total, value)| *total += value);
            rest.iter_mut().take(1).for_each(|total| *total += line.iter().sum::<f64>());
        }
        totals
    }

    /// Σ over ordered pairs of different members, for each division.
    fn within(&self, member: &[[f64; TOGETHER]]) -> [f64; TOGETHER] {
        let mut sums = [0.0; TOGETHER];
        for (line, own) in self.lines().zip(member) {
            let mut beside = [0.0; TOGETHER];
            for (value, other) in line.iter().zip(member) {
                for (sum, is_member) in beside.iter_mut().zip(other) {
                    *sum += value * is_member;
                }
            }
            for ((sum, beside), is_member) in sums.iter_mut().zip(beside).zip(own) {
                *sum += 2.0 * beside * is_member;
            }
        }
        sums
    }
}

/// Makes these rows the reference in one division.
fn mark(member: &mut [[f64; TOGETHER]], division: usize, rows: &[u32]) {
    rows.iter().for_each(|row| member[*row as usize][division] = 1.0);
}

/// Σ of the totals of the members, for each division.
fn total_of(member: &[[f64; TOGETHER]], totals: &[f64]) -> [f64; TOGETHER] {
    let mut sums = [0.0; TOGETHER];
    for (own, total) in member.iter().zip(totals) {
        sums.iter_mut().zip(own).for_each(|(sum, is_member)| *sum += total * is_member);
    }
    sums
}

/// SplitMix64 (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators").
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Puts a random choice of `n` items first (Fisher & Yates; Durstenfeld 1964).
    fn shuffle(&mut self, items: &mut [u32], n: usize) {
        let count = items.len();
        for at in 0..n.min(count) {
            // The high half of a product is uniform to within 2⁻⁵¹ for a few thousand items.
            let offset = ((u128::from(self.next()) * (count - at) as u128) >> 64) as usize;
            items.swap(at, at + offset);
        }
    }
}
