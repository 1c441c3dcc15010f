//! Rows of a table as the tensors that a graph takes, and the tensors that it gives as predictions.
//!
//! Two shapes of graph are common, and both are understood: one input of shape `[n, 1]` a column, named as the column
//! (what skl2onnx makes of a pipeline over a data frame), and one tensor `[n, k]` or `[n, c, h, w]` of numbers, whose
//! columns the file must name in the note [`FEATURES_KEY`], since ONNX itself has no place for them. Who runs the graph
//! between the tensors is not this module's business.

use std::sync::Arc;

use crate::error::{ScoreError, SignatureError};
use crate::format::Hints;
use crate::interface::{Ending, Interface, Port};
use crate::model::Output;
use crate::table::{Column, Table};
use crate::tensor::{DType, Data, MAX_RANK, Tensor};

/// Key of the note in `metadata_props` that names the columns of a matrix input: a JSON array of strings.
pub const FEATURES_KEY: &str = "gyre.features";
/// Key of the note in `metadata_props` that names the classes in the order of the probabilities: a JSON array of strings.
pub const CLASSES_KEY: &str = "gyre.classes";

/// What kind of values a feature takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureKind {
    /// Numbers, missing allowed (the model sees NaN).
    Numeric,
    /// Whole numbers, none missing: the graph takes integers.
    Integer,
    /// Text; a missing one reaches the model as the empty string.
    Text,
}

impl FeatureKind {
    pub(crate) fn expected(self) -> &'static str {
        match self {
            FeatureKind::Numeric => "numeric",
            FeatureKind::Integer => "whole numbers",
            FeatureKind::Text => "text",
        }
    }
}

/// One column that the model reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Name of the column.
    pub name: Arc<str>,
    /// Kind of its values.
    pub kind: FeatureKind,
}

/// What the model predicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// A number.
    Regression,
    /// One of these classes, with a probability for each.
    Classification {
        /// Classes in the order of the probabilities.
        classes: Arc<[Arc<str>]>,
    },
}

/// Predictions, one a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Scores {
    /// Predicted numbers.
    Regression(Vec<f64>),
    /// Predicted classes.
    Classification {
        /// The class of each row.
        labels: Vec<Arc<str>>,
        /// Classes in the order of the probabilities.
        classes: Arc<[Arc<str>]>,
        /// Probabilities, row-major, one column a class.
        probabilities: Vec<f64>,
    },
}

impl Scores {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Scores::Regression(v) => v.len(),
            Scores::Classification { labels, .. } => labels.len(),
        }
    }
}

/// How columns become the graph's inputs.
#[derive(Debug)]
enum Inputs {
    /// Feature `i` is input `i`; each with its element type and its rank, which is 1 or 2.
    Columns(Vec<(DType, usize)>),
    /// All features are one tensor: its element type, and its dimensions after the rows.
    Matrix { dtype: DType, dims: Vec<usize> },
}

/// How the graph's outputs become predictions.
#[derive(Debug)]
enum Reading {
    Value { output: usize },
    Classes { label: Option<usize>, probabilities: usize, link: Link, classes: Arc<[Arc<str>]> },
}

/// What makes probabilities of an output's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// They are probabilities, or what the file's author says are.
    Identity,
    /// They are logarithms of probabilities.
    Exp,
    /// They are scores of a network that leaves softmax to whoever asks.
    Softmax,
    /// One column: the probability of the second of two classes.
    Second,
    /// One column: its log odds.
    LogOdds,
}

/// Columns bound to a graph's inputs, and its outputs to predictions.
#[derive(Debug)]
pub struct Binding {
    features: Vec<Feature>,
    inputs: Inputs,
    reading: Reading,
}

impl Binding {
    /// Finds out which columns a graph reads and what it predicts. The file's own notes go before the hints.
    ///
    /// # Errors
    /// When its inputs are not columns or one tensor with named columns, or its outputs neither one number a row nor classes.
    pub fn new(graph: &Interface, hints: &Hints<'_>) -> Result<Binding, SignatureError> {
        let given = |names: &[&str]| -> Option<Vec<Arc<str>>> {
            (!names.is_empty()).then(|| names.iter().map(|&name| name.into()).collect())
        };
        let names = graph.names(FEATURES_KEY)?.or_else(|| given(hints.features));
        let (features, inputs) = inputs(graph.inputs(), names)?;
        let reading = outputs(graph, given(hints.classes))?;
        Ok(Binding { features, inputs, reading })
    }

