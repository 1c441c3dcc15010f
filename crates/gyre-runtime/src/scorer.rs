//! Predictions about rows of a table: binds columns to a model's inputs and reads its outputs.
//!
//! A scorer is made from a file of any format ([`Scorer::load`]). For ONNX, two shapes of graph are common, and both are understood: one input of shape `[n, 1]` a column, named as the column
//! (what skl2onnx makes of a pipeline over a data frame), and one float matrix `[n, k]`, whose columns the file must name
//! in the note [`FEATURES_KEY`], since ONNX itself has no place for them.

use std::sync::Arc;

use crate::error::{LoadError, ScoreError, SignatureError};
use crate::explanation::{ExplainError, Explanation};
use crate::format::{Format, Hints};
use crate::limits::Limits;
use crate::model::{Model, Output, Port};
use crate::native::Native;
use crate::table::{Column, Table};
use crate::tensor::{DType, Data, Tensor};

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

#[derive(Debug)]
enum Binding {
    /// Feature `i` is input `i`; the rank of each input is 1 or 2.
    Columns { ranks: Vec<usize> },
    /// All features are one matrix.
    Matrix { dtype: DType },
}

#[derive(Debug)]
enum Reading {
    Value { output: usize },
    Classes { label: Option<usize>, probabilities: usize, classes: Arc<[Arc<str>]> },
}

/// A model with its features bound.
#[derive(Debug)]
pub struct Scorer {
    features: Vec<Feature>,
    format: Format,
    engine: Engine,
}

#[derive(Debug)]
enum Engine {
    Graph(Graph),
    Native(Native),
}

/// An ONNX graph with columns bound to its inputs.
#[derive(Debug)]
struct Graph {
    model: Model,
    binding: Binding,
    reading: Reading,
}

impl Scorer {
    /// Reads a model of any format that the engine knows ([`Format::of`] tells which), and finds out which columns it
    /// reads and what it predicts.
    ///
    /// # Errors
    /// [`LoadError`]: the file is broken, too large, or says something that is not supported, named together with what
    /// to do instead; [`LoadError::Signature`] when its inputs or outputs are not columns and predictions.
    pub fn load(bytes: &[u8], hints: &Hints<'_>) -> Result<Scorer, LoadError> {
        let limit = Limits::DEFAULT.file_bytes;
        if bytes.len() > limit {
            return Err(LoadError::TooLarge { what: "bytes", found: bytes.len(), limit });
        }
        let format = Format::of(bytes)?;
        let native = match format {
            Format::Onnx => {
                let model = Model::load(bytes)?;
                let own = model.metadata(FEATURES_KEY).is_some();
                let scorer = if own || hints.features.is_empty() {
                    Self::new(model)
                } else {
                    Self::with_features(model, hints.features)
                };
                return Ok(scorer?);
            }
            Format::XgboostJson => crate::xgboost::json(bytes, hints),
            Format::XgboostUbj => crate::xgboost::ubj(bytes, hints),
            Format::LightGbm => crate::lightgbm::text(bytes, hints),
            Format::Skops => crate::skops::archive(bytes, hints),
        };
        let native = native.map_err(|unread| unread.in_file(format))?;
        Ok(Scorer { features: native.features.clone(), format, engine: Engine::Native(native) })
    }

    /// Finds out which columns an ONNX model reads and what it predicts.
    ///
    /// # Errors
    /// When its inputs are not columns or one named matrix, or its outputs neither one number a row nor classes.
    pub fn new(model: Model) -> Result<Scorer, SignatureError> {
        let names = note(&model, FEATURES_KEY)?;
        Self::bind(model, names)
    }

    /// As [`Scorer::new`], for a model whose matrix input's columns are known from elsewhere.
    ///
    /// # Errors
    /// As [`Scorer::new`].
    pub fn with_features(model: Model, names: &[&str]) -> Result<Scorer, SignatureError> {
        Self::bind(model, Some(names.iter().map(|&n| n.into()).collect()))
    }

    fn bind(model: Model, names: Option<Vec<Arc<str>>>) -> Result<Scorer, SignatureError> {
        let (features, binding) = inputs(model.inputs(), names)?;
        let reading = outputs(&model)?;
        Ok(Scorer {
            features,
            format: Format::Onnx,
            engine: Engine::Graph(Graph { model, binding, reading }),
        })
    }

    /// The format of the file.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The graph, when the file is ONNX.
    pub fn model(&self) -> Option<&Model> {
        match &self.engine {
            Engine::Graph(graph) => Some(&graph.model),
            Engine::Native(_) => None,
        }
    }

