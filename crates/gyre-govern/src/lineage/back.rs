//! From a thing back to what it was made from, and to the decisions that put it where it is.

use gyre_core::fact::Decision;
use gyre_core::record::Route;
use gyre_core::{Digest, Entry, Fact, ModelName, Timestamp, Version};
use gyre_store::{StoreError, Tx, journal};

use super::describe;
use super::tree::{Node, NodeKind, Tree};
use super::{LineageError, Ref};

/// The longest chain of causes that is followed.
pub(super) const LONGEST_CHAIN: usize = 64;

/// What the inference log knows of a prediction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Who answered.
    pub version: Version,
    /// When, in event time.
    pub at: Timestamp,
    /// Why it was asked.
    pub route: Route,
    /// The closed segment that holds it, once there is one.
    pub segment: Option<String>,
}

/// What `reference` was made from. For a prediction, `answered` is what the inference log knows of it; `None` when it is
/// not there.
///
/// # Errors
/// [`LineageError::Unknown`] when it does not exist, [`LineageError::Ambiguous`] for a digest's beginning that fits
/// several data versions.
pub fn back(tx: &mut Tx<'_>, reference: &Ref, answered: Option<&Answered>) -> Result<Tree, LineageError> {
    match reference {
        Ref::Prediction(model, id) => {
            let answered = answered.ok_or_else(|| LineageError::Unknown {
                what: "prediction",
                name: reference.to_string(),
                hint: format!(": the inference log of `{model}` does not hold that id"),
            })?;
            prediction(tx, model, id, answered)
        }
        Ref::Version(model, version) => {
            let mut tree = of_version(tx, model, *version)?;
            tree.children.extend(in_service(tx, model, *version, None)?);
            Ok(tree)
        }
        Ref::Run(id) => of_run(tx, id),
        Ref::Data(prefix) => {
            let entry = data(tx, prefix)?;
            of_data(tx, &entry, 0)
        }
        Ref::Entry(seq) => {
            let entry = journal::get(tx, *seq)?;
            match &entry.fact {
                Fact::DataRecorded(_) => of_data(tx, &entry, 0),
                Fact::VersionRegistered(of) => of_version(tx, &of.model.clone(), of.version),
                Fact::RunFinished(run) => of_run(tx, &run.run.clone()),
                _ => chain(tx, &entry, 0),
            }
        }
    }
}

fn prediction(
    tx: &mut Tx<'_>,
    model: &ModelName,
    id: &str,
    answered: &Answered,
) -> Result<Tree, LineageError> {
    let reference = Ref::Prediction(model.clone(), id.to_owned()).to_string();
    let text = format!("prediction {id} of `{model}`");
    let node = Node { kind: NodeKind::Prediction, reference, entry: None, at: Some(answered.at), text };
    let mut tree = Tree::new(node);
    if let Some(name) = &answered.segment {
        let segments = journal::of_kind(tx, "segment_closed", Some(model.as_str()))?;
        let holds = |entry: &&Entry| matches!(&entry.fact, Fact::SegmentClosed { name: n, .. } if n == name);
        let segment = segments.iter().find(holds);
        tree.children.extend(segment.map(|entry| Tree::new(describe::node(entry)).related("logged in")));
    }
    tree.children.push(of_version(tx, model, answered.version)?.related("answered by"));
    if answered.route == Route::Pinned {
        tree.node.text.push_str(", asked of this version by name");
    } else {
        tree.children.extend(in_service(tx, model, answered.version, Some(answered.at))?);
    }
    Ok(tree)
}

