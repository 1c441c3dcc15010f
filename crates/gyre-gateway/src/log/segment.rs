//! Segments: Parquet files that never change, which the journal vouches for.
//!
//! Coming into being is in three steps: the files are put in place ([`put`]: written beside, synced, renamed), the
//! journal is told ([`record`]), the write-ahead file is removed. [`recover`] finishes or undoes what a crash left
//! between them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use gyre_core::record::Label;
use gyre_core::time::Period;
use gyre_core::{Digest, Fact, ModelName, Span, Timestamp};
use gyre_store::{NewFact, Store, journal};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::properties::WriterProperties;
use parquet::file::statistics::Statistics;

use super::chunk::{self, Chunk};
use super::columns::{self, Part};
use super::wal::{Wal, remove};
use super::{Shown, sync_dir};
use crate::error::LogError;

/// Rows of a group that readers can skip as a whole.
const ROW_GROUP: usize = 16_384;
/// Rows that are read at a time.
const READ_ROWS: usize = 8_192;
/// Key of the file's metadata that holds its smallest and largest id.
const IDS: &str = "gyre.ids";

/// What a segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Predictions,
    Labels,
}

impl Content {
    fn name(self) -> &'static str {
        match self {
            Self::Predictions => "predictions",
            Self::Labels => "labels",
        }
    }
}

/// A closed segment, as readers choose by.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) name: String,
    path: PathBuf,
    number: u64,
    pub(super) content: Content,
    rows: u64,
    /// Event time of what is in it.
    pub(super) period: Period,
    /// Smallest and largest id.
    ids: (String, String),
}

/// A segment on its way to disk.
pub(super) struct Encoded {
    segment: Segment,
    digest: Digest,
    bytes: Vec<u8>,
}

impl Segment {
    /// Predictions in it.
    pub(super) fn predictions(&self) -> u64 {
        if self.content == Content::Predictions { self.rows } else { 0 }
    }

    /// Whether some id between `smallest` and `largest` can be in it.
    pub(super) fn may_hold(&self, smallest: &str, largest: &str) -> bool {
        self.ids.0.as_str() <= largest && smallest <= self.ids.1.as_str()
    }

    /// Reads the rows, without the groups of rows that lie outside of `period` by their statistics.
    pub(super) fn read(
        &self,
        period: Option<Period>,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, LogError>> + '_, LogError> {
        self.read_as(period, None)
    }

    /// Reads some columns of all rows.
    pub(super) fn read_columns(
        &self,
        columns: &[&str],
    ) -> Result<impl Iterator<Item = Result<RecordBatch, LogError>> + use<'_>, LogError> {
        self.read_as(None, Some(columns))
    }

    fn read_as(
        &self,
        period: Option<Period>,
        columns: Option<&[&str]>,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, LogError>> + use<'_>, LogError> {
        let file = open(&self.path)?;
        let damaged = |error: &dyn ToString| LogError::damaged(&self.path, error.to_string());
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| damaged(&error))?;
        let groups = match period {
            Some(period) => overlapping(builder.metadata(), period),
            None => (0..builder.metadata().num_row_groups()).collect(),
        };
        let mask = match columns {
            Some(columns) => ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied()),
            None => ProjectionMask::all(),
        };
        let builder = builder.with_projection(mask).with_row_groups(groups).with_batch_size(READ_ROWS);
        let reader: ParquetRecordBatchReader = builder.build().map_err(|error| damaged(&error))?;
        Ok(reader.map(move |batch| batch.map_err(|error| LogError::damaged(&self.path, error))))
    }

    /// An error that says that the file is not a segment.
    pub(super) fn not_a_segment(&self) -> LogError {
        LogError::damaged(&self.path, "its columns are not those of a segment")
    }
}

fn open(path: &Path) -> Result<File, LogError> {
    File::open(path).map_err(|error| LogError::io("read", path, error))
}

/// The groups of rows whose event time may lie in `period`.
fn overlapping(metadata: &ParquetMetaData, period: Period) -> Vec<usize> {
    let leaves = metadata.file_metadata().schema_descr().columns();
    let time = leaves.iter().position(|column| column.path().string() == "time");
    let outside = |group: usize| {
        let statistics = time.and_then(|time| metadata.row_group(group).column(time).statistics());
        let Some(Statistics::Int64(times)) = statistics else { return false };
        times.max_opt().is_some_and(|last| *last < period.from.as_millis())
            || times.min_opt().is_some_and(|first| *first >= period.to.as_millis())
    };
    (0..metadata.num_row_groups()).filter(|group| !outside(*group)).collect()
}

