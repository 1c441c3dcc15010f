//! What the options of a decision are expected to cost, in numbers.
//!
//! All of it in the currency of the policy, days of the reference loss. What is unknown is how long the present state would go on.
//! The ski-rental rule that the policy follows answers: as long as it has lasted. So the horizon is the days over which the regret
//! (or the cost of age, where that is the larger one) has added up, at least those of the window, and keeping the champion is
//! expected to cost as much again as it has cost so far. A training costs its price, and the risk that it is in vain: the price
//! times the doublings that trainings in vain have earned. It mends what keeping costs. A recall costs no training; it leaves what
//! it does not gain, with the risk that its gain is luck (the expected loss of choosing by an uncertain difference, Raiffa &
//! Schlaifer 1961, of a normal one).
//!
//! A training is cheaper than keeping exactly when the regret has reached the patience, so these numbers and the rule in force say
//! the same; what they do not show is that a loss must be worse *beyond luck* to be acted on, and a recall better.

use gyre_core::Version;
use gyre_core::fact::{Numbers, Score};
use gyre_stats::performance::expected_shortfall;

use crate::policy::Policy;
use crate::state::ModelState;

/// The options of one decision with what each is expected to cost, in days of the reference loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Costs {
    /// For how long it is reckoned, in days.
    pub horizon: f64,
    /// Leaving everything as it is.
    pub keep: f64,
    /// Training; none when no window may be trained on.
    pub retrain: Option<Training>,
    /// Bringing the best other version back; none where there is none, or it was not compared.
    pub recall: Option<Recall>,
}

/// What a training is expected to cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Training {
    /// The trainings themselves.
    pub price: f64,
    /// That they are in vain.
    pub risk: f64,
}

/// What a recall is expected to cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recall {
    /// Of which version.
    pub version: Version,
    /// What it leaves of the cost of keeping; negative when it is better than promised.
    pub left: f64,
    /// That its gain is luck; none when the difference has no interval.
    pub risk: Option<f64>,
}

impl Costs {
    /// What keeping and training are expected to cost after a window that covers `days` days.
    pub fn of(policy: &Policy, model: &ModelState, days: f64) -> Self {
        let age = model.worth.spent();
        let (keep, lasted) = if age > model.regret {
            (age, model.worth.days())
        } else {
            (model.regret, f64::from(model.regret_days))
        };
        let retrain = (!policy.windows.is_empty() && policy.patience.is_finite()).then(|| {
            let price = policy.patience;
            Training { price, risk: model.patience(price) - price }
        });
        Self { horizon: lasted.max(days), keep, retrain, recall: None }
    }

    /// The same with the best of `others`, of which one day's gain counts `reference` as one day.
    #[must_use]
    pub fn with_best_of(mut self, others: &[&Score], reference: f64) -> Self {
        let best = others.iter().max_by(|a, b| a.gain.total_cmp(&b.gain));
        self.recall = best.filter(|best| best.gain.is_finite() && reference > 0.0).map(|best| {
            let of = |gain: f64| self.horizon * gain / reference;
            Recall {
                version: best.version,
                left: self.keep - of(best.gain),
                risk: best.interval.and_then(|it| expected_shortfall(best.gain, it, best.days)).map(of),
            }
        });
        self
    }

    /// Under the names that stay: `horizon_days`, `cost_keep`, `cost_retrain` with `risk_retrain` in it, `cost_recall` with
    /// `risk_recall` in it, `recall_version`.
    pub fn add_to(&self, numbers: &mut Numbers) {
        let training =
            self.retrain.map(|it| [("cost_retrain", it.price + it.risk), ("risk_retrain", it.risk)]);
        let recall = self.recall.map(|it| {
            let risk = it.risk.unwrap_or_default();
            [("recall_version", it.version as f64), ("cost_recall", it.left + risk)]
        });
        let risk = self.recall.and_then(|it| it.risk).map(|risk| ("risk_recall", risk));
        let named = [("horizon_days", self.horizon), ("cost_keep", self.keep)].into_iter();
        let named =
            named.chain(training.into_iter().flatten()).chain(recall.into_iter().flatten()).chain(risk);
        numbers.extend(
            named.filter(|(_, value)| value.is_finite()).map(|(name, value)| (name.to_owned(), value)),
        );
    }

    /// In words.
    pub fn told(&self) -> String {
        let mut told = format!("expected over {:.0} days: keep {:.1}", self.horizon, self.keep);
        if let Some(recall) = self.recall {
            told +=
                &format!(", recall {} {:.1}", recall.version, recall.left + recall.risk.unwrap_or_default());
        }
        if let Some(training) = self.retrain {
            told += &format!(", retrain {:.1}", training.price + training.risk);
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gyre_core::spec::Window;

    fn policy() -> Policy {
        Policy { windows: vec![Window::All], patience: 3.0, ..Policy::undeclared() }
    }

    fn score(version: Version, gain: f64, half: Option<f64>) -> Score {
        let interval = half.map(|half| (gain - half, gain + half));
        Score { version, rows: 100, days: 7, loss: 10.0, gain, interval, p: None }
    }

    #[test]
    fn a_training_is_the_cheapest_exactly_when_the_regret_has_reached_the_patience() {
        for futile in 0..4 {
            for regret in [0.0, 2.9, 3.0, 5.9, 6.0, 23.9, 24.0] {
                let model = ModelState { regret, futile, regret_days: 14, ..ModelState::default() };
                let costs = Costs::of(&policy(), &model, 7.0);
                let training = costs.retrain.unwrap();
                let pays = costs.keep >= training.price + training.risk;
                assert_eq!(pays, regret >= model.patience(3.0), "{costs:?}");
            }
        }
    }

    #[test]
    fn a_recall_is_charged_with_what_it_leaves_and_with_the_chance_that_it_is_luck() {
        let model = ModelState { regret: 7.0, regret_days: 14, ..ModelState::default() };
        let costs = Costs::of(&policy(), &model, 7.0);
        let (sure, unsure) = (score(2, 4.0, Some(0.1)), score(3, 3.0, None));
        let costs = costs.with_best_of(&[&unsure, &sure], 10.0);
        let mut numbers = Numbers::new();
        costs.add_to(&mut numbers);
        // 14 days of 4 of a reference of 10 less.
        assert!((numbers["cost_recall"] - (7.0 - 14.0 * 0.4)).abs() < 1e-6, "{numbers:?}");
        assert_eq!((numbers["recall_version"], numbers["horizon_days"]), (2.0, 14.0));
        assert!(costs.told().contains("keep 7.0, recall 2 1.4, retrain 3.0"), "{}", costs.told());
        // A gain of nothing with an error of 1 (in reference losses 0.1) is expected to lose 0.1 / √(2π) a day; 2.4469 is the
        // bound of Student's t for seven days.
        let level = Costs::of(&policy(), &model, 7.0).with_best_of(&[&score(2, 0.0, Some(2.446_912))], 10.0);
        assert!((level.recall.unwrap().risk.unwrap() - 14.0 * 0.1 * 0.398_942_28).abs() < 1e-6);
    }

    #[test]
    fn what_is_no_option_has_no_cost() {
        let mut numbers = Numbers::new();
        Costs::of(&Policy::undeclared(), &ModelState::default(), 7.0).add_to(&mut numbers);
        assert_eq!(numbers.keys().collect::<Vec<_>>(), ["cost_keep", "horizon_days"]);
    }
}
