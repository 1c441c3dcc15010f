//! `TreeEnsembleRegressor` and `TreeEnsembleClassifier`: reads the attribute lists (one entry a node, keyed by tree and
//! node number) into a [`Forest`].

use std::collections::HashMap;
use std::sync::Arc;

use super::transform::{Transform, logistic};
use super::{Context, Kernel, operand};
use crate::error::Problem;
use crate::forest::{Aggregate, Comparison, Forest, Missing, RawNode, RawTree, RowMajor, Test};
use crate::limits::Limits;
use crate::tensor::{Data, Shape, Tensor, checked_elements};

/// Names of the attributes that carry the leaves' weights, which differ between the two operators.
struct WeightNames {
    ids: &'static str,
    nodes: &'static str,
    trees: &'static str,
    weights: &'static str,
}

const REGRESSOR: WeightNames = WeightNames {
    ids: "target_ids",
    nodes: "target_nodeids",
    trees: "target_treeids",
    weights: "target_weights",
};
const CLASSIFIER: WeightNames = WeightNames {
    ids: "class_ids",
    nodes: "class_nodeids",
    trees: "class_treeids",
    weights: "class_weights",
};

type Trees = Vec<RawTree>;

fn read_trees(cx: &Context<'_>, names: &WeightNames, targets: usize) -> Result<Trees, Problem> {
    let a = &cx.attributes;
    let tree_ids = a.ints("nodes_treeids");
    let count = tree_ids.len();
    if count > Limits::DEFAULT.tree_nodes {
        return Err(format!("{count} tree nodes, the limit is {}", Limits::DEFAULT.tree_nodes));
    }
    if targets > Limits::DEFAULT.targets {
        return Err(format!("{targets} targets, the limit is {}", Limits::DEFAULT.targets));
    }
    let node_ids = list(a.ints("nodes_nodeids"), count, "nodes_nodeids")?;
    let features = list(a.ints("nodes_featureids"), count, "nodes_featureids")?;
    let yes = list(a.ints("nodes_truenodeids"), count, "nodes_truenodeids")?;
    let no = list(a.ints("nodes_falsenodeids"), count, "nodes_falsenodeids")?;
    let modes = a.texts("nodes_modes")?;
    let modes = list(&modes, count, "nodes_modes")?;
    let values = a.floats_or_tensor("nodes_values")?;
    let values = list(&values, count, "nodes_values")?;
    let missing = a.ints("nodes_missing_value_tracks_true");
    let missing =
        if missing.is_empty() { missing } else { list(missing, count, "nodes_missing_value_tracks_true")? };

    // Where each node is: its tree, in order of appearance, and its place there.
    let mut trees: Trees = Vec::new();
    let mut tree_of: HashMap<i64, usize> = HashMap::new();
    let mut place: HashMap<(i64, i64), (usize, usize)> = HashMap::with_capacity(count);
    for (&tree_id, &node_id) in tree_ids.iter().zip(node_ids) {
        let tree = *tree_of.entry(tree_id).or_insert_with(|| {
            trees.push(RawTree::default());
            trees.len() - 1
        });
        let nodes = &mut trees[tree].nodes;
        if place.insert((tree_id, node_id), (tree, nodes.len())).is_some() {
            return Err(format!("tree {tree_id} has two nodes {node_id}"));
        }
        nodes.push(RawNode::Leaf { weights: Vec::new() });
    }
    for i in 0..count {
        let Some(comparison) = comparison(&modes[i])? else { continue };
        let find = |id: i64| {
            place.get(&(tree_ids[i], id)).map(|&(_, node)| node).ok_or_else(|| {
                format!("tree {} node {} points to node {id}, which does not exist", tree_ids[i], node_ids[i])
            })
        };
        let feature = u32::try_from(features[i]).map_err(|_| {
            format!("tree {} node {} looks at feature {}", tree_ids[i], node_ids[i], features[i])
        })?;
        let split = RawNode::Split {
            feature,
            test: Test::Compare(comparison, values[i].into()),
            // A missing value is unequal to everything, so that this comparison holds without being told.
            missing: if comparison == Comparison::NotEqual || missing.get(i).is_some_and(|&m| m != 0) {
                Missing::Yes
            } else {
                Missing::No
            },
            yes: find(yes[i])?,
            no: find(no[i])?,
        };
        if let Some(&(tree, node)) = place.get(&(tree_ids[i], node_ids[i])) {
            trees[tree].nodes[node] = split;
        }
    }

    let ids = a.ints(names.ids);
    let leaf_nodes = list(a.ints(names.nodes), ids.len(), names.nodes)?;
    let leaf_trees = list(a.ints(names.trees), ids.len(), names.trees)?;
    let weights = a.floats_or_tensor(names.weights)?;
    let weights = list(&weights, ids.len(), names.weights)?;
    for (((&id, &node), &tree), &weight) in ids.iter().zip(leaf_nodes).zip(leaf_trees).zip(weights) {
        let target = u32::try_from(id)
            .ok()
            .filter(|&t| (t as usize) < targets)
            .ok_or_else(|| format!("{} {id} is outside 0..{targets}", names.ids))?;
        let &(t, n) = place
            .get(&(tree, node))
            .ok_or_else(|| format!("a weight belongs to tree {tree} node {node}, which does not exist"))?;
        // A weight on an inner node is never reached; runtimes ignore it.
        if let RawNode::Leaf { weights } = &mut trees[t].nodes[n] {
            weights.push((target, weight.into()));
        }
    }
    Ok(trees)
}

