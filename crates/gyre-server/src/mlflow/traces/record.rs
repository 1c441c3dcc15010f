//! Traces and assessments as JSON (messages `TraceInfoV3` and `Assessment` of MLflow).
//!
//! Moments are RFC 3339 and lengths of time are seconds with an `s`, as Protocol Buffers write them.

use std::collections::BTreeMap;

use gyre_core::Timestamp;
use gyre_traces::experiments;
use gyre_traces::record::{Assessment, Judgement, TraceInfo, TraceState};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::mlflow::MlflowError;
use crate::mlflow::call::required;
use crate::mlflow::wire::Flag;

/// The last moment that RFC 3339 can write, in milliseconds since 1970.
const LAST: i64 = 253_402_300_799_999;

/// Where a trace is.
#[derive(Deserialize)]
pub(super) struct LocationIn {
    #[serde(alias = "mlflowExperiment")]
    mlflow_experiment: Option<ExperimentIn>,
}

#[derive(Deserialize)]
struct ExperimentIn {
    #[serde(alias = "experimentId")]
    experiment_id: Option<String>,
}

impl LocationIn {
    /// The id of the experiment, when it is one.
    pub(super) fn experiment(&self) -> Option<&str> {
        self.mlflow_experiment.as_ref()?.experiment_id.as_deref()
    }
}

/// A trace's info as it comes.
#[derive(Deserialize)]
pub(super) struct InfoIn {
    #[serde(alias = "traceId")]
    trace_id: Option<String>,
    #[serde(alias = "clientRequestId")]
    client_request_id: Option<String>,
    #[serde(alias = "traceLocation")]
    trace_location: Option<LocationIn>,
    #[serde(alias = "requestPreview")]
    request_preview: Option<String>,
    #[serde(alias = "responsePreview")]
    response_preview: Option<String>,
    #[serde(alias = "requestTime")]
    request_time: Option<String>,
    #[serde(alias = "executionDuration")]
    execution_duration: Option<String>,
    state: Option<String>,
    #[serde(alias = "traceMetadata")]
    trace_metadata: Option<BTreeMap<String, String>>,
    tags: Option<BTreeMap<String, String>>,
    assessments: Option<Vec<AssessmentIn>>,
}

impl InfoIn {
    pub(super) fn read(self) -> Result<TraceInfo, MlflowError> {
        let experiment = self.trace_location.as_ref().and_then(LocationIn::experiment);
        let experiment = experiment.ok_or_else(|| {
            MlflowError::missing("trace_info.trace_location.mlflow_experiment.experiment_id")
        })?;
        let time = self.request_time.ok_or_else(|| MlflowError::missing("trace_info.request_time"))?;
        Ok(TraceInfo {
            trace_id: required("trace_info.trace_id", &self.trace_id)?.to_owned(),
            experiment: experiments::number(experiment)?,
            time_ms: millis("request_time", &time)?,
            duration_ms: self.execution_duration.as_deref().map(duration).transpose()?,
            state: state(self.state.as_deref().unwrap_or_default())?,
            client_request_id: self.client_request_id,
            request_preview: self.request_preview,
            response_preview: self.response_preview,
            metadata: self.trace_metadata.unwrap_or_default(),
            tags: self.tags.unwrap_or_default(),
            assessments: self
                .assessments
                .unwrap_or_default()
                .into_iter()
                .map(AssessmentIn::read)
                .collect::<Result<_, _>>()?,
        })
    }
}

pub(super) fn state(name: &str) -> Result<TraceState, MlflowError> {
    if name.is_empty() || name == "TRACE_STATUS_UNSPECIFIED" {
        return Ok(TraceState::Unspecified);
    }
    TraceState::named(name).ok_or_else(|| {
        let name: String = name.chars().take(80).collect();
        MlflowError::invalid(format!(
            "found the state `{name}`, expected OK, ERROR, IN_PROGRESS or STATE_UNSPECIFIED"
        ))
    })
}

fn millis(what: &str, text: &str) -> Result<i64, MlflowError> {
    let moment: Timestamp = text.parse().map_err(|error| MlflowError::invalid(format!("{what}: {error}")))?;
    in_range(what, moment.as_millis())
}

/// Checks a moment in milliseconds since 1970.
pub(super) fn in_range(what: &str, millis: i64) -> Result<i64, MlflowError> {
    if (0..=LAST).contains(&millis) {
        return Ok(millis);
    }
    Err(MlflowError::invalid(format!("{what} is {millis}, expected milliseconds since 1970, at most {LAST}")))
}

/// Milliseconds from seconds with an `s`.
fn duration(text: &str) -> Result<i64, MlflowError> {
    let seconds = text.strip_suffix('s').and_then(|seconds| seconds.parse::<f64>().ok());
    // The range of Protocol Buffers' Duration: 10,000 years.
    let seconds = seconds.filter(|seconds| seconds.abs() <= 315_576_000_000.0);
    seconds.map(|seconds| (seconds * 1000.0).round() as i64).ok_or_else(|| {
        let text: String = text.chars().take(80).collect();
        MlflowError::invalid(format!(
            "execution_duration is `{text}`, expected seconds with an s, as in 1.5s"
        ))
    })
}

