//! Figures over traces, spans and assessments, by time and by name: what the overview of an experiment shows.
//!
//! Rows are read one at a time and gathered here, because databases disagree on percentiles. A percentile lies between the
//! two values next to it, in proportion (Hyndman and Fan's definition 7, as in numpy).

mod gather;
mod plan;

use std::collections::BTreeMap;

use gyre_core::Timestamp;
use gyre_store::{StoreError, Tx};

use crate::limits::{self, invalid, shown};
use gather::Groups;
use plan::Plan;

/// The most points of an answer.
const POINTS: usize = 10_000;

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Traces.
    Traces,
    /// Spans of traces.
    Spans,
    /// Assessments of traces that are valid.
    Assessments,
}

/// What becomes of the values of a group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aggregation {
    /// How many there are.
    Count,
    /// Their sum.
    Sum,
    /// Their mean.
    Avg,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// The value that this many percent of them do not exceed.
    Percentile(f64),
}

impl Aggregation {
    /// Its name in an answer.
    pub fn name(self) -> String {
        match self {
            Self::Count => "COUNT".to_owned(),
            Self::Sum => "SUM".to_owned(),
            Self::Avg => "AVG".to_owned(),
            Self::Min => "MIN".to_owned(),
            Self::Max => "MAX".to_owned(),
            Self::Percentile(percent) => format!("P{percent:?}"),
        }
    }
}

/// A question.
#[derive(Debug, Clone)]
pub struct Query {
    /// In which experiments.
    pub experiments: Vec<i64>,
    /// Of what.
    pub view: View,
    /// Which figure: `trace_count`, `latency`, `total_tokens`, …
    pub metric: String,
    /// What becomes of the values of a group.
    pub aggregations: Vec<Aggregation>,
    /// By what they are grouped: `trace_name`, `span_type`, …
    pub dimensions: Vec<String>,
    /// What must hold of them: `trace.status = 'OK'`, …
    pub filters: Vec<String>,
    /// By how much time they are grouped, in seconds.
    pub interval_s: Option<i64>,
    /// From when, in milliseconds since 1970.
    pub start_ms: Option<i64>,
    /// Until when, including this.
    pub end_ms: Option<i64>,
    /// How many points are wanted at most.
    pub limit: usize,
}

/// The figures of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// What the group has in common, by dimension; `time_bucket` is the beginning of its interval.
    pub dimensions: BTreeMap<String, String>,
    /// The figures, by the names of the aggregations.
    pub values: BTreeMap<String, f64>,
}

/// Answers a question.
///
/// # Errors
/// [`StoreError::Invalid`] for a question that makes no sense, or whose answer is too large.
pub fn query(tx: &mut Tx<'_>, query: &Query) -> Result<Vec<Point>, StoreError> {
    check(query)?;
    let plan = Plan::of(query)?;
    if query.experiments.is_empty() {
        return Ok(Vec::new());
    }
    let (sql, cells) = plan.statement();
    let mut groups = Groups::new(&query.aggregations, plan.distinct());
    tx.query_each(&sql, &cells, |row| match plan.read(&row)? {
        Some((group, value)) => groups.add(group, value),
        None => Ok(()),
    })?;
    let mut points = groups.points();
    points.truncate(query.limit);
    let names = query
        .interval_s
        .map(|_| "time_bucket".to_owned())
        .into_iter()
        .chain(query.dimensions.iter().cloned());
    let names: Vec<String> = names.collect();
    Ok(points
        .into_iter()
        .map(|((bucket, dimensions), values)| {
            let bucket =
                query.interval_s.map(|_| Timestamp::from_millis(bucket).to_string().replace('Z', "+00:00"));
            let dimensions = names.iter().cloned().zip(bucket.into_iter().chain(dimensions)).collect();
            let names = query.aggregations.iter().map(|aggregation| aggregation.name());
            Point { dimensions, values: names.zip(values).collect() }
        })
        .collect())
}