    /// The columns that the graph reads.
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// Whether all features go into the graph as one tensor, rather than each as an input of its own.
    pub fn takes_matrix(&self) -> bool {
        matches!(self.inputs, Inputs::Matrix { .. })
    }

    /// What the graph predicts.
    pub fn task(&self) -> Task {
        match &self.reading {
            Reading::Value { .. } => Task::Regression,
            Reading::Classes { classes, .. } => Task::Classification { classes: Arc::clone(classes) },
        }
    }

    /// Which outputs [`Binding::read`] looks at, by their places in the graph's order.
    pub fn reads(&self) -> impl Iterator<Item = usize> {
        let (first, second) = match &self.reading {
            Reading::Value { output } => (*output, None),
            Reading::Classes { label, probabilities, .. } => (*probabilities, *label),
        };
        std::iter::once(first).chain(second)
    }

    /// The rows of a table as the graph's inputs, in its order. Columns that are not features are ignored.
    ///
    /// # Errors
    /// When a feature is missing or of the wrong kind, or a value does not fit the input's type.
    pub fn tensors(&self, table: &Table) -> Result<Vec<Tensor>, ScoreError> {
        let mut columns = Vec::with_capacity(self.features.len());
        for (i, feature) in self.features.iter().enumerate() {
            let column = table.column_near(i, &feature.name);
            columns.push(column.ok_or_else(|| ScoreError::MissingFeature(feature.name.to_string()))?);
        }
        match &self.inputs {
            Inputs::Columns(kinds) => self
                .features
                .iter()
                .zip(columns.iter().zip(kinds))
                .map(|(feature, (column, &(dtype, rank)))| {
                    let data = column_data(feature, dtype, column)?;
                    Ok(if rank == 1 { Tensor::vector(data) } else { Tensor::column(data) })
                })
                .collect(),
            Inputs::Matrix { dtype, dims } => {
                Ok(vec![matrix(&self.features, &columns, table.rows(), *dtype, dims)?])
            }
        }
    }

    /// The predictions in what the graph computed for `rows` rows: its outputs in its order.
    ///
    /// # Errors
    /// When an output has the wrong shape or type, or holds NaN or an infinity.
    pub fn read(&self, outputs: &[Output], rows: usize) -> Result<Scores, ScoreError> {
        match &self.reading {
            Reading::Value { output } => {
                let values = floats(outputs, *output, rows, 1)?;
                finite(&values, 1)?;
                Ok(Scores::Regression(values))
            }
            Reading::Classes { label, probabilities, link, classes } => {
                let width = link.width(classes.len());
                let values = floats(outputs, *probabilities, rows, width)?;
                // The logarithm of a probability of zero is no fault.
                if *link != Link::Exp {
                    finite(&values, width)?;
                }
                let probabilities = link.apply(values, classes.len());
                finite(&probabilities, classes.len())?;
                let labels = match label {
                    Some(label) => texts(outputs, *label, rows, classes)?,
                    None => probabilities
                        .chunks_exact(classes.len())
                        .map(|row| {
                            let best = row.iter().enumerate().rev().max_by(|a, b| a.1.total_cmp(b.1));
                            best.and_then(|(i, _)| classes.get(i)).cloned().unwrap_or_default()
                        })
                        .collect(),
                };
                Ok(Scores::Classification { labels, classes: Arc::clone(classes), probabilities })
            }
        }
    }
}

impl Link {
    /// The link of an output of `width` columns, where that is known, to probabilities of `classes` classes.
    fn of(ending: Ending, width: Option<usize>, classes: usize) -> Link {
        match (ending, width == Some(1) && classes == 2) {
            (Ending::Probabilities, false) => Link::Identity,
            (Ending::LogProbabilities, _) => Link::Exp,
            (Ending::Numbers, false) => Link::Softmax,
            (Ending::Probabilities, true) => Link::Second,
            (Ending::Numbers, true) => Link::LogOdds,
        }
    }

    /// Columns of the output for `classes` classes.
    fn width(self, classes: usize) -> usize {
        match self {
            Link::Identity | Link::Exp | Link::Softmax => classes,
            Link::Second | Link::LogOdds => 1,
        }
    }

