//! Traces, found by a filter, in an order, a page at a time.
//!
//! What a database can decide the same way everywhere (equality, numbers, presence) goes into the statement; what is left
//! (patterns, attributes of spans) is tested here on the rows that come, a batch at a time. A page begins after the place
//! where the last one ended, given by the values that it was ordered by: traces that come or go in between neither repeat
//! nor hide others.

mod order;
mod plan;
mod token;

use gyre_core::Digest;
use gyre_store::{Cell, Row, StoreError, Tx};
use serde_json::Value;

use crate::filter::{self, AssessmentKind, Filter, SpanField, TextTest};
use crate::infos;
use crate::limits::{self, invalid};
use crate::record::{TraceInfo, key};
use order::Order;
use plan::Plan;

/// How many rows are looked at in one statement when not all of the filter is in the statement.
const BATCH: usize = 500;

/// What is searched.
#[derive(Debug, Clone)]
pub struct Search {
    experiments: Vec<i64>,
    filter: Filter,
    order: Vec<Order>,
    /// Names the search, so that the token of another is found out.
    identity: String,
}

/// Some of what was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// The traces, in order.
    pub traces: Vec<TraceInfo>,
    /// Where the next page begins; nothing when this is the last.
    pub next: Option<String>,
}

impl Search {
    /// A search in experiments, by the text of a filter and the texts of an order (`timestamp_ms DESC`). Without an order the
    /// latest come first.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a filter or an order that is none.
    pub fn new(experiments: Vec<i64>, filter: &str, order: &[String]) -> Result<Self, StoreError> {
        if experiments.len() > limits::EXPERIMENTS {
            return Err(invalid(format!(
                "found {} experiments to search, at most {} go at once",
                experiments.len(),
                limits::EXPERIMENTS
            )));
        }
        let identity = format!("{experiments:?}\n{filter}\n{order:?}");
        let identity = Digest::of(identity.as_bytes()).to_hex().chars().take(16).collect();
        Ok(Self { experiments, filter: filter::parse(filter)?, order: order::read(order)?, identity })
    }
}

/// A row that may be what is searched.
struct Candidate {
    id: String,
    /// The values that it is ordered by.
    place: Vec<Cell>,
}

/// The page that `token` names, or the first; of at most `limit` traces.
///
/// # Errors
/// [`StoreError::Invalid`] for a limit out of range, or the token of another search.
pub fn search(
    tx: &mut Tx<'_>,
    search: &Search,
    limit: usize,
    token: Option<&str>,
) -> Result<Page, StoreError> {
    if !(1..=limits::PAGE).contains(&limit) {
        return Err(invalid(format!(
            "max_results is {limit}, expected a whole number from 1 to {}",
            limits::PAGE
        )));
    }
    let plan = Plan::of(search);
    let after = token.map(|token| token::read(token, &search.identity, &plan.sorts)).transpose()?;
    let mut found: Vec<Candidate> = Vec::new();
    walk(tx, &plan, after, limit + 1, |candidate| {
        found.push(candidate);
        found.len() <= limit
    })?;
    let next = (found.len() > limit).then(|| {
        found.truncate(limit);
        found.last().map(|last| token::write(&search.identity, &last.place))
    });
    let ids: Vec<String> = found.into_iter().map(|candidate| candidate.id).collect();
    Ok(Page { traces: infos::several(tx, &ids)?, next: next.flatten() })
}

/// Hands the ids of all traces that are found to `each`, until it says that it is enough.
pub(crate) fn all(
    tx: &mut Tx<'_>,
    search: &Search,
    mut each: impl FnMut(String) -> bool,
) -> Result<(), StoreError> {
    walk(tx, &Plan::of(search), None, BATCH, |candidate| each(candidate.id))
}

