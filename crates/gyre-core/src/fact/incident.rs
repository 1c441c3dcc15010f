//! Incidents: what is wrong with a model, why it is likely so, what it costs, and what the loop will do about it.
//!
//! An alarm says that a number left its bounds. An *incident* gathers such numbers over several windows under the one cause
//! that explains them best, so that a person is told once, and of the cause rather than of each of its marks. What a window
//! shows that speaks for one cause or another is kept beside it: [`Finding`]s about the data, and [`Evidence`].

use serde::{Deserialize, Serialize};

use super::Numbers;
use crate::{ModelName, Timestamp};

/// What is wrong with the data of a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Which check failed.
    pub check: Check,
    /// The column, when it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// What was found, as a number; see the check for what it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<f64>,
    /// What was to be expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<f64>,
    /// Rows that it is about.
    pub rows: u64,
    /// In words, with the numbers.
    pub words: String,
}

/// What is looked at to say whether data can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// A feature is gone, or holds another kind of value: share of rows.
    Schema,
    /// A column is in other units: the factor.
    Units,
    /// A column that varied holds one value: share of rows.
    Stuck,
    /// More values are missing: share of rows.
    Missing,
    /// More values are infinite: share of rows.
    Infinite,
    /// A column moved as other units would move it, and no farther than the world might: the factor.
    Scale,
    /// Values outside of the range seen in training: share of rows.
    Range,
    /// Names that training did not have: share of rows.
    NewNames,
    /// Rows that repeat an earlier row of the window: share of rows.
    Repeats,
    /// More or fewer predictions than windows before had: their number.
    Volume,
    /// No predictions in the last part of the window: share of its time.
    Freshness,
    /// Fewer labels than windows before had: share of predictions.
    Labels,
    /// The first window of a version differs from what it was trained on: the effect of the drift.
    Skew,
    /// More requests failed than in windows before: share of requests.
    Errors,
    /// The model answers more slowly than in windows before: microseconds, the 99th of a hundred.
    Latency,
}

impl Check {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Units => "units",
            Self::Stuck => "stuck",
            Self::Missing => "missing",
            Self::Infinite => "infinite",
            Self::Scale => "scale",
            Self::Range => "range",
            Self::NewNames => "new names",
            Self::Repeats => "repeats",
            Self::Volume => "volume",
            Self::Freshness => "freshness",
            Self::Labels => "labels",
            Self::Skew => "skew",
            Self::Errors => "errors",
            Self::Latency => "latency",
        }
    }
}

/// What a window shows beside its loss and its drift, and what speaks for one cause or another.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// The median time in the model, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_p50_us: Option<f64>,
    /// The time in the model that one prediction in a hundred exceeds, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_p99_us: Option<f64>,
    /// The share of the window's time that lies after its last prediction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet: Option<f64>,
    /// What the inputs led to expect of the loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explained: Option<Explained>,
    /// How the labels moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<LabelShift>,
    /// Whether what came true is as likely, or as large, as was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Box<CalibrationShift>>,
}

impl Evidence {
    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What a version said and what came true, in the mean over labelled rows: of two classes the probability of the second, of more the
/// confidence in the answer and how often it was right, of numbers themselves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CalibrationShift {
    /// Rows.
    pub rows: u64,
    /// Mean of what was said.
    pub predicted: f64,
    /// Mean of what came true.
    pub actual: f64,
    /// By how much what comes true rises with what is said (1 is right, below it what is said is too extreme); none of more than two
    /// classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slope: Option<f64>,
    /// `actual − predicted` on the withheld rows; none where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<f64>,
    /// The slope on the withheld rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_slope: Option<f64>,
    /// Two-sided p-value of "as far off as on the withheld rows", clustered by day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p: Option<f64>,
}

/// The loss beside what the inputs led to expect, on labelled rows such as the withheld rows of training had.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// Rows.
    pub rows: u64,
    /// Days that they fall into.
    pub days: u32,
    /// The metric over them.
    pub loss: f64,
    /// The metric that rows with these inputs had before the version served.
    pub expected: f64,
    /// The standard error of the difference, clustered by day; none when there are too few days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard_error: Option<f64>,
}

/// How the labels of a window differ from those of the withheld rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LabelShift {
    /// The share of labels that would have to change (total variation over classes, or over fifths of the numbers).
    pub distance: f64,
    /// The p-value of the same shares (chi-square).
    pub p: f64,
    /// Of the change of inputs and predictions, what is left when the withheld rows are weighed to have the labels of the
    /// window: near 0 when p(x | y) has stayed, 1 and more when the labels explain nothing; none when nothing changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unexplained: Option<f64>,
}

/// Why a model is in trouble, most likely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A column is in other units.
    UnitChange,
    /// A column holds one value.
    StuckSensor,
    /// A column is gone, or of another kind.
    SchemaBreak,
    /// More values of a column are missing.
    UpstreamNull,
    /// Rows are there twice and more often.
    Duplicates,
    /// More or fewer predictions than usual, or none since some time.
    Volume,
    /// Many more predictions than usual, with rows that are repeated or odd.
    AttackSpike,
    /// Labels come later than usual, or not at all.
    LabelDelay,
    /// The inputs moved to where the model was always worse.
    Covariate,
    /// The shares of what comes true moved; the inputs of each are as before.
    PriorShift,
    /// The same inputs lead to something else than before.
    Concept,
    /// It is again as it was when an older version was made.
    SeasonalReturn,
    /// Requests fail, or the model is slow.
    Service,
    /// The loss is as promised on the whole, and up in a part of the rows.
    Segment,
    /// The inputs moved, and the loss did not.
    Harmless,
}