    /// Probabilities, row-major, of an output's numbers.
    fn apply(self, mut values: Vec<f64>, classes: usize) -> Vec<f64> {
        match self {
            Link::Identity => values,
            Link::Exp => {
                values.iter_mut().for_each(|value| *value = value.exp());
                values
            }
            Link::Softmax => {
                for row in values.chunks_exact_mut(classes.max(1)) {
                    let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    row.iter_mut().for_each(|value| *value = (*value - most).exp());
                    let sum: f64 = row.iter().sum();
                    row.iter_mut().for_each(|value| *value /= sum);
                }
                values
            }
            Link::Second => values.into_iter().flat_map(|p| [1.0 - p, p]).collect(),
            Link::LogOdds => {
                let both = |odds: f64| [1.0 / (1.0 + odds.exp()), 1.0 / (1.0 + (-odds).exp())];
                values.into_iter().flat_map(both).collect()
            }
        }
    }
}

fn inputs(ports: &[Port], names: Option<Vec<Arc<str>>>) -> Result<(Vec<Feature>, Inputs), SignatureError> {
    let one_column = |port: &Port| match port.shape.as_deref() {
        Some([_]) => Some(1),
        Some([_, Some(1)]) => Some(2),
        _ => None,
    };
    if let Some(ranks) = ports.iter().map(one_column).collect::<Option<Vec<_>>>()
        && !ports.is_empty()
    {
        let mut features = Vec::with_capacity(ports.len());
        let mut kinds = Vec::with_capacity(ports.len());
        for (port, rank) in ports.iter().zip(ranks) {
            let dtype = port.dtype.ok_or_else(|| {
                SignatureError::Inputs(format!("input {:?} has no element type", port.name))
            })?;
            let kind = match dtype {
                DType::F32 | DType::F64 => FeatureKind::Numeric,
                DType::I64 | DType::I32 | DType::Bool => FeatureKind::Integer,
                DType::Str => FeatureKind::Text,
            };
            features.push(Feature { name: port.name.as_str().into(), kind });
            kinds.push((dtype, rank));
        }
        return Ok((features, Inputs::Columns(kinds)));
    }
    let [port] = ports else {
        let names: Vec<&str> = ports.iter().map(|p| p.name.as_str()).collect();
        return Err(SignatureError::Inputs(format!(
            "expected one input of shape [n, 1] a column, or one matrix; found {names:?}"
        )));
    };
    let (kind, dtype) = match port.dtype {
        Some(dtype @ (DType::F32 | DType::F64)) => (FeatureKind::Numeric, dtype),
        Some(dtype @ (DType::I64 | DType::I32)) => (FeatureKind::Integer, dtype),
        other => {
            return Err(SignatureError::Inputs(format!(
                "matrix input {:?} is {other:?}, expected numbers",
                port.name
            )));
        }
    };
    let names = names.ok_or_else(|| {
        SignatureError::Inputs(format!(
            "matrix input {:?} does not say which columns it takes; add metadata_props {FEATURES_KEY:?} with a JSON array \
             of their names",
            port.name
        ))
    })?;
    let dims = match port.shape.as_deref() {
        None | Some([_, None]) => vec![names.len()],
        Some([_, dims @ ..]) if dims.len() < MAX_RANK && dims.iter().all(Option::is_some) => {
            dims.iter().copied().flatten().collect()
        }
        Some(_) => {
            let problem = "expected a number of dimensions that are known, but for the first";
            let (name, shape) = (&port.name, port.shape_text());
            return Err(SignatureError::Inputs(format!("input {name:?} has shape {shape}; {problem}")));
        }
    };
    let width = dims.iter().try_fold(1usize, |n, &dim| n.checked_mul(dim)).unwrap_or(usize::MAX);
    if width != names.len() {
        let (found, name, shape) = (names.len(), &port.name, port.shape_text());
        return Err(SignatureError::Inputs(format!(
            "{FEATURES_KEY} names {found} columns, input {name:?} takes {width}: its shape is {shape}"
        )));
    }
    if names.is_empty() {
        return Err(SignatureError::Inputs(format!("{FEATURES_KEY} names no columns")));
    }
    let features = names.into_iter().map(|name| Feature { name, kind }).collect();
    Ok((features, Inputs::Matrix { dtype, dims }))
}

/// Columns of an output, where the file says.
fn width(port: &Port) -> Option<usize> {
    let dims = port.shape.as_deref()?.get(1..)?;
    dims.iter().try_fold(1usize, |n, dim| n.checked_mul((*dim)?))
}

