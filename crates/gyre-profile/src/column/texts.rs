//! A column's texts.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::sketch::{self, Distinct, Frequent, name_key};

/// What is kept of texts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    /// How long they are.
    pub lengths: Lengths,
    /// Different ones.
    #[serde(with = "sketch")]
    pub distinct: Distinct,
    /// The most frequent; long ones by their beginning and a hash.
    #[serde(with = "sketch")]
    pub frequent: Frequent<String>,
}

impl Texts {
    /// The most bytes that they take.
    pub const MOST_BYTES: usize =
        Lengths::MOST_BYTES + Distinct::MOST_BYTES + Frequent::<String>::MOST_BYTES + size_of::<Self>();

    /// Takes in `rows` rows with the same text.
    pub(crate) fn add(&mut self, text: &str, rows: u64) {
        if rows == 0 {
            return;
        }
        self.lengths.add(text.chars().count() as u64, rows);
        self.distinct.push(text.as_bytes());
        self.frequent.push(&*name_key(text), rows);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.lengths.merge(&other.lengths);
        self.distinct.merge(&other.distinct);
        self.frequent.merge(&other.frequent);
    }

    pub(crate) fn rows(&self) -> Option<u64> {
        Some(self.lengths.rows)
    }

    /// Whether all that is kept is of the same texts.
    pub(crate) fn adds_up(&self) -> bool {
        self.frequent.rows() == self.lengths.rows && self.distinct.is_empty() == (self.lengths.rows == 0)
    }
}

/// Lengths below which each is counted apart.
const EXACT: u64 = 128;
/// Into how many bins of equal width the lengths between a power of two and the next are counted.
const BINS: u64 = 64;

/// Lengths of texts in characters: exact below 128, within 1/64 from there on. They add up exactly.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lengths {
    rows: u64,
    /// Characters of all texts together; too many are as many as can be counted.
    characters: u64,
    /// The shortest and the longest; none without texts.
    ends: Option<(u64, u64)>,
    /// Rows by bin.
    counts: Vec<u64>,
}

impl Lengths {
    /// The most bytes that they take, with room for twice the bins.
    pub const MOST_BYTES: usize = 2 * 8 * (EXACT + (64 - 7) * BINS) as usize;

    fn add(&mut self, length: u64, rows: u64) {
        let bin = bin(length);
        if bin >= self.counts.len() {
            self.counts.resize(bin + 1, 0);
        }
        self.counts[bin] += rows;
        self.rows += rows;
        self.characters = self.characters.saturating_add(length.saturating_mul(rows));
        self.ends =
            Some(self.ends.map_or((length, length), |(least, most)| (least.min(length), most.max(length))));
    }

    fn merge(&mut self, other: &Self) {
        let Some((least, most)) = other.ends else { return };
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(ours, theirs)| *ours += theirs);
        self.rows += other.rows;
        self.characters = self.characters.saturating_add(other.characters);
        self.ends = Some(self.ends.map_or((least, most), |ours| (ours.0.min(least), ours.1.max(most))));
    }

    /// The shortest and the longest; none without texts.
    #[must_use]
    pub fn ends(&self) -> Option<(u64, u64)> {
        self.ends
    }

    /// The mean length; none without texts.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.rows > 0).then(|| self.characters as f64 / self.rows as f64)
    }

    /// The length of a rank between 0 (the shortest) and 1 (the longest); none without texts.
    #[must_use]
    pub fn quantile(&self, rank: f64) -> Option<f64> {
        let (least, most) = self.ends?;
        let wanted = ((rank * self.rows as f64).ceil() as u64).clamp(1, self.rows);
        let mut through = 0_u64;
        let at = self.counts.iter().position(|rows| {
            through = through.saturating_add(*rows);
            through >= wanted
        })?;
        let (from, to) = (first(at), first(at + 1) - 1);
        Some((from as f64 + (to - from) as f64 / 2.0).clamp(least as f64, most as f64))
    }

    /// Rows with lengths from one number up to and without another, as far as bins go.
    #[must_use]
    pub fn between(&self, from: u64, to: u64) -> u64 {
        let bins = self.counts.iter().enumerate();
        bins.filter(|(at, _)| (from..to).contains(&first(*at))).map(|(_, rows)| rows).sum()
    }
}

fn bin(length: u64) -> usize {
    if length < EXACT {
        return length as usize;
    }
    let power = u64::from(63 - length.leading_zeros());
    (EXACT + (power - 7) * BINS + (length >> (power - 6)) - BINS) as usize
}

/// The least length in a bin.
fn first(bin: usize) -> u64 {
    let bin = bin as u64;
    if bin < EXACT {
        return bin;
    }
    let (power, step) = ((bin - EXACT) / BINS + 7, (bin - EXACT) % BINS);
    (BINS + step).checked_shl((power - 6) as u32).filter(|_| power < 64).unwrap_or(u64::MAX)
}

/// [`Lengths`] as they are stored: only bins that hold something.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    characters: u64,
    ends: Option<(u64, u64)>,
    /// The least length of a bin, and its rows.
    bins: Vec<(u64, u64)>,
}

impl Serialize for Lengths {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bins = self.counts.iter().enumerate().filter(|(_, rows)| **rows > 0);
        let bins = bins.map(|(at, rows)| (first(at), *rows)).collect();
        Stored { characters: self.characters, ends: self.ends, bins }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Lengths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = || de::Error::custom("lengths of texts that do not add up");
        let Stored { characters, ends, bins } = Stored::deserialize(deserializer)?;
        let mut counts = vec![0_u64; bins.last().map_or(0, |(length, _)| bin(*length) + 1)];
        let mut rows = 0_u64;
        for (length, more) in bins {
            rows = rows.checked_add(more).ok_or_else(wrong)?;
            *counts.get_mut(bin(length)).ok_or_else(wrong)? += more;
        }
        let fits = ends.is_none_or(|(least, most)| least <= most && bin(most) + 1 == counts.len());
        if ends.is_some() != (rows > 0) || !fits {
            return Err(wrong());
        }
        Ok(Self { rows, characters, ends, counts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_has_a_bin_of_its_size() {
        let lengths = (0..100_000_u64)
            .chain((17..64).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 1]));
        for length in lengths.chain([u64::MAX]) {
            let (from, to) = (first(bin(length)), first(bin(length) + 1));
            assert!(from <= length && (length < to || to == u64::MAX), "{from} {length} {to}");
            assert!((to - from - 1) * 64 <= from, "{length} is told as {from} to {to}");
        }
        assert!((bin(u64::MAX) + 1) * 16 <= Lengths::MOST_BYTES);
    }

    #[test]
    fn short_texts_are_exact_and_all_are_stored() {
        let mut lengths = Lengths::default();
        assert_eq!((lengths.quantile(0.5), lengths.mean()), (None, None));
        (1..=100).for_each(|length| lengths.add(length, 2));
        lengths.add(1_000_000, 1);
        assert_eq!((lengths.quantile(0.0), lengths.quantile(0.5)), (Some(1.0), Some(51.0)));
        assert_eq!((lengths.quantile(1.0), lengths.between(10, 20)), (Some(1_000_000.0), 20));
        let stored = serde_json::to_string(&lengths).unwrap();
        assert_eq!(serde_json::from_str::<Lengths>(&stored).unwrap(), lengths);
        for wrong in [
            r#"{"characters":0,"ends":null,"bins":[[3,1]]}"#,
            r#"{"characters":9,"ends":[3,3],"bins":[[5,1],[3,1]]}"#,
        ] {
            assert!(serde_json::from_str::<Lengths>(wrong).is_err(), "{wrong}");
        }
    }
}
