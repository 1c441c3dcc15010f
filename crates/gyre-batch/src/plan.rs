//! A job made ready: everything opened, found and cut, nothing scored yet.

use std::path::{Path, PathBuf};

use gyre_core::{Digest, Version};
use gyre_onnxruntime::LocalModel;
use gyre_runtime::Feature;
use serde::Serialize;

use crate::columns::Kept;
use crate::error::BatchError;
use crate::input::Input;
use crate::scored;
use crate::sources::{Layout, Pair};
use crate::work::{self, Begun, Stamp, State, Work};

/// Rows of a part, and so of a group of rows in the output, unless it is said otherwise: each thread loses at most so
/// much when a job is killed.
pub const PART_ROWS: u64 = 262_144;

/// What is to be scored, with what.
pub struct Request<'a> {
    /// The model.
    pub scorer: &'a LocalModel,
    /// SHA-256 of the model's file.
    pub model: Digest,
    /// Its number, when it is a registered version.
    pub version: Option<Version>,
    /// Inputs and outputs, from [`crate::sources::pairs`].
    pub pairs: Vec<Pair>,
    /// The output as it was asked for: the one file, or the folder.
    pub output: PathBuf,
    /// What goes into the output beside the predictions.
    pub kept: Kept,
    /// Rows of a part; [`PART_ROWS`] is a good number.
    pub part_rows: u64,
    /// Threads that score.
    pub threads: usize,
}

/// A job that can be run.
pub struct Plan<'a> {
    pub(crate) scorer: &'a LocalModel,
    pub(crate) jobs: Vec<Job>,
    pub(crate) state: State,
    pub(crate) output: PathBuf,
    pub(crate) folder: PathBuf,
    pub(crate) threads: usize,
}

/// One input.
pub(crate) struct Job {
    pub(crate) input: Input,
    pub(crate) output: PathBuf,
    pub(crate) kind: Layout,
    pub(crate) layout: scored::Layout,
}

/// What would be done with one input.
#[derive(Debug, Clone, Serialize)]
pub struct Planned {
    /// The rows.
    pub input: PathBuf,
    /// The predictions.
    pub output: PathBuf,
    /// How many rows.
    pub rows: u64,
    /// In how many parts.
    pub parts: usize,
    /// The output's columns.
    pub columns: Vec<String>,
    /// Columns of the input that are neither read nor kept.
    pub ignored: Vec<String>,
}

impl<'a> Plan<'a> {
    /// Opens every input and finds its columns.
    ///
    /// # Errors
    /// All that is wrong with the first input that is wrong.
    pub fn new(request: Request<'a>) -> Result<Self, BatchError> {
        let Request { scorer, model, version, pairs, output, kept, part_rows, threads } = request;
        let features: &[Feature] = scorer.features();
        let (mut jobs, mut stamps, mut columns) = (Vec::new(), Vec::new(), Vec::new());
        let whole = matches!(pairs.as_slice(), [pair] if pair.output == output);
        for pair in &pairs {
            // Before it is opened: a change in between is then seen at the end.
            stamps.push(Stamp::of(pair)?);
            let input = Input::open(&pair.input, features, &kept, part_rows.max(1))?;
            let layout = scored::Layout::new(&pair.input, input.kept_fields(), &scorer.task(), version)?;
            columns.push(names(&layout));
            let kind = Layout::of(&pair.output)?;
            jobs.push(Job { input, output: pair.output.clone(), kind, layout });
        }
        let state = State::new(model, version, columns, part_rows, stamps);
        let folder = work::folder(&output, whole);
        Ok(Self { scorer, jobs, state, output, folder, threads: threads.max(1) })
    }

    /// All rows.
    pub fn rows(&self) -> u64 {
        self.jobs.iter().map(|job| job.input.rows).sum()
    }

    /// Where unfinished work is kept.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What would be done, input by input.
    pub fn planned(&self) -> Vec<Planned> {
        let planned = |job: &Job| Planned {
            input: job.input.path.clone(),
            output: job.output.clone(),
            rows: job.input.rows,
            parts: job.input.parts.len(),
            columns: names(&job.layout),
            ignored: job.input.columns.ignored.clone(),
        };
        self.jobs.iter().map(planned).collect()
    }

    /// What an earlier run left, in words; none when there is nothing.
    pub fn left(&self) -> Option<String> {
        match work::peek(&self.folder, &self.state) {
            Begun::Nothing => None,
            Begun::Same => Some("it goes on where an earlier run stopped".to_owned()),
            Begun::Other(reason) => Some(over(&reason)),
        }
    }

    pub(crate) fn open_work(&self) -> Result<Work, BatchError> {
        Work::open(&self.folder, &self.output, &self.state)
    }
}

/// That the job starts over, and why.
pub(crate) fn over(reason: &str) -> String {
    format!("starting over, without what an earlier run left: {reason}")
}

fn names(layout: &scored::Layout) -> Vec<String> {
    layout.schema.fields().iter().map(|field| field.name().clone()).collect()
}
