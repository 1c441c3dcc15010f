//! The real `mlflow models serve`, with a model of scikit-learn that has a signature.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use gyre_backend::{Backend, ProcessSpec, Protocol};
use gyre_core::record::{Kind, Signature};
use gyre_runtime::{Column, Scores, Table};
use support::*;

/// Saves a classifier over a number, a whole number and a category.
const SAVE: &str = r#"
import sys, mlflow, pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
x = pd.DataFrame({"size": [0.5, 1.5, 2.5, 3.5] * 5, "count": [1, 2, 3, 4] * 5, "kind": ["a", "b"] * 10})
y = ["small", "small", "large", "large"] * 5
encode = make_column_transformer((OneHotEncoder(), ["kind"]), remainder="passthrough")
model = make_pipeline(encode, LogisticRegression()).fit(x, y)
signature = mlflow.models.infer_signature(x, model.predict(x))
mlflow.sklearn.save_model(model, sys.argv[1], signature=signature, serialization_format="cloudpickle")
"#;

#[tokio::test]
async fn a_scikit_learn_model_behind_mlflow_models_serve() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    let saved = Command::new(venv("python")).args(["-c", SAVE]).arg(&model).output().unwrap();
    assert!(saved.status.success(), "{}", String::from_utf8_lossy(&saved.stderr));
    let signature = Signature {
        inputs: vec![field("size", Kind::Number), field("count", Kind::Number), field("kind", Kind::Text)],
        output: "y".into(),
        classes: vec!["large".into(), "small".into()],
    };
    let model = model.to_string_lossy();
    let command = [
        &venv("mlflow"),
        "models",
        "serve",
        "-m",
        &*model,
        "-h",
        "127.0.0.1",
        "-p",
        "{port}",
        "--env-manager",
        "local",
    ];
    let mut spec = ProcessSpec::new(command, Protocol::Mlflow, signature);
    let bin = Path::new(&venv("python")).parent().unwrap().to_string_lossy().into_owned();
    spec.env = vec![("PATH".into(), format!("{bin}:/usr/bin:/bin"))];
    spec.dir = folder.path().to_owned();
    spec.start_within = Duration::from_secs(110);
    let backend = Backend::process(spec).unwrap();
    let table = Table::new([
        // As they happen to come, not as the model wants them.
        ("kind", Column::Text(vec![Some("a".into()), Some("b".into())])),
        ("size", Column::Numeric(vec![0.25, 3.0])),
        ("count", Column::Numeric(vec![1.0, 4.0])),
        ("not a feature", Column::Numeric(vec![f64::NAN; 2])),
    ]);
    let deadline = soon() + PATIENCE;
    let scores = backend.predict(table.unwrap(), deadline).await;
    let scores = scores.unwrap_or_else(|error| panic!("{error}; {:#?}", backend.log()));
    let Scores::Classification { labels, probabilities, .. } = scores else { panic!("{scores:?}") };
    assert_eq!((&*labels[0], &*labels[1], probabilities.len()), ("small", "large", 0));
    let unknown = Table::new([
        ("size", Column::Numeric(vec![0.25])),
        ("count", Column::Numeric(vec![1.0])),
        ("kind", Column::Text(vec![Some("never seen".into())])),
    ]);
    let error = backend.predict(unknown.unwrap(), soon()).await.unwrap_err().to_string();
    assert!(error.starts_with("the model's server answered 4"), "{error}");
    backend.drain().await;
}
