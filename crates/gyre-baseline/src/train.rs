//! From a table to a model: checks, encodes, boosts, exports, and scores the export on a holdout.

use std::sync::Arc;

use gyre_runtime::{Column, Model, Name, Scorer, Scores};

use crate::bins::Binned;
use crate::boost::{Ensemble, Loss, boost};
use crate::encode::{encode, shuffled};
use crate::export::{Entry, Export, to_onnx};
use crate::metrics::{self, Metrics};
use crate::options::{MAX_CLASSES, Options, Target, Task, TrainError, TrainTable};

/// A trained model.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// The model as an ONNX file. Inputs: one `[n, 1]` tensor a column (string for categories, float for numbers), named
    /// as the column. Outputs: `prediction` `[n, 1]`, or `label` `[n]` and `probabilities` `[n, classes]`. A name that a
    /// column already has gets an underscore.
    pub onnx: Vec<u8>,
    /// Quality on the holdout, if one was given, measured on the exported model.
    pub holdout: Option<Metrics>,
    /// Share of each column in the total gain of all splits, in the columns' order; sums to one unless nothing was split.
    pub importances: Vec<(String, f64)>,
    /// Number of trees.
    pub trees: usize,
    /// Rows trained on.
    pub rows: usize,
}

/// Trains gradient-boosted trees.
///
/// # Errors
/// [`TrainError`] when the table cannot be learnt from: no rows, lengths that differ, a target that is missing, has one
/// class only or too many, or an option out of range.
pub fn train(
    table: &TrainTable,
    task: Task,
    options: &Options,
    holdout: Option<&TrainTable>,
) -> Result<Trained, TrainError> {
    check_options(options)?;
    let rows = table.features.rows();
    let columns = table.features.columns();
    if rows < 2 || columns.is_empty() {
        return Err(TrainError::Empty { rows, columns: columns.len() });
    }
    if table.target.len() != rows {
        return Err(TrainError::TargetLength { found: table.target.len(), expected: rows });
    }
    let Learnable { target, classes, loss } = read_target(&table.target, task, options)?;

    let order = shuffled(rows, options.seed);
    // What categories are encoded by: the target itself, or for several classes each one's indicator.
    let indicators: Vec<Vec<f64>> = match loss {
        Loss::Log(k) if k > 2 => {
            (0..k).map(|c| target.iter().map(|&t| f64::from(t as usize == c)).collect()).collect()
        }
        _ => vec![target.clone()],
    };
    let mut features = Vec::new();
    let mut owner = Vec::new();
    let mut entries = Vec::with_capacity(columns.len());
    for (j, (name, column)) in columns.iter().enumerate() {
        let entry = match column {
            Column::Numeric(values) => {
                features.push(values.iter().map(|&x| x as f32).collect());
                owner.push(j);
                Entry::Number
            }
            Column::Text(values) => {
                let mut tables = Vec::with_capacity(indicators.len());
                for indicator in &indicators {
                    let encoded = encode(values, indicator, &order, options.smoothing);
                    features.push(encoded.training);
                    owner.push(j);
                    tables.push(encoded.table);
                }
                Entry::Category(tables)
            }
        };
        entries.push((&**name, entry));
    }
    let ensemble = boost(&Binned::new(&features), &target, loss, options);
    let onnx = to_onnx(&Export { columns: entries, ensemble: &ensemble, classes: &classes, rows });
    // Also without a holdout: a file that the engine would refuse is not handed out.
    let scorer = Model::load(&onnx).map_err(|e| TrainError::Export(e.to_string()))?;
    let scorer = Scorer::new(scorer).map_err(|e| TrainError::Export(e.to_string()))?;
    Ok(Trained {
        holdout: holdout.map(|h| evaluate(&scorer, h)).transpose()?,
        importances: importances(&ensemble, &owner, columns),
        trees: ensemble.trees.len(),
        rows,
        onnx,
    })
}

