//! Element-wise operators with NumPy's broadcasting (ONNX, "Broadcasting in ONNX").

use super::{Context, Kernel, operand, optional};
use crate::error::Problem;
use crate::tensor::{DType, Data, Shape, Tensor, checked_elements};

/// The shape that two shapes broadcast to.
fn broadcast(a: &[usize], b: &[usize]) -> Result<Shape, Problem> {
    let rank = a.len().max(b.len());
    let at = |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).map_or(1, |j| s[j]);
    let mut dims = Vec::with_capacity(rank);
    for i in 0..rank {
        dims.push(match (at(a, i), at(b, i)) {
            (x, y) if x == y => x,
            (1, y) => y,
            (x, 1) => x,
            _ => return Err(format!("shapes {a:?} and {b:?} do not broadcast")),
        });
    }
    Shape::new(&dims).ok_or_else(|| "too many dimensions".into())
}

/// For each element of `to`, the place of the element of `from` that it reads.
fn places(from: &[usize], to: Shape) -> Result<Vec<usize>, Problem> {
    let n = checked_elements(to)?;
    if from.iter().product::<usize>() == 1 {
        return Ok(vec![0; n]);
    }
    if from == &*to {
        return Ok((0..n).collect());
    }
    let offset = to.len() - from.len();
    let mut strides = vec![0usize; to.len()];
    let mut stride = 1;
    for (i, &d) in from.iter().enumerate().rev() {
        if d != 1 {
            strides[offset + i] = stride;
        }
        stride *= d;
    }
    Ok((0..n)
        .map(|mut flat| {
            let mut place = 0;
            for (&d, &s) in to.iter().zip(&strides).rev() {
                place += flat % d * s;
                flat /= d;
            }
            place
        })
        .collect())
}

fn zip<T: Clone, U>(
    (a, a_shape): (&[T], Shape),
    (b, b_shape): (&[T], Shape),
    f: impl Fn(&T, &T) -> U,
) -> Result<(Shape, Vec<U>), Problem> {
    if a_shape == b_shape {
        return Ok((a_shape, a.iter().zip(b).map(|(x, y)| f(x, y)).collect()));
    }
    let shape = broadcast(&a_shape, &b_shape)?;
    let (left, right) = (places(&a_shape, shape)?, places(&b_shape, shape)?);
    Ok((shape, left.into_iter().zip(right).map(|(i, j)| f(&a[i], &b[j])).collect()))
}

fn differ(a: &Tensor, b: &Tensor) -> Problem {
    format!("the operands are {} and {}", a.dtype(), b.dtype())
}

/// An operator on two tensors of the same numbers; integers wrap, and integer division by zero is an error.
macro_rules! binary {
    ($(#[$doc:meta] $name:ident, $float:expr, $int:ident;)*) => {$(
        #[$doc]
        pub(super) fn $name(_: &Context<'_>) -> Result<Kernel, Problem> {
            Ok(Box::new(|operands| {
                let (a, b) = (operand(operands, 0)?, operand(operands, 1)?);
                let (s, t) = (a.shape(), b.shape());
                let made = match (a.data(), b.data()) {
                    (Data::F32(x), Data::F32(y)) => {
                        let f: fn(f32, f32) -> f32 = $float;
                        zip((x, s), (y, t), |&x, &y| f(x, y)).map(|(s, v)| (s, Data::F32(v)))
                    }
                    (Data::F64(x), Data::F64(y)) => {
                        let f: fn(f64, f64) -> f64 = $float;
                        zip((x, s), (y, t), |&x, &y| f(x, y)).map(|(s, v)| (s, Data::F64(v)))
                    }
                    (Data::I64(x), Data::I64(y)) => {
                        let (s, v) = zip((x, s), (y, t), |x, &y| i64::$int(*x, y))?;
                        let v: Option<Vec<i64>> = v.into_iter().collect();
                        Ok((s, Data::I64(v.ok_or("integer overflow or division by zero")?)))
                    }
                    (Data::I32(x), Data::I32(y)) => {
                        let (s, v) = zip((x, s), (y, t), |x, &y| i32::$int(*x, y))?;
                        let v: Option<Vec<i32>> = v.into_iter().collect();
                        Ok((s, Data::I32(v.ok_or("integer overflow or division by zero")?)))
                    }
                    _ => Err(differ(a, b)),
                };
                let (shape, data) = made?;
                Ok(vec![Tensor::made(shape, data)?])
            }))
        }
    )*};
}

binary! {
    /// `Add` (ai.onnx 7–14).
    add, |x, y| x + y, checked_add;
    /// `Sub` (ai.onnx 7–14).
    sub, |x, y| x - y, checked_sub;
    /// `Mul` (ai.onnx 7–14).
    mul, |x, y| x * y, checked_mul;
    /// `Div` (ai.onnx 7–14).
    div, |x, y| x / y, checked_div;
}

