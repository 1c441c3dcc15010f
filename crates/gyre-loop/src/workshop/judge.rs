//! Judging: a version before its gates.
//!
//! The candidate and the champion answer the same withheld rows, which neither was trained on; the numbers, the paired
//! comparison, the time a prediction takes and the fairness of the answers are what the gates may name.
//!
//! A version that was trained once more (`refit_of`) has seen these rows. Its losses, before gates and in comparisons, are those of
//! the version that it is made of, which has not; time, size and fairness are its own. That something went wrong when it was
//! trained shows all the same: on rows that it knows by now it must not be worse than that version.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use gyre_core::expr::{GateResult, Measured};
use gyre_core::fact::{Fact, ModelVersion, Score};
use gyre_core::record::{Field, Kind};
use gyre_core::spec::{Metric, Model, Project, Task};
use gyre_core::{ModelName, Timestamp, Version};
use gyre_runtime::{Calibration, Column, Table};
use gyre_store::journal;
use serde_json::json;

use super::frame::{self, Frame};
use super::train::file_of;
use super::versions::{Answerer, Predicted, slice};
use super::{Workshop, declared, groups, versions};
use crate::engine::Failure;

/// How many single rows are timed.
const TIMED_ROWS: usize = 300;
/// The p-value below which a version that was trained once more is worse than before.
const REFIT_SIGNIFICANCE: f64 = 0.05;
/// How much worse, as a share, it may be where there are too few days to test.
const REFIT_MARGIN: f64 = 0.05;

pub(super) fn judge(
    workshop: &Workshop,
    name: &ModelName,
    version: Version,
    as_of: Timestamp,
) -> Result<Vec<Fact>, Failure> {
    let project = &*workshop.project();
    let model = declared(project, name)?;
    let named = name.clone();
    let (candidate, champion) = workshop.store.read(move |tx| {
        let candidate = gyre_registry::version(tx, &named, version)?.registered;
        let champion = gyre_registry::champion(tx, &named)?;
        let champion = champion.map(|champion| gyre_registry::version(tx, &named, champion)).transpose()?;
        Ok((candidate, champion.map(|champion| champion.registered)))
    })?;
    // The rows that its training withheld, not the few of a recalibration.
    let beneath = champion.as_ref().and_then(|champion| champion.calibrated_from);
    let beneath = beneath.map(|beneath| workshop.version(name, beneath)).transpose()?;
    let rows = withheld(workshop, project, model, &candidate, beneath.as_ref().or(champion.as_ref()), as_of)?;
    // Rows that were withheld from a recalibration came after all that the version beneath has learnt.
    let came_later = candidate.calibrated_from.is_some();
    let own = Contender::measure(workshop, model, &candidate, &rows.frame, came_later)?;
    // The champion may read other features than the candidate does.
    let champion = champion.map(|champion| {
        let frame = rows.read(model, &champion.signature.inputs)?;
        let beneath = champion.calibrated_from.unwrap_or(champion.version);
        let came_later = candidate.calibrated_from == Some(beneath);
        Contender::measure(workshop, model, &champion, &frame, came_later)
    });
    let champion = champion.transpose()?;

    let mut measured = Measured::new();
    measured.insert("candidate".to_owned(), own.facts(model, &rows)?);
    let (mut comparison, mut by_group) = (None, Vec::new());
    if let Some(champion) = &champion {
        measured.insert("champion".to_owned(), champion.facts(model, &rows)?);
        let others = [(version, own.losses.as_slice())];
        let days = rows.frame.days();
        let scores = gyre_monitor::comparison::scores(
            model.metric,
            (champion.version, &champion.losses),
            &others,
            &days,
        )?;
        comparison = scores.into_iter().find(|score| score.version == version);
        let mut facts = comparison.as_ref().map_or_else(|| json!({}), compared);
        let both = ((champion.version, champion.losses.as_slice()), (version, own.losses.as_slice()));
        let (results, groups) = groups::judge(model, both, &days, &rows.protected)?;
        by_group = results;
        if let Some(facts) = facts.as_object_mut() {
            facts.insert("groups".to_owned(), groups);
        }
        measured.insert("comparison".to_owned(), facts);
    }
    let (mut passed, mut results) =
        gyre_govern::gates::judge(&model.compiled_gates(), &measured, champion.is_some());
    passed &= by_group.iter().all(|result| result.passed);
    results.extend(by_group);
    if let Some((twin, knowing)) = &own.refit {
        let result = no_worse(model.metric, (*twin, &own.losses), (version, knowing), &rows.frame.days())?;
        passed &= result.passed;
        results.push(result);
    }
    Ok(vec![Fact::GatesJudged { model: name.clone(), version, passed, results, comparison }])
}

