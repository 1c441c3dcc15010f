//! What an ONNX file says about its graph from outside: inputs, outputs, notes, classes. Whoever runs the graph, this is
//! what rows of a table are bound to.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::attributes::{Attributes, initializer};
use crate::error::{LoadError, RunError, SignatureError};
use crate::proto::{DimensionValue, GraphProto, ModelProto, NodeProto, TypeValue, ValueInfoProto};
use crate::tensor::{DType, Data, Tensor};

/// An input or output as the file declares it.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// Name.
    pub name: String,
    /// Element type; `None` for an output that is not declared as a tensor (the maps of `ZipMap`, which gyre gives as the
    /// matrix of probabilities).
    pub dtype: Option<DType>,
    /// Dimensions, `None` where any size goes; the whole is `None` when even the rank is open.
    pub shape: Option<Vec<Option<usize>>>,
}

impl Port {
    /// The dimensions, for messages.
    pub(crate) fn shape_text(&self) -> String {
        let Some(dims) = &self.shape else { return "any shape".into() };
        let dims: Vec<String> = dims.iter().map(|d| d.map_or("?".into(), |d| d.to_string())).collect();
        format!("[{}]", dims.join(", "))
    }

    /// Checks a tensor against the declaration.
    pub(crate) fn check(&self, tensor: &Tensor) -> Result<(), RunError> {
        if let Some(expected) = self.dtype
            && expected != tensor.dtype()
        {
            return Err(RunError::InputType { name: self.name.clone(), found: tensor.dtype(), expected });
        }
        let shape = tensor.shape();
        let fits = self.shape.as_ref().is_none_or(|dims| {
            dims.len() == shape.len() && dims.iter().zip(shape.iter()).all(|(d, &n)| d.is_none_or(|d| d == n))
        });
        if fits {
            return Ok(());
        }
        Err(RunError::InputShape {
            name: self.name.clone(),
            found: shape.to_vec(),
            expected: self.shape_text(),
        })
    }
}

/// What the numbers of an output are, told by the operator that makes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Probabilities, of softmax or of a logistic function.
    Probabilities,
    /// Their logarithms.
    LogProbabilities,
    /// Anything else: a value, a score, log odds.
    Numbers,
}

/// A graph from outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Interface {
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    endings: Vec<Ending>,
    metadata: Vec<(String, String)>,
    class_labels: Vec<Arc<str>>,
    producer: String,
}

impl Interface {
    /// Reads it from a file; nothing is said about whether the graph can be run.
    ///
    /// # Errors
    /// [`LoadError`]: too large, no ONNX file, or as [`Interface::of`].
    pub fn read(bytes: &[u8]) -> Result<Interface, LoadError> {
        Self::of(&ModelProto::read(bytes)?)
    }

    /// Reads it from the file's message; nothing is said about whether the graph can be run.
    ///
    /// # Errors
    /// [`LoadError`]: there is no graph or no output, or an input is none of the tensors that columns can become.
    pub fn of(proto: &ModelProto) -> Result<Interface, LoadError> {
        let graph = proto.graph.as_ref().ok_or(LoadError::Empty("graph"))?;
        if graph.output.is_empty() {
            return Err(LoadError::Empty("outputs"));
        }
        // Files of IR version 3 and before list constants among the inputs.
        let constant: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
        let given = graph.input.iter().filter(|input| !constant.contains(input.name.as_str()));
        let inputs: Vec<Port> = given.map(port).collect();
        if let Some(port) = inputs.iter().find(|port| port.dtype.is_none()) {
            return Err(LoadError::Graph(format!(
                "input {:?} is not a tensor of float, double, int64, int32, bool or string",
                port.name
            )));
        }
        let outputs: Vec<Port> = graph.output.iter().map(port).collect();
        Ok(Interface {
            endings: endings(graph),
            inputs,
            outputs,
            metadata: proto.metadata_props.iter().map(|e| (e.key.clone(), e.value.clone())).collect(),
            class_labels: class_labels(graph)?,
            producer: format!("{} {}", proto.producer_name, proto.producer_version).trim().to_owned(),
        })
    }

