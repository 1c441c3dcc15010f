//! Traces without their spans: begun, tagged, read, linked, deleted.

use std::collections::BTreeMap;

use gyre_core::fact::TrackingChange;
use gyre_core::{Digest, Fact};
use gyre_store::{Cell, NewFact, Row, StoreError, Tx};
use gyre_tracking::By;
use gyre_tracking::experiments::Experiment;
use uuid::Uuid;

use crate::limits::{self, cut, invalid};
use crate::record::{Assessment, TraceInfo, TraceState, key};
use crate::{assessments, experiments};

/// How many traces are asked for in one statement. Always as many, so that the statement is always the same.
const AT_ONCE: usize = 100;
/// The most traces that one transaction deletes.
pub const DELETED_AT_ONCE: i64 = 1_000;

const COLUMNS: &str =
    "trace_id, experiment, time_ms, duration_ms, state, client_request_id, request_preview, response_preview";

/// Says what is known of a trace. Spans that came before have made the trace already; then this is the last word on its
/// times, its state and its metadata, and adds to its tags and assessments. Saying it again changes nothing.
///
/// # Errors
/// [`StoreError::NotFound`] for the experiment; [`StoreError::Invalid`].
pub fn start(tx: &mut Tx<'_>, info: &TraceInfo, now_ms: i64) -> Result<TraceInfo, StoreError> {
    limits::trace_id(&info.trace_id)?;
    let experiment = experiments::active(tx, info.experiment)?;
    let preview = |text: &Option<String>| Cell::from(text.as_deref().map(|text| cut(text, limits::PREVIEW)));
    tx.execute(
        "INSERT INTO traces_infos (trace_id, experiment, time_ms, duration_ms, state, client_request_id, request_preview, \
         response_preview) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (trace_id) DO UPDATE SET experiment = excluded.experiment, time_ms = excluded.time_ms, \
         duration_ms = excluded.duration_ms, state = excluded.state, client_request_id = excluded.client_request_id, \
         request_preview = COALESCE(excluded.request_preview, traces_infos.request_preview), \
         response_preview = COALESCE(excluded.response_preview, traces_infos.response_preview)",
        &[
            info.trace_id.as_str().into(),
            info.experiment.into(),
            info.time_ms.into(),
            info.duration_ms.into(),
            info.state.name().into(),
            info.client_request_id.as_deref().into(),
            preview(&info.request_preview),
            preview(&info.response_preview),
        ],
    )?;
    for (name, value) in &info.tags {
        if name != key::SPANS_LOCATION {
            put_tag(tx, &info.trace_id, name, value)?;
        }
    }
    put_tag(tx, &info.trace_id, key::ARTIFACT_LOCATION, &artifacts(&experiment, &info.trace_id))?;
    for (name, value) in &info.metadata {
        put_metadata(tx, &info.trace_id, name, value)?;
    }
    put_metadata(tx, &info.trace_id, key::FINALIZED, "true")?;
    for assessment in &info.assessments {
        assessments::put(tx, &info.trace_id, assessment, now_ms)?;
    }
    get(tx, &info.trace_id)
}

/// Where files that belong to a trace are kept.
pub(crate) fn artifacts(experiment: &Experiment, trace_id: &str) -> String {
    format!("{}/traces/{trace_id}/artifacts", experiment.artifact_location.trim_end_matches('/'))
}

/// The trace of that id.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn get(tx: &mut Tx<'_>, trace_id: &str) -> Result<TraceInfo, StoreError> {
    let found = several(tx, &[trace_id.to_owned()])?;
    found.into_iter().next().ok_or_else(|| StoreError::not_found("trace", limits::cut(trace_id, 200)))
}

/// Checks that a trace is there.
pub(crate) fn exists(tx: &mut Tx<'_>, trace_id: &str) -> Result<(), StoreError> {
    let rows = tx.query("SELECT 1 FROM traces_infos WHERE trace_id = ?1", &[trace_id.into()])?;
    if rows.is_empty() { Err(StoreError::not_found("trace", limits::cut(trace_id, 200))) } else { Ok(()) }
}

