//! What is recorded of a run's origin.
//!
//! A record is plain data, named by the SHA-256 of its JSON, so that the runs of one process share it. Long parts, the diff
//! and the list of packages, are kept apart under digests of their own: two runs have the same packages when those digests
//! are equal. It holds no moment of its own making: the same state gives the same record.

use std::collections::BTreeMap;

use gyre_core::Digest;
use serde::{Deserialize, Serialize};

use crate::scrub;

/// The longest record, in bytes of its JSON.
pub const LONGEST: usize = 256 << 10;
/// The longest diff that is kept, in bytes; what is beyond is cut off.
pub const LONGEST_DIFF: usize = 1 << 20;
/// The most packages that are listed.
pub const MOST_PACKAGES: usize = 5_000;

/// Who says it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// gyre looked at the process itself.
    Observed,
    /// The client sent it.
    #[default]
    Reported,
}

/// Where a run came from; what is not known is left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Record {
    /// Who says it.
    pub source: Source,
    /// The process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// The stage of a pipeline that started it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// The Git repository of its folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// Interpreter, packages, lock files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
    /// The machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hardware: Option<Hardware>,
    /// Versions of data that the repository's DVC files name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<DataVersion>,
    /// What could not be found out, or was cut off, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Process {
    /// Its arguments, with the program's name as it was called; secrets are replaced.
    pub command: Vec<String>,
    /// The program's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executable: Option<String>,
    /// Its folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// When it started, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
    /// The variables of its environment that are named in [`crate::proc::VARIABLES`].
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
}

/// A stage of a pipeline, by the variables that gyre and DVC set for a stage's commands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stage {
    /// The stage's name (`DVC_STAGE`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// gyre's run of the pipeline (`GYRE_RUN`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The moment as of which the run's data was cut (`GYRE_AS_OF`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
}

/// The state of a Git repository.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Code {
    /// The folder of the working tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// The URL of `origin`, without credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// The commit; none before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The branch; none when HEAD is detached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Whether tracked files differ from the commit.
    pub dirty: bool,
    /// The tracked files that differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// Files that are neither tracked nor ignored; of a folder of them, the folder.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub untracked: Vec<String>,
    /// The difference, as `git diff HEAD` writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<Diff>,
}

/// A diff that is kept under its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diff {
    /// SHA-256 of the text that is kept.
    pub digest: Digest,
    /// Its length.
    pub bytes: usize,
    /// Whether it was cut off at [`LONGEST_DIFF`].
    pub cut: bool,
}

/// What a program ran with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Environment {
    /// The interpreter, as `python 3.12.3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<String>,
    /// The folder of the virtual environment or installation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The packages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packages: Option<Packages>,
    /// Files beside the program that pin versions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lock_files: Vec<LockFile>,
}

/// A list of packages that is kept under its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Packages {
    /// SHA-256 of the list, as JSON.
    pub digest: Digest,
    /// How many there are.
    pub count: usize,
}

/// A package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it was installed from, when that was no registry: a URL without credentials, with the commit if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

/// A file that pins versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockFile {
    /// Its path.
    pub path: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
}

/// A machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hardware {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The operating system, as it calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The kernel's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// The instruction set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// The processor's model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Logical processors of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<usize>,
    /// Of those, how many the process may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus_allowed: Option<usize>,
    /// Memory, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Models of the graphics processors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<String>,
    /// The version of their driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_driver: Option<String>,
}

/// A version of data, as a DVC file names it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataVersion {
    /// The DVC file that says so, from the repository's root.
    pub file: String,
    /// The stage, in a `dvc.lock`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Whether the stage read it (`dep`) or made it (`out`); what a `.dvc` file points to is an `out`.
    pub role: String,
    /// The data's path, as that file writes it.
    pub path: String,
    /// MD5 of its bytes; ends in `.dir` for a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub md5: Option<String>,
    /// Its size in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// Why a record that a client sent is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(pub String);

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Invalid {}

