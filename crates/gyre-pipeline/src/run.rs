//! Running a pipeline: what has something new to do runs, the rest is left alone or brought back from the cache.

mod error;
mod workspace;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use gyre_data::dvc::{Repo, RepoLock};

use crate::graph;
use crate::lock::{LockFile, StageLock};
use crate::params;
use crate::process::{self, Ending, Setup};
use crate::stage::{Pipeline, Stage};
use crate::tail::Tail;
pub use error::{Failure, PipelineError};
use workspace::Workspace;

/// How a pipeline is run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// How long the whole run may take before its command is stopped.
    pub timeout: Option<Duration>,
    /// How long a command may take to end after it was asked to, before it is killed.
    pub grace: Duration,
    /// A directory put before `PATH`.
    pub path_dir: Option<PathBuf>,
    /// Variables added to the environment, which the commands otherwise inherit.
    pub env: Vec<(String, String)>,
    /// How many bytes of output are kept: the last ones.
    pub log_limit: usize,
    /// Becomes true when the run is to stop, as at a shutdown.
    pub stop: Option<Arc<AtomicBool>>,
}

impl Default for RunOptions {
    fn default() -> Self {
        let (grace, log_limit) = (Duration::from_secs(5), 1 << 20);
        Self { timeout: None, grace, path_dir: None, env: Vec::new(), log_limit, stop: None }
    }
}

/// What happens while a pipeline runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// A stage's command begins.
    Started {
        /// The stage.
        stage: &'a str,
        /// Its position, counted from 0.
        index: usize,
        /// Of how many.
        total: usize,
    },
    /// A stage's command printed something.
    Output(&'a [u8]),
    /// A stage is done.
    Finished(&'a StageRun),
}

/// How a stage went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageRun {
    /// The stage.
    pub name: String,
    /// Whether its outputs were there already, in place or in the cache.
    pub cached: bool,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

/// A run that ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineRun {
    /// The stages, in the order in which they ran.
    pub stages: Vec<StageRun>,
    /// The end of what the commands printed.
    pub log: String,
}

/// Runs `targets` and what they need (everything, when there are none) of the pipeline whose file is in `dir`.
///
/// A stage is left alone when its command, its parameters and the content of its dependencies are those that
/// `dvc.lock` records, and its outputs are in place; when they are not, they are copied from the cache, and only
/// when that has them not, or the record differs, the stage runs: its outputs are removed (but those that
/// `persist`), every command is given to `/bin/sh -c` in the stage's `wdir` with `DVC_ROOT` and `DVC_STAGE` set,
/// and when all succeeded and all outputs are there, these go to the cache and the stage into `dvc.lock`.
///
/// Dependencies are hashed before the command runs: one that changes meanwhile makes the stage run again next
/// time. DVC's repository lock is held while gyre works and let go while a command runs.
///
/// # Errors
/// [`PipelineError`] with the stage, the reason and the end of the log. Stages that succeeded before stay recorded.
pub fn run(
    dir: &Path,
    pipeline: &Pipeline,
    targets: &[&str],
    options: &RunOptions,
    on_progress: &mut dyn FnMut(Progress<'_>),
) -> Result<PipelineRun, PipelineError> {
    let mut log = Tail::new(options.log_limit);
    match Runner::new(dir, options).and_then(|runner| runner.run(pipeline, targets, &mut log, on_progress)) {
        Ok(stages) => Ok(PipelineRun { stages, log: log.into_text() }),
        Err((stage, failure)) => Err(PipelineError { stage, failure, log: log.into_text() }),
    }
}

/// The stage, when it is one's fault, and what went wrong.
type Fault = (Option<String>, Failure);

struct Runner<'a> {
    repo: Repo,
    lock_path: PathBuf,
    lock_file: LockFile,
    workspace: Workspace,
    options: &'a RunOptions,
    deadline: Option<Instant>,
    /// Held but while a command runs.
    held: Option<RepoLock>,
}

impl<'a> Runner<'a> {
    fn new(dir: &Path, options: &'a RunOptions) -> Result<Self, Fault> {
        let general = |failure| (None, failure);
        let dir = std::path::absolute(dir).map_err(|error| general(Failure::Start(error.to_string())))?;
        let repo = Repo::find(&dir).map_err(|error| general(error.into()))?;
        let held = Some(repo.lock().map_err(|error| general(error.into()))?);
        let lock_path = dir.join("dvc.lock");
        let lock_file = LockFile::read(&lock_path).map_err(|message| general(Failure::LockFile(message)))?;
        let workspace = Workspace::new(dir, repo.cache());
        let deadline = options.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Ok(Self { repo, lock_path, lock_file, workspace, options, deadline, held })
    }

