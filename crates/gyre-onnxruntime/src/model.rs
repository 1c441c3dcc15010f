//! A model in gyre's process, whichever engine runs it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gyre_runtime::{
    Calibration, ExplainError, Explanation, Feature, FeatureKind, Format, Hints, RunError, Scale, ScoreError,
    Scorer, Scores, Table, Task,
};

use crate::error::{AskError, LoadError};
use crate::graph::{Graph, made_up};

/// Why what puts answers right in another unit than they are explained in cannot be told.
const UNTOLD: &str =
    "its answers were put right, which no sum over features tells; ask the version that it is made of";

/// A model in gyre's process.
#[derive(Debug)]
pub enum LocalModel {
    /// By the native engine.
    Native(Box<Scorer>),
    /// By onnxruntime.
    Onnxruntime(Arc<Graph>),
    /// By one of these, and its answers are put right.
    Calibrated(Box<Self>, Calibration),
}

impl LocalModel {
    /// Reads a model's file of any format. The native engine runs what it reads; a graph that is right but beyond it goes to
    /// onnxruntime, which is looked for only then.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(file: &[u8], hints: &Hints<'_>) -> Result<Self, LoadError> {
        if let Some((calibration, beneath)) = Calibration::split(file)? {
            let model = Self::load(beneath, hints)?;
            calibration.fits(&model.task())?;
            return Ok(Self::Calibrated(Box::new(model), calibration));
        }
        let lacks = match Scorer::load(file, hints) {
            Ok(scorer) => match refuses_all(&scorer) {
                None => return Ok(Self::Native(Box::new(scorer))),
                // It read the graph, and finds out on the way that it cannot run it. So does onnxruntime, or it is of help.
                Some(lacks) => match Self::foreign(file, hints, &lacks) {
                    Ok(model) => return Ok(model),
                    Err(_) => return Ok(Self::Native(Box::new(scorer))),
                },
            },
            Err(error) if error.is_beyond_the_engine() => error,
            Err(error) => return Err(error.into()),
        };
        Self::foreign(file, hints, &lacks)
    }

    fn foreign(file: &[u8], hints: &Hints<'_>, lacks: &gyre_runtime::LoadError) -> Result<Self, LoadError> {
        let graph = Arc::new(Graph::load(file, hints, lacks)?);
        graph.try_out().map_err(|error| LoadError::Refused(format!("its first row failed: {error}")))?;
        Ok(Self::Onnxruntime(graph))
    }

    /// The columns that the model reads.
    pub fn features(&self) -> &[Feature] {
        match self {
            Self::Native(scorer) => scorer.features(),
            Self::Onnxruntime(graph) => graph.binding().features(),
            Self::Calibrated(model, _) => model.features(),
        }
    }

    /// What the model predicts.
    pub fn task(&self) -> Task {
        match self {
            Self::Native(scorer) => scorer.task(),
            Self::Onnxruntime(graph) => graph.binding().task(),
            Self::Calibrated(model, _) => model.task(),
        }
    }

    /// Whether the native engine runs it, on the thread that asks, in microseconds a row.
    pub fn is_native(&self) -> bool {
        match self {
            Self::Native(_) => true,
            Self::Onnxruntime(_) => false,
            Self::Calibrated(model, _) => model.is_native(),
        }
    }

    /// The format of the file, with who runs it when that is not gyre itself.
    pub fn format(&self) -> String {
        match self {
            Self::Native(scorer) => scorer.format().to_string(),
            Self::Onnxruntime(_) => format!("{}, run by onnxruntime", Format::Onnx),
            Self::Calibrated(model, _) => format!("{}, calibrated", model.format()),
        }
    }

    /// Predicts every row. Columns that are not features are ignored. The native engine answers on this thread, in
    /// microseconds; so does onnxruntime when it does so quickly, and otherwise on another one.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn score(&self, table: &Table, deadline: Instant) -> Result<Scores, AskError> {
        match self {
            Self::Native(scorer) => Ok(scorer.score(table)?),
            Self::Onnxruntime(graph) => graph.score(table, deadline).await,
            Self::Calibrated(model, calibration) => {
                Ok(calibration.apply(Box::pin(model.score(table, deadline)).await?))
            }
        }
    }

    /// The same for a thread that may wait.
    ///
    /// # Errors
    /// As [`LocalModel::score`].
    pub fn score_within(&self, table: &Table, patience: Duration) -> Result<Scores, AskError> {
        match self {
            Self::Native(scorer) => Ok(scorer.score(table)?),
            Self::Onnxruntime(graph) => pollster::block_on(graph.score(table, Instant::now() + patience)),
            Self::Calibrated(model, calibration) => {
                Ok(calibration.apply(model.score_within(table, patience)?))
            }
        }
    }

    /// Takes predictions apart; see [`Scorer::explain`].
    ///
    /// # Errors
    /// As [`Scorer::explain`]; a graph that onnxruntime runs cannot be taken apart.
    pub fn explain(&self, table: &Table) -> Result<Explanation, ExplainError> {
        match self {
            Self::Native(scorer) => scorer.explain(table, None),
            Self::Onnxruntime(_) => Err(ExplainError::Unavailable(
                "onnxruntime runs it, and an ONNX graph does not tell what explanations need".to_owned(),
            )),
            Self::Calibrated(model, Calibration::Numbers { scale, shift }) => {
                let mut explained = model.explain(table)?;
                if explained.scale != Scale::Output {
                    return Err(ExplainError::Unavailable(UNTOLD.to_owned()));
                }
                explained.base.iter_mut().for_each(|base| *base = scale * *base + shift);
                explained.contributions.iter_mut().for_each(|part| *part *= scale);
                Ok(explained)
            }
            Self::Calibrated(_, Calibration::Classes { .. }) => {
                Err(ExplainError::Unavailable(UNTOLD.to_owned()))
            }
        }
    }
}

/// What the native engine says of a graph that it read, when it cannot run it whatever the row: the rank or the type of a
/// tensor that it does not have. Only where all columns are numbers, for a text may be refused for itself.
fn refuses_all(scorer: &Scorer) -> Option<gyre_runtime::LoadError> {
    let numeric = scorer.features().iter().all(|feature| feature.kind != FeatureKind::Text);
    if scorer.format() != Format::Onnx || !numeric {
        return None;
    }
    match scorer.score(&made_up(scorer.features()).ok()?) {
        Err(ScoreError::Run(RunError::Node { node, problem })) => {
            Some(gyre_runtime::LoadError::Node { node, operator: "a step".to_owned(), problem })
        }
        _ => None,
    }
}
