//! Whether a step of a rollout may go on, must go back, or has not been seen enough: a pure function of the evidence.

use gyre_core::Span;
use gyre_core::expr::{Expression, Measured};
use gyre_core::fact::{Numbers, RolloutPlan, Verdict};

use crate::evidence::Evidence;
use crate::shadow::ShadowFinding;
use crate::trial::{ALPHA, Finding, Trial};

/// A candidate with less than this many requests is never judged.
const HANDFUL: u64 = 5;

/// What is measured of labels alone.
const OF_LABELS: [&str; 2] = ["metric", "champion_metric"];

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
    /// Labels that the step's own predictions must have got, of the candidate, before it may pass.
    pub min_labels: u64,
    /// How long the step waits for them.
    pub labels_within: Span,
}

/// What a step has shown so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shown<'a> {
    /// The candidate, since the step began.
    pub candidate: Evidence,
    /// Its trial beside the champion, since the rollout began.
    pub trial: Option<&'a Finding>,
    /// What it answered in the champion's shadow.
    pub shadow: Option<&'a ShadowFinding>,
    /// How far the inputs of the step are from those that the candidate was trained on, where that is known.
    pub input_drift: Option<f64>,
    /// How long the step has lasted, in event time.
    pub lasted: Span,
}

impl Plan {
    /// The same with its rules compiled.
    pub fn of(plan: &RolloutPlan) -> Self {
        Self {
            steps: plan.steps.clone(),
            min_requests: plan.min_requests,
            rollback_on: plan.rules(),
            min_labels: plan.min_labels,
            labels_within: plan.patience(),
        }
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

/// What step `step` waits for, in words; none when it has shown enough to be judged.
pub fn waits_for(plan: &Plan, step: u32, shown: &Shown<'_>) -> Option<String> {
    let (asked, wanted) = (shown.candidate.requests, plan.min_requests.max(1));
    if asked < wanted {
        return Some(format!("requests: {asked} of {wanted}"));
    }
    let (known, wanted) = (labels(shown), plan.labels_wanted(step));
    (known < wanted).then(|| format!("labels: {known} of {wanted}, for {} at most", plan.labels_within))
}

/// Labels of the step's own predictions, of the candidate.
fn labels(shown: &Shown<'_>) -> u64 {
    shown.trial.map_or(0, |trial| trial.step_labels)
}

impl Plan {
    fn share(&self, step: u32) -> Option<u32> {
        usize::try_from(step).ok().and_then(|step| self.steps.get(step)).copied()
    }

    /// In the shadow of the champion the candidate's answers are nobody's, so no label is asked for.
    fn labels_wanted(&self, step: u32) -> u64 {
        if self.share(step) == Some(0) { 0 } else { self.min_labels }
    }
}

/// Judges step `step` (counted from 0) by what was shown. None: not yet.
///
/// A candidate that is worse than the champion beyond doubt goes back at once. Every rule is looked at once `min_requests` are
/// there; one that needs labels, once `min_labels` are. Before that, the rules are looked at only when more than half
/// of at least five requests failed: that is no accident (a version that fails one request in a hundred shows it once
/// in 100,000 times), and nobody should wait for thirty failures of a version that always fails. A rule that cannot be
/// evaluated sends the candidate back: what was not measured never passes. So does a step that has waited for its labels for
/// as long as it may.
pub fn judge(plan: &Plan, step: u32, shown: &Shown<'_>) -> Option<Judgement> {
    let Shown { candidate, trial, shadow, .. } = shown;
    let convicted = trial.filter(|trial| trial.convicts());
    let enough = candidate.requests >= plan.min_requests.max(1);
    let broken = candidate.requests >= HANDFUL && candidate.errors * 2 > candidate.requests;
    if !enough && !broken && convicted.is_none() {
        return None;
    }
    let (known, wanted) = (labels(shown), plan.labels_wanted(step));
    let mut numbers = candidate.numbers();
    // Where there is no trial nothing is known against the candidate.
    let untried = || Trial::new(0, 0, ALPHA).finding();
    numbers.extend(trial.copied().unwrap_or_else(untried).numbers());
    numbers.extend(shadow.map(ShadowFinding::numbers).unwrap_or_default());
    numbers.extend(shown.input_drift.map(|drift| ("input_drift".to_owned(), drift)));
    let measured: Measured =
        numbers.iter().map(|(name, number)| (name.clone(), serde_json::Value::from(*number))).collect();
    let share = plan.share(step);
    numbers.insert("step".to_owned(), f64::from(step));
    if let Some(share) = share {
        numbers.insert("share".to_owned(), f64::from(share) / 10_000.0);
    }
    let judgement = |verdict, reason| Some(Judgement { verdict, reason, numbers: numbers.clone() });
    if let Some(trial) = convicted {
        return judgement(Verdict::RollBack, trial.charge());
    }
    // What only labels tell is not asked for before they are there.
    let of_labels = |rule: &Expression| OF_LABELS.iter().any(|name| rule.mentions(name));
    let asked_now = plan.rollback_on.iter().filter(|rule| known >= wanted.max(1) || !of_labels(rule));
    for rule in asked_now {
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
    if known < wanted {
        if shown.lasted < plan.labels_within {
            return None;
        }
        let reason = format!(
            "{known} of {wanted} labels came within {}, so nobody knows whether its answers are right",
            plan.labels_within
        );
        return judgement(Verdict::RollBack, reason);
    }
    let at = match share {
        Some(0) => " in the shadow of the champion".to_owned(),
        Some(share) => format!(" at {}% of traffic", f64::from(share) / 100.0),
        None => String::new(),
    };
    let came_true = match trial.map(|trial| (trial.labels, trial.metric, trial.realised)) {
        Some(((champion, candidate), metric, (Some(before), Some(now)))) => {
            format!(", {metric} {now:.4} over {candidate} labels beside {before:.4} over {champion}")
        }
        _ => String::new(),
    };
    let reason = format!(
        "{} requests{at}, {} failed{came_true}, no rule broken",
        candidate.requests, candidate.errors
    );
    judgement(Verdict::Continue, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gyre_core::record::{Label, Value};

    fn plan(rules: &[&str]) -> Plan {
        let rollback_on = rules.iter().map(|rule| Expression::compile(rule).unwrap()).collect();
        Plan {
            steps: vec![500, 10_000],
            min_requests: 30,
            rollback_on,
            min_labels: 0,
            labels_within: Span::days(7),
        }
    }

    fn shown(requests: u64, errors: u64) -> Evidence {
        Evidence { requests, errors, latency_p50_ms: Some(1.0), latency_p99_ms: Some(4.0) }
    }

    fn verdict(rules: &[&str], evidence: Evidence) -> Option<Verdict> {
        judge(&plan(rules), 0, &Shown { candidate: evidence, ..Shown::default() })
            .map(|judgement| judgement.verdict)
    }

    const RULES: &[&str] = &["errors > 0.01", "latency_p99_ms > 50"];

    #[test]
    fn a_healthy_candidate_waits_for_its_requests_and_goes_on() {
        assert_eq!(verdict(RULES, shown(0, 0)), None);
        assert_eq!(verdict(RULES, shown(29, 0)), None);
        let judgement =
            judge(&plan(RULES), 0, &Shown { candidate: shown(30, 0), ..Shown::default() }).unwrap();
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
        let judgement =
            judge(&plan(RULES), 1, &Shown { candidate: shown(100, 3), ..Shown::default() }).unwrap();
        assert_eq!(judgement.verdict, Verdict::RollBack);
        assert_eq!(judgement.reason, "`errors > 0.01` after 100 requests, 3 failed: errors = 0.03");
        assert_eq!(verdict(&["latency_p99_ms > 3"], shown(30, 0)), Some(Verdict::RollBack));
    }

    #[test]
    fn a_candidate_convicted_beside_the_champion_goes_back_at_once() {
        let trial = crate::Trial::new(2, 1, 0.01);
        let look = || {
            let finding = trial.finding();
            judge(&plan(&[]), 0, &Shown { candidate: shown(3, 3), trial: Some(&finding), ..Shown::default() })
        };
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
            let finding = trial.finding();
            let shown = Shown { candidate: shown(30, 0), trial: Some(&finding), ..Shown::default() };
            judge(&rule, 0, &shown).unwrap().verdict
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
            let shown = Shown { candidate: shown(30, 0), shadow: Some(&shadow), ..Shown::default() };
            judge(&plan, 0, &shown).unwrap()
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
    fn a_step_waits_for_labels_for_a_while_and_says_so() {
        let plan = Plan { min_labels: 20, ..plan(&["metric > 2.0 * champion_metric"]) };
        let trial = crate::Trial::new(2, 1, 0.01);
        let look = |lasted| {
            let finding = trial.finding();
            let shown = Shown { candidate: shown(40, 0), trial: Some(&finding), lasted, ..Shown::default() };
            (waits_for(&plan, 0, &shown), judge(&plan, 0, &shown))
        };
        let (waits, judgement) = look(Span::days(1));
        assert_eq!((waits.as_deref(), judgement), (Some("labels: 0 of 20, for 7d at most"), None));
        let judgement = look(Span::days(7)).1.unwrap();
        assert_eq!(judgement.verdict, Verdict::RollBack);
        assert!(judgement.reason.starts_with("0 of 20 labels came within 7d"), "{}", judgement.reason);
        let come_true = |from: u32, wrong: f64| {
            for at in from..from + 40 {
                let (id, version) = (at.to_string(), 1 + at % 2);
                let output = if version == 2 { wrong } else { 1.0 } + f64::from(at % 7) / 10.0;
                trial.predicted(version, 0.5, (&id, &id), &Value::Number(output), &[]);
                let label =
                    Label { id: id.into(), time: gyre_core::Timestamp::default(), value: Value::Number(0.0) };
                trial.labelled(&[label]);
            }
        };
        come_true(0, 1.1);
        let (waits, judgement) = look(Span::days(1));
        let judgement = judgement.unwrap();
        assert_eq!((waits, judgement.verdict), (None, Verdict::Continue));
        assert!(
            judgement.reason.contains("mae 1.385") && judgement.reason.contains("over 20 labels beside"),
            "{judgement:?}"
        );
        assert_eq!(judgement.numbers["labels"], 20.0);
        come_true(100, 5.0);
        let judgement = look(Span::days(1)).1.unwrap();
        assert_eq!(judgement.verdict, Verdict::RollBack);
        assert!(judgement.reason.contains("`metric > 2.0 * champion_metric`"), "{}", judgement.reason);
    }

    #[test]
    fn what_was_not_measured_never_passes() {
        let unmeasured = Evidence { latency_p99_ms: None, ..shown(30, 0) };
        assert_eq!(verdict(RULES, unmeasured), Some(Verdict::RollBack));
    }
}
