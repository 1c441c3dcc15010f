//! What came true of a trial's predictions: the metric of both arms, and whether the candidate's losses are higher.
//!
//! Two tests, both of which may be looked at after every label ([`gyre_stats::sequential`]): where the metric is a share of
//! wrong classes the test is exact; for other losses, which have no upper bound, it is an asymptotic confidence sequence of the
//! difference in the mean loss of a row.

use gyre_core::record::Value;
use gyre_core::spec::Metric;
use gyre_monitor::loss::{aggregate, row_loss};
use gyre_stats::moments::Moments;
use gyre_stats::sequential::{MeanDifference, MistakeShare};

use crate::ledger::Waiting;

/// The losses of both arms.
#[derive(Debug)]
pub(crate) struct Realised {
    metric: Metric,
    losses: [Moments; 2],
    mistakes: MistakeShare,
    means: MeanDifference,
}

impl Realised {
    pub(crate) fn new(metric: Metric) -> Self {
        Self {
            metric,
            losses: [Moments::new(), Moments::new()],
            mistakes: MistakeShare::new(),
            means: MeanDifference::new(),
        }
    }

    /// Takes in what came true; says whether it could be held against the prediction. A label of another kind than the
    /// prediction is passed over.
    pub(crate) fn observe(&mut self, prediction: &Waiting, classes: &[String], label: &Value) -> bool {
        let Waiting { arm, weight, output, scores, .. } = prediction;
        let Some(loss) = row_loss(self.metric, output, scores, classes, label) else { return false };
        if let Some(losses) = self.losses.get_mut(*arm as usize) {
            losses.push(loss);
        }
        // At a share of 0 or 1 there is nothing to compare, which is all that can be wrong here.
        let _ = match self.metric {
            Metric::ErrorRate => self.mistakes.observe(*arm, *weight, loss > 0.5),
            Metric::Mae | Metric::Rmse | Metric::LogLoss => self.means.observe(*arm, *weight, loss),
        };
        true
    }

    /// Labelled predictions of the champion and of the candidate.
    pub(crate) fn labels(&self) -> (u64, u64) {
        let [champion, candidate] = &self.losses;
        (champion.count(), candidate.count())
    }

    /// The metric of the champion and of the candidate; none before a first label.
    pub(crate) fn metrics(&self) -> (Option<f64>, Option<f64>) {
        let of = |losses: &Moments| losses.mean().map(|mean| aggregate(self.metric, mean));
        let [champion, candidate] = &self.losses;
        (of(champion), of(candidate))
    }

    /// Anytime-valid p-value that the candidate's losses are no higher.
    pub(crate) fn worse_p(&self) -> f64 {
        match self.metric {
            Metric::ErrorRate => self.mistakes.p_value(),
            Metric::Mae | Metric::Rmse | Metric::LogLoss => self.means.p_above(),
        }
    }

    /// Whether the loss of a row is taken of its probabilities.
    pub(crate) fn needs_scores(&self) -> bool {
        self.metric == Metric::LogLoss
    }

    /// The metric's name.
    pub(crate) fn name(&self) -> &'static str {
        self.metric.name()
    }
}
