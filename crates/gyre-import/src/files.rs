//! MLflow's folder `mlruns/`, as its file store has written it since 1.0.
//!
//! A folder an experiment, in it a folder a run; deleted experiments lie in `.trash`, registered models in `models`. Each
//! has a `meta.yaml`; parameters and tags are a file each, a metric is a file with a line a point. What is damaged is named
//! and left out, and the rest comes.

mod meta;
mod models;
mod registry;
mod runs;

use std::path::{Path, PathBuf};

use gyre_tracking::experiments::Experiment;

use crate::ImportError;
use crate::artifacts::{Found, Sink, walk};
use crate::folders::Folders;
use crate::mover::stage;
use crate::place::{Place, place};
use crate::record::{Head, Problem, SourceExperiment, SourceModel, SourceRegistered, SourceRun};
use crate::report::Kind;
use crate::source::Source;

/// A folder `mlruns/`.
pub struct FileSource {
    root: PathBuf,
    folders: Folders,
    problems: Vec<Problem>,
    experiments: Vec<(PathBuf, SourceExperiment)>,
    /// Runs to come, the next one last.
    runs: Vec<Head>,
    /// Folders of logged models to come, with their experiments' ids, the next one last.
    models: Vec<(String, PathBuf)>,
    counts: Vec<(Kind, u64)>,
    /// Where the artifacts of runs and logged models lie in this folder: by the URI that is recorded.
    homes: std::collections::BTreeMap<String, PathBuf>,
}

/// Folders of an experiment that are no runs.
const RESERVED: [&str; 4] = ["tags", "datasets", "traces", "models"];
const TRASH: &str = ".trash";
const MODELS: &str = "models";
const META: &str = "meta.yaml";

impl FileSource {
    /// Opens the folder `root`, and looks which experiments and runs there are.
    ///
    /// # Errors
    /// [`ImportError::Source`] when it is no folder of MLflow's.
    pub fn open(root: &Path, artifacts: Option<&Path>) -> Result<Self, ImportError> {
        let root = root.canonicalize().map_err(|error| ImportError::file(root, error))?;
        // MLflow has `mlartifacts` beside `mlruns`, and relative URIs are relative to the folder of both.
        let beside = root.parent().unwrap_or(&root).to_owned();
        let mut source = Self {
            folders: Folders::new(beside, artifacts),
            root,
            problems: Vec::new(),
            experiments: Vec::new(),
            runs: Vec::new(),
            models: Vec::new(),
            counts: Vec::new(),
            homes: std::collections::BTreeMap::new(),
        };
        source.look()?;
        if source.experiments.is_empty() && !source.root.join(MODELS).is_dir() {
            return Err(ImportError::Source(format!(
                "{} has no folder with a {META} in it, so it is no `mlruns` of MLflow's",
                source.root.display()
            )));
        }
        Ok(source)
    }

