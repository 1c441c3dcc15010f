//! CSV files as inputs: commas, quotes as in RFC 4180, a first line with the columns' names, UTF-8.
//!
//! A file is gone through once to find where records end, so that its parts can be read by several threads and a job
//! that goes on knows where; that takes a fraction of what reading the numbers does.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::StringBuilder;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use csv::{ByteRecord, ReaderBuilder};
use gyre_core::Diagnostic;
use gyre_data::files::FileError;
use gyre_runtime::{Column, Feature, FeatureKind};

use crate::cells::{self, Categories};
use crate::columns::Columns;
use crate::error::BatchError;
use crate::input::{CHUNK_ROWS, Chunk, Part, Place, expected, no_table, table};

/// Bytes from which a part ends with the next record, whatever its rows.
const PART_BYTES: u64 = 16 << 20;
const BUFFER: usize = 1 << 16;
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// An open CSV file.
pub(crate) struct Csv {
    path: PathBuf,
    names: Vec<String>,
}

impl Csv {
    pub(crate) fn open(path: &Path) -> Result<Self, BatchError> {
        let file = File::open(path).map_err(FileError::on("read", path))?;
        let mut reader = ReaderBuilder::new().has_headers(false).from_reader(BufReader::new(file));
        let mut head = ByteRecord::new();
        let found = reader.read_byte_record(&mut head).map_err(|error| no_table(path, "CSV", error))?;
        if !found {
            return Err(no_table(path, "CSV", "there is no line with the columns' names"));
        }
        let mut names = Vec::with_capacity(head.len());
        for (at, name) in head.iter().enumerate() {
            let name = std::str::from_utf8(name)
                .map_err(|_| no_table(path, "CSV", "its first line is not UTF-8"))?;
            let name = if at == 0 { name.trim_start_matches(BYTE_ORDER_MARK) } else { name };
            if names.iter().any(|known| known == name) {
                return Err(no_table(path, "CSV", format!("there are two columns `{name}`")));
            }
            names.push(name.to_owned());
        }
        Ok(Self { path: path.to_path_buf(), names })
    }

    /// The columns; what a feature holds is only known when it is read, and then said with its line.
    pub(crate) fn schema(&self, features: &[Feature]) -> SchemaRef {
        let kind = |name: &str| match features.iter().find(|feature| &*feature.name == name) {
            Some(Feature { kind: FeatureKind::Numeric, .. }) => DataType::Float64,
            Some(Feature { kind: FeatureKind::Integer, .. }) => DataType::Int64,
            Some(Feature { kind: FeatureKind::Text, .. }) | None => DataType::Utf8,
        };
        let field = |name: &String| Field::new(name.clone(), kind(name), true);
        Arc::new(Schema::new(self.names.iter().map(field).collect::<Vec<_>>()))
    }

    /// Goes through the file for the places where records end.
    pub(crate) fn parts(&self, part_rows: u64) -> Result<Vec<Part>, BatchError> {
        let failed = || FileError::on("read", &self.path);
        let mut file = File::open(&self.path).map_err(failed())?;
        let mut records = Records::default();
        let (mut parts, mut at, mut buffer) = (Vec::new(), 0_u64, vec![0; BUFFER]);
        let mut part = Part { first_row: 0, rows: 0, bytes: (0, 0), first_line: 1 };
        let mut head = true;
        loop {
            let read = file.read(&mut buffer).map_err(failed())?;
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            for byte in bytes {
                at += 1;
                if !records.ends_with(*byte) {
                    continue;
                }
                if head {
                    head = false;
                    part = Part { bytes: (at, 0), first_line: records.lines + 1, ..part };
                    continue;
                }
                part.rows += 1;
                if part.rows >= part_rows || at - part.bytes.0 >= PART_BYTES {
                    let next = part.first_row + part.rows;
                    part.bytes.1 = at - part.bytes.0;
                    parts.push(part);
                    part = Part { first_row: next, rows: 0, bytes: (at, 0), first_line: records.lines + 1 };
                }
            }
        }
        if head {
            part.bytes.0 = at;
        } else if records.begun {
            // The last record of a file need not end its line.
            part.rows += 1;
        }
        part.bytes.1 = at - part.bytes.0;
        if part.rows > 0 || parts.is_empty() {
            parts.push(part);
        }
        Ok(parts)
    }

