//! Registered versions as models that can be asked: loaded once, kept for the next comparison.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gyre_backend::Instant;
use gyre_core::fact::ModelVersion;
use gyre_core::record::{Field, Kind, Signature};
use gyre_core::spec::Metric;
use gyre_core::{Digest, ModelName, Version};
use gyre_estimate::Answered;
use gyre_gateway::Remote;
use gyre_monitor::{Predictions, Values};
use gyre_onnxruntime::LocalModel;
use gyre_runtime::{Column, FeatureKind, Hints, Scores, Table, Task};

use super::{Workshop, frame};
use crate::engine::Failure;

/// How many loaded models are kept.
const KEPT: usize = 16;

/// Loaded models by the digest of their file, each with the signature that it was loaded under.
#[derive(Default)]
pub(super) struct Scorers(Mutex<BTreeMap<Digest, (Signature, Arc<LocalModel>)>>);

/// A version that can be asked, wherever it runs.
pub(super) enum Answerer {
    Local(Arc<LocalModel>),
    Remote(Remote),
}

/// Rows that a model elsewhere, or one that may take long, is asked about at a time.
const CHUNK: usize = 1_024;
/// How long it may take for them.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a model said of each row.
pub(super) struct Predicted {
    pub(super) outputs: Column,
    scores: Vec<f64>,
    classes: Vec<String>,
}

impl Answerer {
    /// Asks about every row.
    pub(super) fn predict(&self, features: &Table) -> Result<Predicted, Failure> {
        match self {
            Self::Local(model) => predict(model, features),
            Self::Remote(remote) => {
                in_parts(features, &|part| Ok(remote.score_blocking(part, Instant::now() + PATIENCE)?))
            }
        }
    }
}

/// Asks about some rows at a time.
fn in_parts(features: &Table, ask: &dyn Fn(Table) -> Result<Scores, Failure>) -> Result<Predicted, Failure> {
    let mut all: Option<Predicted> = None;
    for from in (0..features.rows()).step_by(CHUNK) {
        let rows = from..(from + CHUNK).min(features.rows());
        let columns = features.columns().iter();
        let part = Table::new(columns.map(|(name, of)| (name.clone(), slice(of, rows.clone()))))?;
        let part = Predicted::of(ask(part)?);
        match &mut all {
            None => all = Some(part),
            Some(all) => all.extend(part),
        }
    }
    all.ok_or_else(|| Failure::because("there are no rows to ask the model about"))
}

impl Workshop {
    /// What is registered of a version.
    pub(super) fn version(&self, model: &ModelName, version: Version) -> Result<ModelVersion, Failure> {
        let model = model.clone();
        Ok(self.store.read(move |tx| Ok(gyre_registry::version(tx, &model, version)?.registered))?)
    }

    /// A registered version, ready to be asked.
    pub(super) fn answerer(&self, version: &ModelVersion) -> Result<Answerer, Failure> {
        if version.runtime.is_native() {
            return Ok(Answerer::Local(self.scorer(version)?));
        }
        self.serving(version)
    }

    /// The model of a registered version.
    pub(super) fn scorer(&self, version: &ModelVersion) -> Result<Arc<LocalModel>, Failure> {
        let mut kept = self.scorers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((signature, model)) = kept.get(&version.artifact)
            && *signature == version.signature
        {
            return Ok(Arc::clone(model));
        }
        let model = load(&self.store.blobs().get(&version.artifact)?, Some(&version.signature))?;
        let model = Arc::new(model);
        // What onnxruntime runs may be large, is made quickly, and is in memory once more where it serves.
        if model.is_native() {
            if kept.len() >= KEPT {
                kept.pop_first();
            }
            kept.insert(version.artifact, (version.signature.clone(), Arc::clone(&model)));
        }
        Ok(model)
    }
}

/// The model in `bytes`, if it is one that can be run; `said` is what is known of it beyond its file.
pub(crate) fn load(
    bytes: &[u8],
    said: Option<&Signature>,
) -> Result<LocalModel, gyre_onnxruntime::LoadError> {
    let features: Vec<&str> =
        said.iter().flat_map(|said| &said.inputs).map(|field| field.name.as_str()).collect();
    let classes: Vec<&str> = said.iter().flat_map(|said| &said.classes).map(String::as_str).collect();
    LocalModel::load(bytes, &Hints { features: &features, classes: &classes })
}

/// What `model` takes and gives.
pub(crate) fn signature(model: &LocalModel) -> Signature {
    let field = |feature: &gyre_runtime::Feature| Field {
        name: feature.name.to_string(),
        kind: match feature.kind {
            FeatureKind::Numeric | FeatureKind::Integer => Kind::Number,
            FeatureKind::Text => Kind::Text,
        },
    };
    let classes = match model.task() {
        Task::Regression => Vec::new(),
        Task::Classification { classes } => classes.iter().map(ToString::to_string).collect(),
    };
    Signature {
        inputs: model.features().iter().map(field).collect(),
        output: "prediction".to_owned(),
        classes,
    }
}

/// Asks `model` about every row.
pub(super) fn predict(model: &LocalModel, features: &Table) -> Result<Predicted, Failure> {
    if model.is_native() {
        return Ok(Predicted::of(model.score_within(features, PATIENCE)?));
    }
    in_parts(features, &|part| Ok(model.score_within(&part, PATIENCE)?))
}

impl Predicted {
    fn of(scores: Scores) -> Self {
        match scores {
            Scores::Regression(numbers) => {
                Self { outputs: Column::Numeric(numbers), scores: Vec::new(), classes: Vec::new() }
            }
            Scores::Classification { labels, classes, probabilities } => Self {
                outputs: Column::Text(labels.into_iter().map(Some).collect()),
                scores: probabilities,
                classes: classes.iter().map(ToString::to_string).collect(),
            },
        }
    }

    /// Rows of the same model that come after these.
    fn extend(&mut self, more: Self) {
        match (&mut self.outputs, more.outputs) {
            (Column::Numeric(all), Column::Numeric(more)) => all.extend(more),
            (Column::Text(all), Column::Text(more)) => all.extend(more),
            // A model has one kind of output.
            _ => {}
        }
        self.scores.extend(more.scores);
    }

    /// The loss of each row against `target`; NaN where there is no label.
    pub(super) fn losses(&self, metric: Metric, target: Values<'_>) -> Result<Vec<f64>, Failure> {
        Ok(gyre_monitor::loss::losses(metric, &self.predictions(), &target)?)
    }

    /// The answers as the monitor takes them.
    pub(super) fn predictions(&self) -> Predictions<'_> {
        Predictions { outputs: frame::values(&self.outputs), scores: &self.scores, classes: &self.classes }
    }

    /// The same as an estimator of losses reads it, beside the rows' features.
    pub(super) fn beside<'a>(&'a self, features: &'a Table) -> Answered<'a> {
        Answered { features, outputs: &self.outputs, scores: &self.scores, classes: &self.classes }
    }

    /// The class that counts as "selected": the last one, as scikit-learn orders them (0 before 1, no before yes).
    pub(super) fn positive_class(&self) -> String {
        self.classes.last().cloned().unwrap_or_default()
    }
}

/// Some rows of a column.
pub(super) fn slice(column: &Column, rows: Range<usize>) -> Column {
    match column {
        Column::Numeric(numbers) => Column::Numeric(numbers.get(rows).unwrap_or_default().to_vec()),
        Column::Text(texts) => Column::Text(texts.get(rows).unwrap_or_default().to_vec()),
    }
}
