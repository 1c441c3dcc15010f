//! Whether a step of a rollout may go on, must go back, or has not been seen enough: a pure function of the evidence.

use gyre_core::expr::{Expression, Measured};
use gyre_core::fact::{Numbers, RolloutPlan, Verdict};

use crate::evidence::Evidence;
use crate::shadow::ShadowFinding;
use crate::trial::{ALPHA, Finding, Trial};

/// A candidate with less than this many requests is never judged.
const HANDFUL: u64 = 5;

/// How a rollout is walked and judged.
#[derive(Debug)]
pub struct Plan {
    /// The candidate's shares of traffic, in hundredths of a percent, step by step.
    pub steps: Vec<u32>,
    /// Requests that the candidate must have been asked before a step is judged.
    pub min_requests: u64,
    /// What sends it back besides: expressions over `requests`, `errors` (a share), `latency_p50_ms`, `latency_p99_ms`,
    /// and what the trial beside the champion says ([`Finding::numbers`]).
    pub rollback_on: Vec<Expression>,
}

impl Plan {
    /// The same with its rules compiled.
    pub fn of(plan: &RolloutPlan) -> Self {
        Self { steps: plan.steps.clone(), min_requests: plan.min_requests, rollback_on: plan.rules() }
    }
}

/// What a step showed.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// Whether it may go on.
    pub verdict: Verdict,
    /// Why, with the numbers in words.
    pub reason: String,
    /// The numbers.
    pub numbers: Numbers,
}

