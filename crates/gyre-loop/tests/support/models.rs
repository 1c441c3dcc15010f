//! Models: one trained on the rows of a run, the others made by hand to be wrong in one way each.

use std::path::Path;

use gyre_baseline::{Options, Target, Task, TrainTable, train};
use gyre_data::table::Table as File;
use gyre_runtime::proto::{
    DimensionProto, DimensionValue, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, TypeValue,
    ValueInfoProto, data_type,
};
use gyre_runtime::{Column, Table};
use prost::Message;

/// The train stage: reads the run's rows and writes the reference model, in the folder that it is started in.
pub fn train_stage() {
    let (mut heat, mut clay, mut minutes) = (Vec::new(), Vec::new(), Vec::new());
    for batch in File::open(Path::new("data/train.parquet")).unwrap() {
        let batch = batch.unwrap();
        heat.extend(batch.numbers("heat").unwrap().into_iter().map(Option::unwrap));
        clay.extend(batch.categories("clay").unwrap());
        minutes.extend(batch.numbers("minutes").unwrap().into_iter().map(Option::unwrap));
    }
    let rows = heat.len();
    let features = Table::new([("heat", Column::Numeric(heat)), ("clay", Column::Text(clay))]).unwrap();
    let table = TrainTable { features, target: Target::Numeric(minutes) };
    let options = Options { rounds: 30, learning_rate: 0.3, leaves: 15, leaf_rows: 5, ..Options::default() };
    let trained = train(&table, Task::Regression, &options, None).unwrap();
    std::fs::write("out/model.onnx", trained.onnx).unwrap();
    println!("trained on {rows} firings");
}

/// The summer's law, exact but for the clay, wherever there is any heat; NaN without: `20 + heat / 2 + 0 / heat`.
pub fn breaks_on_cold() -> Vec<u8> {
    let nodes = vec![
        node("Mul", &["heat", "half"], "slope"),
        node("Div", &["zero", "heat"], "nothing"),
        node("Add", &["slope", "nothing"], "warm"),
        node("Add", &["warm", "base"], "prediction"),
    ];
    file(nodes, vec![constant("half", 0.5), constant("zero", 0.0), constant("base", 21.0)])
}

/// The summer's law of white clay, for both: `20 + heat / 2`.
pub fn blind_to_clay() -> Vec<u8> {
    let nodes = vec![node("Mul", &["heat", "half"], "slope"), node("Add", &["slope", "base"], "prediction")];
    file(nodes, vec![constant("half", 0.5), constant("base", 20.0)])
}

/// NaN, whatever it is asked: `heat · 0 / 0`.
pub fn never_a_number() -> Vec<u8> {
    let nodes =
        vec![node("Mul", &["heat", "zero"], "nothing"), node("Div", &["nothing", "zero"], "prediction")];
    file(nodes, vec![constant("zero", 0.0)])
}

/// Asks for an operator that could do anything.
pub fn unknown_operator() -> Vec<u8> {
    file(vec![node("PyOp", &["heat"], "prediction")], vec![])
}

/// Keeps a constant in a file outside the model.
pub fn external_data() -> Vec<u8> {
    let place = StringStringEntryProto { key: "location".into(), value: "/etc/passwd".into() };
    let outside = TensorProto {
        data_location: 1,
        external_data: vec![place],
        float_data: vec![],
        ..constant("half", 0.5)
    };
    file(vec![node("Mul", &["heat", "half"], "prediction")], vec![outside])
}

fn file(node: Vec<NodeProto>, initializer: Vec<TensorProto>) -> Vec<u8> {
    let opset = |domain: &str, version| OperatorSetIdProto { domain: domain.into(), version };
    let graph = GraphProto {
        name: "by hand".into(),
        node,
        initializer,
        input: vec![port("heat", data_type::FLOAT), port("clay", data_type::STRING)],
        output: vec![port("prediction", data_type::FLOAT)],
    };
    let opset_import = vec![opset("", 17), opset("ai.onnx.ml", 3)];
    ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() }.encode_to_vec()
}

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: op.into(),
        input: inputs.iter().map(ToString::to_string).collect(),
        output: vec![output.into()],
        ..Default::default()
    }
}

fn constant(name: &str, value: f32) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: vec![1],
        data_type: data_type::FLOAT,
        float_data: vec![value],
        ..Default::default()
    }
}

/// One value a row.
fn port(name: &str, elem_type: i32) -> ValueInfoProto {
    let size = |size| DimensionProto { value: Some(size) };
    let dim = vec![size(DimensionValue::Name("n".into())), size(DimensionValue::Size(1))];
    let tensor = TensorTypeProto { elem_type, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { value: Some(TypeValue::Tensor(tensor)) }) }
}
