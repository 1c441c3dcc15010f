//! Trees laid out for speed, from whatever file they come.
//!
//! Every reader of a format gives its trees as [`RawTree`]s; what scores them is one engine, so that work on its speed
//! pays for all formats, and so does [`Forest::contributions`], which explains a score.
//!
//! Three ideas make it quick in safe Rust:
//!
//! - *Ranks instead of numbers* ([`ranks`]). What a comparison with thresholds can tell of a value is how many of the
//!   feature's thresholds are at or below it. That rank is looked up once a row and feature; the nodes then compare
//!   16-bit integers, so that a node takes 8 bytes, 64-bit thresholds stay exact, and what a missing value does is
//!   settled before the walk starts.
//! - *No branch to mispredict* ([`walk`]). The two children of a node lie side by side, so that a step is
//!   `left + (rank ≥ threshold)`; a leaf points to itself, so that walks of different lengths can go on together.
//! - *Eight rows at a time*, or one row through eight trees, which hides the latency of each walk's memory accesses; rows
//!   go through in blocks that stay in the first-level cache. Trees of up to 32 leaves are not walked but asked as
//!   QuickScorer does, every split striking out leaves with a mask, since that makes vectors of the eight rows.

mod contributions;
mod layout;
mod ranks;
mod walk;

use std::sync::Arc;

use crate::error::Problem;
pub(crate) use contributions::Contributions;
use walk::Trees;

/// Comparison of a value with a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    LessOrEqual,
    Less,
    GreaterOrEqual,
    Greater,
    Equal,
    NotEqual,
}

/// A set of categories, numbered from zero: bit `i % 32` of word `i / 32`.
pub(crate) type Words = Arc<[u32]>;

/// What a split asks.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    Compare(Comparison, f64),
    /// Whether the value, cut to a whole number, is one of these categories.
    Member {
        set: Words,
        /// The categories that were seen in training; `None`: all that are not negative.
        known: Option<Words>,
        /// What holds for a value that is negative, or not known.
        stranger: bool,
    },
}

/// What a missing value (NaN) does at a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Missing {
    /// It goes where the test holds.
    Yes,
    /// It goes where the test does not hold.
    No,
    /// It counts as zero.
    IsZero,
    /// As `Yes`, and zero counts as missing.
    ZeroYes,
    /// As `No`, and zero counts as missing.
    ZeroNo,
}

/// A node as a file tells it.
#[derive(Clone, Debug)]
pub(crate) enum RawNode {
    Leaf {
        /// `(target, weight)`.
        weights: Vec<(u32, f64)>,
    },
    Split {
        feature: u32,
        test: Test,
        missing: Missing,
        /// Child where the test holds.
        yes: usize,
        no: usize,
    },
}

/// A tree as a file tells it: nodes in any order, children by index into the same list.
#[derive(Clone, Debug, Default)]
pub(crate) struct RawTree {
    pub(crate) nodes: Vec<RawNode>,
    pub(crate) root: usize,
    /// How much of the training data passed each node; empty when the file does not tell.
    pub(crate) cover: Vec<f64>,
}

/// How the trees' answers become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

/// Values by row and column.
pub(crate) trait Cells: Copy {
    fn rows(&self) -> usize;
    fn columns(&self) -> usize;
    /// The value at a place inside.
    fn at(&self, row: usize, column: usize) -> f64;
}

/// A row-major matrix of single precision.
#[derive(Clone, Copy)]
pub(crate) struct RowMajor<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) columns: usize,
}

impl Cells for RowMajor<'_> {
    fn rows(&self) -> usize {
        self.values.len().checked_div(self.columns).unwrap_or(0)
    }
    fn columns(&self) -> usize {
        self.columns
    }
    #[inline(always)]
    fn at(&self, row: usize, column: usize) -> f64 {
        f64::from(self.values[row * self.columns + column])
    }
}

/// Columns of double precision, all of `rows` values.
#[derive(Clone, Copy)]
pub(crate) struct ByColumn<'a> {
    pub(crate) columns: &'a [Vec<f64>],
    pub(crate) rows: usize,
}

impl Cells for ByColumn<'_> {
    fn rows(&self) -> usize {
        self.rows
    }
    fn columns(&self) -> usize {
        self.columns.len()
    }
    #[inline(always)]
    fn at(&self, row: usize, column: usize) -> f64 {
        self.columns[column][row]
    }
}

/// An ensemble of trees with `targets` outputs.
#[derive(Debug)]
pub(crate) struct Forest {
    targets: usize,
    trees: Width,
}

/// Ranks and columns are 16 bits wide unless a feature has more thresholds than that.
#[derive(Debug)]
enum Width {
    Narrow(Trees<u16>),
    Wide(Trees<u32>),
}

