//! Group fairness of binary decisions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Contrast, DisparateImpact, FourFifths, GroupError, Measure, Options, Undefined,
    contrast::{ascending, rate_measure, ratio},
    entry, four_fifths,
};
use crate::{
    adjust::holm,
    confusion::{Confusion, Rate},
    proportion::{Proportion, two_proportion_p},
};

/// Running counts of binary decisions by group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassificationGroups {
    groups: BTreeMap<String, Confusion>,
}

impl ClassificationGroups {
    /// No rows seen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in one decision about a member of `group` (`None`: not known).
    ///
    /// # Errors
    /// [`GroupError::TooMany`]; the row is then not counted.
    pub fn push(&mut self, group: Option<&str>, predicted: bool, actual: bool) -> Result<(), GroupError> {
        entry(&mut self.groups, group)?.push(predicted, actual);
        Ok(())
    }

    /// Adds counts of a group.
    ///
    /// # Errors
    /// [`GroupError::TooMany`]; the counts are then not added.
    pub fn add(&mut self, group: Option<&str>, counts: &Confusion) -> Result<(), GroupError> {
        entry(&mut self.groups, group)?.merge(counts);
        Ok(())
    }

    /// Adds the counts of other rows.
    ///
    /// # Errors
    /// [`GroupError::TooMany`]; some groups may then have been added.
    pub fn merge(&mut self, other: &Self) -> Result<(), GroupError> {
        other.groups.iter().try_for_each(|(group, counts)| self.add(Some(group), counts))
    }

    /// Counts by group, ascending by label.
    #[must_use]
    pub fn groups(&self) -> &BTreeMap<String, Confusion> {
        &self.groups
    }

    /// All rates and gaps.
    ///
    /// # Errors
    /// [`GroupError::Reference`] when [`Options::reference`] names no group that can be compared.
    pub fn report(&self, options: &Options) -> Result<ClassificationReport, GroupError> {
        let contrast = |rate| {
            let groups = self.groups.iter().map(|(group, counts)| (group.as_str(), counts));
            Contrast::of_rate(groups, rate, options.minimum_rows, options.level)
        };
        let (true_positive, false_positive) = (contrast(Rate::TruePositive), contrast(Rate::FalsePositive));
        let disparate_impact = self.disparate_impact(options)?;
        Ok(ClassificationReport {
            groups: self
                .groups
                .iter()
                .map(|(group, counts)| GroupRates::of(group, counts, options))
                .collect(),
            demographic_parity: contrast(Rate::Selection),
            base_rate: contrast(Rate::Base),
            equalized_odds: EqualizedOdds::of(&true_positive, &false_positive),
            equal_opportunity: true_positive,
            false_positive_parity: false_positive,
            false_negative_parity: contrast(Rate::FalseNegative),
            predictive_parity: contrast(Rate::PositivePredictive),
            accuracy_parity: contrast(Rate::Accuracy),
            adverse_impact: disparate_impact.iter().any(|impact| impact.adverse_impact),
            disparate_impact,
            options: options.clone(),
        })
    }

    /// Every group that is large enough against the reference group.
    fn disparate_impact(&self, options: &Options) -> Result<Vec<DisparateImpact>, GroupError> {
        let compared: Vec<(&str, Proportion)> = (self.groups.iter())
            .filter(|(_, counts)| counts.total() >= options.minimum_rows.max(1))
            .map(|(group, counts)| (group.as_str(), counts.rate(Rate::Selection)))
            .collect();
        let reference = match &options.reference {
            Some(asked) => Some(compared.iter().find(|(group, _)| group == asked).ok_or_else(|| {
                GroupError::Reference {
                    asked: asked.clone(),
                    possible: compared.iter().map(|(group, _)| (*group).to_owned()).collect(),
                }
            })?),
            None => compared.iter().max_by(|a, b| ascending(a.1, b.1).then(a.0.cmp(b.0))),
        };
        let Some(&(reference, advantaged)) = reference else {
            return Ok(Vec::new());
        };
        let others: Vec<&(&str, Proportion)> =
            compared.iter().filter(|(group, _)| *group != reference).collect();
        let p_values: Vec<f64> = others
            .iter()
            .map(|(_, selected)| two_proportion_p(*selected, advantaged).unwrap_or(1.0))
            .collect();
        let impacts = others.into_iter().zip(holm(&p_values)).map(|((group, selected), p_value)| {
            let rule = four_fifths(*selected, advantaged);
            DisparateImpact {
                group: (*group).to_owned(),
                reference: reference.to_owned(),
                ratio: ratio(*selected, advantaged, options.level),
                four_fifths: rule,
                p_value: Some(p_value),
                adverse_impact: rule == FourFifths::Fail && p_value < options.alpha,
            }
        });
        Ok(impacts.collect())
    }
}

