//! Operators that move elements without changing them: shapes, joins, selections.

use super::{Context, Kernel, axis, operand, optional};
use crate::error::Problem;
use crate::tensor::{Data, Shape, Tensor, checked_elements, map_each, pick};

/// `Identity` (ai.onnx 1), and `ZipMap` (ai.onnx.ml 1): the map from label to probability that `ZipMap` makes holds what
/// its input holds, so the matrix of probabilities stands for it and the model keeps the labels.
pub(super) fn identity(_: &Context<'_>) -> Result<Kernel, Problem> {
    Ok(Box::new(|operands| Ok(vec![operand(operands, 0)?.clone()])))
}

/// `Constant` (ai.onnx 1–13).
pub(super) fn constant(cx: &Context<'_>) -> Result<Kernel, Problem> {
    let a = &cx.attributes;
    let tensor = if let Some(tensor) = a.tensor("value")? {
        tensor
    } else if a.has("value_ints") {
        Tensor::vector(Data::I64(a.ints("value_ints").to_vec()))
    } else if a.has("value_floats") {
        Tensor::vector(Data::F32(a.floats("value_floats").to_vec()))
    } else if a.has("value_strings") {
        Tensor::vector(Data::Str(a.texts("value_strings")?))
    } else {
        let scalar = if a.has("value_int") {
            Data::I64(vec![a.int("value_int", 0)])
        } else if a.has("value_float") {
            Data::F32(vec![a.float("value_float", 0.0)])
        } else if a.has("value_string") {
            Data::Str(vec![a.text("value_string", "")?])
        } else {
            return Err("no value is given".into());
        };
        Tensor::new(&[], scalar).ok_or("a scalar holds one value")?
    };
    Ok(Box::new(move |_| Ok(vec![tensor.clone()])))
}

fn reshaped(x: &Tensor, dims: &[usize]) -> Result<Tensor, Problem> {
    let shape = Shape::new(dims).ok_or_else(|| format!("{} dimensions are too many", dims.len()))?;
    if shape.elements() != Some(x.data().len()) {
        return Err(format!("shape {:?} cannot become {shape:?}", x.shape()));
    }
    Tensor::made(shape, x.data().clone())
}

/// `Reshape` (ai.onnx 5–21): −1 is what remains, 0 keeps the dimension unless `allowzero`.
pub(super) fn reshape(cx: &Context<'_>) -> Result<Kernel, Problem> {
    let allow_zero = cx.attributes.int("allowzero", 0) != 0;
    Ok(Box::new(move |operands| {
        let x = operand(operands, 0)?;
        let wanted = operand(operands, 1)?.to_i64()?;
        let mut dims = Vec::with_capacity(wanted.len());
        let mut open = None;
        for (i, &d) in wanted.iter().enumerate() {
            dims.push(match d {
                -1 if open.replace(i).is_none() => 1,
                0 if !allow_zero => {
                    *x.shape().get(i).ok_or_else(|| format!("dimension {i} cannot be kept"))?
                }
                d => usize::try_from(d).map_err(|_| format!("shape {wanted:?} is not valid"))?,
            });
        }
        if let Some(i) = open {
            let known =
                dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).ok_or("the shape is too large")?;
            let total = x.data().len();
            // With nothing to divide by, an empty tensor stays empty.
            dims[i] = total.checked_div(known).unwrap_or(0);
        }
        Ok(vec![reshaped(x, &dims)?])
    }))
}

/// `Flatten` (ai.onnx 1–21): a matrix split at an axis.
pub(super) fn flatten(cx: &Context<'_>) -> Result<Kernel, Problem> {
    let at = cx.attributes.int("axis", 1);
    Ok(Box::new(move |operands| {
        let x = operand(operands, 0)?;
        let shape = x.shape();
        let split =
            if at == i64::try_from(shape.len()).unwrap_or(-1) { shape.len() } else { axis(at, shape.len())? };
        let (front, back) = shape.split_at(split);
        Ok(vec![reshaped(x, &[front.iter().product(), back.iter().product()])?])
    }))
}

/// The axes of `Squeeze` and `Unsqueeze`: an attribute before opset 13, an operand since.
fn axes(attribute: &[i64], operand: Option<&Tensor>) -> Result<Vec<i64>, Problem> {
    operand.map_or_else(|| Ok(attribute.to_vec()), Tensor::to_i64)
}

