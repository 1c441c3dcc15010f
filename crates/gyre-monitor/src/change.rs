//! The ways in which a column can change, and which of them counts.

use std::collections::BTreeMap;

use gyre_stats::drift::{ColumnDrift, Effect, Evidence, Method, ShareChange};

use crate::variation::Variation;

/// One way in which a column changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    /// The statistic's name.
    pub(crate) statistic: &'static str,
    /// How large it is, by its own yardstick.
    pub(crate) effect: f64,
    /// The p-value of its own test.
    p: f64,
}

/// What a change must exceed to count.
pub(crate) struct Bar<'a> {
    /// The level of tests.
    pub(crate) level: f64,
    /// How far numbers must have moved, in their own yardstick.
    pub(crate) shift: f64,
    /// How much a share must have changed.
    pub(crate) share: f64,
    /// How far windows of the reference are from the rest of it, by statistic.
    pub(crate) usual: &'a BTreeMap<String, Variation>,
}

/// Rows with names that the reference does not have matter from this part of what other rows do: no model has learned
/// anything of them.
const UNSEEN: f64 = 0.2;

impl Bar<'_> {
    /// From which effect on a change by this statistic matters.
    pub(crate) fn floor(&self, statistic: &str) -> f64 {
        match statistic {
            "wasserstein_over_iqr" | "kolmogorov_smirnov" => self.shift,
            "unseen_share" => UNSEEN * self.share,
            _ => self.share,
        }
    }
}

/// All ways in which a column was tested. A share's effect is the difference of the shares; of names that the reference does
/// not have, only more is a change, for nobody minds fewer than were to be expected.
pub(crate) fn changes(drift: &ColumnDrift) -> Vec<Change> {
    let share = |statistic, change: &ShareChange| {
        let effect = (change.current? - change.reference?).abs();
        Some(Change { statistic, effect, p: change.p_value? })
    };
    let unseen = |change: &ShareChange| {
        let found = share("unseen_share", change)?;
        let more = change.current > change.reference;
        Some(if more { found } else { Change { effect: 0.0, p: 1.0, ..found } })
    };
    let shape = match drift.evidence {
        Evidence::Tested { method, statistic, p_value } => {
            let (name, effect) = match (drift.effect, method) {
                (Some(Effect::WassersteinOverScale(distance)), _) => ("wasserstein_over_iqr", distance),
                (Some(Effect::ShareChange(distance)), _) => ("share_of_a_name", distance),
                // A constant reference has no yardstick; the distance of the distribution functions needs none.
                (None, Method::KolmogorovSmirnov) => ("kolmogorov_smirnov", statistic),
                (None, Method::ChiSquare | Method::FisherExact) => ("chi_square", 0.0),
            };
            Some(Change { statistic: name, effect, p: p_value })
        }
        Evidence::Insufficient => None,
    };
    let all = [
        shape,
        share("missing_share", &drift.missing),
        drift.infinite.as_ref().and_then(|change| share("infinite_share", change)),
        drift.new_categories.as_ref().and_then(unseen),
    ];
    all.into_iter().flatten().filter(|change| change.effect.is_finite() && change.p.is_finite()).collect()
}

/// The change to report, and whether it counts: the largest of those that do; else the largest of those beyond luck
/// (Bonferroni within the column), else the least lucky one.
pub(crate) fn telling(changes: &[Change], bar: &Bar<'_>) -> Option<(Change, bool)> {
    let tests = changes.len() as f64;
    let rank = |change: &Change| {
        let is_sure = change.p * tests <= bar.level;
        let is_unusual = bar.usual.get(change.statistic).is_none_or(|usual| change.effect > usual.bound());
        (is_sure && change.effect >= bar.floor(change.statistic) && is_unusual, is_sure)
    };
    let ranked = changes.iter().map(|change| (*change, rank(change)));
    let best = ranked.reduce(|best, next| {
        let by_size = next.0.effect > best.0.effect;
        let better = match (best.1, next.1) {
            (a, b) if a != b => b > a,
            ((false, false), _) => next.0.p < best.0.p,
            _ => by_size,
        };
        if better { next } else { best }
    });
    best.map(|(change, (counts, _))| (change, counts))
}