/// The rates of one group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupRates {
    /// Its label.
    pub group: String,
    /// Its rows.
    pub rows: u64,
    /// Its counts.
    pub counts: Confusion,
    /// Whether it is large enough to be compared with others.
    pub compared: bool,
    /// (TP + FP) / n.
    pub selection_rate: Measure,
    /// (TP + FN) / n.
    pub base_rate: Measure,
    /// TP / (TP + FN).
    pub true_positive_rate: Measure,
    /// FP / (FP + TN).
    pub false_positive_rate: Measure,
    /// FN / (TP + FN).
    pub false_negative_rate: Measure,
    /// TP / (TP + FP).
    pub positive_predictive_value: Measure,
    /// TN / (TN + FN).
    pub negative_predictive_value: Measure,
    /// (TP + TN) / n.
    pub accuracy: Measure,
}

impl GroupRates {
    fn of(group: &str, counts: &Confusion, options: &Options) -> Self {
        let rate = |rate| rate_measure(rate, counts, options.level);
        Self {
            group: group.to_owned(),
            rows: counts.total(),
            counts: *counts,
            compared: counts.total() >= options.minimum_rows,
            selection_rate: rate(Rate::Selection),
            base_rate: rate(Rate::Base),
            true_positive_rate: rate(Rate::TruePositive),
            false_positive_rate: rate(Rate::FalsePositive),
            false_negative_rate: rate(Rate::FalseNegative),
            positive_predictive_value: rate(Rate::PositivePredictive),
            negative_predictive_value: rate(Rate::NegativePredictive),
            accuracy: rate(Rate::Accuracy),
        }
    }
}

/// Equalized odds (Hardt, Price & Srebro 2016): true- and false-positive rates together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EqualizedOdds {
    /// The larger of the two differences, with the interval of that one.
    pub difference: Measure,
    /// The smaller of the two ratios, with the interval of that one.
    pub ratio: Measure,
    /// The smaller of the two p-values, doubled.
    pub p_value: Option<f64>,
}

impl EqualizedOdds {
    fn of(true_positive: &Contrast, false_positive: &Contrast) -> Self {
        let ratio =
            |contrast: &Contrast| contrast.ratio.unwrap_or(Measure::Undefined(Undefined::FewerThanTwoGroups));
        let p_value = true_positive.p_value.zip(false_positive.p_value);
        Self {
            difference: pick(true_positive.difference, false_positive.difference, |a, b| a >= b),
            ratio: pick(ratio(true_positive), ratio(false_positive), |a, b| a <= b),
            p_value: p_value.map(|(a, b)| (2.0 * a.min(b)).min(1.0)),
        }
    }
}

/// The first where `prefer` says so, else the second; undefined when either is.
fn pick(first: Measure, second: Measure, prefer: impl Fn(f64, f64) -> bool) -> Measure {
    match (first.value(), second.value()) {
        (None, _) => first,
        (Some(_), None) => second,
        (Some(a), Some(b)) => {
            if prefer(a, b) {
                first
            } else {
                second
            }
        }
    }
}

