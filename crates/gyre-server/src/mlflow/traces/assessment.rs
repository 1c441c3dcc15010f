//! Endpoints of assessments.

use axum::http::Method;
use gyre_traces::assessments::{self, Change};
use gyre_traces::record::Assessment;
use serde::Deserialize;
use serde_json::{Value, json};

use super::record::{self, AssessmentIn};
use super::v3;
use crate::mlflow::MlflowError;
use crate::mlflow::call::{Answer, Call, Path, done, json as answer};
use crate::routes::{Need, Routes};

pub(super) fn routes(routes: &mut Routes) {
    v3(routes, &Method::POST, "/traces/{trace}/assessments", Need::Write, create);
    v3(routes, &Method::GET, "/traces/{trace}/assessments/{assessment}", Need::Read, get);
    v3(routes, &Method::PATCH, "/traces/{trace}/assessments/{assessment}", Need::Write, update);
    v3(routes, &Method::DELETE, "/traces/{trace}/assessments/{assessment}", Need::Write, delete);
}

#[derive(Deserialize)]
struct Asked {
    assessment: Option<AssessmentIn>,
    #[serde(alias = "updateMask")]
    update_mask: Option<String>,
}

fn told(trace: &str, assessment: &Assessment) -> Answer {
    answer(&json!({"assessment": record::assessment(trace, assessment)}))
}

async fn create(Path(trace): Path<String>, call: Call<Asked>) -> Answer {
    let (asked, call) = call.split();
    let assessment = asked.assessment.ok_or_else(|| MlflowError::missing("assessment"))?.read()?;
    let now = call.app.clock.now().as_millis();
    let id = trace.clone();
    let assessment = call.write(move |tx| assessments::create(tx, &id, &assessment, now)).await?;
    told(&trace, &assessment)
}

async fn get(Path((trace, id)): Path<(String, String)>, call: Call<Value>) -> Answer {
    let of = trace.clone();
    let assessment = call.read(move |tx| assessments::get(tx, &of, &id)).await?;
    told(&trace, &assessment)
}

async fn update(Path((trace, id)): Path<(String, String)>, call: Call<Asked>) -> Answer {
    let (asked, call) = call.split();
    let assessment = asked.assessment.ok_or_else(|| MlflowError::missing("assessment"))?;
    let mask = asked.update_mask.ok_or_else(|| MlflowError::missing("update_mask"))?;
    let change = change(assessment, &mask)?;
    let now = call.app.clock.now().as_millis();
    let of = trace.clone();
    let assessment = call.write(move |tx| assessments::update(tx, &of, &id, change, now)).await?;
    told(&trace, &assessment)
}

/// What the mask (names of fields, joined by commas) says that is to change.
fn change(mut assessment: AssessmentIn, mask: &str) -> Result<Change, MlflowError> {
    let mut change = Change::default();
    for field in mask.split(',').map(str::trim).filter(|field| !field.is_empty()) {
        match field {
            "assessment_name" | "assessmentName" => change.name = assessment.assessment_name.take(),
            "feedback" | "expectation" if change.judgement.is_some() => {
                return Err(MlflowError::invalid(
                    "update_mask names both feedback and expectation, expected one of them",
                ));
            }
            "feedback" | "expectation" => change.judgement = assessment.judgement()?,
            "rationale" => change.rationale = assessment.rationale.take(),
            "metadata" => change.metadata = assessment.metadata.take().unwrap_or_default(),
            // MLflow takes it and leaves the assessment as valid as it was.
            "valid" => {}
            other => {
                let other: String = other.chars().take(80).collect();
                return Err(MlflowError::invalid(format!(
                    "update_mask names `{other}`, expected assessment_name, feedback, expectation, rationale or metadata"
                )));
            }
        }
    }
    Ok(change)
}

async fn delete(Path((trace, id)): Path<(String, String)>, call: Call<Value>) -> Answer {
    call.write(move |tx| assessments::delete(tx, &trace, &id)).await?;
    done()
}
