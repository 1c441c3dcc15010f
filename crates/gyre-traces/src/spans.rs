//! Spans: stored as they come, one or many at a time, in any order.
//!
//! A trace comes into being with its first span. Until the client has said the last word on it ([`crate::infos::start`])
//! its times, state, previews, tokens and cost are those of the spans that are here.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gyre_store::{Row, StoreError, Tx};
use gyre_tracking::experiments::Experiment;
use serde_json::{Map, Value, json};

use crate::limits::cut;
use crate::record::{Span, SpanStatus, TraceState, hex, key};
use crate::spaced::dump;
use crate::usage::{self, Node};
use crate::{experiments, infos, limits, preview, semconv};

/// The longest JSON of a span, in bytes.
const LONGEST: usize = 16 << 20;
/// The longest name, type, model or provider of a span, in characters; what is longer is cut.
const NAME: usize = 500;

/// Stores spans of any number of traces. Traces that are not there yet are made in `experiment`. Returns the ids of the
/// traces whose root span was among them.
///
/// # Errors
/// [`StoreError::NotFound`] for the experiment; [`StoreError::Invalid`] for a span that is too large. Then none is stored.
pub fn log(tx: &mut Tx<'_>, experiment: i64, spans: Vec<Span>) -> Result<Vec<String>, StoreError> {
    let mut traces: BTreeMap<String, Vec<Span>> = BTreeMap::new();
    for mut span in spans {
        semconv::translate(&mut span);
        traces.entry(span.trace()).or_default().push(span);
    }
    let mut rooted = Vec::new();
    for (trace_id, spans) in traces {
        let begun =
            tx.query("SELECT 1 FROM traces_infos WHERE trace_id = ?1", &[trace_id.as_str().into()])?;
        if begun.is_empty() {
            let experiment = experiments::active(tx, experiment)?;
            begin(tx, &experiment, &trace_id, &spans)?;
        }
        for span in &spans {
            put(tx, &trace_id, span)?;
        }
        bring_up(tx, &trace_id, &spans)?;
        if spans.iter().any(|span| span.parent_id.is_empty()) {
            rooted.push(trace_id);
        }
    }
    Ok(rooted)
}

fn begin(tx: &mut Tx<'_>, experiment: &Experiment, trace_id: &str, spans: &[Span]) -> Result<(), StoreError> {
    let time_ms = spans.iter().map(|span| span.start_ns).min().unwrap_or_default().div_euclid(1_000_000);
    tx.execute(
        "INSERT INTO traces_infos (trace_id, experiment, time_ms, state) VALUES (?1, ?2, ?3, ?4)",
        &[trace_id.into(), experiment.id.into(), time_ms.into(), TraceState::InProgress.name().into()],
    )?;
    infos::put_tag(tx, trace_id, key::ARTIFACT_LOCATION, &infos::artifacts(experiment, trace_id))
}

fn put(tx: &mut Tx<'_>, trace_id: &str, span: &Span) -> Result<(), StoreError> {
    let content = dump(&content(trace_id, span));
    if content.len() > LONGEST {
        return Err(limits::invalid(format!(
            "the span {} has {} bytes, at most {LONGEST} go",
            limits::shown(&span.name),
            content.len()
        )));
    }
    let text = |name: &str| span.attribute(name).and_then(Value::as_str).map(|text| cut(text, NAME));
    let cost = span.attribute(key::SPAN_COST);
    let cost = |name: &str| cost.and_then(|cost| cost.get(name)?.as_f64()).filter(|cost| cost.is_finite());
    let parent = (!span.parent_id.is_empty()).then(|| hex(&span.parent_id));
    tx.execute(
        "INSERT INTO traces_spans (trace_id, span_id, parent_id, name, type, status, start_ns, end_ns, model, provider, \
         input_cost, output_cost, total_cost, content)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
         ON CONFLICT (trace_id, span_id) DO UPDATE SET parent_id = excluded.parent_id, name = excluded.name, \
         type = excluded.type, status = excluded.status, start_ns = excluded.start_ns, end_ns = excluded.end_ns, \
         model = excluded.model, provider = excluded.provider, input_cost = excluded.input_cost, \
         output_cost = excluded.output_cost, total_cost = excluded.total_cost, content = excluded.content",
        &[
            trace_id.into(),
            hex(&span.span_id).into(),
            parent.into(),
            span.name.as_str().into(),
            text(key::SPAN_TYPE).unwrap_or("UNKNOWN").into(),
            span.status.name().into(),
            span.start_ns.into(),
            span.end_ns.into(),
            text(key::MODEL).into(),
            text(key::PROVIDER).into(),
            cost("input_cost").into(),
            cost("output_cost").into(),
            cost("total_cost").into(),
            content.into(),
        ],
    )?;
    Ok(())
}

