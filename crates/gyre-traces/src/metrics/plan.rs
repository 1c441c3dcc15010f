//! A question as a statement, and its rows as groups and values.

use gyre_store::{Cell, Row, StoreError};

use super::gather::{Group, Value};
use super::{Query, View};
use crate::filter::{Comparison, Rest, Right, split};
use crate::limits::{invalid, shown};
use crate::record::key;

/// What a row's value is.
enum Kind {
    /// One, whatever the row.
    One,
    /// A whole number.
    Whole,
    /// A number.
    Real,
    /// A key of the tokens of a trace, which are JSON.
    Tokens(String),
    /// Text whose different ones are counted.
    Text,
}

pub(super) struct Plan {
    from: &'static str,
    joins: String,
    conditions: Vec<String>,
    cells: Vec<Cell>,
    /// The moment that intervals go by: milliseconds, or nanoseconds for spans.
    moment: &'static str,
    in_nanos: bool,
    value: String,
    kind: Kind,
    dimensions: Vec<String>,
    interval_ms: Option<i64>,
}

impl Plan {
    pub(super) fn of(query: &Query) -> Result<Self, StoreError> {
        let (from, moment) = match query.view {
            View::Traces => ("traces_infos i", "i.time_ms"),
            View::Spans => ("traces_infos i JOIN traces_spans s ON s.trace_id = i.trace_id", "s.start_ns"),
            View::Assessments => (
                "traces_infos i JOIN traces_assessments a ON a.trace_id = i.trace_id AND a.valid = 1",
                "i.time_ms",
            ),
        };
        let mut plan = Self {
            from,
            joins: String::new(),
            conditions: Vec::new(),
            cells: Vec::new(),
            moment,
            in_nanos: query.view == View::Spans,
            value: String::new(),
            kind: Kind::One,
            dimensions: Vec::new(),
            interval_ms: query.interval_s.map(|seconds| seconds * 1_000),
        };
        let experiments: Vec<String> = query.experiments.iter().map(|id| plan.cell((*id).into())).collect();
        plan.conditions.push(format!("i.experiment IN ({})", experiments.join(", ")));
        plan.figure(query);
        plan.times(query);
        for dimension in &query.dimensions {
            let column = plan.dimension(dimension);
            plan.dimensions.push(column);
        }
        for filter in &query.filters {
            plan.filter(query.view, filter)?;
        }
        Ok(plan)
    }

    /// Whether different values are counted.
    pub(super) fn distinct(&self) -> bool {
        matches!(self.kind, Kind::Text)
    }

    fn cell(&mut self, cell: Cell) -> String {
        self.cells.push(cell);
        format!("?{}", self.cells.len())
    }

    fn figure(&mut self, query: &Query) {
        (self.value, self.kind) = match (query.view, query.metric.as_str()) {
            (View::Traces, "session_count") => (self.metadata(key::SESSION), Kind::Text),
            (View::Traces, "latency") => ("i.duration_ms".to_owned(), Kind::Whole),
            (View::Spans, "latency") => ("s.end_ns - s.start_ns".to_owned(), Kind::Whole),
            (View::Spans, "input_cost") => ("s.input_cost".to_owned(), Kind::Real),
            (View::Spans, "output_cost") => ("s.output_cost".to_owned(), Kind::Real),
            (View::Spans, "total_cost") => ("s.total_cost".to_owned(), Kind::Real),
            (View::Assessments, "assessment_value") => ("a.number".to_owned(), Kind::Real),
            (View::Traces, tokens) if tokens.ends_with("_tokens") => {
                (self.metadata(key::TOKEN_USAGE), Kind::Tokens(tokens.to_owned()))
            }
            _ => ("1".to_owned(), Kind::One),
        };
    }

    fn metadata(&mut self, name: &str) -> String {
        let key = self.cell(name.into());
        self.joins += &format!(" JOIN traces_metadata m ON m.trace_id = i.trace_id AND m.key = {key}");
        "m.value".to_owned()
    }

    /// Cost counts when the span began; everything else, when the trace did.
    fn times(&mut self, query: &Query) {
        let of_span = query.view == View::Spans && query.metric.ends_with("_cost");
        let (column, unit) = if of_span { ("s.start_ns", 1_000_000) } else { ("i.time_ms", 1) };
        if let Some(start) = query.start_ms {
            let start = self.cell(start.saturating_mul(unit).into());
            self.conditions.push(format!("{column} >= {start}"));
        }
        if let Some(end) = query.end_ms {
            let end = self.cell(end.saturating_mul(unit).saturating_add(unit - 1).into());
            self.conditions.push(format!("{column} <= {end}"));
        }
    }

