//! Objectives: how a base score becomes a margin, and margins a prediction.

use crate::error::Unread;
use crate::native::Link;

/// What an objective does around the trees.
#[derive(Debug, PartialEq)]
pub(super) struct Objective {
    pub(super) link: Link,
    base: Base,
}

/// The form in which a base score is given.
#[derive(Debug, PartialEq)]
enum Base {
    Margin,
    /// A probability.
    Logit,
    /// A positive number.
    Log,
}

impl Objective {
    /// # Errors
    /// The objective is not known, or does not fit the number of classes.
    pub(super) fn named(name: &str, targets: usize) -> Result<Objective, Unread> {
        let (link, base) = match name {
            "reg:squarederror"
            | "reg:linear"
            | "reg:squaredlogerror"
            | "reg:pseudohubererror"
            | "reg:absoluteerror"
            | "reg:quantileerror"
            | "reg:expectileerror"
            | "rank:pairwise"
            | "rank:ndcg"
            | "rank:map" => (Link::Identity, Base::Margin),
            "reg:logistic" => (Link::Logistic, Base::Logit),
            "binary:logitraw" => (Link::Identity, Base::Margin),
            "binary:logistic" => (Link::Binary(1.0), Base::Logit),
            "binary:hinge" => (Link::Step, Base::Margin),
            "count:poisson" | "reg:gamma" | "reg:tweedie" | "survival:cox" | "survival:aft" => {
                (Link::Exp, Base::Log)
            }
            "multi:softprob" | "multi:softmax" => (Link::Softmax, Base::Margin),
            other => {
                return Err(Unread::unsupported(
                    format!("the objective {other:?}"),
                    "export the model to ONNX, or serve it as a process",
                ));
            }
        };
        if targets > 1 && link != Link::Softmax {
            return Err(Unread::broken("objective", format!("{name:?} with {targets} classes")));
        }
        Ok(Objective { link, base })
    }

    /// The margin of a base score.
    pub(super) fn margin(&self, score: f64) -> f64 {
        match self.base {
            Base::Margin => score,
            Base::Logit => (score / (1.0 - score)).ln(),
            Base::Log => score.ln(),
        }
    }
}
