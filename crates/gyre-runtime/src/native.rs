//! Models that are read from a library's own file: columns in, scores out.
//!
//! All of them are three things in a row. [`steps`] bring the columns of a table to numbers as the library would;
//! a [`Learner`] makes margins of them; a [`Link`] makes the margins what the library's `predict` gives. The readers
//! ([`crate::xgboost`], [`crate::lightgbm`], [`crate::skops`]) only put these together.

mod explain;
mod link;
pub(crate) mod steps;

use std::sync::Arc;

pub(crate) use link::Link;
pub use link::Scale;

use crate::binding::{Feature, FeatureKind, Scores, Task};
use crate::error::{Problem, ScoreError};
use crate::forest::{Aggregate, ByColumn, Cells, Forest};
use crate::limits::Limits;
use crate::table::{Column, Table};
use steps::{Frame, Refusal, Step};

/// What makes margins of numbers.
#[derive(Debug)]
pub(crate) enum Learner {
    Forest {
        forest: Box<Forest>,
        aggregate: Aggregate,
    },
    Linear(Linear),
    /// Layers of a multi-layer perceptron, the last one's activation being the link.
    Network(Vec<Layer>),
}

/// Linear functions of all columns.
#[derive(Debug)]
pub(crate) struct Linear {
    /// One row of coefficients a target.
    pub(crate) coefficients: Vec<f64>,
    pub(crate) columns: usize,
    /// A missing value adds nothing, rather than making the sum missing.
    pub(crate) skips_missing: bool,
}

/// A fully connected layer.
#[derive(Debug)]
pub(crate) struct Layer {
    /// Row-major, one row an input.
    pub(crate) weights: Vec<f64>,
    pub(crate) biases: Vec<f64>,
    pub(crate) activation: Activation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    Identity,
    Relu,
    Tanh,
    Logistic,
}

/// A model in parts.
#[derive(Debug)]
pub(crate) struct Native {
    pub(crate) features: Vec<Feature>,
    pub(crate) steps: Vec<Step>,
    pub(crate) learner: Learner,
    /// Added to the margins, one a target.
    pub(crate) offsets: Vec<f64>,
    pub(crate) link: Link,
    /// Classes in the order of the probabilities; empty for a regression.
    pub(crate) classes: Arc<[Arc<str>]>,
}

impl Native {
    pub(crate) fn task(&self) -> Task {
        if self.link.classifies() {
            Task::Classification { classes: Arc::clone(&self.classes) }
        } else {
            Task::Regression
        }
    }

    /// Predicts every row.
    pub(crate) fn score(&self, table: &Table) -> Result<Scores, ScoreError> {
        let columns = self.numbers(table)?;
        let margins = self.margins(ByColumn { columns: &columns, rows: table.rows() }).map_err(wrong)?;
        Ok(self.link.scores(margins, &self.classes))
    }

    /// The numbers that the learner sees, by column.
    fn numbers(&self, table: &Table) -> Result<Vec<Vec<f64>>, ScoreError> {
        self.prepared(table).map(|(columns, _)| columns)
    }

    /// The numbers that the learner sees, by column, and the feature that each column comes from.
    fn prepared(&self, table: &Table) -> Result<(Vec<Vec<f64>>, Vec<usize>), ScoreError> {
        let mut columns = Vec::with_capacity(self.features.len());
        for (i, feature) in self.features.iter().enumerate() {
            let column = table
                .column_near(i, &feature.name)
                .ok_or_else(|| ScoreError::MissingFeature(feature.name.to_string()))?;
            let fits = match column {
                Column::Numeric(_) => feature.kind != FeatureKind::Text,
                Column::Text(_) => feature.kind == FeatureKind::Text,
            };
            if !fits {
                return Err(ScoreError::FeatureType {
                    feature: feature.name.to_string(),
                    found: column.kind(),
                    expected: feature.kind.expected(),
                });
            }
            columns.push(column.clone());
        }
        let mut frame = Frame::new(columns, table.rows());
        for step in &self.steps {
            frame = step.apply(frame).map_err(|refusal| self.refused(refusal))?;
        }
        let numbers = |(i, column)| match column {
            Column::Numeric(values) => Ok(values),
            Column::Text(_) => Err(wrong(format!("reads column {i} as a number, but it holds text"))),
        };
        let columns = frame.columns.into_iter().enumerate().map(numbers).collect::<Result<_, _>>()?;
        Ok((columns, frame.sources))
    }

