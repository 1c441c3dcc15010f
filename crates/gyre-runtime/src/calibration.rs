//! A model whose answers are put right by a few numbers: the file of the model as it is, with the numbers before it.
//!
//! A model that is off in the same way everywhere needs no training, only a line through its answers. The result has to be a
//! model file like any other: kept by its digest, loaded, served, scored and compared by everything that takes one. So
//! there is a file format that holds both:
//!
//! ```text
//! gyre calibrated model 1\n
//! {"numbers": {"scale": 1.1, "shift": 3.0}}\n
//! (the bytes of the model beneath, in whatever format)
//! ```
//!
//! or `{"classes": {"scale": 0.9, "shifts": [0.0, 1.2]}}`, one shift for each class in the order of the probabilities. The model beneath
//! is never itself such a file: whoever puts right what was put right begins with the model beneath.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::binding::{Scores, Task};
use crate::error::LoadError;

/// How such a file begins.
const MARK: &[u8] = b"gyre calibrated model 1\n";
/// The longest line of numbers.
const LONGEST: usize = 1 << 16;
/// The least probability that is reckoned with.
const LEAST: f64 = 1e-9;

/// What is done with a model's answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Calibration {
    /// `scale` · prediction + `shift`.
    Numbers {
        /// What a prediction is multiplied with.
        scale: f64,
        /// What is added, in the prediction's unit.
        shift: f64,
    },
    /// Softmax of `scale` · ln p + shift, class by class; the answer is the class with the largest probability.
    Classes {
        /// What the logarithms of the probabilities are multiplied with.
        scale: f64,
        /// What is added to that of each class, in the order of the probabilities.
        shifts: Vec<f64>,
    },
}

impl Calibration {
    /// The numbers and the model beneath, when `file` is such a file.
    ///
    /// # Errors
    /// [`LoadError`] when it says that it is one and is broken.
    pub fn split(file: &[u8]) -> Result<Option<(Self, &[u8])>, LoadError> {
        let Some(rest) = file.strip_prefix(MARK) else { return Ok(None) };
        let broken = |problem: String| LoadError::Calibrated { problem };
        let end = rest.iter().take(LONGEST).position(|byte| *byte == b'\n');
        let end = end.ok_or_else(|| broken("its second line does not end".to_owned()))?;
        let (line, beneath) = rest.split_at(end);
        let found: Self =
            serde_json::from_slice(line).map_err(|error| broken(format!("its second line: {error}")))?;
        let numbers = match &found {
            Self::Numbers { scale, shift } => vec![*scale, *shift],
            Self::Classes { scale, shifts } => {
                std::iter::once(*scale).chain(shifts.iter().copied()).collect()
            }
        };
        if numbers.iter().any(|number| !number.is_finite()) {
            return Err(broken("its second line has a number that is not finite".to_owned()));
        }
        let beneath = beneath.strip_prefix(b"\n").unwrap_or(beneath);
        if beneath.starts_with(MARK) {
            return Err(broken("the model beneath is itself calibrated".to_owned()));
        }
        Ok(Some((found, beneath)))
    }

    /// The file that holds these numbers and the model in `file`, or the one beneath that.
    ///
    /// # Errors
    /// [`LoadError`] when `file` is a broken file of this kind.
    pub fn over(&self, file: &[u8]) -> Result<Vec<u8>, LoadError> {
        let beneath = Self::split(file)?.map_or(file, |(_, beneath)| beneath);
        let line =
            serde_json::to_vec(self).map_err(|error| LoadError::Calibrated { problem: error.to_string() })?;
        Ok([MARK, &line, b"\n", beneath].concat())
    }

    /// Why these numbers say nothing of a model that predicts `task`.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn fits(&self, task: &Task) -> Result<(), LoadError> {
        let problem = match (self, task) {
            (Self::Numbers { .. }, Task::Regression) => return Ok(()),
            (Self::Classes { shifts, .. }, Task::Classification { classes })
                if shifts.len() == classes.len() =>
            {
                return Ok(());
            }
            (Self::Classes { shifts, .. }, Task::Classification { classes }) => {
                format!(
                    "it has shifts for {} classes, and the model beneath knows {}",
                    shifts.len(),
                    classes.len()
                )
            }
            (Self::Numbers { .. }, _) => {
                "it puts numbers right, and the model beneath predicts classes".to_owned()
            }
            (Self::Classes { .. }, _) => {
                "it puts classes right, and the model beneath predicts numbers".to_owned()
            }
        };
        Err(LoadError::Calibrated { problem })
    }

    /// Puts answers right.
    pub fn apply(&self, scores: Scores) -> Scores {
        match (self, scores) {
            (Self::Numbers { scale, shift }, Scores::Regression(mut numbers)) => {
                numbers.iter_mut().for_each(|number| *number = scale * *number + shift);
                Scores::Regression(numbers)
            }
            (
                Self::Classes { scale, shifts },
                Scores::Classification { labels, classes, mut probabilities },
            ) => {
                let rows = probabilities.chunks_exact_mut(classes.len().max(1));
                let labels = labels.into_iter().zip(rows).map(|(label, row)| {
                    put_right(row, *scale, shifts);
                    likeliest(row).and_then(|at| classes.get(at)).map_or(label, Arc::clone)
                });
                let labels = labels.collect();
                Scores::Classification { labels, classes, probabilities }
            }
            // Looked at when it was loaded.
            (_, scores) => scores,
        }
    }
}

