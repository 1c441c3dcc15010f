//! scikit-learn's decision trees, and the ensembles of them.

use super::labels::classes;
use super::node::Node;
use super::{REMEDY, estimators::Parts};
use crate::error::{Problem, Unread};
use crate::forest::{Aggregate, Comparison, Forest, Missing, RawNode, RawTree, Test};
use crate::limits::Limits;
use crate::native::steps::Step;
use crate::native::{Learner, Link};

/// What the values of a tree's leaves are.
#[derive(Clone, Copy)]
enum Says {
    /// One number, times this, for a target.
    Number { target: u32, times: f64 },
    /// Shares of this many classes.
    Shares(usize),
}

/// A tree alone, or a forest of them, whose answers are averaged.
pub(super) fn forest(estimator: Node<'_>, trees: &[Node<'_>]) -> Result<Parts, Unread> {
    if estimator.get("n_outputs_")?.as_index() != Some(1) {
        return Err(Unread::unsupported(format!("a {} with several outputs", estimator.class()), REMEDY));
    }
    let (classes, says, link) = if estimator.class().ends_with("Classifier") {
        let classes = classes(estimator)?;
        let says = Says::Shares(classes.len());
        (classes, says, Link::Probabilities)
    } else {
        (Vec::new(), Says::Number { target: 0, times: 1.0 }, Link::Identity)
    };
    let targets = classes.len().max(1);
    if targets > Limits::DEFAULT.targets {
        return Err(Unread::TooLarge { what: "classes", found: targets, limit: Limits::DEFAULT.targets });
    }
    let mut room = Limits::DEFAULT.tree_nodes;
    let features = estimator.get("n_features_in_")?.as_index().unwrap_or(0);
    let raw = trees.iter().map(|t| tree(*t, says, features, &mut room)).collect::<Result<Vec<_>, _>>()?;
    Ok(Parts {
        steps: vec![Step::Single],
        learner: learner(&raw, targets, Aggregate::Average)?,
        offsets: vec![0.0; targets],
        link,
        classes,
    })
}

/// Trees that add up, on top of what a dummy says.
pub(super) fn boosting(estimator: Node<'_>) -> Result<Parts, Unread> {
    let classifier = estimator.class().ends_with("Classifier");
    let classes = if classifier { classes(estimator)? } else { Vec::new() };
    let targets = if classes.len() > 2 { classes.len() } else { 1 };
    let rate = estimator.get("learning_rate")?.as_number().unwrap_or(f64::NAN);
    let features = estimator.get("n_features_in_")?.as_index().unwrap_or(0);
    let mut room = Limits::DEFAULT.tree_nodes;
    let mut raw = Vec::new();
    for round in estimator.get("estimators_")?.items()? {
        let round = round.items()?;
        if round.len() != targets {
            let problem = format!("has {} trees in a round, expected {targets}", round.len());
            return Err(Unread::broken(format!("{}.estimators_", estimator.class()), problem));
        }
        for (target, node) in round.into_iter().enumerate() {
            let says = Says::Number { target: target as u32, times: rate };
            raw.push(tree(node, says, features, &mut room)?);
        }
    }
    let loss = estimator.setting("loss");
    let exponential = loss == "exponential";
    let link = match (classifier, targets) {
        (false, _) => Link::Identity,
        (true, 1) => Link::Binary(if exponential { 2.0 } else { 1.0 }),
        (true, _) => Link::Softmax,
    };
    let offsets = initial(estimator, targets, exponential)?;
    Ok(Parts {
        steps: vec![Step::Finite, Step::Single],
        learner: learner(&raw, targets, Aggregate::Sum)?,
        offsets,
        link,
        classes,
    })
}

