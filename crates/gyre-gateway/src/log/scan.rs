//! Reading the log: the predictions of a period with their labels, and one prediction with all that is known of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Float64Array, RecordBatch};
use gyre_core::record::{Label, Route, Value};
use gyre_core::time::Period;
use gyre_core::{Timestamp, Version};
use gyre_runtime::Column;

use super::chunk::pad;
use super::columns::{self, LabelColumns, Part, PredictionColumns};
use super::segment::{Content, Segment};
use super::{ModelLog, Shown};
use crate::error::LogError;

/// The predictions of a period, by column, ordered by time and then by id.
///
/// Each id is there once: of several predictions of one id in the period, the one that was logged first counts. Its
/// label is the one that was logged last, whenever that was; only labels known before the period began do not count,
/// because nothing comes true before it is predicted.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan {
    /// The period asked for.
    pub period: Period,
    /// The predictions' ids.
    pub ids: Vec<Arc<str>>,
    /// Event times.
    pub times: Vec<Timestamp>,
    /// Who answered.
    pub versions: Vec<Version>,
    /// Why it was asked.
    pub routes: Vec<Route>,
    /// What was predicted.
    pub outputs: Vec<Value>,
    /// Probabilities in the order of the version's classes; empty for regression.
    pub scores: Vec<Vec<f64>>,
    /// Time in the model, in microseconds, of the call that each was part of.
    pub latencies_us: Vec<u32>,
    /// What came true, where it is known.
    pub labels: Vec<Option<Value>>,
    /// The features of all versions in the period, by name; NaN or none where a version does not have the feature or
    /// nothing was given. A feature that is text to one version and numeric to another is text.
    pub features: Vec<(String, Column)>,
}

/// One prediction, and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Its id.
    pub id: Arc<str>,
    /// When, in event time.
    pub time: Timestamp,
    /// Who answered.
    pub version: Version,
    /// Why it was asked.
    pub route: Route,
    /// The features by name.
    pub features: Vec<(String, Value)>,
    /// What was predicted.
    pub output: Value,
    /// Probabilities in the order of the version's classes; empty for regression.
    pub scores: Vec<f64>,
    /// Time in the model, in microseconds, of the call that it was part of.
    pub latency_us: u32,
    /// What came true, when it is known.
    pub label: Option<Label>,
    /// The segment that it lies in, whose digest the journal holds; none while it is in the write-ahead file.
    pub segment: Option<String>,
}

impl Scan {
    /// Number of predictions.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// A feature's values.
    pub fn feature(&self, name: &str) -> Option<&Column> {
        self.features.iter().find(|(feature, _)| feature == name).map(|(_, column)| column)
    }
}

/// What the log holds at one moment: closed segments, and what follows them, as tables.
pub(super) struct Snapshot {
    segments: Vec<Arc<Segment>>,
    pub(super) predictions: RecordBatch,
    pub(super) labels: Vec<Label>,
}

impl Snapshot {
    pub(super) fn take(log: &ModelLog, wanted: impl Fn(Timestamp, &str) -> bool) -> Result<Self, LogError> {
        let shown = log.shown();
        let Shown { segments, predictions, labels, .. } = &*shown;
        let encode =
            |error: &dyn ToString| LogError::Encode { model: log.model.clone(), reason: error.to_string() };
        let predictions =
            columns::predictions(&Part::wanted(predictions, wanted)).map_err(|error| encode(&error))?;
        Ok(Self { segments: segments.clone(), predictions, labels: labels.clone() })
    }

    pub(super) fn of(&self, content: Content) -> impl DoubleEndedIterator<Item = &Arc<Segment>> {
        self.segments.iter().filter(move |segment| segment.content == content)
    }
}

