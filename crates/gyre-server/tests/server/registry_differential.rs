//! MLflow's own server and gyre, asked the same: see registry_differential.py.
use std::process::Command;

use crate::support::Scene;
use gyre_access::egress::Egress;

#[test]
fn the_registry_answers_as_mlflows_own_server_does() {
    let python = std::env::var_os("GYRE_PYTHON")
        .expect("GYRE_PYTHON names a Python with mlflow: run `cargo xtask test -- -p gyre-server`");
    // MLflow's server is told the same.
    let scene = Scene::ticking(|app| app.with_egress(Egress::new(vec!["127.0.0.1".parse().unwrap()])));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/registry_differential.py");
    let run = Command::new(python).arg(script).arg(format!("http://{}", scene.address)).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{out}\n{err}");
}
