//! The messages of OTLP that are kept, with the numbers of opentelemetry-proto v1.

use prost::{Message, Oneof};
use serde::Deserialize;

use super::json;

/// `ExportTraceServiceRequest`.
#[derive(Clone, PartialEq, Message, Deserialize)]
pub(super) struct Request {
    #[prost(message, repeated, tag = "1")]
    #[serde(default, alias = "resourceSpans")]
    pub(super) resource_spans: Vec<ResourceSpans>,
}

/// Spans of one sender.
#[derive(Clone, PartialEq, Message, Deserialize)]
pub(super) struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    #[serde(default)]
    pub(super) resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    #[serde(default, alias = "scopeSpans")]
    pub(super) scope_spans: Vec<ScopeSpans>,
}

/// The sender.
#[derive(Clone, PartialEq, Message, Deserialize)]
pub(super) struct Resource {
    #[prost(message, repeated, tag = "1")]
    #[serde(default)]
    pub(super) attributes: Vec<KeyValue>,
}

/// Spans of one library.
#[derive(Clone, PartialEq, Message, Deserialize)]
pub(super) struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    #[serde(default)]
    pub(super) spans: Vec<Span>,
}

/// A span.
#[derive(Clone, PartialEq, Message, Deserialize)]
pub(super) struct Span {
    #[prost(bytes = "vec", tag = "1")]
    #[serde(default, alias = "traceId", deserialize_with = "json::id")]
    pub(super) trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    #[serde(default, alias = "spanId", deserialize_with = "json::id")]
    pub(super) span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    #[serde(default, alias = "parentSpanId", deserialize_with = "json::id")]
    pub(super) parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    #[serde(default)]
    pub(super) name: String,
    /// Written, and not read: everybody has its own words for it in JSON.
    #[prost(int32, tag = "6")]
    #[serde(skip)]
    pub(super) kind: i32,
    #[prost(fixed64, tag = "7")]
    #[serde(default, alias = "startTimeUnixNano", deserialize_with = "json::unsigned")]
    pub(super) start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    #[serde(default, alias = "endTimeUnixNano", deserialize_with = "json::unsigned")]
    pub(super) end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    #[serde(default)]
    pub(super) attributes: Vec<KeyValue>,
    #[prost(message, repeated, tag = "11")]
    #[serde(default)]
    pub(super) events: Vec<Event>,
    #[prost(message, repeated, tag = "13")]
    #[serde(default)]
    pub(super) links: Vec<Link>,
    #[prost(message, optional, tag = "15")]
    #[serde(default)]
    pub(super) status: Option<Status>,
}

/// A moment inside a span.
#[derive(Clone, PartialEq, Message, Deserialize)]
pub(super) struct Event {
    #[prost(fixed64, tag = "1")]
    #[serde(default, alias = "timeUnixNano", deserialize_with = "json::unsigned")]
    pub(super) time_unix_nano: u64,
    #[prost(string, tag = "2")]
    #[serde(default)]
    pub(super) name: String,
    #[prost(message, repeated, tag = "3")]
    #[serde(default)]
    pub(super) attributes: Vec<KeyValue>,
}

/// A span of another trace.
#[derive(Clone, PartialEq, Message, Deserialize)]
pub(super) struct Link {
    #[prost(bytes = "vec", tag = "1")]
    #[serde(default, alias = "traceId", deserialize_with = "json::id")]
    pub(super) trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    #[serde(default, alias = "spanId", deserialize_with = "json::id")]
    pub(super) span_id: Vec<u8>,
    #[prost(message, repeated, tag = "4")]
    #[serde(default)]
    pub(super) attributes: Vec<KeyValue>,
}

/// How a span ended.
#[derive(Clone, PartialEq, Message, Deserialize)]
pub(super) struct Status {
    #[prost(string, tag = "2")]
    #[serde(default)]
    pub(super) message: String,
    #[prost(int32, tag = "3")]
    #[serde(default, deserialize_with = "json::status")]
    pub(super) code: i32,
}

/// A key and its value.
#[derive(Clone, PartialEq, Message, Deserialize)]
pub(super) struct KeyValue {
    #[prost(string, tag = "1")]
    #[serde(default)]
    pub(super) key: String,
    #[prost(message, optional, tag = "2")]
    #[serde(default)]
    pub(super) value: Option<AnyValue>,
}

/// A value of any type.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(from = "json::Fields")]
pub(super) struct AnyValue {
    #[prost(oneof = "any_value::Value", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub(super) value: Option<any_value::Value>,
}

/// The types of values.
pub(super) mod any_value {
    use super::{ArrayValue, KeyValueList, Oneof};

    /// A value of one of the types.
    #[derive(Clone, PartialEq, Oneof)]
    pub(in super::super) enum Value {
        #[prost(string, tag = "1")]
        Text(String),
        #[prost(bool, tag = "2")]
        Bool(bool),
        #[prost(int64, tag = "3")]
        Int(i64),
        #[prost(double, tag = "4")]
        Double(f64),
        #[prost(message, tag = "5")]
        List(ArrayValue),
        #[prost(message, tag = "6")]
        Pairs(KeyValueList),
        #[prost(bytes, tag = "7")]
        Bytes(Vec<u8>),
    }
}

/// A list of values.
#[derive(Clone, PartialEq, Message, Deserialize)]
pub(super) struct ArrayValue {
    #[prost(message, repeated, tag = "1")]
    #[serde(default)]
    pub(super) values: Vec<AnyValue>,
}

/// Keys and values.
#[derive(Clone, PartialEq, Message, Deserialize)]
pub(super) struct KeyValueList {
    #[prost(message, repeated, tag = "1")]
    #[serde(default)]
    pub(super) values: Vec<KeyValue>,
}
