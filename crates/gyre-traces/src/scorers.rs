//! Scorers: versioned recipes that judge traces. Kept as they come, never run here.

use gyre_store::{Row, StoreError, Tx};
use serde_json::Value;
use uuid::Uuid;

use crate::experiments;
use crate::limits::{KEY, cut, invalid};

/// The longest recipe, in bytes.
const LONGEST: usize = 1 << 20;

/// A version of a scorer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScorerVersion {
    /// The scorer's id, the same for all its versions.
    pub scorer_id: String,
    /// The number of its experiment.
    pub experiment: i64,
    /// Its name, unique in the experiment.
    pub name: String,
    /// The version's number, counted from 1.
    pub version: i64,
    /// The recipe: a JSON object, which only clients understand.
    pub serialized: String,
    /// When the version was made, in milliseconds since 1970.
    pub created_ms: i64,
}

const SELECT: &str = "SELECT s.scorer_id, s.experiment, s.name, v.version, v.serialized, v.created_ms
                      FROM traces_scorers s JOIN traces_scorer_versions v ON v.scorer_id = s.scorer_id";

/// Registers a recipe as the next version of a scorer, which is made when it is not there.
///
/// # Errors
/// [`StoreError::NotFound`] for the experiment; [`StoreError::Invalid`] for a name or a recipe that is none, and for a
/// recipe that holds source code.
pub fn register(
    tx: &mut Tx<'_>,
    experiment: i64,
    name: &str,
    serialized: &str,
    now_ms: i64,
) -> Result<ScorerVersion, StoreError> {
    if name.trim().is_empty() || name.chars().count() > KEY {
        return Err(invalid(format!(
            "the scorer's name has {} characters, expected 1 to {KEY} that are not all spaces",
            name.chars().count()
        )));
    }
    check(serialized)?;
    experiments::active(tx, experiment)?;
    tx.execute(
        "INSERT INTO traces_scorers (scorer_id, experiment, name) VALUES (?1, ?2, ?3)
         ON CONFLICT (experiment, name) DO NOTHING",
        &[Uuid::new_v4().to_string().into(), experiment.into(), name.into()],
    )?;
    tx.execute(
        "INSERT INTO traces_scorer_versions (scorer_id, version, serialized, created_ms)
         SELECT s.scorer_id, 1 + COALESCE((SELECT max(v.version) FROM traces_scorer_versions v WHERE v.scorer_id = \
         s.scorer_id), 0), ?3, ?4 FROM traces_scorers s WHERE s.experiment = ?1 AND s.name = ?2",
        &[experiment.into(), name.into(), serialized.into(), now_ms.into()],
    )?;
    get(tx, experiment, name, None)
}

/// A recipe is a JSON object. One that holds the source code of a function would be executed by whoever loads it.
fn check(serialized: &str) -> Result<(), StoreError> {
    if serialized.len() > LONGEST {
        return Err(invalid(format!(
            "serialized_scorer has {} bytes, at most {LONGEST} go",
            serialized.len()
        )));
    }
    let recipe: Value = serde_json::from_str(serialized)
        .map_err(|error| invalid(format!("serialized_scorer is no JSON: {error}")))?;
    if !recipe.is_object() {
        return Err(invalid("serialized_scorer is no JSON object"));
    }
    if holds_code(&recipe) {
        return Err(invalid(
            "serialized_scorer holds source code (call_source), which readers would execute: register a built-in scorer or a \
             judge made of instructions, and keep scorers that are functions in your code",
        ));
    }
    Ok(())
}

fn holds_code(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.iter().any(|(key, value)| {
            key == "call_source" && !value.is_null() && value.as_str() != Some("") || holds_code(value)
        }),
        Value::Array(list) => list.iter().any(holds_code),
        _ => false,
    }
}

/// The latest version of each scorer of the experiments, by name.
///
/// # Errors
/// [`StoreError::NotFound`] for an experiment.
pub fn list(tx: &mut Tx<'_>, experiments: &[i64]) -> Result<Vec<ScorerVersion>, StoreError> {
    let sql = format!(
        "{SELECT} WHERE s.experiment = ?1 AND v.version = (SELECT max(w.version) FROM traces_scorer_versions w \
         WHERE w.scorer_id = s.scorer_id) ORDER BY s.name"
    );
    let mut found = Vec::new();
    for experiment in experiments {
        experiments::active(tx, *experiment)?;
        for row in tx.query(&sql, &[(*experiment).into()])? {
            found.push(read(&row)?);
        }
    }
    Ok(found)
}

/// The latest version of every scorer there is, by experiment and name; at most 10,000.
///
/// # Errors
/// What the database said.
pub fn list_all(tx: &mut Tx<'_>) -> Result<Vec<ScorerVersion>, StoreError> {
    let sql = format!(
        "{SELECT} WHERE v.version = (SELECT max(w.version) FROM traces_scorer_versions w \
         WHERE w.scorer_id = s.scorer_id) ORDER BY s.experiment, s.name LIMIT 10000"
    );
    tx.query(&sql, &[])?.iter().map(read).collect()
}

/// All versions of a scorer, the first one first.
///
/// # Errors
/// [`StoreError::NotFound`] for the experiment or the scorer.
pub fn versions(tx: &mut Tx<'_>, experiment: i64, name: &str) -> Result<Vec<ScorerVersion>, StoreError> {
    experiments::active(tx, experiment)?;
    let sql = format!("{SELECT} WHERE s.experiment = ?1 AND s.name = ?2 ORDER BY v.version");
    let found: Vec<ScorerVersion> =
        tx.query(&sql, &[experiment.into(), name.into()])?.iter().map(read).collect::<Result<_, _>>()?;
    if found.is_empty() { Err(missing(name)) } else { Ok(found) }
}

fn missing(name: &str) -> StoreError {
    StoreError::not_found("scorer", cut(name, KEY))
}

/// A version of a scorer, or its latest.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn get(
    tx: &mut Tx<'_>,
    experiment: i64,
    name: &str,
    version: Option<i64>,
) -> Result<ScorerVersion, StoreError> {
    let versions = versions(tx, experiment, name)?;
    let mut versions = versions.into_iter();
    match version {
        None => versions.next_back().ok_or_else(|| missing(name)),
        Some(wanted) => versions
            .find(|found| found.version == wanted)
            .ok_or_else(|| StoreError::not_found("scorer version", format!("{} {wanted}", cut(name, KEY)))),
    }
}

/// Deletes a version of a scorer, or all of it.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn delete(tx: &mut Tx<'_>, experiment: i64, name: &str, version: Option<i64>) -> Result<(), StoreError> {
    let found = get(tx, experiment, name, version)?;
    match version {
        Some(version) => tx.execute(
            "DELETE FROM traces_scorer_versions WHERE scorer_id = ?1 AND version = ?2",
            &[found.scorer_id.as_str().into(), version.into()],
        )?,
        None => {
            let id = [found.scorer_id.as_str().into()];
            tx.execute("DELETE FROM traces_scorer_versions WHERE scorer_id = ?1", &id)?;
            tx.execute("DELETE FROM traces_scorers WHERE scorer_id = ?1", &id)?
        }
    };
    Ok(())
}

fn read(row: &Row) -> Result<ScorerVersion, StoreError> {
    Ok(ScorerVersion {
        scorer_id: row.get(0)?,
        experiment: row.get(1)?,
        name: row.get(2)?,
        version: row.get(3)?,
        serialized: row.get(4)?,
        created_ms: row.get(5)?,
    })
}
