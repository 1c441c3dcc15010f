//! Finding the leaves where rows end: by walking down, or, in small trees, by ruling leaves out.

use pulp::{Arch, Simd, WithSimd};

use super::ranks::{LANES, Rank, Ranks};
use super::{Cells, Comparison, Missing, Test, Words};

/// Groups of [`LANES`] rows that pass through all trees before the next ones.
const BLOCK: usize = 4;
/// Trees that one row walks through at a time.
const TREES: usize = 8;
/// Levels walked between looks at whether all walks have ended.
const STRIDE: u32 = 4;

#[derive(Clone, Copy, Debug)]
pub(super) struct Node<R> {
    /// Right when the rank is at or above.
    pub(super) threshold: R,
    /// Which view of a feature is compared.
    pub(super) column: R,
    /// Left child; the right one follows it. A leaf: its own index.
    pub(super) left: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Root {
    pub(super) node: u32,
    pub(super) depth: u32,
    /// Where the tree's leaves add their values, unless they have a table.
    pub(super) target: u32,
    /// Whether some splits are not comparisons of ranks.
    pub(super) special: bool,
    /// A small tree: its tests and its leaves in [`Trees::tests_of_small`] and [`Trees::leaves_of_small`]. Otherwise empty.
    pub(super) small: (u32, u32),
    pub(super) first_leaf: u32,
}

/// Most leaves of a small tree: the bits of [`Exclusion::keep`].
pub(super) const SMALL: usize = 32;

/// A split of a small tree, as QuickScorer has it (Lucchese et al., SIGIR 2015): a row that goes right cannot end in the
/// leaves on the left. When every split has had its say, whatever the order, the first leaf that is left is the one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exclusion<R> {
    pub(super) threshold: R,
    pub(super) column: R,
    /// By leaf, from the left: whether it remains when the row goes right.
    pub(super) keep: u32,
}

/// What the leaves say.
#[derive(Debug)]
pub(super) enum Leaves {
    /// By node: the value of a leaf, for its tree's target.
    Value(Vec<f64>),
    Table(Table),
}

/// Weights of leaves that have several, or for several targets.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// By node: the number of the leaf.
    pub(super) number: Vec<u32>,
    /// Where the weights of a leaf start; one more at the end.
    pub(super) start: Vec<u32>,
    pub(super) weights: Vec<(u32, f64)>,
}

impl Table {
    pub(super) fn of(&self, node: usize) -> &[(u32, f64)] {
        let leaf = self.number[node] as usize;
        &self.weights[self.start[leaf] as usize..self.start[leaf + 1] as usize]
    }
}

/// A split that is no comparison of ranks.
#[derive(Debug)]
pub(super) struct Special {
    pub(super) feature: u32,
    pub(super) missing: Missing,
    pub(super) test: Test,
}

impl Special {
    /// Whether the test does not hold; where it holds is left.
    pub(super) fn right(&self, x: f64) -> bool {
        let zero = x.abs() <= f64::from(1e-35f32);
        let x = match self.missing {
            Missing::Yes if x.is_nan() => return false,
            Missing::No if x.is_nan() => return true,
            Missing::ZeroYes if x.is_nan() || zero => return false,
            Missing::ZeroNo if x.is_nan() || zero => return true,
            Missing::IsZero if x.is_nan() => 0.0,
            _ => x,
        };
        !match &self.test {
            Test::Compare(Comparison::Equal, t) => x == *t,
            // The others are comparisons of ranks.
            Test::Compare(_, t) => x != *t,
            Test::Member { set, known, stranger } => {
                let known = known.as_ref().is_none_or(|known| contains(known, x));
                if x < 0.0 || !known { *stranger } else { contains(set, x) }
            }
        }
    }
}

/// Whether a category, not negative, is in a set. What is beyond 2^24 is in none, as in the libraries.
fn contains(words: &Words, x: f64) -> bool {
    if !(0.0..16_777_216.0).contains(&x) {
        return false;
    }
    let category = x as usize;
    words.get(category / 32).is_some_and(|word| word >> (category % 32) & 1 == 1)
}

