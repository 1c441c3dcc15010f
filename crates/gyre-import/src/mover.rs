//! The import: reads on one thread, writes on another, a few large batches apart.
//!
//! Each transaction brings some hundred whole runs and says so in the tables of [`crate::ROOM`]. Whatever moment the
//! process dies at, what was committed is whole, and the next import passes over it.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use gyre_artifacts::Artifacts;
use gyre_core::fact::TrackingChange;
use gyre_core::{Fact, Timestamp};
use gyre_store::{NewFact, Store, StoreError};
use gyre_tracking::By;
use gyre_tracking::bulk::{self, PackedRun};
use gyre_tracking::experiments::Stage;

use crate::artifacts::{self, Came, Owner};
use crate::place::{home, place};
use crate::plan::{Fate, Here, Mapping, plan};
use crate::record::{Head, Problem, SourceExperiment, SourceRegistered, SourceRun};
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

/// How many batches may wait between reading and writing.
const AHEAD: usize = 2;

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
    runs(&course, source, &mut report, progress)?;
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

/// Runs on their way from the reading to the writing thread.
#[derive(Default)]
struct Batch {
    runs: Vec<PackedRun>,
    /// Files that came with them.
    files: Came,
    /// Here from before.
    here: u64,
    /// Reasons for which runs do not come.
    skipped: Vec<(&'static str, u64)>,
    problems: Vec<Problem>,
}

const FOREIGN: &str = "a run of that id is here already, and not from this source";
const HOMELESS: &str = "its experiment does not come";

fn runs(
    course: &Course<'_>,
    source: &mut dyn Source,
    report: &mut Report,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), ImportError> {
    let of = report.tally(Kind::Runs).found;
    let (sender, batches) = sync_channel(AHEAD);
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || read(course, source, &sender));
        let written = write(course, &batches, report, of, progress);
        // The reader stops when nobody takes its batches any more.
        drop(batches);
        let read =
            reader.join().unwrap_or_else(|_| Err(ImportError::Source("the reading thread died".to_owned())));
        written.and(read)
    })
}

fn read(
    course: &Course<'_>,
    source: &mut dyn Source,
    batches: &SyncSender<Batch>,
) -> Result<(), ImportError> {
    loop {
        let heads = source.heads(course.batch)?;
        if heads.is_empty()
            && batches.send(Batch { problems: source.problems(), ..Batch::default() }).is_err()
        {
            return Ok(());
        }
        if heads.is_empty() {
            return Ok(());
        }
        let (mut batch, mut wanted) = sift(course, heads)?;
        while !wanted.is_empty() {
            let (done, mut found) = source.runs(&wanted)?;
            wanted.drain(..done.clamp(1, wanted.len()));
            files_of(course, source, &mut found, &mut batch)?;
            pack(course, found, &mut batch);
            batch.problems.extend(source.problems());
            if batches.send(std::mem::take(&mut batch)).is_err() {
                return Ok(());
            }
        }
        if batch.here > 0 || !batch.skipped.is_empty() {
            batch.problems.extend(source.problems());
            if batches.send(batch).is_err() {
                return Ok(());
            }
        }
    }
}

/// Which of the runs are still to be read.
fn sift(course: &Course<'_>, heads: Vec<Head>) -> Result<(Batch, Vec<Head>), ImportError> {
    let ids: Vec<String> = heads.iter().map(|head| head.run_id.clone()).collect();
    let known = course.target.store.read(|tx| bulk::known_runs(tx, &ids))?;
    let (mut batch, mut foreign, mut homeless) = (Batch::default(), 0, 0);
    let mut wanted = Vec::with_capacity(heads.len());
    for head in heads {
        let target = course.experiments.get(&head.experiment);
        match (known.get(&head.run_id), target) {
            (None, Some(_)) => wanted.push(head),
            (None, None) => homeless += 1,
            (Some(holder), Some(target)) if holder == target => batch.here += 1,
            (Some(_), _) => foreign += 1,
        }
    }
    batch.skipped = [(FOREIGN, foreign), (HOMELESS, homeless)].into_iter().filter(|(_, n)| *n > 0).collect();
    Ok((batch, wanted))
}

/// Brings the files of the runs.
fn files_of(
    course: &Course<'_>,
    source: &mut dyn Source,
    found: &mut [SourceRun],
    batch: &mut Batch,
) -> Result<(), ImportError> {
    let Some(artifacts) = course.target.artifacts else { return Ok(()) };
    for found in found {
        let Some(experiment) = course.experiments.get(&found.experiment) else { continue };
        let info = &mut found.run.info;
        let (what, inner) = (format!("run {}", info.run_id), format!("{}/artifacts", info.run_id));
        let owner = Owner {
            what: &what,
            source_experiment: &found.experiment,
            experiment: *experiment,
            inner: &inner,
        };
        let came = artifacts::bring(source, artifacts, &owner, &mut info.artifact_uri, &mut batch.problems)?;
        batch.files.add(came);
    }
    Ok(())
}

fn pack(course: &Course<'_>, found: Vec<SourceRun>, batch: &mut Batch) {
    for mut found in found {
        let Some(target) = course.experiments.get(&found.experiment) else { continue };
        found.run.info.experiment = *target;
        // Not every source says when a run was deleted; from now on counts then.
        found.run.deleted.get_or_insert(course.now.as_millis());
        let run_id = found.run.info.run_id.clone();
        match PackedRun::new(found.run) {
            Ok(packed) => batch.runs.push(packed),
            Err(error) => batch.problems.push(Problem {
                kind: Kind::Runs,
                place: format!("run {run_id}"),
                reason: error.to_string(),
                lost: 1,
            }),
        }
    }
}

fn write(
    course: &Course<'_>,
    batches: &Receiver<Batch>,
    report: &mut Report,
    of: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), ImportError> {
    let (mut done, import) = (0, course.import);
    for batch in batches {
        batch.problems.iter().for_each(|problem| report.problem(problem));
        batch.skipped.iter().for_each(|(reason, count)| report.skip(Kind::Runs, reason, *count));
        report.tally(Kind::Runs).here += batch.here;
        report.came(batch.files);
        let skipped: u64 = batch.skipped.iter().map(|(_, count)| count).sum();
        done += batch.here + skipped + batch.runs.len() as u64;
        if !batch.runs.is_empty() {
            let brought = course.target.store.write(move |tx| {
                room::count(tx, import, Kind::Artifacts.words(), batch.files.files)?;
                bring(tx, import, &batch.runs)
            })?;
            for (kind, count) in brought {
                report.tally(kind).imported += count;
            }
        }
        progress(Progress { kind: Kind::Runs, done, of });
    }
    Ok(())
}

/// Writes the runs, and that they came.
fn bring(
    tx: &mut gyre_store::Tx<'_>,
    import: i64,
    runs: &[PackedRun],
) -> Result<Vec<(Kind, u64)>, StoreError> {
    let kinds = [Kind::Runs, Kind::Params, Kind::Tags, Kind::MetricPoints, Kind::DatasetInputs];
    let mut brought = kinds.map(|kind| (kind, 0));
    for (run, fresh) in runs.iter().zip(bulk::insert_runs(tx, runs)?) {
        if !fresh {
            continue;
        }
        room::came(tx, import, run.run_id(), run.seal())?;
        let [params, tags, points, datasets] = run.sizes();
        for ((_, count), more) in brought.iter_mut().zip([1, params, tags, points, datasets]) {
            *count += more;
        }
    }
    for (kind, count) in brought {
        room::count(tx, import, kind.words(), count)?;
    }
    Ok(brought.into())
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
