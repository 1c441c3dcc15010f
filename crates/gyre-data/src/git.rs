//! Where the code stood: the commit of a directory, and whether it was changed since.
//!
//! The `git` command is asked, because it is what wrote the repository and knows all its formats. It is run
//! without a shell and without taking locks.

use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use gyre_core::fact::CodeVersion;

/// Why the code version is not known.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The command could not be started.
    #[error("cannot run `git`: {0} (install Git, or put it on PATH)")]
    NotRun(io::Error),
    /// The command failed although this is a repository.
    #[error("`git {command}` failed: {message}")]
    Failed {
        /// The command's arguments.
        command: String,
        /// What it wrote on standard error.
        message: String,
    },
}

/// The commit that `dir` is at and whether tracked files differ from it; an empty [`CodeVersion`] outside a
/// repository.
///
/// # Errors
/// When Git is missing, or fails inside a repository.
pub fn code_version(dir: &Path) -> Result<CodeVersion, GitError> {
    if !git(dir, &["rev-parse", "--is-inside-work-tree"])?.status.success() {
        return Ok(CodeVersion::default());
    }
    // Before the first commit HEAD names nothing: that is not an error.
    let head = git(dir, &["rev-parse", "--verify", "--quiet", "HEAD"])?;
    let commit = head.status.success().then(|| text(&head.stdout));
    let arguments = ["status", "--porcelain", "--untracked-files=no"];
    let status = git(dir, &arguments)?;
    if !status.status.success() {
        return Err(GitError::Failed { command: arguments.join(" "), message: text(&status.stderr) });
    }
    Ok(CodeVersion { commit, dirty: !status.stdout.is_empty() })
}

/// Which of `paths` (files and folders, relative to `dir`) differ between two commits; relative to `dir`, in Git's order.
///
/// # Errors
/// When Git is missing, or does not know one of the commits.
pub fn differing(dir: &Path, (from, to): (&str, &str), paths: &[String]) -> Result<Vec<String>, GitError> {
    let literal = paths.iter().map(|path| format!(":(literal){path}"));
    let arguments: Vec<String> = ["diff", "--name-only", "--no-ext-diff", "--relative", from, to, "--"]
        .into_iter()
        .map(str::to_owned)
        .chain(literal)
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let found = git(dir, &arguments)?;
    if !found.status.success() {
        return Err(GitError::Failed { command: arguments.join(" "), message: text(&found.stderr) });
    }
    Ok(String::from_utf8_lossy(&found.stdout).lines().map(str::to_owned).collect())
}

/// Records the files in `tree` as a commit on the current one, under the reference `reference`, without touching the branch,
/// the index or the files that a person works with. What `.gitignore` in `tree` leaves out, and `.dvc/`, is not recorded.
/// Returns the commit; none outside a repository.
///
/// # Errors
/// When Git is missing, or fails inside a repository.
pub fn record(dir: &Path, tree: &Path, reference: &str, message: &str) -> Result<Option<String>, GitError> {
    let found = git(dir, &["rev-parse", "--absolute-git-dir"])?;
    if !found.status.success() {
        return Ok(None);
    }
    let git_dir = text(&found.stdout);
    // Git is started in `tree` and would take a relative path from there.
    let tree = &std::path::absolute(tree).map_err(GitError::NotRun)?;
    let index = tree.with_extension("index");
    let run = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(["-c", "user.name=gyre", "-c", "user.email=gyre@localhost", "-c", "commit.gpgsign=false"])
            .args(arguments)
            .current_dir(tree)
            .env("GIT_DIR", &git_dir)
            .env("GIT_WORK_TREE", tree)
            .env("GIT_INDEX_FILE", &index)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .map_err(GitError::NotRun)?;
        if output.status.success() {
            return Ok(text(&output.stdout));
        }
        Err(GitError::Failed { command: arguments.join(" "), message: text(&output.stderr) })
    };
    let recorded = (|| {
        run(&["add", "--all", "--", ".", ":(exclude).dvc"])?;
        let tree = run(&["write-tree"])?;
        let head = run(&["rev-parse", "--verify", "--quiet", "HEAD"]).ok();
        let mut arguments = vec!["commit-tree", tree.as_str(), "-m", message];
        arguments.extend(head.iter().flat_map(|head| ["-p", head.as_str()]));
        let commit = run(&arguments)?;
        run(&["update-ref", reference, &commit])?;
        Ok(commit)
    })();
    // The index was only a means; a leftover is overwritten the next time.
    let _ = std::fs::remove_file(&index);
    recorded.map(Some)
}

