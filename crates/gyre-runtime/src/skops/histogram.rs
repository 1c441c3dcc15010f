//! The histogram-based gradient boosting of scikit-learn.

use super::estimators::Parts;
use super::labels::classes;
use super::node::Node;
use super::transformers::{Columns, append};
use super::trees::learner;
use super::unsupported;
use crate::error::{Problem, Unread};
use crate::forest::{Aggregate, Comparison, Missing, RawNode, RawTree, Test, Words};
use crate::limits::Limits;
use crate::native::Link;

/// Reads a fitted `HistGradientBoostingClassifier` or `…Regressor`.
pub(super) fn boosting(estimator: Node<'_>) -> Result<Parts, Unread> {
    let mut steps = Vec::new();
    let columns = Columns::of(estimator)?;
    let features = columns.width;
    // Categories become codes, and their columns the first ones.
    if let Some(preprocessor) = estimator.optional("_preprocessor") {
        append(preprocessor, columns, &mut steps)?;
    }
    let offsets = estimator.numbers("_baseline_prediction")?;
    let targets = offsets.len();
    if targets == 0 || targets > Limits::DEFAULT.targets {
        return Err(Unread::broken("_baseline_prediction", format!("has {targets} numbers")));
    }
    let (classes, link) = if estimator.class().ends_with("Classifier") {
        (classes(estimator)?, if targets == 1 { Link::Binary(1.0) } else { Link::Softmax })
    } else {
        let link = estimator.get("_loss")?.get("link")?;
        let link = match link.class() {
            "IdentityLink" => Link::Identity,
            "LogLink" => Link::Exp,
            _ => return Err(unsupported(link)),
        };
        (Vec::new(), link)
    };
    let known = known_categories(estimator)?;
    let mut room = Limits::DEFAULT.tree_nodes;
    let mut raw = Vec::new();
    for round in estimator.get("_predictors")?.items()? {
        let round = round.items()?;
        if round.len() != targets {
            return Err(Unread::broken(
                "_predictors",
                format!("{} trees in a round, expected {targets}", round.len()),
            ));
        }
        for (target, predictor) in round.into_iter().enumerate() {
            let (nodes, bits) =
                (predictor.get("nodes")?.array()?, predictor.get("raw_left_cat_bitsets")?.array()?);
            let read = || -> Result<RawTree, Problem> {
                let records = nodes.records()?;
                room = room.checked_sub(records.len()).ok_or("the trees have too many nodes")?;
                let field = |name: &str| records.field(name);
                let bits = bits.numbers()?;
                Fields {
                    value: field("value")?,
                    count: field("count")?,
                    feature: field("feature_idx")?,
                    threshold: field("num_threshold")?,
                    missing_left: field("missing_go_to_left")?,
                    left: field("left")?,
                    right: field("right")?,
                    is_leaf: field("is_leaf")?,
                    is_categorical: field("is_categorical")?,
                    set: field("bitset_idx")?,
                }
                .tree(target as u32, features, &bits, &known)
            };
            let mut read = read;
            raw.push(read().map_err(|problem| Unread::broken("TreePredictor", problem))?);
        }
    }
    Ok(Parts { steps, learner: learner(&raw, targets, Aggregate::Sum)?, offsets, link, classes })
}

/// The fields of the nodes.
struct Fields {
    value: Vec<f64>,
    count: Vec<f64>,
    feature: Vec<f64>,
    threshold: Vec<f64>,
    missing_left: Vec<f64>,
    left: Vec<f64>,
    right: Vec<f64>,
    is_leaf: Vec<f64>,
    is_categorical: Vec<f64>,
    set: Vec<f64>,
}

impl Fields {
    /// `bits` are rows of eight words, `known` the categories of each feature.
    fn tree(
        self,
        target: u32,
        features: usize,
        bits: &[f64],
        known: &[Option<Words>],
    ) -> Result<RawTree, Problem> {
        let mut nodes = Vec::with_capacity(self.value.len());
        for i in 0..self.value.len() {
            if self.is_leaf[i] != 0.0 {
                nodes.push(RawNode::Leaf { weights: vec![(target, self.value[i])] });
                continue;
            }
            let feature = self.feature[i];
            if !(feature >= 0.0 && feature < features as f64) {
                return Err(format!("node {i} looks at feature {feature}, there are {features}"));
            }
            let missing_left = self.missing_left[i] != 0.0;
            let test = if self.is_categorical[i] != 0.0 {
                let from = (self.set[i] as usize).saturating_mul(8);
                let words = bits
                    .get(from..from.saturating_add(8))
                    .ok_or_else(|| format!("node {i} has no categories"))?;
                Test::Member {
                    set: words.iter().map(|word| *word as u32).collect(),
                    known: known.get(feature as usize).cloned().flatten(),
                    // What was not seen in training goes where missing values go.
                    stranger: missing_left,
                }
            } else {
                Test::Compare(Comparison::LessOrEqual, self.threshold[i])
            };
            nodes.push(RawNode::Split {
                feature: feature as u32,
                test,
                missing: if missing_left { Missing::Yes } else { Missing::No },
                yes: self.left[i] as usize,
                no: self.right[i] as usize,
            });
        }
        Ok(RawTree { nodes, root: 0, cover: self.count })
    }
}

/// The categories of each feature that were seen in training; `None` for numbers.
fn known_categories(estimator: Node<'_>) -> Result<Vec<Option<Words>>, Unread> {
    let Some(mapper) = estimator.optional("_bin_mapper") else { return Ok(Vec::new()) };
    let categorical = mapper.numbers("is_categorical_")?;
    let mut known = Vec::new();
    for (at, bins) in mapper.get("bin_thresholds_")?.items()?.into_iter().enumerate() {
        if categorical.get(at).is_none_or(|flag| *flag == 0.0) {
            known.push(None);
            continue;
        }
        let mut words = [0u32; 8];
        let codes = bins.array()?.numbers().map_err(|e| Unread::broken("_BinMapper.bin_thresholds_", e))?;
        for code in codes.into_iter().filter(|code| (0.0..256.0).contains(code)) {
            let code = code as usize;
            words[code / 32] |= 1 << (code % 32);
        }
        known.push(Some(words.into()));
    }
    Ok(known)
}