/// Those of the traces that are there, in the order of their ids in `trace_ids`.
///
/// # Errors
/// What the database said.
pub fn several(tx: &mut Tx<'_>, trace_ids: &[String]) -> Result<Vec<TraceInfo>, StoreError> {
    let mut found: BTreeMap<String, TraceInfo> = BTreeMap::new();
    for ids in trace_ids.chunks(AT_ONCE) {
        for row in each_of(tx, &format!("SELECT {COLUMNS} FROM traces_infos WHERE trace_id IN "), ids)? {
            let info = info(&row)?;
            found.insert(info.trace_id.clone(), info);
        }
        for row in each_of(tx, "SELECT trace_id, key, value FROM traces_tags WHERE trace_id IN ", ids)? {
            if let Some(info) = found.get_mut(&row.get::<String>(0)?) {
                info.tags.insert(row.get(1)?, row.get(2)?);
            }
        }
        for row in each_of(tx, "SELECT trace_id, key, value FROM traces_metadata WHERE trace_id IN ", ids)? {
            if let Some(info) = found.get_mut(&row.get::<String>(0)?) {
                info.metadata.insert(row.get(1)?, row.get(2)?);
            }
        }
        let columns = assessments::COLUMNS;
        for row in each_of(tx, &format!("SELECT {columns} FROM traces_assessments WHERE trace_id IN "), ids)?
        {
            if let Some(info) = found.get_mut(&row.get::<String>(0)?) {
                info.assessments.push(assessments::read(&row)?);
            }
        }
    }
    let order = |a: &Assessment| (a.created_ms, a.assessment_id.clone());
    found.values_mut().for_each(|info| info.assessments.sort_by_key(order));
    Ok(trace_ids.iter().filter_map(|id| found.remove(id)).collect())
}

fn each_of(tx: &mut Tx<'_>, select: &str, ids: &[String]) -> Result<Vec<Row>, StoreError> {
    let Some(last) = ids.last() else { return Ok(Vec::new()) };
    let width = if ids.len() == 1 { 1 } else { AT_ONCE };
    let places: Vec<String> = (1..=width).map(|n| format!("?{n}")).collect();
    let cells: Vec<Cell> =
        ids.iter().chain(std::iter::repeat(last)).take(width).map(|id| id.as_str().into()).collect();
    tx.query(&format!("{select}({})", places.join(", ")), &cells)
}

fn info(row: &Row) -> Result<TraceInfo, StoreError> {
    Ok(TraceInfo {
        trace_id: row.get(0)?,
        experiment: row.get(1)?,
        time_ms: row.get(2)?,
        duration_ms: row.get(3)?,
        state: TraceState::named(&row.get::<String>(4)?).unwrap_or_default(),
        client_request_id: row.get(5)?,
        request_preview: row.get(6)?,
        response_preview: row.get(7)?,
        ..TraceInfo::default()
    })
}

/// Tags a trace. A value that is too long is cut.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Invalid`] for a key that is none, or that is gyre's own.
pub fn set_tag(tx: &mut Tx<'_>, trace_id: &str, name: &str, value: &str) -> Result<(), StoreError> {
    check_mutable(name)?;
    limits::key("tag", name)?;
    exists(tx, trace_id)?;
    put_tag(tx, trace_id, name, value)
}

/// Takes a tag away.
///
/// # Errors
/// [`StoreError::NotFound`] for the trace or the tag; [`StoreError::Invalid`] for one that is gyre's own.
pub fn delete_tag(tx: &mut Tx<'_>, trace_id: &str, name: &str) -> Result<(), StoreError> {
    check_mutable(name)?;
    exists(tx, trace_id)?;
    let deleted = tx.execute(
        "DELETE FROM traces_tags WHERE trace_id = ?1 AND key = ?2",
        &[trace_id.into(), name.into()],
    )?;
    if deleted == 0 {
        return Err(StoreError::not_found("trace tag", cut(name, limits::KEY)));
    }
    Ok(())
}

