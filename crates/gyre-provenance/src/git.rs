//! The state of the Git repository that a folder is in.
//!
//! The `git` command is asked. A repository can name programs that Git would run: for watching files, for differences, for
//! converting, as hooks, for fetching what is missing, for filters. All of these are switched off, so that looking at a
//! repository runs nothing of it. Git itself refuses a repository of another user (`safe.directory`). Each call has a limit
//! of time and of output.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::record::{Code, LONGEST_DIFF};
use crate::{files, porcelain, proc, scrub};

/// How long one call of Git may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long what was found is good for, counted from before it was looked for.
const FRESH: Duration = Duration::from_secs(1);
/// The longest output that is no diff, in bytes.
const OUTPUT: usize = 1 << 20;
/// The most names of changed and of untracked files.
const NAMES: usize = 200;
/// The most settings of filters; a repository with more is left alone.
const FILTERS: usize = 1_000;
/// Files whose changes are named but not shown: by their names they hold secrets.
const PRIVATE: [&str; 10] = [
    "*.env",
    "*.env.*",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*id_rsa*",
    "*id_ed25519*",
    "*secret*",
    "*credential*",
];

/// Settings that keep Git from running anything, whatever the repository says.
const QUIET: [&str; 10] = [
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.pager=cat",
    "core.askPass=",
    "core.sshCommand=false",
    "core.alternateRefsCommand=true",
    "core.quotePath=false",
    "diff.external=",
    "protocol.allow=never",
    "safe.bareRepository=explicit",
];

/// What was found of a repository.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    pub(crate) root: PathBuf,
    pub(crate) code: Code,
    /// The difference, its last line whole, and whether it was cut off.
    pub(crate) diff: Option<(Vec<u8>, bool)>,
    /// DVC files, from the root.
    pub(crate) dvc_files: Vec<String>,
}

/// Repositories that were looked at a moment ago: the processes of a parallel training come from one, all at once.
#[derive(Debug)]
pub(crate) struct Repositories {
    fresh: Duration,
    seen: HashMap<PathBuf, Seen>,
}

impl Default for Repositories {
    fn default() -> Self {
        Self { fresh: FRESH, seen: HashMap::new() }
    }
}

#[derive(Debug)]
struct Seen {
    at: Instant,
    /// The same moment in ticks since the system started, rounded down.
    tick: u64,
    found: Option<Found>,
    notes: Vec<String>,
}

impl Repositories {
    /// As [`look`], for a process that started at `tick`: what was found less than [`FRESH`] ago serves as well, if the
    /// process was there then. One that started later may have started after a commit.
    pub(crate) fn look(&mut self, folder: &Path, tick: u64, notes: &mut Vec<String>) -> Option<Found> {
        self.seen.retain(|_, seen| seen.at.elapsed() < self.fresh);
        if let Some(seen) = self.seen.get(folder)
            && tick < seen.tick
        {
            notes.extend(seen.notes.iter().cloned());
            return seen.found.clone();
        }
        let now = files::text(Path::new("/proc/uptime"), 1 << 10).and_then(|text| proc::uptime(&text));
        let (at, mut said) = (Instant::now(), Vec::new());
        let found = look(folder, &mut said);
        notes.extend(said.iter().cloned());
        if let Some(tick) = now {
            self.seen.insert(folder.to_owned(), Seen { at, tick, found: found.clone(), notes: said });
        }
        found
    }
}