fn put_right(row: &mut [f64], scale: f64, shifts: &[f64]) {
    let mut most = f64::NEG_INFINITY;
    for (p, shift) in row.iter_mut().zip(shifts) {
        *p = scale * p.clamp(LEAST, 1.0).ln() + shift;
        most = most.max(*p);
    }
    row.iter_mut().for_each(|z| *z = (*z - most).exp());
    let sum: f64 = row.iter().sum();
    row.iter_mut().for_each(|p| *p /= sum);
}

/// The class with the largest probability, of equals the first.
fn likeliest(row: &[f64]) -> Option<usize> {
    let best = row.iter().enumerate().reduce(|best, of| if of.1 > best.1 { of } else { best });
    best.map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_back_and_is_never_wrapped_twice() {
        let once = Calibration::Numbers { scale: 1.1, shift: -3.0 };
        let file = once.over(b"any\nmodel").unwrap();
        assert_eq!(Calibration::split(&file).unwrap(), Some((once, &b"any\nmodel"[..])));
        let again = Calibration::Numbers { scale: 2.0, shift: 0.0 };
        let file = again.over(&file).unwrap();
        assert_eq!(Calibration::split(&file).unwrap(), Some((again, &b"any\nmodel"[..])));
        assert_eq!(Calibration::split(b"any\nmodel").unwrap(), None);
    }

    #[test]
    fn a_broken_file_says_what_is_wrong() {
        for (rest, words) in [
            (&b""[..], "does not end"),
            (b"{\"numbers\": {\"scale\": 1}}\nx", "missing field `shift`"),
            (b"{\"numbers\": {\"scale\": 1e999, \"shift\": 0}}\nx", "out of range"),
            (b"{\"else\": 1}\nx", "unknown variant"),
            (b"{\"numbers\": {\"scale\": 1, \"shift\": 0}}\ngyre calibrated model 1\nx", "itself calibrated"),
        ] {
            let told = Calibration::split(&[MARK, rest].concat()).unwrap_err().to_string();
            assert!(told.contains(words), "{told}");
        }
        let classes = Task::Classification { classes: ["no".into(), "yes".into()].into() };
        assert!(Calibration::Numbers { scale: 1.0, shift: 0.0 }.fits(&classes).is_err());
        assert!(Calibration::Classes { scale: 1.0, shifts: vec![0.0; 3] }.fits(&classes).is_err());
        assert!(Calibration::Classes { scale: 1.0, shifts: vec![0.0; 2] }.fits(&classes).is_ok());
    }

    #[test]
    fn answers_are_put_right_and_the_class_follows_the_probabilities() {
        let numbers = Calibration::Numbers { scale: 2.0, shift: 1.0 };
        assert_eq!(numbers.apply(Scores::Regression(vec![1.0, 4.0])), Scores::Regression(vec![3.0, 9.0]));
        let classes: Arc<[Arc<str>]> = ["no".into(), "yes".into()].into();
        let before = Scores::Classification {
            labels: vec!["no".into(), "no".into()],
            classes: Arc::clone(&classes),
            probabilities: vec![0.6, 0.4, 1.0, 0.0],
        };
        let twice = Calibration::Classes { scale: 1.0, shifts: vec![0.0, 2.0_f64.ln()] };
        let Scores::Classification { labels, probabilities, .. } = twice.apply(before) else {
            unreachable!()
        };
        assert_eq!(labels, ["yes".into(), "no".into()] as [Arc<str>; 2]);
        // Odds of 2 to 3, doubled.
        assert!((probabilities[1] - 4.0 / 7.0).abs() < 1e-12, "{probabilities:?}");
        assert!(probabilities.iter().all(|p| p.is_finite()));
    }
}
