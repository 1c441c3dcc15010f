//! Training: cut a data version, check it, run the pipeline on it, register what comes out.
//!
//! Everything happens in the run's own folder. The facts come all at once, at the end: data versions, the run, the model
//! version. What fails on the way is a fact too, with the end of the log, and the champion never notices.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gyre_core::fact::{DataVersion, Fact, ModelVersion, Numbers, Run, StageResult};
use gyre_core::runtime::Runtime;
use gyre_core::spec::{Dataset, Model, Project, Segment, Window};
use gyre_core::{Digest, ModelName, Span, Timestamp, Version};
use gyre_data::cut::{Cut, CutSpec, Part, cut};
use gyre_data::dvc::{Pointer, Repo, ignore_in_git};
use gyre_data::{checks, git, hash};
use gyre_monitor::{Holdout, ReferenceProfile};
use gyre_pipeline::{OutputKind, Pipeline, RunOptions};
use gyre_store::Tx;

use super::frame::{self, Frame};
use super::versions::{self, predict};
use super::{Workshop, checkout, declared, foresee, recalibrate};
use crate::engine::Failure;

/// How much of a failed run's log goes into the journal, in bytes.
const LOG_TAIL: usize = 4000;

/// One training under way.
struct Training<'a> {
    workshop: &'a Workshop,
    project: &'a Project,
    name: &'a ModelName,
    model: &'a Model,
    dataset: &'a Dataset,
    run: String,
    dir: PathBuf,
    window: Window,
    as_of: Timestamp,
    /// The version that is trained once more, on the withheld rows too.
    twin: Option<ModelVersion>,
    /// The version whose answers are put right, instead of a training.
    beneath: Option<ModelVersion>,
}

/// How a version comes about.
#[derive(Clone, Copy)]
pub(super) enum How {
    /// By the pipeline.
    Pipeline,
    /// By the pipeline, which learns from the withheld rows too: the version once more.
    Refit(Version),
    /// By putting the answers of the version right.
    Recalibrate(Version),
}

pub(super) fn train(
    workshop: &Workshop,
    key: &str,
    name: &ModelName,
    (window, as_of): (Window, Timestamp),
    how: How,
) -> Result<Vec<Fact>, Failure> {
    let project = &*workshop.project();
    let model = declared(project, name)?;
    let dataset = project.data.get(&model.train.data.value);
    let dataset = dataset
        .ok_or_else(|| Failure::because(format!("there is no dataset `{}`", model.train.data.value)))?;
    let (twin, beneath) = match how {
        How::Pipeline => (None, None),
        How::Refit(twin) => (Some(workshop.version(name, twin)?), None),
        How::Recalibrate(of) => (None, Some(recalibrate::beneath(workshop, name, of)?)),
    };
    let window = match &beneath {
        Some(beneath) => recalibrate::unseen(beneath, window, as_of)?,
        None => window,
    };
    // The same action always makes the same run.
    let run = Digest::of(format!("{}/{name}/{key}", project.project).as_bytes()).to_hex()[..32].to_owned();
    let dir = workshop.runs().join(&run);
    let training =
        Training { workshop, project, name, model, dataset, run, dir, window, as_of, twin, beneath };
    let (facts, data) = training.data()?;
    let made = match &training.beneath {
        Some(beneath) => {
            recalibrate::fit(workshop, model, dataset.time.as_deref(), beneath, &data.train.path)
                .and_then(|(file, told)| training.put(&file, told))
        }
        None => training.pipeline(),
    };
    let outcome = made.and_then(|(stages, log)| training.register(&data, stages, &log));
    match outcome {
        Ok(registered) => Ok(facts.into_iter().chain(registered).collect()),
        Err(failure) => {
            let Failure { reason, facts: told } = training.failed(&data, failure);
            Err(Failure { reason, facts: facts.into_iter().chain(told).collect() })
        }
    }
}

/// The data versions of a run.
struct RunData {
    train: Part,
    holdout: Part,
    train_digest: Digest,
}