/// Causes of which one at a time is likely: a model has at most one incident of each group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseGroup {
    /// The data of the features is broken.
    Data,
    /// The amount of predictions.
    Traffic,
    /// The labels.
    Labels,
    /// The service.
    Service,
    /// The world changed: inputs, outcomes, or what leads from one to the other.
    World,
}

impl CauseGroup {
    /// The word for it: part of an incident's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Traffic => "traffic",
            Self::Labels => "labels",
            Self::Service => "service",
            Self::World => "world",
        }
    }
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::UnitChange,
        Self::StuckSensor,
        Self::SchemaBreak,
        Self::UpstreamNull,
        Self::Duplicates,
        Self::Volume,
        Self::AttackSpike,
        Self::LabelDelay,
        Self::Covariate,
        Self::PriorShift,
        Self::Concept,
        Self::SeasonalReturn,
        Self::Service,
        Self::Segment,
        Self::Harmless,
    ];

    /// The word for it, as in the journal's JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnitChange => "unit_change",
            Self::StuckSensor => "stuck_sensor",
            Self::SchemaBreak => "schema_break",
            Self::UpstreamNull => "upstream_null",
            Self::Duplicates => "duplicates",
            Self::Volume => "volume",
            Self::AttackSpike => "attack_spike",
            Self::LabelDelay => "label_delay",
            Self::Covariate => "covariate",
            Self::PriorShift => "prior_shift",
            Self::Concept => "concept",
            Self::SeasonalReturn => "seasonal_return",
            Self::Service => "service",
            Self::Segment => "segment",
            Self::Harmless => "harmless",
        }
    }

    /// What it is, for people: the title of an incident.
    pub const fn title(self) -> &'static str {
        match self {
            Self::UnitChange => "a column is in other units",
            Self::StuckSensor => "a column is stuck at one value",
            Self::SchemaBreak => "a column is gone or of another kind",
            Self::UpstreamNull => "values are missing",
            Self::Duplicates => "rows are repeated",
            Self::Volume => "the amount of predictions is unusual",
            Self::AttackSpike => "a burst of repeated or odd requests",
            Self::LabelDelay => "labels are late",
            Self::Covariate => "the inputs moved to where the model is worse",
            Self::PriorShift => "the shares of the outcomes moved",
            Self::Concept => "the same inputs lead to other outcomes",
            Self::SeasonalReturn => "an earlier state of the world is back",
            Self::Service => "the service is slow or fails",
            Self::Segment => "a part of the rows is predicted worse",
            Self::Harmless => "the inputs moved without harm",
        }
    }

    /// The group of which it is one.
    pub const fn group(self) -> CauseGroup {
        match self {
            Self::UnitChange
            | Self::StuckSensor
            | Self::SchemaBreak
            | Self::UpstreamNull
            | Self::Duplicates => CauseGroup::Data,
            Self::Volume | Self::AttackSpike => CauseGroup::Traffic,
            Self::LabelDelay => CauseGroup::Labels,
            Self::Service => CauseGroup::Service,
            Self::Covariate
            | Self::PriorShift
            | Self::Concept
            | Self::SeasonalReturn
            | Self::Segment
            | Self::Harmless => CauseGroup::World,
        }
    }

    /// Whether rows of such windows teach a model something false, so that none may be trained on them.
    pub const fn taints(self) -> bool {
        matches!(self.group(), CauseGroup::Data | CauseGroup::Labels) || matches!(self, Self::AttackSpike)
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    #[default]
    Info,
    /// Look at it today.
    Warning,
    /// Look at it now.
    Critical,
}

impl Severity {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// An incident as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// The model.
    pub model: ModelName,
    /// Its name, unique for the model: the entry that it was found in and the group of its cause, as in `412-data`.
    pub incident: String,
    /// Why, most likely.
    pub cause: Cause,
    /// How bad.
    pub severity: Severity,
    /// The columns that it is about, the worst first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// The beginning of the first window that showed it.
    pub since: Timestamp,
    /// What changed, in words.
    pub changed: String,
    /// What it costs, in words.
    pub cost: String,
    /// What the loop will do about it, in words.
    pub next: String,
    /// The numbers of the words.
    #[serde(default, skip_serializing_if = "Numbers::is_empty")]
    pub numbers: Numbers,
    /// Whether somebody asked not to be told of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub silenced: bool,
}

impl Incident {
    /// In a line: how bad, what, since when, what changed.
    pub fn summary(&self) -> String {
        let (severity, title) = (self.severity.name(), self.cause.title());
        format!(
            "incident {} ({severity}): {title} since {}: {}",
            self.incident,
            self.since.date(),
            self.changed
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_called_what_json_calls_them() {
        for cause in Cause::ALL {
            assert_eq!(serde_json::to_value(cause).unwrap(), cause.name());
        }
        for severity in [Severity::Info, Severity::Warning, Severity::Critical] {
            assert_eq!(serde_json::to_value(severity).unwrap(), severity.name());
        }
        assert!(Severity::Info < Severity::Critical);
    }
}