/// The repository that `folder` is in, if it is in one. What cannot be found out is told to `notes`.
fn look(folder: &Path, notes: &mut Vec<String>) -> Option<Found> {
    // Without Git there may be no repository either: only then nothing needs to be said.
    if !folder.ancestors().any(|above| above.join(".git").exists()) {
        return None;
    }
    let mut git = Git { folder: folder.to_owned(), filters: Vec::new() };
    let root = git.run(["rev-parse", "--show-toplevel"]);
    let root = told("the Git repository cannot be read", root, notes)?;
    let root = PathBuf::from(root.text().trim_end_matches('\n'));
    git.folder.clone_from(&root);
    let settings = git.run(["config", "--list", "--show-scope", "--name-only", "-z"]);
    let settings = told("the settings of the Git repository cannot be read", settings, notes)?;
    git.filters = filters(&settings.text());
    if settings.cut || git.filters.len() == FILTERS {
        notes.push("the Git repository has too many settings and was left alone".to_owned());
        return None;
    }
    let arguments = [
        "status",
        "--porcelain=v2",
        "--branch",
        "-z",
        "--untracked-files=normal",
        "--ignore-submodules=dirty",
    ];
    let status = told("the state of the Git repository cannot be read", git.run(arguments), notes)?;
    if status.cut {
        notes.push("so many files differ from the commit that not all were looked at".to_owned());
    }
    let mut status = porcelain::status(&status.text());
    let dirty = !status.changed.is_empty();
    for (what, names) in [("changed", &mut status.changed), ("untracked", &mut status.untracked)] {
        if names.len() > NAMES {
            notes.push(format!("{} {what} files, of which {NAMES} are named", names.len()));
            names.truncate(NAMES);
        }
    }
    let remote = git.run(["config", "--get", "remote.origin.url"]).ok();
    let remote = remote.map(|url| scrub::text(url.text().trim())).filter(|url| !url.is_empty());
    let diff = if dirty && status.commit.is_some() { git.diff(notes) } else { None };
    let code = Code {
        root: Some(root.to_string_lossy().into_owned()),
        remote,
        commit: status.commit,
        branch: status.branch,
        dirty,
        changed: status.changed,
        untracked: status.untracked,
        diff: None,
    };
    let arguments = [
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
        "--",
        "*.dvc",
        "dvc.lock",
        "**/dvc.lock",
    ];
    let dvc_files =
        git.run(arguments).map_err(|why| notes.push(format!("DVC files cannot be listed: {why}")));
    let dvc_files = dvc_files
        .map(|output| output.text().split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect());
    Some(Found { root, code, diff, dvc_files: dvc_files.unwrap_or_default() })
}

/// What Git said; or none, and `notes` are told why.
fn told(what: &str, outcome: Result<Output, String>, notes: &mut Vec<String>) -> Option<Output> {
    outcome.map_err(|why| notes.push(format!("{what}: {why}"))).ok()
}

/// The names of the settings that make a repository's own filters; those of the user, which Git LFS has, stay.
fn filters(settings: &str) -> Vec<String> {
    let mut filters = Vec::new();
    let mut fields = settings.split('\0');
    while let (Some(scope), Some(name)) = (fields.next(), fields.next()) {
        if matches!(scope, "local" | "worktree") && name.starts_with("filter.") && filters.len() < FILTERS {
            filters.push(name.to_owned());
        }
    }
    filters
}

struct Git {
    folder: PathBuf,
    filters: Vec<String>,
}

struct Output {
    bytes: Vec<u8>,
    cut: bool,
}

impl Output {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl Git {
    fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<Output, String> {
        self.limited(arguments, OUTPUT)
    }

    fn diff(&self, notes: &mut Vec<String>) -> Option<(Vec<u8>, bool)> {
        let mut arguments = vec![
            "diff".to_owned(),
            "--no-ext-diff".to_owned(),
            "--no-textconv".to_owned(),
            "--no-color".to_owned(),
            "--ignore-submodules=dirty".to_owned(),
            "--src-prefix=a/".to_owned(),
            "--dst-prefix=b/".to_owned(),
            "HEAD".to_owned(),
            "--".to_owned(),
            ".".to_owned(),
        ];
        arguments.extend(PRIVATE.iter().map(|name| format!(":(exclude,icase){name}")));
        match self.limited(arguments, LONGEST_DIFF) {
            Ok(Output { bytes, .. }) if bytes.is_empty() => None,
            Ok(Output { mut bytes, cut }) => {
                if cut {
                    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                    bytes.truncate(whole);
                    notes.push(format!("the diff is longer than {LONGEST_DIFF} bytes and was cut off there"));
                }
                Some((bytes, cut))
            }
            Err(why) => {
                notes.push(format!("the diff cannot be made: {why}"));
                None
            }
        }
    }

