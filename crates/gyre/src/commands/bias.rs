//! `gyre bias`: how predictions in a file treat groups of people.

mod html;

use std::path::{Path, PathBuf};

use clap::Args;
use gyre_core::{Diagnostic, Value};
use gyre_data::table::{Table, TableError};
use gyre_govern::bias::{BiasInput, examine};
use gyre_stats::fairness::Options;

use crate::cli::OutputArgs;
use crate::failure::Failure;
use crate::show;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gyre bias scored.csv --target employed --prediction predicted --protected SEX,RAC1P
  gyre bias loans.parquet --target outcome --prediction score --threshold 0.5 --positive good \\
       --protected age_band --reference 25-40 --html bias.html

To hold every version of a model to it, name the columns under `protected:` in gyre.yaml and add gates such as
`candidate.fairness.SEX.four_fifths == 1.0`.")]
pub(crate) struct BiasArgs {
    /// The predictions with the truth beside them: Parquet or CSV.
    file: PathBuf,
    /// The column with what came true.
    #[arg(long, value_name = "COLUMN")]
    target: String,
    /// The column with what was predicted: a class, or a score with --threshold.
    #[arg(long, value_name = "COLUMN")]
    prediction: String,
    /// The columns whose groups are compared, separated by commas; several are also compared where they meet.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', required = true)]
    protected: Vec<String>,
    /// The class that counts as positive (selected); by default 1, or true.
    #[arg(long, value_name = "CLASS")]
    positive: Option<String>,
    /// The score from which a prediction counts as positive.
    #[arg(long, value_name = "SCORE")]
    threshold: Option<f64>,
    /// The group that the others are held against, with a single protected column; by default the one selected most.
    #[arg(long, value_name = "GROUP")]
    reference: Option<String>,
    /// The fewest rows of a group that is compared.
    #[arg(long, value_name = "N", default_value_t = Options::default().minimum_rows)]
    minimum_rows: u64,
    /// Also write the report as one self-contained HTML file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(args: &BiasArgs) -> Result<(), Failure> {
    let wrong =
        |reason: String| Failure::Input(vec![Diagnostic::new(args.file.display().to_string(), reason)]);
    if args.reference.is_some() && args.protected.len() > 1 {
        return Err(wrong(
            "--reference names a group of one protected column, and several are given".to_owned(),
        ));
    }
    let columns = read(&args.file, &args.names()).map_err(|error| wrong(without_file(&args.file, &error)))?;
    let [actual, predicted, rest @ ..] = columns.as_slice() else {
        return Err(wrong("it has no columns".to_owned()));
    };
    let protected: Vec<(&str, &[Value])> =
        args.protected.iter().map(String::as_str).zip(rest.iter().map(Vec::as_slice)).collect();
    let input = BiasInput {
        protected: &protected,
        actual,
        predicted,
        positive: args.positive.as_deref(),
        threshold: args.threshold,
    };
    let options =
        Options { reference: args.reference.clone(), minimum_rows: args.minimum_rows, ..Options::default() };
    let report = examine(&input, &options).map_err(|error| wrong(error.to_string()))?;
    if let Some(path) = &args.html {
        let page = gyre_report::bias_report::html(&html::document(args, &report));
        gyre_data::files::write(path, page.as_bytes())?;
    }
    if args.output.json {
        return show::json(&report);
    }
    show::say(report.to_string().trim_end())?;
    match &args.html {
        Some(path) => show::say(format!("\nreport: {}", path.display())),
        None => Ok(()),
    }
}

impl BiasArgs {
    /// The columns to read: truth, prediction, protected ones.
    fn names(&self) -> Vec<&str> {
        let fixed = [self.target.as_str(), self.prediction.as_str()];
        fixed.into_iter().chain(self.protected.iter().map(String::as_str)).collect()
    }
}

/// The columns' values, in the order of `names`.
fn read(path: &Path, names: &[&str]) -> Result<Vec<Vec<Value>>, TableError> {
    let mut columns = vec![Vec::new(); names.len()];
    for batch in Table::open_projected(path, names)? {
        let batch = batch?;
        for (name, column) in names.iter().zip(&mut columns) {
            column.extend(batch.values(name)?);
        }
    }
    Ok(columns)
}

/// What is wrong with a table, without the name of its file in front.
pub(super) fn without_file(path: &Path, error: &TableError) -> String {
    let told = error.to_string();
    told.strip_prefix(&format!("{}: ", path.display())).unwrap_or(&told).to_owned()
}
