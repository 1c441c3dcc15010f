//! The gap between the groups at both ends of a rate.

use serde::{Deserialize, Serialize};

use super::{Measure, Undefined};
use crate::{
    confusion::{Confusion, Rate},
    proportion::{Proportion, katz_ratio, newcombe_difference, two_proportion_p},
};

/// The group at one end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Extreme {
    /// Its label.
    pub group: String,
    /// Its value.
    pub value: f64,
}

/// Why a group is not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyLeftOut {
    /// It has fewer rows than the minimum.
    TooSmall,
    /// Its value is not defined.
    Undefined(Undefined),
}

/// A group that a comparison leaves out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its label.
    pub group: String,
    /// Why.
    pub why: WhyLeftOut,
}

/// The gap between the groups with the highest and the lowest value of a rate or mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contrast {
    /// Group with the highest value; `None` when fewer than two groups can be compared.
    pub highest: Option<Extreme>,
    /// Group with the lowest value; likewise.
    pub lowest: Option<Extreme>,
    /// Highest less lowest. Rates: Newcombe's interval; means: Welch's.
    pub difference: Measure,
    /// Lowest ÷ highest, rates only (`None` for means). Katz' interval.
    pub ratio: Option<Measure>,
    /// Two-sided p-value that the two are equal, times the number of pairs of groups (Bonferroni).
    pub p_value: Option<f64>,
    /// Groups not compared.
    pub left_out: Vec<LeftOut>,
}

impl Contrast {
    pub(super) fn undefined(left_out: Vec<LeftOut>, with_ratio: bool) -> Self {
        let difference = Measure::Undefined(Undefined::FewerThanTwoGroups);
        let ratio = with_ratio.then_some(difference);
        Self { highest: None, lowest: None, difference, ratio, p_value: None, left_out }
    }

    /// Contrast of a rate over groups.
    pub(super) fn of_rate<'a>(
        groups: impl Iterator<Item = (&'a str, &'a Confusion)>,
        rate: Rate,
        minimum_rows: u64,
        level: f64,
    ) -> Self {
        let mut left_out = Vec::new();
        let mut compared: Vec<(&str, Proportion)> = Vec::new();
        for (group, counts) in groups {
            let proportion = counts.rate(rate);
            let why = match undefined_reason(rate, counts) {
                _ if counts.total() < minimum_rows => Some(WhyLeftOut::TooSmall),
                reason => reason.map(WhyLeftOut::Undefined),
            };
            match why {
                Some(why) => left_out.push(LeftOut { group: group.to_owned(), why }),
                None => compared.push((group, proportion)),
            }
        }
        compared.sort_by(|a, b| ascending(a.1, b.1).then(a.0.cmp(b.0)));
        let (Some((lowest, low)), Some((highest, high))) = (compared.first(), compared.last()) else {
            return Self::undefined(left_out, true);
        };
        let (Some(low_value), Some(high_value), true) = (low.value(), high.value(), compared.len() > 1)
        else {
            return Self::undefined(left_out, true);
        };
        let pairs = pairs(compared.len());
        Self {
            highest: Some(Extreme { group: (*highest).to_owned(), value: high_value }),
            lowest: Some(Extreme { group: (*lowest).to_owned(), value: low_value }),
            difference: Measure::Defined {
                value: high_value - low_value,
                interval: newcombe_difference(*high, *low, level),
            },
            ratio: Some(ratio(*low, *high, level)),
            p_value: two_proportion_p(*high, *low).map(|p| (p * pairs).min(1.0)),
            left_out,
        }
    }
}

/// Number of pairs of `groups`.
pub(super) fn pairs(groups: usize) -> f64 {
    (groups * groups.saturating_sub(1) / 2) as f64
}

/// `a ÷ b` as a measure.
pub(super) fn ratio(a: Proportion, b: Proportion, level: f64) -> Measure {
    match (a.value(), b.value()) {
        (Some(value_a), Some(value_b)) if value_b > 0.0 => {
            Measure::Defined { value: value_a / value_b, interval: katz_ratio(a, b, level) }
        }
        (Some(_), Some(_)) => Measure::Undefined(Undefined::ZeroOverZero),
        _ => Measure::Undefined(Undefined::NoRows),
    }
}

/// A rate of one group as a measure.
pub(super) fn rate_measure(rate: Rate, counts: &Confusion, level: f64) -> Measure {
    let proportion = counts.rate(rate);
    match (undefined_reason(rate, counts), proportion.value()) {
        (None, Some(value)) => Measure::Defined { value, interval: proportion.wilson(level) },
        (reason, _) => Measure::Undefined(reason.unwrap_or(Undefined::NoRows)),
    }
}

fn undefined_reason(rate: Rate, counts: &Confusion) -> Option<Undefined> {
    if counts.total() == 0 {
        return Some(Undefined::NoRows);
    }
    (counts.rate(rate).trials() == 0).then_some(match rate {
        Rate::TruePositive | Rate::FalseNegative => Undefined::NoPositives,
        Rate::FalsePositive => Undefined::NoNegatives,
        Rate::PositivePredictive => Undefined::NoneSelected,
        Rate::NegativePredictive => Undefined::AllSelected,
        Rate::Selection | Rate::Base | Rate::Accuracy => Undefined::NoRows,
    })
}

/// Compares two proportions exactly, as fractions; of equal ones the larger group is the higher.
pub(super) fn ascending(a: Proportion, b: Proportion) -> std::cmp::Ordering {
    let product = |x: u64, y: u64| u128::from(x) * u128::from(y);
    product(a.successes(), b.trials())
        .cmp(&product(b.successes(), a.trials()))
        .then(a.trials().cmp(&b.trials()))
}
