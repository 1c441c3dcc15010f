//! Boosting: each round fits a tree to the gradient of the loss and adds a share of it.

use crate::bins::Binned;
use crate::options::{Objective, Options};
use crate::tree::{Grown, Growth, Node, Tree, grow};

/// What is minimised, over targets as numbers or class numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    Squared,
    Absolute,
    /// Log-loss over this many classes; two have one score, the second class's logit.
    Log(usize),
}

impl Loss {
    pub(crate) fn regression(objective: Objective) -> Loss {
        match objective {
            Objective::Squared => Loss::Squared,
            Objective::Absolute => Loss::Absolute,
        }
    }

    /// Scores a row has.
    pub(crate) fn outputs(self) -> usize {
        match self {
            Loss::Squared | Loss::Absolute | Loss::Log(2) => 1,
            Loss::Log(classes) => classes,
        }
    }
}

/// A boosted ensemble: the score of output `k` is `base[k]` plus the leaves of the trees for `k`.
pub(crate) struct Ensemble {
    pub(crate) base: Vec<f32>,
    /// Output and tree.
    pub(crate) trees: Vec<(usize, Tree)>,
    /// Total gain of each feature.
    pub(crate) gains: Vec<f64>,
}

/// Boosts trees on binned features.
pub(crate) fn boost(data: &Binned, target: &[f64], loss: Loss, options: &Options) -> Ensemble {
    let outputs = loss.outputs();
    let base = start(target, loss);
    let mut scores: Vec<Vec<f64>> = base.iter().map(|&b| vec![f64::from(b); data.rows]).collect();
    let mut ensemble = Ensemble { base, trees: Vec::new(), gains: vec![0.0; data.features()] };
    let growth =
        Growth { leaves: options.leaves, leaf_rows: options.leaf_rows.min((data.rows / 10).max(1)).max(1) };
    let mut gradients = vec![0.0; data.rows];
    let mut curvatures = vec![1.0; data.rows];
    for _ in 0..options.rounds {
        let mut grew = false;
        let probabilities = if outputs > 1 { softmax(&scores, data.rows) } else { Vec::new() };
        for (output, scores) in scores.iter_mut().enumerate() {
            derivatives(loss, output, target, scores, &probabilities, &mut gradients, &mut curvatures);
            let mut grown = grow(data, &gradients, &curvatures, growth);
            grew |= grown.leaves.len() > 1;
            if loss == Loss::Absolute {
                to_medians(&mut grown, target, scores);
            }
            for (node, rows) in &grown.leaves {
                let Some(Node::Leaf(value)) = grown.tree.nodes.get_mut(*node) else { continue };
                *value = (f64::from(*value) * options.learning_rate) as f32;
                for &row in rows {
                    scores[row as usize] += f64::from(*value);
                }
            }
            ensemble.gains.iter_mut().zip(&grown.gains).for_each(|(all, g)| *all += g);
            ensemble.trees.push((output, grown.tree));
        }
        if !grew {
            break;
        }
    }
    ensemble
}

/// The best constant score of each output.
fn start(target: &[f64], loss: Loss) -> Vec<f32> {
    let n = target.len().max(1) as f64;
    match loss {
        Loss::Squared => vec![(target.iter().sum::<f64>() / n) as f32],
        Loss::Absolute => vec![median(&mut target.to_vec()) as f32],
        Loss::Log(2) => {
            let p = target.iter().sum::<f64>() / n;
            vec![(p / (1.0 - p)).ln() as f32]
        }
        Loss::Log(classes) => {
            let share = |k: usize| target.iter().filter(|&&t| t as usize == k).count() as f64 / n;
            (0..classes).map(|k| share(k).ln() as f32).collect()
        }
    }
}

fn derivatives(
    loss: Loss,
    output: usize,
    target: &[f64],
    scores: &[f64],
    probabilities: &[f64],
    gradients: &mut [f32],
    curvatures: &mut [f32],
) {
    let outputs = loss.outputs();
    for (row, (&y, &score)) in target.iter().zip(scores).enumerate() {
        let (gradient, curvature) = match loss {
            Loss::Squared => (score - y, 1.0),
            // The sign, with zero where the prediction is right.
            Loss::Absolute => (if score == y { 0.0 } else { (score - y).signum() }, 1.0),
            Loss::Log(2) => {
                let p = 1.0 / (1.0 + (-score).exp());
                (p - y, p * (1.0 - p))
            }
            Loss::Log(_) => {
                let p = probabilities[row * outputs + output];
                (p - f64::from(u8::from(y as usize == output)), p * (1.0 - p))
            }
        };
        gradients[row] = gradient as f32;
        curvatures[row] = curvature as f32;
    }
}

/// Row-major probabilities of the classes.
fn softmax(scores: &[Vec<f64>], rows: usize) -> Vec<f64> {
    let mut out = Vec::with_capacity(rows * scores.len());
    for row in 0..rows {
        let max = scores.iter().map(|s| s[row]).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores.iter().map(|s| (s[row] - max).exp()).sum();
        out.extend(scores.iter().map(|s| (s[row] - max).exp() / sum));
    }
    out
}

/// For absolute error the gradient tells only the direction; the best correction of a leaf is the median of what its
/// rows lack (Friedman 2001, algorithm 3).
fn to_medians(grown: &mut Grown, target: &[f64], scores: &[f64]) {
    for (node, rows) in &grown.leaves {
        let mut lack: Vec<f64> = rows.iter().map(|&r| target[r as usize] - scores[r as usize]).collect();
        grown.tree.nodes[*node] = Node::Leaf(median(&mut lack) as f32);
    }
}

/// Median; zero of nothing.
fn median(values: &mut [f64]) -> f64 {
    let n = values.len();
    if n == 0 {
        return 0.0;
    }
    let (below, &mut upper, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    if n % 2 == 1 {
        return upper;
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    lower / 2.0 + upper / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(&mut []), 0.0);
    }

    #[test]
    fn training_loss_falls_for_every_loss() {
        let column: Vec<f32> = (0..200).map(|i| (i % 20) as f32).collect();
        let data = Binned::new(std::slice::from_ref(&column));
        let step = |i: usize| if column[i] > 9.0 { 1.0 } else { 0.0 };
        let target: Vec<f64> = (0..200).map(step).collect();
        for loss in [Loss::Squared, Loss::Absolute, Loss::Log(2)] {
            let ensemble = boost(&data, &target, loss, &Options { rounds: 20, ..Options::default() });
            assert!(!ensemble.trees.is_empty() && ensemble.gains[0] > 0.0, "{loss:?}");
        }
    }
}