/// `given` are the classes that the caller knows; those of the file go before them.
fn outputs(graph: &Interface, given: Option<Vec<Arc<str>>>) -> Result<Reading, SignatureError> {
    let ports = graph.outputs();
    let label = ports
        .iter()
        .position(|p| matches!(p.dtype, Some(DType::I64 | DType::I32 | DType::Str | DType::Bool)));
    let number = ports.iter().position(|p| matches!(p.dtype, None | Some(DType::F32 | DType::F64)));
    let Some(number) = number else {
        return Err(SignatureError::Outputs("no output holds numbers; export the probabilities too".into()));
    };
    let own = match graph.names(CLASSES_KEY)? {
        Some(classes) => classes,
        None => graph.class_labels().to_vec(),
    };
    let width = width(&ports[number]);
    match (label, own.is_empty(), given) {
        (_, false, _) => {
            let link = Link::Identity;
            Ok(Reading::Classes { label, probabilities: number, link, classes: own.into() })
        }
        (None, true, None) => match width {
            None | Some(1) => Ok(Reading::Value { output: number }),
            Some(width) => Err(SignatureError::Outputs(format!(
                "output {:?} has {width} columns, and nothing says which classes they are; add metadata_props \
                 {CLASSES_KEY:?} with a JSON array of them, or name them (--classes)",
                ports[number].name
            ))),
        },
        (Some(_), true, None) => Err(SignatureError::Outputs(format!(
            "the class labels are not known; add metadata_props {CLASSES_KEY:?} with a JSON array of them"
        ))),
        (label, true, Some(given)) => {
            // A graph that names the class itself gives probabilities beside it; a bare network may give anything.
            let link = match label {
                Some(_) => Link::Identity,
                None => Link::of(graph.ending(number), width, given.len()),
            };
            match width {
                Some(width) if width != link.width(given.len()) => Err(SignatureError::Outputs(format!(
                    "output {:?} has {width} columns for {} classes",
                    ports[number].name,
                    given.len()
                ))),
                _ => Ok(Reading::Classes { label, probabilities: number, link, classes: given.into() }),
            }
        }
    }
}

/// A column as the element type that its input takes.
fn column_data(feature: &Feature, dtype: DType, column: &Column) -> Result<Data, ScoreError> {
    match (dtype, column) {
        (DType::Str, Column::Text(v)) => {
            Ok(Data::Str(v.iter().map(|t| t.clone().unwrap_or_default()).collect()))
        }
        (DType::F32, Column::Numeric(v)) => Ok(Data::F32(v.iter().map(|&x| x as f32).collect())),
        (DType::F64, Column::Numeric(v)) => Ok(Data::F64(v.clone())),
        (DType::I64, Column::Numeric(v)) => Ok(Data::I64(whole(feature, v)?)),
        (DType::I32, Column::Numeric(v)) => {
            let narrow = |(row, x): (usize, i64)| {
                i32::try_from(x).map_err(|_| value_error(feature, row, format!("{x} does not fit 32 bits")))
            };
            Ok(Data::I32(whole(feature, v)?.into_iter().enumerate().map(narrow).collect::<Result<_, _>>()?))
        }
        (DType::Bool, Column::Numeric(v)) => {
            Ok(Data::Bool(whole(feature, v)?.into_iter().map(|x| x != 0).collect()))
        }
        (_, found) => Err(mismatch(feature, found)),
    }
}

fn mismatch(feature: &Feature, found: &Column) -> ScoreError {
    let (found, expected) = (found.kind(), feature.kind.expected());
    ScoreError::FeatureType { feature: feature.name.to_string(), found, expected }
}

fn value_error(feature: &Feature, row: usize, problem: String) -> ScoreError {
    ScoreError::Value { feature: feature.name.to_string(), row, problem }
}

/// Numbers that must be whole, because the graph takes integers; 2^53 bounds what a double holds exactly.
fn whole(feature: &Feature, values: &[f64]) -> Result<Vec<i64>, ScoreError> {
    let convert = |(row, &x): (usize, &f64)| {
        if x.is_nan() {
            return Err(value_error(feature, row, "is missing, and the model takes integers here".into()));
        }
        if x.fract() != 0.0 || x.abs() > 9_007_199_254_740_992.0 {
            return Err(value_error(feature, row, format!("{x} is not a whole number")));
        }
        Ok(x as i64)
    };
    values.iter().enumerate().map(convert).collect()
}