    /// Inputs in the graph's order.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// Outputs in the graph's order.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// What the numbers of output `at` are.
    pub(crate) fn ending(&self, at: usize) -> Ending {
        self.endings.get(at).copied().unwrap_or(Ending::Numbers)
    }

    /// The tool that wrote the file, with its version; may be empty.
    pub fn producer(&self) -> &str {
        &self.producer
    }

    /// A note from the file's `metadata_props`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// A note that is a JSON array of strings.
    pub(crate) fn names(&self, key: &'static str) -> Result<Option<Vec<Arc<str>>>, SignatureError> {
        let Some(text) = self.metadata(key) else { return Ok(None) };
        let names: Vec<String> = serde_json::from_str(text).map_err(|e| SignatureError::Metadata {
            key,
            problem: format!("expected a JSON array of strings: {e}"),
        })?;
        Ok(Some(names.into_iter().map(Arc::from).collect()))
    }

    /// Class labels in the order of the probability columns, as text; empty when the graph tells none.
    pub fn class_labels(&self) -> &[Arc<str>] {
        &self.class_labels
    }
}

fn port(info: &ValueInfoProto) -> Port {
    let Some(TypeValue::Tensor(tensor)) = info.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        return Port { name: info.name.clone(), dtype: None, shape: None };
    };
    let shape = tensor.shape.as_ref().map(|shape| {
        let size = |value: &Option<DimensionValue>| match value {
            // Zero and below are how some exporters write "unknown".
            Some(DimensionValue::Size(n)) if *n > 0 => usize::try_from(*n).ok(),
            _ => None,
        };
        shape.dim.iter().map(|d| size(&d.value)).collect()
    });
    Port { name: info.name.clone(), dtype: DType::from_onnx(tensor.elem_type), shape }
}

/// Operators that hand their first operand's numbers on as they are.
const CARRIERS: [&str; 8] =
    ["Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Dropout", "ZipMap"];
/// How many of them are followed.
const CARRIED: usize = 32;

/// Follows each output back to the operator that computes its numbers.
fn endings(graph: &GraphProto) -> Vec<Ending> {
    let made = graph.node.iter().flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node)));
    let makers: HashMap<&str, &NodeProto> = made.collect();
    let ending = |output: &ValueInfoProto| {
        let mut wanted = output.name.as_str();
        for _ in 0..CARRIED {
            let Some(node) = makers.get(wanted) else { break };
            match (node.op_type.as_str(), node.input.first()) {
                ("Softmax" | "Sigmoid", _) => return Ending::Probabilities,
                ("LogSoftmax", _) => return Ending::LogProbabilities,
                (carrier, Some(from)) if CARRIERS.contains(&carrier) => wanted = from,
                _ => break,
            }
        }
        Ending::Numbers
    };
    graph.output.iter().map(ending).collect()
}

/// Class labels from where exporters leave them: the map of `ZipMap`, a classifier's attributes, or the constant that
/// `ArrayFeatureExtractor` picks labels from.
fn class_labels(graph: &GraphProto) -> Result<Vec<Arc<str>>, LoadError> {
    for names in [&["ZipMap"][..], &["TreeEnsembleClassifier", "LinearClassifier", "SVMClassifier"]] {
        for node in graph.node.iter().filter(|n| names.contains(&n.op_type.as_str())) {
            let a = Attributes::of(node);
            let texts = a.texts("classlabels_strings").map_err(LoadError::Graph)?;
            if !texts.is_empty() {
                return Ok(texts);
            }
            for name in ["classlabels_int64s", "classlabels_ints"] {
                if !a.ints(name).is_empty() {
                    return Ok(a.ints(name).iter().map(|i| i.to_string().into()).collect());
                }
            }
        }
    }
    for node in graph.node.iter().filter(|n| n.op_type == "ArrayFeatureExtractor") {
        let from = node.input.first().and_then(|name| graph.initializer.iter().find(|t| t.name == *name));
        if let Some(proto) = from {
            return Ok(match initializer(proto)?.into_data() {
                Data::Str(v) => v,
                Data::I64(v) => v.iter().map(|i| i.to_string().into()).collect(),
                Data::I32(v) => v.iter().map(|i| i.to_string().into()).collect(),
                _ => continue,
            });
        }
    }
    Ok(Vec::new())
}
