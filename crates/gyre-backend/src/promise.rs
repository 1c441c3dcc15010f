//! What the signature promises about answers, and whether an answer keeps it.
//!
//! It is done in two steps, because several callers may share an answer: [`Promise::read`] finds out which output is what,
//! for all rows; [`Rows::scores`] looks at the values of one caller's rows, so that NaN in a row of one is no error of
//! another.

use std::ops::Range;
use std::sync::Arc;

use gyre_core::record::Signature;
use gyre_runtime::Scores;
use gyre_wire::Elements;

use crate::cells::Tensor;
use crate::error::AnswerError;

/// How far outside of 0 to 1 rounding may bring a probability.
const ROUNDING: f64 = 1e-6;

/// What the answers are to be.
#[derive(Debug)]
pub(crate) struct Promise {
    output: String,
    /// Empty: numbers.
    classes: Arc<[Arc<str>]>,
}

/// An answer in which it is known what is what.
#[derive(Debug)]
pub(crate) enum Rows {
    Numbers(Vec<f64>),
    Classes { labels: Option<Vec<Arc<str>>>, probabilities: Vec<f64>, classes: Arc<[Arc<str>]> },
}

impl Promise {
    pub(crate) fn new(signature: &Signature) -> Self {
        let classes = signature.classes.iter().map(|class| class.as_str().into()).collect();
        Self { output: signature.output.clone(), classes }
    }

    /// Which of the outputs is the prediction, for `rows` rows.
    pub(crate) fn read(&self, outputs: &[Tensor], rows: usize) -> Result<Rows, AnswerError> {
        for output in outputs {
            let promised =
                output.shape.iter().try_fold(1_usize, |product, &length| product.checked_mul(length));
            if promised != Some(output.cells.len()) {
                return Err(AnswerError::Format(format!(
                    "output {:?} has {} values, but the shape {:?}",
                    output.name,
                    output.cells.len(),
                    output.shape
                )));
            }
        }
        // The first length of a tensor is the number of rows; where no output has it, that is what is wrong.
        if !outputs.is_empty() && outputs.iter().all(|output| output.shape.first() != Some(&rows)) {
            let found = outputs.first().and_then(|output| output.shape.first()).copied().unwrap_or(0);
            return Err(AnswerError::Rows { found, expected: rows });
        }
        let fitting = |width: usize| {
            outputs.iter().filter(move |output| {
                output.shape.first() == Some(&rows) && Some(output.cells.len()) == rows.checked_mul(width)
            })
        };
        if self.classes.is_empty() {
            let numbers = || fitting(1).filter(|output| !matches!(output.cells, Elements::Texts(_)));
            let named = numbers().find(|output| output.name == self.output);
            let only = || numbers().next().filter(|_| numbers().nth(1).is_none());
            let values = named.or_else(only).and_then(|output| output.cells.numbers());
            return values.map(Rows::Numbers).ok_or_else(|| {
                self.outputs(outputs, format!("one number a row, as the only output or as {:?}", self.output))
            });
        }
        let width = self.classes.len();
        let probabilities = fitting(width)
            .filter(|output| output.shape.len() > 1 && width > 1)
            .find_map(|output| output.cells.numbers());
        let labelling = |output: &&Tensor| !matches!(output.cells, Elements::Numbers(_));
        let label = fitting(1).filter(labelling).find(|output| output.name == self.output);
        let label = label.or_else(|| fitting(1).find(labelling));
        let labels = label.map(|output| output.cells.classes());
        let rows_of = |labels, probabilities| {
            Ok(Rows::Classes { labels, probabilities, classes: Arc::clone(&self.classes) })
        };
        match (labels, probabilities) {
            (labels, Some(probabilities)) => rows_of(labels, probabilities),
            (Some(labels), None) => rows_of(Some(labels), Vec::new()),
            (None, None) => {
                let number = fitting(1).find_map(|output| output.cells.numbers());
                match number {
                    // One number a row with two classes: the probability of the second.
                    Some(second) if width == 2 => {
                        rows_of(None, second.iter().flat_map(|&value| [1.0 - value, value]).collect())
                    }
                    // Classes that the learner kept as floats.
                    Some(numbers) => rows_of(Some(Elements::Numbers(numbers).classes()), Vec::new()),
                    None => Err(self.outputs(
                        outputs,
                        format!("a class a row, or {width} probabilities a row (shape [{rows}, {width}])"),
                    )),
                }
            }
        }
    }

