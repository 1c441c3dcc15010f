//! Signatures as people have them: on the command line, as gyre's JSON, in MLflow's `MLmodel`.

use std::path::Path;

use gyre_core::record::{Field, Kind, Signature};
use gyre_server::MlModel;

use crate::failure::Failure;

/// `NAME:KIND`, the kind being `number` or `text`.
pub(super) fn field(text: &str) -> Result<Field, String> {
    let expected = "expected NAME:number or NAME:text";
    let (name, kind) = text.rsplit_once(':').ok_or(expected)?;
    let kind = match kind {
        "number" => Kind::Number,
        "text" => Kind::Text,
        _ => return Err(expected.to_owned()),
    };
    if name.is_empty() { Err(expected.to_owned()) } else { Ok(Field { name: name.to_owned(), kind }) }
}

/// The signature in a file.
///
/// # Errors
/// What is wrong, with the file's name.
pub(super) fn read(path: &Path) -> Result<Signature, Failure> {
    let told = |error: &dyn std::fmt::Display| Failure::because(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| told(&error))?;
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(&text).map_err(|error| told(&error));
    }
    MlModel::read(&text).and_then(|model| model.signature()).map_err(|error| told(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_is_a_name_and_a_kind() {
        assert_eq!(field("a:b:text").unwrap(), Field { name: "a:b".to_owned(), kind: Kind::Text });
        assert!(field("x").is_err() && field(":text").is_err() && field("x:blob").is_err());
    }
}
