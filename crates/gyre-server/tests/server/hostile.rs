//! Nonsense and malice over a real socket, at every route of MLflow's protocol and on both databases: each request gets a
//! proper answer, and the server goes on.
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::protocol::{assert_proper, distinct, filled, is_absent, takes_json};
use crate::support::{Answer, Scene};
use gyre_server::Route;
use gyre_testing::{Place, on_both};
use serde_json::{Value, json};

on_both!(any_mixture_of_fields_and_values_gets_a_proper_answer, any_name_in_a_path_gets_a_proper_answer);

/// What every request is sent with; the experiment is for the route that asks for it in a header.
const JSON: [(&str, &str); 2] = [("content-type", "application/json"), ("x-mlflow-experiment-id", "0")];

fn send(scene: &Scene, route: &Route, path: &str, body: &[u8]) -> Answer {
    scene.connect().send(route.method.as_str(), path, &JSON, body)
}

/// The server is as it was: it answers, and it writes.
fn assert_alive(scene: &Scene) {
    let made = scene.post("/api/2.0/mlflow/runs/create", r#"{"experiment_id": "0"}"#);
    assert_eq!((scene.get("/health").status, made.status), (200, 200), "{}", made.body);
}

#[test]
fn what_is_no_json_is_said_to_be_none() {
    let scene = Scene::empty();
    let deep = |open: &str| open.repeat(100_000).into_bytes();
    let malformed: [(&str, Vec<u8>); 14] = [
        ("cut off", b"{".to_vec()),
        ("without a value", b"{\"run_id\": }".to_vec()),
        ("words", b"run_id=1&name=x".to_vec()),
        ("two objects", b"{}{}".to_vec()),
        ("an open string", b"{\"run_id\": \"".to_vec()),
        ("a bare NaN", b"{\"value\": NaN}".to_vec()),
        ("a comment", b"{/* */}".to_vec()),
        ("single quotes", b"{'run_id': 'x'}".to_vec()),
        ("NUL bytes", vec![0; 64]),
        ("no UTF-8", b"\xff\xfe{\x00}\x00".to_vec()),
        ("JSON in JSON, broken", b"\"{\\\"run_id\\\": \"".to_vec()),
        ("deep lists", deep("[")),
        ("deep objects", deep("{\"a\":")),
        ("deep lists in a field", [b"{\"tags\":".to_vec(), deep("[")].concat()),
    ];
    for route in distinct().iter().filter(|route| takes_json(route)) {
        for (what, body) in &malformed {
            let what = format!("{} {} with {what}", route.method, route.path);
            let answer = send(&scene, route, &filled(route, "1"), body);
            assert_proper(&answer, &what);
            assert_eq!(answer.status, 400, "{what}: {}", answer.body);
        }
        // Of the right form, and of the wrong kind.
        for body in ["[]", "[1, 2]", "7", "true", "null", "\"text\"", "\"[]\""] {
            let what = format!("{} {} with {body}", route.method, route.path);
            let answer = send(&scene, route, &filled(route, "1"), body.as_bytes());
            assert_proper(&answer, &what);
            assert!(answer.status >= 400, "{what}: {}", answer.body);
        }
    }
    assert_alive(&scene);
}

#[test]
fn a_body_that_is_too_large_is_refused_before_it_comes() {
    let scene = Scene::empty();
    const LARGE: usize = 100 << 20;
    for route in distinct().iter().filter(|route| takes_json(route)) {
        let mut client = scene.connect();
        let path = filled(route, "1");
        let head = format!(
            "{} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             x-mlflow-experiment-id: 0\r\ncontent-length: {LARGE}\r\n\r\n",
            route.method
        );
        // Not a byte of the body is sent: a server that waited for it would not answer.
        client.begin(head.as_bytes());
        let answer = client.answer();
        assert_proper(&answer, &path);
        assert_eq!((answer.status, &answer.json()["error_code"]), (413, &json!("BAD_REQUEST")), "{path}");
    }
    assert_alive(&scene);
}

#[test]
fn a_body_that_does_not_say_its_length_is_cut_off_at_the_limit() {
    let scene = Scene::empty();
    let stream = TcpStream::connect(scene.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut sending = stream.try_clone().unwrap();
    let sent = std::thread::spawn(move || {
        let head = "POST /api/2.0/mlflow/runs/log-batch HTTP/1.1\r\nhost: localhost\r\n\
                    content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut chunk = format!("{:x}\r\n", 1 << 20).into_bytes();
        chunk.extend(vec![b' '; 1 << 20]);
        chunk.extend(b"\r\n");
        let mut sent = 0;
        // Whoever is refused while it sends sees the connection end.
        if sending.write_all(head.as_bytes()).is_ok() {
            while sent < 100 && sending.write_all(&chunk).is_ok() {
                sent += 1;
            }
        }
        sent
    });
    let mut told = Vec::new();
    let mut stream = stream;
    // The end of the connection may come as an error; what was told before it has been read.
    let _ = stream.read_to_end(&mut told);
    let told = String::from_utf8(told).unwrap();
    assert!(told.starts_with("HTTP/1.1 413 ") && told.contains("\"BAD_REQUEST\""), "{told}");
    // The limit is 32 MiB; what lies in the buffers of both sockets comes on top.
    let sent = sent.join().unwrap();
    assert!(sent < 64, "{sent} MiB were taken in");
    assert_alive(&scene);
}

/// Names where a path has a parameter, as they stand in a URL.
const NAMES: [&str; 16] = [
    "%00",
    "a%00b",
    "%ff",
    "%ff%fe",
    "%c0%ae%c0%ae",
    "%",
    "%zz",
    "..",
    "%2e%2e",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "-1",
    "99999999999999999999",
    "1e999",
    "x'%3b%20drop%20table%20runs%3b--",
    "%F0%9F%92%A9",
    "%7b%7d",
];

fn any_name_in_a_path_gets_a_proper_answer(place: &Place) {
    let scene = Scene::at(place);
    let long = "a".repeat(6_000);
    for route in distinct().iter().filter(|route| route.path.contains('{')) {
        for name in NAMES.iter().copied().chain([long.as_str()]) {
            let path = filled(route, name);
            let shown: String = path.chars().take(120).collect();
            let answer = send(&scene, route, &path, b"{}");
            assert_proper(&answer, &format!("{} {shown}", route.method));
        }
    }
    assert_alive(&scene);
}

/// Seeded, so that a failing request comes again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn one_of<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.roll(of.len())]
    }
}

