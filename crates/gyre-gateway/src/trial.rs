//! The trial of a candidate: it is held against the champion after every single request.
//!
//! Ordinary tests break when they are looked at again and again. These hold whenever they are looked at
//! ([`gyre_stats::sequential`]): over a whole rollout, however long it takes and however its shares move, a candidate that
//! is no worse than the champion is sent back with probability [`Trial::alpha`] at most. So nobody has to wait for the end
//! of a window to act, and the gateway takes a failing candidate out of traffic with the request that convicts it.
//!
//! The tests need events that chance alone has dealt to one of the two. So a trial takes in calls of one row: the rows of a
//! larger call are dealt one by one and fail together, which no share describes. And it counts a failing id once: an id
//! stays with its version, so a client that tries again and again would bring the same event as often as it likes.
//!
//! What a candidate answers without failing is held against what comes true, as soon as labels come: a candidate with higher
//! losses than the champion, beyond doubt, is convicted by the label that convicts it. The two tests share the chance of a
//! false conviction evenly: each is made at half of alpha, so that both together keep the promise (Bonferroni).

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gyre_core::Version;
use gyre_core::fact::Numbers;
use gyre_core::record::{Label, Value};
use gyre_core::spec::Metric;
use gyre_stats::proportion::Interval;
use gyre_stats::sequential::{Arm, ErrorShare, MeanDifference};
use twox_hash::XxHash3_64;

use crate::answers::Answers;
use crate::ledger::{Ledger, Waiting};
use crate::realised::Realised;

/// The chance of sending back a candidate that is no worse, over a whole rollout, unless another is set.
pub const ALPHA: f64 = 0.01;

/// How many failing ids are remembered; by then there is evidence enough, and a repeated one would change nothing.
const REMEMBERED: usize = 65_536;

/// Labels that are taken in at once.
const LABELS_AT_ONCE: usize = 256;

/// What a trial is held by.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// The chance of a false conviction, over a whole rollout and all its tests.
    pub alpha: f64,
    /// What losses are measured by; by what the versions answer, when it is not said: `error_rate` for classes, `mae` for
    /// numbers.
    pub metric: Option<Metric>,
    /// Whether shares move both ways by what labels say (a bandit): then labels convict nobody, and an id that met a version
    /// keeps it while the version has a share.
    pub learns: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Self { alpha: ALPHA, metric: None, learns: false }
    }
}

/// What has come of a candidate beside its champion.
#[derive(Debug)]
pub struct Trial {
    candidate: Version,
    champion: Version,
    alpha: f64,
    labels_convict: bool,
    /// The classes of the champion and of the candidate; empty for numbers.
    classes: [Vec<String>; 2],
    seen: Mutex<Seen>,
    /// Whether the candidate has been convicted, of whatever.
    convicted: AtomicBool,
}

#[derive(Debug)]
struct Seen {
    ledger: Ledger,
    realised: Realised,
    answers: Answers,
    /// Which step of the rollout it is, counted here.
    step: u32,
    /// Labelled predictions of the candidate that it made in this step.
    step_labels: u64,
    errors: ErrorShare,
    /// Of the logarithm of the time in the model: latencies have long tails, and "twice as slow" is what is meant.
    slowness: MeanDifference,
    calls: [u64; 2],
    failed: [u64; 2],
    /// Hashes of the ids that have failed.
    failing: HashSet<u64>,
}

/// A row of the log that chance dealt to a version in a rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct Recalled {
    /// Its id.
    pub id: Arc<str>,
    /// Who answered.
    pub version: Version,
    /// The candidate's share of the traffic then, 0 to 1.
    pub weight: f64,
    /// Whether the step that is under way had begun.
    pub of_step: bool,
    /// What was answered.
    pub output: Value,
    /// A classifier's probabilities.
    pub scores: Vec<f64>,
    /// What came true, where it is known.
    pub label: Option<Label>,
}

