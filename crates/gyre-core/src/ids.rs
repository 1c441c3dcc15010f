//! Names that come from people and clients, checked once at the border.
//!
//! A model's name becomes part of paths, URLs and file names, so the type admits only what is harmless in all
//! of them; whoever holds a [`ModelName`] need not check again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// The longest model name, in bytes.
pub const MAX_NAME: usize = 100;

/// The name of a registered model: 1 to 100 of `a-z A-Z 0-9 . _ -`, beginning with a letter or a digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ModelName(std::sync::Arc<str>);

/// A name that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a valid name: expected 1 to {MAX_NAME} letters, digits, `.`, `_` or `-`, beginning with a letter or a digit"
)]
pub struct InvalidName(String);

impl ModelName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ModelName {
    /// The name nearest to `text`: what a name must not have becomes `-`; `project` when nothing is left.
    pub fn near(text: &str) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
        let near: String = text.chars().take(MAX_NAME).map(plain).collect();
        let near = near.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        Self(if near.is_empty() { "project" } else { near }.into())
    }
}

impl FromStr for ModelName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        let opens_well = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if plain && opens_well && text.len() <= MAX_NAME {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName(text.chars().take(120).collect()))
        }
    }
}

impl<'de> Deserialize<'de> for ModelName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of a model version: 1 for the first one registered under a name, then counting up, never reused.
pub type Version = u32;

/// The nearest of `candidates` to `found`, when it is near enough to be what was meant (Damerau–Levenshtein
/// distance of at most a third of the length, at least 1).
pub fn nearest<'a>(found: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (found.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(found, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_leave_its_directory_is_refused() {
        for bad in ["", "..", "../x", "a/b", "a b", ".hidden", "-x", "é", &"x".repeat(101)] {
            assert!(bad.parse::<ModelName>().is_err(), "{bad:?}");
        }
        for good in ["air-time", "A.b_c-1", "7"] {
            assert_eq!(good.parse::<ModelName>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn a_slip_of_the_finger_finds_its_name() {
        assert_eq!(nearest("metrik", ["metric", "target"]), Some("metric"));
        assert_eq!(nearest("xyz", ["metric", "target"]), None);
    }
}