    fn look(&mut self) -> Result<(), ImportError> {
        let mut found = Vec::new();
        for folder in [self.root.clone(), self.root.join(TRASH)] {
            found.extend(
                meta::folders(&folder)?
                    .into_iter()
                    .filter(|name| name != TRASH && name != MODELS)
                    .map(|name| folder.join(name)),
            );
        }
        let (mut traces, mut models) = (0, 0);
        for folder in found {
            let id = meta::name(&folder);
            let Some(read) = self.told(Kind::Experiments, 1, meta::read::<meta::Experiment>(&folder)) else {
                continue;
            };
            if read.experiment_id.as_deref().is_some_and(|own| own != id) {
                let reason = format!(
                    "it says that it is experiment {:?}, and its folder is `{id}`",
                    read.experiment_id
                );
                self.problem(Kind::Experiments, &folder.join(META), reason, 1);
                continue;
            }
            let tags =
                self.told(Kind::ExperimentTags, 1, meta::texts(&folder.join("tags"))).unwrap_or_default();
            let deleted = folder.parent().is_some_and(|parent| parent.ends_with(TRASH));
            let created = read.creation_time.unwrap_or(0);
            let experiment = Experiment {
                id: id.parse().ok().filter(|number| *number >= 0).unwrap_or(-1),
                name: read.name.unwrap_or_else(|| id.clone()),
                artifact_location: read.artifact_location.unwrap_or_default(),
                stage: stage(if deleted { Some("deleted") } else { read.lifecycle_stage.as_deref() }),
                created,
                updated: read.last_update_time.unwrap_or(created),
                tags,
            };
            for run in meta::folders(&folder)?.into_iter().filter(|name| !RESERVED.contains(&name.as_str())) {
                self.runs.push(Head { run_id: run, experiment: id.clone() });
            }
            for model in meta::folders(&folder.join(MODELS))? {
                self.models.push((id.clone(), folder.join(MODELS).join(model)));
                models += 1;
            }
            traces += meta::folders(&folder.join("traces"))?.len() as u64;
            self.experiments.push((folder, SourceExperiment { id, experiment }));
        }
        // Taken from the end.
        self.runs.reverse();
        self.models.reverse();
        self.experiments.sort_by_key(|(_, source)| source.experiment.id);
        let tags = self.experiments.iter().map(|(_, source)| source.experiment.tags.len() as u64).sum();
        self.counts = vec![
            (Kind::Experiments, self.experiments.len() as u64),
            (Kind::ExperimentTags, tags),
            (Kind::Runs, self.runs.len() as u64),
            (Kind::LoggedModels, models),
            (Kind::Traces, traces),
        ];
        Ok(())
    }

    fn problem(&mut self, kind: Kind, place: &Path, reason: String, lost: u64) {
        let place = place.strip_prefix(&self.root).unwrap_or(place).display().to_string();
        self.problems.push(Problem { kind, place, reason, lost });
    }

    /// What was read; what could not be is told, and `lost` of `kind` with it.
    fn told<T>(&mut self, kind: Kind, lost: u64, read: Result<T, meta::Flaw>) -> Option<T> {
        match read {
            Ok(read) => Some(read),
            Err(flaw) => {
                self.problem(kind, &flaw.path, flaw.reason, lost);
                None
            }
        }
    }
}

impl Source for FileSource {
    fn name(&self) -> String {
        self.root.display().to_string()
    }

    fn counts(&mut self) -> Result<Vec<(Kind, u64)>, ImportError> {
        let mut counts = self.counts.clone();
        let registered = meta::folders(&self.root.join(MODELS))?;
        counts.push((Kind::RegisteredModels, registered.len() as u64));
        let mut versions = 0;
        for model in registered {
            let inner = meta::folders(&self.root.join(MODELS).join(model))?;
            versions += inner.iter().filter(|name| name.starts_with("version-")).count() as u64;
        }
        counts.push((Kind::ModelVersions, versions));
        Ok(counts)
    }

    fn experiments(&mut self) -> Result<Vec<SourceExperiment>, ImportError> {
        Ok(self.experiments.iter().map(|(_, source)| source.clone()).collect())
    }

    fn heads(&mut self, limit: usize) -> Result<Vec<Head>, ImportError> {
        let from = self.runs.len().saturating_sub(limit);
        let mut heads = self.runs.split_off(from);
        heads.reverse();
        Ok(heads)
    }

    fn runs(&mut self, heads: &[Head]) -> Result<(usize, Vec<SourceRun>), ImportError> {
        self.read_runs(heads)
    }

    fn logged_models(&mut self, limit: usize) -> Result<Vec<SourceModel>, ImportError> {
        self.read_models(limit)
    }

    fn registered(&mut self) -> Result<Vec<SourceRegistered>, ImportError> {
        self.read_registered()
    }

    fn artifacts(&mut self, uri: &str, sink: &mut Sink<'_>) -> Result<Found, ImportError> {
        // The folder may have been moved since the URI was written; what lies beside the run is the run's.
        if let Some(folder) = self.homes.remove(uri).filter(|folder| folder.is_dir())
            && matches!(place(uri), Place::Folder(_))
        {
            walk(&folder, sink, &mut self.problems)?;
            return Ok(Found::Here);
        }
        self.folders.hand_over(uri, sink, &mut self.problems)
    }

    fn problems(&mut self) -> Vec<Problem> {
        std::mem::take(&mut self.problems)
    }
}
