//! Rows as MLflow's clients write them, and how they become a request.
//!
//! pandas does not know beforehand what a column holds; the signature does. So cells are kept as they are written until
//! the signature says which feature each column is, and what is wrong is told with the row and the column.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use gyre_core::Timestamp;
use gyre_core::record::{Kind, Signature};
use gyre_gateway::{Headers, Input, Request};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

/// Rows in a request, as in the other protocol.
const MOST_ROWS: usize = 20_000;

/// Cells of rows that are written by name: a value that a row does not have takes room all the same.
const MOST_CELLS: usize = 4_000_000;

/// The body of `POST /invocations`: one of the four, and what a model may be told besides.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Invocation {
    #[serde(default)]
    dataframe_split: Option<Split>,
    #[serde(default)]
    dataframe_records: Option<Vec<Record>>,
    #[serde(default)]
    instances: Option<Rows>,
    #[serde(default)]
    inputs: Option<Inputs>,
    /// Models of this kind take none; MLflow's clients send an empty one.
    #[serde(default, rename = "params")]
    _params: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Split {
    #[serde(default)]
    columns: Option<Vec<String>>,
    data: Vec<Vec<Cell>>,
    #[serde(default, rename = "index")]
    _index: Option<serde::de::IgnoredAny>,
}

type Record = HashMap<String, Cell>;

/// Rows by name, rows by place, or the values of the only feature.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Rows {
    Records(Vec<Record>),
    Matrix(Vec<Vec<Cell>>),
    Column(Vec<Cell>),
}

/// Columns by name, or rows.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Inputs {
    Columns(HashMap<String, Column>),
    Rows(Rows),
}

/// One value a row; rows of one value count as values.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Column {
    Flat(Vec<Cell>),
    Nested(Vec<[Cell; 1]>),
}

/// One value as it is written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Nothing,
    Number(f64),
    Text(Arc<str>),
}

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;
        impl Visitor<'_> for One {
            type Value = Cell;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, text, true, false or null")
            }
            fn visit_unit<E: Error>(self) -> Result<Cell, E> {
                Ok(Cell::Nothing)
            }
            fn visit_bool<E: Error>(self, truth: bool) -> Result<Cell, E> {
                Ok(Cell::Number(f64::from(u8::from(truth))))
            }
            fn visit_f64<E: Error>(self, number: f64) -> Result<Cell, E> {
                Ok(Cell::Number(number))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Cell, E> {
                Ok(Cell::Number(number as f64))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Cell, E> {
                Ok(Cell::Number(number as f64))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Cell, E> {
                Ok(Cell::Text(text.into()))
            }
        }
        deserializer.deserialize_any(One)
    }
}

/// What is wrong with the rows, before any model has seen them.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum FrameError {
    #[error(
        "the body holds {0} of `dataframe_split`, `dataframe_records`, `instances` and `inputs`; send exactly one of them"
    )]
    Forms(usize),
    #[error("row {row} has {found} values, expected {expected}")]
    Width { row: usize, found: usize, expected: usize },
    #[error("column `{0}` is there twice")]
    Twice(String),
    #[error("column `{column}` has {found} values, the others have {expected}")]
    Length { column: String, found: usize, expected: usize },
    #[error("row {row}, column `{column}`: {found} is text, and the model takes a number")]
    NotNumber { row: usize, column: String, found: String },
    #[error("row {row}, column `{column}`: {found} is a number, and the model takes text")]
    NotText { row: usize, column: String, found: f64 },
    #[error("row {row}: the id in column `{column}` is missing")]
    Id { row: usize, column: String },
    #[error(
        "{rows} rows with {columns} different columns between them; send rows that have the same columns"
    )]
    Cells { rows: usize, columns: usize },
    #[error("{0} rows; send at most {MOST_ROWS} in one request, so that the others need not wait for it")]
    Rows(usize),
    #[error("the CSV cannot be read: {0}")]
    Csv(String),
}

/// Columns with their cells.
#[derive(Debug, PartialEq)]
pub(super) struct Frame {
    rows: usize,
    columns: Vec<(String, Vec<Cell>)>,
}