fn list<'a, T>(values: &'a [T], count: usize, name: &str) -> Result<&'a [T], Problem> {
    if values.len() == count {
        Ok(values)
    } else {
        Err(format!("{name} has {} entries, expected {count}", values.len()))
    }
}

/// The comparison of a mode; `None` for a leaf.
fn comparison(mode: &str) -> Result<Option<Comparison>, Problem> {
    Ok(Some(match mode {
        "LEAF" => return Ok(None),
        "BRANCH_LEQ" => Comparison::LessOrEqual,
        "BRANCH_LT" => Comparison::Less,
        "BRANCH_GTE" => Comparison::GreaterOrEqual,
        "BRANCH_GT" => Comparison::Greater,
        "BRANCH_EQ" => Comparison::Equal,
        "BRANCH_NEQ" => Comparison::NotEqual,
        other => {
            return Err(format!("nodes_modes has {other:?}, expected LEAF or BRANCH_LEQ|LT|GTE|GT|EQ|NEQ"));
        }
    }))
}

/// `TreeEnsembleRegressor` (ai.onnx.ml 1, 3).
pub(super) fn regressor(cx: &Context<'_>) -> Result<Kernel, Problem> {
    let a = &cx.attributes;
    let targets =
        usize::try_from(a.int("n_targets", 1)).ok().filter(|&n| n > 0).ok_or("n_targets must be positive")?;
    let forest = Forest::new(&read_trees(cx, &REGRESSOR, targets)?, targets)?;
    let aggregate = match &*a.text("aggregate_function", "SUM")? {
        "SUM" => Aggregate::Sum,
        "AVERAGE" => Aggregate::Average,
        "MIN" => Aggregate::Min,
        "MAX" => Aggregate::Max,
        other => return Err(format!("aggregate_function {other:?} is not one of SUM, AVERAGE, MIN, MAX")),
    };
    let base = a.floats_or_tensor("base_values")?;
    if !base.is_empty() && base.len() != targets {
        return Err(format!("base_values has {} entries, expected {targets}", base.len()));
    }
    let transform = Transform::read(a)?;
    Ok(Box::new(move |operands| {
        let x = operand(operands, 0)?;
        let (rows, columns) = x.rows_columns();
        checked_elements(Shape::matrix(rows, targets))?;
        let mut scores = forest.score(RowMajor { values: &x.to_f32()?, columns }, aggregate)?;
        for row in scores.chunks_exact_mut(forest.targets()) {
            row.iter_mut().zip(&base).for_each(|(s, &b)| *s += f64::from(b));
            transform.apply(row);
        }
        let data = Data::F32(scores.into_iter().map(|s| s as f32).collect());
        Ok(vec![Tensor::made(Shape::matrix(rows, targets), data)?])
    }))
}

/// Labels of a classifier: integers or text.
pub(super) enum Labels {
    Ints(Vec<i64>),
    Texts(Vec<Arc<str>>),
}

impl Labels {
    /// Reads `classlabels_strings`, or the integer labels under `ints`.
    pub(super) fn read(cx: &Context<'_>, ints: &str) -> Result<Labels, Problem> {
        let texts = cx.attributes.texts("classlabels_strings")?;
        if texts.is_empty() {
            Ok(Labels::Ints(cx.attributes.ints(ints).to_vec()))
        } else {
            Ok(Labels::Texts(texts))
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Labels::Ints(v) => v.len(),
            Labels::Texts(v) => v.len(),
        }
    }

    /// The labels at these indices, which the caller keeps inside.
    pub(super) fn pick(&self, indices: &[usize]) -> Data {
        match self {
            Labels::Ints(v) => Data::I64(indices.iter().map(|&i| v[i]).collect()),
            Labels::Texts(v) => Data::Str(indices.iter().map(|&i| Arc::clone(&v[i])).collect()),
        }
    }
}