    fn refused(&self, refusal: Refusal) -> ScoreError {
        match refusal {
            Refusal::Value { source, row, problem } => {
                let feature = self.features.get(source).map_or_else(String::new, |f| f.name.to_string());
                ScoreError::Value { feature, row, problem }
            }
            Refusal::Other(problem) => wrong(problem),
        }
    }

    /// Margins of every row, one a target.
    fn margins(&self, cells: ByColumn<'_>) -> Result<Vec<f64>, Problem> {
        let targets = self.offsets.len();
        let limit = Limits::DEFAULT.tensor_elements;
        if cells.rows().saturating_mul(targets) > limit {
            return Err(format!("computes more than {limit} numbers; send fewer rows at a time"));
        }
        let mut margins = match &self.learner {
            Learner::Forest { forest, aggregate } => forest.score(cells, *aggregate)?,
            Learner::Linear(linear) => linear.margins(cells, targets)?,
            Learner::Network(layers) => network(layers, cells)?,
        };
        if self.offsets.iter().any(|offset| *offset != 0.0) {
            for row in margins.chunks_exact_mut(targets.max(1)) {
                row.iter_mut().zip(&self.offsets).for_each(|(margin, offset)| *margin += offset);
            }
        }
        Ok(margins)
    }
}

impl Linear {
    fn margins(&self, cells: ByColumn<'_>, targets: usize) -> Result<Vec<f64>, Problem> {
        self.check(cells)?;
        let mut margins = vec![0.0; cells.rows * targets];
        for (target, weights) in self.coefficients.chunks_exact(self.columns.max(1)).enumerate().take(targets)
        {
            for (column, weight) in cells.columns.iter().zip(weights) {
                for (margin, x) in margins.chunks_exact_mut(targets).zip(column) {
                    if !(self.skips_missing && x.is_nan()) {
                        margin[target] += x * weight;
                    }
                }
            }
        }
        Ok(margins)
    }

    fn check(&self, cells: ByColumn<'_>) -> Result<(), Problem> {
        if cells.columns.len() == self.columns {
            Ok(())
        } else {
            Err(format!("has {} coefficients, the input {} columns", self.columns, cells.columns.len()))
        }
    }
}

fn network(layers: &[Layer], cells: ByColumn<'_>) -> Result<Vec<f64>, Problem> {
    let mut out = Vec::new();
    let (mut values, mut next) = (Vec::new(), Vec::new());
    for row in 0..cells.rows {
        values.clear();
        values.extend((0..cells.columns()).map(|column| cells.at(row, column)));
        for layer in layers {
            let width = layer.biases.len();
            if values.len() * width != layer.weights.len() {
                return Err(format!(
                    "a layer takes {} numbers, found {}",
                    layer.weights.len() / width.max(1),
                    values.len()
                ));
            }
            next.clear();
            next.extend_from_slice(&layer.biases);
            for (x, weights) in values.iter().zip(layer.weights.chunks_exact(width.max(1))) {
                next.iter_mut().zip(weights).for_each(|(sum, w)| *sum += x * w);
            }
            next.iter_mut().for_each(|x| *x = layer.activation.of(*x));
            std::mem::swap(&mut values, &mut next);
        }
        out.extend_from_slice(&values);
    }
    Ok(out)
}

impl Activation {
    fn of(self, x: f64) -> f64 {
        match self {
            Activation::Identity => x,
            Activation::Relu => x.max(0.0),
            Activation::Tanh => x.tanh(),
            Activation::Logistic => crate::ops::transform::logistic(x),
        }
    }
}

fn wrong(problem: Problem) -> ScoreError {
    ScoreError::Output { output: "prediction".into(), problem }
}
