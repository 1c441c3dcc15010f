//! Trees laid out for speed.
//!
//! All trees of an ensemble share one array of 16-byte nodes. The two children of a node lie side by side, so that a
//! step is `left + (x ≥ threshold)`, without a branch to mispredict; a leaf points to itself, so that walks of different
//! lengths can go on together. Eight walks advance at a time (eight rows through one tree, or one row through eight
//! trees), which hides the latency of each one's memory accesses; rows go through in blocks that stay in the first-level
//! cache. The idea is that of QuickScorer's and RapidScorer's interleaving, without their bit vectors.

use crate::error::Problem;

/// Comparison at a node; what ONNX calls its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    LessOrEqual,
    Less,
    GreaterOrEqual,
    Greater,
    Equal,
    NotEqual,
}

/// A tree as the file tells it: nodes in any order, children by index into the same list.
#[derive(Clone, Debug)]
pub(super) enum RawNode {
    Leaf {
        /// `(target, weight)`.
        weights: Vec<(u32, f32)>,
    },
    Split {
        feature: u32,
        threshold: f32,
        comparison: Comparison,
        /// A missing value takes the branch of a comparison that holds.
        missing_is_true: bool,
        yes: usize,
        no: usize,
    },
}

/// Marks in `Node::feature` that a missing value goes to the right child.
const MISSING_RIGHT: u32 = 1 << 31;
/// Walks that advance together.
const LANES: usize = 8;
/// Rows that pass through all trees before the next ones.
const BLOCK: usize = 64;
/// Levels walked between looks at whether all walks have ended.
const STRIDE: u32 = 4;

#[derive(Clone, Copy, Debug)]
struct Node {
    /// Right when the value is at or above; NaN sends everything but missing values left.
    threshold: f32,
    /// Feature, and [`MISSING_RIGHT`].
    feature: u32,
    /// Left child; the right one follows it. A leaf: its own index.
    left: u32,
    /// A leaf: the bits of its only weight, or its number in the table of weights.
    payload: u32,
}

#[derive(Clone, Copy, Debug)]
struct Root {
    node: u32,
    depth: u32,
}

/// Weights of leaves that have several, or for several targets.
#[derive(Debug, Default)]
struct Table {
    /// Where the weights of leaf `i` start; one more at the end.
    start: Vec<u32>,
    weights: Vec<(u32, f32)>,
}

/// How the trees' answers become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

/// An ensemble of trees with `targets` outputs.
#[derive(Debug)]
pub(super) struct Forest {
    nodes: Vec<Node>,
    roots: Vec<Root>,
    targets: usize,
    features: usize,
    /// `None`: one target, one weight in every leaf, held in the node.
    table: Option<Table>,
    /// Comparisons of the nodes, when some are equalities; slower, and rare.
    comparisons: Option<Vec<Comparison>>,
}

impl Forest {
    /// Lays out trees, each a list of nodes with its root's index.
    ///
    /// # Errors
    /// When a node has two parents or is its own ancestor, or an index is outside.
    pub(super) fn new(trees: &[(Vec<RawNode>, usize)], targets: usize) -> Result<Forest, Problem> {
        let all = || trees.iter().flat_map(|(nodes, _)| nodes);
        let single =
            targets == 1 && all().all(|n| !matches!(n, RawNode::Leaf { weights } if weights.len() != 1));
        let equalities = all().any(|n| {
            matches!(n, RawNode::Split { comparison: Comparison::Equal | Comparison::NotEqual, .. })
        });
        let mut forest = Forest {
            nodes: Vec::with_capacity(trees.iter().map(|(n, _)| n.len()).sum()),
            roots: Vec::with_capacity(trees.len()),
            targets,
            features: 0,
            table: (!single).then(Table::default),
            comparisons: equalities.then(Vec::new),
        };
        for (nodes, root) in trees {
            forest.lay_out(nodes, *root)?;
        }
        if let Some(table) = &mut forest.table {
            table.start.push(index(table.weights.len())?);
        }
        Ok(forest)
    }