/// A span as it is stored, and as MLflow's `traces.json` has it: attributes are JSON texts, ids are base64.
fn content(trace_id: &str, span: &Span) -> Value {
    let plain = |pairs: &[(String, Value)]| Value::Object(pairs.iter().cloned().collect());
    let parent =
        if span.parent_id.is_empty() { Value::Null } else { STANDARD.encode(&span.parent_id).into() };
    // Which trace it is of is told by the trace's id; what the sender says does not count.
    let mut attributes = Map::new();
    attributes.insert(key::SPAN_TRACE.to_owned(), dump(&trace_id).into());
    for (name, value) in span.attributes.iter().filter(|(name, _)| name != key::SPAN_TRACE) {
        attributes.insert(name.clone(), dump(value).into());
    }
    let events: Vec<Value> = span
        .events
        .iter()
        .map(|event| {
            json!({"name": event.name, "time_unix_nano": event.time_ns, "attributes": plain(&event.attributes)})
        })
        .collect();
    let links: Vec<Value> = span
        .links
        .iter()
        .map(|link| {
            json!({
                "trace_id": format!("tr-{}", hex(&link.trace_id)),
                "span_id": hex(&link.span_id),
                "attributes": plain(&link.attributes),
            })
        })
        .collect();
    json!({
        "trace_id": STANDARD.encode(&span.trace_id),
        "span_id": STANDARD.encode(&span.span_id),
        "parent_span_id": parent,
        "name": span.name,
        "start_time_unix_nano": span.start_ns,
        "end_time_unix_nano": span.end_ns,
        "events": events,
        "status": {"code": span.status.code(), "message": span.message},
        "attributes": attributes,
        "links": links,
    })
}

/// Brings a trace's info up to spans that have just been stored.
fn bring_up(tx: &mut Tx<'_>, trace_id: &str, spans: &[Span]) -> Result<(), StoreError> {
    let info = infos::get(tx, trace_id)?;
    let finalized = info.metadata.contains_key(key::FINALIZED);
    let root = spans.iter().find(|span| span.parent_id.is_empty());
    let (mut time_ms, mut duration_ms) = (info.time_ms, info.duration_ms);
    if !finalized {
        let ms = |ns: i64| ns.div_euclid(1_000_000);
        let start = spans.iter().map(|span| ms(span.start_ns)).min().unwrap_or(time_ms);
        let end = spans.iter().filter_map(|span| span.end_ns.map(ms)).max();
        let known = info.duration_ms.map(|duration| info.time_ms.saturating_add(duration));
        time_ms = time_ms.min(start);
        duration_ms = end.max(known).map(|end| end.saturating_sub(time_ms));
    }
    let state = match root {
        Some(root) if !info.state.is_final() => match root.status {
            SpanStatus::Error => TraceState::Error,
            SpanStatus::Ok | SpanStatus::Unset => TraceState::Ok,
        },
        _ => info.state,
    };
    let of_root =
        |name: &str, role: &str| root?.attribute(name).map(|value| preview::preview(&dump(value), role));
    let request = info.request_preview.clone().or_else(|| of_root(key::INPUTS, "user"));
    let response = info.response_preview.clone().or_else(|| of_root(key::OUTPUTS, "assistant"));
    tx.execute(
        "UPDATE traces_infos SET time_ms = ?2, duration_ms = ?3, state = ?4, request_preview = ?5, response_preview = ?6
         WHERE trace_id = ?1",
        &[
            trace_id.into(),
            time_ms.into(),
            duration_ms.into(),
            state.name().into(),
            request.into(),
            response.into(),
        ],
    )?;
    sum_up(tx, trace_id, spans, finalized.then_some(&info.metadata))?;
    for (attribute, known) in
        [("session.id", key::SESSION), ("gen_ai.conversation.id", key::SESSION), ("user.id", key::USER)]
    {
        let found = spans.iter().find_map(|span| span.attribute(attribute)?.as_str().map(str::to_owned));
        if let Some(found) = found.filter(|_| !info.metadata.contains_key(known)) {
            infos::put_metadata(tx, trace_id, known, &found)?;
        }
    }
    tag(tx, trace_id, spans, root)
}

