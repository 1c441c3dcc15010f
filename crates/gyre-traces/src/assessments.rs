//! Assessments: what people, judges and code think of a trace.

use std::collections::BTreeMap;

use gyre_store::{Row, StoreError, Tx};
use serde_json::Value;
use uuid::Uuid;

use crate::infos;
use crate::limits::{KEY, cut, invalid};
use crate::record::{Assessment, Judgement, key};
use crate::spaced::dump;

pub(crate) const COLUMNS: &str = "trace_id, assessment_id, name, kind, value, error, source_type, source_id, span_id, \
                                  rationale, metadata, overrides, valid, created_ms, updated_ms";

/// The longest value or rationale of an assessment, in bytes.
const LONGEST: usize = 1 << 20;

/// What of an assessment is to change.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Change {
    /// Its name.
    pub name: Option<String>,
    /// What it says; of the kind that it is.
    pub judgement: Option<Judgement>,
    /// Why.
    pub rationale: Option<String>,
    /// More about it, added to what is there.
    pub metadata: BTreeMap<String, String>,
}

/// Adds an assessment to a trace and gives it an id, unless it has one. One that overrides another makes that invalid.
///
/// # Errors
/// [`StoreError::NotFound`] for the trace or the overridden assessment; [`StoreError::Exists`]; [`StoreError::Invalid`].
pub fn create(
    tx: &mut Tx<'_>,
    trace_id: &str,
    assessment: &Assessment,
    now_ms: i64,
) -> Result<Assessment, StoreError> {
    infos::exists(tx, trace_id)?;
    if let Some(overridden) = &assessment.overrides {
        let changed = tx.execute(
            "UPDATE traces_assessments SET valid = 0 WHERE trace_id = ?1 AND assessment_id = ?2",
            &[trace_id.into(), overridden.as_str().into()],
        )?;
        if changed == 0 {
            return Err(StoreError::not_found("assessment to override", cut(overridden, KEY)));
        }
    }
    if !assessment.assessment_id.is_empty() && find(tx, trace_id, &assessment.assessment_id)?.is_some() {
        return Err(StoreError::Exists { what: "assessment", name: assessment.assessment_id.clone() });
    }
    let id = put(tx, trace_id, assessment, now_ms)?;
    get(tx, trace_id, &id)
}

/// Writes an assessment of a trace that is there, over one of the same id, and returns its id.
pub(crate) fn put(
    tx: &mut Tx<'_>,
    trace_id: &str,
    assessment: &Assessment,
    now_ms: i64,
) -> Result<String, StoreError> {
    if assessment.name.is_empty() || assessment.name.chars().count() > KEY {
        return Err(invalid(format!(
            "the name of an assessment has {} characters, expected 1 to {KEY}",
            assessment.name.chars().count()
        )));
    }
    let given = assessment.assessment_id.as_str();
    let id =
        if given.is_empty() { format!("a-{}", Uuid::new_v4().simple()) } else { cut(given, KEY).to_owned() };
    let (value, error) = texts(&assessment.judgement)?;
    let (number, numeric) = number(&assessment.judgement);
    let metadata = (!assessment.metadata.is_empty()).then(|| dump(&assessment.metadata));
    let moment = |given: i64| if given == 0 { now_ms } else { given };
    tx.execute(
        "INSERT INTO traces_assessments (trace_id, assessment_id, name, kind, value, number, numeric, error, source_type, \
         source_id, span_id, rationale, metadata, of_session, overrides, valid, created_ms, updated_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
         ON CONFLICT (trace_id, assessment_id) DO UPDATE SET name = excluded.name, kind = excluded.kind, \
         value = excluded.value, number = excluded.number, numeric = excluded.numeric, error = excluded.error, \
         source_type = excluded.source_type, source_id = excluded.source_id, span_id = excluded.span_id, \
         rationale = excluded.rationale, metadata = excluded.metadata, of_session = excluded.of_session, \
         overrides = excluded.overrides, valid = excluded.valid, created_ms = excluded.created_ms, \
         updated_ms = excluded.updated_ms",
        &[
            trace_id.into(),
            id.as_str().into(),
            assessment.name.as_str().into(),
            assessment.judgement.kind().into(),
            value.into(),
            number.into(),
            i64::from(numeric).into(),
            error.into(),
            assessment.source_type.as_str().into(),
            assessment.source_id.as_deref().into(),
            assessment.span_id.as_deref().into(),
            assessment.rationale.as_deref().into(),
            metadata.into(),
            i64::from(assessment.metadata.contains_key(key::SESSION)).into(),
            assessment.overrides.as_deref().into(),
            i64::from(assessment.valid).into(),
            moment(assessment.created_ms).into(),
            moment(assessment.updated_ms).into(),
        ],
    )?;
    Ok(id)
}

/// An assessment.
///
/// # Errors
/// [`StoreError::NotFound`] for the trace or the assessment.
pub fn get(tx: &mut Tx<'_>, trace_id: &str, id: &str) -> Result<Assessment, StoreError> {
    if let Some(found) = find(tx, trace_id, id)? {
        return Ok(found);
    }
    infos::exists(tx, trace_id)?;
    Err(StoreError::not_found("assessment", cut(id, KEY)))
}

