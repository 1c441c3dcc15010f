//! A running MLflow server, 2.x or 3.x, asked by its REST interface.
//!
//! It tells less than its database: not when a run was deleted, nor which logged models were. Whoever has the database or
//! the folder imports from that. A run takes a call, and each of its metrics another.

mod agent;
mod answers;
mod records;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::ImportError;
use crate::artifacts::{Found, Sink};
use crate::folders::Folders;
use crate::place::{Place, place};
use crate::record::{Head, Problem, SourceExperiment, SourceModel, SourceRegistered, SourceRun};
use crate::report::Kind;
use crate::source::Source;
use agent::Server;
use answers::{Download, Experiments, Files, History, Models, OneRun, Registered, Runs, Versions};

/// A running MLflow server.
pub struct HttpSource {
    server: Server,
    folders: Option<Folders>,
    problems: Vec<Problem>,
    experiments: Vec<SourceExperiment>,
    /// Which experiment's runs come next, and from which page on.
    runs: Cursor,
    models: Cursor,
}

/// How far the pages of one experiment after the other are.
#[derive(Default)]
struct Cursor {
    experiment: usize,
    token: Option<String>,
}

/// What stands for itself in a part of a path.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

impl HttpSource {
    /// A server at `url`; credentials come from `MLFLOW_TRACKING_TOKEN` or `MLFLOW_TRACKING_USERNAME` and
    /// `MLFLOW_TRACKING_PASSWORD`. `artifacts` is the folder in which it keeps artifacts, when that is within reach.
    ///
    /// # Errors
    /// [`ImportError::Source`] when nobody answers.
    pub fn open(url: &str, artifacts: Option<&Path>) -> Result<Self, ImportError> {
        let server = Server::new(url)?;
        let mut source = Self {
            server,
            folders: artifacts.map(|root| Folders::new(PathBuf::from("."), Some(root))),
            problems: Vec::new(),
            experiments: Vec::new(),
            runs: Cursor::default(),
            models: Cursor::default(),
        };
        source.look()?;
        Ok(source)
    }

    fn look(&mut self) -> Result<(), ImportError> {
        let mut token = None;
        loop {
            let asked =
                json!({"max_results": 1000, "view_type": "ALL", "page_token": token.unwrap_or_default()});
            let answer: Experiments = self.server.post("mlflow/experiments/search", &asked)?;
            for experiment in answer.experiments {
                self.experiments.push(experiment.into_record());
            }
            match answer.next_page_token.filter(|token| !token.is_empty()) {
                Some(next) => token = Some(next),
                None => break,
            }
        }
        self.experiments.sort_by_key(|source| source.experiment.id);
        Ok(())
    }

    fn history(&self, run: &str, key: &str) -> Result<Vec<answers::Metric>, ImportError> {
        let (mut points, mut token) = (Vec::new(), String::new());
        loop {
            let path = format!(
                "mlflow/metrics/get-history?run_id={}&metric_key={}&max_results=25000&page_token={}",
                encoded(run),
                encoded(key),
                encoded(&token)
            );
            let answer: History = self.server.get(&path)?;
            points.extend(answer.metrics);
            match answer.next_page_token.filter(|next| !next.is_empty()) {
                Some(next) => token = next,
                None => return Ok(points),
            }
        }
    }

    fn files(&mut self, root: &str, sink: &mut Sink<'_>) -> Result<(), ImportError> {
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let path = if folder.is_empty() { root.to_owned() } else { format!("{root}/{folder}") };
            let listed = format!("mlflow-artifacts/artifacts?path={}", encoded(&path));
            let Some(answer) = self.server.get_if_any::<Files>(&listed)? else { continue };
            for file in answer.files {
                // Each path is relative to the folder that was asked for.
                let name = file.path.rsplit('/').next().unwrap_or_default();
                if matches!(name, "" | "." | "..") {
                    continue;
                }
                let inner = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
                if file.is_dir {
                    folders.push(inner);
                    continue;
                }
                let parts: Vec<String> = root.split('/').chain(inner.split('/')).map(encoded).collect();
                let mut bytes =
                    self.server.download(&format!("mlflow-artifacts/artifacts/{}", parts.join("/")))?;
                sink(&inner, &mut bytes)?;
            }
        }
        Ok(())
    }
}

impl Source for HttpSource {
    fn name(&self) -> String {
        self.server.name().to_owned()
    }

    fn counts(&mut self) -> Result<Vec<(Kind, u64)>, ImportError> {
        let tags = self.experiments.iter().map(|source| source.experiment.tags.len() as u64).sum();
        Ok(vec![(Kind::Experiments, self.experiments.len() as u64), (Kind::ExperimentTags, tags)])
    }

    fn experiments(&mut self) -> Result<Vec<SourceExperiment>, ImportError> {
        Ok(self.experiments.clone())
    }

    fn heads(&mut self, limit: usize) -> Result<Vec<Head>, ImportError> {
        while let Some(source) = self.experiments.get(self.runs.experiment) {
            let asked = json!({
                "experiment_ids": [source.id],
                "run_view_type": "ALL",
                "max_results": limit.clamp(1, 1000),
                "page_token": self.runs.token.take().unwrap_or_default(),
            });
            let answer: Runs = self.server.post("mlflow/runs/search", &asked)?;
            self.runs.token = answer.next_page_token.filter(|token| !token.is_empty());
            if self.runs.token.is_none() {
                self.runs.experiment += 1;
            }
            let mut heads = Vec::with_capacity(answer.runs.len());
            for run in answer.runs {
                heads.push(Head { run_id: run.id().to_owned(), experiment: run.info.experiment_id.clone() });
            }
            if !heads.is_empty() {
                return Ok(heads);
            }
        }
        Ok(Vec::new())
    }

