//! Running a plan: parts to threads, parts to wholes.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::cells::Categories;
use crate::error::BatchError;
use crate::output::{self, PartWriter};
use crate::plan::{Job, Plan, over};
use crate::scored;
use crate::sources::Pair;
use crate::work::{Begun, Stamp, Work, publish};

/// What happens while a job runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The job starts over, and why.
    Over(String),
    /// So many rows were scored by an earlier run.
    Before(u64),
    /// So many more rows are scored.
    Rows(u64),
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Rows in the outputs.
    pub rows: u64,
    /// Those that an earlier run had scored.
    pub rows_before: u64,
    /// The files.
    pub outputs: Vec<Written>,
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Written {
    /// The rows.
    pub input: PathBuf,
    /// The predictions.
    pub output: PathBuf,
    /// How many rows.
    pub rows: u64,
}

/// A piece of work.
#[derive(Clone, Copy)]
enum Unit {
    Part {
        job: usize,
        part: usize,
    },
    /// All parts are there, the whole is not.
    Join {
        job: usize,
    },
}

impl Plan<'_> {
    /// Scores what is not scored yet. `watch` hears of it, from any thread, and answers whether to go on.
    ///
    /// # Errors
    /// The first thing that is wrong, in the order of the rows. What was scored until then is kept in
    /// [`Plan::folder`], and the next run goes on from it when neither model nor inputs have changed.
    pub fn run(&self, watch: &(dyn Fn(Progress) -> bool + Sync)) -> Result<Report, BatchError> {
        let work = self.open_work()?;
        if let Begun::Other(reason) = &work.begun {
            watch(Progress::Over(over(reason)));
        }
        let (units, left, rows_before) = self.units(&work);
        if rows_before > 0 {
            watch(Progress::Before(rows_before));
        }
        if let Err(error) = self.work_off(&work, &units, &left, watch) {
            // A folder that keeps nothing would only be in the way.
            if work.keeps_nothing() {
                work.remove()?;
            }
            return Err(error);
        }
        work.remove()?;
        let written = |job: &Job| Written {
            input: job.input.path.clone(),
            output: job.output.clone(),
            rows: job.input.rows,
        };
        let outputs = self.jobs.iter().map(written).collect();
        Ok(Report { rows: self.rows(), rows_before, outputs })
    }

    /// What is to be done, how many parts of each input are missing, and how many rows are done.
    fn units(&self, work: &Work) -> (Vec<Unit>, Vec<AtomicUsize>, u64) {
        let (mut units, mut left, mut rows_before) = (Vec::new(), Vec::new(), 0);
        for (at, job) in self.jobs.iter().enumerate() {
            let parts = job.input.parts.iter().enumerate();
            let missing: Vec<usize> = if work.is_done(at, &job.output) {
                rows_before += job.input.rows;
                Vec::new()
            } else {
                let missing = parts.filter(|(part, _)| !work.part(at, *part).exists()).map(|(part, _)| part);
                let missing: Vec<usize> = missing.collect();
                let rows = |part: &usize| job.input.parts.get(*part).map_or(0, |part| part.rows);
                rows_before += job.input.rows - missing.iter().map(rows).sum::<u64>();
                if missing.is_empty() {
                    units.push(Unit::Join { job: at });
                }
                missing
            };
            left.push(AtomicUsize::new(missing.len()));
            units.extend(missing.into_iter().map(|part| Unit::Part { job: at, part }));
        }
        (units, left, rows_before)
    }

    /// Lets threads take one unit after the other. The first failure in the order of the units is the one that is told,
    /// whichever thread came upon its own first: those before it were taken before, and are worked off.
    fn work_off(
        &self,
        work: &Work,
        units: &[Unit],
        left: &[AtomicUsize],
        watch: &(dyn Fn(Progress) -> bool + Sync),
    ) -> Result<(), BatchError> {
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let failure: Mutex<Option<(usize, BatchError)>> = Mutex::new(None);
        let worker = || {
            let mut seen = Categories::default();
            while !stop.load(Relaxed) {
                let at = next.fetch_add(1, Relaxed);
                let Some(unit) = units.get(at) else { return };
                if let Err(error) = self.one(work, *unit, left, &mut seen, watch) {
                    stop.store(true, Relaxed);
                    let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                    if failure.as_ref().is_none_or(|(earlier, _)| at < *earlier) {
                        *failure = Some((at, error));
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads.min(units.len()))
                .map(|_| {
                    std::thread::Builder::new().name("gyre-predict".to_owned()).spawn_scoped(scope, worker)
                })
                .collect();
            for thread in threads {
                let thread = thread.map_err(|error| BatchError::Thread(error.to_string()))?;
                thread.join().map_err(|_| BatchError::Thread("it panicked".to_owned()))?;
            }
            Ok::<(), BatchError>(())
        })?;
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some((_, error)) => Err(error),
        }
    }

    fn one(
        &self,
        work: &Work,
        unit: Unit,
        left: &[AtomicUsize],
        seen: &mut Categories,
        watch: &(dyn Fn(Progress) -> bool + Sync),
    ) -> Result<(), BatchError> {
        let at = match unit {
            Unit::Join { job } => job,
            Unit::Part { job: at, part } => {
                if let Some(job) = self.jobs.get(at) {
                    self.score(work, (at, job), part, seen, watch)?;
                }
                // Whoever does the last part puts the whole together.
                if left.get(at).is_none_or(|left| left.fetch_sub(1, SeqCst) != 1) {
                    return Ok(());
                }
                at
            }
        };
        self.jobs.get(at).map_or(Ok(()), |job| self.join(work, at, job))
    }

    fn score(
        &self,
        work: &Work,
        (at, job): (usize, &Job),
        number: usize,
        seen: &mut Categories,
        watch: &(dyn Fn(Progress) -> bool + Sync),
    ) -> Result<(), BatchError> {
        let Some(part) = job.input.parts.get(number) else { return Ok(()) };
        let path = work.part(at, number);
        let unfinished = Work::unfinished(&path);
        let mut writer = PartWriter::create(&unfinished, job.kind, &job.layout.schema)?;
        job.input.read(part, self.scorer.features(), seen, &mut |chunk| {
            let rows = scored::score(self.scorer, &job.layout, &job.input.path, chunk)?;
            writer.write(&rows)?;
            if watch(Progress::Rows(rows.num_rows() as u64)) { Ok(()) } else { Err(BatchError::Stopped) }
        })?;
        writer.close()?;
        publish(&unfinished, &path)
    }

    fn join(&self, work: &Work, at: usize, job: &Job) -> Result<(), BatchError> {
        let now = Stamp::of(&Pair { input: job.input.path.clone(), output: job.output.clone() })?;
        if !self.state.is_unchanged(at, &now) {
            let wrong = "it changed while it was scored";
            let wrong = gyre_core::Diagnostic::new(job.input.path.display().to_string(), wrong);
            return Err(BatchError::wrong(wrong.help("run it again when nobody writes to the file")));
        }
        let parts: Vec<PathBuf> = (0..job.input.parts.len()).map(|part| work.part(at, part)).collect();
        output::join(&work.whole(at), job.kind, &job.layout.schema, &parts)?;
        work.finish(at, parts.len(), &job.output)
    }
}
