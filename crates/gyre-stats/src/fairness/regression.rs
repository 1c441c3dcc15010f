//! Group fairness of a regression model: is it more wrong, or wrong in one direction, for some?

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Contrast, Extreme, GroupError, LeftOut, Measure, Options, Undefined, WhyLeftOut, contrast::pairs, entry,
};
use crate::{
    moments::Moments,
    proportion::Interval,
    special::{student_critical, student_upper},
};

/// Running errors of one group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Errors {
    predictions: Moments,
    /// Of prediction − label.
    errors: Moments,
    absolute: Moments,
    skipped: u64,
}

/// Running errors of a regression model by group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RegressionGroups {
    groups: BTreeMap<String, Errors>,
}

impl RegressionGroups {
    /// No rows seen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in one row of a member of `group` (`None`: not known). A row where either number is NaN or infinite is only
    /// counted as skipped.
    ///
    /// # Errors
    /// [`GroupError::TooMany`]; the row is then not counted.
    pub fn push(&mut self, group: Option<&str>, prediction: f64, label: f64) -> Result<(), GroupError> {
        let of_group = entry(&mut self.groups, group)?;
        let error = prediction - label;
        if error.is_finite() {
            of_group.predictions.push(prediction);
            of_group.errors.push(error);
            of_group.absolute.push(error.abs());
        } else {
            of_group.skipped += 1;
        }
        Ok(())
    }

    /// Adds the errors of other rows.
    ///
    /// # Errors
    /// [`GroupError::TooMany`]; some groups may then have been added.
    pub fn merge(&mut self, other: &Self) -> Result<(), GroupError> {
        for (group, theirs) in &other.groups {
            let ours = entry(&mut self.groups, Some(group))?;
            ours.predictions.merge(&theirs.predictions);
            ours.errors.merge(&theirs.errors);
            ours.absolute.merge(&theirs.absolute);
            ours.skipped += theirs.skipped;
        }
        Ok(())
    }

    /// All means and gaps.
    #[must_use]
    pub fn report(&self, options: &Options) -> RegressionReport {
        let of_group = |(group, errors): (&String, &Errors)| GroupErrors {
            group: group.clone(),
            rows: errors.errors.count(),
            skipped: errors.skipped,
            compared: errors.errors.count() >= options.minimum_rows,
            mean_error: mean_measure(&errors.errors, options.level),
            mean_absolute_error: mean_measure(&errors.absolute, options.level),
            mean_prediction: mean_measure(&errors.predictions, options.level),
        };
        RegressionReport {
            groups: self.groups.iter().map(of_group).collect(),
            mean_error: self.contrast(|errors| &errors.errors, options),
            mean_absolute_error: self.contrast(|errors| &errors.absolute, options),
            mean_prediction: self.contrast(|errors| &errors.predictions, options),
            options: options.clone(),
        }
    }

    fn contrast(&self, of: impl Fn(&Errors) -> &Moments, options: &Options) -> Contrast {
        let mut left_out = Vec::new();
        let mut compared: Vec<(f64, &String, &Moments)> = Vec::new();
        for (group, errors) in &self.groups {
            let moments = of(errors);
            match moments.mean() {
                _ if moments.count() < options.minimum_rows => {
                    left_out.push(LeftOut { group: group.clone(), why: WhyLeftOut::TooSmall });
                }
                Some(mean) => compared.push((mean, group, moments)),
                None => left_out
                    .push(LeftOut { group: group.clone(), why: WhyLeftOut::Undefined(Undefined::NoRows) }),
            }
        }
        compared.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (Some(low), Some(high), true) = (compared.first(), compared.last(), compared.len() > 1) else {
            return Contrast::undefined(left_out, false);
        };
        let test = Welch::of(high.2, low.2, options.level);
        let extreme =
            |(value, group, _): &(f64, &String, &Moments)| Extreme { group: (*group).clone(), value: *value };
        Contrast {
            highest: Some(extreme(high)),
            lowest: Some(extreme(low)),
            difference: Measure::Defined { value: high.0 - low.0, interval: test.map(|test| test.interval) },
            ratio: None,
            p_value: test.map(|test| (test.p_value * pairs(compared.len())).min(1.0)),
            left_out,
        }
    }
}

