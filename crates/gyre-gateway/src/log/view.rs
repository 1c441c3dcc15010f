//! The log of one model as it lies on disk, read beside whoever writes it.
//!
//! Nothing is repaired, locked or written: so a command can read what a running server logs. Segments are those that
//! the journal vouches for; the write-ahead file is read as far as its frames pass their check. What the server holds
//! in memory, up to [`LogOptions::sync_every`](super::LogOptions), is not on disk yet; a flush brings it there.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use gyre_core::ids::nearest;
use gyre_core::record::{Label, Route, Value};
use gyre_core::time::Period;
use gyre_core::{ModelName, Timestamp, Version};
use gyre_store::Store;

use super::chunk::{self, Chunk};
use super::columns::{self, LabelColumns, Part, PredictionColumns};
use super::scan::Found;
use super::segment::{self, Content, Segment};
use super::wal::{self, Reader};
use crate::error::LogError;

/// How often reading begins again when a segment is closed meanwhile.
const ATTEMPTS: usize = 16;
/// Records of the write-ahead file that are made into columns at a time.
const AT_A_TIME: usize = 8_192;

/// What a model's log holds at one moment.
pub struct LogView {
    model: ModelName,
    segments: Vec<Segment>,
    predictions: Vec<Chunk>,
    labels: Vec<Label>,
    tail: Tail,
}

/// Reads what is logged from a moment on.
pub struct Tail {
    dir: PathBuf,
    /// The write-ahead file that is next, or being read.
    number: u64,
    reader: Option<Reader>,
}

/// A prediction in the log, with its place in the table that it is read from.
pub struct Row<'a> {
    columns: &'a PredictionColumns<'a>,
    row: usize,
}

impl LogView {
    /// Looks at the log of `model` in `dir`, the folder of all logs.
    ///
    /// # Errors
    /// [`LogError::UnknownModel`] when nothing was ever logged of it; what the disk or the journal said.
    pub fn open(dir: &Path, store: &Store, model: &ModelName) -> Result<Self, LogError> {
        let folder = dir.join(model.as_str());
        if !folder.is_dir() {
            return Err(unknown(dir, model));
        }
        for _ in 0..ATTEMPTS {
            let recorded = segment::recorded(model, &folder, store)?;
            let last = recorded.keys().map(|(number, _)| *number).max().unwrap_or_default();
            let Some((contents, tail)) = read_wals(&folder, last)? else { continue };
            // A segment that was closed meanwhile: its write-ahead file was read too, or was gone already.
            if segment::last_recorded(model, store)? != last {
                continue;
            }
            let segments = recorded.into_values().map(|(segment, _)| segment).collect();
            let wal::Contents { predictions, labels, .. } = contents;
            return Ok(Self { model: model.clone(), segments, predictions, labels, tail });
        }
        Err(LogError::damaged(&folder, "segments are closed faster than they can be read"))
    }

    /// Predictions in closed segments, and after them.
    pub fn counts(&self) -> (u64, u64) {
        let closed = self.segments.iter().map(Segment::predictions).sum();
        (closed, chunk::count(&self.predictions) as u64)
    }

