//! Records as columns, and back: the one table layout that segments have and that readers see, whether the records lie
//! in a segment or still in the write-ahead file.
//!
//! Predictions: `id`, `time`, `version`, `route`, `latency_us`, one column a feature under its own name, `prediction`,
//! and `scores` where there are any. Labels: `id`, `time`, `label`. A feature whose name is one of these is stored as
//! `feature:NAME`; each feature column says its true name in the field's metadata ([`FEATURE`]).

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{Float64Builder, ListBuilder, StringBuilder};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, ListArray, RecordBatch, StringArray,
    TimestampMillisecondArray, UInt32Array,
};
use arrow_schema::{ArrowError, Field, Schema};
use gyre_core::Timestamp;
use gyre_core::record::{Kind, Label, Route, Value};
use gyre_runtime::Column;

use super::chunk::Chunk;

/// Key of the field metadata that holds a feature's name.
pub(super) const FEATURE: &str = "gyre.feature";

const RESERVED: [&str; 7] = ["id", "time", "version", "route", "latency_us", "prediction", "scores"];

/// Some rows of a chunk, ascending.
#[derive(Clone)]
pub(super) struct Part<'a> {
    pub(super) chunk: &'a Chunk,
    pub(super) rows: Vec<usize>,
}

impl<'a> Part<'a> {
    /// All rows of each chunk.
    pub(super) fn all(chunks: &'a [Chunk]) -> Vec<Self> {
        chunks.iter().map(|chunk| Self { chunk, rows: (0..chunk.len()).collect() }).collect()
    }

    /// The rows of each chunk whose time and id are `wanted`.
    pub(super) fn wanted(chunks: &'a [Chunk], wanted: impl Fn(Timestamp, &str) -> bool) -> Vec<Self> {
        let of = |chunk: &'a Chunk| {
            let keys = chunk.times.iter().zip(&chunk.ids).enumerate();
            let rows = keys.filter(|(_, (time, id))| wanted(**time, id)).map(|(row, _)| row).collect();
            Self { chunk, rows }
        };
        chunks.iter().map(of).filter(|part| !part.rows.is_empty()).collect()
    }

    /// One of the chunk's columns, in these rows.
    fn pick<T>(&self, column: &'a [T]) -> impl Iterator<Item = &'a T> + Clone + use<'a, '_, T> {
        self.rows.iter().filter_map(|row| column.get(*row))
    }
}

/// A table of predictions.
pub(super) fn predictions(parts: &[Part<'_>]) -> Result<RecordBatch, ArrowError> {
    let ids = parts.iter().flat_map(|part| part.pick(&part.chunk.ids));
    let moments = parts.iter().flat_map(|part| part.pick(&part.chunk.times));
    let versions = parts.iter().flat_map(|part| part.pick(&part.chunk.versions));
    let routes = parts.iter().flat_map(|part| part.pick(&part.chunk.routes));
    let latencies = parts.iter().flat_map(|part| part.pick(&part.chunk.latencies_us));
    let mut columns: Vec<(Field, ArrayRef)> = vec![
        plain("id", Arc::new(StringArray::from_iter_values(ids))),
        plain("time", times(moments.copied())),
        plain("version", Arc::new(UInt32Array::from_iter_values(versions.copied()))),
        plain("route", Arc::new(StringArray::from_iter_values(routes.map(|route| route_name(*route))))),
        plain("latency_us", Arc::new(UInt32Array::from_iter_values(latencies.copied()))),
    ];
    let layout = Layout::of(parts.iter().map(|part| part.chunk));
    for (at, (name, kind)) in layout.features.iter().enumerate() {
        let array = match kind {
            Kind::Number => layout.numbers(parts, at),
            Kind::Text => layout.texts(parts, at),
        };
        let mut stored = name.clone();
        while RESERVED.contains(&stored.as_str()) || columns.iter().any(|(field, _)| *field.name() == stored)
        {
            stored = format!("feature:{stored}");
        }
        let metadata = HashMap::from([(FEATURE.to_owned(), name.clone())]);
        columns.push((Field::new(stored, array.data_type().clone(), true).with_metadata(metadata), array));
    }
    columns
        .push(nullable("prediction", values(parts.iter().flat_map(|part| part.pick(&part.chunk.outputs)))));
    let scores = || parts.iter().flat_map(|part| part.rows.iter().map(|row| part.chunk.scores(*row)));
    if scores().any(|scores| !scores.is_empty()) {
        let mut list = ListBuilder::new(Float64Builder::new());
        for scores in scores() {
            list.values().append_slice(scores);
            list.append(!scores.is_empty());
        }
        columns.push(nullable("scores", Arc::new(list.finish())));
    }
    table(columns)
}

/// A table of labels.
pub(super) fn labels<'a>(rows: impl Iterator<Item = &'a Label> + Clone) -> Result<RecordBatch, ArrowError> {
    table(vec![
        plain("id", Arc::new(StringArray::from_iter_values(rows.clone().map(|row| &*row.id)))),
        plain("time", times(rows.clone().map(|row| row.time))),
        nullable("label", values(rows.map(|row| &row.value))),
    ])
}

