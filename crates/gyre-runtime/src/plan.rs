//! From a graph of names to a list of steps over numbered slots, checked and ready to run.

use std::collections::HashMap;

use crate::attributes::{Attributes, initializer};
use crate::error::{LoadError, RunError};
use crate::limits::Limits;
use crate::ops::{self, Context, Kernel, ML, STANDARD};
use crate::proto::{GraphProto, NodeProto, OperatorSetIdProto};
use crate::tensor::Tensor;

/// Newest operator sets whose definitions the kernels were written against.
const NEWEST_STANDARD: i64 = 26;
const NEWEST_ML: i64 = 5;

/// Where a step finds an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Input(usize),
    Constant(usize),
    /// Computed by an earlier step.
    Slot(usize),
}

struct Step {
    name: String,
    kernel: Kernel,
    reads: Vec<Option<Source>>,
    /// Slot of each output; `None` where nobody wants it.
    writes: Vec<Option<usize>>,
    /// Slots that no later step reads.
    frees: Vec<usize>,
}

/// A graph made ready: nothing in it is looked up by name any more.
pub(crate) struct Plan {
    constants: Vec<Tensor>,
    steps: Vec<Step>,
    slots: usize,
    outputs: Vec<Source>,
}

impl Plan {
    /// Checks the wiring and builds every kernel.
    pub(crate) fn new(
        graph: &GraphProto,
        opsets: &[OperatorSetIdProto],
        inputs: &[String],
    ) -> Result<Plan, LoadError> {
        if graph.node.len() > Limits::DEFAULT.graph_nodes {
            return Err(LoadError::TooLarge {
                what: "nodes",
                found: graph.node.len(),
                limit: Limits::DEFAULT.graph_nodes,
            });
        }
        let opsets = Opsets::new(opsets)?;
        let mut sources: HashMap<&str, Source> = HashMap::new();
        let mut constants = Vec::with_capacity(graph.initializer.len());
        for proto in &graph.initializer {
            let source = Source::Constant(constants.len());
            constants.push(initializer(proto)?);
            define(&mut sources, &proto.name, source)?;
        }
        for (i, name) in inputs.iter().enumerate() {
            define(&mut sources, name, Source::Input(i))?;
        }
        let mut steps = Vec::with_capacity(graph.node.len());
        let mut slots = 0;
        for (number, node) in graph.node.iter().enumerate() {
            let name = if node.name.is_empty() {
                format!("#{number} ({})", node.op_type)
            } else {
                node.name.clone()
            };
            let mut reads = Vec::with_capacity(node.input.len());
            for value in &node.input {
                reads.push(match (value.as_str(), sources.get(value.as_str())) {
                    ("", _) => None,
                    (_, Some(&source)) => Some(source),
                    (_, None) => {
                        return Err(LoadError::Graph(format!(
                            "node {name} reads {value:?}, which nothing before it makes: the graph is cyclic, out of \
                             order, or incomplete"
                        )));
                    }
                });
            }
            let kernel = build(node, &name, &opsets)?;
            let mut writes = Vec::with_capacity(node.output.len());
            for value in &node.output {
                if value.is_empty() {
                    writes.push(None);
                    continue;
                }
                define(&mut sources, value, Source::Slot(slots))?;
                writes.push(Some(slots));
                slots += 1;
            }
            steps.push(Step { name, kernel, reads, writes, frees: Vec::new() });
        }
        let mut outputs = Vec::with_capacity(graph.output.len());
        for output in &graph.output {
            let source = sources.get(output.name.as_str());
            outputs
                .push(*source.ok_or_else(|| {
                    LoadError::Graph(format!("nothing makes the output {:?}", output.name))
                })?);
        }
        free_after_last_use(&mut steps, &outputs, slots);
        Ok(Plan { constants, steps, slots, outputs })
    }