/// A version with its run and data. The decision that led to its training stands under the run.
fn of_version(tx: &mut Tx<'_>, model: &ModelName, version: Version) -> Result<Tree, LineageError> {
    let registered = journal::of_kind(tx, "version_registered", Some(model.as_str()))?;
    let is_it = |entry: &&Entry| matches!(&entry.fact, Fact::VersionRegistered(of) if of.version == version);
    let Some(entry) = registered.iter().find(is_it) else {
        let newest = registered.iter().filter_map(|entry| match &entry.fact {
            Fact::VersionRegistered(of) => Some(of.version),
            _ => None,
        });
        let hint = match newest.max() {
            Some(newest) => format!(": the newest version of `{model}` is {newest}"),
            None => format!(": `{model}` has no version yet"),
        };
        let name = Ref::Version(model.clone(), version).to_string();
        return Err(LineageError::Unknown { what: "model version", name, hint });
    };
    let mut tree = Tree::new(describe::node(entry));
    if let Fact::VersionRegistered(of) = &entry.fact {
        let run = match of.run.as_deref().map(|run| (run, of_run(tx, run))) {
            Some((run, Err(LineageError::Unknown { .. }))) if !of.is_trained_here() => {
                Some(Tree::new(describe::logged_run(run)))
            }
            // A version may come from elsewhere, without a run here; its data is named all the same.
            None | Some((_, Err(LineageError::Unknown { .. }))) => None,
            Some((_, run)) => Some(run?),
        };
        match (run, &of.data) {
            (Some(run), _) => tree.children.push(run.related("made by")),
            (None, Some(data)) => tree.children.extend(trained_on(tx, data)?),
            (None, None) => {}
        }
    }
    Ok(tree)
}

fn of_run(tx: &mut Tx<'_>, id: &str) -> Result<Tree, LineageError> {
    let mut runs = journal::of_kind(tx, "run_finished", None)?;
    runs.extend(journal::of_kind(tx, "run_failed", None)?);
    let is_it = |entry: &Entry| match &entry.fact {
        Fact::RunFinished(run) => run.run == id,
        Fact::RunFailed { run, .. } => run == id,
        _ => false,
    };
    let Some(entry) = runs.into_iter().find(is_it) else {
        let hint = ": `gyre journal` lists the runs".to_owned();
        return Err(LineageError::Unknown { what: "run", name: id.to_owned(), hint });
    };
    let mut tree = Tree::new(describe::node(&entry));
    match &entry.fact {
        Fact::RunFinished(run) => {
            tree.children.push(Tree::new(describe::code(&run.code)).related("with code"));
            tree.children.extend(trained_on(tx, &run.data)?);
        }
        Fact::RunFailed { data: Some(data), .. } => tree.children.extend(trained_on(tx, data)?),
        _ => {}
    }
    if let Some(before) = led_to(tx, &entry)? {
        tree.children.push(chain(tx, &before, 0)?.related("because"));
    }
    Ok(tree)
}

fn trained_on(tx: &mut Tx<'_>, digest: &Digest) -> Result<Option<Tree>, LineageError> {
    let recorded = journal::of_kind(tx, "data_recorded", None)?;
    let is_it = |entry: &&Entry| matches!(&entry.fact, Fact::DataRecorded(of) if of.digest == *digest);
    match recorded.iter().find(is_it) {
        Some(entry) => Ok(Some(of_data(tx, entry, 0)?.related("trained on"))),
        None => Ok(None),
    }
}

/// The data version whose SHA-256 or MD5 begins with `prefix`.
pub(super) fn data(tx: &mut Tx<'_>, prefix: &str) -> Result<Entry, LineageError> {
    let recorded = journal::of_kind(tx, "data_recorded", None)?;
    let mut found: Vec<(Digest, Entry)> = Vec::new();
    for entry in recorded {
        let Fact::DataRecorded(of) = &entry.fact else { continue };
        let fits = of.digest.to_hex().starts_with(prefix) || of.md5.starts_with(prefix);
        if fits && found.iter().all(|(digest, _)| *digest != of.digest) {
            found.push((of.digest, entry));
        }
    }
    if found.len() > 1 {
        let some: Vec<String> = found.iter().take(4).map(|(digest, _)| digest.short()).collect();
        let (prefix, count) = (prefix.to_owned(), found.len());
        return Err(LineageError::Ambiguous { prefix, count, some: some.join(", ") });
    }
    found.into_iter().next().map(|(_, entry)| entry).ok_or_else(|| LineageError::Unknown {
        what: "data version",
        name: prefix.to_owned(),
        hint: ": the journal holds no data version whose SHA-256 or MD5 begins so".to_owned(),
    })
}

