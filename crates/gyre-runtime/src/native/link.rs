//! From margins to what a library's `predict` gives.

use std::sync::Arc;

use crate::binding::Scores;
use crate::ops::transform::{Transform, logistic};

/// What is made of the margins of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Link {
    /// A number: the margin.
    Identity,
    /// A number: e to the margin.
    Exp,
    /// A number: the logistic function of the margin.
    Logistic,
    /// A number: the margin's square with its sign.
    SignedSquare,
    /// A number: ln(1 + e to the margin).
    Softplus,
    /// Two classes from one margin: the second one's probability is the logistic function of the margin times this.
    Binary(f64),
    /// Two classes from one margin: the second one when it is above zero.
    Step,
    /// Classes without probabilities: one for the greatest margin, or for the second class when the only one is above zero.
    Winner,
    /// Classes from a margin each, or two from one: margins within −1 and 1 as shares of the way between, summing to one.
    Clipped,
    /// Classes from a margin each: probabilities by softmax.
    Softmax,
    /// Classes from a margin each: the logistic function of each times `slope`, summing to one if `normalised`.
    OneVersusRest { slope: f64, normalised: bool },
    /// Classes whose margins are probabilities already.
    Probabilities,
}

/// In which unit the parts of a score add up; what [`crate::Scorer::explain`] gives is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// The predicted number, or the probability of a class.
    Output,
    /// The natural logarithm of the predicted number.
    Log,
    /// The logarithm of the odds of a class, or of a number between zero and one.
    LogOdds,
    /// The model's score before it is made a prediction: of a class before softmax, of a ranking, or before another
    /// function.
    Score,
}

impl Link {
    pub(crate) fn classifies(self) -> bool {
        !matches!(self, Link::Identity | Link::Exp | Link::Logistic | Link::SignedSquare | Link::Softplus)
    }

    /// Whether one margin tells two classes apart, whatever the number of margins.
    pub(crate) fn is_binary(self) -> bool {
        matches!(self, Link::Binary(_) | Link::Step)
    }

    pub(crate) fn scale(self) -> Scale {
        match self {
            Link::Identity | Link::Probabilities => Scale::Output,
            Link::Exp => Scale::Log,
            Link::Logistic => Scale::LogOdds,
            Link::Binary(1.0) => Scale::LogOdds,
            _ => Scale::Score,
        }
    }

    /// Predictions from margins, one a row, or one a row and class.
    pub(crate) fn scores(self, mut margins: Vec<f64>, classes: &Arc<[Arc<str>]>) -> Scores {
        let each = |mut margins: Vec<f64>, f: fn(f64) -> f64| {
            margins.iter_mut().for_each(|m| *m = f(*m));
            Scores::Regression(margins)
        };
        let count = classes.len().max(1);
        let one_margin =
            count == 2 && !matches!(self, Link::Softmax | Link::OneVersusRest { .. } | Link::Probabilities);
        match self {
            Link::Identity => return Scores::Regression(margins),
            Link::Exp => return each(margins, f64::exp),
            Link::Logistic => return each(margins, logistic),
            Link::SignedSquare => return each(margins, |m| m * m.abs()),
            Link::Softplus => return each(margins, |m| if m > 30.0 { m } else { m.exp().ln_1p() }),
            Link::Binary(slope) => {
                margins = margins.iter().flat_map(|m| [logistic(-m * slope), logistic(m * slope)]).collect();
            }
            Link::Winner | Link::Step if !one_margin => {
                for row in margins.chunks_exact_mut(count) {
                    let best = crate::ops::arg_max_of(row);
                    row.iter_mut().enumerate().for_each(|(i, m)| {
                        *m = if m.is_nan() { *m } else { f64::from(u8::from(i == best)) };
                    });
                }
            }
            Link::Clipped if !one_margin => {
                for row in margins.chunks_exact_mut(count) {
                    row.iter_mut().for_each(|m| *m = (m.clamp(-1.0, 1.0) + 1.0) / 2.0);
                    normalise(row);
                }
            }
            Link::Clipped => {
                let both = |m: &f64| {
                    let p = (m.clamp(-1.0, 1.0) + 1.0) / 2.0;
                    [1.0 - p, p]
                };
                margins = margins.iter().flat_map(both).collect();
            }
            Link::Step | Link::Winner => {
                let both = |m: &f64| {
                    if m.is_nan() {
                        [*m; 2]
                    } else if *m > 0.0 {
                        [0.0, 1.0]
                    } else {
                        [1.0, 0.0]
                    }
                };
                margins = margins.iter().flat_map(both).collect();
            }
            Link::Softmax => margins.chunks_exact_mut(count).for_each(|row| Transform::Softmax.apply(row)),
            Link::OneVersusRest { slope, normalised } => {
                for row in margins.chunks_exact_mut(count) {
                    row.iter_mut().for_each(|m| *m = logistic(*m * slope));
                    if normalised {
                        normalise(row);
                    }
                }
            }
            Link::Probabilities => {}
        }
        let first_best = |row: &[f64]| {
            let best = row.iter().enumerate().rev().max_by(|a, b| a.1.total_cmp(b.1));
            best.and_then(|(i, _)| classes.get(i)).cloned().unwrap_or_default()
        };
        let labels = margins.chunks_exact(count).map(first_best).collect();
        Scores::Classification { labels, classes: Arc::clone(classes), probabilities: margins }
    }
}

/// Makes shares sum to one; nothing but zeros become equal shares.
fn normalise(row: &mut [f64]) {
    let sum: f64 = row.iter().sum();
    let equal = 1.0 / row.len().max(1) as f64;
    row.iter_mut().for_each(|m| *m = if sum == 0.0 { equal } else { *m / sum });
}
