//! `cargo xtask ci`: what must pass before a change lands.

use std::path::Path;
use std::process::Command;

use crate::run::{cargo, cargo_program, run, say};
use crate::test::{self, Selection};
use crate::{Failure, tools};

/// Formatting, lints and dependencies, then the command that the README gives for the tests. What the tests need is
/// fetched meanwhile: that mostly waits for the network, lints for the processor.
pub(crate) fn run_all(root: &Path) -> Result<(), Failure> {
    std::thread::scope(|scope| {
        let fetching = scope.spawn(|| test::environments(root));
        let linted = lint(root);
        // Whatever it says comes again from the tests, which need the same.
        let _ = fetching.join();
        linted
    })?;
    test::run_selected(root, &Selection::All)
}

/// What can be said of the code without running it; the quickest answers first.
pub(crate) fn lint(root: &Path) -> Result<(), Failure> {
    say("Formatting");
    run(cargo(["fmt", "--all", "--check"]).current_dir(root)).map_err(|failure| {
        failure.remedy("cargo fmt --all (rustup component add rustfmt, if it is missing)")
    })?;

    tools::ensure(&tools::DENY)?;
    say("Licences, origins and versions of dependencies");
    run(cargo(["deny", "check", "bans", "licenses", "sources"]).current_dir(root))
        .map_err(|failure| failure.remedy("deny.toml says what is allowed; change it only with a reason"))?;
    advisories(root)?;

    say("Lints");
    // The fuzz targets too, which no other step compiles.
    let mut clippy = cargo(["clippy", "--workspace", "--all-targets", "--features", "gyre-fuzz/targets"]);
    run(clippy.args(["--", "--deny", "warnings"]).current_dir(root))
        .map_err(|failure| failure.remedy("cargo clippy --fix repairs some of them"))
}

/// Known vulnerabilities, wherever the database of them can be reached; where not, that is said.
fn advisories(root: &Path) -> Result<(), Failure> {
    say("Known vulnerabilities of dependencies");
    // A network that swallows packets must not hold up everything else.
    let mut fetch = Command::new("timeout");
    fetch.arg("120").arg(cargo_program()).args(["deny", "fetch", "db"]).current_dir(root);
    if run(&mut fetch).is_err() {
        eprintln!(
            "NOT CHECKED: the RustSec database cannot be fetched from here. Run `cargo deny check advisories` where it can."
        );
        return Ok(());
    }
    run(cargo(["deny", "check", "--disable-fetch", "advisories"]).current_dir(root))
        .map_err(|failure| failure.remedy("update the crate that is named: cargo update -p NAME"))
}
