//! Logged models of a file store.

use gyre_tracking::data::Latest;
use gyre_tracking::logged_models::{LoggedModel, ModelMetric, ModelStatus};

use super::{FileSource, META, meta};
use crate::ImportError;
use crate::record::SourceModel;
use crate::report::Kind;

impl FileSource {
    pub(super) fn read_models(&mut self, limit: usize) -> Result<Vec<SourceModel>, ImportError> {
        let mut found = Vec::new();
        while found.len() < limit {
            let Some((experiment, folder)) = self.models.pop() else { break };
            let read = meta::read::<meta::LoggedModel>(&folder);
            let Some(read) = self.told(Kind::LoggedModels, 1, read) else { continue };
            let status = read.status.as_deref().and_then(ModelStatus::from_name);
            if status.is_none() {
                let reason = format!("its status is {:?}, and it comes as PENDING", read.status);
                self.problem(Kind::LoggedModels, &folder.join(META), reason, 0);
            }
            let artifact_uri = read.artifact_location.unwrap_or_default();
            self.homes.insert(artifact_uri.clone(), folder.join("artifacts"));
            let created = read.creation_timestamp.unwrap_or(0);
            let updated = read.last_updated_timestamp.unwrap_or(created);
            let model = LoggedModel {
                model: 0,
                model_id: read.model_id,
                experiment: 0,
                name: read.name.unwrap_or_default(),
                artifact_uri,
                created,
                updated,
                status: status.unwrap_or(ModelStatus::Pending),
                status_message: read.status_message.filter(|text| !text.is_empty()),
                model_type: read.model_type.filter(|text| !text.is_empty()),
                source_run_id: read.source_run_id.filter(|run| !run.is_empty()),
                params: self.pairs(Kind::LoggedModels, &folder.join("params")),
                tags: self.pairs(Kind::LoggedModels, &folder.join("tags")),
                metrics: self.model_metrics(&folder.join("metrics")),
            };
            let deleted = (read.lifecycle_stage.as_deref() == Some("deleted")).then_some(updated);
            found.push(SourceModel { experiment, model, deleted });
        }
        Ok(found)
    }

    fn model_metrics(&mut self, folder: &std::path::Path) -> Vec<ModelMetric> {
        let mut metrics = Vec::new();
        for (key, text) in self.pairs(Kind::LoggedModels, folder) {
            for line in text.lines().filter(|line| !line.trim().is_empty()) {
                match metric(&key, line) {
                    Some(metric) => metrics.push(metric),
                    None => {
                        let reason = format!(
                            "`{}`, expected TIMESTAMP VALUE STEP RUN [DATASET DIGEST]",
                            line.chars().take(80).collect::<String>()
                        );
                        self.problem(Kind::LoggedModels, &folder.join(&key), reason, 0);
                    }
                }
            }
        }
        metrics
    }
}

fn metric(key: &str, line: &str) -> Option<ModelMetric> {
    let mut fields = line.split_whitespace();
    let timestamp = fields.next()?.parse().ok()?;
    let value: f64 = fields.next()?.parse().ok()?;
    let value = if value.is_nan() { value } else { value.clamp(f64::MIN, f64::MAX) };
    let step = fields.next()?.parse().ok()?;
    let run_id = fields.next()?.to_owned();
    let rest: Vec<&str> = fields.collect();
    let dataset = rest.split_last().map(|(digest, name)| (name.join(" "), (*digest).to_owned()));
    let metric = Latest { key: key.to_owned(), value, timestamp, step };
    Some(ModelMetric { metric, run_id, dataset: dataset.unwrap_or_default() })
}