impl Forest {
    /// Lays out trees.
    ///
    /// # Errors
    /// When a node has two parents or is its own ancestor, an index is outside, or there are too many nodes.
    pub(crate) fn new(trees: &[RawTree], targets: usize) -> Result<Forest, Problem> {
        let layout = layout::Layout::new(trees, targets)?;
        let trees =
            if layout.is_narrow() { Width::Narrow(layout.finish()?) } else { Width::Wide(layout.finish()?) };
        Ok(Forest { targets, trees })
    }

    /// Number of targets.
    pub(crate) fn targets(&self) -> usize {
        self.targets
    }

    /// Scores rows: one value per row and target, in double precision and in the order of the trees.
    ///
    /// # Errors
    /// When there are fewer columns than the trees look at.
    pub(crate) fn score<C: Cells>(&self, cells: C, aggregate: Aggregate) -> Result<Vec<f64>, Problem> {
        let features = match &self.trees {
            Width::Narrow(trees) => trees.features,
            Width::Wide(trees) => trees.features,
        };
        if cells.columns() < features {
            return Err(format!("the trees look at {features} features, the input has {}", cells.columns()));
        }
        let start = match aggregate {
            Aggregate::Sum | Aggregate::Average => 0.0,
            Aggregate::Min => f64::INFINITY,
            Aggregate::Max => f64::NEG_INFINITY,
        };
        let mut scores = vec![start; cells.rows() * self.targets];
        match aggregate {
            Aggregate::Sum | Aggregate::Average => self.accumulate(cells, &mut scores, |s, w| s + w),
            Aggregate::Min => self.accumulate(cells, &mut scores, f64::min),
            Aggregate::Max => self.accumulate(cells, &mut scores, f64::max),
        }
        match aggregate {
            Aggregate::Sum => {}
            Aggregate::Average => {
                let trees = self.tree_count().max(1) as f64;
                scores.iter_mut().for_each(|s| *s /= trees);
            }
            // A target that no leaf speaks of scores nothing.
            Aggregate::Min | Aggregate::Max => {
                scores.iter_mut().filter(|s| s.is_infinite()).for_each(|s| *s = 0.0);
            }
        }
        Ok(scores)
    }

    fn accumulate<C: Cells>(&self, cells: C, scores: &mut [f64], fold: impl Fn(f64, f64) -> f64 + Copy) {
        match &self.trees {
            Width::Narrow(trees) => trees.accumulate(cells, scores, fold),
            Width::Wide(trees) => trees.accumulate(cells, scores, fold),
        }
    }