/// What a trial has shown so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finding {
    /// Calls of one row of the champion and of the candidate.
    pub calls: (u64, u64),
    /// Of those, failed; an id that fails again and again counts once.
    pub failed: (u64, u64),
    /// Anytime-valid p-value that the candidate fails no more often than the champion.
    pub errors_p: f64,
    /// Whether that is refuted, at half of the trial's alpha.
    pub fails_more: bool,
    /// Labelled predictions of the champion and of the candidate, among those that chance dealt.
    pub labels: (u64, u64),
    /// Of the candidate's, those of predictions that it made in the present step.
    pub step_labels: u64,
    /// The metric's name.
    pub metric: &'static str,
    /// The metric of the champion and of the candidate over these; none before a first label.
    pub realised: (Option<f64>, Option<f64>),
    /// Anytime-valid p-value that the candidate's losses are no higher.
    pub worse_p: f64,
    /// Whether that is refuted, at half of the trial's alpha, where labels may convict.
    pub is_worse: bool,
    /// How far its answers are from the champion's (Jensen–Shannon distance, 0 to 1), 0 while that they differ is not sure.
    pub prediction_drift: f64,
    /// How many times longer a call of the candidate takes (ratio of geometric means), as an interval that holds at all
    /// times together; none before 100 answers of each.
    pub slowdown: Option<Interval>,
}

impl Finding {
    /// Whether it is worse than the champion beyond doubt, in whatever.
    pub fn convicts(&self) -> bool {
        self.fails_more || self.is_worse
    }

    /// What a convicted candidate is convicted of, in words.
    pub fn charge(&self) -> String {
        if self.is_worse && !self.fails_more {
            let of =
                |metric: Option<f64>| metric.map_or_else(|| "?".to_owned(), |metric| format!("{metric:.4}"));
            return format!(
                "its answers are worse than the champion's: {} {} over {} labels beside {} over {} (p = {:.2e}, valid whenever it is looked at)",
                self.metric,
                of(self.realised.1),
                self.labels.1,
                of(self.realised.0),
                self.labels.0,
                self.worse_p
            );
        }
        format!(
            "it fails more often than the champion: {} of {} calls beside {} of {} (p = {:.2e}, valid whenever it is looked at)",
            self.failed.1, self.calls.1, self.failed.0, self.calls.0, self.errors_p
        )
    }

    /// By the names that `rollback_on` uses. `slowdown` is what is known for sure: the lower end, 0 when nothing is.
    pub fn numbers(&self) -> Numbers {
        let named = [
            ("errors_p", self.errors_p),
            ("champion_requests", self.calls.0 as f64),
            (
                "champion_errors",
                if self.calls.0 == 0 { 0.0 } else { self.failed.0 as f64 / self.calls.0 as f64 },
            ),
            ("slowdown", self.slowdown.map_or(0.0, |interval| interval.lower)),
            ("labels", self.labels.1 as f64),
            ("champion_labels", self.labels.0 as f64),
            ("step_labels", self.step_labels as f64),
            ("worse_p", self.worse_p),
            ("prediction_drift", self.prediction_drift),
        ];
        let measured = [("metric", self.realised.1), ("champion_metric", self.realised.0)];
        let measured = measured.into_iter().filter_map(|(name, number)| Some((name, number?)));
        named.into_iter().chain(measured).map(|(name, number)| (name.to_owned(), number)).collect()
    }
}

impl Trial {
    /// A trial of `candidate` beside `champion`, which answer with numbers. `alpha`, the chance of a false conviction, lies in
    /// (0, 0.5].
    pub fn new(candidate: Version, champion: Version, alpha: f64) -> Self {
        Self::of((candidate, &[]), (champion, &[]), &Terms { alpha, ..Terms::default() })
    }

