//! A profile in figures, for people and for programs: what the sketches say, each with its bound.

use gyre_core::Timestamp;
use serde::Serialize;

use crate::column::{Column, Numbers, Texts, Times, Vectors};
use crate::profile::Profile;
use crate::sketch::{Distinct, Frequent, Key, Number, Quantiles};

/// Frequent values that are told.
const MOST_FREQUENT: usize = 10;
/// Bins of a histogram between its open ends.
const BINS: usize = 24;
/// The ranks whose values are told.
const RANKS: [f64; 7] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];

/// A table in figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Rows of all tables.
    pub rows: u64,
    /// How many files.
    pub files: u64,
    /// Their names, the first sixteen.
    pub sources: Vec<String>,
    /// By how much the rank of a quantile may be off, as a share of the values, with 99 % confidence.
    pub rank_error: f64,
    /// The columns.
    pub columns: Vec<ColumnFigures>,
}

/// A column in figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnFigures {
    /// Its name.
    pub name: String,
    /// What it holds, in a word.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Rows of tables that have it.
    pub rows: u64,
    /// Rows without a value; NaN is none.
    pub missing: u64,
    /// Rows by the kind of value that they hold, the most frequent kind first.
    pub kinds: Vec<(Kind, u64)>,
    /// The types by which files declare it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub declared: Vec<String>,
    /// Different values; absent when there is none that is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distinct: Option<DistinctFigures>,
    /// The most frequent values. What less frequent ones might exceed is left out.
    pub frequent: Vec<FrequentValue>,
    /// Its numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numbers: Option<NumberFigures>,
    /// Its texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub texts: Option<TextFigures>,
    /// Its times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<TimeFigures>,
    /// Its vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vectors: Option<VectorFigures>,
}

/// A kind of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Whole numbers.
    Whole,
    /// Numbers.
    Number,
    /// Text.
    Text,
    /// True or false.
    Boolean,
    /// Moments.
    Time,
    /// Lists of floats.
    Vector,
    /// Structures, bytes, other lists.
    Other,
    /// Several kinds that are not all numbers.
    Mixed,
    /// There is no value.
    Empty,
}

/// How many different values there are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DistinctFigures {
    /// The best guess, or the number itself when it is exact.
    pub estimate: f64,
    /// No fewer than this, with 95 % confidence.
    pub low: f64,
    /// No more than this, with 95 % confidence.
    pub high: f64,
    /// Whether that is exact.
    pub exact: bool,
}

/// A value that occurs often.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FrequentValue {
    /// The value: a number, a text (long ones shortened), true or false, a time.
    pub value: serde_json::Value,
    /// In no fewer rows than this.
    pub at_least: u64,
    /// In no more rows than this.
    pub at_most: u64,
}

/// A value and the share of values that are not above it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quantile<T> {
    /// The share.
    pub rank: f64,
    /// The value.
    pub value: T,
}

/// Values above one number and up to another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bin {
    /// Above this; absent for the first bin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// Up to this; absent for the last bin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_to: Option<f64>,
    /// The share of values.
    pub share: f64,
}

/// Numbers in figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NumberFigures {
    /// Finite ones.
    pub finite: u64,
    /// −∞.
    pub negative_infinite: u64,
    /// +∞.
    pub positive_infinite: u64,
    /// The least finite one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least: Option<f64>,
    /// The greatest finite one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub greatest: Option<f64>,
    /// Their mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
    /// Their standard deviation (n − 1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standard_deviation: Option<f64>,
    /// Their skewness, adjusted for the size of the sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skewness: Option<f64>,
    /// Their quantiles.
    pub quantiles: Vec<Quantile<f64>>,
    /// Bins of equal width between the first and the last percent, and the two percents beyond.
    pub histogram: Vec<Bin>,
}

/// Texts in figures; lengths in characters.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TextFigures {
    /// Rows.
    pub rows: u64,
    /// The shortest.
    pub shortest: u64,
    /// The longest.
    pub longest: u64,
    /// The mean length.
    pub mean_length: f64,
    /// Quantiles of the lengths; exact below 128 characters.
    pub length_quantiles: Vec<Quantile<f64>>,
}

/// Times in figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimeFigures {
    /// Rows.
    pub rows: u64,
    /// The earliest.
    pub earliest: Timestamp,
    /// The latest.
    pub latest: Timestamp,
    /// The share of each hour of the day, in UTC.
    pub hours: Vec<f64>,
    /// The share of each day of the week, Monday first, in UTC.
    pub weekdays: Vec<f64>,
    /// Quantiles.
    pub quantiles: Vec<Quantile<Timestamp>>,
}

/// Vectors in figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VectorFigures {
    /// Rows, broken ones too.
    pub rows: u64,
    /// Those with a number that is missing, NaN or infinite.
    pub broken: u64,
    /// The fewest and the most numbers of a vector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<(u64, u64)>,
    /// The mean Euclidean norm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_norm: Option<f64>,
    /// The smallest norm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least_norm: Option<f64>,
    /// The largest norm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub greatest_norm: Option<f64>,
    /// Quantiles of the norms.
    pub norm_quantiles: Vec<Quantile<f64>>,
    /// The mean vector; absent when vectors differ in how many numbers they have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<Vec<f64>>,
}

