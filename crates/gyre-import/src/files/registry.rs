//! Registered models of a file store.

use std::path::Path;

use super::{FileSource, MODELS, meta};
use crate::ImportError;
use crate::record::{SourceRegistered, SourceVersion};
use crate::report::Kind;

impl FileSource {
    pub(super) fn read_registered(&mut self) -> Result<Vec<SourceRegistered>, ImportError> {
        let root = self.root.join(MODELS);
        let mut found = Vec::new();
        for folder in meta::folders(&root)? {
            let folder = root.join(folder);
            let read = meta::read::<meta::Registered>(&folder);
            let Some(read) = self.told(Kind::RegisteredModels, 1, read) else { continue };
            let created = read.creation_timestamp.unwrap_or(0);
            let aliases = self.pairs(Kind::RegisteredModels, &folder.join("aliases")).into_iter();
            let aliases = aliases.filter_map(|(alias, number)| Some((alias, number.trim().parse().ok()?)));
            let mut model = SourceRegistered {
                name: read.name.unwrap_or_else(|| meta::name(&folder)),
                created,
                updated: read.last_updated_timestamp.unwrap_or(created),
                description: read.description,
                tags: self.pairs(Kind::RegisteredModels, &folder.join("tags")),
                aliases: aliases.collect(),
                versions: Vec::new(),
            };
            for version in meta::folders(&folder)?.iter().filter(|name| name.starts_with("version-")) {
                model.versions.extend(self.version(&folder.join(version)));
            }
            model.versions.sort_by_key(|version| version.version);
            found.push(model);
        }
        found.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        Ok(found)
    }

    fn version(&mut self, folder: &Path) -> Option<SourceVersion> {
        let read = self.told(Kind::ModelVersions, 1, meta::read::<meta::Version>(folder))?;
        let created = read.creation_timestamp.unwrap_or(0);
        let source = read.source.unwrap_or_default();
        Some(SourceVersion {
            version: read.version.unwrap_or(0),
            created,
            updated: read.last_updated_timestamp.unwrap_or(created),
            description: read.description,
            user: read.user_id,
            stage: read.current_stage.unwrap_or_else(|| "None".to_owned()),
            location: read.storage_location.filter(|location| *location != source),
            source,
            run_id: read.run_id.filter(|run| !run.is_empty()),
            run_link: read.run_link.filter(|link| !link.is_empty()),
            logged_model: read.model_id.filter(|model| !model.is_empty()),
            status: read.status.unwrap_or_default(),
            tags: self.pairs(Kind::ModelVersions, &folder.join("tags")),
        })
    }
}
