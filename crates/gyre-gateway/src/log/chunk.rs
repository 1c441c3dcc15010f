//! Predictions by column, between the request and the segment.
//!
//! Predictions arrive as columns and end as columns, so they are never taken apart into cells in between: that would cost
//! more than predicting does. A chunk holds consecutive predictions of versions that read the same features, and is what
//! the write-ahead file keeps of them ([`Chunk::encode`], Postcard 1.0).

use std::sync::Arc;

use gyre_core::record::{Field, Kind, Route, Signature, Value};
use gyre_core::{Timestamp, Version};
use gyre_runtime::{Column, Scores};
use serde::{Deserialize, Serialize};

use super::Batch;

/// Cells from which a new chunk begins, so that none grows without bound.
const FULL: usize = 4 << 20;

/// Consecutive predictions.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// The features, in the order of `features`.
    pub(super) fields: Vec<Field>,
    /// A signature whose inputs `fields` are known to be, so that they need not be compared.
    like: Option<Arc<Signature>>,
    pub(super) ids: Vec<Arc<str>>,
    pub(super) times: Vec<Timestamp>,
    pub(super) versions: Vec<Version>,
    pub(super) routes: Vec<Route>,
    pub(super) latencies_us: Vec<u32>,
    pub(super) features: Vec<Column>,
    pub(super) outputs: Vec<Value>,
    /// The scores of all rows, one row after the other.
    scores: Vec<f64>,
    /// Where each row's scores end.
    ends: Vec<usize>,
}

/// Moves the rows of `batch` to the last of `chunks`, or to a new one; what is left of it is for the caller to free.
pub(super) fn collect(chunks: &mut Vec<Chunk>, batch: &mut Batch) {
    let fits = |last: &&mut Chunk| {
        let same = last.like.as_ref().is_some_and(|like| Arc::ptr_eq(like, &batch.signature))
            || last.fields == batch.signature.inputs;
        same && !last.is_full()
    };
    match chunks.last_mut().filter(fits) {
        Some(last) => last.push(batch),
        None => {
            let mut chunk = Chunk::of(batch.signature.inputs.clone(), Some(Arc::clone(&batch.signature)));
            chunk.push(batch);
            chunks.push(chunk);
        }
    }
}

/// Adds `later` to `chunks`, joined where they are of one kind.
pub(super) fn append(chunks: &mut Vec<Chunk>, later: impl IntoIterator<Item = Chunk>) {
    for chunk in later {
        match chunks.last_mut().filter(|last| !last.is_full() && last.fields == chunk.fields) {
            Some(last) => last.join(chunk),
            None => chunks.push(chunk),
        }
    }
}

/// Predictions in `chunks`.
pub(super) fn count(chunks: &[Chunk]) -> usize {
    chunks.iter().map(Chunk::len).sum()
}

impl Chunk {
    fn of(fields: Vec<Field>, like: Option<Arc<Signature>>) -> Self {
        let empty = |field: &Field| match field.kind {
            Kind::Number => Column::Numeric(Vec::new()),
            Kind::Text => Column::Text(Vec::new()),
        };
        Self { features: fields.iter().map(empty).collect(), fields, like, ..Self::default() }
    }

