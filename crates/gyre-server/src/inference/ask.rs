//! A request of the protocol, and how it becomes one of the gateway.

use std::borrow::Cow;
use std::sync::Arc;

use gyre_core::Timestamp;
use gyre_core::time::InvalidTime;
use gyre_gateway::Request;
use serde::Deserialize;
use uuid::Uuid;

use super::tensor::{Tensor, TensorError};

/// The body of `POST …/infer`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ask<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    parameters: Parameters<'a>,
    #[serde(borrow)]
    inputs: Vec<Tensor<'a>>,
    #[serde(borrow, default)]
    outputs: Vec<Wanted<'a>>,
}

/// What is understood of a request's parameters; others are ignored, as the protocol asks.
#[derive(Debug, Default, Deserialize)]
struct Parameters<'a> {
    #[serde(borrow, default)]
    event_time: Option<Cow<'a, str>>,
}

/// An output that the client wants; without any, it gets all.
#[derive(Debug, Deserialize)]
struct Wanted<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

/// A request on its way to the gateway.
#[derive(Debug)]
pub(super) struct Asked {
    /// The request's id, given or made.
    pub(super) id: String,
    /// Names of the outputs wanted; empty for all.
    pub(super) outputs: Vec<String>,
    pub(super) request: Request,
}

/// Rows in a request: what a worker answers in some milliseconds, and a fraction of what the log's queue holds.
const MOST_ROWS: usize = 20_000;

/// What is wrong with a request, before any model has seen it.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error(transparent)]
    Tensor(#[from] TensorError),
    #[error("parameters.event_time: {0}")]
    EventTime(#[from] InvalidTime),
    #[error(
        "input `{name}` has the role `{found}`; the only role is `id` (the rows' prediction ids), without one it is a feature"
    )]
    Role { name: String, found: String },
    #[error("two inputs hold the ids of the rows")]
    IdsTwice,
    #[error(
        "the request has {0} rows; send at most {MOST_ROWS} in one, so that the others need not wait for it"
    )]
    Rows(usize),
}

impl Ask<'_> {
    /// The gateway's request. Rows are named by the request's id: `id` alone for one row, `id.0`, `id.1`, … for several, or
    /// by the tensor whose `parameters.role` is `id`. `now` is asked when no event time is given.
    pub(super) fn prepare(self, now: impl FnOnce() -> Timestamp) -> Result<Asked, AskError> {
        let time = match &self.parameters.event_time {
            Some(text) => text.parse()?,
            None => now(),
        };
        let rows = self.inputs.first().map_or(0, Tensor::rows);
        let most = self.inputs.iter().map(Tensor::rows).max().unwrap_or(0);
        if most > MOST_ROWS {
            return Err(AskError::Rows(most));
        }
        let mut ids = None;
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for tensor in self.inputs {
            match tensor.parameters.role.as_deref() {
                None => inputs.push(tensor.into_input()?),
                Some("id") if ids.is_none() => ids = Some(tensor.into_ids()?),
                Some("id") => return Err(AskError::IdsTwice),
                Some(other) => {
                    let found = other.chars().take(40).collect();
                    return Err(AskError::Role { name: tensor.name.into_owned(), found });
                }
            }
        }
        let id = match self.id {
            Some(id) => id.into_owned(),
            None => Uuid::new_v4().to_string(),
        };
        let ids = ids.unwrap_or_else(|| match rows {
            1 => vec![Arc::from(id.as_str())],
            rows => (0..rows).map(|row| format!("{id}.{row}").into()).collect(),
        });
        let outputs = self.outputs.into_iter().map(|wanted| wanted.name.into_owned()).collect();
        Ok(Asked { id, outputs, request: Request { ids, time, inputs } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepare(json: &str) -> Result<Asked, String> {
        let ask: Ask<'_> = serde_json::from_str(json).map_err(|error| error.to_string())?;
        ask.prepare(|| Timestamp::from_millis(7)).map_err(|error| error.to_string())
    }

    fn ids(asked: &Asked) -> Vec<&str> {
        asked.request.ids.iter().map(|id| &**id).collect()
    }

    const TWO: &str = r#"{"name": "x", "shape": [2], "datatype": "FP64", "data": [1, 2]}"#;

    #[test]
    fn rows_are_named() {
        let one =
            r#"{"id": "f1", "inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP64", "data": [1]}]}"#;
        assert_eq!(ids(&prepare(one).unwrap()), ["f1"]);
        let two = prepare(&format!(r#"{{"id": "f", "inputs": [{TWO}]}}"#)).unwrap();
        assert_eq!(ids(&two), ["f.0", "f.1"]);
        assert_eq!(two.request.time, Timestamp::from_millis(7));
        let role = r#"{"name": "flight", "shape": [2], "datatype": "BYTES", "data": ["a", "b"], "parameters": {"role": "id"}}"#;
        let named = prepare(&format!(r#"{{"inputs": [{role}, {TWO}]}}"#)).unwrap();
        assert_eq!((ids(&named), named.request.inputs.len()), (vec!["a", "b"], 1));
        assert_eq!(named.id.len(), 36, "an id is made: {}", named.id);
        assert!(prepare(&format!(r#"{{"inputs": [{role}, {role}]}}"#)).unwrap_err().contains("two inputs"));
    }

    #[test]
    fn event_time_is_read() {
        let asked = |time: &str| {
            prepare(&format!(r#"{{"parameters": {{"event_time": "{time}", "x": 1}}, "inputs": [{TWO}]}}"#))
        };
        let expected: Timestamp = "2013-03-01T05:15:00Z".parse().unwrap();
        assert_eq!(asked("2013-03-01T05:15:00Z").unwrap().request.time, expected);
        assert!(
            asked("tomorrow").unwrap_err().starts_with("parameters.event_time: `tomorrow` is not a time")
        );
    }

    #[test]
    fn unknown_keys_are_told() {
        assert!(prepare(r#"{"input": []}"#).unwrap_err().contains("unknown field `input`, expected one of"));
        assert!(prepare(r#"{}"#).unwrap_err().contains("missing field `inputs`"));
    }
}