/// Fields of the protocol's requests, each with something that a client would send.
fn fields(run: &str, model: &str) -> Vec<(&'static str, Value)> {
    let location = json!([{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}]);
    let info = json!({"trace_id": "tr-1", "trace_location": location[0], "state": "OK", "execution_duration": "1.5s",
                      "request_time": "2026-03-01T00:00:00Z", "tags": {"a": "b"}, "trace_metadata": {"m": "x"}});
    let feedback = json!({"value": 1});
    let assessment = json!({"assessment_name": "good", "trace_id": "tr-1", "feedback": feedback,
                            "source": {"source_type": "HUMAN", "source_id": "me"}});
    let metric = json!({"key": "m", "value": 1, "timestamp": 1, "step": 1});
    vec![
        ("run_id", json!(run)),
        ("run_uuid", json!(run)),
        ("run_ids", json!([run])),
        ("experiment_id", json!("0")),
        ("experiment_ids", json!(["0"])),
        ("experiment_name", json!("Default")),
        ("name", json!("m")),
        ("new_name", json!("n")),
        ("version", json!("1")),
        ("alias", json!("best")),
        ("stage", json!("Production")),
        ("stages", json!(["None"])),
        ("archive_existing_versions", json!(true)),
        ("source", json!(format!("runs:/{run}/model"))),
        ("description", json!("text")),
        ("key", json!("k")),
        ("value", json!("1")),
        ("timestamp", json!(1)),
        ("step", json!(1)),
        ("status", json!("FINISHED")),
        ("start_time", json!(1)),
        ("end_time", json!(2)),
        ("run_name", json!("calm")),
        ("metrics", json!([metric])),
        ("params", json!([{"key": "p", "value": "1"}])),
        ("tags", json!([{"key": "t", "value": "1"}])),
        ("datasets", json!([{"dataset": {"name": "d", "digest": "1", "source_type": "s", "source": "s"}}])),
        ("models", json!([{"model_id": model, "step": 1}])),
        ("model_id", json!(model)),
        ("model_json", json!("{\"artifact_path\": \"m\", \"utc_time_created\": \"now\"}")),
        ("source_run_id", json!(run)),
        ("filter", json!("tags.a = 'b'")),
        ("filter_string", json!("name = 'd'")),
        ("base_filter", json!("tags.a = 'b'")),
        ("filters", json!(["tags.a = 'b'"])),
        ("order_by", json!(["start_time DESC"])),
        ("max_results", json!(2)),
        ("page_token", json!("eyJvZmZzZXQiOiAxfQ==")),
        ("run_view_type", json!("ALL")),
        ("view_type", json!("ALL")),
        ("metric_key", json!("m")),
        ("start_step", json!(0)),
        ("end_step", json!(9)),
        ("artifact_location", json!("mlflow-artifacts:/x")),
        ("path", json!("model/MLmodel")),
        ("artifact_file_path", json!("MLmodel")),
        ("artifact_directory_path", json!("model")),
        ("upload_id", json!("u")),
        ("num_parts", json!(2)),
        ("parts", json!([{"part_number": 1, "etag": "x"}])),
        ("query", json!("query { mlflowGetRun(input: {runId: \"x\"}) { run { info { runId } } } }")),
        ("variables", json!({"a": 1})),
        ("operationName", json!("q")),
        ("trace", json!({"trace_info": info})),
        ("trace_id", json!("tr-1")),
        ("trace_ids", json!(["tr-1"])),
        ("request_ids", json!(["tr-1"])),
        ("max_timestamp_millis", json!(5)),
        ("max_traces", json!(5)),
        ("locations", location),
        ("timestamp_ms", json!(1)),
        ("request_metadata", json!([{"key": "a", "value": "b"}])),
        ("prompt_versions", json!([{"name": "p", "version": "1"}])),
        ("assessment", assessment),
        ("update_mask", json!("feedback")),
        ("metric_name", json!("trace_count")),
        ("aggregations", json!([{"aggregation_type": "COUNT"}])),
        ("dimensions", json!(["trace_name"])),
        ("time_interval_seconds", json!(3600)),
        ("records", json!("[{\"inputs\": {\"q\": 1}}]")),
        ("dataset_record_ids", json!(["r"])),
        ("serialized_scorer", json!("{\"name\": \"s\"}")),
        ("url", json!("ftp://example.invalid/")),
        ("events", json!([{"entity": "REGISTERED_MODEL", "action": "CREATED"}])),
        ("event", json!({"entity": "REGISTERED_MODEL", "action": "CREATED"})),
        ("secret", json!("hush")),
        ("resourceSpans", json!([{"scopeSpans": [{"spans": [{"traceId": "00", "spanId": "00"}]}]}])),
    ]
}