    /// Predictions in it.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    fn is_full(&self) -> bool {
        // An id and the like weigh as much as some cells.
        self.len() * (self.fields.len() + 8) >= FULL
    }

    /// The scores of a row.
    pub(super) fn scores(&self, row: usize) -> &[f64] {
        let begin = row.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(row).copied().unwrap_or(begin);
        self.scores.get(begin..end).unwrap_or_default()
    }

    fn push(&mut self, batch: &mut Batch) {
        let Batch { ids, time, version, signature: _, route, table, scores, latency_us } = batch;
        self.ids.append(ids);
        let all = self.ids.len();
        self.times.resize(all, *time);
        self.versions.resize(all, *version);
        self.routes.resize(all, *route);
        self.latencies_us.resize(all, *latency_us);
        for (column, (_, values)) in self.features.iter_mut().zip(table.columns_mut()) {
            extend(column, values);
        }
        // A table whose columns are not those of the signature is refused long before; missing is what would be true.
        self.features.iter_mut().for_each(|column| pad(column, all));
        match scores {
            Scores::Regression(numbers) => self.outputs.extend(numbers.drain(..).map(Value::Number)),
            Scores::Classification { labels, probabilities, .. } => {
                // A model that answers with classes alone has no probabilities.
                let width = probabilities.len().checked_div(labels.len()).unwrap_or(0);
                let begin = self.scores.len();
                self.scores.append(probabilities);
                self.ends.extend((1..=labels.len()).map(|row| begin + row * width));
                self.outputs.extend(labels.drain(..).map(Value::Text));
            }
        }
        self.outputs.resize(all, Value::Missing);
        self.ends.resize(all, self.scores.len());
    }

    fn join(&mut self, later: Self) {
        let before = self.scores.len();
        self.ids.extend(later.ids);
        self.times.extend(later.times);
        self.versions.extend(later.versions);
        self.routes.extend(later.routes);
        self.latencies_us.extend(later.latencies_us);
        let mut features = later.features;
        self.features.iter_mut().zip(&mut features).for_each(|(column, values)| extend(column, values));
        self.outputs.extend(later.outputs);
        self.scores.extend(later.scores);
        self.ends.extend(later.ends.into_iter().map(|end| before + end));
    }

    /// The chunk as bytes.
    pub(super) fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        let features = self.features.iter().map(|column| match column {
            Column::Numeric(values) => WrittenColumn::Numeric(values),
            Column::Text(values) => WrittenColumn::Text(values),
        });
        postcard::to_stdvec(&Written {
            fields: &self.fields,
            ids: &self.ids,
            times: self.times.iter().map(|time| time.as_millis()).collect(),
            versions: &self.versions,
            routes: &self.routes,
            latencies_us: &self.latencies_us,
            features: features.collect(),
            outputs: self.outputs.iter().map(Cell::from).collect(),
            scores: &self.scores,
            ends: &self.ends,
        })
    }

    /// What [`Chunk::encode`] made; none when it is something else.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let read: Read = postcard::from_bytes(bytes).ok()?;
        let features = read.features.into_iter().map(|column| match column {
            ReadColumn::Numeric(values) => Column::Numeric(values),
            ReadColumn::Text(values) => Column::Text(values),
        });
        let chunk = Self {
            fields: read.fields,
            like: None,
            ids: read.ids,
            times: read.times.into_iter().map(Timestamp::from_millis).collect(),
            versions: read.versions,
            routes: read.routes,
            latencies_us: read.latencies_us,
            features: features.collect(),
            outputs: read.outputs.into_iter().map(Value::from).collect(),
            scores: read.scores,
            ends: read.ends,
        };
        chunk.is_whole().then_some(chunk)
    }

    /// Whether every column has every row.
    fn is_whole(&self) -> bool {
        let rows = self.len();
        [self.times.len(), self.versions.len(), self.routes.len(), self.latencies_us.len()] == [rows; 4]
            && [self.outputs.len(), self.ends.len()] == [rows; 2]
            && self.features.len() == self.fields.len()
            && self.features.iter().all(|column| column.len() == rows)
            && self.ends.is_sorted()
            && self.ends.last().is_none_or(|last| *last == self.scores.len())
    }
}

/// Moves `values` to the end of `column`.
fn extend(column: &mut Column, values: &mut Column) {
    match (column, values) {
        (Column::Numeric(column), Column::Numeric(values)) => column.append(values),
        (Column::Text(column), Column::Text(values)) => column.append(values),
        (column, values) => pad(column, column.len() + values.len()),
    }
}

/// Makes a column as long as `rows` with nothing given in the new ones.
pub(super) fn pad(column: &mut Column, rows: usize) {
    match column {
        Column::Numeric(values) => values.resize(rows, f64::NAN),
        Column::Text(values) => values.resize(rows, None),
    }
}

#[derive(Serialize)]
struct Written<'a> {
    fields: &'a [Field],
    ids: &'a [Arc<str>],
    times: Vec<i64>,
    versions: &'a [Version],
    routes: &'a [Route],
    latencies_us: &'a [u32],
    features: Vec<WrittenColumn<'a>>,
    outputs: Vec<Cell>,
    scores: &'a [f64],
    ends: &'a [usize],
}

