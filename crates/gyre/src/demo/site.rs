//! The demo's folder: the example project, a Git repository around it, and how far the replay has come.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gyre_core::Timestamp;
use include_dir::{Dir, include_dir};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// The example, as it stands in the repository: a user could have written it.
static EXAMPLE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../examples/flights");

/// Says that a folder is the demo's own, and how far it is.
const MARK: &str = ".gyre-demo.json";

/// The folder with its cursor.
pub(super) struct Site {
    dir: PathBuf,
}

/// How far the replay has come. What lies before is in the inference log and the journal, on disk.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// Up to where everything was sent; none before the first model serves.
    pub(super) time: Option<Timestamp>,
    /// Requests that failed so far.
    pub(super) failed: u64,
    /// Seconds that earlier attempts took.
    pub(super) seconds: f64,
    /// Whether the folder is ready.
    #[serde(default)]
    pub(super) prepared: bool,
    /// Whether the year is over.
    pub(super) finished: bool,
}

impl Site {
    /// Makes the folder `dir` the example project, goes on with one that was interrupted, or begins anew one that was
    /// finished. A folder that is not the demo's is left alone.
    pub(super) fn prepare(dir: &Path) -> Result<Self, Failure> {
        let dir = std::path::absolute(dir)?;
        let site = Self { dir };
        if site.mark().exists() {
            let cursor = site.cursor()?;
            if cursor.prepared && !cursor.finished {
                return Ok(site);
            }
        } else if site.dir.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Failure::because(format!(
                "{} is not empty and not a demo's folder; choose another with --dir",
                site.dir.display()
            )));
        }
        std::fs::create_dir_all(&site.dir)?;
        // The mark comes first: whatever happens from here on, the folder is known to be the demo's.
        site.advance(Cursor::default())?;
        site.clear()?;
        EXAMPLE.extract(&site.dir)?;
        site.commit()?;
        site.advance(Cursor { prepared: true, ..Cursor::default() })?;
        Ok(site)
    }

    /// Removes everything but the mark.
    fn clear(&self) -> Result<(), Failure> {
        for entry in self.dir.read_dir()? {
            let path = entry?.path();
            if path == self.mark() {
                continue;
            }
            if path.is_dir() { std::fs::remove_dir_all(path)? } else { std::fs::remove_file(path)? }
        }
        Ok(())
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    fn mark(&self) -> PathBuf {
        self.dir.join(MARK)
    }

    pub(super) fn cursor(&self) -> Result<Cursor, Failure> {
        Ok(serde_json::from_slice(&std::fs::read(self.mark())?)?)
    }

    /// Remembers how far the replay has come; whole or not at all.
    pub(super) fn advance(&self, cursor: Cursor) -> Result<(), Failure> {
        Ok(gyre_data::files::write(&self.mark(), &serde_json::to_vec(&cursor)?)?)
    }

    pub(super) fn finish(&self) -> Result<(), Failure> {
        self.advance(Cursor { finished: true, ..self.cursor()? })
    }

    /// Puts the project under Git, so that runs can name the commit of their code. Without Git there is none to name.
    fn commit(&self) -> Result<(), Failure> {
        let git = |arguments: &[&str]| {
            Command::new("git")
                .args([
                    "-c",
                    "user.name=gyre demo",
                    "-c",
                    "user.email=demo@localhost",
                    "-c",
                    "commit.gpgsign=false",
                ])
                .args(arguments)
                .current_dir(&self.dir)
                .env_remove("GIT_DIR")
                .env_remove("GIT_WORK_TREE")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
        };
        if git(&["--version"]).is_err() {
            return Ok(());
        }
        std::fs::write(self.dir.join(".gitignore"), format!("/{MARK}\n/.gyre/\n"))?;
        for step in [
            &["init", "--quiet"][..],
            &["add", "."],
            &["commit", "--quiet", "-m", "Declare the flights project"],
        ] {
            if !git(step)?.success() {
                return Err(Failure::because(format!(
                    "`git {}` failed in {}",
                    step.join(" "),
                    self.dir.display()
                )));
            }
        }
        Ok(())
    }
}
