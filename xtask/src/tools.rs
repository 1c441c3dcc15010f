//! The cargo subcommands that are not part of Rust, compiled when they are missing.

use crate::Failure;
use crate::run::{cargo, run, say, succeeds};

/// A cargo subcommand from crates.io.
pub(crate) struct Tool {
    /// Its name after `cargo`.
    pub(crate) subcommand: &'static str,
    /// The version that is installed where there is none; one that is there already is used as it is.
    version: &'static str,
    /// Left out: what only matters to people who use it every day.
    features: &'static [&'static str],
}

/// Runs the tests: each in a process of its own, so that one that crashes or hangs is named.
pub(crate) const NEXTEST: Tool = Tool {
    subcommand: "nextest",
    version: "0.9.143",
    features: &["--no-default-features", "--features=default-no-update"],
};

/// Checks licences, origins and vulnerabilities of dependencies.
pub(crate) const DENY: Tool =
    Tool { subcommand: "deny", version: "0.20.2", features: &["--no-default-features"] };

/// Their own speed hardly matters, and optimised they take several times as long to compile.
const QUICK_TO_COMPILE: [(&str, &str); 3] = [
    ("CARGO_PROFILE_RELEASE_LTO", "false"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
];

/// Installs `tool` unless it is there.
pub(crate) fn ensure(tool: &Tool) -> Result<(), Failure> {
    if succeeds(&mut cargo([tool.subcommand, "--version"])) {
        return Ok(());
    }
    let name = format!("cargo-{}", tool.subcommand);
    say(&format!("{name} is missing: compiling it, once, takes a few minutes"));
    let mut install = cargo(["install", name.as_str(), "--version", tool.version, "--locked"]);
    install.args(tool.features).envs(QUICK_TO_COMPILE);
    // The place where the workspace's own builds go is none of its business.
    install.env_remove("CARGO_TARGET_DIR");
    run(&mut install)
        .map_err(|failure| failure.remedy(format!("install it by hand: cargo install {name} --locked")))?;
    if succeeds(&mut cargo([tool.subcommand, "--version"])) {
        return Ok(());
    }
    Err(Failure::new(format!("{name} is installed, but cargo does not find it"))
        .remedy("put the folder bin of CARGO_HOME (usually ~/.cargo/bin) on PATH"))
}
