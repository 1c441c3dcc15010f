//! Scalars in OTLP's JSON: ids as hexadecimal digits, numbers of 64 bits as numbers or text, bytes in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::message::any_value::Value;
use super::message::{AnyValue, ArrayValue, KeyValueList};

/// A value of any type: an object with one field, which is named after the type.
#[derive(Deserialize)]
pub(super) struct Fields {
    #[serde(default, alias = "stringValue")]
    string_value: Option<String>,
    #[serde(default, alias = "boolValue")]
    bool_value: Option<bool>,
    #[serde(default, alias = "intValue")]
    int_value: Option<Whole>,
    #[serde(default, alias = "doubleValue")]
    double_value: Option<Double>,
    #[serde(default, alias = "arrayValue")]
    array_value: Option<ArrayValue>,
    #[serde(default, alias = "kvlistValue")]
    kvlist_value: Option<KeyValueList>,
    #[serde(default, alias = "bytesValue")]
    bytes_value: Option<Bytes>,
}

#[derive(Deserialize)]
struct Whole(#[serde(deserialize_with = "signed")] i64);

#[derive(Deserialize)]
struct Double(#[serde(deserialize_with = "double")] f64);

#[derive(Deserialize)]
struct Bytes(#[serde(deserialize_with = "base64")] Vec<u8>);

impl From<Fields> for AnyValue {
    fn from(fields: Fields) -> Self {
        let value = None
            .or(fields.string_value.map(Value::Text))
            .or(fields.bool_value.map(Value::Bool))
            .or(fields.int_value.map(|number| Value::Int(number.0)))
            .or(fields.double_value.map(|number| Value::Double(number.0)))
            .or(fields.array_value.map(Value::List))
            .or(fields.kvlist_value.map(Value::Pairs))
            .or(fields.bytes_value.map(|bytes| Value::Bytes(bytes.0)));
        Self { value }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
}

pub(super) fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    let wrong = || D::Error::custom("an id of OTLP in JSON is hexadecimal digits");
    // Two digits are two bytes only when they are ASCII.
    if text.len() % 2 != 0 || text.len() > 256 || !text.is_ascii() {
        return Err(wrong());
    }
    (0..text.len())
        .step_by(2)
        .map(|at| text.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok()).ok_or_else(wrong))
        .collect()
}

pub(super) fn unsigned<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match Scalar::deserialize(deserializer)? {
        Scalar::Unsigned(number) => Some(number),
        Scalar::Signed(number) => u64::try_from(number).ok(),
        Scalar::Text(text) => text.parse().ok(),
        Scalar::Float(_) => None,
    }
    .ok_or_else(|| D::Error::custom("a moment of OTLP is a whole number of nanoseconds since 1970"))
}

fn signed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    match Scalar::deserialize(deserializer)? {
        Scalar::Signed(number) => Some(number),
        Scalar::Text(text) => text.parse().ok(),
        Scalar::Unsigned(_) | Scalar::Float(_) => None,
    }
    .ok_or_else(|| D::Error::custom("intValue is a whole number from -2^63 to 2^63-1"))
}

fn double<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    match Scalar::deserialize(deserializer)? {
        Scalar::Float(number) => Ok(number),
        Scalar::Signed(number) => Ok(number as f64),
        Scalar::Unsigned(number) => Ok(number as f64),
        Scalar::Text(text) => match text.as_str() {
            "NaN" => Ok(f64::NAN),
            "Infinity" => Ok(f64::INFINITY),
            "-Infinity" => Ok(f64::NEG_INFINITY),
            other => other.parse().map_err(|_| D::Error::custom("doubleValue is a number")),
        },
    }
}

fn base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(|_| D::Error::custom("bytesValue is base64"))
}

/// The code of a status: its number, or its name.
pub(super) fn status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    match Scalar::deserialize(deserializer)? {
        Scalar::Signed(number) => i32::try_from(number).ok(),
        Scalar::Text(text) => match text.as_str() {
            "STATUS_CODE_UNSET" => Some(0),
            "STATUS_CODE_OK" => Some(1),
            "STATUS_CODE_ERROR" => Some(2),
            _ => None,
        },
        Scalar::Unsigned(_) | Scalar::Float(_) => None,
    }
    .ok_or_else(|| D::Error::custom("the code of a status is 0, 1 or 2"))
}
