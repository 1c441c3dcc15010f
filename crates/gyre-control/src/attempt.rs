//! The controller's turn from a decision to train until the gates have spoken.
//!
//! One decision trains on one of the windows, or on all of them, one after the other (`retrain.try`). What is trained as of the same
//! moment is judged on the same withheld rows, so the gains over the champion can be held against each other: the best that passes
//! its gates goes on, and of two that are equally good the one that has learnt from more. Whatever the number of windows, it is one
//! decision: it counts once for the limit, and once when it was in vain.
//!
//! Where the policy allows it, the champion's answers are put right by recent labels first (*recalibration*), which costs nothing
//! like a training. If that is proven better and recovers half of what the champion has been losing a day, nothing is trained;
//! otherwise the windows are tried, and it goes on only where nothing that was trained passes its gates: what both gained was seen
//! on different rows.
//!
//! What goes on has not learnt from the withheld days, and it is the days that are known best. So it is trained once more on them
//! too (*refit*), and that version takes the traffic. It has seen the rows that gates compare on; so whatever is compared on them
//! later is compared with the version that it is made of. Where a refit comes to nothing, the version itself goes on.

use gyre_core::fact::{Decision, ModelVersion, Numbers, Score};
use gyre_core::spec::Window;
use gyre_core::{Timestamp, Version};
use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::controller::Turn;
use crate::state::{Known, Repair};
use crate::waiting::{self, Due};

/// How many trainings are remembered for the limit.
const REMEMBERED_TRAININGS: usize = 1000;

/// A decision to train, while it is carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// As of when everything is trained and judged.
    pub as_of: Timestamp,
    /// Whether its being in vain makes the loop more patient.
    pub counts: bool,
    /// The window under way.
    pub window: Window,
    /// Windows that are still to be tried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<Window>,
    /// Versions that were made and judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<Tried>,
    /// While the champion's answers are being put right: the gain, in units of the metric, with which nothing need be trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enough: Option<f64>,
}

/// A version that was made and judged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// Which.
    pub version: Version,
    /// Trained on what.
    pub window: Window,
    /// Whether it passed its gates.
    pub passed: bool,
    /// By how much it was better than the champion on the withheld rows; none when there was nothing to compare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gain: Option<f64>,
    /// The p-value of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p: Option<f64>,
    /// Whether it is the champion with its answers put right.
    #[serde(default)]
    pub recalibrated: bool,
}

/// The best of those that passed, before what was not trained; of equals the one with the larger window.
fn best(tried: &[Tried]) -> Option<Tried> {
    let reach = |window: Window| match window {
        Window::Last(span) => span.as_millis(),
        // All, but not of all.
        Window::Fading(half_life) => (i64::MAX / 2).saturating_add(half_life.as_millis()),
        Window::All => i64::MAX,
    };
    let gain = |tried: &Tried| tried.gain.unwrap_or(f64::NEG_INFINITY);
    let better = |a: &&Tried, b: &&Tried| {
        let trained = b.recalibrated.cmp(&a.recalibrated);
        trained.then_with(|| gain(a).total_cmp(&gain(b))).then_with(|| reach(a.window).cmp(&reach(b.window)))
    };
    tried.iter().filter(|tried| tried.passed).max_by(better).copied()
}

