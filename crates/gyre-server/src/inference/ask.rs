//! A request of the protocol, and how it becomes one of the gateway.
//!
//! Three wire formats say the same: JSON, JSON with tensors behind it, and the messages of gRPC. Each is read into
//! [`Parts`]; from there on there is one way.

use std::borrow::Cow;
use std::sync::Arc;

use gyre_core::Timestamp;
use gyre_core::time::InvalidTime;
use gyre_gateway::{Headers, Ports, Request};
use serde::Deserialize;
use serde::de::IgnoredAny;
use uuid::Uuid;

use super::tensor::{Tensor, TensorError};
use super::written::Written;

/// The body of `POST …/infer`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ask<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    /// KServe's client repeats here what the path says; the path counts.
    #[serde(default, rename = "model_name")]
    _model_name: Option<IgnoredAny>,
    #[serde(default, rename = "model_version")]
    _model_version: Option<IgnoredAny>,
    #[serde(borrow, default)]
    parameters: Parameters<'a>,
    #[serde(borrow)]
    inputs: Vec<Written<'a>>,
    #[serde(borrow, default)]
    outputs: Vec<WrittenOutput<'a>>,
}

/// What is understood of a request's parameters; others are ignored, as the protocol asks.
#[derive(Debug, Default, Deserialize)]
struct Parameters<'a> {
    #[serde(borrow, default)]
    event_time: Option<Cow<'a, str>>,
    /// What decides the version while traffic is split, in place of the rows' ids.
    #[serde(borrow, default)]
    key: Option<Cow<'a, str>>,
    /// Whether outputs come as binary tensors that do not say it themselves.
    #[serde(default)]
    binary_data_output: bool,
}

/// An output that the client wants; without any, it gets all.
#[derive(Debug, Deserialize)]
struct WrittenOutput<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default)]
    parameters: OutputParameters,
}

#[derive(Debug, Default, Deserialize)]
struct OutputParameters {
    #[serde(default)]
    binary_data: Option<bool>,
    #[serde(default)]
    classification: Option<u64>,
}

/// What a request says, whatever it was written in.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) event_time: Option<Cow<'a, str>>,
    pub(super) key: Option<Cow<'a, str>>,
    pub(super) tensors: Vec<Tensor<'a>>,
    pub(super) wanted: Wanted,
}

/// The outputs that a client wants.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// By name, and whether as a binary tensor; empty for all.
    pub(super) named: Vec<(String, bool)>,
    /// When none is named: whether all come as binary tensors.
    pub(super) binary: bool,
}

impl Wanted {
    /// Whether `output` is wanted, and then whether as a binary tensor.
    pub(super) fn form(&self, output: &str) -> Option<bool> {
        if self.named.is_empty() {
            return Some(self.binary);
        }
        self.named.iter().find(|(name, _)| name == output).map(|(_, binary)| *binary)
    }
}

/// A request on its way to the gateway.
#[derive(Debug)]
pub(super) struct Asked {
    /// The request's id, given or made.
    pub(super) id: String,
    pub(super) wanted: Wanted,
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
    #[error(
        "output `{0}` asks for a classification, which is not done here: the output `probabilities` has them all, and the \
         model's metadata names the classes"
    )]
    Classification(String),
    #[error(
        "{0} bytes are left after the last binary tensor; binary_data_size of the inputs says how many are theirs"
    )]
    Left(usize),
}

impl<'a> Ask<'a> {
    /// What the request says; `raw` is what came behind the JSON.
    pub(super) fn into_parts(self, mut raw: &[u8]) -> Result<Parts<'a>, AskError> {
        let mut take = |size: u64| {
            let (taken, rest) = raw.split_at_checked(usize::try_from(size).ok()?)?;
            raw = rest;
            Some(taken)
        };
        let tensors = self.inputs.into_iter().map(|written| written.into_tensor(&mut take));
        let tensors = tensors.collect::<Result<Vec<_>, _>>()?;
        if !raw.is_empty() {
            return Err(AskError::Left(raw.len()));
        }
        let binary = self.parameters.binary_data_output;
        let named = self.outputs.into_iter().map(|output| match output.parameters.classification {
            Some(count) if count > 0 => Err(AskError::Classification(output.name.into_owned())),
            _ => Ok((output.name.into_owned(), output.parameters.binary_data.unwrap_or(binary))),
        });
        let wanted = Wanted { named: named.collect::<Result<_, _>>()?, binary };
        let Parameters { event_time, key, .. } = self.parameters;
        Ok(Parts { id: self.id, event_time, key, tensors, wanted })
    }
}

