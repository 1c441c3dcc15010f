//! CSV files as inputs: commas, quotes as in RFC 4180, a first line with the columns' names, UTF-8.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::csv::ByteRecord;
use arrow_array::ArrayRef;
use arrow_array::builder::StringBuilder;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use gyre_core::Diagnostic;
use gyre_data::parts::{Part, csv};
use gyre_runtime::{Column, Feature, FeatureKind};

use crate::cells::{self, Categories};
use crate::columns::Columns;
use crate::error::BatchError;
use crate::input::{CHUNK_ROWS, Chunk, Place, expected, no_table, table, unreadable};

/// An open CSV file.
pub(crate) struct Csv {
    path: PathBuf,
    names: Vec<String>,
}

impl Csv {
    pub(crate) fn open(path: &Path) -> Result<Self, BatchError> {
        let names = csv::names(path).map_err(|error| unreadable(path, "CSV", error))?;
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

    /// The places where records end.
    pub(crate) fn parts(&self, part_rows: u64) -> Result<Vec<Part>, BatchError> {
        Ok(csv::parts(&self.path, part_rows)?)
    }

    pub(crate) fn read(
        &self,
        part: &Part,
        columns: &Columns,
        features: &[Feature],
        seen: &mut Categories,
        each: &mut dyn FnMut(Chunk) -> Result<(), BatchError>,
    ) -> Result<(), BatchError> {
        let mut reader = csv::read(&self.path, part)?;
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
            Column::Text(texts) => texts.push((!csv::is_missing(field)).then(|| seen.shared(field))),
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
