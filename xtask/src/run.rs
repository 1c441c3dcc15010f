//! Running other programs: each is printed before it runs, and its failure is an error.

use std::ffi::{OsStr, OsString};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::Instant;

use crate::Failure;

/// When the first step began.
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Says which step begins, and how long the steps before it took: where the time goes is seen in every log.
pub(crate) fn say(step: &str) {
    let seconds = BEGAN.elapsed().as_secs();
    eprintln!("\n==> {step} ({} min {:02} s)", seconds / 60, seconds % 60);
}

/// The cargo that started us.
pub(crate) fn cargo_program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// A command of the cargo that started us.
pub(crate) fn cargo<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(cargo_program());
    command.args(arguments);
    // Cargo tells us which package we are. Build scripts of others read the same variables, and would be taken for outdated,
    // with all that depends on them.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command
}

/// Prints `command` and runs it to its end, its output going where ours goes.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let line = line(command);
    eprintln!("$ {line}");
    let status = command.status().map_err(|error| Failure::new(format!("cannot run `{line}`: {error}")))?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("`{line}` failed: {status}"))) }
}

/// Whether `command` runs and succeeds, without a word.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The command as one would type it: variables first, the program without its folder.
fn line(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        value.map(|value| format!("{}={}", name.to_string_lossy(), quoted(value)))
    });
    let program = std::path::Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args()).map(quoted);
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = Command::new("/usr/bin/sh");
        command.args(["-c", "echo it's", ""]).env("MODE", "a b");
        assert_eq!(line(&command), r"MODE='a b' sh -c 'echo it'\''s' ''");
    }

    #[test]
    fn a_failing_command_is_an_error_with_its_line_and_status() {
        let message = run(Command::new("sh").args(["-c", "exit 3"])).unwrap_err().to_string();
        assert_eq!(message, "xtask: `sh -c 'exit 3'` failed: exit status: 3");
        assert!(run(Command::new("no-such-program").arg("x")).is_err());
    }
}
