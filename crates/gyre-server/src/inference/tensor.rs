//! An input tensor, in whichever of the protocol's wire formats it came, and the features that it holds.
//!
//! Three shapes carry rows of a table: `[n]` and `[n, 1]` are one feature, named as the tensor; `[n, k]` is a matrix of
//! numbers, whose columns are the model's features in the order of its signature (what a client sends that has a NumPy
//! array and no names).

use std::borrow::Cow;
use std::sync::Arc;

use gyre_core::record::{Field, Kind};
use gyre_gateway::{Column, Input, Name, Ports};

use gyre_wire::{Datatype, Elements, UnknownDatatype};

/// An input tensor whose values are what its datatype says.
#[derive(Debug)]
pub(super) struct Tensor<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) datatype: Datatype,
    pub(super) shape: Vec<u64>,
    pub(super) values: Values,
    /// `id`: not a feature, but the prediction ids of the rows.
    pub(super) role: Option<Cow<'a, str>>,
}

/// The elements of a tensor, row by row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Values {
    /// Numbers, NaN where nothing was given, and the places where that is so.
    Numbers(Vec<f64>, Vec<usize>),
    /// Texts, none where nothing was given.
    Texts(Vec<Option<Arc<str>>>),
}

impl Values {
    /// Numbers from where there is no null, so that NaN stands for a missing one.
    pub(super) fn numbers(numbers: Vec<f64>) -> Self {
        let missing = numbers.iter().enumerate().filter(|(_, number)| number.is_nan());
        let nulls = missing.map(|(at, _)| at).collect();
        Self::Numbers(numbers, nulls)
    }

    /// Elements that came in binary.
    pub(super) fn of(elements: Elements) -> Self {
        match elements {
            Elements::Texts(texts) => Self::Texts(texts.into_iter().map(Some).collect()),
            Elements::Numbers(numbers) => Self::numbers(numbers),
            // Beyond 2^53 it is rounded here, and refused when it is held against its datatype.
            whole => Self::Numbers(whole.numbers().unwrap_or_default(), Vec::new()),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers, _) => numbers.len(),
            Self::Texts(texts) => texts.len(),
        }
    }
}

/// What is wrong with a tensor.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum TensorError {
    #[error("input `{name}`: {unknown}")]
    Datatype { name: String, unknown: UnknownDatatype },
    #[error("input `{name}`: the data is {found}, its datatype {datatype} expects {expected}")]
    Kind { name: String, datatype: &'static str, found: &'static str, expected: &'static str },
    #[error("input `{name}`, element {at}: {value} is not a {datatype}")]
    Range { name: String, at: usize, value: f64, datatype: &'static str },
    #[error(
        "input `{name}`: shape {shape:?} does not fit its {found} values; expected [n], [n, 1] or [n, features]"
    )]
    Shape { name: String, shape: Vec<u64>, found: usize },
    #[error("input `{name}`: {problem}")]
    Raw { name: String, problem: String },
    #[error("input `{name}`: a prediction id is missing")]
    Id { name: String },
    #[error(
        "input `{name}` is a matrix of {width} columns, and the model takes {features} features; send as many columns, in the \
         order that its metadata lists them, or one input for each feature"
    )]
    Width { name: String, width: usize, features: usize },
    #[error(
        "input `{name}` is a matrix of numbers, and feature `{feature}` is text; send one input for each feature"
    )]
    TextInMatrix { name: String, feature: String },
    #[error(
        "input `{name}` is a matrix beside other inputs; send one input for each feature, or the matrix alone"
    )]
    MatrixBeside { name: String },
}

impl<'a> Tensor<'a> {
    /// The tensor, once its values are what it says.
    pub(super) fn new(
        name: Cow<'a, str>,
        datatype: Datatype,
        shape: Vec<u64>,
        values: Values,
    ) -> Result<Self, TensorError> {
        let tensor = Self { name, datatype, shape, values, role: None };
        tensor.check_shape()?;
        tensor.check_range()?;
        Ok(tensor)
    }

    /// Rows that it has.
    pub(super) fn rows(&self) -> usize {
        self.shape.first().map_or(0, |rows| usize::try_from(*rows).unwrap_or(usize::MAX))
    }

    /// Elements of a row.
    fn width(&self) -> usize {
        self.shape.get(1).map_or(1, |width| usize::try_from(*width).unwrap_or(usize::MAX))
    }

    pub(super) fn is_matrix(&self) -> bool {
        self.width() != 1
    }

    /// The feature that the tensor holds.
    pub(super) fn into_input(self) -> Result<Input, TensorError> {
        if self.is_matrix() {
            return Err(TensorError::MatrixBeside { name: self.name.into_owned() });
        }
        let name: Name = self.name.into();
        Ok(match self.values {
            Values::Texts(texts) => Input::texts(name, texts),
            Values::Numbers(numbers, nulls) => Input { name, values: Column::Numeric(numbers), nulls },
        })
    }