/// Index of the greatest score, the first of equals.
pub(crate) fn arg_max(scores: &[f64]) -> usize {
    let mut best = 0;
    for (i, s) in scores.iter().enumerate() {
        if *s > scores[best] {
            best = i;
        }
    }
    best
}

/// `TreeEnsembleClassifier` (ai.onnx.ml 1, 3).
///
/// With two classes and weights for one of them only, that score decides: above one half when all weights are
/// non-negative (a probability), above zero otherwise (a logit). When it is the first id that has the weights, as
/// scikit-learn's exporter writes it, the score is the second class's and the first gets the complement. That is what
/// onnxruntime does; the specification does not say. Otherwise the class with the greatest score is the label, also for
/// two classes that both have weights, where onnxruntime looks at the second score's sign alone and so gives labels that
/// contradict its own probabilities.
pub(super) fn classifier(cx: &Context<'_>) -> Result<Kernel, Problem> {
    let a = &cx.attributes;
    let labels = Labels::read(cx, "classlabels_int64s")?;
    let classes = labels.len();
    if classes == 0 {
        return Err("no class labels".into());
    }
    let mut trees = read_trees(cx, &CLASSIFIER, classes)?;
    let ids = a.ints("class_ids");
    let one_score = classes == 2 && !ids.is_empty() && ids.iter().all(|&id| id == 0);
    let base = a.floats_or_tensor("base_values")?;
    if base.len() > classes {
        return Err(format!("base_values has {} entries for {classes} classes", base.len()));
    }
    let transform = Transform::read(a)?;
    let is_probability = a.floats_or_tensor("class_weights")?.iter().all(|&w| w >= 0.0);
    let positive_above = if is_probability { 0.5 } else { 0.0 };
    if one_score {
        let leaves = trees.iter_mut().flat_map(|tree| &mut tree.nodes);
        for node in leaves {
            if let RawNode::Leaf { weights } = node {
                weights.iter_mut().for_each(|w| w.0 = 0);
            }
        }
        let forest = Forest::new(&trees, 1)?;
        let offset = f64::from(base.last().copied().unwrap_or(0.0));
        return Ok(Box::new(move |operands| {
            let x = operand(operands, 0)?;
            let (rows, columns) = x.rows_columns();
            checked_elements(Shape::matrix(rows, 2))?;
            let scores = forest.score(RowMajor { values: &x.to_f32()?, columns }, Aggregate::Sum)?;
            let mut picked = Vec::with_capacity(rows);
            let mut probabilities = Vec::with_capacity(rows * 2);
            for raw in scores {
                let score = raw + offset;
                picked.push(usize::from(score > positive_above));
                let (other, own) = match transform {
                    Transform::Logistic if !is_probability => (logistic(-score), logistic(score)),
                    Transform::Probit => {
                        let mut p = [score];
                        transform.apply(&mut p);
                        (1.0 - p[0], p[0])
                    }
                    _ if is_probability => (1.0 - score, score),
                    _ => (-score, score),
                };
                probabilities.extend([other as f32, own as f32]);
            }
            answer(&labels, &picked, probabilities, rows, 2)
        }));
    }
    let second_only = classes == 2 && !ids.is_empty() && ids.iter().all(|&id| id == 1);
    let forest = Forest::new(&trees, classes)?;
    Ok(Box::new(move |operands| {
        let x = operand(operands, 0)?;
        let (rows, columns) = x.rows_columns();
        checked_elements(Shape::matrix(rows, classes))?;
        let mut scores = forest.score(RowMajor { values: &x.to_f32()?, columns }, Aggregate::Sum)?;
        let mut picked = Vec::with_capacity(rows);
        for row in scores.chunks_exact_mut(classes) {
            row.iter_mut().zip(&base).for_each(|(s, &b)| *s += f64::from(b));
            picked.push(if second_only { usize::from(row[1] > positive_above) } else { arg_max(row) });
            transform.apply(row);
        }
        answer(&labels, &picked, scores.into_iter().map(|s| s as f32).collect(), rows, classes)
    }))
}

/// The two outputs of a classifier: labels `[n]` and scores `[n, classes]`.
pub(super) fn answer(
    labels: &Labels,
    picked: &[usize],
    scores: Vec<f32>,
    rows: usize,
    classes: usize,
) -> Result<Vec<Tensor>, Problem> {
    Ok(vec![
        Tensor::made(Shape::vector(rows), labels.pick(picked))?,
        Tensor::made(Shape::matrix(rows, classes), Data::F32(scores))?,
    ])
}
