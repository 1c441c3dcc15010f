//! Registered versions as models that can be asked: loaded once, kept for the next comparison.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use gyre_core::Digest;
use gyre_core::fact::ModelVersion;
use gyre_core::record::{Field, Kind, Signature};
use gyre_core::spec::Metric;
use gyre_monitor::{Predictions, Values};
use gyre_runtime::{Column, FeatureKind, Hints, Scorer, Scores, Table, Task};

use super::{Workshop, frame};
use crate::engine::Failure;

/// How many loaded models are kept.
const KEPT: usize = 16;

/// Loaded models by the digest of their file.
#[derive(Default)]
pub(super) struct Scorers(Mutex<BTreeMap<Digest, Arc<Scorer>>>);

/// What a model said of each row.
pub(super) struct Predicted {
    pub(super) outputs: Column,
    scores: Vec<f64>,
    classes: Vec<String>,
}

impl Workshop {
    /// The model of a registered version.
    pub(super) fn scorer(&self, version: &ModelVersion) -> Result<Arc<Scorer>, Failure> {
        let mut kept = self.scorers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(scorer) = kept.get(&version.artifact) {
            return Ok(Arc::clone(scorer));
        }
        let scorer = Arc::new(load(&self.store.blobs().get(&version.artifact)?)?);
        if kept.len() >= KEPT {
            kept.pop_first();
        }
        kept.insert(version.artifact, Arc::clone(&scorer));
        Ok(scorer)
    }
}

/// The model in `bytes`, if it is one that can be run.
pub(super) fn load(bytes: &[u8]) -> Result<Scorer, Failure> {
    Ok(Scorer::load(bytes, &Hints::default())?)
}

/// What `scorer` takes and gives.
pub(super) fn signature(scorer: &Scorer) -> Signature {
    let field = |feature: &gyre_runtime::Feature| Field {
        name: feature.name.to_string(),
        kind: match feature.kind {
            FeatureKind::Numeric | FeatureKind::Integer => Kind::Number,
            FeatureKind::Text => Kind::Text,
        },
    };
    let classes = match scorer.task() {
        Task::Regression => Vec::new(),
        Task::Classification { classes } => classes.iter().map(ToString::to_string).collect(),
    };
    Signature {
        inputs: scorer.features().iter().map(field).collect(),
        output: "prediction".to_owned(),
        classes,
    }
}

/// Asks `scorer` about every row.
pub(super) fn predict(scorer: &Scorer, features: &Table) -> Result<Predicted, Failure> {
    Ok(match scorer.score(features)? {
        Scores::Regression(numbers) => {
            Predicted { outputs: Column::Numeric(numbers), scores: Vec::new(), classes: Vec::new() }
        }
        Scores::Classification { labels, classes, probabilities } => Predicted {
            outputs: Column::Text(labels.into_iter().map(Some).collect()),
            scores: probabilities,
            classes: classes.iter().map(ToString::to_string).collect(),
        },
    })
}

impl Predicted {
    /// The loss of each row against `target`; NaN where there is no label.
    pub(super) fn losses(&self, metric: Metric, target: Values<'_>) -> Result<Vec<f64>, Failure> {
        let predictions = Predictions {
            outputs: frame::values(&self.outputs),
            scores: &self.scores,
            classes: &self.classes,
        };
        Ok(gyre_monitor::loss::losses(metric, &predictions, &target)?)
    }

    /// The class that counts as "selected": the last one, as scikit-learn orders them (0 before 1, no before yes).
    pub(super) fn positive_class(&self) -> String {
        self.classes.last().cloned().unwrap_or_default()
    }
}

/// One row of a column.
pub(super) fn row_of(column: &Column, row: usize) -> Column {
    match column {
        Column::Numeric(numbers) => Column::Numeric(numbers.get(row).copied().into_iter().collect()),
        Column::Text(texts) => Column::Text(texts.get(row).cloned().into_iter().collect()),
    }
}
