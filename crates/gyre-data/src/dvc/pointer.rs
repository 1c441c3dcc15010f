//! Pointer files: `data.parquet.dvc` says in Git which bytes `data.parquet` has.
//!
//! gyre notes the SHA-256 beside DVC's MD5, in the free-form `meta` that DVC keeps. `dvc add` keeps the note when
//! it changes the MD5, so a reader must not trust it alone: [`Out::sha256`] is a claim to be checked against
//! the bytes.

use std::path::Path;

use gyre_core::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::DvcError;
use crate::files::{self, FileError};
use crate::hash::ContentHash;
use crate::yaml;

/// A `.dvc` file. Keys that DVC knows and gyre has no use for are kept; comments are not.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pointer {
    /// Hash of an import's own definition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub md5: Option<String>,
    /// Whether an import stays at its revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen: Option<bool>,
    /// Where an import comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deps: Option<Vec<Value>>,
    /// What is pointed to.
    pub outs: Vec<Out>,
    /// The directory that paths are relative to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wdir: Option<String>,
    /// A description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desc: Option<String>,
    /// Whether DVC is to bring it up to date every time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub always_changed: Option<bool>,
    /// Anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<Value>,
}

/// One file that a pointer points to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Out {
    /// MD5 of the bytes; ends in `.dir` for a directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub md5: Option<String>,
    /// Size in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Files in it, for a directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nfiles: Option<u64>,
    /// Whether it may be executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isexec: Option<bool>,
    /// `md5`; without it, the MD5 is DVC 2's, of text with line ends changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// The file, relative to the pointer.
    pub path: String,
    /// Whether it is in the cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<bool>,
    /// Whether it stays when a stage runs again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persist: Option<bool>,
    /// Whether it is pushed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push: Option<bool>,
    /// Which remote it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// A description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desc: Option<String>,
    /// A kind, for people.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Labels, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// Anything; gyre's note is under `gyre`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<Map<String, Value>>,
    /// Files of a directory on a version-aware remote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<Value>>,
    /// Identity on a version-aware remote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud: Option<Value>,
}

impl Pointer {
    /// A pointer to one file, beside the pointer, with these bytes.
    pub fn to_file(name: &str, hash: &ContentHash) -> Self {
        let mut out = Out { path: name.to_owned(), ..Out::default() };
        out.point_to(hash);
        Self { outs: vec![out], ..Self::default() }
    }

    /// Reads a `.dvc` file.
    ///
    /// # Errors
    /// [`DvcError::Malformed`] with the line; when the file cannot be read.
    pub fn read(path: &Path) -> Result<Self, DvcError> {
        let text = std::fs::read_to_string(path).map_err(FileError::on("read", path))?;
        yaml::from_str(&text).map_err(|error| DvcError::malformed(path, error))
    }

    /// The file's text, as DVC writes it.
    pub fn to_yaml(&self) -> String {
        // Plain data under text keys: it cannot fail to become a JSON value.
        serde_json::to_value(self).map(|value| yaml::to_string(&value)).unwrap_or_default()
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), DvcError> {
        Ok(files::write(path, self.to_yaml().as_bytes())?)
    }

    /// The one file that is pointed to, with its MD5.
    ///
    /// # Errors
    /// [`DvcError::Directory`]; [`DvcError::Malformed`] when there are several outputs, none, or an MD5 of DVC 2.
    pub fn single<'a>(&'a self, path: &Path) -> Result<(&'a Out, &'a str), DvcError> {
        let [out] = self.outs.as_slice() else {
            let message = format!("has {} outputs, expected one", self.outs.len());
            return Err(DvcError::malformed(path, message));
        };
        let Some(md5) = out.md5.as_deref() else {
            return Err(DvcError::malformed(path, format!("the output `{}` has no md5", out.path)));
        };
        if md5.ends_with(".dir") {
            return Err(DvcError::Directory(path.with_file_name(&out.path)));
        }
        if out.hash.as_deref() != Some("md5") {
            let message =
                format!("`{}` was added by DVC 2 (no `hash: md5`); add it again with DVC 3", out.path);
            return Err(DvcError::malformed(path, message));
        }
        Ok((out, md5))
    }
}

impl Out {
    /// Points to other bytes; what else is said about the file stays.
    pub fn point_to(&mut self, hash: &ContentHash) {
        self.md5 = Some(hash.md5.clone());
        self.size = Some(hash.size);
        self.hash = Some("md5".to_owned());
        self.nfiles = None;
        let note = json!({ "sha256": hash.sha256.to_hex() });
        self.meta.get_or_insert_default().insert("gyre".to_owned(), note);
    }

    /// The SHA-256 that was noted with some MD5 of this file: a claim, to be checked against the bytes.
    pub fn sha256(&self) -> Option<Digest> {
        self.meta.as_ref()?.get("gyre")?.get("sha256")?.as_str()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hash_file;

    #[test]
    fn a_pointer_is_the_one_that_dvc_writes_and_our_note() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a b: c#.csv");
        std::fs::write(&file, "hi\n").unwrap();
        let hash = hash_file(&file).unwrap();
        let pointer = Pointer::to_file("a b: c#.csv", &hash);
        let text = format!(
            "outs:\n- md5: 764efa883dda1e11db47671c4a3bbd9e\n  size: 3\n  hash: md5\n  path: 'a b: c#.csv'\n  meta:\n    \
             gyre:\n      sha256: {}\n",
            hash.sha256
        );
        assert_eq!(pointer.to_yaml(), text);
        let path = dir.path().join("p.dvc");
        pointer.write(&path).unwrap();
        let read = Pointer::read(&path).unwrap();
        assert_eq!(read, pointer);
        assert_eq!(read.single(&path).unwrap().0.sha256(), Some(hash.sha256));
    }

    #[test]
    fn what_dvc_users_wrote_is_kept() {
        let text = "\
outs:
- md5: 764efa883dda1e11db47671c4a3bbd9e
  size: 3
  hash: md5
  path: a.csv
  remote: big
  desc: rows of March
  meta:
    owner: ann
";
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv.dvc");
        std::fs::write(&path, text).unwrap();
        let mut pointer = Pointer::read(&path).unwrap();
        assert_eq!(pointer.to_yaml(), text);
        let sha256 = Digest::of(b"x");
        pointer.outs[0].point_to(&ContentHash { sha256, md5: "0".repeat(32), size: 1 });
        assert_eq!(pointer.outs[0].sha256(), Some(sha256));
        assert!(pointer.to_yaml().contains("owner: ann") && pointer.to_yaml().contains("remote: big"));
    }

    #[test]
    fn what_is_not_supported_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.dvc");
        for (text, said) in [
            ("outs:\n- md5: 764efa883dda1e11db47671c4a3bbd9e.dir\n  path: d\n", "directories"),
            ("outs:\n- md5: 764efa883dda1e11db47671c4a3bbd9e\n  path: d\n", "DVC 2"),
            ("outs:\n- path: d\n  md6: x\n", "md6"),
            ("outs: 3\n", "x.dvc"),
            ("", "x.dvc"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Pointer::read(&path).and_then(|p| p.single(&path).map(drop)).unwrap_err();
            assert!(error.to_string().contains(said), "{text:?}: {error}");
        }
    }
}
