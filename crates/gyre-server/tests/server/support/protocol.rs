//! The routes of MLflow's protocol, taken from the server's own table: what a test does to each of them, it does to those
//! that come later too.

use gyre_server::{Need, Route};
use serde_json::{Value, json};

use super::{Answer, Scene};

/// What stands before the same path in its several spellings.
const BASES: [&str; 4] = ["/api/2.0", "/ajax-api/2.0", "/api/3.0", "/ajax-api/3.0"];

/// The path without its base.
pub fn tail(path: &str) -> &str {
    BASES.iter().find_map(|base| path.strip_prefix(base)).unwrap_or(path)
}

/// Every route of the protocol, under every spelling.
pub fn all() -> Vec<Route> {
    let speaks = ["/api/", "/ajax-api/", "/graphql", "/get-artifact", "/model-versions/", "/v1/traces"];
    let mut routes = gyre_server::routes();
    routes.retain(|route| speaks.iter().any(|prefix| route.path.starts_with(prefix)));
    routes
}

/// Every route once, under one of its spellings: they lead to the same handler.
pub fn distinct() -> Vec<Route> {
    let mut seen = std::collections::BTreeSet::new();
    let mut routes = all();
    routes.retain(|route| seen.insert((route.method.to_string(), tail(&route.path).to_owned())));
    assert!(routes.len() > 100, "only {} routes: is this the table?", routes.len());
    routes
}

/// What gyre says that it does not have: nothing of the request is looked at.
pub fn is_absent(route: &Route) -> bool {
    let parts = [
        "assistant",
        "gateway",
        "issues",
        "jobs",
        "label-schemas",
        "prompt-optimization",
        "review-queues",
        "workspaces",
        "scorers/online-config",
    ];
    let tail = tail(&route.path).trim_start_matches("/mlflow/");
    let exactly =
        |part: &str| tail == part || tail.strip_prefix(part).is_some_and(|rest| rest.starts_with('/'));
    route.need == Need::Read && parts.iter().any(|part| exactly(part))
}

/// Whether the body of a request is JSON. The others are those whose body is a file, and those that look at none.
pub fn takes_json(route: &Route) -> bool {
    let (method, tail) = (route.method.as_str(), tail(&route.path));
    let file = method == "PUT" || tail == "/mlflow/upload-artifact";
    let none = is_absent(route)
        || tail == "/mlflow/ui-telemetry"
        || tail.starts_with("/mlflow/artifacts/presigned-")
        || (method == "DELETE" && tail.starts_with("/mlflow-artifacts/"))
        || (method == "DELETE" && tail == "/mlflow/logged-models/{model_id}/tags/{tag_key}");
    method != "GET" && !file && !none
}

/// The path with `value` in the place of each parameter.
pub fn filled(route: &Route, value: &str) -> String {
    let mut path = route.path.clone();
    while let (Some(from), Some(to)) = (path.find('{'), path.find('}')) {
        path.replace_range(from..=to, value);
    }
    path
}

/// Whether `answer` is what a client may be told: what it asked for, or an error in MLflow's words that tells nothing of
/// the inside of the server.
#[track_caller]
pub fn assert_proper(answer: &Answer, what: &str) {
    if (200..400).contains(&answer.status) {
        return;
    }
    let said = &answer.body;
    assert!((400..500).contains(&answer.status) || answer.status == 501, "{what}: {} {said}", answer.status);
    assert_eq!(answer.header("content-type"), Some("application/json"), "{what}: {said}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{what}");
    let json = answer.json();
    let code = json["error_code"].as_str().unwrap_or_default();
    let is_code = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    assert!(is_code, "{what}: {said}");
    let message = json["message"].as_str().unwrap_or_default();
    assert!(!message.is_empty() && message.len() < 4_000, "{what}: {said}");
    for inside in ["SELECT ", "INSERT INTO", "tracking_runs", "panicked", "sqlite", "/src/", "root:x:"] {
        // What was sent may be repeated, so it is sent without these words in the way that they are looked for.
        assert!(!message.contains(inside), "{what} tells `{inside}`: {message}");
    }
}

/// Where most of the protocol is.
pub const API: &str = "/api/2.0/mlflow";
/// Where artifacts are.
pub const FILES: &str = "/api/2.0/mlflow-artifacts/artifacts";

/// Posts `body`.
pub fn ask(scene: &Scene, path: &str, body: &Value) -> Answer {
    scene.post(&format!("{API}{path}"), &body.to_string())
}

/// Posts `body`, and returns what was answered with 200.
#[track_caller]
pub fn done(scene: &Scene, path: &str, body: &Value) -> Value {
    let answer = ask(scene, path, body);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.json()
}

/// Whether the request was refused, in the words of the protocol.
#[track_caller]
pub fn refused(answer: &Answer, what: &str) {
    assert_proper(answer, what);
    assert!([400, 404].contains(&answer.status), "{what}: {} {}", answer.status, answer.body);
}

/// A run of experiment 0, or of another.
pub fn run(scene: &Scene, experiment: &Value) -> String {
    let made = done(scene, "/runs/create", &json!({ "experiment_id": experiment }));
    made["run"]["info"]["run_id"].as_str().unwrap().to_owned()
}

/// `text` with every byte percent-encoded.
pub fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}