/// Tokens and cost of all spans that are here, unless the client has told them itself.
fn sum_up(
    tx: &mut Tx<'_>,
    trace_id: &str,
    spans: &[Span],
    told: Option<&BTreeMap<String, String>>,
) -> Result<(), StoreError> {
    for (of_span, of_trace, keys) in
        [(key::SPAN_USAGE, key::TOKEN_USAGE, usage::TOKENS), (key::SPAN_COST, key::COST, usage::COST)]
    {
        let comes = spans.iter().any(|span| span.attribute(of_span).is_some());
        if !comes || told.is_some_and(|metadata| metadata.contains_key(of_trace)) {
            continue;
        }
        let mut nodes = Vec::new();
        tx.query_each(
            "SELECT span_id, parent_id, content FROM traces_spans WHERE trace_id = ?1",
            &[trace_id.into()],
            |row| {
                nodes.push(node(&row, of_span)?);
                Ok(())
            },
        )?;
        if let Some(total) = usage::total(&nodes, keys) {
            infos::put_metadata(tx, trace_id, of_trace, &dump(&total))?;
        }
    }
    Ok(())
}

fn node(row: &Row, attribute: &str) -> Result<Node, StoreError> {
    let content: String = row.get(2)?;
    let numbers = content.contains(attribute).then(|| {
        let content: Value = serde_json::from_str(&content).ok()?;
        let text = content.get("attributes")?.get(attribute)?.as_str()?;
        match serde_json::from_str(text).ok()? {
            Value::Object(numbers) => Some(numbers),
            _ => None,
        }
    });
    Ok(Node { span_id: row.get(0)?, parent_id: row.get(1)?, numbers: numbers.flatten() })
}

/// Tags that the sender carries in its resource and in the root's attributes, and where the spans are.
fn tag(tx: &mut Tx<'_>, trace_id: &str, spans: &[Span], root: Option<&Span>) -> Result<(), StoreError> {
    let as_text = |value: &Value| value.as_str().map_or_else(|| dump(value), str::to_owned);
    infos::put_tag(tx, trace_id, key::SPANS_LOCATION, key::IN_STORE)?;
    let resource = spans.iter().map(|span| &span.resource).find(|resource| !resource.is_empty());
    let ours = |name: &str| name.starts_with("telemetry.sdk.") || name.starts_with("mlflow.");
    for (name, value) in resource.into_iter().flat_map(|resource| resource.iter()) {
        if !ours(name) && limits::key("tag", name).is_ok() {
            infos::put_tag(tx, trace_id, name, &as_text(value))?;
        }
    }
    for (name, value) in root.into_iter().flat_map(|root| &root.attributes) {
        let Some(name) = name.strip_prefix(key::TRACE_TAG) else { continue };
        if name != key::SPANS_LOCATION && limits::key("tag", name).is_ok() {
            infos::put_tag(tx, trace_id, name, &as_text(value))?;
        }
    }
    Ok(())
}

/// The spans of a trace as they are stored ([JSON texts](content)), the root first, then by when they began.
///
/// # Errors
/// What the database said.
pub fn of(tx: &mut Tx<'_>, trace_id: &str) -> Result<Vec<String>, StoreError> {
    tx.query(
        "SELECT content FROM traces_spans WHERE trace_id = ?1
         ORDER BY CASE WHEN parent_id IS NULL THEN 0 ELSE 1 END, start_ns, span_id",
        &[trace_id.into()],
    )?
    .iter()
    .map(|row| row.get(0))
    .collect()
}