impl Invocation {
    /// The rows; `signature` names columns that come without names.
    pub(super) fn into_frame(self, signature: &Signature) -> Result<Frame, FrameError> {
        let Self { dataframe_split, dataframe_records, instances, inputs, .. } = self;
        match (dataframe_split, dataframe_records, instances, inputs) {
            (Some(Split { columns, data, .. }), None, None, None) => {
                Frame::of_rows(columns.unwrap_or_else(|| names(signature)), data)
            }
            (None, Some(records), None, None) => Frame::of_records(records),
            (None, None, Some(rows), None) | (None, None, None, Some(Inputs::Rows(rows))) => match rows {
                Rows::Records(records) => Frame::of_records(records),
                Rows::Matrix(rows) => Frame::of_rows(names(signature), rows),
                Rows::Column(cells) => {
                    Frame::of_rows(names(signature), cells.into_iter().map(|cell| vec![cell]).collect())
                }
            },
            (None, None, None, Some(Inputs::Columns(columns))) => Frame::of_columns(columns),
            (split, records, instances, inputs) => {
                let there = [split.is_some(), records.is_some(), instances.is_some(), inputs.is_some()];
                Err(FrameError::Forms(there.into_iter().filter(|there| *there).count()))
            }
        }
    }
}

fn names(signature: &Signature) -> Vec<String> {
    signature.inputs.iter().map(|field| field.name.clone()).collect()
}

impl Frame {
    fn of_rows(names: Vec<String>, data: Vec<Vec<Cell>>) -> Result<Self, FrameError> {
        let (rows, expected) = (data.len(), names.len());
        let mut columns: Vec<(String, Vec<Cell>)> =
            names.into_iter().map(|name| (name, Vec::with_capacity(rows))).collect();
        for (row, cells) in data.into_iter().enumerate() {
            if cells.len() != expected {
                return Err(FrameError::Width { row, found: cells.len(), expected });
            }
            columns.iter_mut().zip(cells).for_each(|((_, column), cell)| column.push(cell));
        }
        Ok(Self { rows, columns })
    }

    /// A value that a row does not have is missing, as pandas has it.
    fn of_records(records: Vec<Record>) -> Result<Self, FrameError> {
        let rows = records.len();
        if rows > MOST_ROWS {
            return Err(FrameError::Rows(rows));
        }
        let mut columns: HashMap<String, Vec<Cell>> = HashMap::new();
        for (row, record) in records.into_iter().enumerate() {
            for (name, cell) in record {
                // Before there is room for it: each new column takes room for all rows.
                if !columns.contains_key(&name) && (columns.len() + 1).saturating_mul(rows) > MOST_CELLS {
                    return Err(FrameError::Cells { rows, columns: columns.len() + 1 });
                }
                let column = columns.entry(name).or_default();
                column.resize(row, Cell::Nothing);
                column.push(cell);
            }
        }
        columns.values_mut().for_each(|column| column.resize(rows, Cell::Nothing));
        let mut columns: Vec<_> = columns.into_iter().collect();
        columns.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(Self { rows, columns })
    }

    fn of_columns(columns: HashMap<String, Column>) -> Result<Self, FrameError> {
        let flat = |column| match column {
            Column::Flat(cells) => cells,
            Column::Nested(rows) => rows.into_iter().flatten().collect(),
        };
        let mut columns: Vec<(String, Vec<Cell>)> =
            columns.into_iter().map(|(name, column)| (name, flat(column))).collect();
        columns.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let rows = columns.first().map_or(0, |(_, cells)| cells.len());
        match columns.iter().find(|(_, cells)| cells.len() != rows) {
            None => Ok(Self { rows, columns }),
            Some((column, cells)) => {
                Err(FrameError::Length { column: column.clone(), found: cells.len(), expected: rows })
            }
        }
    }

    /// Rows of a CSV with a head. What a cell is the signature says; where it says nothing, a number is a number.
    pub(super) fn from_csv(body: &[u8], signature: &Signature) -> Result<Self, FrameError> {
        let told = |error: csv::Error| FrameError::Csv(error.to_string());
        let mut reader = csv::Reader::from_reader(body);
        let names: Vec<String> = reader.headers().map_err(told)?.iter().map(str::to_owned).collect();
        let kinds: Vec<Option<Kind>> = names.iter().map(|name| kind(signature, name)).collect();
        let mut data = Vec::new();
        for record in reader.records() {
            let record = record.map_err(told)?;
            let cell = |(text, kind): (&str, &Option<Kind>)| match (text, kind) {
                ("", _) => Cell::Nothing,
                (text, Some(Kind::Text)) => Cell::Text(text.into()),
                // Words for infinity and NaN are text: they are no numbers that a model could use.
                (text, _) => match text.trim().parse::<f64>() {
                    Ok(number) if number.is_finite() => Cell::Number(number),
                    _ => Cell::Text(text.into()),
                },
            };
            data.push(record.iter().zip(&kinds).map(cell).collect());
            if data.len() > MOST_ROWS {
                return Err(FrameError::Rows(data.len()));
            }
        }
        Self::of_rows(names, data)
    }