    fn lay_out(&mut self, tree: &[RawNode], root: usize) -> Result<(), Problem> {
        let base = index(self.nodes.len())?;
        let mut seen = vec![false; tree.len()];
        // Breadth first: the upper levels, which every walk visits, lie together.
        let mut queue = std::collections::VecDeque::from([(root, base, 0u32)]);
        self.reserve();
        let mut deepest = 0;
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
            deepest = deepest.max(depth);
            match &tree[raw] {
                RawNode::Leaf { weights } => {
                    let payload = match (&mut self.table, weights.first()) {
                        (None, Some((_, weight))) => weight.to_bits(),
                        (None, None) => 0,
                        (Some(table), _) => {
                            let leaf = index(table.start.len())?;
                            table.start.push(index(table.weights.len())?);
                            table.weights.extend_from_slice(weights);
                            leaf
                        }
                    };
                    self.nodes[at] = Node { threshold: f32::NAN, feature: 0, left: place, payload };
                }
                RawNode::Split { feature, threshold, comparison, missing_is_true, yes, no } => {
                    let left = index(self.nodes.len())?;
                    self.reserve();
                    self.reserve();
                    let (threshold, yes_is_left) = ordered(*comparison, *threshold);
                    if let Some(comparisons) = &mut self.comparisons {
                        comparisons[at] = *comparison;
                    }
                    if *feature >= MISSING_RIGHT {
                        return Err(format!("feature {feature} is out of range"));
                    }
                    self.features = self.features.max(*feature as usize + 1);
                    // A missing value is unequal to everything, so that this comparison holds without being told.
                    let missing_is_true = *missing_is_true || *comparison == Comparison::NotEqual;
                    let missing_right = missing_is_true != yes_is_left;
                    let feature = feature | if missing_right { MISSING_RIGHT } else { 0 };
                    self.nodes[at] = Node { threshold, feature, left, payload: 0 };
                    let (first, second) = if yes_is_left { (*yes, *no) } else { (*no, *yes) };
                    queue.push_back((first, left, depth + 1));
                    queue.push_back((second, left + 1, depth + 1));
                }
            }
        }
        self.roots.push(Root { node: base, depth: deepest });
        Ok(())
    }

    fn reserve(&mut self) {
        self.nodes.push(Node { threshold: f32::NAN, feature: 0, left: 0, payload: 0 });
        if let Some(comparisons) = &mut self.comparisons {
            comparisons.push(Comparison::LessOrEqual);
        }
    }

    /// Number of targets.
    pub(super) fn targets(&self) -> usize {
        self.targets
    }

    /// Scores a row-major matrix of `columns` features: one value per row and target, in double precision so that the
    /// order of the trees does not matter.
    ///
    /// # Errors
    /// When there are fewer columns than the trees look at.
    pub(super) fn score(&self, x: &[f32], columns: usize, aggregate: Aggregate) -> Result<Vec<f64>, Problem> {
        if columns < self.features {
            return Err(format!("the trees look at {} features, the input has {columns}", self.features));
        }
        let rows = x.len().checked_div(columns).unwrap_or(0);
        let start = match aggregate {
            Aggregate::Sum | Aggregate::Average => 0.0,
            Aggregate::Min => f64::INFINITY,
            Aggregate::Max => f64::NEG_INFINITY,
        };
        let mut scores = vec![start; rows * self.targets];
        match aggregate {
            Aggregate::Sum | Aggregate::Average => self.accumulate(x, columns, &mut scores, |s, w| s + w),
            Aggregate::Min => self.accumulate(x, columns, &mut scores, f64::min),
            Aggregate::Max => self.accumulate(x, columns, &mut scores, f64::max),
        }
        match aggregate {
            Aggregate::Sum => {}
            Aggregate::Average => scores.iter_mut().for_each(|s| *s /= self.roots.len().max(1) as f64),
            // A target that no leaf speaks of scores nothing.
            Aggregate::Min | Aggregate::Max => {
                scores.iter_mut().filter(|s| s.is_infinite()).for_each(|s| *s = 0.0);
            }
        }
        Ok(scores)
    }

    fn accumulate(
        &self,
        x: &[f32],
        columns: usize,
        scores: &mut [f64],
        fold: impl Fn(f64, f64) -> f64 + Copy,
    ) {
        if columns == 0 {
            return;
        }
        let blocks = x.chunks(BLOCK * columns).zip(scores.chunks_mut(BLOCK * self.targets));
        for (rows, scores) in blocks {
            let together = rows.len() / columns / LANES * LANES;
            if together > 0 {
                for &root in &self.roots {
                    for (rows, out) in
                        rows.chunks_exact(LANES * columns).zip(scores.chunks_mut(LANES * self.targets))
                    {
                        let lanes: [&[f32]; LANES] =
                            std::array::from_fn(|l| &rows[l * columns..(l + 1) * columns]);
                        let leaves = self.walk([root.node; LANES], lanes, root.depth);
                        for (leaf, out) in leaves.into_iter().zip(out.chunks_exact_mut(self.targets)) {
                            self.add(leaf, out, fold);
                        }
                    }
                }
            }
            let rest = rows.chunks_exact(columns).zip(scores.chunks_exact_mut(self.targets)).skip(together);
            for (row, out) in rest {
                self.one_row(row, out, fold);
            }
        }
    }

    /// One row through eight trees at a time.
    fn one_row(&self, row: &[f32], out: &mut [f64], fold: impl Fn(f64, f64) -> f64 + Copy) {
        let (groups, rest) = self.roots.as_chunks::<LANES>();
        for group in groups {
            let depth = group.iter().map(|r| r.depth).max().unwrap_or(0);
            for leaf in self.walk(group.map(|r| r.node), [row; LANES], depth) {
                self.add(leaf, out, fold);
            }
        }
        for root in rest {
            let [leaf] = self.walk([root.node], [row], root.depth);
            self.add(leaf, out, fold);
        }
    }

    #[inline(always)]
    fn add(&self, leaf: u32, out: &mut [f64], fold: impl Fn(f64, f64) -> f64) {
        let payload = self.nodes[leaf as usize].payload;
        match &self.table {
            None => out[0] = fold(out[0], f64::from(f32::from_bits(payload))),
            Some(table) => {
                let leaf = payload as usize;
                let (from, to) = (table.start[leaf] as usize, table.start[leaf + 1] as usize);
                for &(target, weight) in &table.weights[from..to] {
                    let slot = &mut out[target as usize];
                    *slot = fold(*slot, f64::from(weight));
                }
            }
        }
    }

    /// Advances `L` walks by `depth` levels; the indices of the leaves where they end.
    #[inline(always)]
    fn walk<const L: usize>(&self, mut at: [u32; L], rows: [&[f32]; L], depth: u32) -> [u32; L] {
        if let Some(comparisons) = &self.comparisons {
            return std::array::from_fn(|l| self.walk_general(at[l], rows[l], comparisons));
        }
        let nodes = self.nodes.as_slice();
        let mut left = depth;
        while left > 0 {
            let levels = left.min(STRIDE);
            for _ in 0..levels {
                for l in 0..L {
                    let node = nodes[at[l] as usize];
                    let x = rows[l][(node.feature & !MISSING_RIGHT) as usize];
                    let right = (x >= node.threshold) | (x.is_nan() & (node.feature & MISSING_RIGHT != 0));
                    at[l] = node.left + u32::from(right);
                }
            }
            left -= levels;
            if left > 0 && at.iter().all(|&a| nodes[a as usize].left == a) {
                break;
            }
        }
        at
    }

    /// One walk through trees that have equalities among their comparisons.
    fn walk_general(&self, mut at: u32, row: &[f32], comparisons: &[Comparison]) -> u32 {
        loop {
            let node = self.nodes[at as usize];
            if node.left == at {
                return at;
            }
            let x = row[(node.feature & !MISSING_RIGHT) as usize];
            let missing_right = node.feature & MISSING_RIGHT != 0;
            let right = match comparisons[at as usize] {
                _ if x.is_nan() => missing_right,
                Comparison::Equal => x != node.threshold,
                Comparison::NotEqual => x == node.threshold,
                _ => x >= node.threshold,
            };
            at = node.left + u32::from(right);
        }
    }
}