impl Training<'_> {
    /// Cuts, checks and keeps the rows.
    fn data(&self) -> Result<(Vec<Fact>, RunData), Failure> {
        let repo = checkout::checkout(self.workshop.root(), &self.dir)?;
        let source = self.workshop.root().join(&self.dataset.source.value);
        let time = self.dataset.time.as_deref();
        let time = time.ok_or_else(|| {
            Failure::because(format!(
                "data.{}: add `time: COLUMN`, so that a window can be cut",
                self.model.train.data.value
            ))
        })?;
        let spec = CutSpec {
            source: &source,
            time,
            label_time: self.dataset.label_time.as_deref(),
            expected_delay: self.model.labels.expected_delay,
            target: &self.model.target,
            explored: self.model.labels.explored.as_deref(),
            as_of: self.as_of,
            window: self.window,
            holdout: self.model.train.holdout,
            refit: self.twin.is_some(),
        };
        let Cut { train, holdout, .. } = cut(
            &spec,
            &self.dir.join(&self.model.train.into),
            &self.dir.join(&self.model.train.holdout_into),
        )?;
        for part in [&train, &holdout] {
            self.check(part)?;
        }
        let whole = hash::hash_file(&source)?;
        let dataset = &self.model.train.data.value;
        let facts =
            [&train, &holdout].map(|part| Fact::DataRecorded(part.data_version(dataset, Some(whole.sha256))));
        for part in [&train, &holdout] {
            keep(&repo, part)?;
        }
        let train_digest = train.hash.sha256;
        Ok((facts.into(), RunData { train, holdout, train_digest }))
    }

    fn check(&self, part: &Part) -> Result<(), Failure> {
        let checks = self.dataset.checks.iter().map(|check| &check.value);
        let report = checks::run(&part.path, checks)?;
        if report.passed() {
            return Ok(());
        }
        let dataset = self.model.train.data.value.clone();
        let reason = format!("the data `{dataset}` was refused: {}", report.failures.join("; "));
        Err(Failure::because(reason).with(Fact::DataRefused {
            dataset,
            digest: part.hash.sha256,
            reasons: report.failures,
        }))
    }

    /// Puts a model file where the pipeline would.
    fn put(&self, file: &[u8], told: String) -> Result<(Vec<StageResult>, String), Failure> {
        let path = self.dir.join(&self.model.artifact.value);
        let failed = |error: std::io::Error| Failure::because(format!("{}: {error}", path.display()));
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(failed)?;
        }
        std::fs::write(&path, file).map_err(failed)?;
        Ok((Vec::new(), told))
    }

    fn pipeline(&self) -> Result<(Vec<StageResult>, String), Failure> {
        let file = self.project.pipeline.as_ref();
        let file = file.ok_or_else(|| Failure::because("`gyre.yaml` names no pipeline"))?;
        let path = self.dir.join(&file.value);
        let pipeline = Pipeline::read(&path).map_err(|wrong| {
            Failure::because(wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        })?;
        let dir = path.parent().unwrap_or(&self.dir);
        let millis = u64::try_from(self.model.retrain.timeout.as_millis()).unwrap_or(u64::MAX);
        let mut env = vec![
            ("GYRE_RUN".to_owned(), self.run.clone()),
            ("GYRE_AS_OF".to_owned(), self.as_of.to_string()),
        ];
        if let Some(twin) = &self.twin {
            env.push(("GYRE_REFIT_OF".to_owned(), twin.version.to_string()));
        }
        let options = RunOptions {
            timeout: Some(Duration::from_millis(millis)),
            // So that a stage can say `gyre` and means this one.
            path_dir: std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned)),
            env,
            stop: Some(Arc::clone(&self.workshop.stop)),
            ..RunOptions::default()
        };
        let done = gyre_pipeline::run(dir, &pipeline, &[], &options, &mut |_| {})
            .map_err(|error| Failure { reason: format!("{error}\n{}", error.log), facts: Vec::new() })?;
        let stage = |stage: gyre_pipeline::StageRun| StageResult {
            stage: stage.name,
            cached: stage.cached,
            millis: stage.millis,
        };
        Ok((done.stages.into_iter().map(stage).collect(), done.log))
    }

    /// Loads the model, measures it on the withheld rows, profiles what it was trained on, and registers it.
    fn register(&self, data: &RunData, stages: Vec<StageResult>, log: &str) -> Result<Vec<Fact>, Failure> {
        let path = self.dir.join(&self.model.artifact.value);
        let artifact = std::fs::read(&path).map_err(|error| {
            Failure::because(format!(
                "the pipeline left no model at `{}`: {error}",
                self.model.artifact.value
            ))
        })?;
        let scorer = versions::load(&artifact, self.beneath.as_ref().map(|beneath| &beneath.signature))
            .map_err(|error| Failure::because(format!("`{}`: {error}", self.model.artifact.value)))?;
        let signature = versions::signature(&scorer);
        if let Some(twin) = self.twin.as_ref().filter(|twin| twin.signature != signature) {
            return Err(Failure::because(format!(
                "trained once more, version {} takes or gives something else than it did: did the pipeline change meanwhile?",
                twin.version
            )));
        }
        // What is promised must have been seen by nobody, so the version that has not learnt from the withheld rows promises it.
        let unseen = self.twin.as_ref().map(|twin| self.workshop.scorer(twin)).transpose()?;
        let unseen = unseen.as_deref().unwrap_or(&scorer);
        let target = (self.model.target.as_str(), self.model.task);
        let time = self.dataset.time.as_deref();
        let holdout = Frame::read(&data.holdout.path, &signature.inputs, target, time, |_| true)?;
        let predicted = predict(unseen, &holdout.features)?;
        let losses = predicted.losses(self.model.metric, frame::values(&holdout.target))?;
        let measured = gyre_monitor::loss::measure(self.model.metric, &losses, &holdout.days())?;
        let measured = measured.map(|measured| Holdout {
            metric: self.model.metric,
            measured,
            period: data.holdout.period,
        });
        let numbers = measured.as_ref().map(Holdout::numbers).unwrap_or_default();
        let rows = Frame::read(&data.train.path, &signature.inputs, target, time, |_| true)?;
        let columns =
            || rows.features.columns().iter().map(|(name, column)| (name.as_ref(), frame::values(column)));
        let outputs = frame::values(&predicted.outputs);
        let mut profile = ReferenceProfile::build(columns(), outputs, measured);
        let withheld = holdout.features.columns().iter();
        let withheld: Vec<(&str, gyre_monitor::Values<'_>)> =
            withheld.map(|(name, column)| (name.as_ref(), frame::values(column))).collect();
        profile.learn_mix(&withheld, &predicted.predictions(), frame::values(&holdout.target), &losses)?;
        let segments: Vec<Segment> =
            self.model.monitor.segments.iter().map(|segment| segment.value.clone()).collect();
        let days = holdout.days();
        profile.learn_calibration(&predicted.predictions(), frame::values(&holdout.target), &days);
        profile.learn_losses(self.model.metric, &withheld, (&losses, &days), &segments)?;
        if time.is_some() {
            let apart = self.twin.is_none().then_some(&holdout.times);
            let a_window = self.rows_in_a_window(std::iter::once(&rows.times).chain(apart));
            profile
                .learn_variation(
                    a_window,
                    (columns(), &in_time(&rows.times)),
                    (outputs, &in_time(&holdout.times)),
                )
                .map_err(|error| Failure::because(error.to_string()))?;
        }
        if let Some(beneath) = self.beneath.as_ref().and_then(|beneath| beneath.profile) {
            // What it knows of inputs is what the version beneath was trained on.
            let beneath = ReferenceProfile::from_json(&self.workshop.store.blobs().get(&beneath)?)?;
            profile.take_inputs_of(beneath);
        }
        let blobs = self.workshop.store.blobs();
        let (estimator, no_estimator) = match &self.twin {
            // The same answers on the same rows teach the same.
            Some(twin) => (twin.estimator, None),
            None => match foresee::learn(self.model, &holdout, &predicted) {
                Ok(bytes) => (Some(blobs.put(&bytes)?), None),
                Err(reason) => (None, Some(reason.to_string())),
            },
        };
        let reference = format!("refs/gyre/runs/{}", self.run);
        let refit = self.twin.as_ref().map(|twin| format!(" for version {} once more", twin.version));
        let verb = if self.beneath.is_some() { "Recalibrate" } else { "Train" };
        let message = format!(
            "{verb} {} on {} as of {}{}",
            self.name,
            self.window,
            self.as_of,
            refit.unwrap_or_default()
        );
        let pointers = git::record(self.workshop.root(), &self.dir, &reference, &message)?;
        let run = Run {
            run: self.run.clone(),
            model: self.name.clone(),
            data: data.train_digest,
            code: git::code_version(self.workshop.root())?,
            params: self.params(data, pointers, no_estimator),
            metrics: self.metrics(&numbers)?,
            environment: environment(),
            stages,
            log: blobs.put(log.as_bytes())?,
        };
        let (named, claimant) = (self.name.clone(), self.run.clone());
        let claim = move |tx: &mut Tx<'_>| gyre_registry::claim_version(tx, &named, &claimant);
        let version = self.workshop.store.write(claim)?;
        let registered = ModelVersion {
            model: self.name.clone(),
            version,
            run: Some(self.run.clone()),
            runtime: Runtime::Native,
            source: None,
            artifact: blobs.put(&artifact)?,
            data: Some(data.train_digest),
            refit_of: self.twin.as_ref().map(|twin| twin.version),
            calibrated_from: self.beneath.as_ref().map(|beneath| beneath.version),
            signature,
            profile: Some(blobs.put(&profile.to_json()?)?),
            estimator,
            holdout: numbers,
            trained_on: data.train.period,
        };
        Ok(vec![Fact::RunFinished(run), Fact::VersionRegistered(registered)])
    }

    /// How many rows a window of the time that is watched has, on average over the days with rows.
    fn rows_in_a_window<'t>(&self, parts: impl Iterator<Item = &'t Vec<Timestamp>>) -> usize {
        let (mut days, mut rows) = (BTreeSet::new(), 0);
        for times in parts {
            days.extend(times.iter().map(|time| time.day()));
            rows += times.len();
        }
        let window = self.model.monitor.window.as_millis() as f64 / Span::days(1).as_millis() as f64;
        (rows as f64 / days.len().max(1) as f64 * window).ceil() as usize
    }

    /// `pointers` is the commit that holds the run's `.dvc` files and `dvc.lock`.
    /// `no_estimator` says why the version's loss cannot be foreseen.
    fn params(
        &self,
        data: &RunData,
        pointers: Option<String>,
        no_estimator: Option<String>,
    ) -> BTreeMap<String, String> {
        let mut params = BTreeMap::from([
            ("window".to_owned(), self.window.to_string()),
            ("as_of".to_owned(), self.as_of.to_string()),
            ("train_rows".to_owned(), data.train.rows.to_string()),
            ("holdout".to_owned(), data.holdout.hash.sha256.to_hex()),
            ("holdout_rows".to_owned(), data.holdout.rows.to_string()),
        ]);
        let beneath = self.beneath.as_ref().map(|beneath| beneath.version.to_string());
        params.extend(beneath.map(|beneath| ("calibrated_from".to_owned(), beneath)));
        params.extend(self.twin.as_ref().map(|twin| ("refit_of".to_owned(), twin.version.to_string())));
        params.extend(pointers.map(|commit| ("pointers".to_owned(), commit)));
        params.extend(no_estimator.map(|reason| ("no_estimator".to_owned(), reason)));
        params
    }

    /// The numbers in the pipeline's metrics files, and those on the withheld rows.
    fn metrics(&self, holdout: &Numbers) -> Result<Numbers, Failure> {
        let mut metrics: Numbers =
            holdout.iter().map(|(name, value)| (format!("holdout.{name}"), *value)).collect();
        let Some(file) = self.project.pipeline.as_ref().filter(|_| self.beneath.is_none()) else {
            return Ok(metrics);
        };
        let path = self.dir.join(&file.value);
        let Ok(pipeline) = Pipeline::read(&path) else { return Ok(metrics) };
        let dir = path.parent().unwrap_or(&self.dir);
        for stage in &pipeline.stages {
            for output in stage.outs.iter().filter(|output| output.kind == OutputKind::Metric) {
                let path = dir.join(stage.locate(&output.path));
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                // Metrics may be YAML, which holds JSON.
                if let Ok(value) = serde_saphyr::from_str::<serde_json::Value>(&text) {
                    flatten(&stage.name, &value, &mut metrics);
                }
            }
        }
        Ok(metrics)
    }

    fn failed(&self, data: &RunData, failure: Failure) -> Failure {
        let (reason, log) = failure.reason.split_once('\n').unwrap_or((&failure.reason, ""));
        let tail = log.char_indices().rev().nth(LOG_TAIL).map_or(0, |(at, _)| at);
        let fact = Fact::RunFailed {
            run: self.run.clone(),
            model: self.name.clone(),
            data: Some(data.train_digest),
            reason: reason.to_owned(),
            log: log[tail..].to_owned(),
        };
        Failure { reason: reason.to_owned(), facts: failure.facts }.with(fact)
    }
}

