//! A version that the loop trained, as the folder that MLflow's clients expect of a model. Pure.
//!
//! The loop keeps one ONNX file and the facts about it. `MLmodel` says how to load such a file: with MLflow's own ONNX
//! flavour, so nothing that gyre made up runs on the machine of whoever loads it. The texts depend on the version alone,
//! so the same version always has the same ones, whoever asks and whenever.

use gyre_core::Timestamp;
use gyre_core::fact::ModelVersion;
use gyre_runtime::{Binding, DType, FeatureKind, Interface, Port, Task};
use serde_json::{Value, json};

/// The name of the ONNX file in the folder.
pub(super) const MODEL: &str = "model.onnx";

/// The files beside [`MODEL`], in the order of their names.
pub(super) const TEXTS: [&str; 4] = ["MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt"];

/// A version, with all that its texts tell of it.
pub(super) struct Package<'a> {
    pub(super) version: &'a ModelVersion,
    pub(super) created: Timestamp,
    /// The size of the ONNX file, in bytes.
    pub(super) size: u64,
    pub(super) graph: &'a Interface,
    pub(super) binding: &'a Binding,
}

impl Package<'_> {
    /// What the file called `name` holds; none when it is not one of [`TEXTS`].
    pub(super) fn text(&self, name: &str) -> Option<String> {
        match name {
            "MLmodel" => Some(self.mlmodel()),
            "conda.yaml" => Some(conda()),
            "python_env.yaml" => Some(python_env()),
            "requirements.txt" => Some(REQUIREMENTS.map(|package| format!("{package}\n")).concat()),
            _ => None,
        }
    }

    fn mlmodel(&self) -> String {
        let ModelVersion { model, version, run, artifact, data, .. } = self.version;
        let (inputs, outputs) = (inputs(self.graph, self.binding), outputs(self.graph));
        let text = |schema: Option<Value>| schema.map_or(Value::Null, |schema| schema.to_string().into());
        let hex = artifact.to_hex();
        // JSON's strings are YAML's, too.
        format!(
            "flavors:
  onnx:
    code: null
    data: {MODEL}
    providers:
    - CPUExecutionProvider
  python_function:
    data: {MODEL}
    env:
      conda: conda.yaml
      virtualenv: python_env.yaml
    loader_module: mlflow.onnx
    python_version: '{PYTHON}'
metadata:
  data_sha256: {data}
  gyre_model: {name}
  gyre_version: {version}
  model_sha256: {hex}
model_size_bytes: {size}
model_uuid: {uuid}
run_id: {run}
signature:
  inputs: {inputs}
  outputs: {outputs}
  params: null
utc_time_created: '{created}'
",
            data = data.map_or(Value::Null, |data| data.to_hex().into()),
            name = Value::from(model.as_str()),
            size = self.size,
            uuid = Value::from(&hex[..32]),
            run = run.as_deref().map_or(Value::Null, Value::from),
            hex = Value::from(hex.as_str()),
            inputs = text(Some(inputs)),
            outputs = text(outputs),
            created = self.created,
        )
    }
}

/// The Python that environments are made with. The model does not depend on it.
const PYTHON: &str = "3.11";

/// What loads the model; any version that knows the operators of the graph will do.
const REQUIREMENTS: [&str; 3] = ["mlflow", "onnx", "onnxruntime"];

fn conda() -> String {
    let packages: String = REQUIREMENTS.map(|package| format!("  - {package}\n")).concat();
    format!(
        "channels:\n- conda-forge\ndependencies:\n- python={PYTHON}\n- pip\n- pip:\n{packages}name: mlflow-env\n"
    )
}

fn python_env() -> String {
    format!(
        "python: '{PYTHON}'\nbuild_dependencies:\n- pip\n- setuptools\n- wheel\ndependencies:\n- -r requirements.txt\n"
    )
}

