//! Trains models with the real libraries (`native_oracle.py`) and reads what they answered.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use gyre_runtime::{Column, Table};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub struct Asked {
    pub name: String,
    numbers: Option<Vec<Option<f64>>>,
    texts: Option<Vec<Option<String>>>,
}

/// The question to a model, and the library's answer.
#[derive(Debug, Deserialize)]
pub struct Answer {
    pub columns: Vec<Asked>,
    pub background: Option<Vec<Asked>>,
    pub prediction: Option<Vec<Option<f64>>>,
    pub probabilities: Option<Vec<Vec<f64>>>,
    pub classes: Option<Vec<String>>,
    pub labels: Option<Vec<String>>,
    /// By row, output and feature.
    pub contributions: Option<Vec<Vec<Vec<f64>>>>,
    pub base: Option<Vec<f64>>,
}

pub fn table(columns: &[Asked]) -> Table {
    let column = |asked: &Asked| {
        let values = match (&asked.numbers, &asked.texts) {
            (Some(numbers), _) => Column::Numeric(numbers.iter().map(|x| x.unwrap_or(f64::NAN)).collect()),
            (None, texts) => Column::Text(
                texts.iter().flatten().map(|text| text.as_deref().map(std::sync::Arc::from)).collect(),
            ),
        };
        (asked.name.clone(), values)
    };
    Table::new(columns.iter().map(column)).unwrap()
}

/// Trains the models of a library; the folder with their files.
pub fn trained(library: &str) -> PathBuf {
    let venv = std::env::var_os("GYRE_TEST_VENV").expect(
        "GYRE_TEST_VENV is not set; run `cargo xtask test -- -p gyre-runtime`, which makes the environment with the \
         libraries",
    );
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("native-{library}"));
    let _ = std::fs::remove_dir_all(&folder);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/native_oracle.py");
    let output = Command::new(Path::new(&venv).join("bin/python"))
        .arg(script)
        .arg(library)
        .arg(&folder)
        .env("OMP_NUM_THREADS", "1")
        .output()
        .expect("python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder
}

/// The models in a folder: name, file, answer.
pub fn models(folder: &Path) -> Vec<(String, Vec<u8>, Answer)> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "model"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let question = name.split('.').next().unwrap();
            let text = std::fs::read_to_string(folder.join(format!("{question}.json"))).unwrap();
            (name, std::fs::read(&path).unwrap(), serde_json::from_str(&text).unwrap())
        })
        .collect()
}
