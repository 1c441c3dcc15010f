//! `gyre log tail`: the end of the log, and what comes after it.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use clap::Args;
use gyre_core::{ModelName, Value};
use gyre_gateway::Found;
use serde_json::json;

use super::open;
use crate::cli::{OutputArgs, ProjectArgs};
use crate::failure::Failure;
use crate::show;

/// How often it is looked whether more was logged.
const EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
#[command(after_help = "\
In the order in which they were logged; times are event times. Labels come later: `gyre log sql` and `gyre log export`
join them. --json gives an object a line, with the features.")]
pub(crate) struct TailArgs {
    /// The model.
    model: ModelName,
    /// How many predictions.
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 20)]
    lines: usize,
    /// Go on with what is logged from now on, until interrupted.
    #[arg(long, short = 'f')]
    follow: bool,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(args: &TailArgs) -> Result<(), Failure> {
    let (_, view) = open(&args.project, &args.model)?;
    let last = view.last(args.lines)?;
    if !args.follow && !args.output.json {
        let header = ["TIME", "ID", "VERSION", "ROUTE", "PREDICTION", "MODEL µs"];
        return show::say(show::table(&header, &[5], last.iter().map(cells).collect()));
    }
    if !write(args, &last)? || !args.follow {
        return Ok(());
    }
    let (model, mut tail) = view.tail();
    loop {
        if !write(args, &tail.more(&model)?)? {
            return Ok(());
        }
        std::thread::sleep(EVERY);
    }
}

/// Writes predictions, one a line; whether anybody still reads them.
fn write(args: &TailArgs, rows: &[Found]) -> Result<bool, Failure> {
    let mut out = anstream::stdout().lock();
    let line = |row: &Found| if args.output.json { whole(row).to_string() } else { cells(row).join("  ") };
    let written = rows.iter().try_for_each(|row| writeln!(out, "{}", line(row))).and_then(|()| out.flush());
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn cells(row: &Found) -> Vec<String> {
    let output = match &row.output {
        Value::Number(number) => show::number(*number),
        other => other.to_string(),
    };
    vec![
        row.time.to_string(),
        row.id.to_string(),
        format!("v{}", row.version),
        format!("{:?}", row.route).to_lowercase(),
        output,
        row.latency_us.to_string(),
    ]
}

fn whole(row: &Found) -> serde_json::Value {
    let features: serde_json::Map<String, serde_json::Value> =
        row.features.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    json!({
        "id": row.id, "time": row.time, "version": row.version, "route": row.route, "prediction": row.output,
        "scores": row.scores, "latency_us": row.latency_us, "features": features,
    })
}
