//! From a data version to what it influenced.

use std::collections::BTreeMap;

use gyre_core::fact::{DataVersion, ModelVersion};
use gyre_core::{Entry, Fact, ModelName, Version};
use gyre_store::{Tx, journal};
use serde::{Deserialize, Serialize};

use super::back::{LONGEST_CHAIN, data};
use super::describe;
use super::service::{Served, Service, service};
use super::tree::{Node, NodeKind, Tree};
use super::{LineageError, Ref};

/// What a data version went into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Influence {
    /// The data version, what was cut from it, the runs on either, the versions they made, and when those served.
    pub tree: Tree,
    /// The same versions with their times, for counting predictions in the inference log.
    pub service: Vec<Service>,
}

/// What came of the data version whose SHA-256 or MD5 begins with `prefix`.
///
/// # Errors
/// As [`back`](super::back).
pub fn forward(tx: &mut Tx<'_>, prefix: &str) -> Result<Influence, LineageError> {
    let start = data(tx, prefix)?;
    let mut known = Known {
        data: journal::of_kind(tx, "data_recorded", None)?,
        runs: journal::of_kind(tx, "run_finished", None)?,
        versions: journal::of_kind(tx, "version_registered", None)?,
        service: BTreeMap::new(),
    };
    known.runs.extend(journal::of_kind(tx, "run_failed", None)?);
    known.runs.sort_by_key(|entry| entry.seq);
    for entry in &known.versions {
        let Some(model) = entry.fact.model().filter(|model| !known.service.contains_key(*model)) else {
            continue;
        };
        known.service.insert(model.clone(), service(tx, model)?);
    }
    let mut found = Vec::new();
    let tree = known.of_data(&start, &mut found, 0);
    found.sort_by(|a: &Service, b| (&a.model, a.version).cmp(&(&b.model, b.version)));
    found.dedup();
    Ok(Influence { tree, service: found })
}

/// The journal's facts that influence flows through.
struct Known {
    data: Vec<Entry>,
    runs: Vec<Entry>,
    versions: Vec<Entry>,
    service: BTreeMap<ModelName, BTreeMap<Version, Vec<Served>>>,
}

impl Known {
    fn of_data(&self, entry: &Entry, found: &mut Vec<Service>, depth: usize) -> Tree {
        let mut tree = Tree::new(describe::node(entry));
        let Fact::DataRecorded(data) = &entry.fact else { return tree };
        let is_part = |of: &DataVersion| of.cut_from == Some(data.digest) && of.digest != data.digest;
        for cut in self.data.iter().filter(|_| depth < LONGEST_CHAIN) {
            // A part is recorded after the whole, which keeps this from going round in circles.
            if cut.seq > entry.seq && matches!(&cut.fact, Fact::DataRecorded(of) if is_part(of)) {
                tree.children.push(self.of_data(cut, found, depth + 1).related("cut into"));
            }
        }
        for run in &self.runs {
            let (id, on) = match &run.fact {
                Fact::RunFinished(run) => (&run.run, Some(run.data)),
                Fact::RunFailed { run, data, .. } => (run, *data),
                _ => continue,
            };
            if on == Some(data.digest) {
                let mut of_run = Tree::new(describe::node(run)).related("trained");
                of_run.children = self.versions_of(|version| version.run.as_ref() == Some(id), found);
                tree.children.push(of_run);
            }
        }
        // Versions from elsewhere name their data without a run here.
        let without_run = |version: &ModelVersion| {
            let has_run = self.runs.iter().any(
                |entry| matches!(&entry.fact, Fact::RunFinished(run) if version.run.as_ref() == Some(&run.run) && run.data == data.digest),
            );
            version.data == Some(data.digest) && !has_run
        };
        tree.children.extend(self.versions_of(without_run, found));
        tree
    }

    fn versions_of(&self, is_it: impl Fn(&ModelVersion) -> bool, found: &mut Vec<Service>) -> Vec<Tree> {
        let mut trees = Vec::new();
        for entry in &self.versions {
            let Fact::VersionRegistered(version) = &entry.fact else { continue };
            if !is_it(version) {
                continue;
            }
            let mut tree = Tree::new(describe::node(entry)).related("made");
            let times = self.service.get(&version.model).and_then(|of| of.get(&version.version));
            let served = times.cloned().unwrap_or_default();
            let reference = Ref::Version(version.model.clone(), version.version).to_string();
            tree.children = served.iter().map(|time| in_service(&reference, time)).collect();
            found.push(Service { model: version.model.clone(), version: version.version, served });
            trees.push(tree);
        }
        trees
    }
}

fn in_service(reference: &str, time: &Served) -> Tree {
    let text = match time.to {
        Some(to) => format!("{} to {to}", time.from),
        None => format!("{} until now", time.from),
    };
    let reference = reference.to_owned();
    let node = Node { kind: NodeKind::Rollout, reference, entry: None, at: None, text };
    Tree::new(node).related("served")
}
