//! From trees as files tell them to the arrays that are walked.

use std::collections::{BTreeMap, VecDeque};

use super::ranks::{Rank, Ranks};
use super::walk::{Exclusion, Leaves, Node, Root, SMALL, Special, Table, Trees};
use super::{Comparison, Missing, RawNode, RawTree, Test};
use crate::error::Problem;

/// Above this, indices of nodes and features are refused.
const MOST: usize = (1 << 31) - 1;

/// A node whose threshold and column are not ranks yet.
struct Draft {
    /// `None` for a leaf; for a split, the threshold (NaN: only missing values go right) and the view.
    split: Option<(f64, u32, Missing)>,
    left: u32,
}

/// Trees half-way: nodes in place, thresholds still numbers.
pub(super) struct Layout {
    drafts: Vec<Draft>,
    roots: Vec<Root>,
    leaves: Leaves,
    special: Vec<u32>,
    tests: Vec<Special>,
    cover: Vec<f32>,
    features: usize,
    /// Thresholds of each feature, and how nodes treat its missing values.
    seen: BTreeMap<u32, (Vec<f64>, Vec<Missing>)>,
}

impl Layout {
    pub(super) fn new(trees: &[RawTree], targets: usize) -> Result<Layout, Problem> {
        // A tree that speaks of one target only, once in every leaf, adds its leaf's value there.
        let one_target = |tree: &RawTree| {
            let mut target = None;
            tree.nodes.iter().all(|node| match node {
                RawNode::Split { .. } => true,
                RawNode::Leaf { weights } => match weights.as_slice() {
                    [(t, _)] => *target.get_or_insert(*t) == *t,
                    _ => false,
                },
            })
        };
        let scalar = trees.iter().all(one_target);
        let known =
            |tree: &RawTree| tree.cover.len() == tree.nodes.len() && tree.cover.iter().all(|c| *c >= 0.0);
        let covered = !trees.is_empty() && trees.iter().all(known);
        let mut layout = Layout {
            drafts: Vec::new(),
            roots: Vec::with_capacity(trees.len()),
            leaves: if scalar { Leaves::Value(Vec::new()) } else { Leaves::Table(Table::default()) },
            special: Vec::new(),
            tests: Vec::new(),
            cover: Vec::new(),
            features: 0,
            seen: BTreeMap::new(),
        };
        for tree in trees {
            layout.lay_out(tree, targets, covered)?;
        }
        for (thresholds, _) in layout.seen.values_mut() {
            thresholds.sort_by(f64::total_cmp);
            thresholds.dedup();
        }
        if layout.tests.is_empty() {
            layout.special = Vec::new();
        }
        Ok(layout)
    }

    fn lay_out(&mut self, tree: &RawTree, targets: usize, covered: bool) -> Result<(), Problem> {
        let base = index(self.drafts.len())?;
        let mut seen = vec![false; tree.nodes.len()];
        // Breadth first: the upper levels, which every walk visits, lie together.
        let mut queue = VecDeque::from([(tree.root, base, 0u32)]);
        self.reserve(1)?;
        let mut root = Root { node: base, depth: 0, target: 0, special: false, small: (0, 0), first_leaf: 0 };
        while let Some((raw, place, depth)) = queue.pop_front() {
            let at = place as usize;
            match seen.get_mut(raw) {
                Some(seen) if !*seen => *seen = true,
                Some(_) => {
                    return Err(format!(
                        "tree node {raw} is reached twice: the tree has a cycle or shares nodes"
                    ));
                }
                None => return Err(format!("tree node {raw} does not exist")),
            }
            root.depth = root.depth.max(depth);
            if covered {
                self.cover[at] = tree.cover.get(raw).copied().unwrap_or(0.0) as f32;
            }
            match &tree.nodes[raw] {
                RawNode::Leaf { weights } => {
                    if let Some((target, _)) = weights.iter().find(|(target, _)| *target as usize >= targets)
                    {
                        return Err(format!("a leaf speaks of target {target}, there are {targets}"));
                    }
                    match &mut self.leaves {
                        Leaves::Value(values) => {
                            if let Some(&(target, weight)) = weights.first() {
                                root.target = target;
                                values[at] = weight;
                            }
                        }
                        Leaves::Table(table) => table.add(at, weights)?,
                    }
                }
                RawNode::Split { feature, test, missing, yes, no } => {
                    self.features = self.features.max(index(*feature as usize)? as usize + 1);
                    let left = index(self.drafts.len())?;
                    self.reserve(2)?;
                    let (threshold, yes_is_left, special) = ordered(test);
                    let missing = if yes_is_left { *missing } else { mirrored(*missing) };
                    if special {
                        root.special = true;
                        self.special[at] = index(self.tests.len())?;
                        self.tests.push(Special { feature: *feature, missing, test: test.clone() });
                    } else {
                        let (thresholds, views) = self.seen.entry(*feature).or_default();
                        if !threshold.is_nan() {
                            thresholds.push(threshold);
                        }
                        if !views.contains(&missing) {
                            views.push(missing);
                        }
                    }
                    let split = (!special).then_some((threshold, *feature, missing));
                    self.drafts[at] = Draft { split, left };
                    let (first, second) = if yes_is_left { (*yes, *no) } else { (*no, *yes) };
                    queue.push_back((first, left, depth + 1));
                    queue.push_back((second, left + 1, depth + 1));
                }
            }
        }
        self.roots.push(root);
        Ok(())
    }

    fn reserve(&mut self, nodes: usize) -> Result<(), Problem> {
        for _ in 0..nodes {
            let left = index(self.drafts.len())?;
            self.drafts.push(Draft { split: None, left });
            self.special.push(u32::MAX);
            self.cover.push(0.0);
            match &mut self.leaves {
                Leaves::Value(values) => values.push(0.0),
                Leaves::Table(table) => table.number.push(0),
            }
        }
        Ok(())
    }

