//! `cargo xtask test`: everything that a test needs, then the tests.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run::{cargo, cargo_program, run, say};
use crate::{Failure, node, system, tools, venv};

/// Which tests run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Selection<'a> {
    /// The documentation's examples and every test.
    All,
    /// The tests that these arguments of nextest select.
    Nextest(&'a [&'a str]),
}

impl<'a> Selection<'a> {
    /// Reads what stands after `cargo xtask test`.
    pub(crate) fn parse(words: &'a [&'a str]) -> Result<Self, Failure> {
        match words {
            [] | ["--"] => Ok(Self::All),
            ["--", arguments @ ..] => Ok(Self::Nextest(arguments)),
            [found, ..] => Err(Failure::usage(format!("test: `{found}` is not understood"))
                .remedy("arguments for nextest stand after `--`: cargo xtask test -- -p gyre-core")),
        }
    }
}

/// The programs and packages that tests let loose on gyre.
pub(crate) struct Environments {
    python: Vec<venv::Environment>,
    /// Node's modules.
    modules: PathBuf,
}

/// Installs what is missing of them.
pub(crate) fn environments(root: &Path) -> Result<Environments, Failure> {
    system::ensure_packages()?;
    Ok(Environments { python: venv::ensure(root)?, modules: node::ensure(root)? })
}

/// Installs what tests need and runs those that `tests` selects.
pub(crate) fn run_selected(root: &Path, tests: &Selection<'_>) -> Result<(), Failure> {
    tools::ensure(&tools::NEXTEST)?;
    let Environments { python: environments, modules } = environments(root)?;

    let arguments = match tests {
        Selection::Nextest(arguments) => *arguments,
        Selection::All => {
            // Before the tests, so that the run closes with the summary of all of them.
            let packages = with_examples(&root.join("crates"))?;
            if !packages.is_empty() {
                say("Examples in the documentation");
                let named = packages.iter().flat_map(|package| ["--package", package]);
                run(cargo(["test", "--doc"]).args(named).current_dir(root))?;
            }
            &[]
        }
    };
    say("Tests");
    // Starts a private PostgreSQL for the tests, and ends it with them.
    let mut nextest = cargo(["run", "--quiet", "--package", "gyre-testing", "--"]);
    nextest.arg(cargo_program()).args(["nextest", "run"]);
    if !names_packages(arguments) {
        nextest.arg("--workspace");
    }
    nextest.args(arguments).current_dir(root);
    for environment in &environments {
        nextest.env(&environment.variable, &environment.folder);
    }
    if let Some(environment) = environments.first() {
        nextest.env("GYRE_PYTHON", environment.folder.join("bin").join("python"));
    }
    nextest.env("GYRE_TEST_NODE_MODULES", &modules);
    run(&mut nextest).map_err(|failure| {
        failure.remedy("the failures are listed above; one alone: cargo xtask test -- NAME")
    })
}

/// The packages whose documentation has examples to run. Looking for them takes no time; a run for the others would build
/// the whole workspace once more, for examples are built with other features than tests.
fn with_examples(crates: &Path) -> Result<Vec<String>, Failure> {
    let mut packages = Vec::new();
    for entry in entries(crates)? {
        if has_example(&entry.join("src"))? {
            packages.extend(entry.file_name().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    packages.sort();
    Ok(packages)
}

fn has_example(folder: &Path) -> Result<bool, Failure> {
    for path in entries(folder)? {
        let found = if path.is_dir() {
            has_example(&path)?
        } else {
            path.extension().is_some_and(|extension| extension == "rs")
                && holds_example(
                    &fs::read_to_string(&path).map_err(|error| Failure::file("read", &path, &error))?,
                )
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the documentation in `source` holds a block that is Rust: one that names no other language.
fn holds_example(source: &str) -> bool {
    let comments = source.lines().map(str::trim_start);
    let comments = comments.filter_map(|line| line.strip_prefix("///").or_else(|| line.strip_prefix("//!")));
    let mut fences = comments.filter_map(|comment| comment.trim().strip_prefix("```"));
    while let Some(opening) = fences.next() {
        let language = opening.split(',').next().unwrap_or_default().trim();
        if ["", "rust", "no_run", "should_panic", "compile_fail"].contains(&language) {
            return true;
        }
        // What closes it.
        fences.next();
    }
    false
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let read = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    read.map_err(|error| Failure::file("read", folder, &error))
}

/// Whether nextest's `arguments` say which packages are meant.
fn names_packages(arguments: &[&str]) -> bool {
    arguments.iter().any(|argument| argument.starts_with("-p") || argument.starts_with("--package"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_for_nextest_stand_after_two_dashes() {
        assert_eq!(Selection::parse(&[]), Ok(Selection::All));
        assert_eq!(
            Selection::parse(&["--", "-p", "gyre-core"]),
            Ok(Selection::Nextest(&["-p", "gyre-core"]))
        );
        let failure = Selection::parse(&["gyre-core"]).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.to_string().contains("`gyre-core` is not understood"), "{failure}");
    }

    #[test]
    fn examples_are_told_from_other_blocks() {
        let other = "//! ```text\n//! a = b\n//! ```\n// ```\nlet fence = \"```\";\n/// a `word`\n";
        assert!(!holds_example(other));
        for opening in ["```", "```rust", "```no_run", "```rust,ignore"] {
            let source = format!("{other}/// {opening}\n/// assert!(true);\n/// ```\n");
            assert!(holds_example(&source), "{opening}");
        }
    }

    #[test]
    fn the_whole_workspace_is_meant_unless_packages_are_named() {
        assert!(!names_packages(&["some_test", "--no-capture", "-P", "default"]));
        for named in ["-p", "-pgyre-core", "--package", "--package=gyre-core"] {
            assert!(names_packages(&[named]), "{named}");
        }
    }
}
