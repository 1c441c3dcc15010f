//! Tensors: a shape and its elements in row-major order.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::error::Problem;
use crate::limits::Limits;
use crate::proto::data_type;

/// Most dimensions of a tensor. Tabular graphs use two, seldom three.
pub const MAX_RANK: usize = 6;

/// Type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// 64-bit signed integer.
    I64,
    /// 32-bit signed integer.
    I32,
    /// Boolean.
    Bool,
    /// UTF-8 text.
    Str,
}

impl DType {
    /// The type with this number in ONNX's `TensorProto.DataType`, if the engine has it.
    pub fn from_onnx(number: i32) -> Option<DType> {
        Some(match number {
            data_type::FLOAT => DType::F32,
            data_type::DOUBLE => DType::F64,
            data_type::INT64 => DType::I64,
            data_type::INT32 => DType::I32,
            data_type::BOOL => DType::Bool,
            data_type::STRING => DType::Str,
            _ => return None,
        })
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "float32",
            DType::F64 => "float64",
            DType::I64 => "int64",
            DType::I32 => "int32",
            DType::Bool => "bool",
            DType::Str => "string",
        })
    }
}

/// Dimensions of a tensor, outermost first; at most [`MAX_RANK`]. Held inline, because a single prediction would
/// otherwise spend more on allocating shapes than on arithmetic.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    rank: u8,
    dims: [usize; MAX_RANK],
}

impl Shape {
    /// A shape of these dimensions; `None` above [`MAX_RANK`], or when they are so large that products of them, empty
    /// dimensions left aside, overflow.
    pub fn new(dims: &[usize]) -> Option<Shape> {
        dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1)))?;
        let mut out = [1; MAX_RANK];
        out.get_mut(..dims.len())?.copy_from_slice(dims);
        Some(Shape { rank: u8::try_from(dims.len()).ok()?, dims: out })
    }

    /// A vector of `n`.
    pub fn vector(n: usize) -> Shape {
        let mut dims = [1; MAX_RANK];
        dims[0] = n;
        Shape { rank: 1, dims }
    }

    /// A matrix of `rows` × `columns`.
    pub fn matrix(rows: usize, columns: usize) -> Shape {
        let mut dims = [1; MAX_RANK];
        dims[0] = rows;
        dims[1] = columns;
        Shape { rank: 2, dims }
    }

    /// Number of elements; `None` when it does not fit a `usize`.
    pub fn elements(&self) -> Option<usize> {
        self.iter().try_fold(1usize, |n, &d| n.checked_mul(d))
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.dims[..usize::from(self.rank)]
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &**self)
    }
}

/// The elements of a tensor. Strings are shared, so that moving them through a graph copies a pointer.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit floats.
    F64(Vec<f64>),
    /// 64-bit integers.
    I64(Vec<i64>),
    /// 32-bit integers.
    I32(Vec<i32>),
    /// Booleans.
    Bool(Vec<bool>),
    /// Text.
    Str(Vec<Arc<str>>),
}

/// Does the same to whichever vector is inside.
macro_rules! each {
    ($data:expr, $v:ident => $body:expr) => {
        match $data {
            $crate::tensor::Data::F32($v) => $body,
            $crate::tensor::Data::F64($v) => $body,
            $crate::tensor::Data::I64($v) => $body,
            $crate::tensor::Data::I32($v) => $body,
            $crate::tensor::Data::Bool($v) => $body,
            $crate::tensor::Data::Str($v) => $body,
        }
    };
}

/// Does the same to whichever vector is inside, and wraps the vector that comes out as the same kind.
macro_rules! map_each {
    ($data:expr, $v:ident => $body:expr) => {
        match $data {
            $crate::tensor::Data::F32($v) => $crate::tensor::Data::F32($body),
            $crate::tensor::Data::F64($v) => $crate::tensor::Data::F64($body),
            $crate::tensor::Data::I64($v) => $crate::tensor::Data::I64($body),
            $crate::tensor::Data::I32($v) => $crate::tensor::Data::I32($body),
            $crate::tensor::Data::Bool($v) => $crate::tensor::Data::Bool($body),
            $crate::tensor::Data::Str($v) => $crate::tensor::Data::Str($body),
        }
    };
}
pub(crate) use map_each;