    fn limited<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
        limit: usize,
    ) -> Result<Output, String> {
        let mut command = Command::new(program());
        for setting in QUIET {
            command.args(["-c", setting]);
        }
        command.arg("--no-pager").args(arguments).current_dir(&self.folder).env_clear();
        // Of this process's environment Git needs to find itself, and its user's settings.
        for name in ["PATH", "HOME", "XDG_CONFIG_HOME"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        // Not as arguments: there a name with a `=` in it would be taken for another.
        command.env("GIT_CONFIG_COUNT", self.filters.len().to_string());
        for (at, filter) in self.filters.iter().enumerate() {
            let value = if filter.ends_with(".required") { "false" } else { "" };
            command.env(format!("GIT_CONFIG_KEY_{at}"), filter).env(format!("GIT_CONFIG_VALUE_{at}"), value);
        }
        command
            .env("LC_ALL", "C")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_ALLOW_PROTOCOL", "none")
            .env("GIT_TERMINAL_PROMPT", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child =
            command.spawn().map_err(|error| format!("cannot run `git`: {error} (install Git)"))?;
        let output = listen(&mut child, limit);
        if output.is_err() || output.as_ref().is_ok_and(|(output, _)| output.cut) {
            kill(&child);
        }
        let ended = child.wait().map_err(|error| format!("`git` cannot be waited for: {error}"))?;
        let (output, said) = output?;
        if !ended.success() && !output.cut {
            let said = said.lines().next().unwrap_or("it failed").chars().take(300).collect::<String>();
            return Err(scrub::text(&said));
        }
        Ok(output)
    }
}

/// Where `git` is. Looked for once, and here: a path lets the command start without a copy of this process's page tables.
fn program() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut found =
            std::env::split_paths(&path).filter(|folder| folder.is_absolute()).map(|f| f.join("git"));
        found.find(|file| file.is_file()).unwrap_or_else(|| PathBuf::from("git"))
    });
    &PROGRAM
}

/// What a command prints, up to a limit of bytes and of time, and what it complains of.
fn listen(child: &mut Child, limit: usize) -> Result<(Output, String), String> {
    let (sender, receiver) = sync_channel(2);
    let drain = |pipe: Option<Box<dyn Read + Send>>, limit: usize, is_output: bool| {
        let sender = sender.clone();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = match pipe {
                Some(pipe) => pipe.take(limit as u64 + 1).read_to_end(&mut bytes).map(drop),
                None => Err(io::Error::other("there is no pipe")),
            };
            // Whoever stopped waiting does not want it.
            let _ = sender.send((is_output, read.map(|()| bytes)));
        });
    };
    drain(child.stdout.take().map(|pipe| Box::new(pipe) as _), limit, true);
    drain(child.stderr.take().map(|pipe| Box::new(pipe) as _), 4_096, false);
    let until = Instant::now() + PATIENCE;
    let (mut output, mut said) = (None, None);
    while output.is_none() || said.is_none() {
        let left = until.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(left) {
            Ok((true, Ok(mut bytes))) => {
                let cut = bytes.len() > limit;
                bytes.truncate(limit);
                if cut {
                    return Ok((Output { bytes, cut }, String::new()));
                }
                output = Some(Output { bytes, cut });
            }
            Ok((false, Ok(bytes))) => said = Some(String::from_utf8_lossy(&bytes).into_owned()),
            Ok((_, Err(error))) => return Err(format!("what `git` said cannot be read: {error}")),
            Err(_) => return Err(format!("`git` took longer than {} s", PATIENCE.as_secs())),
        }
    }
    Ok((output.unwrap_or(Output { bytes: Vec::new(), cut: false }), said.unwrap_or_default()))
}

