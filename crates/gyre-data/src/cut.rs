//! The training cut: the rows that a model may learn from at a moment in event time.
//!
//! A row may be trained on only when its label was already known, or the model would be judged on knowledge that
//! nobody had. Of the rows that qualify some whole days are withheld, so that every later version can be held
//! against the same rows. The two files that come out are a function of the source and the question alone: the
//! same cut has the same digest on every machine, and so a pipeline that already ran on it need not run again.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::{Metadata, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use gyre_core::fact::DataVersion;
use gyre_core::spec::{Holdout, Window};
use gyre_core::time::Period;
use gyre_core::{Digest, Span, Timestamp};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::files::{FileError, Pending};
use crate::hash::{ContentHash, HashingWriter};
use crate::table::{Batch, Table, TableError};

/// Rows in a row group: bounds the writer's memory.
const ROW_GROUP: usize = 131_072;
/// zstd's own default level: what is cut is written once and read a few times.
const ZSTD_LEVEL: i32 = 3;

/// What to cut out of which file.
#[derive(Debug, Clone, Copy)]
pub struct CutSpec<'a> {
    /// The dataset's file: Parquet or CSV.
    pub source: &'a Path,
    /// The column with a row's event time.
    pub time: &'a str,
    /// The column that says when a row's label became known; without one, `expected_delay` after its time.
    pub label_time: Option<&'a str>,
    /// How long after a row its label is known, where no column says so.
    pub expected_delay: Span,
    /// The column with the label; rows without one are left out.
    pub target: &'a str,
    /// The column that is true, or 1, in rows that may be used; without one, all may. What is not used is not counted either.
    pub explored: Option<&'a str>,
    /// Now, in event time.
    pub as_of: Timestamp,
    /// How far back to reach: rows with `as_of − window <= time < as_of`.
    pub window: Window,
    /// Which days to withhold: the same ones in every cut, so that no version learns what another is judged on.
    pub holdout: Holdout,
    /// Whether what is withheld is in the training part too: for a version that was judged and is trained once more.
    pub refit: bool,
}

/// One of the two files of a cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where it is.
    pub path: PathBuf,
    /// Rows.
    pub rows: u64,
    /// From the first row's time to one millisecond after the last one's; none without rows.
    pub period: Option<Period>,
    /// Its content.
    pub hash: ContentHash,
}

impl Part {
    /// The fact that this data version exists, cut from the version with the digest `cut_from`.
    pub fn data_version(&self, dataset: &str, cut_from: Option<Digest>) -> DataVersion {
        DataVersion {
            dataset: dataset.to_owned(),
            digest: self.hash.sha256,
            md5: self.hash.md5.clone(),
            size: self.hash.size,
            rows: self.rows,
            period: self.period,
            cut_from,
        }
    }
}

/// A cut that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// What may be trained on.
    pub train: Part,
    /// What is withheld.
    pub holdout: Part,
    /// Rows of the window that were left out because their label was not known, or missing.
    pub unlabelled: u64,
}

/// Why a cut was not made; nothing was written then.
#[derive(Debug, thiserror::Error)]
pub enum CutError {
    /// The source cannot be read as asked.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A part cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A part cannot be encoded.
    #[error("{}: cannot be written as Parquet: {source}", path.display())]
    Encode {
        /// The part.
        path: PathBuf,
        /// What the encoder said.
        source: parquet::errors::ParquetError,
    },
    /// A holdout of every zeroth day.
    #[error("holdout.every is 0; expected 1 or more (4 withholds every fourth day)")]
    EveryZero,
    /// No row may be trained on.
    #[error(
        "{file}: no row to train on: of the {seen} rows with `{time}` {window}, {unlabelled} have no label known at \
         {as_of} and {withheld} are withheld"
    )]
    NoRows {
        /// The source.
        file: String,
        /// Its time column.
        time: String,
        /// The window, in words.
        window: String,
        /// Now.
        as_of: Timestamp,
        /// Rows in the window.
        seen: u64,
        /// Those without a label.
        unlabelled: u64,
        /// Those withheld.
        withheld: u64,
    },
}

