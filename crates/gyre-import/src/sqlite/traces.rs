//! Traces with their spans and assessments, of MLflow 2.14 and later.

use gyre_traces::bulk::{WholeAssessment, WholeSpan, WholeTrace};
use rusqlite::types::ValueRef;

use super::SqliteSource;
use super::tables::{Columns, integer, real, text};
use crate::ImportError;
use crate::record::SourceTrace;

/// Columns of counts and costs; the keys of the JSON that they are shown as have the same names.
const TOKENS: [&str; 6] = [
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_input_tokens_above_1hr",
];
const COSTS: [&str; 3] = ["input_cost", "output_cost", "total_cost"];

/// Puts a value in the place of one that may be there.
fn put(pairs: &mut Vec<(String, String)>, key: &str, value: Option<String>) {
    let Some(value) = value else { return };
    pairs.retain(|(other, _)| other != key);
    pairs.push((key.to_owned(), value));
}

impl SqliteSource {
    pub(super) fn read_traces(&mut self, limit: usize) -> Result<Vec<SourceTrace>, ImportError> {
        let columns = self.columns("trace_info")?;
        if !columns.exist() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT request_id, experiment_id, timestamp_ms, execution_time_ms, status, {}, {}, {}
             FROM trace_info WHERE request_id > ?1 ORDER BY request_id LIMIT ?2",
            columns.or("client_request_id", "NULL"),
            columns.or("request_preview", "NULL"),
            columns.or("response_preview", "NULL"),
        );
        let mut found = Vec::new();
        self.each("trace_info", &sql, &[&self.last_trace, &(limit as i64)], |row| {
            let trace = WholeTrace {
                trace_id: text(row, 0)?.unwrap_or_default(),
                time_ms: integer(row, 2)?.unwrap_or(0),
                duration_ms: integer(row, 3)?,
                state: text(row, 4)?.unwrap_or_else(|| "STATE_UNSPECIFIED".to_owned()),
                client_request_id: text(row, 5)?,
                request_preview: text(row, 6)?,
                response_preview: text(row, 7)?,
                ..WholeTrace::default()
            };
            let experiment = integer(row, 1)?.map(|id| id.to_string()).unwrap_or_default();
            found.push(SourceTrace { experiment, trace });
            Ok(())
        })?;
        if let Some(last) = found.last() {
            self.last_trace.clone_from(&last.trace.trace_id);
        }
        for SourceTrace { trace, .. } in &mut found {
            let id = trace.trace_id.clone();
            let sql = "SELECT key, value FROM trace_tags WHERE request_id = ?1";
            trace.tags = self.pairs("trace_tags", sql, &id)?;
            let sql = "SELECT key, value FROM trace_request_metadata WHERE request_id = ?1";
            trace.metadata = self.pairs("trace_request_metadata", sql, &id)?;
            self.promoted(&columns, trace)?;
            trace.spans = self.spans(&id)?;
            trace.assessments = self.assessments(&id)?;
            if self.columns("entity_associations")?.exist() {
                let sql = "SELECT destination_type, destination_id FROM entity_associations
                           WHERE source_type = 'trace' AND source_id = ?1";
                let links = self.pairs("entity_associations", sql, &id)?.into_iter();
                let kind = |kind: String| if kind == "prompt_version" { "prompt".to_owned() } else { kind };
                trace.links = links.map(|(to, target)| (kind(to), target)).collect();
            }
        }
        Ok(found)
    }

    /// What MLflow 3.17 has in columns of its own, and shows as a tag and as metadata.
    fn promoted(&self, columns: &Columns, trace: &mut WholeTrace) -> Result<(), ImportError> {
        let sql = format!(
            "SELECT {}, {} FROM trace_info WHERE request_id = ?1",
            columns.or("trace_name", "NULL"),
            columns.or("session_id", "NULL")
        );
        let id = trace.trace_id.clone();
        self.each("trace_info", &sql, &[&id], |row| {
            for (pairs, key, value) in [
                (&mut trace.tags, "mlflow.traceName", text(row, 0)?),
                (&mut trace.metadata, "mlflow.trace.session", text(row, 1)?),
            ] {
                put(pairs, key, value);
            }
            Ok(())
        })?;
        for (key, names) in [("mlflow.trace.tokenUsage", &TOKENS[..]), ("mlflow.trace.cost", &COSTS[..])] {
            let wanted: Vec<&str> = names.iter().map(|name| columns.or(name, "NULL")).collect();
            let sql = format!("SELECT {} FROM trace_info WHERE request_id = ?1", wanted.join(", "));
            let mut found = serde_json::Map::new();
            self.each("trace_info", &sql, &[&id], |row| {
                for (column, name) in names.iter().enumerate() {
                    let number = match row.get_ref(column)? {
                        ValueRef::Integer(number) => number.into(),
                        ValueRef::Real(number) => number.into(),
                        _ => continue,
                    };
                    found.insert((*name).to_owned(), number);
                }
                Ok(())
            })?;
            let said = (!found.is_empty()).then(|| gyre_traces::spaced::dump(&found));
            put(&mut trace.metadata, key, said);
        }
        Ok(())
    }

    fn spans(&self, trace: &str) -> Result<Vec<WholeSpan>, ImportError> {
        let columns = self.columns("spans")?;
        let mut spans = Vec::new();
        if !columns.exist() {
            return Ok(spans);
        }
        let sql = format!(
            "SELECT span_id, parent_span_id, name, type, status, start_time_unix_nano, end_time_unix_nano, {}, {}, {}, {}, {},
                    content FROM spans WHERE trace_id = ?1",
            columns.or("model_name", "NULL"),
            columns.or("model_provider", "NULL"),
            columns.or("input_cost", "NULL"),
            columns.or("output_cost", "NULL"),
            columns.or("total_cost", "NULL"),
        );
        self.each("spans", &sql, &[&trace], |row| {
            spans.push(WholeSpan {
                span_id: text(row, 0)?.unwrap_or_default(),
                parent_id: text(row, 1)?,
                name: text(row, 2)?.unwrap_or_default(),
                kind: text(row, 3)?.unwrap_or_else(|| "UNKNOWN".to_owned()),
                status: text(row, 4)?.unwrap_or_else(|| "UNSET".to_owned()),
                start_ns: integer(row, 5)?.unwrap_or(0),
                end_ns: integer(row, 6)?,
                model: [text(row, 7)?, text(row, 8)?],
                cost: [real(row, 9)?, real(row, 10)?, real(row, 11)?],
                content: text(row, 12)?.unwrap_or_default(),
            });
            Ok(())
        })?;
        Ok(spans)
    }

    fn assessments(&self, trace: &str) -> Result<Vec<WholeAssessment>, ImportError> {
        let columns = self.columns("assessments")?;
        let mut found = Vec::new();
        if !columns.exist() {
            return Ok(found);
        }
        let sql = format!(
            "SELECT assessment_id, name, assessment_type, value, error, source_type, source_id, span_id, rationale,
                    assessment_metadata, overrides, valid, created_timestamp, last_updated_timestamp, {}, {}
             FROM assessments WHERE trace_id = ?1",
            columns.or("aggregate_value", "NULL"),
            columns.or("is_numeric_value", "0"),
        );
        self.each("assessments", &sql, &[&trace], |row| {
            found.push(WholeAssessment {
                assessment_id: text(row, 0)?.unwrap_or_default(),
                name: text(row, 1)?.unwrap_or_default(),
                kind: text(row, 2)?.unwrap_or_default(),
                value: text(row, 3)?.unwrap_or_else(|| "null".to_owned()),
                error: text(row, 4)?,
                source: (text(row, 5)?.unwrap_or_default(), text(row, 6)?),
                span_id: text(row, 7)?,
                rationale: text(row, 8)?,
                metadata: text(row, 9)?,
                overrides: text(row, 10)?,
                valid: integer(row, 11)?.unwrap_or(1) != 0,
                times: [integer(row, 12)?.unwrap_or(0), integer(row, 13)?.unwrap_or(0)],
                number: real(row, 14)?,
                numeric: integer(row, 15)?.unwrap_or(0) != 0,
            });
            Ok(())
        })?;
        Ok(found)
    }
}
