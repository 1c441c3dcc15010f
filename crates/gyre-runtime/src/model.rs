//! A loaded model: its inputs, its outputs, and the plan between them.

use std::fmt;
use std::sync::Arc;

use crate::error::{LoadError, RunError};
use crate::interface::{Interface, Port};
use crate::plan::Plan;
use crate::proto::ModelProto;
use crate::tensor::Tensor;

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
    interface: Interface,
    output_names: Vec<Arc<str>>,
    plan: Plan,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("interface", &self.interface).finish_non_exhaustive()
    }
}

impl Model {
    /// Reads an ONNX file and checks all that can be checked without data: sizes, wiring, operators, attributes, trees.
    ///
    /// # Errors
    /// [`LoadError`] says what is wrong and, for an operator that is not supported, which ones are.
    pub fn load(bytes: &[u8]) -> Result<Model, LoadError> {
        let proto = ModelProto::read(bytes)?;
        let interface = Interface::of(&proto)?;
        let graph = proto.graph.as_ref().ok_or(LoadError::Empty("graph"))?;
        let names: Vec<String> = interface.inputs().iter().map(|p| p.name.clone()).collect();
        let plan = Plan::new(graph, &proto.opset_import, &names)?;
        let output_names = interface.outputs().iter().map(|p| p.name.as_str().into()).collect();
        Ok(Model { interface, output_names, plan })
    }

    /// The graph from outside.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// Inputs in the graph's order.
    pub fn inputs(&self) -> &[Port] {
        self.interface.inputs()
    }

    /// Outputs in the graph's order.
    pub fn outputs(&self) -> &[Port] {
        self.interface.outputs()
    }

    /// The tool that wrote the file, with its version; may be empty.
    pub fn producer(&self) -> &str {
        self.interface.producer()
    }

    /// A note from the file's `metadata_props`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.interface.metadata(key)
    }

    /// Class labels in the order of the probability columns, as text; empty when the graph tells none.
    pub fn class_labels(&self) -> &[Arc<str>] {
        self.interface.class_labels()
    }

    /// Computes the outputs.
    ///
    /// # Errors
    /// [`RunError`] when an input is missing, unknown, of the wrong type or shape, or an operator refuses the values.
    pub fn run(&self, batch: &Batch) -> Result<Vec<Output>, RunError> {
        if let Some((found, _)) =
            batch.0.iter().find(|(name, _)| !self.inputs().iter().any(|p| p.name == *name))
        {
            let expected = self.inputs().iter().map(|p| p.name.clone()).collect();
            return Err(RunError::UnknownInput { found: found.clone(), expected });
        }
        let mut tensors = Vec::with_capacity(self.inputs().len());
        for port in self.inputs() {
            tensors.push(batch.get(&port.name).ok_or_else(|| RunError::MissingInput(port.name.clone()))?);
        }
        self.run_ordered(&tensors)
    }

    /// As [`Model::run`], with the inputs in the order of [`Model::inputs`].
    ///
    /// # Errors
    /// As [`Model::run`].
    pub fn run_ordered(&self, inputs: &[&Tensor]) -> Result<Vec<Output>, RunError> {
        for (i, port) in self.inputs().iter().enumerate() {
            port.check(inputs.get(i).ok_or_else(|| RunError::MissingInput(port.name.clone()))?)?;
        }
        let tensors = self.plan.run(inputs)?;
        let named = self.output_names.iter().map(Arc::clone).zip(tensors);
        Ok(named.map(|(name, tensor)| Output { name, tensor }).collect())
    }
}