pub(super) fn scan(log: &ModelLog, period: Period) -> Result<Scan, LogError> {
    let snapshot = Snapshot::take(log, |time, _| period.contains(time))?;
    let mut scan = Gathered::default();
    for segment in snapshot.of(Content::Predictions) {
        if segment.period.from >= period.to || segment.period.to <= period.from {
            continue;
        }
        for batch in segment.read(Some(period))? {
            let batch = batch?;
            let columns = PredictionColumns::of(&batch).ok_or_else(|| segment.not_a_segment())?;
            scan.take(&columns, period);
        }
    }
    if let Some(columns) = PredictionColumns::of(&snapshot.predictions) {
        scan.take(&columns, period);
    }
    scan.labels = vec![None; scan.ids.len()];
    let smallest = scan.ids.iter().min().map_or("", |id| id);
    let largest = scan.ids.iter().max().map_or("", |id| id);
    for segment in snapshot.of(Content::Labels) {
        if scan.ids.is_empty() || segment.period.to <= period.from || !segment.may_hold(smallest, largest) {
            continue;
        }
        for batch in segment.read(None)? {
            let batch = batch?;
            let columns = LabelColumns::of(&batch).ok_or_else(|| segment.not_a_segment())?;
            for row in 0..columns.ids.len() {
                if let (Some(at), true) =
                    (scan.seen.get(columns.ids.value(row)), columns.time(row) >= period.from)
                {
                    scan.labels[*at] = Some(columns.value(row));
                }
            }
        }
    }
    for label in snapshot.labels {
        if let (Some(at), true) = (scan.seen.get(&label.id), label.time >= period.from) {
            scan.labels[*at] = Some(label.value);
        }
    }
    Ok(scan.ordered(period))
}

pub(super) fn find(log: &ModelLog, id: &str) -> Result<Option<Found>, LogError> {
    let snapshot = Snapshot::take(log, |_, found| found == id)?;
    let Some(mut found) = first_prediction(&snapshot, id)? else { return Ok(None) };
    found.label = last_label(&snapshot, id)?;
    Ok(Some(found))
}

fn first_prediction(snapshot: &Snapshot, id: &str) -> Result<Option<Found>, LogError> {
    for segment in snapshot.of(Content::Predictions).filter(|segment| segment.may_hold(id, id)) {
        for batch in segment.read(None)? {
            let batch = batch?;
            let columns = PredictionColumns::of(&batch).ok_or_else(|| segment.not_a_segment())?;
            if let Some(found) = found_in(&columns, id, Some(&segment.name)) {
                return Ok(Some(found));
            }
        }
    }
    Ok(PredictionColumns::of(&snapshot.predictions).and_then(|columns| found_in(&columns, id, None)))
}

fn found_in(columns: &PredictionColumns<'_>, id: &str, segment: Option<&str>) -> Option<Found> {
    let row = (0..columns.ids.len()).find(|row| columns.ids.value(*row) == id)?;
    Some(columns.found(row, segment))
}

impl PredictionColumns<'_> {
    /// One row with all that the table knows of it; labels lie elsewhere.
    pub(super) fn found(&self, row: usize, segment: Option<&str>) -> Found {
        let features = self.features.iter();
        Found {
            id: self.ids.value(row).into(),
            time: self.time(row),
            version: self.versions.value(row),
            route: self.route(row),
            features: features
                .map(|(name, array)| ((*name).to_owned(), columns::value(array, row)))
                .collect(),
            output: self.output(row),
            scores: self.scores(row),
            latency_us: self.latency_us(row),
            label: None,
            segment: segment.map(str::to_owned),
        }
    }
}

fn last_label(snapshot: &Snapshot, id: &str) -> Result<Option<Label>, LogError> {
    if let Some(label) = snapshot.labels.iter().rfind(|label| *label.id == *id) {
        return Ok(Some(label.clone()));
    }
    for segment in snapshot.of(Content::Labels).rev().filter(|segment| segment.may_hold(id, id)) {
        let mut last = None;
        for batch in segment.read(None)? {
            let batch = batch?;
            let columns = LabelColumns::of(&batch).ok_or_else(|| segment.not_a_segment())?;
            let row = (0..columns.ids.len()).rfind(|row| columns.ids.value(*row) == id);
            last = row.map(|row| columns.label(row)).or(last);
        }
        if last.is_some() {
            return Ok(last);
        }
    }
    Ok(None)
}

/// A scan as it grows, in the order of the log.
#[derive(Default)]
struct Gathered {
    seen: HashMap<Arc<str>, usize>,
    ids: Vec<Arc<str>>,
    times: Vec<Timestamp>,
    versions: Vec<Version>,
    routes: Vec<Route>,
    outputs: Vec<Value>,
    scores: Vec<Vec<f64>>,
    latencies_us: Vec<u32>,
    labels: Vec<Option<Value>>,
    features: Vec<(String, Column)>,
    /// Categories met so far: few texts, many rows.
    categories: HashSet<Arc<str>>,
}