fn matrix(
    features: &[Feature],
    columns: &[&Column],
    rows: usize,
    dtype: DType,
    dims: &[usize],
) -> Result<Tensor, ScoreError> {
    /// Interleaves columns of one type.
    macro_rules! interleaved {
        ($kind:ident, $zero:expr) => {{
            let mut out = vec![$zero; rows * columns.len()];
            for (j, (feature, column)) in features.iter().zip(columns).enumerate() {
                if let Data::$kind(v) = column_data(feature, dtype, column)? {
                    for (row, value) in out.chunks_exact_mut(columns.len()).zip(v) {
                        row[j] = value;
                    }
                }
            }
            Data::$kind(out)
        }};
    }
    /// The same for numbers as they are, without a copy of each column in between.
    macro_rules! gathered {
        ($kind:ident, $number:ty) => {{
            let mut out = vec![0.0; rows * columns.len()];
            for (j, (feature, column)) in features.iter().zip(columns).enumerate() {
                let Column::Numeric(v) = column else { return Err(mismatch(feature, column)) };
                for (row, value) in out.chunks_exact_mut(columns.len()).zip(v) {
                    row[j] = *value as $number;
                }
            }
            Data::$kind(out)
        }};
    }
    let data = match dtype {
        DType::F64 => gathered!(F64, f64),
        DType::I64 => interleaved!(I64, 0),
        DType::I32 => interleaved!(I32, 0),
        _ => gathered!(F32, f32),
    };
    let shape: Vec<usize> = std::iter::once(rows).chain(dims.iter().copied()).collect();
    Tensor::new(&shape, data).ok_or_else(|| ScoreError::Output {
        output: "input".into(),
        problem: "could not be laid out as a matrix".into(),
    })
}

fn wrong(output: &Output, rows: usize, columns: usize) -> ScoreError {
    ScoreError::Output {
        output: output.name.to_string(),
        problem: format!(
            "is {} of shape {:?}, expected {columns} a row for {rows} rows",
            output.tensor.dtype(),
            output.tensor.shape()
        ),
    }
}

fn output(outputs: &[Output], at: usize) -> Result<&Output, ScoreError> {
    outputs
        .get(at)
        .ok_or_else(|| ScoreError::Output { output: format!("#{at}"), problem: "is missing".into() })
}

fn floats(outputs: &[Output], at: usize, rows: usize, columns: usize) -> Result<Vec<f64>, ScoreError> {
    let output = output(outputs, at)?;
    let values: Vec<f64> = match output.tensor.data() {
        Data::F32(v) => v.iter().map(|&x| x.into()).collect(),
        Data::F64(v) => v.clone(),
        _ => return Err(wrong(output, rows, columns)),
    };
    if values.len() == rows * columns { Ok(values) } else { Err(wrong(output, rows, columns)) }
}

fn texts(
    outputs: &[Output],
    at: usize,
    rows: usize,
    classes: &[Arc<str>],
) -> Result<Vec<Arc<str>>, ScoreError> {
    let output = output(outputs, at)?;
    // Rows share the text of their class.
    let shared = |label: String| match classes.iter().find(|class| ***class == *label) {
        Some(class) => Arc::clone(class),
        None => label.into(),
    };
    let texts: Vec<Arc<str>> = match output.tensor.data() {
        Data::Str(v) => v.clone(),
        Data::I64(v) => v.iter().map(|x| shared(x.to_string())).collect(),
        Data::I32(v) => v.iter().map(|x| shared(x.to_string())).collect(),
        Data::Bool(v) => v.iter().map(|x| shared(x.to_string())).collect(),
        _ => return Err(wrong(output, rows, 1)),
    };
    if texts.len() == rows { Ok(texts) } else { Err(wrong(output, rows, 1)) }
}

pub(crate) fn finite(values: &[f64], columns: usize) -> Result<(), ScoreError> {
    let bad = |row: &[f64]| row.iter().any(|v| !v.is_finite());
    let Some(at) = values.iter().position(|v| !v.is_finite()) else { return Ok(()) };
    Err(ScoreError::NonFinite {
        row: at / columns,
        value: values[at],
        count: values.chunks_exact(columns).filter(|row| bad(row)).count(),
        rows: values.len() / columns,
    })
}
