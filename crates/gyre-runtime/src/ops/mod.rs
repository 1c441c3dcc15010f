//! The operators: each builder reads a node's attributes once and gives a kernel that computes tensors from tensors.
//!
//! A kernel is a closure over what its builder prepared, so that nothing is looked up or parsed while a model runs. It
//! must not panic, and must check the size of its result ([`crate::tensor::checked_elements`]) before allocating it.

mod arithmetic;
mod arrange;
mod cast;
mod encode;
mod linear;
mod matrix;
mod scale;
pub(crate) mod transform;
mod trees;

pub(crate) use trees::arg_max as arg_max_of;

use crate::attributes::Attributes;
use crate::error::Problem;
use crate::tensor::Tensor;

/// Operands of a node in order; `None` for an optional one that was left out.
pub(crate) type Operands<'a> = [Option<&'a Tensor>];

/// What a node computes.
pub(crate) type Computed = Result<Vec<Tensor>, Problem>;

/// A node made ready to run.
pub(crate) type Kernel = Box<dyn Fn(&Operands<'_>) -> Computed + Send + Sync>;

/// What a builder may read.
pub(crate) struct Context<'a> {
    pub(crate) attributes: Attributes<'a>,
    /// Version of the operator set that the node's domain is imported at.
    pub(crate) opset: i64,
}

type Build = fn(&Context<'_>) -> Result<Kernel, Problem>;

/// Domain of the tensor operators.
pub(crate) const STANDARD: &str = "ai.onnx";
/// Domain of the classical machine-learning operators.
pub(crate) const ML: &str = "ai.onnx.ml";

const OPERATORS: &[(&str, &str, Build)] = &[
    (ML, "ArrayFeatureExtractor", arrange::array_feature_extractor),
    (ML, "Binarizer", scale::binarizer),
    (ML, "FeatureVectorizer", arrange::feature_vectorizer),
    (ML, "Imputer", scale::imputer),
    (ML, "LabelEncoder", encode::label_encoder),
    (ML, "LinearClassifier", linear::classifier),
    (ML, "LinearRegressor", linear::regressor),
    (ML, "Normalizer", scale::normalizer),
    (ML, "OneHotEncoder", encode::one_hot),
    (ML, "Scaler", scale::scaler),
    (ML, "TreeEnsembleClassifier", trees::classifier),
    (ML, "TreeEnsembleRegressor", trees::regressor),
    (ML, "ZipMap", arrange::identity),
    (STANDARD, "Abs", arithmetic::abs),
    (STANDARD, "Add", arithmetic::add),
    (STANDARD, "And", arithmetic::and),
    (STANDARD, "ArgMax", matrix::arg_max),
    (STANDARD, "Cast", cast::cast),
    (STANDARD, "Clip", arithmetic::clip),
    (STANDARD, "Concat", arrange::concat),
    (STANDARD, "Constant", arrange::constant),
    (STANDARD, "Div", arithmetic::div),
    (STANDARD, "Equal", arithmetic::equal),
    (STANDARD, "Exp", arithmetic::exp),
    (STANDARD, "Flatten", arrange::flatten),
    (STANDARD, "Gather", arrange::gather),
    (STANDARD, "Gemm", matrix::gemm),
    (STANDARD, "Greater", arithmetic::greater),
    (STANDARD, "GreaterOrEqual", arithmetic::greater_or_equal),
    (STANDARD, "Identity", arrange::identity),
    (STANDARD, "IsNaN", arithmetic::is_nan),
    (STANDARD, "Less", arithmetic::less),
    (STANDARD, "LessOrEqual", arithmetic::less_or_equal),
    (STANDARD, "Log", arithmetic::log),
    (STANDARD, "MatMul", matrix::mat_mul),
    (STANDARD, "Mul", arithmetic::mul),
    (STANDARD, "Neg", arithmetic::neg),
    (STANDARD, "Not", arithmetic::not),
    (STANDARD, "Or", arithmetic::or),
    (STANDARD, "Relu", arithmetic::relu),
    (STANDARD, "Reshape", arrange::reshape),
    (STANDARD, "Sigmoid", arithmetic::sigmoid),
    (STANDARD, "Softmax", matrix::softmax),
    (STANDARD, "Sqrt", arithmetic::sqrt),
    (STANDARD, "Squeeze", arrange::squeeze),
    (STANDARD, "Sub", arithmetic::sub),
    (STANDARD, "Tanh", arithmetic::tanh),
    (STANDARD, "Transpose", arrange::transpose),
    (STANDARD, "Unsqueeze", arrange::unsqueeze),
    (STANDARD, "Where", arithmetic::select),
];

/// The builder of an operator, if there is one.
pub(crate) fn find(domain: &str, operator: &str) -> Option<Build> {
    OPERATORS.iter().find(|(d, o, _)| *d == domain && *o == operator).map(|(_, _, build)| *build)
}

/// Names of the operators that the engine runs, the machine-learning ones first.
pub fn supported_operators() -> Vec<&'static str> {
    OPERATORS.iter().map(|(_, name, _)| *name).collect()
}

/// Operand `i`, which the operator cannot do without.
fn operand<'a>(operands: &Operands<'a>, i: usize) -> Result<&'a Tensor, Problem> {
    operands.get(i).copied().flatten().ok_or_else(|| format!("operand {i} is missing"))
}

/// Operand `i`, if given.
fn optional<'a>(operands: &Operands<'a>, i: usize) -> Option<&'a Tensor> {
    operands.get(i).copied().flatten()
}

/// An axis counted from the front, where negative ones count from the back.
fn axis(value: i64, rank: usize) -> Result<usize, Problem> {
    let rank_i = i64::try_from(rank).unwrap_or(i64::MAX);
    let from_front = if value < 0 { value.saturating_add(rank_i) } else { value };
    usize::try_from(from_front)
        .ok()
        .filter(|&a| a < rank)
        .ok_or_else(|| format!("axis {value} is outside a tensor of rank {rank}"))
}
