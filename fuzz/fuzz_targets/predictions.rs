//! Bodies of predictions, in every form over HTTP, at a model with numbers and texts: each is answered, or refused as the
//! client's mistake. The first byte of the input says which form, the second how much of a body is JSON where tensors stand
//! behind it.

#![no_main]

use std::sync::LazyLock;

use gyre_core::runtime::Runtime;
use gyre_fuzz::Running;
use gyre_loop::{Desk, NewVersion};
use libfuzzer_sys::fuzz_target;

/// Gradient boosting over a number and a category, by LightGBM.
const MODEL: &[u8] = include_bytes!("../../crates/gyre-runtime/tests/fixtures/native/lightgbm.txt");

static RUNNING: LazyLock<Running> = LazyLock::new(|| Running::start(deploy));

fn deploy(desk: &Desk) {
    let model: gyre_core::ModelName = "m".parse().expect("a name");
    let artifact = desk.store().blobs().put(MODEL).expect("a blob");
    let new = NewVersion {
        model: model.clone(),
        runtime: Runtime::Native,
        artifact: Some(artifact),
        signature: None,
        source: None,
        run: None,
    };
    let version = desk.register(new, "user:fuzz").expect("a model").version;
    desk.deploy(&model, version, None, "user:fuzz", "to be asked").expect("a champion");
}

fuzz_target!(|data: &[u8]| {
    let [form, split, body @ ..] = data else { return };
    let json = "content-type: application/json\r\n".to_owned();
    let (path, headers) = match form % 5 {
        0 => ("/v2/models/m/infer", json),
        1 => {
            let length = body.len() * usize::from(*split) / 255;
            let binary = format!("inference-header-content-length: {length}\r\n");
            ("/v2/models/m/infer", format!("content-type: application/octet-stream\r\n{binary}"))
        }
        2 => ("/serve/m/invocations", json),
        3 => ("/serve/m/invocations", "content-type: text/csv\r\n".to_owned()),
        _ => ("/v2/models/m/explain", json),
    };
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {}\r\n", body.len());
    let Some((status, said)) = RUNNING.ask(&head, body) else { return };
    let text = String::from_utf8_lossy(&said);
    assert!(status < 500, "{path}: {status} {text}");
    let _: serde_json::Value =
        serde_json::from_slice(&said).unwrap_or_else(|error| panic!("{path}: {error}: {text}"));
});
