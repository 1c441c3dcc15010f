//! Reads the fixtures that `oracle.py` wrote.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::path::PathBuf;

use gyre_runtime::{Batch, Data, Tensor};
use serde::Deserialize;

/// A JSON value of a fixture; NaN and infinities are written as text.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Value {
    Number(f64),
    Text(String),
}

impl Value {
    pub fn number(&self) -> f64 {
        match self {
            Value::Number(x) => *x,
            Value::Text(text) => text.parse().unwrap(),
        }
    }

    pub fn text(&self) -> &str {
        match self {
            Value::Text(text) => text,
            Value::Number(_) => panic!("expected text, found {self:?}"),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct Named {
    pub name: String,
    #[serde(default)]
    pub dtype: String,
    pub shape: Vec<usize>,
    pub data: Vec<Value>,
}

impl Named {
    /// The tensor of these rows of a column or matrix.
    fn tensor(&self, rows: std::ops::Range<usize>) -> Tensor {
        let width: usize = self.shape[1..].iter().product();
        let values = &self.data[rows.start * width..rows.end * width];
        let data = match self.dtype.as_str() {
            "string" => Data::Str(values.iter().map(|v| v.text().into()).collect()),
            "float32" => Data::F32(values.iter().map(|v| v.number() as f32).collect()),
            "int64" => Data::I64(values.iter().map(|v| v.number() as i64).collect()),
            other => panic!("dtype {other}"),
        };
        let mut shape = self.shape.clone();
        shape[0] = rows.len();
        Tensor::new(&shape, data).unwrap()
    }
}

pub struct Fixture {
    pub model: Vec<u8>,
    pub batch: Batch,
    pub rows: usize,
    pub inputs: Vec<Named>,
    pub outputs: Vec<Named>,
}

impl Fixture {
    /// The batch of one row.
    pub fn row(&self, row: usize) -> Batch {
        self.inputs.iter().fold(Batch::new(), |batch, i| batch.with(&i.name, i.tensor(row..row + 1)))
    }
}

#[derive(Deserialize)]
struct File {
    inputs: Vec<Named>,
    outputs: Vec<Named>,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

pub fn fixture_names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .filter_map(|e| e.unwrap().file_name().into_string().unwrap().strip_suffix(".onnx").map(String::from))
        .collect();
    names.sort();
    names
}

pub fn fixture(name: &str) -> Fixture {
    let model = std::fs::read(folder().join(format!("{name}.onnx"))).unwrap();
    let text = std::fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
    let File { inputs, outputs } = serde_json::from_str(&text).unwrap();
    let rows = inputs[0].shape[0];
    let batch = inputs.iter().fold(Batch::new(), |batch, i| batch.with(&i.name, i.tensor(0..rows)));
    Fixture { model, batch, rows, inputs, outputs }
}