/// Trained once more, `refit` must not be worse than `twin` on rows that it knows and `twin` does not.
fn no_worse(
    metric: Metric,
    twin: (Version, &[f64]),
    refit: (Version, &[f64]),
    days: &[i64],
) -> Result<GateResult, Failure> {
    // The other way about, so that the p-value speaks of the refit being worse.
    let scores = gyre_monitor::comparison::scores(metric, refit, &[twin], days)?;
    let of = |version: Version| scores.iter().find(|score| score.version == version);
    let (Some(own), Some(before)) = (of(refit.0), of(twin.0)) else {
        return Err(Failure::because("no withheld row has a label"));
    };
    let worse = before.p.map_or_else(
        || own.loss > before.loss * (1.0 + REFIT_MARGIN),
        |p| before.gain > 0.0 && p < REFIT_SIGNIFICANCE,
    );
    Ok(GateResult {
        gate: format!("no worse than version {} on the rows it was trained on once more", twin.0),
        passed: !worse,
        because: format!(
            "{metric} = {:.6}, version {}: {:.6}",
            own.loss,
            twin.0,
            before.loss,
            metric = metric.name()
        ),
    })
}

fn compared(score: &Score) -> serde_json::Value {
    let mut facts = json!({"gain": score.gain, "rows": score.rows, "days": score.days});
    if let (Some(p), Some(facts)) = (score.p, facts.as_object_mut()) {
        facts.insert("p".to_owned(), json!(p));
    }
    facts
}

/// The rows that the gate looks at.
struct Rows<'a> {
    path: PathBuf,
    time: Option<&'a str>,
    since: Timestamp,
    /// With the features that the candidate reads.
    frame: Frame,
    /// Each protected column's values.
    protected: Vec<(String, Column)>,
}

/// The withheld rows of the run that made `candidate`, or else of the one that made the champion, as far back as the
/// policy looks.
fn withheld<'a>(
    workshop: &'a Workshop,
    project: &'a Project,
    model: &Model,
    candidate: &ModelVersion,
    champion: Option<&ModelVersion>,
    as_of: Timestamp,
) -> Result<Rows<'a>, Failure> {
    let here = |version: &ModelVersion| version.run.clone().filter(|_| version.is_trained_here());
    let run = here(candidate).or_else(|| here(champion?));
    let run = run.ok_or_else(|| {
        Failure::because(
            "there are no withheld rows to judge it on: neither it nor the champion was trained here",
        )
    })?;
    let run = workshop.store.read(move |tx| gyre_registry::run(tx, &run))?;
    let holdout = run.params.get("holdout").cloned().unwrap_or_default();
    let recorded = workshop.store.read(|tx| journal::of_kind(tx, "data_recorded", None))?;
    let data = recorded.into_iter().find_map(|entry| match entry.fact {
        Fact::DataRecorded(data) if data.digest.to_hex() == holdout => Some(data),
        _ => None,
    });
    let data = data.ok_or_else(|| {
        Failure::because(format!("the withheld rows of run {} are not recorded", run.run_id))
    })?;
    let path = file_of(workshop, &data)?;
    let dataset = project.data.get(&model.train.data.value);
    let time = dataset.and_then(|dataset| dataset.time.as_deref());
    let since = as_of - model.train.holdout.last;
    let inputs = &candidate.signature.inputs;
    let mut rows =
        Rows { frame: read(&path, model, inputs, time, since)?, protected: Vec::new(), path, time, since };
    for column in &model.protected {
        let frame = rows.read(model, &[Field { name: column.clone(), kind: Kind::Text }])?;
        let values = frame.features.columns().first().map(|(_, values)| values.clone());
        rows.protected.push((column.clone(), values.unwrap_or(Column::Text(Vec::new()))));
    }
    Ok(rows)
}

impl Rows<'_> {
    /// The same rows with other features.
    fn read(&self, model: &Model, inputs: &[Field]) -> Result<Frame, Failure> {
        read(&self.path, model, inputs, self.time, self.since)
    }
}

fn read(
    path: &Path,
    model: &Model,
    inputs: &[Field],
    time: Option<&str>,
    since: Timestamp,
) -> Result<Frame, Failure> {
    let recent = |moment: Timestamp| time.is_none() || moment >= since;
    Frame::read(path, inputs, (model.target.as_str(), model.task), time, recent)
}

/// A version with what it answered.
struct Contender {
    version: Version,
    size: u64,
    predicted: Predicted,
    /// Of whoever has not seen the rows.
    losses: Vec<f64>,
    /// Of a version that was trained once more: the version that it is made of, and its own losses on rows that it knows.
    refit: Option<(Version, Vec<f64>)>,
    latency_ms: (f64, f64),
}

