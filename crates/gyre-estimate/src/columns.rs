//! A table as it is stored: JSON has no NaN, so missing numbers become null; and a column of categories is a list of names
//! with numbers into it.

use std::collections::HashMap;
use std::sync::Arc;

use gyre_runtime::{Column, Table};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stored {
    Numbers(Vec<Option<f64>>),
    Categories { names: Vec<Arc<str>>, rows: Vec<Option<u32>> },
}

/// Infinities become the largest numbers, which trees of 32-bit thresholds cannot tell from them.
fn stored(column: &Column) -> Stored {
    match column {
        Column::Numeric(values) => {
            let number = |value: &f64| (!value.is_nan()).then(|| value.clamp(f64::MIN, f64::MAX));
            Stored::Numbers(values.iter().map(number).collect())
        }
        Column::Text(values) => {
            let mut names: Vec<Arc<str>> = Vec::new();
            let mut numbers: HashMap<Arc<str>, u32> = HashMap::new();
            let mut number = |name: &Arc<str>| {
                *numbers.entry(Arc::clone(name)).or_insert_with(|| {
                    names.push(Arc::clone(name));
                    names.len() as u32 - 1
                })
            };
            let rows = values.iter().map(|value| value.as_ref().map(&mut number)).collect();
            Stored::Categories { names, rows }
        }
    }
}

fn restored(column: Stored) -> Result<Column, String> {
    match column {
        Stored::Numbers(values) => {
            Ok(Column::Numeric(values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect()))
        }
        Stored::Categories { names, rows } => {
            let name = |row: Option<u32>| match row {
                None => Ok(None),
                Some(number) => match names.get(number as usize) {
                    Some(name) => Ok(Some(Arc::clone(name))),
                    None => Err(format!("category {number} of {}", names.len())),
                },
            };
            Ok(Column::Text(rows.into_iter().map(name).collect::<Result<_, _>>()?))
        }
    }
}

pub(crate) fn serialize<S: Serializer>(table: &Table, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(table.columns().iter().map(|(name, column)| (name.as_str(), stored(column))))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Table, D::Error> {
    let columns: Vec<(String, Stored)> = Deserialize::deserialize(deserializer)?;
    let restored = |(name, column)| restored(column).map(|column| (name, column));
    let columns: Vec<(String, Column)> =
        columns.into_iter().map(restored).collect::<Result<_, _>>().map_err(D::Error::custom)?;
    Table::new(columns).map_err(D::Error::custom)
}
