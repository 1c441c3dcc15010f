//! Decay that is expected: what the champion's loss will be, before anybody knows, and what such estimates have been worth.
//!
//! An estimate has an error of its own kind: not only luck, which its standard error tells, but what the method cannot see (a
//! change of how labels follow from inputs, above all). That shows once the labels have come. So each estimate is kept beside what
//! came true, and after a few windows their mean distance widens what the next ones are held to be sure of.

use gyre_core::fact::{Alarm, Fact, LossEstimate, LossForecast};
use gyre_monitor::persistence::{ENOUGH, Persistence, REMEMBERED};
use gyre_stats::estimate::{Expected, Hindsight};
use gyre_stats::performance::p_above_reference;
use serde::{Deserialize, Serialize};

use crate::controller::{Turn, numbers};
use crate::state::Known;
use crate::waiting::{self, Due};

/// From how many windows on the record of the estimates counts.
const ENOUGH_WINDOWS: u64 = 4;
/// The level of the interval that estimates are held against.
const LEVEL: f64 = 0.95;
/// The mean distance of normal errors from 0 is this part of their standard deviation: √(2/π).
const MEAN_DISTANCE: f64 = 0.797_884_560_802_865_4;

/// What is remembered of a model's estimates.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Foresight {
    /// How far off they were.
    record: Hindsight,
    /// The windows of late whose loss was expected to be worse than promised.
    recent: Persistence,
}

impl Foresight {
    /// Takes note of what came true of an estimate.
    pub(crate) fn came_true(&mut self, forecast: &LossForecast, realised: f64) {
        let expected = Expected::of_loss(forecast.loss, forecast.standard_error, 0.0, forecast.rows);
        self.record.push(&expected, realised, LEVEL);
    }

    /// Another version serves: what was expected of the one before says nothing of it.
    pub(crate) fn renew(&mut self) {
        self.recent = Persistence::default();
    }

    /// How far estimates were off.
    pub fn record(&self) -> &Hindsight {
        &self.record
    }

    /// The standard error of an estimate: what it says itself, and what the record of those before it adds.
    pub fn error_of(&self, forecast: &LossForecast) -> f64 {
        let known = self.record.mean_absolute_error().filter(|_| self.record.windows() >= ENOUGH_WINDOWS);
        forecast.standard_error.max(known.unwrap_or(0.0) / MEAN_DISTANCE)
    }
}

impl Turn<'_> {
    /// An estimate of the champion's loss came in.
    pub(crate) fn loss_estimated(&mut self, estimate: &LossEstimate) {
        let known = self.model.versions.get(&estimate.version).copied();
        let (Some(forecast), Some(Known { promised: Some(promised), promised_error, .. })) =
            (estimate.forecast, known)
        else {
            return;
        };
        if self.model.champion != Some(estimate.version) || promised <= 0.0 {
            return;
        }
        let error = self.model.foresight.error_of(&forecast);
        let p = p_above_reference((forecast.loss, error), forecast.rows, (promised, promised_error));
        let Some(p) = p else { return };
        let worse = p < self.policy.significance && forecast.loss / promised - 1.0 > self.policy.tolerance;
        let turned = self.model.foresight.recent.window(worse.then_some(self.policy.metric));
        let told = format!(
            "version {version}: {metric} expected to be {loss:.2}{unit} (\u{b1} {error:.2}, {method}), promised {promised:.2} \
             (p = {p:.3})",
            version = estimate.version,
            metric = self.policy.metric,
            loss = forecast.loss,
            unit = self.unit(),
            method = forecast.method,
        );
        let numbers = numbers([
            ("expected", forecast.loss),
            ("standard_error", error),
            ("promised", promised),
            ("p", p),
        ]);
        if !turned.raised.is_empty() && self.model.alarms.insert(Alarm::DecayExpected) {
            self.follows.facts.push(Fact::AlarmRaised {
                model: self.name.clone(),
                alarm: Alarm::DecayExpected,
                reason: format!("{told}, in {ENOUGH} of the last {REMEMBERED} windows"),
                numbers: numbers.clone(),
            });
        }
        if self.model.foresight.recent.in_alarm().next().is_none()
            && self.model.alarms.remove(&Alarm::DecayExpected)
        {
            self.clear(Alarm::DecayExpected, told.clone());
        }
        if self.policy.on_estimate && !turned.raised.is_empty() {
            match waiting::obstacle(self.policy, self.model, self.now) {
                Some(obstacle) => self.keep(format!("{told}; {obstacle}"), numbers),
                None => self.retrain(Due { since: self.now, reason: told, numbers, by_loss: true }),
            }
        }
    }
}
