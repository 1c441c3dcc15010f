//! A Parquet or CSV file as batches of labels.

use std::path::Path;
use std::sync::Arc;

use gyre_core::Timestamp;
use gyre_core::record::{Label, Value};
use gyre_data::table::Table;
use gyre_gateway::Brought;
use gyre_gateway::request::MAX_ID;

use crate::LabelsError;

/// Which columns hold what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// The prediction's id. Whole numbers are written out; in CSV it is text as it stands there, so that `007` stays `007`.
    pub id: String,
    /// What came true.
    pub label: String,
    /// When it became known; without it, when it is read.
    pub time: Option<String>,
}

/// An open file: an iterator over its labels, in the order of its rows, some thousands at a time.
#[derive(Debug)]
pub struct LabelFile {
    table: Table,
    columns: Columns,
    now: Timestamp,
}

/// Some rows of a source.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Part {
    /// Their labels.
    pub labels: Vec<Brought>,
    /// Rows that were read.
    pub rows: u64,
    /// Rows without a label: nothing has come true yet.
    pub unlabelled: u64,
}

impl LabelFile {
    /// Opens a file; `now` is when labels without a time of their own become known.
    ///
    /// # Errors
    /// [`LabelsError::Table`]: no table, or a column that is not there, with the nearest that is.
    pub fn open(path: &Path, columns: Columns, now: Timestamp) -> Result<Self, LabelsError> {
        let mut names = vec![columns.id.as_str(), columns.label.as_str()];
        names.extend(columns.time.as_deref());
        let table = Table::open_with_texts(path, &names, &[columns.id.as_str()])?;
        Ok(Self { table, columns, now })
    }
}

impl Iterator for LabelFile {
    type Item = Result<Part, LabelsError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match self.table.next()? {
            Ok(batch) => batch,
            Err(error) => return Some(Err(error.into())),
        };
        let read = || -> Result<Part, LabelsError> {
            let ids = batch.categories(&self.columns.id)?;
            let values = batch.values(&self.columns.label)?;
            let times = self.columns.time.as_deref().map(|time| batch.timestamps(time)).transpose()?;
            let mut part = Part { rows: ids.len() as u64, ..Part::default() };
            for (at, (id, value)) in ids.into_iter().zip(values).enumerate() {
                let time = times.as_ref().and_then(|times| times.get(at).copied().flatten());
                let row = batch.first_row() + at as u64;
                match (checked(self.table.file(), row, id, value)?, time) {
                    (None, _) => part.unlabelled += 1,
                    (Some(_), None) if times.is_some() => {
                        return Err(wrong(
                            self.table.file(),
                            row,
                            "it has a label and no time".to_owned(),
                            "a time in each row that has a label, or no column for it",
                        ));
                    }
                    (Some((id, value)), time) => part.labels.push(Brought {
                        label: Label { id, time: time.unwrap_or(self.now), value },
                        timed: time.is_some(),
                    }),
                }
            }
            Ok(part)
        };
        Some(read())
    }
}

/// The id and the label of a row; none when there is no label yet.
pub(crate) fn checked(
    place: &str,
    row: u64,
    id: Option<Arc<str>>,
    value: Value,
) -> Result<Option<(Arc<str>, Value)>, LabelsError> {
    if value == Value::Missing {
        return Ok(None);
    }
    match id {
        Some(id) if (1..=MAX_ID).contains(&id.len()) => Ok(Some((id, value))),
        Some(id) => Err(wrong(place, row, format!("an id of {} bytes", id.len()), "1 to 512")),
        None => Err(wrong(
            place,
            row,
            "a label without an id".to_owned(),
            "the id that the prediction was asked under",
        )),
    }
}

pub(crate) fn wrong(place: &str, row: u64, found: String, expected: &'static str) -> LabelsError {
    LabelsError::Row { place: place.to_owned(), row, found, expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, time: Option<&str>) -> Result<Vec<Part>, String> {
        let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let columns = Columns { id: "order".into(), label: "sold".into(), time: time.map(str::to_owned) };
        let opened = LabelFile::open(file.path(), columns, Timestamp::from_millis(9));
        opened.and_then(|file| file.collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn rows_become_labels_and_ids_stay_as_they_are() {
        let parts = read("order,sold,at,other\n007,1.5,1970-01-01T00:00:01Z,x\n8,,,y\n", Some("at")).unwrap();
        let label =
            Label { id: "007".into(), time: Timestamp::from_millis(1_000), value: Value::Number(1.5) };
        assert_eq!(parts, [Part { labels: vec![Brought { label, timed: true }], rows: 2, unlabelled: 1 }]);
        let untimed = read("order,sold\na,yes\n", None).unwrap();
        assert_eq!(untimed[0].labels[0].label.time, Timestamp::from_millis(9));
        assert!(!untimed[0].labels[0].timed);
    }

    #[test]
    fn what_cannot_be_a_label_is_named_with_its_row() {
        let told = read("order,sold\na,1\n,2\n", None).unwrap_err();
        assert!(told.contains(", row 2: a label without an id; expected"), "{told}");
        let told = read("order,sold,at\na,1,1970-01-01T00:00:01Z\nb,2,\n", Some("at")).unwrap_err();
        assert!(told.contains(", row 2: it has a label and no time"), "{told}");
        let told = read("ordr,sold\na,1\n", None).unwrap_err();
        assert!(told.contains("did you mean `ordr`?"), "{told}");
        let long = read(&format!("order,sold\n{},1\n", "x".repeat(600)), None).unwrap_err();
        assert!(long.contains("an id of 600 bytes"), "{long}");
    }
}
