//! A column cut into about a dozen bins, so that losses can be told by value.
//!
//! Coarser than the bins that drift is found by: a mean loss needs more rows than a share does. What lies outside the range of
//! the reference, and names that it does not have, fall into bins of their own that are empty there.

use serde::{Deserialize, Serialize};

use crate::columns::Values;

/// Quantile bins of numbers; numbers of at most as many different values have a bin for each.
const QUANTILES: usize = 10;

/// Names that have a bin of their own; the others share one.
const NAMES: usize = 24;

/// How a column is cut.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Bins {
    /// By ascending inclusive upper ends, the last bin open; then one of the missing.
    Numbers(Vec<f64>),
    /// By name, ascending; then one of all other names, and one of the missing.
    Names(Vec<String>),
}

impl Bins {
    /// Bins for these rows of a column.
    pub(super) fn of(values: &Values<'_>, rows: &[usize]) -> Self {
        match values {
            Values::Numbers(values) => {
                let mut present: Vec<f64> = rows.iter().filter_map(|row| values.get(*row).copied()).collect();
                present.retain(|value| value.is_finite());
                present.sort_unstable_by(f64::total_cmp);
                Self::Numbers(cuts(&present))
            }
            Values::Text(values) => {
                let mut counts: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
                for name in rows.iter().filter_map(|row| values.get(*row)?.as_deref()) {
                    *counts.entry(name).or_default() += 1;
                }
                let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
                counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
                let mut names: Vec<String> =
                    counts.into_iter().take(NAMES).map(|(name, _)| name.to_owned()).collect();
                names.sort_unstable();
                Self::Names(names)
            }
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        2 + match self {
            Self::Numbers(cuts) => cuts.len(),
            Self::Names(names) => names.len(),
        }
    }

    /// The bin of each of these rows; none when the column holds the other kind.
    pub(super) fn places(&self, values: &Values<'_>, rows: &[usize]) -> Option<Vec<u8>> {
        let missing = self.len() - 1;
        let place: Box<dyn Fn(usize) -> usize> = match (self, values) {
            (Self::Numbers(cuts), Values::Numbers(values)) => Box::new(move |row| {
                let value = values.get(row).copied().unwrap_or(f64::NAN);
                if value.is_nan() { missing } else { cuts.partition_point(|cut| *cut < value) }
            }),
            (Self::Names(names), Values::Text(values)) => Box::new(move |row| {
                let Some(name) = values.get(row).and_then(Option::as_deref) else { return missing };
                names.binary_search_by(|own| own.as_str().cmp(name)).unwrap_or(names.len())
            }),
            _ => return None,
        };
        Some(rows.iter().map(|row| u8::try_from(place(*row)).unwrap_or(u8::MAX)).collect())
    }
}

/// Ends of bins of about equal mass over ascending values, the first just below the least, the last at the greatest.
fn cuts(sorted: &[f64]) -> Vec<f64> {
    let (Some(least), Some(greatest)) = (sorted.first(), sorted.last()) else { return Vec::new() };
    let distinct = sorted.chunk_by(|a, b| a == b).count();
    let mut cuts = vec![least.next_down()];
    if distinct <= QUANTILES {
        cuts.extend(sorted.chunk_by(|a, b| a == b).filter_map(<[f64]>::first));
    } else {
        cuts.extend((1..QUANTILES).filter_map(|at| sorted.get(at * sorted.len() / QUANTILES)));
        cuts.push(*greatest);
    }
    cuts.retain(|cut| cut.is_finite());
    cuts.dedup();
    cuts
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn values_outside_the_range_and_missing_ones_have_bins_of_their_own() {
        let reference: Vec<f64> = (0..1000).map(f64::from).collect();
        let rows: Vec<usize> = (0..1000).collect();
        let bins = Bins::of(&Values::Numbers(&reference), &rows);
        let own = bins.places(&Values::Numbers(&reference), &rows).unwrap();
        let counts = |at: u8| own.iter().filter(|place| **place == at).count();
        assert_eq!((counts(0), counts(11), counts(12)), (0, 0, 0));
        assert!((1..11).all(|at| (95..=105).contains(&counts(at))));
        let odd = [-1.0, f64::NEG_INFINITY, 1e9, f64::INFINITY, f64::NAN, 0.0, 999.0];
        let places = bins.places(&Values::Numbers(&odd), &[0, 1, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(places, [0, 0, 11, 11, 12, 1, 10]);
    }

    #[test]
    fn few_values_are_kept_apart_and_rare_names_together() {
        let few = [0.0, 0.0, 0.0, 0.1, 2.0, 2.0];
        let bins = Bins::of(&Values::Numbers(&few), &[0, 1, 2, 3, 4, 5]);
        let places = bins.places(&Values::Numbers(&[0.0, 0.1, 2.0, 1.0]), &[0, 1, 2, 3]).unwrap();
        assert_eq!(places, [1, 2, 3, 3]);
        let names: Vec<Option<Arc<str>>> =
            (0..40).flat_map(|at| vec![Some(Arc::from(format!("n{at:02}"))); 40 - at]).collect();
        let rows: Vec<usize> = (0..names.len()).collect();
        let bins = Bins::of(&Values::Text(&names), &rows);
        assert_eq!(bins.len(), 26);
        let some = [Some(Arc::from("n00")), Some(Arc::from("n39")), None];
        assert_eq!(bins.places(&Values::Text(&some), &[0, 1, 2]).unwrap(), [0, 24, 25]);
        assert!(bins.places(&Values::Numbers(&few), &[0]).is_none());
        let nothing = Bins::of(&Values::Numbers(&[f64::NAN]), &[0]);
        assert_eq!(nothing.places(&Values::Numbers(&[f64::NAN, 1.0]), &[0, 1]).unwrap(), [1, 0]);
    }
}
