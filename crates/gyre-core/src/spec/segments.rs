//! `monitor.segments`: by which features the loss is told apart.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Most ends of ranges.
const MOST_CUTS: usize = 20;

/// A feature that divides rows: by its values, written as its name, or by ranges, written as `{distance: [500, 1000]}`: up
/// to and with 500, above that up to and with 1000, above that.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Segment {
    /// The feature.
    pub column: String,
    /// Ascending upper ends of the ranges but the last; empty for the values themselves.
    pub cuts: Vec<f64>,
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(untagged)]
enum Written {
    Values(String),
    Ranges(BTreeMap<String, Vec<f64>>),
}

impl TryFrom<Written> for Segment {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let expected =
            "expected a feature such as `carrier`, or ranges of one such as `{distance: [500, 1000]}`";
        let (column, cuts) = match written {
            Written::Values(column) => (column, Vec::new()),
            Written::Ranges(mut of) => match (of.pop_first(), of.is_empty()) {
                (Some((column, cuts)), true) if !cuts.is_empty() => (column, cuts),
                _ => return Err(format!("a segment names one feature and its ranges; {expected}")),
            },
        };
        if column.is_empty() {
            return Err(format!("a segment names no feature; {expected}"));
        }
        if cuts.len() > MOST_CUTS
            || !cuts.iter().all(|cut| cut.is_finite())
            || !cuts.is_sorted_by(|a, b| a < b)
        {
            return Err(format!(
                "the ranges of `{column}` are {cuts:?}; expected at most {MOST_CUTS} finite, ascending numbers"
            ));
        }
        Ok(Self { column, cuts })
    }
}

impl From<Segment> for Written {
    fn from(segment: Segment) -> Self {
        if segment.cuts.is_empty() {
            return Self::Values(segment.column);
        }
        Self::Ranges(BTreeMap::from([(segment.column, segment.cuts)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_values_or_ranges() {
        let read = |text: &str| serde_saphyr::from_str::<Vec<Segment>>(text);
        let found = read("[carrier, {distance: [500, 1000]}]").unwrap();
        assert_eq!((found[0].column.as_str(), found[0].cuts.len()), ("carrier", 0));
        assert_eq!((found[1].column.as_str(), found[1].cuts.as_slice()), ("distance", &[500.0, 1000.0][..]));
        let json = serde_json::to_string(&found).unwrap();
        assert_eq!(json, r#"["carrier",{"distance":[500.0,1000.0]}]"#);
        for wrong in ["[{distance: [5, 1]}]", "[{a: [1], b: [2]}]", "[{a: []}]", "['']", "[{a: [.nan]}]"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let error = read("[{distance: [5, 1]}]").unwrap_err().to_string();
        assert!(error.contains("ranges of `distance`") && error.contains("ascending"), "{error}");
    }
}
