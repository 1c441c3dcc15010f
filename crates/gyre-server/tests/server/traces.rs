//! Traces, assessments, evaluation datasets and scorers over a real socket.
use crate::support::{Answer, Scene};
use serde_json::{Value, json};

const V3: &str = "/api/3.0/mlflow";
const V2: &str = "/api/2.0/mlflow";

fn send(scene: &Scene, method: &str, path: &str, body: &Value) -> Answer {
    let headers = [("content-type", "application/json")];
    scene.connect().send(method, path, &headers, body.to_string().as_bytes())
}

#[track_caller]
fn ok(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str) -> String {
    assert_eq!(
        (answer.status, answer.json()["error_code"].as_str()),
        (status, Some(code)),
        "{}",
        answer.body
    );
    answer.json()["message"].as_str().unwrap().to_owned()
}

fn info(id: &str, second: u32) -> Value {
    json!({
        "trace_id": id, "client_request_id": "c1",
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}},
        "request_time": format!("2026-11-25T19:44:{second:02}.770Z"), "execution_duration": "1.5s", "state": "OK",
        "trace_metadata": {"m": "x"}, "tags": {"mlflow.traceName": "ask", "t": "1"}, "request_preview": "q",
    })
}

fn start(scene: &Scene, info: &Value) -> Value {
    let answer = send(scene, "POST", &format!("{V3}/traces"), &json!({"trace": {"trace_info": info}}));
    ok(&answer)["trace"]["trace_info"].clone()
}

fn find(scene: &Scene, more: Value) -> Answer {
    let mut asked = json!({"locations": [{"mlflow_experiment": {"experiment_id": "0"}}]});
    asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    send(scene, "POST", &format!("{V3}/traces/search"), &asked)
}

fn otlp(trace: &str, name: &str) -> Value {
    json!({"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}},
                                    {"key": "telemetry.sdk.name", "value": {"stringValue": "x"}}]},
        "scopeSpans": [{"spans": [{
            "traceId": trace, "spanId": "eee19b7ec3c1b174", "name": name, "startTimeUnixNano": "1795635886000000000",
            "endTimeUnixNano": "1795635887500000000", "status": {"code": 1},
            "attributes": [
                {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
                {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "3"}},
                {"key": "gen_ai.usage.output_tokens", "value": {"intValue": "4"}},
                {"key": "gen_ai.input.messages", "value": {"stringValue": "[{\"role\": \"user\", \"content\": \"hi\"}]"}},
                {"key": "session.id", "value": {"stringValue": "s1"}},
                {"key": "mlflow.traceTag.color", "value": {"stringValue": "red"}}]
        }]}]
    }]})
}

fn log(scene: &Scene, body: &Value) -> Answer {
    let headers = [("content-type", "application/json"), ("x-mlflow-experiment-id", "0")];
    scene.connect().send("POST", "/v1/traces", &headers, body.to_string().as_bytes())
}

