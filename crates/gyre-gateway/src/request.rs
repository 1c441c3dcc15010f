//! What is asked, what is answered, and how a request is held against a version's signature.
//!
//! A request is columnar, as tensors are, so that a protocol hands its columns over without touching cells and the
//! runtime takes them without a copy.

use std::ops::Deref;
use std::sync::Arc;

use gyre_core::ids::nearest;
use gyre_core::record::{Kind, Route, Signature, Value};
use gyre_core::{Timestamp, Version};
use gyre_runtime::{Column, Name, Scores};

use crate::contextual::Headers;
use crate::error::Refusal;
use crate::rules::Oddity;

/// The longest id, in bytes.
pub const MAX_ID: usize = 512;

/// Rows to predict.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// One key a row: joins the label, and assigns the arm of a rollout.
    pub ids: Vec<Arc<str>>,
    /// What assigns the arm of a rollout in place of the ids: a user, a device, whoever is to meet one version.
    pub key: Option<Arc<str>>,
    /// When, in event time.
    pub time: Timestamp,
    /// The features, in any order.
    pub inputs: Vec<Input>,
    /// What of its headers the model's rules may ask for; empty where there is no such rule.
    pub headers: Headers,
}

/// One feature of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// The feature's name.
    pub name: Name,
    /// One value a row. In a numeric column NaN stands for "nothing was given" in the rows of `nulls`, and is refused
    /// elsewhere; in a text column `None` does.
    pub values: Column,
    /// Rows of a numeric column in which nothing was given, ascending, counted from 0.
    pub nulls: Vec<usize>,
}

impl Input {
    /// Numbers, all of them given.
    pub fn numbers(name: impl Into<Name>, values: Vec<f64>) -> Self {
        Self { name: name.into(), values: Column::Numeric(values), nulls: Vec::new() }
    }

    /// Numbers, some of them not given.
    pub fn optional_numbers(name: impl Into<Name>, values: &[Option<f64>]) -> Self {
        let nulls =
            values.iter().enumerate().filter(|(_, value)| value.is_none()).map(|(row, _)| row).collect();
        let values = values.iter().map(|value| value.unwrap_or(f64::NAN)).collect();
        Self { name: name.into(), values: Column::Numeric(values), nulls }
    }

    /// Categories; `None` where nothing was given.
    pub fn texts(name: impl Into<Name>, values: Vec<Option<Arc<str>>>) -> Self {
        Self { name: name.into(), values: Column::Text(values), nulls: Vec::new() }
    }
}

/// One prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Who answered.
    pub version: Version,
    /// Why it was asked.
    pub route: Route,
    /// A number, or the class.
    pub output: Value,
    /// A classifier's probabilities, in the order of the signature's classes; empty for regression.
    pub scores: Vec<f64>,
    /// Whether it was kept from an earlier request for the same row.
    pub cached: bool,
}

/// The predictions of a request's rows, in their order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answers {
    /// One for each row.
    pub rows: Vec<Answer>,
    /// Values that were odd, and answered all the same.
    pub odd: Vec<Oddity>,
}

impl Deref for Answers {
    type Target = [Answer];

    fn deref(&self) -> &[Answer] {
        &self.rows
    }
}

impl Request {
    /// Checks what does not depend on a version.
    pub(crate) fn check_ids(&self) -> Result<(), Refusal> {
        if self.ids.is_empty() {
            return Err(Refusal::Empty);
        }
        if let Some(key) = self.key.as_ref().filter(|key| key.is_empty() || key.len() > MAX_ID) {
            return Err(Refusal::Key { found: key.len(), limit: MAX_ID });
        }
        match self.ids.iter().position(|id| id.is_empty() || id.len() > MAX_ID) {
            Some(row) => Err(Refusal::Id { row, found: self.ids[row].len(), limit: MAX_ID }),
            None => Ok(()),
        }
    }

    /// Holds the request against `signature` and says which input is which feature, in the signature's order.
    /// `known` says whether a name is a feature of some other version: then it is no mistake, just not for this one.
    pub(crate) fn bind(
        &self,
        signature: &Signature,
        known: impl Fn(&str) -> bool,
    ) -> Result<Vec<usize>, Refusal> {
        let mut places = Vec::with_capacity(signature.inputs.len());
        for (at, field) in signature.inputs.iter().enumerate() {
            let found = |input: &Input| *input.name == *field.name;
            // Clients mostly send features in the signature's order.
            let place = match self.inputs.get(at) {
                Some(input) if found(input) => Some(at),
                _ => self.inputs.iter().position(found),
            };
            let place = place.ok_or_else(|| self.missing(&field.name, signature))?;
            self.check_values(&self.inputs[place], field.kind)?;
            places.push(place);
        }
        if self.inputs.len() > places.len() || !places.is_sorted() {
            self.check_names(signature, known)?;
        }
        Ok(places)
    }

    fn missing(&self, feature: &str, signature: &Signature) -> Refusal {
        let unused = self.inputs.iter().map(|input| &*input.name);
        let unused = unused.filter(|name| !signature.inputs.iter().any(|field| field.name == **name));
        Refusal::Missing { feature: feature.to_owned(), given: nearest(feature, unused).map(str::to_owned) }
    }