/// Milliseconds since 1970 as RFC 3339, with three digits of the fraction or none.
fn moment(millis: i64) -> String {
    let text = Timestamp::from_millis(millis.clamp(0, LAST)).to_string();
    match text.trim_end_matches('Z').split_once('.') {
        Some((seconds, fraction)) => format!("{seconds}.{fraction:0<3}Z"),
        None => text,
    }
}

fn seconds(millis: i64) -> String {
    let (sign, millis) = if millis < 0 { ("-", millis.unsigned_abs()) } else { ("", millis.unsigned_abs()) };
    match millis % 1000 {
        0 => format!("{sign}{}s", millis / 1000),
        fraction => format!("{sign}{}.{fraction:03}s", millis / 1000),
    }
}

/// A trace's info as it goes.
pub(super) struct Info<'a>(pub(super) &'a TraceInfo);

impl Serialize for Info<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let info = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("trace_id", &info.trace_id)?;
        if let Some(id) = &info.client_request_id {
            map.serialize_entry("client_request_id", id)?;
        }
        let experiment = json!({"experiment_id": info.experiment.to_string()});
        map.serialize_entry(
            "trace_location",
            &json!({"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": experiment}),
        )?;
        map.serialize_entry("request_time", &moment(info.time_ms))?;
        if let Some(duration) = info.duration_ms {
            map.serialize_entry("execution_duration", &seconds(duration))?;
        }
        map.serialize_entry("state", info.state.name())?;
        if !info.metadata.is_empty() {
            map.serialize_entry("trace_metadata", &info.metadata)?;
        }
        if !info.assessments.is_empty() {
            let assessments: Vec<Value> = info
                .assessments
                .iter()
                .map(|assessment| self::assessment(&info.trace_id, assessment))
                .collect();
            map.serialize_entry("assessments", &assessments)?;
        }
        if !info.tags.is_empty() {
            map.serialize_entry("tags", &info.tags)?;
        }
        if let Some(preview) = &info.request_preview {
            map.serialize_entry("request_preview", preview)?;
        }
        if let Some(preview) = &info.response_preview {
            map.serialize_entry("response_preview", preview)?;
        }
        map.end()
    }
}

/// An assessment as it comes.
#[derive(Deserialize)]
pub(super) struct AssessmentIn {
    #[serde(alias = "assessmentId")]
    pub(super) assessment_id: Option<String>,
    #[serde(alias = "assessmentName")]
    pub(super) assessment_name: Option<String>,
    #[serde(alias = "spanId")]
    span_id: Option<String>,
    source: Option<SourceIn>,
    #[serde(alias = "createTime")]
    create_time: Option<String>,
    #[serde(alias = "lastUpdateTime")]
    last_update_time: Option<String>,
    feedback: Option<FeedbackIn>,
    expectation: Option<ExpectationIn>,
    issue: Option<IssueIn>,
    pub(super) rationale: Option<String>,
    error: Option<Value>,
    pub(super) metadata: Option<BTreeMap<String, String>>,
    overrides: Option<String>,
    valid: Option<Flag>,
}

#[derive(Deserialize)]
struct SourceIn {
    #[serde(alias = "sourceType")]
    source_type: Option<String>,
    #[serde(alias = "sourceId")]
    source_id: Option<String>,
}

#[derive(Deserialize)]
struct FeedbackIn {
    value: Option<Value>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct ExpectationIn {
    value: Option<Value>,
    #[serde(alias = "serializedValue")]
    serialized_value: Option<SerializedIn>,
}

#[derive(Deserialize)]
struct SerializedIn {
    #[serde(alias = "serializationFormat")]
    serialization_format: Option<String>,
    value: Option<String>,
}

#[derive(Deserialize)]
struct IssueIn {
    #[serde(alias = "issueName")]
    issue_name: Option<String>,
}

impl AssessmentIn {
    pub(super) fn read(mut self) -> Result<Assessment, MlflowError> {
        let judgement = self.judgement()?.ok_or_else(|| {
            MlflowError::invalid("an assessment says nothing: expected feedback, expectation or issue")
        })?;
        let source = self.source.ok_or_else(|| MlflowError::missing("assessment.source"))?;
        let source_type = source.source_type.unwrap_or_else(|| "SOURCE_TYPE_UNSPECIFIED".to_owned());
        if !["HUMAN", "LLM_JUDGE", "AI_JUDGE", "CODE", "SOURCE_TYPE_UNSPECIFIED"]
            .contains(&source_type.as_str())
        {
            let found: String = source_type.chars().take(80).collect();
            return Err(MlflowError::invalid(format!(
                "assessment.source.source_type is `{found}`, expected HUMAN, LLM_JUDGE or CODE"
            )));
        }
        let time = |what, text: &Option<String>| text.as_deref().map_or(Ok(0), |text| millis(what, text));
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(Assessment {
            created_ms: time("create_time", &self.create_time)?,
            updated_ms: time("last_update_time", &self.last_update_time)?,
            assessment_id: self.assessment_id.unwrap_or_default(),
            name: required("assessment.assessment_name", &self.assessment_name)?.to_owned(),
            span_id: some(self.span_id),
            source_type,
            source_id: some(source.source_id),
            judgement,
            rationale: self.rationale,
            metadata: self.metadata.unwrap_or_default(),
            overrides: some(self.overrides),
            valid: self.valid.is_none_or(|valid| valid.0),
        })
    }

