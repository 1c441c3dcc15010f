//! `Scaler`, `Normalizer`, `Imputer`, `Binarizer`: column-wise and row-wise changes of numbers.

use super::{Context, Kernel, operand};
use crate::error::Problem;
use crate::tensor::{Data, Tensor};

/// The value for a column from a list that has one a column, or one for all.
fn per_column<T: Copy>(values: &[T], column: usize) -> Option<T> {
    if values.len() == 1 { values.first().copied() } else { values.get(column).copied() }
}

fn check_width(values: usize, columns: usize, what: &str) -> Result<(), Problem> {
    if values == 1 || values == columns {
        Ok(())
    } else {
        Err(format!("{what} has {values} entries for {columns} columns"))
    }
}

/// `Scaler` (ai.onnx.ml 1): (x − offset) · scale.
pub(super) fn scaler(cx: &Context<'_>) -> Result<Kernel, Problem> {
    let offset = cx.attributes.floats("offset").to_vec();
    let scale = cx.attributes.floats("scale").to_vec();
    Ok(Box::new(move |operands| {
        let x = operand(operands, 0)?;
        let (_, columns) = x.rows_columns();
        check_width(offset.len(), columns, "offset")?;
        check_width(scale.len(), columns, "scale")?;
        let mut values = x.to_f32()?.into_owned();
        for row in values.chunks_exact_mut(columns.max(1)) {
            for (j, v) in row.iter_mut().enumerate() {
                let (o, s) = (per_column(&offset, j).unwrap_or(0.0), per_column(&scale, j).unwrap_or(1.0));
                *v = (*v - o) * s;
            }
        }
        Ok(vec![Tensor::made(x.shape(), Data::F32(values))?])
    }))
}

/// `Normalizer` (ai.onnx.ml 1): divides each row by its greatest element, sum of magnitudes, or length. A row whose norm
/// is zero stays as it is.
pub(super) fn normalizer(cx: &Context<'_>) -> Result<Kernel, Problem> {
    let norm: fn(&[f32]) -> f64 = match &*cx.attributes.text("norm", "MAX")? {
        "MAX" => |row| row.iter().copied().fold(f32::NEG_INFINITY, f32::max).into(),
        "L1" => |row| row.iter().map(|v| f64::from(v.abs())).sum(),
        "L2" => |row| row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt(),
        other => return Err(format!("norm {other:?} is not one of MAX, L1, L2")),
    };
    Ok(Box::new(move |operands| {
        let x = operand(operands, 0)?;
        let (_, columns) = x.rows_columns();
        let mut values = x.to_f32()?.into_owned();
        for row in values.chunks_exact_mut(columns.max(1)) {
            let by = norm(row);
            if by != 0.0 {
                row.iter_mut().for_each(|v| *v = (f64::from(*v) / by) as f32);
            }
        }
        Ok(vec![Tensor::made(x.shape(), Data::F32(values))?])
    }))
}

/// `Imputer` (ai.onnx.ml 1): replaces one value, usually NaN, by a constant a column.
pub(super) fn imputer(cx: &Context<'_>) -> Result<Kernel, Problem> {
    let a = &cx.attributes;
    let floats = a.floats("imputed_value_floats").to_vec();
    let ints = a.ints("imputed_value_int64s").to_vec();
    let replaced_float = a.float("replaced_value_float", 0.0);
    let replaced_int = a.int("replaced_value_int64", 0);
    if floats.is_empty() && ints.is_empty() {
        return Err("neither imputed_value_floats nor imputed_value_int64s is given".into());
    }
    Ok(Box::new(move |operands| {
        let x = operand(operands, 0)?;
        let (_, columns) = x.rows_columns();
        let columns = columns.max(1);
        let data = match x.data() {
            Data::I64(v) if !ints.is_empty() => {
                check_width(ints.len(), columns, "imputed_value_int64s")?;
                let mut v = v.clone();
                for (i, value) in v.iter_mut().enumerate() {
                    if *value == replaced_int {
                        *value = per_column(&ints, i % columns).unwrap_or(*value);
                    }
                }
                Data::I64(v)
            }
            _ => {
                check_width(floats.len(), columns, "imputed_value_floats")?;
                let mut v = x.to_f32()?.into_owned();
                for (i, value) in v.iter_mut().enumerate() {
                    if *value == replaced_float || (replaced_float.is_nan() && value.is_nan()) {
                        *value = per_column(&floats, i % columns).unwrap_or(*value);
                    }
                }
                Data::F32(v)
            }
        };
        Ok(vec![Tensor::made(x.shape(), data)?])
    }))
}

/// `Binarizer` (ai.onnx.ml 1): 1 above the threshold, else 0.
pub(super) fn binarizer(cx: &Context<'_>) -> Result<Kernel, Problem> {
    let threshold = cx.attributes.float("threshold", 0.0);
    Ok(Box::new(move |operands| {
        let x = operand(operands, 0)?;
        let values = x.to_f32()?.iter().map(|&v| f32::from(v > threshold)).collect();
        Ok(vec![Tensor::made(x.shape(), Data::F32(values))?])
    }))
}
