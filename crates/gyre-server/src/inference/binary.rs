//! The binary tensor extension: numbers as they lie in memory, after the JSON of a request or an answer.
//!
//! The header `Inference-Header-Content-Length` says how long the JSON is; behind it come the tensors that say so in their
//! parameters (`binary_data_size`), in their order. Numbers are little-endian; a text is its length (4 bytes) and its bytes.
//! There is no null in memory, so NaN stands for a missing number.

use std::sync::Arc;

use gyre_core::Value;

use super::datatype::Datatype;
use super::reply::Cells;
use super::tensor::Values;

/// The header with the length of the JSON.
pub(super) const HEADER: &str = "inference-header-content-length";

/// The elements that `raw` holds.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn values(datatype: Datatype, raw: &[u8]) -> Result<Values, String> {
    let Some(size) = datatype.size() else { return texts(raw).map(Values::Texts) };
    if !raw.len().is_multiple_of(size) {
        return Err(format!("{} bytes are no whole number of {}", raw.len(), datatype.name()));
    }
    let numbers: Vec<f64> = raw.chunks_exact(size).filter_map(|element| datatype.read(element)).collect();
    Ok(Values::numbers(numbers))
}

fn texts(mut raw: &[u8]) -> Result<Vec<Option<Arc<str>>>, String> {
    let mut texts = Vec::new();
    while !raw.is_empty() {
        let broken =
            || format!("element {} of the texts is longer than the bytes that are left", texts.len());
        let (length, rest) = raw.split_first_chunk::<4>().ok_or_else(broken)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (text, rest) = rest.split_at_checked(length).ok_or_else(broken)?;
        let text = str::from_utf8(text).map_err(|_| format!("element {} is not UTF-8 text", texts.len()))?;
        texts.push(Some(text.into()));
        raw = rest;
    }
    Ok(texts)
}

/// Appends an output's elements to `raw`.
pub(super) fn write(cells: &Cells<'_>, raw: &mut Vec<u8>) {
    match cells {
        Cells::Predictions(answers) => {
            for answer in *answers {
                match &answer.output {
                    Value::Number(number) => raw.extend_from_slice(&number.to_le_bytes()),
                    Value::Bool(truth) => raw.push(u8::from(*truth)),
                    Value::Text(text) => write_text(text, raw),
                    Value::Missing => raw.extend_from_slice(&f64::NAN.to_le_bytes()),
                }
            }
        }
        Cells::Probabilities(answers) => {
            for score in answers.iter().flat_map(|answer| &answer.scores) {
                raw.extend_from_slice(&score.to_le_bytes());
            }
        }
    }
}

fn write_text(text: &str, raw: &mut Vec<u8>) {
    // Classes are far shorter than 4 GiB.
    raw.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    raw.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_with_their_lengths() {
        let raw = b"\x02\0\0\0UA\0\0\0\0\x03\0\0\0\xe2\x82\xac";
        let expected = ["UA", "", "€"].map(|text| Some(Arc::from(text))).to_vec();
        assert_eq!(values(Datatype::Bytes, raw), Ok(Values::Texts(expected)));
    }

    #[test]
    fn what_is_broken_is_told() {
        let told = |raw: &[u8]| values(Datatype::Bytes, raw).unwrap_err();
        assert!(told(b"\x01\0\0").contains("element 0 of the texts is longer"));
        assert!(told(b"\xff\xff\xff\xffa").contains("element 0 of the texts is longer"));
        assert!(told(b"\x01\0\0\0\xff").contains("element 0 is not UTF-8"));
        assert!(values(Datatype::Fp32, &[0; 6]).unwrap_err().contains("6 bytes are no whole number of FP32"));
    }
}
