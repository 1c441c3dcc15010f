//! A loaded model: its inputs, its outputs, and the plan between them.

use std::fmt;
use std::sync::Arc;

use prost::Message;

use crate::attributes::{Attributes, initializer};
use crate::error::{LoadError, RunError};
use crate::limits::Limits;
use crate::plan::Plan;
use crate::proto::{DimensionValue, GraphProto, ModelProto, TypeValue, ValueInfoProto};
use crate::tensor::{DType, Data, Tensor};

/// An input or output as the file declares it.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// Name.
    pub name: String,
    /// Element type; `None` for an output that is not declared as a tensor (the maps of `ZipMap`, which this engine
    /// gives as the matrix of probabilities).
    pub dtype: Option<DType>,
    /// Dimensions, `None` where any size goes; the whole is `None` when even the rank is open.
    pub shape: Option<Vec<Option<usize>>>,
}

impl Port {
    fn shape_text(&self) -> String {
        let Some(dims) = &self.shape else { return "any shape".into() };
        let dims: Vec<String> = dims.iter().map(|d| d.map_or("?".into(), |d| d.to_string())).collect();
        format!("[{}]", dims.join(", "))
    }

    /// Checks a tensor against the declaration.
    fn check(&self, tensor: &Tensor) -> Result<(), RunError> {
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

/// Named tensors given to a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch(Vec<(String, Tensor)>);

impl Batch {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tensor; the first of two with one name counts.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, tensor: Tensor) -> Self {
        self.0.push((name.into(), tensor));
        self
    }

    fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, t)| t)
    }
}

/// A named tensor that a model computed.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Name of the output.
    pub name: Arc<str>,
    /// Its value.
    pub tensor: Tensor,
}

/// A model ready to run; immutable, so that threads share it.
pub struct Model {
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    output_names: Vec<Arc<str>>,
    metadata: Vec<(String, String)>,
    class_labels: Vec<Arc<str>>,
    producer: String,
    plan: Plan,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("inputs", &self.inputs)
            .field("outputs", &self.outputs)
            .finish_non_exhaustive()
    }
}

impl Model {
    /// Reads an ONNX file and checks all that can be checked without data: sizes, wiring, operators, attributes, trees.
    ///
    /// # Errors
    /// [`LoadError`] says what is wrong and, for an operator that is not supported, which ones are.
    pub fn load(bytes: &[u8]) -> Result<Model, LoadError> {
        let limits = Limits::DEFAULT;
        if bytes.len() > limits.file_bytes {
            return Err(LoadError::TooLarge { what: "bytes", found: bytes.len(), limit: limits.file_bytes });
        }
        let proto = ModelProto::decode(bytes).map_err(|e| LoadError::Decode(e.to_string()))?;
        let graph = proto.graph.as_ref().ok_or(LoadError::Empty("graph"))?;
        if graph.output.is_empty() {
            return Err(LoadError::Empty("outputs"));
        }
        // Files of IR version 3 and before list constants among the inputs.
        let constant: std::collections::HashSet<&str> =
            graph.initializer.iter().map(|t| t.name.as_str()).collect();
        let inputs: Vec<Port> = graph
            .input
            .iter()
            .filter(|input| !constant.contains(input.name.as_str()))
            .map(|input| {
                let port = port(input)?;
                if port.dtype.is_none() {
                    return Err(LoadError::Graph(format!(
                        "input {:?} is not a tensor of float, double, int64, int32, bool or string",
                        port.name
                    )));
                }
                Ok(port)
            })
            .collect::<Result<_, _>>()?;
        let outputs: Vec<Port> = graph.output.iter().map(port).collect::<Result<_, _>>()?;
        let names: Vec<String> = inputs.iter().map(|p| p.name.clone()).collect();
        let plan = Plan::new(graph, &proto.opset_import, &names)?;
        Ok(Model {
            output_names: outputs.iter().map(|p| p.name.as_str().into()).collect(),
            inputs,
            outputs,
            metadata: proto.metadata_props.iter().map(|e| (e.key.clone(), e.value.clone())).collect(),
            class_labels: class_labels(graph)?,
            producer: format!("{} {}", proto.producer_name, proto.producer_version).trim().to_owned(),
            plan,
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

    /// The tool that wrote the file, with its version; may be empty.
    pub fn producer(&self) -> &str {
        &self.producer
    }

    /// A note from the file's `metadata_props`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// Class labels in the order of the probability columns, as text; empty when the graph tells none.
    pub fn class_labels(&self) -> &[Arc<str>] {
        &self.class_labels
    }

    /// Computes the outputs.
    ///
    /// # Errors
    /// [`RunError`] when an input is missing, unknown, of the wrong type or shape, or an operator refuses the values.
    pub fn run(&self, batch: &Batch) -> Result<Vec<Output>, RunError> {
        if let Some((found, _)) =
            batch.0.iter().find(|(name, _)| !self.inputs.iter().any(|p| p.name == *name))
        {
            let expected = self.inputs.iter().map(|p| p.name.clone()).collect();
            return Err(RunError::UnknownInput { found: found.clone(), expected });
        }
        let mut tensors = Vec::with_capacity(self.inputs.len());
        for port in &self.inputs {
            tensors.push(batch.get(&port.name).ok_or_else(|| RunError::MissingInput(port.name.clone()))?);
        }
        self.run_ordered(&tensors)
    }

    /// As [`Model::run`], with the inputs in the order of [`Model::inputs`].
    ///
    /// # Errors
    /// As [`Model::run`].
    pub fn run_ordered(&self, inputs: &[&Tensor]) -> Result<Vec<Output>, RunError> {
        for (i, port) in self.inputs.iter().enumerate() {
            port.check(inputs.get(i).ok_or_else(|| RunError::MissingInput(port.name.clone()))?)?;
        }
        let tensors = self.plan.run(inputs)?;
        let named = self.output_names.iter().map(Arc::clone).zip(tensors);
        Ok(named.map(|(name, tensor)| Output { name, tensor }).collect())
    }
}

fn port(info: &ValueInfoProto) -> Result<Port, LoadError> {
    let Some(TypeValue::Tensor(tensor)) = info.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        return Ok(Port { name: info.name.clone(), dtype: None, shape: None });
    };
    let shape = tensor.shape.as_ref().map(|shape| {
        let size = |value: &Option<DimensionValue>| match value {
            // Zero and below are how some exporters write "unknown".
            Some(DimensionValue::Size(n)) if *n > 0 => usize::try_from(*n).ok(),
            _ => None,
        };
        shape.dim.iter().map(|d| size(&d.value)).collect()
    });
    Ok(Port { name: info.name.clone(), dtype: DType::from_onnx(tensor.elem_type), shape })
}

/// Class labels from where exporters leave them: the map of `ZipMap`, a classifier's attributes, or the constant that
/// `ArrayFeatureExtractor` picks labels from.
fn class_labels(graph: &GraphProto) -> Result<Vec<Arc<str>>, LoadError> {
    for names in [&["ZipMap"][..], &["TreeEnsembleClassifier", "LinearClassifier"]] {
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
