//! Whether a candidate answers otherwise than the champion, on what chance dealt to each: drift between the arms.
//!
//! Answers are counted in bins, so the memory is fixed. Classes are bins of their own; numbers, and the probability of the
//! second of two classes, fall between the quantiles of the first answers of both arms, whichever arm gave them.

use gyre_core::record::Value;
use gyre_stats::sequential::{Arm, DistributionShift};

/// Answers, of both arms together, that the bins of numbers are made of.
const WARM_UP: usize = 200;

/// Bins of numbers.
const BINS: usize = 10;

/// Classes with a bin of their own; the others share one.
const CLASSES: usize = 32;

/// Answers of both arms by bin.
#[derive(Debug)]
pub(crate) struct Answers {
    bins: Bins,
    shift: DistributionShift,
}

#[derive(Debug)]
enum Bins {
    Classes(Vec<String>),
    /// Numbers that come before there are bins, with who gave them at which share.
    WarmingUp(Vec<(Arm, f64, f64)>),
    /// Upper edges of all bins but the last.
    Edges(Vec<f64>),
}

impl Answers {
    /// For arms with these classes, in the order of their scores; empty for numbers.
    pub(crate) fn new(champion: &[String], candidate: &[String]) -> Self {
        if candidate.len() > 2 || candidate != champion {
            let named: Vec<String> = candidate.iter().take(CLASSES).cloned().collect();
            let shift = DistributionShift::new(named.len() + 1);
            return Self { bins: Bins::Classes(named), shift };
        }
        Self { bins: Bins::WarmingUp(Vec::new()), shift: DistributionShift::new(BINS) }
    }

    /// Takes in an answer that chance dealt to `arm` while the candidate's share was `weight`.
    pub(crate) fn observe(
        &mut self,
        arm: Arm,
        weight: f64,
        output: &Value,
        scores: &[f64],
        classes: &[String],
    ) {
        let number = match (scores, output) {
            ([_, second], _) => Some(*second),
            (_, Value::Number(number)) if classes.is_empty() => Some(*number),
            // Two classes without probabilities.
            (_, output) => output
                .as_category()
                .and_then(|class| classes.iter().position(|named| **named == *class))
                .map(|at| at as f64),
        };
        match &mut self.bins {
            Bins::Classes(named) => {
                let class = output.as_category();
                let bin = class.and_then(|class| named.iter().position(|named| **named == *class));
                let bin = bin.unwrap_or(named.len());
                count(&mut self.shift, arm, weight, bin);
            }
            Bins::WarmingUp(values) => {
                values.extend(number.filter(|number| number.is_finite()).map(|number| (arm, weight, number)));
                if values.len() >= WARM_UP {
                    let edges = edges(values);
                    for (arm, weight, number) in std::mem::take(values) {
                        count(&mut self.shift, arm, weight, bin_of(&edges, number));
                    }
                    self.bins = Bins::Edges(edges);
                }
            }
            Bins::Edges(edges) => {
                if let Some(number) = number.filter(|number| number.is_finite()) {
                    count(&mut self.shift, arm, weight, bin_of(edges, number));
                }
            }
        }
    }

    /// How far the arms' answers are apart (Jensen–Shannon distance, 0 to 1), when that they differ is sure at `alpha`;
    /// 0 while it is not.
    pub(crate) fn drift(&self, alpha: f64) -> f64 {
        if self.shift.p_value() <= alpha { self.shift.distance().unwrap_or(0.0) } else { 0.0 }
    }
}

fn count(shift: &mut DistributionShift, arm: Arm, weight: f64, bin: usize) {
    // At a share of 0 or 1 there is nothing to compare, which is all that can be wrong here.
    if weight > 0.0 && weight < 1.0 {
        let _ = shift.observe(arm, weight, bin);
    }
}

fn edges(values: &[(Arm, f64, f64)]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().map(|(_, _, number)| *number).collect();
    sorted.sort_by(f64::total_cmp);
    let mut edges: Vec<f64> =
        (1..BINS).filter_map(|bin| sorted.get(bin * sorted.len() / BINS).copied()).collect();
    edges.dedup();
    edges
}

fn bin_of(edges: &[f64], number: f64) -> usize {
    edges.partition_point(|edge| *edge < number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_moved_are_told_and_others_are_not() {
        for (moved, least, most) in [(0.0, 0.0, 0.0), (0.3, 0.2, 0.7)] {
            let mut answers = Answers::new(&[], &[]);
            for at in 0..2_000_u32 {
                let arm =
                    if at.wrapping_mul(2_654_435_761) >> 31 == 0 { Arm::Champion } else { Arm::Candidate };
                let value = f64::from(at.wrapping_mul(40_503) % 1_000) / 1_000.0;
                let value = value + if arm == Arm::Candidate { moved } else { 0.0 };
                answers.observe(arm, 0.5, &Value::Number(value), &[], &[]);
            }
            let drift = answers.drift(0.01);
            assert!((least..=most).contains(&drift), "{moved}: {drift}");
        }
    }

    #[test]
    fn classes_are_counted_as_they_are() {
        let classes = ["a", "b", "c"].map(str::to_owned);
        let mut answers = Answers::new(&classes, &classes);
        for _ in 0..300 {
            answers.observe(Arm::Champion, 0.5, &Value::Text("a".into()), &[], &classes);
            answers.observe(Arm::Candidate, 0.5, &Value::Text("b".into()), &[], &classes);
        }
        assert!(answers.drift(0.01) > 0.95);
    }
}
