//! Signatures as people have them: on the command line, as gyre's JSON, in MLflow's `MLmodel`.
//!
//! `MLmodel` is YAML in which `signature.inputs` and `signature.outputs` are JSON texts, lists of columns with `name` and
//! `type` (MLflow documentation, "Model Signatures"); tensors without names are not columns, and are refused.

use std::path::Path;

use gyre_core::record::{Field, Kind, Signature};
use serde::Deserialize;

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
    of_mlmodel(&text).map_err(|error| told(&error))
}

#[derive(Deserialize)]
struct MlModel {
    signature: Option<Texts>,
}

#[derive(Deserialize)]
struct Texts {
    inputs: Option<String>,
    outputs: Option<String>,
}

#[derive(Deserialize)]
struct Column {
    name: Option<String>,
    #[serde(rename = "type")]
    kind: String,
}

fn of_mlmodel(text: &str) -> Result<Signature, String> {
    let model: MlModel = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let texts = model.signature.ok_or("the model was logged without a signature; say it with --inputs")?;
    let inputs = texts.inputs.ok_or("the signature has no inputs; say them with --inputs")?;
    let columns: Vec<Column> = serde_json::from_str(&inputs).map_err(|error| error.to_string())?;
    let inputs = columns.into_iter().map(input).collect::<Result<Vec<_>, _>>()?;
    let outputs: Vec<Column> =
        texts.outputs.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let output = outputs.into_iter().next().and_then(|column| column.name);
    Ok(Signature { inputs, output: output.unwrap_or_else(|| "prediction".to_owned()), classes: Vec::new() })
}

fn input(Column { name, kind }: Column) -> Result<Field, String> {
    let Some(name) = name else {
        return Err("the signature is of tensors without names; say the features with --inputs".to_owned());
    };
    let kind = match kind.as_str() {
        "string" => Kind::Text,
        "double" | "float" | "integer" | "long" | "boolean" => Kind::Number,
        other => {
            return Err(format!(
                "the feature `{name}` is of the type {other}, which is neither a number nor text"
            ));
        }
    };
    Ok(Field { name, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_mlflow_are_features() {
        let text = "flavors: {}\nsignature:\n  inputs: '[{\"type\": \"double\", \"name\": \"x\", \"required\": true}, {\"type\": \"string\", \"name\": \"c\"}]'\n  outputs: '[{\"type\": \"long\"}]'\n  params: null\n";
        let found = of_mlmodel(text).unwrap();
        assert_eq!(found.inputs, [field("x:number").unwrap(), field("c:text").unwrap()]);
        assert_eq!(found.output, "prediction");
        assert!(of_mlmodel("flavors: {}\n").unwrap_err().contains("--inputs"));
        let tensor =
            "signature:\n  inputs: '[{\"type\": \"tensor\", \"tensor-spec\": {}}]'\n  outputs: null\n";
        assert!(of_mlmodel(tensor).unwrap_err().contains("without names"));
        assert!(field("x").is_err() && field(":text").is_err() && field("x:blob").is_err());
    }
}
