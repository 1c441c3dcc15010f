//! `LabelEncoder` and `OneHotEncoder`: categories to numbers.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Context, Kernel, operand};
use crate::attributes::Attributes;
use crate::error::Problem;
use crate::tensor::{DType, Data, Shape, Tensor, checked_elements, map_each, pick};

/// Where each key stands in the list of keys; the first of equal keys wins.
enum Keys {
    Texts(HashMap<Arc<str>, usize>),
    Ints(HashMap<i64, usize>),
    /// By canonical bits, so that NaN is found and −0 is 0.
    Floats(HashMap<u64, usize>),
}

fn bits(x: f64) -> u64 {
    if x.is_nan() { f64::NAN.to_bits() } else { (x + 0.0).to_bits() }
}

fn positions<K: std::hash::Hash + Eq>(keys: impl Iterator<Item = K>) -> HashMap<K, usize> {
    let mut map = HashMap::new();
    for (i, key) in keys.enumerate() {
        map.entry(key).or_insert(i);
    }
    map
}

impl Keys {
    fn new(data: &Data) -> Result<Keys, Problem> {
        Ok(match data {
            Data::Str(v) => Keys::Texts(positions(v.iter().cloned())),
            Data::I64(v) => Keys::Ints(positions(v.iter().copied())),
            Data::I32(v) => Keys::Ints(positions(v.iter().map(|&x| x.into()))),
            Data::F32(v) => Keys::Floats(positions(v.iter().map(|&x| bits(x.into())))),
            Data::F64(v) => Keys::Floats(positions(v.iter().map(|&x| bits(x)))),
            Data::Bool(v) => Keys::Ints(positions(v.iter().map(|&x| x.into()))),
        })
    }

    /// For each element its key's place, or `missing`.
    fn find(&self, data: &Data, missing: usize) -> Result<Vec<usize>, Problem> {
        let or = |place: Option<&usize>| place.copied().unwrap_or(missing);
        Ok(match (self, data) {
            (Keys::Texts(map), Data::Str(v)) => v.iter().map(|x| or(map.get(x))).collect(),
            (Keys::Ints(map), Data::I64(v)) => v.iter().map(|x| or(map.get(x))).collect(),
            (Keys::Ints(map), Data::I32(v)) => v.iter().map(|&x| or(map.get(&x.into()))).collect(),
            (Keys::Ints(map), Data::Bool(v)) => v.iter().map(|&x| or(map.get(&x.into()))).collect(),
            // OneHotEncoder reads floats as integer categories.
            (Keys::Ints(map), Data::F32(v)) => v.iter().map(|&x| or(map.get(&(x as i64)))).collect(),
            (Keys::Ints(map), Data::F64(v)) => v.iter().map(|&x| or(map.get(&(x as i64)))).collect(),
            (Keys::Floats(map), Data::F32(v)) => v.iter().map(|&x| or(map.get(&bits(x.into())))).collect(),
            (Keys::Floats(map), Data::F64(v)) => v.iter().map(|&x| or(map.get(&bits(x)))).collect(),
            (keys, data) => {
                let expected = match keys {
                    Keys::Texts(_) => "string",
                    Keys::Ints(_) => "integer",
                    Keys::Floats(_) => "float",
                };
                return Err(format!("expected {expected} categories, found {}", data.dtype()));
            }
        })
    }
}

/// A list attribute under any of its typed names (`keys_strings`, `keys_int64s`, `keys_floats`, `keys_tensor`).
fn typed_list(a: &Attributes<'_>, stem: &str) -> Result<Option<Data>, Problem> {
    if let Some(tensor) = a.tensor(&format!("{stem}_tensor"))? {
        return Ok(Some(tensor.into_data()));
    }
    let name = |kind: &str| format!("{stem}_{kind}");
    Ok(if a.has(&name("strings")) {
        Some(Data::Str(a.texts(&name("strings"))?))
    } else if a.has(&name("int64s")) {
        Some(Data::I64(a.ints(&name("int64s")).to_vec()))
    } else if a.has(&name("floats")) {
        Some(Data::F32(a.floats(&name("floats")).to_vec()))
    } else {
        None
    })
}

/// The value for an unknown key, of the values' type.
fn default_value(a: &Attributes<'_>, dtype: DType) -> Result<Data, Problem> {
    if let Some(tensor) = a.tensor("default_tensor")? {
        let data = tensor.into_data();
        if data.dtype() == dtype && data.len() == 1 {
            return Ok(data);
        }
        return Err(format!("default_tensor must be one {dtype}"));
    }
    Ok(match dtype {
        DType::Str => Data::Str(vec![a.text("default_string", "_Unused")?]),
        DType::I64 => Data::I64(vec![a.int("default_int64", -1)]),
        DType::F32 => Data::F32(vec![a.float("default_float", -0.0)]),
        DType::F64 => Data::F64(vec![a.float("default_float", -0.0).into()]),
        DType::I32 => Data::I32(vec![i32::try_from(a.int("default_int64", -1)).map_err(|e| e.to_string())?]),
        DType::Bool => return Err("boolean values are not supported".into()),
    })
}

