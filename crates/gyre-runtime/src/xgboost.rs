//! XGBoost's own models, JSON and UBJSON.
//!
//! Both forms carry the same document ("Introduction to Model IO" in XGBoost's documentation; the schema is that of
//! versions 1.0 to 3.2), so both are read into the same types. What `predict` does with it: values are rounded to single
//! precision, a split is `x < condition`, a missing value goes the way that the node says; the trees of a group (class)
//! add up; the base score, given as a prediction, is brought to a margin; the objective makes the prediction.
//!
//! A model saved by the scikit-learn wrapper predicts with the trees up to its best iteration, as the wrapper does; one
//! saved by a `Booster` with all, as `Booster.predict` does.

mod document;
mod objective;
mod trees;
mod ubj;

use std::sync::Arc;

use crate::binding::{Feature, FeatureKind};
use crate::error::Unread;
use crate::forest::{Aggregate, Forest};
use crate::format::Hints;
use crate::limits::Limits;
use crate::native::steps::{Category, Codes, Step, Unknown, Vocabulary};
use crate::native::{Learner, Linear, Native};
use document::{Booster, Document, Encoding, Gradients};
use objective::Objective;

/// Reads `save_model("….json")`.
pub(crate) fn json(bytes: &[u8], hints: &Hints<'_>) -> Result<Native, Unread> {
    let document = serde_json::from_slice(bytes).map_err(|e| Unread::broken("JSON", e.to_string()))?;
    model(document, hints)
}

/// Reads `save_model("….ubj")`.
pub(crate) fn ubj(bytes: &[u8], hints: &Hints<'_>) -> Result<Native, Unread> {
    let document = ubj::read(bytes).map_err(|e| Unread::broken("UBJSON", e.to_string()))?;
    model(document, hints)
}

/// Most features: bounds what a file can ask for with one number.
const MOST_FEATURES: usize = 1 << 20;

fn model(document: Document, hints: &Hints<'_>) -> Result<Native, Unread> {
    let Booster {
        attributes,
        feature_names,
        feature_types,
        gradient_booster,
        learner_model_param,
        objective,
    } = document.learner;
    let features = number("learner_model_param.num_feature", &learner_model_param.num_feature)?;
    if features > MOST_FEATURES {
        return Err(Unread::TooLarge { what: "features", found: features, limit: MOST_FEATURES });
    }
    if number("learner_model_param.num_target", learner_model_param.num_target.as_deref().unwrap_or("1"))? > 1
    {
        return Err(Unread::unsupported(
            "a model with several targets",
            "train one model a target, or serve it as a process",
        ));
    }
    let classes =
        number("learner_model_param.num_class", learner_model_param.num_class.as_deref().unwrap_or("0"))?;
    let targets = classes.max(1);
    if targets > Limits::DEFAULT.targets {
        return Err(Unread::TooLarge { what: "classes", found: targets, limit: Limits::DEFAULT.targets });
    }
    let objective = Objective::named(&objective.name, targets)?;
    let mut offsets = base_scores(&learner_model_param.base_score, targets)?;
    offsets.iter_mut().for_each(|score| *score = objective.margin(*score));

    let mut encodings = Vec::new();
    let (trees, drop) = match gradient_booster {
        Gradients { name, model: Some(model), .. } if name == "gbtree" => (model, Vec::new()),
        Gradients { name, gbtree: Some(inner), weight_drop, .. } if name == "dart" => {
            let model =
                inner.model.ok_or_else(|| Unread::broken("gradient_booster.gbtree", "has no model"))?;
            (model, weight_drop)
        }
        Gradients { name, model: Some(model), .. } if name == "gblinear" => {
            // Its predictor takes the first base score for all groups.
            let first = offsets.first().copied().unwrap_or(0.0);
            offsets.fill(first);
            let learner = linear(&model.weights, features, &mut offsets)?;
            return finish(
                features,
                &feature_names,
                &feature_types,
                &encodings,
                learner,
                offsets,
                &objective,
                hints,
            );
        }
        other => {
            return Err(Unread::broken(
                "learner.gradient_booster",
                format!("{:?} is not gbtree, dart or gblinear with their models", other.name),
            ));
        }
    };
    encodings.extend(trees.cats.enc);
    let best = attributes.contains_key("scikit_learn").then(|| attributes.get("best_iteration")).flatten();
    let best = best.map(|best| number("attributes.best_iteration", best)).transpose()?;
    let raw = trees::read(
        &trees.trees,
        &trees.tree_info,
        &drop,
        trees::Extent {
            rounds: best.map(|best| best.saturating_add(1)),
            ends: &trees.iteration_indptr,
            per_round: targets.saturating_mul(match &trees.gbtree_model_param.num_parallel_tree {
                Some(text) => number("num_parallel_tree", text)?.max(1),
                None => 1,
            }),
            features,
            targets,
        },
    )?;
    let forest = Forest::new(&raw, targets).map(Box::new).map_err(|e| Unread::broken("trees", e))?;
    let learner = Learner::Forest { forest, aggregate: Aggregate::Sum };
    finish(features, &feature_names, &feature_types, &encodings, learner, offsets, &objective, hints)
}

