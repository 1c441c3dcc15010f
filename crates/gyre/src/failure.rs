//! What a command says when it fails.

use std::fmt::Display;

use gyre_core::Diagnostic;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The input is wrong: exit code 2.
    Input(Vec<Diagnostic>),
    /// It could not be done: exit code 1.
    Other(String),
}

impl Failure {
    /// A failure in words.
    pub(crate) fn because(reason: impl Display) -> Self {
        Self::Other(reason.to_string())
    }

    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Input(_) => 2,
            Self::Other(_) => 1,
        }
    }

    /// Says it on standard error; in colour on a terminal.
    pub(crate) fn show(&self) {
        let error = "\u{1b}[1;31merror\u{1b}[0m";
        match self {
            Self::Input(wrong) => {
                wrong.iter().for_each(|diagnostic| anstream::eprintln!("{error}: {diagnostic}"))
            }
            Self::Other(reason) => anstream::eprintln!("{error}: {reason}"),
        }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::because(error)
    }
}
