//! The statistics extension, and the same numbers for scrapers of metrics.
//!
//! Triton's words are used where they mean the same. A row is an inference, a call is an execution. Calls queue only in front
//! of a process or a URL; reading and writing tensors is not told apart from waiting for the socket, so those parts are zero
//! rather than guessed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use gyre_core::Version;
use gyre_gateway::totals::EDGES;
use gyre_gateway::{FeatureRule, StreamTotals, Totals};
use serde_json::{Value, json};

use super::{Answered, Named, Target, Versioned, loaded, named, versioned};
use crate::app::App;

/// `GET /v2/models/{model}/stats`
pub(crate) async fn of_model(State(app): State<Arc<App>>, path: Named) -> Answered {
    statistics(&app, &named(path)?)
}

/// `GET /v2/models/{model}/versions/{version}/stats`
pub(crate) async fn of_version(State(app): State<Arc<App>>, path: Versioned) -> Answered {
    statistics(&app, &versioned(path)?)
}

/// `GET /v2/models/stats`
pub(crate) async fn of_all(State(app): State<Arc<App>>) -> Response {
    rendered(all(&app))
}

fn statistics(app: &App, target: &Target) -> Answered {
    Ok(rendered(of(app, target)?))
}

/// What a version has done.
pub(super) struct Counted {
    pub(super) model: String,
    pub(super) version: Version,
    pub(super) totals: Totals,
}

/// Of the versions that `target` means.
pub(super) fn of(app: &App, target: &Target) -> Result<Vec<Counted>, super::Refused> {
    let versions = loaded(app, target)?;
    let meant = versions.into_iter().filter(|version| target.version.is_none_or(|wanted| wanted == *version));
    let counted = meant.filter_map(|version| {
        let totals = app.gateway.totals(&target.model, version)?;
        Some(Counted { model: target.model.clone(), version, totals })
    });
    Ok(counted.collect())
}

/// Of every version that is loaded.
pub(super) fn all(app: &App) -> Vec<Counted> {
    let models = app.gateway.models().into_iter();
    let targets = models.map(|model| Target { model: model.to_string(), version: None });
    // A model that is unloaded meanwhile is left out.
    targets.filter_map(|target| of(app, &target).ok()).flatten().collect()
}

fn rendered(counted: Vec<Counted>) -> Response {
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let stat = |count: u64, time: Duration| json!({ "count": count, "ns": nanos(time) });
    let none = || stat(0, Duration::ZERO);
    let one = |Counted { model, version, totals }: Counted| -> Value {
        let calls = totals.calls();
        json!({
            "name": model,
            "version": version.to_string(),
            "last_inference": totals.last.map_or(0, gyre_core::Timestamp::as_millis),
            "inference_count": totals.rows,
            "execution_count": calls,
            "inference_stats": {
                "success": stat(totals.succeeded, totals.succeeded_time),
                "fail": stat(totals.failed, totals.failed_time),
                "queue": stat(totals.waited.requests, totals.waited.time),
                "compute_input": none(),
                "compute_infer": stat(calls, totals.worked()),
                "compute_output": none(),
                "cache_hit": stat(totals.cached.0, Duration::ZERO),
                "cache_miss": stat(totals.cached.1, Duration::ZERO),
            },
            "batch_stats": [],
        })
    };
    Json(json!({ "model_stats": counted.into_iter().map(one).collect::<Vec<_>>() })).into_response()
}

/// `GET /metrics`: what every loaded version has done, in the text format of Prometheus (version 0.0.4).
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let log = app.gateway.log();
    // A model without a log has dropped nothing.
    let logs = app.gateway.models().into_iter().filter_map(|model| {
        let (dropped, unkept) = (log.dropped(model.as_str()).ok()?, log.unkept(model.as_str()).ok()?);
        Some(Logged { model: model.to_string(), dropped, unkept })
    });
    let counted = all(&app);
    let mut text = exposition(&counted, &logs.collect::<Vec<_>>());
    for Counted { model, version, .. } in &counted {
        let rules = app.gateway.feature_rules(model, *version).unwrap_or_default();
        odd_values(&mut text, model, *version, &rules);
    }
    label_sources(&mut text, &app);
    if let Some(telemetry) = &app.telemetry {
        let (name, dropped) = ("gyre_spans_dropped_total", telemetry.dropped());
        let help = "Spans that no collector took.";
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {dropped}");
    }
    let until = app.front.tls.as_ref().and_then(|tls| tls.holds_until());
    if let Some(until) = until.and_then(|until| until.duration_since(SystemTime::UNIX_EPOCH).ok()) {
        let (name, until) = ("gyre_tls_certificate_expiry_timestamp_seconds", until.as_secs());
        let help = "When the certificate that is in force runs out.";
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {until}");
    }
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// What became of a model's predictions on their way to the log.
struct Logged {
    model: String,
    dropped: u64,
    unkept: u64,
}

/// A counter of what a log does not have: its name, what it is, and how it is read.
type Lost = (&'static str, &'static str, fn(&Logged) -> u64);

