//! What a version's features may hold, held against every request before the model sees it.
//!
//! A signature says which columns come and of which kind; it does not say that a distance of a million miles, or a carrier
//! that did not exist in training, is something that the model knows nothing about. The rules do. They come from what
//! `gyre.yaml` declares ([`Features`]) and, for what it leaves open, from the rows that the version was trained on. They
//! are made once for a version, so that a number costs two comparisons and a category one look-up.
//!
//! Odd values are counted by feature and by what is odd about them. A request with one that is to be rejected is refused
//! whole. One that is to be imputed is replaced before the model sees it; the inference log keeps what the caller sent, so
//! that drift is seen.

mod usual;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use gyre_core::Version;
use gyre_core::record::{Signature, Value};
use gyre_core::spec::{Features, Odd, OnOdd};
use gyre_runtime::Column;
use gyre_stats::profile::ColumnReference;
use serde::Serialize;

use crate::error::{Refusal, Rejected};
use usual::{Cell, Usual, short};

/// Rows that a version was trained on, column by column.
pub type Trained = BTreeMap<String, ColumnReference>;

/// The rules of a version, with what was counted. Empty when nothing is known and nothing declared.
#[derive(Debug, Default)]
pub struct FeatureRules {
    rules: Vec<Rule>,
    problem: Option<String>,
}

#[derive(Debug)]
struct Rule {
    /// The column's place in the signature.
    at: usize,
    feature: Arc<str>,
    usual: Usual,
    declared: bool,
    /// What is done about a value that is not usual.
    other: OnOdd,
    /// What is done where there is none.
    missing: OnOdd,
    substitute: Option<Cell>,
    others: AtomicU64,
    lacking: AtomicU64,
}

/// Odd values of one feature in a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Oddity {
    /// The version whose rules count.
    pub version: Version,
    /// The feature.
    pub feature: Arc<str>,
    /// What is odd.
    pub odd: Odd,
    /// Whether another value stood in for it.
    pub imputed: bool,
    /// Rows with such a value.
    pub rows: usize,
    /// The first of them, counted from 0 in the request.
    pub first: usize,
}

/// What the rules found in the rows of a request that is not refused.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The rules, where something is odd; they may be others by the time that the request is answered.
    by: Option<Arc<FeatureRules>>,
    pub(crate) odd: Vec<Oddity>,
    /// Whether some value is to be replaced.
    pub(crate) imputes: bool,
}

impl Checked {
    /// Counts what was found.
    pub(crate) fn count(&self) {
        let Some(by) = &self.by else { return };
        for odd in &self.odd {
            if let Some(rule) = by.rules.iter().find(|rule| rule.feature == odd.feature) {
                rule.count(odd.odd, odd.rows);
            }
        }
    }

    /// Puts substitutes into columns that are in the signature's order, where there is something to replace.
    pub(crate) fn impute(&self, columns: &mut [Column]) {
        if let Some(by) = self.by.as_ref().filter(|_| self.imputes) {
            by.impute(columns);
        }
    }
}

/// Whether values count for which a request is refused; those of one that is answered are counted by [`Checked::count`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counting {
    /// They do.
    Refused,
    /// It is only asked what would be.
    Nothing,
}

/// A rule as it is shown, with what was counted since the version was loaded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FeatureRule {
    /// The feature.
    pub feature: Arc<str>,
    /// What is expected, in words.
    pub expected: String,
    /// Whether `gyre.yaml` says so; otherwise it was so in training.
    pub declared: bool,
    /// What is odd about a value that is not as expected: [`Odd::OutOfRange`] or [`Odd::Unseen`]; none when any will do.
    pub odd: Option<Odd>,
    /// What is done about it.
    pub on_odd: OnOdd,
    /// What is done where nothing was given.
    pub on_missing: OnOdd,
    /// What stands in for values that are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impute: Option<Value>,
    /// Values that were not as expected.
    pub odd_values: u64,
    /// Values that were not given, where that is odd.
    pub missing_values: u64,
}

impl FeatureRule {
    /// What was counted: what is odd, what is done about it, how often. Nothing of what is ignored.
    pub fn counts(&self) -> impl Iterator<Item = (Odd, OnOdd, u64)> {
        let odd = self.odd.map(|odd| (odd, self.on_odd, self.odd_values));
        let missing = Some((Odd::Missing, self.on_missing, self.missing_values));
        odd.into_iter().chain(missing).filter(|(_, action, _)| *action != OnOdd::Ignore)
    }
}

