//! The running count behind one check.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use gyre_core::Value;
use gyre_core::spec::{ColumnType, DataCheck};

use super::words::{cell, cells, count, percent};
use crate::table::{Batch, Column, TableError, kind_name};

/// What a check has seen so far.
pub(super) struct Tally<'a> {
    check: &'a DataCheck,
    /// The column, unless the check names none or one that is missing.
    column: Option<Column>,
    missing: Offence,
    outside: Offence,
    foreign: Offence,
    repeated: Offence,
    allowed: HashSet<Key>,
    seen: HashSet<u128>,
}

/// How often something was wrong, and where first.
#[derive(Default)]
struct Offence {
    count: u64,
    first: Option<(Value, u64)>,
}

impl Offence {
    fn note(&mut self, value: &Value, row: u64) {
        self.count += 1;
        if self.first.is_none() {
            self.first = Some((value.clone(), row));
        }
    }

    /// `3 of 51,000 values WHAT, first 99999 at row 17`.
    fn tell(&self, column: &str, rows: u64, what: &str) -> Option<String> {
        let (value, row) = self.first.as_ref()?;
        let (bad, rows) = (count(self.count), count(rows));
        Some(format!(
            "column {column}: {bad} of {rows} values {what}, first {} at row {}",
            cell(value),
            count(*row)
        ))
    }
}

/// A value that can be looked up: numbers by their bits, text as it is.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Bool(bool),
    Number(u64),
    Text(Arc<str>),
}

impl Key {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Missing => None,
            Value::Bool(truth) => Some(Self::Bool(*truth)),
            // 0.0 and −0.0 are one value.
            Value::Number(number) => Some(Self::Number((number + 0.0).to_bits())),
            Value::Text(text) => Some(Self::Text(Arc::clone(text))),
        }
    }

    /// 128 bits: two rows of a billion share them by chance once in 10^20 tables.
    fn fingerprint(&self) -> u128 {
        let half = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            salt.hash(&mut hasher);
            self.hash(&mut hasher);
            u128::from(hasher.finish())
        };
        half(1) << 64 | half(2)
    }
}

impl<'a> Tally<'a> {
    pub(super) fn new(check: &'a DataCheck, columns: &[Column]) -> Self {
        let named = |name: &String| columns.iter().find(|column| column.name == *name).cloned();
        Self {
            check,
            column: check.column.as_ref().and_then(named),
            missing: Offence::default(),
            outside: Offence::default(),
            foreign: Offence::default(),
            repeated: Offence::default(),
            allowed: check.one_of.iter().flatten().filter_map(Key::of).collect(),
            seen: HashSet::new(),
        }
    }

    pub(super) fn add(&mut self, batch: &Batch) -> Result<(), TableError> {
        let Some(column) = &self.column else { return Ok(()) };
        let check = self.check;
        if check.range.is_none() && check.one_of.is_none() && !check.unique && check.nulls.is_none() {
            return Ok(());
        }
        for (row, value) in (batch.first_row()..).zip(batch.values(&column.name)?) {
            let Some(key) = Key::of(&value) else {
                self.missing.note(&value, row);
                continue;
            };
            if let (Some((low, high)), Value::Number(number)) = (check.range, &value)
                && !(low..=high).contains(number)
            {
                self.outside.note(&value, row);
            }
            if check.unique && !self.seen.insert(key.fingerprint()) {
                self.repeated.note(&value, row);
            }
            if check.one_of.is_some() && !self.allowed.contains(&key) {
                self.foreign.note(&value, row);
            }
        }
        Ok(())
    }

    /// Everything that does not hold, after `rows` rows.
    pub(super) fn failures(&self, rows: u64) -> Vec<String> {
        let check = self.check;
        let mut failures = Vec::new();
        if let Some((least, most)) = check.rows.filter(|(least, most)| !(least..=most).contains(&&rows)) {
            failures.push(format!("{} rows, expected {} to {}", count(rows), count(least), count(most)));
        }
        let Some(name) = &check.column else { return failures };
        let Some(column) = &self.column else {
            failures.push(format!("column {name}: missing from the data"));
            return failures;
        };
        failures.extend(self.wrong_type(column));
        if let Some((low, high)) = check.range {
            failures.extend(self.outside.tell(name, rows, &format!("outside {low}..{high}")));
        }
        failures.extend(self.too_many_missing(name, rows));
        if let Some(allowed) = &check.one_of {
            failures.extend(self.foreign.tell(name, rows, &format!("not among {}", cells(allowed))));
        }
        failures.extend(self.repeated.tell(name, rows, "occur before"));
        failures
    }

    fn wrong_type(&self, column: &Column) -> Option<String> {
        let found = column.kind.map_or("what has no name here (lists, structures, binary)", kind_name);
        if let Some(expected) = self.check.kind {
            let fits = column.kind == Some(expected)
                // Whole numbers are numbers.
                || (expected == ColumnType::Float && column.kind == Some(ColumnType::Int));
            if !fits {
                return Some(format!(
                    "column {}: holds {found}, expected {}",
                    column.name,
                    kind_name(expected)
                ));
            }
        }
        let (low, high) = self.check.range?;
        let has_range = matches!(column.kind, Some(ColumnType::Int | ColumnType::Float | ColumnType::Time));
        (!has_range)
            .then(|| format!("column {}: holds {found}, so the range {low}..{high} cannot hold", column.name))
    }

    fn too_many_missing(&self, name: &str, rows: u64) -> Option<String> {
        let allowed = self.check.nulls?;
        let (_, first) = self.missing.first.as_ref()?;
        let share = self.missing.count as f64 / rows as f64;
        let (bad, of, first) = (count(self.missing.count), count(rows), count(*first));
        let (share_text, allowed_text) = (percent(share), percent(allowed));
        (share > allowed).then(|| {
            format!("column {name}: {bad} of {of} values missing ({share_text}), allowed {allowed_text}, first at row {first}")
        })
    }
}
