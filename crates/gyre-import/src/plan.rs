//! Which experiment of the source becomes which experiment here. Pure.
//!
//! An experiment keeps its number when that is free here, for people have it in links and scripts; otherwise it gets a new
//! one, beyond all that are in use on either side. Experiment 0, which every store is born with, is merged. A name that
//! another experiment bears here is a clash: nothing is imported then, for two experiments under one name would be mixed.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::ImportError;
use crate::record::SourceExperiment;

/// What becomes of an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It comes under its own number.
    Kept,
    /// It comes under another number.
    Renumbered,
    /// It is joined to the experiment 0 that is here.
    Merged,
    /// It came with an earlier import of the same source.
    Here,
}

/// Which experiment becomes which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mapping {
    /// The source's id.
    pub source_id: String,
    /// The number here.
    pub experiment: i64,
    /// The name here.
    pub name: String,
    /// What becomes of it.
    pub fate: Fate,
}

/// What is here already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Here {
    /// Experiments, by number.
    pub experiments: BTreeMap<i64, String>,
    /// What an earlier import of the same source made of its experiments: source id to number.
    pub before: BTreeMap<String, i64>,
}

/// Says what becomes of each experiment; names get `prefix`.
///
/// # Errors
/// [`ImportError::Clash`] with every name that is taken.
pub fn plan(found: &[SourceExperiment], here: &Here, prefix: &str) -> Result<Vec<Mapping>, ImportError> {
    let mut taken: BTreeSet<i64> = here.experiments.keys().copied().collect();
    let theirs = found.iter().map(|found| found.experiment.id);
    let mut next = taken.iter().copied().chain(theirs).max().unwrap_or(0).max(0).saturating_add(1);
    let names: BTreeMap<&str, i64> =
        here.experiments.iter().map(|(number, name)| (name.as_str(), *number)).collect();
    let (mut plan, mut clashes) = (Vec::new(), Vec::new());
    let mut came: BTreeMap<&str, &str> = BTreeMap::new();
    for source in found {
        let name = format!("{prefix}{}", source.experiment.name);
        let number = source.experiment.id;
        if let Some(other) = came.insert(&source.experiment.name, &source.id) {
            clashes.push(format!(
                "experiments {other} and {} of the source are both called `{name}`",
                source.id
            ));
            continue;
        }
        let mapping =
            |experiment, fate| Mapping { source_id: source.id.clone(), experiment, name: name.clone(), fate };
        if let Some(before) = here.before.get(&source.id) {
            plan.push(mapping(*before, Fate::Here));
            continue;
        }
        let merged = number == 0 && prefix.is_empty() && here.experiments.contains_key(&0);
        match names.get(name.as_str()) {
            Some(holder) if !(merged && *holder == 0) => {
                clashes.push(format!(
                    "the name of experiment {} `{name}` is that of experiment {holder} here",
                    source.id
                ));
                continue;
            }
            _ => {}
        }
        if merged {
            let name = here.experiments.get(&0).cloned().unwrap_or_default();
            plan.push(Mapping { name, ..mapping(0, Fate::Merged) });
        } else if number >= 0 && taken.insert(number) {
            plan.push(mapping(number, Fate::Kept));
        } else {
            taken.insert(next);
            plan.push(mapping(next, Fate::Renumbered));
            next = next.saturating_add(1);
        }
    }
    if clashes.is_empty() { Ok(plan) } else { Err(ImportError::Clash(clashes)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gyre_tracking::experiments::{Experiment, Stage};

    fn found(id: &str, name: &str) -> SourceExperiment {
        let experiment = Experiment {
            id: id.parse().unwrap_or(-1),
            name: name.to_owned(),
            artifact_location: String::new(),
            stage: Stage::Active,
            created: 0,
            updated: 0,
            tags: Vec::new(),
        };
        SourceExperiment { id: id.to_owned(), experiment }
    }

    fn here(experiments: &[(i64, &str)]) -> Here {
        let experiments = experiments.iter().map(|(number, name)| (*number, (*name).to_owned())).collect();
        Here { experiments, before: BTreeMap::new() }
    }

    #[test]
    fn numbers_are_kept_when_they_are_free_and_the_default_experiment_is_merged() {
        let source = [found("0", "Default"), found("1", "a"), found("7", "b"), found("x", "c")];
        let here = here(&[(0, "Default"), (1, "other")]);
        let plan = plan(&source, &here, "").unwrap();
        let told: Vec<_> = plan.iter().map(|m| (m.source_id.as_str(), m.experiment, m.fate)).collect();
        let expected = [
            ("0", 0, Fate::Merged),
            ("1", 8, Fate::Renumbered),
            ("7", 7, Fate::Kept),
            ("x", 9, Fate::Renumbered),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_taken_name_is_a_clash_unless_a_prefix_makes_it_another() {
        let source = [found("0", "Default"), found("3", "a"), found("4", "b")];
        let mut here = here(&[(0, "Default"), (9, "a"), (10, "b")]);
        let told = plan(&source, &here, "").unwrap_err().to_string();
        assert!(told.contains("experiment 3 `a` is that of experiment 9") && told.contains("`b`"), "{told}");
        let with = plan(&source, &here, "old-").unwrap();
        let told: Vec<_> = with.iter().map(|m| (m.experiment, m.name.as_str())).collect();
        assert_eq!(told, [(11, "old-Default"), (3, "old-a"), (4, "old-b")]);
        // What an earlier import brought is no clash.
        here.before = BTreeMap::from([("3".to_owned(), 9), ("4".to_owned(), 10)]);
        let again = plan(&source, &here, "").unwrap();
        assert_eq!(again.iter().filter(|m| m.fate == Fate::Here).count(), 2);
    }
}
