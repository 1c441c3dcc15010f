//! From a process to its record.

use std::path::{Path, PathBuf};

use gyre_core::Digest;

use crate::client::Client;
use crate::git::Repositories;
use crate::packages::{self, Shelf};
use crate::record::{Diff, Package, Packages, Process, Record, Source, Stage};
use crate::{data, files, hardware, proc, scrub};

/// A record with its long parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Collected {
    /// The record.
    pub record: Record,
    /// The diff, whose digest the record holds.
    pub diff: Option<Vec<u8>>,
    /// The packages as JSON, whose digest the record holds.
    pub packages: Option<String>,
}

/// Looks into processes; it remembers the packages of environments, which take longest to read, and for a moment the
/// repositories.
#[derive(Debug, Default)]
pub struct Collector {
    shelf: Shelf,
    repositories: Repositories,
}

impl Collector {
    /// What there is to know of `client`; none when it has ended meanwhile.
    pub fn look(&mut self, client: Client) -> Option<Collected> {
        let mut notes = Vec::new();
        let variables = client.bytes("environ").map(|bytes| proc::variables(&bytes)).unwrap_or_default();
        let command = client.bytes("cmdline").map(|bytes| proc::arguments(&bytes)).unwrap_or_default();
        let directory = client.directory();
        if directory.is_none() {
            notes.push(
                "the process has files of its own (a container?), so none of them were looked at".to_owned(),
            );
        }
        let stage = Stage {
            name: variables.get("DVC_STAGE").cloned(),
            run: variables.get("GYRE_RUN").cloned(),
            as_of: variables.get("GYRE_AS_OF").cloned(),
        };
        let found =
            directory.as_deref().and_then(|folder| self.repositories.look(folder, client.start, &mut notes));
        let (root, mut code, diff, dvc_files) = match found {
            Some(found) => (Some(found.root), Some(found.code), found.diff, found.dvc_files),
            None => (None, None, None, directory.as_deref().map(dvc_files).unwrap_or_default()),
        };
        let diff = diff.map(|(text, cut)| {
            if let Some(code) = &mut code {
                code.diff = Some(Diff { digest: Digest::of(&text), bytes: text.len(), cut });
            }
            text
        });
        let data_root = root.as_deref().or(directory.as_deref());
        let data = data_root.map(|root| data::look(root, &dvc_files, &mut notes)).unwrap_or_default();
        let folders: Vec<&Path> = directory.as_deref().into_iter().chain(root.as_deref()).collect();
        let (mut environment, packages) = match &directory {
            Some(_) => packages::look(client, &command, &variables, &folders, &mut self.shelf, &mut notes),
            None => Default::default(),
        };
        let packages = keep(&packages).map(|(kept, json)| {
            environment.packages = Some(kept);
            json
        });
        let shown = |path: PathBuf| path.to_string_lossy().into_owned();
        let process = Process {
            command: scrub::arguments(&command),
            executable: client.executable().map(shown),
            directory: directory.clone().map(shown),
            started: started(client),
            variables,
        };
        let mut record = Record {
            source: Source::Observed,
            process: Some(process),
            stage: (stage != Stage::default()).then_some(stage),
            code,
            environment: Some(environment),
            hardware: Some(hardware::look(client)),
            data,
            notes,
        };
        // What was read is of this process only if it was there all the time.
        if !client.lives() {
            return None;
        }
        record.fit();
        Some(Collected { record, diff, packages })
    }
}

/// The list of packages as it is kept, with what the record says of it; none when there are none.
pub fn keep(packages: &[Package]) -> Option<(Packages, String)> {
    if packages.is_empty() {
        return None;
    }
    let json = serde_json::to_string(packages).unwrap_or_default();
    Some((Packages { digest: Digest::of(json.as_bytes()), count: packages.len() }, json))
}

/// The DVC files in a folder outside any Git repository.
fn dvc_files(folder: &Path) -> Vec<String> {
    const ENTRIES: usize = 10_000;
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().take(ENTRIES);
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> =
        names.filter(|name| name == "dvc.lock" || (name.ends_with(".dvc") && name != ".dvc")).collect();
    names.sort();
    names
}

/// When `client` started, in seconds since 1970.
fn started(client: Client) -> Option<u64> {
    let boot = proc::boot(&files::text(Path::new("/proc/stat"), 4 << 20)?)?;
    boot.checked_add(client.start / proc::TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_is_described_until_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let pointer = "outs:\n- md5: d41d8cd98f00b204e9800998ecf8427e\n  size: 0\n  path: x.csv\n";
        std::fs::write(dir.path().join("x.csv.dvc"), pointer).unwrap();
        std::fs::write(dir.path().join("renv.lock"), "{}").unwrap();
        let mut child = Command::new("bash")
            .args(["-c", "echo; read -r _", "train", "--password", "hunter2"])
            .current_dir(dir.path())
            .env("DVC_STAGE", "train")
            .env("GYRE_RUN", "r1")
            .env("SOME_PASSWORD", "hunter2")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // By then it is bash, not a copy of this process.
        std::io::BufRead::read_line(
            &mut std::io::BufReader::new(child.stdout.as_mut().unwrap()),
            &mut String::new(),
        )
        .unwrap();
        let client = Client::of(child.id()).unwrap();
        let mut collector = Collector::default();
        let collected = collector.look(client).unwrap();
        let record = &collected.record;
        assert!(!record.to_json().contains("hunter2"), "{}", record.to_json());
        let process = record.process.as_ref().unwrap();
        assert_eq!(process.command[3..], ["train", "--password", scrub::HIDDEN]);
        assert_eq!(process.directory.as_deref(), dir.path().canonicalize().unwrap().to_str());
        assert_eq!(record.stage.as_ref().unwrap().name.as_deref(), Some("train"));
        assert_eq!(record.stage.as_ref().unwrap().run.as_deref(), Some("r1"));
        assert_eq!(record.environment.as_ref().unwrap().interpreter.as_deref(), Some("bash"));
        assert_eq!(record.environment.as_ref().unwrap().lock_files.len(), 1);
        assert_eq!(record.data[0].path, "x.csv");
        let hardware = record.hardware.as_ref().unwrap();
        assert!(hardware.cpus.is_some() && hardware.memory.is_some() && hardware.host.is_some());
        assert!(process.started.is_some() && record.code.is_none());
        assert_eq!(collector.look(client).unwrap(), collected, "the same state gives the same record");

        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(collector.look(client), None);
    }
}
