//! What came true of a bandit's arms, and the shares that follow.
//!
//! The log is all the memory that a bandit has: every round goes through the labelled predictions since it began, so a crash
//! loses nothing and the journal's numbers can be made again. Only what chance dealt counts; what a rule or a caller sent to a
//! version says nothing about the arms.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use gyre_core::fact::{Arm, BanditPlan, Fact, Verdict};
use gyre_core::record::Route;
use gyre_core::spec::Metric;
use gyre_core::time::Period;
use gyre_core::{ModelName, Span, Timestamp, Version};
use gyre_gateway::Finding;
use gyre_monitor::loss::{aggregate, row_loss};
use gyre_stats::bandit::{Posterior, odds, shares};
use gyre_stats::moments::Moments;
use gyre_store::NewFact;

use super::Workshop;
use crate::controller::GATEWAY;
use crate::engine::Failure;
use crate::state::{ModelState, Repair};

/// How long, in event time, is waited between two looks at the log while labels are missing.
const BETWEEN_LOOKS: Span = Span::minutes(1);

/// When each model's bandit was last looked at: the loop looks every second, and a look goes through all of its rows.
#[derive(Default)]
pub(super) struct Looked(Mutex<BTreeMap<ModelName, (u64, Timestamp)>>);

impl Looked {
    /// Whether the bandit that entry `since` began is due for a look, which it has had then.
    fn is_due(&self, name: &ModelName, since: u64, now: Timestamp) -> bool {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = looks.get(name).filter(|(of, _)| *of == since).map(|(_, at)| *at);
        let due = last.is_none_or(|last| now.since(last) >= BETWEEN_LOOKS);
        if due {
            looks.insert(name.clone(), (since, now));
        }
        due
    }
}

/// The next round of the bandit under way, when it is due; none when there is no bandit, or nothing new to say.
pub(super) fn round(
    workshop: &Workshop,
    name: &ModelName,
    state: &ModelState,
    watermark: Timestamp,
) -> Result<Option<NewFact>, Failure> {
    let Some((plan, Repair::Exploring { round, since, begun, weighed, .. })) = exploring(state) else {
        return Ok(None);
    };
    if watermark.since(weighed) < plan.every || !workshop.looked.is_due(name, since, watermark) {
        return Ok(None);
    }
    workshop.gateway.flush(name.as_str())?;
    let metric = metric(workshop, name, plan);
    // A prediction of this very moment counts.
    let period = Period { from: begun, to: watermark + Span::from_millis(1) };
    let rewards = rewards(workshop, name, plan, metric, period)?;
    let Some(fact) = weigh(name, plan, metric, &rewards, round) else { return Ok(None) };
    let key = format!("bandit/{name}/{since}/{round}");
    Ok(Some(NewFact::new(watermark, GATEWAY, fact).because_of(since).once(key)))
}

/// The arms that the gateway took out of traffic, since they fail more often than the champion.
pub(super) fn convicted(
    workshop: &Workshop,
    name: &ModelName,
    state: &ModelState,
    watermark: Timestamp,
) -> Vec<NewFact> {
    let Some((plan, Repair::Exploring { round, since, .. })) = exploring(state) else { return Vec::new() };
    let convicted = workshop.gateway.convicted(name).into_iter();
    let of_arm = convicted.filter(|(version, _)| plan.arms.contains(version));
    let fact = |(version, finding): (Version, Finding)| {
        let fact = Fact::StepObserved {
            model: name.clone(),
            candidate: version,
            step: round,
            verdict: Verdict::RollBack,
            reason: finding.charge(),
            numbers: finding.numbers(),
        };
        let key = format!("arm/{name}/{since}/{version}");
        NewFact::new(watermark, GATEWAY, fact).because_of(since).once(key)
    };
    // One at a time: each changes the arms that the next one is taken from.
    of_arm.take(1).map(fact).collect()
}

/// The plan and the state of a bandit that is under way.
pub(super) fn exploring(state: &ModelState) -> Option<(&BanditPlan, Repair)> {
    let repair = state.repair.filter(|repair| matches!(repair, Repair::Exploring { .. }))?;
    Some((state.plan.as_ref()?.bandit.as_ref()?, repair))
}

/// What the arms are judged by: the model's metric, or what fits their answers.
fn metric(workshop: &Workshop, name: &ModelName, plan: &BanditPlan) -> Metric {
    let declared = workshop.project().models.get(name).map(|spec| spec.metric);
    declared.unwrap_or_else(|| {
        let signature = |arm: &Version| workshop.gateway.signature(name.as_str(), *arm);
        let classes = plan.arms.iter().filter_map(signature).any(|signature| !signature.classes.is_empty());
        if classes { Metric::ErrorRate } else { Metric::Mae }
    })
}