impl Contender {
    fn measure(
        workshop: &Workshop,
        model: &Model,
        version: &ModelVersion,
        rows: &Frame,
        came_later: bool,
    ) -> Result<Self, Failure> {
        let answerer = workshop.answerer(version)?;
        let predicted = answerer.predict(&rows.features)?;
        let own = predicted.losses(model.metric, frame::values(&rows.target))?;
        let twin = if came_later { None } else { stand_in(workshop, version)? };
        let (losses, refit) = match twin {
            Some((twin, answerer)) => {
                let losses =
                    answerer.predict(&rows.features)?.losses(model.metric, frame::values(&rows.target))?;
                (losses, Some((twin, own)))
            }
            None => (own, None),
        };
        let path = workshop.store.blobs().path(&version.artifact);
        let size = std::fs::metadata(&path).map_or(0, |file| file.len());
        let latency_ms = time_single_rows(&answerer, &rows.features)?;
        Ok(Self { version: version.version, size, predicted, losses, refit, latency_ms })
    }

    /// What gates may name of it.
    fn facts(&self, model: &Model, rows: &Rows<'_>) -> Result<serde_json::Value, Failure> {
        let labelled: Vec<f64> = self.losses.iter().copied().filter(|loss| loss.is_finite()).collect();
        let mut facts = json!({
            "rows": labelled.len() as f64,
            "latency_p50_ms": self.latency_ms.0,
            "latency_p99_ms": self.latency_ms.1,
            "size_mib": self.size as f64 / f64::from(1 << 20),
        });
        let measured = gyre_monitor::loss::measure(model.metric, &self.losses, &rows.frame.days())?;
        let mut fairness = serde_json::Map::new();
        for (name, groups) in &rows.protected {
            fairness.insert(name.clone(), self.fairness(model.task, groups, &rows.frame.target)?);
        }
        if let Some(facts) = facts.as_object_mut() {
            if let Some(measured) = measured {
                facts.insert(model.metric.name().to_owned(), json!(measured.loss));
            }
            facts.insert("fairness".to_owned(), fairness.into());
        }
        Ok(facts)
    }

    /// How the answers differ between groups; only two classes can be selected or not.
    fn fairness(&self, task: Task, groups: &Column, target: &Column) -> Result<serde_json::Value, Failure> {
        match (task, groups, &self.predicted.outputs, target) {
            (Task::Binary, Column::Text(groups), Column::Text(predicted), Column::Text(actual)) => {
                Ok(gyre_govern::bias::measured(groups, predicted, actual, &self.predicted.positive_class())?)
            }
            _ => Ok(json!({})),
        }
    }
}

/// Who answers for `version` on rows that it, or the version beneath it, may have been trained on once more: the version of which
/// that is made, with the same numbers put right.
fn stand_in(workshop: &Workshop, version: &ModelVersion) -> Result<Option<(Version, Answerer)>, Failure> {
    let beneath = version.calibrated_from.map(|of| workshop.version(&version.model, of)).transpose()?;
    let Some(twin) = beneath.as_ref().unwrap_or(version).refit_of else { return Ok(None) };
    let twin = workshop.version(&version.model, twin)?;
    if beneath.is_none() {
        return Ok(Some((twin.version, workshop.answerer(&twin)?)));
    }
    let told = |error: gyre_runtime::LoadError| Failure::because(error.to_string());
    let blobs = workshop.store.blobs();
    let file = blobs.get(&version.artifact)?;
    let Some((calibration, _)) = Calibration::split(&file).map_err(told)? else { return Ok(None) };
    let file = calibration.over(&blobs.get(&twin.artifact)?).map_err(told)?;
    let model = versions::load(&file, Some(&version.signature))?;
    Ok(Some((twin.version, Answerer::Local(Arc::new(model)))))
}

/// The median and the 99th percentile of the time that one row takes, in milliseconds.
fn time_single_rows(answerer: &Answerer, features: &Table) -> Result<(f64, f64), Failure> {
    let rows = features.rows().min(TIMED_ROWS);
    let mut times = Vec::with_capacity(rows);
    for row in 0..rows {
        let single =
            features.columns().iter().map(|(name, column)| (name.clone(), slice(column, row..row + 1)));
        let single = Table::new(single)?;
        let begun = Instant::now();
        answerer.predict(&single)?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let at = |share: f64| {
        times.get(((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1))).copied()
    };
    Ok((at(0.5).unwrap_or_default(), at(0.99).unwrap_or_default()))
}
