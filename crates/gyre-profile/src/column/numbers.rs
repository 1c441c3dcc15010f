//! A column's numbers.

use gyre_stats::shape::Shape;
use serde::{Deserialize, Serialize};

use crate::sketch::{self, Distinct, Frequent, Number, Quantiles};

/// What is kept of numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    /// Those that are whole numbers by their type or, in text, by how they are written.
    pub whole: u64,
    /// −∞.
    pub negative_infinite: u64,
    /// +∞.
    pub positive_infinite: u64,
    /// Mean, spread, range and skewness of the finite ones.
    pub shape: Shape,
    /// Quantiles of the finite ones.
    #[serde(with = "sketch")]
    pub quantiles: Quantiles,
    /// Different finite ones.
    #[serde(with = "sketch")]
    pub distinct: Distinct,
    /// The most frequent finite ones, however large.
    #[serde(with = "sketch")]
    pub frequent: Frequent<Number>,
}

impl Numbers {
    /// The most bytes that they take.
    pub const MOST_BYTES: usize =
        Quantiles::MOST_BYTES + Distinct::MOST_BYTES + Frequent::<Number>::MOST_BYTES + size_of::<Self>();

    /// Takes in numbers that are not NaN.
    pub(crate) fn add(&mut self, numbers: &[f64]) {
        if numbers.iter().all(|number| number.is_finite()) {
            return self.add_finite(numbers);
        }
        self.negative_infinite +=
            numbers.iter().filter(|number| **number == f64::NEG_INFINITY).count() as u64;
        self.positive_infinite += numbers.iter().filter(|number| **number == f64::INFINITY).count() as u64;
        self.add_finite(&numbers.iter().copied().filter(|number| number.is_finite()).collect::<Vec<_>>());
    }

    fn add_finite(&mut self, numbers: &[f64]) {
        self.shape.merge(&Shape::of(numbers));
        for number in numbers {
            self.count(*number, Number::double(*number));
        }
    }

    /// Takes in whole numbers.
    pub(crate) fn add_whole(&mut self, numbers: &[i128]) {
        let doubles: Vec<f64> = numbers.iter().map(|number| *number as f64).collect();
        self.whole += doubles.len() as u64;
        self.shape.merge(&Shape::of(&doubles));
        for (double, number) in doubles.iter().zip(numbers) {
            self.count(*double, Number::whole(*number));
        }
    }

    fn count(&mut self, value: f64, number: Number) {
        self.quantiles.push(value);
        self.frequent.push(&number, 1);
        self.distinct.push(number);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.whole += other.whole;
        self.negative_infinite += other.negative_infinite;
        self.positive_infinite += other.positive_infinite;
        self.shape.merge(&other.shape);
        self.quantiles.merge(&other.quantiles);
        self.distinct.merge(&other.distinct);
        self.frequent.merge(&other.frequent);
    }

    /// How many numbers there are; none when there are more than can be counted.
    pub(crate) fn rows(&self) -> Option<u64> {
        self.shape.count().checked_add(self.negative_infinite)?.checked_add(self.positive_infinite)
    }

    /// Whether all that is kept is of the same numbers.
    pub(crate) fn adds_up(&self) -> bool {
        let finite = self.shape.count();
        self.quantiles.count() == finite
            && self.frequent.rows() == finite
            && self.distinct.is_empty() == (finite == 0)
            && self.shape.moments().min().is_some() == (finite > 0)
            && self.whole <= finite
    }
}
