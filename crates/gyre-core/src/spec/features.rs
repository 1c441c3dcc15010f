//! What a model's features may hold, and what is done about a value that is otherwise.
//!
//! Three things can be odd about a value: a number outside of its range, a category that is not one of those known, and
//! nothing where something was expected. What is usual is said here or, where nothing is said, was seen in the rows that a
//! version was trained on; what is done about the rest is said once for the model, and otherwise for a column.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_saphyr::{Location, Spanned};

use crate::Diagnostic;
use crate::record::Value;

/// What is done about odd values of a model's features.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Features {
    /// What is done about a number outside of its range, where a column does not say otherwise.
    pub on_out_of_range: Option<OnOdd>,
    /// What is done about a category that is not known.
    pub on_unseen: Option<OnOdd>,
    /// What is done where nothing was given. When it is not said here, nothing is odd about it in a column of which
    /// training rows lacked a value too.
    pub on_missing: Option<OnOdd>,
    /// What is said of columns.
    pub columns: BTreeMap<String, Spanned<Feature>>,
}

/// What is said of one column.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Feature {
    /// Smallest and largest number expected; without it, those of the training rows.
    pub range: Option<(f64, f64)>,
    /// The values expected; without it, the categories of the training rows.
    #[serde(rename = "in")]
    pub one_of: Option<Vec<Value>>,
    /// What is done about a number outside of the range.
    pub on_out_of_range: Option<OnOdd>,
    /// What is done about a category that is not known.
    pub on_unseen: Option<OnOdd>,
    /// What is done where nothing was given.
    pub on_missing: Option<OnOdd>,
    /// What stands in for a value that is replaced; without it the median or mode of the training rows.
    pub impute: Option<Substitute>,
}

/// What is odd about a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Odd {
    /// A number outside of its range.
    OutOfRange,
    /// A category that is not one of those known.
    Unseen,
    /// Nothing was given.
    Missing,
}

impl Odd {
    /// All that a value can be.
    pub const ALL: [Self; 3] = [Self::OutOfRange, Self::Unseen, Self::Missing];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OutOfRange => "out_of_range",
            Self::Unseen => "unseen",
            Self::Missing => "missing",
        }
    }
}

/// What is done about an odd value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnOdd {
    /// Nothing; it is not counted either.
    Ignore,
    /// It is answered, counted and told.
    Warn,
    /// The request is refused.
    Reject,
    /// Another value stands in for it; that is counted and told.
    Impute,
}

impl OnOdd {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::Warn => "warn",
            Self::Reject => "reject",
            Self::Impute => "impute",
        }
    }
}

/// What stands in for a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Substitute {
    /// The median of the training rows: of numbers.
    Median,
    /// The most frequent category of the training rows.
    Mode,
    /// This value.
    Value(Value),
}

impl<'de> Deserialize<'de> for Substitute {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Value::deserialize(deserializer)? {
            Value::Text(word) if &*word == "median" => Self::Median,
            Value::Text(word) if &*word == "mode" => Self::Mode,
            value => Self::Value(value),
        })
    }
}

impl fmt::Display for Substitute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Median => f.write_str("median"),
            Self::Mode => f.write_str("mode"),
            Self::Value(value) => value.fmt(f),
        }
    }
}

impl Features {
    /// What is done about `odd` in a column, as far as anything is said of it.
    pub fn said(&self, column: &str, odd: Odd) -> Option<OnOdd> {
        let of = self.columns.get(column).and_then(|feature| match odd {
            Odd::OutOfRange => feature.value.on_out_of_range,
            Odd::Unseen => feature.value.on_unseen,
            Odd::Missing => feature.value.on_missing,
        });
        of.or(match odd {
            Odd::OutOfRange => self.on_out_of_range,
            Odd::Unseen => self.on_unseen,
            Odd::Missing => self.on_missing,
        })
    }
}

/// Everything that makes no sense in what is said of the columns of `model`.
pub(super) fn check(file: &str, model: &str, features: &Features, wrong: &mut Vec<Diagnostic>) {
    for (column, feature) in &features.columns {
        let place: Location = feature.referenced;
        let say = |text: String| {
            let told = format!("models.{model}.features.columns.{column}: {text}");
            Diagnostic::new(file, told).at(place.line(), place.column())
        };
        let feature = &feature.value;
        if let Some((low, high)) = feature.range {
            if !(low.is_finite() && high.is_finite() && low <= high) {
                wrong.push(say(format!("[{low}, {high}] is no range")).expected("range: [low, high]"));
            }
            if feature.one_of.is_some() {
                let told = "`range` is for numbers and `in` for categories; a column is one of them";
                wrong.push(say(told.to_owned()).help("keep one of the two"));
            }
        }
        if let Some(values) = &feature.one_of
            && (values.is_empty() || values.contains(&Value::Missing))
        {
            let told = "`in` names the values expected, and nothing is none of them";
            wrong.push(
                say(told.to_owned()).expected("in: [A, B], with `on_missing` for where nothing is given"),
            );
        }
        let imputed = Odd::ALL.into_iter().any(|odd| features.said(column, odd) == Some(OnOdd::Impute));
        match &feature.impute {
            Some(substitute) if !imputed => {
                let told = format!("`impute: {substitute}` stands in for nothing");
                wrong.push(say(told).help(
                    "say for what: `on_missing: impute`, `on_out_of_range: impute` or `on_unseen: impute`",
                ));
            }
            Some(Substitute::Value(value)) => {
                if let Some(problem) = feature.unfit(value) {
                    wrong.push(
                        say(format!("`impute: {value}` {problem}"))
                            .expected("a value that is itself as expected"),
                    );
                }
            }
            _ => {}
        }
    }
}

impl Feature {
    /// Why `value` cannot stand in for others.
    fn unfit(&self, value: &Value) -> Option<&'static str> {
        if *value == Value::Missing {
            return Some("is no value");
        }
        match (self.range, &self.one_of, value.as_number()) {
            (Some(_), _, None) => Some("is no number, and the column has a range"),
            (Some((low, high)), _, Some(number)) if !(low..=high).contains(&number) => {
                Some("is outside of the range")
            }
            (_, Some(values), _) if !values.contains(value) => Some("is not one of `in`"),
            _ => None,
        }
    }
}
