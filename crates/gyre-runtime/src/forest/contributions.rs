//! What each feature adds to a score: exact Shapley values of trees.
//!
//! The algorithm is the path-dependent TreeSHAP of Lundberg, Erion and Lee ("Consistent individualized feature
//! attribution for tree ensembles", 2018; Lundberg et al., Nature Machine Intelligence 2, 2020, algorithm 2): one walk
//! through all leaves, on which the share of subsets that reach a leaf with and without each feature is kept up, takes
//! O(leaves × depth²) a tree. What a feature that is not known would do is weighed by how much training data went each
//! way (the cover), so that files without covers cannot be explained like this.

use super::ranks::Rank;
use super::walk::{Leaves, Trees};
use super::{Cells, Forest, Width};
use crate::error::Problem;
use crate::limits::Limits;

/// Deeper trees are not explained: the walk is recursive, and its cost grows with the square of the depth.
const DEEPEST: u32 = 128;

/// Scores taken apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Contributions {
    /// By target: what the trees say on average over their training data.
    pub(crate) base: Vec<f64>,
    /// By row, target and column: what the column adds. A row's score is the base plus the sum of these.
    pub(crate) values: Vec<f64>,
}

impl Forest {
    /// Takes apart the sum over the trees.
    ///
    /// # Errors
    /// When the file told no covers, a tree is too deep, or the answer would be above the limit of a tensor.
    pub(crate) fn contributions<C: Cells>(&self, cells: C) -> Result<Contributions, Problem> {
        match &self.trees {
            Width::Narrow(trees) => trees.contributions(cells, self.targets),
            Width::Wide(trees) => trees.contributions(cells, self.targets),
        }
    }

    /// Why scores cannot be taken apart, if they cannot.
    pub(crate) fn unexplained(&self) -> Option<Problem> {
        match &self.trees {
            Width::Narrow(trees) => trees.unexplained(),
            Width::Wide(trees) => trees.unexplained(),
        }
    }
}

/// A feature on the way to a leaf.
#[derive(Clone, Copy, Debug)]
struct Step {
    feature: u32,
    /// Share of the cover that goes this way when the feature is not known.
    zero: f64,
    /// One when the row goes this way, else none.
    one: f64,
    /// Share of the subsets of this size that reach here.
    weight: f64,
}

/// The start of a way, which is no feature.
const START: u32 = u32::MAX;

impl<R: Rank> Trees<R> {
    fn unexplained(&self) -> Option<Problem> {
        if self.cover.is_empty() && self.roots.iter().any(|root| root.depth > 0) {
            return Some(
                "the file does not tell how much training data passed each node of its trees".into(),
            );
        }
        let deepest = self.roots.iter().map(|root| root.depth).max().unwrap_or(0);
        (deepest > DEEPEST)
            .then(|| format!("a tree is {deepest} levels deep, at most {DEEPEST} can be explained"))
    }

    fn contributions<C: Cells>(&self, cells: C, targets: usize) -> Result<Contributions, Problem> {
        if let Some(problem) = self.unexplained() {
            return Err(problem);
        }
        let columns = cells.columns();
        if columns < self.features {
            return Err(format!("the trees look at {} features, the input has {columns}", self.features));
        }
        let limit = Limits::DEFAULT.tensor_elements;
        let size = cells.rows().checked_mul(targets).and_then(|n| n.checked_mul(columns));
        let size = size.filter(|n| *n <= limit).ok_or_else(|| {
            format!("an explanation would have more than {limit} numbers; explain fewer rows at a time")
        })?;
        let mut base = vec![0.0; targets];
        for root in &self.roots {
            self.expect(root.node, root.target, 1.0, &mut base);
        }
        let mut values = vec![0.0; size];
        let mut ranks = Vec::new();
        let mut steps = Vec::new();
        for (row, out) in values.chunks_exact_mut((targets * columns).max(1)).enumerate() {
            self.ranks.row(cells, row, &mut ranks);
            let mut way = Way { steps, columns, out };
            let right = |at: u32| self.right(at, cells, row, |column| ranks[column]);
            for root in &self.roots {
                way.steps.clear();
                self.visit(root.node, root.target, &right, &mut way, 0, (1.0, 1.0, START));
            }
            steps = way.steps;
        }
        Ok(Contributions { base, values })
    }

    /// Shares of the cover of a node that its two children have.
    fn shares(&self, left: u32, at: u32) -> [f64; 2] {
        let cover = |node: u32| f64::from(self.cover.get(node as usize).copied().unwrap_or(0.0));
        let whole = cover(at);
        // A node that no training data reached: either way is as likely.
        if whole <= 0.0 { [0.5, 0.5] } else { [cover(left) / whole, cover(left + 1) / whole] }
    }

    fn leaf(&self, at: u32, target: u32, mut tell: impl FnMut(usize, f64)) {
        match &self.leaves {
            Leaves::Value(values) => tell(target as usize, values[at as usize]),
            Leaves::Table(table) => {
                table.of(at as usize).iter().for_each(|&(target, weight)| tell(target as usize, weight));
            }
        }
    }

