//! The threads that look for labels, again and again: one for each model whose labels have a source.
//!
//! A look reads what is new, brings it to the log, and only then remembers that it was read. What fails is said and tried
//! again at the next look.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use gyre_core::spec::{LabelSource, Labels, Project};
use gyre_core::{Clock, Digest, ModelName, Timestamp};
use gyre_gateway::{Gateway, Intake};
use serde::Serialize;

use crate::file::{Columns, LabelFile, Part};
use crate::place::{Place, Stamp};
use crate::{LabelsError, database};

/// The folder inside the state folder that remembers how far sources were read.
const FOLDER: &str = "labels";

/// What the looks for the labels of a model have shown.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Looked {
    /// Where it is looked, in words; without addresses.
    pub source: String,
    /// When it was last looked, whether or not that went well.
    pub at: Option<Timestamp>,
    /// Looks since the server was started.
    pub looks: u64,
    /// Why the last look failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The latest time of a label that a database gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// What became of all labels that were read. After a crash in the middle of a look, what is read again counts as
    /// repeated.
    pub labels: Intake,
}

/// Looks for labels while it lives.
pub struct Collector {
    watched: Vec<(ModelName, Arc<Watched>)>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Watched {
    shown: Mutex<Shown>,
    bell: Condvar,
}

#[derive(Default)]
struct Shown {
    looked: Looked,
    /// Whether it is to be looked now.
    now: bool,
    stop: bool,
}

impl Watched {
    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a look needs.
struct Source {
    model: ModelName,
    labels: Labels,
    source: LabelSource,
    root: PathBuf,
    place: PathBuf,
    gateway: Arc<Gateway>,
    clock: Arc<dyn Clock>,
    variables: Variables,
}

/// Reads a variable of the environment.
pub type Variables = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

impl Collector {
    /// Begins to look for the labels of every model of `project` that has a source. Files are relative to `root`; what is
    /// remembered lies in `state`; addresses are in `variables`.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(
        project: &Project,
        root: &Path,
        state: &Path,
        gateway: &Arc<Gateway>,
        clock: &Arc<dyn Clock>,
        variables: &Variables,
    ) -> std::io::Result<Self> {
        let mut collector = Self { watched: Vec::new(), threads: Vec::new() };
        for (model, spec) in &project.models {
            let Some(source) = &spec.labels.source else { continue };
            let source = Source {
                model: model.clone(),
                labels: spec.labels.clone(),
                source: source.value.clone(),
                root: root.to_owned(),
                place: state.join(FOLDER).join(format!("{model}.json")),
                gateway: Arc::clone(gateway),
                clock: Arc::clone(clock),
                variables: Arc::clone(variables),
            };
            let watched = Arc::new(Watched::default());
            watched.shown().looked.source = source.words();
            collector.watched.push((model.clone(), Arc::clone(&watched)));
            let thread = std::thread::Builder::new().name("gyre-labels".to_owned());
            collector.threads.push(thread.spawn(move || source.watch(&watched))?);
        }
        Ok(collector)
    }

    /// What the looks for the labels of `model` have shown; none when they have no source.
    pub fn looked(&self, model: &str) -> Option<Looked> {
        let (_, watched) = self.watched.iter().find(|(name, _)| name.as_str() == model)?;
        Some(watched.shown().looked.clone())
    }

    /// The models whose labels have a source.
    pub fn models(&self) -> impl Iterator<Item = &ModelName> {
        self.watched.iter().map(|(model, _)| model)
    }

