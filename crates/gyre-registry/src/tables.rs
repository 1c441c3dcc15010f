//! The room's tables, script by script. A script, once released, never changes.

/// The loop's runs, versions, champions and traffic; and the aliases of all registered models.
pub(crate) const LOOP: &str = "
CREATE TABLE registry_runs (
    run_id TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    entry INTEGER NOT NULL,
    at INTEGER NOT NULL,
    data TEXT,
    finished TEXT,
    failure TEXT
) STRICT;
CREATE INDEX registry_runs_by_model ON registry_runs (model, entry);
CREATE TABLE registry_versions (
    model TEXT NOT NULL,
    version INTEGER NOT NULL,
    status TEXT NOT NULL,
    run_id TEXT NOT NULL,
    data TEXT NOT NULL,
    registered TEXT NOT NULL,
    gates TEXT,
    created TEXT NOT NULL,
    updated TEXT NOT NULL,
    promoted TEXT,
    PRIMARY KEY (model, version)
) STRICT;
CREATE TABLE registry_aliases (
    model TEXT NOT NULL,
    alias TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (model, alias)
) STRICT;
CREATE TABLE registry_champions (
    model TEXT NOT NULL,
    position INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (model, position)
) STRICT;
CREATE TABLE registry_traffic (
    model TEXT NOT NULL,
    version INTEGER NOT NULL,
    weight INTEGER NOT NULL,
    PRIMARY KEY (model, version)
) STRICT;
";

/// The catalogue that MLflow's clients see: registered models and their versions, whoever registered them.
///
/// What the loop had registered before there was a catalogue is filled in; its moment is the end of the run that made it,
/// which is when the loop registered it.
pub(crate) const CATALOG: &str = "
CREATE TABLE registry_models (
    name TEXT PRIMARY KEY,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    description TEXT
) STRICT;
CREATE INDEX registry_models_by_update ON registry_models (updated, name);
CREATE TABLE registry_model_tags (
    name TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (name, key)
) STRICT;
CREATE TABLE registry_model_versions (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    source TEXT NOT NULL,
    location TEXT,
    run_id TEXT,
    run_link TEXT,
    logged_model TEXT,
    stage TEXT NOT NULL,
    status TEXT NOT NULL,
    description TEXT,
    user_id TEXT,
    digest TEXT,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    PRIMARY KEY (name, version)
) STRICT;
CREATE INDEX registry_model_versions_by_run ON registry_model_versions (run_id);
CREATE INDEX registry_model_versions_by_update ON registry_model_versions (updated, name, version);
CREATE TABLE registry_version_tags (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (name, version, key)
) STRICT;
CREATE INDEX registry_version_tags_by_key ON registry_version_tags (key, name);
CREATE TABLE registry_numbers (
    name TEXT PRIMARY KEY,
    last INTEGER NOT NULL
) STRICT;
CREATE TABLE registry_claims (
    run_id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    version INTEGER NOT NULL
) STRICT;
CREATE TABLE registry_texts (
    digest TEXT PRIMARY KEY,
    text TEXT NOT NULL
) STRICT;
INSERT INTO registry_model_versions
    (name, version, source, run_id, stage, status, created, updated)
    SELECT v.model, v.version, 'mlflow-artifacts:/gyre/' || v.model || '/' || CAST(v.version AS TEXT), v.run_id,
        'None', 'READY', coalesce(r.at, 0), coalesce(r.at, 0)
    FROM registry_versions v LEFT JOIN registry_runs r ON r.run_id = v.run_id;
INSERT INTO registry_models (name, created, updated)
    SELECT name, min(created), max(updated) FROM registry_model_versions GROUP BY name;
INSERT INTO registry_numbers (name, last)
    SELECT name, max(version) FROM registry_model_versions GROUP BY name;
";

/// Webhooks, and what they are still to be told.
pub(crate) const WEBHOOKS: &str = "
CREATE TABLE registry_webhooks (
    webhook_id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT,
    url TEXT NOT NULL,
    secret TEXT,
    status TEXT NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL
) STRICT;
CREATE TABLE registry_webhook_events (
    webhook_id TEXT NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (webhook_id, event)
) STRICT;
CREATE INDEX registry_webhook_events_by_event ON registry_webhook_events (event);
CREATE TABLE registry_deliveries (
    entry INTEGER NOT NULL,
    part INTEGER NOT NULL,
    webhook_id TEXT NOT NULL,
    event TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    due INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    PRIMARY KEY (entry, part, webhook_id)
) STRICT;
CREATE INDEX registry_deliveries_due ON registry_deliveries (state, due);
CREATE INDEX registry_deliveries_by_webhook ON registry_deliveries (webhook_id, state, due);
CREATE TABLE registry_cursor (one INTEGER PRIMARY KEY, seq INTEGER NOT NULL) STRICT;
";

/// Receivers that the project file names are told beside MLflow's webhooks, each in its own form.
pub(crate) const RECEIVERS: &str = "
ALTER TABLE registry_webhooks ADD COLUMN format TEXT NOT NULL DEFAULT 'mlflow';
ALTER TABLE registry_webhooks ADD COLUMN project TEXT;
ALTER TABLE registry_webhooks ADD COLUMN models TEXT;
";

/// A webhook that does not answer is left alone as a whole.
pub(crate) const PAUSES: &str = "
ALTER TABLE registry_webhooks ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE registry_webhooks ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
";