    /// Gives every prediction with event time in `period` to `each`, in the order in which they were logged; an id may
    /// come again.
    ///
    /// # Errors
    /// What the disk said, or `each`.
    pub fn predictions<E: From<LogError>>(
        &self,
        period: Period,
        mut each: impl FnMut(&Row<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for segment in self.segments.iter().filter(|segment| segment.content == Content::Predictions) {
            if segment.period.from >= period.to || segment.period.to <= period.from {
                continue;
            }
            for batch in segment.read(Some(period))? {
                let batch = batch?;
                let columns = PredictionColumns::of(&batch).ok_or_else(|| segment.not_a_segment())?;
                rows(&columns, period, &mut each)?;
            }
        }
        for part in Part::all(&self.predictions) {
            for some in part.rows.chunks(AT_A_TIME) {
                let batch = table(&self.model, &[Part { chunk: part.chunk, rows: some.to_vec() }])?;
                if let Some(columns) = PredictionColumns::of(&batch) {
                    rows(&columns, period, &mut each)?;
                }
            }
        }
        Ok(())
    }

    /// Gives every label to `each`, in the order in which they were logged: a later one of an id replaces an earlier one.
    ///
    /// # Errors
    /// What the disk said, or `each`.
    pub fn labels<E: From<LogError>>(&self, mut each: impl FnMut(&Label) -> Result<(), E>) -> Result<(), E> {
        for segment in self.segments.iter().filter(|segment| segment.content == Content::Labels) {
            for batch in segment.read(None)? {
                let batch = batch?;
                let columns = LabelColumns::of(&batch).ok_or_else(|| segment.not_a_segment())?;
                (0..columns.ids.len()).try_for_each(|row| each(&columns.label(row)))?;
            }
        }
        self.labels.iter().try_for_each(each)
    }

    /// The predictions that were logged last, at most `most`, oldest first; without their labels.
    ///
    /// # Errors
    /// What the disk said.
    pub fn last(&self, most: usize) -> Result<Vec<Found>, LogError> {
        let mut last: VecDeque<Found> = VecDeque::new();
        let mut keep = |found: Found| {
            if last.len() >= most {
                last.pop_front();
            }
            if most > 0 {
                last.push_back(found);
            }
        };
        let closed: Vec<&Segment> =
            self.segments.iter().filter(|segment| segment.content == Content::Predictions).collect();
        // The newest segments that together have enough.
        let mut rows = chunk::count(&self.predictions) as u64;
        let from = closed.iter().rposition(|segment| {
            let enough = rows >= most as u64;
            rows += segment.predictions();
            enough
        });
        for segment in closed.iter().skip(from.map_or(0, |from| from + 1)) {
            for batch in segment.read(None)? {
                let batch = batch?;
                let columns = PredictionColumns::of(&batch).ok_or_else(|| segment.not_a_segment())?;
                (0..columns.ids.len()).for_each(|row| keep(columns.found(row, Some(&segment.name))));
            }
        }
        let mut skipped = chunk::count(&self.predictions).saturating_sub(most);
        let mut parts = Part::all(&self.predictions);
        for part in &mut parts {
            skipped -= part.rows.drain(..skipped.min(part.rows.len())).count();
        }
        found(&self.model, &parts)?.into_iter().for_each(&mut keep);
        Ok(last.into())
    }

    /// Goes on from here: what is logged after this view.
    pub fn tail(self) -> (ModelName, Tail) {
        (self.model, self.tail)
    }
}

impl Tail {
    /// The predictions that were logged since the last call.
    ///
    /// # Errors
    /// What the disk said.
    pub fn more(&mut self, model: &ModelName) -> Result<Vec<Found>, LogError> {
        let mut contents = wal::Contents::default();
        loop {
            if self.reader.is_none() {
                self.reader = Reader::open(&self.dir, self.number)?;
            }
            // Asked before reading: once the next file is there, nothing goes to this one any more. It can be read to
            // its end though it has been removed, because it is open.
            let next = wal::numbers(&self.dir)?.into_iter().find(|number| *number > self.number);
            if let Some(reader) = &mut self.reader {
                reader.read(&mut contents)?;
            }
            match next {
                None => return found(model, &Part::all(&contents.predictions)),
                Some(next) => (self.number, self.reader) = (next, None),
            }
        }
    }
}

impl Row<'_> {
    /// Its id.
    pub fn id(&self) -> &str {
        self.columns.ids.value(self.row)
    }

    /// When, in event time.
    pub fn time(&self) -> Timestamp {
        self.columns.time(self.row)
    }

    /// Who answered.
    pub fn version(&self) -> Version {
        self.columns.versions.value(self.row)
    }

    /// Why it was asked.
    pub fn route(&self) -> Route {
        self.columns.route(self.row)
    }

    /// What was predicted.
    pub fn output(&self) -> Value {
        self.columns.output(self.row)
    }

    /// Probabilities in the order of the version's classes; empty for regression.
    pub fn scores(&self) -> Vec<f64> {
        self.columns.scores(self.row)
    }

    /// Time in the model, in microseconds, of the call that it was part of.
    pub fn latency_us(&self) -> u32 {
        self.columns.latency_us(self.row)
    }

    /// The features of the versions in this part of the log, by name; missing where this one does not have them.
    pub fn features(&self) -> impl Iterator<Item = (&str, Value)> {
        self.columns.features.iter().map(|(name, array)| (*name, columns::value(array, self.row)))
    }
}

fn rows<E>(
    columns: &PredictionColumns<'_>,
    period: Period,
    each: &mut impl FnMut(&Row<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let inside = (0..columns.ids.len()).filter(|row| period.contains(columns.time(*row)));
    inside.map(|row| Row { columns, row }).try_for_each(|row| each(&row))
}

fn table(model: &ModelName, parts: &[Part<'_>]) -> Result<RecordBatch, LogError> {
    columns::predictions(parts)
        .map_err(|error| LogError::Encode { model: model.clone(), reason: error.to_string() })
}

fn found(model: &ModelName, parts: &[Part<'_>]) -> Result<Vec<Found>, LogError> {
    let batch = table(model, parts)?;
    let columns = PredictionColumns::of(&batch);
    Ok(columns.map_or_else(Vec::new, |columns| {
        (0..columns.ids.len()).map(|row| columns.found(row, None)).collect()
    }))
}

/// The write-ahead files after segment `last`; none when one of them was closed while it was looked for.
fn read_wals(folder: &Path, last: u64) -> Result<Option<(wal::Contents, Tail)>, LogError> {
    let mut contents = wal::Contents::default();
    let mut tail = Tail { dir: folder.to_path_buf(), number: last + 1, reader: None };
    for number in wal::numbers(folder)?.into_iter().filter(|number| *number > last) {
        let Some(mut reader) = Reader::open(folder, number)? else { return Ok(None) };
        reader.read(&mut contents)?;
        (tail.number, tail.reader) = (number, Some(reader));
    }
    Ok(Some((contents, tail)))
}

fn unknown(dir: &Path, model: &ModelName) -> LogError {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let names: Vec<Arc<str>> =
        entries.filter_map(|entry| Some(Arc::from(entry.file_name().to_str()?))).collect();
    let nearest = nearest(model.as_str(), names.iter().map(|name| &**name)).map(str::to_owned);
    LogError::UnknownModel { model: model.to_string(), nearest }
}
