//! From a table's columns to the numbers that a learner sees: scalers, encoders, imputers, and the casts that libraries
//! make on the way in.
//!
//! Columns keep the number of the feature that they come from through every step, so that a refusal can name the feature
//! and an explanation can add up what its columns say.

use std::collections::HashMap;
use std::sync::Arc;

use crate::binding::FeatureKind;
use crate::error::Problem;
use crate::limits::Limits;
use crate::table::Column;

/// Columns on their way.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) rows: usize,
    pub(crate) columns: Vec<Column>,
    /// By column: the feature that it was made of.
    pub(crate) sources: Vec<usize>,
}

impl Frame {
    pub(crate) fn new(columns: Vec<Column>, rows: usize) -> Frame {
        Frame { rows, sources: (0..columns.len()).collect(), columns }
    }
}

/// Why a step does not go on.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// A value that it does not take.
    Value {
        source: usize,
        row: usize,
        problem: Problem,
    },
    Other(Problem),
}

/// What a column's values are looked up in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Category {
    Number(f64),
    Text(Arc<str>),
    Missing,
}

/// Categories by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vocabulary {
    texts: HashMap<Arc<str>, usize>,
    /// By the bits of the number, −0 as 0.
    numbers: HashMap<u64, usize>,
    missing: Option<usize>,
    len: usize,
}

impl Vocabulary {
    /// Categories in order; of two that are the same the first counts.
    pub(crate) fn new(categories: impl IntoIterator<Item = Category>) -> Vocabulary {
        let mut vocabulary = Vocabulary::default();
        for category in categories {
            let at = vocabulary.len;
            match category {
                Category::Text(text) => drop(vocabulary.texts.entry(text).or_insert(at)),
                Category::Number(x) if x.is_nan() => drop(vocabulary.missing.get_or_insert(at)),
                Category::Number(x) => drop(vocabulary.numbers.entry((x + 0.0).to_bits()).or_insert(at)),
                Category::Missing => drop(vocabulary.missing.get_or_insert(at)),
            }
            vocabulary.len += 1;
        }
        vocabulary
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// What kind of column has such values.
    pub(crate) fn kind(&self) -> FeatureKind {
        if self.texts.is_empty() { FeatureKind::Numeric } else { FeatureKind::Text }
    }

    /// The number of each value.
    fn find(&self, column: &Column) -> Vec<Found> {
        let known = |at: Option<&usize>| at.map_or(Found::Unknown, |at| Found::Known(*at));
        let missing = || self.missing.map_or(Found::Missing, Found::Known);
        match column {
            Column::Numeric(values) => {
                let find = |x: &f64| {
                    if x.is_nan() { missing() } else { known(self.numbers.get(&(x + 0.0).to_bits())) }
                };
                values.iter().map(find).collect()
            }
            Column::Text(values) => {
                let find = |text: &Option<Arc<str>>| {
                    text.as_ref().map_or_else(missing, |t| known(self.texts.get(t)))
                };
                values.iter().map(find).collect()
            }
        }
    }
}

/// Where a value is in a vocabulary.
#[derive(Clone, Copy, Debug)]
enum Found {
    Known(usize),
    /// A missing value that is no category.
    Missing,
    Unknown,
}

/// What becomes of a value that is not in the vocabulary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Unknown {
    Refuse,
    Becomes(f64),
}

/// How one column is replaced by the numbers of its categories.
#[derive(Clone, Debug)]
pub(crate) struct Codes {
    pub(crate) vocabulary: Vocabulary,
    pub(crate) unknown: Unknown,
    /// A missing value that is no category.
    pub(crate) missing: Unknown,
    /// When a missing value is a category: what it becomes in place of its number.
    pub(crate) missing_code: Option<f64>,
}

/// How one column becomes a column a category.
#[derive(Clone, Debug)]
pub(crate) struct OneHot {
    pub(crate) vocabulary: Vocabulary,
    /// Refused, or zero in every column.
    pub(crate) refuses_unknown: bool,
    /// The category that has no column.
    pub(crate) dropped: Option<usize>,
}

/// How missing values of one column are filled.
#[derive(Clone, Debug)]
pub(crate) enum Fill {
    Number(f64),
    Text(Arc<str>),
    /// The column is left out.
    Drop,
}

/// `(x − subtract) / divide`, or `x · multiply + add`, and a bound on what comes out; one entry a column.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scaling {
    pub(crate) subtract: Option<Vec<f64>>,
    pub(crate) divide: Option<Vec<f64>>,
    pub(crate) multiply: Option<Vec<f64>>,
    pub(crate) add: Option<Vec<f64>>,
    pub(crate) clip: Option<(f64, f64)>,
}

/// Some columns, and what is done to them apart from the others.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) columns: Vec<usize>,
    pub(crate) steps: Vec<Step>,
}

