//! Whole traces at once, as an importer brings them.
//!
//! MLflow's SQL store keeps spans and judgements as the same JSON texts as this room does, so they come as they are.

use gyre_store::{Cell, StoreError, Tx};

/// A trace with everything that belongs to it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WholeTrace {
    /// Its id.
    pub trace_id: String,
    /// The number of its experiment.
    pub experiment: i64,
    /// When it began, in milliseconds since 1970.
    pub time_ms: i64,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i64>,
    /// How it ended: OK, ERROR, IN_PROGRESS, STATE_UNSPECIFIED.
    pub state: String,
    /// The id that the application gives it.
    pub client_request_id: Option<String>,
    /// The beginning of what was asked.
    pub request_preview: Option<String>,
    /// The beginning of what was answered.
    pub response_preview: Option<String>,
    /// Tags.
    pub tags: Vec<(String, String)>,
    /// What the client said of it, once.
    pub metadata: Vec<(String, String)>,
    /// Its spans.
    pub spans: Vec<WholeSpan>,
    /// What it was judged to be.
    pub assessments: Vec<WholeAssessment>,
    /// Runs (`run`) and prompts (`prompt`) that it is linked to.
    pub links: Vec<(String, String)>,
}

/// A span.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WholeSpan {
    /// Its id.
    pub span_id: String,
    /// The span that it is a part of.
    pub parent_id: Option<String>,
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// How it ended: UNSET, OK, ERROR.
    pub status: String,
    /// When it began, in nanoseconds since 1970.
    pub start_ns: i64,
    /// When it ended.
    pub end_ns: Option<i64>,
    /// The language model, and who provides it.
    pub model: [Option<String>; 2],
    /// What input and output cost, and both.
    pub cost: [Option<f64>; 3],
    /// Its JSON, as MLflow's `traces.json` has it.
    pub content: String,
}

/// A judgement of a trace or of one of its spans.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WholeAssessment {
    /// Its id.
    pub assessment_id: String,
    /// What is judged, in a word.
    pub name: String,
    /// feedback, expectation or issue.
    pub kind: String,
    /// What it says, as JSON.
    pub value: String,
    /// The value as a number, for figures over many.
    pub number: Option<f64>,
    /// Whether the value is a number by itself.
    pub numeric: bool,
    /// Why there is no value, as JSON.
    pub error: Option<String>,
    /// Who judged, and which of them.
    pub source: (String, Option<String>),
    /// The span that is judged.
    pub span_id: Option<String>,
    /// Why.
    pub rationale: Option<String>,
    /// More about it, as JSON.
    pub metadata: Option<String>,
    /// The assessment that this one replaces.
    pub overrides: Option<String>,
    /// False once another replaces it.
    pub valid: bool,
    /// When it was made and last changed, in milliseconds since 1970.
    pub times: [i64; 2],
}

/// Whether there is a trace of that id.
///
/// # Errors
/// What the store said.
pub fn has(tx: &mut Tx<'_>, trace_id: &str) -> Result<bool, StoreError> {
    Ok(!tx.query("SELECT 1 FROM traces_infos WHERE trace_id = ?1", &[trace_id.into()])?.is_empty())
}

/// Writes a trace; `false` when its id is taken.
///
/// # Errors
/// What the store said.
pub fn insert(tx: &mut Tx<'_>, trace: &WholeTrace) -> Result<bool, StoreError> {
    let id = trace.trace_id.as_str();
    let sql = "INSERT INTO traces_infos (trace_id, experiment, time_ms, duration_ms, state, client_request_id, \
               request_preview, response_preview) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING";
    let cells = [
        id.into(),
        trace.experiment.into(),
        trace.time_ms.into(),
        trace.duration_ms.into(),
        trace.state.as_str().into(),
        trace.client_request_id.as_deref().into(),
        trace.request_preview.as_deref().into(),
        trace.response_preview.as_deref().into(),
    ];
    if tx.execute(sql, &cells)? == 0 {
        return Ok(false);
    }
    for (head, pairs) in [
        ("INSERT INTO traces_tags (trace_id, key, value)", &trace.tags),
        ("INSERT INTO traces_metadata (trace_id, key, value)", &trace.metadata),
        ("INSERT INTO traces_links (trace_id, kind, target)", &trace.links),
    ] {
        let rows: Vec<Cell> =
            pairs.iter().flat_map(|(a, b)| [id.into(), a.as_str().into(), b.as_str().into()]).collect();
        tx.insert_rows(head, 3, &rows, "ON CONFLICT DO NOTHING")?;
    }
    let head = "INSERT INTO traces_spans (trace_id, span_id, parent_id, name, type, status, start_ns, end_ns, model, \
                provider, input_cost, output_cost, total_cost, content)";
    let rows: Vec<Cell> = trace.spans.iter().flat_map(|span| span.cells(id)).collect();
    tx.insert_rows(head, 14, &rows, "ON CONFLICT DO NOTHING")?;
    let head = "INSERT INTO traces_assessments (trace_id, assessment_id, name, kind, value, number, numeric, error, \
                source_type, source_id, span_id, rationale, metadata, of_session, overrides, valid, created_ms, updated_ms)";
    let rows: Vec<Cell> = trace.assessments.iter().flat_map(|assessment| assessment.cells(id)).collect();
    tx.insert_rows(head, 18, &rows, "ON CONFLICT DO NOTHING")?;
    Ok(true)
}

impl WholeSpan {
    fn cells(&self, trace_id: &str) -> [Cell; 14] {
        let [model, provider] = &self.model;
        let [input, output, total] = self.cost;
        [
            trace_id.into(),
            self.span_id.as_str().into(),
            self.parent_id.as_deref().into(),
            self.name.as_str().into(),
            self.kind.as_str().into(),
            self.status.as_str().into(),
            self.start_ns.into(),
            self.end_ns.into(),
            model.as_deref().into(),
            provider.as_deref().into(),
            input.into(),
            output.into(),
            total.into(),
            self.content.as_str().into(),
        ]
    }
}

impl WholeAssessment {
    fn cells(&self, trace_id: &str) -> [Cell; 18] {
        let of_session =
            self.metadata.as_ref().is_some_and(|text| text.contains(crate::record::key::SESSION));
        let [created, updated] = self.times;
        [
            trace_id.into(),
            self.assessment_id.as_str().into(),
            self.name.as_str().into(),
            self.kind.as_str().into(),
            self.value.as_str().into(),
            self.number.into(),
            i64::from(self.numeric).into(),
            self.error.as_deref().into(),
            self.source.0.as_str().into(),
            self.source.1.as_deref().into(),
            self.span_id.as_deref().into(),
            self.rationale.as_deref().into(),
            self.metadata.as_deref().into(),
            i64::from(of_session).into(),
            self.overrides.as_deref().into(),
            i64::from(self.valid).into(),
            created.into(),
            updated.into(),
        ]
    }
}
