//! Traces of our own: what a request was part of, what it did here, and how long that took.
//!
//! A caller that takes part in a trace says so in `traceparent` (W3C Trace Context); a model's server that is asked on its
//! behalf is told the same. Spans go to the collector that the operator names, in OpenTelemetry's own variables, by OTLP
//! over HTTP. The parts:
//!
//! - `context` reads and writes `traceparent`; pure.
//! - `sampler` says which traces are kept; pure.
//! - `export` takes finished spans off a bounded queue; what does not fit is dropped and counted.
//! - this module reads the variables, and makes spans of requests.
//!
//! Where no collector is named nothing of this happens: a request costs one look at an empty option. A prediction never
//! waits for a collector. Spans hold no features, no predictions, no credentials, and of a URL the route alone.

pub(crate) mod context;
mod export;
mod sampler;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::http::{HeaderMap, Method, StatusCode};
use gyre_access::egress::{Egress, Rule};
use gyre_traces::otlp::Kind;
use gyre_traces::record::{Span, SpanStatus};
use serde_json::{Value, json};

use crate::trail::Prediction;
use context::Context;
use export::{Exporter, Settings};
use sampler::Sampler;

/// The longest time that an operator may set, in milliseconds.
const LONGEST: u64 = 600_000;

/// Why traces are not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} is `{found}`, expected {expected}")]
pub struct TelemetryError {
    variable: &'static str,
    found: String,
    expected: &'static str,
}

/// Where spans go.
pub struct Telemetry {
    sampler: Sampler,
    exporter: Exporter,
}

