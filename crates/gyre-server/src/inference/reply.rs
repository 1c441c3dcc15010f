//! The answer of the protocol, written straight from the gateway's answers.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use gyre_core::Value;
use gyre_core::record::{Route, Signature};
use gyre_gateway::Answer;
use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};

/// The output that holds a classifier's probabilities.
pub(super) const PROBABILITIES: &str = "probabilities";

#[derive(Serialize)]
struct Reply<'a> {
    model_name: &'a str,
    model_version: &'a str,
    id: &'a str,
    outputs: Vec<Output<'a>>,
}

#[derive(Serialize)]
struct Output<'a> {
    name: &'a str,
    datatype: &'static str,
    shape: Shape,
    data: Data<'a>,
}

/// `[n]`, or `[n, k]`.
#[derive(Serialize)]
#[serde(untagged)]
enum Shape {
    Column([usize; 1]),
    Matrix([usize; 2]),
}

enum Data<'a> {
    Predictions(&'a [Answer]),
    Probabilities(&'a [Answer]),
}

impl Serialize for Data<'_> {
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

/// Renders the answers of a request; there is at least one. `wanted` names outputs, or is empty for all.
///
/// # Errors
/// When a value cannot be written as JSON; finite numbers and text always can.
pub(super) fn render(
    model: &str,
    id: &str,
    wanted: &[String],
    signature: Option<&Signature>,
    answers: &[Answer],
) -> Result<Response, serde_json::Error> {
    let name = signature.map_or("prediction", |signature| signature.output.as_str());
    let version = distinct(answers, |answer| answer.version);
    let mut outputs = Vec::with_capacity(2);
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    if is_wanted(name) {
        let datatype = match answers.first().map(|answer| &answer.output) {
            Some(Value::Text(_)) => "BYTES",
            Some(Value::Bool(_)) => "BOOL",
            _ => "FP64",
        };
        let shape = Shape::Column([answers.len()]);
        outputs.push(Output { name, datatype, shape, data: Data::Predictions(answers) });
    }
    let classes = answers.first().map_or(0, |answer| answer.scores.len());
    if classes > 0 && is_wanted(PROBABILITIES) {
        let shape = Shape::Matrix([answers.len(), classes]);
        outputs.push(Output {
            name: PROBABILITIES,
            datatype: "FP64",
            shape,
            data: Data::Probabilities(answers),
        });
    }
    let mut body = Vec::with_capacity(256 + answers.len() * (20 + 20 * classes));
    serde_json::to_writer(&mut body, &Reply { model_name: model, model_version: &version, id, outputs })?;
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(version) = HeaderValue::try_from(version) {
        headers.insert("gyre-model-version", version);
    }
    headers.insert("gyre-route", route(answers));
    Ok(response)
}

/// The versions that answered, ascending: one, unless a rollout split the rows of a request.
fn distinct(answers: &[Answer], of: impl Fn(&Answer) -> u32) -> String {
    match answers {
        [first, rest @ ..] if rest.iter().all(|other| of(other) == of(first)) => of(first).to_string(),
        answers => {
            let mut all: Vec<u32> = answers.iter().map(of).collect();
            all.sort_unstable();
            all.dedup();
            all.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        }
    }
}

fn route(answers: &[Answer]) -> HeaderValue {
    let named = |route| match route {
        Route::Champion => "champion",
        Route::Candidate => "candidate",
        Route::Pinned => "pinned",
    };
    let first = answers.first().map_or(Route::Champion, |answer| answer.route);
    let one = answers.iter().all(|answer| answer.route == first);
    HeaderValue::from_static(if one { named(first) } else { "champion,candidate" })
}