/// `Squeeze` (ai.onnx 1–21): drops dimensions of one, the given ones or all.
pub(super) fn squeeze(cx: &Context<'_>) -> Result<Kernel, Problem> {
    let attribute = cx.attributes.ints("axes").to_vec();
    Ok(Box::new(move |operands| {
        let x = operand(operands, 0)?;
        let shape = x.shape();
        let drop = axes(&attribute, optional(operands, 1))?;
        let drop: Vec<usize> = drop.into_iter().map(|a| axis(a, shape.len())).collect::<Result<_, _>>()?;
        let mut dims = Vec::new();
        for (i, &d) in shape.iter().enumerate() {
            match (drop.is_empty(), drop.contains(&i), d) {
                (true, _, 1) | (false, true, 1) => {}
                (false, true, d) => return Err(format!("dimension {i} is {d}, not 1")),
                _ => dims.push(d),
            }
        }
        Ok(vec![reshaped(x, &dims)?])
    }))
}

/// `Unsqueeze` (ai.onnx 1–21): adds dimensions of one.
pub(super) fn unsqueeze(cx: &Context<'_>) -> Result<Kernel, Problem> {
    let attribute = cx.attributes.ints("axes").to_vec();
    Ok(Box::new(move |operands| {
        let x = operand(operands, 0)?;
        let add = axes(&attribute, optional(operands, 1))?;
        let rank = x.shape().len() + add.len();
        let mut new: Vec<usize> = add.into_iter().map(|a| axis(a, rank)).collect::<Result<_, _>>()?;
        new.sort_unstable();
        let mut dims = x.shape().to_vec();
        for at in new {
            if at > dims.len() {
                return Err("an axis is given twice".into());
            }
            dims.insert(at, 1);
        }
        Ok(vec![reshaped(x, &dims)?])
    }))
}

/// `Transpose` (ai.onnx 1–21).
pub(super) fn transpose(cx: &Context<'_>) -> Result<Kernel, Problem> {
    let wanted = cx.attributes.ints("perm").to_vec();
    Ok(Box::new(move |operands| {
        let x = operand(operands, 0)?;
        let shape = x.shape();
        let rank = shape.len();
        let perm: Vec<usize> = if wanted.is_empty() {
            (0..rank).rev().collect()
        } else {
            wanted.iter().map(|&a| axis(a, rank)).collect::<Result<_, _>>()?
        };
        let mut sorted = perm.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..rank) {
            return Err(format!("perm {wanted:?} does not permute {rank} dimensions"));
        }
        let mut strides = vec![1; rank];
        for i in (1..rank).rev() {
            strides[i - 1] = strides[i] * shape[i];
        }
        let dims: Vec<usize> = perm.iter().map(|&p| shape[p]).collect();
        let mut places = Vec::with_capacity(x.data().len());
        for mut flat in 0..x.data().len() {
            let mut place = 0;
            for (&p, &d) in perm.iter().zip(&dims).rev() {
                place += flat % d * strides[p];
                flat /= d;
            }
            places.push(place);
        }
        let shape = Shape::new(&dims).ok_or("too many dimensions")?;
        Ok(vec![Tensor::made(shape, map_each!(x.data(), v => pick(v, &places)))?])
    }))
}

/// Elements of `x` at `indices` along `along`, already checked to be inside.
fn take(x: &Tensor, along: usize, indices: &[usize], shape: Shape) -> Result<Tensor, Problem> {
    checked_elements(shape)?;
    let dims = x.shape();
    let (size, inner): (usize, usize) = (dims[along], dims[along + 1..].iter().product());
    let chunk = size * inner;
    if chunk == 0 {
        return Err(format!("cannot select from shape {dims:?}"));
    }
    let data = map_each!(x.data(), v => {
        let mut out = Vec::with_capacity(v.len() / size * indices.len());
        for block in v.chunks_exact(chunk) {
            for &i in indices {
                out.extend_from_slice(&block[i * inner..(i + 1) * inner]);
            }
        }
        out
    });
    Tensor::made(shape, data)
}

fn indices(given: &Tensor, size: usize) -> Result<Vec<usize>, Problem> {
    given
        .to_i64()?
        .into_iter()
        .map(|i| axis(i, size).map_err(|_| format!("index {i} is outside 0..{size}")))
        .collect()
}

