//! `with-postgres COMMAND …`: runs a command while a private PostgreSQL runs, named to it in `GYRE_TEST_POSTGRES`.
//!
//! `cargo xtask test` runs the tests by it. A PostgreSQL that is named already is used as it is.

use std::process::{Command, ExitCode};

use gyre_testing::{Cluster, VARIABLE};

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let Some(program) = words.next() else {
        eprintln!("with-postgres: say which command to run: with-postgres cargo nextest run");
        return ExitCode::from(2);
    };
    let mut command = Command::new(&program);
    command.args(words);
    // Cargo tells us which package we are. Where the command is cargo again, build scripts that read the same variables would
    // be taken for outdated, with all that depends on them.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    let named = std::env::var_os(VARIABLE).is_some();
    let cluster = if named { Ok(None) } else { Cluster::start().map(Some) };
    let cluster = match cluster {
        Ok(cluster) => cluster,
        Err(error) => {
            eprintln!("with-postgres: {error}");
            return ExitCode::FAILURE;
        }
    };
    if let Some(cluster) = &cluster {
        command.env(VARIABLE, cluster.url());
    }
    let status = command.status();
    drop(cluster);
    match status {
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => {
            eprintln!("with-postgres: cannot run {}: {error}", program.display());
            ExitCode::FAILURE
        }
    }
}
