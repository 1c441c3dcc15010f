//! Categories to numbers, by the mean of the target.
//!
//! A category becomes the smoothed mean of the target over its rows. If a training row's own target were in its mean,
//! the trees would read the answer off rare categories; so a training row sees only the rows before it in a random
//! order, while the exported table holds the mean over all (ordered target statistics, CatBoost §3). For more than two
//! classes each category becomes one number a class: the share of that class.

use std::collections::HashMap;
use std::sync::Arc;

/// The numbers of one categorical column for one target.
pub(crate) struct Encoded {
    /// For each training row; NaN where the category is missing.
    pub(crate) training: Vec<f32>,
    /// For each category, sorted by name.
    pub(crate) table: Vec<(Arc<str>, f32)>,
}

/// Encodes a column against a target, visiting rows in `order`.
pub(crate) fn encode(column: &[Option<Arc<str>>], target: &[f64], order: &[u32], smoothing: f64) -> Encoded {
    let prior = target.iter().sum::<f64>() / target.len().max(1) as f64;
    let mut sums: HashMap<&Arc<str>, (f64, f64)> = HashMap::new();
    let mean = |(sum, count): (f64, f64)| ((sum + smoothing * prior) / (count + smoothing)) as f32;
    let mut training = vec![f32::NAN; column.len()];
    for &row in order {
        let row = row as usize;
        let Some(category) = column[row].as_ref().filter(|c| !c.is_empty()) else { continue };
        let seen = sums.entry(category).or_insert((0.0, 0.0));
        training[row] = mean(*seen);
        seen.0 += target[row];
        seen.1 += 1.0;
    }
    let mut table: Vec<(Arc<str>, f32)> =
        sums.into_iter().map(|(c, seen)| (Arc::clone(c), mean(seen))).collect();
    table.sort_by(|a, b| a.0.cmp(&b.0));
    Encoded { training, table }
}

/// A seeded random order of `n` rows (Fisher–Yates over SplitMix64, Steele et al. 2014).
pub(crate) fn shuffled(n: usize, seed: u64) -> Vec<u32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let mut order: Vec<u32> = (0..n as u32).collect();
    for i in (1..n).rev() {
        let j = (u128::from(next()) * (i as u128 + 1)) >> 64;
        order.swap(i, j as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_does_not_see_its_own_target() {
        let column: Vec<_> = ["a", "a", "b"].map(|c| Some(Arc::from(c))).into();
        let encoded = encode(&column, &[1.0, 3.0, 8.0], &[0, 1, 2], 1.0);
        // Prior 4. Row 0 knows nothing, row 1 knows row 0, row 2 is the first of its category.
        assert_eq!(encoded.training, [4.0, (1.0 + 4.0) / 2.0, 4.0]);
        assert_eq!(encoded.table, [("a".into(), (4.0 + 4.0) / 3.0), ("b".into(), (8.0 + 4.0) / 2.0)]);
    }

    #[test]
    fn missing_and_empty_categories_are_nan() {
        let encoded = encode(&[None, Some("".into())], &[1.0, 2.0], &[0, 1], 1.0);
        assert!(encoded.training.iter().all(|x| x.is_nan()) && encoded.table.is_empty());
    }

    #[test]
    fn the_order_is_a_permutation_and_follows_the_seed() {
        let mut order = shuffled(1000, 7);
        assert_eq!(order, shuffled(1000, 7));
        assert_ne!(order, shuffled(1000, 8));
        order.sort_unstable();
        assert!(order.into_iter().eq(0..1000));
    }
}