/// Rewrites a comparison as "left when below the threshold": the new threshold, and whether a comparison that holds
/// goes left. Exact for every float: `x ≤ t` is `x < next(t)`.
fn ordered(comparison: Comparison, threshold: f32) -> (f32, bool) {
    // Never true: NaN sends all left, −∞ sends all right.
    let above = |t: f32| if t == f32::INFINITY { f32::NAN } else { t.next_up() };
    match comparison {
        Comparison::LessOrEqual | Comparison::Less if threshold.is_nan() => (f32::NEG_INFINITY, true),
        Comparison::LessOrEqual => (above(threshold), true),
        Comparison::Less => (threshold, true),
        Comparison::GreaterOrEqual => (threshold, false),
        Comparison::Greater if threshold.is_nan() => (f32::NAN, false),
        Comparison::Greater => (above(threshold), false),
        Comparison::Equal | Comparison::NotEqual => (threshold, true),
    }
}

fn index(n: usize) -> Result<u32, Problem> {
    u32::try_from(n).ok().filter(|&n| n < MISSING_RIGHT).ok_or_else(|| "too many tree nodes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leaf(w: f32) -> RawNode {
        RawNode::Leaf { weights: vec![(0, w)] }
    }

    fn stump(comparison: Comparison, threshold: f32, missing_is_true: bool) -> Forest {
        let split = RawNode::Split { feature: 0, threshold, comparison, missing_is_true, yes: 1, no: 2 };
        Forest::new(&[(vec![split, leaf(1.0), leaf(0.0)], 0)], 1).unwrap()
    }

    fn any_float() -> impl Strategy<Value = f32> {
        prop_oneof![
            prop::sample::select(vec![
                0.0,
                -0.0,
                1.0,
                1.0f32.next_up(),
                f32::INFINITY,
                f32::NEG_INFINITY,
                f32::NAN,
                f32::MAX,
                f32::MIN,
            ]),
            -2.0f32..2.0,
        ]
    }

    proptest! {
        /// The branchless form answers as the comparison itself does, for every mode and special value, for one row
        /// (walked alone) and for many (walked together).
        #[test]
        fn stump_equals_its_comparison(
            x in any_float(), t in any_float(), track in any::<bool>(), mode in 0usize..6, copies in 1usize..20,
        ) {
            use Comparison::*;
            let comparison = [LessOrEqual, Less, GreaterOrEqual, Greater, Equal, NotEqual][mode];
            let holds = match comparison {
                _ if x.is_nan() => track || comparison == NotEqual,
                LessOrEqual => x <= t,
                Less => x < t,
                GreaterOrEqual => x >= t,
                Greater => x > t,
                Equal => x == t,
                NotEqual => x != t,
            };
            let scores = stump(comparison, t, track).score(&vec![x; copies], 1, Aggregate::Sum).unwrap();
            prop_assert_eq!(scores, vec![f64::from(u8::from(holds)); copies]);
        }
    }

    #[test]
    fn cycle_and_sharing_are_refused() {
        let split = |yes, no| RawNode::Split {
            feature: 0,
            threshold: 0.0,
            comparison: Comparison::Less,
            missing_is_true: false,
            yes,
            no,
        };
        for tree in [vec![split(0, 1), leaf(0.0)], vec![split(1, 1), leaf(0.0)], vec![split(1, 9), leaf(0.0)]]
        {
            assert!(Forest::new(&[(tree, 0)], 1).is_err());
        }
    }

    #[test]
    fn aggregates_over_trees() {
        let trees: Vec<_> = [3.0, -1.0, 4.0].into_iter().map(|w| (vec![leaf(w)], 0)).collect();
        let forest = Forest::new(&trees, 1).unwrap();
        let of = |a| forest.score(&[0.0], 1, a).unwrap()[0];
        assert_eq!(
            [of(Aggregate::Sum), of(Aggregate::Average), of(Aggregate::Min), of(Aggregate::Max)],
            [6.0, 2.0, -1.0, 4.0]
        );
    }

    #[test]
    fn too_few_columns_is_an_error() {
        let split = RawNode::Split {
            feature: 3,
            threshold: 0.0,
            comparison: Comparison::Less,
            missing_is_true: false,
            yes: 1,
            no: 2,
        };
        let forest = Forest::new(&[(vec![split, leaf(1.0), leaf(0.0)], 0)], 1).unwrap();
        assert!(forest.score(&[0.0; 3], 3, Aggregate::Sum).unwrap_err().contains("4 features"));
    }
}
