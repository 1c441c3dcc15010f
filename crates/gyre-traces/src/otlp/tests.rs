use proptest::prelude::*;
use serde_json::json;

use super::*;

fn request() -> Value {
    json!({"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
        "scopeSpans": [{"scope": {"name": "x"}, "spans": [{
            "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "parentSpanId": "",
            "name": "ask", "kind": 2, "startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": 1544712661000000000u64,
            "attributes": [
                {"key": "a", "value": {"intValue": "7"}}, {"key": "b", "value": {"doubleValue": 0.5}},
                {"key": "c", "value": {"arrayValue": {"values": [{"boolValue": true}, {"stringValue": "x"}]}}},
                {"key": "d", "value": {"kvlistValue": {"values": [{"key": "e", "value": {"intValue": 1}}]}}},
                {"key": "f", "value": {"bytesValue": "AAE="}}, {"key": "g"}, {"key": "a", "value": {"intValue": 8}}
            ],
            "events": [{"timeUnixNano": "5", "name": "n", "attributes": []}],
            "links": [{"traceId": "5b8efff798038103d269b633813fc60d", "spanId": "eee19b7ec3c1b175"}],
            "status": {"code": 2, "message": "no"}, "unknown": {}
        }]}]
    }]})
}

#[test]
fn json_is_read_as_otlp_writes_it() {
    let spans = from_json(request().to_string().as_bytes()).unwrap();
    let span = &spans[0];
    assert_eq!(span.trace(), "tr-5b8efff798038103d269b633813fc60c");
    assert_eq!((span.name.as_str(), span.status, span.message.as_str()), ("ask", SpanStatus::Error, "no"));
    assert_eq!((span.start_ns, span.end_ns), (1_544_712_660_000_000_000, Some(1_544_712_661_000_000_000)));
    assert!(span.parent_id.is_empty());
    let attributes: serde_json::Map<String, Value> = span.attributes.iter().cloned().collect();
    assert_eq!(
        Value::Object(attributes),
        json!({"a": 8, "b": 0.5, "c": [true, "x"], "d": {"e": 1}, "f": "AAE=", "g": null})
    );
    assert_eq!((span.events[0].time_ns, span.links.len()), (5, 1));
    assert_eq!(span.resource[0], ("service.name".to_owned(), json!("shop")));
}

#[test]
fn both_encodings_say_the_same() {
    let message: Request = serde_json::from_value(request()).unwrap();
    assert_eq!(
        from_protobuf(&message.encode_to_vec()).unwrap(),
        from_json(request().to_string().as_bytes()).unwrap()
    );
}

#[test]
fn what_is_no_request_is_refused() {
    for body in ["", "{", "[]", "{}", "{\"resourceSpans\": 1}", "{\"resourceSpans\": []}"] {
        assert!(matches!(from_json(body.as_bytes()), Err(StoreError::Invalid(_))), "{body}");
    }
    assert!(from_protobuf(b"").is_err());
    assert!(from_protobuf(b"\xff\xff\xff").is_err());
    for (field, value) in [
        ("traceId", json!("00")),
        ("traceId", json!("00000000000000000000000000000000")),
        ("traceId", json!("5b8efff798038103d269b633813fc60c00")),
        ("spanId", json!("zz")),
        ("spanId", json!("")),
        ("parentSpanId", json!("01")),
        ("startTimeUnixNano", json!(-1)),
        ("startTimeUnixNano", json!("18446744073709551615")),
        ("startTimeUnixNano", json!(1.5)),
        ("status", json!({"code": "X"})),
        ("attributes", json!([{"key": "a", "value": {"intValue": "x"}}])),
    ] {
        let mut body = request();
        body["resourceSpans"][0]["scopeSpans"][0]["spans"][0][field] = value.clone();
        assert!(from_json(body.to_string().as_bytes()).is_err(), "{field}: {value}");
    }
}

#[test]
fn depth_is_limited() {
    let deep = "{\"arrayValue\":{\"values\":[".repeat(500);
    let body =
        format!("{{\"resourceSpans\":[{{\"resource\":{{\"attributes\":[{{\"key\":\"a\",\"value\":{deep}");
    assert!(from_json(body.as_bytes()).is_err());
    let mut value = AnyValue { value: Some(any_value::Value::Bool(true)) };
    for _ in 0..200 {
        value = AnyValue { value: Some(any_value::Value::List(message::ArrayValue { values: vec![value] })) };
    }
    let mut deep: Request = serde_json::from_value(request()).unwrap();
    deep.resource_spans[0].scope_spans[0].spans[0].attributes[0].value = Some(value);
    assert!(from_protobuf(&deep.encode_to_vec()).is_err());
}

proptest! {
    #[test]
    fn no_bytes_break_the_readers(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(from_protobuf(&bytes));
        drop(from_json(&bytes));
    }

    #[test]
    fn no_damage_breaks_the_reader(at in 0usize..400, byte in any::<u8>()) {
        let message: Request = serde_json::from_value(request()).unwrap();
        let mut bytes = message.encode_to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        drop(from_protobuf(&bytes));
    }
}

#[test]
fn what_is_written_reads_back_the_same() {
    let spans = from_json(request().to_string().as_bytes()).unwrap();
    let mut span = spans[0].clone();
    // A null is no value, and bytes came as text; events and links are not sent.
    span.attributes.retain(|(_, value)| !value.is_null());
    (span.events, span.links) = (Vec::new(), Vec::new());
    let written = to_protobuf(&span.resource, &[(Kind::Server, span.clone())]);
    assert_eq!(from_protobuf(&written).unwrap(), [span]);
}
