//! MLflow's own pages, served by gyre, in a real browser: what a person would see and do there.
//!
//! `cargo xtask test` installs the browser, the pages (they are part of the `mlflow` package) and the driver.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{Up, gyre};

fn tool(variable: &str) -> String {
    std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set: run the tests through `cargo xtask test`"))
}

fn script(name: &str) -> String {
    format!("{}/tests/mlflow_ui/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// The `mlflow` package of the tests' environment.
fn package(venv: &str) -> String {
    let said = run(Command::new(format!("{venv}/bin/python")).args([
        "-c",
        "import importlib.util; print(importlib.util.find_spec('mlflow').submodule_search_locations[0])",
    ]));
    said.trim().to_owned()
}

#[test]
fn a_person_finds_their_way_through_mlflows_own_pages() {
    let dir = tempfile::tempdir().unwrap();
    let (project, browser) = (dir.path().join("project"), dir.path().join("browser"));
    std::fs::create_dir_all(&project).unwrap();
    std::fs::create_dir_all(&browser).unwrap();
    let venv = tool("GYRE_TEST_VENV");
    let up = Up::start_with(&project, &["--mlflow-ui", &package(&venv)]);

    let filled = run(Command::new(format!("{venv}/bin/python"))
        .arg(script("fill.py"))
        .arg(up.url())
        .current_dir(&project));
    let filled = filled.lines().last().unwrap();
    // What the browser leaves on a failure stays, so that it can be looked at.
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mlflow-ui");
    let mut node = Command::new("node");
    node.arg(script("look.js")).args([&format!("{}/mlflow/", up.url()), filled]).arg(&browser).arg(&shots);
    run(node.env("NODE_PATH", tool("GYRE_TEST_NODE_MODULES")));

    // What was done with the mouse is in the journal, as everything is.
    let entries = gyre(&project, "journal --json --limit 1000").done().json();
    let changes: Vec<&Value> =
        entries["entries"].as_array().unwrap().iter().map(|entry| &entry["fact"]["change"]).collect();
    for change in ["run_deleted", "run_restored", "model_created", "version_created", "alias_set"] {
        assert!(changes.iter().any(|found| *found == change), "{change} is not among {changes:?}");
    }
    gyre(&project, "journal verify").done();
}
