//! Developer commands: what a contributor or the continuous integration does more than once.
//!
//! `cargo xtask test` takes a fresh Debian machine with Rust to a finished test run: each thing that is missing is
//! installed, or the command that installs it is printed. Nothing is skipped silently: a peer that a test needs and that
//! cannot be had is a failure with its remedy. Only the standard library is used, so that the first command a newcomer
//! types compiles in seconds.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bench;
mod ci;
mod error;
mod kube;
mod node;
mod run;
mod system;
mod test;
mod tools;
mod venv;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use error::Failure;

const USAGE: &str = "\
Developer commands of gyre.

Usage: cargo xtask COMMAND

Commands:
  test             installs what the tests need, then runs the documentation's examples and every test
  test -- ARGUMENTS
                   the same for the tests that nextest selects by these, such as -p gyre-core
  lint             formatting, lints, licences and origins of dependencies, known vulnerabilities
  ci               lint, then test: what must pass before a change lands
  bench            lists the benchmarks in bench/
  bench NAME [ARGUMENTS]
                   runs one of them
  kube             builds a real Kubernetes API server for the tests that otherwise meet a stand-in
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = root();
    let outcome = match words.as_slice() {
        ["test", rest @ ..] => {
            test::Selection::parse(rest).and_then(|tests| test::run_selected(&root, &tests))
        }
        ["lint"] => ci::lint(&root),
        ["ci"] => ci::run_all(&root),
        ["kube"] => kube::build(&root),
        ["bench"] => bench::list(&root),
        ["bench", name, rest @ ..] => bench::run_one(&root, name, rest),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("xtask: `{}` is no command\n\n{USAGE}", words.join(" "));
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\n{failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

/// The workspace: the folder above this crate's.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}