fn git(dir: &Path, arguments: &[&str]) -> Result<Output, GitError> {
    Command::new("git")
        .args(arguments)
        .current_dir(dir)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("LC_ALL", "C")
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .stdin(Stdio::null())
        .output()
        .map_err(GitError::NotRun)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().chars().take(2_000).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn run(dir: &Path, arguments: &[&str]) {
        let done = git(dir, arguments).unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", text(&done.stderr));
    }

    #[test]
    fn only_files_that_are_asked_for_and_differ_between_two_commits_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let (root, project) = (dir.path(), dir.path().join("project"));
        std::fs::create_dir_all(project.join("src")).unwrap();
        run(root, &["init", "--quiet"]);
        let commit = |train: &str, readme: &str| {
            std::fs::write(project.join("src/train.py"), train).unwrap();
            std::fs::write(project.join("README"), readme).unwrap();
            run(root, &["add", "."]);
            run(root, &["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "m"]);
            code_version(root).unwrap().commit.unwrap()
        };
        let (first, second, third) = (commit("1", "1"), commit("1", "2"), commit("2", "2"));
        let paths = ["src".to_owned(), "dvc.yaml".to_owned()];
        assert_eq!(differing(&project, (&first, &second), &paths).unwrap(), Vec::<String>::new());
        assert_eq!(differing(&project, (&first, &third), &paths).unwrap(), ["src/train.py"]);
        assert!(differing(&project, ("0123456789", &third), &paths).is_err());
    }

    #[test]
    fn a_folder_is_recorded_by_whatever_name_it_is_called() {
        let dir = tempfile::tempdir().unwrap();
        run(dir.path(), &["init", "-q"]);
        let tree = dir.path().join("runs/one");
        std::fs::create_dir_all(&tree).unwrap();
        std::fs::write(tree.join("model.txt"), "1").unwrap();
        let up: PathBuf = std::env::current_dir().unwrap().components().skip(1).map(|_| "..").collect();
        let relative = up.join(tree.strip_prefix("/").unwrap());

        for tree in [tree.as_path(), relative.as_path()] {
            let commit = record(dir.path(), tree, "refs/gyre/one", "a run").unwrap().unwrap();
            let listed = git(dir.path(), &["ls-tree", "--name-only", &commit]).unwrap();
            assert_eq!(text(&listed.stdout), "model.txt", "{}", tree.display());
        }
    }

    #[test]
    fn a_directory_goes_from_no_repository_to_clean_to_dirty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        assert_eq!(code_version(path).unwrap(), CodeVersion::default());

        run(path, &["init", "-q"]);
        assert_eq!(code_version(path).unwrap().commit, None);

        std::fs::write(path.join("a"), "1").unwrap();
        run(path, &["add", "a"]);
        run(path, &["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "one"]);
        let clean = code_version(path).unwrap();
        assert_eq!(clean.commit.as_ref().unwrap().len(), 40);
        assert!(!clean.dirty);

        std::fs::write(path.join("untracked"), "1").unwrap();
        assert!(!code_version(path).unwrap().dirty, "untracked files are not a change");
        std::fs::write(path.join("a"), "2").unwrap();
        assert!(code_version(path).unwrap().dirty);
    }
}