/// One step; lists have an entry a column.
#[derive(Debug)]
pub(crate) enum Step {
    /// Rounds to single precision.
    Single,
    /// Makes zero of what is nearer to it than LightGBM keeps values of a row.
    Flush,
    /// Refuses missing and infinite values.
    Finite,
    Codes(Vec<Option<Codes>>),
    OneHot(Vec<OneHot>),
    /// Values to fill besides NaN, and what with.
    Impute {
        missing: f64,
        fills: Vec<Fill>,
    },
    Scale(Scaling),
    /// What the branches give, side by side.
    Branches(Vec<Branch>),
}

impl Step {
    /// Does the step.
    pub(crate) fn apply(&self, frame: Frame) -> Result<Frame, Refusal> {
        let Frame { rows, columns, sources } = frame;
        let expected = match self {
            Step::Codes(codes) => codes.len(),
            Step::OneHot(hots) => hots.len(),
            Step::Impute { fills, .. } => fills.len(),
            _ => columns.len(),
        };
        if expected != columns.len() {
            return Err(Refusal::Other(format!("takes {expected} columns, found {}", columns.len())));
        }
        let mut out = Frame { rows, columns: Vec::with_capacity(columns.len()), sources: Vec::new() };
        match self {
            Step::Single => {
                let single = |column| match column {
                    Column::Numeric(v) => {
                        Column::Numeric(v.into_iter().map(|x| f64::from(x as f32)).collect())
                    }
                    text => text,
                };
                out.columns.extend(columns.into_iter().map(single));
                out.sources = sources;
            }
            Step::Flush => {
                let flush = |x: f64| if x.abs() <= f64::from(1e-35f32) { 0.0 } else { x };
                let flushed = |column| match column {
                    Column::Numeric(v) => Column::Numeric(v.into_iter().map(flush).collect()),
                    text => text,
                };
                out.columns.extend(columns.into_iter().map(flushed));
                out.sources = sources;
            }
            Step::Finite => {
                for (column, source) in columns.iter().zip(&sources) {
                    let Column::Numeric(values) = column else { continue };
                    if let Some(row) = values.iter().position(|x| !x.is_finite()) {
                        let problem = "is missing or infinite, and the model takes neither".to_owned();
                        return Err(Refusal::Value { source: *source, row, problem });
                    }
                }
                out.columns = columns;
                out.sources = sources;
            }
            Step::Codes(codes) => {
                for ((column, source), codes) in columns.into_iter().zip(&sources).zip(codes) {
                    out.columns.push(match codes {
                        None => column,
                        Some(codes) => Column::Numeric(codes.apply(&column, *source)?),
                    });
                }
                out.sources = sources;
            }
            Step::OneHot(hots) => {
                for ((column, source), hot) in columns.into_iter().zip(sources).zip(hots) {
                    hot.apply(&column, source, &mut out)?;
                }
            }
            Step::Impute { missing, fills } => {
                for ((column, source), fill) in columns.into_iter().zip(sources).zip(fills) {
                    out.columns.push(match (fill, column) {
                        (Fill::Drop, _) => continue,
                        (Fill::Number(with), Column::Numeric(mut values)) => {
                            values
                                .iter_mut()
                                .filter(|x| x.is_nan() || **x == *missing)
                                .for_each(|x| *x = *with);
                            Column::Numeric(values)
                        }
                        (Fill::Text(with), Column::Text(values)) => {
                            let fill = |text: Option<Arc<str>>| text.or_else(|| Some(Arc::clone(with)));
                            Column::Text(values.into_iter().map(fill).collect())
                        }
                        (_, column) => {
                            let problem =
                                format!("fills with the other kind of value than {}", column.kind());
                            return Err(Refusal::Other(problem));
                        }
                    });
                    out.sources.push(source);
                }
            }
            Step::Scale(scaling) => {
                for (i, column) in columns.into_iter().enumerate() {
                    let Column::Numeric(mut values) = column else {
                        return Err(Refusal::Other(format!("scales column {i}, which holds text")));
                    };
                    scaling.apply(i, &mut values);
                    out.columns.push(Column::Numeric(values));
                }
                out.sources = sources;
            }
            Step::Branches(branches) => {
                for branch in branches {
                    check_room(rows, out.columns.len() + branch.columns.len())?;
                    let picked = |&at: &usize| columns.get(at).cloned().zip(sources.get(at).copied());
                    let picked: Option<(Vec<Column>, Vec<usize>)> =
                        branch.columns.iter().map(picked).collect();
                    let (columns, sources) =
                        picked.ok_or_else(|| Refusal::Other("reads a column that is not there".into()))?;
                    let mut frame = Frame { rows, columns, sources };
                    for step in &branch.steps {
                        frame = step.apply(frame)?;
                    }
                    out.columns.append(&mut frame.columns);
                    out.sources.append(&mut frame.sources);
                }
            }
        }
        Ok(out)
    }
}

/// What kinds of values each of `width` columns takes that go through these steps; `None` where any goes.
pub(crate) fn kinds(steps: &[Step], width: usize) -> Vec<Option<FeatureKind>> {
    let mut kinds = vec![None; width];
    for step in steps {
        for (slot, kind) in kinds.iter_mut().zip(step.kinds(width)) {
            *slot = slot.or(kind);
        }
        // Behind a step that makes other columns, the question is about those.
        if !matches!(step, Step::Codes(_) | Step::Single | Step::Flush | Step::Finite) {
            break;
        }
    }
    kinds
}