/// Margins before the first tree.
fn initial(estimator: Node<'_>, targets: usize, exponential: bool) -> Result<Vec<f64>, Unread> {
    let Some(init) = estimator.optional("init_") else { return Ok(vec![0.0; targets]) };
    if init.as_text().is_some_and(|text| text == "zero") {
        return Ok(vec![0.0; targets]);
    }
    match init.class() {
        "DummyRegressor" if init.is_sklearn() => init.numbers("constant_").map(|mut constant| {
            constant.truncate(targets);
            constant
        }),
        "DummyClassifier" if init.is_sklearn() && init.setting("_strategy") == "prior" => {
            // Kept off zero and one by single precision's step, as scikit-learn does.
            let edge = f64::from(f32::EPSILON);
            let prior: Vec<f64> =
                init.numbers("class_prior_")?.iter().map(|p| p.clamp(edge, 1.0 - edge)).collect();
            Ok(match prior.as_slice() {
                [_, p] if targets == 1 => vec![(p / (1.0 - p)).ln() * if exponential { 0.5 } else { 1.0 }],
                many => {
                    let mean = many.iter().map(|p| p.ln()).sum::<f64>() / many.len().max(1) as f64;
                    many.iter().map(|p| p.ln() - mean).collect()
                }
            })
        }
        _ => Err(Unread::unsupported(format!("an initial {}", init.class()), REMEDY)),
    }
    .and_then(|offsets| {
        if offsets.len() == targets {
            Ok(offsets)
        } else {
            Err(Unread::broken("init_", format!("says {} numbers, expected {targets}", offsets.len())))
        }
    })
}

pub(super) fn learner(raw: &[RawTree], targets: usize, aggregate: Aggregate) -> Result<Learner, Unread> {
    let forest = Forest::new(raw, targets).map_err(|e| Unread::broken("trees", e))?;
    Ok(Learner::Forest { forest: Box::new(forest), aggregate })
}

/// One fitted tree. `room` is how many more numbers all trees may hold.
fn tree(estimator: Node<'_>, says: Says, features: usize, room: &mut usize) -> Result<RawTree, Unread> {
    let place = || format!("{}.tree_", estimator.class());
    let tree = estimator.get("tree_")?;
    let (nodes, values) = (tree.get("nodes")?.array()?, tree.get("values")?.array()?);
    read(&nodes, &values, says, features, room).map_err(|problem| Unread::broken(place(), problem))
}

fn read(
    nodes: &super::npy::Array,
    values: &super::npy::Array,
    says: Says,
    features: usize,
    room: &mut usize,
) -> Result<RawTree, Problem> {
    let records = nodes.records()?;
    let count = records.len();
    let width = match says {
        Says::Number { .. } => 1,
        Says::Shares(classes) => classes,
    };
    let values = values.numbers()?;
    if count.checked_mul(width) != Some(values.len()) {
        return Err(format!("has {} values for {count} nodes", values.len()));
    }
    *room = room.checked_sub(values.len()).ok_or("the trees have too many nodes")?;
    let (left, right) = (records.field("left_child")?, records.field("right_child")?);
    let (feature, threshold) = (records.field("feature")?, records.field("threshold")?);
    // Since 1.3.
    let missing_left = records.field("missing_go_to_left").unwrap_or_else(|_| vec![0.0; count]);
    let cover = records.field("weighted_n_node_samples").unwrap_or_default();
    let mut raw = Vec::with_capacity(count);
    for (i, value) in values.chunks_exact(width).enumerate() {
        if left[i] < 0.0 {
            let weights = match says {
                Says::Number { target, times } => vec![(target, value[0] * times)],
                Says::Shares(_) => {
                    // Counts, before 1.3.
                    let sum: f64 = value.iter().sum();
                    let sum = if sum > 0.0 { sum } else { 1.0 };
                    value.iter().enumerate().map(|(class, v)| (class as u32, v / sum)).collect()
                }
            };
            raw.push(RawNode::Leaf { weights });
            continue;
        }
        if !(feature[i] >= 0.0 && feature[i] < features as f64) {
            return Err(format!("node {i} looks at feature {}, there are {features}", feature[i]));
        }
        raw.push(RawNode::Split {
            feature: feature[i] as u32,
            test: Test::Compare(Comparison::LessOrEqual, threshold[i]),
            missing: if missing_left[i] != 0.0 { Missing::Yes } else { Missing::No },
            yes: left[i] as usize,
            no: right[i] as usize,
        });
    }
    Ok(RawTree { nodes: raw, root: 0, cover })
}