/// A data version with those that it was cut from.
fn of_data(tx: &mut Tx<'_>, entry: &Entry, depth: usize) -> Result<Tree, LineageError> {
    let mut tree = Tree::new(describe::node(entry));
    let Fact::DataRecorded(of) = &entry.fact else { return Ok(tree) };
    let Some(whole) = of.cut_from.filter(|_| depth < LONGEST_CHAIN) else { return Ok(tree) };
    match data(tx, &whole.to_hex()) {
        Ok(whole) => tree.children.push(of_data(tx, &whole, depth + 1)?.related("cut from")),
        // The whole may have been recorded elsewhere.
        Err(LineageError::Unknown { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(tree)
}

/// Why `version` took traffic at `at` (now, without), and what led there.
fn in_service(
    tx: &mut Tx<'_>,
    model: &ModelName,
    version: Version,
    at: Option<Timestamp>,
) -> Result<Option<Tree>, LineageError> {
    let mut moves = Vec::new();
    for kind in ["promoted", "traffic_shifted", "rolled_back"] {
        moves.extend(journal::of_kind(tx, kind, Some(model.as_str()))?);
    }
    moves.retain(|entry| at.is_none_or(|at| entry.at <= at));
    moves.sort_by_key(|entry| entry.seq);
    let mut crowned: Option<(Version, usize)> = None;
    for (index, entry) in moves.iter().enumerate() {
        let (Fact::Promoted { version: next, .. } | Fact::RolledBack { to: next, .. }) = &entry.fact else {
            continue;
        };
        // A candidate that was rolled back leaves the champion in service for the old reason.
        if crowned.is_none_or(|(champion, _)| champion != *next) {
            crowned = Some((*next, index));
        }
    }
    let share = |entry: &Entry| match &entry.fact {
        Fact::TrafficShifted { weights, .. } => {
            weights.iter().any(|(of, share)| *of == version && *share > 0)
        }
        Fact::Promoted { version: of, .. } => *of == version,
        _ => false,
    };
    // The champion serves because it was made champion; another version, because it was given a share.
    let as_champion = crowned.filter(|(champion, _)| *champion == version).map(|(_, index)| index);
    let last = as_champion.or_else(|| moves.iter().rposition(share));
    let Some(entry) = last.map(|at| moves.swap_remove(at)) else { return Ok(None) };
    Ok(Some(chain(tx, &entry, 0)?.related("in service because")))
}

/// An entry with the chain of what led to it.
fn chain(tx: &mut Tx<'_>, entry: &Entry, depth: usize) -> Result<Tree, LineageError> {
    let mut tree = Tree::new(describe::node(entry));
    if let Some(before) = led_to(tx, entry)?.filter(|_| depth < LONGEST_CHAIN) {
        tree.children.push(chain(tx, &before, depth + 1)?.related("because"));
    }
    Ok(tree)
}

/// What led to `entry`: the decision that was taken with it; for a step, the rollout's beginning; else its cause.
fn led_to(tx: &mut Tx<'_>, entry: &Entry) -> Result<Option<Entry>, StoreError> {
    let before = |kind: &str, tx: &mut Tx<'_>| -> Result<Vec<Entry>, StoreError> {
        let model = entry.fact.model().map(ModelName::as_str);
        let mut found = journal::of_kind(tx, kind, model)?;
        found.retain(|other| other.seq < entry.seq);
        Ok(found)
    };
    if let Fact::StepObserved { candidate: stepped, .. } = &entry.fact {
        let begun = before("rollout_started", tx)?.into_iter().rev().find(
            |other| matches!(&other.fact, Fact::RolloutStarted { candidate, .. } if candidate == stepped),
        );
        if begun.is_some() {
            return Ok(begun);
        }
    }
    let Some(cause) = entry.cause else { return Ok(None) };
    if !matches!(entry.fact, Fact::DecisionTaken { .. }) {
        let taken = before("decision_taken", tx)?.into_iter().rev().find(|other| {
            let idle = matches!(&other.fact, Fact::DecisionTaken { decision: Decision::Keep, .. });
            other.cause == Some(cause) && !idle
        });
        if taken.is_some() {
            return Ok(taken);
        }
    }
    // A cause lies before its effect; whatever else is written there would lead in circles.
    if cause < entry.seq { journal::get(tx, cause).map(Some) } else { Ok(None) }
}
