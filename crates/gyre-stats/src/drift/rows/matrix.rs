//! Rows and columns of finite numbers.

use serde::{Deserialize, Serialize};

use super::RowsError;
use crate::moments::Moments;

/// Rows of the same finite columns, one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    values: Vec<f64>,
    columns: usize,
}

impl Matrix {
    /// Takes values row after row.
    ///
    /// # Errors
    /// [`RowsError::Shape`] for half rows or no columns, [`RowsError::NotFinite`] for missing and infinite values.
    pub fn new(values: Vec<f64>, columns: usize) -> Result<Self, RowsError> {
        if columns == 0 || !values.len().is_multiple_of(columns) {
            return Err(RowsError::Shape { values: values.len(), columns });
        }
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(RowsError::NotFinite { row: at / columns });
        }
        Ok(Self { values, columns })
    }

    /// Number of columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.values.len() / self.columns
    }

    /// The rows in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.values.chunks_exact(self.columns)
    }
}

/// Mean and standard deviation of each column of a reference, to bring rows to its scale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    /// (mean, population standard deviation) of each column.
    columns: Vec<(f64, f64)>,
}

impl Scaling {
    /// Measures the columns of the reference.
    ///
    /// # Errors
    /// [`RowsError::TooFew`] without rows.
    pub fn of(reference: &Matrix) -> Result<Self, RowsError> {
        let rows = reference.rows() as f64;
        let mut columns = vec![Moments::new(); reference.columns()];
        for row in reference.iter() {
            columns.iter_mut().zip(row).for_each(|(moments, value)| moments.push(*value));
        }
        let columns = columns.iter().map(|moments| {
            let deviation = (moments.squared_deviations() / rows).sqrt();
            moments.mean().map(|mean| (mean, deviation)).ok_or(RowsError::TooFew { needed: 1, found: 0 })
        });
        Ok(Self { columns: columns.collect::<Result<_, _>>()? })
    }

    /// The columns that vary in the reference, each less its mean and over its standard deviation there. Constant ones have
    /// no scale and are left out: compare them by themselves.
    ///
    /// # Errors
    /// [`RowsError::Columns`] when the number of columns differs, [`RowsError::Constant`] when none varies,
    /// [`RowsError::NotFinite`] where a value is too far out for the scale.
    pub fn apply(&self, rows: &Matrix) -> Result<Matrix, RowsError> {
        if rows.columns() != self.columns.len() {
            return Err(RowsError::Columns { expected: self.columns.len(), found: rows.columns() });
        }
        let varying = self.columns.iter().filter(|(_, deviation)| *deviation > 0.0).count();
        if varying == 0 {
            return Err(RowsError::Constant);
        }
        let mut scaled = Vec::with_capacity(rows.rows() * varying);
        for row in rows.iter() {
            let pairs = row.iter().zip(&self.columns).filter(|(_, (_, deviation))| *deviation > 0.0);
            scaled.extend(pairs.map(|(value, (mean, deviation))| (value - mean) / deviation));
        }
        Matrix::new(scaled, varying)
    }
}