    pub(crate) fn read(
        &self,
        part: &Part,
        columns: &Columns,
        features: &[Feature],
        seen: &mut Categories,
        each: &mut dyn FnMut(Chunk) -> Result<(), BatchError>,
    ) -> Result<(), BatchError> {
        let mut file = File::open(&self.path).map_err(FileError::on("read", &self.path))?;
        file.seek(SeekFrom::Start(part.bytes.0)).map_err(FileError::on("read", &self.path))?;
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(BUFFER)
            .from_reader(file.take(part.bytes.1));
        let mut record = ByteRecord::new();
        let mut done = 0;
        while done < part.rows {
            let rows = (part.rows - done).min(CHUNK_ROWS as u64) as usize;
            let place = Place::Csv { path: self.path.clone(), part: *part, first_record: done };
            let mut gathered = Gathered::new(columns, features, rows);
            for row in 0..rows {
                let found =
                    reader.read_byte_record(&mut record).map_err(|e| no_table(&self.path, "CSV", e))?;
                if !found {
                    return Err(no_table(&self.path, "CSV", "it became shorter while it was read"));
                }
                let taken = take(&record, columns, features, seen, &mut gathered);
                taken.map_err(|refused| self.refusal(&refused, &record, &place.of(row)))?;
            }
            let kept = gathered.kept.iter_mut().map(|texts| Arc::new(texts.finish()) as ArrayRef).collect();
            each(Chunk { features: table(&self.path, features, gathered.columns)?, kept, place })?;
            done += rows as u64;
        }
        Ok(())
    }

    /// What is wrong with a record, in words.
    fn refusal(&self, refused: &Refused, record: &ByteRecord, place: &str) -> BatchError {
        let file = self.path.display().to_string();
        let name = |column: &usize| self.names.get(*column).map_or("", String::as_str);
        BatchError::wrong(match refused {
            Refused::Width => {
                let (found, named) = (record.len(), self.names.len());
                let found = format!("{place}: {found} fields, and the first line names {named} columns");
                let help = "text with a comma or a line feed in it stands in double quotes";
                Diagnostic::new(file, found).help(help)
            }
            Refused::Encoding(column) => {
                let found = format!("{place}: column `{}` is not UTF-8", name(column));
                Diagnostic::new(file, found).help("convert the file to UTF-8")
            }
            Refused::Number(column, kind) => {
                let field = String::from_utf8_lossy(record.get(*column).unwrap_or_default());
                let shown: String = field.chars().take(80).collect();
                let found = format!("{place}, column `{}`: found `{shown}`", name(column));
                Diagnostic::new(file, found).expected(expected(*kind))
            }
        })
    }
}

/// Why a record was not taken.
enum Refused {
    /// It has more or fewer fields than the first line has names.
    Width,
    /// A field that is not UTF-8, by its column.
    Encoding(usize),
    /// A field that is no number, by its column, with what the model reads.
    Number(usize, FeatureKind),
}

/// Adds one record's fields to the columns.
fn take(
    record: &ByteRecord,
    columns: &Columns,
    features: &[Feature],
    seen: &mut Categories,
    into: &mut Gathered,
) -> Result<(), Refused> {
    if record.len() != columns.width {
        return Err(Refused::Width);
    }
    let text = |column: usize| {
        std::str::from_utf8(record.get(column).unwrap_or_default()).map_err(|_| Refused::Encoding(column))
    };
    for ((feature, column), values) in features.iter().zip(&columns.features).zip(&mut into.columns) {
        let field = text(*column)?;
        match values {
            Column::Numeric(numbers) => {
                numbers.push(cells::number(field).ok_or(Refused::Number(*column, feature.kind))?);
            }
            Column::Text(texts) => texts.push((!cells::is_missing(field)).then(|| seen.shared(field))),
        }
    }
    for (column, texts) in columns.kept.iter().zip(&mut into.kept) {
        match text(*column)? {
            "" => texts.append_null(),
            field => texts.append_value(field),
        }
    }
    Ok(())
}

/// The line on which a part's record begins; records are counted from zero.
pub(crate) fn line_of(path: &Path, part: &Part, record: u64) -> Option<u64> {
    let mut file = File::open(path).ok()?;
    file.seek(SeekFrom::Start(part.bytes.0)).ok()?;
    let (mut records, mut ended, mut begun) = (Records::default(), 0, false);
    for byte in BufReader::new(file).bytes() {
        let end = records.ends_with(byte.ok()?);
        if records.begun && !begun && ended == record {
            return Some(part.first_line + records.lines);
        }
        begun = records.begun;
        ended += u64::from(end);
    }
    None
}

/// Columns of a chunk as they grow.
struct Gathered {
    columns: Vec<Column>,
    kept: Vec<StringBuilder>,
}