fn check_mutable(name: &str) -> Result<(), StoreError> {
    match name {
        key::SPANS_LOCATION | "mlflow.trace.archiveLocation" | "mlflow.trace.archivalFailure" => {
            Err(invalid(format!("the tag `{name}` of a trace is set by the server and cannot be changed")))
        }
        _ => Ok(()),
    }
}

pub(crate) fn put_tag(tx: &mut Tx<'_>, trace_id: &str, name: &str, value: &str) -> Result<(), StoreError> {
    limits::key("tag", name)?;
    tx.execute(
        "INSERT INTO traces_tags (trace_id, key, value) VALUES (?1, ?2, ?3)
         ON CONFLICT (trace_id, key) DO UPDATE SET value = excluded.value",
        &[trace_id.into(), name.into(), cut(value, limits::VALUE).into()],
    )?;
    Ok(())
}

pub(crate) fn put_metadata(
    tx: &mut Tx<'_>,
    trace_id: &str,
    name: &str,
    value: &str,
) -> Result<(), StoreError> {
    limits::key("trace's metadata", name)?;
    tx.execute(
        "INSERT INTO traces_metadata (trace_id, key, value) VALUES (?1, ?2, ?3)
         ON CONFLICT (trace_id, key) DO UPDATE SET value = excluded.value",
        &[trace_id.into(), name.into(), cut(value, limits::VALUE).into()],
    )?;
    Ok(())
}

/// Links traces to a run, as if they had been made in it. Traces that are not there are passed over.
///
/// # Errors
/// [`StoreError::Invalid`] for more than [`limits::LINKS`].
pub fn link_to_run(tx: &mut Tx<'_>, trace_ids: &[String], run: &str) -> Result<(), StoreError> {
    if trace_ids.len() > limits::LINKS {
        return Err(invalid(format!(
            "found {} traces to link to a run, at most {} go in one request",
            trace_ids.len(),
            limits::LINKS
        )));
    }
    for trace_id in trace_ids {
        link(tx, trace_id, "run", run)?;
    }
    Ok(())
}

/// Links prompt versions (`name/version`) to a trace.
///
/// # Errors
/// [`StoreError::NotFound`] for the trace.
pub fn link_prompts(tx: &mut Tx<'_>, trace_id: &str, prompts: &[String]) -> Result<(), StoreError> {
    exists(tx, trace_id)?;
    prompts.iter().try_for_each(|prompt| link(tx, trace_id, "prompt", prompt))
}

fn link(tx: &mut Tx<'_>, trace_id: &str, kind: &'static str, target: &str) -> Result<(), StoreError> {
    if target.is_empty() || target.chars().count() > 500 {
        return Err(invalid(format!(
            "found a {kind} of {} characters, expected 1 to 500",
            target.chars().count()
        )));
    }
    tx.execute(
        "INSERT INTO traces_links (trace_id, kind, target)
         SELECT trace_id, ?2, ?3 FROM traces_infos WHERE trace_id = ?1
         ON CONFLICT (trace_id, kind, target) DO NOTHING",
        &[trace_id.into(), kind.into(), target.into()],
    )?;
    Ok(())
}

/// Which traces of an experiment are to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doomed {
    /// Those of these ids.
    Ids(Vec<String>),
    /// The oldest that began at this moment (milliseconds since 1970) or before.
    Until(i64),
}

