//! The models that gyre trains itself, loaded by MLflow's real client.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::{Up, change, gyre, project};

/// What the gateway says of a row.
fn gateway(up: &Up, id: usize, row: &Value) -> f64 {
    let input = |name: &str, datatype: &str| json!({"name": name, "shape": [1, 1], "datatype": datatype, "data": [row[name]]});
    let answer = up.post(
        "/v2/models/minutes/infer",
        &json!({
            "id": id.to_string(),
            "parameters": {"event_time": "2025-02-10T12:00:00Z"},
            "inputs": [input("distance_km", "FP64"), input("hour", "FP64"), input("district", "BYTES")],
        }),
    );
    answer["outputs"][0]["data"][0].as_f64().unwrap()
}

#[test]
fn mlflow_loads_what_the_loop_trained_and_it_predicts_what_the_gateway_predicts() {
    let (_dir, root) = project();
    change(&root.join("gyre.yaml"), "candidate.latency_p99_ms <= 5.0", "candidate.latency_p99_ms <= 500.0");
    change(&root.join("dvc.yaml"), "--rounds 60", "--rounds 20");
    let up = Up::start(&root);
    gyre(&root, "train minutes --window 14d --as-of 2025-02-10T00:00:00Z").done();
    up.come_to("2025-02-10T00:00:00Z");

    let row =
        |km: f64, hour: f64, district: &str| json!({"distance_km": km, "hour": hour, "district": district});
    let rows = [row(5.0, 9.0, "east"), row(0.3, 23.0, "west"), row(40.5, 17.0, "nowhere")];
    let python =
        std::env::var("GYRE_TEST_VENV").expect("GYRE_TEST_VENV: run the tests through `cargo xtask test`");
    let mut client = Command::new(format!("{python}/bin/python"))
        .arg(format!("{}/tests/mlflow/load.py", env!("CARGO_MANIFEST_DIR")))
        .args([&up.url(), "minutes"])
        .current_dir(&root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    client.stdin.take().unwrap().write_all(json!(rows).to_string().as_bytes()).unwrap();
    let output = client.wait_with_output().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    let said: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();

    let files = ["MLmodel", "conda.yaml", "model.onnx", "python_env.yaml", "requirements.txt"];
    assert_eq!(said["files"], json!(files));
    // The bytes are those that the journal names.
    let entries = gyre(&root, "journal --kind version_registered --json").done().json();
    assert_eq!(entries["entries"][0]["fact"]["artifact"], said["sha256"]);
    for (at, row) in rows.iter().enumerate() {
        let (here, there) = (gateway(&up, at, row), said["predicted"][at].as_f64().unwrap());
        assert!((here - there).abs() <= 1e-5 * here.abs(), "{row}: {here} here, {there} with MLflow");
    }
}
