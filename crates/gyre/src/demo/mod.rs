//! `gyre demo`: a year of real flights, lived through the code that production runs.

use clap::Args;

use crate::failure::Failure;

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {}

pub(crate) fn run(_args: &DemoArgs) -> Result<(), Failure> {
    Ok(())
}