    /// The columns that the model reads.
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// Whether the file is a graph that all features go into as one matrix, rather than each as an input of its own.
    pub fn takes_matrix(&self) -> bool {
        matches!(&self.engine, Engine::Graph(Graph { binding: Binding::Matrix { .. }, .. }))
    }

    /// What the model predicts.
    pub fn task(&self) -> Task {
        match &self.engine {
            Engine::Graph(graph) => match &graph.reading {
                Reading::Value { .. } => Task::Regression,
                Reading::Classes { classes, .. } => Task::Classification { classes: Arc::clone(classes) },
            },
            Engine::Native(native) => native.task(),
        }
    }

    /// Predicts every row. Columns that are not features are ignored.
    ///
    /// # Errors
    /// When a feature is missing or of the wrong kind, the model refuses a value, or it answers with NaN or infinity.
    pub fn score(&self, table: &Table) -> Result<Scores, ScoreError> {
        let graph = match &self.engine {
            Engine::Graph(graph) => graph,
            Engine::Native(native) => {
                let scores = native.score(table)?;
                match &scores {
                    Scores::Regression(values) => finite(values, 1)?,
                    Scores::Classification { probabilities, classes, .. } => {
                        finite(probabilities, classes.len())?
                    }
                }
                return Ok(scores);
            }
        };
        let mut columns = Vec::with_capacity(self.features.len());
        for (i, feature) in self.features.iter().enumerate() {
            let column = table.column_near(i, &feature.name);
            columns.push(column.ok_or_else(|| ScoreError::MissingFeature(feature.name.to_string()))?);
        }
        let tensors = match &graph.binding {
            Binding::Columns { ranks } => self
                .features
                .iter()
                .zip(graph.model.inputs())
                .zip(columns.iter().zip(ranks))
                .map(|((feature, port), (column, &rank))| {
                    let data = column_data(feature, port.dtype.unwrap_or(DType::F32), column)?;
                    Ok(if rank == 1 { Tensor::vector(data) } else { Tensor::column(data) })
                })
                .collect::<Result<Vec<_>, ScoreError>>()?,
            Binding::Matrix { dtype } => vec![matrix(&self.features, &columns, table.rows(), *dtype)?],
        };
        let tensors: Vec<&Tensor> = tensors.iter().collect();
        let outputs = graph.model.run_ordered(&tensors)?;
        graph.read(&outputs, table.rows())
    }

    /// Takes predictions apart: what each feature adds to each row's score, beyond what the model says on average.
    ///
    /// For ensembles of trees these are exact Shapley values, path-dependent (TreeSHAP): what a feature that is not known
    /// would do is weighed by the training data that passed each node, which the files of XGBoost, LightGBM and
    /// scikit-learn tell. For linear models it is the coefficient times the value less its mean over `background`; without
    /// a background the mean is taken for zero. Trees take no notice of the background. What an encoder made several
    /// columns of is added up again, so that the answer is about the table's own columns.
    ///
    /// # Errors
    /// [`ExplainError::Unavailable`] for ONNX graphs, which tell no covers, and for perceptrons; otherwise as
    /// [`Scorer::score`].
    pub fn explain(&self, table: &Table, background: Option<&Table>) -> Result<Explanation, ExplainError> {
        match &self.engine {
            Engine::Graph(_) => Err(ExplainError::Unavailable(
                "an ONNX file does not tell how much training data passed each node of its trees; serve the model in its \
                 library's own format"
                    .into(),
            )),
            Engine::Native(native) => native.explain(table, background),
        }
    }

    /// Why [`Scorer::explain`] is not available for this model, if it is not.
    pub fn unexplained(&self) -> Option<String> {
        match &self.engine {
            Engine::Graph(_) => Some("an ONNX file does not tell what explanations need".into()),
            Engine::Native(native) => native.unexplained(),
        }
    }
}