/// A counter: its name, what it is, and how it is read.
type Counter = (&'static str, &'static str, fn(&Totals) -> u64);

const COUNTERS: [Counter; 8] = [
    ("nv_inference_request_success", "Calls that were answered.", |totals| totals.succeeded),
    ("nv_inference_request_failure", "Calls on which the model failed.", |totals| totals.failed),
    ("nv_inference_count", "Rows that were predicted.", |totals| totals.rows),
    ("nv_inference_exec_count", "Calls on which the model was run.", Totals::calls),
    ("nv_inference_compute_infer_duration_us", "Time in the model, in microseconds.", |totals| {
        micros(totals.worked())
    }),
    (
        "nv_inference_queue_duration_us",
        "Time that calls waited for a process or a URL, in microseconds.",
        |totals| micros(totals.waited.time),
    ),
    ("nv_cache_num_hits_per_model", "Rows that were answered by what is kept.", |totals| totals.cached.0),
    ("nv_cache_num_misses_per_model", "Rows that were looked up in vain.", |totals| totals.cached.1),
];

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn exposition(counted: &[Counted], logs: &[Logged]) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail. Names of models hold nothing that a label would have to escape.
    for (name, help, read) in COUNTERS {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
        for Counted { model, version, totals } in counted {
            let _ = writeln!(text, "{name}{{model=\"{model}\",version=\"{version}\"}} {}", read(totals));
        }
    }
    let name = "request_predict_seconds";
    let _ = writeln!(text, "# HELP {name} Time in the model of a call.\n# TYPE {name} histogram");
    for Counted { model, version, totals } in counted {
        let labels = format!("model=\"{model}\",version=\"{version}\"");
        let mut below = 0;
        for (edge, calls) in EDGES.iter().zip(totals.buckets) {
            below += calls;
            let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{edge}\"}} {below}");
        }
        let seconds = (totals.succeeded_time + totals.failed_time).as_secs_f64();
        let _ = writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", totals.calls());
        let _ =
            writeln!(text, "{name}_sum{{{labels}}} {seconds}\n{name}_count{{{labels}}} {}", totals.calls());
    }
    streams(&mut text, counted);
    let lost: [Lost; 2] = [
        (
            "gyre_inference_log_dropped_total",
            "Predictions that were answered and not logged, for the log could not keep up.",
            |log| log.dropped,
        ),
        (
            "gyre_inference_log_unkept_total",
            "Predictions that were answered and not logged, for `log.share` keeps a part.",
            |log| log.unkept,
        ),
    ];
    for (name, help, read) in lost {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
        for log in logs {
            let _ = writeln!(text, "{name}{{model=\"{}\"}} {}", log.model, read(log));
        }
    }
    let help = "Values of features that are not as expected.";
    let _ = writeln!(text, "# HELP {ODD} {help}\n# TYPE {ODD} counter");
    text
}

/// What was passed on; versions that nothing was passed on to are left out.
fn streams(text: &mut String, counted: &[Counted]) {
    let used = || counted.iter().filter(|of| of.totals.streams != StreamTotals::default());
    let name = "gyre_streams_total";
    let _ = writeln!(
        text,
        "# HELP {name} Requests that were passed on, by what became of them.\n# TYPE {name} counter"
    );
    for Counted { model, version, totals } in used() {
        let StreamTotals { whole, failed, refused, abandoned, .. } = totals.streams;
        for (outcome, count) in
            [("whole", whole), ("failed", failed), ("refused", refused), ("abandoned", abandoned)]
        {
            let labels = format!("model=\"{model}\",version=\"{version}\",outcome=\"{outcome}\"");
            let _ = writeln!(text, "{name}{{{labels}}} {count}");
        }
    }
    let (bytes, first) = ("gyre_stream_bytes_total", "gyre_stream_first_byte_seconds_total");
    let _ =
        writeln!(text, "# HELP {bytes} Bytes of answers that were passed through.\n# TYPE {bytes} counter");
    for Counted { model, version, totals } in used() {
        let _ = writeln!(text, "{bytes}{{model=\"{model}\",version=\"{version}\"}} {}", totals.streams.bytes);
    }
    let _ = writeln!(text, "# HELP {first} Time to the first byte of whole answers.\n# TYPE {first} counter");
    for Counted { model, version, totals } in used() {
        let seconds = totals.streams.first_byte.as_secs_f64();
        let _ = writeln!(text, "{first}{{model=\"{model}\",version=\"{version}\"}} {seconds}");
    }
}