#[derive(Serialize)]
enum WrittenColumn<'a> {
    Numeric(&'a [f64]),
    Text(&'a [Option<Arc<str>>]),
}

#[derive(Deserialize)]
struct Read {
    fields: Vec<Field>,
    ids: Vec<Arc<str>>,
    times: Vec<i64>,
    versions: Vec<Version>,
    routes: Vec<Route>,
    latencies_us: Vec<u32>,
    features: Vec<ReadColumn>,
    outputs: Vec<Cell>,
    scores: Vec<f64>,
    ends: Vec<usize>,
}

#[derive(Deserialize)]
enum ReadColumn {
    Numeric(Vec<f64>),
    Text(Vec<Option<Arc<str>>>),
}

/// A value that says itself what it is, as a format without names needs it.
#[derive(Serialize, Deserialize)]
enum Cell {
    Missing,
    Bool(bool),
    Number(f64),
    Text(Arc<str>),
}

impl From<&Value> for Cell {
    fn from(value: &Value) -> Self {
        match value {
            Value::Missing => Self::Missing,
            Value::Bool(truth) => Self::Bool(*truth),
            Value::Number(number) => Self::Number(*number),
            Value::Text(text) => Self::Text(Arc::clone(text)),
        }
    }
}

impl From<Cell> for Value {
    fn from(cell: Cell) -> Self {
        match cell {
            Cell::Missing => Self::Missing,
            Cell::Bool(truth) => Self::Bool(truth),
            Cell::Number(number) => Self::Number(number),
            Cell::Text(text) => Self::Text(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gyre_runtime::Table;

    fn signature(text: bool) -> Arc<Signature> {
        let mut inputs = vec![Field { name: "km".to_owned(), kind: Kind::Number }];
        if text {
            inputs.push(Field { name: "carrier".to_owned(), kind: Kind::Text });
        }
        Arc::new(Signature { inputs, output: "y".to_owned(), classes: Vec::new() })
    }

    fn batch(signature: &Arc<Signature>, ids: &[&str], version: Version, scores: Scores) -> Batch {
        let column = |field: &Field| match field.kind {
            Kind::Number => Column::Numeric((0..ids.len()).map(|row| row as f64 + 0.1).collect()),
            Kind::Text => Column::Text(ids.iter().map(|id| (*id != "b").then(|| Arc::from(*id))).collect()),
        };
        let columns = signature.inputs.iter().map(|field| (field.name.as_str(), column(field)));
        Batch {
            ids: ids.iter().map(|id| Arc::from(*id)).collect(),
            time: Timestamp::from_millis(version.into()),
            version,
            signature: Arc::clone(signature),
            route: Route::Candidate,
            table: Table::new(columns).unwrap(),
            scores,
            latency_us: 7,
        }
    }

    fn classes(labels: &[&str], width: usize) -> Scores {
        Scores::Classification {
            labels: labels.iter().map(|label| Arc::from(*label)).collect(),
            classes: vec!["yes".into(), "no".into()].into(),
            probabilities: (0..labels.len() * width).map(|at| at as f64).collect(),
        }
    }

    #[test]
    fn what_is_collected_joined_written_and_read_back_is_the_same() {
        let signature = signature(true);
        let (mut chunks, mut later) = (Vec::new(), Vec::new());
        collect(&mut chunks, &mut batch(&signature, &["a", "b"], 1, classes(&["yes", "no"], 2)));
        // Another version with features of the same names, which answers with numbers.
        let same = Arc::new(Signature::clone(&signature));
        collect(&mut chunks, &mut batch(&same, &["c"], 2, Scores::Regression(vec![0.5])));
        collect(&mut later, &mut batch(&same, &["d", "e"], 2, classes(&["no", "no"], 2)));
        append(&mut chunks, later);
        let [chunk] = &chunks[..] else { panic!("one chunk: {chunks:?}") };
        let read = Chunk::decode(&chunk.encode().unwrap()).unwrap();
        for chunk in [chunk, &read] {
            assert_eq!(chunk.ids.iter().map(|id| &**id).collect::<Vec<_>>(), ["a", "b", "c", "d", "e"]);
            assert_eq!(chunk.versions, [1, 1, 2, 2, 2]);
            let rows: Vec<&[f64]> = (0..5).map(|row| chunk.scores(row)).collect();
            assert_eq!(rows, [&[0.0, 1.0][..], &[2.0, 3.0], &[], &[0.0, 1.0], &[2.0, 3.0]]);
            assert_eq!(chunk.outputs[2], Value::Number(0.5));
            let Column::Text(carriers) = &chunk.features[1] else { panic!() };
            assert_eq!(carriers[1], None);
        }
        assert_eq!((&read.features, read.times[4]), (&chunk.features, Timestamp::from_millis(2)));
    }

    #[test]
    fn other_features_begin_another_chunk() {
        let mut chunks = Vec::new();
        for text in [true, false, true] {
            collect(&mut chunks, &mut batch(&signature(text), &["a"], 1, Scores::Regression(vec![1.0])));
        }
        assert_eq!((chunks.len(), count(&chunks)), (3, 3));
    }

    #[test]
    fn bytes_that_are_no_chunk_are_none() {
        let mut chunks = Vec::new();
        collect(
            &mut chunks,
            &mut batch(&signature(true), &["a", "b"], 1, Scores::Regression(vec![1.0, 2.0])),
        );
        let bytes = chunks[0].encode().unwrap();
        assert!((0..bytes.len()).all(|length| Chunk::decode(&bytes[..length]).is_none()));
        chunks[0].times.pop();
        assert!(Chunk::decode(&chunks[0].encode().unwrap()).is_none(), "a column is short");
    }
}
