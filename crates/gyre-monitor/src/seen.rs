//! What is kept of a closed window to tell a cause from several of them.

use gyre_core::Version;
use gyre_core::fact::{Cause, Check, Drift, Finding, LabelShift, SegmentLoss, WindowSummary};
use gyre_core::time::Period;
use gyre_stats::performance::p_above_reference;
use serde::{Deserialize, Serialize};

use crate::diagnosis::WORSE;
use crate::quality::before;

/// The most windows that are kept: what was usual, and since when it is not.
pub const KEPT: usize = 12;
/// The most columns and findings that are kept of a window.
const MOST: usize = 40;

/// One closed window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Its event time.
    pub period: Period,
    /// Who was champion.
    pub champion: Version,
    /// Predictions.
    pub predictions: u64,
    /// Of those, with a label.
    pub labels: u64,
    /// Requests that failed.
    pub errors: u64,
    /// The median time in the model, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_p50_us: Option<f64>,
    /// The time that one prediction in a hundred exceeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_p99_us: Option<f64>,
    /// The share of its time after the last prediction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet: Option<f64>,
    /// The champion's loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<Lost>,
    /// Columns that drifted and by how much, the worst first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moved: Vec<Moved>,
    /// What is wrong with the data, alone and beside the windows before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quality: Vec<Finding>,
    /// The loss beyond what the inputs explain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unexplained: Option<Unexplained>,
    /// How the labels moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_shift: Option<LabelShift>,
    /// The older version that did better on its rows, proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_better: Option<Version>,
    /// Segments that are worse than on the withheld rows, beyond luck.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<WorseSegment>,
}

/// A column that drifted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "StoredMoved")]
pub struct Moved {
    /// Which.
    pub column: String,
    /// By how much.
    pub effect: f64,
    /// In which statistic.
    pub statistic: String,
}

/// Until statistics were kept, a pair of column and effect.
#[derive(Deserialize)]
#[serde(untagged)]
enum StoredMoved {
    Pair(String, f64),
    Named { column: String, effect: f64, statistic: String },
}

impl From<StoredMoved> for Moved {
    fn from(stored: StoredMoved) -> Self {
        match stored {
            StoredMoved::Pair(column, effect) => Self { column, effect, statistic: String::new() },
            StoredMoved::Named { column, effect, statistic } => Self { column, effect, statistic },
        }
    }
}

impl Moved {
    fn of(drift: &Drift) -> Self {
        Self { column: drift.column.clone(), effect: drift.effect, statistic: drift.statistic.clone() }
    }

    /// The column and how far it moved, with the unit.
    pub(crate) fn words(&self) -> String {
        let Self { column, effect, statistic } = self;
        match statistic.as_str() {
            "wasserstein_over_iqr" => format!("{column} by {effect:.2} IQR"),
            "share_of_a_name" => format!("{column} (a name's share by {:.1} points)", 100.0 * effect),
            "missing_share" => format!("{column} (missing by {:.1} points)", 100.0 * effect),
            "infinite_share" => format!("{column} (infinite by {:.1} points)", 100.0 * effect),
            "unseen_share" => format!("{column} (new names by {:.1} points)", 100.0 * effect),
            "kolmogorov_smirnov" => format!("{column} (share of its values by {:.1} points)", 100.0 * effect),
            _ => format!("{column} by {effect:.2}"),
        }
    }
}

/// A part of the rows that is predicted worse than the same part of the withheld rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorseSegment {
    /// The column that divides the rows.
    pub column: String,
    /// The value, or the range of values.
    pub segment: String,
    /// The loss in it.
    pub loss: f64,
    /// The loss on the withheld rows.
    pub reference: f64,
    /// Labelled rows.
    pub rows: u64,
}

impl WorseSegment {
    fn of(segment: &SegmentLoss) -> Option<Self> {
        let reference = segment.reference.filter(|_| segment.worse)?;
        let (column, name) = (segment.column.clone(), segment.segment.clone());
        Some(Self { column, segment: name, loss: segment.loss, reference, rows: segment.rows })
    }

    /// How much worse, as a share of what it was; where it was nothing, any loss counts as twice as much.
    pub fn share(&self) -> f64 {
        if self.reference > 0.0 { self.loss / self.reference - 1.0 } else { 1.0 }
    }
}

/// A loss beside what was promised.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Lost {
    /// Labelled rows.
    pub rows: u64,
    /// The loss that came true.
    pub loss: f64,
    /// What the version promised.
    pub promised: f64,
    /// The p-value of "no worse than promised".
    pub p: f64,
}