impl Turn<'_> {
    /// Trains, unless the limit or the quiet hours stand against it.
    pub(crate) fn retrain(&mut self, due: Due) {
        if let Some(own) = waiting::own_action(self.policy) {
            return self.keep(format!("{}; not trained: {own}", due.reason), due.numbers);
        }
        if let Some(quiet) = waiting::quiet(self.policy, self.now) {
            return self.put_off(due, &quiet);
        }
        let windows = &self.policy.windows;
        let next = windows.get(self.model.next_window % windows.len().max(1)).copied();
        let next = if self.policy.try_all { windows.clone() } else { next.into_iter().collect() };
        if let (Some(span), Some(champion), Some(enough)) =
            (self.policy.recalibrate, self.model.champion, self.worth_recovering().filter(|_| due.by_loss))
        {
            return self.recalibrate(champion, Window::Last(span), enough, next, due);
        }
        if let Some(used_up) = waiting::used_up(self.policy, self.model, self.now) {
            return self.keep(format!("{}; {used_up}", due.reason), due.numbers);
        }
        let Some((first, left)) = next.split_first() else {
            return self.keep(format!("{}; no training window is allowed", due.reason), due.numbers);
        };
        let why = if left.is_empty() {
            due.reason
        } else {
            format!("{}; all {} windows are tried", due.reason, next.len())
        };
        self.train(*first, left.to_vec(), due.by_loss, Some((why, due.numbers)));
    }

    /// Half of what the champion has been losing a day of late, by regret or by age, in units of the metric.
    fn worth_recovering(&self) -> Option<f64> {
        let a_day = |cost: f64, days: f64| if days > 0.0 { cost / days } else { 0.0 };
        let regret = a_day(self.model.regret, f64::from(self.model.regret_days));
        let age = a_day(self.model.worth.spent(), self.model.worth.days());
        let enough = 0.5 * regret.max(age) * self.model.reference?;
        (enough > 0.0).then_some(enough)
    }

    /// Puts the champion's answers right first; the windows in `left` are trained on if that does not gain `enough`.
    fn recalibrate(&mut self, champion: Version, window: Window, enough: f64, left: Vec<Window>, due: Due) {
        self.try_again();
        self.model.due = None;
        let (as_of, counts, enough) = (self.now, due.by_loss, Some(enough));
        self.model.attempt = Some(Attempt { as_of, counts, window, left, tried: Vec::new(), enough });
        self.decide(Decision::Recalibrate { window }, due.reason, due.numbers);
        self.model.repair = Some(Repair::Recalibrating { version: champion });
        let model = self.name.clone();
        self.follows.actions.push(Action::Recalibrate { model, version: champion, window, as_of });
    }

    pub(crate) fn asked_to_train(&mut self, window: Window) {
        // A look at versions is no reason to make a person wait, nor are the quiet hours.
        if let Some(repair) = self.model.repair.filter(|repair| !matches!(repair, Repair::Comparing { .. })) {
            let reason = format!("not trained, although asked to: a repair is under way ({repair:?})");
            return self.keep(reason, Numbers::new());
        }
        self.train(window, Vec::new(), true, None);
    }

    fn train(&mut self, window: Window, left: Vec<Window>, counts: bool, why: Option<(String, Numbers)>) {
        self.try_again();
        self.count_training();
        self.model.due = None;
        let (as_of, tried, enough) = (self.now, Vec::new(), None);
        self.model.attempt = Some(Attempt { as_of, counts, window, left, tried, enough });
        if let Some((reason, numbers)) = why {
            self.decide(Decision::Retrain { window }, reason, numbers);
        }
        self.begin_training(window, self.now);
    }

    fn count_training(&mut self) {
        self.model.trainings.push(self.now);
        let forgotten = self.model.trainings.len().saturating_sub(REMEMBERED_TRAININGS);
        self.model.trainings.drain(..forgotten);
        self.model.new_rows = 0;
    }

    fn begin_training(&mut self, window: Window, as_of: Timestamp) {
        self.model.repair = Some(Repair::Training { window });
        self.follows.actions.push(Action::Train { model: self.name.clone(), window, as_of });
    }

    pub(crate) fn registered(&mut self, registered: &ModelVersion) {
        let (version, holdout, refit_of) = (registered.version, &registered.holdout, registered.refit_of);
        let promised = holdout.get(self.policy.metric).copied();
        let promised_error = holdout.get("standard_error").copied().unwrap_or(0.0);
        // What it knows of the world is as old as the version whose answers it puts right, and it is held against what that one
        // promised: what is still missing goes on counting as regret.
        let beneath = registered.calibrated_from.and_then(|of| self.model.versions.get(&of).copied());
        let since = Some(beneath.and_then(|beneath| beneath.since).unwrap_or(self.now));
        let promised_error = beneath.map_or(promised_error, |beneath| beneath.promised_error);
        let promised = beneath.map_or(promised, |beneath| beneath.promised);
        let known = Known {
            promised,
            promised_error,
            since,
            passed: None,
            withdrawn: false,
            refit_of,
            superseded: false,
        };
        self.model.versions.insert(version, known);
        if let (Some(Repair::Refitting { version: twin }), Some(of)) = (self.model.repair, refit_of)
            && twin == of
        {
            return self.judge(version, self.now);
        }
        // What a person brings meanwhile is not what the training made.
        let recalibrating = matches!(self.model.repair, Some(Repair::Recalibrating { .. }));
        let training = matches!(self.model.repair, Some(Repair::Training { .. }));
        let made = if recalibrating { registered.calibrated_from.is_some() } else { training };
        if made && registered.is_trained_here() {
            self.model.failures = 0;
            let attempt = self.model.attempt.as_ref();
            let first = |attempt: &Attempt| attempt.counts && attempt.tried.iter().all(|it| it.recalibrated);
            let first_that_counts = training && attempt.is_none_or(first);
            if self.model.champion.is_some() && first_that_counts {
                // Until it is proven.
                self.model.futile = self.model.futile.saturating_add(1);
            }
            let as_of = attempt.map_or(self.now, |attempt| attempt.as_of);
            self.judge(version, as_of);
        }
    }

    pub(crate) fn judge(&mut self, version: Version, as_of: Timestamp) {
        self.model.repair = Some(Repair::Judging { version });
        self.follows.actions.push(Action::Judge { model: self.name.clone(), version, as_of });
    }

    pub(crate) fn judged(&mut self, version: Version, passed: bool, comparison: Option<&Score>) {
        if let Some(known) = self.model.versions.get_mut(&version) {
            known.passed = Some(passed);
        }
        if self.model.repair != Some(Repair::Judging { version }) {
            return;
        }
        if let Some(twin) = self.being_refitted() {
            return self.refit_judged(version, twin, passed);
        }
        let p = comparison.and_then(|score| score.p);
        if p.is_some_and(|p| p < self.policy.significance) {
            self.model.futile = 0;
        }
        if !passed {
            let reason = format!("version {version} did not pass its gates; the champion stays");
            self.decide(Decision::Refuse { version }, reason, Numbers::new());
        }
        let Some(attempt) = self.model.attempt.as_mut() else {
            // A person asked for it.
            let tried = Tried { version, window: Window::All, passed, gain: None, p, recalibrated: false };
            return self.conclude(vec![tried]);
        };
        let gain = comparison.map(|score| score.gain);
        let enough = attempt.enough;
        let tried =
            Tried { version, window: attempt.window, passed, gain, p, recalibrated: enough.is_some() };
        attempt.tried.push(tried);
        let proven = p.is_some_and(|p| p < self.policy.significance);
        if passed && proven && gain.zip(enough).is_some_and(|(gain, enough)| gain >= enough) {
            return self.conclude(vec![tried]);
        }
        self.next_window_or_end();
    }

    /// Trains on the window that is next, or ends the attempt with what was made.
    fn next_window_or_end(&mut self) {
        let used_up = waiting::used_up(self.policy, self.model, self.now);
        let Some(attempt) = self.model.attempt.as_mut() else { return };
        // What came first was no training; the limit is for what would follow.
        let used_up = used_up.filter(|_| attempt.enough.is_some() && !attempt.left.is_empty());
        if used_up.is_some() {
            attempt.left.clear();
        }
        if attempt.left.is_empty() {
            let tried = std::mem::take(&mut attempt.tried);
            return self.conclude(tried);
        }
        let window = attempt.left.remove(0);
        attempt.window = window;
        let as_of = attempt.as_of;
        if let Some(enough) = attempt.enough.take() {
            let found = attempt.tried.last().and_then(|tried| tried.gain);
            let reason = found.map_or_else(
                || "the champion's answers could not be put right".to_owned(),
                |gain| {
                    format!(
                        "the champion with its answers put right gains {gain:.2}{}, not {enough:.2} for sure",
                        self.unit()
                    )
                },
            );
            self.count_training();
            self.decide(Decision::Retrain { window }, reason, Numbers::new());
        }
        self.begin_training(window, as_of);
    }

    /// The gates have spoken about everything that was made.
    fn conclude(&mut self, tried: Vec<Tried>) {
        self.forget_regret();
        self.model.worth.renew();
        let attempt = self.model.attempt.take();
        let counts = attempt.as_ref().is_some_and(|attempt| attempt.counts);
        let Some(best) = best(&tried) else {
            self.model.next_window += 1;
            self.end_repair();
            if counts {
                self.setback("it did not pass its gates");
            }
            return;
        };
        let mut reason = format!("version {} passed its gates", best.version);
        if tried.len() > 1 {
            let told = tried.iter().map(|it| {
                let what = if it.recalibrated { "recalibrated".to_owned() } else { it.window.to_string() };
                it.gain.map_or_else(|| format!("{what} not compared"), |gain| format!("{what} {gain:+.2}"))
            });
            reason += &format!("; gains by window: {}", told.collect::<Vec<_>>().join(", "));
        }
        if let Some(attempt) = attempt.filter(|_| self.policy.refit && !best.recalibrated) {
            return self.refit(best, attempt.as_of, &reason);
        }
        self.decide(Decision::RollOut { version: best.version }, reason.clone(), Numbers::new());
        self.roll_out_when_not_quiet(best.version, reason);
    }

    fn refit(&mut self, best: Tried, as_of: Timestamp, reason: &str) {
        let Tried { version, window, .. } = best;
        let reason = format!("{reason}; it is trained once more, on the withheld rows too");
        self.decide(Decision::Refit { version }, reason, Numbers::new());
        self.model.repair = Some(Repair::Refitting { version });
        self.model.refitting = Some(version);
        self.follows.actions.push(Action::Refit { model: self.name.clone(), version, window, as_of });
    }

    /// The gates have spoken about `version`, which is `twin` once more.
    fn refit_judged(&mut self, version: Version, twin: Version, passed: bool) {
        if !passed {
            let reason =
                format!("version {version}, version {twin} trained once more, did not pass its gates");
            self.decide(Decision::Refuse { version }, reason, Numbers::new());
            return self.go_on_without_refit(twin);
        }
        self.model.refitting = None;
        if let Some(known) = self.model.versions.get_mut(&twin) {
            known.superseded = true;
        }
        let reason = format!(
            "version {version} is version {twin}, trained on the withheld rows too, and passed its gates"
        );
        self.decide(Decision::RollOut { version }, reason.clone(), Numbers::new());
        self.roll_out_when_not_quiet(version, reason);
    }

    /// The version itself is held against its gates again, for who serves may have changed meanwhile, and goes on.
    fn go_on_without_refit(&mut self, twin: Version) {
        self.model.refitting = None;
        let withdrawn = self.model.versions.get(&twin).is_some_and(|known| known.withdrawn);
        if self.model.champion == Some(twin) || withdrawn {
            // A person has decided about it meanwhile.
            return self.end_repair();
        }
        self.judge(twin, self.now);
    }

    /// The version that the loop is training once more, or has and holds before its gates.
    fn being_refitted(&self) -> Option<Version> {
        let twin = self.model.refitting?;
        let judged = |version| self.model.versions.get(&version).and_then(|known| known.refit_of);
        match self.model.repair? {
            Repair::Refitting { version } => Some(version),
            Repair::Judging { version } => judged(version).filter(|of| *of == twin),
            _ => None,
        }
    }

    /// An action broke while something was trained or judged: the windows that are left are tried all the same.
    pub(crate) fn attempt_failed(&mut self, reason: &str) {
        if let Some(twin) = self.being_refitted() {
            self.keep(
                format!("version {twin} goes on as it is, not trained once more: {reason}"),
                Numbers::new(),
            );
            return self.go_on_without_refit(twin);
        }
        let at_work = matches!(
            self.model.repair,
            Some(Repair::Training { .. } | Repair::Recalibrating { .. } | Repair::Judging { .. })
        );
        let more = self.model.attempt.as_ref().is_some_and(|it| !it.left.is_empty() || !it.tried.is_empty());
        if at_work && more {
            return self.next_window_or_end();
        }
        self.end_repair();
        self.failed(reason);
    }
}
