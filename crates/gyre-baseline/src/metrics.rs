//! How well predictions fit labels, on rows that were not trained on.

use std::sync::Arc;

use serde::Serialize;

/// Quality on a holdout.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Metrics {
    /// Of a regression.
    Regression {
        /// Rows.
        rows: usize,
        /// Mean absolute error, in the target's unit.
        mae: f64,
        /// Root of the mean squared error, in the target's unit.
        rmse: f64,
        /// Share of variance explained; none when the target does not vary.
        r2: Option<f64>,
    },
    /// Of a classification.
    Classification {
        /// Rows.
        rows: usize,
        /// Share of rows whose label is right.
        accuracy: f64,
        /// Mean of −ln of the probability given to the true class, probabilities bounded below by 1e-15.
        log_loss: f64,
        /// Area under the ROC curve of the second of two classes (Mann–Whitney, ties count half); none for more classes
        /// or when only one occurs.
        auc: Option<f64>,
    },
}

/// Metrics of a regression; both slices have the same length.
pub fn regression(truth: &[f64], predicted: &[f64]) -> Metrics {
    let n = truth.len().max(1) as f64;
    let mean = truth.iter().sum::<f64>() / n;
    let errors = || truth.iter().zip(predicted).map(|(t, p)| p - t);
    let squared: f64 = errors().map(|e| e * e).sum();
    let spread: f64 = truth.iter().map(|t| (t - mean) * (t - mean)).sum();
    Metrics::Regression {
        rows: truth.len(),
        mae: errors().map(f64::abs).sum::<f64>() / n,
        rmse: (squared / n).sqrt(),
        r2: (spread > 0.0).then(|| 1.0 - squared / spread),
    }
}

/// Metrics of a classification: true labels, predicted labels, and row-major probabilities, one column for each of
/// `classes`.
pub fn classification(
    truth: &[Arc<str>],
    labels: &[Arc<str>],
    classes: &[Arc<str>],
    probabilities: &[f64],
) -> Metrics {
    let n = truth.len().max(1) as f64;
    let of_row = || probabilities.chunks_exact(classes.len().max(1));
    let given = |(truth, row): (&Arc<str>, &[f64])| {
        let p = classes.iter().position(|c| c == truth).and_then(|k| row.get(k)).copied().unwrap_or(0.0);
        -p.max(1e-15).ln()
    };
    let auc = match classes {
        [_, second] => {
            area(truth.iter().zip(of_row()).map(|(t, row)| (row.get(1).copied().unwrap_or(0.0), t == second)))
        }
        _ => None,
    };
    Metrics::Classification {
        rows: truth.len(),
        accuracy: truth.iter().zip(labels).filter(|(t, l)| t == l).count() as f64 / n,
        log_loss: truth.iter().zip(of_row()).map(given).sum::<f64>() / n,
        auc,
    }
}

/// Area under the ROC curve of scored positives and negatives, by midranks.
fn area(scored: impl Iterator<Item = (f64, bool)>) -> Option<f64> {
    let mut scored: Vec<(f64, bool)> = scored.collect();
    scored.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let positives = scored.iter().filter(|s| s.1).count() as f64;
    let negatives = scored.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    let mut ranks = 0.0;
    let mut before = 0.0;
    for tied in scored.chunk_by(|a, b| a.0 == b.0) {
        let hits = tied.iter().filter(|s| s.1).count() as f64;
        ranks += hits * (before + (tied.len() as f64 + 1.0) / 2.0);
        before += tied.len() as f64;
    }
    Some((ranks - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regression_metrics() {
        let Metrics::Regression { rows: 2, mae, rmse, r2 } = regression(&[1.0, 3.0], &[1.0, 5.0]) else {
            panic!()
        };
        assert_eq!((mae, rmse, r2), (1.0, 2.0_f64.sqrt(), Some(-1.0)));
    }

    #[test]
    fn area_counts_ties_half() {
        let scored = [(0.1, false), (0.4, false), (0.4, true), (0.8, true)];
        assert_eq!(area(scored.into_iter()), Some(0.875));
        assert_eq!(area([(0.1, true)].into_iter()), None);
    }

    #[test]
    fn an_unknown_class_costs_its_bound() {
        let names = |v: &[&str]| v.iter().map(|&s| s.into()).collect::<Vec<Arc<str>>>();
        let classes = names(&["a", "b"]);
        let Metrics::Classification { accuracy, log_loss, .. } =
            classification(&names(&["z"]), &names(&["a"]), &classes, &[0.5, 0.5])
        else {
            panic!()
        };
        assert_eq!((accuracy, log_loss), (0.0, -(1e-15f64.ln())));
    }
}