impl Parts<'_> {
    /// The gateway's request. Rows are named by the request's id: `id` alone for one row, `id.0`, `id.1`, … for several, or
    /// by the tensor whose `parameters.role` is `id`. `now` is asked when no event time is given, `ports` for the names of a
    /// matrix's columns; without one the matrix is a feature of its own, and the gateway says what is missing.
    pub(super) fn prepare(
        self,
        now: impl FnOnce() -> Timestamp,
        ports: impl FnOnce() -> Option<Ports>,
    ) -> Result<Asked, AskError> {
        let time = match &self.event_time {
            Some(text) => text.parse()?,
            None => now(),
        };
        let most = self.tensors.iter().map(Tensor::rows).max().unwrap_or(0);
        if most > MOST_ROWS {
            return Err(AskError::Rows(most));
        }
        let mut ids = None;
        let mut features = Vec::with_capacity(self.tensors.len());
        for tensor in self.tensors {
            match tensor.role.as_deref() {
                None => features.push(tensor),
                Some("id") if ids.is_none() => ids = Some(tensor.into_ids()?),
                Some("id") => return Err(AskError::IdsTwice),
                Some(other) => {
                    let found = other.chars().take(40).collect();
                    return Err(AskError::Role { name: tensor.name.into_owned(), found });
                }
            }
        }
        let rows = features.first().map_or(0, Tensor::rows);
        let alone = features.len() == 1;
        let ports = if alone && rows > 0 { ports() } else { None };
        let matrix = |tensor: &Tensor<'_>, ports: &Ports| {
            tensor.is_matrix() || matches!(&ports.features[..], [only] if **only != *tensor.name)
        };
        let inputs = match (features.pop(), ports) {
            (Some(tensor), Some(ports)) if matrix(&tensor, &ports) => tensor.into_columns(&ports)?,
            (last, _) => {
                let features = features.into_iter().chain(last);
                features.map(Tensor::into_input).collect::<Result<_, _>>()?
            }
        };
        let key = self.key.map(|key| Arc::from(&*key));
        let id = match self.id {
            Some(id) => id.into_owned(),
            None => Uuid::new_v4().to_string(),
        };
        let ids = ids.unwrap_or_else(|| match rows {
            1 => vec![Arc::from(id.as_str())],
            rows => (0..rows).map(|row| format!("{id}.{row}").into()).collect(),
        });
        Ok(Asked {
            id,
            wanted: self.wanted,
            request: Request { ids, key, time, inputs, headers: Headers::new() },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gyre_core::record::{Field, Kind, Signature};

    fn ports() -> Option<Ports> {
        let field = |name: &str| Field { name: name.to_owned(), kind: Kind::Number };
        let inputs = vec![field("x"), field("y")];
        let signature = Arc::new(Signature { inputs, output: "z".into(), classes: vec![] });
        Some(Ports { signature, features: ["x", "y"].map(gyre_gateway::Name::from).into() })
    }

    fn prepare_with(json: &str, raw: &[u8]) -> Result<Asked, String> {
        let ask: Ask<'_> = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let parts = ask.into_parts(raw).map_err(|error| error.to_string())?;
        parts.prepare(|| Timestamp::from_millis(7), ports).map_err(|error| error.to_string())
    }

    fn prepare(json: &str) -> Result<Asked, String> {
        prepare_with(json, &[])
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
    fn a_matrix_becomes_features() {
        let nested = r#"{"inputs": [{"name": "input-0", "shape": [2, 2], "datatype": "FP32", "data": [[1, 2], [3, null]]}]}"#;
        let asked = prepare(nested).unwrap();
        let names: Vec<&str> = asked.request.inputs.iter().map(|input| &*input.name).collect();
        assert_eq!((names, asked.request.ids.len()), (vec!["x", "y"], 2));
        assert_eq!(asked.request.inputs[1].nulls, [1]);
        let beside = r#"{"name": "m", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}"#;
        let told = prepare(&format!(r#"{{"inputs": [{TWO}, {beside}]}}"#)).unwrap_err();
        assert!(told.contains("a matrix beside other inputs"), "{told}");
    }

    #[test]
    fn binary_tensors_stand_behind_the_json() {
        let tensor = |name: &str, datatype: &str, size: usize| {
            format!(
                r#"{{"name": "{name}", "shape": [1], "datatype": "{datatype}", "parameters": {{"binary_data_size": {size}}}}}"#
            )
        };
        let json = format!(r#"{{"inputs": [{}, {}]}}"#, tensor("x", "FP32", 4), tensor("y", "INT16", 2));
        let raw = [&1.5_f32.to_le_bytes()[..], &(-3_i16).to_le_bytes()].concat();
        let asked = prepare_with(&json, &raw).unwrap();
        assert_eq!(format!("{:?}", asked.request.inputs[0].values), "Numeric([1.5])");
        assert_eq!(format!("{:?}", asked.request.inputs[1].values), "Numeric([-3.0])");
        assert!(prepare_with(&json, &raw[..5]).unwrap_err().contains("fewer bytes are left"));
        assert!(prepare_with(&json, &[&raw[..], b"x"].concat()).unwrap_err().contains("1 bytes are left"));
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