fn table(columns: Vec<(Field, ArrayRef)>) -> Result<RecordBatch, ArrowError> {
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

fn plain(name: &str, array: ArrayRef) -> (Field, ArrayRef) {
    (Field::new(name, array.data_type().clone(), false), array)
}

fn nullable(name: &str, array: ArrayRef) -> (Field, ArrayRef) {
    (Field::new(name, array.data_type().clone(), true), array)
}

fn times(times: impl Iterator<Item = Timestamp>) -> ArrayRef {
    let millis = times.map(Timestamp::as_millis);
    Arc::new(TimestampMillisecondArray::from_iter_values(millis).with_timezone("UTC"))
}

/// Numbers as doubles, truths as booleans; text, and what is mixed, as text.
fn values<'a>(values: impl Iterator<Item = &'a Value> + Clone) -> ArrayRef {
    let all = |fits: fn(&Value) -> bool| values.clone().all(|value| *value == Value::Missing || fits(value));
    if all(|value| matches!(value, Value::Number(_))) {
        return Arc::new(values.map(Value::as_number).collect::<Float64Array>());
    }
    if all(|value| matches!(value, Value::Bool(_))) {
        let truth = |value: &Value| if let Value::Bool(truth) = value { Some(*truth) } else { None };
        return Arc::new(values.map(truth).collect::<BooleanArray>());
    }
    texts(values)
}

fn texts<'a>(values: impl Iterator<Item = &'a Value>) -> ArrayRef {
    Arc::new(values.map(Value::as_category).collect::<StringArray>())
}

/// The features of the chunks that some rows come from.
struct Layout {
    /// Names and kinds, in the order in which they are met. A feature that is text in any chunk is text in all.
    features: Vec<(String, Kind)>,
    /// For each chunk the place of each of its features among them.
    places: Vec<Vec<usize>>,
}

impl Layout {
    fn of<'a>(chunks: impl Iterator<Item = &'a Chunk>) -> Self {
        let mut layout = Self { features: Vec::new(), places: Vec::new() };
        for chunk in chunks {
            let places = chunk.fields.iter().map(|field| layout.place(&field.name, field.kind)).collect();
            layout.places.push(places);
        }
        layout
    }

    fn place(&mut self, name: &str, kind: Kind) -> usize {
        let found = self.features.iter().position(|(known, _)| known == name);
        let place = found.unwrap_or_else(|| {
            self.features.push((name.to_owned(), kind));
            self.features.len() - 1
        });
        if let (Kind::Text, Some(feature)) = (kind, self.features.get_mut(place)) {
            feature.1 = Kind::Text;
        }
        place
    }

    /// The feature `at` of each part of those that the layout was made of; none where it does not have it.
    fn columns<'a>(
        &'a self,
        parts: &'a [Part<'a>],
        at: usize,
    ) -> impl Iterator<Item = (&'a Part<'a>, Option<&'a Column>)> {
        parts.iter().zip(&self.places).map(move |(part, places)| {
            let place = places.iter().position(|place| *place == at);
            (part, place.and_then(|place| part.chunk.features.get(place)))
        })
    }

    fn numbers(&self, parts: &[Part<'_>], at: usize) -> ArrayRef {
        let mut array = Float64Builder::with_capacity(parts.iter().map(|part| part.rows.len()).sum());
        for (part, column) in self.columns(parts, at) {
            match column {
                Some(Column::Numeric(values)) => {
                    let given = |value: &f64| (!value.is_nan()).then_some(*value);
                    array.extend(part.rows.iter().map(|row| values.get(*row).and_then(given)));
                }
                // A feature of numbers is text in no chunk.
                Some(Column::Text(_)) | None => array.append_nulls(part.rows.len()),
            }
        }
        Arc::new(array.finish())
    }

    fn texts(&self, parts: &[Part<'_>], at: usize) -> ArrayRef {
        let mut array = StringBuilder::new();
        for (part, column) in self.columns(parts, at) {
            for row in &part.rows {
                match column {
                    Some(Column::Text(values)) => {
                        array.append_option(values.get(*row).and_then(Option::as_deref))
                    }
                    Some(Column::Numeric(values)) => {
                        let given = values.get(*row).filter(|value| !value.is_nan());
                        array.append_option(given.map(f64::to_string));
                    }
                    None => array.append_null(),
                }
            }
        }
        Arc::new(array.finish())
    }
}

/// A table of predictions, seen by column.
pub(super) struct PredictionColumns<'a> {
    pub(super) ids: &'a StringArray,
    pub(super) times: &'a TimestampMillisecondArray,
    pub(super) versions: &'a UInt32Array,
    routes: &'a StringArray,
    latencies: &'a UInt32Array,
    outputs: &'a ArrayRef,
    scores: Option<&'a ListArray>,
    /// Features by name.
    pub(super) features: Vec<(&'a str, &'a ArrayRef)>,
}