/// Makes the cut `spec` and writes its parts to `train` and `holdout` as Parquet with zstd.
///
/// All columns are kept, rows stay in the source's order, the schema's metadata is dropped. Memory is bounded by
/// a row group, whatever the source's size.
///
/// # Errors
/// [`CutError`]; what was at the two paths before is then still there, unless the second could not take its name.
pub fn cut(spec: &CutSpec<'_>, train: &Path, holdout: &Path) -> Result<Cut, CutError> {
    if spec.holdout.every == 0 {
        return Err(CutError::EveryZero);
    }
    let table = Table::open(spec.source)?;
    let schema = Arc::new(Schema::new(plain_fields(table.schema())));
    let mut parts = (Writer::create(train, &schema)?, Writer::create(holdout, &schema)?);
    let mut counts = Counts::default();
    let file = table.file().to_owned();
    for batch in table {
        let chosen = choose(spec, &batch?, &mut counts)?;
        parts.0.write(&schema, &chosen.record, &chosen.train, &chosen.times)?;
        parts.1.write(&schema, &chosen.record, &chosen.holdout, &chosen.times)?;
    }
    if parts.0.rows == 0 {
        let window = match spec.window {
            Window::All => format!("before {}", spec.as_of),
            Window::Last(span) => format!("from {} to {}", spec.as_of - span, spec.as_of),
            Window::Fading(half_life) => {
                format!("before {}, half of those that are {half_life} old", spec.as_of)
            }
        };
        return Err(CutError::NoRows {
            file,
            time: spec.time.to_owned(),
            window,
            as_of: spec.as_of,
            seen: counts.seen,
            unlabelled: counts.unlabelled,
            withheld: parts.1.rows,
        });
    }
    // Both are complete before either takes its name.
    let (train, holdout) = (parts.0.close()?, parts.1.close()?);
    Ok(Cut { train: train.publish()?, holdout: holdout.publish()?, unlabelled: counts.unlabelled })
}

/// The rows of a batch that belong to each part.
struct Chosen {
    record: RecordBatch,
    times: Vec<Option<Timestamp>>,
    train: Vec<bool>,
    holdout: Vec<bool>,
}

/// What has gone by so far.
#[derive(Default)]
struct Counts {
    rows: u64,
    /// Of those, within reach of the window.
    seen: u64,
    /// Of those, without a label that is known.
    unlabelled: u64,
}

fn choose(spec: &CutSpec<'_>, batch: &Batch, counts: &mut Counts) -> Result<Chosen, TableError> {
    let times = batch.timestamps(spec.time)?;
    let unknown = batch.missing(spec.target)?;
    let known_at: Vec<Option<Timestamp>> = match spec.label_time {
        Some(column) => batch.timestamps(column)?,
        None => times.iter().map(|time| time.map(|time| time + spec.expected_delay)).collect(),
    };
    let explored = spec.explored.map(|column| batch.numbers(column)).transpose()?;
    let is_explored = |row: usize| {
        explored.as_ref().is_none_or(|explored| explored.get(row).copied().flatten() == Some(1.0))
    };
    let (mut train, mut holdout) = (vec![false; batch.rows()], vec![false; batch.rows()]);
    for (row, (time, known_at)) in times.iter().zip(&known_at).enumerate() {
        let reached = time.filter(|time| spec.window.reaches(*time, spec.as_of) && is_explored(row));
        let Some(time) = reached else { continue };
        counts.seen += 1;
        let label_known = known_at.is_some_and(|known_at| known_at <= spec.as_of);
        if !label_known || unknown.get(row).copied().unwrap_or(true) {
            counts.unlabelled += 1;
            continue;
        }
        let withheld = spec.holdout.withholds(time);
        if let Some(slot) = train.get_mut(row) {
            let number = counts.rows + row as u64;
            *slot = (!withheld || spec.refit) && spec.window.takes(time, number, spec.as_of);
        }
        if let Some(slot) = holdout.get_mut(row) {
            *slot = withheld;
        }
    }
    counts.rows += batch.rows() as u64;
    Ok(Chosen { record: batch.record().clone(), times, train, holdout })
}

/// The fields without the metadata that other tools left: it is a map without an order, and no data.
fn plain_fields(schema: &Schema) -> Vec<arrow_schema::Field> {
    schema.fields().iter().map(|field| field.as_ref().clone().with_metadata(Metadata::default())).collect()
}

struct Writer {
    pending: Pending,
    parquet: ArrowWriter<HashingWriter<File>>,
    rows: u64,
    period: Option<Period>,
}

/// A part that is complete but has no name yet.
struct Closed {
    pending: Pending,
    part: Part,
}

impl Writer {
    fn create(path: &Path, schema: &SchemaRef) -> Result<Self, CutError> {
        let encode = |source| CutError::Encode { path: path.to_path_buf(), source };
        let mut pending = Pending::create(path)?;
        let file = pending.file().try_clone().map_err(FileError::on("write", path))?;
        let level = ZstdLevel::try_new(ZSTD_LEVEL).map_err(encode)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_created_by("gyre".to_owned())
            .set_max_row_group_row_count(Some(ROW_GROUP))
            .build();
        let parquet = ArrowWriter::try_new(HashingWriter::new(file), Arc::clone(schema), Some(properties))
            .map_err(encode)?;
        Ok(Self { pending, parquet, rows: 0, period: None })
    }