/// An operator that compares two tensors of the same type.
macro_rules! compare {
    ($(#[$doc:meta] $name:ident, $op:tt;)*) => {$(
        #[$doc]
        pub(super) fn $name(_: &Context<'_>) -> Result<Kernel, Problem> {
            Ok(Box::new(|operands| {
                let (a, b) = (operand(operands, 0)?, operand(operands, 1)?);
                let (s, t) = (a.shape(), b.shape());
                let (shape, v) = match (a.data(), b.data()) {
                    (Data::F32(x), Data::F32(y)) => zip((x, s), (y, t), |x, y| x $op y),
                    (Data::F64(x), Data::F64(y)) => zip((x, s), (y, t), |x, y| x $op y),
                    (Data::I64(x), Data::I64(y)) => zip((x, s), (y, t), |x, y| x $op y),
                    (Data::I32(x), Data::I32(y)) => zip((x, s), (y, t), |x, y| x $op y),
                    (Data::Bool(x), Data::Bool(y)) => zip((x, s), (y, t), |x, y| x $op y),
                    (Data::Str(x), Data::Str(y)) => zip((x, s), (y, t), |x, y| x $op y),
                    _ => Err(differ(a, b)),
                }?;
                Ok(vec![Tensor::made(shape, Data::Bool(v))?])
            }))
        }
    )*};
}

compare! {
    /// `Equal` (ai.onnx 7–19).
    equal, ==;
    /// `Less` (ai.onnx 7–13).
    less, <;
    /// `LessOrEqual` (ai.onnx 12–16).
    less_or_equal, <=;
    /// `Greater` (ai.onnx 7–13).
    greater, >;
    /// `GreaterOrEqual` (ai.onnx 12–16).
    greater_or_equal, >=;
}

fn logical(f: fn(bool, bool) -> bool) -> Kernel {
    Box::new(move |operands| {
        let (a, b) = (operand(operands, 0)?, operand(operands, 1)?);
        let (Data::Bool(x), Data::Bool(y)) = (a.data(), b.data()) else { return Err(differ(a, b)) };
        let (shape, v) = zip((x, a.shape()), (y, b.shape()), |&x, &y| f(x, y))?;
        Ok(vec![Tensor::made(shape, Data::Bool(v))?])
    })
}

/// `And` (ai.onnx 7).
pub(super) fn and(_: &Context<'_>) -> Result<Kernel, Problem> {
    Ok(logical(|x, y| x && y))
}

/// `Or` (ai.onnx 7).
pub(super) fn or(_: &Context<'_>) -> Result<Kernel, Problem> {
    Ok(logical(|x, y| x || y))
}

/// `Not` (ai.onnx 1).
pub(super) fn not(_: &Context<'_>) -> Result<Kernel, Problem> {
    Ok(Box::new(|operands| {
        let x = operand(operands, 0)?;
        let Data::Bool(v) = x.data() else { return Err(format!("expected bool, found {}", x.dtype())) };
        Ok(vec![Tensor::made(x.shape(), Data::Bool(v.iter().map(|b| !b).collect()))?])
    }))
}

/// An operator on the floats of one tensor.
fn unary(single: fn(f32) -> f32, double: fn(f64) -> f64) -> Kernel {
    Box::new(move |operands| {
        let x = operand(operands, 0)?;
        let data = match x.data() {
            Data::F32(v) => Data::F32(v.iter().map(|&x| single(x)).collect()),
            Data::F64(v) => Data::F64(v.iter().map(|&x| double(x)).collect()),
            other => return Err(format!("expected floats, found {}", other.dtype())),
        };
        Ok(vec![Tensor::made(x.shape(), data)?])
    })
}

macro_rules! functions {
    ($(#[$doc:meta] $name:ident, $single:expr, $double:expr;)*) => {$(
        #[$doc]
        pub(super) fn $name(_: &Context<'_>) -> Result<Kernel, Problem> {
            Ok(unary($single, $double))
        }
    )*};
}

functions! {
    /// `Abs` (ai.onnx 6–13).
    abs, f32::abs, f64::abs;
    /// `Neg` (ai.onnx 6–13).
    neg, |x| -x, |x| -x;
    /// `Exp` (ai.onnx 6–13).
    exp, f32::exp, f64::exp;
    /// `Log` (ai.onnx 6–13).
    log, f32::ln, f64::ln;
    /// `Sqrt` (ai.onnx 6–13).
    sqrt, f32::sqrt, f64::sqrt;
    /// `Tanh` (ai.onnx 6–13).
    tanh, f32::tanh, f64::tanh;
    /// `Sigmoid` (ai.onnx 6–13).
    sigmoid, |x| super::transform::logistic(x.into()) as f32, super::transform::logistic;
    /// `Relu` (ai.onnx 6–14); NaN stays NaN.
    relu, |x| if x < 0.0 { 0.0 } else { x }, |x| if x < 0.0 { 0.0 } else { x };
}