#[test]
fn a_trace_is_told_tagged_found_and_deleted() {
    let scene = Scene::empty();
    let told = start(&scene, &info("tr-a1", 46));
    assert_eq!(told["request_time"], "2026-11-25T19:44:46.770Z");
    assert_eq!((&told["execution_duration"], &told["state"]), (&json!("1.500s"), &json!("OK")));
    assert_eq!(told["tags"]["mlflow.artifactLocation"], "mlflow-artifacts:/0/traces/tr-a1/artifacts");
    assert_eq!(told["trace_metadata"], json!({"m": "x", "mlflow.trace.infoFinalized": "true"}));
    assert_eq!(start(&scene, &info("tr-a1", 46)), told, "telling it again changes nothing");
    let path = format!("{V3}/traces/tr-a1");
    assert_eq!(ok(&scene.get(&path))["trace"]["trace_info"], told);
    ok(&send(
        &scene,
        "PATCH",
        &format!("{V2}/traces/tr-a1/tags"),
        &json!({"key": "u", "value": "\u{fc}".repeat(9_000)}),
    ));
    ok(&send(&scene, "DELETE", &format!("{V3}/traces/tr-a1/tags"), &json!({"key": "t"})));
    let tags = ok(&scene.get(&path))["trace"]["trace_info"]["tags"].clone();
    assert_eq!((tags["t"].is_null(), tags["u"].as_str().unwrap().chars().count()), (true, 8_000));
    start(&scene, &info("tr-a2", 47));
    let found = ok(&find(&scene, json!({"filter": "tags.t = '1' AND timestamp_ms > 0", "max_results": 1})));
    assert_eq!(
        (found["traces"][0]["trace_id"].as_str(), found["next_page_token"].is_null()),
        (Some("tr-a2"), true)
    );
    let first = ok(&find(&scene, json!({"max_results": 1})));
    let second = ok(&find(&scene, json!({"max_results": 1, "page_token": first["next_page_token"]})));
    assert_eq!(second["traces"][0]["trace_id"], "tr-a1");
    refused(
        &find(&scene, json!({"filter": "status = 'OK'", "page_token": first["next_page_token"]})),
        400,
        "INVALID_PARAMETER_VALUE",
    );
    let gone = send(
        &scene,
        "POST",
        &format!("{V2}/traces/delete-traces"),
        &json!({"experiment_id": "0", "request_ids": ["tr-a1", "tr-no"]}),
    );
    assert_eq!(ok(&gone), json!({"traces_deleted": 1}));
    refused(&scene.get(&path), 404, "RESOURCE_DOES_NOT_EXIST");
    let entries = scene.get("/v1/journal?limit=100").json();
    let last = entries["entries"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&last["fact"]["change"], &last["fact"]["traces"]),
        (&json!("traces_deleted"), &json!(1)),
        "{last}"
    );
    assert_eq!(last["actor"], "user:local");
}

