//! MLflow's own Python client against the server: tracing, assessments, evaluation datasets, scorers.
//!
//! `GYRE_TEST_VENV` must name an environment with the packages of `tests/requirements.txt`; `cargo xtask test` sees to it.
use std::path::Path;
use std::process::Command;

use crate::support::Scene;

#[test]
fn the_python_client_works_as_it_is() {
    let venv = std::env::var_os("GYRE_TEST_VENV").expect(
        "GYRE_TEST_VENV is not set; run `cargo xtask test -- -p gyre-server`, which makes the environment with mlflow",
    );
    let scene = Scene::empty();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mlflow_traces.py");
    let output = Command::new(Path::new(&venv).join("bin/python"))
        .arg(script)
        .arg(format!("http://{}", scene.address))
        .env_remove("MLFLOW_TRACKING_URI")
        .env("GIT_PYTHON_REFRESH", "quiet")
        .output()
        .unwrap();
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{complained}");
    assert!(said.contains("everything is as it should be"), "{said}");
}
