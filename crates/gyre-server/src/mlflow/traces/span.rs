//! Spans as JSON: what is stored (MLflow's `traces.json`) as what goes out (message `Span` of OTLP).
//!
//! A span's ids are base64 here, unlike in OTLP's own JSON: that is what MLflow sends.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gyre_store::StoreError;
use gyre_traces::record::TraceInfo;
use serde_json::{Map, Value, json};

use super::record::Info;
use crate::mlflow::MlflowError;

/// A trace with its spans, from their stored texts.
pub(super) fn trace(info: &TraceInfo, spans: &[String]) -> Result<Value, MlflowError> {
    let spans: Vec<Value> = spans.iter().map(|text| span(text)).collect::<Result<_, _>>()?;
    Ok(if spans.is_empty() {
        json!({"trace_info": Info(info)})
    } else {
        json!({"trace_info": Info(info), "spans": spans})
    })
}

fn span(stored: &str) -> Result<Value, MlflowError> {
    let mut stored: Map<String, Value> = serde_json::from_str(stored).map_err(|error| {
        MlflowError::from(StoreError::Corrupt { table: "traces_spans", reason: error.to_string() })
    })?;
    let mut span = Map::new();
    for key in ["trace_id", "span_id", "parent_span_id", "name", "start_time_unix_nano", "end_time_unix_nano"]
    {
        match stored.remove(key) {
            None | Some(Value::Null) => {}
            Some(value) => drop(span.insert(key.to_owned(), value)),
        }
    }
    // The attributes of a span are stored as JSON texts, those of its events and links as they are.
    let opened = |value: Value| match value {
        Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        other => other,
    };
    let mut put = |key: &str, list: Vec<Value>| {
        if !list.is_empty() {
            span.insert(key.to_owned(), list.into());
        }
    };
    let object = |value: Option<Value>| match value {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    };
    let list = |value: Option<Value>| match value {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    };
    let attributes = object(stored.remove("attributes")).into_iter().map(|(key, value)| (key, opened(value)));
    put("attributes", pairs(attributes));
    let events = list(stored.remove("events")).into_iter().map(|event| {
        let mut event = object(Some(event));
        let mut made = Map::new();
        for key in ["time_unix_nano", "name"] {
            made.insert(key.to_owned(), event.remove(key).unwrap_or_default());
        }
        let attributes = pairs(object(event.remove("attributes")));
        if !attributes.is_empty() {
            made.insert("attributes".to_owned(), attributes.into());
        }
        Value::Object(made)
    });
    put("events", events.collect());
    let links = list(stored.remove("links")).into_iter().map(|link| {
        let mut link = object(Some(link));
        let mut made = Map::new();
        for key in ["trace_id", "span_id"] {
            let id = link.remove(key).unwrap_or_default();
            let id = id.as_str().unwrap_or_default().trim_start_matches("tr-").to_owned();
            made.insert(key.to_owned(), base64(&id).into());
        }
        let attributes = pairs(object(link.remove("attributes")));
        if !attributes.is_empty() {
            made.insert("attributes".to_owned(), attributes.into());
        }
        Value::Object(made)
    });
    put("links", links.collect());
    let mut status = object(stored.remove("status"));
    status.retain(|_, value| !matches!(value.as_str(), Some("" | "STATUS_CODE_UNSET")));
    span.insert("status".to_owned(), status.into());
    Ok(Value::Object(span))
}

/// The base64 of hexadecimal digits.
fn base64(hex: &str) -> String {
    let byte = |at| hex.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok()).unwrap_or_default();
    let bytes: Vec<u8> = (0..hex.len() / 2 * 2).step_by(2).map(byte).collect();
    STANDARD.encode(bytes)
}

fn pairs(object: impl IntoIterator<Item = (String, Value)>) -> Vec<Value> {
    object
        .into_iter()
        .map(|(key, value)| match any(value) {
            Value::Null => json!({"key": key, "value": {}}),
            value => json!({"key": key, "value": value}),
        })
        .collect()
}

/// A value as OTLP's `AnyValue`.
fn any(value: Value) -> Value {
    match value {
        Value::Null => json!({}),
        Value::Bool(truth) => json!({"bool_value": truth}),
        Value::Number(number) if number.is_i64() => json!({"int_value": number}),
        Value::Number(number) => json!({"double_value": number.as_f64()}),
        Value::String(text) => json!({"string_value": text}),
        Value::Array(list) if list.is_empty() => json!({"array_value": {}}),
        Value::Array(list) => {
            json!({"array_value": {"values": list.into_iter().map(any).collect::<Vec<_>>()}})
        }
        Value::Object(object) if object.is_empty() => json!({"kvlist_value": {}}),
        Value::Object(object) => json!({"kvlist_value": {"values": pairs(object)}}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_span_goes_out_as_otlp() {
        let stored = json!({
            "trace_id": "AA==", "span_id": "AQ==", "parent_span_id": null, "name": "n", "start_time_unix_nano": 1,
            "end_time_unix_nano": 2, "events": [{"name": "e", "time_unix_nano": 1, "attributes": {"a": "\"x\""}}],
            "status": {"code": "STATUS_CODE_UNSET", "message": ""},
            "attributes": {"a": "{\"b\": [1, 0.5, null, true]}", "c": "\"t\""},
            "links": [{"trace_id": "tr-00ff", "span_id": "01", "attributes": {}}],
        });
        assert_eq!(
            span(&stored.to_string()).unwrap(),
            json!({
                "trace_id": "AA==", "span_id": "AQ==", "name": "n", "start_time_unix_nano": 1, "end_time_unix_nano": 2,
                "attributes": [
                    {"key": "a", "value": {"kvlist_value": {"values": [{"key": "b", "value": {"array_value": {"values": [
                        {"int_value": 1}, {"double_value": 0.5}, {}, {"bool_value": true}]}}}]}}},
                    {"key": "c", "value": {"string_value": "t"}}],
                "events": [{"time_unix_nano": 1, "name": "e", "attributes": [{"key": "a", "value": {"string_value": "\"x\""}}]}],
                "links": [{"trace_id": "AP8=", "span_id": "AQ=="}],
                "status": {},
            })
        );
    }
}