#[test]
fn spans_of_any_opentelemetry_sender_make_a_trace() {
    let scene = Scene::empty();
    let trace = "5b8efff798038103d269b633813fc60c";
    let answer = log(&scene, &otlp(trace, "ask"));
    assert_eq!((answer.status, answer.body.as_str()), (200, "{}"));
    assert_eq!(log(&scene, &otlp(trace, "ask")).status, 200, "sent again, nothing is counted twice");
    let got =
        ok(&scene.get(&format!("{V3}/traces/get?trace_id=tr-{trace}&allow_partial=False")))["trace"].clone();
    let info = &got["trace_info"];
    assert_eq!(
        (&info["request_time"], &info["execution_duration"]),
        (&json!("2026-11-25T19:44:46Z"), &json!("1.500s"))
    );
    assert_eq!(
        (&info["state"], &info["request_preview"]),
        (&json!("OK"), &json!("[{\"role\": \"user\", \"content\": \"hi\"}]"))
    );
    assert_eq!(info["tags"]["service.name"], "shop");
    assert_eq!((&info["tags"]["color"], &info["tags"]["telemetry.sdk.name"]), (&json!("red"), &Value::Null));
    assert_eq!(info["tags"]["mlflow.trace.spansLocation"], "TRACKING_STORE");
    assert_eq!(info["trace_metadata"]["mlflow.trace.session"], "s1");
    let usage = info["trace_metadata"]["mlflow.trace.tokenUsage"].as_str().unwrap();
    assert_eq!(usage, r#"{"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}"#);
    let span = &got["spans"][0];
    assert_eq!((&span["span_id"], &span["name"]), (&json!("7uGbfsPBsXQ="), &json!("ask")));
    assert_eq!(span["start_time_unix_nano"], 1_795_635_886_000_000_000_i64);
    assert!(
        span["attributes"]
            .as_array()
            .unwrap()
            .contains(&json!({"key": "mlflow.spanType", "value": {"string_value": "CHAT_MODEL"}}))
    );
    let batch = ok(&scene.get(&format!("{V3}/traces/batchGet?trace_ids=tr-{trace}&trace_ids=tr-0")));
    assert_eq!(batch["traces"][0], got);
    let file = scene.get(&format!("/ajax-api/3.0/mlflow/get-trace-artifact?request_id=tr-{trace}"));
    assert_eq!(file.header("content-disposition"), Some("attachment; filename=traces.json"));
    let file = ok(&file);
    assert_eq!(
        (file["spans"].as_array().unwrap().len(), &file["spans"][0]["attributes"]["mlflow.spanType"]),
        (1, &json!("\"CHAT_MODEL\""))
    );
}

#[test]
fn what_is_wrong_is_said_in_mlflows_words() {
    let scene = Scene::empty();
    let start = |body: Value| send(&scene, "POST", &format!("{V3}/traces"), &body);
    refused(&start(json!({})), 400, "INVALID_PARAMETER_VALUE");
    refused(&start(json!({"trace": {"trace_info": {"trace_id": "tr-1"}}})), 400, "INVALID_PARAMETER_VALUE");
    let mut elsewhere = info("tr-1", 1);
    elsewhere["trace_location"]["mlflow_experiment"]["experiment_id"] = json!("99");
    refused(&start(json!({"trace": {"trace_info": elsewhere}})), 404, "RESOURCE_DOES_NOT_EXIST");
    for (field, value) in [
        ("trace_id", json!("../../etc")),
        ("trace_id", json!("a/b")),
        ("request_time", json!("yesterday")),
        ("execution_duration", json!("1 day")),
        ("state", json!("FINE")),
        ("tags", json!({"": "x"})),
        ("tags", json!({"a/../b": "x"})),
        ("tags", json!({"a": 1})),
        ("trace_metadata", json!({"x".repeat(251): "x"})),
    ] {
        let mut info = info("tr-1", 1);
        info[field] = value.clone();
        let message = refused(&start(json!({"trace": {"trace_info": info}})), 400, "INVALID_PARAMETER_VALUE");
        assert!(
            message.contains("expected") || message.contains("is not a time"),
            "{field} {value}: {message}"
        );
    }
    refused(&scene.get(&format!("{V3}/traces/tr-none")), 404, "RESOURCE_DOES_NOT_EXIST");
    refused(&scene.get(&format!("{V3}/traces/get?trace_id=tr-none")), 404, "RESOURCE_DOES_NOT_EXIST");
    refused(&scene.get(&format!("{V3}/traces/get")), 400, "INVALID_PARAMETER_VALUE");
    assert_eq!(ok(&scene.get(&format!("{V3}/traces/batchGet?trace_ids=tr-none"))), json!({}));
    refused(&scene.get(&format!("{V3}/traces/batchGet")), 400, "INVALID_PARAMETER_VALUE");
    assert_eq!(ok(&find(&scene, json!({}))), json!({}));
    for wrong in [
        json!({"max_results": 0}),
        json!({"max_results": 501}),
        json!({"max_results": -1}),
        json!({"filter": "status = 'OK' OR status = 'ERROR'"}),
        json!({"filter": "foo = 'a'"}),
        json!({"order_by": ["foo"]}),
        json!({"page_token": "zzz"}),
        json!({"locations": null}),
        json!({"locations": [{"mlflow_experiment": {"experiment_id": "x"}}]}),
    ] {
        refused(&find(&scene, wrong), 400, "INVALID_PARAMETER_VALUE");
    }
    let tags = format!("{V3}/traces/tr-none/tags");
    refused(
        &send(&scene, "PATCH", &tags, &json!({"key": "a", "value": "b"})),
        404,
        "RESOURCE_DOES_NOT_EXIST",
    );
    refused(
        &send(&scene, "PATCH", &tags, &json!({"key": "mlflow.trace.spansLocation", "value": "b"})),
        400,
        "INVALID_PARAMETER_VALUE",
    );
    refused(&send(&scene, "DELETE", &tags, &json!({"key": "a"})), 404, "RESOURCE_DOES_NOT_EXIST");
    let delete = format!("{V3}/traces/delete-traces");
    for wrong in [
        json!({"experiment_id": "0"}),
        json!({"experiment_id": "0", "max_timestamp_millis": 5, "request_ids": ["a"]}),
        json!({"experiment_id": "0", "max_timestamp_millis": 5, "max_traces": 0}),
        json!({"experiment_id": "0", "request_ids": ["a"], "max_traces": 1}),
        json!({"request_ids": ["a"]}),
    ] {
        refused(&send(&scene, "POST", &delete, &wrong), 400, "INVALID_PARAMETER_VALUE");
    }
}

#[test]
fn a_broken_or_hostile_otlp_request_is_refused() {
    let scene = Scene::empty();
    let post =
        |headers: &[(&str, &str)], body: &[u8]| scene.connect().send("POST", "/v1/traces", headers, body);
    let json_type = ("content-type", "application/json");
    let experiment = ("x-mlflow-experiment-id", "0");
    let good = otlp("5b8efff798038103d269b633813fc60c", "ask").to_string();
    let message = refused(&post(&[json_type], good.as_bytes()), 400, "INVALID_PARAMETER_VALUE");
    assert!(message.contains("x-mlflow-experiment-id"), "{message}");
    let other = ("x-mlflow-experiment-id", "7");
    refused(&post(&[json_type, other], good.as_bytes()), 404, "RESOURCE_DOES_NOT_EXIST");
    for (headers, body) in [
        (vec![json_type, experiment], &b"{}"[..]),
        (vec![json_type, experiment], b"{"),
        (vec![("content-type", "application/x-protobuf"), experiment], b"\xff\xff"),
    ] {
        refused(&post(&headers, body), 400, "INVALID_PARAMETER_VALUE");
    }
    for (headers, body) in [
        (vec![("content-type", "text/plain"), experiment], good.as_bytes()),
        (vec![json_type, experiment, ("content-encoding", "br")], good.as_bytes()),
        (vec![json_type, experiment, ("content-encoding", "gzip")], good.as_bytes()),
    ] {
        refused(&post(&headers, body), 400, "BAD_REQUEST");
    }
    assert_eq!(ok(&find(&scene, json!({}))), json!({}));
}

#[test]
fn clients_before_version_3_begin_and_end_a_trace() {
    let scene = Scene::empty();
    let begun = send(
        &scene,
        "POST",
        &format!("{V2}/traces"),
        &json!({
            "experiment_id": "0", "timestamp_ms": "1000",
            "request_metadata": [{"key": "m", "value": "x"}], "tags": [{"key": "mlflow.traceName", "value": "old"}],
        }),
    );
    let info = ok(&begun)["trace_info"].clone();
    assert_eq!((&info["status"], &info["timestamp_ms"]), (&json!("IN_PROGRESS"), &json!(1000)));
    let id = info["request_id"].as_str().unwrap();
    let ended = send(
        &scene,
        "PATCH",
        &format!("{V2}/traces/{id}"),
        &json!({
            "request_id": id, "timestamp_ms": 1250, "status": "OK", "request_metadata": [], "tags": [{"key": "a", "value": "b"}],
        }),
    );
    let ended = ok(&ended)["trace_info"].clone();
    assert_eq!((&ended["status"], &ended["execution_time_ms"]), (&json!("OK"), &json!(250)));
    assert_eq!(ok(&scene.get(&format!("{V2}/traces/{id}/info")))["trace_info"], ended);
    let found =
        ok(&scene.get(&format!("{V2}/traces?experiment_ids=0&filter=name%20%3D%20%27old%27&max_results=10")));
    assert_eq!(found["traces"], json!([ended]));
    refused(&scene.get(&format!("{V3}/traces/get?trace_id={id}")), 404, "RESOURCE_DOES_NOT_EXIST");
    refused(&scene.get(&format!("{V2}/traces/none/info")), 404, "RESOURCE_DOES_NOT_EXIST");
}

#[test]
fn assessments_are_given_changed_overridden_and_taken_back() {
    let scene = Scene::empty();
    start(&scene, &info("tr-a1", 1));
    let path = format!("{V3}/traces/tr-a1/assessments");
    let create = |body: Value| send(&scene, "POST", &path, &json!({"assessment": body}));
    let source = json!({"source_type": "HUMAN", "source_id": "me"});
    let given = ok(&create(json!({
        "assessment_name": "ok", "trace_id": "tr-a1", "source": source, "create_time": "2026-11-25T19:44:47.388Z",
        "last_update_time": "2026-11-25T19:44:47.388Z", "feedback": {"value": true}, "rationale": "r",
        "metadata": {"z": "1"}, "valid": true,
    })))["assessment"].clone();
    let id = given["assessment_id"].as_str().unwrap();
    assert!(id.starts_with("a-") && id.len() == 34, "{id}");
    assert_eq!((&given["feedback"], &given["valid"]), (&json!({"value": true}), &json!(true)));
    assert_eq!(ok(&scene.get(&format!("{path}/{id}")))["assessment"], given);
    let changed = ok(&send(
        &scene,
        "PATCH",
        &format!("{path}/{id}"),
        &json!({
            "assessment": {"assessment_name": "ok", "feedback": {"value": false}, "metadata": {"y": "2"}},
            "update_mask": "assessmentName,feedback,metadata",
        }),
    ))["assessment"]
        .clone();
    assert_eq!((&changed["feedback"]["value"], &changed["rationale"]), (&json!(false), &json!("r")));
    assert_eq!(
        (&changed["metadata"], &changed["create_time"]),
        (&json!({"y": "2", "z": "1"}), &given["create_time"])
    );
    let over = ok(&create(json!({
        "assessment_name": "ok", "source": source, "feedback": {"value": null, "error": {"error_code": "E"}}, "overrides": id,
    })))["assessment"].clone();
    assert_eq!(over["feedback"], json!({"value": null, "error": {"error_code": "E"}}));
    assert_eq!(ok(&scene.get(&format!("{path}/{id}")))["assessment"]["valid"], false);
    let over = over["assessment_id"].as_str().unwrap();
    assert_eq!(ok(&send(&scene, "DELETE", &format!("{path}/{over}"), &json!({}))), json!({}));
    assert_eq!(ok(&send(&scene, "DELETE", &format!("{path}/{over}"), &json!({}))), json!({}));
    assert_eq!(ok(&scene.get(&format!("{path}/{id}")))["assessment"]["valid"], true);
    let want = ok(&create(json!({
        "assessment_name": "want", "source": source,
        "expectation": {"serialized_value": {"serialization_format": "JSON_FORMAT", "value": "{\"a\": [1]}"}},
    })))["assessment"]
        .clone();
    assert_eq!(want["expectation"]["serialized_value"]["value"], "{\"a\": [1]}");
    let all = ok(&scene.get(&format!("{V3}/traces/tr-a1")))["trace"]["trace_info"]["assessments"].clone();
    assert_eq!(all.as_array().unwrap().len(), 2);
    assert_eq!(
        ok(&find(&scene, json!({"filter": "feedback.ok = 'false'"})))["traces"].as_array().unwrap().len(),
        1
    );
    for wrong in [
        json!({"assessment_name": "x", "source": source}),
        json!({"assessment_name": "x", "feedback": {"value": 1}}),
        json!({"source": source, "feedback": {"value": 1}}),
        json!({"assessment_name": "x", "source": {"source_type": "CAT"}, "feedback": {"value": 1}}),
        json!({"assessment_name": "x", "source": source, "feedback": {"value": 1}, "expectation": {"value": 1}}),
        json!({"assessment_name": "x", "source": source, "expectation": {"serialized_value": {"value": "{"}}}),
    ] {
        refused(&create(wrong), 400, "INVALID_PARAMETER_VALUE");
    }
    let kind = send(
        &scene,
        "PATCH",
        &format!("{path}/{id}"),
        &json!({
            "assessment": {"expectation": {"value": 1}}, "update_mask": "expectation",
        }),
    );
    refused(&kind, 400, "INVALID_PARAMETER_VALUE");
    refused(&scene.get(&format!("{path}/a-none")), 404, "RESOURCE_DOES_NOT_EXIST");
    let missing =
        json!({"assessment_name": "x", "source": source, "feedback": {"value": 1}, "overrides": "a-none"});
    refused(&create(missing), 404, "RESOURCE_DOES_NOT_EXIST");
}

#[test]
fn figures_over_traces_are_given() {
    let scene = Scene::empty();
    start(&scene, &info("tr-a1", 1));
    start(&scene, &info("tr-a2", 2));
    let ask = |more: Value| {
        let mut asked = json!({"experiment_ids": ["0"], "view_type": "TRACES", "metric_name": "trace_count",
                               "aggregations": [{"aggregation_type": "COUNT"}]});
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        send(&scene, "POST", "/ajax-api/3.0/mlflow/traces/metrics", &asked)
    };
    assert_eq!(
        ok(&ask(json!({"dimensions": ["trace_name"]}))),
        json!({"data_points": [{"metric_name": "trace_count", "values": {"COUNT": 2.0}, "dimensions": {"trace_name": "ask"}}]})
    );
    let latency = json!({"metric_name": "latency", "aggregations": [{"aggregation_type": "PERCENTILE", "percentile_value": 99}],
                         "time_interval_seconds": 3600, "start_time_ms": 0, "end_time_ms": "1999999999999"});
    assert_eq!(
        ok(&ask(latency))["data_points"][0],
        json!({"metric_name": "latency", "values": {"P99.0": 1500.0}, "dimensions": {"time_bucket": "2026-11-25T19:00:00+00:00"}})
    );
    assert_eq!(ok(&ask(json!({"filters": ["trace.status = 'ERROR'"]}))), json!({}));
    for wrong in [
        json!({"metric_name": "x"}),
        json!({"view_type": "CATS"}),
        json!({"aggregations": [{"aggregation_type": "MEDIAN"}]}),
        json!({"aggregations": []}),
        json!({"dimensions": ["span_name"]}),
        json!({"filters": ["span.name = 'x'"]}),
        json!({"experiment_ids": []}),
    ] {
        refused(&ask(wrong), 400, "INVALID_PARAMETER_VALUE");
    }
    let both =
        json!({"experiment_ids": ["0"], "filter_string1": "status = 'OK'", "filter_string2": "tags.t = '1'"});
    let found = ok(&send(&scene, "POST", &format!("{V3}/traces/calculate-filter-correlation"), &both));
    assert_eq!(
        (&found["npmi"], &found["joint_count"], &found["total_count"]),
        (&json!(1.0), &json!(2), &json!(2))
    );
}

#[test]
fn a_dataset_collects_records_by_their_inputs() {
    let scene = Scene::empty();
    let made = send(
        &scene,
        "POST",
        &format!("{V3}/datasets/create"),
        &json!({
            "name": "d1", "experiment_ids": ["0"], "tags": "{\"a\": \"b\", \"mlflow.user\": \"me\"}",
        }),
    );
    let made = ok(&made)["dataset"].clone();
    assert_eq!((&made["created_by"], &made["experiment_ids"]), (&json!("me"), &json!(["0"])));
    let path = format!("{V3}/datasets/{}", made["dataset_id"].as_str().unwrap());
    let upsert = |records: Value| {
        send(&scene, "POST", &format!("{path}/records"), &json!({"records": records.to_string()}))
    };
    let first = upsert(json!([
        {"inputs": {"q": "x", "n": {"b": 1, "a": 2}}, "expectations": {"e": 1}, "tags": {"s": "t"},
         "source": {"source_type": "human", "source_data": {}}},
        {"inputs": {"q": "y"}, "outputs": {"o": 0.5}},
    ]));
    assert_eq!(ok(&first), json!({"inserted_count": 2, "updated_count": 0}));
    let again = upsert(
        json!([{"inputs": {"n": {"a": 2, "b": 1}, "q": "x"}, "expectations": {"f": true}, "outputs": "done"}]),
    );
    assert_eq!(ok(&again), json!({"inserted_count": 0, "updated_count": 1}));
    let page = ok(&scene.get(&format!("{path}/records?max_results=1")));
    let token = page["next_page_token"].as_str().unwrap();
    let next = ok(&scene.get(&format!("{path}/records?max_results=1&page_token={token}")));
    assert!(next["next_page_token"].is_null());
    let records: Vec<Value> = [page, next]
        .iter()
        .flat_map(|page| serde_json::from_str::<Vec<Value>>(page["records"].as_str().unwrap()).unwrap())
        .collect();
    let x = records.iter().find(|record| record["inputs"]["q"] == "x").unwrap();
    assert_eq!((&x["expectations"], &x["outputs"]), (&json!({"e": 1, "f": true}), &json!("done")));
    assert_eq!((&x["source_type"], &x["tags"]), (&json!("HUMAN"), &json!({"s": "t"})));
    let known = ok(&scene.get(&path))["dataset"].clone();
    let schema: Value = serde_json::from_str(known["schema"].as_str().unwrap()).unwrap();
    assert_eq!(schema["inputs"], json!({"q": "string", "n": "object"}));
    assert_eq!(
        (&schema["expectations"], &schema["outputs"]),
        (&json!({"e": "integer", "f": "boolean"}), &json!({"o": "float"}))
    );
    assert_eq!(known["profile"], "{\"num_records\": 2}");
    ok(&send(&scene, "PATCH", &format!("{path}/tags"), &json!({"tags": "{\"c\": 1}"})));
    ok(&send(&scene, "DELETE", &format!("{path}/tags/a"), &json!({})));
    let search = |filter: &str| {
        let found = send(
            &scene,
            "POST",
            &format!("{V3}/datasets/search"),
            &json!({
                "experiment_ids": ["0"], "filter_string": filter, "order_by": ["name ASC"], "max_results": 10,
            }),
        );
        ok(&found)["datasets"].as_array().map_or(0, Vec::len)
    };
    for (filter, found) in [
        ("", 1),
        ("name LIKE 'd%' AND tags.c = '1'", 1),
        ("name ILIKE 'D_'", 1),
        ("name = 'D1'", 0),
        ("tags.a = 'b'", 0),
        ("created_time > 0 AND created_by = 'me'", 1),
        ("name IN ('d1', 'd2')", 1),
    ] {
        assert_eq!(search(filter), found, "{filter}");
    }
    ok(&send(&scene, "POST", &format!("{path}/remove-experiments"), &json!({"experiment_ids": ["0"]})));
    assert_eq!((search(""), ok(&scene.get(&format!("{path}/experiment-ids")))), (0, json!({})));
    ok(&send(&scene, "POST", &format!("{path}/add-experiments"), &json!({"experiment_ids": ["0"]})));
    assert_eq!(ok(&scene.get(&format!("{path}/experiment-ids"))), json!({"experiment_ids": ["0"]}));
    let id = x["dataset_record_id"].clone();
    let gone =
        send(&scene, "DELETE", &format!("{path}/records"), &json!({"dataset_record_ids": [id, "dr-none"]}));
    assert_eq!(ok(&gone), json!({"deleted_count": 1}));
    for (answer, status, code) in [
        (upsert(json!({"a": 1})), 400, "INVALID_PARAMETER_VALUE"),
        (upsert(json!([{"inputs": [1]}])), 400, "INVALID_PARAMETER_VALUE"),
        (upsert(json!([{"inputs": {}, "source": {"source_type": "cat"}}])), 400, "INVALID_PARAMETER_VALUE"),
        (
            send(&scene, "POST", &format!("{path}/add-experiments"), &json!({"experiment_ids": ["9"]})),
            404,
            "RESOURCE_DOES_NOT_EXIST",
        ),
        (
            send(&scene, "POST", &format!("{V3}/datasets/create"), &json!({"name": ""})),
            400,
            "INVALID_PARAMETER_VALUE",
        ),
        (
            send(&scene, "POST", &format!("{V3}/datasets/create"), &json!({"name": "x", "tags": "["})),
            400,
            "INVALID_PARAMETER_VALUE",
        ),
        (
            send(&scene, "POST", &format!("{V3}/datasets/search"), &json!({"filter_string": "foo = 1"})),
            400,
            "INVALID_PARAMETER_VALUE",
        ),
        (
            send(&scene, "POST", &format!("{V3}/datasets/search"), &json!({"page_token": "zzz"})),
            400,
            "INVALID_PARAMETER_VALUE",
        ),
        (scene.get(&format!("{path}/records?page_token=zzz")), 400, "INVALID_PARAMETER_VALUE"),
        (scene.get(&format!("{V3}/datasets/none")), 404, "RESOURCE_DOES_NOT_EXIST"),
    ] {
        refused(&answer, status, code);
    }
    ok(&send(&scene, "DELETE", &path, &json!({})));
    ok(&send(&scene, "DELETE", &path, &json!({})));
    refused(&scene.get(&path), 404, "RESOURCE_DOES_NOT_EXIST");
    let entries = scene.get("/v1/journal?limit=100").json();
    let last = entries["entries"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&last["fact"]["change"], &last["fact"]["records"]),
        (&json!("evaluation_dataset_deleted"), &json!(1)),
        "{last}"
    );
}