    /// Looks at once rather than when it is time; does not wait for it.
    pub fn look_now(&self, model: &str) {
        if let Some((_, watched)) = self.watched.iter().find(|(name, _)| name.as_str() == model) {
            watched.shown().now = true;
            watched.bell.notify_all();
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        for (_, watched) in &self.watched {
            watched.shown().stop = true;
            watched.bell.notify_all();
        }
        // A thread that panicked has said so; there is nothing left for it to do.
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

impl Source {
    fn words(&self) -> String {
        match (&self.source.files, &self.source.postgres) {
            (Some(files), _) => format!("files {files}"),
            (None, Some(variable)) => format!("the PostgreSQL in {variable}"),
            (None, None) => String::new(),
        }
    }

    fn watch(&self, watched: &Watched) {
        let every = u64::try_from(self.source.every.as_millis()).unwrap_or(1_000);
        loop {
            let outcome = self.look(watched);
            let mut shown = watched.shown();
            shown.looked.at = Some(self.clock.now());
            shown.looked.looks += 1;
            shown.looked.problem = outcome.err().map(|error| error.to_string());
            let waiting = |shown: &mut Shown| !(shown.stop || shown.now);
            let waited = watched.bell.wait_timeout_while(shown, Duration::from_millis(every), waiting);
            let (mut shown, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if shown.stop {
                return;
            }
            shown.now = false;
        }
    }

    fn look(&self, watched: &Watched) -> Result<(), LabelsError> {
        let mut place = Place::read(&self.place, self.digest())?;
        watched.shown().looked.labels = place.totals;
        match (&self.source.files, &self.source.postgres, &self.source.query) {
            (Some(files), _, _) => self.look_at_files(files, &mut place, watched),
            (None, Some(variable), Some(query)) => {
                self.look_at_database(variable, query, &mut place, watched)
            }
            // `gyre check` refuses it, and so does the start of the server.
            _ => Ok(()),
        }
    }

    /// What makes it another source, so that it is read from its beginning.
    fn digest(&self) -> Digest {
        let LabelSource { files, postgres, query, label, time, .. } = &self.source;
        let id = self.labels.id_of(&self.source);
        Digest::of(format!("{files:?} {postgres:?} {query:?} {id:?} {label:?} {time:?}").as_bytes())
    }

    fn columns(&self) -> Columns {
        let id = self.labels.id_of(&self.source).to_owned();
        Columns { id, label: self.source.label.clone(), time: self.source.time.clone() }
    }

    fn bring(&self, part: Part, place: &mut Place, watched: &Watched) -> Result<(), LabelsError> {
        if watched.shown().stop {
            return Err(LabelsError::Stopped);
        }
        if part.labels.is_empty() {
            return Ok(());
        }
        let expected = self.labels.expected_delay;
        place.totals += self.gateway.bring_labels(self.model.as_str(), part.labels, expected, false)?;
        watched.shown().looked.labels = place.totals;
        Ok(())
    }

    fn look_at_files(&self, files: &str, place: &mut Place, watched: &Watched) -> Result<(), LabelsError> {
        let named = self.root.join(files).display().to_string();
        let mut problem = None;
        let files = gyre_batch::sources::files(&[named])?;
        // What is gone is forgotten, so that this does not grow for ever.
        place.files.retain(|path, _| files.contains(path));
        for path in files {
            let stamp = Stamp::of(&path)?;
            if place.files.get(&path) == Some(&stamp) {
                continue;
            }
            // One file that is no table must not keep the labels of the others away.
            match self.take_file(&path, place, watched) {
                Ok(()) => {
                    place.files.insert(path, stamp);
                    place.write(&self.place)?;
                }
                Err(error @ (LabelsError::Table(_) | LabelsError::Row { .. })) => {
                    problem.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        problem.map_or(Ok(()), Err)
    }

    fn take_file(&self, path: &Path, place: &mut Place, watched: &Watched) -> Result<(), LabelsError> {
        let before = place.totals;
        let mut taken = || -> Result<(), LabelsError> {
            for part in LabelFile::open(path, self.columns(), self.clock.now())? {
                self.bring(part?, place, watched)?;
            }
            Ok(())
        };
        let outcome = taken();
        if outcome.is_err() {
            // It is read again as a whole, and counted then.
            place.totals = before;
        }
        outcome
    }

    fn look_at_database(
        &self,
        variable: &str,
        query: &str,
        place: &mut Place,
        watched: &Watched,
    ) -> Result<(), LabelsError> {
        let url = (self.variables)(variable).ok_or_else(|| LabelsError::NoAddress(variable.to_owned()))?;
        let since = place.since.map(|since| since - self.source.overlap);
        let mut latest = place.since;
        let (before, asked_before) = (place.totals, place.since);
        database::read(&url, query, &self.columns(), since, |part| {
            latest = latest.max(part.labels.iter().map(|brought| brought.label.time).max());
            self.bring(part, place, watched)
        })?;
        // A label from the future would hide all until then.
        let latest = latest.min(Some(self.clock.now()));
        place.since = latest;
        watched.shown().looked.since = latest;
        if place.totals != before || latest != asked_before {
            place.write(&self.place)?;
        }
        Ok(())
    }
}
