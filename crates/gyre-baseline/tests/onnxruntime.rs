//! The exported models, run by the engine and by onnxruntime, give the same answers.
//!
//! onnxruntime lives in Python, so `GYRE_PYTHON` must name an interpreter that has the packages of
//! `gyre-runtime/tests/requirements.txt`; `cargo xtask test` sees to it.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use gyre_baseline::{Objective, Options, Target, Task, TrainTable, train};
use gyre_runtime::{Batch, Data, Model, Tensor};
use gyre_runtime::{Column, Table};
use serde_json::{Value, json};

fn noise(i: usize) -> f64 {
    ((i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / (1u64 << 24) as f64
}

fn table(rows: std::ops::Range<usize>) -> (Table, Vec<f64>) {
    let shop = |i: usize| ["north", "south", "east", ""][(noise(i) * 4.0) as usize];
    let price = |i: usize| if i.is_multiple_of(7) { f64::NAN } else { (noise(i + 500) * 20.0).floor() };
    let signal = rows
        .clone()
        .map(|i| shop(i).len() as f64 + if i.is_multiple_of(7) { 5.0 } else { price(i) / 4.0 })
        .collect();
    let table = Table::new([
        ("shop", Column::Text(rows.clone().map(|i| Some(shop(i).into())).collect())),
        ("price", Column::Numeric(rows.map(price).collect())),
    ]);
    (table.unwrap(), signal)
}

fn described(name: &str, tensor: &Tensor) -> Value {
    // Python reads NaN as text.
    let float = |x: f64| if x.is_finite() { json!(x) } else { json!("nan") };
    let (dtype, data): (&str, Vec<Value>) = match tensor.data() {
        Data::F32(v) => ("float32", v.iter().map(|&x| float(x.into())).collect()),
        Data::Str(v) => ("string", v.iter().map(|x| json!(x)).collect()),
        other => panic!("{other:?}"),
    };
    json!({"name": name, "dtype": dtype, "shape": &*tensor.shape(), "data": data})
}

/// Trains, and leaves the model beside its inputs and the engine's answers, as the oracle reads them.
fn leave(
    folder: &Path,
    name: &str,
    task: Task,
    objective: Objective,
    label: fn(f64) -> &'static str,
) -> String {
    let (features, signal) = table(0..1500);
    let target = match task {
        Task::Regression => Target::Numeric(signal),
        _ => Target::Labels(signal.into_iter().map(|s| label(s).to_owned()).collect()),
    };
    let options = Options { objective, rounds: 40, ..Options::default() };
    let trained = train(&TrainTable { features, target }, task, &options, None).unwrap();
    let (asked, _) = table(1400..1700);
    let mut batch = Batch::new();
    let mut inputs = Vec::new();
    for (name, column) in asked.columns() {
        let data = match column {
            Column::Numeric(v) => Data::F32(v.iter().map(|&x| x as f32).collect()),
            Column::Text(v) => Data::Str(v.iter().map(|t| t.clone().unwrap_or_default()).collect()),
        };
        let tensor = Tensor::column(data);
        inputs.push(described(name, &tensor));
        batch = batch.with(name.to_string(), tensor);
    }
    let outputs = Model::load(&trained.onnx).unwrap().run(&batch).unwrap();
    let outputs: Vec<Value> = outputs.iter().map(|o| described(&o.name, &o.tensor)).collect();
    let path = folder.join(name).with_extension("onnx");
    std::fs::write(&path, &trained.onnx).unwrap();
    std::fs::write(path.with_extension("json"), json!({"inputs": inputs, "outputs": outputs}).to_string())
        .unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn onnxruntime_gives_the_same_answers() {
    let folder = tempfile::tempdir().unwrap();
    let two = |s: f64| if s > 6.0 { "high" } else { "low" };
    let three = |s: f64| {
        if s > 8.0 {
            "high"
        } else if s > 5.0 {
            "mid"
        } else {
            "low"
        }
    };
    let paths = [
        leave(folder.path(), "squared", Task::Regression, Objective::Squared, two),
        leave(folder.path(), "absolute", Task::Regression, Objective::Absolute, two),
        leave(folder.path(), "binary", Task::Binary, Objective::Squared, two),
        leave(folder.path(), "multiclass", Task::Multiclass, Objective::Squared, three),
        leave(folder.path(), "multiclass_of_two", Task::Multiclass, Objective::Squared, two),
    ];
    let python = std::env::var_os("GYRE_PYTHON");
    let python = python
        .expect("GYRE_PYTHON names a Python with onnxruntime: run `cargo xtask test -- -p gyre-baseline`");
    let oracle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gyre-runtime/tests/oracle.py");
    let output = Command::new(python).arg(oracle).arg("--check").args(paths).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
