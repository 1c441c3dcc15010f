//! Traces with their spans and assessments, of MLflow 2.14 and later.

use gyre_traces::bulk::{WholeAssessment, WholeSpan, WholeTrace};

use super::SqliteSource;
use super::tables::{integer, real, text};
use crate::ImportError;
use crate::record::SourceTrace;

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