/// Makes the segments of a write-ahead file's records: one of predictions, one of labels, or only one of them.
pub(super) fn encode<'a>(
    model: &ModelName,
    number: u64,
    predictions: &'a [Chunk],
    labels: &'a [Label],
) -> Result<Vec<Encoded>, LogError> {
    let failed = |error: &dyn ToString| LogError::Encode { model: model.clone(), reason: error.to_string() };
    let mut files = Vec::new();
    if chunk::count(predictions) > 0 {
        let table = columns::predictions(&Part::all(predictions)).map_err(|error| failed(&error))?;
        let of = |chunk: &'a Chunk| chunk.ids.iter().map(|id| &**id).zip(chunk.times.iter().copied());
        let keys = predictions.iter().flat_map(of);
        files.push(encode_one(number, Content::Predictions, &table, keys).map_err(|error| failed(&error))?);
    }
    if !labels.is_empty() {
        let table = columns::labels(labels.iter()).map_err(|error| failed(&error))?;
        let keys = labels.iter().map(|row| (&*row.id, row.time));
        files.push(encode_one(number, Content::Labels, &table, keys).map_err(|error| failed(&error))?);
    }
    Ok(files)
}

fn encode_one<'a>(
    number: u64,
    content: Content,
    table: &RecordBatch,
    keys: impl Iterator<Item = (&'a str, Timestamp)> + Clone,
) -> Result<Encoded, parquet::errors::ParquetError> {
    let ids = keys.clone().map(|(id, _)| id);
    let ids = (ids.clone().min().unwrap_or_default(), ids.max().unwrap_or_default());
    let times = keys.map(|(_, time)| time);
    let (from, last) = (times.clone().min().unwrap_or_default(), times.max().unwrap_or_default());
    let ids_note = serde_json::to_string(&ids).map_err(|error| parquet_error(&error))?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_key_value_metadata(Some(vec![KeyValue::new(IDS.to_owned(), ids_note)]))
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), table.schema(), Some(properties))?;
    writer.write(table)?;
    let bytes = writer.into_inner()?;
    let name = format!("{}-{number:08}.parquet", content.name());
    let segment = Segment {
        path: PathBuf::new(),
        name,
        number,
        content,
        rows: table.num_rows() as u64,
        period: Period { from, to: last + Span::from_millis(1) },
        ids: (ids.0.to_owned(), ids.1.to_owned()),
    };
    Ok(Encoded { segment, digest: Digest::of(&bytes), bytes })
}

fn parquet_error(error: &dyn ToString) -> parquet::errors::ParquetError {
    parquet::errors::ParquetError::General(error.to_string())
}

/// Puts the files in place, each whole or not at all.
pub(super) fn put(dir: &Path, files: &[Encoded]) -> Result<Vec<Arc<Segment>>, LogError> {
    let mut segments = Vec::with_capacity(files.len());
    for file in files {
        let path = dir.join(&file.segment.name);
        let beside = path.with_extension("tmp");
        let written = File::create(&beside).and_then(|mut created| {
            created.write_all(&file.bytes)?;
            created.sync_all()?;
            std::fs::rename(&beside, &path)
        });
        if let Err(error) = written {
            // What is left of it is removed when the log is next opened, if not now.
            let _ = std::fs::remove_file(&beside);
            return Err(LogError::io("write", &path, error));
        }
        segments.push(Arc::new(Segment { path, ..file.segment.clone() }));
    }
    sync_dir(dir)?;
    Ok(segments)
}

/// Tells the journal: from here on the segments are the truth.
pub(super) fn record(model: &ModelName, files: Vec<Encoded>, store: &Store) -> Result<(), LogError> {
    let facts: Vec<NewFact> = files
        .into_iter()
        .map(|Encoded { segment, digest, .. }| {
            let key = key(model, &segment.name);
            let (at, predictions) = (segment.period.to, segment.predictions());
            let fact = Fact::SegmentClosed {
                model: model.clone(),
                name: segment.name,
                digest,
                predictions,
                labels: segment.rows - predictions,
                period: segment.period,
            };
            NewFact::new(at, "gateway", fact).once(key)
        })
        .collect();
    store.write(move |tx| facts.into_iter().try_for_each(|fact| tx.append(fact).map(drop)))?;
    Ok(())
}

fn key(model: &ModelName, name: &str) -> String {
    format!("segment/{model}/{name}")
}

