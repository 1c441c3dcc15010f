//! Taking apart what a model says, back to the columns of the table.

use std::sync::Arc;

use super::{Learner, Linear, Native, wrong};
use crate::error::Problem;
use crate::explanation::{ExplainError, Explanation};
use crate::forest::{Aggregate, ByColumn, Contributions};
use crate::table::Table;

impl Native {
    pub(crate) fn unexplained(&self) -> Option<Problem> {
        match &self.learner {
            Learner::Forest { forest, .. } => forest.unexplained(),
            Learner::Linear(_) => None,
            Learner::Network(_) => Some("a perceptron is neither a sum of trees nor of columns".into()),
        }
    }

    pub(crate) fn explain(
        &self,
        table: &Table,
        background: Option<&Table>,
    ) -> Result<Explanation, ExplainError> {
        if let Some(problem) = self.unexplained() {
            return Err(ExplainError::Unavailable(problem));
        }
        let (columns, sources) = self.prepared(table)?;
        let cells = ByColumn { columns: &columns, rows: table.rows() };
        let targets = self.offsets.len();
        let mut parts = match &self.learner {
            Learner::Forest { forest, aggregate } => {
                let mut parts = forest.contributions(cells).map_err(wrong)?;
                if *aggregate == Aggregate::Average {
                    let trees = forest.tree_count().max(1) as f64;
                    parts.base.iter_mut().chain(&mut parts.values).for_each(|x| *x /= trees);
                }
                parts
            }
            Learner::Linear(linear) => {
                let means = match background {
                    Some(background) => self.numbers(background)?.iter().map(|column| mean(column)).collect(),
                    None => vec![0.0; columns.len()],
                };
                linear.contributions(cells, &means, targets).map_err(wrong)?
            }
            Learner::Network(_) => {
                return Err(ExplainError::Unavailable("a perceptron is not explained".into()));
            }
        };
        parts.base.iter_mut().zip(&self.offsets).for_each(|(base, offset)| *base += offset);

        let features = self.features.len();
        let mut contributions = vec![0.0; table.rows() * targets * features];
        let width = columns.len();
        for (all, sums) in
            parts.values.chunks_exact(width.max(1)).zip(contributions.chunks_exact_mut(features.max(1)))
        {
            for (value, source) in all.iter().zip(&sources) {
                if let Some(sum) = sums.get_mut(*source) {
                    *sum += value;
                }
            }
        }
        let outputs = match self.classes.as_ref() {
            [_, second] if targets == 1 => vec![Arc::clone(second)],
            classes if self.link.classifies() => classes.to_vec(),
            _ => vec![Arc::from("")],
        };
        Ok(Explanation {
            outputs,
            features: self.features.iter().map(|feature| Arc::clone(&feature.name)).collect(),
            scale: self.link.scale(),
            base: parts.base,
            contributions,
        })
    }
}

impl Linear {
    fn contributions(
        &self,
        cells: ByColumn<'_>,
        means: &[f64],
        targets: usize,
    ) -> Result<Contributions, Problem> {
        self.check(cells)?;
        let mut base = vec![0.0; targets];
        let mut values = vec![0.0; cells.rows * targets * self.columns];
        for (target, weights) in self.coefficients.chunks_exact(self.columns.max(1)).enumerate().take(targets)
        {
            for (at, ((column, weight), mean)) in cells.columns.iter().zip(weights).zip(means).enumerate() {
                base[target] += weight * mean;
                for (row, x) in column.iter().enumerate() {
                    let x = if self.skips_missing && x.is_nan() { 0.0 } else { *x };
                    values[(row * targets + target) * self.columns + at] = weight * (x - mean);
                }
            }
        }
        Ok(Contributions { base, values })
    }
}

/// The mean of what is not missing; zero when all is.
fn mean(column: &[f64]) -> f64 {
    let (sum, count) = column.iter().filter(|x| !x.is_nan()).fold((0.0, 0.0), |(s, n), x| (s + x, n + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}
