//! What the main directions of the reference do not explain of a row.
//!
//! Where columns move together, rows lie near a plane of fewer dimensions. Principal components find it in the reference;
//! rows that leave it have a combination of values that the model did not see, even when each value by itself is usual.
//! The mean distance from the plane is NannyML's multivariate drift measure.

use serde::{Deserialize, Serialize};

use super::{Matrix, RowsError, Scaling, eigen::eigen};
use crate::{moments::Moments, performance::Estimate};

/// Share of the variance that the kept directions explain, unless another is asked for (that of NannyML).
pub const USUAL_SHARE: f64 = 0.65;

/// Principal components of a reference whose columns were brought to mean 0 and standard deviation 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Components {
    scaling: Scaling,
    /// Share of the variance that each direction explains, largest first.
    explained: Vec<f64>,
    /// Unit vectors of the kept directions.
    directions: Vec<Vec<f64>>,
}

impl Components {
    /// Learns from the reference, keeping as many directions as explain `share` of the variance (at least one), for example
    /// [`USUAL_SHARE`]. Columns that do not vary are left out.
    ///
    /// # Errors
    /// [`RowsError::TooFew`] below two rows, [`RowsError::Constant`] when no column varies, [`RowsError::NotFinite`] where
    /// values are too large.
    pub fn of(reference: &Matrix, share: f64) -> Result<Self, RowsError> {
        if reference.rows() < 2 {
            return Err(RowsError::TooFew { needed: 2, found: reference.rows() });
        }
        let scaling = Scaling::of(reference)?;
        let scaled = scaling.apply(reference)?;
        let size = scaled.columns();
        let mut covariance = vec![0.0; size * size];
        for row in scaled.iter() {
            for (line, x) in covariance.chunks_exact_mut(size).zip(row) {
                line.iter_mut().zip(row).for_each(|(sum, y)| *sum += x * y);
            }
        }
        covariance.iter_mut().for_each(|sum| *sum /= (scaled.rows() - 1) as f64);
        let found = eigen(covariance, size);
        let total: f64 = found.iter().map(|(value, _)| value.max(0.0)).sum();
        let explained: Vec<f64> = found.iter().map(|(value, _)| value.max(0.0) / total).collect();
        let mut so_far = 0.0;
        let before = explained.iter().take_while(|part| {
            so_far += **part;
            so_far < share
        });
        let kept = (before.count() + 1).min(size);
        let directions = found.into_iter().take(kept).map(|(_, vector)| vector).collect();
        Ok(Self { scaling, explained, directions })
    }

    /// Share of the variance that each direction explains, largest first.
    #[must_use]
    pub fn explained(&self) -> &[f64] {
        &self.explained
    }

    /// Directions kept.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.directions.len()
    }

    /// Distance of each row from the plane of the kept directions.
    ///
    /// # Errors
    /// As [`Scaling::apply`].
    pub fn distances(&self, rows: &Matrix) -> Result<Vec<f64>, RowsError> {
        let scaled = self.scaling.apply(rows)?;
        let mut rest = vec![0.0; scaled.columns()];
        let distance = |row: &[f64]| {
            rest.copy_from_slice(row);
            for direction in &self.directions {
                let along: f64 = row.iter().zip(direction).map(|(x, y)| x * y).sum();
                rest.iter_mut().zip(direction).for_each(|(left, y)| *left -= along * y);
            }
            rest.iter().map(|left| left * left).sum::<f64>().sqrt()
        };
        Ok(scaled.iter().map(distance).collect())
    }

    /// Mean distance of the rows in standard deviations of the reference's columns, with its standard error; `None` without
    /// rows. Compare that of a window with those of windows of the reference that the components were not learned from.
    ///
    /// # Errors
    /// As [`Scaling::apply`].
    pub fn reconstruction_error(&self, rows: &Matrix) -> Result<Option<Estimate>, RowsError> {
        let moments: Moments = self.distances(rows)?.into_iter().collect();
        let standard_error = moments.standard_error();
        Ok(moments.mean().map(|value| Estimate { value, standard_error, rows: moments.count() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(rows: &[[f64; 3]]) -> Matrix {
        Matrix::new(rows.concat(), 3).unwrap()
    }

    #[test]
    fn rows_that_leave_the_plane_are_seen() {
        // Two columns that move together, and a constant one.
        let reference: Vec<[f64; 3]> = (0..50).map(|i| [f64::from(i), 2.0 * f64::from(i), 7.0]).collect();
        let components = Components::of(&matrix(&reference), USUAL_SHARE).unwrap();
        assert_eq!((components.kept(), components.explained().len()), (1, 2));
        let usual = components.reconstruction_error(&matrix(&[[10.0, 20.0, 7.0], [90.0, 180.0, 9.0]]));
        assert!(usual.unwrap().unwrap().value < 1e-9);
        let apart = components.reconstruction_error(&matrix(&[[40.0, 10.0, 7.0]])).unwrap().unwrap();
        assert!(apart.value > 1.0 && apart.standard_error.is_none());
    }

    #[test]
    fn what_cannot_be_learned_says_why() {
        let constant = matrix(&[[1.0; 3], [1.0; 3]]);
        assert_eq!(Components::of(&constant, 0.65), Err(RowsError::Constant));
        assert_eq!(
            Components::of(&matrix(&[[1.0; 3]]), 0.65),
            Err(RowsError::TooFew { needed: 2, found: 1 })
        );
        assert_eq!(Matrix::new(vec![1.0; 4], 3), Err(RowsError::Shape { values: 4, columns: 3 }));
        assert_eq!(Matrix::new(vec![1.0, 2.0, f64::NAN], 1), Err(RowsError::NotFinite { row: 2 }));
        let learned = Components::of(&matrix(&[[1.0, 2.0, 3.0], [2.0, 1.0, 3.0]]), 0.65).unwrap();
        let other = Matrix::new(vec![1.0; 2], 2).unwrap();
        assert_eq!(learned.distances(&other), Err(RowsError::Columns { expected: 3, found: 2 }));
    }
}
