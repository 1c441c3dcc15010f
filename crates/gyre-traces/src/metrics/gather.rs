//! Values, gathered by group. Pure; memory is bounded.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use gyre_store::StoreError;

use super::Aggregation;
use crate::limits::invalid;

/// The most groups.
const GROUPS: usize = 100_000;
/// The most values that are kept for percentiles, or to count different ones.
const KEPT: usize = 4_000_000;

/// What a group has in common: the beginning of its interval, and its dimensions.
pub(super) type Group = (i64, Vec<String>);

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Number(f64),
    /// One of those whose different ones are counted.
    Text(String),
}

#[derive(Default)]
struct Sums {
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
    /// All of them, for percentiles.
    values: Vec<f64>,
    different: HashSet<u64>,
}

pub(super) struct Groups<'a> {
    aggregations: &'a [Aggregation],
    /// Whether different values are counted, rather than values.
    distinct: bool,
    keeps: bool,
    kept: usize,
    groups: BTreeMap<Group, Sums>,
}

impl<'a> Groups<'a> {
    pub(super) fn new(aggregations: &'a [Aggregation], distinct: bool) -> Self {
        let keeps = aggregations.iter().any(|aggregation| matches!(aggregation, Aggregation::Percentile(_)));
        Self { aggregations, distinct, keeps, kept: 0, groups: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, group: Group, value: Value) -> Result<(), StoreError> {
        if self.groups.len() >= GROUPS && !self.groups.contains_key(&group) {
            return Err(invalid(format!(
                "there are more than {GROUPS} groups; ask for a shorter time or fewer dimensions"
            )));
        }
        let sums = self.groups.entry(group).or_default();
        sums.count += 1;
        match value {
            Value::Number(number) => {
                let first = sums.count == 1;
                sums.sum += number;
                sums.min = if first { number } else { sums.min.min(number) };
                sums.max = if first { number } else { sums.max.max(number) };
                if self.keeps {
                    sums.values.push(number);
                    self.kept += 1;
                }
            }
            Value::Text(text) => {
                let mut hasher = DefaultHasher::new();
                text.hash(&mut hasher);
                self.kept += usize::from(sums.different.insert(hasher.finish()));
            }
        }
        if self.kept > KEPT {
            return Err(invalid(format!("there are more than {KEPT} values; ask for a shorter time")));
        }
        Ok(())
    }

    /// The groups in order, with a figure for each aggregation.
    pub(super) fn points(self) -> Vec<(Group, Vec<f64>)> {
        let (aggregations, distinct) = (self.aggregations, self.distinct);
        self.groups
            .into_iter()
            .map(|(group, mut sums)| {
                sums.values.sort_by(f64::total_cmp);
                let figure = |aggregation: &Aggregation| match aggregation {
                    Aggregation::Count if distinct => sums.different.len() as f64,
                    Aggregation::Count => sums.count as f64,
                    Aggregation::Sum => sums.sum,
                    Aggregation::Avg => sums.sum / sums.count as f64,
                    Aggregation::Min => sums.min,
                    Aggregation::Max => sums.max,
                    Aggregation::Percentile(percent) => percentile(&sums.values, *percent),
                };
                let figures = aggregations.iter().map(figure).collect();
                (group, figures)
            })
            .collect()
    }
}

/// The percentile of sorted values.
fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let place = percent / 100.0 * last as f64;
    let below = (place.floor() as usize).min(last);
    let value = |at: usize| sorted.get(at.min(last)).copied().unwrap_or(f64::NAN);
    value(below) + (place - below as f64) * (value(below + 1) - value(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_numpys() {
        // numpy.quantile([1, 2, 4, 8], q)
        let sorted = [1.0, 2.0, 4.0, 8.0];
        for (percent, expected) in [(0.0, 1.0), (25.0, 1.75), (50.0, 3.0), (90.0, 6.8), (100.0, 8.0)] {
            assert!((percentile(&sorted, percent) - expected).abs() < 1e-12, "{percent}");
        }
        assert_eq!(percentile(&[7.0], 50.0), 7.0);
    }
}
