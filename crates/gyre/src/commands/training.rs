//! `gyre train` and `gyre resume`: what a person asks of the loop, through the running server.

use clap::Args;
use gyre_core::spec::Window;
use gyre_core::{ModelName, Timestamp};
use serde_json::json;

use crate::cli::{OutputArgs, ProjectArgs};
use crate::client::segment;
use crate::failure::Failure;
use crate::show;

#[derive(Debug, Args)]
#[command(after_help = "\
The version must pass its gates before it takes traffic. See how it goes with `gyre status` and `gyre journal`.

Example: gyre train air-time --window 56d")]
pub(crate) struct TrainArgs {
    /// The model.
    model: ModelName,
    /// How far back to reach: 28d, 8w, all, or "fading 8w" for all, half of what is eight weeks old. By default what `train.window` says.
    #[arg(long, value_name = "SPAN")]
    window: Option<Window>,
    /// As of which moment, in RFC 3339: later rows are not known yet. By default now.
    #[arg(long, value_name = "TIME")]
    as_of: Option<Timestamp>,
    /// Why, for the journal.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The model.
    model: ModelName,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn train(args: &TrainArgs) -> Result<(), Failure> {
    let body = json!({"window": args.window, "as_of": args.as_of, "reason": args.reason});
    ask(&args.project, args.output, &args.model, "train", &body, "a training is asked for")
}

pub(crate) fn resume(args: &ResumeArgs) -> Result<(), Failure> {
    ask(&args.project, args.output, &args.model, "resume", &json!({}), "the loop goes on")
}

fn ask(
    project: &ProjectArgs,
    output: OutputArgs,
    model: &ModelName,
    what: &str,
    body: &serde_json::Value,
    done: &str,
) -> Result<(), Failure> {
    let read = project.read()?;
    project.model(&read, model)?;
    let answer = project.server()?.post(&format!("/v1/models/{}/{what}", segment(model.as_str())), body)?;
    if output.json {
        return show::json(&answer);
    }
    let entry = answer.get("entry").and_then(serde_json::Value::as_u64).unwrap_or_default();
    show::say(format!("{model}: {done} (entry {entry}); `gyre journal --model {model}` tells the rest"))
}