/// Trees ready to be walked.
#[derive(Debug)]
pub(super) struct Trees<R> {
    pub(super) nodes: Vec<Node<R>>,
    pub(super) roots: Vec<Root>,
    pub(super) leaves: Leaves,
    pub(super) ranks: Ranks<R>,
    /// By node: which of the tests it is, `u32::MAX` for a comparison of ranks. Empty when all are.
    pub(super) special: Vec<u32>,
    pub(super) tests: Vec<Special>,
    /// By node: how much training data passed; empty when not known.
    pub(super) cover: Vec<f32>,
    /// The splits of small trees.
    pub(super) tests_of_small: Vec<Exclusion<R>>,
    /// The leaves of small trees from left to right, as nodes.
    pub(super) leaves_of_small: Vec<u32>,
    /// Columns that rows must have.
    pub(super) features: usize,
}

/// The arguments of [`Trees::accumulate`]. It is inlined into a copy for each kind of processor, so that compilers make use
/// of its instructions; the body of a closure would not be.
struct Accumulation<'a, R, C, F> {
    trees: &'a Trees<R>,
    cells: C,
    scores: &'a mut [f64],
    fold: F,
}

impl<R: Rank, C: Cells, F: Fn(f64, f64) -> f64 + Copy> WithSimd for Accumulation<'_, R, C, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.trees.accumulate_vectors(self.cells, self.scores, self.fold);
    }
}

impl<R: Rank> Trees<R> {
    /// Adds what the trees say of each row to its scores, with the widest vector instructions that this machine has.
    pub(super) fn accumulate<C: Cells>(
        &self,
        cells: C,
        scores: &mut [f64],
        fold: impl Fn(f64, f64) -> f64 + Copy,
    ) {
        // Numbers are the same whatever the width: nothing is reordered, and multiplications are not fused with additions.
        Arch::new().dispatch(Accumulation { trees: self, cells, scores, fold });
    }

    #[inline(always)]
    fn accumulate_vectors<C: Cells>(
        &self,
        cells: C,
        scores: &mut [f64],
        fold: impl Fn(f64, f64) -> f64 + Copy,
    ) {
        let (rows, views) = (cells.rows(), self.ranks.views.len());
        let targets = scores.len().checked_div(rows).unwrap_or(0);
        if targets == 0 {
            return;
        }
        if rows < LANES / 4 {
            let mut ranks = Vec::with_capacity(views);
            for (row, out) in scores.chunks_exact_mut(targets).enumerate() {
                self.ranks.row(cells, row, &mut ranks);
                self.one_row(cells, row, &ranks, out, fold);
            }
            return;
        }
        let mut ranks = Vec::with_capacity(BLOCK.min(rows.div_ceil(LANES)) * views);
        for (block, scores) in scores.chunks_mut(BLOCK * LANES * targets).enumerate() {
            let first = block * BLOCK * LANES;
            ranks.clear();
            for group in 0..scores.len().div_ceil(LANES * targets) {
                self.ranks.rows(cells, first + group * LANES, &mut ranks);
            }
            for root in &self.roots {
                for (group, out) in scores.chunks_mut(LANES * targets).enumerate() {
                    let first = first + group * LANES;
                    let ranks = &ranks[group * views..(group + 1) * views];
                    let leaves = if root.special {
                        let rows = out.len() / targets;
                        std::array::from_fn(|l| {
                            let l = l.min(rows - 1);
                            self.walk_special(root.node, cells, first + l, |column| ranks[column][l])
                        })
                    } else if root.small.0 < root.small.1 {
                        self.exclude(root, ranks)
                    } else {
                        walk(&self.nodes, [root.node; LANES], root.depth, |column, l| ranks[column][l])
                    };
                    self.add(root.target, &leaves, out, targets, fold);
                }
            }
        }
    }