impl FeatureRules {
    /// The rules of a version with `signature`, from what `features` declares and what it was trained on.
    pub fn new(signature: &Signature, features: &Features, trained: Option<&Trained>) -> Self {
        let rule = |(at, field): (usize, &gyre_core::record::Field)| {
            let name = field.name.as_str();
            let declared = features.columns.get(name).map(|feature| &feature.value);
            let reference = trained.and_then(|trained| trained.get(name));
            let told = declared.and_then(|feature| Usual::declared(feature, field.kind));
            let (usual, is_declared) = match told {
                Some(usual) => (Some(usual), true),
                None => (reference.and_then(|seen| Usual::trained(seen, field.kind)), false),
            };
            let complete = reference.is_some_and(|seen| lacked(seen) == Some(0));
            let missing = features.said(name, Odd::Missing);
            let missing = missing.unwrap_or(if complete { OnOdd::Warn } else { OnOdd::Ignore });
            let other = usual
                .as_ref()
                .and_then(Usual::odd)
                .map_or(OnOdd::Ignore, |odd| features.said(name, odd).unwrap_or(OnOdd::Warn));
            if other == OnOdd::Ignore && missing == OnOdd::Ignore {
                return None;
            }
            let said = declared.and_then(|feature| feature.impute.as_ref());
            Some(Rule {
                at,
                feature: name.into(),
                usual: usual.unwrap_or_else(|| Usual::anything(field.kind)),
                declared: is_declared,
                other,
                missing,
                substitute: Cell::of(said, field.kind, reference),
                others: AtomicU64::new(0),
                lacking: AtomicU64::new(0),
            })
        };
        Self { rules: signature.inputs.iter().enumerate().filter_map(rule).collect(), problem: None }
    }

    /// The same, made without what was seen in training, although there is something: why it cannot be read.
    pub fn without_training(self, problem: String) -> Self {
        Self { problem: Some(problem), ..self }
    }

    /// Why they lack what was seen in training.
    pub(crate) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Holds rows against the rules: all that `column` gives for a place in the signature, or `rows` of them. Nothing is
    /// counted yet, but what a request is refused for, as `counting` says.
    pub(crate) fn check<'a>(
        self: &Arc<Self>,
        version: Version,
        column: impl Fn(usize) -> Option<&'a Column>,
        rows: Option<&[usize]>,
        counting: Counting,
    ) -> Result<Checked, Refusal> {
        let mut checked = Checked { by: None, odd: Vec::new(), imputes: false };
        let mut refused = None;
        for rule in &self.rules {
            let Some(column) = column(rule.at) else { continue };
            for Found { odd, rows, first } in rule.find(column, rows) {
                let action = rule.action(odd);
                if action == OnOdd::Reject || action == OnOdd::Impute && rule.substitute.is_none() {
                    if counting == Counting::Refused {
                        rule.count(odd, rows);
                    }
                    let (_, more) = refused.get_or_insert_with(|| (rule.refusal(odd, column, first), 0));
                    *more += rows;
                    continue;
                }
                let imputed = action == OnOdd::Impute;
                checked.imputes |= imputed;
                let feature = Arc::clone(&rule.feature);
                checked.odd.push(Oddity { version, feature, odd, imputed, rows, first });
            }
        }
        match refused {
            Some((refusal, values)) => Err(refusal(values - 1)),
            None => {
                checked.by = (!checked.odd.is_empty()).then(|| Arc::clone(self));
                Ok(checked)
            }
        }
    }

    /// Whether `other` are the same rules, whatever was counted.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        self.problem == other.problem
            && self.rules.len() == other.rules.len()
            && self.rules.iter().zip(&other.rules).all(|(ours, theirs)| ours.says_the_same(theirs))
    }

    fn impute(&self, columns: &mut [Column]) {
        for rule in &self.rules {
            let (Some(column), Some(substitute)) = (columns.get_mut(rule.at), &rule.substitute) else {
                continue;
            };
            let mut rows = Vec::new();
            rule.usual.scan(column, None, |row, odd| {
                if rule.action(odd) == OnOdd::Impute {
                    rows.push(row);
                }
            });
            rows.into_iter().for_each(|row| substitute.put(column, row));
        }
    }

    /// How many values of columns that were logged are odd, by feature; only those that are.
    pub fn tally<'a>(&self, column: impl Fn(&str) -> Option<&'a Column>) -> Vec<(Arc<str>, Odd, u64)> {
        let of = |rule: &Rule| {
            let found = column(&rule.feature).map(|column| rule.find(column, None));
            let feature = Arc::clone(&rule.feature);
            found.into_iter().flatten().map(move |found| (Arc::clone(&feature), found.odd, found.rows as u64))
        };
        self.rules.iter().flat_map(of).collect()
    }

    /// The rules, with what was counted.
    pub fn shown(&self) -> Vec<FeatureRule> {
        let one = |rule: &Rule| FeatureRule {
            feature: Arc::clone(&rule.feature),
            expected: rule.usual.to_string(),
            declared: rule.declared,
            odd: rule.usual.odd(),
            on_odd: rule.other,
            on_missing: rule.missing,
            impute: rule.substitute.as_ref().filter(|_| rule.imputes()).map(Value::from),
            odd_values: rule.others.load(Relaxed),
            missing_values: rule.lacking.load(Relaxed),
        };
        self.rules.iter().map(one).collect()
    }
}

