//! How each fact changes the registry's tables.
//!
//! The champions of a model form a stack: a promotion pushes, a rollback pops down to the version that serves again. So
//! "the champion before" after a rollback is the next one back, never the version that was just found wanting.

use gyre_core::fact::{Decision, ModelVersion, Run};
use gyre_core::{Entry, Fact, ModelName, Version};
use gyre_store::{Cell, Room, StoreError, Tx};

use crate::columns::to_json;
use crate::record::{CHALLENGER, CHAMPION, Judgement, Moment, VersionStatus};
use crate::{changes, tables};

/// The registry's share of the store.
pub const ROOM: Room = Room {
    name: "registry",
    migrations: &[tables::LOOP, tables::CATALOG, tables::WEBHOOKS, tables::PAUSES, tables::RECEIVERS],
    project,
};

/// All of the traffic, in hundredths of a percent.
const ALL: u32 = 10_000;

fn project(tx: &mut Tx<'_>, entry: &Entry) -> Result<(), StoreError> {
    let moment = Moment { entry: entry.seq, at: entry.at };
    match &entry.fact {
        Fact::RunFinished(run) => run_finished(tx, run, moment),
        Fact::RunFailed { run, model, data, reason, .. } => {
            let cells = [
                run.as_str().into(),
                model.as_str().into(),
                moment.entry.into(),
                moment.at.as_millis().into(),
                data.as_ref().map_or(Cell::Null, Cell::from),
                Cell::Null,
                reason.as_str().into(),
            ];
            put_run(tx, &cells)
        }
        Fact::VersionRegistered(version) => {
            changes::registered_by_the_loop(tx, version, entry)?;
            version_registered(tx, version, moment)
        }
        Fact::Registry(change) => changes::apply(tx, change, entry),
        Fact::GatesJudged { model, version, passed, results, comparison } => {
            let judgement = Judgement {
                passed: *passed,
                results: results.clone(),
                comparison: comparison.clone(),
                judged: moment,
            };
            gates_judged(tx, model, *version, &judgement)
        }
        Fact::DecisionTaken { model, decision: Decision::Refuse { version }, .. } => {
            before_service(tx, model, *version, VersionStatus::Refused, moment)?;
            drop_alias(tx, model, CHALLENGER, Some(*version))
        }
        Fact::RolloutStarted { model, candidate, .. } => {
            set_status(tx, model, *candidate, VersionStatus::RollingOut, moment)?;
            set_alias(tx, model, CHALLENGER, *candidate)
        }
        Fact::TrafficShifted { model, weights, .. } => set_traffic(tx, model, weights),
        Fact::Promoted { model, version, .. } => promoted(tx, model, *version, moment),
        Fact::RolledBack { model, from, to, .. } => rolled_back(tx, model, *from, *to, moment),
        Fact::ProjectLoaded { .. }
        | Fact::DataRecorded(_)
        | Fact::DataRefused { .. }
        | Fact::WindowClosed(_)
        | Fact::LossEstimated(_)
        | Fact::AlarmRaised { .. }
        | Fact::AlarmCleared { .. }
        | Fact::IncidentOpened(_)
        | Fact::IncidentChanged(_)
        | Fact::IncidentClosed { .. }
        | Fact::IncidentAcknowledged { .. }
        | Fact::VersionsCompared { .. }
        | Fact::DecisionTaken { .. }
        | Fact::TrainingDue { .. }
        | Fact::WaitEnded { .. }
        | Fact::StepObserved { .. }
        | Fact::RolloutAsked { .. }
        | Fact::SplitRuled { .. }
        | Fact::ArmsWeighed { .. }
        | Fact::SegmentClosed { .. }
        | Fact::LogTroubled { .. }
        | Fact::ActionFailed { .. }
        | Fact::LoopPaused { .. }
        | Fact::LoopResumed { .. }
        | Fact::ModelUnloaded { .. }
        | Fact::ModelLoaded { .. }
        | Fact::Tracking(_)
        | Fact::Access(_) => Ok(()),
    }
}

fn run_finished(tx: &mut Tx<'_>, run: &Run, moment: Moment) -> Result<(), StoreError> {
    let cells = [
        run.run.as_str().into(),
        run.model.as_str().into(),
        moment.entry.into(),
        moment.at.as_millis().into(),
        (&run.data).into(),
        to_json("registry_runs", run)?,
        Cell::Null,
    ];
    put_run(tx, &cells)
}