/// What no field should hold, as it stands in JSON; some of it is none.
fn hostile() -> Vec<Vec<u8>> {
    let mut values: Vec<Vec<u8>> = [
        "null",
        "true",
        "7",
        "-1",
        "0",
        "0.5",
        "-0",
        "1e308",
        "1e999",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551616",
        "NaN",
        "Infinity",
        "\"\"",
        "\"NaN\"",
        "\"-Infinity\"",
        "\"\\u0000\"",
        "\"a\\u0000b\"",
        "\"\\ud800\"",
        "\"\\udc00\\ud800\"",
        "\"\\u202e\\ufffe\"",
        "\"%\"",
        "\"x' or '1'='1\"",
        "\"x'; drop table runs; --\"",
        "\"`\"",
        "\"../../etc/passwd\"",
        "\"file:///etc/passwd\"",
        "\"<script>alert(1)</script>\"",
        "\"{{7*7}}\"",
        "\"$(touch x)\"",
        "[]",
        "[[]]",
        "[null]",
        "[0, \"\", {}]",
        "{}",
        "{\"\": \"\"}",
        "{\"key\": \"\\u0000\", \"value\": \"\\u0000\"}",
        "[{\"key\": \"a\\u0000\", \"value\": \"\\u0000\"}]",
        "[{\"key\": \"k\", \"value\": {}}]",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    values.push(b"\"\xff\xfe\"".to_vec());
    values.push(format!("\"{}\"", "9".repeat(400)).into_bytes());
    values.push("9".repeat(400).into_bytes());
    values.push(format!("\"{}\"", "\u{1d11e}".repeat(20_000)).into_bytes());
    values.push(format!("{}{}", "[".repeat(200), "]".repeat(200)).into_bytes());
    values.push(format!("[{}\"0\"]", "\"0\", ".repeat(2_000)).into_bytes());
    values
}

/// A body of some fields, one of them at least not what it should be.
fn body(dice: &mut Dice, fields: &[(&str, Value)], hostile: &[Vec<u8>]) -> Vec<u8> {
    let mut body = b"{".to_vec();
    let count = 1 + dice.roll(fields.len());
    for n in 0..count {
        let (name, good) = dice.one_of(fields);
        let bad = n == 0 || dice.roll(12) == 0;
        let value = if bad { dice.one_of(hostile).clone() } else { good.to_string().into_bytes() };
        let comma = if n == 0 { "" } else { ", " };
        body.extend(format!("{comma}\"{name}\": ").into_bytes());
        body.extend(value);
    }
    body.push(b'}');
    body
}

/// The same as a query, with what a query alone can hold.
fn query(dice: &mut Dice, fields: &[(&str, Value)], hostile: &[Vec<u8>]) -> String {
    const RAW: [&str; 8] = ["%00", "%ff", "%", "%zz", "", "+", "%26%3d", "a&a"];
    let mut query = String::new();
    for n in 0..1 + dice.roll(12) {
        let (name, good) = dice.one_of(fields);
        let value = match dice.roll(if n == 0 { 2 } else { 12 }) {
            0 => (*dice.one_of(&RAW)).to_owned(),
            1 => {
                let value: &Vec<u8> = dice.one_of(hostile);
                value.iter().take(500).map(|byte| format!("%{byte:02x}")).collect()
            }
            _ => {
                let plain = good.as_array().map_or(good, |list| &list[0]);
                let text = plain.as_str().map_or_else(|| plain.to_string(), str::to_owned);
                text.bytes().map(|byte| format!("%{byte:02x}")).collect()
            }
        };
        query.push_str(&format!("{}{name}={value}", if n == 0 { "?" } else { "&" }));
    }
    query
}

/// Requests to each route.
const ROUNDS: usize = 40;

fn any_mixture_of_fields_and_values_gets_a_proper_answer(place: &Place) {
    let scene = Scene::at(place);
    let made = |path: &str, body: Value| {
        let answer = scene.post(&format!("/api/2.0/mlflow/{path}"), &body.to_string());
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    };
    let run = made("runs/create", json!({"experiment_id": "0"}))["run"]["info"]["run_id"].clone();
    let model = made("logged-models", json!({"experiment_id": "0", "name": "l"}));
    let model = model["model"]["info"]["model_id"].as_str().unwrap().to_owned();
    made("registered-models/create", json!({"name": "m"}));
    let (fields, hostile) = (fields(run.as_str().unwrap(), &model), hostile());
    for (place, route) in distinct().iter().filter(|route| !is_absent(route)).enumerate() {
        let mut dice = Dice(place as u64);
        let names = [run.as_str().unwrap(), model.as_str(), "tr-1", "m", "1"];
        for round in 0..ROUNDS {
            let mut path = filled(route, names[dice.roll(names.len())]);
            let mut sent = Vec::new();
            if takes_json(route) {
                sent = body(&mut dice, &fields, &hostile);
            } else {
                path.push_str(&query(&mut dice, &fields, &hostile));
            }
            let shown = String::from_utf8_lossy(&sent).chars().take(2_000).collect::<String>();
            let answer = send(&scene, route, &path, &sent);
            assert_proper(&answer, &format!("route {place}, round {round}: {} {path} {shown}", route.method));
        }
    }
    assert_alive(&scene);
}
