//! What falls due as event time goes on: trainings by the calendar, by new data, by new code; and what had to wait and may begin.
//!
//! Which of it falls due is the controller's to say ([`gyre_control::triggers`], [`gyre_control::waiting`]); here the repository is
//! looked at, and each firing gets the key by which no second one is written.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use gyre_control::policy::Policy;
use gyre_control::triggers::{self, CODE};
use gyre_control::waiting;
use gyre_core::fact::{Fact, Numbers};
use gyre_core::spec::Model;
use gyre_core::{ModelName, Span, Timestamp};
use gyre_data::git;
use gyre_pipeline::Pipeline;
use gyre_store::{NewFact, journal};

use super::Workshop;
use crate::engine::Failure;
use crate::state::ModelState;

/// How often, in event time, the repository is looked at.
const LOOKED_AT_EVERY: Span = Span::minutes(1);

/// When each model's code was looked at last.
#[derive(Default)]
pub(super) struct CodeLooks(Mutex<BTreeMap<ModelName, Timestamp>>);

impl CodeLooks {
    /// Whether it is time to look again.
    fn is_time(&self, name: &ModelName, watermark: Timestamp) -> bool {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = looks.get(name).is_some_and(|last| watermark.since(*last) < LOOKED_AT_EVERY);
        if !recent {
            looks.insert(name.clone(), watermark);
        }
        !recent
    }
}

/// What falls due for `name`, or may begin.
pub(super) fn due(
    workshop: &Workshop,
    name: &ModelName,
    spec: &Model,
    state: &ModelState,
    watermark: Timestamp,
) -> Result<Option<NewFact>, Failure> {
    let policy = Policy::of(spec);
    if let Some(fact) = waiting::ready(&policy, state, name, watermark) {
        let key = format!("wait/{name}/{}", watermark.as_millis());
        return Ok(Some(NewFact::new(watermark, "monitor", fact).once(key)));
    }
    if let Some(fired) = triggers::fired(&policy, state, name, watermark) {
        return Ok(Some(NewFact::new(watermark, "monitor", fired.fact).once(fired.key)));
    }
    let idle = state.champion.is_some() && state.due.is_none() && state.repair.is_none();
    if policy.on_code && idle && workshop.code_looks.is_time(name, watermark) {
        return new_code(workshop, name, watermark);
    }
    Ok(None)
}

/// Another commit than the last training's, when files differ that the pipeline reads.
fn new_code(workshop: &Workshop, name: &ModelName, watermark: Timestamp) -> Result<Option<NewFact>, Failure> {
    let named = name.as_str().to_owned();
    let run = workshop.store.read(move |tx| journal::latest_of_kind(tx, "run_finished", &named))?;
    let trained = run.and_then(|entry| match entry.fact {
        Fact::RunFinished(run) => run.code.commit,
        _ => None,
    });
    // Without Git there are no commits to tell apart, and that is no reason for the loop to stand still.
    let present = git::code_version(workshop.root()).ok().and_then(|code| code.commit);
    let (Some(trained), Some(present)) = (trained, present) else { return Ok(None) };
    if trained == present {
        return Ok(None);
    }
    let Some(read) = what_is_read(workshop) else { return Ok(None) };
    let reason = match git::differing(workshop.root(), (&trained, &present), &read) {
        Ok(differing) if differing.is_empty() => return Ok(None),
        Ok(differing) => format!(
            "the code is at commit {present:.12}, the last training's was {trained:.12}; between them {} differ",
            named_few(&differing)
        ),
        Err(_) => format!(
            "the code is at commit {present:.12}, and Git cannot say what differs from the last training's, {trained:.12}"
        ),
    };
    let fact =
        Fact::TrainingDue { model: name.clone(), trigger: CODE.to_owned(), reason, numbers: Numbers::new() };
    let key = format!("due/{name}/{CODE}/{present}");
    Ok(Some(NewFact::new(watermark, "monitor", fact).once(key)))
}

/// The first few of `names`, and how many more there are.
fn named_few(names: &[String]) -> String {
    let few = names.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len() {
        0..=3 => few,
        all => format!("{few} and {} more", all - 3),
    }
}

/// The pipeline's own file and what its stages read, relative to the project; none where it cannot be read.
fn what_is_read(workshop: &Workshop) -> Option<Vec<String>> {
    let project = workshop.project();
    let file = &project.pipeline.as_ref()?.value;
    let pipeline = Pipeline::read(&workshop.root().join(file)).ok()?;
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let place = |path: String| if folder.is_empty() { path } else { format!("{folder}/{path}") };
    let of_stages = pipeline.stages.iter().flat_map(|stage| {
        let deps = stage.deps.iter().map(|dependency| dependency.path.as_str());
        let params = stage.params.iter().map(|params| params.file.as_str());
        deps.chain(params).map(|path| stage.locate(path))
    });
    Some(of_stages.map(place).chain([file.clone()]).collect())
}
