//! What tests need of the operating system: Debian packages, installed when we may.

use std::process::Command;

use crate::Failure;
use crate::run::{run, say, succeeds};

/// A Debian package that tests need.
struct Package {
    name: &'static str,
    /// Why it is needed.
    reason: &'static str,
    /// A command that succeeds where it is installed.
    probe: &'static [&'static str],
}

/// Every package that a test needs beyond what Rust itself needs to link a program.
const PACKAGES: &[Package] = &[
    Package {
        name: "chromium",
        reason: "a browser looks at MLflow's own pages as gyre serves them",
        probe: &["chromium", "--version"],
    },
    Package {
        name: "git",
        reason: "versions of code and data are Git commits; tests make repositories",
        probe: &["git", "--version"],
    },
    // 18 s and 464 MB on disk, measured on Debian 12 with two cores.
    Package {
        name: "golang-go",
        reason: "a model in Go is deployed as a process",
        probe: &["go", "version"],
    },
    Package {
        name: "nodejs",
        reason: "a client of MLflow in another language than Python runs on it",
        probe: &["node", "--version"],
    },
    Package { name: "npm", reason: "installs that client", probe: &["npm", "--version"] },
    Package {
        name: "openssl",
        reason: "makes the certificate of a PostgreSQL that speaks TLS",
        probe: &["openssl", "version"],
    },
    Package {
        name: "postgresql",
        reason: "stores on the real PostgreSQL; the tests start a private server of their own",
        probe: &["sh", "-c", "ls /usr/lib/postgresql/*/bin/initdb || command -v initdb"],
    },
    Package {
        name: "python3-venv",
        reason: "the real dvc and onnxruntime, which tests compare with, live in a Python environment",
        probe: &["python3", "-c", "import ensurepip, venv"],
    },
    // With R itself, 22 s and 79 MB on disk.
    Package {
        name: "r-cran-plumber",
        reason: "a model in R is deployed as a process",
        probe: &["Rscript", "-e", "library(plumber)"],
    },
];

/// Installs the packages that are missing.
pub(crate) fn ensure_packages() -> Result<(), Failure> {
    let missing: Vec<&Package> = PACKAGES.iter().filter(|package| !probe_succeeds(package.probe)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    say("System packages");
    for package in &missing {
        eprintln!("{} is missing: {}", package.name, package.reason);
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    let by_hand = format!("sudo apt-get update && sudo apt-get install -y {}", names.join(" "));
    if !is_root() {
        return Err(Failure::new("system packages are missing, and only root may install them")
            .remedy(format!("{by_hand} (on Debian; elsewhere the packages of the same purpose)")));
    }
    let by_hand_again = |failure: Failure| failure.remedy(format!("install by hand: {by_hand}"));
    run(Command::new("apt-get").args(["update", "--quiet"])).map_err(by_hand_again)?;
    run(Command::new("apt-get")
        .args(["install", "--yes", "--quiet", "--no-install-recommends"])
        .args(&names)
        .env("DEBIAN_FRONTEND", "noninteractive"))
    .map_err(by_hand_again)?;
    match missing.iter().find(|package| !probe_succeeds(package.probe)) {
        None => Ok(()),
        Some(package) => Err(Failure::new(format!(
            "{} is installed, but `{}` still fails",
            package.name,
            package.probe.join(" ")
        ))
        .remedy("is another python3 or git before it on PATH?")),
    }
}

fn probe_succeeds(probe: &[&str]) -> bool {
    probe.split_first().is_some_and(|(program, arguments)| succeeds(Command::new(program).args(arguments)))
}

fn is_root() -> bool {
    let user = Command::new("id").arg("--user").output();
    user.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
