//! Whether `gyre.yaml` and the pipeline speak of the same files.

use std::path::{Component, Path, PathBuf};

use gyre_core::Diagnostic;
use gyre_core::spec::Project;
use gyre_pipeline::Pipeline;

pub(super) fn check(
    root: &Path,
    file: &str,
    project: &Project,
    pipeline: &Pipeline,
    named: &str,
) -> Vec<Diagnostic> {
    let folder = Path::new(named).parent().unwrap_or(Path::new(""));
    let within = |path: &str| normal(&folder.join(path));
    let made: Vec<String> = pipeline
        .stages
        .iter()
        .flat_map(|stage| stage.outs.iter().map(|out| within(&stage.locate(&out.path))))
        .collect();
    let read: Vec<String> = pipeline
        .stages
        .iter()
        .flat_map(|stage| stage.deps.iter().map(|dep| within(&stage.locate(&dep.path))))
        .collect();
    let mut wrong = Vec::new();
    let mut coming = Vec::new();
    for (name, model) in &project.models {
        let say = |text: String, at: (u64, u64)| {
            Diagnostic::new(file, format!("models.{name}: {text}")).at(at.0, at.1)
        };
        let artifact = (model.artifact.referenced.line(), model.artifact.referenced.column());
        let place = (model.train.data.referenced.line(), model.train.data.referenced.column());
        if !covered(&model.artifact.value, &made) {
            let text = format!("no stage of `{named}` makes the artifact `{}`", model.artifact.value);
            wrong.push(outputs(say(text, artifact), &model.artifact.value, &made));
        }
        let cuts = [("train.into", &model.train.into), ("train.holdout_into", &model.train.holdout_into)];
        for (key, path) in cuts {
            coming.push(from_folder(folder, path));
            // A stage need not look at the withheld rows; where they have a name of their own, one was meant to.
            let optional = key == "train.holdout_into" && path == "data/holdout.parquet";
            if !covered(path, &read) && !optional {
                let text = format!("{key}: no stage of `{named}` depends on `{path}`");
                let diagnostic = say(text, place).expected("a path among the `deps` of a stage");
                wrong.push(diagnostic.nearest(path, read.iter().map(String::as_str)));
            }
        }
    }
    // As long as the names do not meet, files seem to be missing that gyre will put there.
    if wrong.is_empty() {
        let coming: Vec<&str> = coming.iter().map(String::as_str).collect();
        wrong.extend(pipeline.missing_files(&root.join(folder), &coming));
    }
    wrong
}

fn outputs(diagnostic: Diagnostic, found: &str, made: &[String]) -> Diagnostic {
    if made.is_empty() {
        return diagnostic.help("add it to the `outs` of the stage that trains");
    }
    let expected = format!("one of the outputs {}", made.join(", "));
    diagnostic.expected(expected).nearest(found, made.iter().map(String::as_str))
}

/// Whether `path` is one of `known`, or lies in a folder that is.
fn covered(path: &str, known: &[String]) -> bool {
    let path = normal(Path::new(path));
    known.iter().any(|known| known == "." || Path::new(&path).starts_with(known))
}

/// `path`, as seen from `folder`: both are relative to the project.
fn from_folder(folder: &Path, path: &str) -> String {
    let path = PathBuf::from(normal(Path::new(path)));
    match path.strip_prefix(folder) {
        Ok(inside) => inside.to_string_lossy().into_owned(),
        Err(_) => {
            let up: PathBuf = folder.components().map(|_| Component::ParentDir).collect();
            normal(&up.join(path))
        }
    }
}

/// The path without `.` and, as far as possible, without `..`.
fn normal(path: &Path) -> String {
    let mut kept = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(kept.components().next_back(), Some(Component::Normal(_))) => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    let text = kept.to_string_lossy().into_owned();
    if text.is_empty() { ".".to_owned() } else { text }
}

/// The diagnostic with the nearest file that lies where `path` was looked for, or with how to bring it.
pub(super) fn near(diagnostic: Diagnostic, root: &Path, path: &str) -> Diagnostic {
    if root.join(format!("{path}.dvc")).exists() {
        return diagnostic.help(format!("`{path}.dvc` points to it: bring it with `dvc pull`"));
    }
    let parent = Path::new(path).parent().unwrap_or(Path::new(""));
    let entries = std::fs::read_dir(root.join(parent)).into_iter().flatten().flatten();
    let beside: Vec<String> =
        entries.take(1_000).map(|entry| normal(&parent.join(entry.file_name()))).collect();
    diagnostic.expected("a file inside the project").nearest(path, beside.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_seen_from_the_pipelines_folder() {
        assert_eq!(from_folder(Path::new(""), "./data/train.parquet"), "data/train.parquet");
        assert_eq!(from_folder(Path::new("train"), "train/in.csv"), "in.csv");
        assert_eq!(from_folder(Path::new("train"), "data/in.csv"), "../data/in.csv");
        assert!(covered("out/model.onnx", &["out".to_owned()]));
        assert!(!covered("out/model.onnx", &["out/model".to_owned()]));
    }
}