impl Record {
    /// The JSON by whose digest it is named.
    pub fn to_json(&self) -> String {
        // Plain data under text keys: it cannot fail to become JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// A record that a client sent, with secrets replaced, as it may be kept.
    ///
    /// # Errors
    /// [`Invalid`] when it is too long, names a commit that is none, or refers to a diff or to packages by a digest: those
    /// are sent with it, for a digest might be that of anything.
    pub fn reported(mut self) -> Result<Self, Invalid> {
        self.source = Source::Reported;
        if let Some(process) = &mut self.process {
            process.command = scrub::arguments(&process.command);
            process.variables.values_mut().for_each(|value| *value = scrub::text(value));
        }
        if let Some(code) = &mut self.code {
            code.remote = code.remote.as_deref().map(scrub::text);
            let hex = |commit: &String| {
                [40, 64].contains(&commit.len()) && commit.bytes().all(|byte| byte.is_ascii_hexdigit())
            };
            if let Some(wrong) = code.commit.as_ref().filter(|commit| !hex(commit)) {
                let shown: String = wrong.chars().take(80).collect();
                return Err(Invalid(format!(
                    "code.commit is `{shown}`, expected the 40 or 64 hexadecimal digits of a Git commit"
                )));
            }
            if code.diff.is_some() {
                return Err(Invalid("code.diff is set, expected the text itself as `diff`".to_owned()));
            }
        }
        if self.environment.as_ref().is_some_and(|environment| environment.packages.is_some()) {
            return Err(Invalid("environment.packages is set, expected the list as `packages`".to_owned()));
        }
        let length = self.to_json().len();
        if length > LONGEST {
            return Err(Invalid(format!("the record has {length} bytes, expected at most {LONGEST}")));
        }
        Ok(self)
    }

    /// Shortens the lists until it is no longer than [`LONGEST`], and says so.
    pub fn fit(&mut self) {
        let mut keep = 500;
        while self.to_json().len() > LONGEST && keep > 0 {
            let mut cut = false;
            let mut shorten = |length: usize| {
                cut |= length > keep;
                keep
            };
            self.data.truncate(shorten(self.data.len()));
            if let Some(code) = &mut self.code {
                code.changed.truncate(shorten(code.changed.len()));
                code.untracked.truncate(shorten(code.untracked.len()));
            }
            if let Some(process) = &mut self.process {
                process.command.truncate(shorten(process.command.len()));
            }
            let note = "the record was too long: its lists were cut off".to_owned();
            if cut && !self.notes.contains(&note) {
                self.notes.push(note);
            }
            self.notes.truncate(50);
            keep /= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sends_is_checked_and_cleaned() {
        let sent = r#"{"source": "observed", "process": {"command": ["Rscript", "a.R", "--token", "abc"]},
                       "code": {"commit": "0123456789012345678901234567890123456789",
                                "remote": "https://u:pw@example.org/r.git"}}"#;
        let record = serde_json::from_str::<Record>(sent).unwrap().reported().unwrap();
        assert_eq!(record.source, Source::Reported);
        assert_eq!(record.process.as_ref().unwrap().command[3], scrub::HIDDEN);
        assert!(!record.to_json().contains("pw"), "{}", record.to_json());

        for (sent, said) in [
            (r#"{"code": {"commit": "HEAD"}}"#.to_owned(), "code.commit"),
            (
                format!(
                    r#"{{"code": {{"diff": {{"digest": "{}", "bytes": 1, "cut": false}}}}}}"#,
                    "0".repeat(64)
                ),
                "as `diff`",
            ),
            (format!(r#"{{"notes": ["{}"]}}"#, "x".repeat(LONGEST)), "at most"),
        ] {
            let error = serde_json::from_str::<Record>(&sent).unwrap().reported().unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
        assert!(serde_json::from_str::<Record>(r#"{"codde": {}}"#).is_err());
    }

    #[test]
    fn a_long_record_is_shortened_and_says_so() {
        let long = DataVersion { path: "p".repeat(3_000), ..DataVersion::default() };
        let mut record = Record { data: vec![long; 400], ..Record::default() };
        record.fit();
        assert!(record.to_json().len() <= LONGEST && !record.data.is_empty());
        assert_eq!(record.notes.len(), 1);
    }
}
