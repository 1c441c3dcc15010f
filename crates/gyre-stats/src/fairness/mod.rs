//! Fairness: do groups of people get different outcomes, or different errors?
//!
//! Feed rows into [`ClassificationGroups`] or [`RegressionGroups`], a group being any label (an attribute's value, or
//! several joined by [`join_labels`]); ask for the report. Each rate has Wilson's interval, each gap between groups an
//! interval and a p-value, because gaps between small groups are large by luck.
//!
//! Invariants
//! - 0/0 is [`Undefined`] with its reason, never 0: a group without positives has no true-positive rate, and leaving it at
//!   0 would invent a gap.
//! - Groups below [`Options::minimum_rows`] are reported but not compared, and each gap lists whom it leaves out and why.
//! - A missing group value is a group of its own, [`MISSING_GROUP`]: leaving it out is how people disappear.
//! - The four-fifths rule is decided on integers. As floating-point ratios, a third of the tables that meet it exactly fail.
//! - With more than two groups a gap is that of the two extreme groups; its interval is the interval of those two (and so
//!   takes no account of their having been chosen), its p-value is corrected for the number of pairs.

use std::{error::Error, fmt};

use serde::{Deserialize, Serialize};

mod classification;
mod contrast;
mod impact;
mod regression;

pub use classification::{ClassificationGroups, ClassificationReport, EqualizedOdds, GroupRates};
pub use contrast::{Contrast, Extreme, LeftOut, WhyLeftOut};
pub use impact::{DisparateImpact, FourFifths, four_fifths};
pub use regression::{GroupErrors, RegressionGroups, RegressionReport};

use crate::proportion::Interval;

/// The group of rows whose group is not known.
pub const MISSING_GROUP: &str = "(missing)";

/// Groups that an accumulator takes in before it refuses more: an attribute with more values is an identifier.
pub const MAXIMUM_GROUPS: usize = 1_000;

/// How a report is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Rows that a group needs in order to be compared with others.
    pub minimum_rows: u64,
    /// Confidence level of the intervals.
    pub level: f64,
    /// Significance below which a failed four-fifths rule is adverse impact.
    pub alpha: f64,
    /// Group with which disparate impact compares; by default the one that is selected most often.
    pub reference: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { minimum_rows: 30, level: 0.95, alpha: 0.05, reference: None }
    }
}

/// A number with its interval, or the reason why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The number is defined.
    Defined {
        /// The number.
        value: f64,
        /// Its interval; `None` where the method has none, as for a ratio with a zero count.
        interval: Option<Interval>,
    },
    /// The number is not defined.
    Undefined(Undefined),
}

impl Measure {
    /// The number, if it is defined.
    #[must_use]
    pub fn value(self) -> Option<f64> {
        match self {
            Self::Defined { value, .. } => Some(value),
            Self::Undefined(_) => None,
        }
    }

    /// Its interval, if there is one.
    #[must_use]
    pub fn interval(self) -> Option<Interval> {
        match self {
            Self::Defined { interval, .. } => interval,
            Self::Undefined(_) => None,
        }
    }
}

/// Why a number is not defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undefined {
    /// The group has no rows.
    NoRows,
    /// No row of the group is positive in truth.
    NoPositives,
    /// No row of the group is negative in truth.
    NoNegatives,
    /// No row of the group was selected.
    NoneSelected,
    /// Every row of the group was selected.
    AllSelected,
    /// Both sides of a ratio are zero.
    ZeroOverZero,
    /// Fewer than two groups can be compared.
    FewerThanTwoGroups,
}

impl fmt::Display for Undefined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRows => "the group has no rows",
            Self::NoPositives => "no row of the group is positive in truth",
            Self::NoNegatives => "no row of the group is negative in truth",
            Self::NoneSelected => "no row of the group was selected",
            Self::AllSelected => "every row of the group was selected",
            Self::ZeroOverZero => "both sides of the ratio are zero",
            Self::FewerThanTwoGroups => "fewer than two groups can be compared",
        })
    }
}

/// Why groups cannot be accumulated or reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupError {
    /// More than [`MAXIMUM_GROUPS`] different groups.
    TooMany {
        /// The group that was one too many.
        group: String,
    },
    /// The reference group does not exist, or is too small to be compared with.
    Reference {
        /// The group asked for.
        asked: String,
        /// Groups that could serve.
        possible: Vec<String>,
    },
}

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany { group } => write!(
                f,
                "`{group}` is group number {}; expected at most {MAXIMUM_GROUPS}: is the protected attribute an \
                 identifier? Band its values first",
                MAXIMUM_GROUPS + 1
            ),
            Self::Reference { asked, possible } => write!(
                f,
                "reference group `{asked}` is absent or below the minimum size; expected one of: {}",
                possible.join(", ")
            ),
        }
    }
}

impl Error for GroupError {}

/// One group label from several attributes, for example sex and race: `Female × Black`. A missing value is
/// [`MISSING_GROUP`]. Different values give different labels: `×` and `\` inside a value are escaped by `\`.
#[must_use]
pub fn join_labels<'a>(labels: impl IntoIterator<Item = Option<&'a str>>) -> String {
    let escaped = labels.into_iter().map(|label| {
        label
            .map_or_else(|| MISSING_GROUP.to_owned(), |label| label.replace('\\', "\\\\").replace('×', "\\×"))
    });
    escaped.collect::<Vec<_>>().join(" × ")
}

/// Finds or makes the entry of a group, within [`MAXIMUM_GROUPS`].
fn entry<'a, T: Default>(
    groups: &'a mut std::collections::BTreeMap<String, T>,
    group: Option<&str>,
) -> Result<&'a mut T, GroupError> {
    let group = group.unwrap_or(MISSING_GROUP);
    if !groups.contains_key(group) && groups.len() >= MAXIMUM_GROUPS {
        return Err(GroupError::TooMany { group: group.to_owned() });
    }
    if !groups.contains_key(group) {
        groups.insert(group.to_owned(), T::default());
    }
    groups.get_mut(group).ok_or_else(|| GroupError::TooMany { group: group.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_labels_are_readable_and_distinct() {
        assert_eq!(join_labels([Some("Female"), Some("Black")]), "Female × Black");
        assert_eq!(join_labels([Some("Female"), None]), "Female × (missing)");
        assert_ne!(join_labels([Some("a × b"), Some("c")]), join_labels([Some("a"), Some("b × c")]));
    }

    #[test]
    fn an_identifier_is_not_a_group() {
        let mut groups = ClassificationGroups::new();
        (0..MAXIMUM_GROUPS).for_each(|id| groups.push(Some(&id.to_string()), true, true).unwrap());
        assert!(matches!(groups.push(Some("x"), true, true), Err(GroupError::TooMany { .. })));
        groups.push(Some("7"), true, true).unwrap();
    }
}
