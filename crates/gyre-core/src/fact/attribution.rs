//! What a window says of the reasons of a loss: which columns, which segments, or none of them.

use serde::{Deserialize, Serialize};

/// Where the change of the champion's loss between its withheld rows and a window comes from. `covariate`, `unseen` and
/// `concept` add up to `change`, the `shift` of all columns to `covariate`; all are in the metric's unit, and worse is
/// positive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attribution {
    /// The metric on the withheld rows.
    pub reference: f64,
    /// The champion's labelled rows in the window.
    pub rows: u64,
    /// The metric in the window less that.
    pub change: Part,
    /// What would have changed if only the features had shifted: the rows became harder, or easier.
    pub covariate: Part,
    /// What fell on rows with values that the reference does not have; none when there are no such rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<f64>,
    /// The rest: rows of the same features came out otherwise.
    pub concept: Part,
    /// The columns' parts, largest first; those that are not listed make up the rest of `covariate`.
    pub columns: Vec<ColumnPart>,
}

/// A part of a change.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// How much.
    pub amount: f64,
    /// Its lower and upper bound (95 %, clustered by day); none when there are too few days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<(f64, f64)>,
}

impl Part {
    /// Whether its interval is known and leaves out 0.
    pub fn is_sure(&self) -> bool {
        self.interval.is_some_and(|(lower, upper)| lower > 0.0 || upper < 0.0)
    }
}

/// A column's part of a change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnPart {
    /// The feature.
    pub column: String,
    /// What its own shift did, the other columns held fast.
    pub shift: Part,
    /// What fell on rows with a value of it that the reference does not have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<f64>,
    /// What its shift would explain if it were the only column. Columns that move together explain the same change, so
    /// this does not add up over columns.
    pub alone: f64,
}

/// The champion's loss in a part of the rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentLoss {
    /// The column that divides the rows.
    pub column: String,
    /// The value, or the range of values.
    pub segment: String,
    /// The champion's labelled rows in it.
    pub rows: u64,
    /// The metric over them.
    pub loss: f64,
    /// Its standard error, clustered by day; none when there are too few days or rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard_error: Option<f64>,
    /// The metric over the withheld rows of the same segment; none where there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<f64>,
    /// The segment's part of the change of the metric: more rows of a hard segment, or a segment that became harder. Over the
    /// segments of a column they add up to the whole change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contribution: Option<f64>,
    /// One-sided p-value of "no worse than on the withheld rows", corrected for the number of segments; none where either
    /// side has too few days or rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p: Option<f64>,
    /// Whether it is worse beyond luck.
    #[serde(default)]
    pub worse: bool,
}
