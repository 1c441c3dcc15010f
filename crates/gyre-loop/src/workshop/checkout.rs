//! A run's own folder: the project's files as they are, without what is big, secret or gyre's.
//!
//! A training must not disturb the folder that a person works in, and two trainings must not disturb each other. So each
//! run gets a copy of what Git would keep (`.gitignore` is obeyed, Git or not) and shares only the DVC cache.

use std::path::Path;

use gyre_data::dvc::Repo;
use ignore::WalkBuilder;

use crate::engine::Failure;

/// The most bytes that are copied for a run.
const MOST_BYTES: u64 = 4 << 30;

/// How many folders of earlier runs are kept, to look at; what counts of them is in Git, the DVC cache and the blobs.
const KEPT_RUNS: usize = 10;

/// Makes `run` a copy of the project in `root`, with the project's DVC cache. What an earlier attempt left is used again.
pub(super) fn checkout(root: &Path, run: &Path) -> Result<Repo, Failure> {
    let project = Repo::init(root)?;
    forget_old_runs(run)?;
    let mut copied = 0;
    for entry in WalkBuilder::new(root).require_git(false).build() {
        let entry = entry?;
        let Ok(relative) = entry.path().strip_prefix(root) else { continue };
        let to = run.join(relative);
        if entry.file_type().is_some_and(|kind| kind.is_dir()) {
            std::fs::create_dir_all(&to).map_err(|error| on(&to, error))?;
        } else if entry.file_type().is_some_and(|kind| kind.is_file()) && !to.exists() {
            // Under another name first: what bears its own name is whole, whenever an attempt was cut short.
            let partial = to.with_extension("gyre-partial");
            copied += std::fs::copy(entry.path(), &partial).map_err(|error| on(&partial, error))?;
            std::fs::rename(&partial, &to).map_err(|error| on(&to, error))?;
        }
        if copied > MOST_BYTES {
            return Err(Failure::because(format!(
                "the project has more than {} GiB of files that Git would keep; put the large ones under DVC, or list them in .gitignore",
                MOST_BYTES >> 30
            )));
        }
    }
    let dvc = run.join(".dvc");
    std::fs::create_dir_all(&dvc).map_err(|error| on(&dvc, error))?;
    let config = format!("[cache]\n    dir = {}\n", project.cache_dir().display());
    gyre_data::files::write(&dvc.join("config"), config.as_bytes())?;
    Ok(Repo::init(run)?)
}

fn on(path: &Path, error: std::io::Error) -> Failure {
    Failure::because(format!("cannot write {}: {error}", path.display()))
}

/// Removes the oldest folders beside `run`.
fn forget_old_runs(run: &Path) -> Result<(), Failure> {
    let Some(Ok(entries)) = run.parent().map(std::fs::read_dir) else { return Ok(()) };
    let mut folders = Vec::new();
    for entry in entries.filter_map(Result::ok) {
        if entry.path() == run || !entry.path().is_dir() {
            continue;
        }
        folders.push((entry.metadata()?.modified()?, entry.path()));
    }
    folders.sort();
    folders.reverse();
    for (_, folder) in folders.iter().skip(KEPT_RUNS) {
        std::fs::remove_dir_all(folder).map_err(|error| on(folder, error))?;
    }
    Ok(())
}
