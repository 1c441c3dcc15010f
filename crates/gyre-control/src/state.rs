//! What the controller remembers: for each model who serves, what was promised, and what is under way.

use std::collections::{BTreeMap, BTreeSet};

use gyre_core::fact::{Alarm, RolloutPlan};
use gyre_core::spec::Window;
use gyre_core::{ModelName, Timestamp, Version};
use gyre_monitor::persistence::Persistence;
use gyre_stats::performance::p_above_reference;
use serde::{Deserialize, Serialize};

use crate::attempt::Attempt;
use crate::breaker::Breaker;
use crate::foresight::Foresight;
use crate::incidents::Incidents;
use crate::waiting::Due;
use crate::worth::Worth;

/// All models.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct State {
    /// Each model's state.
    pub models: BTreeMap<ModelName, ModelState>,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ModelState {
    /// The versions registered so far.
    pub versions: BTreeMap<Version, Known>,
    /// Who serves.
    pub champion: Option<Version>,
    /// Since when.
    pub champion_since: Timestamp,
    /// Excess loss since the last action, in days of the reference loss.
    pub regret: f64,
    /// The days over which it added up.
    #[serde(default)]
    pub regret_days: u32,
    /// What the loss was on these days.
    #[serde(default)]
    pub streak: Streak,
    /// The reference loss: what the first champion promised. A currency keeps its value, so later promises do not change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<f64>,
    /// How many trainings in a row have not proven to be better than what served: each doubles the regret that the next takes.
    #[serde(default)]
    pub futile: u32,
    /// What the versions' ages have been shown to cost.
    #[serde(default)]
    pub worth: Worth,
    /// What estimates of the loss have been worth, and what they said of late.
    #[serde(default)]
    pub foresight: Foresight,
    /// What is wrong at present.
    pub alarms: BTreeSet<Alarm>,
    /// Which columns drifted of late.
    #[serde(default)]
    pub drift: Persistence,
    /// What is wrong, and why most likely.
    #[serde(default)]
    pub incidents: Incidents,
    /// How the rollout under way was asked to be walked; otherwise it goes by the model's policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<RolloutPlan>,
    /// The shares that a bandit gave its arms last, in hundredths of a percent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<(Version, u32)>,
    /// What is under way.
    pub repair: Option<Repair>,
    /// The decision to train that is being carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Attempt>,
    /// The version that the loop is training once more, until its refit has been judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refitting: Option<Version>,
    /// A training that is due and has to wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Due>,
    /// Labelled predictions in the windows that closed since the last training.
    #[serde(default)]
    pub new_rows: u64,
    /// When a schedule fired last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_fired: Option<Timestamp>,
    /// Whether labels of the last window were mostly missing.
    #[serde(default)]
    pub unlabelled: bool,
    /// When the last repair ended.
    pub last_repair: Option<Timestamp>,
    /// When trainings began: what the limit is held against.
    pub trainings: Vec<Timestamp>,
    /// Which of the policy's windows comes next.
    pub next_window: usize,
    /// Failures in a row.
    pub failures: u32,
    /// Whether the loop has given up on the model, until it has rested or a person says otherwise.
    pub paused: bool,
    /// Setbacks in a row, and how long it rests.
    #[serde(default, skip_serializing_if = "Breaker::is_fresh")]
    pub breaker: Breaker,
}

/// After how many futile trainings in a row the regret that the next one takes grows no more.
const MOST_DOUBLINGS: u32 = 10;

impl ModelState {
    /// `days` days went by whose loss, with its standard error, cost `excess` reference losses each more than promised, or less.
    /// Regret never falls below zero.
    pub(crate) fn add_regret(&mut self, days: u32, loss: (f64, f64), excess: f64) {
        self.regret = (self.regret + f64::from(days) * excess).max(0.0);
        if self.regret > 0.0 {
            self.regret_days = self.regret_days.saturating_add(days);
            self.streak.add(days, loss);
        } else {
            self.forget_regret();
        }
    }

    /// What was lost so far is settled.
    pub(crate) fn forget_regret(&mut self) {
        (self.regret, self.regret_days, self.streak) = (0.0, 0, Streak::default());
    }

    /// The regret at which a training pays, when a first one pays at `patience`: twice as much after each training in a row that
    /// proved nothing. So whatever the world is like, the trainings that are in vain cost no more than a logarithm of the regret.
    pub fn patience(&self, patience: f64) -> f64 {
        patience * f64::from(1_u32 << self.futile.min(MOST_DOUBLINGS))
    }
}

/// The loss over the days on which regret added up, as one mean: what no single window proves, several may.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Streak {
    days: u32,
    /// Days times loss.
    sum: f64,
    /// Squared days times squared standard error: windows err apart from each other.
    variance: f64,
}

impl Streak {
    fn add(&mut self, days: u32, (loss, standard_error): (f64, f64)) {
        let weight = f64::from(days);
        self.days = self.days.saturating_add(days);
        self.sum += weight * loss;
        self.variance += (weight * standard_error).powi(2);
    }

    /// The one-sided p-value against "no worse than promised", whose standard error stands beside it; none with too few days.
    pub(crate) fn p_worse_than(&self, promised: (f64, f64)) -> Option<f64> {
        let days = f64::from(self.days.max(1));
        p_above_reference((self.sum / days, self.variance.sqrt() / days), self.days.into(), promised)
    }
}

/// What is known of a version.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// Its loss on rows withheld from training: what it promises.
    pub promised: Option<f64>,
    /// The standard error of that.
    pub promised_error: f64,
    /// When it was registered; none of a version from before this was kept.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// What the gates said; none before they did.
    pub passed: Option<bool>,
    /// Whether traffic was taken back from it; only a person gives it some again.
    #[serde(default)]
    pub withdrawn: bool,
    /// The version that it is once more, trained on the withheld rows too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refit_of: Option<Version>,
    /// Whether such a version of it has taken its place.
    #[serde(default)]
    pub superseded: bool,
}

impl Known {
    /// Whether the loop may bring it back.
    pub fn may_serve(&self) -> bool {
        self.passed == Some(true) && !self.withdrawn && !self.superseded
    }
}

/// What is under way for a model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Repair {
    /// Versions are being scored on recent rows.
    Comparing {
        /// The champion's loss less what it promised, when the comparison was asked for.
        excess: f64,
        /// Whether the loss has cost enough to pay for a training.
        due: bool,
    },
    /// A version is being trained.
    Training {
        /// On which window.
        window: Window,
    },
    /// The champion's answers are being put right by recent labels.
    Recalibrating {
        /// The champion.
        version: Version,
    },
    /// A version that passed its gates is trained once more, on the rows that were withheld from it too.
    Refitting {
        /// Which.
        version: Version,
    },
    /// A version stands before its gates.
    Judging {
        /// Which.
        version: Version,
    },
    /// A version that passed its gates waits until it is not quiet.
    Waiting {
        /// Which.
        version: Version,
    },
    /// A version takes traffic step by step.
    RollingOut {
        /// Which.
        version: Version,
        /// At which of the policy's steps it is.
        step: u32,
        /// The entry that began it: names its steps.
        since: u64,
        /// When the step began, in event time.
        #[serde(default)]
        begun: Timestamp,
    },
    /// A bandit learns which of several versions is best.
    Exploring {
        /// The one that was to be rolled out.
        version: Version,
        /// The round that comes next, counted from 0.
        round: u32,
        /// The entry that began it: names its rounds.
        since: u64,
        /// When it began, in event time.
        begun: Timestamp,
        /// When the shares were last made, in event time.
        weighed: Timestamp,
    },
}
