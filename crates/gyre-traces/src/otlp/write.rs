//! Spans of our own, for somebody else's collector.

use prost::Message as _;
use serde_json::Value;

use super::message::{
    AnyValue, ArrayValue, KeyValue, KeyValueList, Request, Resource, ResourceSpans, ScopeSpans, Span as Sent,
    Status, any_value,
};
use crate::record::{Span, SpanStatus};

/// On which side of a request a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Within a program.
    Internal = 1,
    /// The side that was asked.
    Server = 2,
}

/// The body of a request of OTLP, in Protocol Buffers, with the spans of one sender, which `resource` describes. Events and
/// links are not sent.
pub fn to_protobuf(resource: &[(String, Value)], spans: &[(Kind, Span)]) -> Vec<u8> {
    let spans = spans.iter().map(|(kind, span)| Sent {
        trace_id: span.trace_id.clone(),
        span_id: span.span_id.clone(),
        parent_span_id: span.parent_id.clone(),
        name: span.name.clone(),
        kind: *kind as i32,
        start_time_unix_nano: u64::try_from(span.start_ns).unwrap_or(0),
        end_time_unix_nano: span.end_ns.map_or(0, |end| u64::try_from(end).unwrap_or(0)),
        attributes: pairs(&span.attributes),
        events: Vec::new(),
        links: Vec::new(),
        status: Some(Status {
            message: span.message.clone(),
            code: match span.status {
                SpanStatus::Unset => 0,
                SpanStatus::Ok => 1,
                SpanStatus::Error => 2,
            },
        }),
    });
    let scope_spans = vec![ScopeSpans { spans: spans.collect() }];
    let resource = Some(Resource { attributes: pairs(resource) });
    Request { resource_spans: vec![ResourceSpans { resource, scope_spans }] }.encode_to_vec()
}

fn pairs(pairs: &[(String, Value)]) -> Vec<KeyValue> {
    pairs.iter().map(|(key, value)| KeyValue { key: key.clone(), value: Some(any(value)) }).collect()
}

fn any(value: &Value) -> AnyValue {
    use any_value::Value as Any;
    let value = match value {
        Value::Null => None,
        Value::Bool(truth) => Some(Any::Bool(*truth)),
        Value::Number(number) => Some(match number.as_i64() {
            Some(whole) => Any::Int(whole),
            None => Any::Double(number.as_f64().unwrap_or(f64::NAN)),
        }),
        Value::String(text) => Some(Any::Text(text.clone())),
        Value::Array(items) => Some(Any::List(ArrayValue { values: items.iter().map(any).collect() })),
        Value::Object(fields) => {
            let fields =
                fields.iter().map(|(key, value)| KeyValue { key: key.clone(), value: Some(any(value)) });
            Some(Any::Pairs(KeyValueList { values: fields.collect() }))
        }
    };
    AnyValue { value }
}