impl Gathered {
    fn new(columns: &Columns, features: &[Feature], rows: usize) -> Self {
        let column = |feature: &Feature| match feature.kind {
            FeatureKind::Numeric | FeatureKind::Integer => Column::Numeric(Vec::with_capacity(rows)),
            FeatureKind::Text => Column::Text(Vec::with_capacity(rows)),
        };
        Self {
            columns: features.iter().map(column).collect(),
            kept: columns.kept.iter().map(|_| StringBuilder::with_capacity(rows, rows * 8)).collect(),
        }
    }
}

/// Finds the ends of records as the `csv` crate does: a quote counts at the beginning of a field, and within such a
/// field until the next; empty lines are none; a lone carriage return ends a line too.
#[derive(Default)]
struct Records {
    state: State,
    /// Lines that ended.
    lines: u64,
    /// Whether a record has begun and not ended.
    begun: bool,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    FieldStart,
    Plain,
    Quoted,
    /// After a quote within a quoted field: the end of it, or the first of two.
    QuoteInQuoted,
}

impl Records {
    /// Takes the next byte; whether a record ends with it.
    fn ends_with(&mut self, byte: u8) -> bool {
        if byte == b'\n' {
            self.lines += 1;
        }
        match (self.state, byte) {
            (State::Quoted, b'"') => self.state = State::QuoteInQuoted,
            (State::Quoted, _) => {}
            (State::QuoteInQuoted, b'"') => self.state = State::Quoted,
            (_, b'\n' | b'\r') => {
                self.state = State::FieldStart;
                return std::mem::take(&mut self.begun);
            }
            (_, b',') => {
                self.state = State::FieldStart;
                self.begun = true;
            }
            (State::FieldStart, b'"') => {
                self.state = State::Quoted;
                self.begun = true;
            }
            (State::FieldStart | State::Plain | State::QuoteInQuoted, _) => {
                self.state = State::Plain;
                self.begun = true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::Kept;

    fn chunks(text: &str, part_rows: u64) -> (Vec<Part>, Vec<f64>, Vec<String>, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        std::fs::write(&path, text).unwrap();
        let csv = Csv::open(&path).unwrap();
        let features = [Feature { name: "x".into(), kind: FeatureKind::Numeric }];
        let kept = Kept::Columns(vec!["who".to_owned()]);
        let columns = Columns::find("t.csv", &csv.schema(&features), &features, &kept).unwrap();
        let parts = csv.parts(part_rows).unwrap();
        let (mut numbers, mut all_lines, mut who) = (Vec::new(), Vec::new(), Vec::new());
        for part in &parts {
            let mut each = |chunk: Chunk| {
                if let Some(Column::Numeric(values)) = chunk.features.column("x") {
                    numbers.extend(values);
                    all_lines.extend((0..values.len()).map(|row| chunk.place.of(row)));
                }
                let texts: &arrow_array::StringArray =
                    arrow_array::cast::AsArray::as_string::<i32>(&chunk.kept[0]);
                who.extend(texts.iter().map(|text| text.unwrap_or("-").to_owned()));
                Ok(())
            };
            csv.read(part, &columns, &features, &mut Categories::default(), &mut each).unwrap();
        }
        (parts, numbers, all_lines, who)
    }

    #[test]
    fn however_small_the_parts_the_rows_are_the_same() {
        let text = "\u{feff}who,x\r\n\"a, \"\"b\"\"\nc\",1\r\n\r\n,2\n007,3\n5\" pipe,4\nlast,5";
        for part_rows in [1, 2, 1_000] {
            let (parts, numbers, lines, who) = chunks(text, part_rows);
            assert_eq!(numbers, [1.0, 2.0, 3.0, 4.0, 5.0], "{parts:?}");
            assert_eq!(lines, ["line 2", "line 5", "line 6", "line 7", "line 8"], "{parts:?}");
            assert_eq!(who, ["a, \"b\"\nc", "-", "007", "5\" pipe", "last"]);
            let total: u64 = parts.iter().map(|part| part.bytes.1).sum();
            assert_eq!(parts[0].bytes.0 + total, text.len() as u64);
        }
        assert_eq!(chunks(text, 1).0.len(), 5);
    }

    #[test]
    fn a_file_with_names_alone_has_one_part_without_rows() {
        for text in ["who,x", "who,x\n", "who,x\n\n\n"] {
            let (parts, numbers, ..) = chunks(text, 100);
            assert_eq!((parts.len(), parts[0].rows, numbers.len()), (1, 0, 0), "{text:?}");
        }
    }
}
