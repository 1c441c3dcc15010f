//! The four counts of a binary decision and the rates that follow from them.

use serde::{Deserialize, Serialize};

use crate::proportion::Proportion;

/// Decisions against what turned out to be true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// Selected, and rightly.
    pub true_positive: u64,
    /// Selected, and wrongly.
    pub false_positive: u64,
    /// Not selected, and wrongly.
    pub false_negative: u64,
    /// Not selected, and rightly.
    pub true_negative: u64,
}

impl Confusion {
    /// Counts one decision.
    pub fn push(&mut self, predicted: bool, actual: bool) {
        let cell = match (predicted, actual) {
            (true, true) => &mut self.true_positive,
            (true, false) => &mut self.false_positive,
            (false, true) => &mut self.false_negative,
            (false, false) => &mut self.true_negative,
        };
        *cell += 1;
    }

    /// Adds the counts of other decisions.
    pub fn merge(&mut self, other: &Self) {
        self.true_positive += other.true_positive;
        self.false_positive += other.false_positive;
        self.false_negative += other.false_negative;
        self.true_negative += other.true_negative;
    }

    /// Number of decisions.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.true_positive + self.false_positive + self.false_negative + self.true_negative
    }

    /// The rate in question, as successes out of trials.
    #[must_use]
    pub fn rate(&self, rate: Rate) -> Proportion {
        let Self { true_positive: tp, false_positive: fp, false_negative: fn_, true_negative: tn } = *self;
        match rate {
            Rate::Selection => Proportion::new(tp + fp, self.total()),
            Rate::Base => Proportion::new(tp + fn_, self.total()),
            Rate::TruePositive => Proportion::new(tp, tp + fn_),
            Rate::FalsePositive => Proportion::new(fp, fp + tn),
            Rate::FalseNegative => Proportion::new(fn_, tp + fn_),
            Rate::PositivePredictive => Proportion::new(tp, tp + fp),
            Rate::NegativePredictive => Proportion::new(tn, tn + fn_),
            Rate::Accuracy => Proportion::new(tp + tn, self.total()),
        }
    }
}

/// A rate of a [`Confusion`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rate {
    /// (TP + FP) / n: how often the decision is positive.
    Selection,
    /// (TP + FN) / n: how often the truth is positive.
    Base,
    /// TP / (TP + FN), also recall or sensitivity.
    TruePositive,
    /// FP / (FP + TN).
    FalsePositive,
    /// FN / (TP + FN).
    FalseNegative,
    /// TP / (TP + FP), also precision.
    PositivePredictive,
    /// TN / (TN + FN).
    NegativePredictive,
    /// (TP + TN) / n.
    Accuracy,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rate_by_its_definition() {
        let counts = Confusion { true_positive: 7, false_positive: 5, false_negative: 3, true_negative: 11 };
        let expected = [
            (Rate::Selection, 12, 26),
            (Rate::Base, 10, 26),
            (Rate::TruePositive, 7, 10),
            (Rate::FalsePositive, 5, 16),
            (Rate::FalseNegative, 3, 10),
            (Rate::PositivePredictive, 7, 12),
            (Rate::NegativePredictive, 11, 14),
            (Rate::Accuracy, 18, 26),
        ];
        for (rate, successes, trials) in expected {
            assert_eq!(counts.rate(rate), Proportion::new(successes, trials), "{rate:?}");
        }
    }
}