impl Profile {
    /// What the profile says, in figures.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures {
            rows: self.rows,
            files: self.files,
            sources: self.sources.clone(),
            rank_error: Quantiles::RANK_ERROR,
            columns: self.columns.iter().map(Column::figures).collect(),
        }
    }
}

impl Column {
    /// What the column's profile says, in figures.
    #[must_use]
    pub fn figures(&self) -> ColumnFigures {
        let kinds = self.kinds();
        ColumnFigures {
            name: self.name.clone(),
            kind: one_word(&kinds),
            rows: self.rows,
            missing: self.missing,
            kinds,
            declared: self.declared.iter().cloned().collect(),
            distinct: self.distinct(),
            frequent: self.frequent(),
            numbers: self.numbers.as_deref().map(numbers),
            texts: self.texts.as_deref().and_then(texts),
            times: self.times.as_deref().and_then(times),
            vectors: self.vectors.as_deref().map(vectors),
        }
    }

    fn kinds(&self) -> Vec<(Kind, u64)> {
        let whole = self.numbers.as_ref().map_or(0, |numbers| numbers.whole);
        let numbers = self.numbers.as_ref().and_then(|numbers| numbers.rows()).unwrap_or(0);
        let mut kinds = vec![
            (Kind::Whole, whole),
            (Kind::Number, numbers - whole),
            (Kind::Text, self.texts.as_ref().and_then(|texts| texts.rows()).unwrap_or(0)),
            (Kind::Boolean, self.booleans.map_or(0, |truths| truths.yes + truths.no)),
            (Kind::Time, self.times.as_ref().and_then(|times| times.rows()).unwrap_or(0)),
            (Kind::Vector, self.vectors.as_ref().and_then(|vectors| vectors.rows()).unwrap_or(0)),
            (Kind::Other, self.other),
        ];
        kinds.retain(|(_, rows)| *rows > 0);
        kinds.sort_by_key(|(kind, rows)| (std::cmp::Reverse(*rows), *kind));
        kinds
    }

    /// Different values: kinds have none in common, so theirs add up.
    fn distinct(&self) -> Option<DistinctFigures> {
        let truths = self.booleans.map(|truths| u64::from(truths.yes > 0) + u64::from(truths.no > 0));
        let exactly =
            |number: f64| DistinctFigures { estimate: number, low: number, high: number, exact: true };
        let each = [
            self.numbers.as_ref().map(|numbers| distinct(&numbers.distinct, &numbers.frequent)),
            // The two infinities are values as well.
            self.numbers.as_ref().map(|numbers| {
                exactly(f64::from(
                    u8::from(numbers.negative_infinite > 0) + u8::from(numbers.positive_infinite > 0),
                ))
            }),
            self.texts.as_ref().map(|texts| distinct(&texts.distinct, &texts.frequent)),
            self.times.as_ref().map(|times| distinct(&times.distinct, &times.frequent)),
            truths.map(|truths| exactly(truths as f64)),
        ];
        each.into_iter().flatten().reduce(|a, b| DistinctFigures {
            estimate: a.estimate + b.estimate,
            low: a.low + b.low,
            high: a.high + b.high,
            exact: a.exact && b.exact,
        })
    }

    fn frequent(&self) -> Vec<FrequentValue> {
        let mut found = Vec::new();
        if let Some(numbers) = &self.numbers {
            found.extend(top(&numbers.frequent, |number| told(*number)));
            let infinite = [("-∞", numbers.negative_infinite), ("∞", numbers.positive_infinite)];
            found.extend(infinite.map(|(name, rows)| value(name.into(), rows, rows)));
        }
        if let Some(texts) = &self.texts {
            found.extend(top(&texts.frequent, |text| text.as_str().into()));
        }
        if let Some(times) = &self.times {
            let moment = |millis: &Number| {
                let millis = millis.to_whole().and_then(|millis| i64::try_from(millis).ok());
                Timestamp::from_millis(millis.unwrap_or_default()).to_string().into()
            };
            found.extend(top(&times.frequent, moment));
        }
        if let Some(truths) = self.booleans {
            found.extend(
                [(true, truths.yes), (false, truths.no)].map(|(truth, rows)| value(truth.into(), rows, rows)),
            );
        }
        found.retain(|value| value.at_least > 0);
        found.sort_by_key(|value| std::cmp::Reverse(value.at_least));
        found.truncate(MOST_FREQUENT);
        found
    }
}

fn one_word(kinds: &[(Kind, u64)]) -> Kind {
    match kinds {
        [] => Kind::Empty,
        [(kind, _)] => *kind,
        [(Kind::Whole | Kind::Number, _), (Kind::Whole | Kind::Number, _)] => Kind::Number,
        _ => Kind::Mixed,
    }
}

fn value(value: serde_json::Value, at_least: u64, at_most: u64) -> FrequentValue {
    FrequentValue { value, at_least, at_most }
}