impl Gathered {
    /// Takes the rows of the period whose ids have not been seen.
    fn take(&mut self, columns: &PredictionColumns<'_>, period: Period) {
        let before = self.ids.len();
        let mut rows = Vec::new();
        for row in 0..columns.ids.len() {
            let (id, time) = (columns.ids.value(row), columns.time(row));
            if !period.contains(time) || self.seen.contains_key(id) {
                continue;
            }
            let id: Arc<str> = id.into();
            self.seen.insert(Arc::clone(&id), self.ids.len());
            self.ids.push(id);
            self.times.push(time);
            self.versions.push(columns.versions.value(row));
            self.routes.push(columns.route(row));
            self.outputs.push(columns.output(row));
            self.scores.push(columns.scores(row));
            self.latencies_us.push(columns.latency_us(row));
            rows.push(row);
        }
        for (name, array) in &columns.features {
            self.extend_feature(name, array, &rows, before);
        }
        let all = self.ids.len();
        self.features.iter_mut().for_each(|(_, column)| pad(column, all));
    }

    /// Adds the values of `rows` to a feature of which the first `before` rows are there or unknown.
    fn extend_feature(&mut self, name: &str, array: &ArrayRef, rows: &[usize], before: usize) {
        let numbers = array.as_any().downcast_ref::<Float64Array>();
        let place = self.features.iter().position(|(feature, _)| feature == name).unwrap_or_else(|| {
            let empty = if numbers.is_some() { Column::Numeric(vec![]) } else { Column::Text(vec![]) };
            self.features.push((name.to_owned(), empty));
            self.features.len() - 1
        });
        let Some((_, column)) = self.features.get_mut(place) else { return };
        pad(column, before);
        if numbers.is_none() {
            become_text(column);
        }
        match (column, numbers) {
            (Column::Numeric(values), Some(numbers)) => {
                let given = |row: &usize| if numbers.is_null(*row) { f64::NAN } else { numbers.value(*row) };
                values.extend(rows.iter().map(given));
            }
            (Column::Numeric(_), None) => {}
            (Column::Text(values), _) => values.extend(rows.iter().map(|row| {
                let category = columns::value(array, *row).as_category()?;
                Some(match self.categories.get(&category) {
                    Some(known) => Arc::clone(known),
                    None => {
                        self.categories.insert(Arc::clone(&category));
                        category
                    }
                })
            })),
        }
    }

    /// Puts the rows in order.
    fn ordered(self, period: Period) -> Scan {
        let mut order: Vec<usize> = (0..self.ids.len()).collect();
        order.sort_by(|a, b| (self.times[*a], &self.ids[*a]).cmp(&(self.times[*b], &self.ids[*b])));
        let features = self.features.into_iter().map(|(name, column)| {
            let column = match column {
                Column::Numeric(values) => Column::Numeric(permuted(values, &order)),
                Column::Text(values) => Column::Text(permuted(values, &order)),
            };
            (name, column)
        });
        Scan {
            period,
            features: features.collect(),
            ids: permuted(self.ids, &order),
            times: permuted(self.times, &order),
            versions: permuted(self.versions, &order),
            routes: permuted(self.routes, &order),
            outputs: permuted(self.outputs, &order),
            scores: permuted(self.scores, &order),
            latencies_us: permuted(self.latencies_us, &order),
            labels: permuted(self.labels, &order),
        }
    }
}

fn permuted<T>(values: Vec<T>, order: &[usize]) -> Vec<T> {
    if order.is_sorted() {
        return values;
    }
    let mut cells: Vec<Option<T>> = values.into_iter().map(Some).collect();
    order.iter().filter_map(|at| cells[*at].take()).collect()
}

fn become_text(column: &mut Column) {
    if let Column::Numeric(values) = column {
        let text = |number: &f64| (!number.is_nan()).then(|| Arc::from(number.to_string()));
        *column = Column::Text(values.iter().map(text).collect());
    }
}