/// `Gather` (ai.onnx 1–13).
pub(super) fn gather(cx: &Context<'_>) -> Result<Kernel, Problem> {
    let along = cx.attributes.int("axis", 0);
    Ok(Box::new(move |operands| {
        let (x, at) = (operand(operands, 0)?, operand(operands, 1)?);
        let along = axis(along, x.shape().len())?;
        let indices = indices(at, x.shape()[along])?;
        let dims = [&x.shape()[..along], &at.shape(), &x.shape()[along + 1..]].concat();
        Ok(vec![take(x, along, &indices, Shape::new(&dims).ok_or("too many dimensions")?)?])
    }))
}

/// `ArrayFeatureExtractor` (ai.onnx.ml 1): selects along the last axis.
pub(super) fn array_feature_extractor(_: &Context<'_>) -> Result<Kernel, Problem> {
    Ok(Box::new(|operands| {
        let (x, at) = (operand(operands, 0)?, operand(operands, 1)?);
        let shape = x.shape();
        let (&last, front) = shape.split_last().ok_or("the input is a scalar")?;
        let indices = indices(at, last)?;
        // A vector is one row.
        let mut dims = if front.is_empty() { vec![1] } else { front.to_vec() };
        dims.push(indices.len());
        Ok(vec![take(x, shape.len() - 1, &indices, Shape::new(&dims).ok_or("too many dimensions")?)?])
    }))
}

/// `Concat` (ai.onnx 4–13).
pub(super) fn concat(cx: &Context<'_>) -> Result<Kernel, Problem> {
    let along = cx.attributes.int("axis", 1);
    Ok(Box::new(move |operands| Ok(vec![join(operands, along)?])))
}

fn join(operands: &[Option<&Tensor>], along: i64) -> Result<Tensor, Problem> {
    let parts: Vec<&Tensor> = operands.iter().copied().flatten().collect();
    let first = *parts.first().ok_or("there is nothing to join")?;
    let shape = first.shape();
    let along = axis(along, shape.len())?;
    let mut total = 0usize;
    for part in &parts {
        let fits = part.shape().len() == shape.len()
            && part.shape().iter().zip(shape.iter()).enumerate().all(|(i, (a, b))| i == along || a == b);
        if !fits || part.dtype() != first.dtype() {
            return Err(format!(
                "cannot join {} {:?} with {} {shape:?} along axis {along}",
                part.dtype(),
                part.shape(),
                first.dtype()
            ));
        }
        total = total.checked_add(part.shape()[along]).ok_or("the result is too large")?;
    }
    let mut dims = shape.to_vec();
    dims[along] = total;
    let shape = Shape::new(&dims).ok_or("too many dimensions")?;
    let elements = checked_elements(shape)?;
    let outer: usize = dims[..along].iter().product();
    /// Joins vectors of one type; the others were refused above.
    macro_rules! joined {
        ($kind:ident) => {{
            let mut slices = Vec::with_capacity(parts.len());
            for part in &parts {
                if let Data::$kind(v) = part.data() {
                    slices.push((v.as_slice(), v.len().checked_div(outer).unwrap_or(0)));
                }
            }
            let mut out = Vec::with_capacity(elements);
            for block in 0..outer {
                for (v, width) in &slices {
                    out.extend_from_slice(&v[block * width..(block + 1) * width]);
                }
            }
            Data::$kind(out)
        }};
    }
    let data = match first.data() {
        Data::F32(_) => joined!(F32),
        Data::F64(_) => joined!(F64),
        Data::I64(_) => joined!(I64),
        Data::I32(_) => joined!(I32),
        Data::Bool(_) => joined!(Bool),
        Data::Str(_) => joined!(Str),
    };
    Tensor::made(shape, data)
}

/// `FeatureVectorizer` (ai.onnx.ml 1): joins numeric inputs into one float matrix.
pub(super) fn feature_vectorizer(_: &Context<'_>) -> Result<Kernel, Problem> {
    Ok(Box::new(|operands| {
        let mut parts = Vec::with_capacity(operands.len());
        for part in operands.iter().copied().flatten() {
            let (rows, columns) = part.rows_columns();
            parts.push(Tensor::made(Shape::matrix(rows, columns), Data::F32(part.to_f32()?.into_owned()))?);
        }
        let parts: Vec<Option<&Tensor>> = parts.iter().map(Some).collect();
        Ok(vec![join(&parts, 1)?])
    }))
}