    fn dimension(&mut self, dimension: &str) -> String {
        match dimension {
            "trace_status" => "i.state",
            "span_name" => "s.name",
            "span_type" => "s.type",
            "span_status" => "s.status",
            "span_model_name" => "s.model",
            "span_model_provider" => "s.provider",
            "assessment_name" => "a.name",
            "assessment_value" => "a.value",
            // `trace_name`; others were refused before.
            _ => {
                let key = self.cell(key::NAME.into());
                self.joins += &format!(" JOIN traces_tags n ON n.trace_id = i.trace_id AND n.key = {key}");
                "n.value"
            }
        }
        .to_owned()
    }

    fn filter(&mut self, view: View, text: &str) -> Result<(), StoreError> {
        let wrong = || {
            invalid(format!(
                "the filter {} is none; expected trace.status, trace.tag. or trace.metadata. and a key, span.name, \
                 span.status, span.type (for spans), assessment.name or assessment.type (for assessments), = and text in \
                 quotes",
                shown(text)
            ))
        };
        let mut rest = Rest::new(text)?;
        let (kind, name) = rest.name()?;
        let (Right::Text(Comparison::Equal, value), None) = (rest.right()?, rest.peek()) else {
            return Err(wrong());
        };
        let (part, key) = split(&name);
        let value = self.cell(value.into());
        let condition = match (kind.as_deref(), part.as_deref(), key.as_str()) {
            (Some("trace"), None, "status") => format!("i.state = {value}"),
            (Some("trace"), Some("tag"), key) => self.keyed("traces_tags", key, &value),
            (Some("trace"), Some("metadata"), key::RUN) => {
                let metadata = self.keyed("traces_metadata", key::RUN, &value);
                format!(
                    "({metadata} OR EXISTS (SELECT 1 FROM traces_links l WHERE l.trace_id = i.trace_id AND l.kind = 'run' \
                     AND l.target = {value}))"
                )
            }
            (Some("trace"), Some("metadata"), key) => self.keyed("traces_metadata", key, &value),
            (Some("span"), None, "name") if view == View::Spans => format!("s.name = {value}"),
            (Some("span"), None, "status") if view == View::Spans => format!("s.status = {value}"),
            (Some("span"), None, "type") if view == View::Spans => format!("s.type = {value}"),
            (Some("assessment"), None, "name") if view == View::Assessments => format!("a.name = {value}"),
            (Some("assessment"), None, "type") if view == View::Assessments => format!("a.kind = {value}"),
            _ => return Err(wrong()),
        };
        self.conditions.push(condition);
        Ok(())
    }

    fn keyed(&mut self, table: &str, name: &str, value: &str) -> String {
        let key = self.cell(name.into());
        format!(
            "EXISTS (SELECT 1 FROM {table} t WHERE t.trace_id = i.trace_id AND t.key = {key} AND t.value = {value})"
        )
    }

    pub(super) fn statement(&self) -> (String, Vec<Cell>) {
        let dimensions: String = self.dimensions.iter().map(|column| format!(", {column}")).collect();
        let sql = format!(
            "SELECT {}, {}{dimensions} FROM {}{} WHERE {}",
            self.moment,
            self.value,
            self.from,
            self.joins,
            self.conditions.join(" AND ")
        );
        (sql, self.cells.clone())
    }

    /// The group and the value of a row; nothing for a row that has none.
    pub(super) fn read(&self, row: &Row) -> Result<Option<(Group, Value)>, StoreError> {
        let value = match &self.kind {
            Kind::One => Some(Value::Number(1.0)),
            Kind::Whole => row.get::<Option<i64>>(1)?.map(|number| {
                let number = if self.in_nanos { number.div_euclid(1_000_000) } else { number };
                Value::Number(number as f64)
            }),
            Kind::Real => row.get::<Option<f64>>(1)?.map(Value::Number),
            Kind::Text => Some(Value::Text(row.get(1)?)),
            Kind::Tokens(key) => {
                let tokens: Option<serde_json::Value> = serde_json::from_str(&row.get::<String>(1)?).ok();
                tokens.and_then(|tokens| tokens.get(key)?.as_f64()).map(Value::Number)
            }
        };
        let Some(value) = value else { return Ok(None) };
        let mut dimensions = Vec::with_capacity(self.dimensions.len());
        for column in 0..self.dimensions.len() {
            let Some(dimension) = row.get::<Option<String>>(2 + column)? else { return Ok(None) };
            dimensions.push(dimension);
        }
        let moment: i64 = row.get(0)?;
        let moment = if self.in_nanos { moment.div_euclid(1_000_000) } else { moment };
        let bucket = self.interval_ms.map_or(0, |interval| moment.div_euclid(interval) * interval);
        Ok(Some(((bucket, dimensions), value)))
    }
}
