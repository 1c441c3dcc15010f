//! Which settings the history speaks for, and how loudly.
//!
//! The controller is replayed under a few variants of what may be set in `gyre.yaml`: each training window alone, all of them,
//! with and without recall; what is set, but for `refit`; and no repair at all. The best of several looks better than it is,
//! so a variant is advised only when it is cheaper than what is set in the first half of the history *and* in the second.

use gyre_core::spec::Window;
use serde::Serialize;

use crate::cost::{Prices, Schedule};
use crate::error::BacktestError;
use crate::known::{Losses, Otherwise};
use crate::outcome::first;
use crate::policies::{Policy, judgeable, replay};
use crate::settings::Settings;

/// What is advised.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Advice {
    /// The variants, the one that is set first.
    pub variants: Vec<Variant>,
    /// Which of them is advised.
    pub advised: usize,
    /// Gates that history cannot judge; they counted as passed.
    pub unjudged_gates: Vec<String>,
}

/// A way to set the controller.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Variant {
    /// As `gyre.yaml` has it.
    pub yaml: String,
    /// What it would have cost.
    pub total_cost: f64,
    /// What it would have cost in each half of the decisions.
    pub halves: (f64, f64),
    /// Trainings.
    pub retrains: u32,
    /// Whether what served was trained once more, on the withheld rows too.
    pub refit: bool,
}

impl Advice {
    /// In words.
    pub fn sentences(&self) -> Vec<String> {
        let (Some(set), Some(advised)) = (self.variants.first(), self.variants.get(self.advised)) else {
            return Vec::new();
        };
        if self.advised == 0 {
            let tried = self.variants.len() - 1;
            let stand = format!(
                "The settings stand: none of {tried} others was cheaper in both halves of the history ({:.1} in all).",
                set.total_cost
            );
            return std::iter::once(stand).chain(self.refit()).collect();
        }
        let changed = vec![
            format!("Advised for gyre.yaml:  {}", advised.yaml),
            format!(
                "It would have cost {:.1} instead of {:.1}: {:.1} instead of {:.1} in the first half, {:.1} instead of {:.1} in the \
                 second; {} trainings instead of {}.",
                advised.total_cost,
                set.total_cost,
                advised.halves.0,
                set.halves.0,
                advised.halves.1,
                set.halves.1,
                advised.retrains,
                set.retrains
            ),
        ];
        changed.into_iter().chain(self.refit()).collect()
    }

    /// What the other value of `retrain.refit` would have changed; nothing when that is what is advised.
    fn refit(&self) -> Option<String> {
        let set = self.variants.first()?;
        let at = self.variants.iter().position(|variant| variant.refit != set.refit)?;
        let other = self.variants.get(at).filter(|_| at != self.advised)?;
        let (refit, total) = (set.refit, set.total_cost);
        let model = if refit {
            "was trained once more on the withheld rows too"
        } else {
            "had not learnt from withheld rows"
        };
        Some(format!(
            "What served {model} (refit: {refit}). With refit: {} it would have cost {:.1} instead of {total:.1}: {:.1} instead of \
             {:.1} in the first half, {:.1} instead of {:.1} in the second.",
            other.refit, other.total_cost, other.halves.0, set.halves.0, other.halves.1, set.halves.1
        ))
    }
}

/// Replays the variants.
///
/// # Errors
/// As [`crate::outcome::run`].
pub fn advise(losses: &dyn Losses, settings: &Settings) -> Result<Advice, BacktestError> {
    let (fit, promised) = first(losses, settings)?;
    let prices = Prices::new(losses, settings.metric, settings.cost, promised);
    let refits = settings.policy.refit;
    let mut ways: Vec<(bool, Vec<Window>)> = vec![(settings.policy.recall, settings.candidates.clone())];
    for recall in [true, false] {
        ways.push((recall, settings.candidates.clone()));
        ways.extend(settings.candidates.iter().map(|window| (recall, vec![*window])));
    }
    let mut seen: Vec<(bool, Vec<Window>)> = Vec::new();
    ways.retain(|way| {
        let new = !seen.contains(way);
        if new {
            seen.push(way.clone());
        }
        new
    });
    let variant = |losses: &dyn Losses, refit: bool, (recall, windows): (bool, Vec<Window>)| {
        let mut settings = settings.clone();
        settings.policy.recall = recall;
        settings.policy.refit = refit;
        settings.policy.windows.clone_from(&windows);
        let schedule = replay(Policy::Gyre, losses, &settings, &prices, fit, promised);
        let is_set = refit == refits;
        measured(yaml(recall, &windows, (!is_set).then_some(refit)), refit, losses, &prices, &schedule)
    };
    let set = ways.first().cloned();
    let mut variants: Vec<Variant> = ways.into_iter().map(|way| variant(losses, refits, way)).collect();
    // Only beside what is set: each of its models that has not been judged anyway is one more training.
    let otherwise = Otherwise { losses, refit: !refits };
    variants.extend(set.map(|way| variant(&otherwise, !refits, way)));
    let never = Schedule {
        serves: vec![fit; losses.timeline().decisions()],
        trainings: vec![0; losses.timeline().decisions()],
    };
    variants.push(measured("retrain: {when: []}".to_owned(), refits, losses, &prices, &never));
    let set = variants.first().map_or((0.0, 0.0), |set| set.halves);
    let better = |variant: &&(usize, &Variant)| variant.1.halves.0 < set.0 && variant.1.halves.1 < set.1;
    let best = variants.iter().enumerate().collect::<Vec<_>>();
    let best = best.iter().filter(better).min_by(|a, b| a.1.total_cost.total_cmp(&b.1.total_cost));
    let advised = best.map_or(0, |(index, _)| *index);
    let (_, unjudged_gates) = judgeable(&settings.gates, settings.metric);
    Ok(Advice { variants, advised, unjudged_gates })
}

fn yaml(recall: bool, windows: &[Window], refit: Option<bool>) -> String {
    let window = |window: &Window| match window {
        Window::All => "all".to_owned(),
        Window::Last(_) | Window::Fading(_) => format!("{{window: {window}}}"),
    };
    let candidates: Vec<String> =
        recall.then(|| "recall".to_owned()).into_iter().chain(windows.iter().map(window)).collect();
    let refit = refit.map(|refit| format!(", refit: {refit}")).unwrap_or_default();
    format!("retrain: {{candidates: [{}]{refit}}}", candidates.join(", "))
}

fn measured(yaml: String, refit: bool, losses: &dyn Losses, prices: &Prices, schedule: &Schedule) -> Variant {
    let total_cost = prices.total(losses, schedule);
    let second = prices.from_decision(losses, schedule, schedule.serves.len() / 2);
    Variant { yaml, total_cost, halves: (total_cost - second, second), retrains: schedule.retrains(), refit }
}