fn find(tx: &mut Tx<'_>, trace_id: &str, id: &str) -> Result<Option<Assessment>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM traces_assessments WHERE trace_id = ?1 AND assessment_id = ?2");
    tx.query(&sql, &[trace_id.into(), id.into()])?.first().map(read).transpose()
}

/// Changes an assessment and returns it as it is now. Who judged, and of what, stays.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Invalid`] when what it says is of another kind.
pub fn update(
    tx: &mut Tx<'_>,
    trace_id: &str,
    id: &str,
    change: Change,
    now_ms: i64,
) -> Result<Assessment, StoreError> {
    let mut assessment = get(tx, trace_id, id)?;
    if let Some(judgement) = change.judgement {
        if judgement.kind() != assessment.judgement.kind() {
            return Err(invalid(format!(
                "the assessment `{id}` is of the kind {}, found a value of the kind {}; delete it and add another",
                assessment.judgement.kind(),
                judgement.kind()
            )));
        }
        assessment.judgement = judgement;
    }
    assessment.name = change.name.unwrap_or(assessment.name);
    assessment.rationale = change.rationale.or(assessment.rationale);
    assessment.metadata.extend(change.metadata);
    assessment.updated_ms = now_ms;
    put(tx, trace_id, &assessment, now_ms)?;
    Ok(assessment)
}

/// Takes an assessment away; the one that it overrode is valid again. One that is not there is no error.
///
/// # Errors
/// [`StoreError::NotFound`] for the trace.
pub fn delete(tx: &mut Tx<'_>, trace_id: &str, id: &str) -> Result<(), StoreError> {
    infos::exists(tx, trace_id)?;
    let Some(assessment) = find(tx, trace_id, id)? else { return Ok(()) };
    if let Some(overridden) = assessment.overrides {
        tx.execute(
            "UPDATE traces_assessments SET valid = 1 WHERE trace_id = ?1 AND assessment_id = ?2",
            &[trace_id.into(), overridden.into()],
        )?;
    }
    tx.execute(
        "DELETE FROM traces_assessments WHERE trace_id = ?1 AND assessment_id = ?2",
        &[trace_id.into(), id.into()],
    )?;
    Ok(())
}

/// The value and the error as they are stored.
fn texts(judgement: &Judgement) -> Result<(String, Option<String>), StoreError> {
    let (value, error) = match judgement {
        Judgement::Feedback { value, error } => (dump(value), error.as_ref().map(dump)),
        Judgement::Expectation(value) => (dump(value), None),
        Judgement::Issue(name) => (dump(name), None),
    };
    if value.len() > LONGEST {
        return Err(invalid(format!(
            "the value of an assessment has {} bytes, at most {LONGEST} go",
            value.len()
        )));
    }
    Ok((value, error))
}

/// The number that a value counts as, and whether it is one itself. Yes and no, true and false count as 1 and 0.
fn number(judgement: &Judgement) -> (Option<f64>, bool) {
    let (Judgement::Feedback { value, .. } | Judgement::Expectation(value)) = judgement else {
        return (None, false);
    };
    match value {
        Value::Bool(truth) => (Some(f64::from(u8::from(*truth))), false),
        Value::Number(number) => {
            let number = number.as_f64().filter(|number| number.is_finite());
            (number, number.is_some())
        }
        Value::String(text) => match text.trim().to_lowercase().as_str() {
            "yes" => (Some(1.0), false),
            "no" => (Some(0.0), false),
            _ => (None, false),
        },
        _ => (None, false),
    }
}

/// An assessment from a row of [`COLUMNS`].
pub(crate) fn read(row: &Row) -> Result<Assessment, StoreError> {
    fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, StoreError> {
        serde_json::from_str(text)
            .map_err(|error| StoreError::Corrupt { table: "traces_assessments", reason: error.to_string() })
    }
    let value: String = row.get(4)?;
    let error: Option<String> = row.get(5)?;
    let judgement = match row.get::<String>(3)?.as_str() {
        "feedback" => {
            Judgement::Feedback { value: json(&value)?, error: error.as_deref().map(json).transpose()? }
        }
        "expectation" => Judgement::Expectation(json(&value)?),
        _ => Judgement::Issue(json(&value)?),
    };
    let metadata: Option<String> = row.get(10)?;
    Ok(Assessment {
        assessment_id: row.get(1)?,
        name: row.get(2)?,
        judgement,
        source_type: row.get(6)?,
        source_id: row.get(7)?,
        span_id: row.get(8)?,
        rationale: row.get(9)?,
        metadata: metadata.as_deref().map(json).transpose()?.unwrap_or_default(),
        overrides: row.get(11)?,
        valid: row.get::<i64>(12)? != 0,
        created_ms: row.get(13)?,
        updated_ms: row.get(14)?,
    })
}