fn check_options(o: &Options) -> Result<(), TrainError> {
    let refuse = |name, found: String, expected| Err(TrainError::Option { name, found, expected });
    if o.rounds == 0 || o.rounds > 10_000 {
        return refuse("rounds", o.rounds.to_string(), "1 to 10000");
    }
    if !(o.learning_rate > 0.0 && o.learning_rate <= 1.0) {
        return refuse("learning_rate", o.learning_rate.to_string(), "above 0, at most 1");
    }
    if o.leaves < 2 || o.leaves > 65_536 {
        return refuse("leaves", o.leaves.to_string(), "2 to 65536");
    }
    if !(o.smoothing > 0.0 && o.smoothing.is_finite()) {
        return refuse("smoothing", o.smoothing.to_string(), "above 0");
    }
    Ok(())
}

/// A target made ready.
struct Learnable {
    /// Numbers; for a classification, numbers of classes.
    target: Vec<f64>,
    /// Classes in order; empty for a regression.
    classes: Vec<Arc<str>>,
    loss: Loss,
}

fn read_target(target: &Target, task: Task, options: &Options) -> Result<Learnable, TrainError> {
    if let Target::Numeric(values) = target
        && let Some(row) = values.iter().position(|v| !v.is_finite())
    {
        let count = values.iter().filter(|v| !v.is_finite()).count();
        return Err(TrainError::TargetValue { row, value: values[row].to_string(), count });
    }
    if task == Task::Regression {
        let Target::Numeric(values) = target else { return Err(TrainError::TargetKind) };
        let loss = Loss::regression(options.objective);
        return Ok(Learnable { target: values.clone(), classes: Vec::new(), loss });
    }
    let labels = labels(target);
    if let Some(row) = labels.iter().position(|l| l.is_empty()) {
        let count = labels.iter().filter(|l| l.is_empty()).count();
        return Err(TrainError::TargetValue { row, value: "empty".into(), count });
    }
    let mut classes = labels.clone();
    classes.sort_unstable();
    classes.dedup();
    let (fits, expected) = match task {
        Task::Binary => (classes.len() == 2, "exactly 2"),
        // Also two: of a task of several classes, a part of the rows may hold no more.
        _ => ((2..=MAX_CLASSES).contains(&classes.len()), "2 to 100"),
    };
    if !fits {
        let examples = classes.iter().take(5).map(|c| c.to_string()).collect();
        return Err(TrainError::Classes { found: classes.len(), expected, examples });
    }
    let target = labels.iter().map(|l| classes.partition_point(|c| c < l) as f64).collect();
    let loss = Loss::Log(classes.len());
    Ok(Learnable { target, classes, loss })
}

/// Class names; a whole number is written without a decimal point.
fn labels(target: &Target) -> Vec<Arc<str>> {
    match target {
        Target::Numeric(v) => v.iter().map(|x| x.to_string().into()).collect(),
        Target::Labels(v) => v.iter().map(|l| l.as_str().into()).collect(),
    }
}

fn importances(ensemble: &Ensemble, owner: &[usize], columns: &[(Name, Column)]) -> Vec<(String, f64)> {
    let total: f64 = ensemble.gains.iter().sum();
    let mut shares = vec![0.0; columns.len()];
    for (&column, gain) in owner.iter().zip(&ensemble.gains) {
        shares[column] += if total > 0.0 { gain / total } else { 0.0 };
    }
    columns.iter().map(|(name, _)| name.to_string()).zip(shares).collect()
}

fn evaluate(scorer: &Scorer, holdout: &TrainTable) -> Result<Metrics, TrainError> {
    let rows = holdout.features.rows();
    if holdout.target.len() != rows {
        return Err(TrainError::TargetLength { found: holdout.target.len(), expected: rows });
    }
    let scores = scorer.score(&holdout.features).map_err(|e| TrainError::Export(e.to_string()))?;
    match (scores, &holdout.target) {
        (Scores::Regression(predicted), Target::Numeric(truth)) => Ok(metrics::regression(truth, &predicted)),
        (Scores::Regression(_), Target::Labels(_)) => Err(TrainError::TargetKind),
        (Scores::Classification { labels: predicted, classes, probabilities }, target) => {
            Ok(metrics::classification(&labels(target), &predicted, &classes, &probabilities))
        }
    }
}
