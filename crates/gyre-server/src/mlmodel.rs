//! `MLmodel`, the file in which MLflow says what a logged model is: which file holds it, and what it takes and gives.
//!
//! It is YAML. `flavors` says by which library the model can be loaded, and from which file; `signature.inputs` and
//! `signature.outputs` are JSON texts, lists of columns with `name` and `type` (MLflow documentation, "Model Signatures").
//! Tensors without names are not columns.

use std::collections::BTreeMap;

use gyre_core::record::{Field, Kind, Signature};
use serde::Deserialize;
use serde_json::Value;

/// Flavors whose own file may be one that gyre runs, and the field that names the file.
const NATIVE: [(&str, &str); 4] =
    [("onnx", "data"), ("xgboost", "data"), ("lightgbm", "data"), ("sklearn", "pickled_model")];

/// What `MLmodel` says, as far as it is needed.
#[derive(Debug, Deserialize)]
pub struct MlModel {
    #[serde(default)]
    flavors: BTreeMap<String, Value>,
    signature: Option<Texts>,
}

#[derive(Debug, Deserialize)]
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

impl MlModel {
    /// Reads the file.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(text: &str) -> Result<Self, String> {
        serde_saphyr::from_str(text).map_err(|error| error.to_string())
    }

    /// The libraries that it can be loaded by, without `python_function`, which every model has.
    pub fn flavors(&self) -> Vec<&str> {
        self.flavors.keys().map(String::as_str).filter(|name| *name != "python_function").collect()
    }

    /// The path, below the model's folder, of the file of the first flavor that gyre may be able to run, with the flavor.
    /// Whether it can, only the file itself says: a flavor of scikit-learn may be a pickle.
    pub fn native_file(&self) -> Option<(&str, &str)> {
        NATIVE.iter().find_map(|(flavor, field)| {
            let (name, of) = self.flavors.get_key_value(*flavor)?;
            Some((name.as_str(), of.get(*field)?.as_str()?))
        })
    }

    /// What it takes and gives; classes are not told.
    ///
    /// # Errors
    /// In words, with what to do: there is no signature, or one that is no list of columns.
    pub fn signature(&self) -> Result<Signature, String> {
        let texts = self
            .signature
            .as_ref()
            .ok_or("the model was logged without a signature; say it with --inputs")?;
        let inputs = texts.inputs.as_ref().ok_or("the signature has no inputs; say them with --inputs")?;
        let columns: Vec<Column> = serde_json::from_str(inputs).map_err(|error| error.to_string())?;
        let inputs = columns.into_iter().map(input).collect::<Result<Vec<_>, _>>()?;
        let outputs = texts.outputs.as_ref();
        let outputs: Vec<Column> =
            outputs.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let output = outputs.into_iter().next().and_then(|column| column.name);
        Ok(Signature {
            inputs,
            output: output.unwrap_or_else(|| "prediction".to_owned()),
            classes: Vec::new(),
        })
    }
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

    const LOGGED: &str = "flavors:
  python_function: {loader_module: mlflow.sklearn}
  sklearn: {code: null, pickled_model: model.skops, serialization_format: skops}
signature:
  inputs: '[{\"type\": \"double\", \"name\": \"x\", \"required\": true}, {\"type\": \"string\", \"name\": \"c\"}]'
  outputs: '[{\"type\": \"long\"}]'
  params: null
";

    #[test]
    fn columns_are_features_and_the_file_is_named() {
        let model = MlModel::read(LOGGED).unwrap();
        let field = |name: &str, kind| Field { name: name.to_owned(), kind };
        let signature = model.signature().unwrap();
        assert_eq!(signature.inputs, [field("x", Kind::Number), field("c", Kind::Text)]);
        assert_eq!(signature.output, "prediction");
        assert_eq!(
            (model.flavors(), model.native_file()),
            (vec!["sklearn"], Some(("sklearn", "model.skops")))
        );
    }

    #[test]
    fn what_is_no_list_of_columns_is_told() {
        let told = |text: &str| MlModel::read(text).unwrap().signature().unwrap_err();
        assert!(told("flavors: {}\n").contains("--inputs"));
        let tensor =
            "signature:\n  inputs: '[{\"type\": \"tensor\", \"tensor-spec\": {}}]'\n  outputs: null\n";
        assert!(told(tensor).contains("without names"));
        let day = "signature:\n  inputs: '[{\"type\": \"datetime\", \"name\": \"day\"}]'\n";
        assert!(told(day).contains("datetime"));
        assert!(MlModel::read("flavors: [").is_err());
        assert_eq!(MlModel::read("flavors: {spark: {}}\n").unwrap().native_file(), None);
    }
}