fn check(query: &Query) -> Result<(), StoreError> {
    if query.experiments.len() > limits::EXPERIMENTS {
        return Err(invalid(format!(
            "found {} experiments, at most {} go",
            query.experiments.len(),
            limits::EXPERIMENTS
        )));
    }
    if !(1..=POINTS).contains(&query.limit) {
        return Err(invalid(format!("max_results is {}, expected 1 to {POINTS}", query.limit)));
    }
    if query.aggregations.is_empty() || query.aggregations.len() > 20 {
        return Err(invalid("expected 1 to 20 aggregations"));
    }
    if let Some(interval) = query.interval_s {
        if !(1..=366 * 86_400).contains(&interval) {
            return Err(invalid(format!("time_interval_seconds is {interval}, expected 1 to a year's")));
        }
        if query.start_ms.is_none() || query.end_ms.is_none() {
            return Err(invalid("time_interval_seconds goes with start_time_ms and end_time_ms"));
        }
    }
    for aggregation in &query.aggregations {
        if let Aggregation::Percentile(percent) = aggregation
            && !(0.0..=100.0).contains(percent)
        {
            return Err(invalid(format!("percentile_value is {percent}, expected 0 to 100")));
        }
    }
    let (figures, dimensions) = allowed(query.view, &query.metric)?;
    for aggregation in &query.aggregations {
        let fits = match aggregation {
            Aggregation::Count => figures == Figures::Count,
            Aggregation::Sum => figures == Figures::Amount,
            _ => figures != Figures::Count,
        };
        if !fits {
            return Err(invalid(format!(
                "the metric {} has no {}; expected {}",
                query.metric,
                aggregation.name(),
                match figures {
                    Figures::Count => "COUNT",
                    Figures::Measure => "AVG, MIN, MAX or PERCENTILE",
                    Figures::Amount => "SUM, AVG, MIN, MAX or PERCENTILE",
                }
            )));
        }
    }
    match query.dimensions.iter().find(|dimension| !dimensions.contains(&dimension.as_str())) {
        Some(other) => Err(invalid(format!(
            "the metric {} has no dimension {}; expected {}",
            query.metric,
            shown(other),
            if dimensions.is_empty() { "none".to_owned() } else { dimensions.join(", ") }
        ))),
        None => Ok(()),
    }
}

/// What may be asked of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Figures {
    /// How many.
    Count,
    /// How large, but sums mean nothing.
    Measure,
    /// How large.
    Amount,
}

fn allowed(view: View, metric: &str) -> Result<(Figures, &'static [&'static str]), StoreError> {
    const TOKENS: [&str; 5] = [
        "input_tokens",
        "output_tokens",
        "total_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
    ];
    const SPAN: [&str; 5] =
        ["span_name", "span_type", "span_status", "span_model_name", "span_model_provider"];
    Ok(match (view, metric) {
        (View::Traces, "trace_count") => (Figures::Count, &["trace_name", "trace_status"]),
        (View::Traces, "session_count") => (Figures::Count, &[]),
        (View::Traces, "latency") => (Figures::Measure, &["trace_name"]),
        (View::Traces, tokens) if TOKENS.contains(&tokens) => (Figures::Amount, &["trace_name"]),
        (View::Spans, "span_count") => (Figures::Count, &SPAN),
        (View::Spans, "latency") => (Figures::Measure, &["span_name", "span_status"]),
        (View::Spans, "input_cost" | "output_cost" | "total_cost") => {
            (Figures::Amount, &["span_model_name", "span_model_provider"])
        }
        (View::Assessments, "assessment_count") => (Figures::Count, &["assessment_name", "assessment_value"]),
        (View::Assessments, "assessment_value") => (Figures::Measure, &["assessment_name"]),
        (view, other) => {
            let expected = match view {
                View::Traces => {
                    "trace_count, session_count, latency, input_tokens, output_tokens, total_tokens, \
                                 cache_read_input_tokens or cache_creation_input_tokens"
                }
                View::Spans => "span_count, latency, input_cost, output_cost or total_cost",
                View::Assessments => "assessment_count or assessment_value",
            };
            return Err(invalid(format!("there is no metric {} here; expected {expected}", shown(other))));
        }
    })
}

#[cfg(test)]
mod tests;
