//! Does a model treat groups of people alike?
//!
//! Rows with the truth, the decision and one or more protected attributes go in; for each attribute, and for all of them
//! together where there are several (bias can hide from every single attribute and show where two meet), come out: the
//! rates of each group with intervals, and the gaps between groups with intervals and p-values. Definitions are those of
//! [`gyre_stats::fairness`].

mod decision;
mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use gyre_core::Value;
use gyre_core::expr::Measured;
use gyre_stats::fairness::{
    ClassificationGroups, ClassificationReport, FourFifths, GroupError, Options, join_labels,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use decision::decide_both;

/// The rows to examine, by column.
#[derive(Debug, Clone, Copy)]
pub struct BiasInput<'a> {
    /// The protected attributes, by name.
    pub protected: &'a [(&'a str, &'a [Value])],
    /// What came true: a class, or 0 and 1.
    pub actual: &'a [Value],
    /// What was predicted: a class, 0 and 1, or a score with `threshold`.
    pub predicted: &'a [Value],
    /// The class that counts as positive (selected); by default 1, or true.
    pub positive: Option<&'a str>,
    /// The score from which a prediction counts as positive.
    pub threshold: Option<f64>,
}

/// Why rows cannot be examined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BiasError {
    /// No protected attribute was given.
    #[error("no protected attribute is given: name at least one column whose groups are to be compared")]
    NoAttribute,
    /// Columns differ in length.
    #[error("column `{column}` has {found} rows, expected {expected} as in the label")]
    Length {
        /// The column.
        column: String,
        /// Its rows.
        found: usize,
        /// Those of the label.
        expected: usize,
    },
    /// A column cannot be read as yes or no.
    #[error("the {column} column holds {found}, expected {expected}")]
    Undecided {
        /// The label or the prediction.
        column: &'static str,
        /// What it holds.
        found: String,
        /// What would do.
        expected: String,
    },
    /// Too many groups, or an unknown reference group.
    #[error("protected attribute `{attribute}`: {reason}")]
    Group {
        /// The attribute.
        attribute: String,
        /// Why not.
        reason: String,
    },
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BiasReport {
    /// Rows with both a label and a prediction.
    pub rows: u64,
    /// Rows without one of them: not examined.
    pub skipped: u64,
    /// What counts as positive, in words: `>50K`, `score ≥ 0.5`.
    pub positive: String,
    /// One report an attribute, in the order given; last, where there are several, that of all of them together.
    pub attributes: Vec<AttributeReport>,
}

/// The groups of one attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttributeReport {
    /// The attribute's name, or several joined by ` × `.
    pub attribute: String,
    /// Rates and gaps.
    #[serde(flatten)]
    pub report: ClassificationReport,
}

/// Examines the rows. [`Options::reference`] can be given for a single attribute only.
///
/// # Errors
/// [`BiasError`], naming the column and what it holds.
pub fn examine(input: &BiasInput<'_>, options: &Options) -> Result<BiasReport, BiasError> {
    if input.protected.is_empty() {
        return Err(BiasError::NoAttribute);
    }
    let rows = input.actual.len();
    expect_rows("(prediction)", input.predicted, rows)?;
    input.protected.iter().try_for_each(|(name, values)| expect_rows(name, values, rows))?;
    let (actual, predicted) = decide_both(input.actual, input.predicted, input.positive, input.threshold)?;
    let decided: Vec<(usize, bool, bool)> = predicted
        .iter()
        .zip(&actual)
        .enumerate()
        .filter_map(|(row, (predicted, actual))| Some((row, (*predicted)?, (*actual)?)))
        .collect();
    let mut attributes = Vec::new();
    for column in input.protected {
        attributes.push(attribute(std::slice::from_ref(column), &decided, options)?);
    }
    if input.protected.len() > 1 {
        attributes.push(attribute(input.protected, &decided, options)?);
    }
    let positive = match (input.threshold, input.positive) {
        (Some(threshold), _) => format!("score ≥ {threshold}"),
        (None, Some(class)) => class.to_owned(),
        (None, None) => "1".to_owned(),
    };
    let examined = decided.len() as u64;
    Ok(BiasReport { rows: examined, skipped: rows as u64 - examined, positive, attributes })
}

