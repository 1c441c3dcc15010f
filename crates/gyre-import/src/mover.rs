//! The import, from its plan to its end.
//!
//! Runs, of which there are many, are read on one thread and written on another (`runs`). Each transaction brings some hundred whole runs and says so in the tables of [`crate::ROOM`]. Whatever moment the
//! process dies at, what was committed is whole, and the next import passes over it.

mod runs;

use std::collections::BTreeMap;

use gyre_artifacts::Artifacts;
use gyre_core::fact::TrackingChange;
use gyre_core::{Fact, Timestamp};
use gyre_store::{NewFact, Store};
use gyre_tracking::By;
use gyre_tracking::bulk;
use gyre_tracking::experiments::Stage;

use crate::artifacts::{self, Came, Owner};
use crate::place::{home, place};
use crate::plan::{Fate, Here, Mapping, plan};
use crate::record::{SourceExperiment, SourceRegistered};
use crate::report::{Kind, Report};
use crate::source::Source;
use crate::{ImportError, registered, room};

/// Where things go.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// The store.
    pub store: &'a Store,
    /// Where files go; none when they stay where they are.
    pub artifacts: Option<&'a Artifacts>,
}

/// How an import is to be done.
#[derive(Debug, Clone)]
pub struct Options {
    /// Put before the names of experiments and registered models.
    pub prefix: String,
    /// How many runs one transaction brings.
    pub batch: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { prefix: String::new(), batch: 500 }
    }
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being moved.
    pub kind: Kind,
    /// How many of it have been dealt with.
    pub done: u64,
    /// How many there are.
    pub of: u64,
}

/// What holds for the whole of one import.
struct Course<'a> {
    target: Target<'a>,
    /// The import's number.
    import: i64,
    /// What each of the source's experiments becomes.
    experiments: BTreeMap<String, i64>,
    now: Timestamp,
    batch: usize,
}

/// Why what belongs to an experiment stays behind.
const HOMELESS: &str = "its experiment does not come";

/// Says what an import would do, and writes nothing. Without a store, nothing is here yet.
///
/// # Errors
/// [`ImportError`] when the source cannot be read or names clash.
pub fn survey(
    store: Option<&Store>,
    source: &mut dyn Source,
    options: &Options,
) -> Result<Report, ImportError> {
    let mut report = begin(source)?;
    report.dry_run = true;
    let found = source.experiments()?;
    let fresh = Here { experiments: BTreeMap::from([(0, "Default".to_owned())]), ..Here::default() };
    let here = match store {
        Some(store) => store.read(|tx| room::here_if_any(tx, &report.source, &options.prefix))?,
        None => None,
    };
    report.experiments = plan(&found, &here.unwrap_or(fresh), &options.prefix)?;
    let models = source.registered()?;
    if let Some(store) = store {
        clash(store, &models, &report.source, options)?;
    }
    others(&mut report);
    tell_problems(source, &mut report);
    Ok(report)
}

/// Refuses registered models whose names are taken.
fn clash(
    store: &Store,
    models: &[SourceRegistered],
    source: &str,
    options: &Options,
) -> Result<(), ImportError> {
    let clashes = store.read(|tx| {
        let import = room::find_if_any(tx, source, &options.prefix)?;
        registered::clashes(tx, import, models, &options.prefix)
    })?;
    if clashes.is_empty() { Ok(()) } else { Err(ImportError::Clash(clashes)) }
}

