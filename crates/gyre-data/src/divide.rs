//! One table as several: the rows of each of some values of a column, each in a file of its own, so that whatever looks at tables can
//! look at segments. What is not written yet is bounded for all files together.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::BooleanArray;
use arrow_select::filter::filter_record_batch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::cut::CutError;
use crate::files::FileError;
use crate::table::{Table, TableError};

/// Bytes that all parts together hold in memory before they are written.
const MOST_HELD: usize = 64 << 20;

/// More different values divide nothing.
const MOST_COUNTED: usize = 100_000;

/// Values of a column and how many rows have each.
#[derive(Debug, Clone, PartialEq)]
pub struct Frequent {
    /// The most frequent ones first; of equals the smaller one.
    pub values: Vec<(String, u64)>,
    /// How many other values there are.
    pub others: usize,
}

/// The `most` most frequent values of a column of names or whole numbers; missing ones are none. None where there are more than 100,000.
///
/// # Errors
/// [`TableError`], also when there is no such column.
pub fn frequent(path: &Path, column: &str, most: usize) -> Result<Option<Frequent>, TableError> {
    let mut counts: HashMap<Arc<str>, u64> = HashMap::new();
    for batch in Table::open_projected(path, &[column])? {
        for value in batch?.categories(column)?.into_iter().flatten() {
            *counts.entry(value).or_default() += 1;
        }
        if counts.len() > MOST_COUNTED {
            return Ok(None);
        }
    }
    let mut values: Vec<(String, u64)> =
        counts.into_iter().map(|(value, rows)| (value.to_string(), rows)).collect();
    values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let others = values.len().saturating_sub(most);
    values.truncate(most);
    Ok(Some(Frequent { values, others }))
}

/// The rows of one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The value.
    pub value: String,
    /// A Parquet file of them.
    pub path: PathBuf,
    /// How many.
    pub rows: u64,
}

/// Writes the rows of each of `values` of `column` into a Parquet file of its own in `folder`, called `NAME-0.parquet` and so on: all columns,
/// or those of `wanted` that there are. Rows of other values are passed over.
///
/// # Errors
/// [`CutError`].
pub fn divide(
    path: &Path,
    (column, values): (&str, &[String]),
    wanted: Option<&[String]>,
    (folder, name): (&Path, &str),
) -> Result<Vec<Segment>, CutError> {
    let mut table = Table::open(path)?;
    if let Some(wanted) = wanted {
        let all = table.columns();
        let there = all.iter().map(|of| of.name.as_str());
        let there: Vec<&str> =
            there.filter(|name| *name == column || wanted.iter().any(|wanted| wanted == name)).collect();
        table = Table::open_projected(path, &there)?;
    }
    let schema = Arc::clone(table.schema());
    let encode = |path: &Path| {
        let path = path.to_path_buf();
        move |source| CutError::Encode { path, source }
    };
    let mut parts = Vec::new();
    for (at, value) in values.iter().enumerate() {
        let path = folder.join(format!("{name}-{at}.parquet"));
        let file = File::create(&path).map_err(FileError::on("write", &path))?;
        let level = ZstdLevel::try_new(1).map_err(encode(&path))?;
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
        let writer =
            ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties)).map_err(encode(&path))?;
        parts.push((Segment { value: value.clone(), path, rows: 0 }, writer));
    }
    for batch in table {
        let batch = batch?;
        let of = batch.categories(column)?;
        for (segment, writer) in &mut parts {
            let chosen: Vec<bool> =
                of.iter().map(|value| value.as_deref() == Some(segment.value.as_str())).collect();
            let count = chosen.iter().filter(|chosen| **chosen).count();
            if count == 0 {
                continue;
            }
            let failed = encode(&segment.path);
            let rows = filter_record_batch(batch.record(), &BooleanArray::from(chosen));
            rows.map_err(Into::into).and_then(|rows| writer.write(&rows)).map_err(failed)?;
            segment.rows += count as u64;
        }
        let held: usize = parts.iter().map(|(_, writer)| writer.in_progress_size()).sum();
        if held > MOST_HELD {
            for (segment, writer) in &mut parts {
                writer.flush().map_err(encode(&segment.path))?;
            }
        }
    }
    let close = |(segment, writer): (Segment, ArrowWriter<File>)| match writer.close() {
        Ok(_) => Ok(segment),
        Err(source) => Err(CutError::Encode { path: segment.path, source }),
    };
    parts.into_iter().map(close).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_numbers_the_rows_divides_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source.csv");
        let rows: String = (0..120_000).map(|row| format!("{row}\n")).collect();
        std::fs::write(&source, format!("id\n{rows}")).unwrap();
        assert_eq!(frequent(&source, "id", 20).unwrap(), None);
    }

    #[test]
    fn each_value_gets_its_rows_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source.csv");
        let mut text = "region,x\n".to_owned();
        for row in 0..90 {
            text += &format!("{},{row}\n", ["north", "south", ""][row % 3]);
        }
        std::fs::write(&source, text).unwrap();
        let found = frequent(&source, "region", 1).unwrap().unwrap();
        assert_eq!((found.values, found.others), (vec![("north".to_owned(), 30)], 1));
        let values = ["south".to_owned(), "west".to_owned()];
        let by = ("region", values.as_slice());
        let parts = divide(&source, by, None, (dir.path(), "part")).unwrap();
        assert_eq!(parts.iter().map(|part| part.rows).collect::<Vec<_>>(), [30, 0]);
        let rows = |part: &Segment| -> Vec<Option<f64>> {
            let table = Table::open(&part.path).unwrap();
            table.flat_map(|batch| batch.unwrap().numbers("x").unwrap()).collect()
        };
        let south = rows(&parts[0]);
        assert!(south.len() == 30 && south.iter().all(|x| x.is_some_and(|x| x as u32 % 3 == 1)), "{south:?}");
        assert_eq!(rows(&parts[1]), []);
        let some = divide(&source, by, Some(&["y".to_owned()]), (dir.path(), "some")).unwrap();
        let columns = Table::open(&some[0].path).unwrap().columns();
        assert_eq!(columns.into_iter().map(|of| of.name).collect::<Vec<_>>(), ["region"]);
        assert!(frequent(&source, "regoin", 5).unwrap_err().to_string().contains("regoin"));
    }
}