impl<'a> PredictionColumns<'a> {
    /// Finds the columns; none when the table is not one of predictions.
    pub(super) fn of(batch: &'a RecordBatch) -> Option<Self> {
        let schema = batch.schema_ref();
        let features = schema.fields().iter().zip(batch.columns());
        let features =
            features.filter_map(|(field, array)| Some((field.metadata().get(FEATURE)?.as_str(), array)));
        Some(Self {
            ids: column(batch, "id")?,
            times: column(batch, "time")?,
            versions: column(batch, "version")?,
            routes: column(batch, "route")?,
            latencies: column(batch, "latency_us")?,
            outputs: batch.column_by_name("prediction")?,
            scores: column(batch, "scores"),
            features: features.collect(),
        })
    }

    pub(super) fn time(&self, row: usize) -> Timestamp {
        Timestamp::from_millis(self.times.value(row))
    }

    pub(super) fn route(&self, row: usize) -> Route {
        match self.routes.value(row) {
            "candidate" => Route::Candidate,
            "pinned" => Route::Pinned,
            "rule" => Route::Rule,
            _ => Route::Champion,
        }
    }

    pub(super) fn latency_us(&self, row: usize) -> u32 {
        self.latencies.value(row)
    }

    pub(super) fn output(&self, row: usize) -> Value {
        value(self.outputs, row)
    }

    pub(super) fn scores(&self, row: usize) -> Vec<f64> {
        let Some(list) = self.scores.filter(|scores| scores.is_valid(row)) else { return Vec::new() };
        let row = list.value(row);
        row.as_any().downcast_ref::<Float64Array>().map_or_else(Vec::new, |scores| scores.values().to_vec())
    }
}

/// A table of labels, seen by column.
pub(super) struct LabelColumns<'a> {
    pub(super) ids: &'a StringArray,
    times: &'a TimestampMillisecondArray,
    values: &'a ArrayRef,
}

impl<'a> LabelColumns<'a> {
    /// Finds the columns; none when the table is not one of labels.
    pub(super) fn of(batch: &'a RecordBatch) -> Option<Self> {
        let values = batch.column_by_name("label")?;
        Some(Self { ids: column(batch, "id")?, times: column(batch, "time")?, values })
    }

    pub(super) fn time(&self, row: usize) -> Timestamp {
        Timestamp::from_millis(self.times.value(row))
    }

    pub(super) fn value(&self, row: usize) -> Value {
        value(self.values, row)
    }

    pub(super) fn label(&self, row: usize) -> Label {
        Label { id: self.ids.value(row).into(), time: self.time(row), value: self.value(row) }
    }
}

/// Ids and event times of a table of predictions, of which the other columns need not be there.
pub(super) fn keys(batch: &RecordBatch) -> Option<impl Iterator<Item = (&str, Timestamp)>> {
    let (ids, times): (&StringArray, &TimestampMillisecondArray) =
        (column(batch, "id")?, column(batch, "time")?);
    Some((0..batch.num_rows()).map(|row| (ids.value(row), Timestamp::from_millis(times.value(row)))))
}

fn column<'a, T: 'static>(batch: &'a RecordBatch, name: &str) -> Option<&'a T> {
    batch.column_by_name(name)?.as_any().downcast_ref()
}

/// One cell; a type that is never written reads as missing.
pub(super) fn value(array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Missing;
    }
    let any = array.as_any();
    if let Some(numbers) = any.downcast_ref::<Float64Array>() {
        Value::Number(numbers.value(row))
    } else if let Some(texts) = any.downcast_ref::<StringArray>() {
        Value::Text(texts.value(row).into())
    } else if let Some(truths) = any.downcast_ref::<BooleanArray>() {
        Value::Bool(truths.value(row))
    } else {
        Value::Missing
    }
}

fn route_name(route: Route) -> &'static str {
    match route {
        Route::Champion => "champion",
        Route::Candidate => "candidate",
        Route::Pinned => "pinned",
        Route::Rule => "rule",
    }
}
