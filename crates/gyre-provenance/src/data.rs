//! Versions of data, as the DVC files of a repository name them.
//!
//! Only names and hashes are read here, and keys that are not known do no harm: whoever changes such files uses the strict
//! readers of `gyre-data`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::files;
use crate::record::DataVersion;

/// The most DVC files that are read, and the longest one, in bytes.
const FILES: usize = 500;
const LONGEST: u64 = 1 << 20;
/// The most versions that are named.
const VERSIONS: usize = 1_000;

/// What is read of a `.dvc` file.
#[derive(Deserialize)]
struct Pointer {
    #[serde(default)]
    outs: Vec<File>,
}

/// What is read of a `dvc.lock`.
#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    stages: BTreeMap<String, Locked>,
}

#[derive(Deserialize)]
struct Locked {
    #[serde(default)]
    deps: Vec<File>,
    #[serde(default)]
    outs: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    path: String,
    md5: Option<String>,
    size: Option<u64>,
}

/// The versions that `names`, DVC files inside `root`, name. What cannot be read is told to `notes`.
pub(crate) fn look(root: &Path, names: &[String], notes: &mut Vec<String>) -> Vec<DataVersion> {
    let mut versions = Vec::new();
    if names.len() > FILES {
        notes.push(format!("{} DVC files, of which {FILES} were read", names.len()));
    }
    for name in names.iter().take(FILES) {
        match one(root, name) {
            Ok(found) => versions.extend(found),
            Err(why) => notes.push(format!("{name}: {why}")),
        }
    }
    if versions.len() > VERSIONS {
        notes.push(format!("{} data versions, of which {VERSIONS} are named", versions.len()));
        versions.truncate(VERSIONS);
    }
    versions
}

fn one(root: &Path, name: &str) -> Result<Vec<DataVersion>, String> {
    let path = root.join(name).canonicalize().map_err(|error| error.to_string())?;
    // A link must not lead to what is not of this repository.
    if !path.starts_with(root) {
        return Err("it is a link out of the repository".to_owned());
    }
    let (bytes, cut) = files::head(&path, LONGEST).map_err(|error| error.to_string())?;
    if cut {
        return Err(format!("it is longer than {LONGEST} bytes"));
    }
    read(name, &String::from_utf8_lossy(&bytes))
}

/// The versions that the DVC file `name` with this text names.
fn read(name: &str, text: &str) -> Result<Vec<DataVersion>, String> {
    let version = |stage: Option<&str>, role: &str, path: String, md5, size| DataVersion {
        file: name.to_owned(),
        stage: stage.map(str::to_owned),
        role: role.to_owned(),
        path,
        md5,
        size,
    };
    if name.ends_with(".dvc") {
        let pointer: Pointer = yaml(text)?;
        return Ok(pointer
            .outs
            .into_iter()
            .map(|out| version(None, "out", out.path, out.md5, out.size))
            .collect());
    }
    let lock: Lock = yaml(text)?;
    let mut versions = Vec::new();
    for (stage, Locked { deps, outs }) in lock.stages {
        for (role, files) in [("dep", deps), ("out", outs)] {
            let each =
                files.into_iter().map(|file| version(Some(&stage), role, file.path, file.md5, file.size));
            versions.extend(each);
        }
    }
    Ok(versions)
}

/// Reads YAML; an error has the place, and no excerpt of the text.
fn yaml<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        error.to_string().lines().next().unwrap_or("it is no YAML").chars().take(300).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MD5: &str = "d41d8cd98f00b204e9800998ecf8427e";

    #[test]
    fn pointers_and_locks_name_versions() {
        let pointer = format!("outs:\n- md5: {MD5}\n  size: 7\n  hash: md5\n  path: x.csv\n");
        let lock = format!(
            "schema: '2.0'\nstages:\n  train:\n    cmd: python t.py\n    deps:\n    - path: x.csv\n      hash: md5\n      \
             md5: {MD5}\n      size: 7\n    params:\n      params.yaml:\n        lr: 1\n    outs:\n    - path: m.onnx\n      md5: a\n"
        );
        let found = read("x.csv.dvc", &pointer).unwrap();
        assert_eq!(
            (found[0].path.as_str(), found[0].md5.as_deref(), found[0].size),
            ("x.csv", Some(MD5), Some(7))
        );
        let found = read("sub/dvc.lock", &lock).unwrap();
        let roles: Vec<_> =
            found.iter().map(|version| (version.role.as_str(), version.path.as_str())).collect();
        assert_eq!(roles, [("dep", "x.csv"), ("out", "m.onnx")]);
        assert_eq!(found[0].stage.as_deref(), Some("train"));
    }

    #[test]
    fn what_is_not_of_the_repository_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("repo");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(dir.path().join("other.dvc"), "outs: [{path: secret}]").unwrap();
        std::os::unix::fs::symlink("../other.dvc", root.join("link.dvc")).unwrap();
        std::fs::write(root.join("broken.dvc"), "outs: [").unwrap();
        let mut notes = Vec::new();
        let names = ["link.dvc", "broken.dvc", "../other.dvc", "missing.dvc"].map(str::to_owned);
        assert_eq!(look(&root, &names, &mut notes), []);
        assert_eq!(notes.len(), 4, "{notes:?}");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[ -~\n]{0,200}") {
            let _ = (read("a.dvc", &text), read("dvc.lock", &text));
        }
    }
}
