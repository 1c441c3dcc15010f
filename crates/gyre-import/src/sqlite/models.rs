//! Logged models, of MLflow 3 and later.

use gyre_tracking::data::Latest;
use gyre_tracking::logged_models::{LoggedModel, ModelMetric, ModelStatus};

use super::SqliteSource;
use super::tables::{integer, real, text};
use crate::ImportError;
use crate::record::{Problem, SourceModel};
use crate::report::Kind;

impl SqliteSource {
    pub(super) fn read_models(&mut self, limit: usize) -> Result<Vec<SourceModel>, ImportError> {
        let columns = self.columns("logged_models")?;
        if !columns.exist() {
            return Ok(Vec::new());
        }
        let sql = "SELECT model_id, experiment_id, name, artifact_location, creation_timestamp_ms,
                          last_updated_timestamp_ms, status, lifecycle_stage, model_type, source_run_id, status_message
                   FROM logged_models WHERE model_id > ?1 ORDER BY model_id LIMIT ?2";
        let (mut found, mut problems) = (Vec::new(), Vec::new());
        self.each("logged_models", sql, &[&self.last_model, &(limit as i64)], |row| {
            let model_id = text(row, 0)?.unwrap_or_default();
            let status = text(row, 6)?.unwrap_or_default();
            let known = ModelStatus::from_name(&status);
            if known.is_none() {
                problems.push(Problem {
                    kind: Kind::LoggedModels,
                    place: format!("logged model {model_id}"),
                    reason: format!("its status is {status:?}, and it comes as PENDING"),
                    lost: 0,
                });
            }
            let updated = integer(row, 5)?.unwrap_or(0);
            let deleted = (text(row, 7)?.as_deref() == Some("deleted")).then_some(updated);
            let model = LoggedModel {
                model: 0,
                model_id,
                experiment: 0,
                name: text(row, 2)?.unwrap_or_default(),
                artifact_uri: text(row, 3)?.unwrap_or_default(),
                created: integer(row, 4)?.unwrap_or(0),
                updated,
                status: known.unwrap_or(ModelStatus::Pending),
                status_message: text(row, 10)?,
                model_type: text(row, 8)?,
                source_run_id: text(row, 9)?.filter(|run| !run.is_empty()),
                params: Vec::new(),
                tags: Vec::new(),
                metrics: Vec::new(),
            };
            let experiment = integer(row, 1)?.map(|id| id.to_string()).unwrap_or_default();
            found.push(SourceModel { experiment, model, deleted });
            Ok(())
        })?;
        self.problems.append(&mut problems);
        if let Some(last) = found.last() {
            self.last_model.clone_from(&last.model.model_id);
        }
        for source in &mut found {
            let id = source.model.model_id.clone();
            let sql = "SELECT param_key, param_value FROM logged_model_params WHERE model_id = ?1 ORDER BY 1";
            source.model.params = self.pairs("logged_model_params", sql, &id)?;
            let sql = "SELECT tag_key, tag_value FROM logged_model_tags WHERE model_id = ?1 ORDER BY 1";
            source.model.tags = self.pairs("logged_model_tags", sql, &id)?;
            source.model.metrics = self.model_metrics(&id)?;
        }
        Ok(found)
    }

    fn model_metrics(&self, id: &str) -> Result<Vec<ModelMetric>, ImportError> {
        let sql = "SELECT metric_name, metric_value, metric_timestamp_ms, metric_step, run_id, dataset_name, dataset_digest
                   FROM logged_model_metrics WHERE model_id = ?1 ORDER BY metric_name, metric_timestamp_ms, metric_step";
        let mut metrics = Vec::new();
        self.each("logged_model_metrics", sql, &[&id], |row| {
            let metric = Latest {
                key: text(row, 0)?.unwrap_or_default(),
                value: real(row, 1)?.unwrap_or(f64::NAN),
                timestamp: integer(row, 2)?.unwrap_or(0),
                step: integer(row, 3)?.unwrap_or(0),
            };
            metrics.push(ModelMetric {
                metric,
                run_id: text(row, 4)?.unwrap_or_default(),
                dataset: (text(row, 5)?.unwrap_or_default(), text(row, 6)?.unwrap_or_default()),
            });
            Ok(())
        })?;
        Ok(metrics)
    }
}
