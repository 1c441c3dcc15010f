//! Small models made by hand, requests for them, and gateways in temporary folders.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use gyre_core::record::{Field, Kind, Label, Signature, Value};
use gyre_core::time::{ManualClock, Period};
use gyre_core::{ModelName, Timestamp, Version};
use gyre_gateway::{Gateway, Input, LogOptions, Request};
use gyre_runtime::proto::{
    AttributeProto, DimensionProto, DimensionValue, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, TypeValue, ValueInfoProto, attribute_type,
    data_type,
};
use gyre_store::Store;
use prost::Message;

pub const HOUR: i64 = 3_600_000;

pub fn name() -> ModelName {
    "air-time".parse().unwrap()
}

pub fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub fn period(from: i64, to: i64) -> Period {
    Period { from: at(from), to: at(to) }
}

fn port(name: &str, elem_type: i32, columns: i64) -> ValueInfoProto {
    let size = |size| DimensionProto { value: Some(size) };
    let dim = vec![size(DimensionValue::Name("n".into())), size(DimensionValue::Size(columns))];
    let tensor = TensorTypeProto { elem_type, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { value: Some(TypeValue::Tensor(tensor)) }) }
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

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: op.into(),
        input: inputs.iter().map(ToString::to_string).collect(),
        output: vec![output.into()],
        ..Default::default()
    }
}

fn file(graph: GraphProto) -> Vec<u8> {
    let set = |domain: &str, version| OperatorSetIdProto { domain: domain.into(), version };
    let opset_import = vec![set("", 17), set("ai.onnx.ml", 3)];
    ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() }.encode_to_vec()
}

/// `(distance · factor) / hour`: infinite at hour 0. The carrier is read and not used.
pub fn regression(factor: f32) -> Vec<u8> {
    let graph = GraphProto {
        name: "regression".into(),
        node: vec![
            node("Mul", &["distance", "factor"], "scaled"),
            node("Div", &["scaled", "hour"], "minutes"),
        ],
        initializer: vec![constant("factor", factor)],
        input: vec![
            port("distance", data_type::FLOAT, 1),
            port("hour", data_type::FLOAT, 1),
            port("carrier", data_type::STRING, 1),
        ],
        output: vec![port("minutes", data_type::FLOAT, 1)],
    };
    file(graph)
}

pub fn regression_signature() -> Signature {
    let field = |name: &str, kind| Field { name: name.into(), kind };
    Signature {
        inputs: vec![
            field("distance", Kind::Number),
            field("hour", Kind::Number),
            field("carrier", Kind::Text),
        ],
        output: "air_time".into(),
        classes: vec![],
    }
}

/// Two classes, `late` where `delay` is above 0.
pub fn classifier() -> Vec<u8> {
    let floats = |name: &str, floats: Vec<f32>| AttributeProto {
        name: name.into(),
        floats,
        r#type: attribute_type::FLOATS,
        ..Default::default()
    };
    let graph = GraphProto {
        name: "classifier".into(),
        node: vec![NodeProto {
            op_type: "LinearClassifier".into(),
            domain: "ai.onnx.ml".into(),
            input: vec!["delay".into()],
            output: vec!["label".into(), "probabilities".into()],
            attribute: vec![
                floats("coefficients", vec![-1.0, 1.0]),
                floats("intercepts", vec![0.0, 0.0]),
                AttributeProto {
                    name: "classlabels_strings".into(),
                    strings: vec![b"early".to_vec(), b"late".to_vec()],
                    r#type: attribute_type::STRINGS,
                    ..Default::default()
                },
                AttributeProto {
                    name: "post_transform".into(),
                    s: b"SOFTMAX".to_vec(),
                    r#type: attribute_type::STRING,
                    ..Default::default()
                },
            ],
            ..Default::default()
        }],
        initializer: vec![],
        input: vec![port("delay", data_type::FLOAT, 1)],
        output: vec![port("label", data_type::STRING, 1), port("probabilities", data_type::FLOAT, 2)],
    };
    file(graph)
}

pub fn classifier_signature() -> Signature {
    Signature {
        inputs: vec![Field { name: "delay".into(), kind: Kind::Number }],
        output: "class".into(),
        classes: vec!["early".into(), "late".into()],
    }
}

pub fn store(dir: &Path) -> Arc<Store> {
    Arc::new(Store::open(&dir.join("store"), &[], Arc::new(ManualClock::at(at(7)))).unwrap())
}

pub fn gateway_with(dir: &Path, options: LogOptions) -> Gateway {
    Gateway::open_with(dir.join("log"), store(dir), options).unwrap()
}

/// A gateway in `dir` with versions 1 (factor 1), 2 (factor 2) and 3 (factor 3); version 1 takes all traffic.
pub fn serving(dir: &Path, options: LogOptions) -> Gateway {
    let gateway = gateway_with(dir, options);
    for version in 1..=3_u8 {
        let artifact = regression(version.into());
        gateway.load(&name(), version.into(), regression_signature(), &artifact).unwrap();
    }
    gateway.set_traffic(&name(), &[(1, 10_000)], 1).unwrap();
    gateway
}

/// One row a id, in hour 1, so that version `v` answers `v · distance`, with the row as the distance.
pub fn request(ids: &[&str], time: i64) -> Request {
    let rows = ids.len();
    Request {
        ids: ids.iter().map(|id| (*id).into()).collect(),
        key: None,
        time: at(time),
        inputs: vec![
            Input::numbers("distance", (0..rows).map(|row| row as f64).collect()),
            Input::numbers("hour", vec![1.0; rows]),
            Input::texts("carrier", (0..rows).map(|row| (row % 3 > 0).then(|| "UA".into())).collect()),
        ],
        headers: Default::default(),
    }
}

/// A request of one row that makes the models answer infinity.
pub fn hopeless(id: &str) -> Request {
    let mut request = request(&[id], 0);
    request.inputs[0] = Input::numbers("distance", vec![1.0]);
    request.inputs[1] = Input::numbers("hour", vec![0.0]);
    request
}

pub fn label(id: &str, time: i64, value: f64) -> Label {
    Label { id: id.into(), time: at(time), value: Value::Number(value) }
}

pub fn share_of(gateway: &Gateway, version: Version, ids: &[String]) -> f64 {
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let answers = gateway.infer("air-time", None, request(&ids, 0)).unwrap();
    answers.iter().filter(|answer| answer.version == version).count() as f64 / ids.len() as f64
}

/// The product of three numbers under these names.
pub fn product(names: [&str; 3]) -> Vec<u8> {
    let graph = GraphProto {
        name: "product".into(),
        node: vec![node("Mul", &names[..2], "half"), node("Mul", &["half", names[2]], "whole")],
        input: names.map(|name| port(name, data_type::FLOAT, 1)).to_vec(),
        output: vec![port("whole", data_type::FLOAT, 1)],
        ..Default::default()
    };
    file(graph)
}
