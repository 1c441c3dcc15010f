//! Which columns of a table the model reads, and which go along with the predictions.

use std::collections::HashSet;

use arrow_schema::{DataType, Field, Schema};
use gyre_core::Diagnostic;
use gyre_core::ids::nearest;
use gyre_core::spec::ColumnType;
use gyre_data::table::column_type;
use gyre_runtime::{Feature, FeatureKind};

/// The most names that an error lists.
const LISTED: usize = 20;

/// Which of the input's columns go into the output, before the predictions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// These, in this order.
    Columns(Vec<String>),
    /// All, in the file's order.
    All,
}

/// The columns of one input, by their places in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Columns {
    /// For each feature of the model, in the model's order.
    pub(crate) features: Vec<usize>,
    /// Those that go along, in the output's order.
    pub(crate) kept: Vec<usize>,
    /// Columns that are neither read nor kept.
    pub(crate) ignored: Vec<String>,
    /// How many columns the file has.
    pub(crate) width: usize,
}

impl Columns {
    /// Finds the features and the kept columns in a table of this schema.
    ///
    /// # Errors
    /// All that is wrong, with the nearest names.
    pub(crate) fn find(
        file: &str,
        schema: &Schema,
        features: &[Feature],
        kept: &Kept,
    ) -> Result<Self, Vec<Diagnostic>> {
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let wanted: HashSet<&str> = features.iter().map(|feature| &*feature.name).collect();
        let mut wrong = Vec::new();
        let mut places = Vec::with_capacity(features.len());
        for feature in features {
            let Some(place) = place(&names, &feature.name) else {
                // A column that the model reads under its own name is not meant by another.
                let free = names.iter().copied().filter(|name| !wanted.contains(name));
                let missing = format!("the model reads the column `{}`, which is not there", feature.name);
                wrong.push(hinted(Diagnostic::new(file, missing), &feature.name, free, &names));
                continue;
            };
            if let Some(field) = schema.fields().get(place)
                && let Some(expected) = unfit(feature.kind, field)
            {
                let kind = kind_name(field.data_type());
                let found = format!("column `{}` holds {kind}, and the model reads it", feature.name);
                wrong.push(Diagnostic::new(file, found).expected(expected));
            }
            places.push(place);
        }
        let mut along = Vec::new();
        match kept {
            Kept::All => along.extend(0..names.len()),
            Kept::Columns(columns) => {
                for column in columns {
                    match place(&names, column) {
                        Some(place) if along.contains(&place) => {}
                        Some(place) => along.push(place),
                        None => {
                            let missing = format!("there is no column `{column}` to keep");
                            let missing = Diagnostic::new(file, missing);
                            wrong.push(hinted(missing, column, names.iter().copied(), &names));
                        }
                    }
                }
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let used = |place: &usize| places.contains(place) || along.contains(place);
        let ignored = names.iter().enumerate().filter(|(place, _)| !used(place));
        let ignored = ignored.map(|(_, name)| (*name).to_owned()).collect();
        Ok(Self { features: places, kept: along, ignored, width: names.len() })
    }

    /// All columns that must be read, in the file's order.
    pub(crate) fn read(&self) -> Vec<usize> {
        let mut all: Vec<usize> = self.features.iter().chain(&self.kept).copied().collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

fn place(names: &[&str], name: &str) -> Option<usize> {
    names.iter().position(|known| *known == name)
}

fn hinted<'a>(
    wrong: Diagnostic,
    name: &str,
    candidates: impl Iterator<Item = &'a str> + Clone,
    all: &[&str],
) -> Diagnostic {
    let same = |candidate: &&str| candidate.eq_ignore_ascii_case(name);
    match candidates.clone().find(same).or_else(|| nearest(name, candidates)) {
        Some(near) => wrong.help(format!("is `{near}` it? Rename one of them")),
        None => {
            let more = if all.len() > LISTED { ", …" } else { "" };
            let listed: Vec<&str> = all.iter().take(LISTED).copied().collect();
            wrong.help(format!("the file has {}{more}", listed.join(", ")))
        }
    }
}

/// What is expected, when a column cannot be the feature.
fn unfit(kind: FeatureKind, field: &Field) -> Option<&'static str> {
    let found = column_type(field.data_type());
    if field.data_type().is_null() {
        return None;
    }
    match (kind, found) {
        (
            FeatureKind::Numeric | FeatureKind::Integer,
            Some(ColumnType::Int | ColumnType::Float | ColumnType::Bool),
        )
        | (FeatureKind::Text, Some(ColumnType::Int | ColumnType::Text | ColumnType::Bool)) => None,
        (FeatureKind::Numeric, _) => Some("numbers"),
        (FeatureKind::Integer, _) => Some("whole numbers"),
        (FeatureKind::Text, _) => Some("categories: text, whole numbers or booleans"),
    }
}

fn kind_name(kind: &DataType) -> String {
    match column_type(kind) {
        Some(ColumnType::Int) => "whole numbers".to_owned(),
        Some(ColumnType::Float) => "numbers with fractions".to_owned(),
        Some(ColumnType::Text) => "text".to_owned(),
        Some(ColumnType::Bool) => "true or false".to_owned(),
        Some(ColumnType::Time) => "times".to_owned(),
        None => kind.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature(name: &str, kind: FeatureKind) -> Feature {
        Feature { name: name.into(), kind }
    }

    fn schema(columns: &[(&str, DataType)]) -> Schema {
        let field = |(name, kind): &(&str, DataType)| Field::new(*name, kind.clone(), true);
        Schema::new(columns.iter().map(field).collect::<Vec<_>>())
    }

    #[test]
    fn columns_are_found_by_name_wherever_they_stand() {
        let schema = schema(&[
            ("id", DataType::Utf8),
            ("b", DataType::Int32),
            ("x", DataType::Float64),
            ("a", DataType::Utf8),
        ]);
        let features = [feature("a", FeatureKind::Text), feature("b", FeatureKind::Numeric)];
        let kept = Kept::Columns(vec!["b".to_owned(), "id".to_owned(), "b".to_owned()]);
        let found = Columns::find("t.csv", &schema, &features, &kept).unwrap();
        assert_eq!((found.features.as_slice(), found.kept.as_slice()), (&[3, 1][..], &[1, 0][..]));
        assert_eq!(found.ignored, ["x"]);
        assert_eq!(found.read(), [0, 1, 3]);
        assert_eq!(Columns::find("t.csv", &schema, &features, &Kept::All).unwrap().kept, [0, 1, 2, 3]);
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once_with_the_nearest_names() {
        let schema =
            schema(&[("Distance", DataType::Float64), ("at", DataType::Date32), ("hour", DataType::Utf8)]);
        let features = [
            feature("distance", FeatureKind::Numeric),
            feature("hour", FeatureKind::Numeric),
            feature("at", FeatureKind::Text),
        ];
        let wrong =
            Columns::find("t.csv", &schema, &features, &Kept::Columns(vec!["atx".to_owned()])).unwrap_err();
        let said: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        assert!(
            said[0].contains("reads the column `distance`") && said[0].contains("is `Distance` it?"),
            "{said:?}"
        );
        assert!(said[1].contains("`hour` holds text") && said[1].contains("expected: numbers"), "{said:?}");
        assert!(said[2].contains("`at` holds times"), "{said:?}");
        assert!(said[3].contains("no column `atx` to keep") && said[3].contains("`at`"), "{said:?}");
    }
}