    fn write(
        &mut self,
        schema: &SchemaRef,
        record: &RecordBatch,
        chosen: &[bool],
        times: &[Option<Timestamp>],
    ) -> Result<(), CutError> {
        for time in chosen.iter().zip(times).filter_map(|(chosen, time)| time.filter(|_| *chosen)) {
            let to = time + Span::from_millis(1);
            let period = self.period.get_or_insert(Period { from: time, to });
            *period = Period { from: period.from.min(time), to: period.to.max(to) };
            self.rows += 1;
        }
        let path = self.pending.target();
        let encode = |source| CutError::Encode { path: path.to_path_buf(), source };
        let mask = BooleanArray::from(chosen.to_vec());
        let plain = RecordBatch::try_new(Arc::clone(schema), record.columns().to_vec());
        let rows =
            plain.and_then(|plain| filter_record_batch(&plain, &mask)).map_err(|e| encode(e.into()))?;
        if rows.num_rows() > 0 { self.parquet.write(&rows).map_err(encode) } else { Ok(()) }
    }

    fn close(self) -> Result<Closed, CutError> {
        let path = self.pending.target().to_path_buf();
        let writer = match self.parquet.into_inner() {
            Ok(writer) => writer,
            Err(source) => return Err(CutError::Encode { path, source }),
        };
        let (hash, _) = writer.finish();
        let part = Part { path, rows: self.rows, period: self.period, hash };
        Ok(Closed { pending: self.pending, part })
    }
}