/// Hands what is found to `each`, in order, until it says that it is enough. At least `wanted` rows come at a time.
fn walk(
    tx: &mut Tx<'_>,
    plan: &Plan,
    mut after: Option<Vec<Cell>>,
    wanted: usize,
    mut each: impl FnMut(Candidate) -> bool,
) -> Result<(), StoreError> {
    if plan.experiments == 0 {
        return Ok(());
    }
    let batch = if plan.is_complete() { wanted } else { BATCH.max(wanted) };
    loop {
        let (sql, cells) = plan.statement(after.as_deref(), batch);
        let rows = tx.query(&sql, &cells)?;
        let more = rows.len() == batch;
        for row in rows {
            let id: String = row.get(0)?;
            let place = (1..=plan.sorts.len())
                .map(|column| plan.sorts[column - 1].kind.cell(&row, column))
                .collect::<Result<Vec<Cell>, _>>()?;
            after = Some(place.clone());
            if passes(tx, plan, &id, &row)? && !each(Candidate { id, place }) {
                return Ok(());
            }
        }
        if !more {
            return Ok(());
        }
    }
}

/// Whether a row passes the tests that are not in the statement: those of its own columns first.
fn passes(tx: &mut Tx<'_>, plan: &Plan, id: &str, row: &Row) -> Result<bool, StoreError> {
    for (at, test) in plan.row_tests.iter().enumerate() {
        let text: Option<String> = row.get(1 + plan.sorts.len() + at)?;
        if !text.is_some_and(|text| test.holds(&text)) {
            return Ok(false);
        }
    }
    for (kind, name, test) in &plan.assessment_tests {
        if !an_assessment_fits(tx, id, *kind, name, test)? {
            return Ok(false);
        }
    }
    Ok(plan.span_tests.is_empty() || a_span_fits(tx, id, &plan.span_tests)?)
}

fn a_span_fits(tx: &mut Tx<'_>, id: &str, tests: &[(SpanField, TextTest)]) -> Result<bool, StoreError> {
    let mut fits = false;
    tx.query_each(
        "SELECT name, type, status, content FROM traces_spans WHERE trace_id = ?1",
        &[id.into()],
        |row| {
            if !fits {
                let [name, kind, status, content] =
                    [row.get::<String>(0)?, row.get(1)?, row.get(2)?, row.get(3)?];
                fits = tests.iter().all(|(field, test)| match field {
                    SpanField::Name => test.holds(&name),
                    SpanField::Type => test.holds(&kind),
                    SpanField::Status => test.holds(&status),
                    SpanField::Content => test.holds(&content),
                    SpanField::Attribute(key) => {
                        attribute(&content, key).is_some_and(|value| test.holds(&value))
                    }
                });
            }
            Ok(())
        },
    )?;
    Ok(fits)
}

/// The attribute `key` of a span as text; text without its quotes.
fn attribute(content: &str, key: &str) -> Option<String> {
    let content: Value = serde_json::from_str(content).ok()?;
    let text = content.get("attributes")?.get(key)?.as_str()?;
    Some(unquoted(text))
}

/// The text that a JSON text stands for; other JSON as it is.
fn unquoted(json: &str) -> String {
    serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_owned())
}

fn an_assessment_fits(
    tx: &mut Tx<'_>,
    id: &str,
    kind: AssessmentKind,
    name: &str,
    test: &TextTest,
) -> Result<bool, StoreError> {
    let direct = "SELECT a.value FROM traces_assessments a
                  WHERE a.trace_id = ?1 AND a.kind = ?2 AND a.name = ?3 AND a.valid = 1";
    let of_session = "SELECT a.value FROM traces_infos i
                  JOIN traces_metadata m ON m.trace_id = i.trace_id AND m.key = ?4
                  JOIN traces_metadata n ON n.key = m.key AND substr(n.value, 1, 100) = substr(m.value, 1, 100)
                      AND n.value = m.value
                  JOIN traces_infos x ON x.trace_id = n.trace_id AND x.experiment = i.experiment
                  JOIN traces_assessments a ON a.trace_id = n.trace_id
                  WHERE i.trace_id = ?1 AND a.of_session = 1 AND a.kind = ?2 AND a.name = ?3 AND a.valid = 1";
    let cells: [Cell; 4] = [id.into(), kind.name().into(), name.into(), key::SESSION.into()];
    let mut fits = false;
    for (sql, cells) in [(direct, &cells[..3]), (of_session, &cells[..])] {
        tx.query_each(sql, cells, |row| {
            fits = fits || test.holds(&unquoted(&row.get::<String>(0)?));
            Ok(())
        })?;
        if fits {
            break;
        }
    }
    Ok(fits)
}

#[cfg(test)]
mod tests;
