//! What a pipeline is: stages that read files and make files.

use std::path::{Component, Path, PathBuf};

use gyre_core::Diagnostic;
use serde_json::Value;

/// The stages of a `dvc.yaml`, in the order of the file; without cycles, and no output is made twice.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// The file, as it was named to [`Pipeline::parse`].
    pub file: String,
    /// The stages.
    pub stages: Vec<Stage>,
}

/// A command with what it reads and what it makes.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// The line of its name in the file, counted from 1.
    pub line: u64,
    /// What is run.
    pub cmd: Cmd,
    /// Where it is run and what its paths are relative to, relative to the pipeline file.
    pub wdir: String,
    /// Files that it reads.
    pub deps: Vec<Dependency>,
    /// Parameters that it reads.
    pub params: Vec<ParamsFile>,
    /// Files that it makes: outputs, metrics and plots.
    pub outs: Vec<Output>,
    /// Whether it is never run.
    pub frozen: bool,
    /// Whether it is always run.
    pub always_changed: bool,
    /// What it is for.
    pub desc: Option<String>,
}

/// What a stage runs, as the file has it: DVC tells the two apart in `dvc.lock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cmd {
    /// One text; every line of it is a command.
    Text(String),
    /// A list of commands.
    List(Vec<String>),
}

impl Cmd {
    /// The commands, in order.
    pub fn commands(&self) -> Vec<&str> {
        match self {
            Self::Text(text) => text.lines().collect(),
            Self::List(list) => list.iter().map(String::as_str).collect(),
        }
    }

    /// As it stands in `dvc.lock`.
    pub(crate) fn to_value(&self) -> Value {
        match self {
            Self::Text(text) => Value::from(text.as_str()),
            Self::List(list) => Value::from(list.clone()),
        }
    }
}

/// A file that a stage reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// Its path, as written: relative to the stage's `wdir`.
    pub path: String,
    /// Its line in the pipeline file.
    pub line: u64,
}

/// Parameters that a stage reads from one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamsFile {
    /// The file, relative to the stage's `wdir`.
    pub file: String,
    /// Dotted keys (`train.depth`); none for all that is in the file.
    pub keys: Option<Vec<String>>,
    /// The line in the pipeline file.
    pub line: u64,
}

/// What an output is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    /// Anything.
    Data,
    /// Numbers to compare runs by.
    Metric,
    /// Something to draw.
    Plot,
}

/// A file that a stage makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its path, as written: relative to the stage's `wdir`.
    pub path: String,
    /// What it is for.
    pub kind: OutputKind,
    /// Whether it goes to the cache; otherwise it is left to Git.
    pub cache: bool,
    /// Whether it stays when the stage runs again.
    pub persist: bool,
    /// Its line in the pipeline file.
    pub line: u64,
}

impl Stage {
    /// A path of this stage relative to the pipeline file, without `.` and needless `..`.
    pub fn locate(&self, path: &str) -> String {
        normal(&Path::new(&self.wdir).join(path))
    }
}

impl Pipeline {
    /// The stage called `name`.
    pub fn stage(&self, name: &str) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.name == name)
    }

    /// Dependencies that are neither on the disk, nor made by a stage, nor among `coming` (paths relative to
    /// the pipeline that someone else will put there).
    pub fn missing_files(&self, dir: &Path, coming: &[&str]) -> Vec<Diagnostic> {
        let made: Vec<String> = self
            .stages
            .iter()
            .flat_map(|stage| stage.outs.iter().map(|out| stage.locate(&out.path)))
            .collect();
        let coming: Vec<String> = coming.iter().map(|path| normal(Path::new(path))).collect();
        let mut missing = Vec::new();
        for stage in &self.stages {
            let wdir = dir.join(&stage.wdir);
            if !wdir.is_dir() {
                let message =
                    format!("stage `{}`: the directory `{}` does not exist", stage.name, stage.wdir);
                missing.push(Diagnostic::new(&self.file, message).at(stage.line, 0));
                continue;
            }
            for dep in &stage.deps {
                let path = stage.locate(&dep.path);
                let known =
                    made.iter().chain(&coming).any(|known| within(&path, known) || within(known, &path));
                if known || dir.join(&path).exists() {
                    continue;
                }
                let message = format!(
                    "stage `{}`: the dependency `{}` does not exist and no stage makes it",
                    stage.name, dep.path
                );
                let beside = siblings(dir, &path);
                let names = made.iter().chain(&coming).chain(&beside).map(String::as_str);
                let diagnostic = Diagnostic::new(&self.file, message).at(dep.line, 0);
                missing.push(match dir.join(format!("{path}.dvc")).exists() {
                    true => diagnostic.help(format!("`{path}.dvc` points to it: bring it with `dvc pull`")),
                    false => diagnostic.nearest(&path, names),
                });
            }
        }
        missing
    }
}

/// The files beside `path`, relative to `dir`.
fn siblings(dir: &Path, path: &str) -> Vec<String> {
    let parent = Path::new(path).parent().unwrap_or(Path::new(""));
    let entries = std::fs::read_dir(dir.join(parent)).into_iter().flatten().flatten();
    entries.take(1_000).map(|entry| normal(&parent.join(entry.file_name()))).collect()
}

/// `path` without `.` and needless `..`, with `/` between names; `.` when nothing is left.
pub(crate) fn normal(path: &Path) -> String {
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
    match kept.to_string_lossy() {
        text if text.is_empty() => ".".to_owned(),
        text => text.into_owned(),
    }
}

/// Whether `path` is `above` or lies below it (both normal).
pub(crate) fn within(path: &str, above: &str) -> bool {
    above == "." || Path::new(path).starts_with(above)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_one_normal_form() {
        for (path, expected) in [
            ("a/./b", "a/b"),
            ("a/../b", "b"),
            ("./", "."),
            ("../a", "../a"),
            ("a//b/", "a/b"),
            ("a/../../b", "../b"),
        ] {
            assert_eq!(normal(Path::new(path)), expected);
        }
        assert!(within("a/b", "a") && within("a", "a") && !within("ab", "a") && within("x", "."));
    }

    #[test]
    fn a_dependency_that_nobody_makes_is_reported_with_the_nearest_name() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("data")).unwrap();
        std::fs::write(dir.path().join("data/train.parquet"), "").unwrap();
        let text =
            "stages:\n  a:\n    cmd: x\n    deps:\n    - data/trian.parquet\n    - out/cut\n    outs: [m]\n";
        let pipeline = Pipeline::parse("dvc.yaml", text).unwrap();
        let missing = pipeline.missing_files(dir.path(), &["./out/cut"]);
        assert_eq!(missing.len(), 1);
        assert_eq!(missing[0].line, Some(5));
        assert_eq!(missing[0].help.as_deref(), Some("did you mean `data/train.parquet`?"));
    }
}
