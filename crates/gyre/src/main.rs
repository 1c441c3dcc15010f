//! The command line of gyre: reads the words, calls the rooms, shows the answer. Nothing is decided here.
//!
//! One command a module under `commands`. Reading commands read the project's store directly and work whether a server
//! runs or not; commands that move something talk to the running server. Exit codes: 0 done, 1 it could not be done,
//! 2 the input was wrong.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cli;
mod client;
mod commands;
mod demo;
mod dial;
mod failure;
mod show;

use clap::Parser;
use std::process::ExitCode;

/// Predictions are made on one thread and written to the log by another, which frees what the first took; the system's
/// allocator answers that with consolidations that cost a third of the throughput.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.show();
            ExitCode::from(failure.code())
        }
    }
}