/// What was found where labels are looked for.
fn label_sources(text: &mut String, app: &App) {
    let Some(labels) = &app.labels else { return };
    let (counted, failing) = ("gyre_labels_total", "gyre_label_source_failing");
    let _ = writeln!(
        text,
        "# HELP {counted} Labels read from the source of a model's labels.\n# TYPE {counted} counter"
    );
    let sources: Vec<_> =
        labels.models().filter_map(|model| Some((model, labels.looked(model.as_str())?))).collect();
    for (model, looked) in &sources {
        let found = looked.labels;
        for (what, count) in [
            ("taken", found.taken),
            ("repeated", found.repeated),
            ("outdated", found.outdated),
            ("corrected", found.corrected),
            ("unknown", found.unknown),
            ("late", found.late),
        ] {
            let _ = writeln!(text, "{counted}{{model=\"{model}\",what=\"{what}\"}} {count}");
        }
    }
    let _ = writeln!(text, "# HELP {failing} Whether the last look failed.\n# TYPE {failing} gauge");
    for (model, looked) in &sources {
        let _ = writeln!(text, "{failing}{{model=\"{model}\"}} {}", u8::from(looked.problem.is_some()));
    }
}

/// Features of a version that have series of their own; those after them are counted together.
const FEATURES: usize = 100;
/// What odd values are counted under.
const ODD: &str = "gyre_feature_odd_values_total";

/// The odd values of a version, by feature, by what is odd and what is done about it: at most two series for each of
/// [`FEATURES`] features, and as many as there are kinds and actions for all others.
fn odd_values(text: &mut String, model: &str, version: Version, rules: &[FeatureRule]) {
    let (own, others) = rules.split_at(rules.len().min(FEATURES));
    let mut series: Vec<(&str, &str, &str, u64)> = Vec::new();
    for rule in own {
        series.extend(rule.counts().map(|(odd, on, count)| (&*rule.feature, odd.name(), on.name(), count)));
    }
    let mut together: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (odd, on, count) in others.iter().flat_map(FeatureRule::counts) {
        *together.entry((odd.name(), on.name())).or_default() += count;
    }
    series.extend(together.into_iter().map(|((odd, on), count)| ("(others)", odd, on, count)));
    for (feature, odd, on, count) in series {
        let feature = escaped(feature);
        let _ = writeln!(
            text,
            "{ODD}{{model=\"{model}\",version=\"{version}\",feature=\"{feature}\",odd=\"{odd}\",action=\"{on}\"}} {count}"
        );
    }
}

/// A label's value; a long one is cut.
fn escaped(label: &str) -> String {
    let mut escaped = String::with_capacity(label.len());
    for character in label.chars().take(120) {
        match character {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use gyre_core::record::{Field, Kind, Signature};
    use gyre_core::spec::{Features, OnOdd};
    use gyre_gateway::FeatureRules;

    #[test]
    fn odd_values_have_a_bounded_number_of_series() {
        let features = (0..1_000).map(|at| Field { name: format!("f\"{at}"), kind: Kind::Number }).collect();
        let signature = Signature { inputs: features, output: "y".to_owned(), classes: Vec::new() };
        let all = Features { on_missing: Some(OnOdd::Warn), ..Features::default() };
        let rules = FeatureRules::new(&signature, &all, None).shown();
        assert_eq!(rules.len(), 1_000);
        let mut text = String::new();
        odd_values(&mut text, "m", 2, &rules);
        assert_eq!(text.lines().count(), FEATURES + 1);
        let first = "{model=\"m\",version=\"2\",feature=\"f\\\"0\",odd=\"missing\",action=\"warn\"} 0";
        assert_eq!(text.lines().next().unwrap(), format!("{ODD}{first}"));
        assert!(text.contains("feature=\"(others)\""), "{text}");
    }

    #[test]
    fn what_a_scraper_reads_adds_up() {
        let mut totals = Totals { succeeded: 2, failed: 1, rows: 7, ..Totals::default() };
        totals.succeeded_time = Duration::from_micros(30);
        totals.waited = gyre_backend::Waited { requests: 2, time: Duration::from_micros(12) };
        totals.buckets[0] = 1;
        totals.buckets[2] = 1;
        totals.streams = StreamTotals { whole: 5, bytes: 77, ..StreamTotals::default() };
        let counted = [Counted { model: "air-time".to_owned(), version: 3, totals }];
        let log = Logged { model: "air-time".to_owned(), dropped: 9, unkept: 4 };
        let text = exposition(&counted, &[log]);
        for line in [
            "nv_inference_request_success{model=\"air-time\",version=\"3\"} 2",
            "nv_inference_compute_infer_duration_us{model=\"air-time\",version=\"3\"} 18",
            "nv_inference_queue_duration_us{model=\"air-time\",version=\"3\"} 12",
            "request_predict_seconds_bucket{model=\"air-time\",version=\"3\",le=\"0.00001\"} 1",
            "request_predict_seconds_bucket{model=\"air-time\",version=\"3\",le=\"0.00005\"} 2",
            "request_predict_seconds_bucket{model=\"air-time\",version=\"3\",le=\"+Inf\"} 3",
            "request_predict_seconds_count{model=\"air-time\",version=\"3\"} 3",
            "gyre_streams_total{model=\"air-time\",version=\"3\",outcome=\"whole\"} 5",
            "gyre_stream_bytes_total{model=\"air-time\",version=\"3\"} 77",
            "gyre_inference_log_dropped_total{model=\"air-time\"} 9",
            "gyre_inference_log_unkept_total{model=\"air-time\"} 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