/// The order of rows in time.
fn in_time(times: &[Timestamp]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..times.len()).collect();
    order.sort_by_key(|row| times.get(*row).copied());
    order
}

/// Puts a part into the DVC cache, with a pointer beside it.
fn keep(repo: &Repo, part: &Part) -> Result<(), Failure> {
    let _held = repo.lock()?;
    repo.cache().put(&part.path)?;
    let name = part.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let pointer = part.path.with_file_name(format!("{name}.dvc"));
    Pointer::to_file(&name, &part.hash).write(&pointer)?;
    Ok(ignore_in_git(&part.path)?)
}

/// Numbers in `value`, named by their path.
fn flatten(name: &str, value: &serde_json::Value, into: &mut Numbers) {
    match value {
        serde_json::Value::Number(number) => {
            into.extend(
                number.as_f64().filter(|number| number.is_finite()).map(|number| (name.to_owned(), number)),
            );
        }
        serde_json::Value::Object(map) => {
            map.iter().for_each(|(key, value)| flatten(&format!("{name}.{key}"), value, into));
        }
        _ => {}
    }
}

fn environment() -> BTreeMap<String, String> {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    BTreeMap::from([
        ("gyre".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("os".to_owned(), std::env::consts::OS.to_owned()),
        ("arch".to_owned(), std::env::consts::ARCH.to_owned()),
        ("cpus".to_owned(), cpus.to_string()),
    ])
}

/// The file of a data version, brought back from the DVC cache if need be.
pub(super) fn file_of(workshop: &Workshop, data: &DataVersion) -> Result<PathBuf, Failure> {
    Ok(Repo::init(workshop.root())?.cache().path(&data.md5)?)
}
