//! `cargo xtask test`: everything that a test needs, then the tests.

use std::path::Path;

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

/// Installs what tests need and runs those that `tests` selects.
pub(crate) fn run_selected(root: &Path, tests: &Selection<'_>) -> Result<(), Failure> {
    system::ensure_packages()?;
    tools::ensure(&tools::NEXTEST)?;
    let environments = venv::ensure(root)?;
    let modules = node::ensure(root)?;

    let arguments = match tests {
        Selection::Nextest(arguments) => *arguments,
        Selection::All => {
            // Before the tests, so that the run closes with the summary of all of them.
            say("Examples in the documentation");
            run(cargo(["test", "--doc", "--workspace"]).current_dir(root))?;
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
    fn the_whole_workspace_is_meant_unless_packages_are_named() {
        assert!(!names_packages(&["some_test", "--no-capture", "-P", "default"]));
        for named in ["-p", "-pgyre-core", "--package", "--package=gyre-core"] {
            assert!(names_packages(&[named]), "{named}");
        }
    }
}
