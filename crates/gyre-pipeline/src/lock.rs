//! `dvc.lock`: what every stage read and made when it last succeeded, by content.
//!
//! Schema 2.0, as DVC 3 writes it. Entries of stages that are not run are kept as they are.

use std::path::Path;

use gyre_data::files::{self, FileError};
use gyre_data::yaml;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::stage::Cmd;

const SCHEMA: &str = "2.0";

/// A whole lock file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LockFile {
    root: Map<String, Value>,
}

/// What one stage read and made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StageLock {
    /// The command, resolved.
    pub cmd: Value,
    /// What it read, by path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deps: Vec<FileLock>,
    /// The parameters that it read, by file and key.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
    /// What it made, by path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outs: Vec<FileLock>,
}

/// A file with its content's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileLock {
    /// Relative to the stage's `wdir`, as written in the pipeline.
    pub path: String,
    /// `md5`; anything else is another tool's or DVC 2's hash, which never matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// MD5 of the bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub md5: Option<String>,
    /// Size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Whether it may be executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isexec: Option<bool>,
}

impl FileLock {
    /// The MD5, when it is of DVC 3's kind.
    pub(crate) fn key(&self) -> Option<&str> {
        self.md5.as_deref().filter(|_| self.hash.as_deref() == Some("md5"))
    }
}

impl StageLock {
    /// What is about to be run.
    pub(crate) fn new(cmd: &Cmd, deps: Vec<FileLock>, params: Map<String, Value>) -> Self {
        Self { cmd: cmd.to_value(), deps: sorted(deps), params, outs: Vec::new() }
    }

    /// The same with what came out.
    pub(crate) fn made(self, outs: Vec<FileLock>) -> Self {
        Self { outs: sorted(outs), ..self }
    }

    /// Whether `other` ran the same command on the same content.
    pub(crate) fn same_work(&self, other: &Self) -> bool {
        let keys = |deps: &[FileLock]| -> Option<Vec<(String, String)>> {
            let mut keys: Vec<_> = deps
                .iter()
                .map(|dep| Some((dep.path.clone(), dep.key()?.to_owned())))
                .collect::<Option<_>>()?;
            keys.sort();
            Some(keys)
        };
        self.cmd == other.cmd
            && self.params == other.params
            && keys(&self.deps).is_some_and(|mine| keys(&other.deps) == Some(mine))
    }
}

fn sorted(mut files: Vec<FileLock>) -> Vec<FileLock> {
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

impl LockFile {
    /// Reads `path`; a file that is not there is an empty one.
    ///
    /// # Errors
    /// In words: when it cannot be read, or is of another schema.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(FileError::on("read", path)(error).to_string()),
        };
        if text.trim().is_empty() {
            return Ok(Self { root: Map::from_iter([("schema".to_owned(), json!(SCHEMA))]) });
        }
        let root: Map<String, Value> = gyre_data::yaml::from_str(&text).map_err(|error| {
            let text = error.to_string();
            format!(
                "{shown}: {} (a merge left it half done? remove it and run again)",
                text.lines().next().unwrap_or("")
            )
        })?;
        match root.get("schema") {
            Some(schema) if schema == SCHEMA => Ok(Self { root }),
            Some(other) => Err(format!("{shown}: schema {other} is not supported (expected '{SCHEMA}')")),
            None => Err(format!("{shown}: has no `schema` (expected '{SCHEMA}', as DVC 3 writes it)")),
        }
    }

    /// What is recorded for a stage; none also when the entry has another shape.
    pub(crate) fn stage(&self, name: &str) -> Option<StageLock> {
        serde_json::from_value(self.root.get("stages")?.get(name)?.clone()).ok()
    }

    /// Records what a stage read and made.
    pub(crate) fn set(&mut self, name: &str, stage: &StageLock) {
        // Plain data under text keys: it cannot fail to become a value.
        let Ok(value) = serde_json::to_value(stage) else { return };
        let stages = self.root.entry("stages").or_insert_with(|| json!({}));
        if !stages.is_object() {
            *stages = json!({});
        }
        if let Some(stages) = stages.as_object_mut() {
            stages.insert(name.to_owned(), value);
        }
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, path: &Path) -> Result<(), FileError> {
        files::write(path, yaml::to_string(&Value::Object(self.root.clone())).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As DVC 3.67.1 wrote it.
    const OF_DVC: &str = "\
schema: '2.0'
stages:
  a:
    cmd: cat params.yaml > a.txt && echo a very long command that goes on and on
      and on beyond eighty columns > /dev/null
    params:
      params.yaml:
        lr: 1e-05
        train:
          n: 3
          s: '2013-02-01'
          z:
          e: ''
    outs:
    - path: a.txt
      hash: md5
      md5: c5fc44f0382952db01c78889515454a4
      size: 83
  b:
    cmd:
    - cat a.txt > b.txt
    - echo \"{}\" > m.json
    deps:
    - path: a.txt
      hash: md5
      md5: c5fc44f0382952db01c78889515454a4
      size: 83
    outs:
    - path: b.txt
      hash: md5
      md5: c5fc44f0382952db01c78889515454a4
      size: 83
      isexec: true
";

    #[test]
    fn a_lock_file_of_dvc_is_rewritten_byte_for_byte() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dvc.lock");
        std::fs::write(&path, OF_DVC).unwrap();
        let mut lock = LockFile::read(&path).unwrap();
        for name in ["a", "b"] {
            let stage = lock.stage(name).unwrap();
            lock.set(name, &stage);
        }
        lock.write(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), OF_DVC);
    }

    #[test]
    fn work_is_the_same_when_command_content_and_parameters_are() {
        let dep = |path: &str, md5: &str| FileLock {
            path: path.to_owned(),
            hash: Some("md5".to_owned()),
            md5: Some(md5.to_owned()),
            size: None,
            isexec: None,
        };
        let cmd = Cmd::Text("x".to_owned());
        let base = StageLock::new(&cmd, vec![dep("b", "1"), dep("a", "2")], Map::new());
        assert!(base.same_work(&StageLock::new(&cmd, vec![dep("a", "2"), dep("b", "1")], Map::new())));
        assert!(!base.same_work(&StageLock::new(&cmd, vec![dep("a", "2"), dep("b", "3")], Map::new())));
        assert!(!base.same_work(&StageLock::new(&cmd, vec![dep("a", "2")], Map::new())));
        assert!(!base.same_work(&StageLock { cmd: json!(["x"]), ..base.clone() }));
        let legacy = vec![FileLock { hash: None, ..dep("a", "2") }, dep("b", "1")];
        assert!(!base.same_work(&StageLock::new(&cmd, legacy, Map::new())), "DVC 2's MD5 is of other bytes");
    }

    #[test]
    fn other_schemas_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dvc.lock");
        for (text, said) in
            [("a: {cmd: x}\n", "has no `schema`"), ("schema: '3.0'\n", "3.0"), ("<<<<<<< HEAD\n", "dvc.lock")]
        {
            std::fs::write(&path, text).unwrap();
            let error = LockFile::read(&path).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
