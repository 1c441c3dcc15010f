//! Runs: read on one thread, written on another, a few large batches apart.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use gyre_store::{StoreError, Tx};
use gyre_tracking::bulk::{self, PackedRun};

use super::{Course, HOMELESS, Progress};
use crate::artifacts::{self, Came, Owner};
use crate::record::{Head, Problem, SourceRun};
use crate::report::{Kind, Report};
use crate::source::Source;
use crate::{ImportError, room};

/// How many batches may wait between reading and writing.
const AHEAD: usize = 2;

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
/// Brings all runs that are not here yet.
pub(super) fn bring(
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
                insert(tx, import, &batch.runs)
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
fn insert(tx: &mut Tx<'_>, import: i64, runs: &[PackedRun]) -> Result<Vec<(Kind, u64)>, StoreError> {
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
