//! `gyre completions`: so that a shell knows the words.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::failure::Failure;
use crate::show::say;

#[derive(Debug, Args)]
#[command(after_help = "Example: gyre completions bash > ~/.local/share/bash-completion/completions/gyre")]
pub(crate) struct CompletionsArgs {
    /// For which shell.
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "gyre", &mut script);
    say(String::from_utf8_lossy(&script).trim_end())
}
