//! Serialises cut points as decimal strings.
//!
//! A cut point of an atom is the atom's value to the last bit: one unit in the last place off, and the atom's whole mass
//! moves to the next bin. JSON readers may round numbers by that much; strings parse back exactly (Rust prints the
//! shortest decimal that does).

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serializer, de::Error};

pub(super) fn serialize<S: Serializer>(values: &Arc<[f64]>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(|value| format!("{value:?}")))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<[f64]>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let mut values: Vec<f64> = Vec::with_capacity(texts.len());
    for text in texts {
        let value: f64 = text
            .parse()
            .map_err(|_| Error::custom(format!("cut point `{text}` is not a number; expected a decimal")))?;
        if !value.is_finite() || values.last().is_some_and(|last| *last >= value) {
            return Err(Error::custom(format!(
                "cut point `{text}` is out of order; expected finite, ascending numbers"
            )));
        }
        values.push(value);
    }
    Ok(values.into())
}
