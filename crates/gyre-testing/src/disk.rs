//! A small disk for tests of what happens when a disk is full.
//!
//! It is a file system in memory, mounted in a namespace of a process of its own (`unshare`, util-linux): no rights are needed
//! where user namespaces are allowed, and nothing is left behind however the test ends.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs the ignored test `on_a_small_disk` of the calling test program in a process of its own, with a disk of so many MiB
/// whose folder `variable` names. Where user namespaces are not allowed this says so and proves nothing.
///
/// # Panics
/// When that test fails, or there is none of that name.
pub fn live_on_a_small_disk(mebibytes: u32, variable: &str) {
    let mount = super::folder();
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-ec", script, "sh"]).arg(mount.path());
        command.env(variable, mount.path());
        command
    };
    let mounted = format!("mount -t tmpfs -o size={mebibytes}m none \"$1\"");
    if !unshare(&mounted).output().is_ok_and(|output| output.status.success()) {
        eprintln!("NOT TESTED: no file system can be mounted in a user namespace here");
        return;
    }
    let program = std::env::current_exe().unwrap_or_else(|error| panic!("which program is this: {error}"));
    let inside = unshare(&format!("{mounted}; exec \"$2\" on_a_small_disk --ignored --nocapture"))
        .arg(program)
        .output()
        .unwrap_or_else(|error| panic!("unshare cannot be run: {error}"));
    let told = String::from_utf8_lossy(&inside.stdout) + String::from_utf8_lossy(&inside.stderr);
    assert!(inside.status.success() && told.contains("1 passed"), "{told}");
}

/// A file that takes all the room there is, until it is dropped.
#[derive(Debug)]
pub struct Ballast(PathBuf);

impl Ballast {
    /// Fills the disk that `dir` is on.
    ///
    /// # Panics
    /// When it cannot be filled.
    #[must_use]
    pub fn fill(dir: &Path) -> Self {
        let path = dir.join("ballast");
        let mut file = File::create(&path).unwrap_or_else(|error| panic!("no ballast: {error}"));
        for size in [1 << 20, 4096, 1] {
            let full = std::iter::repeat_with(|| file.write(&vec![1; size])).find_map(Result::err);
            assert_eq!(full.map(|error| error.kind()), Some(ErrorKind::StorageFull));
        }
        Self(path)
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        // The disk goes with the process in any case; that there is room again is what the test looks at.
        let _ = std::fs::remove_file(&self.0);
    }
}
