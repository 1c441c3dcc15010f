//! A changed project file, taken while the project runs.
//!
//! The file is checked as a start would check it, before anything follows it: a wrong one is refused with its diagnostics, and
//! the one in force goes on. What it says holds from then on: for gates at the next judgement, for training and checks of
//! data at the next training, for rollouts at their next step, for the rules of a split at once, for monitoring at the next window that closes, for the
//! inference log with the next prediction. The project's name cannot change while it runs, since roles and journal go by
//! it.

use std::sync::{Arc, PoisonError};

use gyre_core::fact::Fact;
use gyre_core::spec::{self, Project};
use gyre_core::{Diagnostic, Digest, ModelName};
use gyre_store::NewFact;

use super::{Desk, DeskError, deploy, read_project, receivers};
use crate::engine::Failure;
use crate::policy::policies;

/// What became of a changed project file.
#[derive(Debug)]
pub enum Reload {
    /// It is in force.
    Taken {
        /// Its SHA-256, as the journal tells it too.
        digest: Digest,
        /// Models that are declared now and were not before.
        added: Vec<ModelName>,
        /// Models that are no longer declared: their versions serve on, and nobody repairs them.
        removed: Vec<ModelName>,
        /// What does not follow it, and why.
        trouble: Vec<String>,
    },
    /// It cannot be used; the one before goes on.
    Refused(DeskError),
}

impl Desk {
    /// Looks whether the project file has changed since it was last looked at, and takes it if it can. None when it has not.
    /// To be called every second or so, and when a person asks for it.
    pub fn reload(&self) -> Option<Reload> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let found = std::fs::read(self.root.join(spec::FILE)).ok();
        let digest = found.map(|text| Digest::of(&text));
        // Without a file there is nothing to follow: one that is being replaced is away for a moment.
        if digest.is_none() || *seen == digest {
            return None;
        }
        let (project, text) = match read_project(&self.root).and_then(|(project, text)| {
            self.same_name(&project)?;
            Ok((project, text))
        }) {
            Ok(read) => read,
            Err(error) => {
                *seen = digest;
                return Some(Reload::Refused(error));
            }
        };
        let digest = Digest::of(text.as_bytes());
        match self.take(project, digest) {
            Ok(taken) => {
                *seen = Some(digest);
                Some(taken)
            }
            // The journal could not be told. It is tried again.
            Err(error) => Some(Reload::Refused(error)),
        }
    }

    fn same_name(&self, project: &Project) -> Result<(), DeskError> {
        let (ours, theirs) = (&self.project().project, &project.project);
        if ours == theirs {
            return Ok(());
        }
        let wrong = Diagnostic::new(
            self.root.join(spec::FILE).display().to_string(),
            format!("the project's name is `{theirs}` now, and it runs as `{ours}`"),
        );
        let wrong = wrong.expected(format!("project: {ours}"));
        Err(DeskError::Project(vec![wrong.help("stop `gyre up` to change the project's name")]))
    }

    fn take(&self, project: Project, digest: Digest) -> Result<Reload, DeskError> {
        let fact = Fact::ProjectLoaded {
            project: project.project.to_string(),
            spec: digest,
            code: gyre_data::git::code_version(&self.root).unwrap_or_default(),
        };
        let new = NewFact::new(self.now(), "gyre", fact);
        self.store.write(move |tx| tx.append(new))?;
        deploy::take_over_rules(&project, &self.store, self.now())?;
        let mut trouble = receivers::take_over(&project, &self.store, self.now())?;
        let before = self.project();
        let gone = |from: &Project, of: &Project| -> Vec<ModelName> {
            from.models.keys().filter(|name| !of.models.contains_key(*name)).cloned().collect()
        };
        let (added, removed) = (gone(&project, &before), gone(&before, &project));
        let project = Arc::new(project);
        self.workshop.follow(Arc::clone(&project));
        self.project.store(Arc::clone(&project));
        self.driver.follow(policies(&project));
        // What the log keeps of each model goes with its routing.
        for model in project.models.keys().chain(&removed) {
            if let Err(Failure { reason, .. }) = self.workshop.route_at_start(model) {
                trouble.push(format!("{model}: {reason}"));
            }
        }
        Ok(Reload::Taken { digest, added, removed, trouble })
    }
}