/// Opens a model's folder, making it when there is none, and brings it to a state that some moment between two writes
/// could have left. Returns the open write-ahead file, what readers see, and how many bytes were cut off its end.
pub(super) fn recover(model: &ModelName, dir: &Path, store: &Store) -> Result<(Wal, Shown, u64), LogError> {
    if !dir.is_dir() {
        std::fs::create_dir_all(dir).map_err(|error| LogError::io("create", dir, error))?;
        dir.parent().map_or(Ok(()), sync_dir)?;
    }
    let recorded = recorded(model, dir, store)?;
    let Files { mut wals, segments } = files(dir)?;
    let last_recorded = recorded.keys().map(|(number, _)| *number).max().unwrap_or_default();
    // Segments without an entry: the write-ahead file is still the truth, and will be made into segments again.
    for (number, name) in segments {
        if recorded.values().any(|(segment, _)| segment.name == name) {
            continue;
        }
        if !wals.contains(&number) {
            return Err(LogError::damaged(&dir.join(name), "the journal does not know it"));
        }
        remove(&dir.join(name))?;
    }
    // Write-ahead files whose segments have their entries: done, but for the removal.
    for number in wals.extract_if(.., |number| *number <= last_recorded) {
        for (segment, digest) in recorded.values().filter(|(segment, _)| segment.number == number) {
            let bytes =
                std::fs::read(&segment.path).map_err(|error| LogError::io("read", &segment.path, error))?;
            if Digest::of(&bytes) != *digest {
                return Err(LogError::damaged(&segment.path, "its digest is not the one in the journal"));
            }
        }
        remove(&dir.join(super::wal::file_name(number)))?;
    }
    let (wal, contents) = match wals.first() {
        Some(number) => Wal::open(dir, *number)?,
        None => (Wal::create(dir, last_recorded + 1)?, Default::default()),
    };
    // The next write-ahead file is made just before the journal is told; it is empty then.
    for number in wals.iter().skip(1) {
        let (next, _) = Wal::open(dir, *number)?;
        if !next.is_empty() {
            let reason =
                format!("it follows {}, which has not been closed", super::wal::file_name(wal.number));
            return Err(LogError::damaged(&dir.join(super::wal::file_name(*number)), reason));
        }
        next.remove()?;
    }
    let segments = recorded.into_values().map(|(segment, _)| Arc::new(segment)).collect();
    let shown = Shown { segments, predictions: contents.predictions, labels: contents.labels, problem: None };
    Ok((wal, shown, contents.cut_bytes))
}

/// The number of the last segment that the journal knows; 0 without one.
pub(super) fn last_recorded(model: &ModelName, store: &Store) -> Result<u64, LogError> {
    let entry = store.read(|tx| journal::latest_of_kind(tx, "segment_closed", model.as_str()))?;
    let number = entry.and_then(|entry| match entry.fact {
        Fact::SegmentClosed { name, .. } => parse(&name).map(|(_, number)| number),
        _ => None,
    });
    Ok(number.unwrap_or_default())
}

/// The segments that the journal knows, in order, each with its digest.
#[expect(clippy::type_complexity, reason = "a map from place to what lies there")]
pub(super) fn recorded(
    model: &ModelName,
    dir: &Path,
    store: &Store,
) -> Result<BTreeMap<(u64, &'static str), (Segment, Digest)>, LogError> {
    let entries = store.read(|tx| journal::of_kind(tx, "segment_closed", Some(model.as_str())))?;
    let mut segments = BTreeMap::new();
    for entry in entries {
        let Fact::SegmentClosed { name, digest, predictions, labels, period, .. } = entry.fact else {
            continue;
        };
        let path = dir.join(&name);
        let Some((content, number)) = parse(&name) else {
            return Err(LogError::damaged(&path, "the journal names a segment that no gyre writes"));
        };
        let ids = ids(&path)?;
        let rows = predictions + labels;
        let segment = Segment { name, path, number, content, rows, period, ids };
        segments.insert((number, content.name()), (segment, digest));
    }
    Ok(segments)
}

/// The smallest and largest id, from the file's footer.
fn ids(path: &Path) -> Result<(String, String), LogError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(open(path)?)
        .map_err(|error| LogError::damaged(path, error))?;
    let notes = builder.metadata().file_metadata().key_value_metadata();
    let note = notes.and_then(|notes| notes.iter().find(|note| note.key == IDS)?.value.as_deref());
    note.and_then(|note| serde_json::from_str(note).ok())
        .ok_or_else(|| LogError::damaged(path, format!("its footer has no {IDS}")))
}

struct Files {
    wals: Vec<u64>,
    segments: Vec<(u64, String)>,
}

/// What lies in the folder, in order; what was being written when the process died is removed.
fn files(dir: &Path) -> Result<Files, LogError> {
    let failed = |error| LogError::io("read", dir, error);
    let mut files = Files { wals: Vec::new(), segments: Vec::new() };
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let Some(name) = name.to_str() else { continue };
        let wal = name.strip_prefix("wal-").and_then(|rest| rest.strip_suffix(".log")?.parse().ok());
        if let Some(number) = wal {
            files.wals.push(number);
        } else if let Some((_, number)) = parse(name) {
            files.segments.push((number, name.to_owned()));
        } else if parse(&name.replace(".tmp", ".parquet")).is_some() {
            remove(&dir.join(name))?;
        }
    }
    files.wals.sort_unstable();
    files.segments.sort_unstable();
    Ok(files)
}

fn parse(name: &str) -> Option<(Content, u64)> {
    let stem = name.strip_suffix(".parquet")?;
    let (content, number) = stem.rsplit_once('-')?;
    let content =
        [Content::Predictions, Content::Labels].into_iter().find(|known| known.name() == content)?;
    Some((content, number.parse().ok()?))
}