    /// The features that a matrix holds, one a column, in the order of the signature.
    pub(super) fn into_columns(self, ports: &Ports) -> Result<Vec<Input>, TensorError> {
        let (width, features) = (self.width(), &ports.features);
        let name = || self.name.to_string();
        if width != features.len() {
            return Err(TensorError::Width { name: name(), width, features: features.len() });
        }
        match &self.values {
            Values::Numbers(numbers, nulls) => {
                let text = |field: &&Field| field.kind == Kind::Text;
                if let Some(field) = ports.signature.inputs.iter().find(text) {
                    return Err(TensorError::TextInMatrix { name: name(), feature: field.name.clone() });
                }
                let values = |at: usize| match numbers.len() == width {
                    // One row, as most are.
                    true => vec![numbers[at]],
                    false => numbers.iter().skip(at).step_by(width).copied().collect(),
                };
                let column = |(at, feature): (usize, &Name)| Input {
                    name: feature.clone(),
                    values: Column::Numeric(values(at)),
                    nulls: nulls
                        .iter()
                        .filter(|place| *place % width == at)
                        .map(|place| place / width)
                        .collect(),
                };
                Ok(features.iter().enumerate().map(column).collect())
            }
            Values::Texts(texts) => {
                let column = |(at, feature): (usize, &Name)| {
                    Input::texts(feature.clone(), texts.iter().skip(at).step_by(width).cloned().collect())
                };
                Ok(features.iter().enumerate().map(column).collect())
            }
        }
    }

    /// The prediction ids that the tensor holds, one a row.
    pub(super) fn into_ids(self) -> Result<Vec<Arc<str>>, TensorError> {
        let name = self.name.into_owned();
        match self.values {
            Values::Texts(ids) => ids.into_iter().collect::<Option<_>>().ok_or(TensorError::Id { name }),
            Values::Numbers(..) => {
                let datatype = self.datatype.name();
                Err(TensorError::Kind { name, datatype, found: "numbers", expected: "text" })
            }
        }
    }

    fn check_shape(&self) -> Result<(), TensorError> {
        let found = self.values.len();
        let elements = self.shape.iter().try_fold(1_u64, |product, length| product.checked_mul(*length));
        if (1..=2).contains(&self.shape.len()) && elements == Some(found as u64) {
            return Ok(());
        }
        let shape = self.shape.iter().copied().take(8).collect();
        Err(TensorError::Shape { name: self.name.to_string(), shape, found })
    }

    fn check_range(&self) -> Result<(), TensorError> {
        let (Some((least, most)), Values::Numbers(numbers, _)) = (self.datatype.whole_range(), &self.values)
        else {
            return Ok(());
        };
        let fits = |value: &f64| value.is_nan() || value.fract() == 0.0 && (least..=most).contains(value);
        match numbers.iter().position(|value| !fits(value)) {
            None => Ok(()),
            Some(at) => {
                let (name, value, datatype) = (self.name.to_string(), numbers[at], self.datatype.name());
                Err(TensorError::Range { name, at, value, datatype })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gyre_core::record::Signature;

    fn ports(kinds: &[Kind]) -> Ports {
        let field = |(at, kind): (usize, &Kind)| Field { name: format!("f{at}"), kind: *kind };
        let inputs: Vec<Field> = kinds.iter().enumerate().map(field).collect();
        let features = inputs.iter().map(|field| field.name.as_str().into()).collect();
        Ports { signature: Arc::new(Signature { inputs, output: "y".into(), classes: vec![] }), features }
    }

    fn matrix(shape: &[u64], numbers: &[f64], nulls: &[usize]) -> Result<Tensor<'static>, TensorError> {
        let values = Values::Numbers(numbers.to_vec(), nulls.to_vec());
        Tensor::new("m".into(), Datatype::Fp64, shape.to_vec(), values)
    }

    #[test]
    fn the_columns_of_a_matrix_are_the_features_in_order() {
        let tensor = matrix(&[2, 3], &[1.0, 2.0, 3.0, 4.0, f64::NAN, 6.0], &[4]).unwrap();
        let columns = tensor.into_columns(&ports(&[Kind::Number; 3])).unwrap();
        assert_eq!(columns[0], Input::numbers("f0", vec![1.0, 4.0]));
        assert_eq!((&*columns[1].name, &columns[1].nulls), ("f1", &vec![1]));
        assert_eq!(columns[2], Input::numbers("f2", vec![3.0, 6.0]));
    }

    #[test]
    fn a_matrix_that_does_not_fit_is_told() {
        let told = |kinds: &[Kind]| {
            let tensor = matrix(&[1, 3], &[1.0, 2.0, 3.0], &[]).unwrap();
            tensor.into_columns(&ports(kinds)).unwrap_err().to_string()
        };
        assert!(told(&[Kind::Number; 2]).contains("3 columns, and the model takes 2 features"));
        assert!(told(&[Kind::Number, Kind::Text, Kind::Number]).contains("feature `f1` is text"));
        assert!(matrix(&[3, 1, 1], &[1.0, 2.0, 3.0], &[]).is_err());
        assert!(matrix(&[2], &[1.0], &[]).is_err());
        assert!(matrix(&[u64::MAX, u64::MAX], &[1.0], &[]).is_err());
    }
}