/// `IsNaN` (ai.onnx 9–20).
pub(super) fn is_nan(_: &Context<'_>) -> Result<Kernel, Problem> {
    Ok(Box::new(|operands| {
        let x = operand(operands, 0)?;
        let v = match x.data() {
            Data::F32(v) => v.iter().map(|x| x.is_nan()).collect(),
            Data::F64(v) => v.iter().map(|x| x.is_nan()).collect(),
            other => return Err(format!("expected floats, found {}", other.dtype())),
        };
        Ok(vec![Tensor::made(x.shape(), Data::Bool(v))?])
    }))
}

/// `Clip` (ai.onnx 6–13), on 32-bit floats: bounds are attributes before opset 11, operands since.
pub(super) fn clip(cx: &Context<'_>) -> Result<Kernel, Problem> {
    let (low, high) = (cx.attributes.float("min", f32::MIN), cx.attributes.float("max", f32::MAX));
    Ok(Box::new(move |operands| {
        let x = operand(operands, 0)?;
        let Data::F32(v) = x.data() else { return Err(format!("expected float32, found {}", x.dtype())) };
        let bound = |i: usize, otherwise: f32| -> Result<f32, Problem> {
            let Some(t) = optional(operands, i) else { return Ok(otherwise) };
            t.to_f32()?.first().copied().ok_or_else(|| format!("operand {i} is empty"))
        };
        let (low, high) = (bound(1, low)?, bound(2, high)?);
        Ok(vec![Tensor::made(x.shape(), Data::F32(v.iter().map(|&x| x.max(low).min(high)).collect()))?])
    }))
}

/// `Where` (ai.onnx 9–16).
pub(super) fn select(_: &Context<'_>) -> Result<Kernel, Problem> {
    Ok(Box::new(|operands| {
        let (condition, a, b) = (operand(operands, 0)?, operand(operands, 1)?, operand(operands, 2)?);
        let Data::Bool(holds) = condition.data() else {
            return Err(format!("the condition is {}, expected {}", condition.dtype(), DType::Bool));
        };
        let shape = broadcast(&broadcast(&a.shape(), &b.shape())?, &condition.shape())?;
        let holds: Vec<bool> = places(&condition.shape(), shape)?.into_iter().map(|i| holds[i]).collect();
        let (left, right) = (places(&a.shape(), shape)?, places(&b.shape(), shape)?);
        let chooser = Chooser { holds: &holds, left: &left, right: &right };
        let data = match (a.data(), b.data()) {
            (Data::F32(x), Data::F32(y)) => Data::F32(chooser.choose(x, y)),
            (Data::F64(x), Data::F64(y)) => Data::F64(chooser.choose(x, y)),
            (Data::I64(x), Data::I64(y)) => Data::I64(chooser.choose(x, y)),
            (Data::I32(x), Data::I32(y)) => Data::I32(chooser.choose(x, y)),
            (Data::Bool(x), Data::Bool(y)) => Data::Bool(chooser.choose(x, y)),
            (Data::Str(x), Data::Str(y)) => Data::Str(chooser.choose(x, y)),
            _ => return Err(differ(a, b)),
        };
        Ok(vec![Tensor::made(shape, data)?])
    }))
}

/// For each element: which side it takes, and its place in each.
struct Chooser<'a> {
    holds: &'a [bool],
    left: &'a [usize],
    right: &'a [usize],
}

impl Chooser<'_> {
    fn choose<T: Clone>(&self, x: &[T], y: &[T]) -> Vec<T> {
        let places = self.left.iter().zip(self.right);
        self.holds
            .iter()
            .zip(places)
            .map(|(&h, (&i, &j))| if h { x[i].clone() } else { y[j].clone() })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_broadcast_from_the_right() {
        assert_eq!(&*broadcast(&[3, 1], &[4]).unwrap(), [3, 4]);
        assert_eq!(&*broadcast(&[], &[2, 2]).unwrap(), [2, 2]);
        assert!(broadcast(&[3], &[4]).is_err());
        assert_eq!(places(&[3, 1], Shape::matrix(3, 2)).unwrap(), [0, 0, 1, 1, 2, 2]);
        assert_eq!(places(&[2], Shape::matrix(3, 2)).unwrap(), [0, 1, 0, 1, 0, 1]);
    }

    #[test]
    fn empty_dimensions_do_not_divide_by_zero() {
        assert_eq!(places(&[0, 2], Shape::matrix(0, 2)).unwrap(), Vec::<usize>::new());
    }
}
