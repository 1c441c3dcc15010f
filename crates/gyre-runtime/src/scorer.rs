//! Predictions about rows of a table: binds columns to a model's inputs and reads its outputs.
//!
//! A scorer is made from a file of any format ([`Scorer::load`]); how columns become the tensors of an ONNX graph is in
//! [`crate::binding`].

use crate::binding::{Binding, Feature, Scores, Task, finite};
use crate::error::{LoadError, ScoreError, SignatureError, Unread};
use crate::explanation::{ExplainError, Explanation};
use crate::format::{Format, Hints};
use crate::limits::Limits;
use crate::model::Model;
use crate::native::Native;
use crate::table::Table;
use crate::tensor::Tensor;

/// A model with its features bound.
#[derive(Debug)]
pub struct Scorer {
    features: Vec<Feature>,
    format: Format,
    engine: Engine,
}

#[derive(Debug)]
enum Engine {
    Graph(Box<Graph>),
    Native(Native),
}

/// An ONNX graph with columns bound to its inputs.
#[derive(Debug)]
struct Graph {
    model: Model,
    binding: Binding,
}

impl Scorer {
    /// Reads a model of any format that the engine knows ([`Format::of`] tells which), and finds out which columns it
    /// reads and what it predicts.
    ///
    /// # Errors
    /// [`LoadError`]: the file is broken, too large, or says something that is not supported, named together with what
    /// to do instead; [`LoadError::Signature`] when its inputs or outputs are not columns and predictions.
    pub fn load(bytes: &[u8], hints: &Hints<'_>) -> Result<Scorer, LoadError> {
        let limit = Limits::DEFAULT.file_bytes;
        if bytes.len() > limit {
            return Err(LoadError::TooLarge { what: "bytes", found: bytes.len(), limit });
        }
        let format = Format::of(bytes)?;
        let native = match format {
            Format::Onnx => return Ok(Self::bind(Model::load(bytes)?, hints)?),
            Format::XgboostJson => crate::xgboost::json(bytes, hints),
            Format::XgboostUbj => crate::xgboost::ubj(bytes, hints),
            Format::LightGbm => crate::lightgbm::text(bytes, hints),
            Format::Skops => crate::skops::archive(bytes, hints),
        };
        let native = native.map_err(|unread| unread.in_file(format))?;
        if native.features.is_empty() {
            // A table without columns has no rows either, so there would be nothing to answer.
            return Err(Unread::broken("features", "there are none to predict from").in_file(format));
        }
        Ok(Scorer { features: native.features.clone(), format, engine: Engine::Native(native) })
    }

    /// Finds out which columns an ONNX model reads and what it predicts.
    ///
    /// # Errors
    /// When its inputs are not columns or one named matrix, or its outputs neither one number a row nor classes.
    pub fn new(model: Model) -> Result<Scorer, SignatureError> {
        Self::bind(model, &Hints::default())
    }

    /// As [`Scorer::new`], for a model whose matrix input's columns are known from elsewhere.
    ///
    /// # Errors
    /// As [`Scorer::new`].
    pub fn with_features(model: Model, names: &[&str]) -> Result<Scorer, SignatureError> {
        Self::bind(model, &Hints { features: names, classes: &[] })
    }

    fn bind(model: Model, hints: &Hints<'_>) -> Result<Scorer, SignatureError> {
        let binding = Binding::new(model.interface(), hints)?;
        let features = binding.features().to_vec();
        Ok(Scorer {
            features,
            format: Format::Onnx,
            engine: Engine::Graph(Box::new(Graph { model, binding })),
        })
    }

    /// The format of the file.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The graph, when the file is ONNX.
    pub fn model(&self) -> Option<&Model> {
        match &self.engine {
            Engine::Graph(graph) => Some(&graph.model),
            Engine::Native(_) => None,
        }
    }

    /// The columns that the model reads.
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// Whether the file is a graph that all features go into as one matrix, rather than each as an input of its own.
    pub fn takes_matrix(&self) -> bool {
        matches!(&self.engine, Engine::Graph(graph) if graph.binding.takes_matrix())
    }

    /// What the model predicts.
    pub fn task(&self) -> Task {
        match &self.engine {
            Engine::Graph(graph) => graph.binding.task(),
            Engine::Native(native) => native.task(),
        }
    }

    /// Predicts every row. Columns that are not features are ignored.
    ///
    /// # Errors
    /// When a feature is missing or of the wrong kind, the model refuses a value, or it answers with NaN or infinity.
    pub fn score(&self, table: &Table) -> Result<Scores, ScoreError> {
        let graph = match &self.engine {
            Engine::Graph(graph) => graph,
            Engine::Native(native) => {
                let scores = native.score(table)?;
                match &scores {
                    Scores::Regression(values) => finite(values, 1)?,
                    Scores::Classification { probabilities, classes, .. } => {
                        finite(probabilities, classes.len())?
                    }
                }
                return Ok(scores);
            }
        };
        let tensors = graph.binding.tensors(table)?;
        let tensors: Vec<&Tensor> = tensors.iter().collect();
        let outputs = graph.model.run_ordered(&tensors)?;
        graph.binding.read(&outputs, table.rows())
    }

    /// Takes predictions apart: what each feature adds to each row's score, beyond what the model says on average.
    ///
    /// For ensembles of trees these are exact Shapley values, path-dependent (TreeSHAP): what a feature that is not known
    /// would do is weighed by the training data that passed each node, which the files of XGBoost, LightGBM and
    /// scikit-learn tell. For linear models it is the coefficient times the value less its mean over `background`; without
    /// a background the mean is taken for zero. Trees take no notice of the background. What an encoder made several
    /// columns of is added up again, so that the answer is about the table's own columns.
    ///
    /// # Errors
    /// [`ExplainError::Unavailable`] for ONNX graphs, which tell no covers, and for perceptrons; otherwise as
    /// [`Scorer::score`].
    pub fn explain(&self, table: &Table, background: Option<&Table>) -> Result<Explanation, ExplainError> {
        match &self.engine {
            Engine::Graph(_) => Err(ExplainError::Unavailable(
                "an ONNX file does not tell how much training data passed each node of its trees; serve the model in its \
                 library's own format"
                    .into(),
            )),
            Engine::Native(native) => native.explain(table, background),
        }
    }

    /// Why [`Scorer::explain`] is not available for this model, if it is not.
    pub fn unexplained(&self) -> Option<String> {
        match &self.engine {
            Engine::Graph(_) => Some("an ONNX file does not tell what explanations need".into()),
            Engine::Native(native) => native.unexplained(),
        }
    }
}