    /// The gateway's request. The column `key`, when there is one that is no feature, holds the ids.
    pub(super) fn into_request(
        self,
        signature: &Signature,
        key: Option<&str>,
        id: &str,
        time: Timestamp,
    ) -> Result<Request, FrameError> {
        let Self { rows, columns } = self;
        if rows > MOST_ROWS {
            return Err(FrameError::Rows(rows));
        }
        let (mut ids, mut inputs) = (None, Vec::with_capacity(columns.len()));
        let mut names = HashSet::with_capacity(columns.len());
        for (name, cells) in columns {
            if !names.insert(name.clone()) {
                return Err(FrameError::Twice(name));
            }
            let kind = kind(signature, &name);
            if ids.is_none() && kind.is_none() && Some(name.as_str()) == key {
                ids = Some(into_ids(&name, cells)?);
                continue;
            }
            let first = |cell: &Cell| matches!(cell, Cell::Text(_));
            let kind =
                kind.unwrap_or_else(|| if cells.iter().any(first) { Kind::Text } else { Kind::Number });
            inputs.push(into_input(name, kind, cells)?);
        }
        let ids = ids.unwrap_or_else(|| match rows {
            1 => vec![Arc::from(id)],
            rows => (0..rows).map(|row| format!("{id}.{row}").into()).collect(),
        });
        Ok(Request { ids, key: None, time, inputs, headers: Headers::new() })
    }
}

fn kind(signature: &Signature, name: &str) -> Option<Kind> {
    signature.inputs.iter().find(|field| field.name == name).map(|field| field.kind)
}

fn into_ids(column: &str, cells: Vec<Cell>) -> Result<Vec<Arc<str>>, FrameError> {
    let id = |(row, cell): (usize, Cell)| match cell {
        Cell::Text(text) => Ok(text),
        Cell::Number(number) => Ok(number.to_string().into()),
        Cell::Nothing => Err(FrameError::Id { row, column: column.to_owned() }),
    };
    cells.into_iter().enumerate().map(id).collect()
}