/// The elements at these places, which the caller keeps inside.
pub(crate) fn pick<T: Clone>(values: &[T], places: &[usize]) -> Vec<T> {
    places.iter().map(|&i| values[i].clone()).collect()
}

impl Data {
    /// Number of elements.
    pub fn len(&self) -> usize {
        each!(self, v => v.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Type of the elements.
    pub fn dtype(&self) -> DType {
        match self {
            Data::F32(_) => DType::F32,
            Data::F64(_) => DType::F64,
            Data::I64(_) => DType::I64,
            Data::I32(_) => DType::I32,
            Data::Bool(_) => DType::Bool,
            Data::Str(_) => DType::Str,
        }
    }
}

/// A shape and as many elements as it says.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Shape,
    data: Data,
}

impl Tensor {
    /// A tensor; `None` when the number of elements is not the shape's, or the rank is above [`MAX_RANK`].
    pub fn new(dims: &[usize], data: Data) -> Option<Tensor> {
        let shape = Shape::new(dims)?;
        (shape.elements() == Some(data.len())).then_some(Tensor { shape, data })
    }

    /// A column: shape `[n, 1]`.
    pub fn column(data: Data) -> Tensor {
        Tensor { shape: Shape::matrix(data.len(), 1), data }
    }

    /// A vector: shape `[n]`.
    pub fn vector(data: Data) -> Tensor {
        Tensor { shape: Shape::vector(data.len()), data }
    }

    /// What an operator computed; a mismatch is a fault of the operator, told as a problem rather than a panic.
    pub(crate) fn made(shape: Shape, data: Data) -> Result<Tensor, Problem> {
        if shape.elements() == Some(data.len()) {
            Ok(Tensor { shape, data })
        } else {
            Err(format!("computed {} elements for shape {shape:?}", data.len()))
        }
    }

    /// Dimensions.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Elements.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The elements, given away.
    pub fn into_data(self) -> Data {
        self.data
    }

    /// Type of the elements.
    pub fn dtype(&self) -> DType {
        self.data.dtype()
    }

    /// Rows and columns, as the ONNX-ML operators read them: a vector is one row, a scalar one value, and dimensions
    /// beyond the second are columns too.
    pub(crate) fn rows_columns(&self) -> (usize, usize) {
        match &*self.shape {
            [] => (1, 1),
            [k] => (1, *k),
            [n, rest @ ..] => (*n, rest.iter().product()),
        }
    }

    /// The elements as 32-bit floats, converted when they are other numbers.
    pub(crate) fn to_f32(&self) -> Result<std::borrow::Cow<'_, [f32]>, Problem> {
        use std::borrow::Cow;
        Ok(match &self.data {
            Data::F32(v) => Cow::Borrowed(v),
            Data::F64(v) => Cow::Owned(v.iter().map(|&x| x as f32).collect()),
            Data::I64(v) => Cow::Owned(v.iter().map(|&x| x as f32).collect()),
            Data::I32(v) => Cow::Owned(v.iter().map(|&x| x as f32).collect()),
            Data::Bool(v) => Cow::Owned(v.iter().map(|&x| f32::from(x)).collect()),
            Data::Str(_) => return Err("expected numbers, found string".into()),
        })
    }

    /// The elements as 64-bit integers, when they are integers (shapes, axes, indices).
    pub(crate) fn to_i64(&self) -> Result<Vec<i64>, Problem> {
        match &self.data {
            Data::I64(v) => Ok(v.clone()),
            Data::I32(v) => Ok(v.iter().map(|&x| i64::from(x)).collect()),
            other => Err(format!("expected integers, found {}", other.dtype())),
        }
    }
}

/// Number of elements of a tensor about to be computed, checked against the limit before anything is allocated.
pub(crate) fn checked_elements(shape: Shape) -> Result<usize, Problem> {
    match shape.elements() {
        Some(n) if n <= Limits::DEFAULT.tensor_elements => Ok(n),
        _ => Err(format!(
            "the result would have shape {shape:?}, above the limit of {} elements",
            Limits::DEFAULT.tensor_elements
        )),
    }
}
