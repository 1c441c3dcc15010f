//! The words of this room: a trace's info, its spans, its assessments.

use std::collections::BTreeMap;

use serde_json::Value;

/// Keys of a trace's tags, of its metadata and of a span's attributes that mean something to MLflow.
pub mod key {
    /// Tag: the trace's name.
    pub const NAME: &str = "mlflow.traceName";
    /// Tag: where the spans are; [`IN_STORE`] when they are here.
    pub const SPANS_LOCATION: &str = "mlflow.trace.spansLocation";
    /// The value of [`SPANS_LOCATION`] that says that the spans are here.
    pub const IN_STORE: &str = "TRACKING_STORE";
    /// Tag: where files that belong to the trace are kept.
    pub const ARTIFACT_LOCATION: &str = "mlflow.artifactLocation";
    /// Metadata: the run in which the trace was made.
    pub const RUN: &str = "mlflow.sourceRun";
    /// Metadata: the conversation that the trace belongs to.
    pub const SESSION: &str = "mlflow.trace.session";
    /// Metadata: who used the application.
    pub const USER: &str = "mlflow.trace.user";
    /// Metadata: JSON with the number of spans, as the client counted them.
    pub const SIZE_STATS: &str = "mlflow.trace.sizeStats";
    /// Metadata: JSON with the tokens of all spans.
    pub const TOKEN_USAGE: &str = "mlflow.trace.tokenUsage";
    /// Metadata: JSON with the cost of all spans, in USD.
    pub const COST: &str = "mlflow.trace.cost";
    /// Metadata: `true` once the client has told the trace's info itself.
    pub const FINALIZED: &str = "mlflow.trace.infoFinalized";
    /// Span attribute: the id of the trace.
    pub const SPAN_TRACE: &str = "mlflow.traceRequestId";
    /// Span attribute: what went in.
    pub const INPUTS: &str = "mlflow.spanInputs";
    /// Span attribute: what came out.
    pub const OUTPUTS: &str = "mlflow.spanOutputs";
    /// Span attribute: the kind of step.
    pub const SPAN_TYPE: &str = "mlflow.spanType";
    /// Span attribute: tokens of this span.
    pub const SPAN_USAGE: &str = "mlflow.chat.tokenUsage";
    /// Span attribute: cost of this span, in USD.
    pub const SPAN_COST: &str = "mlflow.llm.cost";
    /// Span attribute: the model that was asked.
    pub const MODEL: &str = "mlflow.llm.model";
    /// Span attribute: who runs that model.
    pub const PROVIDER: &str = "mlflow.llm.provider";
    /// Span attributes that begin so are tags of the trace.
    pub const TRACE_TAG: &str = "mlflow.traceTag.";
}

/// How a trace ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TraceState {
    /// Nobody said.
    #[default]
    Unspecified,
    /// With an answer.
    Ok,
    /// With an error.
    Error,
    /// Not yet.
    InProgress,
}

impl TraceState {
    /// The name on the wire and in the store.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "STATE_UNSPECIFIED",
            Self::Ok => "OK",
            Self::Error => "ERROR",
            Self::InProgress => "IN_PROGRESS",
        }
    }

    /// The state of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Unspecified, Self::Ok, Self::Error, Self::InProgress].into_iter().find(|s| s.name() == name)
    }

    /// Whether the trace has ended.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Ok | Self::Error)
    }
}

/// What is known of a trace, without its spans.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TraceInfo {
    /// Its id: `tr-` and 32 hexadecimal digits when an MLflow client made it.
    pub trace_id: String,
    /// The number of its experiment.
    pub experiment: i64,
    /// When it began, in milliseconds since 1970.
    pub time_ms: i64,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i64>,
    /// How it ended.
    pub state: TraceState,
    /// The id that the application gives it.
    pub client_request_id: Option<String>,
    /// The beginning of what was asked.
    pub request_preview: Option<String>,
    /// The beginning of what was answered.
    pub response_preview: Option<String>,
    /// What the client said of it, once.
    pub metadata: BTreeMap<String, String>,
    /// What anybody says of it, any time.
    pub tags: BTreeMap<String, String>,
    /// What it was judged to be.
    pub assessments: Vec<Assessment>,
}