    fn run(
        mut self,
        pipeline: &Pipeline,
        targets: &[&str],
        log: &mut Tail,
        on_progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Vec<StageRun>, Fault> {
        let stages = graph::order(pipeline, targets).map_err(|target| {
            let names = pipeline.stages.iter().map(|stage| stage.name.as_str());
            let nearest = gyre_core::ids::nearest(&target, names).map(str::to_owned);
            (None, Failure::UnknownTarget { target, nearest })
        })?;
        let total = stages.len();
        let mut done = Vec::with_capacity(total);
        for (index, stage) in stages.into_iter().enumerate() {
            let begun = Instant::now();
            let mut start = |progress: Progress<'_>| {
                if let Progress::Output(bytes) = progress {
                    log.add(bytes);
                }
                on_progress(progress);
            };
            let cached = self
                .stage(stage, index, total, &mut start)
                .map_err(|failure| (Some(stage.name.clone()), failure))?;
            let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            let run = StageRun { name: stage.name.clone(), cached, millis };
            on_progress(Progress::Finished(&run));
            done.push(run);
        }
        Ok(done)
    }

    /// Brings one stage up to date; whether nothing had to be run.
    fn stage(
        &mut self,
        stage: &Stage,
        index: usize,
        total: usize,
        on_progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<bool, Failure> {
        let recorded = self.lock_file.stage(&stage.name);
        if stage.frozen {
            if let Some(recorded) = &recorded {
                self.workspace.restore(stage, recorded)?;
            }
            let missing = self.workspace.missing_output(stage).map(str::to_owned);
            return missing.map_or(Ok(true), |path| Err(Failure::FrozenOutput(path)));
        }
        let deps = self.workspace.hash_dependencies(stage)?;
        let params = params::values(self.workspace.dir(), stage).map_err(Failure::Params)?;
        let work = StageLock::new(&stage.cmd, deps, params);
        // A stage that reads and makes nothing is run for what it does, every time, as in DVC.
        let always = stage.always_changed
            || (stage.deps.is_empty() && stage.params.is_empty() && stage.outs.is_empty());
        if !always
            && let Some(recorded) = recorded.filter(|recorded| recorded.same_work(&work))
            && self.workspace.restore(stage, &recorded)?
        {
            return Ok(true);
        }
        self.workspace.remove_outputs(stage)?;
        on_progress(Progress::Started { stage: &stage.name, index, total });
        self.held = None;
        let ended = self.commands(stage, &mut |bytes| on_progress(Progress::Output(bytes)));
        self.workspace.forget();
        self.held = Some(self.repo.lock()?);
        ended?;
        let outs = self.workspace.keep_outputs(stage)?;
        self.lock_file.set(&stage.name, &work.made(outs));
        self.lock_file.write(&self.lock_path).map_err(|error| Failure::LockFile(error.to_string()))?;
        Ok(false)
    }

    fn commands(&self, stage: &Stage, sink: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        let dir = self.workspace.dir().join(&stage.wdir);
        if !dir.is_dir() {
            return Err(Failure::NoDirectory(stage.wdir.clone()));
        }
        let env = self.environment(stage);
        let setup = Setup {
            dir: &dir,
            env: &env,
            deadline: self.deadline,
            grace: self.options.grace,
            stop: self.options.stop.as_deref(),
        };
        for command in stage.cmd.commands() {
            if command.trim().is_empty() {
                continue;
            }
            let ending =
                process::execute(command, &setup, sink).map_err(|error| Failure::Start(error.to_string()))?;
            match ending {
                Ending::Exited(0) => {}
                Ending::Exited(code) => return Err(Failure::Exit(code)),
                Ending::Signalled(signal) => return Err(Failure::Signal(signal)),
                Ending::TimedOut => return Err(Failure::Timeout(self.options.timeout.unwrap_or_default())),
                Ending::Stopped => return Err(Failure::Stopped),
            }
        }
        Ok(())
    }

    fn environment(&self, stage: &Stage) -> Vec<(OsString, OsString)> {
        let mut env: Vec<(OsString, OsString)> = vec![
            ("DVC_ROOT".into(), self.repo.root().into()),
            ("DVC_STAGE".into(), stage.name.clone().into()),
        ];
        if let Some(dir) = &self.options.path_dir {
            let present = std::env::var_os("PATH").unwrap_or_default();
            let dirs = std::iter::once(dir.clone()).chain(std::env::split_paths(&present));
            // Fails for a directory with a colon in its name, which no PATH can hold.
            if let Ok(path) = std::env::join_paths(dirs) {
                env.push(("PATH".into(), path));
            }
        }
        env.extend(self.options.env.iter().map(|(name, value)| (name.into(), value.into())));
        env
    }
}
