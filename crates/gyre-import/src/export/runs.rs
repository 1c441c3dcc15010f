//! Runs and logged models, with all that belongs to them.

use std::collections::BTreeSet;

use gyre_core::Digest;
use gyre_store::Store;
use gyre_tracking::bulk;
use gyre_tracking::data::Run;
use gyre_tracking::history;
use gyre_tracking::inputs::DatasetInput;
use gyre_tracking::points::Point;
use rusqlite::types::Value;

use super::Database;
use crate::report::{Kind, Report};
use crate::{ImportError, Progress};

/// How many are read at a time.
const PAGE: u64 = 200;

pub(super) fn runs(
    store: &Store,
    database: &Database<'_>,
    report: &mut Report,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), ImportError> {
    let of = store.read(|tx| {
        let rows = tx.query("SELECT count(*) FROM tracking_runs", &[])?;
        rows.first().map_or(Ok(0), |row| row.get::<u64>(0))
    })?;
    let (mut after, mut done, mut datasets) = (0, 0, BTreeSet::new());
    loop {
        let page = store.read(|tx| bulk::runs_after(tx, after, PAGE))?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = last.info.run;
        done += page.len() as u64;
        for (run, deleted) in page {
            write_run(store, database, run, deleted, &mut datasets, report)?;
        }
        progress(Progress { kind: Kind::Runs, done, of });
    }
}

fn write_run(
    store: &Store,
    database: &Database<'_>,
    run: Run,
    deleted: Option<i64>,
    datasets: &mut BTreeSet<String>,
    report: &mut Report,
) -> Result<(), ImportError> {
    let info = &run.info;
    let id = || Value::from(info.run_id.clone());
    let of_tags = |key: &str| {
        let found = run.tags.iter().find(|(other, _)| other == key);
        found.map(|(_, value)| value.chars().take(500).collect::<String>()).unwrap_or_default()
    };
    database.insert(
        "runs",
        vec![
            ("run_uuid", id()),
            ("name", info.name.clone().into()),
            ("source_type", "UNKNOWN".to_owned().into()),
            ("source_name", of_tags("mlflow.source.name").into()),
            ("entry_point_name", String::new().into()),
            ("user_id", info.user_id.clone().into()),
            ("status", info.status.name().to_owned().into()),
            ("start_time", info.started.into()),
            ("end_time", info.ended.into()),
            ("deleted_time", deleted.into()),
            ("source_version", String::new().into()),
            ("lifecycle_stage", info.stage.name().to_owned().into()),
            ("artifact_uri", info.artifact_uri.clone().into()),
            ("experiment_id", info.experiment.into()),
        ],
    )?;
    report.wrote(Kind::Runs, 1);
    for (kind, table, pairs) in [(Kind::Params, "params", &run.params), (Kind::Tags, "tags", &run.tags)] {
        report.wrote(kind, pairs.len() as u64);
        for (key, value) in pairs {
            database.insert(
                table,
                vec![("run_uuid", id()), ("key", key.clone().into()), ("value", value.clone().into())],
            )?;
        }
    }
    for latest in &run.metrics {
        let points = store.read(|tx| history::all(tx, info.run, &latest.key))?;
        let latest_point = Point::new(latest.timestamp, latest.step, latest.value);
        report.wrote(Kind::MetricPoints, points.len() as u64);
        for point in &points {
            database.insert("metrics", metric(&info.run_id, &latest.key, point))?;
        }
        database.insert("latest_metrics", metric(&info.run_id, &latest.key, &latest_point))?;
    }
    for input in &run.links.datasets {
        dataset(database, &run, input, datasets)?;
        report.wrote(Kind::DatasetInputs, 1);
    }
    let inputs = run.links.model_inputs.iter().map(|model| ("RUN_INPUT", "MODEL_INPUT", model, 0));
    let outputs =
        run.links.model_outputs.iter().map(|made| ("RUN_OUTPUT", "MODEL_OUTPUT", &made.model_id, made.step));
    for (from, to, model, step) in inputs.chain(outputs) {
        database.insert(
            "inputs",
            vec![
                ("input_uuid", named(&[from, &info.run_id, model]).into()),
                ("source_type", from.to_owned().into()),
                ("source_id", id()),
                ("destination_type", to.to_owned().into()),
                ("destination_id", model.clone().into()),
                ("step", step.into()),
            ],
        )?;
    }
    Ok(())
}