    /// A trial of the first beside the second, each with its classes in the order of its scores (none: it answers with
    /// numbers).
    pub fn of(candidate: (Version, &[String]), champion: (Version, &[String]), terms: &Terms) -> Self {
        let alpha = if terms.alpha > 0.0 && terms.alpha <= 0.5 { terms.alpha } else { ALPHA };
        let numbers = candidate.1.is_empty() && champion.1.is_empty();
        let metric = terms.metric.unwrap_or(if numbers { Metric::Mae } else { Metric::ErrorRate });
        let seen = Seen {
            ledger: Ledger::default(),
            realised: Realised::new(metric),
            answers: Answers::new(champion.1, candidate.1),
            step: 0,
            step_labels: 0,
            errors: ErrorShare::default(),
            slowness: MeanDifference::default(),
            calls: [0; 2],
            failed: [0; 2],
            failing: HashSet::new(),
        };
        Self {
            candidate: candidate.0,
            champion: champion.0,
            alpha,
            labels_convict: !terms.learns,
            classes: [champion.1.to_vec(), candidate.1.to_vec()],
            seen: Mutex::new(seen),
            convicted: AtomicBool::new(false),
        }
    }

    /// Who is on trial.
    pub fn candidate(&self) -> Version {
        self.candidate
    }

    /// Whether this is the trial of `candidate` beside `champion`.
    pub fn is_of(&self, candidate: Version, champion: Version) -> bool {
        (self.candidate, self.champion) == (candidate, champion)
    }

    /// The chance of a false conviction.
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// Whether the candidate is worse than the champion, beyond doubt.
    pub fn is_convicted(&self) -> bool {
        self.convicted.load(Relaxed)
    }

    /// Takes in a call for the one row `id` that `version` answered in `took`, or failed, and that was routed while the
    /// candidate's share of traffic was `weight` (0 to 1). Says whether it is this call that convicts the candidate. Calls
    /// that were not routed by chance are none of the trial's business and must not be handed in.
    pub fn observe(&self, version: Version, weight: f64, id: &str, took: Duration, answered: bool) -> bool {
        let Some(arm) = self.arm(version) else { return false };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !answered {
            let hash = XxHash3_64::oneshot(id.as_bytes());
            let again = seen.failing.contains(&hash);
            if !again && seen.failing.len() < REMEMBERED {
                seen.failing.insert(hash);
            }
            if again {
                return false;
            }
        }
        let Some(calls) = seen.calls.get_mut(arm as usize) else { return false };
        *calls += 1;
        if answered {
            // A call takes some time; what the clock cannot tell counts as its smallest step. At a share of 0 or 1 there
            // is nothing to compare, which is all that can be wrong here.
            let _ = seen.slowness.observe(arm, weight, took.as_secs_f64().max(1e-9).ln());
            return false;
        }
        if let Some(failed) = seen.failed.get_mut(arm as usize) {
            *failed += 1;
        }
        let counted = seen.errors.observe_error(arm, weight).is_ok();
        counted && seen.errors.is_worse(self.share_of_alpha()) && !self.convicted.swap(true, Relaxed)
    }

    /// Each of the two tests has half of the chance of a false conviction.
    fn share_of_alpha(&self) -> f64 {
        self.alpha / 2.0
    }

    fn arm(&self, version: Version) -> Option<Arm> {
        if version == self.candidate {
            Some(Arm::Candidate)
        } else if version == self.champion {
            Some(Arm::Champion)
        } else {
            None
        }
    }

    /// Takes in what `version` answered to the row `id`, that chance dealt to it by `unit` (the request's key, or the id)
    /// while the candidate's share was `weight`. It waits for its label.
    pub fn predicted(
        &self,
        version: Version,
        weight: f64,
        (unit, id): (&str, &str),
        output: &Value,
        scores: &[f64],
    ) {
        self.take_in(version, weight, (unit, id), (output, scores), false);
    }

    fn take_in(
        &self,
        version: Version,
        weight: f64,
        (unit, id): (&str, &str),
        (output, scores): (&Value, &[f64]),
        of_earlier_step: bool,
    ) {
        let Some(arm) = self.arm(version) else { return };
        let [champions, candidates] = &self.classes;
        let classes = if arm == Arm::Candidate { candidates } else { champions };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.ledger.meets(unit) {
            return;
        }
        seen.answers.observe(arm, weight, output, scores, classes);
        // Other metrics than the log loss need no probabilities.
        let kept = if seen.realised.needs_scores() { scores } else { &[] };
        let step = if of_earlier_step { u32::MAX } else { seen.step };
        let prediction = Waiting { arm, weight, step, output: output.clone(), scores: kept.into() };
        seen.ledger.wait(unit, id, prediction);
    }

