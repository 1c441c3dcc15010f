//! What the reference profile learns for the checks of quality beside the distributions.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use gyre_stats::moments::Moments;
use serde::{Deserialize, Serialize};

use crate::columns::Values;
use crate::variation::{FEWEST_WINDOWS, Variation};

/// How one numeric column behaved in training.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Learned {
    /// The share of its most frequent value.
    pub top: f64,
    /// The longest run of one value, in the order of time; none where that order is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<u64>,
}

/// How many rows of training repeat an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Repeats {
    /// The share over all rows: no less than any part of them has.
    pub share: f64,
    /// The share within windows; none where they were too few.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<Variation>,
}

impl Repeats {
    /// The share that a window hardly exceeds.
    pub(crate) fn bound(&self) -> f64 {
        self.windows.map_or(self.share, |windows| windows.bound())
    }
}

/// What a column of training teaches; none of names.
pub(crate) fn of_column(values: &Values<'_>) -> Option<Learned> {
    let Values::Numbers(values) = values else { return None };
    let mut finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    finite.sort_unstable_by(f64::total_cmp);
    let top = finite.chunk_by(|a, b| a == b).map(<[f64]>::len).max()?;
    Some(Learned { top: top as f64 / finite.len() as f64, run: None })
}

/// The longest run of one value among `values`; rows without a value do not end it.
pub(crate) fn longest_run(values: impl Iterator<Item = f64>) -> (u64, f64) {
    let (mut longest, mut of, mut run, mut last) = (0, f64::NAN, 0, f64::NAN);
    for value in values.filter(|value| !value.is_nan()) {
        run = if value == last { run + 1 } else { 1 };
        last = value;
        if run > longest {
            (longest, of) = (run, value);
        }
    }
    (longest, of)
}

/// The repeated rows of all training, and of the windows that it is cut into.
pub(crate) fn repeats(columns: &[Values<'_>], rows: usize) -> Option<Repeats> {
    let all: Vec<usize> = (0..rows).collect();
    (rows > 0 && !columns.is_empty())
        .then(|| Repeats { share: repeated(columns, &all) as f64 / rows as f64, windows: None })
}

/// How the share of repeated rows varies between windows.
pub(crate) fn repeats_of_windows(
    columns: &[Values<'_>],
    order: &[usize],
    windows: &[Range<usize>],
) -> Option<Variation> {
    let mut shares = Moments::default();
    for range in windows {
        let rows = order.get(range.clone())?;
        shares.push(repeated(columns, rows) as f64 / rows.len().max(1) as f64);
    }
    let windows = u32::try_from(windows.len()).ok().filter(|windows| *windows as usize >= FEWEST_WINDOWS)?;
    let (mean, deviation) = shares.mean().zip(shares.standard_deviation())?;
    Some(Variation { windows, mean, deviation })
}

/// How many of `rows` repeat an earlier one in all columns. A row that lacks a value is like none: what it lacks may differ.
/// Rows are told apart by 64 bits of their values: among a
/// million, one in thirty million windows has a pair that only looks alike.
pub(crate) fn repeated(columns: &[Values<'_>], rows: &[usize]) -> u64 {
    let is_whole = |row: &&usize| columns.iter().all(|values| values.is_present(**row));
    let rows: Vec<usize> = rows.iter().filter(is_whole).copied().collect();
    let mut prints = vec![0_u64; rows.len()];
    for values in columns {
        for (print, row) in prints.iter_mut().zip(&rows) {
            let bits = match values {
                // −0 and 0 are one value.
                Values::Numbers(values) => values.get(*row).map_or(0, |value| (value + 0.0).to_bits()),
                Values::Text(names) => {
                    let mut hasher = DefaultHasher::new();
                    names.get(*row).and_then(Option::as_deref).hash(&mut hasher);
                    hasher.finish()
                }
            };
            *print = mixed(*print ^ bits);
        }
    }
    prints.sort_unstable();
    prints.windows(2).filter(|pair| pair.first() == pair.last()).count() as u64
}

/// The last steps of SplitMix64: every bit of the input moves every bit of the output.
const fn mixed(z: u64) -> u64 {
    let z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_repeat_only_in_all_columns() {
        let a = [1.0, 1.0, -0.0, 0.0, f64::NAN, f64::NAN];
        let b: Vec<Option<std::sync::Arc<str>>> =
            ["x", "y", "x", "x", "", ""].map(|name| (!name.is_empty()).then(|| name.into())).to_vec();
        let columns = [Values::Numbers(&a), Values::Text(&b)];
        assert_eq!(repeated(&columns, &[0, 1, 2, 3, 4, 5]), 1, "0 twice; nothing is like nothing");
        assert_eq!(repeated(&columns[..1], &[0, 1, 2, 3]), 2);
    }

    #[test]
    fn a_run_is_not_ended_by_a_gap() {
        assert_eq!(longest_run([1.0, 2.0, 2.0, f64::NAN, 2.0, 1.0].into_iter()), (3, 2.0));
        assert_eq!(longest_run(std::iter::empty()).0, 0);
    }
}
