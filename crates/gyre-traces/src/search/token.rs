//! Page tokens: the place where a page ended, and of which search. Opaque to clients; what comes back is checked.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gyre_store::{Cell, StoreError};
use serde_json::{Value, json};

use super::order::Kind;
use super::plan::Sort;
use crate::limits::invalid;

pub(super) fn write(identity: &str, place: &[Cell]) -> String {
    let place: Vec<Value> = place
        .iter()
        .map(|cell| match cell {
            Cell::Int(number) => json!(number),
            Cell::Text(text) => json!(text),
            _ => Value::Null,
        })
        .collect();
    URL_SAFE_NO_PAD.encode(json!([identity, place]).to_string())
}

pub(super) fn read(token: &str, identity: &str, sorts: &[Sort]) -> Result<Vec<Cell>, StoreError> {
    let wrong =
        || invalid("the page token is none that was given out: search again without it, from the first page");
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
    let (known, place): (String, Vec<Value>) = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
    if known != identity {
        return Err(invalid(
            "the page token belongs to another search: experiments, filter and order_by must stay the same from page to page",
        ));
    }
    if place.len() != sorts.len() {
        return Err(wrong());
    }
    place
        .into_iter()
        .zip(sorts)
        .map(|(value, sort)| match (value, sort.kind) {
            (Value::Null, _) => Ok(Cell::Null),
            (Value::Number(number), Kind::Int) => number.as_i64().map(Cell::Int).ok_or_else(wrong),
            (Value::String(text), Kind::Text) => Ok(Cell::Text(text)),
            _ => Err(wrong()),
        })
        .collect()
}
