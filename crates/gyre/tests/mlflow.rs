//! Real clients of MLflow, as they are, against a real server: Python of two generations, and Node.
//!
//! `cargo xtask test` installs them and says where they are.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{Up, gyre};

/// Where the tests' tools are, as `cargo xtask test` says.
fn tool(variable: &str) -> String {
    std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set: run the tests through `cargo xtask test`"))
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn script(name: &str) -> String {
    format!("{}/tests/mlflow/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Runs the whole way with the client in the environment that `variable` names, and returns what it says at the end.
fn flow(up: &Up, root: &Path, variable: &str) -> Value {
    let python = format!("{}/bin/python", tool(variable));
    let said = run(Command::new(python).arg(script("flow.py")).arg(up.url()).current_dir(root));
    serde_json::from_str(said.lines().last().unwrap()).unwrap()
}

#[test]
fn clients_of_mlflow_3_and_2_go_the_whole_way() {
    let dir = tempfile::tempdir().unwrap();
    let up = Up::start(dir.path());
    let three = flow(&up, dir.path(), "GYRE_TEST_VENV");
    assert!(three["client"].as_str().unwrap().starts_with("3."), "{three}");
    let two = flow(&up, dir.path(), "GYRE_TEST_VENV_CLIENTS");
    assert!(two["client"].as_str().unwrap().starts_with("2."), "{two}");

    // What they did is in the journal, by whom and from where, and the journal holds.
    let entries = gyre(dir.path(), "journal --json --limit 1000").done().json();
    let entries = entries["entries"].as_array().unwrap().clone();
    let of = |kind: &str, change: &str| {
        entries
            .iter()
            .filter(|entry| entry["fact"]["kind"] == kind && entry["fact"]["change"] == change)
            .cloned()
            .collect::<Vec<Value>>()
    };
    let ended = of("tracking", "run_ended");
    assert!(ended.len() >= 10 && ended.iter().all(|entry| entry["fact"]["digest"].is_string()), "{ended:?}");
    assert!(ended[0]["origin"].as_str().is_some_and(|origin| origin.contains("mlflow-python-client")));
    let made = of("registry", "version_created");
    assert_eq!(made.len(), 4, "{made:?}");
    assert!(
        made.iter().all(|entry| entry["fact"]["digest"].is_string()),
        "each names its tree of files: {made:?}"
    );
    gyre(dir.path(), "journal verify").done();
}

#[test]
fn a_client_of_another_language_goes_a_smaller_round() {
    let dir = tempfile::tempdir().unwrap();
    let up = Up::start(dir.path());
    let modules = tool("GYRE_TEST_NODE_MODULES");
    let mut node = Command::new("node");
    let said = run(node.arg(script("small.js")).arg(up.url()).env("NODE_PATH", modules));
    assert_eq!(said.lines().last().unwrap().len(), 32, "{said}");
}