/// Judges step `step` (counted from 0) by what the candidate has shown since the step began, by its trial beside the champion
/// since the rollout began, and by what it answered in the champion's shadow. None: not yet.
///
/// A candidate that fails more often than the champion, beyond doubt, goes back at once. Every rule is looked at once `min_requests` are there. Before that, the rules are looked at only when more than half
/// of at least five requests failed: that is no accident (a version that fails one request in a hundred shows it once
/// in 100,000 times), and nobody should wait for thirty failures of a version that always fails. A rule that cannot be
/// evaluated sends the candidate back: what was not measured never passes.
pub fn judge(
    plan: &Plan,
    step: u32,
    candidate: &Evidence,
    trial: Option<&Finding>,
    shadow: Option<&ShadowFinding>,
) -> Option<Judgement> {
    let convicted = trial.filter(|trial| trial.fails_more);
    let enough = candidate.requests >= plan.min_requests.max(1);
    let broken = candidate.requests >= HANDFUL && candidate.errors * 2 > candidate.requests;
    if !enough && !broken && convicted.is_none() {
        return None;
    }
    let mut numbers = candidate.numbers();
    // Where there is no trial nothing is known against the candidate.
    let untried = || Trial::new(0, 0, ALPHA).finding();
    numbers.extend(trial.copied().unwrap_or_else(untried).numbers());
    numbers.extend(shadow.map(ShadowFinding::numbers).unwrap_or_default());
    let measured: Measured =
        numbers.iter().map(|(name, number)| (name.clone(), serde_json::Value::from(*number))).collect();
    let share = usize::try_from(step).ok().and_then(|step| plan.steps.get(step)).copied();
    numbers.insert("step".to_owned(), f64::from(step));
    if let Some(share) = share {
        numbers.insert("share".to_owned(), f64::from(share) / 10_000.0);
    }
    let judgement = |verdict, reason| Some(Judgement { verdict, reason, numbers: numbers.clone() });
    if let Some(trial) = convicted {
        return judgement(Verdict::RollBack, trial.charge());
    }
    for rule in &plan.rollback_on {
        match rule.holds(&measured) {
            Ok(false) => {}
            Ok(true) => {
                let because = rule.judge(&measured).because;
                let reason = format!(
                    "`{}` after {} requests, {} failed: {because}",
                    rule.source(),
                    candidate.requests,
                    candidate.errors
                );
                return judgement(Verdict::RollBack, reason);
            }
            Err(error) => {
                let reason = format!("`{}` cannot be judged: {error}", rule.source());
                return judgement(Verdict::RollBack, reason);
            }
        }
    }
    if !enough {
        return None;
    }
    let at = match share {
        Some(0) => " in the shadow of the champion".to_owned(),
        Some(share) => format!(" at {}% of traffic", f64::from(share) / 100.0),
        None => String::new(),
    };
    let reason = format!("{} requests{at}, {} failed, no rule broken", candidate.requests, candidate.errors);
    judgement(Verdict::Continue, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(rules: &[&str]) -> Plan {
        let rollback_on = rules.iter().map(|rule| Expression::compile(rule).unwrap()).collect();
        Plan { steps: vec![500, 10_000], min_requests: 30, rollback_on }
    }

    fn shown(requests: u64, errors: u64) -> Evidence {
        Evidence { requests, errors, latency_p50_ms: Some(1.0), latency_p99_ms: Some(4.0) }
    }

    fn verdict(rules: &[&str], evidence: Evidence) -> Option<Verdict> {
        judge(&plan(rules), 0, &evidence, None, None).map(|judgement| judgement.verdict)
    }

    const RULES: &[&str] = &["errors > 0.01", "latency_p99_ms > 50"];

    #[test]
    fn a_healthy_candidate_waits_for_its_requests_and_goes_on() {
        assert_eq!(verdict(RULES, shown(0, 0)), None);
        assert_eq!(verdict(RULES, shown(29, 0)), None);
        let judgement = judge(&plan(RULES), 0, &shown(30, 0), None, None).unwrap();
        assert_eq!(judgement.verdict, Verdict::Continue);
        assert_eq!(judgement.reason, "30 requests at 5% of traffic, 0 failed, no rule broken");
        assert_eq!((judgement.numbers["share"], judgement.numbers["requests"]), (0.05, 30.0));
    }

    #[test]
    fn a_broken_candidate_goes_back_early_and_an_unlucky_one_does_not() {
        assert_eq!(verdict(RULES, shown(4, 4)), None);
        assert_eq!(verdict(RULES, shown(5, 5)), Some(Verdict::RollBack));
        assert_eq!(verdict(RULES, shown(20, 1)), None);
        assert_eq!(verdict(&[], shown(5, 5)), None, "without a rule nobody said that failing is wrong");
    }

    #[test]
    fn a_broken_rule_sends_it_back_with_its_numbers() {
        let judgement = judge(&plan(RULES), 1, &shown(100, 3), None, None).unwrap();
        assert_eq!(judgement.verdict, Verdict::RollBack);
        assert_eq!(judgement.reason, "`errors > 0.01` after 100 requests, 3 failed: errors = 0.03");
        assert_eq!(verdict(&["latency_p99_ms > 3"], shown(30, 0)), Some(Verdict::RollBack));
    }

    #[test]
    fn a_candidate_convicted_beside_the_champion_goes_back_at_once() {
        let trial = crate::Trial::new(2, 1, 0.01);
        let look = || judge(&plan(&[]), 0, &shown(3, 3), Some(&trial.finding()), None);
        assert_eq!(look(), None);
        for at in 0..4 {
            trial.observe(2, 0.05, &at.to_string(), std::time::Duration::ZERO, false);
        }
        let judgement = look().unwrap();
        assert_eq!(judgement.verdict, Verdict::RollBack);
        assert!(
            judgement.reason.starts_with("it fails more often than the champion: 4 of 4 calls beside 0 of 0")
        );
        assert!(judgement.numbers["errors_p"] <= 0.01);
    }

    #[test]
    fn rules_may_ask_what_is_known_for_sure() {
        let trial = crate::Trial::new(2, 1, 0.01);
        let rule = plan(&["slowdown > 1.5"]);
        let verdict = |trial: &crate::Trial| {
            judge(&rule, 0, &shown(30, 0), Some(&trial.finding()), None).unwrap().verdict
        };
        assert_eq!(verdict(&trial), Verdict::Continue, "nothing is known yet");
        for at in 0..2_000_u32 {
            let version = 1 + at % 2;
            trial.observe(
                version,
                0.5,
                "id",
                std::time::Duration::from_micros(u64::from(version * 100 + at % 7)),
                true,
            );
        }
        assert_eq!(verdict(&trial), Verdict::RollBack);
    }

    #[test]
    fn a_step_without_traffic_is_judged_by_what_was_mirrored() {
        let plan = Plan { steps: vec![0, 10_000], ..plan(&["disagreement > 0.1"]) };
        let look = |disagreement| {
            let shadow = ShadowFinding { mirrored: 30, rows: 30, disagreement, ..ShadowFinding::default() };
            judge(&plan, 0, &shown(30, 0), None, Some(&shadow)).unwrap()
        };
        assert_eq!(look(Some(0.05)).verdict, Verdict::Continue);
        assert_eq!(
            look(Some(0.05)).reason,
            "30 requests in the shadow of the champion, 0 failed, no rule broken"
        );
        assert_eq!(look(Some(0.2)).verdict, Verdict::RollBack);
        assert_eq!(look(None).verdict, Verdict::RollBack, "what was not measured never passes");
    }

    #[test]
    fn what_was_not_measured_never_passes() {
        let unmeasured = Evidence { latency_p99_ms: None, ..shown(30, 0) };
        assert_eq!(verdict(RULES, unmeasured), Some(Verdict::RollBack));
    }
}
