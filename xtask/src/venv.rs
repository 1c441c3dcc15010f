//! The Python environment with the real tools that tests compare gyre with.
//!
//! Each crate says in `tests/requirements.txt` which packages its tests need; the environment holds all of them. It is
//! made anew when one of those files changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::run::{run, say};

/// In the finished environment: the requirements that it was made from.
const STAMP: &str = "requirements.stamp";

/// The environment's folder, made when it is missing or out of date.
pub(crate) fn ensure(root: &Path) -> Result<PathBuf, Failure> {
    let folder = root.join("target").join("test-venv");
    let requirements = requirements(&root.join("crates"))?;
    let wanted = stamp(root, &requirements)?;
    let stamp_file = folder.join(STAMP);
    if fs::read_to_string(&stamp_file).is_ok_and(|made_from| made_from == wanted) {
        return Ok(folder);
    }
    say("Python packages that tests compare with");
    let mut create = Command::new("python3");
    create.args(["-m", "venv", "--clear"]).arg(&folder);
    run(&mut create)
        .map_err(|failure| failure.remedy(format!("remove {} and try again", folder.display())))?;
    let mut install = Command::new(folder.join("bin").join("python"));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    for file in &requirements {
        install.arg("--requirement").arg(file);
    }
    if !requirements.is_empty() {
        run(&mut install).map_err(|failure| {
            failure.remedy("pip must reach PyPI or a mirror of it, python3 be 3.11 or newer, and the files agree on versions")
        })?;
    }
    // Last, so that an environment that was not finished is made again.
    fs::write(&stamp_file, wanted).map_err(|error| Failure::file("write", &stamp_file, &error))?;
    Ok(folder)
}

/// Every `crates/*/tests/requirements.txt`, sorted.
fn requirements(crates: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(crates).map_err(|error| Failure::file("read", crates, &error))?;
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| Failure::file("read", crates, &error))?;
        let file = entry.path().join("tests").join("requirements.txt");
        if file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// What the environment depends on: the files' names and contents, and where it is, since its scripts hold its path.
fn stamp(root: &Path, files: &[PathBuf]) -> Result<String, Failure> {
    let mut stamp = format!("# {}\n", root.display());
    for file in files {
        let text = fs::read_to_string(file).map_err(|error| Failure::file("read", file, &error))?;
        let name = file.strip_prefix(root).unwrap_or(file);
        stamp.push_str(&format!("# {}\n{text}\n", name.display()));
    }
    Ok(stamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_changes_with_a_requirement_and_names_every_crate_that_has_some() {
        let root = std::env::temp_dir().join(format!("xtask-venv-{}", std::process::id()));
        let file = |name: &str| root.join("crates").join(name).join("tests").join("requirements.txt");
        for name in ["b", "a"] {
            fs::create_dir_all(file(name).parent().unwrap()).unwrap();
            fs::write(file(name), format!("{name}==1")).unwrap();
        }
        fs::create_dir_all(root.join("crates").join("without")).unwrap();

        let files = requirements(&root.join("crates")).unwrap();
        let before = stamp(&root, &files).unwrap();
        fs::write(file("a"), "a==2").unwrap();
        let after = stamp(&root, &files).unwrap();
        fs::remove_dir_all(&root).unwrap();

        assert_eq!(files, [file("a"), file("b")]);
        assert!(before.contains("a==1\n") && before.contains("b==1\n"), "{before}");
        assert_ne!(before, after);
    }
}
