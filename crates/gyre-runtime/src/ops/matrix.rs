//! `MatMul`, `Gemm`, `Softmax`, `ArgMax`: what multi-layer perceptrons and label selection need.

use super::{Context, Kernel, axis, operand, optional};
use crate::error::Problem;
use crate::tensor::{DType, Data, Shape, Tensor, checked_elements};

/// `MatMul` (ai.onnx 1–13) of matrices and vectors.
pub(super) fn mat_mul(_: &Context<'_>) -> Result<Kernel, Problem> {
    Ok(Box::new(|operands| {
        let (a, b) = (operand(operands, 0)?, operand(operands, 1)?);
        let (n, k) = matrix_of(a, true)?;
        let (k2, m) = matrix_of(b, false)?;
        if k != k2 {
            return Err(format!("cannot multiply shapes {:?} and {:?}", a.shape(), b.shape()));
        }
        // A vector operand's added dimension does not appear in the result.
        let mut dims = Vec::new();
        if a.shape().len() == 2 {
            dims.push(n);
        }
        if b.shape().len() == 2 {
            dims.push(m);
        }
        checked_elements(Shape::matrix(n, m))?;
        let product = multiply(&a.to_f32()?, &b.to_f32()?, (n, k, m));
        let data = if (a.dtype(), b.dtype()) == (DType::F64, DType::F64) {
            Data::F64(product)
        } else {
            Data::F32(product.into_iter().map(|x| x as f32).collect())
        };
        Ok(vec![Tensor::made(Shape::new(&dims).ok_or("too many dimensions")?, data)?])
    }))
}

fn matrix_of(t: &Tensor, left: bool) -> Result<(usize, usize), Problem> {
    match *t.shape() {
        [k] if left => Ok((1, k)),
        [k] => Ok((k, 1)),
        [n, k] => Ok((n, k)),
        _ => Err(format!("shape {:?} is not a matrix", t.shape())),
    }
}

/// Row-major product of `n`×`k` and `k`×`m`, summed in double precision.
fn multiply(a: &[f32], b: &[f32], (n, k, m): (usize, usize, usize)) -> Vec<f64> {
    let mut out = vec![0.0; n * m];
    if k == 0 || m == 0 {
        return out;
    }
    for (row, sums) in a.chunks_exact(k).zip(out.chunks_exact_mut(m)) {
        for (&x, weights) in row.iter().zip(b.chunks_exact(m)) {
            for (sum, &w) in sums.iter_mut().zip(weights) {
                *sum += f64::from(x) * f64::from(w);
            }
        }
    }
    out
}

/// `Gemm` (ai.onnx 7–13): α · A · B + β · C.
pub(super) fn gemm(cx: &Context<'_>) -> Result<Kernel, Problem> {
    let a = &cx.attributes;
    let (alpha, beta) = (f64::from(a.float("alpha", 1.0)), f64::from(a.float("beta", 1.0)));
    let (transpose_a, transpose_b) = (a.int("transA", 0) != 0, a.int("transB", 0) != 0);
    Ok(Box::new(move |operands| {
        let (a, (n, k)) = oriented(operand(operands, 0)?, transpose_a)?;
        let (b, (k2, m)) = oriented(operand(operands, 1)?, transpose_b)?;
        if k != k2 {
            return Err(format!("cannot multiply {n}×{k} and {k2}×{m}"));
        }
        checked_elements(Shape::matrix(n, m))?;
        let mut out = multiply(&a, &b, (n, k, m));
        out.iter_mut().for_each(|x| *x *= alpha);
        if let Some(c) = optional(operands, 2) {
            let (rows, columns) = match *c.shape() {
                [] => (1, 1),
                [w] => (1, w),
                [h, w] => (h, w),
                _ => return Err(format!("shape {:?} cannot be added to a matrix", c.shape())),
            };
            if !(rows == 1 || rows == n) || !(columns == 1 || columns == m) {
                return Err(format!("shape {:?} does not broadcast to {n}×{m}", c.shape()));
            }
            let c = c.to_f32()?;
            for (i, x) in out.iter_mut().enumerate() {
                let (row, column) = (if rows == 1 { 0 } else { i / m }, if columns == 1 { 0 } else { i % m });
                *x += beta * f64::from(c[row * columns + column]);
            }
        }
        Ok(vec![Tensor::made(Shape::matrix(n, m), Data::F32(out.into_iter().map(|x| x as f32).collect()))?])
    }))
}

/// A matrix's elements and size, transposed if wanted.
fn oriented(t: &Tensor, transpose: bool) -> Result<(Vec<f32>, (usize, usize)), Problem> {
    let [n, k] = *t.shape() else { return Err(format!("shape {:?} is not a matrix", t.shape())) };
    let values = t.to_f32()?;
    if !transpose {
        return Ok((values.into_owned(), (n, k)));
    }
    Ok(((0..n * k).map(|i| values[i % n * k + i / n]).collect(), (k, n)))
}

/// `Softmax` (ai.onnx 1–13): over the last axis since opset 13, over everything from `axis` on before.
pub(super) fn softmax(cx: &Context<'_>) -> Result<Kernel, Problem> {
    let since_13 = cx.opset >= 13;
    let along = cx.attributes.int("axis", if since_13 { -1 } else { 1 });
    Ok(Box::new(move |operands| {
        let x = operand(operands, 0)?;
        let shape = x.shape();
        let at = axis(along, shape.len())?;
        if since_13 && at + 1 != shape.len() {
            return Err(format!(
                "softmax along axis {at} of {} is not supported, only the last",
                shape.len()
            ));
        }
        let width: usize = shape[at..].iter().product();
        let mut values: Vec<f64> = x.to_f32()?.iter().map(|&v| v.into()).collect();
        values.chunks_exact_mut(width.max(1)).for_each(|row| super::transform::Transform::Softmax.apply(row));
        Ok(vec![Tensor::made(shape, Data::F32(values.into_iter().map(|v| v as f32).collect()))?])
    }))
}

/// `ArgMax` (ai.onnx 1–13): index of the greatest element along an axis, the first of equals unless
/// `select_last_index`.
pub(super) fn arg_max(cx: &Context<'_>) -> Result<Kernel, Problem> {
    let a = &cx.attributes;
    let (along, keep, last) =
        (a.int("axis", 0), a.int("keepdims", 1) != 0, a.int("select_last_index", 0) != 0);
    Ok(Box::new(move |operands| {
        let x = operand(operands, 0)?;
        let shape = x.shape();
        let at = axis(along, shape.len())?;
        let (size, inner): (usize, usize) = (shape[at], shape[at + 1..].iter().product());
        if size * inner == 0 {
            return Err(format!("shape {shape:?} has no greatest element"));
        }
        let values = x.to_f32()?;
        let mut out = Vec::new();
        for block in values.chunks_exact(size * inner) {
            for i in 0..inner {
                let mut best = 0;
                for j in 1..size {
                    let (new, old) = (block[j * inner + i], block[best * inner + i]);
                    if new > old || (last && new == old) {
                        best = j;
                    }
                }
                out.push(i64::try_from(best).map_err(|e| e.to_string())?);
            }
        }
        let mut dims = shape.to_vec();
        if keep {
            dims[at] = 1;
        } else {
            dims.remove(at);
        }
        Ok(vec![Tensor::made(Shape::new(&dims).ok_or("too many dimensions")?, Data::I64(out))?])
    }))
}