    fn outputs(&self, outputs: &[Tensor], expected: String) -> AnswerError {
        let shown = |output: &Tensor| {
            format!("{:?} ({}, shape {:?})", output.name, output.cells.kind(), output.shape)
        };
        let found: Vec<String> = outputs.iter().take(8).map(shown).collect();
        let found = if found.is_empty() { "no outputs".to_owned() } else { found.join(", ") };
        AnswerError::Outputs { expected, found }
    }
}

impl Rows {
    /// The predictions of some of the rows, each checked.
    pub(crate) fn scores(&self, rows: Range<usize>) -> Result<Scores, AnswerError> {
        match self {
            Self::Numbers(values) => {
                let values = values.get(rows).unwrap_or_default();
                if let Some((row, &value)) = values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
                    return Err(AnswerError::NonFinite { row, value });
                }
                Ok(Scores::Regression(values.to_vec()))
            }
            Self::Classes { labels, probabilities, classes } => {
                let width = classes.len();
                let probabilities = match probabilities.is_empty() {
                    true => &[],
                    false => probabilities.get(rows.start * width..rows.end * width).unwrap_or_default(),
                };
                if let Some((at, &value)) = probabilities
                    .iter()
                    .enumerate()
                    .find(|(_, value)| !(-ROUNDING..=1.0 + ROUNDING).contains(*value))
                {
                    let row = at / width.max(1);
                    return Err(match value.is_finite() {
                        true => AnswerError::Probability { row, value },
                        false => AnswerError::NonFinite { row, value },
                    });
                }
                let labels: Vec<Arc<str>> = match labels {
                    Some(labels) => known(labels.get(rows).unwrap_or_default(), classes)?,
                    None => {
                        probabilities.chunks_exact(width.max(1)).map(|row| likeliest(row, classes)).collect()
                    }
                };
                let (classes, probabilities) = (Arc::clone(classes), probabilities.to_vec());
                Ok(Scores::Classification { labels, classes, probabilities })
            }
        }
    }
}

/// The labels, in the words of the signature.
fn known(labels: &[Arc<str>], classes: &[Arc<str>]) -> Result<Vec<Arc<str>>, AnswerError> {
    let class = |(row, label): (usize, &Arc<str>)| {
        let found = classes.iter().find(|class| *class == label).map(Arc::clone);
        found.ok_or_else(|| AnswerError::UnknownClass {
            row,
            found: label.chars().take(100).collect(),
            expected: classes.iter().take(20).map(|class| &**class).collect::<Vec<_>>().join(", "),
        })
    };
    labels.iter().enumerate().map(class).collect()
}

