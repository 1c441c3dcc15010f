//! The tables of this room, and what facts of other rooms mean to it.

use gyre_store::{Room, StoreError, Tx};

/// Tracking's share of the store.
pub const ROOM: Room = Room { name: "tracking", migrations: &[TABLES, PROVENANCE], project };

// `run` is a run's number within the store; `run_id` is its name to the world. The experiment stands again beside each
// parameter, tag and metric, so that an index can answer "within this experiment, by this key, in this order". Long texts
// are indexed by their beginning.
const TABLES: &str = "
CREATE TABLE tracking_experiments (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    artifact_location TEXT NOT NULL,
    stage TEXT NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL
) STRICT;
CREATE TABLE tracking_experiment_tags (
    experiment INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (experiment, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE tracking_runs (
    run INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,
    experiment INTEGER NOT NULL,
    name TEXT NOT NULL,
    user_id TEXT NOT NULL,
    status TEXT NOT NULL,
    stage TEXT NOT NULL,
    started INTEGER NOT NULL,
    ended INTEGER,
    deleted INTEGER,
    artifact_uri TEXT NOT NULL
) STRICT;
CREATE INDEX tracking_runs_by_start ON tracking_runs (experiment, stage, started DESC, run_id);
CREATE TABLE tracking_params (
    run INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    experiment INTEGER NOT NULL,
    PRIMARY KEY (run, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX tracking_params_by_value ON tracking_params (experiment, key, substr(value, 1, 100), run);
CREATE TABLE tracking_tags (
    run INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    experiment INTEGER NOT NULL,
    PRIMARY KEY (run, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX tracking_tags_by_value ON tracking_tags (experiment, key, substr(value, 1, 100), run);
CREATE TABLE tracking_latest (
    run INTEGER NOT NULL,
    key TEXT NOT NULL,
    experiment INTEGER NOT NULL,
    value REAL NOT NULL,
    nan INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    step INTEGER NOT NULL,
    chunk INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (run, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX tracking_latest_by_value ON tracking_latest (experiment, key, nan, value, run);
CREATE TABLE tracking_points (
    run INTEGER NOT NULL,
    key TEXT NOT NULL,
    chunk INTEGER NOT NULL,
    count INTEGER NOT NULL,
    points BLOB NOT NULL,
    PRIMARY KEY (run, key, chunk)
) STRICT;
CREATE TABLE tracking_datasets (
    dataset INTEGER PRIMARY KEY,
    experiment INTEGER NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    source_type TEXT NOT NULL,
    source TEXT NOT NULL,
    schema TEXT,
    profile TEXT,
    UNIQUE (experiment, name, digest)
) STRICT;
CREATE TABLE tracking_inputs (
    run INTEGER NOT NULL,
    dataset INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (run, dataset)
) STRICT, WITHOUT ROWID;
CREATE INDEX tracking_inputs_by_dataset ON tracking_inputs (dataset, run);
CREATE TABLE tracking_input_tags (
    run INTEGER NOT NULL,
    dataset INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run, dataset, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE tracking_run_models (
    run INTEGER NOT NULL,
    way TEXT NOT NULL,
    model_id TEXT NOT NULL,
    step INTEGER NOT NULL,
    PRIMARY KEY (run, way, model_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE tracking_logged_models (
    model INTEGER PRIMARY KEY,
    model_id TEXT NOT NULL UNIQUE,
    experiment INTEGER NOT NULL,
    name TEXT NOT NULL,
    artifact_uri TEXT NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    status INTEGER NOT NULL,
    status_message TEXT,
    model_type TEXT,
    source_run_id TEXT,
    deleted INTEGER
) STRICT;
CREATE INDEX tracking_logged_models_by_experiment ON tracking_logged_models (experiment, created DESC, model_id);
CREATE INDEX tracking_logged_models_by_run ON tracking_logged_models (source_run_id);
CREATE TABLE tracking_model_params (
    model INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE tracking_model_tags (
    model INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE tracking_model_metrics (
    model INTEGER NOT NULL,
    run INTEGER NOT NULL,
    key TEXT NOT NULL,
    dataset TEXT NOT NULL,
    dataset_digest TEXT NOT NULL,
    value REAL NOT NULL,
    nan INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    step INTEGER NOT NULL,
    PRIMARY KEY (model, key, dataset, dataset_digest, run, timestamp, step)
) STRICT, WITHOUT ROWID;
INSERT INTO tracking_experiments (id, name, artifact_location, stage, created, updated)
VALUES (0, 'Default', 'mlflow-artifacts:/0', 'active', 0, 0);
";

// Records of where runs came from; the tag `gyre.provenance` of a run names its record.
const PROVENANCE: &str = "
CREATE TABLE tracking_provenance (
    digest TEXT NOT NULL PRIMARY KEY,
    source TEXT NOT NULL,
    record TEXT NOT NULL
) STRICT;
";

fn project(_: &mut Tx<'_>, _: &gyre_core::Entry) -> Result<(), StoreError> {
    // What is tracked is written beside the journal, not from it.
    Ok(())
}
