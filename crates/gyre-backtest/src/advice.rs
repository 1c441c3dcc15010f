//! Which settings the history speaks for, and how loudly.
//!
//! The controller is replayed under a few variants of what may be set in `gyre.yaml`: each training window alone, all of them,
//! with and without recall, and no repair at all. The best of several looks better than it is, so a variant is advised only when
//! it is cheaper than what is set in the first half of the history *and* in the second.

use gyre_core::spec::Window;
use serde::Serialize;

use crate::cost::{Prices, Schedule};
use crate::error::BacktestError;
use crate::known::Losses;
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
}

impl Advice {
    /// In words.
    pub fn sentences(&self) -> Vec<String> {
        let (Some(set), Some(advised)) = (self.variants.first(), self.variants.get(self.advised)) else {
            return Vec::new();
        };
        if self.advised == 0 {
            let tried = self.variants.len() - 1;
            return vec![format!(
                "The settings stand: none of {tried} others was cheaper in both halves of the history ({:.1} in all).",
                set.total_cost
            )];
        }
        vec![
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
        ]
    }
}

/// Replays the variants.
///
/// # Errors
/// As [`crate::outcome::run`].
pub fn advise(losses: &dyn Losses, settings: &Settings) -> Result<Advice, BacktestError> {
    let (fit, promised) = first(losses, settings)?;
    let prices = Prices::new(losses, settings.metric, settings.cost, promised);
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
    let variant = |(recall, windows): (bool, Vec<Window>)| {
        let yaml = yaml(recall, &windows);
        let mut settings = settings.clone();
        settings.policy.recall = recall;
        settings.policy.windows = windows;
        let schedule = replay(Policy::Gyre, losses, &settings, &prices, fit, promised);
        measured(yaml, losses, &prices, &schedule)
    };
    let mut variants: Vec<Variant> = ways.into_iter().map(variant).collect();
    let never = Schedule {
        serves: vec![fit; losses.timeline().decisions()],
        trainings: vec![0; losses.timeline().decisions()],
    };
    variants.push(measured("retrain: {when: []}".to_owned(), losses, &prices, &never));
    let set = variants.first().map_or((0.0, 0.0), |set| set.halves);
    let better = |variant: &&(usize, &Variant)| variant.1.halves.0 < set.0 && variant.1.halves.1 < set.1;
    let best = variants.iter().enumerate().collect::<Vec<_>>();
    let best = best.iter().filter(better).min_by(|a, b| a.1.total_cost.total_cmp(&b.1.total_cost));
    let advised = best.map_or(0, |(index, _)| *index);
    let (_, unjudged_gates) = judgeable(&settings.gates, settings.metric);
    Ok(Advice { variants, advised, unjudged_gates })
}

fn yaml(recall: bool, windows: &[Window]) -> String {
    let window = |window: &Window| match window {
        Window::All => "all".to_owned(),
        Window::Last(_) | Window::Fading(_) => format!("{{window: {window}}}"),
    };
    let candidates: Vec<String> =
        recall.then(|| "recall".to_owned()).into_iter().chain(windows.iter().map(window)).collect();
    format!("retrain: {{candidates: [{}]}}", candidates.join(", "))
}

fn measured(yaml: String, losses: &dyn Losses, prices: &Prices, schedule: &Schedule) -> Variant {
    let total_cost = prices.total(losses, schedule);
    let second = prices.from_decision(losses, schedule, schedule.serves.len() / 2);
    Variant { yaml, total_cost, halves: (total_cost - second, second), retrains: schedule.retrains() }
}
