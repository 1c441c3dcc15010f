//! LightGBM's text model (`Booster.save_model`, `booster_.save_model`), versions 2 to 4.
//!
//! The file is lines `key=value`: a header, a block a tree, and after the trees the parameters of the training. What
//! `predict` does with it: a numerical split is `x ≤ threshold` in double precision; a missing value is NaN, or nothing, or
//! zero, as each node says, and then goes the node's default way; a split by category is a bit set, and what is in it goes
//! left; the leaves add up (with DART's weights and the learning rate in them already), and the objective makes the
//! prediction. `best_iteration` is no matter of the file: `save_model` leaves out what is behind it.

mod trees;

use std::sync::Arc;

use crate::binding::{Feature, FeatureKind};
use crate::error::Unread;
use crate::forest::{Aggregate, Forest, RawNode};
use crate::format::Hints;
use crate::limits::Limits;
use crate::native::steps::{Category, Codes, Step, Unknown, Vocabulary};
use crate::native::{Learner, Link, Native};

const REMEDY: &str = "export the model to ONNX, or serve it as a process";

/// Most features: what is made for each is larger than its name in the file.
const MOST_FEATURES: usize = 1 << 20;

/// What the header says.
#[derive(Debug, Default)]
struct Header<'a> {
    names: Vec<String>,
    infos: Vec<&'a str>,
    objective: &'a str,
    classes: usize,
    per_iteration: usize,
    averages: bool,
}

/// Reads a text model.
pub(crate) fn text(bytes: &[u8], hints: &Hints<'_>) -> Result<Native, Unread> {
    let text =
        std::str::from_utf8(bytes).map_err(|e| Unread::broken("file", format!("is not UTF-8: {e}")))?;
    let mut lines = text.lines().enumerate().peekable();
    let mut header = Header::default();
    while let Some((at, line)) =
        lines.next_if(|(_, line)| !line.starts_with("Tree=") && *line != "end of trees")
    {
        let place = || format!("line {}", at + 1);
        let number = |value: &str| {
            value.parse::<usize>().map_err(|_| Unread::broken(place(), format!("{value:?} is no number")))
        };
        match line.split_once('=') {
            Some((key @ ("feature_names" | "feature_infos"), value)) => {
                let found = value.bytes().filter(|byte| *byte == b' ').count() + 1;
                if found > MOST_FEATURES {
                    return Err(Unread::TooLarge { what: "features", found, limit: MOST_FEATURES });
                }
                match key {
                    "feature_names" => header.names = value.split(' ').map(str::to_owned).collect(),
                    _ => header.infos = value.split(' ').collect(),
                }
            }
            Some(("objective", value)) => header.objective = value,
            Some(("num_class", value)) => header.classes = number(value)?,
            Some(("num_tree_per_iteration", value)) => header.per_iteration = number(value)?,
            None if line == "average_output" => header.averages = true,
            _ => {}
        }
    }
    let targets = header.per_iteration;
    if targets == 0 || targets > Limits::DEFAULT.targets {
        return Err(Unread::broken("header", format!("num_tree_per_iteration is {targets}")));
    }
    let mut raw = trees::read(&mut lines, targets, header.names.len())?;
    let trailer = lines.map(|(_, line)| line).find_map(|line| line.strip_prefix("pandas_categorical:"));
    let categories = match trailer {
        None | Some("null") => Vec::new(),
        Some(json) => serde_json::from_str::<Vec<Vec<serde_json::Value>>>(json)
            .map_err(|e| Unread::broken("pandas_categorical", e.to_string()))?,
    };
    let link = objective(header.objective, targets)?;
    if header.averages {
        // A random forest says the mean over its rounds.
        let rounds = (raw.len() / targets).max(1) as f64;
        for node in raw.iter_mut().flat_map(|tree| &mut tree.nodes) {
            if let RawNode::Leaf { weights } = node {
                weights.iter_mut().for_each(|(_, weight)| *weight /= rounds);
            }
        }
    }
    let forest = Forest::new(&raw, targets).map(Box::new).map_err(|e| Unread::broken("trees", e))?;
    let (features, codes) = features(&header, &categories, hints)?;
    let mut steps = Vec::new();
    if codes.iter().any(Option::is_some) {
        steps.push(Step::Codes(codes));
    }
    steps.push(Step::Flush);
    let classes = if link.is_binary() { 2 } else { targets };
    let classes: Vec<Arc<str>> = if link.classifies() {
        hints.classes(classes).into_iter().map(Arc::from).collect()
    } else {
        Vec::new()
    };
    Ok(Native {
        features,
        steps,
        learner: Learner::Forest { forest, aggregate: Aggregate::Sum },
        offsets: vec![0.0; targets],
        link,
        classes: classes.into(),
    })
}

