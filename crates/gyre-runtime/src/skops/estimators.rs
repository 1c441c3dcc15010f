//! The last step: what predicts.

use std::sync::Arc;

use super::labels::classes;
use super::node::Node;
use super::{REMEDY, histogram, trees, unsupported};
use crate::error::Unread;
use crate::limits::Limits;
use crate::native::steps::Step;
use crate::native::{Activation, Layer, Learner, Linear, Link};

/// An estimator in the engine's parts.
#[derive(Debug)]
pub(super) struct Parts {
    /// What it does itself to what it is given.
    pub(super) steps: Vec<Step>,
    pub(super) learner: Learner,
    pub(super) offsets: Vec<f64>,
    pub(super) link: Link,
    pub(super) classes: Vec<Arc<str>>,
}

/// Reads a fitted estimator.
pub(super) fn read(node: Node<'_>) -> Result<Parts, Unread> {
    if !node.is_sklearn() {
        return Err(unsupported(node));
    }
    match node.class() {
        "LinearRegression" | "Ridge" | "RidgeCV" | "Lasso" | "LassoCV" | "LassoLars" | "ElasticNet"
        | "ElasticNetCV" | "BayesianRidge" | "ARDRegression" | "HuberRegressor" | "QuantileRegressor"
        | "SGDRegressor" | "LinearSVR" => linear(node, Link::Identity, Vec::new()),
        "PoissonRegressor" | "GammaRegressor" => linear(node, Link::Exp, Vec::new()),
        "LogisticRegression" | "LogisticRegressionCV" => {
            let classes = classes(node)?;
            // Before 1.8, a setting told how several classes are told apart.
            let several = node.setting("multi_class");
            let one_by_one = several == "ovr" || (classes.len() > 2 && node.setting("solver") == "liblinear");
            let link = match classes.len() {
                2 if several == "multinomial" => Link::Binary(2.0),
                2 => Link::Binary(1.0),
                _ if one_by_one => Link::OneVersusRest { slope: 1.0, normalised: true },
                _ => Link::Softmax,
            };
            linear(node, link, classes)
        }
        "SGDClassifier" => {
            let classes = classes(node)?;
            let link = match (node.setting("loss").as_str(), classes.len()) {
                ("log_loss" | "log", 2) => Link::Binary(1.0),
                ("log_loss" | "log", _) => Link::OneVersusRest { slope: 1.0, normalised: true },
                ("modified_huber", _) => Link::Clipped,
                _ => Link::Winner,
            };
            linear(node, link, classes)
        }
        "RidgeClassifier"
        | "RidgeClassifierCV"
        | "LinearSVC"
        | "Perceptron"
        | "PassiveAggressiveClassifier" => {
            let classes = classes(node)?;
            linear(node, Link::Winner, classes)
        }
        "DecisionTreeClassifier" | "DecisionTreeRegressor" | "ExtraTreeClassifier" | "ExtraTreeRegressor" => {
            trees::forest(node, &[node])
        }
        "RandomForestClassifier"
        | "RandomForestRegressor"
        | "ExtraTreesClassifier"
        | "ExtraTreesRegressor" => trees::forest(node, &node.get("estimators_")?.items()?),
        "GradientBoostingClassifier" | "GradientBoostingRegressor" => trees::boosting(node),
        "HistGradientBoostingClassifier" | "HistGradientBoostingRegressor" => histogram::boosting(node),
        "MLPClassifier" | "MLPRegressor" => perceptron(node),
        _ => Err(unsupported(node)),
    }
}

fn linear(node: Node<'_>, link: Link, classes: Vec<Arc<str>>) -> Result<Parts, Unread> {
    let coefficients = node.numbers("coef_")?;
    let columns = node.get("n_features_in_")?.as_index().unwrap_or(0);
    let targets = if classes.len() > 2 { classes.len() } else { 1 };
    let found = coefficients.len().checked_div(columns).unwrap_or(0);
    if classes.is_empty() && found > 1 {
        return Err(Unread::unsupported(format!("a {} with several outputs", node.class()), REMEDY));
    }
    if targets > Limits::DEFAULT.targets || targets.checked_mul(columns) != Some(coefficients.len()) {
        let problem =
            format!("has {} coefficients for {columns} columns and {targets} outputs", coefficients.len());
        return Err(Unread::broken(format!("{}.coef_", node.class()), problem));
    }
    let mut offsets = node.numbers("intercept_")?;
    if offsets.len() == 1 {
        offsets = vec![offsets[0]; targets];
    }
    if offsets.len() != targets {
        let problem = format!("has {} entries, expected {targets}", offsets.len());
        return Err(Unread::broken(format!("{}.intercept_", node.class()), problem));
    }
    let learner = Learner::Linear(Linear { coefficients, columns, skips_missing: false });
    Ok(Parts { steps: vec![Step::Finite], learner, offsets, link, classes })
}

fn perceptron(node: Node<'_>) -> Result<Parts, Unread> {
    let place = |name: &str| format!("{}.{name}", node.class());
    let hidden = match node.setting("activation").as_str() {
        "identity" => Activation::Identity,
        "relu" => Activation::Relu,
        "tanh" => Activation::Tanh,
        "logistic" => Activation::Logistic,
        other => return Err(Unread::broken(place("activation"), format!("{other:?} is not known"))),
    };
    let (weights, biases) = (node.get("coefs_")?.items()?, node.get("intercepts_")?.items()?);
    if weights.len() != biases.len() || weights.is_empty() {
        let problem = format!("has {} layers, and {} of intercepts", weights.len(), biases.len());
        return Err(Unread::broken(place("coefs_"), problem));
    }
    let mut width = node.get("n_features_in_")?.as_index().unwrap_or(0);
    let mut layers = Vec::with_capacity(weights.len());
    for (weights, biases) in weights.into_iter().zip(biases) {
        let numbers =
            |node: Node<'_>, name| node.array()?.numbers().map_err(|e| Unread::broken(place(name), e));
        let (weights, biases) = (numbers(weights, "coefs_")?, numbers(biases, "intercepts_")?);
        if width.checked_mul(biases.len()) != Some(weights.len()) || biases.len() > Limits::DEFAULT.targets {
            let problem = format!("{} weights from {width} to {} numbers", weights.len(), biases.len());
            return Err(Unread::broken(place("coefs_"), problem));
        }
        width = biases.len();
        layers.push(Layer { weights, biases, activation: hidden });
    }
    if let Some(last) = layers.last_mut() {
        last.activation = Activation::Identity;
    }
    let classes = if node.class() == "MLPClassifier" { classes(node)? } else { Vec::new() };
    let link = match (node.setting("out_activation_").as_str(), classes.len(), width) {
        ("identity", 0, 1) => Link::Identity,
        ("exp", 0, 1) => Link::Exp,
        ("logistic", 2, 1) => Link::Binary(1.0),
        ("softmax", classes, outputs) if classes == outputs => Link::Softmax,
        (activation, classes, outputs) => {
            let what =
                format!("a {} with {outputs} outputs by {activation} for {classes} classes", node.class());
            return Err(Unread::unsupported(what, REMEDY));
        }
    };
    let offsets = vec![0.0; width];
    Ok(Parts { steps: vec![Step::Finite], learner: Learner::Network(layers), offsets, link, classes })
}