    /// Computes the outputs, in the graph's order, from the inputs in theirs.
    pub(crate) fn run(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, RunError> {
        let mut values: Vec<Option<Tensor>> = Vec::new();
        values.resize_with(self.slots, || None);
        let limit = Limits::DEFAULT.run_elements;
        let mut budget = limit;
        for step in &self.steps {
            let refuse = |problem| RunError::Node { node: step.name.clone(), problem };
            let computed = {
                let operands: Vec<Option<&Tensor>> =
                    step.reads.iter().map(|read| read.and_then(|s| self.value(s, inputs, &values))).collect();
                (step.kernel)(&operands).map_err(refuse)?
            };
            let mut computed = computed.into_iter();
            for &write in &step.writes {
                let tensor = computed.next();
                let Some(slot) = write else { continue };
                let tensor =
                    tensor.ok_or_else(|| refuse("it has more outputs than its operator makes".into()))?;
                budget = budget.checked_sub(tensor.data().len()).ok_or(RunError::TooLarge { limit })?;
                values[slot] = Some(tensor);
            }
            for &slot in &step.frees {
                values[slot] = None;
            }
        }
        let missing = || RunError::Node { node: "output".into(), problem: "was not computed".into() };
        self.outputs.iter().map(|&s| self.value(s, inputs, &values).cloned().ok_or_else(missing)).collect()
    }

    fn value<'a>(
        &'a self,
        source: Source,
        inputs: &[&'a Tensor],
        values: &'a [Option<Tensor>],
    ) -> Option<&'a Tensor> {
        match source {
            Source::Input(i) => inputs.get(i).copied(),
            Source::Constant(i) => self.constants.get(i),
            Source::Slot(i) => values.get(i)?.as_ref(),
        }
    }
}

fn define<'a>(
    sources: &mut HashMap<&'a str, Source>,
    name: &'a str,
    source: Source,
) -> Result<(), LoadError> {
    match sources.insert(name, source) {
        None => Ok(()),
        Some(_) => Err(LoadError::Graph(format!("the value {name:?} is made twice"))),
    }
}

/// Versions at which the two domains are imported.
struct Opsets {
    standard: i64,
    ml: i64,
}

impl Opsets {
    fn new(imports: &[OperatorSetIdProto]) -> Result<Opsets, LoadError> {
        let mut opsets = Opsets { standard: NEWEST_STANDARD, ml: NEWEST_ML };
        for import in imports {
            let (version, newest) = match import.domain.as_str() {
                "" | STANDARD => (&mut opsets.standard, NEWEST_STANDARD),
                ML => (&mut opsets.ml, NEWEST_ML),
                _ => continue,
            };
            if import.version > newest {
                let domain = import.domain.clone();
                return Err(LoadError::Opset { domain, found: import.version, newest });
            }
            *version = import.version;
        }
        Ok(opsets)
    }
}

fn build(node: &NodeProto, name: &str, opsets: &Opsets) -> Result<Kernel, LoadError> {
    let (domain, opset) = match node.domain.as_str() {
        "" | STANDARD => (STANDARD, opsets.standard),
        ML => (ML, opsets.ml),
        other => (other, 0),
    };
    let build = ops::find(domain, &node.op_type).ok_or_else(|| LoadError::UnknownOperator {
        node: name.to_owned(),
        operator: format!("{domain}::{}", node.op_type),
        supported: ops::supported_operators(),
    })?;
    let context = Context { attributes: Attributes::of(node), opset };
    build(&context).map_err(|problem| LoadError::Node {
        node: name.to_owned(),
        operator: node.op_type.clone(),
        problem,
    })
}

fn free_after_last_use(steps: &mut [Step], outputs: &[Source], slots: usize) {
    let mut done = vec![false; slots];
    for source in outputs {
        if let Source::Slot(slot) = source {
            done[*slot] = true;
        }
    }
    for step in steps.iter_mut().rev() {
        let read =
            step.reads.iter().flatten().filter_map(|s| if let Source::Slot(i) = s { Some(*i) } else { None });
        for slot in read.chain(step.writes.iter().flatten().copied()) {
            if !std::mem::replace(&mut done[slot], true) {
                step.frees.push(slot);
            }
        }
    }
}
