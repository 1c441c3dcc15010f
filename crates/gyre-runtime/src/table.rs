//! Rows of a table, held by column, as models are asked about them.

use std::sync::Arc;

use smol_str::SmolStr;

/// The values of one column.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Numbers; NaN is missing.
    Numeric(Vec<f64>),
    /// Categories; `None` is missing.
    Text(Vec<Option<Arc<str>>>),
}

impl Column {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Column::Numeric(v) => v.len(),
            Column::Text(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// "numeric" or "text", for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Column::Numeric(_) => "numeric",
            Column::Text(_) => "text",
        }
    }
}

/// The name of a column. Short ones are held in place: threads that have tables of the same columns at a time would otherwise
/// count references to the same names, and wait for each other to.
pub type Name = SmolStr;

/// Columns of equal length, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    rows: usize,
    columns: Vec<(Name, Column)>,
}

/// Why a column cannot join a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Its length is not that of the others.
    #[error("column {name:?} has {found} rows, the others have {expected}")]
    Length {
        /// Column.
        name: String,
        /// Its rows.
        found: usize,
        /// Rows of the others.
        expected: usize,
    },
    /// Its name is taken.
    #[error("there are two columns {0:?}")]
    Duplicate(String),
}

impl Table {
    /// A table of these columns.
    ///
    /// # Errors
    /// When lengths differ or a name repeats.
    pub fn new<N: Into<Name>>(columns: impl IntoIterator<Item = (N, Column)>) -> Result<Table, TableError> {
        let mut table = Table::default();
        for (name, column) in columns {
            let name = name.into();
            if table.columns.is_empty() {
                table.rows = column.len();
            } else if table.rows != column.len() {
                return Err(TableError::Length {
                    name: name.to_string(),
                    found: column.len(),
                    expected: table.rows,
                });
            }
            if table.column(&name).is_some() {
                return Err(TableError::Duplicate(name.to_string()));
            }
            table.columns.push((name, column));
        }
        Ok(table)
    }

    /// A table of these columns, whose names are known to be distinct: looking for two of a name takes longer than a
    /// prediction where there are many.
    ///
    /// # Errors
    /// When lengths differ.
    pub fn of_distinct(columns: impl IntoIterator<Item = (Name, Column)>) -> Result<Table, TableError> {
        let columns: Vec<(Name, Column)> = columns.into_iter().collect();
        let rows = columns.first().map_or(0, |(_, column)| column.len());
        match columns.iter().find(|(_, column)| column.len() != rows) {
            Some((name, column)) => {
                Err(TableError::Length { name: name.to_string(), found: column.len(), expected: rows })
            }
            None => Ok(Table { rows, columns }),
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns in order.
    pub fn columns(&self) -> &[(Name, Column)] {
        &self.columns
    }

    /// Columns in order, whose values may be taken out of them; whoever does is done with the table.
    pub fn columns_mut(&mut self) -> &mut [(Name, Column)] {
        &mut self.columns
    }

    /// A column by name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|(n, _)| &**n == name).map(|(_, c)| c)
    }

    /// A column by name that is likely at `place`: tables mostly come in the order that a model asks in.
    pub(crate) fn column_near(&self, place: usize, name: &str) -> Option<&Column> {
        match self.columns.get(place) {
            Some((n, column)) if &**n == name => Some(column),
            _ => self.column(name),
        }
    }
}
