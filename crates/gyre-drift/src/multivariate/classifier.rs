//! The domain classifier: can a learner tell the tables apart?
//!
//! Boosted trees learn on one half of the rows from which table a row comes, and are asked about the other half. If both tables
//! are of one distribution, their area under the ROC curve there is 0.5 but for luck, whatever they learned.

use std::sync::Arc;

use gyre_baseline::{Options as Training, Target, Task, TrainTable, train};
use gyre_runtime::{Column, Model, Scorer, Scores, Table};
use gyre_stats::performance::{Estimate, auc, p_above_reference, student_interval};

use super::rows::{Cells, Sampled};
use super::{Look, Options, Telling, shuffled};

/// Columns whose part is told.
const MOST_TELLING: usize = 20;

/// So many degrees of freedom that Student's t is the normal distribution.
const MANY: u64 = 1_000_000_000;

/// Small trees of several columns: a relation of two needs two splits.
fn training(seed: u64) -> Training {
    Training { seed, rounds: 80, leaves: 12, leaf_rows: 40, ..Training::default() }
}

/// Trains on half of the rows and judges on the other. None when nothing can be learned, as where all columns are constant.
pub(super) fn tell_apart(
    before: &Sampled,
    after: &Sampled,
    options: &Options,
) -> Option<(Look, Vec<Telling>)> {
    let half = |rows: usize, seed| {
        let mut order = shuffled(rows, seed);
        let judged = order.split_off(rows / 2);
        (order, judged)
    };
    let (old, old_judged) = half(before.rows(), options.seed.wrapping_add(1));
    let (new, new_judged) = half(after.rows(), options.seed.wrapping_add(2));
    let features = table(before, &old, after, &new)?;
    let target = of_current(old.len(), new.len());
    let labels = target.iter().map(|current| f64::from(u8::from(*current))).collect();
    let learned = train(
        &TrainTable { features, target: Target::Numeric(labels) },
        Task::Binary,
        &training(options.seed),
        None,
    )
    .ok()?;
    let scorer = Scorer::new(Model::load(&learned.onnx).ok()?).ok()?;
    let judged = table(before, &old_judged, after, &new_judged)?;
    let truth = of_current(old_judged.len(), new_judged.len());
    let found = area(&scorer, &judged, &truth)?;
    let telling = telling(&scorer, &judged, &truth, found.value, &learned.importances, options.seed);
    let error = found.standard_error?;
    // DeLong's error is of so many pairs that the statistic is normal. Where all scores are alike, nothing was told apart.
    let p_value = p_above_reference((found.value, error), MANY, (0.5, 0.0)).filter(|_| error > 0.0);
    let p_value = p_value.unwrap_or(if found.value > 0.5 { 0.0 } else { 1.0 });
    let interval = student_interval(found.value, error, MANY as f64, 0.95);
    let look = Look {
        name: "domain_classifier",
        value: found.value,
        interval: Some(interval),
        p_value,
        adjusted_p_value: p_value,
    };
    Some((look, telling))
}

fn of_current(before: usize, after: usize) -> Vec<bool> {
    (0..before + after).map(|row| row >= before).collect()
}

/// Some rows of both tables, those of the reference first.
fn table(before: &Sampled, old: &[usize], after: &Sampled, new: &[usize]) -> Option<Table> {
    let columns = before.columns.iter().zip(&after.columns).map(|((name, old_cells), (_, new_cells))| {
        let column = match (old_cells.take(old), new_cells.take(new)) {
            (Cells::Numbers(mut numbers), Cells::Numbers(more)) => {
                numbers.extend(more);
                Column::Numeric(numbers)
            }
            (Cells::Names(mut names), Cells::Names(more)) => {
                names.extend(more);
                Column::Text(names)
            }
            // Both were read as the same kind.
            (_, more) => Column::Numeric(vec![f64::NAN; old.len() + more.len()]),
        };
        (name.as_str(), column)
    });
    Table::new(columns).ok()
}

fn area(scorer: &Scorer, rows: &Table, truth: &[bool]) -> Option<Estimate> {
    let Scores::Classification { classes, probabilities, .. } = scorer.score(rows).ok()? else { return None };
    let at = classes.iter().position(|class| **class == *"1")?;
    let scores: Vec<f64> = probabilities.iter().skip(at).step_by(classes.len().max(1)).copied().collect();
    auc(&scores, truth).ok()?
}

/// What each column is worth: how much less is told when its values are shuffled among the rows.
fn telling(
    scorer: &Scorer,
    judged: &Table,
    truth: &[bool],
    whole: f64,
    gains: &[(String, f64)],
    seed: u64,
) -> Vec<Telling> {
    let order = shuffled(judged.rows(), seed.wrapping_add(3));
    let mut found: Vec<Telling> = gains
        .iter()
        .filter(|(_, gain)| *gain > 0.0)
        .filter_map(|(name, gain)| {
            let columns = judged.columns().iter().map(|(of, column)| {
                (of.clone(), if **of == **name { reordered(column, &order) } else { column.clone() })
            });
            let without = area(scorer, &Table::new(columns).ok()?, truth)?.value;
            Some(Telling { column: name.clone(), auc_drop: whole - without, gain: *gain })
        })
        .collect();
    found.sort_by(|a, b| b.auc_drop.total_cmp(&a.auc_drop).then_with(|| a.column.cmp(&b.column)));
    found.truncate(MOST_TELLING);
    found
}

fn reordered(column: &Column, order: &[usize]) -> Column {
    match column {
        Column::Numeric(numbers) => {
            Column::Numeric(order.iter().map(|row| numbers.get(*row).copied().unwrap_or(f64::NAN)).collect())
        }
        Column::Text(names) => {
            let name = |row: &usize| -> Option<Arc<str>> { names.get(*row)?.clone() };
            Column::Text(order.iter().map(name).collect())
        }
    }
}