    fn check_names(&self, signature: &Signature, known: impl Fn(&str) -> bool) -> Result<(), Refusal> {
        for (at, input) in self.inputs.iter().enumerate() {
            let name = &*input.name;
            if self.inputs[..at].iter().any(|earlier| *earlier.name == *name) {
                return Err(Refusal::Twice(name.to_owned()));
            }
            if !signature.inputs.iter().any(|field| field.name == name) && !known(name) {
                let features = signature.inputs.iter().map(|field| field.name.as_str());
                let nearest = nearest(name, features).map(str::to_owned);
                return Err(Refusal::Unexpected { feature: name.to_owned(), nearest });
            }
        }
        Ok(())
    }

    fn check_values(&self, input: &Input, expected: Kind) -> Result<(), Refusal> {
        let feature = || input.name.to_string();
        if input.values.len() != self.ids.len() {
            let (found, expected) = (input.values.len(), self.ids.len());
            return Err(Refusal::Length { feature: feature(), found, expected });
        }
        match (&input.values, expected) {
            (Column::Text(_), Kind::Text) => Ok(()),
            (Column::Numeric(values), Kind::Number) => {
                let wrong = |(row, value): &(usize, &f64)| {
                    !(value.is_finite() || value.is_nan() && input.nulls.binary_search(row).is_ok())
                };
                match values.iter().enumerate().find(wrong) {
                    Some((row, &value)) => Err(Refusal::NotFinite { feature: feature(), row, value }),
                    None => Ok(()),
                }
            }
            (found, expected) => Err(Refusal::Kind { feature: feature(), found: found.kind(), expected }),
        }
    }
}

/// The prediction of one row and its scores.
pub(crate) fn prediction(scores: &Scores, row: usize) -> (Value, Vec<f64>) {
    match scores {
        Scores::Regression(values) => {
            (values.get(row).map_or(Value::Missing, |value| Value::Number(*value)), Vec::new())
        }
        Scores::Classification { labels, classes, probabilities } => {
            let label = labels.get(row).map_or(Value::Missing, |label| Value::Text(Arc::clone(label)));
            let width = classes.len();
            let scores = probabilities.get(row * width..(row + 1) * width).unwrap_or_default();
            (label, scores.to_vec())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gyre_core::record::Field;

    fn signature() -> Signature {
        let field = |name: &str, kind| Field { name: name.to_owned(), kind };
        let inputs = vec![field("distance", Kind::Number), field("carrier", Kind::Text)];
        Signature { inputs, output: "air_time".into(), classes: vec![] }
    }

    fn request(inputs: Vec<Input>) -> Request {
        Request {
            ids: vec!["a".into(), "b".into()],
            key: None,
            time: Timestamp::default(),
            inputs,
            headers: Headers::new(),
        }
    }

    fn distance(values: Vec<f64>) -> Input {
        Input::numbers("distance", values)
    }

    fn carrier() -> Input {
        Input::texts("carrier", vec![Some("UA".into()), None])
    }

    fn refusal(inputs: Vec<Input>) -> String {
        request(inputs).bind(&signature(), |name| name == "newer").unwrap_err().to_string()
    }

    #[test]
    fn features_come_in_any_order_and_may_be_null() {
        let nulls = Input::optional_numbers("distance", &[Some(1.0), None]);
        assert_eq!(request(vec![carrier(), nulls]).bind(&signature(), |_| false), Ok(vec![1, 0]));
        let newer = Input::numbers("newer", vec![0.0; 2]);
        let union = request(vec![distance(vec![1.0, 2.0]), carrier(), newer]);
        assert_eq!(union.bind(&signature(), |name| name == "newer"), Ok(vec![0, 1]));
    }

    #[test]
    fn each_mistake_is_named() {
        let two = || distance(vec![1.0, 2.0]);
        let renamed = Input::numbers("distanse", vec![1.0, 2.0]);
        assert_eq!(
            refusal(vec![renamed.clone(), carrier()]),
            "feature `distance` is missing; is `distanse` it?"
        );
        assert_eq!(
            refusal(vec![two(), carrier(), renamed]),
            "`distanse` is not a feature; did you mean `distance`?"
        );
        assert_eq!(refusal(vec![two(), carrier(), two()]), "feature `distance` is given twice");
        assert_eq!(
            refusal(vec![distance(vec![1.0]), carrier()]),
            "feature `distance` has 1 values for 2 rows"
        );
        assert_eq!(
            refusal(vec![distance(vec![1.0, f64::NAN]), carrier()]),
            "feature `distance`, row 1: NaN is not a number that can be used; send null where there is none"
        );
        assert!(refusal(vec![distance(vec![f64::INFINITY, 1.0]), carrier()]).contains("row 0: inf"));
        let text = Input::texts("distance", vec![None, None]);
        assert_eq!(refusal(vec![text, carrier()]), "feature `distance` is text, expected numeric");
    }

    #[test]
    fn an_id_joins_something() {
        let mut request = request(vec![]);
        request.ids[1] = "".into();
        assert_eq!(request.check_ids(), Err(Refusal::Id { row: 1, found: 0, limit: MAX_ID }));
        request.ids.clear();
        assert_eq!(request.check_ids(), Err(Refusal::Empty));
    }
}
