//! `LinearRegressor` and `LinearClassifier`.

use super::transform::{Transform, logistic};
use super::trees::{Labels, answer, arg_max};
use super::{Context, Kernel, operand};
use crate::error::Problem;
use crate::tensor::{Data, Shape, Tensor, checked_elements};

/// Row-wise scores of `targets` linear functions, in double precision.
struct Linear {
    /// One row of coefficients a target.
    coefficients: Vec<f32>,
    intercepts: Vec<f32>,
    targets: usize,
    features: usize,
}

impl Linear {
    fn new(coefficients: &[f32], intercepts: &[f32], targets: usize) -> Result<Linear, Problem> {
        if targets == 0 || !coefficients.len().is_multiple_of(targets) {
            return Err(format!("{} coefficients do not divide among {targets} targets", coefficients.len()));
        }
        if !intercepts.is_empty() && intercepts.len() != targets {
            return Err(format!("{} intercepts for {targets} targets", intercepts.len()));
        }
        let features = coefficients.len() / targets;
        Ok(Linear { coefficients: coefficients.to_vec(), intercepts: intercepts.to_vec(), targets, features })
    }

    fn scores(&self, x: &Tensor) -> Result<(usize, Vec<f64>), Problem> {
        let (rows, columns) = x.rows_columns();
        if columns != self.features || columns == 0 {
            return Err(format!(
                "the model has {} coefficients a target, the input has {columns} columns",
                self.features
            ));
        }
        checked_elements(Shape::matrix(rows, self.targets))?;
        let values = x.to_f32()?;
        let mut scores = Vec::with_capacity(rows * self.targets);
        for row in values.chunks_exact(columns) {
            for (target, weights) in self.coefficients.chunks_exact(columns).enumerate() {
                let start = self.intercepts.get(target).map_or(0.0, |&b| f64::from(b));
                scores
                    .push(row.iter().zip(weights).fold(start, |s, (&x, &w)| s + f64::from(x) * f64::from(w)));
            }
        }
        Ok((rows, scores))
    }
}

/// `LinearRegressor` (ai.onnx.ml 1).
pub(super) fn regressor(cx: &Context<'_>) -> Result<Kernel, Problem> {
    let a = &cx.attributes;
    let targets = usize::try_from(a.int("targets", 1)).map_err(|_| "targets is negative")?;
    let linear = Linear::new(a.floats("coefficients"), a.floats("intercepts"), targets)?;
    let transform = Transform::read(a)?;
    Ok(Box::new(move |operands| {
        let (rows, mut scores) = linear.scores(operand(operands, 0)?)?;
        scores.chunks_exact_mut(targets).for_each(|row| transform.apply(row));
        let data = Data::F32(scores.into_iter().map(|s| s as f32).collect());
        Ok(vec![Tensor::made(Shape::matrix(rows, targets), data)?])
    }))
}

/// `LinearClassifier` (ai.onnx.ml 1). With one function and two labels, the second label's score is the function's and
/// the first gets the complement.
pub(super) fn classifier(cx: &Context<'_>) -> Result<Kernel, Problem> {
    let a = &cx.attributes;
    let labels = Labels::read(cx, "classlabels_ints")?;
    let classes = labels.len();
    let functions = match a.floats("intercepts").len() {
        0 => classes,
        n => n,
    };
    let binary = functions == 1 && classes == 2;
    if classes == 0 || !(binary || functions == classes) {
        return Err(format!("{functions} linear functions for {classes} class labels"));
    }
    let linear = Linear::new(a.floats("coefficients"), a.floats("intercepts"), functions)?;
    let transform = Transform::read(a)?;
    Ok(Box::new(move |operands| {
        let (rows, mut scores) = linear.scores(operand(operands, 0)?)?;
        let picked: Vec<usize> = if binary {
            scores.iter().map(|&s| usize::from(s > 0.0)).collect()
        } else {
            scores.chunks_exact(classes).map(arg_max).collect()
        };
        let probabilities = if binary {
            let both = |&s: &f64| match transform {
                Transform::Logistic => [logistic(-s) as f32, logistic(s) as f32],
                _ => [(1.0 - s) as f32, s as f32],
            };
            scores.iter().flat_map(both).collect()
        } else {
            scores.chunks_exact_mut(classes).for_each(|row| transform.apply(row));
            scores.into_iter().map(|s| s as f32).collect()
        };
        answer(&labels, &picked, probabilities, rows, classes)
    }))
}
