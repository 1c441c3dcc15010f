//! The Python environments with the real tools that tests compare gyre with.
//!
//! Each crate says in `tests/requirements.txt` which packages its tests need; one environment holds all of them. What
//! cannot live beside those has an environment of its own: `tests/requirements-NAME.txt`. Each is made anew when one of
//! its files changes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::run::{run, say};

/// In the finished environment: the requirements that it was made from.
const STAMP: &str = "requirements.stamp";

/// An environment, and the variable by which tests find it.
pub(crate) struct Environment {
    /// `GYRE_TEST_VENV`, or `GYRE_TEST_VENV_NAME`.
    pub(crate) variable: String,
    /// Its folder.
    pub(crate) folder: PathBuf,
}

/// All environments, made when they are missing or out of date; the one without a name first.
pub(crate) fn ensure(root: &Path) -> Result<Vec<Environment>, Failure> {
    let mut made = Vec::new();
    for (name, files) in requirements(&root.join("crates"))? {
        let (suffix, variable) = if name.is_empty() {
            (String::new(), "GYRE_TEST_VENV".to_owned())
        } else {
            (format!("-{name}"), format!("GYRE_TEST_VENV_{}", name.to_uppercase()))
        };
        let folder = root.join("target").join(format!("test-venv{suffix}"));
        ensure_one(root, &folder, &files)?;
        made.push(Environment { variable, folder });
    }
    Ok(made)
}

fn ensure_one(root: &Path, folder: &Path, requirements: &[PathBuf]) -> Result<(), Failure> {
    let wanted = stamp(root, requirements)?;
    let stamp_file = folder.join(STAMP);
    if fs::read_to_string(&stamp_file).is_ok_and(|made_from| made_from == wanted) {
        return Ok(());
    }
    say("Python packages that tests compare with");
    let mut create = Command::new("python3");
    create.args(["-m", "venv", "--clear"]).arg(folder);
    run(&mut create)
        .map_err(|failure| failure.remedy(format!("remove {} and try again", folder.display())))?;
    let mut install = Command::new(folder.join("bin").join("python"));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    for file in requirements {
        install.arg("--requirement").arg(file);
    }
    run(&mut install).map_err(|failure| {
        failure.remedy("pip must reach PyPI or a mirror of it, python3 be 3.11 or newer, and the files agree on versions")
    })?;
    // Last, so that an environment that was not finished is made again.
    fs::write(&stamp_file, wanted).map_err(|error| Failure::file("write", &stamp_file, &error))
}

/// The files `crates/*/tests/requirements*.txt` by the name of their environment, sorted.
fn requirements(crates: &Path) -> Result<BTreeMap<String, Vec<PathBuf>>, Failure> {
    let mut found = BTreeMap::from([(String::new(), Vec::new())]);
    for entry in fs::read_dir(crates).map_err(|error| Failure::file("read", crates, &error))? {
        let entry = entry.map_err(|error| Failure::file("read", crates, &error))?;
        let Ok(files) = fs::read_dir(entry.path().join("tests")) else { continue };
        for file in files {
            let file = file.map_err(|error| Failure::file("read", crates, &error))?;
            let name = file.file_name().to_string_lossy().into_owned();
            let name = name.strip_prefix("requirements").and_then(|name| name.strip_suffix(".txt"));
            if let Some(name) = name {
                found.entry(name.trim_start_matches('-').to_owned()).or_default().push(file.path());
            }
        }
    }
    found.values_mut().for_each(|files| files.sort());
    Ok(found)
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

        fs::write(file("a").with_file_name("requirements-old.txt"), "a==0").unwrap();
        let mut found = requirements(&root.join("crates")).unwrap();
        let files = found.remove("").unwrap();
        let before = stamp(&root, &files).unwrap();
        fs::write(file("a"), "a==2").unwrap();
        let after = stamp(&root, &files).unwrap();
        fs::remove_dir_all(&root).unwrap();

        assert_eq!(files, [file("a"), file("b")]);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["old"]);
        assert!(before.contains("a==1\n") && before.contains("b==1\n"), "{before}");
        assert_ne!(before, after);
    }
}