fn put_run(tx: &mut Tx<'_>, cells: &[Cell; 7]) -> Result<(), StoreError> {
    let sql = "INSERT INTO registry_runs (run_id, model, entry, at, data, finished, failure)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
               ON CONFLICT (run_id) DO UPDATE SET model = excluded.model, entry = excluded.entry, at = excluded.at,
                 data = excluded.data, finished = excluded.finished, failure = excluded.failure";
    tx.execute(sql, cells).map(drop)
}

fn version_registered(tx: &mut Tx<'_>, version: &ModelVersion, moment: Moment) -> Result<(), StoreError> {
    let table = "registry_versions";
    let sql = "INSERT INTO registry_versions
               (model, version, status, run_id, data, registered, created, updated)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7) ON CONFLICT DO NOTHING";
    let cells = [
        version.model.as_str().into(),
        version.version.into(),
        VersionStatus::Registered.name().into(),
        // Empty where a version was made elsewhere.
        version.run.as_deref().unwrap_or_default().into(),
        version.data.map(|data| data.to_hex()).unwrap_or_default().into(),
        to_json(table, version)?,
        to_json(table, &moment)?,
    ];
    if tx.execute(sql, &cells)? == 0 {
        return Err(StoreError::Conflict(format!(
            "version {} of `{}` is registered already, and versions never change: register the next one",
            version.version, version.model
        )));
    }
    set_alias(tx, &version.model, CHALLENGER, version.version)
}

fn gates_judged(
    tx: &mut Tx<'_>,
    model: &ModelName,
    version: Version,
    judgement: &Judgement,
) -> Result<(), StoreError> {
    let sql = "UPDATE registry_versions SET gates = ?3 WHERE model = ?1 AND version = ?2";
    let gates = to_json("registry_versions", judgement)?;
    let changed = tx.execute(sql, &[model.as_str().into(), version.into(), gates])?;
    expect_version(changed, model, version)?;
    let status = if judgement.passed { VersionStatus::Gated } else { VersionStatus::Refused };
    before_service(tx, model, version, status, judgement.judged)?;
    if judgement.passed { Ok(()) } else { drop_alias(tx, model, CHALLENGER, Some(version)) }
}

fn promoted(tx: &mut Tx<'_>, model: &ModelName, version: Version, moment: Moment) -> Result<(), StoreError> {
    let sql =
        "SELECT version, position FROM registry_champions WHERE model = ?1 ORDER BY position DESC LIMIT 1";
    let top = tx.query(sql, &[model.as_str().into()])?;
    let (before, position) = match top.first() {
        Some(row) => (Some(row.get::<Version>(0)?), row.get::<u64>(1)? + 1),
        None => (None, 0),
    };
    if before != Some(version) {
        let sql = "INSERT INTO registry_champions (model, position, version) VALUES (?1, ?2, ?3)";
        tx.execute(sql, &[model.as_str().into(), position.into(), version.into()])?;
    }
    crown(tx, model, version, VersionStatus::Retired, moment)
}

fn rolled_back(
    tx: &mut Tx<'_>,
    model: &ModelName,
    from: Version,
    to: Version,
    moment: Moment,
) -> Result<(), StoreError> {
    // A candidate's rollback pops nothing: the champion is still on top.
    let sql = "DELETE FROM registry_champions WHERE model = ?1 AND position >
               (SELECT max(position) FROM registry_champions WHERE model = ?1 AND version = ?2)";
    tx.execute(sql, &[model.as_str().into(), to.into()])?;
    let sql = "SELECT coalesce(max(position), -1) + 1, count(CASE version WHEN ?2 THEN 1 END)
               FROM registry_champions WHERE model = ?1";
    let rows = tx.query(sql, &[model.as_str().into(), to.into()])?;
    if let Some(row) = rows.first().filter(|row| row.get::<i64>(1).is_ok_and(|there| there == 0)) {
        let sql = "INSERT INTO registry_champions (model, position, version) VALUES (?1, ?2, ?3)";
        let position: i64 = row.get(0)?;
        tx.execute(sql, &[model.as_str().into(), position.into(), to.into()])?;
    }
    set_status(tx, model, from, VersionStatus::RolledBack, moment)?;
    crown(tx, model, to, VersionStatus::RolledBack, moment)
}

