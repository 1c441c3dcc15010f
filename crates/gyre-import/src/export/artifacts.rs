//! Artifacts as files, below the paths that their URIs have.

use std::io::Write;
use std::path::Path;

use gyre_artifacts::{ArtifactPath, Artifacts, index};
use gyre_store::Store;

use crate::ImportError;
use crate::report::Report;

/// How many paths are read at a time.
const PAGE: u64 = 500;

/// Checks that nothing would be overwritten.
pub(super) fn check(folder: &Path) -> Result<(), ImportError> {
    let failed = |error| ImportError::file(folder, error);
    std::fs::create_dir_all(folder).map_err(failed)?;
    if std::fs::read_dir(folder).map_err(failed)?.next().is_some() {
        return Err(ImportError::Source(format!(
            "the folder {} is not empty: nothing was exported; name one that is, or that does not exist yet",
            folder.display()
        )));
    }
    Ok(())
}

pub(super) fn files(
    store: &Store,
    artifacts: &Artifacts,
    folder: &Path,
    report: &mut Report,
) -> Result<(), ImportError> {
    let mut after = String::new();
    loop {
        let paths: Vec<String> = store.read(|tx| {
            let sql = "SELECT path FROM artifacts_files WHERE path > ?1 ORDER BY path LIMIT ?2";
            tx.query(sql, &[after.as_str().into(), PAGE.into()])?.iter().map(|row| row.get(0)).collect()
        })?;
        let Some(last) = paths.last() else { return Ok(()) };
        after.clone_from(last);
        for path in &paths {
            // What was checked when it came in is checked again before it becomes a path of this machine.
            let path = ArtifactPath::from_field(path).map_err(gyre_artifacts::ArtifactError::from)?;
            report.came(write(store, artifacts, folder, &path)?);
        }
    }
}

fn write(
    store: &Store,
    artifacts: &Artifacts,
    folder: &Path,
    path: &ArtifactPath,
) -> Result<crate::artifacts::Came, ImportError> {
    let record = store.read(|tx| index::file(tx, path))?;
    let target = folder.join(path.as_str());
    let failed = |error| ImportError::file(&target, error);
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    let mut file = std::fs::File::create_new(&target).map_err(failed)?;
    let mut download = artifacts.open(&record, 0, record.size)?;
    while let Some(chunk) = download.next_chunk()? {
        file.write_all(&chunk).map_err(failed)?;
    }
    file.sync_all().map_err(failed)?;
    Ok(crate::artifacts::Came { files: 1, bytes: record.size })
}
