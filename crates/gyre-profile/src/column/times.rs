//! A column's times.

use serde::{Deserialize, Serialize};

use crate::sketch::{self, Distinct, Frequent, Number, Quantiles};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// What is kept of times: milliseconds since 1970, in UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Times {
    /// The earliest.
    pub earliest: i64,
    /// The latest.
    pub latest: i64,
    /// How many in each hour of the day.
    pub hours: [u64; 24],
    /// How many on each day of the week, Monday first.
    pub weekdays: [u64; 7],
    /// Quantiles.
    #[serde(with = "sketch")]
    pub quantiles: Quantiles,
    /// Different ones.
    #[serde(with = "sketch")]
    pub distinct: Distinct,
    /// The most frequent.
    #[serde(with = "sketch")]
    pub frequent: Frequent<Number>,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            earliest: i64::MAX,
            latest: i64::MIN,
            hours: [0; 24],
            weekdays: [0; 7],
            quantiles: Quantiles::default(),
            distinct: Distinct::default(),
            frequent: Frequent::default(),
        }
    }
}

impl Times {
    /// The most bytes that they take.
    pub const MOST_BYTES: usize =
        Quantiles::MOST_BYTES + Distinct::MOST_BYTES + Frequent::<Number>::MOST_BYTES + size_of::<Self>();

    /// Takes in times.
    pub(crate) fn add(&mut self, times: impl IntoIterator<Item = i64>) {
        for millis in times {
            self.earliest = self.earliest.min(millis);
            self.latest = self.latest.max(millis);
            self.hours[(millis.rem_euclid(DAY) / HOUR) as usize] += 1;
            // 1970 began on a Thursday.
            self.weekdays[((millis.div_euclid(DAY).rem_euclid(7) + 3) % 7) as usize] += 1;
            self.quantiles.push(millis as f64);
            self.distinct.push(millis);
            self.frequent.push(&Number::whole(millis.into()), 1);
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.earliest = self.earliest.min(other.earliest);
        self.latest = self.latest.max(other.latest);
        let add = |ours: &mut [u64], theirs: &[u64]| ours.iter_mut().zip(theirs).for_each(|(a, b)| *a += b);
        add(&mut self.hours, &other.hours);
        add(&mut self.weekdays, &other.weekdays);
        self.quantiles.merge(&other.quantiles);
        self.distinct.merge(&other.distinct);
        self.frequent.merge(&other.frequent);
    }

    pub(crate) fn rows(&self) -> Option<u64> {
        self.hours.iter().try_fold(0_u64, |sum, rows| sum.checked_add(*rows))
    }

    /// Whether all that is kept is of the same times.
    pub(crate) fn adds_up(&self) -> bool {
        let weekdays = self.weekdays.iter().try_fold(0_u64, |sum, rows| sum.checked_add(*rows));
        let rows = self.rows();
        weekdays == rows
            && rows == Some(self.quantiles.count())
            && rows == Some(self.frequent.rows())
            && self.distinct.is_empty() == (rows == Some(0))
            && (rows == Some(0)) == (self.earliest > self.latest)
    }
}
