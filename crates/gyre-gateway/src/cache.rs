//! Answers that are kept for rows that come again: for models that are dear to ask.
//!
//! A version that runs elsewhere takes milliseconds for what a look-up takes a microsecond for. So a model may say in
//! `gyre.yaml` that answers are kept (`serve.cache`): by version, for a time, and by the exact features. The key is the row
//! itself, written out, and equality is that of its bytes; a hash only says where to look. What is answered from here is
//! logged as every prediction is, and is no evidence for or against the version, which was not asked.
//!
//! Memory is bounded by the number of rows, and by the length of a row that is kept ([`LONGEST`]). Rows are in two
//! generations: when the young one is half of all, it becomes the old one, whose rows are forgotten unless they are asked
//! for again. That is nearly "the least recently used", without a list through all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gyre_runtime::{Column, Scores, Table};

use crate::log::gather;

/// The longest row that is kept, in bytes as it is written out: 8 for a number, its length and 5 for a text.
pub const LONGEST: usize = 4_096;

/// What is kept of a model's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachePolicy {
    /// Most rows, of each version.
    pub rows: usize,
    /// For how long.
    pub span: Duration,
}

/// The answers of one version.
pub(crate) struct Cache {
    policy: CachePolicy,
    generations: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    young: HashMap<Box<[u8]>, Kept>,
    old: HashMap<Box<[u8]>, Kept>,
}

/// An answer, and when it was given.
#[derive(Clone)]
struct Kept {
    answer: One,
    since: Instant,
}

#[derive(Clone)]
enum One {
    Number(f64),
    Class { label: Arc<str>, classes: Arc<[Arc<str>]>, probabilities: Box<[f64]> },
}

/// What is known of some rows.
pub(crate) struct Looked {
    /// The key of each row; none for one that is too long.
    keys: Vec<Option<Box<[u8]>>>,
    known: Vec<Option<One>>,
}

impl Cache {
    pub(crate) fn new(policy: CachePolicy) -> Self {
        Self { policy, generations: Mutex::default() }
    }

    pub(crate) fn policy(&self) -> CachePolicy {
        self.policy
    }

    /// Looks every row of `table` up.
    pub(crate) fn look_up(&self, table: &Table, now: Instant) -> Looked {
        let keys: Vec<Option<Box<[u8]>>> = (0..table.rows()).map(|row| key(table, row)).collect();
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let known = keys.iter().map(|key| self.find(&mut generations, key.as_deref()?, now)).collect();
        Looked { keys, known }
    }

    fn find(&self, generations: &mut Generations, key: &[u8], now: Instant) -> Option<One> {
        let is_fresh = |kept: &Kept| now.saturating_duration_since(kept.since) < self.policy.span;
        if let Some(kept) = generations.young.get(key) {
            return is_fresh(kept).then(|| kept.answer.clone());
        }
        let (key, kept) = generations.old.remove_entry(key)?;
        let answer = is_fresh(&kept).then(|| kept.answer.clone())?;
        self.put(generations, key, kept);
        Some(answer)
    }

    fn put(&self, generations: &mut Generations, key: Box<[u8]>, kept: Kept) {
        let half = self.policy.rows.div_ceil(2);
        if generations.young.len() >= half && !generations.young.contains_key(&key) {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(key, kept);
    }

    /// Keeps the answers to the rows that `looked` did not know, given in their order, and says what is answered to all.
    /// None when the answers are of another kind than those that are kept, or not as many as were asked for.
    pub(crate) fn complete(&self, looked: Looked, asked: Option<&Scores>, now: Instant) -> Option<Scores> {
        let Looked { keys, known } = looked;
        let mut answers = Vec::with_capacity(known.len());
        let mut next = 0;
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, known) in keys.into_iter().zip(known) {
            let answer = match known {
                Some(answer) => answer,
                None => {
                    let answer = one(asked?, next)?;
                    next += 1;
                    if let Some(key) = key {
                        self.put(&mut generations, key, Kept { answer: answer.clone(), since: now });
                    }
                    answer
                }
            };
            answers.push(answer);
        }
        drop(generations);
        together(answers)
    }
}

impl Looked {
    /// Rows that have to be asked for.
    pub(crate) fn unknown(&self) -> Vec<usize> {
        self.known.iter().enumerate().filter(|(_, known)| known.is_none()).map(|(row, _)| row).collect()
    }
}

/// Some rows of a table.
pub(crate) fn part(table: &Table, rows: &[usize]) -> Table {
    let columns = table.columns().iter().map(|(name, column)| (name.clone(), gather(column, rows)));
    // They were distinct before.
    Table::of_distinct(columns).unwrap_or_default()
}

/// A row, written out: what is equal has the same bytes, and what is not has others.
fn key(table: &Table, row: usize) -> Option<Box<[u8]>> {
    let mut key = Vec::with_capacity(8 * table.columns().len());
    for (_, column) in table.columns() {
        match column {
            Column::Numeric(values) => key.extend_from_slice(&values.get(row)?.to_bits().to_le_bytes()),
            Column::Text(values) => match values.get(row)? {
                None => key.push(0),
                Some(text) => {
                    key.push(1);
                    key.extend_from_slice(&u32::try_from(text.len()).ok()?.to_le_bytes());
                    key.extend_from_slice(text.as_bytes());
                }
            },
        }
        if key.len() > LONGEST {
            return None;
        }
    }
    Some(key.into())
}

