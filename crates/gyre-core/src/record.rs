//! The records of the inference log: predictions, and the labels that come later.
//!
//! They are too many for the journal and live in segments of their own; the journal carries the digest of each
//! closed segment. The gateway writes them, the monitor reads them; this module is the language between.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// One cell of a feature row, or a label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Nothing was given.
    Missing,
    /// True or false.
    Bool(bool),
    /// A number; integers are exact up to 2^53, as in JSON and in IEEE 754.
    Number(f64),
    /// Text: a category.
    Text(Arc<str>),
}

impl Value {
    /// The value as a number; booleans count as 0 and 1.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Bool(truth) => Some(f64::from(u8::from(*truth))),
            Self::Missing | Self::Text(_) => None,
        }
    }

    /// The value as a category: text as it is, whole numbers and booleans written out.
    pub fn as_category(&self) -> Option<Arc<str>> {
        match self {
            Self::Missing => None,
            Self::Text(text) => Some(Arc::clone(text)),
            other => Some(other.to_string().into()),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("(missing)"),
            Self::Bool(truth) => truth.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// What kind of values a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Numbers.
    Number,
    /// Text: categories.
    Text,
}

/// A named column of a model's input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// The feature's name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
}

/// What a model version takes and gives: the contract that requests are held to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The features, in the model's own order.
    pub inputs: Vec<Field>,
    /// The name of the prediction in answers.
    pub output: String,
    /// The classes, in the order of the scores; empty for regression.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
}

/// Why a prediction went to the version that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Route {
    /// The champion, by default.
    Champion,
    /// The candidate of a rollout, by its share of traffic.
    Candidate,
    /// A rule on the request decided, not chance.
    Rule,
    /// The version was named in the request.
    Pinned,
}

/// What came true.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// The id of the prediction.
    pub id: Arc<str>,
    /// When it became known, in event time.
    pub time: Timestamp,
    /// The number or class that was to be predicted.
    pub value: Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_plain_json() {
        let values = vec![Value::Missing, Value::Bool(true), Value::Number(1.5), Value::Text("JFK".into())];
        let json = serde_json::to_string(&values).unwrap();
        assert_eq!(json, r#"[null,true,1.5,"JFK"]"#);
        assert_eq!(serde_json::from_str::<Vec<Value>>(&json).unwrap(), values);
        assert_eq!(Value::Number(9.0).as_category().as_deref(), Some("9"));
    }
}
