//! What is known at a decision: the only window through which a policy sees losses.
//!
//! Everything that will ever be lost under every model lies in one table ([`Losses`]); a policy gets a [`Known`] of it, which
//! answers for slices whose labels had arrived by the decision and for models that could have been trained by then, and for
//! nothing else. That is what makes a backtest a forecast rather than hindsight.

use gyre_core::Timestamp;
use gyre_core::fact::Drift;
use gyre_core::spec::{Metric, Window};
use gyre_core::time::Period;
use gyre_monitor::MeasuredLoss;

use crate::measure::Tally;
use crate::timeline::{Slice, Timeline};

/// A model: trained at a decision, on the rows that one of the training windows reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fit {
    /// The decision as of which it was trained.
    pub at: usize,
    /// Which of the training windows.
    pub choice: usize,
}

/// A model's losses, slice by slice.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct Fitted {
    /// Rows that it was trained on.
    pub rows: u64,
    /// The sum of losses over the rows of each slice whose label was there in time. Scored are the slices after the training
    /// and the withheld ones before it; others hold 0.
    pub seen: Vec<f64>,
    /// The same over rows whose label came late.
    pub late: Vec<f64>,
    /// For each decision, the loss that the rows just before it let expect on the requests just before it, weighted by their
    /// likeness ([`crate::similarity`]); none where there are no rows.
    pub expected: Vec<Option<f64>>,
}

/// Every loss that there is.
pub trait Losses: Sync {
    /// How the time is divided.
    fn timeline(&self) -> &Timeline;
    /// The model's losses; none when nothing could be trained there.
    fn fitted(&self, fit: Fit) -> Option<&Fitted>;
    /// The losses of the model that serves: trained once more on the withheld rows too (`retrain.refit`), or the same one. Of
    /// slices before its training it says nothing.
    fn served(&self, fit: Fit) -> Option<&Fitted> {
        self.fitted(fit)
    }
    /// The losses of the model trained once more on the withheld rows too, whether or not that is what serves.
    fn refitted(&self, fit: Fit) -> Option<&Fitted> {
        self.served(fit)
    }
    /// Why nothing could be trained, in the trainer's words, if there are any.
    fn why_none(&self, _: Fit) -> Option<&str> {
        None
    }
    /// How the features of a window differ from those that the model was trained on.
    fn drift(&self, fit: Fit, window: usize) -> Vec<Drift>;
}

/// The same models, but what serves is what `retrain.refit` is not set to.
pub(crate) struct Otherwise<'a> {
    pub(crate) losses: &'a dyn Losses,
    /// Whether what serves is trained once more.
    pub(crate) refit: bool,
}

impl Losses for Otherwise<'_> {
    fn timeline(&self) -> &Timeline {
        self.losses.timeline()
    }

    fn fitted(&self, fit: Fit) -> Option<&Fitted> {
        self.losses.fitted(fit)
    }

    fn served(&self, fit: Fit) -> Option<&Fitted> {
        if self.refit { self.losses.refitted(fit) } else { self.losses.fitted(fit) }
    }

    fn refitted(&self, fit: Fit) -> Option<&Fitted> {
        self.losses.refitted(fit)
    }

    fn drift(&self, fit: Fit, window: usize) -> Vec<Drift> {
        self.losses.drift(fit, window)
    }
}

/// What is known at one decision.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    losses: &'a dyn Losses,
    now: usize,
    metric: Metric,
}

impl<'a> Known<'a> {
    /// What is known at decision `now`.
    pub fn at(losses: &'a dyn Losses, now: usize, metric: Metric) -> Self {
        Self { losses, now, metric }
    }

    /// Which decision it is; the first training is 0.
    pub fn now(&self) -> usize {
        self.now
    }

    /// When it is.
    pub fn moment(&self) -> Timestamp {
        self.losses.timeline().moment(self.now)
    }

    /// What is measured.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// The slices whose labels are there.
    pub fn slices(&self) -> impl Iterator<Item = (usize, &'a Slice)> {
        let now = self.now;
        self.losses.timeline().slices.iter().enumerate().filter(move |(_, slice)| slice.visible <= now)
    }

    /// The window that has just closed; none at the first training.
    pub fn window(&self) -> Option<usize> {
        self.now.checked_sub(1)
    }

    /// Whether `fit` could have been trained to serve by now, and from enough rows.
    pub fn exists(&self, fit: Fit) -> bool {
        self.served(fit).is_some()
    }

    /// Whether `fit` could have been trained without the withheld rows, on which it is judged.
    pub fn can_be_judged(&self, fit: Fit) -> bool {
        self.fitted(fit).is_some()
    }

    fn fitted(&self, fit: Fit) -> Option<&'a Fitted> {
        (fit.at <= self.now).then(|| self.losses.fitted(fit)).flatten()
    }

    fn served(&self, fit: Fit) -> Option<&'a Fitted> {
        (fit.at <= self.now).then(|| self.losses.served(fit)).flatten()
    }

    /// The losses of `fit`, which has not learnt from withheld rows, on the slices of which `keep` says so, as far as their labels
    /// are there.
    pub fn tally(&self, fit: Fit, keep: impl Fn(usize, &Slice) -> bool) -> Tally {
        self.tally_of(self.fitted(fit), keep)
    }

    /// The same of `fit` as it serves; the slices must come after its training.
    pub fn tally_served(&self, fit: Fit, keep: impl Fn(usize, &Slice) -> bool) -> Tally {
        self.tally_of(self.served(fit), keep)
    }

    fn tally_of(&self, fitted: Option<&Fitted>, keep: impl Fn(usize, &Slice) -> bool) -> Tally {
        let mut tally = Tally::default();
        let Some(fitted) = fitted else { return tally };
        for (index, slice) in self.slices().filter(|(index, slice)| keep(*index, slice)) {
            tally.add(slice.day, slice.seen, fitted.seen.get(index).copied().unwrap_or(f64::NAN));
        }
        tally
    }

    /// The loss that the latest labelled rows let expect of `fit` as it serves on the latest requests, as of decision `at`, which
    /// must not be in the future.
    pub fn expected(&self, fit: Fit, at: usize) -> Option<f64> {
        let known = at <= self.now && fit.at <= at;
        known.then(|| self.served(fit)?.expected.get(at).copied().flatten()).flatten()
    }

    /// What `fit` promised when it was trained on `window`: its loss on the withheld rows of that window, as far as their labels
    /// were there.
    pub fn promise(&self, fit: Fit, window: Option<Window>) -> Option<MeasuredLoss> {
        let trained = self.losses.timeline().moment(fit.at);
        let reach = window.and_then(|window| window.since(trained));
        let withheld = |_: usize, slice: &Slice| {
            slice.withheld && slice.visible <= fit.at && reach.is_none_or(|reach| slice.from >= reach)
        };
        self.tally(fit, withheld).measure(self.metric)
    }

    /// Window `window`, when it has closed.
    pub fn period(&self, window: usize) -> Option<Period> {
        self.losses.timeline().windows.get(window).copied().filter(|_| window < self.now)
    }

    /// How many days the window has that has just closed.
    pub fn window_days(&self) -> f64 {
        let period = self.window().and_then(|window| self.period(window));
        period.map_or(0.0, |period| period.to.since(period.from).as_days())
    }

    /// Which features of the window that has just closed differ from those that `fit` was trained on.
    pub fn drift(&self, fit: Fit) -> Vec<Drift> {
        match self.window() {
            Some(window) if fit.at <= self.now => self.losses.drift(fit, window),
            _ => Vec::new(),
        }
    }
}
