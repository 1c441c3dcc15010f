//! Predictions as columns beside the kept ones.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use gyre_core::{Diagnostic, Version};
use gyre_onnxruntime::{AskError, LocalModel};
use gyre_runtime::{ScoreError, Scores, Task};

use crate::error::BatchError;
use crate::input::{Chunk, Place};

/// The column with what was predicted.
const PREDICTION: &str = "prediction";
/// How long a model may take for a chunk.
const PATIENCE: Duration = Duration::from_secs(600);
/// The column with the number of the version that predicted.
const VERSION: &str = "model_version";

/// The layout of an output.
pub(crate) struct Layout {
    pub(crate) schema: SchemaRef,
    version: Option<Version>,
    whole_classes: bool,
}

impl Layout {
    /// The kept columns, the prediction, a probability for each class, and the version when it is a registered one.
    /// Classes that are all whole numbers are written as numbers, as scikit-learn predicts them.
    ///
    /// # Errors
    /// When a kept column has the name of one of ours.
    pub(crate) fn new(
        input: &Path,
        kept: Vec<Field>,
        task: &Task,
        version: Option<Version>,
    ) -> Result<Self, BatchError> {
        let mut ours = Vec::new();
        let mut whole_classes = false;
        match task {
            Task::Regression => ours.push(Field::new(PREDICTION, DataType::Float64, false)),
            Task::Classification { classes } => {
                whole_classes = classes.iter().all(|class| whole(class).is_some());
                let kind = if whole_classes { DataType::Int64 } else { DataType::Utf8 };
                ours.push(Field::new(PREDICTION, kind, false));
                let column =
                    |class: &Arc<str>| Field::new(format!("probability_{class}"), DataType::Float64, false);
                ours.extend(classes.iter().map(column));
            }
        }
        if version.is_some() {
            ours.push(Field::new(VERSION, DataType::UInt32, false));
        }
        if let Some(taken) = kept.iter().find(|field| ours.iter().any(|our| our.name() == field.name())) {
            let wrong =
                format!("the column `{}` to keep has the name of a column that is added", taken.name());
            let wrong = Diagnostic::new(input.display().to_string(), wrong);
            return Err(BatchError::wrong(
                wrong.help("name the columns to keep with --keep, without this one"),
            ));
        }
        let schema = Arc::new(Schema::new(kept.into_iter().chain(ours).collect::<Vec<_>>()));
        Ok(Self { schema, version, whole_classes })
    }

    /// A chunk's kept columns with its predictions.
    pub(crate) fn record(
        &self,
        kept: Vec<ArrayRef>,
        scores: Scores,
    ) -> Result<RecordBatch, arrow_schema::ArrowError> {
        let rows = scores.rows();
        let mut columns = kept;
        match scores {
            Scores::Regression(values) => columns.push(Arc::new(Float64Array::from(values))),
            Scores::Classification { labels, classes, probabilities } => {
                columns.push(if self.whole_classes {
                    Arc::new(labels.iter().map(|label| whole(label)).collect::<Int64Array>())
                } else {
                    let bytes = labels.iter().map(|label| label.len()).sum();
                    let mut texts = StringBuilder::with_capacity(rows, bytes);
                    labels.iter().for_each(|label| texts.append_value(label));
                    Arc::new(texts.finish())
                });
                let width = classes.len();
                for class in 0..width {
                    let column: Vec<f64> = probabilities.iter().skip(class).step_by(width).copied().collect();
                    columns.push(Arc::new(Float64Array::from(column)));
                }
            }
        }
        if let Some(version) = self.version {
            columns.push(Arc::new(UInt32Array::from(vec![version; rows])));
        }
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}

/// A class as the whole number that it is written as.
fn whole(class: &str) -> Option<i64> {
    let number: i64 = class.parse().ok()?;
    (number.to_string() == class).then_some(number)
}

/// What the model refused, with its place.
pub(crate) fn refused(input: &Path, place: &Place, error: &AskError) -> BatchError {
    let file = input.display().to_string();
    BatchError::wrong(match error {
        AskError::Score(ScoreError::Value { feature, row, problem }) => {
            Diagnostic::new(file, format!("{}, column `{feature}`: the value {problem}", place.of(*row)))
                .help("correct the row, or leave it out")
        }
        AskError::Score(ScoreError::NonFinite { row, value, .. }) => Diagnostic::new(
            file,
            format!("{}: the model answered {value}", place.of(*row)),
        )
        .expected("a finite number")
        .help(
            "correct the row, or leave it out; a value far beyond what the model was trained on may do this",
        ),
        other => Diagnostic::new(file, format!("from {} on: {other}", place.of(0))),
    })
}

/// Scores a chunk.
pub(crate) fn score(
    scorer: &LocalModel,
    layout: &Layout,
    input: &Path,
    chunk: Chunk,
) -> Result<RecordBatch, BatchError> {
    let scores = scorer
        .score_within(&chunk.features, PATIENCE)
        .map_err(|error| refused(input, &chunk.place, &error))?;
    layout.record(chunk.kept, scores).map_err(|error| BatchError::encode(input, error))
}
