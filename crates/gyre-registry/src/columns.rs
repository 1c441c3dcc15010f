//! Structured values in text columns, as JSON.

use gyre_store::{Cell, StoreError};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// `value` as a cell of `table`.
pub(crate) fn to_json(table: &'static str, value: &impl Serialize) -> Result<Cell, StoreError> {
    serde_json::to_string(value).map(Cell::Text).map_err(|error| unreadable(table, error))
}

/// The value in a cell's text.
pub(crate) fn from_json<T: DeserializeOwned>(table: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| unreadable(table, error))
}

/// A name or digest in a cell's text.
pub(crate) fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(
    table: &'static str,
    text: &str,
) -> Result<T, StoreError> {
    text.parse().map_err(|error| unreadable(table, error))
}

pub(crate) fn unreadable(table: &'static str, reason: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt { table, reason: reason.to_string() }
}
