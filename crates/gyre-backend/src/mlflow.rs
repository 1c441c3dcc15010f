//! MLflow's scoring protocol: rows out as `dataframe_split`, predictions back.
//!
//! What comes back depends on what the model's `predict` returns: an array (`[1, 2]`, `[[0.1, 0.9]]`) or a data frame
//! (`[{"prediction": 1, "score": 0.9}]`). A frame's columns are outputs; columns named as the classes are probabilities.

use std::collections::BTreeMap;
use std::sync::Arc;

use gyre_runtime::{Column, Table};
use gyre_wire::Elements;
use serde::Deserialize;

use crate::cells::{self, Flat, Tensor};
use crate::error::AnswerError;
use crate::wire::{Outgoing, number};

/// Where rows are scored.
const PATH: &str = "/invocations";

/// The request for all rows of these tables, whose columns are in the order of the signature. What is missing is `null`.
pub(crate) fn request(tables: &[&Table]) -> Outgoing {
    let rows: usize = tables.iter().map(|table| table.rows()).sum();
    let columns = tables.first().map_or(&[][..], |table| table.columns());
    let names: Vec<&str> = columns.iter().map(|(name, _)| &**name).collect();
    let mut out = String::with_capacity(64 + rows * columns.len() * 16);
    out.push_str(r#"{"dataframe_split":{"columns":"#);
    out.push_str(&serde_json::json!(names).to_string());
    out.push_str(r#","data":["#);
    let mut first = true;
    for table in tables {
        for row in 0..table.rows() {
            out.push_str(if std::mem::take(&mut first) { "[" } else { ",[" });
            for (at, (_, column)) in table.columns().iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                match column {
                    Column::Numeric(values) => {
                        number(&mut out, values.get(row).copied().unwrap_or(f64::NAN), None)
                    }
                    Column::Text(values) => match values.get(row).and_then(Option::as_deref) {
                        Some(text) => out.push_str(&serde_json::Value::from(text).to_string()),
                        None => out.push_str("null"),
                    },
                }
            }
            out.push(']');
        }
    }
    out.push_str("]}}");
    Outgoing {
        path: PATH.to_owned(),
        content_type: "application/json",
        header: None,
        body: out.into_bytes().into(),
    }
}

/// The outputs in an answer. `classes` are the columns that are probabilities.
pub(crate) fn outputs(body: &[u8], classes: &[String]) -> Result<Vec<Tensor>, AnswerError> {
    #[derive(Deserialize)]
    struct Answer<T> {
        predictions: T,
    }
    type Records = Vec<BTreeMap<String, serde_json::Value>>;
    let mut repaired = Vec::new();
    let error = match cells::read::<Answer<Flat>>(body, &mut repaired) {
        Ok(Answer { predictions: Flat { shape, cells } }) => {
            return Ok(vec![Tensor { name: "predictions".into(), shape, cells }]);
        }
        Err(error) => error,
    };
    let mut repaired = Vec::new();
    if let Ok(Answer { predictions }) = cells::read::<Answer<Records>>(body, &mut repaired) {
        return frame(predictions, classes);
    }
    let mut repaired = Vec::new();
    if let Ok(Answer { predictions }) = cells::read::<Answer<BTreeMap<String, Flat>>>(body, &mut repaired) {
        let tensor = |(name, Flat { shape, cells })| Tensor { name, shape, cells };
        return Ok(joined(predictions.into_iter().map(tensor).collect(), classes));
    }
    Err(AnswerError::Format(format!("expected {{\"predictions\": [...]}}: {error}")))
}

/// The columns of a data frame that came as records.
fn frame(
    records: Vec<BTreeMap<String, serde_json::Value>>,
    classes: &[String],
) -> Result<Vec<Tensor>, AnswerError> {
    let names: Vec<String> =
        records.first().map(|record| record.keys().cloned().collect()).unwrap_or_default();
    let mut columns: Vec<Vec<serde_json::Value>> = names.iter().map(|_| Vec::new()).collect();
    for (row, record) in records.into_iter().enumerate() {
        if !record.keys().eq(&names) {
            return Err(AnswerError::Format(format!("record {row} has other columns than the first")));
        }
        for (column, value) in columns.iter_mut().zip(record.into_values()) {
            column.push(value);
        }
    }
    let tensor = |(name, column): (String, Vec<serde_json::Value>)| {
        let Flat { shape, cells } = Flat::deserialize(serde_json::Value::Array(column))
            .map_err(|error| AnswerError::Format(format!("column {name:?}: {error}")))?;
        Ok(Tensor { name, shape, cells })
    };
    Ok(joined(names.into_iter().zip(columns).map(tensor).collect::<Result<_, _>>()?, classes))
}

/// The same outputs, with those that are called as the classes joined to one, in the order of the classes.
fn joined(mut tensors: Vec<Tensor>, classes: &[String]) -> Vec<Tensor> {
    let place =
        |class: &String| tensors.iter().position(|tensor| tensor.name == *class && tensor.shape.len() == 1);
    let Some(places) = classes.iter().map(place).collect::<Option<Vec<_>>>() else { return tensors };
    let columns = places.iter().filter_map(|&place| tensors.get(place)?.cells.numbers()).collect::<Vec<_>>();
    let rows = columns.first().map_or(0, Vec::len);
    if classes.len() < 2 || columns.len() < classes.len() || columns.iter().any(|column| column.len() != rows)
    {
        return tensors;
    }
    let cells =
        (0..rows).flat_map(|row| columns.iter().filter_map(move |column| column.get(row).copied())).collect();
    let shape = vec![rows, classes.len()];
    let names: Vec<Arc<str>> = classes.iter().map(|class| class.as_str().into()).collect();
    tensors.retain(|tensor| !names.iter().any(|name| **name == *tensor.name));
    tensors.push(Tensor { name: "probabilities".into(), shape, cells: Elements::Numbers(cells) });
    tensors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors(json: &str, classes: &[&str]) -> Result<Vec<Tensor>, AnswerError> {
        let classes: Vec<String> = classes.iter().map(|&class| class.to_owned()).collect();
        outputs(json.as_bytes(), &classes)
    }

    #[test]
    fn rows_of_several_tables_go_in_one_request() {
        let table = |x: f64, c: Option<&str>| {
            Table::new([("x", Column::Numeric(vec![x])), ("c\"", Column::Text(vec![c.map(Arc::from)]))])
                .unwrap()
        };
        let outgoing = request(&[&table(-2.0, Some("a\n")), &table(f64::NAN, None), &table(0.25, Some(""))]);
        let body: serde_json::Value = serde_json::from_slice(&outgoing.body).unwrap();
        assert_eq!(
            body,
            serde_json::json!({"dataframe_split": {"columns": ["x", "c\""], "data": [[-2, "a\n"], [null, null], [0.25, ""]]}})
        );
    }

    #[test]
    fn arrays_frames_and_dictionaries_are_outputs() {
        let array = tensors(r#"{"predictions": [[0.1, 0.9]]}"#, &[]).unwrap();
        assert_eq!((array[0].shape.as_slice(), array.len()), (&[1, 2][..], 1));
        let frame = tensors(
            r#"{"predictions": [{"y": "a", "b": 0.25, "a": 0.75}, {"b": 1, "a": 0, "y": "b"}]}"#,
            &["a", "b"],
        );
        let frame = frame.unwrap();
        assert_eq!(frame[0].cells, Elements::Texts(vec!["a".into(), "b".into()]));
        assert_eq!(
            (frame[1].shape.as_slice(), &frame[1].cells),
            (&[2, 2][..], &Elements::Numbers(vec![0.75, 0.25, 0.0, 1.0]))
        );
        let dictionary = tensors(r#"{"predictions": {"y": [1.5, NaN]}}"#, &[]).unwrap();
        assert_eq!((dictionary[0].name.as_str(), dictionary[0].shape.as_slice()), ("y", &[2][..]));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for json in [
            "",
            "[1]",
            r#"{"predictions": 3, "predictions": 4}"#,
            r#"{"predictions": [{"a": 1}, {"b": 1}]}"#,
            r#"{"predictions": [[1, "a"]]}"#,
        ] {
            assert!(matches!(tensors(json, &[]), Err(AnswerError::Format(_))), "{json}");
        }
    }
}