/// The losses of each arm's labelled predictions that chance dealt.
fn rewards(
    workshop: &Workshop,
    name: &ModelName,
    plan: &BanditPlan,
    metric: Metric,
    period: Period,
) -> Result<BTreeMap<Version, Moments>, Failure> {
    let mut losses: BTreeMap<Version, Moments> = plan.arms.iter().map(|arm| (*arm, Moments::new())).collect();
    let classes: BTreeMap<Version, Vec<String>> = plan
        .arms
        .iter()
        .filter_map(|arm| Some((*arm, workshop.gateway.signature(name.as_str(), *arm)?.classes.clone())))
        .collect();
    let scan = workshop.gateway.scan(name.as_str(), period)?;
    let answers = scan.versions.iter().zip(&scan.routes).zip(scan.outputs.iter().zip(&scan.scores));
    for (((version, route), (output, scores)), label) in answers.zip(&scan.labels) {
        let dealt = matches!(route, Route::Champion | Route::Candidate);
        let (Some(of_arm), Some(label), true) = (losses.get_mut(version), label, dealt) else { continue };
        let classes = classes.get(version).map_or(&[][..], |classes| &classes[..]);
        if let Some(loss) = row_loss(metric, output, scores, classes, label) {
            of_arm.push(loss);
        }
    }
    Ok(losses)
}

/// What follows from the arms' losses; none while an arm has too few labels for the shares to move.
fn weigh(
    name: &ModelName,
    plan: &BanditPlan,
    metric: Metric,
    losses: &BTreeMap<Version, Moments>,
    round: u32,
) -> Option<Fact> {
    let fewest = losses.values().map(Moments::count).min()?;
    if fewest < plan.min_labels.max(1) {
        return None;
    }
    let mut all = Moments::new();
    losses.values().for_each(|losses| all.merge(losses));
    let posteriors: Vec<Posterior> = match metric {
        Metric::ErrorRate => losses.values().map(of_shares).collect(),
        Metric::Mae | Metric::Rmse | Metric::LogLoss => {
            let rewards: Vec<Moments> = losses.values().map(Moments::negated).collect();
            Posterior::of_numbers(&rewards)
        }
    };
    let odds = odds(&posteriors);
    let shares = shares(&odds, plan.floor.basis_points());
    let arms = losses.iter().zip(&posteriors).zip(odds.iter().zip(shares));
    let arms = arms.map(|(((version, losses), posterior), (odds, share))| Arm {
        version: *version,
        labels: losses.count(),
        metric: losses.mean().map(|mean| aggregate(metric, mean)),
        reward: posterior.mean(),
        best: odds.best,
        regret: odds.regret,
        share,
    });
    let arms: Vec<Arm> = arms.collect();
    let best = arms.iter().max_by(|a, b| a.best.total_cmp(&b.best))?;
    let tolerated = plan.tolerance * all.mean().unwrap_or(0.0).abs();
    let sure = plan.promote_at < 1.0 && best.best >= plan.promote_at && best.regret <= tolerated;
    let told: Vec<String> = arms
        .iter()
        .map(|arm| {
            format!(
                "version {}: {} {:.4} over {} labels, best with probability {:.3}",
                arm.version,
                metric.name(),
                arm.metric.unwrap_or(f64::NAN),
                arm.labels,
                arm.best
            )
        })
        .collect();
    let (winner, reason) = (sure.then_some(best.version), told.join("; "));
    Some(Fact::ArmsWeighed { model: name.clone(), round, arms, winner, reason })
}

/// Of an arm whose losses are 1 for a wrong class and 0 for the right one.
fn of_shares(losses: &Moments) -> Posterior {
    let wrong = losses.mean().unwrap_or(0.0) * losses.count() as f64;
    Posterior::of_shares(losses.count().saturating_sub(wrong.round() as u64), losses.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn losses(of: &[(Version, &[f64])]) -> BTreeMap<Version, Moments> {
        let moments = |values: &[f64]| {
            let mut moments = Moments::new();
            values.iter().for_each(|value| moments.push(*value));
            moments
        };
        of.iter().map(|(version, values)| (*version, moments(values))).collect()
    }

    fn weighed(metric: Metric, of: &[(Version, &[f64])]) -> Option<(Vec<Arm>, Option<Version>)> {
        let plan = BanditPlan { arms: of.iter().map(|(arm, _)| *arm).collect(), ..BanditPlan::default() };
        match weigh(&"kiln".parse().unwrap(), &plan, metric, &losses(of), 0)? {
            Fact::ArmsWeighed { arms, winner, .. } => Some((arms, winner)),
            _ => None,
        }
    }

    #[test]
    fn lower_losses_take_more_traffic_and_a_sure_best_wins() {
        let spread = |around: f64| -> Vec<f64> { (0..200).map(|at| around + f64::from(at % 9)).collect() };
        let (good, bad) = (spread(10.0), spread(30.0));
        let (arms, winner) = weighed(Metric::Mae, &[(3, &bad), (4, &good)]).unwrap();
        assert_eq!((arms[0].share, arms[1].share, winner), (500, 9_500, Some(4)));
        assert!((arms[0].regret - 20.0).abs() < 0.5 && (arms[1].metric.unwrap() - 13.965).abs() < 1e-9);
    }

    #[test]
    fn nothing_moves_before_every_arm_has_its_labels_and_equals_go_on() {
        let (few, many) = (vec![0.0; 10], vec![1.0; 100]);
        assert_eq!(weighed(Metric::ErrorRate, &[(1, &few), (2, &many)]), None);
        let half: Vec<f64> = (0..100).map(|at| f64::from(at % 2)).collect();
        let (arms, winner) = weighed(Metric::ErrorRate, &[(1, &half), (2, &half)]).unwrap();
        assert_eq!((arms[0].share, arms[1].share, winner), (5_000, 5_000, None));
        assert_eq!((arms[0].metric, arms[0].reward), (Some(0.5), 0.5));
    }
}