impl Graph {
    fn read(&self, outputs: &[Output], rows: usize) -> Result<Scores, ScoreError> {
        match &self.reading {
            Reading::Value { output } => {
                let values = floats(outputs, *output, rows, 1)?;
                finite(&values, 1)?;
                Ok(Scores::Regression(values))
            }
            Reading::Classes { label, probabilities, classes } => {
                let probabilities = floats(outputs, *probabilities, rows, classes.len())?;
                finite(&probabilities, classes.len())?;
                let labels = match label {
                    Some(label) => texts(outputs, *label, rows)?,
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

fn note(model: &Model, key: &'static str) -> Result<Option<Vec<Arc<str>>>, SignatureError> {
    let Some(text) = model.metadata(key) else { return Ok(None) };
    let names: Vec<String> = serde_json::from_str(text).map_err(|e| SignatureError::Metadata {
        key,
        problem: format!("expected a JSON array of strings: {e}"),
    })?;
    Ok(Some(names.into_iter().map(Arc::from).collect()))
}

fn inputs(ports: &[Port], names: Option<Vec<Arc<str>>>) -> Result<(Vec<Feature>, Binding), SignatureError> {
    let one_column = |port: &Port| match port.shape.as_deref() {
        Some([_]) => Some(1),
        Some([_, Some(1)]) => Some(2),
        _ => None,
    };
    if let Some(ranks) = ports.iter().map(one_column).collect::<Option<Vec<_>>>()
        && !ports.is_empty()
    {
        let mut features = Vec::with_capacity(ports.len());
        for port in ports {
            let kind = match port.dtype {
                Some(DType::F32 | DType::F64) => FeatureKind::Numeric,
                Some(DType::I64 | DType::I32 | DType::Bool) => FeatureKind::Integer,
                Some(DType::Str) => FeatureKind::Text,
                None => {
                    return Err(SignatureError::Inputs(format!("input {:?} has no element type", port.name)));
                }
            };
            features.push(Feature { name: port.name.as_str().into(), kind });
        }
        return Ok((features, Binding::Columns { ranks }));
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
    if let Some([_, Some(width)]) = port.shape.as_deref()
        && *width != names.len()
    {
        return Err(SignatureError::Inputs(format!(
            "{FEATURES_KEY} names {} columns, input {:?} takes {width}",
            names.len(),
            port.name
        )));
    }
    if names.is_empty() {
        return Err(SignatureError::Inputs(format!("{FEATURES_KEY} names no columns")));
    }
    Ok((names.into_iter().map(|name| Feature { name, kind }).collect(), Binding::Matrix { dtype }))
}

fn outputs(model: &Model) -> Result<Reading, SignatureError> {
    let ports = model.outputs();
    let label = ports
        .iter()
        .position(|p| matches!(p.dtype, Some(DType::I64 | DType::I32 | DType::Str | DType::Bool)));
    let number = ports.iter().position(|p| matches!(p.dtype, None | Some(DType::F32 | DType::F64)));
    let Some(number) = number else {
        return Err(SignatureError::Outputs("no output holds numbers; export the probabilities too".into()));
    };
    let classes = match note(model, CLASSES_KEY)? {
        Some(classes) => classes,
        None => model.class_labels().to_vec(),
    };
    if label.is_none() && classes.is_empty() {
        if let Some([_, Some(width)]) = ports[number].shape.as_deref()
            && *width != 1
        {
            return Err(SignatureError::Outputs(format!(
                "output {:?} has {width} columns",
                ports[number].name
            )));
        }
        return Ok(Reading::Value { output: number });
    }
    if classes.is_empty() {
        return Err(SignatureError::Outputs(format!(
            "the class labels are not known; add metadata_props {CLASSES_KEY:?} with a JSON array of them"
        )));
    }
    Ok(Reading::Classes { label, probabilities: number, classes: classes.into() })
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
        (_, found) => Err(ScoreError::FeatureType {
            feature: feature.name.to_string(),
            found: found.kind(),
            expected: feature.kind.expected(),
        }),
    }
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
    let data = match dtype {
        DType::F64 => interleaved!(F64, 0.0),
        DType::I64 => interleaved!(I64, 0),
        DType::I32 => interleaved!(I32, 0),
        _ => interleaved!(F32, 0.0),
    };
    Tensor::new(&[rows, columns.len()], data).ok_or_else(|| ScoreError::Output {
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

fn texts(outputs: &[Output], at: usize, rows: usize) -> Result<Vec<Arc<str>>, ScoreError> {
    let output = output(outputs, at)?;
    let texts: Vec<Arc<str>> = match output.tensor.data() {
        Data::Str(v) => v.clone(),
        Data::I64(v) => v.iter().map(|x| x.to_string().into()).collect(),
        Data::I32(v) => v.iter().map(|x| x.to_string().into()).collect(),
        Data::Bool(v) => v.iter().map(|x| x.to_string().into()).collect(),
        _ => return Err(wrong(output, rows, 1)),
    };
    if texts.len() == rows { Ok(texts) } else { Err(wrong(output, rows, 1)) }
}

fn finite(values: &[f64], columns: usize) -> Result<(), ScoreError> {
    let bad = |row: &[f64]| row.iter().any(|v| !v.is_finite());
    let Some(at) = values.iter().position(|v| !v.is_finite()) else { return Ok(()) };
    Err(ScoreError::NonFinite {
        row: at / columns,
        value: values[at],
        count: values.chunks_exact(columns).filter(|row| bad(row)).count(),
        rows: values.len() / columns,
    })
}