#[test]
fn scorers_have_versions_and_hold_no_code() {
    let scene = Scene::empty();
    let register = |body: Value| send(&scene, "POST", &format!("{V3}/scorers/register"), &body);
    let first = ok(&register(
        json!({"experiment_id": "0", "name": "nice", "serialized_scorer": "{\"name\": \"nice\"}"}),
    ));
    assert_eq!((&first["version"], &first["experiment_id"]), (&json!(1), &json!("0")));
    let second = ok(&register(json!({"experiment_id": "0", "name": "nice", "serialized_scorer": "{}"})));
    assert_eq!((&second["version"], &second["scorer_id"]), (&json!(2), &first["scorer_id"]));
    let get = |rest: &str| scene.get(&format!("{V3}/scorers/{rest}"));
    let listed = ok(&get("list?experiment_id=0"))["scorers"].clone();
    assert_eq!((&listed[0]["scorer_version"], &listed[0]["experiment_id"]), (&json!(2), &json!(0)));
    assert_eq!(ok(&get("list"))["scorers"], listed);
    assert_eq!(ok(&get("versions?experiment_id=0&name=nice"))["scorers"].as_array().unwrap().len(), 2);
    assert_eq!(
        ok(&get("get?experiment_id=0&name=nice&version=1"))["scorer"]["serialized_scorer"],
        "{\"name\": \"nice\"}"
    );
    assert_eq!(ok(&get("online-configs?scorer_ids=x")), json!({"configs": []}));
    let delete = |body: Value| send(&scene, "DELETE", &format!("{V3}/scorers/delete"), &body);
    ok(&delete(json!({"experiment_id": "0", "name": "nice", "version": 1})));
    ok(&delete(json!({"experiment_id": "0", "name": "nice"})));
    refused(&get("get?experiment_id=0&name=nice"), 404, "RESOURCE_DOES_NOT_EXIST");
    refused(&get("list?experiment_id=9"), 404, "RESOURCE_DOES_NOT_EXIST");
    for wrong in [
        json!({"experiment_id": "0", "name": " ", "serialized_scorer": "{}"}),
        json!({"experiment_id": "0", "name": "x", "serialized_scorer": "{"}),
        json!({"experiment_id": "0", "name": "x", "serialized_scorer": "[]"}),
        json!({"experiment_id": "0", "name": "x", "serialized_scorer": "{\"a\": [{\"call_source\": \"import os\"}]}"}),
        json!({"experiment_id": "0", "name": "x"}),
    ] {
        refused(&register(wrong), 400, "INVALID_PARAMETER_VALUE");
    }
}

#[test]
fn what_gyre_does_not_have_is_said() {
    let scene = Scene::empty();
    for (method, path) in [
        ("GET", "gateway/endpoints/list"),
        ("POST", "issues"),
        ("POST", "review-queues/search"),
        ("DELETE", "label-schemas/x"),
        ("PUT", "scorers/online-config"),
    ] {
        let message =
            refused(&send(&scene, method, &format!("{V3}/{path}"), &json!({})), 501, "NOT_IMPLEMENTED");
        assert!(message.starts_with("gyre does not have this part of MLflow: "), "{message}");
    }
}