/// The answer to one row.
fn one(scores: &Scores, row: usize) -> Option<One> {
    Some(match scores {
        Scores::Regression(values) => One::Number(*values.get(row)?),
        Scores::Classification { labels, classes, probabilities } => {
            let width = if probabilities.is_empty() { 0 } else { classes.len() };
            One::Class {
                label: Arc::clone(labels.get(row)?),
                classes: Arc::clone(classes),
                probabilities: probabilities.get(row * width..(row + 1) * width)?.into(),
            }
        }
    })
}

/// The answers to all rows, which must be of one kind.
fn together(answers: Vec<One>) -> Option<Scores> {
    match answers.first()? {
        One::Number(_) => {
            let number = |answer| match answer {
                One::Number(number) => Some(number),
                One::Class { .. } => None,
            };
            answers.into_iter().map(number).collect::<Option<_>>().map(Scores::Regression)
        }
        One::Class { classes, probabilities, .. } => {
            let (classes, width) = (Arc::clone(classes), probabilities.len());
            let (mut labels, mut all) = (Vec::with_capacity(answers.len()), Vec::new());
            for answer in answers {
                match answer {
                    One::Class { label, probabilities, .. } if probabilities.len() == width => {
                        labels.push(label);
                        all.extend_from_slice(&probabilities);
                    }
                    _ => return None,
                }
            }
            Some(Scores::Classification { labels, classes, probabilities: all })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(rows: usize) -> Cache {
        Cache::new(CachePolicy { rows, span: Duration::from_secs(60) })
    }

    fn numbers(values: &[f64]) -> Table {
        Table::new([("x", Column::Numeric(values.to_vec()))]).unwrap()
    }

    /// Asks a model that says the double, and says which rows it was asked.
    fn ask(cache: &Cache, values: &[f64], now: Instant) -> (Vec<f64>, Vec<usize>) {
        let looked = cache.look_up(&numbers(values), now);
        let unknown = looked.unknown();
        let asked = Scores::Regression(unknown.iter().map(|row| 2.0 * values[*row]).collect());
        match cache.complete(looked, Some(&asked), now) {
            Some(Scores::Regression(all)) => (all, unknown),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_asked_before_is_not_asked_again_until_its_time_is_over() {
        let (cache, now) = (cache(10), Instant::now());
        assert_eq!(ask(&cache, &[1.0, 2.0], now), (vec![2.0, 4.0], vec![0, 1]));
        assert_eq!(ask(&cache, &[3.0, 2.0, 1.0], now), (vec![6.0, 4.0, 2.0], vec![0]));
        assert_eq!(ask(&cache, &[2.0], now + Duration::from_secs(59)), (vec![4.0], vec![]));
        assert_eq!(ask(&cache, &[2.0], now + Duration::from_secs(61)), (vec![4.0], vec![0]));
    }

    #[test]
    fn memory_is_bounded_and_what_is_asked_for_stays() {
        let (cache, now) = (cache(100), Instant::now());
        for at in 0..10_000 {
            ask(&cache, &[f64::from(at)], now);
            assert!(ask(&cache, &[-1.0], now).1.is_empty() || at == 0, "{at}");
            let generations = cache.generations.lock().unwrap();
            assert!(generations.young.len() + generations.old.len() <= 100);
        }
    }

    #[test]
    fn no_row_is_taken_for_another() {
        let text = |values: [Option<&str>; 2]| {
            let column = |value: Option<&str>| Column::Text(vec![value.map(Into::into)]);
            Table::new([("a", column(values[0])), ("b", column(values[1]))]).unwrap()
        };
        let rows = [
            text([Some("ab"), Some("c")]),
            text([Some("a"), Some("bc")]),
            text([Some(""), None]),
            text([None, Some("")]),
            text([Some("\0"), None]),
        ];
        let keys: std::collections::HashSet<_> = rows.iter().map(|row| key(row, 0).unwrap()).collect();
        assert_eq!(keys.len(), rows.len());
        let keys: Vec<_> =
            [0.0, -0.0, f64::NAN, 1e-300].iter().map(|x| key(&numbers(&[*x]), 0).unwrap()).collect();
        assert!((0..4).all(|one| (0..one).all(|other| keys[one] != keys[other])));
        let long = "x".repeat(LONGEST);
        assert_eq!(key(&text([Some(&long), None]), 0), None);
    }

    #[test]
    fn classes_keep_their_probabilities() {
        let (cache, now) = (cache(4), Instant::now());
        let classes: Arc<[Arc<str>]> = ["no".into(), "yes".into()].into();
        let said = |label: &str, p: f64| Scores::Classification {
            labels: vec![label.into()],
            classes: Arc::clone(&classes),
            probabilities: vec![1.0 - p, p],
        };
        let looked = cache.look_up(&numbers(&[1.0]), now);
        cache.complete(looked, Some(&said("yes", 0.75)), now).unwrap();
        let looked = cache.look_up(&numbers(&[5.0, 1.0]), now);
        assert_eq!(looked.unknown(), [0]);
        let all = cache.complete(looked, Some(&said("no", 0.25)), now).unwrap();
        let expected = Scores::Classification {
            labels: vec!["no".into(), "yes".into()],
            classes: Arc::clone(&classes),
            probabilities: vec![0.75, 0.25, 0.25, 0.75],
        };
        assert_eq!(all, expected);
        // A model that answers less than it was asked for is not completed by guessing.
        let looked = cache.look_up(&numbers(&[8.0, 9.0]), now);
        assert!(cache.complete(looked, Some(&said("no", 0.25)), now).is_none());
    }
}
