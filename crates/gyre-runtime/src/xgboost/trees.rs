//! The trees of a document, checked and made ready to be laid out.

use std::collections::HashMap;

use super::document::Tree;
use crate::error::{Problem, Unread};
use crate::forest::{Comparison, Missing, RawNode, RawTree, Test, Words};
use crate::limits::Limits;

/// Which trees count, and what they may speak of.
pub(super) struct Extent<'a> {
    /// Rounds of boosting to take; all when not told.
    pub(super) rounds: Option<usize>,
    /// Number of trees before each round and at the end, in newer files.
    pub(super) ends: &'a [u64],
    /// Trees a round, for files without `ends`.
    pub(super) per_round: usize,
    pub(super) features: usize,
    pub(super) targets: usize,
}

/// Numbers of one category, at most: XGBoost's own bound.
const MOST_CATEGORIES: u32 = 1 << 24;

/// Brings trees into the form of the engine. `info` tells each one's group, `drop` its weight, in DART.
pub(super) fn read(
    trees: &[Tree],
    info: &[u32],
    drop: &[f32],
    extent: Extent<'_>,
) -> Result<Vec<RawTree>, Unread> {
    if trees.len() != info.len() {
        return Err(Unread::broken("tree_info", format!("{} entries for {} trees", info.len(), trees.len())));
    }
    if !drop.is_empty() && drop.len() != trees.len() {
        return Err(Unread::broken(
            "weight_drop",
            format!("{} entries for {} trees", drop.len(), trees.len()),
        ));
    }
    let nodes: usize = trees.iter().map(|tree| tree.left_children.len()).sum();
    if nodes > Limits::DEFAULT.tree_nodes {
        return Err(Unread::TooLarge { what: "tree nodes", found: nodes, limit: Limits::DEFAULT.tree_nodes });
    }
    let taken = match extent.rounds {
        None => trees.len(),
        Some(rounds) => match extent.ends.get(rounds) {
            Some(end) => usize::try_from(*end).unwrap_or(usize::MAX),
            None => rounds.saturating_mul(extent.per_round),
        },
    };
    let mut words = Limits::DEFAULT.tree_nodes;
    let mut raw = Vec::with_capacity(trees.len().min(taken));
    for (i, (tree, group)) in trees.iter().zip(info).take(taken).enumerate() {
        let broken = |problem| Unread::broken(format!("trees[{i}]"), problem);
        if tree.tree_param.size_leaf_vector.as_deref().is_some_and(|size| size != "1" && size != "0") {
            return Err(Unread::unsupported(
                "a tree with several numbers a leaf",
                "train with multi_strategy=\"one_output_per_tree\"",
            ));
        }
        if *group as usize >= extent.targets {
            return Err(broken(format!("belongs to group {group}, there are {}", extent.targets)));
        }
        let weight = drop.get(i).map_or(1.0, |weight| f64::from(*weight));
        raw.push(one(tree, *group, weight, extent.features, &mut words).map_err(broken)?);
    }
    Ok(raw)
}

fn one(tree: &Tree, group: u32, weight: f64, features: usize, room: &mut usize) -> Result<RawTree, Problem> {
    let count = tree.left_children.len();
    for (name, found) in [
        ("right_children", tree.right_children.len()),
        ("split_indices", tree.split_indices.len()),
        ("split_conditions", tree.split_conditions.len()),
        ("default_left", tree.default_left.0.len()),
    ] {
        if found != count {
            return Err(format!("{name} has {found} entries for {count} nodes"));
        }
    }
    if !tree.split_type.is_empty() && tree.split_type.len() != count {
        return Err(format!("split_type has {} entries for {count} nodes", tree.split_type.len()));
    }
    let mut sets = sets(tree, room)?;
    let mut nodes = Vec::with_capacity(count);
    for i in 0..count {
        let condition = tree.split_conditions[i];
        if tree.left_children[i] < 0 {
            // Weighed in single precision, as it is there.
            nodes.push(RawNode::Leaf { weights: vec![(group, f64::from(condition * weight as f32))] });
            continue;
        }
        let child = |child: i32| usize::try_from(child).map_err(|_| format!("node {i} has one child only"));
        let (left, right) = (child(tree.left_children[i])?, child(tree.right_children[i])?);
        let feature = tree.split_indices[i];
        if feature as usize >= features {
            return Err(format!("node {i} looks at feature {feature}, there are {features}"));
        }
        let goes_left = tree.default_left.0[i];
        nodes.push(if tree.split_type.get(i).is_some_and(|kind| *kind == 1) {
            let set = sets.remove(&i).ok_or_else(|| format!("node {i} has no categories"))?;
            RawNode::Split {
                feature,
                // What is in the set goes right; what is not, or was never seen, left.
                test: Test::Member { set, known: None, stranger: false },
                missing: if goes_left { Missing::No } else { Missing::Yes },
                yes: right,
                no: left,
            }
        } else {
            RawNode::Split {
                feature,
                test: Test::Compare(Comparison::Less, f64::from(condition)),
                missing: if goes_left { Missing::Yes } else { Missing::No },
                yes: left,
                no: right,
            }
        });
    }
    let cover = tree.sum_hessian.iter().map(|cover| f64::from(*cover)).collect();
    Ok(RawTree { nodes, root: 0, cover })
}

/// The set of each split by category, by node. `room` is how many more words and entries all sets may have.
fn sets(tree: &Tree, room: &mut usize) -> Result<HashMap<usize, Words>, Problem> {
    let count = tree.categories_nodes.len();
    if tree.categories_segments.len() != count || tree.categories_sizes.len() != count {
        return Err("categories_segments and categories_sizes do not match categories_nodes".into());
    }
    let mut sets = HashMap::with_capacity(count);
    for i in 0..count {
        let range = usize::try_from(tree.categories_segments[i]).ok().and_then(|from| {
            let size = usize::try_from(tree.categories_sizes[i]).ok()?;
            Some(from..from.checked_add(size)?)
        });
        let categories = range
            .and_then(|range| tree.categories.get(range))
            .ok_or_else(|| format!("categories_segments[{i}] is outside the categories"))?;
        let last = categories.iter().copied().max().unwrap_or(0);
        let length = (last / 32) as usize + 1;
        if last >= MOST_CATEGORIES || length + categories.len() > *room {
            return Err(format!("category {last} is too large, or the sets are too many"));
        }
        *room -= length + categories.len();
        let mut words = vec![0u32; length];
        for category in categories {
            words[(category / 32) as usize] |= 1 << (category % 32);
        }
        sets.insert(tree.categories_nodes[i] as usize, words.into());
    }
    Ok(sets)
}
