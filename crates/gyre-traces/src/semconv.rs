//! Spans of libraries that follow OpenTelemetry's conventions for generative AI (semconv `gen_ai.*`), in MLflow's words.
//!
//! What MLflow's own clients send has its words already and is left as it is.

use serde_json::{Map, Value, json};

use crate::record::{Span, key};

/// Adds what MLflow's readers look for, where the span says it in the words of the conventions only.
pub(crate) fn translate(span: &mut Span) {
    let mut added: Vec<(&str, Value)> = Vec::new();
    if let Some(kind) = span.attribute("gen_ai.operation.name").and_then(Value::as_str).and_then(kind) {
        added.push((key::SPAN_TYPE, kind.into()));
    }
    let whole = |name: &str| span.attribute(name).and_then(Value::as_i64);
    let input = whole("gen_ai.usage.input_tokens");
    let output = whole("gen_ai.usage.output_tokens");
    if let (Some(input), Some(output)) = (input, output) {
        let mut usage = Map::new();
        usage.insert("input_tokens".to_owned(), input.into());
        usage.insert("output_tokens".to_owned(), output.into());
        usage.insert("total_tokens".to_owned(), input.saturating_add(output).into());
        for (theirs, ours) in [
            ("gen_ai.usage.cache_read.input_tokens", "cache_read_input_tokens"),
            ("gen_ai.usage.cache_creation.input_tokens", "cache_creation_input_tokens"),
        ] {
            if let Some(number) = whole(theirs) {
                usage.insert(ours.to_owned(), number.into());
            }
        }
        added.push((key::SPAN_USAGE, Value::Object(usage)));
    }
    for (theirs, ours) in [
        ("gen_ai.input.messages", key::INPUTS),
        ("gen_ai.tool.call.arguments", key::INPUTS),
        ("gen_ai.output.messages", key::OUTPUTS),
        ("gen_ai.tool.call.result", key::OUTPUTS),
        ("gen_ai.response.model", key::MODEL),
        ("gen_ai.request.model", key::MODEL),
        ("gen_ai.provider.name", key::PROVIDER),
    ] {
        if let Some(value) = span.attribute(theirs) {
            added.push((ours, opened(value)));
        }
    }
    for (name, value) in added {
        if span.attribute(name).is_none() {
            span.attributes.push((name.to_owned(), value));
        }
    }
    if span.attribute(key::SPAN_TYPE).is_none() {
        span.attributes.push((key::SPAN_TYPE.to_owned(), json!("UNKNOWN")));
    }
}

/// JSON that stands in a text, as JSON.
fn opened(value: &Value) -> Value {
    let text = value.as_str().filter(|text| text.starts_with(['{', '[']));
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| value.clone())
}

fn kind(operation: &str) -> Option<&'static str> {
    Some(match operation {
        "chat" | "generate_content" => "CHAT_MODEL",
        "text_completion" => "LLM",
        "embeddings" => "EMBEDDING",
        "execute_tool" => "TOOL",
        "create_agent" | "invoke_agent" => "AGENT",
        _ => return None,
    })
}
