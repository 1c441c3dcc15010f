//! How people name what they ask about.

use std::fmt;
use std::str::FromStr;

use gyre_core::{ModelName, Version};
use serde::{Serialize, Serializer};

/// The fewest digits of a digest that name a data version.
const LEAST_DIGITS: usize = 6;

/// Something that has a lineage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ref {
    /// A model version: `air-time@3`.
    Version(ModelName, Version),
    /// A run: `run:ID`.
    Run(String),
    /// A data version, by the beginning of its SHA-256 or MD5 digest: `data:9f86d081`.
    Data(String),
    /// A journal entry: `entry:42`, or `42`.
    Entry(u64),
    /// A prediction: `prediction:air-time/ID`, or `air-time/ID`.
    Prediction(ModelName, String),
}

/// Text that names nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` names nothing that has a lineage: {reason}; expected air-time@3 (model version), prediction:air-time/ID, \
     run:ID, data:DIGEST (its first {LEAST_DIGITS} digits or more) or entry:42"
)]
pub struct InvalidRef {
    text: String,
    reason: String,
}

impl Ref {
    /// Reads a reference. Without a kind before the colon, `NAME@NUMBER` is a version, `NAME/ID` a prediction, a number
    /// an entry, and 32 or 64 hexadecimal digits a data version.
    ///
    /// # Errors
    /// [`InvalidRef`], saying what is wrong and which forms there are.
    pub fn parse(text: &str) -> Result<Self, InvalidRef> {
        let kinds = ["run", "data", "entry", "prediction", "version"];
        let found = match text.split_once(':') {
            Some(("run", id)) if !id.is_empty() => Ok(Self::Run(id.to_owned())),
            Some(("run", _)) => Err("the run's id is missing".to_owned()),
            Some(("data", digest)) => data(digest),
            Some(("entry", number)) => entry(number),
            Some(("prediction", rest)) => prediction(rest),
            Some(("version", rest)) => version(rest),
            // An id may hold a colon; only what comes before a slash or an at sign could be a kind.
            Some((kind, _)) if !kind.contains(['/', '@']) => {
                let nearest = gyre_core::ids::nearest(kind, kinds);
                let hint = nearest.map_or(String::new(), |nearest| format!(", did you mean `{nearest}:`?"));
                Err(format!("there is no kind `{kind}`{hint}"))
            }
            _ => bare(text),
        };
        found.map_err(|reason| InvalidRef { text: text.chars().take(120).collect(), reason })
    }
}

fn bare(text: &str) -> Result<Ref, String> {
    let is_hex = text.bytes().all(|b| b.is_ascii_hexdigit());
    if is_hex && matches!(text.len(), 32 | 64) {
        return data(text);
    }
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return entry(text);
    }
    match text.find(['/', '@']).map(|at| text.as_bytes()[at]) {
        Some(b'/') => prediction(text),
        Some(_) => version(text),
        None if is_hex && text.len() >= LEAST_DIGITS => {
            Err(format!("it may be a digest or a run, say data:{text} or run:{text}"))
        }
        None => Err("it has no kind".to_owned()),
    }
}

fn data(digest: &str) -> Result<Ref, String> {
    let fits = (LEAST_DIGITS..=64).contains(&digest.len()) && digest.bytes().all(|b| b.is_ascii_hexdigit());
    fits.then(|| Ref::Data(digest.to_ascii_lowercase()))
        .ok_or_else(|| format!("a digest has {LEAST_DIGITS} to 64 hexadecimal digits"))
}

fn entry(number: &str) -> Result<Ref, String> {
    let number = number.parse().ok().filter(|number| *number > 0);
    number.map(Ref::Entry).ok_or_else(|| "journal entries are numbered from 1".to_owned())
}

fn prediction(rest: &str) -> Result<Ref, String> {
    let (model, id) = rest.split_once('/').ok_or("a prediction is named by its model and its id")?;
    if id.is_empty() {
        return Err("the prediction's id is missing".to_owned());
    }
    let model = model.parse().map_err(|error: gyre_core::ids::InvalidName| error.to_string())?;
    Ok(Ref::Prediction(model, id.to_owned()))
}

fn version(rest: &str) -> Result<Ref, String> {
    let (model, number) = rest.split_once('@').ok_or("a version is named by its model and its number")?;
    let model = model.parse().map_err(|error: gyre_core::ids::InvalidName| error.to_string())?;
    let number = number.parse().map_err(|_| format!("`{number}` is not a version's number"))?;
    Ok(Ref::Version(model, number))
}

impl FromStr for Ref {
    type Err = InvalidRef;

    fn from_str(text: &str) -> Result<Self, InvalidRef> {
        Self::parse(text)
    }
}

impl fmt::Display for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(model, version) => write!(f, "{model}@{version}"),
            Self::Run(id) => write!(f, "run:{id}"),
            Self::Data(digest) => write!(f, "data:{digest}"),
            Self::Entry(seq) => write!(f, "entry:{seq}"),
            Self::Prediction(model, id) => write!(f, "prediction:{model}/{id}"),
        }
    }
}

impl Serialize for Ref {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_read_what_they_write() {
        for (text, written) in [
            ("air-time@3", "air-time@3"),
            ("version:air-time@3", "air-time@3"),
            ("run:20130705-1", "run:20130705-1"),
            ("data:9F86D0", "data:9f86d0"),
            ("entry:42", "entry:42"),
            ("42", "entry:42"),
            ("air-time/UA 1545@2013-07-04T10:00", "prediction:air-time/UA 1545@2013-07-04T10:00"),
            ("prediction:air-time/a/b:c", "prediction:air-time/a/b:c"),
        ] {
            let parsed = Ref::parse(text).unwrap();
            assert_eq!(parsed.to_string(), written);
            assert_eq!(Ref::parse(written).unwrap(), parsed);
        }
        assert_eq!(Ref::parse(&"ab".repeat(32)).unwrap(), Ref::Data("ab".repeat(32)));
    }

    #[test]
    fn what_names_nothing_is_told_how_to() {
        for (text, words) in [
            ("", "it has no kind"),
            ("air-time", "it has no kind"),
            ("air-time@champion", "`champion` is not a version's number"),
            ("deadbeef", "say data:deadbeef or run:deadbeef"),
            ("data:xyz", "hexadecimal"),
            ("data:ab", "6 to 64"),
            ("entry:0", "numbered from 1"),
            ("run:", "id is missing"),
            ("predicton:air-time/1", "did you mean `prediction:`?"),
            ("prediction:air-time", "by its model and its id"),
            ("../x/1", "not a valid name"),
        ] {
            let error = Ref::parse(text).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("expected air-time@3"), "{text}: {error}");
        }
    }
}