/// Odd values of one column.
struct Found {
    odd: Odd,
    rows: usize,
    first: usize,
}

impl Rule {
    fn says_the_same(&self, other: &Self) -> bool {
        (self.at, &self.feature, &self.usual, self.declared)
            == (other.at, &other.feature, &other.usual, other.declared)
            && (self.other, self.missing, &self.substitute) == (other.other, other.missing, &other.substitute)
    }

    fn action(&self, odd: Odd) -> OnOdd {
        if odd == Odd::Missing { self.missing } else { self.other }
    }

    fn imputes(&self) -> bool {
        self.other == OnOdd::Impute || self.missing == OnOdd::Impute
    }

    fn count(&self, odd: Odd, rows: usize) {
        let counter = if odd == Odd::Missing { &self.lacking } else { &self.others };
        counter.fetch_add(rows as u64, Relaxed);
    }

    /// What is odd in a column, apart from what is ignored.
    fn find(&self, column: &Column, rows: Option<&[usize]>) -> impl Iterator<Item = Found> + use<> {
        let (mut other, mut missing): (Option<Found>, Option<Found>) = (None, None);
        self.usual.scan(column, rows, |row, odd| {
            if self.action(odd) != OnOdd::Ignore {
                let place = if odd == Odd::Missing { &mut missing } else { &mut other };
                place.get_or_insert(Found { odd, rows: 0, first: row }).rows += 1;
            }
        });
        other.into_iter().chain(missing)
    }

    /// Why a request with this value in `row` is refused, once it is known how many more values are.
    fn refusal(&self, odd: Odd, column: &Column, row: usize) -> impl FnOnce(usize) -> Refusal + use<> {
        let found = match column {
            Column::Numeric(values) => values.get(row).map(f64::to_string),
            Column::Text(values) => values.get(row).cloned().flatten().map(|text| short(&text)),
        };
        let found = found.unwrap_or_default();
        let nearest = (odd == Odd::Unseen).then(|| self.usual.nearest(&found)).flatten();
        let unknown = self.action(odd) == OnOdd::Impute;
        let (feature, expected, declared) = (self.feature.to_string(), self.usual.to_string(), self.declared);
        move |more| {
            Refusal::Odd(Box::new(Rejected {
                feature,
                row,
                odd,
                found,
                expected,
                declared,
                nearest,
                unknown,
                more,
            }))
        }
    }
}

impl Usual {
    /// What is odd about a value that is given and not as usual.
    fn odd(&self) -> Option<Odd> {
        match self {
            Self::Range(..) => Some(Odd::OutOfRange),
            Self::Numbers(_) | Self::Categories(_) => Some(Odd::Unseen),
            Self::AnyNumber | Self::AnyText => None,
        }
    }
}

/// Training rows that lacked a value; none when there were no rows.
fn lacked(reference: &ColumnReference) -> Option<u64> {
    let (rows, missing) = match reference {
        ColumnReference::Numeric(numbers) => (numbers.histogram().rows(), numbers.histogram().missing()),
        ColumnReference::Categorical(names) => (names.histogram().rows(), names.histogram().missing()),
    };
    (rows > 0).then_some(missing)
}
