//! Registered models and their versions.

use super::SqliteSource;
use super::tables::{integer, text};
use crate::ImportError;
use crate::record::{Problem, SourceRegistered, SourceVersion, SourceWebhook};
use crate::report::Kind;

impl SqliteSource {
    pub(super) fn read_registered(&mut self) -> Result<Vec<SourceRegistered>, ImportError> {
        let columns = self.columns("registered_models")?;
        if !columns.exist() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT name, creation_time, last_updated_time, description, {} FROM registered_models ORDER BY creation_time, name",
            columns.or("workspace", "'default'")
        );
        let (mut found, mut problems) = (Vec::new(), Vec::new());
        self.each("registered_models", &sql, &[], |row| {
            let (name, workspace) = (text(row, 0)?.unwrap_or_default(), text(row, 4)?.unwrap_or_default());
            if workspace != "default" {
                problems.push(Problem {
                    kind: Kind::RegisteredModels,
                    place: format!("registered model `{name}`"),
                    reason: format!(
                        "it is in the workspace `{workspace}`, and only the workspace `default` comes"
                    ),
                    lost: 1,
                });
                return Ok(());
            }
            let created = integer(row, 1)?.unwrap_or(0);
            found.push(SourceRegistered {
                name,
                created,
                updated: integer(row, 2)?.unwrap_or(created),
                description: text(row, 3)?,
                ..SourceRegistered::default()
            });
            Ok(())
        })?;
        self.problems.append(&mut problems);
        for model in &mut found {
            let name = model.name.clone();
            if let Some(only) = self.only_default("registered_model_tags")? {
                let sql = format!(
                    "SELECT key, value FROM registered_model_tags WHERE name = ?1{only} ORDER BY key"
                );
                model.tags = self.pairs("registered_model_tags", &sql, &name)?;
            }
            if let Some(only) = self.only_default("registered_model_aliases")? {
                let sql = format!(
                    "SELECT alias, version FROM registered_model_aliases WHERE name = ?1{only} ORDER BY alias"
                );
                self.each("registered_model_aliases", &sql, &[&name], |row| {
                    model.aliases.push((text(row, 0)?.unwrap_or_default(), integer(row, 1)?.unwrap_or(0)));
                    Ok(())
                })?;
            }
            model.versions = self.versions(&name)?;
        }
        Ok(found)
    }

    pub(super) fn read_webhooks(&mut self) -> Result<Vec<SourceWebhook>, ImportError> {
        let Some(only) = self.only_default("webhooks")? else { return Ok(Vec::new()) };
        let sql = format!(
            "SELECT webhook_id, name, description, url, creation_timestamp FROM webhooks
             WHERE deleted_timestamp IS NULL{only} ORDER BY creation_timestamp, webhook_id"
        );
        let mut found = Vec::new();
        self.each("webhooks", &sql, &[], |row| {
            found.push(SourceWebhook {
                id: text(row, 0)?.unwrap_or_default(),
                name: text(row, 1)?.unwrap_or_default(),
                description: text(row, 2)?,
                url: text(row, 3)?.unwrap_or_default(),
                events: Vec::new(),
                created: integer(row, 4)?.unwrap_or(0),
            });
            Ok(())
        })?;
        for webhook in &mut found {
            let sql =
                "SELECT entity, action FROM webhook_events WHERE webhook_id = ?1 ORDER BY entity, action";
            let events = self.pairs("webhook_events", sql, &webhook.id)?;
            webhook.events =
                events.into_iter().map(|(entity, action)| format!("{entity}.{action}")).collect();
        }
        Ok(found)
    }

    /// What restricts a table to the workspace `default`; none when there is no such table.
    fn only_default(&self, table: &str) -> Result<Option<&'static str>, ImportError> {
        let columns = self.columns(table)?;
        let has = columns.or("workspace", "") == "workspace";
        Ok(columns.exist().then_some(if has { " AND workspace = 'default'" } else { "" }))
    }

    fn versions(&self, name: &str) -> Result<Vec<SourceVersion>, ImportError> {
        let Some(only) = self.only_default("model_versions")? else { return Ok(Vec::new()) };
        let columns = self.columns("model_versions")?;
        let sql = format!(
            "SELECT version, creation_time, last_updated_time, description, user_id, current_stage, source, {}, run_id, {},
                    status
             FROM model_versions WHERE name = ?1{only} ORDER BY version",
            columns.or("storage_location", "NULL"),
            columns.or("run_link", "NULL"),
        );
        let mut versions = Vec::new();
        self.each("model_versions", &sql, &[&name], |row| {
            let created = integer(row, 1)?.unwrap_or(0);
            let source = text(row, 6)?.unwrap_or_default();
            versions.push(SourceVersion {
                version: integer(row, 0)?.unwrap_or(0),
                created,
                updated: integer(row, 2)?.unwrap_or(created),
                description: text(row, 3)?,
                user: text(row, 4)?,
                stage: text(row, 5)?.unwrap_or_else(|| "None".to_owned()),
                location: text(row, 7)?.filter(|location| *location != source),
                source,
                run_id: text(row, 8)?.filter(|run| !run.is_empty()),
                run_link: text(row, 9)?.filter(|link| !link.is_empty()),
                logged_model: None,
                status: text(row, 10)?.unwrap_or_default(),
                tags: Vec::new(),
            });
            Ok(())
        })?;
        if let Some(only) = self.only_default("model_version_tags")? {
            let sql = format!(
                "SELECT version, key, value FROM model_version_tags WHERE name = ?1{only} ORDER BY version, key"
            );
            self.each("model_version_tags", &sql, &[&name], |row| {
                let number = integer(row, 0)?.unwrap_or(0);
                if let Some(version) = versions.iter_mut().find(|version| version.version == number) {
                    version.tags.push((text(row, 1)?.unwrap_or_default(), text(row, 2)?.unwrap_or_default()));
                }
                Ok(())
            })?;
        }
        for version in &mut versions {
            // A version made of a logged model says so in its source.
            let id = version.source.strip_prefix("models:/").map(|rest| rest.trim_start_matches('/'));
            version.logged_model =
                id.filter(|id| id.starts_with("m-") && !id.contains('/')).map(str::to_owned);
        }
        Ok(versions)
    }
}
