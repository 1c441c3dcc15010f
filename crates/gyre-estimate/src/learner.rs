//! A fitted learner: boosted trees, kept as the bytes of their ONNX file, which is what is stored.

use std::sync::{Arc, Mutex, PoisonError};

use base64::{Engine, engine::general_purpose::STANDARD};
use gyre_baseline::{Options, Target, Task, TrainTable, train};
use gyre_runtime::{Model, Scorer, Scores, Table};
use serde::{Deserialize, Serialize};

use crate::EstimateError;
use crate::rows::slice;

/// Rows that a core takes at a time: enough to be worth it, few enough to stay near it.
const PIECE: usize = 8_192;

/// Boosted trees that answer with one number a row. Stored as base64 text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Learner {
    onnx: Vec<u8>,
    scorer: Arc<Scorer>,
}

impl PartialEq for Learner {
    fn eq(&self, other: &Self) -> bool {
        self.onnx == other.onnx
    }
}

impl TryFrom<String> for Learner {
    type Error = EstimateError;

    fn try_from(text: String) -> Result<Self, EstimateError> {
        Self::of_bytes(STANDARD.decode(text).map_err(|error| EstimateError::Stored(error.to_string()))?)
    }
}

impl From<Learner> for String {
    fn from(learner: Learner) -> String {
        STANDARD.encode(learner.onnx)
    }
}

impl Learner {
    /// Learns to predict a number.
    pub(crate) fn regression(
        features: Table,
        target: Vec<f64>,
        options: &Options,
    ) -> Result<Self, EstimateError> {
        Self::fit(TrainTable { features, target: Target::Numeric(target) }, Task::Regression, options)
    }

    /// Learns the probability that a row is `true`.
    pub(crate) fn binary(features: Table, target: &[bool], options: &Options) -> Result<Self, EstimateError> {
        let target = target.iter().map(|truth| f64::from(u8::from(*truth))).collect();
        Self::fit(TrainTable { features, target: Target::Numeric(target) }, Task::Binary, options)
    }

    fn fit(table: TrainTable, task: Task, options: &Options) -> Result<Self, EstimateError> {
        Self::of_bytes(train(&table, task, options, None)?.onnx)
    }

    fn of_bytes(onnx: Vec<u8>) -> Result<Self, EstimateError> {
        let model = Model::load(&onnx).map_err(|error| EstimateError::Stored(error.to_string()))?;
        let scorer = Scorer::new(model).map_err(|error| EstimateError::Stored(error.to_string()))?;
        Ok(Self { onnx, scorer: Arc::new(scorer) })
    }

    /// The number, or the probability of `true`, for each row; many rows are divided among the cores.
    pub(crate) fn predict(&self, table: &Table) -> Result<Vec<f64>, EstimateError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        if table.rows() <= PIECE || cores == 1 {
            return self.score(table);
        }
        let mut said = vec![f64::NAN; table.rows()];
        let pieces = Mutex::new(said.chunks_mut(PIECE).enumerate());
        let work = || -> Result<(), EstimateError> {
            loop {
                let piece = pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((at, said)) = piece else { return Ok(()) };
                let from = at * PIECE;
                let scored = self.score(&slice(table, from..from + said.len())?)?;
                said.iter_mut().zip(scored).for_each(|(slot, scored)| *slot = scored);
            }
        };
        std::thread::scope(|scope| {
            let helpers: Vec<_> = (1..cores).map(|_| scope.spawn(work)).collect();
            let own = work();
            helpers.into_iter().map(|helper| helper.join().unwrap_or(Ok(()))).fold(own, Result::and)
        })?;
        Ok(said)
    }

    fn score(&self, table: &Table) -> Result<Vec<f64>, EstimateError> {
        if table.rows() == 0 {
            return Ok(Vec::new());
        }
        Ok(match self.scorer.score(table)? {
            Scores::Regression(values) => values,
            Scores::Classification { classes, probabilities, .. } => {
                let last = classes.len().saturating_sub(1);
                probabilities.into_iter().skip(last).step_by(classes.len().max(1)).collect()
            }
        })
    }
}
