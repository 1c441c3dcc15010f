//! Predictions of a trial that wait for their labels, in bounded memory.
//!
//! Labels come minutes or weeks after predictions, and nobody knows which. A list of the newest predictions would forget all
//! of them before the first label comes; so a sample is kept that covers the whole rollout: when the ledger is full, the
//! share of units that it keeps is halved, and those that no longer belong to the sample are dropped (adaptive sampling,
//! Wegman; Flajolet, "On adaptive sampling", Computing 43, 1990). Which units are kept follows from a hash of the unit alone
//! (another one than deals it to a version), so that the sample says the same of both arms.
//!
//! A *unit* is what chance has dealt to an arm: the key of a request where there is one, otherwise the row's id. Only a unit's
//! first prediction counts, for the same deal is the same event however often it is asked.

use std::collections::{HashMap, HashSet};

use gyre_core::record::Value;
use gyre_stats::sequential::Arm;
use twox_hash::XxHash3_64;

/// Units that are kept at most.
const MOST_UNITS: usize = 65_536;

/// Probabilities that are kept at most, over all predictions that wait.
const MOST_SCORES: usize = 1 << 20;

/// Seeds the hash that chooses the sample.
const SEED: u64 = 0x6c65_6467_6572_0001;

/// A prediction that waits for its label.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Waiting {
    pub(crate) arm: Arm,
    /// The candidate's share of the trial's traffic when it was dealt, 0 to 1.
    pub(crate) weight: f64,
    /// The step of the rollout.
    pub(crate) step: u32,
    pub(crate) output: Value,
    pub(crate) scores: Box<[f64]>,
}

/// The predictions of a trial that wait for their labels.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Hashes of the units that were met; they stay when their label has come.
    units: HashSet<u64>,
    /// By the hash of the id that the label will name.
    waiting: HashMap<u64, (u64, Waiting)>,
    scores: usize,
    /// Units whose hash is at most this are kept.
    upto: u64,
    most_units: usize,
}

impl Default for Ledger {
    fn default() -> Self {
        Self::holding(MOST_UNITS)
    }
}

fn hash(text: &str) -> u64 {
    XxHash3_64::oneshot_with_seed(SEED, text.as_bytes())
}

impl Ledger {
    fn holding(most_units: usize) -> Self {
        Self { units: HashSet::new(), waiting: HashMap::new(), scores: 0, upto: u64::MAX, most_units }
    }

    /// Whether this is the first prediction of a unit that belongs to the sample.
    pub(crate) fn meets(&mut self, unit: &str) -> bool {
        let unit = hash(unit);
        if unit > self.upto || !self.units.insert(unit) {
            return false;
        }
        while self.units.len() > self.most_units || self.scores > MOST_SCORES {
            self.halve();
        }
        unit <= self.upto
    }

    /// Has a prediction of a unit that was just met wait for the label of `id`.
    pub(crate) fn wait(&mut self, unit: &str, id: &str, prediction: Waiting) {
        self.scores += prediction.scores.len();
        if let Some((_, before)) = self.waiting.insert(hash(id), (hash(unit), prediction)) {
            self.scores -= before.scores.len();
        }
    }

    /// The prediction that waits for the label of `id`; it waits no more.
    pub(crate) fn take(&mut self, id: &str) -> Option<Waiting> {
        let (_, found) = self.waiting.remove(&hash(id))?;
        self.scores -= found.scores.len();
        Some(found)
    }

    fn halve(&mut self) {
        self.upto /= 2;
        let upto = self.upto;
        self.units.retain(|unit| *unit <= upto);
        self.waiting.retain(|_, (unit, _)| *unit <= upto);
        self.scores = self.waiting.values().map(|(_, prediction)| prediction.scores.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prediction(scores: usize) -> Waiting {
        let scores = vec![0.5; scores].into();
        Waiting { arm: Arm::Champion, weight: 0.5, step: 0, output: Value::Number(1.0), scores }
    }

    #[test]
    fn a_unit_counts_once_and_a_label_too() {
        let mut ledger = Ledger::default();
        assert!(ledger.meets("ada") && !ledger.meets("ada"));
        ledger.wait("ada", "order-1", prediction(2));
        assert_eq!(ledger.take("order-2"), None);
        assert_eq!(ledger.take("order-1"), Some(prediction(2)));
        assert_eq!((ledger.take("order-1"), ledger.scores), (None, 0));
        assert!(!ledger.meets("ada"), "also when its label has come");
    }

    #[test]
    fn memory_is_bounded_and_the_sample_covers_all_of_the_time() {
        let mut ledger = Ledger::holding(1_000);
        let ids: Vec<String> = (0..40_000).map(|at| format!("id-{at}")).collect();
        for id in &ids {
            if ledger.meets(id) {
                ledger.wait(id, id, prediction(0));
            }
            assert!(ledger.units.len() <= 1_000 && ledger.waiting.len() <= 1_000);
        }
        let mut kept = |ids: &[String]| ids.iter().filter(|id| ledger.take(id).is_some()).count();
        let (early, late) = (kept(&ids[..20_000]), kept(&ids[20_000..]));
        assert!(early + late > 400, "{early} {late}");
        assert!((early as f64 / (early + late) as f64 - 0.5).abs() < 0.1, "{early} {late}");
    }

    #[test]
    fn many_classes_do_not_fill_the_memory() {
        let mut ledger = Ledger::default();
        for at in 0..4_000 {
            let id = at.to_string();
            if ledger.meets(&id) {
                ledger.wait(&id, &id, prediction(1_000));
            }
        }
        assert!(ledger.scores <= MOST_SCORES + 1_000, "{}", ledger.scores);
    }
}