    /// Adds the average over the cover of what is below a node.
    fn expect(&self, at: u32, target: u32, share: f64, base: &mut [f64]) {
        let left = self.nodes[at as usize].left;
        if left == at {
            return self.leaf(at, target, |target, weight| base[target] += share * weight);
        }
        let [of_left, of_right] = self.shares(left, at);
        self.expect(left, target, share * of_left, base);
        self.expect(left + 1, target, share * of_right, base);
    }

    /// Goes on to a node; its way is the one that starts at `from`, and this step.
    fn visit(
        &self,
        at: u32,
        target: u32,
        right: &impl Fn(u32) -> bool,
        way: &mut Way<'_>,
        from: usize,
        (mut zero, mut one, feature): (f64, f64, u32),
    ) {
        // The way so far is kept for the sibling: this node's is a copy behind it.
        let start = way.steps.len();
        way.steps.extend_from_within(from..start);
        if let Some(again) =
            way.steps[start..].iter().position(|step| step.feature == feature && feature != START)
        {
            let step = way.steps[start + again];
            (zero, one) = (zero * step.zero, one * step.one);
            way.unwind(start, again);
        }
        way.extend(start, Step { feature, zero, one, weight: 0.0 });
        let left = self.nodes[at as usize].left;
        if left == at {
            for i in 1..way.steps.len() - start {
                let step = way.steps[start + i];
                let share = way.unwound(start, i) * (step.one - step.zero);
                let (columns, out) = (way.columns, &mut *way.out);
                self.leaf(at, target, |target, weight| {
                    out[target * columns + step.feature as usize] += share * weight;
                });
            }
        } else {
            let goes_right = right(at);
            let shares = self.shares(left, at);
            let feature = match self.special.get(at as usize).and_then(|&s| self.tests.get(s as usize)) {
                Some(special) => special.feature,
                None => self.ranks.views[self.nodes[at as usize].column.index()].feature,
            };
            for (child, share) in [(left, shares[0]), (left + 1, shares[1])] {
                let taken = f64::from(u8::from(goes_right == (child != left)));
                // What neither the row nor any data reaches adds nothing.
                if share > 0.0 || taken > 0.0 {
                    self.visit(child, target, right, way, start, (share, taken, feature));
                }
            }
        }
        way.steps.truncate(start);
    }
}

/// Ways to a leaf, one behind the other, and where contributions go.
struct Way<'a> {
    steps: Vec<Step>,
    columns: usize,
    out: &'a mut [f64],
}

impl Way<'_> {
    /// Adds a feature to the way that starts at `start`.
    fn extend(&mut self, start: usize, step: Step) {
        let depth = self.steps.len() - start;
        self.steps.push(Step { weight: if depth == 0 { 1.0 } else { 0.0 }, ..step });
        let steps = &mut self.steps[start..];
        let inverse = 1.0 / (depth + 1) as f64;
        for i in (0..depth).rev() {
            let weight = steps[i].weight * inverse;
            steps[i + 1].weight += step.one * weight * (i + 1) as f64;
            steps[i].weight = step.zero * weight * (depth - i) as f64;
        }
    }

    /// Takes feature `at` out of the way that starts at `start`.
    fn unwind(&mut self, start: usize, at: usize) {
        let steps = &mut self.steps[start..];
        let depth = steps.len() - 1;
        let Step { zero, one, .. } = steps[at];
        let size = (depth + 1) as f64;
        let mut next = steps[depth].weight;
        for i in (0..depth).rev() {
            if one != 0.0 {
                let kept = steps[i].weight;
                steps[i].weight = next * size * INVERSE[i + 1];
                next = kept - steps[i].weight * zero * (depth - i) as f64 / size;
            } else {
                steps[i].weight = steps[i].weight * size * INVERSE[depth - i] / zero;
            }
        }
        for i in at..depth {
            let after = steps[i + 1];
            steps[i] = Step { weight: steps[i].weight, ..after };
        }
        self.steps.pop();
    }

    /// The sum of the weights as if feature `at` were taken out. A share `one` that is not zero is one.
    fn unwound(&self, start: usize, at: usize) -> f64 {
        let steps = &self.steps[start..];
        let depth = steps.len() - 1;
        let Step { zero, one, .. } = steps[at];
        let size = (depth + 1) as f64;
        let mut total = 0.0;
        if one != 0.0 {
            let zero = zero / size;
            let mut next = steps[depth].weight;
            for i in (0..depth).rev() {
                let weight = next * size * INVERSE[i + 1];
                total += weight;
                next = steps[i].weight - weight * zero * (depth - i) as f64;
            }
            total
        } else if zero != 0.0 {
            for i in 0..depth {
                total += steps[i].weight * INVERSE[depth - i];
            }
            total * size / zero
        } else {
            0.0
        }
    }
}

/// 1/n by n, for as many features as a way can have.
const INVERSE: [f64; DEEPEST as usize + 2] = {
    let mut table = [0.0; DEEPEST as usize + 2];
    let mut n = 1;
    while n < table.len() {
        table[n] = 1.0 / n as f64;
        n += 1;
    }
    table
};