/// The first of the likeliest classes.
fn likeliest(row: &[f64], classes: &[Arc<str>]) -> Arc<str> {
    let best = row.iter().enumerate().rev().max_by(|a, b| a.1.total_cmp(b.1));
    best.and_then(|(at, _)| classes.get(at)).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promise(classes: &[&str]) -> Promise {
        let classes = classes.iter().map(|&class| class.to_owned()).collect();
        Promise::new(&Signature { inputs: Vec::new(), output: "y".into(), classes })
    }

    fn tensor(name: &str, shape: &[usize], cells: Elements) -> Tensor {
        Tensor { name: name.into(), shape: shape.to_vec(), cells }
    }

    fn numbers(name: &str, shape: &[usize], values: &[f64]) -> Tensor {
        tensor(name, shape, Elements::Numbers(values.to_vec()))
    }

    fn texts(name: &str, values: &[&str]) -> Tensor {
        let cells = Elements::Texts(values.iter().map(|&value| value.into()).collect());
        tensor(name, &[values.len()], cells)
    }

    #[test]
    fn a_number_a_row_is_found_by_name_or_alone() {
        let regression = promise(&[]);
        let alone = [numbers("out", &[2, 1], &[1.0, 2.0])];
        let scores = regression.read(&alone, 2).unwrap().scores(0..2);
        assert_eq!(scores, Ok(Scores::Regression(vec![1.0, 2.0])));
        let two = [numbers("a", &[1], &[1.0]), numbers("y", &[1], &[2.0])];
        assert_eq!(regression.read(&two, 1).unwrap().scores(0..1), Ok(Scores::Regression(vec![2.0])));
        let two = [numbers("a", &[1], &[1.0]), numbers("b", &[1], &[2.0])];
        let error = regression.read(&two, 1).unwrap_err().to_string();
        assert!(error.contains(r#"as "y""#) && error.contains(r#""b" (numbers, shape [1])"#), "{error}");
    }

    #[test]
    fn wrong_shapes_are_named() {
        let regression = promise(&[]);
        let three = [numbers("y", &[3], &[1.0; 3])];
        assert_eq!(regression.read(&three, 2).unwrap_err(), AnswerError::Rows { found: 3, expected: 2 });
        let lie = [numbers("y", &[2], &[1.0; 3])];
        assert!(matches!(regression.read(&lie, 2), Err(AnswerError::Format(_))));
        let huge = [numbers("y", &[usize::MAX, 2], &[1.0; 3])];
        assert!(matches!(regression.read(&huge, 2), Err(AnswerError::Format(_))));
        let wide = [numbers("y", &[2, 3], &[1.0; 6])];
        assert!(matches!(regression.read(&wide, 2), Err(AnswerError::Outputs { .. })));
        assert!(matches!(regression.read(&[], 2), Err(AnswerError::Outputs { .. })));
    }

    #[test]
    fn nan_is_an_error_of_its_own_row_only() {
        let rows = promise(&[]).read(&[numbers("y", &[3], &[1.0, f64::NAN, 3.0])], 3).unwrap();
        assert_eq!(rows.scores(0..1), Ok(Scores::Regression(vec![1.0])));
        assert!(matches!(rows.scores(1..3), Err(AnswerError::NonFinite { row: 0, .. })));
        assert_eq!(rows.scores(2..3), Ok(Scores::Regression(vec![3.0])));
    }

    #[test]
    fn classes_come_as_labels_probabilities_or_both() {
        let promise = promise(&["no", "yes"]);
        let both = [texts("label", &["yes"]), numbers("p", &[1, 2], &[0.7, 0.3])];
        let Ok(Scores::Classification { labels, probabilities, .. }) =
            promise.read(&both, 1).unwrap().scores(0..1)
        else {
            panic!("no classes")
        };
        assert_eq!((&*labels[0], probabilities), ("yes", vec![0.7, 0.3]));
        let one = [numbers("p", &[2], &[0.25, 0.75])];
        let Ok(Scores::Classification { labels, probabilities, .. }) =
            promise.read(&one, 2).unwrap().scores(0..2)
        else {
            panic!("no classes")
        };
        assert_eq!((&*labels[0], &*labels[1], probabilities), ("no", "yes", vec![0.75, 0.25, 0.25, 0.75]));
        let labels = [texts("label", &["no", "maybe"])];
        let rows = promise.read(&labels, 2).unwrap();
        assert!(
            matches!(rows.scores(0..1), Ok(Scores::Classification { probabilities, .. }) if probabilities.is_empty())
        );
        let error = rows.scores(1..2).unwrap_err();
        assert!(
            matches!(&error, AnswerError::UnknownClass { row: 0, found, .. } if found == "maybe"),
            "{error}"
        );
    }

    #[test]
    fn integers_are_classes_and_probabilities_stay_within_bounds() {
        let digits = promise(&["0", "1", "2"]);
        let labels = [tensor("y", &[2], Elements::Integers(vec![2, 0]))];
        let scores = digits.read(&labels, 2).unwrap().scores(0..2).unwrap();
        assert!(matches!(scores, Scores::Classification { labels, .. } if *labels[0] == *"2"));
        let floats = [numbers("y", &[1], &[2.0])];
        let scores = digits.read(&floats, 1).unwrap().scores(0..1).unwrap();
        assert!(matches!(scores, Scores::Classification { labels, .. } if *labels[0] == *"2"));
        let logits = [numbers("p", &[1, 3], &[0.5, 7.0, -3.0])];
        let error = digits.read(&logits, 1).unwrap().scores(0..1).unwrap_err();
        assert_eq!(error, AnswerError::Probability { row: 0, value: 7.0 });
    }
}
