//! `Cast`: between element types, with text written and read as onnxruntime does.

use std::sync::Arc;

use super::{Context, Kernel, operand};
use crate::error::Problem;
use crate::tensor::{DType, Data, Tensor};

/// `Cast` (ai.onnx 6–21).
pub(super) fn cast(cx: &Context<'_>) -> Result<Kernel, Problem> {
    let number = cx.attributes.int("to", 0);
    let to = i32::try_from(number)
        .ok()
        .and_then(DType::from_onnx)
        .ok_or_else(|| format!("element type {number} is not supported"))?;
    Ok(Box::new(move |operands| {
        let x = operand(operands, 0)?;
        Ok(vec![Tensor::made(x.shape(), convert(x.data(), to)?)?])
    }))
}

fn convert(data: &Data, to: DType) -> Result<Data, Problem> {
    if data.dtype() == to {
        return Ok(data.clone());
    }
    if let Data::Str(texts) = data {
        return parse(texts, to);
    }
    /// Every numeric source to one numeric target.
    macro_rules! numbers {
        ($kind:ident, $t:ty) => {
            Data::$kind(match data {
                Data::F32(v) => v.iter().map(|&x| x as $t).collect(),
                Data::F64(v) => v.iter().map(|&x| x as $t).collect(),
                Data::I64(v) => v.iter().map(|&x| x as $t).collect(),
                Data::I32(v) => v.iter().map(|&x| x as $t).collect(),
                Data::Bool(v) => v.iter().map(|&x| u8::from(x) as $t).collect(),
                Data::Str(_) => Vec::new(),
            })
        };
    }
    Ok(match to {
        DType::F32 => numbers!(F32, f32),
        DType::F64 => numbers!(F64, f64),
        DType::I64 => numbers!(I64, i64),
        DType::I32 => numbers!(I32, i32),
        DType::Bool => Data::Bool(match data {
            Data::F32(v) => v.iter().map(|&x| x != 0.0).collect(),
            Data::F64(v) => v.iter().map(|&x| x != 0.0).collect(),
            Data::I64(v) => v.iter().map(|&x| x != 0).collect(),
            Data::I32(v) => v.iter().map(|&x| x != 0).collect(),
            Data::Bool(v) => v.clone(),
            Data::Str(_) => Vec::new(),
        }),
        DType::Str => Data::Str(match data {
            Data::F32(v) => v.iter().map(|&x| shortest(x.into(), 8)).collect(),
            Data::F64(v) => v.iter().map(|&x| shortest(x, 17)).collect(),
            Data::I64(v) => v.iter().map(|x| x.to_string().into()).collect(),
            Data::I32(v) => v.iter().map(|x| x.to_string().into()).collect(),
            Data::Bool(v) => v.iter().map(|&x| Arc::from(if x { "1" } else { "0" })).collect(),
            Data::Str(v) => v.clone(),
        }),
    })
}

fn parse(texts: &[Arc<str>], to: DType) -> Result<Data, Problem> {
    fn all<T: std::str::FromStr>(texts: &[Arc<str>], to: DType) -> Result<Vec<T>, Problem> {
        texts.iter().map(|t| t.trim().parse().map_err(|_| format!("{t:?} is not a {to}"))).collect()
    }
    Ok(match to {
        DType::F32 => Data::F32(all(texts, to)?),
        DType::F64 => Data::F64(all(texts, to)?),
        DType::I64 => Data::I64(all(texts, to)?),
        DType::I32 => Data::I32(all(texts, to)?),
        DType::Bool | DType::Str => return Err(format!("text cannot become {to}")),
    })
}

/// A number as C's `%.{digits}g` writes it: fixed or scientific, whichever C chooses, without trailing zeros.
fn shortest(x: f64, digits: usize) -> Arc<str> {
    if x.is_nan() {
        return "NaN".into();
    }
    if x.is_infinite() {
        return if x > 0.0 { "INF" } else { "-INF" }.into();
    }
    if x == 0.0 {
        return if x.is_sign_negative() { "-0" } else { "0" }.into();
    }
    let scientific = format!("{:.*e}", digits - 1, x);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |s: &str| match s.contains('.') {
        true => s.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => s.to_owned(),
    };
    let precision = i32::try_from(digits).unwrap_or(17);
    if exponent < -4 || exponent >= precision {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trim(mantissa), exponent.abs()).into()
    } else {
        let decimals = usize::try_from(precision - 1 - exponent).unwrap_or(0);
        trim(&format!("{x:.decimals$}")).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_c_does() {
        let cases = [
            (1.0, "1"),
            (0.5, "0.5"),
            (-2.25, "-2.25"),
            (1e8, "1e+08"),
            (12_345_678.0, "12345678"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-INF"),
        ];
        for (x, text) in cases {
            assert_eq!(&*shortest(x, 8), text);
        }
    }

    #[test]
    fn text_that_is_no_number_is_an_error() {
        assert!(convert(&Data::Str(vec!["x".into()]), DType::F32).unwrap_err().contains("\"x\""));
    }
}