impl Closed {
    fn publish(self) -> Result<Part, FileError> {
        self.pending.publish()?;
        Ok(self.part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four rows a day through `days` days of March 2013, at 00:00, 06:00, 12:00, 18:00; known six hours later.
    fn source(days: u32) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let mut text = "id,at,known,y\n".to_owned();
        for day in 1..=days {
            for quarter in 0..4 {
                let row = (day - 1) * 4 + quarter;
                let hour = quarter * 6;
                let (known_day, known_hour) = if quarter == 3 { (day + 1, 0) } else { (day, hour + 6) };
                let label = if row % 10 == 9 { String::new() } else { format!("{row}.5") };
                text += &format!(
                    "{row},2013-03-{day:02}T{hour:02}:00:00,2013-03-{known_day:02}T{known_hour:02}:00:00,{label}\n"
                );
            }
        }
        std::fs::write(dir.path().join("source.csv"), text).unwrap();
        dir
    }

    fn spec<'a>(source: &'a Path, as_of: &str, window: Window) -> CutSpec<'a> {
        CutSpec {
            source,
            time: "at",
            label_time: Some("known"),
            expected_delay: Span::days(1),
            target: "y",
            explored: None,
            as_of: as_of.parse().unwrap(),
            window,
            holdout: Holdout { last: Span::days(8), every: 4 },
            refit: false,
        }
    }

    fn days_of(path: &Path) -> Vec<String> {
        let mut days = Vec::new();
        for batch in Table::open(path).unwrap() {
            days.extend(batch.unwrap().timestamps("at").unwrap().into_iter().map(|t| t.unwrap().date()));
        }
        days.dedup();
        days
    }

    #[test]
    fn only_known_labels_of_the_window_are_cut_and_every_fourth_day_is_withheld() {
        let dir = source(20);
        let (file, train, holdout) = (
            dir.path().join("source.csv"),
            dir.path().join("a/train.parquet"),
            dir.path().join("a/holdout.parquet"),
        );
        let cut = cut(&spec(&file, "2013-03-13T06:00:00Z", Window::Last(Span::days(10))), &train, &holdout)
            .unwrap();
        // In the window: 03-03T06 up to, without, 03-13T06: 40 rows, of them 4 without a label; the row of
        // 03-13T00 became known at 06:00 sharp and counts.
        assert_eq!((cut.train.rows + cut.holdout.rows, cut.unlabelled), (36, 4));
        // The days whose number since 1970 is divisible by four, whenever the cut is made.
        assert_eq!(days_of(&holdout), ["2013-03-04", "2013-03-08", "2013-03-12"]);
        assert!(!days_of(&train).contains(&"2013-03-12".to_owned()));
        let period = cut.train.period.unwrap();
        // The row of 06:00 has no label.
        assert_eq!(period.from.to_string(), "2013-03-03T12:00:00Z");
        assert!(period.contains("2013-03-13T00:00:00Z".parse().unwrap()));
        assert_eq!(cut.train.hash, crate::hash::hash_file(&train).unwrap());
        assert_eq!(cut.holdout.hash, crate::hash::hash_file(&holdout).unwrap());
    }

    #[test]
    fn what_is_trained_once_more_learns_from_the_withheld_days_too_and_they_stay_apart() {
        let dir = source(20);
        let (file, train, holdout) =
            (dir.path().join("source.csv"), dir.path().join("t.parquet"), dir.path().join("h.parquet"));
        let spec = spec(&file, "2013-03-13T06:00:00Z", Window::Last(Span::days(10)));
        let before = cut(&spec, &train, &holdout).unwrap();
        let again = cut(&CutSpec { refit: true, ..spec }, &train, &holdout).unwrap();
        assert_eq!(again.holdout, before.holdout, "the same rows, to the byte");
        assert_eq!((again.train.rows, again.unlabelled), (before.train.rows + before.holdout.rows, 4));
        assert!(days_of(&train).contains(&"2013-03-12".to_owned()));
    }

    #[test]
    fn a_label_that_comes_after_now_is_not_trained_on() {
        let dir = source(20);
        let (file, train, holdout) =
            (dir.path().join("source.csv"), dir.path().join("t.parquet"), dir.path().join("h.parquet"));
        let mut spec = spec(&file, "2013-03-12T05:59:59Z", Window::All);
        let by_column = cut(&spec, &train, &holdout).unwrap();
        assert_eq!(by_column.unlabelled, 4 + 1, "four without a label, one not yet known");
        spec.label_time = None;
        let by_delay = cut(&spec, &train, &holdout).unwrap();
        assert_eq!(by_delay.unlabelled, 4 + 4, "the last day's four rows wait a day for their labels");
    }

    #[test]
    fn only_rows_that_were_explored_are_used_where_a_column_says_which() {
        let dir = source(20);
        let (file, train, holdout) =
            (dir.path().join("source.csv"), dir.path().join("t.parquet"), dir.path().join("h.parquet"));
        // Of the ids one is 1.
        let spec = CutSpec { explored: Some("id"), ..spec(&file, "2013-03-20T00:00:00Z", Window::All) };
        let found = cut(&spec, &train, &holdout).unwrap();
        assert_eq!((found.train.rows, found.holdout.rows, found.unlabelled), (1, 0, 0));
        let wrong = CutSpec { explored: Some("at"), ..spec };
        assert!(cut(&wrong, &train, &holdout).unwrap_err().to_string().contains("`at`"));
    }

    #[test]
    fn the_same_cut_has_the_same_bytes() {
        let dir = source(20);
        let file = dir.path().join("source.csv");
        let spec = spec(&file, "2013-03-20T00:00:00Z", Window::All);
        let once = cut(&spec, &dir.path().join("1.parquet"), &dir.path().join("1h.parquet")).unwrap();
        let again = cut(&spec, &dir.path().join("2.parquet"), &dir.path().join("2h.parquet")).unwrap();
        assert_eq!(once.train.hash, again.train.hash);
        assert_eq!(once.holdout.hash, again.holdout.hash);
        // Pinned, so that a change of the writer that would make all cached pipelines run again is noticed.
        assert_eq!(once.train.hash.md5, "0f5be7c421ff6875ea584d7a7fc9b8c4");
    }

    #[test]
    fn nothing_to_train_on_says_why_and_leaves_the_old_files() {
        let dir = source(3);
        let (file, train, holdout) =
            (dir.path().join("source.csv"), dir.path().join("t.parquet"), dir.path().join("h.parquet"));
        std::fs::write(&train, "old").unwrap();
        let spec = spec(&file, "2014-01-01T00:00:00Z", Window::Last(Span::days(7)));
        let error = cut(&spec, &train, &holdout).unwrap_err().to_string();
        assert!(error.contains("of the 0 rows with `at` from 2013-12-25"), "{error}");
        assert_eq!(std::fs::read(&train).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "no temporary files stay");
    }

    #[test]
    fn wrong_columns_are_named() {
        let dir = source(3);
        let file = dir.path().join("source.csv");
        let mut spec = spec(&file, "2013-03-03T00:00:00Z", Window::All);
        spec.target = "Y";
        let error = cut(&spec, &dir.path().join("t"), &dir.path().join("h")).unwrap_err().to_string();
        assert!(error.contains("no column `Y`") && error.contains("did you mean `y`?"), "{error}");
    }
}