    /// The leaves of a small tree where [`LANES`] rows end. All splits are asked, not those on the way only, but for so many rows
    /// at once and without waiting for one another; compilers make vector instructions of it.
    #[inline(always)]
    fn exclude(&self, root: &Root, ranks: &[[R; LANES]]) -> [u32; LANES] {
        let mut left = [u32::MAX; LANES];
        for test in &self.tests_of_small[root.small.0 as usize..root.small.1 as usize] {
            let ranks = &ranks[test.column.index()];
            for l in 0..LANES {
                let stays = u32::from(ranks[l] >= test.threshold).wrapping_sub(1);
                left[l] &= test.keep | stays;
            }
        }
        let leaves = &self.leaves_of_small[root.first_leaf as usize..];
        left.map(|left| leaves[left.trailing_zeros() as usize])
    }

    /// One row through eight trees at a time.
    fn one_row<C: Cells>(
        &self,
        cells: C,
        row: usize,
        ranks: &[R],
        out: &mut [f64],
        fold: impl Fn(f64, f64) -> f64 + Copy,
    ) {
        let targets = out.len();
        let (groups, rest) = self.roots.as_chunks::<TREES>();
        for group in groups {
            let leaves = if group.iter().any(|root| root.special) {
                group.map(|root| self.walk_special(root.node, cells, row, |column| ranks[column]))
            } else {
                let depth = group.iter().map(|root| root.depth).max().unwrap_or(0);
                walk(&self.nodes, group.map(|root| root.node), depth, |column, _| ranks[column])
            };
            for (root, leaf) in group.iter().zip(leaves) {
                self.add(root.target, &[leaf], out, targets, fold);
            }
        }
        for root in rest {
            let leaf = self.walk_special(root.node, cells, row, |column| ranks[column]);
            self.add(root.target, &[leaf], out, targets, fold);
        }
    }

    /// Adds what the leaves say to the rows' scores.
    #[inline(always)]
    fn add(
        &self,
        target: u32,
        leaves: &[u32],
        out: &mut [f64],
        targets: usize,
        fold: impl Fn(f64, f64) -> f64,
    ) {
        match &self.leaves {
            Leaves::Value(values) => {
                for (&leaf, out) in leaves.iter().zip(out.chunks_exact_mut(targets)) {
                    let slot = &mut out[target as usize];
                    *slot = fold(*slot, values[leaf as usize]);
                }
            }
            Leaves::Table(table) => {
                for (&leaf, out) in leaves.iter().zip(out.chunks_exact_mut(targets)) {
                    for &(target, weight) in table.of(leaf as usize) {
                        let slot = &mut out[target as usize];
                        *slot = fold(*slot, weight);
                    }
                }
            }
        }
    }

    /// Whether a row goes right at a split.
    #[inline(always)]
    pub(super) fn right<C: Cells>(&self, at: u32, cells: C, row: usize, rank: impl Fn(usize) -> R) -> bool {
        match self.special.get(at as usize).and_then(|&s| self.tests.get(s as usize)) {
            Some(special) => special.right(cells.at(row, special.feature as usize)),
            None => {
                let node = self.nodes[at as usize];
                rank(node.column.index()) >= node.threshold
            }
        }
    }

    /// One walk through a tree whose splits may be of any kind.
    fn walk_special<C: Cells>(&self, mut at: u32, cells: C, row: usize, rank: impl Fn(usize) -> R) -> u32 {
        loop {
            let left = self.nodes[at as usize].left;
            if left == at {
                return at;
            }
            at = left + u32::from(self.right(at, cells, row, &rank));
        }
    }
}

/// Advances walks by `depth` levels; the indices of the leaves where they end.
#[inline(always)]
fn walk<R: Rank, const L: usize>(
    nodes: &[Node<R>],
    mut at: [u32; L],
    depth: u32,
    rank: impl Fn(usize, usize) -> R,
) -> [u32; L] {
    let mut left = depth;
    while left > 0 {
        let levels = left.min(STRIDE);
        for _ in 0..levels {
            for (l, at) in at.iter_mut().enumerate() {
                let node = nodes[*at as usize];
                *at = node.left + u32::from(rank(node.column.index(), l) >= node.threshold);
            }
        }
        left -= levels;
        if left > 0 && at.iter().all(|&a| nodes[a as usize].left == a) {
            break;
        }
    }
    at
}