impl Step {
    /// What the step itself asks of its columns.
    fn kinds(&self, width: usize) -> Vec<Option<FeatureKind>> {
        match self {
            Step::Codes(codes) => codes.iter().map(|c| c.as_ref().map(|c| c.vocabulary.kind())).collect(),
            Step::OneHot(hots) => hots.iter().map(|hot| Some(hot.vocabulary.kind())).collect(),
            Step::Impute { fills, .. } => {
                let kind = |fill: &Fill| match fill {
                    Fill::Number(_) => Some(FeatureKind::Numeric),
                    Fill::Text(_) => Some(FeatureKind::Text),
                    Fill::Drop => None,
                };
                fills.iter().map(kind).collect()
            }
            Step::Single | Step::Flush | Step::Finite => Vec::new(),
            Step::Scale(_) => vec![Some(FeatureKind::Numeric); width],
            Step::Branches(branches) => {
                let mut all = vec![None; width];
                for branch in branches {
                    for (at, kind) in branch.columns.iter().zip(kinds(&branch.steps, branch.columns.len())) {
                        if let Some(slot) = all.get_mut(*at) {
                            *slot = slot.or(kind);
                        }
                    }
                }
                all
            }
        }
    }
}

impl Codes {
    fn apply(&self, column: &Column, source: usize) -> Result<Vec<f64>, Refusal> {
        let code = |(row, found): (usize, Found)| {
            let unknown = match found {
                Found::Known(at) if self.vocabulary.missing == Some(at) => {
                    return Ok(self.missing_code.unwrap_or(at as f64));
                }
                Found::Known(at) => return Ok(at as f64),
                Found::Missing => self.missing,
                Found::Unknown => self.unknown,
            };
            match unknown {
                Unknown::Becomes(code) => Ok(code),
                Unknown::Refuse => Err(unknown_category(column, source, row)),
            }
        };
        self.vocabulary.find(column).into_iter().enumerate().map(code).collect()
    }
}

impl OneHot {
    fn apply(&self, column: &Column, source: usize, out: &mut Frame) -> Result<(), Refusal> {
        let kept = (0..self.vocabulary.len()).filter(|at| Some(*at) != self.dropped).count();
        let first = out.columns.len();
        check_room(out.rows, first + kept)?;
        out.columns.extend((0..kept).map(|_| Column::Numeric(vec![0.0; column.len()])));
        out.sources.extend(std::iter::repeat_n(source, kept));
        for (row, found) in self.vocabulary.find(column).into_iter().enumerate() {
            match found {
                Found::Known(at) if self.dropped == Some(at) => {}
                Found::Known(at) => {
                    let before = usize::from(self.dropped.is_some_and(|dropped| dropped < at));
                    if let Some(Column::Numeric(values)) = out.columns.get_mut(first + at - before) {
                        values[row] = 1.0;
                    }
                }
                Found::Missing | Found::Unknown if self.refuses_unknown => {
                    return Err(unknown_category(column, source, row));
                }
                Found::Missing | Found::Unknown => {}
            }
        }
        Ok(())
    }
}

impl Scaling {
    fn apply(&self, column: usize, values: &mut [f64]) {
        let of = |list: &Option<Vec<f64>>| list.as_ref().and_then(|list| list.get(column)).copied();
        let (subtract, divide) = (of(&self.subtract), of(&self.divide));
        let (multiply, add) = (of(&self.multiply), of(&self.add));
        for x in values {
            *x = subtract.map_or(*x, |s| *x - s);
            *x = divide.map_or(*x, |d| *x / d);
            *x = multiply.map_or(*x, |m| *x * m);
            *x = add.map_or(*x, |a| *x + a);
            if let Some((low, high)) = self.clip {
                // NaN stays.
                *x = if *x < low {
                    low
                } else if *x > high {
                    high
                } else {
                    *x
                };
            }
        }
    }
}

/// Checks the size of a frame before it is made.
fn check_room(rows: usize, columns: usize) -> Result<(), Refusal> {
    let limit = Limits::DEFAULT.tensor_elements;
    if rows.saturating_mul(columns) <= limit {
        return Ok(());
    }
    Err(Refusal::Other(format!("computes more than {limit} numbers; send fewer rows at a time")))
}

fn unknown_category(column: &Column, source: usize, row: usize) -> Refusal {
    let value = match column {
        Column::Numeric(values) => values.get(row).filter(|x| !x.is_nan()).map(f64::to_string),
        Column::Text(values) => values.get(row).cloned().flatten().map(|text| format!("{text:?}")),
    };
    let problem = match value {
        Some(value) => format!("{value} is no category that the model was trained on"),
        None => "is missing, and the model takes no missing value here".to_owned(),
    };
    Refusal::Value { source, row, problem }
}
