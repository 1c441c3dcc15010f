//! Sketches: what is kept of a column's values when the values themselves are too many to keep.
//!
//! Each has a size that no number of rows exceeds, an error that is known beforehand, and adds up with others of its kind.
//! They are those of Apache DataSketches, whose stored form is the same in Java, C++ and Python; here they only get the
//! sizes that a profile has, and are checked when they come from outside.

mod distinct;
mod frequent;
mod number;
mod quantiles;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serializer, de};

pub use distinct::Distinct;
pub use frequent::{Frequent, Item, Key, name_key};
pub use number::Number;
pub use quantiles::Quantiles;

/// A sketch that can be stored.
pub(crate) trait Stored: Sized {
    /// Its bytes.
    fn bytes(&self) -> Vec<u8>;

    /// The sketch that these bytes are.
    ///
    /// # Errors
    /// What is wrong with them. Bytes that ask for more memory than a profile's own sketches are refused unread.
    fn from_bytes(bytes: &[u8]) -> Result<Self, String>;
}

/// Sketches in JSON: their bytes in base64.
pub(crate) fn serialize<S: Serializer>(sketch: &impl Stored, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(sketch.bytes()))
}

pub(crate) fn deserialize<'de, T: Stored, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
    let bytes =
        STANDARD.decode(text.as_bytes()).map_err(|error| de::Error::custom(format!("no base64: {error}")))?;
    T::from_bytes(&bytes).map_err(de::Error::custom)
}