#[expect(clippy::too_many_arguments, reason = "the parts of the one document, put together in one place")]
fn finish(
    count: usize,
    own_names: &[String],
    types: &[String],
    encodings: &[Encoding],
    learner: Learner,
    offsets: Vec<f64>,
    objective: &Objective,
    hints: &Hints<'_>,
) -> Result<Native, Unread> {
    if !own_names.is_empty() && own_names.len() != count {
        return Err(Unread::broken(
            "feature_names",
            format!("{} names for {count} features", own_names.len()),
        ));
    }
    let mut features = Vec::with_capacity(count);
    let mut codes: Vec<Option<Codes>> = vec![None; count];
    for (at, name) in hints.names(own_names, count, "f").into_iter().enumerate() {
        let encoding = encodings.get(at).filter(|_| types.get(at).is_some_and(|kind| kind == "c"));
        let vocabulary = encoding.map(|encoding| encoding.categories(at)).transpose()?.flatten();
        let kind = vocabulary.as_ref().map_or(FeatureKind::Numeric, Vocabulary::kind);
        features.push(Feature { name: name.into(), kind });
        codes[at] = vocabulary.map(|vocabulary| Codes {
            vocabulary,
            // As XGBoost does: it raises an error.
            unknown: Unknown::Refuse,
            missing: Unknown::Becomes(f64::NAN),
            missing_code: None,
        });
    }
    let mut steps = Vec::new();
    if codes.iter().any(Option::is_some) {
        steps.push(Step::Codes(codes));
    }
    steps.push(Step::Single);
    let link = objective.link;
    let classes = if link.is_binary() { 2 } else { offsets.len() };
    let classes: Vec<Arc<str>> = if link.classifies() {
        hints.classes(classes).into_iter().map(Arc::from).collect()
    } else {
        Vec::new()
    };
    Ok(Native { features, steps, learner, offsets, link, classes: classes.into() })
}

/// Weights by feature and group, the intercepts last.
fn linear(weights: &[f32], features: usize, offsets: &mut [f64]) -> Result<Learner, Unread> {
    let groups = offsets.len();
    if (features + 1).checked_mul(groups) != Some(weights.len()) {
        let problem = format!("{} weights for {features} features and {groups} groups", weights.len());
        return Err(Unread::broken("gradient_booster.model.weights", problem));
    }
    let (slopes, intercepts) = weights.split_at(features * groups);
    offsets.iter_mut().zip(intercepts).for_each(|(offset, b)| *offset += f64::from(*b));
    let coefficients = (0..groups)
        .flat_map(|group| slopes.iter().skip(group).step_by(groups).map(|w| f64::from(*w)))
        .collect();
    Ok(Learner::Linear(Linear { coefficients, columns: features, skips_missing: true }))
}

/// One number, or from 3.1 on a list in brackets: one for all, or one a target.
fn base_scores(text: &str, targets: usize) -> Result<Vec<f64>, Unread> {
    let place = "learner_model_param.base_score";
    let scores = text
        .trim()
        .trim_start_matches('[')
        .trim_end_matches(']')
        .split(',')
        // Single precision, as it is there.
        .map(|part| part.trim().parse::<f32>().map(f64::from))
        .collect::<Result<Vec<f64>, _>>()
        .map_err(|e| Unread::broken(place, format!("{text:?}: {e}")))?;
    match scores.as_slice() {
        [one] => Ok(vec![*one; targets]),
        all if all.len() == targets => Ok(scores),
        all => Err(Unread::broken(place, format!("{} scores for {targets} targets", all.len()))),
    }
}

fn number(place: &str, text: &str) -> Result<usize, Unread> {
    text.trim().parse().map_err(|_| Unread::broken(place, format!("{text:?} is not a number of things")))
}

impl Encoding {
    /// The categories of a feature that was trained on text or on other numbers than codes.
    fn categories(&self, feature: usize) -> Result<Option<Vocabulary>, Unread> {
        let broken = |problem: &str| Unread::broken(format!("cats.enc[{feature}]"), problem);
        if self.offsets.is_empty() {
            let numbers = self.values.iter().map(|x| Category::Number(*x));
            return Ok((!self.values.is_empty()).then(|| Vocabulary::new(numbers)));
        }
        let bytes: Vec<u8> = self
            .values
            .iter()
            // Bytes are written as signed numbers.
            .map(|x| if (-128.0..256.0).contains(x) { Some((*x as i16) as u8) } else { None })
            .collect::<Option<_>>()
            .ok_or_else(|| broken("holds no bytes"))?;
        let mut texts = Vec::with_capacity(self.offsets.len());
        for pair in self.offsets.windows(2) {
            let range = pair[0] as usize..pair[1] as usize;
            let text = bytes.get(range).and_then(|bytes| std::str::from_utf8(bytes).ok());
            texts.push(Category::Text(text.ok_or_else(|| broken("has offsets that cut no text"))?.into()));
        }
        Ok(Some(Vocabulary::new(texts)))
    }
}