    fn runs(&mut self, heads: &[Head]) -> Result<(usize, Vec<SourceRun>), ImportError> {
        /// How many points are in memory at once, but for a single run that has more.
        const POINTS: usize = 2_000_000;
        let (mut done, mut points, mut found) = (0, 0, Vec::new());
        for head in heads {
            if points > POINTS {
                break;
            }
            done += 1;
            // The search leaves out which logged models went into a run; the run itself tells.
            let asked = format!("mlflow/runs/get?run_id={}", encoded(&head.run_id));
            let Some(OneRun { run }) = self.server.get_if_any(&asked)? else {
                let (kind, place) = (Kind::Runs, format!("run {}", head.run_id));
                let reason = "the server found it, and knows it no more".to_owned();
                self.problems.push(Problem { kind, place, reason, lost: 1 });
                continue;
            };
            let mut metrics = Vec::new();
            for latest in &run.data.metrics {
                let history = self.history(&head.run_id, &latest.key)?;
                points += history.len();
                let history = history.iter().map(answers::Metric::point).collect();
                metrics.push((latest.key.clone(), history));
            }
            found.push(run.into_record(metrics, &mut self.problems));
        }
        Ok((done, found))
    }

    fn logged_models(&mut self, limit: usize) -> Result<Vec<SourceModel>, ImportError> {
        while let Some(source) = self.experiments.get(self.models.experiment) {
            let mut asked = json!({"experiment_ids": [source.id], "max_results": limit.clamp(1, 50)});
            if let Some(token) = self.models.token.take() {
                asked["page_token"] = token.into();
            }
            let answer: Option<Models> = self.server.post_if_any("mlflow/logged-models/search", &asked)?;
            let answer = answer.unwrap_or_default();
            self.models.token = answer.next_page_token.filter(|token| !token.is_empty());
            if self.models.token.is_none() {
                self.models.experiment += 1;
            }
            let found: Vec<SourceModel> =
                answer.models.into_iter().map(|model| model.into_record(&mut self.problems)).collect();
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    fn registered(&mut self) -> Result<Vec<SourceRegistered>, ImportError> {
        let mut found: BTreeMap<String, SourceRegistered> = BTreeMap::new();
        // Prompts are in the registry too, and only shown to those who ask for them.
        let prompt = "tags.`mlflow.prompt.is_prompt` = 'true'";
        for filter in ["", prompt] {
            let mut token = String::new();
            loop {
                let path = format!(
                    "mlflow/registered-models/search?max_results=100&filter={}&page_token={}",
                    encoded(filter),
                    encoded(&token)
                );
                let answer: Registered = self.server.get(&path)?;
                for model in answer.registered_models {
                    let mut record = model.into_record();
                    let quote = if record.name.contains('\'') { '"' } else { '\'' };
                    let and = if filter.is_empty() { String::new() } else { format!(" and {filter}") };
                    let wanted = format!("name = {quote}{}{quote}{and}", record.name);
                    record.versions = self.versions(&wanted)?;
                    found.insert(record.name.clone(), record);
                }
                match answer.next_page_token.filter(|next| !next.is_empty()) {
                    Some(next) => token = next,
                    None => break,
                }
            }
        }
        let mut found: Vec<_> = found.into_values().collect();
        found.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        Ok(found)
    }

    fn artifacts(&mut self, uri: &str, sink: &mut Sink<'_>) -> Result<Found, ImportError> {
        if let Some(folders) = &self.folders {
            return folders.hand_over(uri, sink, &mut self.problems);
        }
        match place(uri) {
            Place::Elsewhere => Ok(Found::Elsewhere),
            Place::Folder(_) => Ok(Found::Missing(
                "they lie in a folder of the server's machine, which the server does not hand out: run the import there, \
                 with `--artifacts-root`"
                    .to_owned(),
            )),
            Place::Proxied(path) => {
                self.files(&path, sink)?;
                Ok(Found::Here)
            }
        }
    }

    fn problems(&mut self) -> Vec<Problem> {
        std::mem::take(&mut self.problems)
    }
}

impl HttpSource {
    fn versions(&self, filter: &str) -> Result<Vec<crate::record::SourceVersion>, ImportError> {
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let path = format!(
                "mlflow/model-versions/search?max_results=1000&filter={}&page_token={}",
                encoded(filter),
                encoded(&token)
            );
            let answer: Versions = self.server.get(&path)?;
            for version in answer.model_versions {
                let (name, mut record) = (version.name.clone(), version.into_record());
                // A source may only point to a run or a logged model, and the server says where that is.
                if record.source.starts_with("models:") || record.source.starts_with("runs:") {
                    let path = format!(
                        "mlflow/model-versions/get-download-uri?name={}&version={}",
                        encoded(&name),
                        record.version
                    );
                    let answer: Option<Download> = self.server.get_if_any(&path)?;
                    let location = answer.map(|answer| answer.artifact_uri).unwrap_or_default();
                    record.location = Some(location).filter(|at| !at.is_empty() && *at != record.source);
                }
                found.push(record);
            }
            match answer.next_page_token.filter(|next| !next.is_empty()) {
                Some(next) => token = next,
                None => break,
            }
        }
        found.sort_by_key(|version| version.version);
        Ok(found)
    }
}