/// Features, and the categories of those that were trained on a data frame's categories.
fn features(
    header: &Header<'_>,
    categories: &[Vec<serde_json::Value>],
    hints: &Hints<'_>,
) -> Result<(Vec<Feature>, Vec<Option<Codes>>), Unread> {
    let count = header.names.len();
    // Categorical features have their codes for information, others a range.
    let coded: Vec<usize> = header
        .infos
        .iter()
        .enumerate()
        .filter(|(_, info)| !info.starts_with('[') && **info != "none" && !info.is_empty())
        .map(|(at, _)| at)
        .collect();
    if !categories.is_empty() && coded.len() != categories.len() {
        return Err(Unread::unsupported(
            format!(
                "a model with the categories of {} columns of a data frame, where {} features have categories (a column \
                 that never varies cannot be told apart)",
                categories.len(),
                coded.len()
            ),
            "train without columns that have one value only, or on codes",
        ));
    }
    let mut codes: Vec<Option<Codes>> = vec![None; count];
    for (at, categories) in coded.iter().zip(categories) {
        let category = |value: &serde_json::Value| match value {
            serde_json::Value::String(text) => Category::Text(text.as_str().into()),
            serde_json::Value::Bool(flag) => Category::Number(f64::from(u8::from(*flag))),
            value => value.as_f64().map_or(Category::Missing, Category::Number),
        };
        if let Some(slot) = codes.get_mut(*at) {
            *slot = Some(Codes {
                vocabulary: Vocabulary::new(categories.iter().map(category)),
                // As LightGBM does: what is no category is missing.
                unknown: Unknown::Becomes(f64::NAN),
                missing: Unknown::Becomes(f64::NAN),
                missing_code: None,
            });
        }
    }
    let names = hints.names(&header.names, count, "Column_");
    let feature = |(name, codes): (String, &Option<Codes>)| Feature {
        name: name.into(),
        kind: codes.as_ref().map_or(FeatureKind::Numeric, |codes| codes.vocabulary.kind()),
    };
    Ok((names.into_iter().zip(&codes).map(feature).collect(), codes))
}

/// What an objective's line means for predictions.
fn objective(line: &str, targets: usize) -> Result<Link, Unread> {
    let mut words = line.split_whitespace();
    let name = words.next().unwrap_or_default();
    let setting = |key: &str, otherwise: f64| {
        let value = line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix(':'));
        value.map_or(Ok(otherwise), |v| {
            v.parse().map_err(|_| Unread::broken("objective", format!("{line:?}")))
        })
    };
    let link = match name {
        "regression" if line.split_whitespace().any(|word| word == "sqrt") => Link::SignedSquare,
        "" | "custom" | "none" | "null" | "na" | "regression" | "regression_l1" | "huber" | "fair"
        | "quantile" | "mape" | "lambdarank" | "rank_xendcg" => Link::Identity,
        "poisson" | "gamma" | "tweedie" => Link::Exp,
        "cross_entropy" => Link::Logistic,
        "cross_entropy_lambda" => Link::Softplus,
        "binary" => Link::Binary(setting("sigmoid", 1.0)?),
        "multiclass" => Link::Softmax,
        "multiclassova" => Link::OneVersusRest { slope: setting("sigmoid", 1.0)?, normalised: false },
        other => return Err(Unread::unsupported(format!("the objective {other:?}"), REMEDY)),
    };
    let several = matches!(link, Link::Softmax | Link::OneVersusRest { .. });
    if !several && targets > 1 {
        return Err(Unread::unsupported(
            format!("the objective {name:?} with {targets} numbers a row"),
            REMEDY,
        ));
    }
    Ok(link)
}
