//! Passwords from a person (asked twice, without echo) or from standard input.

use std::io::{BufRead, IsTerminal};

use gyre_access::name::UserName;
use gyre_access::password;

use crate::failure::Failure;

/// A password for `user` that may be one.
pub(super) fn password(user: &UserName, from_stdin: bool) -> Result<String, Failure> {
    let given = if from_stdin { read()? } else { ask(user)? };
    password::check(user, &given)?;
    Ok(given)
}

fn read() -> Result<String, Failure> {
    let mut line = String::new();
    std::io::Read::take(std::io::stdin().lock(), 4_096).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn ask(user: &UserName) -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::because(
            "nobody can be asked for a password here: give it on standard input, with --password-stdin",
        ));
    }
    let first = rpassword::prompt_password(format!(
        "Password of {user} (at least {} characters): ",
        password::SHORTEST
    ))?;
    let second = rpassword::prompt_password("The same again: ")?;
    if first == second { Ok(first) } else { Err(Failure::because("the two passwords are not the same")) }
}