impl TraceInfo {
    /// How many spans the client says there are.
    pub fn spans_expected(&self) -> Option<u64> {
        let stats: Value = serde_json::from_str(self.metadata.get(key::SIZE_STATS)?).ok()?;
        stats.get("num_spans")?.as_u64()
    }

    /// Whether its spans are here, rather than in a file beside the trace.
    pub fn spans_are_here(&self) -> bool {
        self.tags.get(key::SPANS_LOCATION).is_some_and(|location| location == key::IN_STORE)
    }
}

/// What an assessment says.
#[derive(Debug, Clone, PartialEq)]
pub enum Judgement {
    /// How good the answer was.
    Feedback {
        /// Any JSON.
        value: Value,
        /// Why there is no value: an object with `error_code`, `error_message`, `stack_trace`.
        error: Option<Value>,
    },
    /// What the answer should have been: any JSON.
    Expectation(Value),
    /// The issue that the trace is an instance of, by name.
    Issue(String),
}

impl Judgement {
    /// The kind's name in the store and in filters.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Feedback { .. } => "feedback",
            Self::Expectation(_) => "expectation",
            Self::Issue(_) => "issue",
        }
    }
}

/// A judgement of a trace or of one of its spans.
#[derive(Debug, Clone, PartialEq)]
pub struct Assessment {
    /// Its id: `a-` and 32 hexadecimal digits; empty for one that is yet to get it.
    pub assessment_id: String,
    /// What is judged, in a word.
    pub name: String,
    /// The span that is judged; the whole trace when there is none.
    pub span_id: Option<String>,
    /// Who judged: HUMAN, LLM_JUDGE, CODE.
    pub source_type: String,
    /// Which of them.
    pub source_id: Option<String>,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// When it was changed last.
    pub updated_ms: i64,
    /// What it says.
    pub judgement: Judgement,
    /// Why.
    pub rationale: Option<String>,
    /// More about it.
    pub metadata: BTreeMap<String, String>,
    /// The assessment that this one replaces.
    pub overrides: Option<String>,
    /// False once another replaces it.
    pub valid: bool,
}

/// How a span ended, as OpenTelemetry counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SpanStatus {
    /// Nobody said.
    #[default]
    Unset,
    /// Well.
    Ok,
    /// With an error.
    Error,
}

impl SpanStatus {
    /// MLflow's name, which filters compare with.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unset => "UNSET",
            Self::Ok => "OK",
            Self::Error => "ERROR",
        }
    }

    /// OpenTelemetry's name of the code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unset => "STATUS_CODE_UNSET",
            Self::Ok => "STATUS_CODE_OK",
            Self::Error => "STATUS_CODE_ERROR",
        }
    }
}

/// A moment inside a span.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SpanEvent {
    /// What happened.
    pub name: String,
    /// When, in nanoseconds since 1970.
    pub time_ns: i64,
    /// More about it.
    pub attributes: Vec<(String, Value)>,
}

/// A span of another trace that this one has to do with.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SpanLink {
    /// Its trace: 16 bytes.
    pub trace_id: Vec<u8>,
    /// Its span: 8 bytes.
    pub span_id: Vec<u8>,
    /// More about it.
    pub attributes: Vec<(String, Value)>,
}

/// One step of a trace, as OpenTelemetry describes it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Span {
    /// Its trace: 16 bytes.
    pub trace_id: Vec<u8>,
    /// Its id: 8 bytes.
    pub span_id: Vec<u8>,
    /// The span that it is a part of; empty for the root.
    pub parent_id: Vec<u8>,
    /// Its name.
    pub name: String,
    /// When it began, in nanoseconds since 1970.
    pub start_ns: i64,
    /// When it ended.
    pub end_ns: Option<i64>,
    /// What is known of it.
    pub attributes: Vec<(String, Value)>,
    /// What happened in it.
    pub events: Vec<SpanEvent>,
    /// What it has to do with.
    pub links: Vec<SpanLink>,
    /// How it ended.
    pub status: SpanStatus,
    /// Why it ended so.
    pub message: String,
    /// What made it (service, host): OpenTelemetry's resource.
    pub resource: std::sync::Arc<Vec<(String, Value)>>,
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        use std::fmt::Write as _;
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Span {
    /// The id of its trace as MLflow writes it.
    pub fn trace(&self) -> String {
        format!("tr-{}", hex(&self.trace_id))
    }

    /// The attribute `name`.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}
