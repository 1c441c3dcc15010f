//! Values on their way into and out of the store, the same for every database.

use crate::StoreError;

/// One value on its way into or out of the store.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// NULL.
    Null,
    /// A whole number.
    Int(i64),
    /// A number. NaN is stored as NULL, which is what SQLite makes of it: keep a flag beside it.
    Real(f64),
    /// Text. PostgreSQL refuses one with a NUL character in it.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// A row of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Row(Vec<Cell>);

/// What a cell can be read as.
pub trait FromCell: Sized {
    /// The value, or the name of what was expected.
    ///
    /// # Errors
    /// The expected type's name, when the cell holds something else.
    fn from_cell(cell: &Cell) -> Result<Self, &'static str>;
}

impl Row {
    pub(crate) fn new(cells: Vec<Cell>) -> Self {
        Self(cells)
    }

    /// The cell of column `column`, counted from 0.
    pub fn cell(&self, column: usize) -> Cell {
        self.0.get(column).cloned().unwrap_or(Cell::Null)
    }

    pub(crate) fn cells(&self) -> &[Cell] {
        &self.0
    }

    /// The value of column `column`, counted from 0.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it holds something else.
    pub fn get<T: FromCell>(&self, column: usize) -> Result<T, StoreError> {
        let cell = self.0.get(column).unwrap_or(&Cell::Null);
        T::from_cell(cell).map_err(|expected| StoreError::Corrupt {
            table: "(query)",
            reason: format!("column {column}: expected {expected}, found {cell:?}"),
        })
    }
}

impl From<i32> for Cell {
    fn from(number: i32) -> Self {
        Self::Int(number.into())
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        // Sequence numbers and counts: far below 2^63.
        Self::Int(number as i64)
    }
}

impl From<u32> for Cell {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl From<f64> for Cell {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&[u8]> for Cell {
    fn from(bytes: &[u8]) -> Self {
        Self::Blob(bytes.to_vec())
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl FromCell for i64 {
    fn from_cell(cell: &Cell) -> Result<Self, &'static str> {
        if let Cell::Int(number) = cell { Ok(*number) } else { Err("a whole number") }
    }
}

impl FromCell for u64 {
    fn from_cell(cell: &Cell) -> Result<Self, &'static str> {
        i64::from_cell(cell)?.try_into().map_err(|_| "a whole number of at least 0")
    }
}

impl FromCell for u32 {
    fn from_cell(cell: &Cell) -> Result<Self, &'static str> {
        i64::from_cell(cell)?.try_into().map_err(|_| "a whole number from 0 to 2^32")
    }
}

impl FromCell for f64 {
    fn from_cell(cell: &Cell) -> Result<Self, &'static str> {
        if let Cell::Real(number) = cell { Ok(*number) } else { Err("a number") }
    }
}

impl FromCell for String {
    fn from_cell(cell: &Cell) -> Result<Self, &'static str> {
        if let Cell::Text(text) = cell { Ok(text.clone()) } else { Err("text") }
    }
}

impl FromCell for Vec<u8> {
    fn from_cell(cell: &Cell) -> Result<Self, &'static str> {
        if let Cell::Blob(bytes) = cell { Ok(bytes.clone()) } else { Err("bytes") }
    }
}

impl<T: FromCell> FromCell for Option<T> {
    fn from_cell(cell: &Cell) -> Result<Self, &'static str> {
        if *cell == Cell::Null { Ok(None) } else { T::from_cell(cell).map(Some) }
    }
}