fn into_input(name: String, kind: Kind, cells: Vec<Cell>) -> Result<Input, FrameError> {
    let column = name.clone();
    match kind {
        Kind::Number => {
            let number = |(row, cell): (usize, Cell)| match cell {
                Cell::Number(number) => Ok(Some(number)),
                Cell::Nothing => Ok(None),
                Cell::Text(text) => {
                    let found = text.chars().take(40).collect();
                    Err(FrameError::NotNumber { row, column: column.clone(), found })
                }
            };
            let numbers = cells.into_iter().enumerate().map(number).collect::<Result<Vec<_>, _>>()?;
            Ok(Input::optional_numbers(name, &numbers))
        }
        Kind::Text => {
            let text = |(row, cell): (usize, Cell)| match cell {
                Cell::Text(text) => Ok(Some(text)),
                Cell::Nothing => Ok(None),
                Cell::Number(found) => Err(FrameError::NotText { row, column: column.clone(), found }),
            };
            Ok(Input::texts(name, cells.into_iter().enumerate().map(text).collect::<Result<_, _>>()?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gyre_core::record::Field;
    use gyre_gateway::Column as Values;

    fn signature() -> Signature {
        let field = |name: &str, kind| Field { name: name.to_owned(), kind };
        let inputs = vec![field("miles", Kind::Number), field("carrier", Kind::Text)];
        Signature { inputs, output: "minutes".into(), classes: vec![] }
    }

    fn request(frame: Result<Frame, FrameError>) -> Result<Request, String> {
        let asked = frame
            .and_then(|frame| frame.into_request(&signature(), Some("flight"), "r", Timestamp::default()));
        asked.map_err(|error| error.to_string())
    }

    fn json(text: &str) -> Result<Request, String> {
        let asked: Invocation = serde_json::from_str(text).map_err(|error| error.to_string())?;
        request(asked.into_frame(&signature()))
    }

    fn shown(request: &Request) -> Vec<(String, String)> {
        let mut inputs: Vec<_> = request
            .inputs
            .iter()
            .map(|input| match &input.values {
                Values::Numeric(numbers) => (input.name.to_string(), format!("{numbers:?}")),
                Values::Text(texts) => {
                    let texts: Vec<&str> = texts.iter().map(|text| text.as_deref().unwrap_or("-")).collect();
                    (input.name.to_string(), texts.join(","))
                }
            })
            .collect();
        inputs.sort();
        inputs
    }

    #[test]
    fn every_form_says_the_same() {
        let expected =
            [("carrier".to_owned(), "UA,-".to_owned()), ("miles".to_owned(), "[1.0, NaN]".to_owned())];
        for text in [
            r#"{"dataframe_split": {"columns": ["carrier", "miles"], "index": [0, 1], "data": [["UA", 1], [null, null]]}}"#,
            r#"{"dataframe_split": {"data": [[1, "UA"], [null, null]]}}"#,
            r#"{"dataframe_records": [{"carrier": "UA", "miles": 1}, {"carrier": null}], "params": {}}"#,
            r#"{"instances": [{"carrier": "UA", "miles": 1.0}, {}]}"#,
            r#"{"instances": [[1, "UA"], [null, null]]}"#,
            r#"{"inputs": {"carrier": ["UA", null], "miles": [[1], [null]]}}"#,
            r#"{"inputs": [[1, "UA"], [null, null]]}"#,
        ] {
            let request = json(text).unwrap_or_else(|told| panic!("{text}: {told}"));
            assert_eq!(shown(&request), expected, "{text}");
            assert_eq!(request.ids, ["r.0".into(), "r.1".into()], "{text}");
        }
        let csv = request(Frame::from_csv(b"carrier,miles\nUA,1\n,\n", &signature())).unwrap();
        assert_eq!(shown(&csv), expected);
    }

    #[test]
    fn the_key_of_the_labels_names_the_rows() {
        let asked = json(r#"{"dataframe_records": [{"flight": "a", "miles": 1, "carrier": "UA"}]}"#).unwrap();
        assert_eq!((asked.ids, asked.inputs.len()), (vec!["a".into()], 2));
        let csv = request(Frame::from_csv(b"flight,miles,carrier\n17,1,UA\n", &signature())).unwrap();
        assert_eq!(csv.ids, ["17".into()]);
        let told =
            json(r#"{"dataframe_records": [{"flight": null, "miles": 1, "carrier": "UA"}]}"#).unwrap_err();
        assert_eq!(told, "row 0: the id in column `flight` is missing");
    }

    #[test]
    fn each_mistake_is_told() {
        for (text, expected) in [
            (r#"{}"#, "the body holds 0 of"),
            (r#"{"instances": [], "inputs": []}"#, "the body holds 2 of"),
            (r#"{"instance": []}"#, "unknown field `instance`"),
            (
                r#"{"dataframe_split": {"columns": ["miles"], "data": [[1], [1, 2]]}}"#,
                "row 1 has 2 values, expected 1",
            ),
            (
                r#"{"dataframe_split": {"columns": ["miles", "miles"], "data": [[1, 2]]}}"#,
                "`miles` is there twice",
            ),
            (
                r#"{"inputs": {"miles": [1], "carrier": ["UA", "AA"]}}"#,
                "column `miles` has 1 values, the others have 2",
            ),
            (
                r#"{"instances": [{"miles": "far", "carrier": "UA"}]}"#,
                "column `miles`: far is text, and the model takes a number",
            ),
            (
                r#"{"instances": [{"miles": 1, "carrier": 7}]}"#,
                "column `carrier`: 7 is a number, and the model takes text",
            ),
        ] {
            let told = json(text).unwrap_err();
            assert!(told.contains(expected), "{text}: {told}");
        }
        let rows: Vec<String> = (0..3_000).map(|row| format!(r#"{{"c{row}": 1}}"#)).collect();
        let told = json(&format!(r#"{{"instances": [{}]}}"#, rows.join(","))).unwrap_err();
        assert!(told.contains("rows that have the same columns"), "{told}");
        let csv = |body: &[u8]| request(Frame::from_csv(body, &signature())).unwrap_err();
        assert!(csv(b"miles,carrier\ninf,UA\n").contains("inf is text"));
        assert!(csv(b"miles,carrier\n1\n").contains("cannot be read"));
    }
}