/// What the model takes, as MLflow's clients check it and bring it into the shape that the graph wants.
///
/// A graph with one input a column gets each as a tensor: MLflow hands a column of a table over as it is unless a tensor of
/// shape `[-1, 1]` is asked for. A graph with one matrix gets a table of numbers; but when it has several outputs, MLflow
/// cannot put those into one table, so it gets, and gives, arrays.
fn inputs(graph: &Interface, binding: &Binding) -> Value {
    let ports = graph.inputs();
    if !binding.takes_matrix() {
        return ports.iter().map(|port| tensor(Some(&port.name), port)).collect();
    }
    let flat = |port: &Port| port.shape.as_ref().is_none_or(|dims| dims.len() == 2);
    if binding.task() != Task::Regression || !ports.iter().all(flat) {
        return ports.iter().map(|port| tensor(None, port)).collect();
    }
    let column = |feature: &gyre_runtime::Feature| {
        let kind = match feature.kind {
            FeatureKind::Numeric => "double",
            FeatureKind::Integer => "long",
            FeatureKind::Text => "string",
        };
        json!({"type": kind, "name": &*feature.name, "required": true})
    };
    binding.features().iter().map(column).collect()
}

/// What the graph gives; none when it gives something that is no tensor.
fn outputs(graph: &Interface) -> Option<Value> {
    let tensors = graph.outputs().iter().all(|port| port.dtype.is_some() && port.shape.is_some());
    tensors.then(|| graph.outputs().iter().map(|port| tensor(Some(&port.name), port)).collect())
}

fn tensor(name: Option<&str>, port: &Port) -> Value {
    let dtype = match port.dtype {
        // As numpy calls it.
        Some(DType::Str) => "str".to_owned(),
        Some(dtype) => dtype.to_string(),
        None => "object".to_owned(),
    };
    let shape: Vec<i64> = port
        .shape
        .iter()
        .flatten()
        .enumerate()
        .map(|(at, size)| match size {
            // A graph may be declared for one row; it is asked about any number of them.
            Some(size) if at > 0 => i64::try_from(*size).unwrap_or(-1),
            _ => -1,
        })
        .collect();
    let mut tensor = json!({"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}});
    if let Some(name) = name {
        tensor["name"] = name.into();
    }
    tensor
}

#[cfg(test)]
mod tests {
    use super::*;
    use gyre_runtime::Hints;

    fn graph(fixture: &str) -> Interface {
        let root = env!("CARGO_MANIFEST_DIR");
        let path = format!("{root}/../gyre-runtime/tests/fixtures/{fixture}.onnx");
        Interface::read(&std::fs::read(path).unwrap()).unwrap()
    }

    /// What is asked for to be given to a graph whose columns are called `names`.
    fn asked(fixture: &str, names: &[&str]) -> Value {
        let graph = graph(fixture);
        inputs(&graph, &Binding::new(&graph, &Hints { features: names, classes: &[] }).unwrap())
    }

    #[test]
    fn columns_are_asked_for_in_the_shape_of_the_graph() {
        let inputs = asked("skl_gbc_ordinal", &[]);
        let text =
            json!({"type": "tensor", "name": "shop", "tensor-spec": {"dtype": "str", "shape": [-1, 1]}});
        let number =
            json!({"type": "tensor", "name": "price", "tensor-spec": {"dtype": "float32", "shape": [-1, 1]}});
        let asked = inputs.as_array().unwrap();
        assert!(asked.contains(&text) && asked.contains(&number), "{inputs}");
        assert_eq!(asked.len(), graph("skl_gbc_ordinal").inputs().len());
    }

    #[test]
    fn a_matrix_is_a_table_where_mlflow_can_give_a_table_back() {
        let names = ["a", "b", "c", "d"];
        let column = |name: &str| json!({"type": "double", "name": name, "required": true});
        assert_eq!(asked("trees_sum_1", &names), Value::from(names.map(column).to_vec()));

        let matrix = json!([{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}]);
        assert_eq!(asked("classes_none_3_012", &names), matrix);
    }

    #[test]
    fn what_is_no_tensor_is_not_promised() {
        assert_eq!(outputs(&graph("skl_gbc_ordinal_zipmap")), None);
        assert!(
            outputs(&graph("skl_gbc_ordinal")).is_some_and(|outputs| outputs.as_array().unwrap().len() == 2)
        );
    }
}
