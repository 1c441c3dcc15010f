//! Outputs as tensors in binary; how they are read, and the header that tells where they begin, stands in [`gyre_wire`].

use gyre_core::Value;
use gyre_wire::write_text;

use super::reply::Cells;

/// Appends an output's elements to `raw`.
pub(super) fn write(cells: &Cells<'_>, raw: &mut Vec<u8>) {
    match cells {
        Cells::Predictions(answers) => {
            for answer in *answers {
                match &answer.output {
                    Value::Number(number) => raw.extend_from_slice(&number.to_le_bytes()),
                    Value::Bool(truth) => raw.push(u8::from(*truth)),
                    Value::Text(text) => {
                        let has_length = write_text(text, raw);
                        debug_assert!(has_length, "a class is far shorter than 4 GiB");
                    }
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
