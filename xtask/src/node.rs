//! The Node packages with the real clients that tests let loose on gyre.
//!
//! Each crate says in `tests/npm.txt` which packages its tests need, one `NAME@VERSION` a line; one folder holds all of
//! them. It is made anew when one of those files changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::run::{run, say};

/// In the finished folder: the packages that it was made from.
const STAMP: &str = "packages.stamp";

/// The folder `node_modules`, made when it is missing or out of date.
pub(crate) fn ensure(root: &Path) -> Result<PathBuf, Failure> {
    let folder = root.join("target").join("test-node");
    let modules = folder.join("node_modules");
    let packages = packages(&root.join("crates"))?;
    let (stamp_file, wanted) = (folder.join(STAMP), packages.join("\n"));
    if fs::read_to_string(&stamp_file).is_ok_and(|made_from| made_from == wanted) {
        return Ok(modules);
    }
    say("Node packages that tests let loose on gyre");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| Failure::file("remove", &folder, &error))?;
    }
    fs::create_dir_all(&folder).map_err(|error| Failure::file("create", &folder, &error))?;
    let mut install = Command::new("npm");
    install.args([
        "install",
        "--no-package-lock",
        "--no-save",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--prefix",
    ]);
    install.arg(&folder).args(&packages);
    run(&mut install).map_err(|failure| failure.remedy("npm must reach its registry or a mirror of it"))?;
    // Last, so that a folder that was not finished is made again.
    fs::write(&stamp_file, wanted).map_err(|error| Failure::file("write", &stamp_file, &error))?;
    Ok(modules)
}

/// What the files `crates/*/tests/npm.txt` name, sorted.
fn packages(crates: &Path) -> Result<Vec<String>, Failure> {
    let mut packages = Vec::new();
    for entry in fs::read_dir(crates).map_err(|error| Failure::file("read", crates, &error))? {
        let entry = entry.map_err(|error| Failure::file("read", crates, &error))?;
        let file = entry.path().join("tests").join("npm.txt");
        if file.is_file() {
            let text = fs::read_to_string(&file).map_err(|error| Failure::file("read", &file, &error))?;
            packages.extend(text.split_whitespace().map(str::to_owned));
        }
    }
    packages.sort();
    packages.dedup();
    Ok(packages)
}