fn append(values: Data, default: Data) -> Result<Data, Problem> {
    Ok(match (values, default) {
        (Data::Str(mut v), Data::Str(d)) => {
            v.extend(d);
            Data::Str(v)
        }
        (Data::I64(mut v), Data::I64(d)) => {
            v.extend(d);
            Data::I64(v)
        }
        (Data::I32(mut v), Data::I32(d)) => {
            v.extend(d);
            Data::I32(v)
        }
        (Data::F32(mut v), Data::F32(d)) => {
            v.extend(d);
            Data::F32(v)
        }
        (Data::F64(mut v), Data::F64(d)) => {
            v.extend(d);
            Data::F64(v)
        }
        (values, default) => {
            return Err(format!("values are {}, the default is {}", values.dtype(), default.dtype()));
        }
    })
}

/// One direction of a label encoder.
struct Mapping {
    keys: Keys,
    /// One a key, then the default.
    values: Data,
    default_at: usize,
}

impl Mapping {
    fn new(keys: &Data, values: Data, default: Data) -> Result<Mapping, Problem> {
        if keys.len() != values.len() {
            return Err(format!("{} keys but {} values", keys.len(), values.len()));
        }
        Ok(Mapping { keys: Keys::new(keys)?, default_at: values.len(), values: append(values, default)? })
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor, Problem> {
        let found = self.keys.find(x.data(), self.default_at)?;
        // `find` gives only places of keys, and the default's.
        let data = map_each!(&self.values, v => pick(v, &found));
        Tensor::made(x.shape(), data)
    }
}

/// `LabelEncoder` (ai.onnx.ml 1, 2, 4): looks each element up in a table; unknown ones get the default. A key that is NaN
/// is found since version 4; before, NaN equals nothing.
pub(super) fn label_encoder(cx: &Context<'_>) -> Result<Kernel, Problem> {
    let a = &cx.attributes;
    if a.has("classes_strings") {
        // Version 1: text to its index, or an index to its text.
        let texts = Data::Str(a.texts("classes_strings")?);
        let indices = Data::I64((0..i64::try_from(texts.len()).map_err(|e| e.to_string())?).collect());
        let encode = Mapping::new(&texts, indices.clone(), default_value(a, DType::I64)?)?;
        let decode = Mapping::new(&indices, texts, default_value(a, DType::Str)?)?;
        return Ok(Box::new(move |operands| {
            let x = operand(operands, 0)?;
            Ok(vec![if x.dtype() == DType::Str { encode.apply(x) } else { decode.apply(x) }?])
        }));
    }
    let keys = typed_list(a, "keys")?.ok_or("no keys are given")?;
    let values = typed_list(a, "values")?.ok_or("no values are given")?;
    let default = default_value(a, values.dtype())?;
    let mut mapping = Mapping::new(&keys, values, default)?;
    if let Keys::Floats(map) = &mut mapping.keys
        && cx.opset < 4
    {
        map.remove(&bits(f64::NAN));
    }
    Ok(Box::new(move |operands| Ok(vec![mapping.apply(operand(operands, 0)?)?])))
}

/// `OneHotEncoder` (ai.onnx.ml 1): adds a last dimension with a one at the category's place. An unknown category is all
/// zeros when `zeros` is set, else an error.
pub(super) fn one_hot(cx: &Context<'_>) -> Result<Kernel, Problem> {
    let a = &cx.attributes;
    let categories = typed_list(a, "cats")?.ok_or("neither cats_strings nor cats_int64s is given")?;
    let width = categories.len();
    let keys = Keys::new(&categories)?;
    let zeros = a.int("zeros", 1) != 0;
    Ok(Box::new(move |operands| {
        let x = operand(operands, 0)?;
        let mut dims = x.shape().to_vec();
        dims.push(width);
        let shape = Shape::new(&dims).ok_or("the input has too many dimensions")?;
        let mut out = vec![0.0f32; checked_elements(shape)?];
        let found = keys.find(x.data(), width)?;
        if !zeros && let Some(at) = found.iter().position(|&i| i == width) {
            return Err(format!("element {at} is an unknown category"));
        }
        for (slots, place) in out.chunks_exact_mut(width.max(1)).zip(found) {
            if let Some(slot) = slots.get_mut(place) {
                *slot = 1.0;
            }
        }
        Ok(vec![Tensor::made(shape, Data::F32(out))?])
    }))
}