fn metric(run: &str, key: &str, point: &Point) -> Vec<(&'static str, Value)> {
    let nan = point.value.is_nan();
    vec![
        ("run_uuid", run.to_owned().into()),
        ("key", key.to_owned().into()),
        ("value", if nan { 0.0 } else { point.value }.into()),
        ("timestamp", point.timestamp.into()),
        ("step", point.step.into()),
        ("is_nan", i64::from(nan).into()),
    ]
}

fn dataset(
    database: &Database<'_>,
    run: &Run,
    input: &DatasetInput,
    written: &mut BTreeSet<String>,
) -> Result<(), ImportError> {
    let (experiment, dataset) = (run.info.experiment, &input.dataset);
    let id = named(&["dataset", &experiment.to_string(), &dataset.name, &dataset.digest]);
    if written.insert(id.clone()) {
        database.insert(
            "datasets",
            vec![
                ("dataset_uuid", id.clone().into()),
                ("experiment_id", experiment.into()),
                ("name", dataset.name.clone().into()),
                ("digest", dataset.digest.clone().into()),
                ("dataset_source_type", dataset.source_type.clone().into()),
                ("dataset_source", dataset.source.clone().into()),
                ("dataset_schema", dataset.schema.clone().into()),
                ("dataset_profile", dataset.profile.clone().into()),
            ],
        )?;
    }
    let link = named(&["input", &run.info.run_id, &id]);
    database.insert(
        "inputs",
        vec![
            ("input_uuid", link.clone().into()),
            ("source_type", "DATASET".to_owned().into()),
            ("source_id", id.into()),
            ("destination_type", "RUN".to_owned().into()),
            ("destination_id", run.info.run_id.clone().into()),
            ("step", 0_i64.into()),
        ],
    )?;
    for (key, value) in &input.tags {
        let row = vec![
            ("input_uuid", link.clone().into()),
            ("name", key.clone().into()),
            ("value", value.clone().into()),
        ];
        database.insert("input_tags", row)?;
    }
    Ok(())
}

/// An id of 32 hexadecimal digits that is the same for the same thing.
fn named(parts: &[&str]) -> String {
    Digest::of(parts.join("\0").as_bytes()).to_hex().chars().take(32).collect()
}

pub(super) fn logged_models(
    store: &Store,
    database: &Database<'_>,
    report: &mut Report,
) -> Result<(), ImportError> {
    let mut after = 0;
    loop {
        let page = store.read(|tx| bulk::logged_models_after(tx, after, PAGE))?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = last.model;
        for (model, deleted) in page {
            let id = || Value::from(model.model_id.clone());
            let number = model.status.name();
            let status = match number {
                "LOGGED_MODEL_READY" => 2_i64,
                "LOGGED_MODEL_UPLOAD_FAILED" => 3,
                _ => 1,
            };
            let stage = if deleted.is_some() { "deleted" } else { "active" };
            database.insert(
                "logged_models",
                vec![
                    ("model_id", id()),
                    ("experiment_id", model.experiment.into()),
                    ("name", model.name.clone().into()),
                    ("artifact_location", model.artifact_uri.clone().into()),
                    ("creation_timestamp_ms", model.created.into()),
                    ("last_updated_timestamp_ms", model.updated.into()),
                    ("status", status.into()),
                    ("lifecycle_stage", stage.to_owned().into()),
                    ("model_type", model.model_type.clone().into()),
                    ("source_run_id", model.source_run_id.clone().into()),
                    ("status_message", model.status_message.clone().into()),
                ],
            )?;
            report.wrote(Kind::LoggedModels, 1);
            for (table, key_column, value_column, pairs) in [
                ("logged_model_params", "param_key", "param_value", &model.params),
                ("logged_model_tags", "tag_key", "tag_value", &model.tags),
            ] {
                for (key, value) in pairs {
                    let row = vec![
                        ("model_id", id()),
                        ("experiment_id", model.experiment.into()),
                        (key_column, key.clone().into()),
                        (value_column, value.clone().into()),
                    ];
                    database.insert(table, row)?;
                }
            }
            for found in &model.metrics {
                let said = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
                let value = found.metric.value;
                let row = vec![
                    ("model_id", id()),
                    ("experiment_id", model.experiment.into()),
                    ("metric_name", found.metric.key.clone().into()),
                    ("metric_timestamp_ms", found.metric.timestamp.into()),
                    ("metric_step", found.metric.step.into()),
                    ("metric_value", Some(value).filter(|value| !value.is_nan()).into()),
                    ("run_id", found.run_id.clone().into()),
                    ("dataset_name", said(&found.dataset.0).into()),
                    ("dataset_digest", said(&found.dataset.1).into()),
                ];
                database.insert("logged_model_metrics", row)?;
            }
        }
    }
}