    /// Takes in what the log kept of a rollout that another process began: rows that chance dealt, with their labels. Rows that
    /// were met already are passed over. Says whether they convict the candidate.
    pub fn recall(&self, rows: &[Recalled]) -> bool {
        for row in rows {
            let unit = (&*row.id, &*row.id);
            self.take_in(row.version, row.weight, unit, (&row.output, &row.scores), !row.of_step);
        }
        let labels = rows.iter().filter_map(|row| row.label.clone());
        self.labelled(&labels.collect::<Vec<_>>())
    }

    /// Takes in what came true. Says whether it is one of these labels that convicts the candidate.
    pub fn labelled(&self, labels: &[Label]) -> bool {
        // Predictions wait for the lock, so a large batch lets go of it now and then.
        let convicting = labels.chunks(LABELS_AT_ONCE).filter(|labels| self.take_labels(labels));
        convicting.count() > 0
    }

    fn take_labels(&self, labels: &[Label]) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for label in labels {
            let Some(prediction) = seen.ledger.take(&label.id) else { continue };
            let [champions, candidates] = &self.classes;
            let classes = if prediction.arm == Arm::Candidate { candidates } else { champions };
            let counted = seen.realised.observe(&prediction, classes, &label.value);
            let of_step = prediction.arm == Arm::Candidate && prediction.step == seen.step;
            seen.step_labels += u64::from(counted && of_step);
        }
        let worse = self.labels_convict && seen.realised.worse_p() <= self.share_of_alpha();
        worse && !self.convicted.swap(true, Relaxed)
    }

    /// A step of the rollout begins.
    pub fn begin_step(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.step = seen.step.saturating_add(1);
        seen.step_labels = 0;
    }

    /// What it has shown so far.
    pub fn finding(&self) -> Finding {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let interval = seen.slowness.interval(self.alpha);
        Finding {
            calls: seen.calls.into(),
            failed: seen.failed.into(),
            errors_p: seen.errors.p_value(),
            fails_more: seen.errors.is_worse(self.share_of_alpha()),
            labels: seen.realised.labels(),
            step_labels: seen.step_labels,
            metric: seen.realised.name(),
            realised: seen.realised.metrics(),
            worse_p: seen.realised.worse_p(),
            is_worse: self.labels_convict && seen.realised.worse_p() <= self.share_of_alpha(),
            prediction_drift: seen.answers.drift(self.alpha),
            slowdown: interval.map(|interval| Interval {
                lower: interval.lower.exp(),
                upper: interval.upper.exp(),
                level: interval.level,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_candidate_that_always_fails_is_convicted_by_its_second_or_third_failure() {
        let trial = Trial::new(2, 1, ALPHA);
        (0..20).for_each(|at| assert!(!trial.observe(1, 0.1, &format!("good-{at}"), MS, true)));
        let convicting: Vec<bool> =
            (0..5).map(|at| trial.observe(2, 0.1, &format!("bad-{at}"), MS, false)).collect();
        assert_eq!(
            convicting.iter().filter(|convicts| **convicts).count(),
            1,
            "once, not again: {convicting:?}"
        );
        assert!(trial.is_convicted() && convicting[..3].contains(&true), "{convicting:?}");
        let finding = trial.finding();
        assert_eq!((finding.calls, finding.failed, finding.fails_more), ((20, 5), (0, 5), true));
        assert!(finding.errors_p <= ALPHA);
    }

    #[test]
    fn whoever_tries_the_same_again_and_again_convicts_nobody() {
        let trial = Trial::new(2, 1, ALPHA);
        assert!((0..1_000).all(|_| !trial.observe(2, 0.1, "poisoned", MS, false)));
        assert_eq!((trial.finding().failed, trial.is_convicted()), ((0, 1), false));
    }

    #[test]
    fn what_fails_alike_is_not_convicted() {
        let trial = Trial::new(2, 1, ALPHA);
        for at in 0..10_000_u32 {
            let (version, failed) = (if at % 10 == 0 { 2 } else { 1 }, at % 7 == 0);
            trial.observe(version, 0.1, &at.to_string(), MS, !failed);
        }
        assert!(!trial.is_convicted(), "{:?}", trial.finding());
    }

    #[test]
    fn slowness_is_a_ratio() {
        let trial = Trial::new(2, 1, ALPHA);
        assert_eq!(trial.finding().numbers()["slowdown"], 0.0);
        for at in 0..4_000_u32 {
            let jitter = Duration::from_micros(u64::from(at * 37 % 200));
            let version = 1 + at % 2;
            trial.observe(version, 0.5, "id", version * MS * 2 + jitter, true);
        }
        let slowdown = trial.finding().slowdown.unwrap();
        assert!(slowdown.lower > 1.7 && slowdown.upper < 2.1, "{slowdown:?}");
    }

    fn came_true(id: &str, value: f64) -> Label {
        Label { id: id.into(), time: gyre_core::Timestamp::default(), value: Value::Number(value) }
    }

    #[test]
    fn a_candidate_that_answers_wrongly_is_convicted_by_a_label() {
        let trial = Trial::new(2, 1, ALPHA);
        trial.begin_step();
        let mut convicting = 0;
        for at in 0..600_u32 {
            let (id, version) = (at.to_string(), 1 + at % 2);
            let noise = f64::from(at * 37 % 100) / 10.0;
            // Twice as wrong as the champion.
            let output = Value::Number(f64::from(version) * noise);
            trial.predicted(version, 0.5, (&id, &id), &output, &[]);
            assert_eq!(trial.finding().labels.1, u64::from(at / 2), "labels come one by one");
            convicting += u32::from(trial.labelled(&[came_true(&id, 0.0), came_true(&id, 0.0)]));
        }
        let finding = trial.finding();
        assert_eq!((convicting, trial.is_convicted(), finding.labels), (1, true, (300, 300)));
        assert!(finding.convicts() && !finding.fails_more && finding.worse_p < ALPHA / 2.0, "{finding:?}");
        assert!(
            finding.charge().starts_with("its answers are worse than the champion's: mae 10."),
            "{finding:?}"
        );
        let numbers = finding.numbers();
        assert!(numbers["metric"] > 1.8 * numbers["champion_metric"]);
        assert_eq!((numbers["labels"], numbers["step_labels"]), (300.0, 300.0));
        trial.begin_step();
        assert_eq!(trial.finding().step_labels, 0);
        assert!(finding.prediction_drift > 0.1, "it answers otherwise, too: {finding:?}");
    }

    #[test]
    fn where_a_bandit_decides_labels_convict_nobody() {
        let terms = Terms { learns: true, metric: Some(Metric::ErrorRate), ..Terms::default() };
        let classes = ["no".to_owned(), "yes".to_owned()];
        let trial = Trial::of((2, &classes), (1, &classes), &terms);
        for at in 0..400_u32 {
            let (id, version) = (at.to_string(), 1 + at % 2);
            let output = Value::Text(if version == 1 { "yes" } else { "no" }.into());
            trial.predicted(version, 0.5, (&id, &id), &output, &[]);
            let label = Label { value: Value::Text("yes".into()), ..came_true(&id, 0.0) };
            assert!(!trial.labelled(&[label]));
        }
        let finding = trial.finding();
        assert!(finding.worse_p < 1e-6 && !finding.convicts(), "{finding:?}");
        assert_eq!(finding.realised, (Some(0.0), Some(1.0)));
    }

    #[test]
    fn strangers_do_not_count() {
        let trial = Trial::new(2, 1, ALPHA);
        assert!(!trial.observe(3, 0.1, "id", MS, false));
        assert_eq!(trial.finding().calls, (0, 0));
    }
}