/// Makes `version` the champion that takes all traffic. A champion or candidate that it displaces ends as `displaced`
/// says; a candidate can only end as rolled back.
fn crown(
    tx: &mut Tx<'_>,
    model: &ModelName,
    version: Version,
    displaced: VersionStatus,
    moment: Moment,
) -> Result<(), StoreError> {
    let now = to_json("registry_versions", &moment)?;
    for (from, to) in
        [(VersionStatus::Champion, displaced), (VersionStatus::RollingOut, VersionStatus::RolledBack)]
    {
        let sql = "UPDATE registry_versions SET status = ?4, updated = ?5
                   WHERE model = ?1 AND version <> ?2 AND status = ?3";
        let cells =
            [model.as_str().into(), version.into(), from.name().into(), to.name().into(), now.clone()];
        tx.execute(sql, &cells)?;
    }
    let sql = "UPDATE registry_versions SET status = ?3,
                 updated = CASE status WHEN ?3 THEN updated ELSE ?4 END,
                 promoted = CASE status WHEN ?3 THEN promoted ELSE ?4 END
               WHERE model = ?1 AND version = ?2";
    let champion = VersionStatus::Champion.name();
    let changed = tx.execute(sql, &[model.as_str().into(), version.into(), champion.into(), now])?;
    expect_version(changed, model, version)?;
    set_alias(tx, model, CHAMPION, version)?;
    drop_alias(tx, model, CHALLENGER, None)?;
    set_traffic(tx, model, &[(version, ALL)])
}

/// Sets the status, if it is another.
fn set_status(
    tx: &mut Tx<'_>,
    model: &ModelName,
    version: Version,
    status: VersionStatus,
    moment: Moment,
) -> Result<(), StoreError> {
    let sql =
        "UPDATE registry_versions SET status = ?3, updated = CASE status WHEN ?3 THEN updated ELSE ?4 END
               WHERE model = ?1 AND version = ?2";
    let now = to_json("registry_versions", &moment)?;
    let changed = tx.execute(sql, &[model.as_str().into(), version.into(), status.name().into(), now])?;
    expect_version(changed, model, version)
}

/// Sets the status of a version that has not served yet; one that has, keeps what it earned in service.
fn before_service(
    tx: &mut Tx<'_>,
    model: &ModelName,
    version: Version,
    status: VersionStatus,
    moment: Moment,
) -> Result<(), StoreError> {
    let sql = "UPDATE registry_versions SET status = ?3, updated = ?4
               WHERE model = ?1 AND version = ?2 AND status IN ('registered', 'gated', 'refused')";
    let now = to_json("registry_versions", &moment)?;
    tx.execute(sql, &[model.as_str().into(), version.into(), status.name().into(), now]).map(drop)
}

fn expect_version(changed: usize, model: &ModelName, version: Version) -> Result<(), StoreError> {
    if changed > 0 {
        return Ok(());
    }
    Err(StoreError::Conflict(format!("`{model}` has no version {version}: nothing can happen to it")))
}

fn set_alias(tx: &mut Tx<'_>, model: &ModelName, alias: &str, version: Version) -> Result<(), StoreError> {
    changes::put_alias(tx, model.as_str(), alias, version)
}

/// Removes an alias; with `version`, only if it points there.
fn drop_alias(
    tx: &mut Tx<'_>,
    model: &ModelName,
    alias: &str,
    version: Option<Version>,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM registry_aliases WHERE model = ?1 AND alias = ?2 AND version = coalesce(CAST(?3 AS INTEGER), version)";
    tx.execute(sql, &[model.as_str().into(), alias.into(), version.into()]).map(drop)
}

fn set_traffic(tx: &mut Tx<'_>, model: &ModelName, weights: &[(Version, u32)]) -> Result<(), StoreError> {
    tx.execute("DELETE FROM registry_traffic WHERE model = ?1", &[model.as_str().into()])?;
    // A share of nothing is a candidate that is asked beside the champion.
    for (version, weight) in weights {
        let known = "SELECT 1 FROM registry_versions WHERE model = ?1 AND version = ?2";
        let known = tx.query(known, &[model.as_str().into(), (*version).into()])?.len();
        expect_version(known, model, *version)?;
        let sql = "INSERT INTO registry_traffic (model, version, weight) VALUES (?1, ?2, ?3)";
        tx.execute(sql, &[model.as_str().into(), (*version).into(), (*weight).into()])?;
    }
    Ok(())
}