/// Mean with its Student interval.
fn mean_measure(moments: &Moments, level: f64) -> Measure {
    let Some(value) = moments.mean() else {
        return Measure::Undefined(Undefined::NoRows);
    };
    let interval = moments.standard_error().map(|error| {
        let half = student_critical(level, (moments.count() - 1) as f64) * error;
        Interval { lower: value - half, upper: value + half, level }
    });
    Measure::Defined { value, interval }
}

/// Welch's comparison of two means (1947), degrees of freedom by Satterthwaite.
#[derive(Clone, Copy)]
struct Welch {
    interval: Interval,
    p_value: f64,
}

impl Welch {
    /// `None` when either side has fewer than two values.
    fn of(a: &Moments, b: &Moments, level: f64) -> Option<Self> {
        let difference = a.mean()? - b.mean()?;
        let (share_a, share_b) = (a.variance()? / a.count() as f64, b.variance()? / b.count() as f64);
        let variance = share_a + share_b;
        if variance <= 0.0 {
            // No variation at all: the difference is what it is.
            let interval = Interval { lower: difference, upper: difference, level };
            return Some(Self { interval, p_value: if difference == 0.0 { 1.0 } else { 0.0 } });
        }
        let part = |share: f64, count: u64| (share / variance).powi(2) / (count - 1) as f64;
        let df = 1.0 / (part(share_a, a.count()) + part(share_b, b.count()));
        let half = student_critical(level, df) * variance.sqrt();
        Some(Self {
            interval: Interval { lower: difference - half, upper: difference + half, level },
            p_value: (2.0 * student_upper(difference.abs() / variance.sqrt(), df)).min(1.0),
        })
    }
}

/// The errors of one group, each with Student's interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupErrors {
    /// Its label.
    pub group: String,
    /// Its rows.
    pub rows: u64,
    /// Its rows without numbers.
    pub skipped: u64,
    /// Whether it is large enough to be compared with others.
    pub compared: bool,
    /// Mean of prediction − label: negative when the group is predicted too low.
    pub mean_error: Measure,
    /// Mean absolute error.
    pub mean_absolute_error: Measure,
    /// Mean prediction.
    pub mean_prediction: Measure,
}

/// Group fairness of a regression model: all means and gaps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegressionReport {
    /// Means by group, ascending by label, small groups included.
    pub groups: Vec<GroupErrors>,
    /// Gap of mean errors: some predicted too high, others too low.
    pub mean_error: Contrast,
    /// Gap of mean absolute errors: some predicted worse than others.
    pub mean_absolute_error: Contrast,
    /// Gap of mean predictions: some predicted more than others, rightly or not.
    pub mean_prediction: Contrast,
    /// How the report was made.
    pub options: Options,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_biased_model_is_seen_and_a_small_group_is_not_compared() {
        let mut groups = RegressionGroups::new();
        for i in 0..100 {
            let label = f64::from(i % 7);
            groups.push(Some("a"), label + 1.0 + 0.1 * f64::from(i % 3), label).unwrap();
            groups.push(Some("b"), label - 0.1 * f64::from(i % 3), label).unwrap();
        }
        groups.push(None, 1e6, 0.0).unwrap();
        groups.push(None, f64::NAN, 0.0).unwrap();
        let report = groups.report(&Options::default());
        assert_eq!(report.mean_error.highest.as_ref().unwrap().group, "a");
        assert!(report.mean_error.p_value.unwrap() < 1e-6);
        assert_eq!(report.mean_error.left_out[0].why, WhyLeftOut::TooSmall);
        assert_eq!((report.groups[0].rows, report.groups[0].skipped), (1, 1));
    }
}
