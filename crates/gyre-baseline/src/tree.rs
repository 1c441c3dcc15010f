//! Grows one tree on gradients: always splits the leaf that gains most, until there are enough leaves or nothing gains.

use std::collections::BinaryHeap;

use crate::bins::{Binned, MISSING};

/// A node of a grown tree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Node {
    /// Goes left when the value is at most the threshold, or missing and `missing_left`.
    Split { feature: usize, threshold: f32, missing_left: bool, left: usize, right: usize },
    /// Ends with this correction.
    Leaf(f32),
}

/// A grown tree; node 0 is the root.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
}

/// Bounds on growth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growth {
    pub(crate) leaves: usize,
    pub(crate) leaf_rows: usize,
}

/// Added to the sum of curvatures, which shrinks leaves with little evidence.
const REGULARISATION: f64 = 1.0;
/// Least sum of curvatures of a leaf.
const LEAST_CURVATURE: f64 = 1e-3;
/// Slots of a histogram: values' bins, then the missing one.
const SLOTS: usize = MISSING as usize + 1;

/// First and second derivatives of the loss, and rows, summed.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    gradient: f64,
    curvature: f64,
    rows: u32,
}

impl Sum {
    fn add(self, other: Sum) -> Sum {
        Sum {
            gradient: self.gradient + other.gradient,
            curvature: self.curvature + other.curvature,
            rows: self.rows + other.rows,
        }
    }

    fn sub(self, other: Sum) -> Sum {
        Sum {
            gradient: self.gradient - other.gradient,
            curvature: self.curvature - other.curvature,
            rows: self.rows.saturating_sub(other.rows),
        }
    }

    /// Twice the loss that the best constant takes away.
    fn score(self) -> f64 {
        self.gradient * self.gradient / (self.curvature + REGULARISATION)
    }
}

#[derive(Clone, Copy, Debug)]
struct Split {
    gain: f64,
    feature: usize,
    /// Bins up to this one go left.
    bin: u8,
    missing_left: bool,
}

/// A leaf that may still be split: its rows are `rows[from..to]`.
struct Candidate {
    node: usize,
    from: usize,
    to: usize,
    histogram: Vec<Sum>,
    split: Split,
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Candidate {}
impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.split.gain.total_cmp(&other.split.gain).then(other.node.cmp(&self.node))
    }
}

/// A tree grown on the training rows, and what the trainer wants to know of it.
pub(crate) struct Grown {
    pub(crate) tree: Tree,
    /// Rows of each leaf, with the node that is the leaf.
    pub(crate) leaves: Vec<(usize, Vec<u32>)>,
    /// Gain of each feature.
    pub(crate) gains: Vec<f64>,
}

/// Grows a tree on the gradients and curvatures of every row. Leaves hold −Σg / (Σh + 1).
pub(crate) fn grow(data: &Binned, gradients: &[f32], curvatures: &[f32], growth: Growth) -> Grown {
    let mut rows: Vec<u32> = (0..data.rows as u32).collect();
    let mut scratch = Vec::with_capacity(rows.len());
    let mut nodes = vec![Node::Leaf(0.0)];
    let mut gains = vec![0.0; data.features()];
    let mut ended: Vec<(usize, usize, usize, Sum)> = Vec::new();
    let mut open = BinaryHeap::new();
    let consider = |node, from, to, histogram: Vec<Sum>, ended: &mut Vec<_>, open: &mut BinaryHeap<_>| {
        let total = total(&histogram);
        match best_split(data, &histogram, total, growth.leaf_rows) {
            Some(split) => open.push(Candidate { node, from, to, histogram, split }),
            None => ended.push((node, from, to, total)),
        }
    };
    let root = histogram(data, &rows, gradients, curvatures);
    consider(0, 0, rows.len(), root, &mut ended, &mut open);
    let mut leaves = 1;
    while leaves < growth.leaves
        && let Some(leaf) = open.pop()
    {
        let Split { gain, feature, bin, missing_left } = leaf.split;
        gains[feature] += gain;
        let goes_left = |row: u32| match data.bins[row as usize * data.features() + feature] {
            MISSING => missing_left,
            b => b <= bin,
        };
        let middle = leaf.from + partition(&mut rows[leaf.from..leaf.to], &mut scratch, goes_left);
        let (left, right) = (nodes.len(), nodes.len() + 1);
        // Above the last threshold only missing values remain.
        let threshold = data.thresholds[feature].get(usize::from(bin)).copied().unwrap_or(f32::INFINITY);
        nodes[leaf.node] = Node::Split { feature, threshold, missing_left, left, right };
        nodes.extend([Node::Leaf(0.0); 2]);
        leaves += 1;
        // The smaller child is summed, the larger is what remains of the parent.
        let left_is_small = middle - leaf.from <= leaf.to - middle;
        let small_rows = if left_is_small { &rows[leaf.from..middle] } else { &rows[middle..leaf.to] };
        let small = histogram(data, small_rows, gradients, curvatures);
        let large = leaf.histogram.iter().zip(&small).map(|(all, part)| all.sub(*part)).collect();
        let (left_histogram, right_histogram) = if left_is_small { (small, large) } else { (large, small) };
        consider(left, leaf.from, middle, left_histogram, &mut ended, &mut open);
        consider(right, middle, leaf.to, right_histogram, &mut ended, &mut open);
    }
    ended.extend(open.into_iter().map(|c| (c.node, c.from, c.to, total(&c.histogram))));
    ended.sort_unstable_by_key(|leaf| leaf.0);
    let mut leaves = Vec::with_capacity(ended.len());
    for (node, from, to, sum) in ended {
        nodes[node] = Node::Leaf((-sum.gradient / (sum.curvature + REGULARISATION)) as f32);
        leaves.push((node, rows[from..to].to_vec()));
    }
    Grown { tree: Tree { nodes }, leaves, gains }
}