fn kill(child: &Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // Fails when it has ended already, which is what it is for.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(folder: &Path, arguments: &[&str]) {
        let done = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"])
            .args(arguments)
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn repository() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        git(&root, &["init", "-q"]);
        for (name, text) in [("a.txt", "one\n"), ("my.env", "KEY=old\n"), ("b.bin", "\0\u{1}")] {
            std::fs::write(root.join(name), text).unwrap();
        }
        std::fs::create_dir(root.join("data")).unwrap();
        std::fs::write(root.join("data/x.csv.dvc"), "outs: []\n").unwrap();
        git(&root, &["add", "."]);
        git(&root, &["commit", "-qm", "one"]);
        (dir, root)
    }

    #[test]
    fn a_repository_is_described_from_a_folder_inside() {
        let (_dir, root) = repository();
        git(&root, &["remote", "add", "origin", "https://me:hunter2@example.org/r.git"]);
        let mut notes = Vec::new();
        let clean = look(&root.join("data"), &mut notes).unwrap();
        assert_eq!((clean.code.dirty, clean.code.commit.as_ref().unwrap().len()), (false, 40));
        assert_eq!(clean.code.branch.as_deref(), Some("main"));
        assert_eq!(clean.code.remote.as_deref(), Some("https://[hidden]@example.org/r.git"));
        assert_eq!((clean.root.as_path(), clean.diff.is_none()), (root.as_path(), true));

        for (name, text) in
            [("a.txt", "two\n"), ("my.env", "KEY=hunter2\n"), ("b.bin", "\0\u{2}"), ("new.py", "")]
        {
            std::fs::write(root.join(name), text).unwrap();
        }
        std::fs::write(root.join("dvc.lock"), "schema: '2.0'\n").unwrap();
        let mut known = Repositories { fresh: Duration::from_secs(3_600), ..Repositories::default() };
        let seen = known.look(&root, 0, &mut notes).unwrap();
        std::fs::write(root.join("c.txt"), "").unwrap();
        let (earlier, later) = (known.look(&root, 0, &mut notes), known.look(&root, u64::MAX, &mut notes));
        assert_eq!(earlier.unwrap().code.untracked, seen.code.untracked);
        assert_eq!(later.unwrap().code.untracked, ["c.txt", "dvc.lock", "new.py"]);
        std::fs::remove_file(root.join("c.txt")).unwrap();

        let dirty = look(&root, &mut notes).unwrap();
        assert_eq!(dirty.code.changed, ["a.txt", "b.bin", "my.env"]);
        assert_eq!(dirty.code.untracked, ["dvc.lock", "new.py"]);
        let mut files = dirty.dvc_files.clone();
        files.sort();
        assert_eq!(files, ["data/x.csv.dvc", "dvc.lock"]);
        let (diff, cut) = dirty.diff.unwrap();
        let diff = String::from_utf8(diff).unwrap();
        assert!(diff.contains("-one\n+two\n") && diff.contains("Binary files"), "{diff}");
        assert!(!diff.contains("hunter2") && !cut, "{diff}");
        assert_eq!(notes, Vec::<String>::new());
        assert!(look(Path::new("/proc"), &mut notes).is_none() && notes.is_empty());
    }

    #[test]
    fn a_long_diff_is_cut_at_a_line() {
        let (_dir, root) = repository();
        std::fs::write(root.join("a.txt"), "a line of thirty characters ..\n".repeat(50_000)).unwrap();
        let mut notes = Vec::new();
        let (diff, cut) = look(&root, &mut notes).unwrap().diff.unwrap();
        assert!(cut && diff.len() <= LONGEST_DIFF && diff.ends_with(b"..\n"));
        assert_eq!(notes.len(), 1, "{notes:?}");
    }

    #[test]
    fn nothing_that_a_repository_names_is_run() {
        let (_dir, root) = repository();
        let mark = root.join("ran");
        let script = root.join("evil.sh");
        std::fs::write(&script, format!("#!/bin/sh\necho \"$0 $*\" >> {}\ncat\n", mark.display())).unwrap();
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let evil = script.to_str().unwrap();
        std::fs::write(root.join(".gitattributes"), "*.txt diff=evil filter=evil\n*.bin diff=conv\n")
            .unwrap();
        std::fs::create_dir_all(root.join("hooks")).unwrap();
        for hook in ["post-index-change", "fsmonitor-watchman", "query-watchman"] {
            std::fs::copy(&script, root.join("hooks").join(hook)).unwrap();
        }
        let hooks = root.join("hooks");
        for (key, value) in [
            ("core.fsmonitor", evil),
            ("core.hooksPath", hooks.to_str().unwrap()),
            ("core.pager", evil),
            ("core.sshCommand", evil),
            ("diff.external", evil),
            ("diff.evil.command", evil),
            ("diff.conv.textconv", evil),
            ("filter.evil.clean", evil),
            ("filter.evil.process", evil),
            ("filter.evil.required", "true"),
            ("pager.status", evil),
            ("pager.diff", evil),
            ("interactive.diffFilter", evil),
            ("remote.origin.url", &format!("ext::{evil}")),
            ("remote.origin.promisor", "true"),
        ] {
            git(&root, &["config", key, value]);
        }
        std::fs::write(root.join("a.txt"), "two\n").unwrap();
        std::fs::write(root.join("b.bin"), "\0\u{2}").unwrap();
        // What Git does of itself runs them: the trap is set.
        let _ = Command::new("git").args(["diff", "HEAD"]).current_dir(&root).output().unwrap();
        assert!(mark.exists(), "the trap does not work");
        std::fs::remove_file(&mark).unwrap();

        let mut notes = Vec::new();
        let found = look(&root, &mut notes).unwrap();
        assert!(!mark.exists(), "{}", std::fs::read_to_string(&mark).unwrap());
        let diff = String::from_utf8(found.diff.unwrap().0).unwrap();
        assert!(diff.contains("-one\n+two\n"), "{diff}");

        // Whatever the filter is called.
        git(&root, &["config", "filter.a=b.clean", evil]);
        std::fs::write(root.join(".gitattributes"), "*.txt filter=a=b\n").unwrap();
        std::fs::write(root.join("a.txt"), "three\n").unwrap();
        assert!(look(&root, &mut notes).is_some() && !mark.exists());
        assert_eq!(notes, Vec::<String>::new());
    }
}
