//! Bodies of requests, at every route of MLflow's protocol, over a real socket: each is answered properly. The first byte
//! of the input says which route, the rest is the body.

#![no_main]

use std::sync::LazyLock;

use gyre_fuzz::Running;
use libfuzzer_sys::fuzz_target;

static RUNNING: LazyLock<(Running, Vec<(String, String)>)> = LazyLock::new(|| {
    let mut routes: Vec<(String, String)> = gyre_server::routes()
        .into_iter()
        .filter(|route| route.method != "GET" && route.path.starts_with("/api/"))
        .map(|route| (route.method.to_string(), filled(&route.path)))
        .collect();
    routes.push(("POST".to_owned(), "/graphql".to_owned()));
    routes.push(("POST".to_owned(), "/v1/traces".to_owned()));
    (Running::start(|_| {}), routes)
});

/// The path with something in the place of its parameters.
fn filled(path: &str) -> String {
    let mut path = path.to_owned();
    while let (Some(from), Some(to)) = (path.find('{'), path.find('}')) {
        path.replace_range(from..=to, "1");
    }
    path
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, body)) = data.split_first() else { return };
    let (running, routes) = &*RUNNING;
    let (method, path) = &routes[usize::from(*choice) % routes.len()];
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         x-mlflow-experiment-id: 0\r\ncontent-length: {}\r\n",
        body.len()
    );
    let Some((status, said)) = running.ask(&head, body) else { return };
    let text = String::from_utf8_lossy(&said);
    assert!(status < 500 || status == 501, "{method} {path}: {status} {text}");
    if status >= 400 {
        let json: serde_json::Value = serde_json::from_slice(&said).expect("an error is JSON");
        assert!(json["error_code"].is_string() && json["message"].is_string(), "{method} {path}: {text}");
    }
});