    /// What it says, taken out of it.
    pub(super) fn judgement(&mut self) -> Result<Option<Judgement>, MlflowError> {
        Ok(match (self.feedback.take(), self.expectation.take(), self.issue.take()) {
            (Some(feedback), None, None) => Some(Judgement::Feedback {
                value: feedback.value.unwrap_or_default(),
                error: feedback.error.or(self.error.take()),
            }),
            (None, Some(expectation), None) => Some(Judgement::Expectation(expectation.read()?)),
            (None, None, Some(issue)) => Some(Judgement::Issue(issue.issue_name.unwrap_or_default())),
            (None, None, None) => None,
            _ => {
                return Err(MlflowError::invalid(
                    "an assessment says more than one thing: expected one of feedback, expectation, issue",
                ));
            }
        })
    }
}

impl ExpectationIn {
    fn read(self) -> Result<Value, MlflowError> {
        let Some(serialized) = self.serialized_value else { return Ok(self.value.unwrap_or_default()) };
        match serialized.serialization_format.as_deref() {
            None | Some("JSON_FORMAT") => {}
            Some(other) => {
                let found: String = other.chars().take(80).collect();
                return Err(MlflowError::invalid(format!(
                    "expectation.serialized_value.serialization_format is `{found}`, expected JSON_FORMAT"
                )));
            }
        }
        serde_json::from_str(serialized.value.as_deref().unwrap_or("null")).map_err(|error| {
            MlflowError::invalid(format!("expectation.serialized_value.value is no JSON: {error}"))
        })
    }
}

/// An assessment of a trace as it goes.
pub(super) fn assessment(trace_id: &str, assessment: &Assessment) -> Value {
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| drop(map.insert(key.to_owned(), value));
    put("assessment_id", json!(assessment.assessment_id));
    put("assessment_name", json!(assessment.name));
    put("trace_id", json!(trace_id));
    if let Some(span) = &assessment.span_id {
        put("span_id", json!(span));
    }
    put(
        "source",
        match &assessment.source_id {
            Some(id) => json!({"source_type": assessment.source_type, "source_id": id}),
            None => json!({"source_type": assessment.source_type}),
        },
    );
    put("create_time", json!(moment(assessment.created_ms)));
    put("last_update_time", json!(moment(assessment.updated_ms)));
    match &assessment.judgement {
        Judgement::Feedback { value, error: None } => put("feedback", json!({"value": value})),
        Judgement::Feedback { value, error: Some(error) } => {
            put("feedback", json!({"value": value, "error": error}));
        }
        Judgement::Expectation(value @ (Value::Null | Value::Array(_) | Value::Object(_))) => {
            let text = gyre_traces::spaced::dump(value);
            let serialized = json!({"serialization_format": "JSON_FORMAT", "value": text});
            put("expectation", json!({"serialized_value": serialized}));
        }
        Judgement::Expectation(value) => put("expectation", json!({"value": value})),
        Judgement::Issue(name) => put("issue", json!({"issue_name": name})),
    }
    if let Some(rationale) = &assessment.rationale {
        put("rationale", json!(rationale));
    }
    if !assessment.metadata.is_empty() {
        put("metadata", json!(assessment.metadata));
    }
    if let Some(overridden) = &assessment.overrides {
        put("overrides", json!(overridden));
    }
    put("valid", json!(assessment.valid));
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_lengths_of_time_are_written_as_protocol_buffers_do() {
        assert_eq!(moment(1_795_635_886_770), "2026-11-25T19:44:46.770Z");
        assert_eq!(moment(1_795_635_886_000), "2026-11-25T19:44:46Z");
        assert_eq!(
            (seconds(1500), seconds(77), seconds(0), seconds(-5)),
            ("1.500s".to_owned(), "0.077s".to_owned(), "0s".to_owned(), "-0.005s".to_owned())
        );
        for (text, millis) in [("1.5s", 1500), ("0s", 0), ("0.0774s", 77), ("-1s", -1000)] {
            assert_eq!(duration(text).unwrap(), millis, "{text}");
        }
        for text in ["", "1", "s", "1m", "NaNs", "1e300s", "infs"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(millis("x", "2026-11-25T20:44:46.771123+01:00").unwrap(), 1_795_635_886_771);
        for text in ["", "now", "1960-01-01T00:00:00Z"] {
            assert!(millis("x", text).is_err(), "{text}");
        }
    }
}
