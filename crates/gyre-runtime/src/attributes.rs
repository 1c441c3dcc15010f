//! Reads a node's attributes and constant tensors, checking types and sizes.

use std::sync::Arc;

use crate::error::{LoadError, Problem};
use crate::limits::Limits;
use crate::proto::{AttributeProto, NodeProto, TensorProto};
use crate::tensor::{DType, Data, Tensor};

/// The attributes of one node, read by name. A missing attribute gives the default of the operator's specification.
pub(crate) struct Attributes<'a>(&'a [AttributeProto]);

impl<'a> Attributes<'a> {
    pub(crate) fn of(node: &'a NodeProto) -> Self {
        Self(&node.attribute)
    }

    fn find(&self, name: &str) -> Option<&'a AttributeProto> {
        self.0.iter().find(|a| a.name == name)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    pub(crate) fn int(&self, name: &str, default: i64) -> i64 {
        self.find(name).map_or(default, |a| a.i)
    }

    pub(crate) fn float(&self, name: &str, default: f32) -> f32 {
        self.find(name).map_or(default, |a| a.f)
    }

    pub(crate) fn ints(&self, name: &str) -> &'a [i64] {
        self.find(name).map_or(&[], |a| &a.ints)
    }

    pub(crate) fn floats(&self, name: &str) -> &'a [f32] {
        self.find(name).map_or(&[], |a| &a.floats)
    }

    pub(crate) fn text(&self, name: &str, default: &str) -> Result<Arc<str>, Problem> {
        self.find(name).map_or(Ok(default.into()), |a| utf8(&a.s, name))
    }

    pub(crate) fn texts(&self, name: &str) -> Result<Vec<Arc<str>>, Problem> {
        self.find(name).map_or(Ok(vec![]), |a| a.strings.iter().map(|s| utf8(s, name)).collect())
    }

    pub(crate) fn tensor(&self, name: &str) -> Result<Option<Tensor>, Problem> {
        self.find(name)
            .and_then(|a| a.t.as_ref())
            .map(|t| read(t).map_err(|p| format!("{name}: {p}")))
            .transpose()
    }

    /// Floats given either as a list or as a tensor attribute with the suffix `_as_tensor` (ai.onnx.ml 3 and later).
    pub(crate) fn floats_or_tensor(&self, name: &str) -> Result<Vec<f32>, Problem> {
        match self.tensor(&format!("{name}_as_tensor"))? {
            Some(tensor) => Ok(tensor.to_f32()?.into_owned()),
            None => Ok(self.floats(name).to_vec()),
        }
    }
}

fn utf8(bytes: &[u8], name: &str) -> Result<Arc<str>, Problem> {
    std::str::from_utf8(bytes).map(Arc::from).map_err(|_| format!("attribute {name} is not UTF-8"))
}

/// Reads an initializer.
pub(crate) fn initializer(proto: &TensorProto) -> Result<Tensor, LoadError> {
    // Numbers up to here are types of ONNX, as of IR version 13.
    if (1..=26).contains(&proto.data_type) && DType::from_onnx(proto.data_type).is_none() {
        return Err(LoadError::ElementType { name: proto.name.clone(), number: proto.data_type });
    }
    read(proto).map_err(|problem| LoadError::Tensor { name: proto.name.clone(), problem })
}

fn read(proto: &TensorProto) -> Result<Tensor, Problem> {
    if proto.data_location != 0 || !proto.external_data.is_empty() {
        return Err("its data lies in another file, which is refused; save the model as one file".into());
    }
    let dtype = DType::from_onnx(proto.data_type)
        .ok_or_else(|| format!("element type {} is not supported", proto.data_type))?;
    let mut dims = Vec::with_capacity(proto.dims.len());
    for &d in &proto.dims {
        dims.push(usize::try_from(d).map_err(|_| format!("dimension {d} is negative"))?);
    }
    let expected = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    let expected = match expected {
        Some(n) if n <= Limits::DEFAULT.tensor_elements => n,
        _ => {
            return Err(format!(
                "shape {dims:?} is above the limit of {} elements",
                Limits::DEFAULT.tensor_elements
            ));
        }
    };
    let raw = &proto.raw_data;
    let data = match dtype {
        DType::F32 if raw.is_empty() => Data::F32(proto.float_data.clone()),
        DType::F32 => Data::F32(words(raw, f32::from_le_bytes)?),
        DType::F64 if raw.is_empty() => Data::F64(proto.double_data.clone()),
        DType::F64 => Data::F64(words(raw, f64::from_le_bytes)?),
        DType::I64 if raw.is_empty() => Data::I64(proto.int64_data.clone()),
        DType::I64 => Data::I64(words(raw, i64::from_le_bytes)?),
        DType::I32 if raw.is_empty() => Data::I32(proto.int32_data.clone()),
        DType::I32 => Data::I32(words(raw, i32::from_le_bytes)?),
        DType::Bool if raw.is_empty() => Data::Bool(proto.int32_data.iter().map(|&x| x != 0).collect()),
        DType::Bool => Data::Bool(raw.iter().map(|&x| x != 0).collect()),
        DType::Str => {
            Data::Str(proto.string_data.iter().map(|s| utf8(s, "string_data")).collect::<Result<_, _>>()?)
        }
    };
    if data.len() != expected {
        return Err(format!("shape {dims:?} needs {expected} elements, found {}", data.len()));
    }
    Tensor::new(&dims, data).ok_or_else(|| format!("{} dimensions are too many", dims.len()))
}

fn words<const N: usize, T>(raw: &[u8], from: fn([u8; N]) -> T) -> Result<Vec<T>, Problem> {
    let (chunks, rest) = raw.as_chunks::<N>();
    if !rest.is_empty() {
        return Err(format!("{} bytes are not a whole number of {N}-byte elements", raw.len()));
    }
    Ok(chunks.iter().map(|c| from(*c)).collect())
}