/// The facts for gates of one protected attribute, for a model whose columns are classes: see
/// [`AttributeReport::measured`]. `positive` is the class that counts as selected.
///
/// # Errors
/// As [`examine`].
pub fn measured(
    groups: &[Option<Arc<str>>],
    predicted: &[Option<Arc<str>>],
    actual: &[Option<Arc<str>>],
    positive: &str,
) -> Result<serde_json::Value, BiasError> {
    let values = |column: &[Option<Arc<str>>]| -> Vec<Value> {
        column.iter().map(|value| value.clone().map_or(Value::Missing, Value::Text)).collect()
    };
    let (groups, predicted, actual) = (values(groups), values(predicted), values(actual));
    let input = BiasInput {
        protected: &[("(group)", groups.as_slice())],
        actual: &actual,
        predicted: &predicted,
        positive: Some(positive),
        threshold: None,
    };
    let report = examine(&input, &Options::default())?;
    Ok(report.attributes.first().map_or_else(|| json!({}), |attribute| json!(attribute.measured())))
}

fn attribute(
    columns: &[(&str, &[Value])],
    decided: &[(usize, bool, bool)],
    options: &Options,
) -> Result<AttributeReport, BiasError> {
    let attribute = columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" × ");
    let failed =
        |error: GroupError| BiasError::Group { attribute: attribute.clone(), reason: error.to_string() };
    let mut groups = ClassificationGroups::new();
    for (row, predicted, actual) in decided {
        let labels: Vec<_> =
            columns.iter().map(|(_, values)| values.get(*row).and_then(Value::as_category)).collect();
        let pushed = match labels.as_slice() {
            [single] => groups.push(single.as_deref(), *predicted, *actual),
            several => {
                let joined = join_labels(several.iter().map(Option::as_deref));
                groups.push(Some(&joined), *predicted, *actual)
            }
        };
        pushed.map_err(failed)?;
    }
    let report = groups.report(options).map_err(failed)?;
    Ok(AttributeReport { attribute, report })
}

fn expect_rows(column: &str, values: &[Value], expected: usize) -> Result<(), BiasError> {
    if values.len() == expected {
        return Ok(());
    }
    Err(BiasError::Length { column: column.to_owned(), found: values.len(), expected })
}

impl BiasReport {
    /// The facts for gates, by attribute: what stands under `candidate.fairness`.
    pub fn measured(&self) -> Measured {
        self.attributes
            .iter()
            .map(|attribute| (attribute.attribute.clone(), json!(attribute.measured())))
            .collect()
    }
}

impl AttributeReport {
    /// The facts for gates: `disparate_impact` (the lowest ratio of selection rates), `four_fifths` (1 when the rule holds
    /// for every group, decided on integers; else 0), `demographic_parity`, `equal_opportunity`, `equalized_odds` (the
    /// differences), `smallest_group` (rows). What is undefined is absent, so that a gate on it fails and names it.
    pub fn measured(&self) -> BTreeMap<&'static str, f64> {
        let report = &self.report;
        let ratios: Option<Vec<f64>> =
            report.disparate_impact.iter().map(|impact| impact.ratio.value()).collect();
        let rules = report.disparate_impact.iter().map(|impact| impact.four_fifths);
        let four_fifths = rules.reduce(|worst, next| match (worst, next) {
            (FourFifths::Fail, _) | (_, FourFifths::Fail) => FourFifths::Fail,
            (FourFifths::Undefined, _) | (_, FourFifths::Undefined) => FourFifths::Undefined,
            (FourFifths::Pass, FourFifths::Pass) => FourFifths::Pass,
        });
        let four_fifths = match four_fifths {
            Some(FourFifths::Pass) => Some(1.0),
            Some(FourFifths::Fail) => Some(0.0),
            Some(FourFifths::Undefined) | None => None,
        };
        let facts = [
            ("disparate_impact", ratios.and_then(|ratios| ratios.into_iter().reduce(f64::min))),
            ("four_fifths", four_fifths),
            ("demographic_parity", report.demographic_parity.difference.value()),
            ("equal_opportunity", report.equal_opportunity.difference.value()),
            ("equalized_odds", report.equalized_odds.difference.value()),
            ("smallest_group", report.groups.iter().map(|group| group.rows as f64).reduce(f64::min)),
        ];
        facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}