/// Moves what `source` has to `target`.
///
/// # Errors
/// [`ImportError`]; what was imported before stays, and the next import goes on from there.
pub fn import(
    target: Target<'_>,
    source: &mut dyn Source,
    options: &Options,
    by: &By,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, ImportError> {
    let store = target.store;
    let mut report = begin(source)?;
    let found = source.experiments()?;
    let here = store.read(|tx| room::here(tx, &report.source, &options.prefix))?;
    let mappings = plan(&found, &here, &options.prefix)?;
    report.experiments = mappings.clone();
    let models = source.registered()?;
    clash(store, &models, &report.source, options)?;
    let (name, prefix, now) = (report.source.clone(), options.prefix.clone(), by.at);
    let import = store.write(move |tx| room::begin(tx, &name, &prefix, now))?;
    experiments(target, import, &found, &mappings, &mut report)?;
    let experiments =
        mappings.iter().map(|mapping| (mapping.source_id.clone(), mapping.experiment)).collect();
    let course = Course { target, import, experiments, now: by.at, batch: options.batch.max(1) };
    runs::bring(&course, source, &mut report, progress)?;
    logged_models(&course, source, &mut report)?;
    traces(&course, source, &mut report)?;
    registered::bring(store, import, models, options, by, &mut report)?;
    registered::webhooks(store, import, source.webhooks()?, by, &mut report)?;
    others(&mut report);
    tell_problems(source, &mut report);
    untold_traces(&mut report);
    report.settle();
    finish(store, import, by, &report)?;
    Ok(report)
}

fn begin(source: &mut dyn Source) -> Result<Report, ImportError> {
    let mut report = Report { source: source.name(), ..Report::default() };
    for (kind, found) in source.counts()? {
        report.tally(kind).found = found;
    }
    Ok(report)
}

fn tell_problems(source: &mut dyn Source, report: &mut Report) {
    source.problems().iter().for_each(|problem| report.problem(problem));
}

/// What MLflow keeps besides.
fn others(report: &mut Report) {
    let found = report.kinds.get(&Kind::Others).map_or(0, |tally| tally.found);
    report.skip(Kind::Others, "they do not come: docs/import.md says why", found);
}

fn experiments(
    target: Target<'_>,
    import: i64,
    found: &[SourceExperiment],
    mappings: &[Mapping],
    report: &mut Report,
) -> Result<(), ImportError> {
    let mut bring = Vec::new();
    for (source, mapping) in found.iter().zip(mappings) {
        let mut experiment = source.experiment.clone();
        experiment.id = mapping.experiment;
        experiment.name.clone_from(&mapping.name);
        if target.artifacts.is_some()
            && let Some(home) = home(&place(&experiment.artifact_location), &source.id, experiment.id, "")
        {
            experiment.artifact_location = home.trim_end_matches('/').to_owned();
        }
        let tags = experiment.tags.len() as u64;
        let fresh = mapping.fate != Fate::Here;
        for (kind, count) in [(Kind::Experiments, 1), (Kind::ExperimentTags, tags)] {
            let tally = report.tally(kind);
            *(if fresh { &mut tally.imported } else { &mut tally.here }) += count;
        }
        if fresh {
            bring.push((experiment, mapping.clone(), tags));
        }
    }
    target.store.write(move |tx| {
        for (experiment, mapping, tags) in &bring {
            bulk::insert_experiment(tx, experiment)?;
            room::map(tx, import, mapping)?;
            room::count(tx, import, Kind::Experiments.words(), 1)?;
            room::count(tx, import, Kind::ExperimentTags.words(), *tags)?;
        }
        // Numbers were given from outside: the next one of our own comes after them.
        tx.renumber("tracking_experiments")?;
        Ok(())
    })?;
    Ok(())
}

fn logged_models(
    course: &Course<'_>,
    source: &mut dyn Source,
    report: &mut Report,
) -> Result<(), ImportError> {
    let (target, import) = (course.target, course.import);
    loop {
        let found = source.logged_models(course.batch)?;
        if found.is_empty() {
            return Ok(());
        }
        let (mut bring, mut files, mut problems) = (Vec::new(), Came::default(), Vec::new());
        for mut found in found {
            let Some(experiment) = course.experiments.get(&found.experiment) else {
                report.skip(Kind::LoggedModels, HOMELESS, 1);
                continue;
            };
            let model = &mut found.model;
            model.experiment = *experiment;
            if let Some(artifacts) = target.artifacts
                && !target.store.read(|tx| bulk::has_logged_model(tx, &model.model_id))?
            {
                let what = format!("logged model {}", model.model_id);
                let inner = format!("models/{}/artifacts", model.model_id);
                let (source_experiment, experiment) = (found.experiment.as_str(), *experiment);
                let owner = Owner { what: &what, source_experiment, experiment, inner: &inner };
                files.add(artifacts::bring(
                    source,
                    artifacts,
                    &owner,
                    &mut model.artifact_uri,
                    &mut problems,
                )?);
            }
            bring.push(found);
        }
        problems.iter().for_each(|problem| report.problem(problem));
        report.came(files);
        let (imported, here) = target.store.write(move |tx| {
            let (mut imported, mut here) = (0, 0);
            for found in &bring {
                let fresh = bulk::insert_logged_model(tx, &found.model, found.deleted)?;
                *(if fresh { &mut imported } else { &mut here }) += 1;
            }
            room::count(tx, import, Kind::LoggedModels.words(), imported)?;
            room::count(tx, import, Kind::Artifacts.words(), files.files)?;
            Ok((imported, here))
        })?;
        let tally = report.tally(Kind::LoggedModels);
        tally.imported += imported;
        tally.here += here;
    }
}

/// How many traces one transaction brings: with their spans they are large.
const TRACES: usize = 100;

fn traces(course: &Course<'_>, source: &mut dyn Source, report: &mut Report) -> Result<(), ImportError> {
    let (target, import) = (course.target, course.import);
    loop {
        let found = source.traces(TRACES)?;
        if found.is_empty() {
            return Ok(());
        }
        let (mut bring, mut files, mut problems) = (Vec::new(), Came::default(), Vec::new());
        for mut found in found {
            let Some(experiment) = course.experiments.get(&found.experiment) else {
                report.skip(Kind::Traces, HOMELESS, 1);
                continue;
            };
            let trace = &mut found.trace;
            trace.experiment = *experiment;
            let location = trace.tags.iter_mut().find(|(key, _)| key == "mlflow.artifactLocation");
            if let (Some(artifacts), Some((_, uri))) = (target.artifacts, location)
                && !target.store.read(|tx| gyre_traces::bulk::has(tx, &trace.trace_id))?
            {
                let what = format!("trace {}", trace.trace_id);
                let inner = format!("traces/{}/artifacts", trace.trace_id);
                let (source_experiment, experiment) = (found.experiment.as_str(), *experiment);
                let owner = Owner { what: &what, source_experiment, experiment, inner: &inner };
                files.add(artifacts::bring(source, artifacts, &owner, uri, &mut problems)?);
            }
            bring.push(found.trace);
        }
        problems.iter().for_each(|problem| report.problem(problem));
        report.came(files);
        let (imported, here) = target.store.write(move |tx| {
            let (mut imported, mut here) = (0, 0);
            for trace in &bring {
                let fresh = gyre_traces::bulk::insert(tx, trace)?;
                *(if fresh { &mut imported } else { &mut here }) += 1;
            }
            room::count(tx, import, Kind::Traces.words(), imported)?;
            room::count(tx, import, Kind::Artifacts.words(), files.files)?;
            Ok((imported, here))
        })?;
        let tally = report.tally(Kind::Traces);
        tally.imported += imported;
        tally.here += here;
    }
}

/// Traces that the source counted and did not hand out.
fn untold_traces(report: &mut Report) {
    let tally = report.tally(Kind::Traces);
    let dealt_with = tally.imported + tally.here + tally.skipped.values().sum::<u64>();
    let left = tally.found.saturating_sub(dealt_with);
    report.skip(Kind::Traces, "traces come from a database only", left);
}

/// Tells the journal, when something came.
fn finish(store: &Store, import: i64, by: &By, report: &Report) -> Result<(), ImportError> {
    let (by, source, came) = (by.clone(), report.source.clone(), report.imported() > 0);
    store.write(move |tx| {
        let unfinished = room::finish(tx, import, by.at)?;
        if !came && !unfinished {
            return Ok(());
        }
        let (counts, digest) = (room::counts(tx, import)?, room::digest(tx, import)?);
        let change = TrackingChange::Imported { source, counts, digest: Some(digest) };
        let fact = NewFact::new(by.at, by.actor, Fact::Tracking(change));
        tx.append(fact.from_where(by.origin)).map(drop)
    })?;
    Ok(())
}

/// What a stage is called, when a source says nothing or something unknown.
pub(crate) fn stage(name: Option<&str>) -> Stage {
    if name == Some(Stage::Deleted.name()) { Stage::Deleted } else { Stage::Active }
}