/// Group fairness of binary decisions: all rates and gaps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassificationReport {
    /// Rates by group, ascending by label, small groups included.
    pub groups: Vec<GroupRates>,
    /// Gap of selection rates.
    pub demographic_parity: Contrast,
    /// Gap of base rates: what the labels themselves say.
    pub base_rate: Contrast,
    /// Gap of true-positive rates.
    pub equal_opportunity: Contrast,
    /// Gap of false-positive rates.
    pub false_positive_parity: Contrast,
    /// Gap of false-negative rates.
    pub false_negative_parity: Contrast,
    /// Gap of positive predictive values.
    pub predictive_parity: Contrast,
    /// Gap of accuracies.
    pub accuracy_parity: Contrast,
    /// True- and false-positive rates together.
    pub equalized_odds: EqualizedOdds,
    /// Selection of each group against the reference group.
    pub disparate_impact: Vec<DisparateImpact>,
    /// Whether any group suffers adverse impact: four-fifths rule failed, and significantly so.
    pub adverse_impact: bool,
    /// How the report was made.
    pub options: Options,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fairness::{LeftOut, MISSING_GROUP, WhyLeftOut};

    fn counts(true_positive: u64, false_positive: u64, false_negative: u64, true_negative: u64) -> Confusion {
        Confusion { true_positive, false_positive, false_negative, true_negative }
    }

    fn groups(of: &[(&str, Confusion)]) -> ClassificationGroups {
        let mut groups = ClassificationGroups::new();
        of.iter().for_each(|(group, counts)| groups.add(Some(group), counts).unwrap());
        groups
    }

    #[test]
    fn a_group_without_positives_makes_no_gap() {
        let report = groups(&[
            ("a", counts(80, 10, 20, 90)),
            ("b", counts(75, 10, 25, 90)),
            ("no positives", counts(0, 10, 0, 90)),
        ])
        .report(&Options::default())
        .unwrap();
        assert!((report.equal_opportunity.difference.value().unwrap() - 0.05).abs() < 1e-12);
        assert_eq!(
            report.equal_opportunity.left_out,
            [LeftOut { group: "no positives".into(), why: WhyLeftOut::Undefined(Undefined::NoPositives) }]
        );
        assert_eq!(report.groups[2].true_positive_rate, Measure::Undefined(Undefined::NoPositives));
    }

    #[test]
    fn small_groups_are_reported_but_not_compared() {
        let report = groups(&[
            ("a", counts(40, 10, 10, 40)),
            ("b", counts(40, 10, 10, 40)),
            ("tiny", counts(0, 0, 1, 0)),
        ])
        .report(&Options::default())
        .unwrap();
        assert_eq!(report.demographic_parity.difference.value(), Some(0.0));
        assert_eq!(report.demographic_parity.left_out[0].why, WhyLeftOut::TooSmall);
        assert_eq!((report.groups.len(), report.groups[2].compared), (3, false));
        assert_eq!(report.disparate_impact.len(), 1);
    }

    #[test]
    fn one_group_is_not_fair_but_undefined() {
        let report = groups(&[("a", counts(40, 10, 10, 40))]).report(&Options::default()).unwrap();
        let undefined = Measure::Undefined(Undefined::FewerThanTwoGroups);
        assert_eq!(report.demographic_parity.difference, undefined);
        assert_eq!((report.equalized_odds.difference, report.equalized_odds.ratio), (undefined, undefined));
        assert!(report.disparate_impact.is_empty() && !report.adverse_impact);
    }

    #[test]
    fn nobody_selected_is_equal_but_has_no_ratio() {
        let report = groups(&[("a", counts(0, 0, 50, 50)), ("b", counts(0, 0, 50, 50))])
            .report(&Options::default())
            .unwrap();
        assert_eq!(report.demographic_parity.difference.value(), Some(0.0));
        assert_eq!(report.demographic_parity.ratio, Some(Measure::Undefined(Undefined::ZeroOverZero)));
        assert_eq!(report.disparate_impact[0].four_fifths, FourFifths::Undefined);
    }

    #[test]
    fn adverse_impact_needs_both_the_rule_and_significance() {
        let of = |factor: u64| {
            groups(&[
                ("a", counts(10 * factor, 10 * factor, 10 * factor, 10 * factor)),
                ("b", counts(7 * factor, 7 * factor, 13 * factor, 13 * factor)),
            ])
            .report(&Options::default())
            .unwrap()
        };
        let (few, many) = (of(1), of(20));
        assert_eq!(few.disparate_impact[0].four_fifths, FourFifths::Fail);
        assert!(!few.adverse_impact && many.adverse_impact);
        assert_eq!(
            (many.disparate_impact[0].group.as_str(), many.disparate_impact[0].reference.as_str()),
            ("b", "a")
        );
    }

    #[test]
    fn the_missing_are_a_group() {
        let mut all = groups(&[("a", counts(10, 10, 10, 10))]);
        all.push(None, true, false).unwrap();
        assert!(all.groups().contains_key(MISSING_GROUP));
    }

    #[test]
    fn an_unknown_reference_names_the_possible_ones() {
        let options = Options { reference: Some("c".into()), ..Options::default() };
        let error =
            groups(&[("a", counts(10, 10, 10, 10)), ("b", counts(1, 0, 0, 0))]).report(&options).unwrap_err();
        assert_eq!(error, GroupError::Reference { asked: "c".into(), possible: vec!["a".into()] });
    }

    #[test]
    fn a_report_survives_storage() {
        let report = groups(&[("a", counts(80, 10, 20, 90)), ("b", counts(0, 10, 0, 90))])
            .report(&Options::default())
            .unwrap();
        let stored = serde_json::to_string(&report).unwrap();
        let again: ClassificationReport = serde_json::from_str(&stored).unwrap();
        assert_eq!(again.groups, serde_json::from_str::<ClassificationReport>(&stored).unwrap().groups);
        assert_eq!(again.disparate_impact[0].four_fifths, report.disparate_impact[0].four_fifths);
        assert_eq!(again.equal_opportunity.left_out, report.equal_opportunity.left_out);
    }
}