    /// Whether ranks and columns fit 16 bits.
    pub(super) fn is_narrow(&self) -> bool {
        let views: usize = self.seen.values().map(|(_, views)| views.len()).sum();
        u16::of(views).is_some() && self.seen.values().all(|(t, _)| u16::of(t.len()).is_some())
    }

    pub(super) fn finish<R: Rank>(mut self) -> Result<Trees<R>, Problem> {
        let wide = || "too many thresholds".to_owned();
        let mut columns = BTreeMap::new();
        for (feature, (_, views)) in &self.seen {
            for view in views {
                let column = R::of(columns.len()).ok_or_else(wide)?;
                columns.insert((*feature, *view as u8), column);
            }
        }
        let mut nodes = Vec::with_capacity(self.drafts.len());
        for draft in &self.drafts {
            let leaf = Node { threshold: R::LEAF, column: R::default(), left: draft.left };
            nodes.push(match draft.split {
                None => leaf,
                Some((threshold, feature, missing)) => {
                    let threshold = match self.seen.get(&feature) {
                        Some((thresholds, _)) if !threshold.is_nan() => {
                            R::of(thresholds.partition_point(|&t| t < threshold) + 1).ok_or_else(wide)?
                        }
                        _ => R::RIGHT,
                    };
                    let column = columns.get(&(feature, missing as u8)).copied().unwrap_or_default();
                    Node { threshold, column, left: draft.left }
                }
            });
        }
        if let Leaves::Table(table) = &mut self.leaves {
            table.end()?;
        }
        if self.cover.iter().all(|c| *c == 0.0) {
            self.cover = Vec::new();
        }
        let ranks = Ranks::new(self.seen.into_iter().map(|(f, (t, v))| (f, t, v))).ok_or_else(wide)?;
        let (mut tests_of_small, mut leaves_of_small) = (Vec::new(), Vec::new());
        let ends: Vec<u32> = self.roots.iter().skip(1).map(|root| root.node).collect();
        let ends = ends.into_iter().chain([index(nodes.len())?]);
        for (root, end) in self.roots.iter_mut().zip(ends) {
            let leaves = (end - root.node) as usize / 2 + 1;
            if root.special || root.depth == 0 || leaves > SMALL {
                continue;
            }
            let from = index(tests_of_small.len())?;
            root.first_leaf = index(leaves_of_small.len())?;
            small(&nodes, root.node, &mut tests_of_small, &mut leaves_of_small, root.first_leaf);
            root.small = (from, index(tests_of_small.len())?);
        }
        Ok(Trees {
            nodes,
            tests_of_small,
            leaves_of_small,
            roots: self.roots,
            leaves: self.leaves,
            ranks,
            special: self.special,
            tests: self.tests,
            cover: self.cover,
            features: self.features,
        })
    }
}

/// Writes down what is below a node of a small tree; recursive, as deep as it has leaves at most.
fn small<R: Rank>(
    nodes: &[Node<R>],
    at: u32,
    tests: &mut Vec<Exclusion<R>>,
    leaves: &mut Vec<u32>,
    first_leaf: u32,
) {
    let Node { threshold, column, left } = nodes[at as usize];
    if left == at {
        leaves.push(at);
        return;
    }
    let test = tests.len();
    tests.push(Exclusion { threshold, column, keep: u32::MAX });
    let from = leaves.len() - first_leaf as usize;
    small(nodes, left, tests, leaves, first_leaf);
    for leaf in from..leaves.len() - first_leaf as usize {
        tests[test].keep &= !(1 << leaf);
    }
    small(nodes, left + 1, tests, leaves, first_leaf);
}

impl Table {
    fn add(&mut self, node: usize, weights: &[(u32, f64)]) -> Result<(), Problem> {
        self.number[node] = index(self.start.len())?;
        self.start.push(index(self.weights.len())?);
        self.weights.extend_from_slice(weights);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Problem> {
        self.start.push(index(self.weights.len())?);
        Ok(())
    }
}

fn index(n: usize) -> Result<u32, Problem> {
    u32::try_from(n).ok().filter(|_| n < MOST).ok_or_else(|| "too many tree nodes or features".to_owned())
}

fn mirrored(missing: Missing) -> Missing {
    match missing {
        Missing::Yes => Missing::No,
        Missing::No => Missing::Yes,
        Missing::IsZero => Missing::IsZero,
        Missing::ZeroYes => Missing::ZeroNo,
        Missing::ZeroNo => Missing::ZeroYes,
    }
}

/// Rewrites a test as "left when below the threshold": the new threshold, whether a test that holds goes left, and
/// whether that cannot be done. Exact for every float: `x ≤ t` is `x < next(t)`.
fn ordered(test: &Test) -> (f64, bool, bool) {
    let Test::Compare(comparison, threshold) = *test else { return (f64::NAN, true, true) };
    // Never true: NaN sends all left, −∞ sends all right.
    let above = |t: f64| if t == f64::INFINITY { f64::NAN } else { t.next_up() };
    match comparison {
        Comparison::LessOrEqual | Comparison::Less if threshold.is_nan() => (f64::NEG_INFINITY, true, false),
        Comparison::LessOrEqual => (above(threshold), true, false),
        Comparison::Less => (threshold, true, false),
        Comparison::GreaterOrEqual => (threshold, false, false),
        Comparison::Greater if threshold.is_nan() => (f64::NAN, false, false),
        Comparison::Greater => (above(threshold), false, false),
        Comparison::Equal | Comparison::NotEqual => (threshold, true, true),
    }
}