impl Telemetry {
    /// What OpenTelemetry's variables say, which `get` looks up; none when they name no collector, or switch it off.
    ///
    /// # Errors
    /// [`TelemetryError`] for a value that makes no sense, or that is not offered.
    pub fn from_variables(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, TelemetryError> {
        let get = |name: &str| get(name).filter(|value| !value.trim().is_empty());
        let on_traces = get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        let base = get("OTEL_EXPORTER_OTLP_ENDPOINT");
        let endpoint = match (on_traces, base) {
            _ if get("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) => {
                return Ok(None);
            }
            _ if get("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none") => return Ok(None),
            (Some(whole), _) => whole,
            (None, Some(base)) => format!("{}/v1/traces", base.trim_end_matches('/')),
            (None, None) => return Ok(None),
        };
        let wrong =
            |variable, found: &str, expected| TelemetryError { variable, found: found.to_owned(), expected };
        let protocol =
            get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or_else(|| get("OTEL_EXPORTER_OTLP_PROTOCOL"));
        if let Some(other) = protocol.filter(|protocol| protocol != "http/protobuf") {
            return Err(wrong(
                "OTEL_EXPORTER_OTLP_PROTOCOL",
                &other,
                "http/protobuf, the only one that is spoken here",
            ));
        }
        // Whoever sets the server's environment may name any host.
        let host = endpoint.parse::<axum::http::Uri>().ok();
        let rule = host.as_ref().and_then(|uri| uri.host()).and_then(|host| host.parse::<Rule>().ok());
        let expected = "a URL such as http://collector:4318";
        let rule = rule.ok_or_else(|| wrong("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint, expected))?;
        let egress = Egress::new(vec![rule]);
        egress.check(&endpoint).map_err(|_| wrong("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint, expected))?;
        let headers = get("OTEL_EXPORTER_OTLP_TRACES_HEADERS").or_else(|| get("OTEL_EXPORTER_OTLP_HEADERS"));
        let headers = pairs(headers.as_deref().unwrap_or_default()).map_err(|_| TelemetryError {
            variable: "OTEL_EXPORTER_OTLP_HEADERS",
            // It may hold a secret.
            found: "(not shown)".to_owned(),
            expected: "NAME=VALUE,NAME=VALUE",
        })?;
        let sampler =
            Sampler::named(get("OTEL_TRACES_SAMPLER").as_deref(), get("OTEL_TRACES_SAMPLER_ARG").as_deref())?;
        let number = |variable: &'static str, usual: u64, most: u64| match get(variable) {
            None => Ok(usual),
            Some(text) => match text.trim().parse::<u64>() {
                Ok(number) if (1..=most).contains(&number) => Ok(number),
                _ => Err(wrong(variable, &text, "a positive whole number")),
            },
        };
        let queue = number("OTEL_BSP_MAX_QUEUE_SIZE", 2_048, 1 << 20)?;
        let batch = number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512, queue)?;
        let settings = Settings {
            endpoint,
            headers,
            resource: resource(get("OTEL_SERVICE_NAME"), get("OTEL_RESOURCE_ATTRIBUTES"))?,
            queue: usize::try_from(queue).unwrap_or(usize::MAX),
            batch: usize::try_from(batch).unwrap_or(usize::MAX),
            pause: Duration::from_millis(number("OTEL_BSP_SCHEDULE_DELAY", 5_000, LONGEST)?),
            timeout: Duration::from_millis(number("OTEL_EXPORTER_OTLP_TIMEOUT", 10_000, LONGEST)?),
        };
        Ok(Some(Self { sampler, exporter: Exporter::start(settings, egress) }))
    }

    /// Where spans go.
    pub fn endpoint(&self) -> &str {
        self.exporter.endpoint()
    }

    /// Spans that were dropped, because the queue was full or the collector did not take them.
    pub fn dropped(&self) -> u64 {
        self.exporter.dropped()
    }

    /// Begins the span of a request.
    pub(crate) fn begin(&self, headers: &HeaderMap) -> Visit {
        let parent = Context::of(headers);
        let context = match &parent {
            Some(parent) => parent.child(self.sampler.keeps(parent.trace(), Some(parent.is_sampled()))),
            None => Context::root(|trace| self.sampler.keeps(trace, None)),
        };
        let parent = parent.map(|parent| parent.span().to_vec()).unwrap_or_default();
        Visit { context, parent, began: SystemTime::now(), clock: Instant::now() }
    }

    /// Ends it, with the predictions that were made for it.
    pub(crate) fn end(&self, visit: &Visit, told: &Told<'_>, predictions: &[Prediction]) {
        if !visit.context.is_sampled() {
            return;
        }
        let mut attributes = vec![
            pair("http.request.method", told.method.as_str()),
            pair("http.route", told.route),
            pair("http.response.status_code", told.status.as_u16()),
            pair("url.scheme", told.scheme),
        ];
        attributes.extend(told.request.map(|id| pair("gyre.request_id", id)));
        let name = format!("{} {}", told.method, told.route);
        let failed = told.status.is_server_error().then(|| told.status.to_string());
        let began = nanos(visit.began);
        let whole = (began, began + span_nanos(visit.clock.elapsed()));
        let parent = visit.parent.clone();
        self.exporter.take(Kind::Server, span(&visit.context, parent, name, whole, attributes, failed));
        for prediction in predictions {
            let began = began + span_nanos(prediction.after(visit.clock));
            let mut attributes =
                vec![pair("gyre.model", prediction.model.as_str()), pair("gyre.rows", prediction.rows)];
            if !prediction.versions.is_empty() {
                attributes.push(pair("gyre.version", prediction.versions.as_str()));
                attributes.push(pair("gyre.route", prediction.route));
            }
            let times = (began, began + span_nanos(prediction.took));
            let name = format!("predict {}", prediction.model);
            let parent = visit.context.span().to_vec();
            let span =
                span(&visit.context.child(true), parent, name, times, attributes, prediction.failed.clone());
            self.exporter.take(Kind::Internal, span);
        }
    }
}

/// A request's span, as long as it is under way.
pub(crate) struct Visit {
    pub(crate) context: Context,
    parent: Vec<u8>,
    began: SystemTime,
    clock: Instant,
}

/// What is known of a request when it ends.
pub(crate) struct Told<'a> {
    pub(crate) method: &'a Method,
    /// The path with its parameters in braces.
    pub(crate) route: &'a str,
    pub(crate) status: StatusCode,
    pub(crate) scheme: &'static str,
    pub(crate) request: Option<&'a str>,
}

fn span(
    context: &Context,
    parent_id: Vec<u8>,
    name: String,
    (start_ns, end_ns): (i64, i64),
    attributes: Vec<(String, Value)>,
    failed: Option<String>,
) -> Span {
    Span {
        trace_id: context.trace().to_vec(),
        span_id: context.span().to_vec(),
        parent_id,
        name,
        start_ns,
        end_ns: Some(end_ns),
        attributes,
        events: Vec::new(),
        links: Vec::new(),
        status: if failed.is_some() { SpanStatus::Error } else { SpanStatus::Unset },
        message: failed.unwrap_or_default(),
        resource: Arc::default(),
    }
}

fn pair(key: &str, value: impl Into<Value>) -> (String, Value) {
    (key.to_owned(), value.into())
}

fn nanos(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, span_nanos)
}

fn span_nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// `NAME=VALUE,NAME=VALUE`, with what is special percent-encoded (W3C Baggage).
fn pairs(text: &str) -> Result<Vec<(String, String)>, ()> {
    let some = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let decoded = |text: &str| {
        let plain = format!("v={}", text.trim().replace('+', "%2B"));
        form_urlencoded::parse(plain.as_bytes())
            .next()
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    };
    some.map(|pair| {
        let (name, value) = pair.split_once('=').filter(|(name, _)| !name.trim().is_empty()).ok_or(())?;
        Ok((decoded(name), decoded(value)))
    })
    .collect()
}

/// What describes this process.
fn resource(
    name: Option<String>,
    attributes: Option<String>,
) -> Result<Vec<(String, Value)>, TelemetryError> {
    let given = pairs(attributes.as_deref().unwrap_or_default()).map_err(|()| TelemetryError {
        variable: "OTEL_RESOURCE_ATTRIBUTES",
        found: attributes.unwrap_or_default().chars().take(200).collect(),
        expected: "NAME=VALUE,NAME=VALUE",
    })?;
    let mut all: serde_json::Map<String, Value> = [
        ("service.name".to_owned(), json!("gyre")),
        ("service.version".to_owned(), json!(env!("CARGO_PKG_VERSION"))),
        ("telemetry.sdk.name".to_owned(), json!("gyre")),
        ("telemetry.sdk.language".to_owned(), json!("rust")),
        ("telemetry.sdk.version".to_owned(), json!(env!("CARGO_PKG_VERSION"))),
    ]
    .into_iter()
    .collect();
    all.extend(given.into_iter().map(|(name, value)| (name, Value::String(value))));
    all.extend(name.map(|name| ("service.name".to_owned(), Value::String(name))));
    Ok(all.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<Option<Telemetry>, TelemetryError> {
        Telemetry::from_variables(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_variables_mean_what_they_mean_elsewhere() {
        assert!(with(&[]).unwrap().is_none());
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318/");
        assert_eq!(with(&[base]).unwrap().unwrap().endpoint(), "http://localhost:4318/v1/traces");
        let whole = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://x.example/here");
        assert_eq!(with(&[base, whole]).unwrap().unwrap().endpoint(), "https://x.example/here");
        assert!(with(&[base, ("OTEL_SDK_DISABLED", "TRUE")]).unwrap().is_none());
        assert!(with(&[base, ("OTEL_TRACES_EXPORTER", "none")]).unwrap().is_none());
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a"),
        ] {
            let mut variables = vec![(name, value)];
            variables.push(base);
            let told = with(&variables).err().unwrap().to_string();
            assert!(told.contains(name) && told.contains(value) && told.contains("expected"), "{told}");
        }
        let secret = with(&[base, ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2")]).err().unwrap().to_string();
        assert!(!secret.contains("hunter2"), "{secret}");
    }

    #[test]
    fn headers_and_attributes_are_decoded() {
        let found = pairs(" authorization=Bearer%20x+y , a = b%2Cc ").unwrap();
        let expected = [("authorization", "Bearer x+y"), ("a", "b,c")];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let all = resource(Some("shop".to_owned()), Some("service.name=other,zone=eu".to_owned())).unwrap();
        assert_eq!(all[0], ("service.name".to_owned(), json!("shop")));
        assert_eq!(all.last().unwrap(), &("zone".to_owned(), json!("eu")));
    }
}
