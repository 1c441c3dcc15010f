//! `gyre check`: everything that can be known to be wrong before anything runs.

mod columns;
mod paths;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use gyre_core::spec::{self, Project};
use gyre_core::{Diagnostic, ids::nearest};
use gyre_data::checks;
use gyre_pipeline::Pipeline;
use serde_json::json;

use super::bias::without_file;
use crate::cli::{OutputArgs, ProjectArgs};
use crate::failure::Failure;
use crate::show;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct CheckArgs {
    #[command(subcommand)]
    command: Option<CheckCommand>,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Subcommand)]
enum CheckCommand {
    /// Run a dataset's checks; exit code 1 with every failure when the data may not be used.
    Data(DataArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example: gyre check data flights incoming/2013-07.parquet")]
struct DataArgs {
    /// The dataset, as gyre.yaml names it.
    dataset: String,
    /// The file to check; by default the dataset's source.
    file: Option<PathBuf>,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(args: &CheckArgs) -> Result<(), Failure> {
    match &args.command {
        Some(CheckCommand::Data(args)) => data(args),
        None => project(&args.project, args.output),
    }
}

fn project(args: &ProjectArgs, output: OutputArgs) -> Result<(), Failure> {
    let (found, wrong) = match args.read() {
        Ok(project) => {
            let (stages, wrong) = examine(args, &project);
            (Some((project, stages)), wrong)
        }
        Err(Failure::Input(wrong)) => (None, wrong),
        Err(other) => return Err(other),
    };
    if output.json {
        show::json(&json!({ "ok": wrong.is_empty(), "diagnostics": wrong }))?;
        // Told already, as JSON.
        return if wrong.is_empty() { Ok(()) } else { Err(Failure::Input(Vec::new())) };
    }
    match found {
        Some((project, stages)) if wrong.is_empty() => {
            let ok = show::good("ok");
            show::say(format!(
                "{ok}: project {} with {}, {} and {}",
                project.project,
                counted(project.data.len(), "dataset"),
                counted(project.models.len(), "model"),
                counted(stages, "stage"),
            ))
        }
        _ => Err(Failure::Input(wrong)),
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// The number of the pipeline's stages, and all that is wrong around a `gyre.yaml` that makes sense in itself.
fn examine(args: &ProjectArgs, project: &Project) -> (usize, Vec<Diagnostic>) {
    let file = args.project.join(spec::FILE).display().to_string();
    let mut wrong = columns::check(&args.project, &file, project);
    let Some(named) = &project.pipeline else { return (0, wrong) };
    let path = args.project.join(&named.value);
    if !path.is_file() {
        let missing = Diagnostic::new(&file, format!("pipeline: the file `{}` does not exist", named.value))
            .at(named.referenced.line(), named.referenced.column());
        wrong.push(paths::near(missing, &args.project, &named.value));
        return (0, wrong);
    }
    match Pipeline::read(&path) {
        Ok(pipeline) => {
            wrong.extend(paths::check(&args.project, &file, project, &pipeline, &named.value));
            (pipeline.stages.len(), wrong)
        }
        Err(broken) => {
            wrong.extend(broken);
            (0, wrong)
        }
    }
}

fn data(args: &DataArgs) -> Result<(), Failure> {
    let project = args.project.read()?;
    let Some(dataset) = project.data.get(&args.dataset) else {
        let names: Vec<&str> = project.data.keys().map(String::as_str).collect();
        let file = args.project.project.join(spec::FILE).display().to_string();
        let wrong = Diagnostic::new(file, format!("there is no dataset `{}`", args.dataset))
            .expected(format!("one of {}", names.join(", ")));
        let near = nearest(&args.dataset, names);
        return Err(Failure::Input(vec![match near {
            Some(near) => wrong.help(format!("did you mean `{near}`?")),
            None => wrong,
        }]));
    };
    let file = args.file.clone().unwrap_or_else(|| args.project.project.join(&dataset.source.value));
    let report = checks::run(&file, dataset.checks.iter().map(|check| &check.value)).map_err(|error| {
        Failure::Input(vec![Diagnostic::new(file.display().to_string(), without_file(&file, &error))])
    })?;
    if args.output.json {
        show::json(&json!({
            "dataset": args.dataset,
            "file": file.display().to_string(),
            "rows": report.rows,
            "passed": report.passed(),
            "failures": report.failures,
        }))?;
    } else if report.passed() {
        let ok = show::good("ok");
        let held = counted(dataset.checks.len(), "check");
        show::say(format!("{ok}: {} holds {} rows, and {held} passed", file.display(), report.rows))?;
    }
    if report.passed() {
        return Ok(());
    }
    let failures: String = report.failures.iter().map(|failure| format!("\n  {failure}")).collect();
    Err(Failure::because(format!("{} may not be used as `{}`:{failures}", file.display(), args.dataset)))
}
