//! Clients of other servers, as they are: Triton's over HTTP and gRPC, KServe's, MLflow's scoring client.
//!
//! `cargo xtask test` installs them and says where they are.
use crate::support;
use std::process::Command;

use crate::support::{Scene, name};
use gyre_store::journal;

/// Runs a script with the Python that `variable` names, and returns what it says.
fn python(variable: &str, script: &str, arguments: &[&str]) -> String {
    let folder = std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set: run the tests through `cargo xtask test`"));
    let script = format!("{}/tests/{script}", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(format!("{folder}/bin/python")).arg(script).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn tritons_and_kserves_clients_work_in_every_call() {
    let scene = Scene::serving();
    let ask = |script: &str| python("GYRE_TEST_VENV_CLIENTS", script, &[&scene.address.to_string()]);
    let passed = ask("triton_client.py") + &ask("kserve_client.py");
    let count = |client: &str| passed.lines().filter(|line| line.starts_with(client)).count();
    assert_eq!((count("triton-http"), count("triton-grpc"), count("kserve")), (15, 15, 8), "{passed}");
    let entries = scene.store().read(|tx| journal::entries(tx, 0, 1_000)).unwrap();
    let kinds: Vec<&str> =
        entries.iter().map(|entry| entry.fact.kind()).filter(|kind| kind.starts_with("model_")).collect();
    assert_eq!(kinds, ["model_unloaded", "model_loaded", "model_unloaded", "model_loaded"]);
}

#[test]
fn no_page_of_another_site_reaches_the_methods_of_grpc() {
    let scene = Scene::serving();
    let methods = gyre_server::routes().into_iter().filter(|route| route.path.contains("GRPC"));
    for route in methods {
        for (header, value, status) in
            [("host", "evil.example", "3"), ("origin", "https://evil.example", "7")]
        {
            let refused = scene.connect().send("POST", &route.path, &[(header, value)], b"");
            assert_eq!(refused.header("grpc-status"), Some(status), "{} {header}", route.path);
        }
    }
    let unknown = scene.connect().send("POST", "/inference.GRPCInferenceService/TraceSetting", &[], b"");
    assert_eq!(unknown.header("grpc-status"), Some("12"));
}

#[test]
fn mlflows_scoring_client_works() {
    let scene = Scene::empty();
    scene.register("demand", 1, support::REGRESSOR, &[]);
    scene.desk.promote(&name("demand"), 1, "user:test", "first").unwrap();
    let (host, port) = (scene.address.ip().to_string(), scene.address.port().to_string());
    let said = python("GYRE_TEST_VENV", "scoring_client.py", &[&host, &port, "demand"]);
    assert_eq!(said.trim(), "done");
}

#[test]
fn what_a_model_has_done_is_there_for_scrapers() {
    let scene = Scene::serving();
    (0..3).for_each(|at| {
        assert_eq!(scene.post("/v2/models/demand/infer", &support::good(&format!("m{at}"))).status, 200)
    });
    let metrics = scene.get("/metrics");
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in [
        "nv_inference_request_success{model=\"demand\",version=\"1\"} 3",
        "nv_inference_count{model=\"demand\",version=\"1\"} 3",
        "request_predict_seconds_count{model=\"demand\",version=\"1\"} 3",
        "nv_inference_count{model=\"size\",version=\"1\"} 0",
        "gyre_inference_log_dropped_total{model=\"demand\"} 0",
    ] {
        assert!(metrics.body.lines().any(|found| found == line), "{line}\n{}", metrics.body);
    }
}
