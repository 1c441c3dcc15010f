//! `cargo xtask bench`: the benchmarks are programs of their own in `bench/`, so that what BENCHMARKS.md states can be
//! repeated, and read, without knowing this one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::run::run;

/// Prints the benchmarks' names.
pub(crate) fn list(root: &Path) -> Result<(), Failure> {
    for script in scripts(root)? {
        println!("{}", name(&script));
    }
    Ok(())
}

/// Runs the benchmark of this name, or of this file name, from the workspace's root.
pub(crate) fn run_one(root: &Path, wanted: &str, arguments: &[&str]) -> Result<(), Failure> {
    let scripts = scripts(root)?;
    let Some(script) = scripts.iter().find(|script| name(script) == wanted || script.ends_with(wanted))
    else {
        let names: Vec<String> = scripts.iter().map(|script| name(script)).collect();
        return Err(Failure::usage(format!("there is no benchmark `{wanted}`"))
            .remedy(format!("one of: {}", names.join(", "))));
    };
    run(Command::new(script).args(arguments).current_dir(root))
}

/// The executable files `bench/*.sh` and `bench/*.py`, sorted.
fn scripts(root: &Path) -> Result<Vec<PathBuf>, Failure> {
    let folder = root.join("bench");
    let entries = fs::read_dir(&folder).map_err(|error| Failure::file("read", &folder, &error))?;
    let mut scripts = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| Failure::file("read", &folder, &error))?.path();
        let is_script = path.extension().is_some_and(|end| end == "sh" || end == "py");
        if is_script && is_executable(&path) {
            scripts.push(path);
        }
    }
    scripts.sort();
    Ok(scripts)
}

fn name(script: &Path) -> String {
    script.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_benchmark_is_an_executable_script_and_runs_by_its_name() {
        let root = std::env::temp_dir().join(format!("xtask-bench-{}", std::process::id()));
        let bench = root.join("bench");
        fs::create_dir_all(&bench).unwrap();
        for (file, mode) in
            [("latency.sh", 0o755), ("notes.sh", 0o644), ("load.py", 0o755), ("data.csv", 0o755)]
        {
            fs::write(bench.join(file), "#!/bin/sh\nprintf %s \"$1\" > ran\n").unwrap();
            fs::set_permissions(bench.join(file), fs::Permissions::from_mode(mode)).unwrap();
        }

        let names: Vec<String> = scripts(&root).unwrap().iter().map(|script| name(script)).collect();
        let run = run_one(&root, "latency", &["fast"]);
        let ran = fs::read_to_string(root.join("ran"));
        let unknown = run_one(&root, "notes", &[]).unwrap_err().to_string();
        fs::remove_dir_all(&root).unwrap();

        assert_eq!(names, ["latency", "load"]);
        assert_eq!(run, Ok(()));
        assert_eq!(ran.unwrap(), "fast");
        assert!(unknown.contains("one of: latency, load"), "{unknown}");
    }
}
