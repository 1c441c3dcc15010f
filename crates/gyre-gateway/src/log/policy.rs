//! What of the predictions is kept: a share of the ids, and without which features. Pure.
//!
//! Whether an id is kept follows from the id alone, so that a prediction and everything that is asked under the same id are kept
//! or not together, on every replica and after every restart. A feature that is left out is kept as missing: its column stays,
//! its values never reach the disk.

use gyre_runtime::{Column, Name, Scores, Table};
use twox_hash::XxHash3_64;

use super::Batch;
use crate::routing::WHOLE;

/// Seeds the hash, so that what is kept has nothing to do with which version answers.
const SEED: u64 = 0x6c6f_6773_6861_7265;

/// What of a model's predictions is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    share: u32,
    leave_out: Vec<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { share: WHOLE, leave_out: Vec::new() }
    }
}

impl Policy {
    /// Keeps the predictions of `share` of all ids, in hundredths of a percent, without the values of some features.
    pub fn new(share: u32, leave_out: Vec<String>) -> Self {
        Self { share: share.min(WHOLE), leave_out }
    }

    /// Whether a feature's values are kept.
    pub fn keeps_feature(&self, name: &str) -> bool {
        !self.leave_out.iter().any(|left| left == name)
    }

    fn keeps(&self, id: &str) -> bool {
        let upto = ((u128::from(self.share) << 64) / u128::from(WHOLE)) as u64;
        self.share == WHOLE || XxHash3_64::oneshot_with_seed(SEED, id.as_bytes()) < upto
    }

    /// What is kept of `batch`, and how many predictions are not.
    pub(super) fn apply(&self, batch: Batch) -> (Option<Batch>, u64) {
        if *self == Self::default() {
            return (Some(batch), 0);
        }
        let rows: Vec<usize> =
            batch.ids.iter().enumerate().filter(|(_, id)| self.keeps(id)).map(|(row, _)| row).collect();
        let left = (batch.ids.len() - rows.len()) as u64;
        if rows.is_empty() {
            return (None, left);
        }
        let all = left == 0;
        let column = |(name, values): &(Name, Column)| {
            let values = match (self.keeps_feature(name), values) {
                (true, values) if all => values.clone(),
                (true, values) => gather(values, &rows),
                (false, Column::Numeric(_)) => Column::Numeric(vec![f64::NAN; rows.len()]),
                (false, Column::Text(_)) => Column::Text(vec![None; rows.len()]),
            };
            (name.clone(), values)
        };
        // Columns of one table, of one length.
        let Ok(table) = Table::of_distinct(batch.table.columns().iter().map(column)) else {
            return (None, left);
        };
        let ids = rows.iter().filter_map(|row| batch.ids.get(*row).cloned()).collect();
        let scores = if all { batch.scores } else { of_rows(&batch.scores, &rows) };
        (Some(Batch { ids, table, scores, ..batch }), left)
    }
}

/// The values of `rows`, in their order.
pub(crate) fn gather(column: &Column, rows: &[usize]) -> Column {
    match column {
        Column::Numeric(values) => {
            Column::Numeric(rows.iter().map(|row| values.get(*row).copied().unwrap_or(f64::NAN)).collect())
        }
        Column::Text(values) => {
            Column::Text(rows.iter().map(|row| values.get(*row).cloned().flatten()).collect())
        }
    }
}

fn of_rows(scores: &Scores, rows: &[usize]) -> Scores {
    match scores {
        Scores::Regression(values) => {
            Scores::Regression(rows.iter().filter_map(|row| values.get(*row).copied()).collect())
        }
        Scores::Classification { labels, classes, probabilities } => {
            // A model that answers with classes alone has no probabilities.
            let width = probabilities.len().checked_div(labels.len()).unwrap_or(0);
            let of = |row: &usize| probabilities.get(row * width..(row + 1) * width).unwrap_or_default();
            Scores::Classification {
                labels: rows.iter().filter_map(|row| labels.get(*row).cloned()).collect(),
                classes: classes.clone(),
                probabilities: rows.iter().flat_map(of).copied().collect(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use gyre_core::Timestamp;
    use gyre_core::record::{Route, Signature};

    fn batch(rows: usize) -> Batch {
        let columns = [
            (Name::from("km"), Column::Numeric((0..rows).map(|row| row as f64).collect())),
            (Name::from("name"), Column::Text((0..rows).map(|row| Some(row.to_string().into())).collect())),
        ];
        Batch {
            ids: (0..rows).map(|row| format!("id-{row}").into()).collect(),
            time: Timestamp::default(),
            version: 1,
            signature: Arc::new(Signature {
                inputs: Vec::new(),
                output: "y".to_owned(),
                classes: Vec::new(),
            }),
            route: Route::Champion,
            table: Table::new(columns).unwrap(),
            scores: Scores::Classification {
                labels: (0..rows).map(|row| row.to_string().into()).collect(),
                classes: vec!["a".into(), "b".into()].into(),
                probabilities: (0..2 * rows).map(|at| at as f64).collect(),
            },
            latency_us: 1,
        }
    }

    #[test]
    fn a_share_of_the_ids_is_kept_row_by_row_and_always_the_same() {
        let policy = Policy::new(2_500, Vec::new());
        let (kept, left) = policy.apply(batch(4_000));
        let kept = kept.unwrap();
        assert_eq!(kept.ids.len() as u64 + left, 4_000);
        assert!((850..1_150).contains(&kept.ids.len()), "about a quarter: {}", kept.ids.len());
        let Scores::Classification { labels, probabilities, .. } = &kept.scores else { panic!() };
        let Column::Numeric(km) = &kept.table.columns()[0].1 else { panic!() };
        for (at, id) in kept.ids.iter().enumerate() {
            let row = km[at];
            assert_eq!(&**id, format!("id-{row}"));
            assert_eq!((&*labels[at], probabilities[2 * at]), (row.to_string().as_str(), 2.0 * row));
        }
        let (again, _) = policy.apply(batch(4_000));
        assert_eq!(again.unwrap().ids, kept.ids);
        assert!(policy.keeps("id-0") == policy.keeps("id-0"));
        assert_eq!(Policy::new(0, Vec::new()).apply(batch(3)).1, 3);
    }

    #[test]
    fn what_is_left_out_is_missing_and_the_rest_is_as_it_was() {
        let policy = Policy::new(WHOLE, vec!["name".to_owned()]);
        let (kept, left) = policy.apply(batch(3));
        let kept = kept.unwrap();
        assert_eq!(left, 0);
        assert_eq!(kept.table.columns()[1].1, Column::Text(vec![None; 3]));
        assert_eq!(kept.table.columns()[0].1, batch(3).table.columns()[0].1);
        assert!(policy.keeps_feature("km") && !policy.keeps_feature("name"));
    }
}