    pub(crate) fn tree_count(&self) -> usize {
        match &self.trees {
            Width::Narrow(trees) => trees.roots.len(),
            Width::Wide(trees) => trees.roots.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leaf(w: f64) -> RawNode {
        RawNode::Leaf { weights: vec![(0, w)] }
    }

    fn tree(nodes: Vec<RawNode>) -> RawTree {
        RawTree { nodes, ..RawTree::default() }
    }

    fn split(feature: u32, test: Test, missing: Missing, yes: usize, no: usize) -> RawNode {
        RawNode::Split { feature, test, missing, yes, no }
    }

    fn stump(test: Test, missing: Missing) -> Forest {
        let nodes = vec![split(0, test, missing, 1, 2), leaf(1.0), leaf(0.0)];
        Forest::new(&[tree(nodes)], 1).unwrap()
    }

    fn score(forest: &Forest, values: &[f64]) -> Vec<f64> {
        let columns = [values.to_vec()];
        forest.score(ByColumn { columns: &columns, rows: values.len() }, Aggregate::Sum).unwrap()
    }

    fn any_float() -> impl Strategy<Value = f64> {
        prop_oneof![
            prop::sample::select(vec![
                0.0,
                -0.0,
                1.0,
                1.0f64.next_up(),
                1e-36,
                f64::INFINITY,
                f64::NEG_INFINITY,
                f64::NAN,
                f64::MAX,
                f64::MIN,
            ]),
            -2.0f64..2.0,
        ]
    }

    const MISSING: [Missing; 5] =
        [Missing::Yes, Missing::No, Missing::IsZero, Missing::ZeroYes, Missing::ZeroNo];

    proptest! {
        /// The branchless form answers as the comparison itself does, for every mode and special value, for one row
        /// (walked alone) and for many (walked together).
        #[test]
        fn stump_equals_its_comparison(
            x in any_float(), t in any_float(), missing in 0usize..5, mode in 0usize..6, copies in 1usize..20,
        ) {
            use Comparison::*;
            let comparison = [LessOrEqual, Less, GreaterOrEqual, Greater, Equal, NotEqual][mode];
            let missing = MISSING[missing];
            let zeroish = x.abs() <= 1e-35f32.into();
            let value = if x.is_nan() && missing == Missing::IsZero { 0.0 } else { x };
            let holds = match (comparison, missing) {
                (_, Missing::ZeroYes) if x.is_nan() || zeroish => true,
                (_, Missing::ZeroNo) if x.is_nan() || zeroish => false,
                _ if value.is_nan() => missing == Missing::Yes,
                (LessOrEqual, _) => value <= t,
                (Less, _) => value < t,
                (GreaterOrEqual, _) => value >= t,
                (Greater, _) => value > t,
                (Equal, _) => value == t,
                (NotEqual, _) => value != t,
            };
            let scores = score(&stump(Test::Compare(comparison, t), missing), &vec![x; copies]);
            prop_assert_eq!(scores, vec![f64::from(u8::from(holds)); copies]);
        }

        /// Many thresholds on one feature, in chains: the forest counts as many as are below the value.
        #[test]
        fn chains_count_thresholds(
            thresholds in prop::collection::vec(any_float(), 1..40), xs in prop::collection::vec(any_float(), 1..30),
        ) {
            let trees: Vec<RawTree> = thresholds
                .iter()
                .map(|&t| {
                    let test = Test::Compare(Comparison::Greater, t);
                    tree(vec![split(0, test, Missing::No, 1, 2), leaf(1.0), leaf(0.0)])
                })
                .collect();
            let expected: Vec<f64> =
                xs.iter().map(|x| thresholds.iter().filter(|&t| x > t).count() as f64).collect();
            prop_assert_eq!(score(&Forest::new(&trees, 1).unwrap(), &xs), expected);
        }
    }

    #[test]
    fn sets_of_categories() {
        let member = |known: Option<u32>, stranger| Test::Member {
            set: [0b1010u32].into(),
            known: known.map(|word| [word].into()),
            stranger,
        };
        let xs = [1.0, 3.0, 0.0, 2.9, -1.0, 40.0, f64::NAN, 1e30, f64::INFINITY];
        assert_eq!(
            score(&stump(member(None, false), Missing::Yes), &xs),
            [1., 1., 0., 0., 0., 0., 1., 0., 0.]
        );
        assert_eq!(
            score(&stump(member(Some(0b1011), true), Missing::No), &xs),
            [1., 1., 0., 1., 1., 1., 0., 1., 1.]
        );
    }

    #[test]
    fn more_thresholds_than_16_bits_hold() {
        let count = 70_000;
        let trees: Vec<RawTree> = (0..count)
            .map(|t| {
                let test = Test::Compare(Comparison::GreaterOrEqual, f64::from(t));
                tree(vec![split(0, test, Missing::No, 1, 2), leaf(1.0), leaf(0.0)])
            })
            .collect();
        let forest = Forest::new(&trees, 1).unwrap();
        assert_eq!(
            score(&forest, &[-1.0, 0.0, 65_535.5, 1e9, f64::NAN]),
            [0.0, 1.0, 65_536.0, 70_000.0, 0.0]
        );
    }

    #[test]
    fn cycle_and_sharing_are_refused() {
        let split = |yes, no| split(0, Test::Compare(Comparison::Less, 0.0), Missing::No, yes, no);
        for nodes in
            [vec![split(0, 1), leaf(0.0)], vec![split(1, 1), leaf(0.0)], vec![split(1, 9), leaf(0.0)]]
        {
            assert!(Forest::new(&[tree(nodes)], 1).is_err());
        }
        assert!(Forest::new(&[tree(vec![])], 1).is_err());
    }

    #[test]
    fn aggregates_over_trees() {
        let trees: Vec<_> = [3.0, -1.0, 4.0].into_iter().map(|w| tree(vec![leaf(w)])).collect();
        let forest = Forest::new(&trees, 1).unwrap();
        let cells = ByColumn { columns: &[], rows: 1 };
        let of = |a| forest.score(cells, a).unwrap()[0];
        assert_eq!(
            [of(Aggregate::Sum), of(Aggregate::Average), of(Aggregate::Min), of(Aggregate::Max)],
            [6.0, 2.0, -1.0, 4.0]
        );
    }

    #[test]
    fn too_few_columns_is_an_error() {
        let nodes =
            vec![split(3, Test::Compare(Comparison::Less, 0.0), Missing::No, 1, 2), leaf(1.0), leaf(0.0)];
        let forest = Forest::new(&[tree(nodes)], 1).unwrap();
        let cells = RowMajor { values: &[0.0; 3], columns: 3 };
        assert!(forest.score(cells, Aggregate::Sum).unwrap_err().contains("4 features"));
    }
}
