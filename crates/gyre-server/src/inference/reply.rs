//! The answer of the protocol, written straight from the gateway's answers.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use gyre_core::Value;
use gyre_core::record::{Route, Signature};
use gyre_gateway::{Answer, Answers};
use gyre_wire::{Datatype, HEADER_LENGTH};
use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};

use super::ask::Wanted;
use super::binary;
use super::warnings::{WARNINGS, warnings};

/// Who answered, and why.
const MODEL_VERSION: HeaderName = HeaderName::from_static("gyre-model-version");
const ROUTE: HeaderName = HeaderName::from_static("gyre-route");

/// The output that holds a classifier's probabilities.
pub(super) const PROBABILITIES: &str = "probabilities";

/// Headers that an answer has at most, with those that every answer of the server has: room for them is made once.
const HEADERS: usize = 12;

/// An output tensor.
pub(super) struct Output<'a> {
    pub(super) name: &'a str,
    pub(super) datatype: Datatype,
    pub(super) shape: Shape,
    pub(super) cells: Cells<'a>,
    /// Whether it is wanted as a binary tensor.
    pub(super) binary: bool,
}

/// `[n]`, or `[n, k]`.
#[derive(Clone, Copy, Serialize)]
#[serde(untagged)]
pub(super) enum Shape {
    Column([usize; 1]),
    Matrix([usize; 2]),
}

impl Shape {
    pub(super) fn lengths(&self) -> &[usize] {
        match self {
            Self::Column(lengths) => lengths,
            Self::Matrix(lengths) => lengths,
        }
    }
}

/// Where an output's elements are.
pub(super) enum Cells<'a> {
    Predictions(&'a [Answer]),
    Probabilities(&'a [Answer]),
}

impl Serialize for Cells<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Predictions(answers) => serializer.collect_seq(answers.iter().map(|answer| &answer.output)),
            Self::Probabilities(answers) => {
                let mut seq = serializer.serialize_seq(None)?;
                answers
                    .iter()
                    .flat_map(|answer| &answer.scores)
                    .try_for_each(|score| seq.serialize_element(score))?;
                seq.end()
            }
        }
    }
}

/// The outputs of `answers`, of which there is at least one, as far as they are wanted.
pub(super) fn outputs<'a>(
    answers: &'a [Answer],
    signature: Option<&'a Signature>,
    wanted: &Wanted,
) -> Vec<Output<'a>> {
    let name = signature.map_or("prediction", |signature| signature.output.as_str());
    let mut outputs = Vec::with_capacity(2);
    if let Some(binary) = wanted.form(name) {
        let datatype = match answers.first().map(|answer| &answer.output) {
            Some(Value::Text(_)) => Datatype::Bytes,
            Some(Value::Bool(_)) => Datatype::Bool,
            _ => Datatype::Fp64,
        };
        let (shape, cells) = (Shape::Column([answers.len()]), Cells::Predictions(answers));
        outputs.push(Output { name, datatype, shape, cells, binary });
    }
    let classes = answers.first().map_or(0, |answer| answer.scores.len());
    if classes > 0
        && let Some(binary) = wanted.form(PROBABILITIES)
    {
        let (shape, cells) = (Shape::Matrix([answers.len(), classes]), Cells::Probabilities(answers));
        outputs.push(Output { name: PROBABILITIES, datatype: Datatype::Fp64, shape, cells, binary });
    }
    outputs
}

#[derive(Serialize)]
struct Reply<'a> {
    model_name: &'a str,
    model_version: &'a str,
    id: &'a str,
    outputs: Vec<WrittenOutput<'a>>,
}

#[derive(Serialize)]
struct WrittenOutput<'a> {
    name: &'a str,
    datatype: &'static str,
    shape: Shape,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<BinarySize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Cells<'a>>,
}

#[derive(Serialize)]
struct BinarySize {
    binary_data_size: usize,
}

/// Renders `outputs`.
///
/// # Errors
/// When a value cannot be written as JSON; finite numbers and text always can.
pub(super) fn render(
    model: &str,
    id: &str,
    outputs: Vec<Output<'_>>,
    answers: &Answers,
) -> Result<Response, serde_json::Error> {
    let version = versions(answers);
    let (mut raw, mut elements, mut written) = (Vec::new(), 0, Vec::with_capacity(outputs.len()));
    for Output { name, datatype, shape, cells, binary } in outputs {
        elements += shape.lengths().iter().product::<usize>();
        let (mut parameters, mut data) = (None, None);
        if binary {
            let before = raw.len();
            binary::write(&cells, &mut raw);
            parameters = Some(BinarySize { binary_data_size: raw.len() - before });
        } else {
            data = Some(cells);
        }
        written.push(WrittenOutput { name, datatype: datatype.name(), shape, parameters, data });
    }
    let mut body = Vec::with_capacity(256 + elements * 20 + raw.len());
    let reply = Reply { model_name: model, model_version: &version, id, outputs: written };
    serde_json::to_writer(&mut body, &reply)?;
    let json = body.len();
    body.extend_from_slice(&raw);
    let mut response = Response::new(Body::from(body));
    *response.headers_mut() = HeaderMap::with_capacity(HEADERS);
    let headers = response.headers_mut();
    let kind = if raw.is_empty() { "application/json" } else { "application/octet-stream" };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if !raw.is_empty() {
        headers.insert(HEADER_LENGTH, HeaderValue::from(json));
    }
    name_who(headers, &version, answers);
    warn(headers, answers);
    Ok(response)
}

/// Says in the headers of an answer who answered, and why.
pub(super) fn name_who(headers: &mut HeaderMap, version: &str, answers: &[Answer]) {
    if let Ok(version) = HeaderValue::try_from(version) {
        headers.insert(MODEL_VERSION, version);
    }
    headers.insert(ROUTE, HeaderValue::from_static(route(answers)));
    let cached = answers.iter().filter(|answer| answer.cached).count();
    if cached > 0 {
        headers.insert("gyre-cached-rows", HeaderValue::from(cached));
    }
}

/// Says in the headers of an answer which values were odd.
pub(super) fn warn(headers: &mut HeaderMap, answers: &Answers) {
    if let Some(Ok(warnings)) = warnings(&answers.odd).map(HeaderValue::try_from) {
        headers.insert(WARNINGS, warnings);
    }
}

/// The versions that answered, ascending: one, unless a rollout split the rows of a request.
pub(crate) fn versions(answers: &[Answer]) -> String {
    match answers {
        [first, rest @ ..] if rest.iter().all(|other| other.version == first.version) => {
            first.version.to_string()
        }
        answers => {
            let mut all: Vec<u32> = answers.iter().map(|answer| answer.version).collect();
            all.sort_unstable();
            all.dedup();
            all.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        }
    }
}

/// Why a version was asked, as headers say it.
pub(super) const fn named_route(route: Route) -> &'static str {
    match route {
        Route::Champion => "champion",
        Route::Candidate => "candidate",
        Route::Pinned => "pinned",
        Route::Rule => "rule",
    }
}

/// Why they were asked.
pub(crate) fn route(answers: &[Answer]) -> &'static str {
    let first = answers.first().map_or(Route::Champion, |answer| answer.route);
    if answers.iter().all(|answer| answer.route == first) {
        return named_route(first);
    }
    let among = |route| answers.iter().any(|answer| answer.route == route);
    match (among(Route::Champion), among(Route::Candidate), among(Route::Rule)) {
        (true, true, true) => "champion,candidate,rule",
        (true, false, true) => "champion,rule",
        (false, true, true) => "candidate,rule",
        _ => "champion,candidate",
    }
}
