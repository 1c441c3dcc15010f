//! The room's tables.

use gyre_store::Room;

/// The traces' share of the store. No fact changes these tables; the facts that are written with a deletion only tell.
pub const ROOM: Room = Room { name: "traces", migrations: &[TABLES], project: |_, _| Ok(()) };

const TABLES: &str = "
CREATE TABLE traces_infos (
    trace_id TEXT PRIMARY KEY,
    experiment INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    duration_ms INTEGER,
    state TEXT NOT NULL,
    client_request_id TEXT,
    request_preview TEXT,
    response_preview TEXT
) STRICT;
CREATE INDEX traces_infos_by_time ON traces_infos (experiment, time_ms);
CREATE TABLE traces_tags (
    trace_id TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (trace_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX traces_tags_by_value ON traces_tags (key, substr(value, 1, 100));
CREATE TABLE traces_metadata (
    trace_id TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (trace_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX traces_metadata_by_value ON traces_metadata (key, substr(value, 1, 100));
CREATE TABLE traces_spans (
    trace_id TEXT NOT NULL,
    span_id TEXT NOT NULL,
    parent_id TEXT,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    status TEXT NOT NULL,
    start_ns INTEGER NOT NULL,
    end_ns INTEGER,
    model TEXT,
    provider TEXT,
    input_cost REAL,
    output_cost REAL,
    total_cost REAL,
    content TEXT NOT NULL,
    PRIMARY KEY (trace_id, span_id)
) STRICT;
CREATE TABLE traces_assessments (
    trace_id TEXT NOT NULL,
    assessment_id TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    number REAL,
    numeric INTEGER NOT NULL,
    error TEXT,
    source_type TEXT NOT NULL,
    source_id TEXT,
    span_id TEXT,
    rationale TEXT,
    metadata TEXT,
    of_session INTEGER NOT NULL,
    overrides TEXT,
    valid INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    PRIMARY KEY (trace_id, assessment_id)
) STRICT;
CREATE INDEX traces_assessments_by_name ON traces_assessments (kind, substr(name, 1, 100));
CREATE TABLE traces_links (
    trace_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    target TEXT NOT NULL,
    PRIMARY KEY (trace_id, kind, target)
) STRICT, WITHOUT ROWID;
CREATE INDEX traces_links_by_target ON traces_links (kind, target);
CREATE TABLE traces_datasets (
    dataset_id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    schema TEXT,
    profile TEXT,
    digest TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    created_by TEXT,
    updated_by TEXT
) STRICT;
CREATE TABLE traces_dataset_tags (
    dataset_id TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (dataset_id, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE traces_dataset_records (
    record_id TEXT PRIMARY KEY,
    dataset_id TEXT NOT NULL,
    input_hash TEXT NOT NULL,
    inputs TEXT NOT NULL,
    outputs TEXT,
    expectations TEXT,
    tags TEXT,
    source TEXT,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    created_by TEXT,
    updated_by TEXT,
    UNIQUE (dataset_id, input_hash)
) STRICT;
CREATE INDEX traces_dataset_records_by_age ON traces_dataset_records (dataset_id, created_ms, record_id);
CREATE TABLE traces_dataset_experiments (
    dataset_id TEXT NOT NULL,
    experiment INTEGER NOT NULL,
    PRIMARY KEY (dataset_id, experiment)
) STRICT, WITHOUT ROWID;
CREATE INDEX traces_dataset_experiments_by_experiment ON traces_dataset_experiments (experiment);
CREATE TABLE traces_scorers (
    scorer_id TEXT PRIMARY KEY,
    experiment INTEGER NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (experiment, name)
) STRICT;
CREATE TABLE traces_scorer_versions (
    scorer_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    serialized TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (scorer_id, version)
) STRICT;
";