fn histogram(data: &Binned, rows: &[u32], gradients: &[f32], curvatures: &[f32]) -> Vec<Sum> {
    let features = data.features();
    let mut sums = vec![Sum::default(); features * SLOTS];
    for &row in rows {
        let row = row as usize;
        let (gradient, curvature) = (f64::from(gradients[row]), f64::from(curvatures[row]));
        let bins = &data.bins[row * features..(row + 1) * features];
        for (slots, &bin) in sums.chunks_exact_mut(SLOTS).zip(bins) {
            let slot = &mut slots[usize::from(bin)];
            slot.gradient += gradient;
            slot.curvature += curvature;
            slot.rows += 1;
        }
    }
    sums
}

/// Sum over all rows, from the first feature's histogram.
fn total(histogram: &[Sum]) -> Sum {
    histogram.iter().take(SLOTS).fold(Sum::default(), |all, s| all.add(*s))
}

fn best_split(data: &Binned, histogram: &[Sum], total: Sum, leaf_rows: usize) -> Option<Split> {
    let mut best: Option<Split> = None;
    let enough = |s: Sum| s.rows as usize >= leaf_rows && s.curvature >= LEAST_CURVATURE;
    for (feature, slots) in histogram.chunks_exact(SLOTS).enumerate() {
        let missing = slots[usize::from(MISSING)];
        let bins = data.thresholds[feature].len() + 1;
        let mut left = Sum::default();
        // The last bin can only be parted from missing values.
        let ends = if missing.rows > 0 { bins } else { bins - 1 };
        for (bin, slot) in slots.iter().take(ends).enumerate() {
            left = left.add(*slot);
            let right = total.sub(left).sub(missing);
            let mut consider = |left: Sum, right: Sum, missing_left| {
                let gain = left.score() + right.score() - total.score();
                if enough(left) && enough(right) && gain > best.map_or(1e-9, |b| b.gain) {
                    best = Some(Split { gain, feature, bin: bin as u8, missing_left });
                }
            };
            if missing.rows == 0 {
                // Nothing is known of missing values: they follow the majority.
                consider(left, right, left.rows >= right.rows);
            } else {
                consider(left, right.add(missing), false);
                if bin + 1 < bins {
                    consider(left.add(missing), right, true);
                }
            }
        }
    }
    best
}

/// Moves the rows that go left to the front, keeping order; how many there are.
fn partition(rows: &mut [u32], scratch: &mut Vec<u32>, goes_left: impl Fn(u32) -> bool) -> usize {
    scratch.clear();
    let mut kept = 0;
    for i in 0..rows.len() {
        let row = rows[i];
        if goes_left(row) {
            rows[kept] = row;
            kept += 1;
        } else {
            scratch.push(row);
        }
    }
    rows[kept..].copy_from_slice(scratch);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_found_and_missing_values_choose_their_side() {
        // Residuals: −1 below 2.5 and where missing, +1 above.
        let column = vec![1.0, 2.0, 3.0, 4.0, f32::NAN, f32::NAN];
        let gradients = [1.0, 1.0, -1.0, -1.0, 1.0, 1.0];
        let grown = grow(&Binned::new(&[column]), &gradients, &[1.0; 6], Growth { leaves: 2, leaf_rows: 1 });
        let Node::Split { feature: 0, threshold: 2.5, missing_left: true, left: 1, right: 2 } =
            grown.tree.nodes[0]
        else {
            panic!("{:?}", grown.tree)
        };
        assert_eq!(grown.tree.nodes[1..], [Node::Leaf(-4.0 / 5.0), Node::Leaf(2.0 / 3.0)]);
        assert_eq!(grown.leaves, [(1, vec![0, 1, 4, 5]), (2, vec![2, 3])]);
    }

    #[test]
    fn missing_alone_can_be_split_off() {
        let column = vec![7.0, 7.0, f32::NAN, f32::NAN];
        let grown = grow(
            &Binned::new(&[column]),
            &[1.0, 1.0, -1.0, -1.0],
            &[1.0; 4],
            Growth { leaves: 4, leaf_rows: 1 },
        );
        assert!(matches!(
            grown.tree.nodes[0],
            Node::Split { threshold: f32::INFINITY, missing_left: false, .. }
        ));
    }

    #[test]
    fn a_constant_column_gives_a_lone_leaf() {
        let grown =
            grow(&Binned::new(&[vec![1.0; 8]]), &[1.0; 8], &[1.0; 8], Growth { leaves: 4, leaf_rows: 1 });
        assert_eq!(grown.tree.nodes, [Node::Leaf(-8.0 / 9.0)]);
    }
}
