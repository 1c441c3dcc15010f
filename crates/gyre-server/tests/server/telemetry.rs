//! Spans of one gyre's requests, sent to another as their collector: whose request it was, and what was done for it.
use std::net::TcpListener;
use std::time::{Duration, Instant};

use gyre_server::Telemetry;
use serde_json::{Value, json};

use crate::support::{Answer, Scene, good};

const INFER: &str = "/v2/models/demand/infer";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// How long it is waited for spans to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that sends its spans to `endpoint`, by these variables too.
fn sending(endpoint: String, more: &'static [(&'static str, &'static str)]) -> Scene {
    Scene::ticking(move |app| {
        let telemetry = Telemetry::from_variables(|name| match name {
            "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(endpoint.clone()),
            "OTEL_EXPORTER_OTLP_HEADERS" => Some("x-mlflow-experiment-id=0".to_owned()),
            "OTEL_SERVICE_NAME" => Some("shop".to_owned()),
            "OTEL_BSP_SCHEDULE_DELAY" => Some("10".to_owned()),
            _ => more.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()),
        });
        app.with_telemetry(telemetry.unwrap().unwrap())
    })
    .with_models()
}

fn ask(scene: &Scene, id: &str, headers: &[(&str, &str)]) -> Answer {
    scene.connect().send("POST", INFER, headers, good(id).as_bytes())
}

/// The spans of a trace that `collector` has, once there are `count`.
fn spans(collector: &Scene, trace: &str, count: usize) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let got = collector.get(&format!("/api/3.0/mlflow/traces/batchGet?trace_ids=tr-{trace}"));
        assert_eq!(got.status, 200, "{}", got.body);
        let spans = got.json()["traces"][0]["spans"].as_array().cloned().unwrap_or_default();
        if spans.len() == count {
            return spans;
        }
        assert!(begun.elapsed() < PATIENCE, "{} of {count} spans came: {}", spans.len(), got.body);
    }
}

fn attribute<'a>(span: &'a Value, key: &str) -> &'a Value {
    let all = span["attributes"].as_array().unwrap();
    let found = all.iter().find(|pair| pair["key"] == key);
    &found.unwrap_or_else(|| panic!("no {key}: {span}"))["value"]
}

#[test]
fn a_prediction_is_a_part_of_its_callers_trace() {
    let collector = Scene::empty();
    let scene = sending(format!("http://{}", collector.address), &[]);
    let answer = ask(&scene, "secret-id", &[("traceparent", PARENT), ("x-request-id", "r-1")]);
    assert_eq!((answer.status, answer.header("x-request-id")), (200, Some("r-1")), "{}", answer.body);
    let own = answer.header("traceresponse").unwrap().to_owned();
    assert!(own.starts_with(&format!("00-{TRACE}-")) && !own.contains("00f067aa0ba902b7"), "{own}");

    let spans = spans(&collector, TRACE, 2);
    let named = |name: &str| spans.iter().find(|span| span["name"] == name).unwrap();
    let (request, predict) = (named("POST /v2/models/{model}/infer"), named("predict demand"));
    let parent = |span: &Value| span["parent_span_id"].as_str().unwrap().to_owned();
    // Ids are in base64 there, as everywhere in this protocol.
    assert_eq!(parent(request), "APBnqgupArc=");
    assert_eq!(parent(predict), request["span_id"].as_str().unwrap());
    assert_eq!(attribute(request, "http.response.status_code")["int_value"], json!(200), "{request}");
    assert_eq!(attribute(predict, "gyre.version")["string_value"], json!("1"), "{predict}");
    assert_eq!(attribute(predict, "gyre.route")["string_value"], json!("champion"));
    let text = serde_json::to_string(&spans).unwrap();
    assert!(!text.contains("secret-id") && !text.contains("12.38") && !text.contains("east"), "{text}");
}

#[test]
fn who_brings_no_trace_begins_one_and_who_wants_none_kept_is_heard() {
    let collector = Scene::empty();
    let scene = sending(format!("http://{}", collector.address), &[]);
    let unkept = PARENT.replace("-01", "-00");
    let answer = ask(&scene, "a", &[("traceparent", &unkept)]);
    assert!(answer.header("traceresponse").unwrap().ends_with("-00"));
    let answer = ask(&scene, "b", &[]);
    let own = answer.header("traceresponse").unwrap().to_owned();
    spans(&collector, own.split('-').nth(1).unwrap(), 2);
    let none = collector.get(&format!("/api/3.0/mlflow/traces/batchGet?trace_ids=tr-{TRACE}"));
    assert_eq!(none.json(), json!({}), "spans are sent in order, so the first would be there");
}

#[test]
fn a_collector_that_takes_nothing_costs_spans_and_never_a_prediction() {
    // It accepts, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let scene = sending(endpoint, &[("OTEL_BSP_MAX_QUEUE_SIZE", "4"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "500")]);
    let begun = Instant::now();
    for at in 0..50 {
        assert_eq!(ask(&scene, &format!("p{at}"), &[]).status, 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let begun = Instant::now();
    loop {
        let metrics = scene.get("/metrics").body;
        let dropped = metrics.lines().find_map(|line| line.strip_prefix("gyre_spans_dropped_total "));
        // A look at the metrics is a request too.
        if dropped.unwrap().parse::<u64>().unwrap() >= 100 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{metrics}");
    }
}
