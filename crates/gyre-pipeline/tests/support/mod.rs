//! A project in a temporary directory, and what the tests do with it.

use std::path::{Path, PathBuf};
use std::process::Command;

use gyre_data::dvc::Repo;
use gyre_pipeline::{Pipeline, PipelineError, PipelineRun, RunOptions, run};

/// A directory with a Git repository, a DVC repository, and a pipeline.
pub(crate) struct Project {
    dir: tempfile::TempDir,
}

impl Project {
    /// With `dvc.yaml` as given; every stage may count itself by `>> runs.txt`.
    pub(crate) fn new(pipeline: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let done = Command::new("git").args(["init", "-q"]).current_dir(dir.path()).status().unwrap();
        assert!(done.success());
        Repo::init(dir.path()).unwrap();
        let project = Self { dir };
        project.write("dvc.yaml", pipeline);
        project
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap_or_default()
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.path().join(name).exists()
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.path().join(name)).unwrap();
    }

    pub(crate) fn pipeline(&self) -> Pipeline {
        Pipeline::read(&self.path().join("dvc.yaml")).unwrap()
    }

    pub(crate) fn run_with(&self, options: &RunOptions) -> Result<PipelineRun, PipelineError> {
        run(self.path(), &self.pipeline(), &[], options, &mut |_| {})
    }

    pub(crate) fn run(&self) -> Result<PipelineRun, PipelineError> {
        self.run_with(&RunOptions::default())
    }

    /// The names of the stages that ran, not those whose outputs were there.
    pub(crate) fn ran(&self) -> Vec<String> {
        let run = self.run().unwrap_or_else(|error| panic!("{error}\n{}", error.log));
        run.stages.into_iter().filter(|stage| !stage.cached).map(|stage| stage.name).collect()
    }

    /// Objects in the cache.
    pub(crate) fn objects(&self) -> Vec<PathBuf> {
        let root = self.path().join(".dvc/cache/files/md5");
        let heads = std::fs::read_dir(root).into_iter().flatten().flatten();
        let mut objects: Vec<PathBuf> = heads
            .flat_map(|head| std::fs::read_dir(head.path()).into_iter().flatten().flatten())
            .map(|object| object.path())
            .collect();
        objects.sort();
        objects
    }
}