/// Deletes at most `limit` traces with all that belongs to them, tells the journal, and says how many there were. No
/// transaction deletes more than [`DELETED_AT_ONCE`]: who wants more asks again until fewer are deleted.
///
/// # Errors
/// What the database said.
pub fn delete(
    tx: &mut Tx<'_>,
    experiment: i64,
    doomed: &Doomed,
    limit: i64,
    by: &By,
) -> Result<u64, StoreError> {
    let limit = limit.clamp(0, DELETED_AT_ONCE);
    let mut ids: Vec<String> = match doomed {
        Doomed::Until(until) => tx
            .query(
                "SELECT trace_id FROM traces_infos WHERE experiment = ?1 AND time_ms <= ?2
                 ORDER BY time_ms, trace_id LIMIT ?3",
                &[experiment.into(), (*until).into(), limit.into()],
            )?
            .iter()
            .map(|row| row.get(0))
            .collect::<Result<_, _>>()?,
        Doomed::Ids(ids) => {
            let found = several_ids(tx, experiment, ids)?;
            found.into_iter().take(usize::try_from(limit).unwrap_or_default()).collect()
        }
    };
    if ids.is_empty() {
        return Ok(0);
    }
    for id in &ids {
        for table in [
            "traces_infos",
            "traces_tags",
            "traces_metadata",
            "traces_spans",
            "traces_assessments",
            "traces_links",
        ] {
            tx.execute(&format!("DELETE FROM {table} WHERE trace_id = ?1"), &[id.as_str().into()])?;
        }
    }
    ids.sort();
    let (traces, digest) = (ids.len() as u64, Digest::of((ids.join("\n") + "\n").as_bytes()));
    let fact = Fact::Tracking(TrackingChange::TracesDeleted { experiment, traces, digest });
    tx.append(NewFact::new(by.at, by.actor.clone(), fact).from_where(by.origin.clone()))?;
    Ok(traces)
}

fn several_ids(tx: &mut Tx<'_>, experiment: i64, ids: &[String]) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    for ids in ids.chunks(AT_ONCE) {
        for row in each_of(tx, "SELECT trace_id, experiment FROM traces_infos WHERE trace_id IN ", ids)? {
            if row.get::<i64>(1)? == experiment {
                found.push(row.get(0)?);
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Begins a trace whose id is given here, as clients before 3.0 ask for it.
///
/// # Errors
/// [`StoreError::NotFound`] for the experiment; [`StoreError::Invalid`].
pub fn begin(tx: &mut Tx<'_>, info: TraceInfo) -> Result<TraceInfo, StoreError> {
    let experiment = experiments::active(tx, info.experiment)?;
    let trace_id = Uuid::new_v4().simple().to_string();
    tx.execute(
        "INSERT INTO traces_infos (trace_id, experiment, time_ms, state) VALUES (?1, ?2, ?3, ?4)",
        &[trace_id.as_str().into(), info.experiment.into(), info.time_ms.into(), info.state.name().into()],
    )?;
    put_all(tx, &trace_id, &info.metadata, &info.tags)?;
    put_tag(tx, &trace_id, key::ARTIFACT_LOCATION, &artifacts(&experiment, &trace_id))?;
    get(tx, &trace_id)
}

/// Ends a trace at a moment (milliseconds since 1970), as clients before 3.0 ask for it.
///
/// # Errors
/// [`StoreError::NotFound`] for the trace; [`StoreError::Invalid`].
pub fn end(
    tx: &mut Tx<'_>,
    trace_id: &str,
    end_ms: i64,
    state: TraceState,
    metadata: &BTreeMap<String, String>,
    tags: &BTreeMap<String, String>,
) -> Result<TraceInfo, StoreError> {
    let info = get(tx, trace_id)?;
    tx.execute(
        "UPDATE traces_infos SET duration_ms = ?2, state = ?3 WHERE trace_id = ?1",
        &[trace_id.into(), end_ms.saturating_sub(info.time_ms).into(), state.name().into()],
    )?;
    put_all(tx, trace_id, metadata, tags)?;
    get(tx, trace_id)
}

fn put_all(
    tx: &mut Tx<'_>,
    trace_id: &str,
    metadata: &BTreeMap<String, String>,
    tags: &BTreeMap<String, String>,
) -> Result<(), StoreError> {
    metadata.iter().try_for_each(|(name, value)| put_metadata(tx, trace_id, name, value))?;
    let open = tags.iter().filter(|(name, _)| name.as_str() != key::SPANS_LOCATION);
    open.into_iter().try_for_each(|(name, value)| put_tag(tx, trace_id, name, value))
}
