//! OTLP: spans as OpenTelemetry sends them, as Protocol Buffers or as JSON.
//!
//! Both encodings are read into the same messages (opentelemetry-proto v1, `trace/v1/trace.proto` and what it includes; only
//! the fields that are kept, for unknown ones are skipped), and these into [`Span`]s. OTLP's JSON differs from the usual
//! mapping in one thing: ids are hexadecimal digits. A message that nests too deeply is refused by the readers (100 levels
//! for Protocol Buffers, 128 for JSON).

mod json;
mod message;
mod write;

use std::sync::Arc;

use gyre_store::StoreError;
use prost::Message as _;
use serde_json::Value;

use crate::limits::{invalid, shown};
use crate::record::{Span, SpanEvent, SpanLink, SpanStatus, hex};
pub use write::{Kind, to_protobuf};

use message::{AnyValue, KeyValue, Request, any_value};

/// The most spans of a request.
const SPANS: usize = 50_000;

/// The spans of a request in Protocol Buffers.
///
/// # Errors
/// [`StoreError::Invalid`] for bytes that are no such request, and for spans without valid ids.
pub fn from_protobuf(bytes: &[u8]) -> Result<Vec<Span>, StoreError> {
    let request = Request::decode(bytes)
        .map_err(|error| invalid(format!("the body is no ExportTraceServiceRequest of OTLP: {error}")))?;
    spans(request)
}

/// The spans of a request in JSON.
///
/// # Errors
/// [`StoreError::Invalid`] for text that is no such request, and for spans without valid ids.
pub fn from_json(bytes: &[u8]) -> Result<Vec<Span>, StoreError> {
    let request = serde_json::from_slice(bytes).map_err(|error| {
        invalid(format!("the body is no ExportTraceServiceRequest of OTLP in JSON: {error}"))
    })?;
    spans(request)
}

fn spans(request: Request) -> Result<Vec<Span>, StoreError> {
    if request.resource_spans.is_empty() {
        return Err(invalid(
            "the request of OTLP has no spans: expected resource_spans with scope_spans with spans",
        ));
    }
    let mut spans = Vec::new();
    for group in request.resource_spans {
        let resource = Arc::new(pairs(group.resource.unwrap_or_default().attributes));
        for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            if spans.len() == SPANS {
                return Err(invalid(format!(
                    "the request of OTLP has more than {SPANS} spans; send it in parts"
                )));
            }
            spans.push(read(span, Arc::clone(&resource))?);
        }
    }
    Ok(spans)
}

fn read(span: message::Span, resource: Arc<Vec<(String, Value)>>) -> Result<Span, StoreError> {
    let named = |what: &str, id: &[u8], expected: usize| {
        let zero = id.iter().all(|byte| *byte == 0);
        if id.len() == expected && !zero {
            return Ok(());
        }
        Err(invalid(format!(
            "the span {} has the {what} `{}` of {} bytes, expected {expected} bytes that are not all 0",
            shown(&span.name),
            hex(id.get(..32).unwrap_or(id)),
            id.len()
        )))
    };
    named("trace id", &span.trace_id, 16)?;
    named("span id", &span.span_id, 8)?;
    // Some senders write a missing parent as zeros.
    let parent_id =
        if span.parent_span_id.iter().all(|byte| *byte == 0) { Vec::new() } else { span.parent_span_id };
    if !parent_id.is_empty() {
        named("parent's span id", &parent_id, 8)?;
    }
    let time = |what: &str, nanos: u64| {
        i64::try_from(nanos).map_err(|_| {
            invalid(format!(
                "the span {} has the {what} {nanos}, expected nanoseconds since 1970",
                shown(&span.name)
            ))
        })
    };
    let (start_ns, end_ns) =
        (time("start", span.start_time_unix_nano)?, time("end", span.end_time_unix_nano)?);
    let status = span.status.unwrap_or_default();
    Ok(Span {
        start_ns,
        end_ns: (end_ns != 0).then_some(end_ns),
        parent_id,
        attributes: pairs(span.attributes),
        events: span
            .events
            .into_iter()
            .map(|event| SpanEvent {
                name: event.name,
                time_ns: i64::try_from(event.time_unix_nano).unwrap_or(i64::MAX),
                attributes: pairs(event.attributes),
            })
            .collect(),
        links: span
            .links
            .into_iter()
            .filter(|link| link.trace_id.len() == 16 && link.span_id.len() == 8)
            .map(|link| SpanLink {
                trace_id: link.trace_id,
                span_id: link.span_id,
                attributes: pairs(link.attributes),
            })
            .collect(),
        status: match status.code {
            1 => SpanStatus::Ok,
            2 => SpanStatus::Error,
            _ => SpanStatus::Unset,
        },
        message: status.message,
        trace_id: span.trace_id,
        span_id: span.span_id,
        name: span.name,
        resource,
    })
}

/// Pairs in their order; of several with the same key, the last value in the first place.
fn pairs(pairs: Vec<KeyValue>) -> Vec<(String, Value)> {
    let mut object = serde_json::Map::with_capacity(pairs.len());
    for pair in pairs {
        object.insert(pair.key, value(pair.value));
    }
    object.into_iter().collect()
}

fn value(value: Option<AnyValue>) -> Value {
    use any_value::Value as Any;
    match value.and_then(|value| value.value) {
        None => Value::Null,
        Some(Any::Text(text)) => Value::String(text),
        Some(Any::Bool(truth)) => Value::Bool(truth),
        Some(Any::Int(number)) => number.into(),
        // JSON has no NaN.
        Some(Any::Double(number)) => serde_json::Number::from_f64(number)
            .map_or_else(|| Value::String(number.to_string()), Value::Number),
        Some(Any::List(list)) => list.values.into_iter().map(|item| self::value(Some(item))).collect(),
        Some(Any::Pairs(list)) => Value::Object(pairs(list.values).into_iter().collect()),
        Some(Any::Bytes(bytes)) => {
            use base64::Engine as _;
            Value::String(base64::engine::general_purpose::STANDARD.encode(bytes))
        }
    }
}

#[cfg(test)]
mod tests;