impl Lost {
    /// How much worse than promised, as a share of it; below 0 when it is better.
    pub fn share(&self) -> f64 {
        self.loss / self.promised - 1.0
    }
}

/// A loss beside what the inputs led to expect.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Unexplained {
    /// How much worse, as a share of what was expected.
    pub share: f64,
    /// The p-value of "no worse".
    pub p: f64,
}

/// What a version promised: the loss on withheld rows and its standard error.
pub type Promise = (f64, f64);

impl Seen {
    /// What is kept of `window`; `before` are the windows before it, oldest first.
    #[must_use]
    pub fn of(window: &WindowSummary, promise: Option<Promise>, before: &[Self]) -> Self {
        let mut quality = window.quality.clone();
        quality.truncate(MOST);
        // What blocks a training must not be lost to the bound.
        quality.extend(before::findings(window, before));
        let drifted = window.drift.iter().filter(|drift| drift.drifted);
        Self {
            period: window.period,
            champion: window.champion,
            predictions: window.predictions,
            labels: window.labels,
            errors: window.errors,
            latency_p50_us: window.evidence.latency_p50_us,
            latency_p99_us: window.evidence.latency_p99_us,
            quiet: window.evidence.quiet,
            loss: lost(window, promise),
            moved: drifted.take(MOST).map(Moved::of).collect(),
            quality,
            unexplained: unexplained(window),
            label_shift: window.evidence.labels,
            older_better: None,
            segments: window.segments.iter().filter_map(WorseSegment::of).take(MOST).collect(),
        }
    }

    /// Whether one of these checks found something.
    pub(crate) fn finds(&self, checks: &[Check]) -> bool {
        self.quality.iter().any(|finding| checks.contains(&finding.check))
    }

    /// Whether there are many more predictions than usual.
    pub(crate) fn is_flooded(&self) -> bool {
        self.quality.iter().any(|finding| {
            finding.check == Check::Volume && finding.found.zip(finding.expected).is_some_and(|(a, b)| a > b)
        })
    }

    /// Whether a column is in other units: far away, or so near that the world may have moved it, but with a loss that its
    /// values do not explain. In the right units a larger value means what it meant.
    pub(crate) fn is_rescaled(&self) -> bool {
        let costs = self.loss.is_some_and(|lost| {
            let beyond = self.unexplained.is_none_or(|beyond| beyond.share >= 0.5 * lost.share());
            lost.p < WORSE && beyond
        });
        self.finds(&[Check::Units]) || costs && self.finds(&[Check::Scale])
    }

    /// What its own rows are unfit for: the cause that makes it so, as far as one window can say.
    #[must_use]
    pub fn tainted_by(&self) -> Option<Cause> {
        let has = |check| self.finds(&[check]);
        if self.is_flooded() && self.finds(&ODD) {
            return Some(Cause::AttackSpike);
        }
        if self.is_rescaled() {
            return Some(Cause::UnitChange);
        }
        let causes = [
            (Check::Schema, Cause::SchemaBreak),
            (Check::Stuck, Cause::StuckSensor),
            (Check::Missing, Cause::UpstreamNull),
            (Check::Infinite, Cause::UpstreamNull),
            (Check::Repeats, Cause::Duplicates),
            (Check::Labels, Cause::LabelDelay),
        ];
        causes.into_iter().find(|(check, _)| has(*check)).map(|(_, cause)| cause)
    }
}

/// What makes a burst of requests suspicious.
pub(crate) const ODD: [Check; 5] =
    [Check::Repeats, Check::Range, Check::NewNames, Check::Infinite, Check::Missing];

fn lost(window: &WindowSummary, promise: Option<Promise>) -> Option<Lost> {
    let (promised, error) = promise.filter(|(promised, _)| *promised > 0.0)?;
    let realised = window.realised.iter().find(|realised| realised.version == window.champion)?;
    let measured = (realised.loss, realised.standard_error?);
    let p = p_above_reference(measured, realised.days.into(), (promised, error))?;
    Some(Lost { rows: realised.rows, loss: realised.loss, promised, p })
}

fn unexplained(window: &WindowSummary) -> Option<Unexplained> {
    let explained = window.evidence.explained.filter(|explained| explained.expected > 0.0)?;
    let measured = (explained.loss, explained.standard_error?);
    let p = p_above_reference(measured, explained.days.into(), (explained.expected, 0.0))?;
    Some(Unexplained { share: explained.loss / explained.expected - 1.0, p })
}