/// A number as JSON has it: whole ones without a fraction; those that are too large for programs as text.
fn told(number: Number) -> serde_json::Value {
    match number.to_whole() {
        None => number.to_double().into(),
        Some(whole) => match (i64::try_from(whole), u64::try_from(whole)) {
            (Ok(whole), _) => whole.into(),
            (_, Ok(whole)) => whole.into(),
            _ => whole.to_string().into(),
        },
    }
}

fn top<K: Key>(frequent: &Frequent<K>, tell: impl Fn(&K) -> serde_json::Value) -> Vec<FrequentValue> {
    let items = frequent.top(MOST_FREQUENT).into_iter();
    items.map(|item| value(tell(&item.key), item.at_least, item.at_most)).collect()
}

/// The exact number while all values are counted one by one, and the estimate from then on.
fn distinct<K: Key>(distinct: &Distinct, frequent: &Frequent<K>) -> DistinctFigures {
    if let Some(exact) = frequent.exact_distinct() {
        let exact = exact as f64;
        return DistinctFigures { estimate: exact, low: exact, high: exact, exact: true };
    }
    let (estimate, low, high) = distinct.estimate();
    // There are no more different values than values.
    let most = frequent.rows() as f64;
    DistinctFigures { estimate: estimate.min(most), low: low.min(most), high: high.min(most), exact: false }
}

fn quantiles(of: impl Fn(f64) -> Option<f64>) -> Vec<Quantile<f64>> {
    RANKS.into_iter().filter_map(|rank| Some(Quantile { rank, value: of(rank)? })).collect()
}

fn numbers(numbers: &Numbers) -> NumberFigures {
    let moments = numbers.shape.moments();
    let sorted = numbers.quantiles.sorted();
    NumberFigures {
        finite: moments.count(),
        negative_infinite: numbers.negative_infinite,
        positive_infinite: numbers.positive_infinite,
        least: moments.min(),
        greatest: moments.max(),
        mean: moments.mean(),
        standard_deviation: moments.standard_deviation(),
        skewness: numbers.shape.skewness(),
        quantiles: quantiles(|rank| sorted.quantile(rank)),
        histogram: histogram(numbers),
    }
}

/// Bins of equal width between the first and the last percent; a value alone when that is all there is. Bins of whole
/// numbers hold equally many of them.
fn histogram(numbers: &Numbers) -> Vec<Bin> {
    let sorted = numbers.quantiles.sorted();
    let Some((low, high)) = sorted.quantile(0.01).zip(sorted.quantile(0.99)) else { return Vec::new() };
    let are_whole = numbers.whole == numbers.shape.count();
    let step = high / BINS as f64 - low / BINS as f64;
    let step = if are_whole { step.ceil() } else { step };
    let cuts = (0..=BINS).map(|at| if at == BINS { high } else { (low + step * at as f64).min(high) });
    let mut cuts: Vec<f64> = cuts.collect();
    cuts.dedup_by(|next, last| next <= last);
    let (mut bins, mut above, mut through) = (Vec::with_capacity(BINS + 2), None, 0.0);
    for cut in cuts {
        let share = sorted.share_up_to(cut).unwrap_or(through);
        bins.push(Bin { above, up_to: Some(cut), share: share - through });
        (above, through) = (Some(cut), share);
    }
    bins.push(Bin { above, up_to: None, share: 1.0 - through });
    bins
}

fn texts(texts: &Texts) -> Option<TextFigures> {
    let (shortest, longest) = texts.lengths.ends()?;
    Some(TextFigures {
        rows: texts.rows()?,
        shortest,
        longest,
        mean_length: texts.lengths.mean()?,
        length_quantiles: quantiles(|rank| texts.lengths.quantile(rank)),
    })
}

fn times(times: &Times) -> Option<TimeFigures> {
    let rows = times.rows().filter(|rows| *rows > 0)?;
    let shares = |counts: &[u64]| counts.iter().map(|count| *count as f64 / rows as f64).collect();
    let sorted = times.quantiles.sorted();
    let moment = |quantile: Quantile<f64>| Quantile {
        rank: quantile.rank,
        value: Timestamp::from_millis(quantile.value as i64),
    };
    Some(TimeFigures {
        rows,
        earliest: Timestamp::from_millis(times.earliest),
        latest: Timestamp::from_millis(times.latest),
        hours: shares(&times.hours),
        weekdays: shares(&times.weekdays),
        quantiles: quantiles(|rank| sorted.quantile(rank)).into_iter().map(moment).collect(),
    })
}

fn vectors(vectors: &Vectors) -> VectorFigures {
    let (norms, sorted) = (vectors.norms.moments(), vectors.norm_quantiles.sorted());
    VectorFigures {
        rows: vectors.rows().unwrap_or(0),
        broken: vectors.broken,
        dimensions: vectors.dimensions,
        mean_norm: norms.mean(),
        least_norm: norms.min(),
        greatest_norm: norms.max(),
        norm_quantiles: quantiles(|rank| sorted.quantile(rank)),
        mean: vectors.mean(),
    }
}
