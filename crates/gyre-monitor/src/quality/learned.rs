//! What the reference profile learns for the checks of quality beside the distributions.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use gyre_stats::moments::Moments;
use serde::{Deserialize, Serialize};

use crate::columns::Values;
use crate::variation::{FEWEST_WINDOWS, Variation};

/// How one column behaved in training.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Learned {
    /// The share of its most frequent value; 0 of names, of which this is not asked.
    #[serde(default)]
    pub top: f64,
    /// What it learned of the order of time; none where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<InTime>,
}

/// How one column behaved in the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct InTime {
    /// The longest run of one number.
    pub run: u64,
    /// The longest run of rows without a value.
    pub gap: u64,
    /// The largest share of one number in any window: 1 of a month, which is the same all week; none where there were too
    /// few windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_top: Option<f64>,
    /// The largest share of names in a window of the later half that no window before had: 1 of dates; none where there
    /// were too few windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewed: Option<f64>,
}

/// How many rows of training repeat an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Repeats {
    /// The rows.
    #[serde(default)]
    pub rows: u64,
    /// The share over all of them: no less than any part of them has.
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

/// What a column of training teaches.
pub(crate) fn of_column(values: &Values<'_>) -> Learned {
    let top = match values {
        Values::Numbers(values) => top_share(values.iter().copied()).unwrap_or(0.0),
        Values::Text(_) => 0.0,
    };
    Learned { top, order: None }
}

/// What it teaches in the order of time, cut into `windows`.
pub(crate) fn in_time(values: &Values<'_>, order: &[usize], windows: &[Range<usize>]) -> InTime {
    let gap = longest(order.iter().map(|row| !values.is_present(*row)));
    let values = match values {
        Values::Numbers(values) => values,
        Values::Text(names) => {
            return InTime { gap, renewed: renewed(names, order, windows), ..InTime::default() };
        }
    };
    let of = |rows: &[usize]| rows.iter().filter_map(|row| values.get(*row).copied()).collect::<Vec<f64>>();
    let tops = windows.iter().filter_map(|range| top_share(of(order.get(range.clone())?).into_iter()));
    InTime {
        run: longest_run(of(order).into_iter()).0,
        gap,
        window_top: tops.reduce(f64::max),
        renewed: None,
    }
}

fn renewed(names: &[Option<Arc<str>>], order: &[usize], windows: &[Range<usize>]) -> Option<f64> {
    let mut known: HashSet<&str> = HashSet::new();
    let mut most: Option<f64> = None;
    for (at, range) in windows.iter().enumerate() {
        let rows = order.get(range.clone())?;
        let present: Vec<&str> = rows.iter().filter_map(|row| names.get(*row)?.as_deref()).collect();
        let new = present.iter().filter(|name| !known.contains(**name)).count();
        if 2 * at >= windows.len() && !present.is_empty() {
            let share = new as f64 / present.len() as f64;
            most = Some(most.map_or(share, |most| most.max(share)));
        }
        known.extend(present);
    }
    most
}

/// The share of the most frequent number.
fn top_share(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut finite: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    finite.sort_unstable_by(f64::total_cmp);
    let top = finite.chunk_by(|a, b| a == b).map(<[f64]>::len).max()?;
    Some(top as f64 / finite.len() as f64)
}

/// The longest run of rows of which it is true.
fn longest(rows: impl Iterator<Item = bool>) -> u64 {
    let (mut longest, mut run) = (0, 0);
    for is_so in rows {
        run = if is_so { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
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
    (rows > 0 && !columns.is_empty()).then(|| Repeats {
        rows: rows as u64,
        share: repeated(columns, &all) as f64 / rows as f64,
        windows: None,
    })
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
    fn names_that_are_new_in_every_window_are_no_news() {
        let dates: Vec<Option<Arc<str>>> =
            (0..100).map(|row| Some(format!("day {}", row / 10).into())).collect();
        let order: Vec<usize> = (0..100).collect();
        let windows: Vec<Range<usize>> = (0..10).map(|at| at * 10..(at + 1) * 10).collect();
        assert_eq!(in_time(&Values::Text(&dates), &order, &windows).renewed, Some(1.0));
        let same: Vec<Option<Arc<str>>> = (0..100).map(|row| Some(format!("{}", row % 5).into())).collect();
        assert_eq!(in_time(&Values::Text(&same), &order, &windows).renewed, Some(0.0));
        assert_eq!(in_time(&Values::Text(&same), &order, &[]).renewed, None);
    }

    #[test]
    fn a_run_is_not_ended_by_a_gap() {
        assert_eq!(longest_run([1.0, 2.0, 2.0, f64::NAN, 2.0, 1.0].into_iter()), (3, 2.0));
        assert_eq!(longest_run(std::iter::empty()).0, 0);
    }
}
